// compress.*
#include "common.cuh"
#include "params_compress.h"
