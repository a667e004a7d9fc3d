// rope.*
#include "common.cuh"
#include "params_rope.h"
