// moe.*
#include "common.cuh"
#include "params_moe.h"
