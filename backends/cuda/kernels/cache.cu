// cache.*
#include "common.cuh"
#include "params_cache.h"
