#include "number.h"

#include <math.h>

float f8e4m3_values[256];
float e8m0_values[256];
float f4e2m1_values[16];

// A binary floating-point format: a sign bit, exponent bits, fraction bits.
typedef struct format {
    int exponent_bits;
    int fraction_bits;
    int bias;
    // Code of the largest finite number, without sign. What lies above is infinity first (if there is one), then NaN.
    uint64_t largest;
    bool has_infinity;
    // Finite numbers that are too large become the largest one, not infinity.
    bool saturates;
} format;

static const format f32_format = {8, 23, 127, 0x7F7FFFFF, true, false};
static const format f16_format = {5, 10, 15, 0x7BFF, true, false};
static const format bf16_format = {8, 7, 127, 0x7F7F, true, false};
static const format f8e4m3_format = {4, 3, 7, 0x7E, false, true};
static const format f8e5m2_format = {5, 2, 15, 0x7B, true, true};
static const format f4e2m1_format = {2, 1, 1, 0x7, false, true};

static const format *format_of(ohal_dtype dtype) {
    switch (dtype) {
    case OHAL_DTYPE_F32: return &f32_format;
    case OHAL_DTYPE_F16: return &f16_format;
    case OHAL_DTYPE_BF16: return &bf16_format;
    case OHAL_DTYPE_F8E4M3: return &f8e4m3_format;
    case OHAL_DTYPE_F8E5M2: return &f8e5m2_format;
    case OHAL_DTYPE_F4E2M1X2: return &f4e2m1_format;
    default: return NULL;
    }
}

bool dtype_is_float(ohal_dtype dtype) {
    return dtype == OHAL_DTYPE_F32 || dtype == OHAL_DTYPE_F16 || dtype == OHAL_DTYPE_BF16;
}

static double float_value(const format *f, uint64_t code) {
    const uint64_t sign = UINT64_C(1) << (f->exponent_bits + f->fraction_bits);
    const uint64_t magnitude = code & (sign - 1);
    const int exponent = (int)(magnitude >> f->fraction_bits);
    const double fraction = (double)(magnitude & ((UINT64_C(1) << f->fraction_bits) - 1));
    double value;
    if (magnitude > f->largest) {
        value = f->has_infinity && magnitude == f->largest + 1 ? INFINITY : NAN;
    } else if (exponent == 0) {
        value = ldexp(fraction, 1 - f->bias - f->fraction_bits);
    } else {
        value = ldexp(ldexp(1.0, f->fraction_bits) + fraction, exponent - f->bias - f->fraction_bits);
    }
    return code & sign ? -value : value;
}

static uint64_t float_code(const format *f, double value) {
    const uint64_t sign = signbit(value) ? UINT64_C(1) << (f->exponent_bits + f->fraction_bits) : 0;
    if (isnan(value)) {
        // All ones is a NaN in every format that has one; E2M1 has none and takes 0.
        return f == &f4e2m1_format ? 0 : (UINT64_C(1) << (f->exponent_bits + f->fraction_bits)) - 1;
    }
    if (isinf(value)) {
        return sign | (f->has_infinity ? f->largest + 1 : f->largest);
    }
    // ilogb(0) is far below every format.
    const int least = 1 - f->bias;
    const int exponent = ilogb(value) > least ? ilogb(value) : least;
    const double units = rint(ldexp(fabs(value), f->fraction_bits - exponent));
    // Below the normal range there is no hidden bit, and a carry of the rounding moves on to the next exponent: one sum does for all.
    const uint64_t hidden = UINT64_C(1) << f->fraction_bits;
    const uint64_t code = ((uint64_t)(exponent - least + 1) << f->fraction_bits) + (uint64_t)units - hidden;
    if (code > f->largest) {
        return sign | (f->saturates ? f->largest : f->largest + 1);
    }
    return sign | code;
}

double decode(ohal_dtype dtype, uint64_t code) {
    switch (dtype) {
    case OHAL_DTYPE_F32: return f32_of_bits((uint32_t)code);
    case OHAL_DTYPE_BF16: return f32_of_bf16((uint16_t)code);
    case OHAL_DTYPE_F8E4M3: return f8e4m3_values[code & 0xFF];
    case OHAL_DTYPE_F4E2M1X2: return f4e2m1_values[code & 0xF];
    case OHAL_DTYPE_E8M0: return e8m0_values[code & 0xFF];
    case OHAL_DTYPE_I8: return (int8_t)code;
    case OHAL_DTYPE_I32: return (int32_t)code;
    case OHAL_DTYPE_I64: return (double)(int64_t)code;
    case OHAL_DTYPE_F16:
    case OHAL_DTYPE_F8E5M2: return float_value(format_of(dtype), code);
    default: return (double)code;
    }
}

