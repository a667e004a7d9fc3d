// OmniHAL plug-in interface: types, operators, descriptors.
//
// Made by `cargo run -p omnihal-abi --example header` from the operator catalogue; do not edit. The functions are in ohal_plugin.h.
//
// Rules that hold everywhere:
// * Integers have fixed width; a switch is a uint32_t, 0 or 1; a word of a list is a uint32_t with the constants below. A number that a
//   reader does not know is legal: it answers "unsupported".
// * Structs marked "plain data" and the `..._desc` structs have no header. Plain data never changes; descriptors and all other structs
//   grow at their end only.
// * Members named `reserved` are 0.
// * Tensors: the last axis of an input is contiguous and rows may lie apart, except that elementwise.*, copy.copy and the outer axes of
//   gemm.batched take any strides.
// * An index below zero or out of range is absent. In pools and rings slot 0 and page 0 are null: all zero, never written; slot 1 and
//   page 1 are trash: never read.
// * "f32 inside" means: convert, compute, round once to nearest even. TF32, HF32 and fp16 accumulation are forbidden.
// * Rows that pad a batch (slot -1) are unspecified in outputs, must not fault, and no valid row depends on one.

#ifndef OHAL_TYPES_H
#define OHAL_TYPES_H

#include <stdint.h>

// No element type, no operator.
#define OHAL_NONE UINT32_MAX

// A number that nobody knows, such as a memory size that the vendor does not tell.
#define OHAL_UNKNOWN UINT64_MAX

// Largest rank of a tensor.
#define OHAL_MAX_RANK 6

// Most arguments that a run has: the operator's own, step-table columns, prologue output.
#define OHAL_MAX_ARGS 32

// What went wrong, for programs.
typedef uint32_t ohal_error_kind;
enum {
    // The plug-in does not do this, and says so before any work.
    OHAL_ERROR_UNSUPPORTED = 0,
    // A descriptor has a field that nobody could honour.
    OHAL_ERROR_INVALID_DESCRIPTOR = 1,
    // An argument does not fit its descriptor.
    OHAL_ERROR_INVALID_ARGUMENT = 2,
    // Memory is exhausted.
    OHAL_ERROR_OUT_OF_MEMORY = 3,
    // A wait ran past its limit. The work may still finish.
    OHAL_ERROR_TIMEOUT = 4,
    // A device, library or file was looked for and not found.
    OHAL_ERROR_NOT_FOUND = 5,
    // The device reported a failure while it executed.
    OHAL_ERROR_EXECUTION = 6,
    // A call that the present state forbids, such as a wait while the stream is captured.
    OHAL_ERROR_INVALID_STATE = 7,
    // Input from outside breaks its own rules.
    OHAL_ERROR_INVALID_INPUT = 8,
    // The operating system refused a file or memory operation.
    OHAL_ERROR_IO = 9,
};

// What is left of the device after an error.
typedef uint32_t ohal_severity;
enum {
    // The call was refused and changed nothing.
    OHAL_SEVERITY_REJECTED = 0,
    // Work on the stream failed. Every later call on it, and on what waits for it, returns the same cause.
    OHAL_SEVERITY_STREAM_POISONED = 1,
    // The device is gone; every object made from it is useless.
    OHAL_SEVERITY_DEVICE_LOST = 2,
};

// Element types.
typedef uint32_t ohal_dtype;
enum {
    // IEEE 754 binary32.
    OHAL_DTYPE_F32 = 0,
    // IEEE 754 binary16.
    OHAL_DTYPE_F16 = 1,
    // The upper half of a binary32.
    OHAL_DTYPE_BF16 = 2,
    // OCP 8-bit float 1-4-3, bias 7, no infinity, NaN = 0x7F and 0xFF, largest 448.
    OHAL_DTYPE_F8E4M3 = 3,
    // OCP 8-bit float 1-5-2, bias 15.
    OHAL_DTYPE_F8E5M2 = 4,
    // OCP power-of-two scale: 2^(byte - 127), 255 = NaN.
    OHAL_DTYPE_E8M0 = 5,
    // Two OCP 4-bit floats 1-2-1 in a byte, the even column in the low nibble. Shapes and strides count single values.
    OHAL_DTYPE_F4E2M1X2 = 6,
    // Signed byte.
    OHAL_DTYPE_I8 = 7,
    // Unsigned byte.
    OHAL_DTYPE_U8 = 8,
    // Signed 32-bit integer: every index.
    OHAL_DTYPE_I32 = 9,
    // Unsigned 32-bit integer.
    OHAL_DTYPE_U32 = 10,
    // Signed 64-bit integer: only in files.
    OHAL_DTYPE_I64 = 11,
    // One byte, 0 or 1.
    OHAL_DTYPE_BOOL = 12,
};

// Whether a device runs one fully described operator.
typedef uint32_t ohal_support_kind;
enum {
    // By its own kernel.
    OHAL_SUPPORT_NATIVE = 0,
    // By the device, but not as the descriptor says on the tin; the reason says how.
    OHAL_SUPPORT_EMULATED = 1,
    // Not at all; the reason says what is missing.
    OHAL_SUPPORT_NO = 2,
};

// How far the bits of a result can be relied on.
typedef uint32_t ohal_determinism;
enum {
    // D0: repeated runs may differ in their last bits.
    OHAL_DETERMINISM_NONE = 0,
    // D1: the same call gives the same bits again.
    OHAL_DETERMINISM_REPEATABLE = 1,
    // D2: a row's bits depend on its own inputs and state only, not on its neighbours or on chunking.
    OHAL_DETERMINISM_ROW_INVARIANT = 2,
};

// How a plan adds up products. Error bounds follow from it.
typedef uint32_t ohal_accumulation;
enum {
    // 64-bit floats.
    OHAL_ACCUMULATION_F64 = 0,
    // 32-bit floats, any order.
    OHAL_ACCUMULATION_F32 = 1,
    // Tensor cores that keep some fraction bits and truncate, promoted to F32 after some products.
    OHAL_ACCUMULATION_TENSOR_CORE_TRUNC = 2,
};

// Where memory lies for the host.
typedef uint32_t ohal_memory_kind;
enum {
    // The device's own memory.
    OHAL_MEMORY_DEVICE = 0,
    // Host memory that the device can copy from and to without staging.
    OHAL_MEMORY_PINNED = 1,
};

// How the bytes of a tensor are arranged.
typedef uint32_t ohal_layout;
enum {
    // Elements at offset + sum(index * stride).
    OHAL_LAYOUT_STRIDED = 0,
    // The plug-in's private weight layout, made by its `repack`.
    OHAL_LAYOUT_VENDOR = 1,
};

// How the values of a weight are stored.
typedef uint32_t ohal_format_kind;
enum {
    // One number an element.
    OHAL_FORMAT_PLAIN = 0,
    // Codes with one scale for each block.
    OHAL_FORMAT_BLOCKED = 1,
};

// How a row of a state pool is stored.
typedef uint32_t ohal_row_kind;
enum {
    // Plain numbers of a type.
    OHAL_ROW_PLAIN = 0,
    // Bytes: E4M3 codes for all but the rotated channels, those in BF16, one E8M0 scale for 64 codes, padded to 8 bytes.
    OHAL_ROW_F8R = 1,
    // Bytes: packed E2M1 codes, one E8M0 scale for 32 codes.
    OHAL_ROW_F4 = 2,
};

// In which form a device wants a weight.
typedef uint32_t ohal_weight_form_kind;
enum {
    // As stored.
    OHAL_WEIGHT_AS_IS = 0,
    // Multiplied out to plain numbers of `dtype`.
    OHAL_WEIGHT_EXPAND = 1,
    // In a private layout that `repack` makes.
    OHAL_WEIGHT_REPACK = 2,
    // Not at all; the reason says why.
    OHAL_WEIGHT_NO = 3,
};

// Rounding of activations before a product.
typedef uint32_t ohal_act_quant;
enum {
    // None: activations are used as they are.
    OHAL_ACT_QUANT_NONE = 0,
    // E4M3 with a power-of-two scale for 128 consecutive channels.
    OHAL_ACT_QUANT_F8G128 = 1,
};

// Code grid of a rounding step.
typedef uint32_t ohal_quant_kind;
enum {
    // E4M3, scale 2^ceil(log2(max(amax, 1e-4) / 448)).
    OHAL_QUANT_F8E4M3 = 0,
    // E2M1, scale 2^ceil(log2(max(amax, 6 * 2^-126) / 6)).
    OHAL_QUANT_F4E2M1 = 1,
};

// Rounding of a state row before it is stored.
typedef uint32_t ohal_row_quant;
enum {
    // None.
    OHAL_ROW_QUANT_NONE = 0,
    // E4M3 in groups of 64 on the channels that carry no rope.
    OHAL_ROW_QUANT_F8_NOPE = 1,
    // E2M1 in groups of 32 on all channels.
    OHAL_ROW_QUANT_F4_ALL = 2,
};

