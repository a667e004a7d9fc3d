// gemm.*
#include "common.cuh"
#include "params_gemm.h"
