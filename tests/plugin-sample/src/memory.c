// Device memory, which here is the host's. Device and pinned memory are the same thing.

#include "device.h"

#include <stdlib.h>

struct ohal_buffer {
    ohal_device *device;
    // What to free; NULL for an import or an empty buffer.
    void *data;
    uint64_t bytes;
};

static ohal_error *buffer_of(ohal_device *device, void *data, uint64_t bytes, ohal_buffer **out) {
    ohal_buffer *buffer = host_new(sizeof *buffer);
    if (buffer == NULL) {
        free(data);
        return no_memory_for("a buffer");
    }
    *buffer = (ohal_buffer){.device = device, .data = data, .bytes = bytes};
    atomic_fetch_add(&device->in_use, bytes);
    *out = buffer;
    return NULL;
}

ohal_error *sample_buffer_alloc(ohal_device *device, uint64_t bytes, ohal_memory_kind kind, ohal_mem *mem, ohal_buffer **out) {
    if (kind != OHAL_MEMORY_DEVICE && kind != OHAL_MEMORY_PINNED) {
        return refuse(OHAL_ERROR_UNSUPPORTED, OHAL_NONE, "memory of kind %u was asked for, expected 0 (device) or 1 (pinned)", kind);
    }
    void *data = NULL;
    if (bytes > 0) {
        // Also keeps the sum below from overflowing. An operating system that promises more memory than it has would say yes.
        const uint64_t most = device->memory == OHAL_UNKNOWN ? UINT64_MAX / 2 : device->memory;
        if (bytes <= most) {
            data = aligned_alloc(DEVICE_ALIGN, (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN);
        }
        if (data == NULL) {
            return refuse(OHAL_ERROR_OUT_OF_MEMORY, OHAL_NONE, "%llu bytes were asked for, the machine does not have them: ask for less",
                          (unsigned long long)bytes);
        }
    }
    ohal_error *error = buffer_of(device, data, bytes, out);
    if (error == NULL) {
        *mem = (ohal_mem){.addr = (uintptr_t)data, .len = bytes};
    }
    return error;
}

ohal_error *sample_buffer_import(ohal_device *device, const void *data, uint64_t bytes, ohal_mem *mem, ohal_buffer **out) {
    // Imported bytes are the host's and count as nobody's allocation.
    ohal_error *error = buffer_of(device, NULL, 0, out);
    if (error == NULL) {
        *mem = (ohal_mem){.addr = (uintptr_t)data, .len = bytes};
    }
    return error;
}

void sample_buffer_free(ohal_buffer *buffer) {
    atomic_fetch_sub(&buffer->device->in_use, buffer->bytes);
    free(buffer->data);
    host_delete(buffer, sizeof *buffer);
}
