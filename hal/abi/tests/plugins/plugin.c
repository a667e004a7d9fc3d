// A small plug-in over host memory that fills and copies, in the common part of C11 and C++17. With a switch (-DBAD_...) it breaks one rule.

#include "ohal_plugin.h"

#include <stdlib.h>
#include <string.h>

#if defined(HANG)
#include <unistd.h>
#endif

static const ohal_host *the_host;

static ohal_str text(const char *words) {
    ohal_str str = {words, strlen(words)};
    return str;
}

static ohal_error *fail(ohal_error_kind kind, const char *words) {
    ohal_error_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    info.kind = kind;
    info.severity = OHAL_SEVERITY_REJECTED;
    info.op = OHAL_NONE;
    info.sequence = OHAL_UNKNOWN;
    info.message = text(words);
#if defined(BAD_ERROR_TEXT)
    info.message = text("broken \xff text");
#endif
#if defined(BAD_ERROR_CODES)
    info.kind = 777;
    info.severity = 888;
    info.op = 999;
#endif
    return the_host->error_create(the_host, &info);
}

struct ohal_device {
    uint32_t open;
};
struct ohal_buffer {
    void *data;
};
struct ohal_stream {
    uint32_t runs;
};
struct ohal_event {
    uint32_t recorded;
};
struct ohal_plan {
    uint32_t kind;
    ohal_copy_fill_desc fill;
    ohal_column columns[2];
};

static ohal_error *probe(const ohal_plugin *plugin, ohal_probe *out) {
    static ohal_str searched[1];
    (void)plugin;
#if defined(HANG)
    for (;;) {
        sleep(1);
    }
#endif
#if defined(CRASH)
    *(volatile int *)(uintptr_t)8 = 1;
#endif
#if defined(EXIT)
    exit(0);
#endif
#if defined(THROW)
    throw 5;
#endif
#if defined(GARBAGE_ERROR)
    return (ohal_error *)(uintptr_t)0xdeadbee8;
#endif
#if defined(ERROR_WITHOUT_DETAILS)
    return OHAL_ERROR_WITHOUT_DETAILS;
#endif
#if defined(BAD_ERROR_TEXT) || defined(BAD_ERROR_CODES)
    return fail(OHAL_ERROR_NOT_FOUND, "nothing here");
#endif
    searched[0] = text("the host's memory");
    out->device_count = 1;
    out->searched = searched;
    out->searched_count = 1;
#if defined(BAD_DEVICE_COUNT)
    out->device_count = UINT64_MAX;
#endif
#if defined(BAD_SEARCHED_COUNT)
    out->searched_count = UINT64_MAX / 16;
#endif
#if defined(NULL_ARRAY)
    out->searched = NULL;
#endif
#if defined(BAD_TEXT_LENGTH)
    searched[0].len = UINT64_MAX;
#endif
#if defined(NULL_TEXT)
    searched[0].data = NULL;
#endif
#if defined(BAD_TEXT)
    searched[0] = text("\xc3\x28");
#endif
    return NULL;
}

static ohal_error *device_info(const ohal_plugin *plugin, uint64_t index, ohal_device_info *out) {
    static ohal_version versions[1];
    (void)plugin;
    if (index != 0) {
        return fail(OHAL_ERROR_NOT_FOUND, "there is one device, 0");
    }
    versions[0].name = text("headers");
    versions[0].value = text(OHAL_ABI_MINOR == 1 ? "0.1" : "0.2");
    out->name = text("host memory");
    out->versions = versions;
    out->version_count = 1;
    return NULL;
}

static ohal_error *device_open(const ohal_plugin *plugin, uint64_t index, ohal_device **out) {
    (void)plugin;
    if (index != 0) {
        return fail(OHAL_ERROR_NOT_FOUND, "there is one device, 0");
    }
#if defined(NULL_HANDLE)
    return NULL;
#endif
    *out = (ohal_device *)calloc(1, sizeof(ohal_device));
    return NULL;
}

static void device_close(ohal_device *device) {
    free(device);
}

static ohal_error *device_caps(ohal_device *device, ohal_device_caps *out) {
    (void)device;
    out->activations = 1u << OHAL_DTYPE_F32;
    out->ops[0] = UINT64_C(1) << OHAL_OP_COPY_FILL;
    out->alignment = 64;
    out->host_addressable = 1;
#if defined(BAD_ALIGNMENT)
    out->alignment = 48;
#endif
#if defined(UNKNOWN_BITS)
    out->activations = UINT32_MAX;
    memset(out->ops, 0xff, sizeof out->ops);
#endif
    return NULL;
}

