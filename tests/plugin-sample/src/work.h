// Work: one call on a stream, with all that it needs. A captured call is kept as it is; a plan or an argument list may be gone by the time
// that it runs.

#ifndef WORK_H
#define WORK_H

#include "plan.h"

#include <pthread.h>

typedef enum work_kind {
    WORK_RUN,
    WORK_COPY,
    WORK_FILL,
    WORK_RECORD,
    WORK_WAIT,
} work_kind;

typedef struct work {
    work_kind kind;
    // WORK_RUN.
    ohal_plan plan;
    ohal_view views[MAX_ARGS];
    bool has_view[MAX_ARGS];
    ohal_mem workspace;
    // WORK_COPY, WORK_FILL.
    ohal_mem dst;
    ohal_mem src;
    uint32_t byte;
    // WORK_RECORD, WORK_WAIT.
    ohal_event *event;
} work;

// An event of streams that finish every call before it returns is always passed; it only carries what went wrong before it was recorded.
struct ohal_event {
    pthread_mutex_t lock;
    failure cause;
};

// A captured list of calls.
struct ohal_graph {
    work *items;
    uint64_t count;
    uint64_t room;
};

ohal_graph *graph_new(void);

// Adds a copy of the call. False if the host has no memory.
bool graph_add(ohal_graph *graph, const work *item);

#endif