// Functions of one variable.
typedef uint32_t ohal_func_kind;
enum {
    // x
    OHAL_FUNC_IDENTITY = 0,
    // e^x
    OHAL_FUNC_EXP = 1,
    // max(x, 0)
    OHAL_FUNC_RELU = 2,
    // 1 / (1 + e^-x)
    OHAL_FUNC_SIGMOID = 3,
    // x / (1 + e^-x)
    OHAL_FUNC_SILU = 4,
    // Square root.
    OHAL_FUNC_SQRT = 5,
    // 1 / square root.
    OHAL_FUNC_RSQRT = 6,
    // Absolute value.
    OHAL_FUNC_ABS = 7,
    // Largest integer not above x.
    OHAL_FUNC_FLOOR = 8,
    // x kept between `low` and `high`.
    OHAL_FUNC_CLAMP = 9,
    // sqrt(log(1 + e^x)), with log(1 + e^x) = x above 20.
    OHAL_FUNC_SQRT_SOFTPLUS = 10,
    // Natural logarithm.
    OHAL_FUNC_LOG = 11,
};

// Functions of two variables.
typedef uint32_t ohal_arith;
enum {
    // a + b
    OHAL_ARITH_ADD = 0,
    // a - b
    OHAL_ARITH_SUB = 1,
    // a * b
    OHAL_ARITH_MUL = 2,
    // scale * a / (b + eps)
    OHAL_ARITH_DIV = 3,
    // The smaller.
    OHAL_ARITH_MIN = 4,
    // The larger.
    OHAL_ARITH_MAX = 5,
};

// Comparisons.
typedef uint32_t ohal_cmp;
enum {
    // a < b
    OHAL_CMP_LT = 0,
    // a >= b
    OHAL_CMP_GE = 1,
    // a > b
    OHAL_CMP_GT = 2,
    // a = b
    OHAL_CMP_EQ = 3,
};

// How a reduction combines elements.
typedef uint32_t ohal_reduction;
enum {
    // alpha * sum
    OHAL_REDUCTION_SUM = 0,
    // alpha * largest
    OHAL_REDUCTION_MAX = 1,
    // alpha * mean of squares
    OHAL_REDUCTION_MEAN_SQUARE = 2,
};

// What an operand is.
typedef uint32_t ohal_source_kind;
enum {
    // A tensor whose dimensions equal the result's or are 1: an argument of the run.
    OHAL_SOURCE_TENSOR = 0,
    // One number for all.
    OHAL_SOURCE_CONST = 1,
};

// Which compressed entries a row attends to besides its window.
typedef uint32_t ohal_entries_kind;
enum {
    // None: a window-only block.
    OHAL_ENTRIES_NONE = 0,
    // Those listed in argument `idx`, at most `listed` of them, ascending, -1 at the end.
    OHAL_ENTRIES_LISTED = 1,
    // All visible ones, up to the capacity of the page table.
    OHAL_ENTRIES_ALL = 2,
};

// How a row's experts are chosen.
typedef uint32_t ohal_routing_kind;
enum {
    // The best scores plus bias.
    OHAL_ROUTING_SCORED = 0,
    // A fixed table by token id, of `rows` rows.
    OHAL_ROUTING_HASH = 1,
};

// Step-table columns: N rows, B sequences, R wanted rows, C closings, NT tiles of Q rows, Pm pages of a page table, E entries of a page
// table, h halves and m positions of an entry. Every element has 4 bytes.
typedef uint32_t ohal_column_kind;
enum {
    // I32 [N, 4]: position, slot, sequence, id; padding rows -1.
    OHAL_COLUMN_TOKS = 0,
    // I32 [B, 4]: slot, first position, first row, rows; padding slot -1, rows 0.
    OHAL_COLUMN_SEQS = 1,
    // I32 [R]: rows whose logits are wanted, -1 padding.
    OHAL_COLUMN_OUT = 2,
    // Of a ratio. I32 [B, Pm]: pages of each sequence in order, 0 beyond the end.
    OHAL_COLUMN_PAGE_TABLE = 3,
    // Of a ratio. I32 [C, 2]: sequence and entry completed in this step, -1 padding.
    OHAL_COLUMN_CLOSE = 4,
    // I32 [N]: position, padding 0.
    OHAL_COLUMN_POS0 = 5,
    // F32 [N]: 1 for real rows, 0 for padding.
    OHAL_COLUMN_LIVE = 6,
    // I32 [NT*Q]: position in tile order, padding 0.
    OHAL_COLUMN_POS_QT = 7,
    // I32 [NT*Q]: row at each place of the query tiles; a tile holds rows of one sequence; padding 0.
    OHAL_COLUMN_QT_ROWS = 8,
    // I32 [N]: place of each row in tile order.
    OHAL_COLUMN_TOK_QT = 9,
    // Of a ratio. I32 [NT, Pm]: page table of each tile.
    OHAL_COLUMN_PT_QT = 10,
    // Of a ratio. F32 [NT*Q]: entries visible to each tile row, 0 for padding.
    OHAL_COLUMN_N_VIS = 11,
    // I32 [1 + (win-1)*B]: ring rows of the positions just before each sequence's chunk; element 0 and missing ones: the null row.
    OHAL_COLUMN_HIST_SRC = 12,
    // I32 [NT*Q, win]: rows of the linear key tensor that each tile row sees, ascending position; missing 0.
    OHAL_COLUMN_WIN_SRC = 13,
    // Of a ratio. I32 [NT, E]: pool rows of all entries of the tile's sequence, null row beyond its count.
    OHAL_COLUMN_ALL_ROWS = 14,
    // I32 [N]: place in `last` of a row whose id is not literal, else 0.
    OHAL_COLUMN_LAST_IDX = 15,
    // I32 [R]: OUT with padding as 0.
    OHAL_COLUMN_OUT0 = 16,
    // I32 [R]: slot of each wanted row; padding: the trash slot.
    OHAL_COLUMN_OUT_SLOT = 17,
    // I32 [N]: window-ring row to write; the trash row for padding and for rows that a later row of the step overwrites.
    OHAL_COLUMN_RING_DST = 18,
    // Of a ratio. I32 [N]: the same in the open-window ring.
    OHAL_COLUMN_OW_DST = 19,
    // Of a ratio. I32 [N]: position modulo the ratio.
    OHAL_COLUMN_APE_IDX = 20,
    // Of a ratio. I32 [C]: position of the closed entry.
    OHAL_COLUMN_CL_POS = 21,
    // Of a ratio. I32 [C]: its pool row; padding: the trash row.
    OHAL_COLUMN_CL_DST = 22,
    // Of a ratio. I32 [C*h*m]: half-row of each pooled slot in the state, null row if it is not there.
    OHAL_COLUMN_CL_OLD = 23,
    // Of a ratio. I32 [C*h*m]: half-row of each pooled slot in this step, 0 if it is not there.
    OHAL_COLUMN_CL_NEW = 24,
    // Of a ratio. F32 [C*h*m]: 1 where the state is taken.
    OHAL_COLUMN_CL_SEL = 25,
    // Of a ratio. F32 [C*h*m]: 1 where the slot exists.
    OHAL_COLUMN_CL_MASK = 26,
};

// Operators, in catalogue order. New ones come after the last.
typedef uint32_t ohal_op_kind;
enum {
    OHAL_OP_EMBED_LOOKUP = 0,
    OHAL_OP_NORM_RMS = 1,
    OHAL_OP_GEMM_LINEAR = 2,
    OHAL_OP_GEMM_BATCHED = 3,
    OHAL_OP_GEMM_GROUPED = 4,
    OHAL_OP_QUANT_QDQ = 5,
    OHAL_OP_QUANT_DEQUANT = 6,
    OHAL_OP_ROPE_APPLY = 7,
    OHAL_OP_MOE_GROUP = 8,
    OHAL_OP_CACHE_ROWS = 9,
    OHAL_OP_SAMPLE_TOPK = 10,
    OHAL_OP_ELEMENTWISE_UNARY = 11,
    OHAL_OP_ELEMENTWISE_BINARY = 12,
    OHAL_OP_ELEMENTWISE_WHERE = 13,
    OHAL_OP_ELEMENTWISE_REDUCE = 14,
    OHAL_OP_ELEMENTWISE_SOFTMAX = 15,
    OHAL_OP_ELEMENTWISE_CUMSUM = 16,
    OHAL_OP_COPY_COPY = 17,
    OHAL_OP_COPY_FILL = 18,
    OHAL_OP_COPY_GATHER = 19,
    OHAL_OP_COPY_SCATTER = 20,
    OHAL_OP_COPY_TAKE = 21,
    OHAL_OP_COPY_CONCAT = 22,
    OHAL_OP_EMBED_IDS = 23,
    OHAL_OP_QUANT_QUANTIZE = 24,
    OHAL_OP_HYPER_PRE = 25,
    OHAL_OP_HYPER_SINKHORN = 26,
    OHAL_OP_HYPER_POST = 27,
    OHAL_OP_HYPER_HEAD = 28,
    OHAL_OP_COMPRESS_UPDATE = 29,
    OHAL_OP_INDEXER_QUERY = 30,
    OHAL_OP_INDEXER_SELECT = 31,
    OHAL_OP_ATTENTION_LATENT = 32,
    OHAL_OP_ATTENTION_QUERY = 33,
    OHAL_OP_ATTENTION_SPARSE = 34,
    OHAL_OP_CACHE_STORE = 35,
    OHAL_OP_CACHE_COPY_ROWS = 36,
    OHAL_OP_MOE_ROUTE = 37,
    OHAL_OP_MOE_SWIGLU = 38,
    OHAL_OP_MOE_MLP = 39,
    OHAL_OP_MOE_EXPERTS = 40,
    OHAL_OP_SAMPLE_PICK = 41,
    // Number of operators in this version.
    OHAL_OP_COUNT = 42,
};

