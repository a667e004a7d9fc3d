// copy.*
#include "common.cuh"
#include "params_copy.h"
