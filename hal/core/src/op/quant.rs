//! Number formats: rounding to a code grid, expanding codes, making codes (deepseek-v4.md 2.2).

use super::{QuantKind, product};
use crate::{DType, WeightFormat};

super::operators! {
    /// Rounds to the code grid and back: power-of-two scale of each group, nearest-even, saturating. Exact on every device.
    /// `y` may be `x`; both may have gaps between rows.
    Core "quant.qdq" Qdq QdqArgs {
        /// Rows.
        rows: usize,
        /// Vectors in a row.
        heads: usize,
        /// Elements of a vector.
        width: usize,
        /// Elements that share a scale.
        group: usize,
        /// Code grid.
        kind: QuantKind,
        /// Type of x and y.
        dtype: DType,
    }
    require(d) {
        group if d.group > 0 && d.width % d.group == 0 => "a divisor of `width`";
    }
    args(d) {
        /// Input.
        read x = d.dtype, [d.rows, d.heads, d.width];
        /// Rounded values.
        write y = d.dtype, [d.rows, d.heads, d.width];
    }
    flops(d) = product([6, d.rows, d.heads, d.width]);

    /// Expands codes times scales to plain numbers; exact in BF16 for E8M0 scales. For load time.
    Core "quant.dequant" Dequant DequantArgs {
        /// Rows.
        rows: usize,
        /// Columns.
        width: usize,
        /// Stored format.
        format: WeightFormat,
        /// Type of y: F32 or BF16.
        output: DType,
    }
    require(d) {
        format if d.format.is_quantised() => "a blocked format";
    }
    args(d) {
        /// Codes with scales.
        read w = d.format, [d.rows, d.width];
        /// Values.
        write y = d.output, [d.rows, d.width];
    }
    flops(d) = product([d.rows, d.width]);

    /// Makes codes and E8M0 scales that several gemms can share. No decomposition: only a backend that wants it is given it.
    Fused "quant.quantize" Quantize QuantizeArgs {
        /// Rows.
        rows: usize,
        /// Elements of a row.
        width: usize,
        /// Elements that share a scale.
        group: usize,
        /// Code grid.
        kind: QuantKind,
        /// Type of x.
        input: DType,
    }
    require(d) {
        group if d.group > 0 && d.width % d.group == 0 => "a divisor of `width`";
    }
    args(d) {
        /// Input.
        read x = d.input, [d.rows, d.width];
        /// Codes.
        write data = match d.kind { QuantKind::F8E4M3 => DType::F8E4M3, QuantKind::F4E2M1 => DType::F4E2M1X2 }, [d.rows, d.width];
        /// Scales.
        write scale = DType::E8M0, [d.rows, d.width / d.group.max(1)];
    }
    flops(d) = product([4, d.rows, d.width]);
}
