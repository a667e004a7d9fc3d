//! quant.quantize.

use super::result;
use crate::format::pow2;
use crate::num::{scale_exponent, to_grid};
use crate::tensor::{Output, read};
use omnihal::op::quant::{Quantize, QuantizeArgs};
use omnihal::{Args, OpKind, Result};

/// Makes codes and scales. A group with a NaN or an infinity has no scale: it is unspecified.
pub fn quantize(d: &Quantize, args: &Args) -> Result<Vec<Output>> {
    let x = read(QuantizeArgs::new(args)?.x)?;
    let (mut data, mut scales, mut finite) = (Vec::with_capacity(x.data.len()), Vec::new(), Vec::new());
    for (i, group) in x.data.chunks(d.group).enumerate() {
        let k = scale_exponent(group.iter().fold(0.0, |a: f64, x| a.max(x.abs())), d.kind);
        data.extend(group.iter().map(|&x| to_grid(x, k, d.kind) / pow2(k)));
        scales.push(pow2(k));
        finite.push(i * d.group / d.width < args.rows_hint && group.iter().all(|x| x.is_finite()));
    }
    let op = OpKind::QuantQuantize;
    Ok(vec![result::dense_exact(op, "data", data, &finite), result::dense_exact(op, "scale", scales, &finite)])
}
