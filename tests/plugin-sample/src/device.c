// Finding, describing, opening and closing the device. There is always exactly one.

#include "device.h"
#include "ops.h"

#include <unistd.h>

// A real plug-in looks for its driver library and its device nodes, and lists every place where it looked, found or not.
static const ohal_str searched[] = {LITERAL("the host's own processor")};

#define TEXT_OF_NUMBER(number) #number
#define VERSION_TEXT(major, minor) TEXT_OF_NUMBER(major) "." TEXT_OF_NUMBER(minor)

// A real plug-in lists its driver, its firmware and its libraries.
static const ohal_version versions[] = {
    {.name = LITERAL("interface"), .value = LITERAL(VERSION_TEXT(OHAL_ABI_MAJOR, OHAL_ABI_MINOR))},
};

ohal_error *sample_probe(const ohal_plugin *plugin, ohal_probe *out) {
    (void)plugin;
    SET(ohal_probe, out, device_count, 1);
    SET(ohal_probe, out, searched, searched);
    SET(ohal_probe, out, searched_count, sizeof searched / sizeof searched[0]);
    return NULL;
}

static ohal_error *check_index(uint64_t index) {
    if (index == 0) {
        return NULL;
    }
    return refuse(OHAL_ERROR_NOT_FOUND, OHAL_NONE, "device %llu was asked for, there is only device 0", (unsigned long long)index);
}

static uint64_t machine_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : OHAL_UNKNOWN;
}

ohal_error *sample_device_info(const ohal_plugin *plugin, uint64_t index, ohal_device_info *out) {
    (void)plugin;
    ohal_error *error = check_index(index);
    if (error != NULL) {
        return error;
    }
    SET(ohal_device_info, out, name, text_of("plain C on the host's processor"));
    SET(ohal_device_info, out, memory, machine_memory());
    SET(ohal_device_info, out, versions, versions);
    SET(ohal_device_info, out, version_count, sizeof versions / sizeof versions[0]);
    return NULL;
}

ohal_error *sample_device_open(const ohal_plugin *plugin, uint64_t index, ohal_device **out) {
    (void)plugin;
    ohal_error *error = check_index(index);
    if (error != NULL) {
        return error;
    }
    ohal_device *device = host_new(sizeof *device);
    if (device == NULL) {
        return no_memory_for("a device");
    }
    atomic_init(&device->in_use, 0);
    device->memory = machine_memory();
    *out = device;
    return NULL;
}

void sample_device_close(ohal_device *device) {
    host_delete(device, sizeof *device);
}

ohal_error *sample_device_caps(ohal_device *device, ohal_device_caps *out) {
    (void)device;
    SET(ohal_device_caps, out, activations, 1u << OHAL_DTYPE_F32 | 1u << OHAL_DTYPE_BF16);
    SET(ohal_device_caps, out, alignment, DEVICE_ALIGN);
    SET(ohal_device_caps, out, host_addressable, 1);
    SET(ohal_device_caps, out, native_graphs, 1);
    if (HAS(ohal_device_caps, out, ops)) {
        for (ohal_op_kind kind = 0; kind < OHAL_OP_COUNT; kind++) {
            if (kernel_of(kind) != NULL) {
                out->ops[kind / 64] |= UINT64_C(1) << kind % 64;
            }
        }
    }
    return NULL;
}

#if OHAL_ABI_MINOR >= 2
ohal_error *sample_device_memory(ohal_device *device, ohal_device_memory *out) {
    SET(ohal_device_memory, out, in_use, atomic_load(&device->in_use));
    return NULL;
}
#endif
