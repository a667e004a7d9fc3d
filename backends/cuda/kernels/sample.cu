// sample.*
#include "common.cuh"
#include "params_sample.h"
