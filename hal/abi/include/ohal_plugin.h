// OmniHAL plug-in interface: what a plug-in offers and what its host offers.
//
// A plug-in is a shared library that exports one function:
//
//     const ohal_plugin *ohal_plugin_entry(const ohal_host *host);
//
// The host loads the library by its full path, never unloads it, and calls the entry once in a process. Types, operators and descriptors
// are in ohal_types.h.
//
// VERSIONS. The interface is OHAL_ABI_MAJOR.OHAL_ABI_MINOR. Majors must be equal. Minors may differ either way: structs and tables grow at
// their end only, each says its size in `struct_size`, and a reader uses no member that ends past the `struct_size` it was given. A function
// that is NULL, or lies past the end, is a thing that the plug-in does not do.
//
// STRUCTS. Every struct here starts with `struct_size` and, at byte 8, with `ext`, a chain of extensions (NULL if there are none; unknown
// ones are skipped). Exceptions that never change: ohal_version, and the plain data of ohal_types.h. A struct that a function fills in is
// prepared by the host: all 0, but for `struct_size` and where a comment says otherwise. The plug-in writes only members that end within
// `struct_size`, and leaves `struct_size` and `ext` alone.
//
// ERRORS. A function that can fail returns an `ohal_error *`; NULL says that it is done. A plug-in makes an error with
// `host->error_create`; returning it gives it to the host, which frees it. On an error, out-parameters mean nothing.
// Errors come at once for refused calls (severity REJECTED), and later for work that failed while it ran: those poison the stream, then
// whatever waits for it, and every later call on it returns the same first cause.
//
// OBJECTS. Handles are pointers that the host never looks into. A function that succeeds gives a handle that is not NULL, unless its comment
// says otherwise. Each `..._create`, `_open`, `_alloc` has its `..._destroy`, `_close`, `_free`, which cannot fail: what goes wrong there is
// returned by `health`. Buffers, streams, events, plans and graphs are destroyed before their device is closed. The host gives objects only
// to functions of the device that they came from.
//
// THREADS. Any function may be called from any thread, several at once, also on one object; calls on one stream take effect in some
// order. Exceptions: `probe` and `device_info` are never called while either runs, and an object is destroyed when no call uses it.
//
// TEXT is UTF-8. What a plug-in gives out as `ohal_str` or as an array stays valid until: for the table's own, for ever; for `probe` and
// `device_info`, the next call of `probe`; for a plan, its destruction.
//
// LIMITS. A host refuses more than 4096 devices, 4096 lines of search, 256 versions, 16 columns, texts over 65536 bytes, `struct_size` over
// 65536, workspaces or prologue outputs over 2^46 bytes, and an alignment that is no power of two up to 2^30.
//
// C++ plug-ins: no exception may leave a function.
//
// Each member says since which version it is there, if not since 0.1.

#ifndef OHAL_PLUGIN_H
#define OHAL_PLUGIN_H

#include "ohal_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OHAL_ABI_MAJOR 0
#define OHAL_ABI_MINOR 2

// `magic` of a plug-in: the bytes "OHALPLUG" on a little-endian machine.
#define OHAL_PLUGIN_MAGIC UINT64_C(0x47554c504c41484f)

// `magic` of a host: the bytes "OHAL" on a little-endian machine.
#define OHAL_HOST_MAGIC UINT32_C(0x4c41484f)

// Name of the one function that a plug-in exports.
#define OHAL_ENTRY_NAME "ohal_plugin_entry"

// Marks the entry as exported where symbols are hidden by default.
#if defined(__GNUC__)
#define OHAL_EXPORT __attribute__((visibility("default")))
#else
#define OHAL_EXPORT
#endif

// How urgent a log line is.
typedef uint32_t ohal_log_level;
enum {
    OHAL_LOG_ERROR = 0,
    OHAL_LOG_WARN = 1,
    OHAL_LOG_INFO = 2,
    OHAL_LOG_DEBUG = 3,
};

// Objects. Only their maker looks inside.
typedef struct ohal_error ohal_error;
typedef struct ohal_device ohal_device;
typedef struct ohal_buffer ohal_buffer;
typedef struct ohal_stream ohal_stream;
typedef struct ohal_event ohal_event;
typedef struct ohal_plan ohal_plan;
typedef struct ohal_graph ohal_graph;

// An error without details, for a plug-in that has no means to make a better one. It is never freed.
#define OHAL_ERROR_WITHOUT_DETAILS ((ohal_error *)1)

