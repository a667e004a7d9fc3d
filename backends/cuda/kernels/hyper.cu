// hyper.*
#include "common.cuh"
#include "params_hyper.h"
