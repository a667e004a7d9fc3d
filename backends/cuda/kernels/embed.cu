// embed.*
#include "common.cuh"
#include "params_embed.h"