// Text in UTF-8, not ended by 0. `data` may be NULL if `len` is 0. Plain data: never changes.
typedef struct ohal_str {
    // First byte.
    const char *data;
    // Bytes.
    uint64_t len;
} ohal_str;

// Room for text that a callee writes. Plain data: never changes.
typedef struct ohal_text {
    // First byte of the room.
    char *data;
    // Bytes of the room.
    uint64_t capacity;
    // Bytes written, at most `capacity`; longer text is cut. 0 before the call.
    uint64_t len;
} ohal_text;

// A link of an extension chain. An extension is a struct that starts with these members. A reader skips every `id` that it does not
// know. No extension is defined yet. Plain data: never changes.
typedef struct ohal_ext {
    // Bytes of the whole extension.
    uint32_t struct_size;
    // Which extension.
    uint32_t id;
    // The next one, or NULL.
    const struct ohal_ext *next;
} ohal_ext;

// A range of device memory. Plain data: never changes.
typedef struct ohal_mem {
    // Device address of the first byte. A host may read it only if the device's caps say that it is host-addressable.
    uint64_t addr;
    // Bytes.
    uint64_t len;
} ohal_mem;

// Dimensions, outermost first; those past `rank` are 1. Plain data: never changes.
typedef struct ohal_shape {
    // Number of dimensions, at most OHAL_MAX_RANK.
    uint32_t rank;
    // 0.
    uint32_t reserved;
    // The dimensions.
    uint64_t dims[6];
} ohal_shape;

// How the values of a weight are stored. Plain data: never changes.
typedef struct ohal_weight_format {
    // OHAL_FORMAT_PLAIN or OHAL_FORMAT_BLOCKED.
    uint32_t kind;
    // Element type: of the numbers, or of the codes.
    uint32_t data;
    // Type of a scale; OHAL_NONE for plain numbers.
    uint32_t scale;
    // 0.
    uint32_t reserved;
    // Rows that share a scale; 0 for plain numbers.
    uint64_t block_rows;
    // Columns that share a scale; 0 for plain numbers.
    uint64_t block_cols;
} ohal_weight_format;

// How a row of a state pool is stored. Plain data: never changes.
typedef struct ohal_row_format {
    // OHAL_ROW_...
    uint32_t kind;
    // Element type of OHAL_ROW_PLAIN, else OHAL_NONE.
    uint32_t dtype;
} ohal_row_format;

// The pages of a state pool: entry j of a sequence lies in row table[j / entries] * entries + j % entries. Plain data: never changes.
typedef struct ohal_page_space {
    // Pages of the pool, the null and the trash page included.
    uint64_t pages;
    // Entries in a page.
    uint64_t entries;
    // Pages in a sequence's page table.
    uint64_t table;
} ohal_page_space;

// A function of one variable. Plain data: never changes.
typedef struct ohal_func {
    // OHAL_FUNC_...
    uint32_t kind;
    // Lower bound of OHAL_FUNC_CLAMP, else 0.
    float low;
    // Upper bound of OHAL_FUNC_CLAMP, else 0.
    float high;
    // 0.
    uint32_t reserved;
} ohal_func;

// An operand that is a tensor or one number for all. Plain data: never changes.
typedef struct ohal_source {
    // OHAL_SOURCE_TENSOR or OHAL_SOURCE_CONST.
    uint32_t kind;
    // The constant, or 0.
    float value;
    // Shape of the tensor; rank 0 for a constant.
    ohal_shape shape;
} ohal_source;

// Which compressed entries a row attends to. Plain data: never changes.
typedef struct ohal_entries {
    // OHAL_ENTRIES_...
    uint32_t kind;
    // 0.
    uint32_t reserved;
    // Entries listed for a row, for OHAL_ENTRIES_LISTED, else 0.
    uint64_t listed;
} ohal_entries;

// How a row's experts are chosen. Plain data: never changes.
typedef struct ohal_routing {
    // OHAL_ROUTING_...
    uint32_t kind;
    // 0.
    uint32_t reserved;
    // Rows of the table, for OHAL_ROUTING_HASH, else 0.
    uint64_t rows;
} ohal_routing;

// The scales of a quantised tensor: same rank as its data, one scale a block, contiguous. Plain data: never changes.
typedef struct ohal_quant {
    // Memory of the scales.
    ohal_mem mem;
    // OHAL_DTYPE_E8M0 or OHAL_DTYPE_F32; OHAL_NONE if the tensor has no scales, and then the other members mean nothing.
    uint32_t dtype;
    // 0.
    uint32_t reserved;
    // Rows of data that share a scale.
    uint64_t block_rows;
    // Columns of data that share a scale.
    uint64_t block_cols;
    // Shape of the scale tensor.
    ohal_shape shape;
} ohal_quant;

// A tensor. Owns nothing. Plain data: never changes.
typedef struct ohal_view {
    // The memory it lies in. Element 0 is at mem.addr + offset.
    ohal_mem mem;
    // Bytes from the start of `mem` to element 0.
    uint64_t offset;
    // Dimensions in logical elements: FP4 counts single values.
    ohal_shape shape;
    // Distance in logical elements between neighbours along each axis. 0 repeats an input.
    uint64_t strides[6];
    // Element type.
    uint32_t dtype;
    // OHAL_LAYOUT_...
    uint32_t layout;
    // Which private layout, for OHAL_LAYOUT_VENDOR, else 0.
    uint32_t vendor_layout;
    // 0.
    uint32_t reserved;
    // Scales, if the elements are codes.
    ohal_quant quant;
} ohal_view;

// A step-table column. Plain data: never changes.
typedef struct ohal_column {
    // OHAL_COLUMN_...
    uint32_t kind;
    // Compression ratio whose state space it belongs to; 0 for a column that belongs to none.
    uint32_t ratio;
} ohal_column;

// An operator with its descriptor. `desc` points to the `ohal_<family>_<name>_desc` of `kind`.
typedef struct ohal_op {
    // Bytes of this struct.
    uint32_t struct_size;
    // OHAL_OP_...
    uint32_t kind;
    // Extensions, or NULL.
    const struct ohal_ext *ext;
    // The descriptor, aligned to 8 bytes, valid during the call.
    const void *desc;
    // Bytes of the descriptor. If there are more than the reader knows, the rest must be 0, else the operator is unsupported;
    // if fewer, missing members are 0.
    uint64_t desc_size;
} ohal_op;

// ---- embed ----

