// indexer.*
#include "common.cuh"
#include "params_indexer.h"
