// quant.*
#include "common.cuh"
#include "params_quant.h"
