// A small host: loads the plug-in given as its argument, fills a buffer on device 0, and says what it saw. Compiled against old headers it
// shows that new plug-ins still serve old hosts.

#include "ohal_plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ohal_error {
    ohal_error_info info;
    char message[256];
};

static void *host_alloc(const ohal_host *host, uint64_t size, uint64_t align) {
    (void)host;
    return size == 0 ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

static void host_free(const ohal_host *host, void *data, uint64_t size, uint64_t align) {
    (void)host;
    (void)size;
    (void)align;
    free(data);
}

static void host_log(const ohal_host *host, ohal_log_level level, ohal_str text) {
    (void)host;
    fprintf(stderr, "log %u: %.*s\n", (unsigned)level, (int)text.len, text.data);
}

static ohal_error *host_error_create(const ohal_host *host, const ohal_error_info *info) {
    ohal_error *error = calloc(1, sizeof *error);
    uint64_t len = info->message.len < sizeof error->message - 1 ? info->message.len : sizeof error->message - 1;
    (void)host;
    if (error == NULL) {
        return OHAL_ERROR_WITHOUT_DETAILS;
    }
    error->info = *info;
    memcpy(error->message, info->message.data, len);
    return error;
}

static void host_report_fallback(const ohal_host *host, ohal_op_kind op, ohal_str reason) {
    (void)host;
    printf("fallback %u: %.*s\n", (unsigned)op, (int)reason.len, reason.data);
}

static ohal_host host;

static void check(ohal_error *error, const char *step) {
    if (error != NULL) {
        printf("%s failed: %s\n", step, error == OHAL_ERROR_WITHOUT_DETAILS ? "no details" : error->message);
        exit(1);
    }
}

static void require(int holds, const char *what) {
    if (!holds) {
        printf("not so: %s\n", what);
        exit(1);
    }
}

#define BLANK(type, name)           \
    type name;                      \
    memset(&name, 0, sizeof name);  \
    name.struct_size = sizeof name

static void use(const ohal_plugin *plugin, ohal_device *device) {
    ohal_copy_fill_desc desc;
    ohal_buffer *buffer = NULL;
    ohal_stream *stream = NULL;
    ohal_plan *plan = NULL;
    ohal_error *error;
    ohal_mem mem;
    ohal_view view;
    const ohal_view *views[1] = {&view};
    char room[128];
    float values[6];
    int i;
    BLANK(ohal_op, op);
    BLANK(ohal_support, support);
    BLANK(ohal_plan_info, info);
    BLANK(ohal_args, args);

    memset(&desc, 0, sizeof desc);
    desc.shape.rank = 2;
    for (i = 0; i < OHAL_MAX_RANK; i++) {
        desc.shape.dims[i] = 1;
    }
    desc.shape.dims[0] = 2;
    desc.shape.dims[1] = 3;
    desc.value = 1.25f;
    desc.dtype = OHAL_DTYPE_F32;
    op.kind = OHAL_OP_COPY_FILL;
    op.desc = &desc;
    op.desc_size = sizeof desc;
    support.reason.data = room;
    support.reason.capacity = sizeof room;
    check(plugin->supports(device, &op, &support), "supports");
    require(support.kind == OHAL_SUPPORT_NATIVE, "fill is native");
    check(plugin->plan_create(device, &op, &plan), "plan_create");
    check(plugin->plan_info(plan, &info), "plan_info");
    printf("workspace %llu, columns %llu\n", (unsigned long long)info.workspace, (unsigned long long)info.column_count);
    check(plugin->buffer_alloc(device, 24, OHAL_MEMORY_DEVICE, &mem, &buffer), "buffer_alloc");
    check(plugin->stream_create(device, &stream), "stream_create");

    memset(&view, 0, sizeof view);
    view.mem = mem;
    view.shape = desc.shape;
    view.strides[0] = 3;
    view.strides[1] = 1;
    view.dtype = OHAL_DTYPE_F32;
    view.quant.dtype = OHAL_NONE;
    args.count = 1;
    args.views = views;
    args.rows_hint = OHAL_UNKNOWN;
    check(plugin->stream_run(stream, plan, &args), "stream_run");
    check(plugin->stream_read(stream, mem, values, sizeof values, UINT64_C(10000000000)), "stream_read");
    for (i = 0; i < 6; i++) {
        require(values[i] == 1.25f, "the buffer is filled");
    }
    check(plugin->stream_sync(stream, UINT64_MAX), "stream_sync");

    op.kind = 100000;
    check(plugin->supports(device, &op, &support), "supports of an unknown operator");
    require(support.kind == OHAL_SUPPORT_NO, "an unknown operator is not supported");
    error = plugin->plan_create(device, &op, &plan);
    require(error != NULL && error != OHAL_ERROR_WITHOUT_DETAILS, "an unknown operator has no plan");
    require(error->info.kind == OHAL_ERROR_UNSUPPORTED, "an unknown operator is unsupported");
    free(error);
    plugin->plan_destroy(plan);
    plugin->stream_destroy(stream);
    plugin->buffer_free(buffer);
}

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library != NULL ? dlsym(library, OHAL_ENTRY_NAME) : NULL;
    const ohal_plugin *(*entry)(const ohal_host *);
    const ohal_plugin *plugin;
    ohal_device *device = NULL;
    BLANK(ohal_probe, probe);
    BLANK(ohal_device_caps, caps);

    require(symbol != NULL, "the plug-in has its entry");
    memcpy(&entry, &symbol, sizeof entry);
    host.struct_size = sizeof host;
    host.magic = OHAL_HOST_MAGIC;
    host.abi_major = OHAL_ABI_MAJOR;
    host.abi_minor = OHAL_ABI_MINOR;
    host.alloc = host_alloc;
    host.free = host_free;
    host.log = host_log;
    host.error_create = host_error_create;
    host.report_fallback = host_report_fallback;
    plugin = entry(&host);
    require(plugin != NULL && plugin->magic == OHAL_PLUGIN_MAGIC, "the plug-in gives a table");
    require(plugin->abi_major == OHAL_ABI_MAJOR, "the majors are equal");
    require(plugin->struct_size >= sizeof *plugin, "the table has all that this host knows");
    printf("host 0.%d, plug-in 0.%u, %u bytes more than this host knows\n", OHAL_ABI_MINOR, (unsigned)plugin->abi_minor,
           (unsigned)(plugin->struct_size - sizeof *plugin));
    check(plugin->probe(plugin, &probe), "probe");
    require(probe.device_count > 0, "there is a device");
    check(plugin->device_open(plugin, 0, &device), "device_open");
    check(plugin->device_caps(device, &caps), "device_caps");
    require(caps.host_addressable == 1, "device memory is host memory");
    use(plugin, device);
    plugin->device_close(device);
    printf("all well\n");
    return 0;
}
