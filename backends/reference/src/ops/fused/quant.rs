//! quant.quantize.

use super::result;
use crate::format::pow2;
use crate::num::{scale_exponent, to_grid};
use crate::tensor::{Output, read};
use omnihal::op::quant::{Quantize, QuantizeArgs};
use omnihal::{Args, OpKind, Result};

pub fn quantize(d: &Quantize, args: &Args) -> Result<Vec<Output>> {
    let x = read(QuantizeArgs::new(args)?.x)?;
    let (mut data, mut scales) = (Vec::with_capacity(x.data.len()), Vec::new());
    for group in x.data.chunks(d.group) {
        let k = scale_exponent(group.iter().fold(0.0, |a: f64, x| a.max(x.abs())), d.kind);
        data.extend(group.iter().map(|&x| to_grid(x, k, d.kind) / pow2(k)));
        scales.push(pow2(k));
    }
    let live = result::leading(d.rows, args.rows_hint);
    let op = OpKind::QuantQuantize;
    Ok(vec![result::dense_exact(op, "data", data, &live), result::dense_exact(op, "scale", scales, &live)])
}