// embed.lookup (core)
//
// `x[t, j] = table[ids[t]]` for each of `copies` identical streams (deepseek-v4.md 3).
// An id outside the table gives an unspecified row, never a fault: the host refuses such ids before.
typedef struct ohal_embed_lookup_desc {
    // Rows of a step.
    uint64_t rows;
    // Rows of the table.
    uint64_t vocab;
    // Hidden size.
    uint64_t width;
    // Residual streams.
    uint64_t copies;
    // Table type: F32 or BF16. OHAL_DTYPE_...
    uint32_t table;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_embed_lookup_desc;

// Arguments of embed.lookup, by their place.
enum {
    // In: Embedding table.
    OHAL_EMBED_LOOKUP_TABLE = 0,
    // In: Token ids.
    OHAL_EMBED_LOOKUP_IDS = 1,
    // Out: Residual streams.
    OHAL_EMBED_LOOKUP_X = 2,
    OHAL_EMBED_LOOKUP_ARGS = 3,
};

// embed.ids (fused)
//
// Token ids of a step: a literal id (>= 0), or `-1-i` for the i-th token that the device sampled last for the row's slot.
// Lets decoding go on before the host has read a token. Padding rows give 0.
typedef struct ohal_embed_ids_desc {
    // Rows of a step.
    uint64_t rows;
    // State slots.
    uint64_t slots;
    // Draft tokens kept beside the last one.
    uint64_t drafts;
} ohal_embed_ids_desc;

// Arguments of embed.ids, by their place.
enum {
    // In: Step column `toks`: position, slot, sequence, id.
    OHAL_EMBED_IDS_TOKS = 0,
    // In: Tokens sampled last, by slot.
    OHAL_EMBED_IDS_LAST = 1,
    // Out: Token ids.
    OHAL_EMBED_IDS_IDS = 2,
    OHAL_EMBED_IDS_ARGS = 3,
};

// ---- norm ----

// norm.rms (core)
//
// `y = weight * x * rsqrt(mean(x^2) + eps)` over the last axis, f32 inside, one rounding (deepseek-v4.md 3.1).
// Without a weight the factor is 1. A row of zeros gives zeros. `y` may be `x`; both may have gaps between rows.
typedef struct ohal_norm_rms_desc {
    // Rows.
    uint64_t rows;
    // Vectors in a row, normalised apart.
    uint64_t heads;
    // Elements of a vector.
    uint64_t width;
    // Added to the mean square.
    float eps;
    // Type of the weight, if there is one. OHAL_DTYPE_..., or OHAL_NONE.
    uint32_t weight;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_norm_rms_desc;

// Arguments of norm.rms, by their place.
enum {
    // In: Input.
    OHAL_NORM_RMS_X = 0,
    // In, optional: Gain of each channel.
    OHAL_NORM_RMS_WEIGHT = 1,
    // Out: Normalised vectors.
    OHAL_NORM_RMS_Y = 2,
    OHAL_NORM_RMS_ARGS = 3,
};

// ---- gemm ----

// gemm.linear (core)
//
// `y = a_quant(a) w^T (+ y)`. With `a_quant`, activations are rounded to the E4M3 grid in groups of 128 channels first.
typedef struct ohal_gemm_linear_desc {
    // Rows of a.
    uint64_t rows;
    // Products summed for one output.
    uint64_t inner;
    // Output channels.
    uint64_t outer;
    // Type of a. OHAL_DTYPE_...
    uint32_t input;
    // 0.
    uint32_t reserved1;
    // Weight format.
    ohal_weight_format weight;
    // Rounding of the activations. OHAL_ACT_QUANT_...
    uint32_t a_quant;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
    // Add to y instead of overwriting it. 0 or 1.
    uint32_t accumulate;
    // 0.
    uint32_t reserved2;
} ohal_gemm_linear_desc;

// Arguments of gemm.linear, by their place.
enum {
    // In: Activations.
    OHAL_GEMM_LINEAR_A = 0,
    // In: Weight.
    OHAL_GEMM_LINEAR_W = 1,
    // In and out: Result; rows may lie apart. Read first when accumulating.
    OHAL_GEMM_LINEAR_Y = 2,
    OHAL_GEMM_LINEAR_ARGS = 3,
};

// gemm.batched (core)
//
// `y[i] = alpha * a[i] b[i] (+ y[i])` for each of `batch` pairs. Any stride is legal except along the last axis.
typedef struct ohal_gemm_batched_desc {
    // Pairs.
    uint64_t batch;
    // Rows of a result.
    uint64_t m;
    // Products summed for one output.
    uint64_t inner;
    // Columns of a result.
    uint64_t n;
    // `a` is given as `[batch, inner, m]`. 0 or 1.
    uint32_t transpose_a;
    // `b` is given as `[batch, n, inner]`. 0 or 1.
    uint32_t transpose_b;
    // Type of a and b: F32 or BF16. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
    // Factor of the products.
    float alpha;
    // Add to y instead of overwriting it. 0 or 1.
    uint32_t accumulate;
} ohal_gemm_batched_desc;

// Arguments of gemm.batched, by their place.
enum {
    // In: Left operands.
    OHAL_GEMM_BATCHED_A = 0,
    // In: Right operands.
    OHAL_GEMM_BATCHED_B = 1,
    // In and out: Results; read first when accumulating.
    OHAL_GEMM_BATCHED_Y = 2,
    OHAL_GEMM_BATCHED_ARGS = 3,
};

// gemm.grouped (core)
//
// `y[i] = x[i] w[g]^T`, rows sorted by group, `counts[g]` rows in group g. Rows past the sum of counts are unspecified.
// The weight of a group without rows is not read.
typedef struct ohal_gemm_grouped_desc {
    // Rows of x.
    uint64_t rows;
    // Groups.
    uint64_t groups;
    // Products summed for one output.
    uint64_t inner;
    // Output channels.
    uint64_t outer;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // 0.
    uint32_t reserved1;
    // Weight format.
    ohal_weight_format weight;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
    // 0.
    uint32_t reserved2;
} ohal_gemm_grouped_desc;

// Arguments of gemm.grouped, by their place.
enum {
    // In: Activations, sorted by group.
    OHAL_GEMM_GROUPED_X = 0,
    // In: Rows of each group.
    OHAL_GEMM_GROUPED_COUNTS = 1,
    // In: Weights of all groups.
    OHAL_GEMM_GROUPED_W = 2,
    // Out: Results in the order of x.
    OHAL_GEMM_GROUPED_Y = 3,
    OHAL_GEMM_GROUPED_ARGS = 4,
};

// ---- quant ----

// quant.qdq (core)
//
// Rounds to the code grid and back: power-of-two scale of each group, nearest-even, saturating. Exact on every device.
// `y` may be `x`; both may have gaps between rows.
typedef struct ohal_quant_qdq_desc {
    // Rows.
    uint64_t rows;
    // Vectors in a row.
    uint64_t heads;
    // Elements of a vector.
    uint64_t width;
    // Elements that share a scale.
    uint64_t group;
    // Code grid. OHAL_QUANT_...
    uint32_t kind;
    // Type of x and y. OHAL_DTYPE_...
    uint32_t dtype;
} ohal_quant_qdq_desc;

// Arguments of quant.qdq, by their place.
enum {
    // In: Input.
    OHAL_QUANT_QDQ_X = 0,
    // Out: Rounded values.
    OHAL_QUANT_QDQ_Y = 1,
    OHAL_QUANT_QDQ_ARGS = 2,
};

// quant.dequant (core)
//
// Expands codes times scales to plain numbers; exact in BF16 for E8M0 scales. For load time.
typedef struct ohal_quant_dequant_desc {
    // Rows.
    uint64_t rows;
    // Columns.
    uint64_t width;
    // Stored format.
    ohal_weight_format format;
    // Type of y: F32 or BF16. OHAL_DTYPE_...
    uint32_t output;
    // 0.
    uint32_t reserved1;
} ohal_quant_dequant_desc;

// Arguments of quant.dequant, by their place.
enum {
    // In: Codes with scales.
    OHAL_QUANT_DEQUANT_W = 0,
    // Out: Values.
    OHAL_QUANT_DEQUANT_Y = 1,
    OHAL_QUANT_DEQUANT_ARGS = 2,
};

// quant.quantize (fused)
//
// Makes codes and E8M0 scales that several gemms can share. No decomposition: only a backend that wants it is given it.
typedef struct ohal_quant_quantize_desc {
    // Rows.
    uint64_t rows;
    // Elements of a row.
    uint64_t width;
    // Elements that share a scale.
    uint64_t group;
    // Code grid. OHAL_QUANT_...
    uint32_t kind;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
} ohal_quant_quantize_desc;

// Arguments of quant.quantize, by their place.
enum {
    // In: Input.
    OHAL_QUANT_QUANTIZE_X = 0,
    // Out: Codes.
    OHAL_QUANT_QUANTIZE_DATA = 1,
    // Out: Scales.
    OHAL_QUANT_QUANTIZE_SCALE = 2,
    OHAL_QUANT_QUANTIZE_ARGS = 3,
};

// ---- rope ----

// rope.apply (core)
//
// Rotates the last `rotary` channels of each vector in place, as pairs `(2k, 2k+1)`, f32 inside. Others are untouched.
typedef struct ohal_rope_apply_desc {
    // Rows.
    uint64_t rows;
    // Vectors in a row, rotated alike.
    uint64_t heads;
    // Elements of a vector.
    uint64_t width;
    // Rotated channels at its end.
    uint64_t rotary;
    // Rotate back. 0 or 1.
    uint32_t inverse;
    // Type of x. OHAL_DTYPE_...
    uint32_t dtype;
} ohal_rope_apply_desc;

// Arguments of rope.apply, by their place.
enum {
    // In and out: Vectors; rows may lie apart.
    OHAL_ROPE_APPLY_X = 0,
    // In: Cosine and sine of each pair, side by side.
    OHAL_ROPE_APPLY_CS = 1,
    OHAL_ROPE_APPLY_ARGS = 2,
};

// ---- attention ----

// attention.latent (fused)
//
// Splits the joint projection `lat`: `qr = rms(lat[..q_lora])`, `kv = rope(rms(lat[q_lora..]))`, then the state rounding of `kv`.
typedef struct ohal_attention_latent_desc {
    // Rows of a step.
    uint64_t rows;
    // Width of the query latent.
    uint64_t q_lora;
    // Width of a key-value row.
    uint64_t head;
    // Rotated channels at its end.
    uint64_t rotary;
    // Positions of the rope table.
    uint64_t positions;
    // Epsilon of both norms.
    float eps;
    // Rounding of kv. OHAL_ROW_QUANT_...
    uint32_t quant;
    // Type of the norm weights. OHAL_DTYPE_...
    uint32_t weight;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_attention_latent_desc;

// Arguments of attention.latent, by their place.
enum {
    // In: Joint projection; rows may lie apart.
    OHAL_ATTENTION_LATENT_LAT = 0,
    // In: Gain of the query latent.
    OHAL_ATTENTION_LATENT_Q_NORM = 1,
    // In: Gain of the key-value row.
    OHAL_ATTENTION_LATENT_KV_NORM = 2,
    // In: Cosine and sine by position.
    OHAL_ATTENTION_LATENT_ROPE = 3,
    // In: Step column `toks`.
    OHAL_ATTENTION_LATENT_TOKS = 4,
    // Out: Query latent.
    OHAL_ATTENTION_LATENT_QR = 5,
    // Out: Key-value rows of this step.
    OHAL_ATTENTION_LATENT_KV = 6,
    OHAL_ATTENTION_LATENT_ARGS = 7,
};

// attention.query (fused)
//
// Norm of each head without a weight, then rope, in place.
typedef struct ohal_attention_query_desc {
    // Rows of a step.
    uint64_t rows;
    // Query heads.
    uint64_t heads;
    // Width of a head.
    uint64_t head;
    // Rotated channels at its end.
    uint64_t rotary;
    // Positions of the rope table.
    uint64_t positions;
    // Epsilon of the norm.
    float eps;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_attention_query_desc;

// Arguments of attention.query, by their place.
enum {
    // In and out: Queries; rows may lie apart.
    OHAL_ATTENTION_QUERY_Q = 0,
    // In: Cosine and sine by position.
    OHAL_ATTENTION_QUERY_ROPE = 1,
    // In: Step column `toks`.
    OHAL_ATTENTION_QUERY_TOKS = 2,
    OHAL_ATTENTION_QUERY_ARGS = 3,
};

// attention.sparse (fused)
//
// Attention of each row over its window and its compressed entries, one key-value row for all heads, with one sink logit a head.
// Keys in order: positions `max(0, t-window+1)..=t` (from `kv` if in this step, else from the ring as it was), then the entries,
// ascending. Softmax includes the sink in its maximum and its sum; the sink contributes no value. When act is BF16, probabilities are
// rounded to BF16 before the value product, the denominator is not. With `inverse` the last channels of the result are rotated back
// by the query's position. Entries that are not visible (`j >= (t+1)/ratio`), repeated, or on absent pages count as absent.
typedef struct ohal_attention_sparse_desc {
    // Rows of a step.
    uint64_t rows;
    // Sequences of a step.
    uint64_t seqs;
    // Query heads.
    uint64_t heads;
    // Width of a head and of a key-value row.
    uint64_t head;
    // Rotated channels at its end.
    uint64_t rotary;
    // Positions of the rope table.
    uint64_t positions;
    // Window length, the row itself included.
    uint64_t window;
    // Factor of the logits.
    float scale;
    // 0.
    uint32_t reserved1;
    // Which compressed entries.
    ohal_entries entries;
    // Positions in a compressed entry.
    uint64_t ratio;
    // Pages of the entry pool.
    ohal_page_space pages;
    // Rows of a window ring.
    uint64_t ring;
    // State slots.
    uint64_t slots;
    // Stored rows of ring and pool.
    ohal_row_format format;
    // Rotate the result back. 0 or 1.
    uint32_t inverse;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_attention_sparse_desc;

// Arguments of attention.sparse, by their place.
enum {
    // In: Queries; rows may lie apart.
    OHAL_ATTENTION_SPARSE_Q = 0,
    // In: Key-value rows of this step.
    OHAL_ATTENTION_SPARSE_KV = 1,
    // In: Window rings.
    OHAL_ATTENTION_SPARSE_RING = 2,
    // In, optional: Compressed entries.
    OHAL_ATTENTION_SPARSE_POOL = 3,
    // In, optional: Step column `pt` of the ratio.
    OHAL_ATTENTION_SPARSE_PT = 4,
    // In, optional: Chosen entries.
    OHAL_ATTENTION_SPARSE_IDX = 5,
    // In: Sink logit of each head.
    OHAL_ATTENTION_SPARSE_SINK = 6,
    // In: Cosine and sine by position.
    OHAL_ATTENTION_SPARSE_ROPE = 7,
    // In: Step column `toks`.
    OHAL_ATTENTION_SPARSE_TOKS = 8,
    // In: Step column `seqs`.
    OHAL_ATTENTION_SPARSE_SEQS = 9,
    // Out: Attention output of each head.
    OHAL_ATTENTION_SPARSE_O = 10,
    OHAL_ATTENTION_SPARSE_ARGS = 11,
};

// ---- compress ----

// compress.update (fused)
//
// Pools every window of `ratio` positions that closes in this step, and keeps the rows of windows still open.
//
// `row[t] = proj[t] + ape[pos mod ratio]`. A closing `(b, j)` pools the rows of positions `j*ratio .. (j+1)*ratio-1`; with `overlap` the
// A-halves of the `ratio` positions before come first (absent for j = 0) and the B-halves of its own positions follow. Per channel:
// `alpha = softmax(gate)` over the slots, `e = sum alpha * kv`. Then: round to act, norm, rope at position `j*ratio`, Hadamard if asked, state rounding, store at
// the pool row of entry j. Afterwards `state[slot, pos mod ring] = row[t]`. A position is read from `proj` if it is in this step, else
// from `state` as it was before. Entries on pages that the table does not have are dropped.
//
// Columns of a row, for each half: kv, then gate, `width` each.
typedef struct ohal_compress_update_desc {
    // Rows of a step.
    uint64_t rows;
    // Sequences of a step.
    uint64_t seqs;
    // Closings that a step can have.
    uint64_t closings;
    // Positions in an entry.
    uint64_t ratio;
    // Entries also pool the A-halves of the window before. 0 or 1.
    uint32_t overlap;
    // 0.
    uint32_t reserved1;
    // Channels of an entry.
    uint64_t width;
    // Rotated channels at its end.
    uint64_t rotary;
    // Positions of the rope table.
    uint64_t positions;
    // Rows of an open-window ring.
    uint64_t ring;
    // State slots.
    uint64_t slots;
    // Epsilon of the norm.
    float eps;
    // Multiply by the orthonormal Hadamard matrix after rope. 0 or 1.
    uint32_t hadamard;
    // Rounding of an entry. OHAL_ROW_QUANT_...
    uint32_t quant;
    // 0.
    uint32_t reserved2;
    // Pages of the pool.
    ohal_page_space pages;
    // Stored rows of the pool.
    ohal_row_format format;
    // Type of the norm weight. OHAL_DTYPE_...
    uint32_t weight;
    // Type that the pooled value is rounded to before its norm. OHAL_DTYPE_...
    uint32_t act;
} ohal_compress_update_desc;

// Arguments of compress.update, by their place.
enum {
    // In: Projections of the rows; rows may lie apart.
    OHAL_COMPRESS_UPDATE_PROJ = 0,
    // In: Position bias in the gate columns, 0 in the kv columns.
    OHAL_COMPRESS_UPDATE_APE = 1,
    // In: Gain of the norm.
    OHAL_COMPRESS_UPDATE_NORM = 2,
    // In: Cosine and sine by position.
    OHAL_COMPRESS_UPDATE_ROPE = 3,
    // In and out: Open windows.
    OHAL_COMPRESS_UPDATE_STATE = 4,
    // In and out: Compressed entries.
    OHAL_COMPRESS_UPDATE_POOL = 5,
    // In: Step column `pt` of the ratio.
    OHAL_COMPRESS_UPDATE_PT = 6,
    // In: Step column `toks`.
    OHAL_COMPRESS_UPDATE_TOKS = 7,
    // In: Step column `seqs`.
    OHAL_COMPRESS_UPDATE_SEQS = 8,
    // In: Step column `close` of the ratio.
    OHAL_COMPRESS_UPDATE_CLOSE = 9,
    OHAL_COMPRESS_UPDATE_ARGS = 10,
};

// ---- indexer ----

// indexer.query (fused)
//
// Rope, then Hadamard and rounding if asked, of each indexer head, in place. No norm.
typedef struct ohal_indexer_query_desc {
    // Rows of a step.
    uint64_t rows;
    // Indexer heads.
    uint64_t heads;
    // Width of a head.
    uint64_t width;
    // Rotated channels at its end.
    uint64_t rotary;
    // Positions of the rope table.
    uint64_t positions;
    // Multiply by the orthonormal Hadamard matrix after rope. 0 or 1.
    uint32_t hadamard;
    // Rounding. OHAL_ROW_QUANT_...
    uint32_t quant;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // 0.
    uint32_t reserved1;
} ohal_indexer_query_desc;

// Arguments of indexer.query, by their place.
enum {
    // In and out: Indexer queries; rows may lie apart.
    OHAL_INDEXER_QUERY_Q = 0,
    // In: Cosine and sine by position.
    OHAL_INDEXER_QUERY_ROPE = 1,
    // In: Step column `toks`.
    OHAL_INDEXER_QUERY_TOKS = 2,
    OHAL_INDEXER_QUERY_ARGS = 3,
};

// indexer.select (fused)
//
// Scores every visible entry and keeps the best `keep`: `s(t, j) = (width * heads)^-1/2 * sum_h w_h * relu(q_h . k_j)`, f32, for `j < (pos+1)/ratio`.
// The result is ascending by entry, -1 at the end; with fewer visible entries, all of them. Ties: lowest entry. A NaN score ranks below every number.
typedef struct ohal_indexer_select_desc {
    // Rows of a step.
    uint64_t rows;
    // Sequences of a step.
    uint64_t seqs;
    // Indexer heads.
    uint64_t heads;
    // Width of a head and of a key.
    uint64_t width;
    // Rotated channels, as the stored key's format needs them.
    uint64_t rotary;
    // Entries kept.
    uint64_t keep;
    // Positions in an entry.
    uint64_t ratio;
    // Pages of the key pool.
    ohal_page_space pages;
    // Stored rows of the pool.
    ohal_row_format format;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // Give the scores of the kept entries too. 0 or 1.
    uint32_t with_scores;
} ohal_indexer_select_desc;

// Arguments of indexer.select, by their place.
enum {
    // In: Indexer queries; rows may lie apart.
    OHAL_INDEXER_SELECT_Q = 0,
    // In: Head weights, before the factor `(width * heads)^-1/2`; rows may lie apart.
    OHAL_INDEXER_SELECT_W = 1,
    // In: Indexer keys.
    OHAL_INDEXER_SELECT_POOL = 2,
    // In: Step column `pt` of the ratio.
    OHAL_INDEXER_SELECT_PT = 3,
    // In: Step column `toks`.
    OHAL_INDEXER_SELECT_TOKS = 4,
    // Out: Kept entries.
    OHAL_INDEXER_SELECT_IDX = 5,
    // Out, optional: Their scores; unspecified where `idx` is -1.
    OHAL_INDEXER_SELECT_SCORES = 6,
    OHAL_INDEXER_SELECT_ARGS = 7,
};

// ---- hyper ----

// hyper.pre (fused)
//
// Coefficients from the flattened streams, and their weighted sum: the input of a sublayer.
// `g = (z fn^T) * rsqrt(mean(z^2) + eps)`; `pre = sigmoid(g*scale[0]+base) + hc_eps`; `post = 2 sigmoid(g*scale[1]+base)`;
// `comb = sinkhorn(g*scale[2]+base)`; `a = sum_j pre[j] x[j]`, rounded, then normalised if a norm weight is given.
typedef struct ohal_hyper_pre_desc {
    // Rows of a step.
    uint64_t rows;
    // Residual streams.
    uint64_t streams;
    // Hidden size.
    uint64_t width;
    // Sinkhorn iterations.
    uint64_t iters;
    // Epsilon of the norms.
    float eps;
    // Epsilon of the mixing coefficients.
    float hc_eps;
    // Type of the sublayer's norm weight, if the norm is to be done here. OHAL_DTYPE_..., or OHAL_NONE.
    uint32_t norm;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_hyper_pre_desc;

// Arguments of hyper.pre, by their place.
enum {
    // In: Residual streams.
    OHAL_HYPER_PRE_X = 0,
    // In: Projection to the coefficients.
    OHAL_HYPER_PRE_PROJECTION = 1,
    // In: Scale of the three groups of coefficients.
    OHAL_HYPER_PRE_SCALE = 2,
    // In: Bias of the coefficients.
    OHAL_HYPER_PRE_BASE = 3,
    // In, optional: Gain of the sublayer's norm.
    OHAL_HYPER_PRE_NORM = 4,
    // Out: Input of the sublayer.
    OHAL_HYPER_PRE_A = 5,
    // Out: Weight of the sublayer's output in each stream.
    OHAL_HYPER_PRE_POST = 6,
    // Out: Mixing of the streams: from row, to column.
    OHAL_HYPER_PRE_COMB = 7,
    OHAL_HYPER_PRE_ARGS = 8,
};

// hyper.sinkhorn (fused)
//
// Softmax of each row plus eps, then columns, then `iters-1` times rows and columns, divided by their sum plus eps.
typedef struct ohal_hyper_sinkhorn_desc {
    // Rows of a step.
    uint64_t rows;
    // Residual streams.
    uint64_t streams;
    // Iterations.
    uint64_t iters;
    // Added after the softmax and to every sum.
    float eps;
    // 0.
    uint32_t reserved1;
} ohal_hyper_sinkhorn_desc;

// Arguments of hyper.sinkhorn, by their place.
enum {
    // In: Logits; rows may lie apart.
    OHAL_HYPER_SINKHORN_LOGITS = 0,
    // Out: Nearly doubly stochastic matrices; columns sum to 1.
    OHAL_HYPER_SINKHORN_COMB = 1,
    OHAL_HYPER_SINKHORN_ARGS = 2,
};

// hyper.post (fused)
//
// `y[k] = post[k] * out + sum_j comb[j, k] * x[j]`, one rounding. `y` may be `x`.
typedef struct ohal_hyper_post_desc {
    // Rows of a step.
    uint64_t rows;
    // Residual streams.
    uint64_t streams;
    // Hidden size.
    uint64_t width;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // 0.
    uint32_t reserved1;
} ohal_hyper_post_desc;

// Arguments of hyper.post, by their place.
enum {
    // In: Residual streams.
    OHAL_HYPER_POST_X = 0,
    // In: Output of the sublayer.
    OHAL_HYPER_POST_OUT = 1,
    // In: Weight of the output in each stream.
    OHAL_HYPER_POST_POST = 2,
    // In: Mixing of the streams.
    OHAL_HYPER_POST_COMB = 3,
    // Out: New residual streams.
    OHAL_HYPER_POST_Y = 4,
    OHAL_HYPER_POST_ARGS = 5,
};

// hyper.head (fused)
//
// Collapses the streams of the wanted rows: `y = sum_j (sigmoid(g*scale+base)[j] + hc_eps) x[j]`, rounded, then normalised if a weight is given.
typedef struct ohal_hyper_head_desc {
    // Rows of a step.
    uint64_t rows;
    // Rows wanted.
    uint64_t wanted;
    // Residual streams.
    uint64_t streams;
    // Hidden size.
    uint64_t width;
    // Epsilon of the norms.
    float eps;
    // Epsilon of the mixing coefficients.
    float hc_eps;
    // Type of the final norm's weight, if the norm is to be done here. OHAL_DTYPE_..., or OHAL_NONE.
    uint32_t norm;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
} ohal_hyper_head_desc;

// Arguments of hyper.head, by their place.
enum {
    // In: Residual streams.
    OHAL_HYPER_HEAD_X = 0,
    // In: Step column `out`: rows wanted, -1 for none.
    OHAL_HYPER_HEAD_OUT = 1,
    // In: Projection to the coefficients.
    OHAL_HYPER_HEAD_PROJECTION = 2,
    // In: Scale of the coefficients.
    OHAL_HYPER_HEAD_SCALE = 3,
    // In: Bias of the coefficients.
    OHAL_HYPER_HEAD_BASE = 4,
    // In, optional: Gain of the final norm.
    OHAL_HYPER_HEAD_NORM = 5,
    // Out: Collapsed rows.
    OHAL_HYPER_HEAD_Y = 6,
    OHAL_HYPER_HEAD_ARGS = 7,
};

// ---- moe ----

// moe.group (core)
//
// Sorts (row, choice) pairs by expert, then by pair. Absent experts and those outside `first..first+local` come last and are not counted. Exact.
typedef struct ohal_moe_group_desc {
    // Rows of a step.
    uint64_t rows;
    // Experts of a row.
    uint64_t choices;
    // First expert of this device.
    uint64_t first;
    // Experts of this device.
    uint64_t local;
} ohal_moe_group_desc;

// Arguments of moe.group, by their place.
enum {
    // In: Chosen experts, -1 for none.
    OHAL_MOE_GROUP_IDX = 0,
    // Out: Pair at each sorted place.
    OHAL_MOE_GROUP_PERM = 1,
    // Out: Row of that pair.
    OHAL_MOE_GROUP_SRC = 2,
    // Out: Sorted place of each pair.
    OHAL_MOE_GROUP_INV = 3,
    // Out: Pairs of each local expert.
    OHAL_MOE_GROUP_COUNTS = 4,
    OHAL_MOE_GROUP_ARGS = 5,
};

// moe.route (fused)
//
// Scores `s = sqrt(softplus(x gate^T))` in f32, chooses experts, and gives their weights `s / (sum s + 1e-20) * scale`.
// The bias decides the choice and never enters a weight. Order: by biased score (ties: lowest expert), or the table's. Padding rows give -1.
typedef struct ohal_moe_route_desc {
    // Rows of a step.
    uint64_t rows;
    // Hidden size.
    uint64_t width;
    // Experts.
    uint64_t experts;
    // Experts of a row.
    uint64_t choices;
    // How they are chosen.
    ohal_routing routing;
    // Factor of the weights.
    float scale;
    // Type of the gate weight. OHAL_DTYPE_...
    uint32_t gate;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // Give the gate's logits too. 0 or 1.
    uint32_t with_logits;
} ohal_moe_route_desc;

// Arguments of moe.route, by their place.
enum {
    // In: Activations.
    OHAL_MOE_ROUTE_X = 0,
    // In: Gate weight.
    OHAL_MOE_ROUTE_GATE = 1,
    // In, optional: Bias of the choice.
    OHAL_MOE_ROUTE_BIAS = 2,
    // In, optional: Experts by token id.
    OHAL_MOE_ROUTE_TABLE = 3,
    // In, optional: Token ids.
    OHAL_MOE_ROUTE_IDS = 4,
    // In: Step column `toks`.
    OHAL_MOE_ROUTE_TOKS = 5,
    // Out: Chosen experts.
    OHAL_MOE_ROUTE_IDX = 6,
    // Out: Their weights.
    OHAL_MOE_ROUTE_WT = 7,
    // Out, optional: Logits of the gate.
    OHAL_MOE_ROUTE_LOGITS = 8,
    OHAL_MOE_ROUTE_ARGS = 9,
};

// moe.swiglu (fused)
//
// `y = silu(min(g, limit)) * clamp(u, -limit, limit) * wt`, with g the first and u the second half of a row; f32 inside, one rounding.
typedef struct ohal_moe_swiglu_desc {
    // Rows.
    uint64_t rows;
    // Expert width.
    uint64_t inter;
    // Clamp.
    float limit;
    // Multiply by a weight for each row. 0 or 1.
    uint32_t weighted;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_moe_swiglu_desc;

// Arguments of moe.swiglu, by their place.
enum {
    // In: Gate and up projections side by side.
    OHAL_MOE_SWIGLU_X = 0,
    // In, optional: Weight of each row.
    OHAL_MOE_SWIGLU_WT = 1,
    // Out: Hidden values.
    OHAL_MOE_SWIGLU_Y = 2,
    OHAL_MOE_SWIGLU_ARGS = 3,
};

// moe.mlp (fused)
//
// The shared expert: `w2 swiglu(w13 x)`.
typedef struct ohal_moe_mlp_desc {
    // Rows of a step.
    uint64_t rows;
    // Hidden size.
    uint64_t width;
    // Expert width.
    uint64_t inter;
    // Format of w13.
    ohal_weight_format w13;
    // Format of w2.
    ohal_weight_format w2;
    // Clamp.
    float limit;
    // Rounding of the inputs of both products. OHAL_ACT_QUANT_...
    uint32_t a_quant;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // 0.
    uint32_t reserved1;
} ohal_moe_mlp_desc;

// Arguments of moe.mlp, by their place.
enum {
    // In: Activations.
    OHAL_MOE_MLP_X = 0,
    // In: Gate rows, then up rows.
    OHAL_MOE_MLP_W13 = 1,
    // In: Down projection.
    OHAL_MOE_MLP_W2 = 2,
    // Out: Result.
    OHAL_MOE_MLP_Y = 3,
    OHAL_MOE_MLP_ARGS = 4,
};

// moe.experts (fused)
//
// The routed experts: `y = acc + sum over choices of w2[e] q(swiglu(w13[e] q(x)) * wt)`, summed in list order in f32, one rounding.
// Absent and foreign experts add exactly 0.
typedef struct ohal_moe_experts_desc {
    // Rows of a step.
    uint64_t rows;
    // Hidden size.
    uint64_t width;
    // Expert width.
    uint64_t inter;
    // Experts of a row.
    uint64_t choices;
    // First expert of this device.
    uint64_t first;
    // Experts of this device.
    uint64_t local;
    // Format of w13.
    ohal_weight_format w13;
    // Format of w2.
    ohal_weight_format w2;
    // Clamp.
    float limit;
    // Rounding of the inputs of both products. OHAL_ACT_QUANT_...
    uint32_t a_quant;
    // Activation type. OHAL_DTYPE_...
    uint32_t act;
    // Add to `acc`. 0 or 1.
    uint32_t accumulate;
} ohal_moe_experts_desc;

// Arguments of moe.experts, by their place.
enum {
    // In: Activations.
    OHAL_MOE_EXPERTS_X = 0,
    // In: Chosen experts, -1 for none.
    OHAL_MOE_EXPERTS_IDX = 1,
    // In: Their weights.
    OHAL_MOE_EXPERTS_WT = 2,
    // In: Gate rows, then up rows, of each local expert.
    OHAL_MOE_EXPERTS_W13 = 3,
    // In: Down projection of each local expert.
    OHAL_MOE_EXPERTS_W2 = 4,
    // In, optional: Added to the result.
    OHAL_MOE_EXPERTS_ACC = 5,
    // Out: Result; may be `acc`.
    OHAL_MOE_EXPERTS_Y = 6,
    OHAL_MOE_EXPERTS_ARGS = 7,
};

// ---- cache ----

// cache.rows (core)
//
// Pool rows of entries: `phys = pt[which, j / entries] * entries + j mod entries`; an absent entry (negative or past the table) gives 0, the null row. Exact.
typedef struct ohal_cache_rows_desc {
    // Rows of `j`.
    uint64_t rows;
    // Entries in a row.
    uint64_t count;
    // Page tables.
    uint64_t tables;
    // Pages in a table.
    uint64_t table;
    // Entries in a page.
    uint64_t entries;
} ohal_cache_rows_desc;

// Arguments of cache.rows, by their place.
enum {
    // In: Page tables.
    OHAL_CACHE_ROWS_PT = 0,
    // In: Page table of each row.
    OHAL_CACHE_ROWS_WHICH = 1,
    // In: Entries.
    OHAL_CACHE_ROWS_J = 2,
    // Out: Pool rows.
    OHAL_CACHE_ROWS_PHYS = 3,
    OHAL_CACHE_ROWS_ARGS = 4,
};

// cache.store (fused)
//
// Stores the step's key-value rows: `ring[slot, pos mod ring] = kv[t]`, only the last `ring` rows of a sequence. Always after attention, never before.
typedef struct ohal_cache_store_desc {
    // Rows of a step.
    uint64_t rows;
    // Sequences of a step.
    uint64_t seqs;
    // Channels of a row.
    uint64_t width;
    // Rotated channels at its end.
    uint64_t rotary;
    // Rows of a ring.
    uint64_t ring;
    // State slots.
    uint64_t slots;
    // Stored rows.
    ohal_row_format format;
    // Type of kv. OHAL_DTYPE_...
    uint32_t act;
    // 0.
    uint32_t reserved1;
} ohal_cache_store_desc;

// Arguments of cache.store, by their place.
enum {
    // In: Rows of this step.
    OHAL_CACHE_STORE_KV = 0,
    // In and out: Window rings.
    OHAL_CACHE_STORE_RING = 1,
    // In: Step column `toks`.
    OHAL_CACHE_STORE_TOKS = 2,
    // In: Step column `seqs`.
    OHAL_CACHE_STORE_SEQS = 3,
    OHAL_CACHE_STORE_ARGS = 4,
};

// cache.copy_rows (fused)
//
// `t[to[i]] = t[from[i]]`; the two sets are disjoint, a negative index skips. Forks and snapshots, of slots and of pages.
typedef struct ohal_cache_copy_rows_desc {
    // Rows of the tensor.
    uint64_t rows;
    // Elements of a row.
    uint64_t width;
    // Copies.
    uint64_t count;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
    // 0.
    uint32_t reserved1;
} ohal_cache_copy_rows_desc;

// Arguments of cache.copy_rows, by their place.
enum {
    // In and out: Tensor, a slot or page a row.
    OHAL_CACHE_COPY_ROWS_T = 0,
    // In: Rows to read.
    OHAL_CACHE_COPY_ROWS_FROM = 1,
    // In: Rows to write.
    OHAL_CACHE_COPY_ROWS_TO = 2,
    OHAL_CACHE_COPY_ROWS_ARGS = 3,
};

// ---- sample ----

// sample.topk (core)
//
// The `keep` best of each row with their places. Ties: lowest place. A NaN ranks below every number.
typedef struct ohal_sample_topk_desc {
    // Rows.
    uint64_t rows;
    // Elements of a row.
    uint64_t width;
    // Elements kept.
    uint64_t keep;
    // Best means largest; otherwise smallest. 0 or 1.
    uint32_t largest;
    // Best first; otherwise in any order. 0 or 1.
    uint32_t sorted;
} ohal_sample_topk_desc;

// Arguments of sample.topk, by their place.
enum {
    // In: Values; rows may lie apart.
    OHAL_SAMPLE_TOPK_X = 0,
    // Out: Best values.
    OHAL_SAMPLE_TOPK_VALUES = 1,
    // Out: Their places.
    OHAL_SAMPLE_TOPK_IDX = 2,
    OHAL_SAMPLE_TOPK_ARGS = 3,
};

// sample.pick (fused)
//
// Chooses a token for each wanted row. Temperature 0: the largest logit, lowest id on ties, no penalty. Otherwise, in this order: repetition penalty
// (seen tokens: positive logits divided, negative multiplied), temperature, probabilities over the whole vocabulary, cut to the `candidates`
// best, top-k (below 1: off), top-p (1 and above: off), min-p, renormalise, first candidate whose cumulative sum exceeds `u`. Marks the token as seen and stores it in `last`.
typedef struct ohal_sample_pick_desc {
    // Rows of logits.
    uint64_t wanted;
    // Vocabulary.
    uint64_t vocab;
    // Candidates kept before the cuts.
    uint64_t candidates;
    // Rows of a step.
    uint64_t rows;
    // State slots.
    uint64_t slots;
    // Draft tokens kept beside the last one.
    uint64_t drafts;
    // Count seen tokens for the repetition penalty. 0 or 1.
    uint32_t penalties;
    // 0.
    uint32_t reserved1;
} ohal_sample_pick_desc;

// Arguments of sample.pick, by their place.
enum {
    // In: Logits.
    OHAL_SAMPLE_PICK_LOGITS = 0,
    // In: Parameters of each row, see temperature, top_k, top_p, min_p, repetition_penalty.
    OHAL_SAMPLE_PICK_PAR = 1,
    // In: Uniform numbers in 0..1, from a counter generator of the host.
    OHAL_SAMPLE_PICK_U = 2,
    // In: Step column `out`.
    OHAL_SAMPLE_PICK_OUT = 3,
    // In: Step column `toks`.
    OHAL_SAMPLE_PICK_TOKS = 4,
    // In and out, optional: 1 where a slot has seen a token.
    OHAL_SAMPLE_PICK_SEEN = 5,
    // In and out: Tokens sampled last, by slot.
    OHAL_SAMPLE_PICK_LAST = 6,
    // Out: Chosen tokens.
    OHAL_SAMPLE_PICK_TOK = 7,
    // Out: Logarithm of the token's probability after temperature, before the cuts.
    OHAL_SAMPLE_PICK_LOGPROB = 8,
    OHAL_SAMPLE_PICK_ARGS = 9,
};

// ---- elementwise ----

// elementwise.unary (core)
//
// `y = gamma * f(alpha * x + beta) + delta`.
typedef struct ohal_elementwise_unary_desc {
    // Shape of x and y.
    ohal_shape shape;
    // f.
    ohal_func func;
    // Factor of x.
    float alpha;
    // Added to the scaled x.
    float beta;
    // Factor of the result.
    float gamma;
    // Added to the scaled result.
    float delta;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_elementwise_unary_desc;

// Arguments of elementwise.unary, by their place.
enum {
    // In: Input.
    OHAL_ELEMENTWISE_UNARY_X = 0,
    // Out: Result; may be x.
    OHAL_ELEMENTWISE_UNARY_Y = 1,
    OHAL_ELEMENTWISE_UNARY_ARGS = 2,
};

// elementwise.binary (core)
//
// `y = a op b` with broadcasting; division is `scale * a / (b + eps)`.
typedef struct ohal_elementwise_binary_desc {
    // Shape of y.
    ohal_shape shape;
    // Shape of a: each dimension equal or 1.
    ohal_shape a_shape;
    // Shape of b: each dimension equal or 1.
    ohal_shape b_shape;
    // Operation. OHAL_ARITH_...
    uint32_t arith;
    // Added to a divisor.
    float eps;
    // Factor of a quotient.
    float scale;
    // Type of a. OHAL_DTYPE_...
    uint32_t a;
    // Type of b. OHAL_DTYPE_...
    uint32_t b;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_elementwise_binary_desc;

// Arguments of elementwise.binary, by their place.
enum {
    // In: Left operand.
    OHAL_ELEMENTWISE_BINARY_A = 0,
    // In: Right operand.
    OHAL_ELEMENTWISE_BINARY_B = 1,
    // Out: Result; may be an operand of the same shape.
    OHAL_ELEMENTWISE_BINARY_Y = 2,
    OHAL_ELEMENTWISE_BINARY_ARGS = 3,
};

// elementwise.where (core)
//
// `y = (a cmp b) ? p : q`; b, p and q are tensors or constants. Comparisons with NaN are false.
typedef struct ohal_elementwise_where_desc {
    // Shape of y.
    ohal_shape shape;
    // Shape of a: each dimension equal or 1.
    ohal_shape a_shape;
    // Comparison. OHAL_CMP_...
    uint32_t cmp;
    // 0.
    uint32_t reserved1;
    // What a is compared with.
    ohal_source b;
    // Chosen where the comparison holds.
    ohal_source p;
    // Chosen elsewhere.
    ohal_source q;
    // Type of a and b: F32 or I32. OHAL_DTYPE_...
    uint32_t compared;
    // Type of p, q and y. OHAL_DTYPE_...
    uint32_t dtype;
} ohal_elementwise_where_desc;

// Arguments of elementwise.where, by their place.
enum {
    // In: Compared values.
    OHAL_ELEMENTWISE_WHERE_A = 0,
    // In, optional: What they are compared with.
    OHAL_ELEMENTWISE_WHERE_B = 1,
    // In, optional: Values where the comparison holds.
    OHAL_ELEMENTWISE_WHERE_P = 2,
    // In, optional: Values elsewhere.
    OHAL_ELEMENTWISE_WHERE_Q = 3,
    // Out: Result; may be an operand of the same shape and type.
    OHAL_ELEMENTWISE_WHERE_Y = 4,
    OHAL_ELEMENTWISE_WHERE_ARGS = 5,
};

// elementwise.reduce (core)
//
// Combines the middle axis. The order is free, but fixed for a plan.
typedef struct ohal_elementwise_reduce_desc {
    // Elements before the reduced axis.
    uint64_t pre;
    // Elements combined.
    uint64_t len;
    // Elements after it.
    uint64_t post;
    // Combination. OHAL_REDUCTION_...
    uint32_t op;
    // Factor of the result.
    float alpha;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_elementwise_reduce_desc;

// Arguments of elementwise.reduce, by their place.
enum {
    // In: Input.
    OHAL_ELEMENTWISE_REDUCE_X = 0,
    // Out: Result.
    OHAL_ELEMENTWISE_REDUCE_Y = 1,
    OHAL_ELEMENTWISE_REDUCE_ARGS = 2,
};

// elementwise.softmax (core)
//
// Softmax over the middle axis; subtracts the maximum.
typedef struct ohal_elementwise_softmax_desc {
    // Elements before the axis.
    uint64_t pre;
    // Elements of the axis.
    uint64_t len;
    // Elements after it.
    uint64_t post;
} ohal_elementwise_softmax_desc;

// Arguments of elementwise.softmax, by their place.
enum {
    // In: Logits.
    OHAL_ELEMENTWISE_SOFTMAX_X = 0,
    // Out: Probabilities; may be x.
    OHAL_ELEMENTWISE_SOFTMAX_Y = 1,
    OHAL_ELEMENTWISE_SOFTMAX_ARGS = 2,
};

// elementwise.cumsum (core)
//
// Running sum along a row; exclusive leaves the element itself out.
typedef struct ohal_elementwise_cumsum_desc {
    // Rows.
    uint64_t rows;
    // Elements of a row.
    uint64_t len;
    // Leave the element itself out. 0 or 1.
    uint32_t exclusive;
    // 0.
    uint32_t reserved1;
} ohal_elementwise_cumsum_desc;

// Arguments of elementwise.cumsum, by their place.
enum {
    // In: Input.
    OHAL_ELEMENTWISE_CUMSUM_X = 0,
    // Out: Sums.
    OHAL_ELEMENTWISE_CUMSUM_Y = 1,
    OHAL_ELEMENTWISE_CUMSUM_ARGS = 2,
};

// ---- copy ----

// copy.copy (core)
//
// Copies with a cast and any strides on both sides: slices, permutations, repeats (stride 0 in x). Casts round to nearest even;
// F32 to I32 truncates. Equal types move bits.
typedef struct ohal_copy_copy_desc {
    // Shape.
    ohal_shape shape;
    // Type of x. OHAL_DTYPE_...
    uint32_t input;
    // Type of y. OHAL_DTYPE_...
    uint32_t output;
} ohal_copy_copy_desc;

// Arguments of copy.copy, by their place.
enum {
    // In: Source.
    OHAL_COPY_COPY_X = 0,
    // Out: Destination.
    OHAL_COPY_COPY_Y = 1,
    OHAL_COPY_COPY_ARGS = 2,
};

// copy.fill (core)
//
// Sets every element to one value.
typedef struct ohal_copy_fill_desc {
    // Shape.
    ohal_shape shape;
    // Value.
    float value;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
} ohal_copy_fill_desc;

// Arguments of copy.fill, by their place.
enum {
    // Out: Destination.
    OHAL_COPY_FILL_Y = 0,
    OHAL_COPY_FILL_ARGS = 1,
};

// copy.gather (core)
//
// `y[i] = src[idx[i]]`. An absent index gives zeros.
typedef struct ohal_copy_gather_desc {
    // Rows of src.
    uint64_t rows;
    // Elements of a row.
    uint64_t width;
    // Rows gathered.
    uint64_t count;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
    // Every index is known to be legal. 0 or 1.
    uint32_t trusted;
} ohal_copy_gather_desc;

// Arguments of copy.gather, by their place.
enum {
    // In: Source rows; may lie apart.
    OHAL_COPY_GATHER_SRC = 0,
    // In: Row numbers.
    OHAL_COPY_GATHER_IDX = 1,
    // Out: Gathered rows.
    OHAL_COPY_GATHER_Y = 2,
    OHAL_COPY_GATHER_ARGS = 3,
};

// copy.scatter (core)
//
// `dst[idx[i]] = src[i]`. An absent index is skipped; an index that occurs twice is legal in trash rows only.
typedef struct ohal_copy_scatter_desc {
    // Rows of dst.
    uint64_t rows;
    // Elements of a row.
    uint64_t width;
    // Rows scattered.
    uint64_t count;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
    // Every index is known to be legal. 0 or 1.
    uint32_t trusted;
} ohal_copy_scatter_desc;

// Arguments of copy.scatter, by their place.
enum {
    // In and out: Destination rows.
    OHAL_COPY_SCATTER_DST = 0,
    // In: Row numbers.
    OHAL_COPY_SCATTER_IDX = 1,
    // In: Source rows; may lie apart.
    OHAL_COPY_SCATTER_SRC = 2,
    OHAL_COPY_SCATTER_ARGS = 3,
};

// copy.take (core)
//
// `y[i, q] = x[i, idx[i, q]]`. An absent index gives zero.
typedef struct ohal_copy_take_desc {
    // Rows.
    uint64_t rows;
    // Elements of a row of x.
    uint64_t width;
    // Elements taken from a row.
    uint64_t count;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
    // 0.
    uint32_t reserved1;
} ohal_copy_take_desc;

// Arguments of copy.take, by their place.
enum {
    // In: Source rows; may lie apart.
    OHAL_COPY_TAKE_X = 0,
    // In: Places in the row.
    OHAL_COPY_TAKE_IDX = 1,
    // Out: Taken elements.
    OHAL_COPY_TAKE_Y = 2,
    OHAL_COPY_TAKE_ARGS = 3,
};

// copy.concat (core)
//
// Joins two to four tensors along the middle axis. Rows of the result may lie apart.
typedef struct ohal_copy_concat_desc {
    // Elements before the axis.
    uint64_t pre;
    // Length of the axis in each input; 0 for an input that is not there.
    uint64_t lens[4];
    // Elements after the axis.
    uint64_t post;
    // Element type. OHAL_DTYPE_...
    uint32_t dtype;
    // 0.
    uint32_t reserved1;
} ohal_copy_concat_desc;

// Arguments of copy.concat, by their place.
enum {
    // In: First input.
    OHAL_COPY_CONCAT_A = 0,
    // In: Second input.
    OHAL_COPY_CONCAT_B = 1,
    // In, optional: Third input.
    OHAL_COPY_CONCAT_C = 2,
    // In, optional: Fourth input.
    OHAL_COPY_CONCAT_D = 3,
    // Out: Joined tensor.
    OHAL_COPY_CONCAT_Y = 4,
    OHAL_COPY_CONCAT_ARGS = 5,
};

#endif
