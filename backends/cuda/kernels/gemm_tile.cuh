// Tiles of matrix products.
#pragma once
#include "mma.cuh"
#include "weights.cuh"