// What an error says. Texts are copied during error_create.
typedef struct ohal_error_info {
    uint32_t struct_size;
    // OHAL_ERROR_...
    ohal_error_kind kind;
    const ohal_ext *ext;
    // OHAL_SEVERITY_...
    ohal_severity severity;
    // The operator that failed, or OHAL_NONE.
    ohal_op_kind op;
    // Position of the failed call on its stream, counted from 0, or OHAL_UNKNOWN.
    uint64_t sequence;
    // For people: what was asked, what was found, what to do. Without the operator and the vendor's words.
    ohal_str message;
    // The vendor's numeric code and text, if has_vendor.
    int64_t vendor_code;
    ohal_str vendor_text;
    uint32_t has_vendor;
    uint32_t reserved;
} ohal_error_info;

// What a host offers. It stays valid for ever. All functions may be called from any thread at any time.
typedef struct ohal_host ohal_host;
struct ohal_host {
    uint32_t struct_size;
    // OHAL_HOST_MAGIC.
    uint32_t magic;
    const ohal_ext *ext;
    // Version of the host.
    uint32_t abi_major;
    uint32_t abi_minor;
    // The host's own.
    void *context;
    // Memory of the host process. `align` is a power of two. NULL if there is none, or if `size` is 0.
    void *(*alloc)(const ohal_host *host, uint64_t size, uint64_t align);
    // Gives back what `alloc` gave, with the same size and alignment. NULL is ignored.
    void (*free)(const ohal_host *host, void *data, uint64_t size, uint64_t align);
    // A line for the host's log. `text` is copied.
    void (*log)(const ohal_host *host, ohal_log_level level, ohal_str text);
    // Makes an error. Never NULL. `info` and its texts are copied. The plug-in gives the error away by returning it, once.
    ohal_error *(*error_create)(const ohal_host *host, const ohal_error_info *info);
    // To be called whenever the host processor computes (part of) a run instead of the device, before the run's work is reported as done.
    // The host counts it, and a strict host fails the run: a result of the host processor says nothing about the device. `reason` is copied.
    // Not for plug-ins whose device is the host processor.
    void (*report_fallback)(const ohal_host *host, ohal_op_kind op, ohal_str reason);
};

// A driver or library version, in the vendor's words. Plain data: never changes.
typedef struct ohal_version {
    ohal_str name;
    ohal_str value;
} ohal_version;

// What a search for devices found. Filled in by `probe`.
typedef struct ohal_probe {
    uint32_t struct_size;
    uint32_t reserved;
    const ohal_ext *ext;
    // Devices found. Finding none is no error.
    uint64_t device_count;
    // Places, libraries and variables that were looked at, for a reader who expected a device.
    const ohal_str *searched;
    uint64_t searched_count;
} ohal_probe;

// The facts of one device. Filled in by `device_info`.
typedef struct ohal_device_info {
    uint32_t struct_size;
    uint32_t reserved;
    const ohal_ext *ext;
    // What the vendor calls it.
    ohal_str name;
    // Bytes of memory; OHAL_UNKNOWN before the call.
    uint64_t memory;
    const ohal_version *versions;
    uint64_t version_count;
} ohal_device_info;

// What a device can do. Filled in by `device_caps`; asked once, at open.
typedef struct ohal_device_caps {
    uint32_t struct_size;
    // Activation types that its kernels take: bit n for the OHAL_DTYPE_ of number n.
    uint32_t activations;
    const ohal_ext *ext;
    // Operators with at least one native descriptor: bit n % 64 of ops[n / 64] for the OHAL_OP_ of number n. `supports` decides each case.
    uint64_t ops[4];
    // Alignment of an allocation in bytes, a power of two; also that of workspaces.
    uint64_t alignment;
    // Device addresses are ordinary host pointers.
    uint32_t host_addressable;
    // Streams capture graphs themselves; otherwise the host replays calls.
    uint32_t native_graphs;
} ohal_device_caps;

// An answer to `supports`.
typedef struct ohal_support {
    uint32_t struct_size;
    // OHAL_SUPPORT_...
    ohal_support_kind kind;
    const ohal_ext *ext;
    // Why, if not OHAL_SUPPORT_NATIVE. The host gives the room; the plug-in writes text and `len`.
    ohal_text reason;
} ohal_support;