// An integer between two bounds; NaN becomes 0. The bounds are exact in double, or the upper one is the next power of two.
static double whole(double value, double low, double high) {
    if (isnan(value)) {
        return 0;
    }
    const double cut = trunc(value);
    return cut < low ? low : cut > high ? high : cut;
}

static uint64_t scale_code(double value) {
    if (!(value > 0)) {
        return 255;
    }
    const int exponent = ilogb(value);
    return (uint64_t)((exponent < -127 ? -127 : exponent > 127 ? 127 : exponent) + 127);
}

uint64_t encode(ohal_dtype dtype, double value) {
    switch (dtype) {
    case OHAL_DTYPE_F32: return bits_of_f32((float)value);
    case OHAL_DTYPE_E8M0: return scale_code(value);
    case OHAL_DTYPE_BOOL: return value != 0;
    case OHAL_DTYPE_I8: return (uint64_t)(int64_t)whole(value, INT8_MIN, INT8_MAX);
    case OHAL_DTYPE_U8: return (uint64_t)whole(value, 0, UINT8_MAX);
    case OHAL_DTYPE_I32: return (uint64_t)(int64_t)whole(value, INT32_MIN, INT32_MAX);
    case OHAL_DTYPE_U32: return (uint64_t)whole(value, 0, UINT32_MAX);
    case OHAL_DTYPE_I64: return value >= 0x1p63 ? INT64_MAX : (uint64_t)(int64_t)whole(value, -0x1p63, 0x1p63);
    default: return float_code(format_of(dtype), value);
    }
}

// A code grid (deepseek-v4.md 2.2): its largest value, the least magnitude that a group counts as, and the spacing of its values.
typedef struct grid {
    float largest;
    float floor;
    int fraction_bits;
    int least_exponent;
} grid;

static const grid f8_grid = {448.0f, 1e-4f, 3, -6};
static const grid f4_grid = {6.0f, 6 * 0x1p-126f, 1, 0};

// 2^exponent for normal numbers.
static float power_of_two(int exponent) {
    return f32_of_bits((uint32_t)(exponent + 127) << 23);
}

// floor(log2 |value|), or -127 for what is below the normal numbers.
static int exponent_of(float value) {
    return (int)(bits_of_f32(value) >> 23 & 0xFF) - 127;
}

// The nearest value of the grid, ties to even, saturating.
static float to_grid(const grid *g, float value) {
    const int exponent = exponent_of(value) > g->least_exponent ? exponent_of(value) : g->least_exponent;
    const float spacing = power_of_two(exponent - g->fraction_bits);
    const float rounded = rintf(value / spacing) * spacing;
    return rounded > g->largest ? g->largest : rounded < -g->largest ? -g->largest : rounded;
}

void round_group(ohal_quant_kind kind, float *values, uint64_t count) {
    const grid *g = kind == OHAL_QUANT_F4E2M1 ? &f4_grid : &f8_grid;
    float magnitude = g->floor;
    for (uint64_t i = 0; i < count; i++) {
        magnitude = fabsf(values[i]) > magnitude ? fabsf(values[i]) : magnitude;
    }
    if (isinf(magnitude)) {
        // No scale brings it onto the grid: the result is unspecified.
        return;
    }
    // The least power of two that brings the largest value onto the grid. Both exponents are those of normal numbers.
    int scale = exponent_of(magnitude) - exponent_of(g->largest) - 1;
    while (ldexpf(g->largest, scale) < magnitude) {
        scale++;
    }
    for (uint64_t i = 0; i < count; i++) {
        values[i] = to_grid(g, values[i] * power_of_two(-scale)) * power_of_two(scale);
    }
}

void number_init(void) {
    for (unsigned code = 0; code < 256; code++) {
        f8e4m3_values[code] = (float)float_value(&f8e4m3_format, code);
        e8m0_values[code] = code == 255 ? NAN : (float)ldexp(1.0, (int)code - 127);
    }
    for (unsigned code = 0; code < 16; code++) {
        f4e2m1_values[code] = (float)float_value(&f4e2m1_format, code);
    }
}
