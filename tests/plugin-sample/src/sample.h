// What all parts of the plug-in share: the host, errors, structs whose sizes differ between versions.

#ifndef SAMPLE_H
#define SAMPLE_H

#include "ohal_plugin.h"

#include <stdbool.h>
#include <stddef.h>

// Marks functions that take a format like printf, so that the compiler checks the arguments.
#if defined(__GNUC__)
#define LIKE_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define LIKE_PRINTF(text, first)
#endif

// True if the other side's struct is long enough to have this member: a host of another minor version has shorter or longer ones.
#define HAS(type, object, member) ((object)->struct_size >= offsetof(type, member) + sizeof((object)->member))

// Sets a member of a struct that the host gave to be filled in, if the host knows the member.
#define SET(type, object, member, value)         \
    do {                                         \
        if (HAS(type, object, member)) {         \
            (object)->member = (value);          \
        }                                        \
    } while (0)

// A text that is written in the source, as the interface wants it.
#define LITERAL(text) {.data = (text), .len = sizeof(text) - 1}

// Longest text that this plug-in makes.
enum { TEXT_SIZE = 240 };

// Why something cannot be done. The first reason stays.
typedef struct refusal {
    bool set;
    ohal_error_kind kind;
    char text[TEXT_SIZE];
} refusal;

// The first thing that went wrong while work of a stream ran.
typedef struct failure {
    bool set;
    ohal_op_kind op;
    uint64_t sequence;
    char text[TEXT_SIZE];
} failure;

// Remembers the host. False if it is one that this plug-in cannot work with: none, or of another major version, whose functions may be any.
bool host_take(const ohal_host *host);

// Zeroed memory of the host for an object; NULL if there is none.
void *host_new(uint64_t size);

// Gives an object back. NULL is ignored.
void host_delete(void *object, uint64_t size);

// Text that ends with 0 as the interface wants it.
ohal_str text_of(const char *text);

// An error for a call that was refused and changed nothing. `op` is OHAL_NONE if no operator is concerned.
ohal_error *refuse(ohal_error_kind kind, ohal_op_kind op, const char *format, ...) LIKE_PRINTF(3, 4);

// An error for an object that there is no memory for.
ohal_error *no_memory_for(const char *object);

// An error for a call on a stream whose work has failed before.
ohal_error *poisoned(const failure *cause);

// The table of the plug-in, or NULL if the host is refused.
const ohal_plugin *sample_table(const ohal_host *host);

// The functions of the table, by file.

// device.c
ohal_error *sample_probe(const ohal_plugin *plugin, ohal_probe *out);
ohal_error *sample_device_info(const ohal_plugin *plugin, uint64_t index, ohal_device_info *out);
ohal_error *sample_device_open(const ohal_plugin *plugin, uint64_t index, ohal_device **out);
void sample_device_close(ohal_device *device);
ohal_error *sample_device_caps(ohal_device *device, ohal_device_caps *out);
#if OHAL_ABI_MINOR >= 2
ohal_error *sample_device_memory(ohal_device *device, ohal_device_memory *out);
#endif

// memory.c
ohal_error *sample_buffer_alloc(ohal_device *device, uint64_t bytes, ohal_memory_kind kind, ohal_mem *mem, ohal_buffer **out);
ohal_error *sample_buffer_import(ohal_device *device, const void *data, uint64_t bytes, ohal_mem *mem, ohal_buffer **out);
void sample_buffer_free(ohal_buffer *buffer);

// plan.c
ohal_error *sample_supports(ohal_device *device, const ohal_op *op, ohal_support *out);
ohal_error *sample_plan_create(ohal_device *device, const ohal_op *op, ohal_plan **out);
void sample_plan_destroy(ohal_plan *plan);
ohal_error *sample_plan_info(ohal_plan *plan, ohal_plan_info *out);

// stream.c
ohal_error *sample_stream_create(ohal_device *device, ohal_stream **out);
void sample_stream_destroy(ohal_stream *stream);
ohal_error *sample_stream_run(ohal_stream *stream, ohal_plan *plan, const ohal_args *args);
ohal_error *sample_stream_copy(ohal_stream *stream, ohal_mem dst, ohal_mem src);
ohal_error *sample_stream_fill(ohal_stream *stream, ohal_mem dst, uint32_t byte);
ohal_error *sample_stream_write(ohal_stream *stream, ohal_mem dst, const void *src, uint64_t len);
ohal_error *sample_stream_read(ohal_stream *stream, ohal_mem src, void *dst, uint64_t len, uint64_t timeout);
ohal_error *sample_stream_record(ohal_stream *stream, ohal_event *event);
ohal_error *sample_stream_wait(ohal_stream *stream, ohal_event *event);
ohal_error *sample_stream_begin_capture(ohal_stream *stream);
ohal_error *sample_stream_end_capture(ohal_stream *stream, ohal_graph **out);
ohal_error *sample_stream_launch(ohal_stream *stream, ohal_graph *graph);
ohal_error *sample_stream_poll(ohal_stream *stream, uint32_t *done);
ohal_error *sample_stream_sync(ohal_stream *stream, uint64_t timeout);

// event.c
ohal_error *sample_event_create(ohal_device *device, ohal_event **out);
void sample_event_destroy(ohal_event *event);
ohal_error *sample_event_poll(ohal_event *event, uint32_t *done);
ohal_error *sample_event_sync(ohal_event *event, uint64_t timeout);

// graph.c
uint64_t sample_graph_nodes(ohal_graph *graph);
void sample_graph_destroy(ohal_graph *graph);

#endif