// The facts of a plan. Filled in by `plan_info`.
typedef struct ohal_plan_info {
    uint32_t struct_size;
    // OHAL_DETERMINISM_... Do not promise more than holds: it is checked.
    ohal_determinism determinism;
    const ohal_ext *ext;
    // OHAL_ACCUMULATION_...
    ohal_accumulation accumulation;
    // Fraction bits kept, for OHAL_ACCUMULATION_TENSOR_CORE_TRUNC, at most 255.
    uint32_t accumulation_bits;
    // Products between promotions to F32, for OHAL_ACCUMULATION_TENSOR_CORE_TRUNC.
    uint32_t accumulation_promote;
    // 1 if a run may be captured into a graph.
    uint32_t capture_safe;
    // Bytes of scratch memory that a run needs, whatever the layout of its arguments.
    uint64_t workspace;
    // Arithmetic and traffic of a run at full capacity; a multiply-add counts as 2. Preset by the host from the operator: change
    // them only if the plan's are others.
    double flops;
    double bytes;
    // Step-table columns wanted as further arguments, after the operator's own.
    const ohal_column *columns;
    uint64_t column_count;
} ohal_plan_info;

// Work that a plan wants done once a step and shared by all layers. Filled in by `plan_prologue`.
typedef struct ohal_prologue {
    uint32_t struct_size;
    uint32_t reserved;
    const ohal_ext *ext;
    // Equal keys are the same work: the host runs it once a step.
    ohal_str key;
    // Bytes of its output, which is the last argument of each run of the plan that asked.
    uint64_t bytes;
    // A plan that makes it, owned by the host from now on; NULL if there is no prologue. Its arguments are the columns of the plan that
    // asked, then its output as U8 [bytes]. It wants no columns and no prologue of its own.
    ohal_plan *plan;
} ohal_prologue;

// Arguments of one run, valid during the call only. They fit the plan's operator: the plug-in need not check them.
typedef struct ohal_args {
    uint32_t struct_size;
    // Number of views, at most OHAL_MAX_ARGS.
    uint32_t count;
    const ohal_ext *ext;
    // The operator's own arguments by their place (OHAL_<OPERATOR>_<ARGUMENT>), NULL where the descriptor leaves one out; then the columns
    // that the plan asked for; then the output of its prologue, if it has one.
    const ohal_view *const *views;
    // Scratch memory, at least as large as the plan asked, aligned to the device's alignment, undefined before and after.
    ohal_mem workspace;
    // Number of leading rows that matter, where the operator works row by row. It may shorten work and never changes a valid row.
    // OHAL_UNKNOWN: all of them.
    uint64_t rows_hint;
} ohal_args;

// A weight as the model wants to use it.
typedef struct ohal_weight_desc {
    uint32_t struct_size;
    // Type of the activations that will meet it.
    ohal_dtype act;
    const ohal_ext *ext;
    // [out, in], or [experts, out, in] for grouped weights.
    ohal_shape shape;
    // How it is stored in the file.
    ohal_weight_format format;
} ohal_weight_desc;

// How a device wants a weight. Filled in by `weight_form`.
typedef struct ohal_weight_form {
    uint32_t struct_size;
    // OHAL_WEIGHT_...
    ohal_weight_form_kind kind;
    const ohal_ext *ext;
    // Type of the numbers, for OHAL_WEIGHT_EXPAND.
    ohal_dtype dtype;
    // The layout's identity, for OHAL_WEIGHT_REPACK; comes back as `vendor_layout` of the weight's views.
    uint32_t layout;
    // Bytes that the repacked weight takes, for OHAL_WEIGHT_REPACK. A stack of weights is the concatenation of its members.
    uint64_t bytes;
    // Rows that may be addressed alone, for OHAL_WEIGHT_REPACK; 0 if none may.
    uint64_t row_granule;
    // Why, for OHAL_WEIGHT_NO. The host gives the room.
    ohal_text reason;
} ohal_weight_form;

// Use of a device's memory, by anyone. Filled in by `device_memory`. Since 0.2.
typedef struct ohal_device_memory {
    uint32_t struct_size;
    uint32_t reserved;
    const ohal_ext *ext;
    // Bytes in use; OHAL_UNKNOWN before the call.
    uint64_t in_use;
    // Bytes that could still be allocated; OHAL_UNKNOWN before the call.
    uint64_t available;
} ohal_device_memory;

