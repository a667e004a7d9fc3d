//! Which weights the product kernels take, and how they see a weight view.

use crate::simd::{Code, Scales, WeightRows};
use omnihal::{DType, Error, Result, View, WeightFormat};

/// Refuses a weight format that no kernel reads.
pub(crate) fn check(format: WeightFormat, inner: usize) -> Result<()> {
    let known = match format {
        WeightFormat::Plain(dtype) => matches!(dtype, DType::F32 | DType::BF16),
        WeightFormat::Blocked { data, scale, block } => {
            matches!(data, DType::F8E4M3 | DType::F4E2M1X2)
                && matches!(scale, DType::E8M0 | DType::F32)
                && block.0 > 0
                && block.1 > 0
        }
    };
    if !known {
        return Err(Error::unsupported(format!(
            "the cpu backend reads F32 and BF16 weights, and F8E4M3 and F4E2M1X2 codes with E8M0 or F32 scales, not {format}"
        )));
    }
    if format.dtype() == DType::F4E2M1X2 && inner % 2 != 0 {
        return Err(Error::unsupported(format!("rows of {inner} packed codes end inside a byte; use an even number")));
    }
    Ok(())
}

/// Refuses activations that are neither F32 nor BF16.
pub(crate) fn check_types(types: &[DType]) -> Result<()> {
    match types.iter().find(|t| !matches!(t, DType::F32 | DType::BF16)) {
        None => Ok(()),
        Some(other) => Err(Error::unsupported(format!("the cpu backend multiplies F32 and BF16 numbers, not {other}"))),
    }
}

/// Rows of matrix `index` of a weight `[outer, inner]` or `[groups, outer, inner]`.
pub(crate) fn rows(view: &View, index: usize) -> WeightRows {
    let rank = view.shape.rank();
    let (outer, inner) = (view.shape[rank - 2], view.shape[rank - 1]);
    let code = match view.dtype {
        DType::F32 => Code::F32,
        DType::BF16 => Code::BF16,
        DType::F8E4M3 => Code::F8E4M3,
        _ => Code::F4E2M1,
    };
    let matrix = if rank == 3 { code.bytes(view.strides[0]) } else { 0 };
    let data = view.addr() as *const u8;
    let scales = view.quant.map(|q| {
        let power_of_two = q.dtype == DType::E8M0;
        let stride = inner.div_ceil(q.block.1);
        let matrix = outer.div_ceil(q.block.0) * stride * q.dtype.bytes(1);
        let data = (q.mem.addr as *const u8).wrapping_add(index * matrix);
        Scales { data, power_of_two, stride, rows: q.block.0, cols: q.block.1 }
    });
    WeightRows {
        code,
        data: data.wrapping_add(index * matrix),
        row_bytes: code.bytes(view.strides[rank - 2]),
        inner,
        scales,
    }
}
