// Streams.
//
// This device is the processor that calls, so a stream finishes each call before it returns: `poll` always says yes and no wait can run
// out of time. That is legal, and the simplest thing that is right. A device with a queue of its own enqueues where `perform` computes,
// keeps the first error that the queue reports, and waits in `sync` and `read`.

#include "work.h"

#include <string.h>

struct ohal_stream {
    // Held during each call: calls from several threads take effect one after the other.
    pthread_mutex_t lock;
    // What poisoned the stream.
    failure cause;
    // Calls that were performed.
    uint64_t sequence;
    // What is collected while a capture goes on, else NULL.
    ohal_graph *capture;
};

ohal_error *sample_stream_create(ohal_device *device, ohal_stream **out) {
    (void)device;
    ohal_stream *stream = host_new(sizeof *stream);
    if (stream == NULL) {
        return no_memory_for("a stream");
    }
    if (pthread_mutex_init(&stream->lock, NULL) != 0) {
        host_delete(stream, sizeof *stream);
        return no_memory_for("the lock of a stream");
    }
    *out = stream;
    return NULL;
}

void sample_stream_destroy(ohal_stream *stream) {
    sample_graph_destroy(stream->capture);
    pthread_mutex_destroy(&stream->lock);
    host_delete(stream, sizeof *stream);
}

static void *pointer(ohal_mem mem) {
    return (void *)(uintptr_t)mem.addr;
}

static void run(ohal_stream *stream, const work *item) {
    call c = {.workspace = item->workspace};
    for (int i = 0; i < MAX_ARGS; i++) {
        c.views[i] = item->has_view[i] ? &item->views[i] : NULL;
    }
    item->plan.kernel->run(&item->plan.desc, &c);
    if (c.failed) {
        stream->cause = (failure){.set = true, .op = item->plan.kernel->kind, .sequence = stream->sequence};
        memcpy(stream->cause.text, c.why, sizeof c.why);
    }
}

// Does what a call asks for. The lock is held. A failure poisons the stream: it does nothing after that, but for telling the cause to
// whoever will wait for an event.
static void perform(ohal_stream *stream, const work *item) {
    if (stream->cause.set && item->kind != WORK_RECORD) {
        return;
    }
    switch (item->kind) {
    case WORK_RUN: run(stream, item); break;
    case WORK_COPY: memmove(pointer(item->dst), pointer(item->src), item->dst.len); break;
    case WORK_FILL: memset(pointer(item->dst), (int)item->byte, item->dst.len); break;
    case WORK_RECORD:
        pthread_mutex_lock(&item->event->lock);
        item->event->cause = stream->cause;
        pthread_mutex_unlock(&item->event->lock);
        break;
    case WORK_WAIT:
        pthread_mutex_lock(&item->event->lock);
        stream->cause = item->event->cause;
        pthread_mutex_unlock(&item->event->lock);
        break;
    }
    stream->sequence++;
}

// The first cause, if the stream is poisoned. The lock is held.
static ohal_error *state_of(const ohal_stream *stream) {
    return stream->cause.set ? poisoned(&stream->cause) : NULL;
}

// Collects the call during a capture, performs it otherwise. A run that fails says so at once here; the calls after it return the same.
static ohal_error *enqueue(ohal_stream *stream, const work *item) {
    ohal_error *error = NULL;
    pthread_mutex_lock(&stream->lock);
    if (stream->capture == NULL) {
        perform(stream, item);
        error = state_of(stream);
    } else if (!graph_add(stream->capture, item)) {
        error = no_memory_for("a captured call");
    }
    pthread_mutex_unlock(&stream->lock);
    return error;
}