static ohal_error *buffer_alloc(ohal_device *device, uint64_t bytes, ohal_memory_kind kind, ohal_mem *mem, ohal_buffer **out) {
    uint64_t size = (bytes + 64) / 64 * 64;
    ohal_buffer *buffer = (ohal_buffer *)calloc(1, sizeof(ohal_buffer));
    (void)device;
    (void)kind;
    if (buffer == NULL || size < bytes || (buffer->data = aligned_alloc(64, size)) == NULL) {
        free(buffer);
        return fail(OHAL_ERROR_OUT_OF_MEMORY, "no memory");
    }
    mem->addr = (uint64_t)(uintptr_t)buffer->data;
    mem->len = bytes;
#if defined(BAD_LENGTH)
    mem->len = bytes / 2;
#endif
#if defined(BAD_ADDRESS)
    mem->addr = 0;
#endif
#if defined(MISALIGNED)
    mem->addr += 4;
#endif
    *out = buffer;
    return NULL;
}

static void buffer_free(ohal_buffer *buffer) {
    free(buffer->data);
    free(buffer);
}

static ohal_error *stream_create(ohal_device *device, ohal_stream **out) {
    (void)device;
    *out = (ohal_stream *)calloc(1, sizeof(ohal_stream));
    return NULL;
}

static void stream_destroy(ohal_stream *stream) {
    free(stream);
}

static ohal_error *event_create(ohal_device *device, ohal_event **out) {
    (void)device;
    *out = (ohal_event *)calloc(1, sizeof(ohal_event));
    return NULL;
}

static void event_destroy(ohal_event *event) {
    free(event);
}

static ohal_error *supports(ohal_device *device, const ohal_op *op, ohal_support *out) {
    const char *words = "only copy.fill of F32";
    (void)device;
    if (op->kind == OHAL_OP_COPY_FILL && ((const ohal_copy_fill_desc *)op->desc)->dtype == OHAL_DTYPE_F32) {
        out->kind = OHAL_SUPPORT_NATIVE;
        return NULL;
    }
    out->kind = OHAL_SUPPORT_NO;
    out->reason.len = strlen(words) < out->reason.capacity ? strlen(words) : out->reason.capacity;
    memcpy(out->reason.data, words, out->reason.len);
#if defined(UNKNOWN_ANSWERS)
    out->kind = 50;
#endif
#if defined(BAD_REASON)
    out->reason.len = UINT64_MAX;
    out->reason.data = NULL;
#endif
    return NULL;
}

static ohal_error *plan_create(ohal_device *device, const ohal_op *op, ohal_plan **out) {
    ohal_plan *plan;
    (void)device;
    if (op->kind != OHAL_OP_COPY_FILL) {
        return fail(OHAL_ERROR_UNSUPPORTED, "only copy.fill of F32");
    }
    plan = (ohal_plan *)calloc(1, sizeof(ohal_plan));
    if (plan == NULL) {
        return fail(OHAL_ERROR_OUT_OF_MEMORY, "no memory");
    }
    plan->kind = op->kind;
    memcpy(&plan->fill, op->desc, sizeof plan->fill);
    *out = plan;
    return NULL;
}

static void plan_destroy(ohal_plan *plan) {
    free(plan);
}

static ohal_error *plan_info(ohal_plan *plan, ohal_plan_info *out) {
    out->determinism = OHAL_DETERMINISM_ROW_INVARIANT;
    out->accumulation = OHAL_ACCUMULATION_F32;
    (void)plan;
#if defined(UNKNOWN_DETERMINISM)
    out->determinism = 9;
#endif
#if defined(UNKNOWN_ACCUMULATION)
    out->accumulation = 9;
#endif
#if defined(UNKNOWN_COLUMN)
    plan->columns[0].kind = 1000;
    out->columns = plan->columns;
    out->column_count = 1;
#endif
#if defined(BAD_COLUMN_COUNT)
    out->columns = plan->columns;
    out->column_count = 17;
#endif
#if defined(BAD_WORKSPACE)
    out->workspace = UINT64_MAX;
#endif
#if defined(BAD_COST)
    out->flops = -1.0;
#endif
    return NULL;
}

static ohal_error *stream_run(ohal_stream *stream, ohal_plan *plan, const ohal_args *args) {
    const ohal_view *y = args->views[OHAL_COPY_FILL_Y];
    float *data = (float *)(uintptr_t)(y->mem.addr + y->offset);
    uint64_t axis, i, count = 1;
    for (axis = 0; axis < y->shape.rank; axis++) {
        count *= y->shape.dims[axis];
    }
    for (i = 0; i < count; i++) {
        data[i] = plan->fill.value;
    }
    stream->runs++;
#if defined(FALLBACK)
    the_host->report_fallback(the_host, OHAL_OP_COPY_FILL, text("the device cannot fill"));
#endif
    return NULL;
}

static ohal_error *stream_copy(ohal_stream *stream, ohal_mem dst, ohal_mem src) {
    (void)stream;
    memcpy((void *)(uintptr_t)dst.addr, (const void *)(uintptr_t)src.addr, dst.len);
    return NULL;
}

