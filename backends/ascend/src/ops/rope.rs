//! Rotation of the last channels, as interleaved pairs.

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::{F32, Pair};
use omnihal::Result;
use omnihal::op::rope::{Apply, ApplyArgs};

pub(super) fn apply(c: &mut Calls<'_>, d: &Apply, args: ApplyArgs<'_>) -> Result<()> {
    let x = Tensor::of(args.x)?.slice(2, d.width - d.rotary, d.rotary);
    let cs = Tensor::of(args.cs)?;
    let dims = [d.rows, d.heads, d.rotary];
    let values = c.temp(F32, &dims)?;
    c.copy(&x, &values)?;
    let (even, odd) = (values.every(2, 0), values.every(2, 1));
    let (cosine, sine) = (cs.every(2, 0).with_axis(1), cs.every(2, 1).with_axis(1));
    let turned = c.temp(F32, &dims)?;
    let half = [d.rows, d.heads, d.rotary / 2];
    let (left, right) = (c.temp(F32, &half)?, c.temp(F32, &half)?);
    // Turning back is turning by the negative angle: the sine changes its sign.
    let (first, second) = if d.inverse { (Pair::Add, Pair::Sub) } else { (Pair::Sub, Pair::Add) };
    c.pair(Pair::Mul, &even, &cosine, &left)?;
    c.pair(Pair::Mul, &odd, &sine, &right)?;
    c.pair(first, &left, &right, &turned.every(2, 0))?;
    c.pair(Pair::Mul, &odd, &cosine, &left)?;
    c.pair(Pair::Mul, &even, &sine, &right)?;
    c.pair(second, &left, &right, &turned.every(2, 1))?;
    c.copy(&turned, &x)
}
