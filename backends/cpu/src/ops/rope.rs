//! `rope.apply`.

use super::{Choice, Ctx, Tensor, each_row, unsupported};
use omnihal::op::rope::ApplyArgs;
use omnihal::{Args, Op, Result};

pub(crate) fn plan(op: &Op, _threads: usize) -> Result<Choice> {
    match op {
        Op::RopeApply(_) => Choice::new(run, 0),
        other => unsupported(other),
    }
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::RopeApply(d), views) = (op, ApplyArgs::new(args)?) else { return Ok(()) };
    let (x, cs) = (Tensor::new(views.x), Tensor::new(views.cs));
    let sign = if d.inverse { -1.0 } else { 1.0 };
    each_row(ctx, d.rows.min(args.rows_hint) * d.heads, d.rotary.max(1), &|i, _| {
        let (row, head) = (i / d.heads, i % d.heads);
        let start = x.place(&[row, head, d.width - d.rotary]);
        for k in (0..d.rotary).step_by(2) {
            // SAFETY: the pair lies in `x` and its angle in `cs`; each task has its own vector.
            unsafe {
                let (cos, sin) = (cs.get(cs.place(&[row, k])), sign * cs.get(cs.place(&[row, k + 1])));
                let (a, b) = (x.get(start + k), x.get(start + k + 1));
                x.set(start + k, a * cos - b * sin);
                x.set(start + k + 1, a * sin + b * cos);
            }
        }
    });
    Ok(())
}
