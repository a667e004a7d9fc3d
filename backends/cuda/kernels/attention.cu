// attention.*
#include "common.cuh"
#include "params_attention.h"
