// Events.

#include "work.h"

ohal_error *sample_event_create(ohal_device *device, ohal_event **out) {
    (void)device;
    ohal_event *event = host_new(sizeof *event);
    if (event == NULL) {
        return no_memory_for("an event");
    }
    if (pthread_mutex_init(&event->lock, NULL) != 0) {
        host_delete(event, sizeof *event);
        return no_memory_for("the lock of an event");
    }
    *out = event;
    return NULL;
}

void sample_event_destroy(ohal_event *event) {
    pthread_mutex_destroy(&event->lock);
    host_delete(event, sizeof *event);
}

static ohal_error *state_of(ohal_event *event) {
    pthread_mutex_lock(&event->lock);
    const failure cause = event->cause;
    pthread_mutex_unlock(&event->lock);
    return cause.set ? poisoned(&cause) : NULL;
}

ohal_error *sample_event_poll(ohal_event *event, uint32_t *done) {
    *done = 1;
    return state_of(event);
}

ohal_error *sample_event_sync(ohal_event *event, uint64_t timeout) {
    // Nothing is ever outstanding.
    (void)timeout;
    return state_of(event);
}
