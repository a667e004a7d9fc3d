// elementwise.*
#include "common.cuh"
#include "params_elementwise.h"
