//! quant.quantize.

use super::{result, stored, vector};
use crate::format::decode;
use crate::tensor::{Output, read};
use omnihal::op::QuantKind;
use omnihal::op::quant::{Quantize, QuantizeArgs};
use omnihal::{Args, DType, OpKind, Result};

pub fn quantize(d: &Quantize, args: &Args) -> Result<Vec<Output>> {
    let x = read(QuantizeArgs::new(args)?.x)?;
    let (codes, scales) = stored::codes(&vector::exact(&x.data), d.group, d.kind);
    let dtype = match d.kind {
        QuantKind::F8E4M3 => DType::F8E4M3,
        QuantKind::F4E2M1 => DType::F4E2M1X2,
    };
    let live = result::leading(d.rows, args.rows_hint);
    let op = OpKind::QuantQuantize;
    Ok(vec![
        result::dense_exact(op, "data", codes.into_iter().map(|c| decode(dtype, c)).collect(), &live),
        result::dense_exact(op, "scale", scales.into_iter().map(|c| decode(DType::E8M0, c)).collect(), &live),
    ])
}