static ohal_error *stream_fill(ohal_stream *stream, ohal_mem dst, uint32_t byte) {
    (void)stream;
    memset((void *)(uintptr_t)dst.addr, (int)byte, dst.len);
    return NULL;
}

static ohal_error *stream_write(ohal_stream *stream, ohal_mem dst, const void *src, uint64_t len) {
    (void)stream;
    memcpy((void *)(uintptr_t)dst.addr, src, len);
    return NULL;
}

static ohal_error *stream_read(ohal_stream *stream, ohal_mem src, void *dst, uint64_t len, uint64_t timeout) {
    (void)stream;
    (void)timeout;
    memcpy(dst, (const void *)(uintptr_t)src.addr, len);
    return NULL;
}

static ohal_error *stream_record(ohal_stream *stream, ohal_event *event) {
    (void)stream;
    event->recorded = 1;
    return NULL;
}

static ohal_error *stream_wait(ohal_stream *stream, ohal_event *event) {
    (void)stream;
    (void)event;
    return NULL;
}

static ohal_error *stream_poll(ohal_stream *stream, uint32_t *done) {
    (void)stream;
    *done = 1;
    return NULL;
}

static ohal_error *stream_sync(ohal_stream *stream, uint64_t timeout) {
    (void)stream;
    (void)timeout;
    return NULL;
}

static ohal_error *event_poll(ohal_event *event, uint32_t *done) {
    (void)event;
    *done = 1;
    return NULL;
}

static ohal_error *event_sync(ohal_event *event, uint64_t timeout) {
    (void)event;
    (void)timeout;
    return NULL;
}

#if OHAL_ABI_MINOR >= 2
static ohal_error *device_memory(ohal_device *device, ohal_device_memory *out) {
    (void)device;
    out->in_use = 4321;
    return NULL;
}
#endif

static ohal_plugin plugin;

static void fill_table(void) {
    plugin.struct_size = sizeof plugin;
    plugin.magic = OHAL_PLUGIN_MAGIC;
    plugin.abi_major = OHAL_ABI_MAJOR;
    plugin.abi_minor = OHAL_ABI_MINOR;
    plugin.name = text("fill");
    plugin.version = text("7.8");
    plugin.probe = probe;
    plugin.device_info = device_info;
    plugin.device_open = device_open;
    plugin.device_close = device_close;
    plugin.device_caps = device_caps;
    plugin.buffer_alloc = buffer_alloc;
    plugin.buffer_free = buffer_free;
    plugin.stream_create = stream_create;
    plugin.stream_destroy = stream_destroy;
    plugin.event_create = event_create;
    plugin.event_destroy = event_destroy;
    plugin.supports = supports;
    plugin.plan_create = plan_create;
    plugin.plan_destroy = plan_destroy;
    plugin.plan_info = plan_info;
    plugin.stream_run = stream_run;
    plugin.stream_copy = stream_copy;
    plugin.stream_fill = stream_fill;
    plugin.stream_write = stream_write;
    plugin.stream_read = stream_read;
    plugin.stream_record = stream_record;
    plugin.stream_wait = stream_wait;
    plugin.stream_poll = stream_poll;
    plugin.stream_sync = stream_sync;
    plugin.event_poll = event_poll;
    plugin.event_sync = event_sync;
#if OHAL_ABI_MINOR >= 2
    plugin.device_memory = device_memory;
#endif
}

static void break_table(void) {
#if defined(BAD_MAGIC)
    plugin.magic++;
#endif
#if defined(BAD_MAJOR)
    plugin.abi_major++;
#endif
#if defined(SHORT_STRUCT)
    plugin.struct_size = 64;
#endif
#if defined(CUT_STRUCT)
    plugin.struct_size = (uint32_t)((const char *)&plugin.stream_run - (const char *)&plugin) + 4;
#endif
#if defined(ZERO_STRUCT)
    plugin.struct_size = 0;
#endif
#if defined(HUGE_STRUCT)
    plugin.struct_size = 65537;
#endif
#if defined(NULL_FUNCTIONS)
    plugin.stream_sync = NULL;
    plugin.supports = NULL;
#endif
#if defined(BAD_NAME)
    plugin.name = text("two words");
#endif
#if defined(BAD_NAME_TEXT)
    plugin.name = text("\xff");
#endif
#if defined(LONG_NAME)
    plugin.name.len = UINT64_MAX;
#endif
}

const ohal_plugin *ohal_plugin_entry(const ohal_host *host) {
    the_host = host;
#if defined(CRASH_AT_ENTRY)
    abort();
#endif
#if defined(NULL_TABLE)
    host->log(host, OHAL_LOG_ERROR, text("not today"));
    return NULL;
#endif
#if defined(MISALIGNED_TABLE)
    return (const ohal_plugin *)((const char *)&plugin + 1);
#endif
    if (host->magic != OHAL_HOST_MAGIC || host->abi_major != OHAL_ABI_MAJOR) {
        return NULL;
    }
    fill_table();
    break_table();
    return &plugin;
}