// What a plug-in offers. It stays valid for ever and does not change after the entry has returned it. Required functions are marked; all
// others may be NULL.
typedef struct ohal_plugin ohal_plugin;
struct ohal_plugin {
    uint32_t struct_size;
    uint32_t reserved;
    const ohal_ext *ext;
    // OHAL_PLUGIN_MAGIC.
    uint64_t magic;
    // Version of the headers that the plug-in was built with.
    uint32_t abi_major;
    uint32_t abi_minor;
    // Short name, as a user gives it on a command line: 1 to 64 printable ASCII characters, no space and no `:`.
    ohal_str name;
    // The plug-in's own version, in any form.
    ohal_str version;
    // The plug-in's own.
    void *context;

    // Required. Looks for devices.
    ohal_error *(*probe)(const ohal_plugin *plugin, ohal_probe *out);
    // Required. The facts of device `index` of the latest `probe`.
    ohal_error *(*device_info)(const ohal_plugin *plugin, uint64_t index, ohal_device_info *out);
    // Required. Opens device `index`. May be called several times for one index, without a `probe` before.
    ohal_error *(*device_open)(const ohal_plugin *plugin, uint64_t index, ohal_device **out);
    // Required. Closes a device. All that was made from it is destroyed before.
    void (*device_close)(ohal_device *device);
    // Required. What the device can do.
    ohal_error *(*device_caps)(ohal_device *device, ohal_device_caps *out);

    // Required. Allocates `bytes` bytes (0 is legal) of the given kind; contents are undefined. `mem` gets the address and `bytes`.
    ohal_error *(*buffer_alloc)(ohal_device *device, uint64_t bytes, ohal_memory_kind kind, ohal_mem *mem, ohal_buffer **out);
    // Required. Frees an allocation or forgets an import. The host calls it when every stream has passed the last use.
    void (*buffer_free)(ohal_buffer *buffer);
    // Makes host memory usable as device memory without a copy. The host keeps `bytes` bytes at `data` alive and unchanged until
    // buffer_free has returned; the plug-in only reads them. `mem` gets the device address and `bytes`.
    ohal_error *(*buffer_import)(ohal_device *device, const void *data, uint64_t bytes, ohal_mem *mem, ohal_buffer **out);

    // Required. Makes a stream: work on it runs in order.
    ohal_error *(*stream_create)(ohal_device *device, ohal_stream **out);
    // Required. Destroys a stream. Work that it still holds may be finished or dropped; when the function returns, none will run any more.
    void (*stream_destroy)(ohal_stream *stream);
    // Required. Makes an event, not yet recorded.
    ohal_error *(*event_create)(ohal_device *device, ohal_event **out);
    // Required. Destroys an event. Streams that wait for it are not disturbed.
    void (*event_destroy)(ohal_event *event);

    // Required. Says for one full descriptor whether and how the device runs it. Sizes are at most 2^31, but products of them may be
    // large: an operator that cannot be is OHAL_SUPPORT_NO, not an error.
    ohal_error *(*supports)(ohal_device *device, const ohal_op *op, ohal_support *out);
    // Required. Makes a plan: all checking, choosing and sizing is done here. `op` is valid during the call only. Fails, with
    // OHAL_ERROR_UNSUPPORTED or OHAL_ERROR_INVALID_DESCRIPTOR, where `supports` says no.
    ohal_error *(*plan_create)(ohal_device *device, const ohal_op *op, ohal_plan **out);
    // Required. Destroys a plan. Work enqueued with it may still run.
    void (*plan_destroy)(ohal_plan *plan);
    // Required. The facts of a plan; the same at every call.
    ohal_error *(*plan_info)(ohal_plan *plan, ohal_plan_info *out);
    // The work that the plan wants done once a step. Called once, after plan_info.
    ohal_error *(*plan_prologue)(ohal_plan *plan, ohal_prologue *out);
    // Bytes of scratch memory for arguments laid out as these, for libraries that size it by strides. Only shapes, strides and types of the
    // views mean anything. NULL: `workspace` of plan_info holds for every layout.
    ohal_error *(*plan_workspace_for)(ohal_plan *plan, const ohal_view *const *views, uint32_t count, uint64_t *bytes);
    // A plan for these very arguments, for libraries that prepare a call with its addresses. Called when addresses are final, before the first
    // run; the plan given is run with the same arguments only, and destroyed by plan_destroy. `*out` stays NULL if there is nothing
    // to prepare. The first plan outlives the bound one.
    ohal_error *(*plan_bind)(ohal_plan *plan, const ohal_args *args, ohal_plan **out);

