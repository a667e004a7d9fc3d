// Plans: an operator with its descriptor, checked once and for all.

#ifndef PLAN_H
#define PLAN_H

#include "ops.h"

struct ohal_plan {
    const op_kernel *kernel;
    any_desc desc;
};

// Bytes of scratch memory that a run needs.
uint64_t plan_workspace(const ohal_plan *plan);

#endif
