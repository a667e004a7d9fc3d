// The table.

#include "number.h"
#include "sample.h"

// Functions that are not named are NULL: plans of this device need no prologue, no binding and no workspace by layout; weights are taken as
// stored; and there is no error that could not be returned where it happened, so `health` has nothing to tell.
static const ohal_plugin table = {
    .struct_size = sizeof table,
    .magic = OHAL_PLUGIN_MAGIC,
    .abi_major = OHAL_ABI_MAJOR,
    .abi_minor = OHAL_ABI_MINOR,
    .name = LITERAL("sample"),
    .version = LITERAL("0.1.0"),

    .probe = sample_probe,
    .device_info = sample_device_info,
    .device_open = sample_device_open,
    .device_close = sample_device_close,
    .device_caps = sample_device_caps,
#if OHAL_ABI_MINOR >= 2
    .device_memory = sample_device_memory,
#endif

    .buffer_alloc = sample_buffer_alloc,
    .buffer_free = sample_buffer_free,
    .buffer_import = sample_buffer_import,

    .stream_create = sample_stream_create,
    .stream_destroy = sample_stream_destroy,
    .event_create = sample_event_create,
    .event_destroy = sample_event_destroy,

    .supports = sample_supports,
    .plan_create = sample_plan_create,
    .plan_destroy = sample_plan_destroy,
    .plan_info = sample_plan_info,

    .stream_run = sample_stream_run,
    .stream_copy = sample_stream_copy,
    .stream_fill = sample_stream_fill,
    .stream_write = sample_stream_write,
    .stream_read = sample_stream_read,
    .stream_record = sample_stream_record,
    .stream_wait = sample_stream_wait,
    .stream_begin_capture = sample_stream_begin_capture,
    .stream_end_capture = sample_stream_end_capture,
    .stream_launch = sample_stream_launch,
    .stream_poll = sample_stream_poll,
    .stream_sync = sample_stream_sync,

    .graph_nodes = sample_graph_nodes,
    .graph_destroy = sample_graph_destroy,

    .event_poll = sample_event_poll,
    .event_sync = sample_event_sync,
};

const ohal_plugin *sample_table(const ohal_host *host) {
    if (!host_take(host)) {
        return NULL;
    }
    number_init();
    return &table;
}
