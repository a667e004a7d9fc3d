//! Root-mean-square norm: f32 inside, one rounding.

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::F32;
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
    c.copy(&value.reshape(&[d.rows, d.heads, d.width]), &y)
}