// Takes the lock for a call that must not be captured. If it returns an error, the lock is free again.
static ohal_error *lock_outside_capture(ohal_stream *stream, const char *what) {
    pthread_mutex_lock(&stream->lock);
    ohal_error *error = state_of(stream);
    if (error == NULL && stream->capture != NULL) {
        error = refuse(OHAL_ERROR_INVALID_STATE, OHAL_NONE, "%s during a capture: end the capture first", what);
    }
    if (error != NULL) {
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

static ohal_error *check_length(uint64_t device, uint64_t other) {
    if (device == other) {
        return NULL;
    }
    return refuse(OHAL_ERROR_INVALID_ARGUMENT, OHAL_NONE, "%llu bytes do not fit a device range of %llu bytes",
                  (unsigned long long)other, (unsigned long long)device);
}

ohal_error *sample_stream_run(ohal_stream *stream, ohal_plan *plan, const ohal_args *args) {
    const op_kernel *kernel = plan->kernel;
    if (!HAS(ohal_args, args, workspace) || args->count < kernel->args) {
        return refuse(OHAL_ERROR_INVALID_ARGUMENT, kernel->kind, "%u arguments were given, expected %u", args->count, kernel->args);
    }
    if (args->workspace.len < plan_workspace(plan)) {
        return refuse(OHAL_ERROR_INVALID_ARGUMENT, kernel->kind, "the workspace has %llu bytes, expected %llu",
                      (unsigned long long)args->workspace.len, (unsigned long long)plan_workspace(plan));
    }
    work item = {.kind = WORK_RUN, .plan = *plan, .workspace = args->workspace};
    for (uint32_t i = 0; i < kernel->args; i++) {
        item.has_view[i] = args->views[i] != NULL;
        if (item.has_view[i]) {
            item.views[i] = *args->views[i];
        }
    }
    return enqueue(stream, &item);
}

ohal_error *sample_stream_copy(ohal_stream *stream, ohal_mem dst, ohal_mem src) {
    ohal_error *error = check_length(dst.len, src.len);
    return error != NULL ? error : enqueue(stream, &(work){.kind = WORK_COPY, .dst = dst, .src = src});
}

ohal_error *sample_stream_fill(ohal_stream *stream, ohal_mem dst, uint32_t byte) {
    if (byte > UINT8_MAX) {
        return refuse(OHAL_ERROR_INVALID_ARGUMENT, OHAL_NONE, "a fill with %u was asked for, expected 0 to 255", byte);
    }
    return enqueue(stream, &(work){.kind = WORK_FILL, .dst = dst, .byte = byte});
}

ohal_error *sample_stream_write(ohal_stream *stream, ohal_mem dst, const void *src, uint64_t len) {
    ohal_error *error = check_length(dst.len, len);
    if (error == NULL) {
        error = lock_outside_capture(stream, "write");
    }
    if (error == NULL) {
        if (len > 0) {
            memcpy(pointer(dst), src, len);
        }
        stream->sequence++;
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

ohal_error *sample_stream_read(ohal_stream *stream, ohal_mem src, void *dst, uint64_t len, uint64_t timeout) {
    (void)timeout;
    ohal_error *error = check_length(src.len, len);
    if (error == NULL) {
        error = lock_outside_capture(stream, "read");
    }
    if (error == NULL) {
        if (len > 0) {
            memcpy(dst, pointer(src), len);
        }
        stream->sequence++;
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

ohal_error *sample_stream_record(ohal_stream *stream, ohal_event *event) {
    return enqueue(stream, &(work){.kind = WORK_RECORD, .event = event});
}

ohal_error *sample_stream_wait(ohal_stream *stream, ohal_event *event) {
    return enqueue(stream, &(work){.kind = WORK_WAIT, .event = event});
}

ohal_error *sample_stream_begin_capture(ohal_stream *stream) {
    ohal_error *error = lock_outside_capture(stream, "a second capture");
    if (error == NULL) {
        stream->capture = graph_new();
        error = stream->capture == NULL ? no_memory_for("a graph") : NULL;
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

ohal_error *sample_stream_end_capture(ohal_stream *stream, ohal_graph **out) {
    pthread_mutex_lock(&stream->lock);
    ohal_error *error = state_of(stream);
    if (error == NULL && stream->capture == NULL) {
        error = refuse(OHAL_ERROR_INVALID_STATE, OHAL_NONE, "no capture to end: begin one on this stream first");
    } else if (error == NULL) {
        // Captured calls have no effect, so a stream cannot be poisoned while it captures.
        *out = stream->capture;
        stream->capture = NULL;
    }
    pthread_mutex_unlock(&stream->lock);
    return error;
}

ohal_error *sample_stream_launch(ohal_stream *stream, ohal_graph *graph) {
    ohal_error *error = lock_outside_capture(stream, "launch");
    if (error == NULL) {
        for (uint64_t i = 0; i < graph->count; i++) {
            perform(stream, &graph->items[i]);
        }
        error = state_of(stream);
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

ohal_error *sample_stream_poll(ohal_stream *stream, uint32_t *done) {
    ohal_error *error = lock_outside_capture(stream, "poll");
    if (error == NULL) {
        *done = 1;
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}

ohal_error *sample_stream_sync(ohal_stream *stream, uint64_t timeout) {
    (void)timeout;
    ohal_error *error = lock_outside_capture(stream, "sync");
    if (error == NULL) {
        pthread_mutex_unlock(&stream->lock);
    }
    return error;
}
