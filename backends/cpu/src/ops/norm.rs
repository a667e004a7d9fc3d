//! `norm.rms`.

use super::{Choice, Ctx, Scratch, Tensor, each_row, unsupported};
use omnihal::op::norm::{Rms, RmsArgs};
use omnihal::{Args, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::NormRms(d) => Choice::new(run, Scratch::bytes(threads, part(d))),
        other => unsupported(other),
    }
}

/// Bytes that a thread needs: a vector and the gain.
fn part(d: &Rms) -> usize {
    2 * 4 * d.width
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::NormRms(d), views) = (op, RmsArgs::new(args)?) else { return Ok(()) };
    let (x, y, gain) = (Tensor::new(views.x), Tensor::new(views.y), views.weight.map(Tensor::new));
    let scratch = Scratch::new(args.workspace, 0, part(d));
    each_row(ctx, d.rows.min(args.rows_hint) * d.heads, d.width, &|i, thread| {
        let at = [i / d.heads, i % d.heads];
        // SAFETY: the vector lies in `x` and `y`; each task has its own, each thread its own scratch.
        unsafe {
            let (values, gains) = scratch.slice::<f32>(thread, 0, 2 * d.width).split_at_mut(d.width);
            x.load(x.place(&at), values, ctx.simd);
            normalise(values, gain.as_ref(), gains, d.eps, ctx);
            y.store(y.place(&at), values, ctx.simd);
        }
    });
    Ok(())
}

/// `values *= rsqrt(mean(values^2) + eps) * gain`, without rounding to the activation type.
///
/// # Safety
/// The gain, if there is one, must have as many elements as `values`; `gains` is scratch of that length.
pub(crate) unsafe fn normalise(values: &mut [f32], gain: Option<&Tensor>, gains: &mut [f32], eps: f32, ctx: &Ctx<'_>) {
    let mean = (ctx.simd.dot)(values, values) / values.len() as f32;
    // A vector of zeros stays one, even without an epsilon.
    let factor = if mean + eps == 0.0 { 0.0 } else { 1.0 / (mean + eps).sqrt() };
    match gain {
        None => values.iter_mut().for_each(|v| *v *= factor),
        Some(gain) => {
            // SAFETY: passed on to the caller.
            unsafe { gain.load(0, gains, ctx.simd) };
            values.iter_mut().zip(gains).for_each(|(v, g)| *v = *v * factor * *g);
        }
    }
}
