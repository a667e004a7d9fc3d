// The device: the host's own processor and memory.

#ifndef DEVICE_H
#define DEVICE_H

#include "sample.h"

#include <stdatomic.h>

// Vector registers and cache lines like this alignment; 64 is enough for every processor in use.
enum { DEVICE_ALIGN = 64 };

struct ohal_device {
    // Bytes allocated and not yet freed.
    atomic_uint_least64_t in_use;
    // Bytes of the machine, or OHAL_UNKNOWN.
    uint64_t memory;
};

#endif
