//! Root-mean-square norm: f32 inside, one rounding.

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::{BOOL, F32, Order};
use omnihal::Result;
use omnihal::op::norm::{Rms, RmsArgs};

pub(super) fn rms(c: &mut Calls<'_>, d: &Rms, args: RmsArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let vectors = d.rows * d.heads;
    let x = c.dense(&x, F32)?.reshape(&[vectors, d.width]);
    let gamma = match args.weight {
        Some(weight) => {
            let weight = Tensor::of(weight)?;
            c.dense(&weight, F32)?
        }
        None => {
            let ones = c.temp(F32, &[d.width])?;
            c.fill(&ones, 1.0)?;
            ones
        }
    };
    let (value, roots) = (c.temp(F32, &[vectors, d.width])?, c.temp(F32, &[vectors, 1])?);
    c.rms(&x, &gamma, d.eps, &value, &roots)?;
    let value = if d.eps == 0.0 { zeros_kept(c, &x, &value)? } else { value };
    c.copy(&value.reshape(&[d.rows, d.heads, d.width]), &y)
}

/// Without an epsilon the root of a row of zeros is infinite, and zero times infinity is no number: zeros stay zeros.
fn zeros_kept(c: &mut Calls<'_>, x: &Tensor, value: &Tensor) -> Result<Tensor> {
    let (is_zero, zero, kept) = (c.temp(BOOL, x.dims())?, c.temp(F32, &[1, 1])?, c.temp(F32, x.dims())?);
    c.compare_to(Order::Eq, x, 0.0, &is_zero)?;
    c.fill(&zero, 0.0)?;
    c.select(&is_zero, &zero, value, &kept)?;
    Ok(kept)
}