    // In which form the device wants a weight. NULL: as stored. An error is taken as OHAL_WEIGHT_NO.
    ohal_error *(*weight_form)(ohal_device *device, const ohal_weight_desc *desc, ohal_weight_form *out);
    // Enqueues turning a weight as stored (`src`) into the private layout that weight_form told (`dst`). Both stay alive until the stream
    // has passed this call.
    ohal_error *(*repack)(ohal_device *device, ohal_stream *stream, const ohal_weight_desc *desc, const ohal_view *src, ohal_mem dst);
    // Returns an error that was found where none could be returned, or the loss of the device. NULL: nothing is known to be wrong.
    ohal_error *(*health)(ohal_device *device);

    // Required. Enqueues one run. Does not wait, and should not allocate. All memory named in `args` stays alive until the stream has passed
    // this call; `args` itself does not.
    ohal_error *(*stream_run)(ohal_stream *stream, ohal_plan *plan, const ohal_args *args);
    // Required. Enqueues a copy between device or pinned memory. Lengths are equal, ranges apart.
    ohal_error *(*stream_copy)(ohal_stream *stream, ohal_mem dst, ohal_mem src);
    // Required. Enqueues a fill with one byte value, 0 to 255.
    ohal_error *(*stream_fill)(ohal_stream *stream, ohal_mem dst, uint32_t byte);
    // Required. Enqueues a copy from host memory; `len` is dst.len. When it returns, `src` may be reused.
    ohal_error *(*stream_write)(ohal_stream *stream, ohal_mem dst, const void *src, uint64_t len);
    // Required. Copies to host memory after all earlier work of the stream; `len` is src.len. Waits at most `timeout` nanoseconds
    // (UINT64_MAX: without limit), then fails with OHAL_ERROR_TIMEOUT; `dst` is then not written any more.
    ohal_error *(*stream_read)(ohal_stream *stream, ohal_mem src, void *dst, uint64_t len, uint64_t timeout);
    // Required. Marks the present end of the stream in `event`.
    ohal_error *(*stream_record)(ohal_stream *stream, ohal_event *event);
    // Required. Makes later work of this stream wait for `event`. A poisoned event poisons this stream with the same cause.
    ohal_error *(*stream_wait)(ohal_stream *stream, ohal_event *event);
    // Starts collecting calls instead of running them. Until the capture ends only run, copy, fill, record and wait are legal; others fail
    // with OHAL_ERROR_INVALID_STATE. The five functions for graphs are there together or not at all.
    ohal_error *(*stream_begin_capture)(ohal_stream *stream);
    // Ends the capture, also after a failure, and gives what was collected.
    ohal_error *(*stream_end_capture)(ohal_stream *stream, ohal_graph **out);
    // Enqueues a captured graph. Everything that the captured calls name stays alive until the stream has passed this call.
    ohal_error *(*stream_launch)(ohal_stream *stream, ohal_graph *graph);
    // Required. `*done` becomes 1 if all work is done, else 0. Never waits.
    ohal_error *(*stream_poll)(ohal_stream *stream, uint32_t *done);
    // Required. Waits until all work is done, at most `timeout` nanoseconds, then fails with OHAL_ERROR_TIMEOUT.
    ohal_error *(*stream_sync)(ohal_stream *stream, uint64_t timeout);

    // Number of device nodes, for reports.
    uint64_t (*graph_nodes)(ohal_graph *graph);
    // Destroys a graph.
    void (*graph_destroy)(ohal_graph *graph);

    // Required. `*done` becomes 1 once the stream has passed the recorded point, else 0. An event that was never recorded has passed.
    ohal_error *(*event_poll)(ohal_event *event, uint32_t *done);
    // Required. Waits for the recorded point, at most `timeout` nanoseconds, then fails with OHAL_ERROR_TIMEOUT.
    ohal_error *(*event_sync)(ohal_event *event, uint64_t timeout);

    // How much of the device's memory is in use. May be slow. Since 0.2.
    ohal_error *(*device_memory)(ohal_device *device, ohal_device_memory *out);
};

// The function that a plug-in exports. `host` stays valid for ever. NULL says that the plug-in cannot work with this host: log why before.
OHAL_EXPORT const ohal_plugin *ohal_plugin_entry(const ohal_host *host);

#ifdef __cplusplus
}
#endif

#endif
