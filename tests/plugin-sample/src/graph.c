// Graphs: what a capture collects. A device whose driver captures keeps the driver's handle instead.

#include "work.h"

#include <string.h>

ohal_graph *graph_new(void) {
    return host_new(sizeof(ohal_graph));
}

static bool grow(ohal_graph *graph) {
    const uint64_t room = graph->room == 0 ? 16 : 2 * graph->room;
    work *items = host_new(room * sizeof *items);
    if (items == NULL) {
        return false;
    }
    if (graph->items != NULL) {
        memcpy(items, graph->items, graph->count * sizeof *items);
        host_delete(graph->items, graph->room * sizeof *items);
    }
    graph->items = items;
    graph->room = room;
    return true;
}

bool graph_add(ohal_graph *graph, const work *item) {
    if (graph->count == graph->room && !grow(graph)) {
        return false;
    }
    graph->items[graph->count++] = *item;
    return true;
}

uint64_t sample_graph_nodes(ohal_graph *graph) {
    return graph->count;
}

void sample_graph_destroy(ohal_graph *graph) {
    if (graph == NULL) {
        return;
    }
    if (graph->items != NULL) {
        host_delete(graph->items, graph->room * sizeof *graph->items);
    }
    host_delete(graph, sizeof *graph);
}
