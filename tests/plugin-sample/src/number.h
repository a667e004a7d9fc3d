// Number formats: codes, and the values that they stand for.

#ifndef NUMBER_H
#define NUMBER_H

#include "ohal_types.h"

#include <stdbool.h>
#include <string.h>

// Fills the tables below. To be called once, before anything else here.
void number_init(void);

// Values of all codes of the formats that weights are stored in.
extern float f8e4m3_values[256];
extern float e8m0_values[256];
extern float f4e2m1_values[16];

// F32, F16 or BF16: numbers that need no scale.
bool dtype_is_float(ohal_dtype dtype);

// The value of a code. Exact, but for integers beyond 2^53.
double decode(ohal_dtype dtype, uint64_t code);

// The code of the nearest value, ties to even. Numbers that become integers lose their fraction. F32, F16 and BF16 overflow to infinity,
// all others saturate.
uint64_t encode(ohal_dtype dtype, double value);

// Rounds `count` values that share a scale to a code grid and back, in place (OHAL_QUANT_...).
void round_group(ohal_quant_kind kind, float *values, uint64_t count);

// Bits of an element.
static inline unsigned dtype_bits(ohal_dtype dtype) {
    switch (dtype) {
    case OHAL_DTYPE_F32:
    case OHAL_DTYPE_I32:
    case OHAL_DTYPE_U32: return 32;
    case OHAL_DTYPE_F16:
    case OHAL_DTYPE_BF16: return 16;
    case OHAL_DTYPE_I64: return 64;
    case OHAL_DTYPE_F4E2M1X2: return 4;
    default: return 8;
    }
}

static inline float f32_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float f32_of_bf16(uint16_t code) {
    return f32_of_bits((uint32_t)code << 16);
}

static inline uint16_t bf16_of_f32(float value) {
    const uint32_t bits = bits_of_f32(value);
    if (value != value) {
        // Rounding could carry a NaN into infinity: set its quiet bit instead.
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#endif
