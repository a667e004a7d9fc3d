// Checks of descriptors. Each remembers the first thing that is wrong, with the name of the field, and does nothing after that.
//
// Two kinds of refusal: a field that nobody could honour is OHAL_ERROR_INVALID_DESCRIPTOR; a value that this plug-in does not know or
// cannot do is OHAL_ERROR_UNSUPPORTED.

#ifndef CHECK_H
#define CHECK_H

#include "sample.h"

// Refuses for any reason.
void deny(refusal *no, ohal_error_kind kind, const char *format, ...) LIKE_PRINTF(3, 4);

// A size or count: 1 to 2^31.
void want_size(refusal *no, const char *field, uint64_t value);

// A tensor has at most 2^46 elements. Pass 1 for dimensions that it does not have. The dimensions are checked already.
void want_elements(refusal *no, const char *arg, uint64_t a, uint64_t b, uint64_t c);

// A number that is not NaN.
void want_number(refusal *no, const char *field, float value);

// A switch: 0 or 1.
void want_flag(refusal *no, const char *field, uint32_t value);

// A word of a list: 0 to `last`, the largest that this plug-in knows.
void want_word(refusal *no, const char *field, uint32_t value, uint32_t last);

// F32, F16 or BF16.
void want_float(refusal *no, const char *field, ohal_dtype dtype);

// F32, F16, BF16 or I32: what element-wise operators take, since positions and counts are computed with too.
void want_float_or_index(refusal *no, const char *field, ohal_dtype dtype);

// Any element type.
void want_dtype(refusal *no, const char *field, ohal_dtype dtype);

// Plain floats, or E4M3 or E2M1 codes with E8M0 or F32 scales.
void want_weight(refusal *no, const char *field, const ohal_weight_format *format);

// A shape of legal sizes.
void want_shape(refusal *no, const char *field, const ohal_shape *shape);

// A shape whose dimensions are those of `full` or 1.
void want_broadcast(refusal *no, const char *field, const ohal_shape *shape, const ohal_shape *full);

// A relation between fields that the operator demands. `expected` is what `field` should be.
void want_field(refusal *no, bool holds, const char *field, uint64_t value, const char *expected);

#endif
