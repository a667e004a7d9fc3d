//! `moe.experts`: the routed experts, one product for all rows of an expert.
//!
//! A pass takes as many rows as scratch memory allows and sorts their (row, choice) pairs by expert. Each expert's hidden values are
//! made for all its pairs, then its results, some columns at a time; these are summed for each row in the order of its choices.

use super::group::{local, starts};
use super::mlp::activate;
use crate::ops::gemm::dense::{Local, f32_bytes};
use crate::ops::gemm::groups::Groups;
use crate::ops::gemm::linear::round;
use crate::ops::gemm::products::Right;
use crate::ops::gemm::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor, each_row};
use omnihal::op::moe::{Experts, ExpertsArgs};
use omnihal::{Args, Mem, Op, Result};

/// Bytes that the hidden values of a pass, and that its results, may take.
const PASS_BYTES: usize = 64 << 20;

/// Columns of results are made in whole multiples of this.
const COLUMN_STEP: usize = 64;

/// How the work is cut, and where its parts lie in the workspace.
struct Layout {
    /// Rows of a pass.
    rows: usize,
    /// Pairs of a pass.
    pairs: usize,
    /// Result columns made at a time.
    columns: usize,
    next: Part,
    order: Part,
    groups: Part,
    hidden: Part,
    results: Part,
    scratch: Part,
}

#[derive(Clone, Copy)]
struct Part {
    start: usize,
    bytes: usize,
}

impl Layout {
    fn new(d: &Experts) -> Layout {
        let rows = (PASS_BYTES / f32_bytes(d.choices * d.inter)).clamp(1, d.rows);
        let pairs = rows * d.choices;
        let fit = PASS_BYTES / f32_bytes(pairs) / COLUMN_STEP * COLUMN_STEP;
        let columns = fit.clamp(COLUMN_STEP, d.width.next_multiple_of(COLUMN_STEP)).min(d.width);
        let scratch = Local::new(d.width).scratch().max(Local::new(d.inter).scratch());
        let mut start = 0;
        let mut part = |bytes: usize| {
            let part = Part { start, bytes };
            start += Scratch::bytes(1, bytes);
            part
        };
        Layout {
            rows,
            pairs,
            columns,
            next: part(4 * (d.local + 1)),
            // The place of each pair, and the pair at each place.
            order: part(8 * pairs),
            groups: part(Groups::bytes(d.local)),
            hidden: part(f32_bytes(pairs * d.inter)),
            results: part(f32_bytes(pairs * columns)),
            scratch: part(f32_bytes(scratch)),
        }
    }

    fn bytes(&self, threads: usize) -> usize {
        self.scratch.start + Scratch::bytes(threads, self.scratch.bytes)
    }
}

pub(super) fn plan(d: &Experts, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.act])?;
    weights::check(d.w13, d.width)?;
    weights::check(d.w2, d.inter)?;
    Choice::new(run, Layout::new(d).bytes(threads))
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::MoeExperts(d), views) = (op, ExpertsArgs::new(args)?) else { return Ok(()) };
    let layout = Layout::new(d);
    let rows = d.rows.min(args.rows_hint);
    for first in (0..rows).step_by(layout.rows) {
        let rows = layout.rows.min(rows - first);
        let pass = Pass { d, views: &views, layout: &layout, workspace: args.workspace, first, rows, ctx };
        // SAFETY: the plan sized the workspace, and the pass before is over.
        unsafe { pass.run() };
    }
    Ok(())
}

struct Pass<'a> {
    d: &'a Experts,
    views: &'a ExpertsArgs<'a>,
    layout: &'a Layout,
    workspace: Mem,
    /// First row of the pass.
    first: usize,
    rows: usize,
    ctx: &'a Ctx<'a>,
}

impl Pass<'_> {
    fn part(&self, part: Part) -> Scratch {
        Scratch::new(self.workspace, part.start, part.bytes)
    }

    /// # Safety
    /// The workspace must have the size that the layout tells.
    unsafe fn run(&self) {
        // SAFETY: passed on to the caller; the parts do not overlap.
        unsafe {
            let (places, pairs) =
                self.part(self.layout.order).slice::<i32>(0, 0, 2 * self.layout.pairs).split_at_mut(self.layout.pairs);
            let next = self.part(self.layout.next).slice::<i32>(0, 0, self.d.local + 1);
            let groups = self.sort(next, places, pairs);
            self.make_hidden(&groups, pairs);
            for column in (0..self.d.width).step_by(self.layout.columns) {
                let columns = self.layout.columns.min(self.d.width - column);
                self.make_results(&groups, column, columns);
                self.sum(places, column, columns);
            }
        }
    }

    /// Sorts the pairs of the pass by expert. The place of an absent or foreign pair is -1.
    ///
    /// # Safety
    /// As for [`Pass::run`].
    unsafe fn sort(&self, next: &mut [i32], places: &mut [i32], pairs: &mut [i32]) -> Groups<'_> {
        let (d, idx) = (self.d, Tensor::new(self.views.idx));
        let expert = |pair: usize| {
            // SAFETY: the pair lies in `idx`.
            let expert = unsafe { idx.index(idx.place(&[self.first + pair / d.choices, pair % d.choices])) };
            local(expert, d.first, d.local)
        };
        let count = self.rows * d.choices;
        starts(next, count, expert);
        let groups = Mem { addr: self.workspace.addr + self.layout.groups.start as u64, len: self.layout.groups.bytes };
        // SAFETY: passed on to the caller.
        let groups = unsafe { Groups::new(groups, d.local, count, |e| next[e + 1] - next[e]) };
        for (pair, place) in places.iter_mut().enumerate().take(count) {
            *place = -1;
            if let Some(e) = expert(pair) {
                *place = next[e];
                pairs[next[e] as usize] = pair as i32;
                next[e] += 1;
            }
        }
        groups
    }

    /// Hidden values of every pair that has an expert here, in sorted order, rounded as the activation type asks.
    ///
    /// # Safety
    /// As for [`Pass::run`].
    unsafe fn make_hidden(&self, groups: &Groups<'_>, pairs: &[i32]) {
        let (d, ctx, local) = (self.d, self.ctx, Local::new(self.d.width));
        let (x, wt) = (Tensor::new(self.views.x), Tensor::new(self.views.wt));
        let (scratch, hidden) = (self.part(self.layout.scratch), self.part(self.layout.hidden));
        groups.each(ctx, d.inter, &|g, outs, thread| {
            let right = Right::Rows(weights::rows(self.views.w13, g.index));
            let pair = |row: usize| pairs[g.start + row] as usize;
            let (up, len) = (outs.start + d.inter..outs.end + d.inter, d.inter);
            // SAFETY: the pairs lie in `x` and `wt`; each thread has its own scratch, each task its own columns of hidden values.
            unsafe {
                let scratch = scratch.slice::<f32>(thread, 0, local.scratch());
                let load = |row: usize, out: &mut [f32]| {
                    x.load(x.place(&[self.first + pair(row) / d.choices]), out, ctx.simd);
                    round(d.a_quant, out, ctx);
                };
                local.multiply(ctx, &right, g.rows, &[outs.clone(), up], scratch, &load, &mut |row, s, o, values| {
                    let at = (g.start + row) * len + outs.start + o;
                    let gate = hidden.slice::<f32>(0, f32_bytes(at), values.len());
                    let weight = wt.get(wt.place(&[self.first + pair(row) / d.choices, pair(row) % d.choices]));
                    activate(s, gate, values, d.limit, weight, d.act, ctx);
                });
            }
        });
    }

    /// Result columns of every pair that has an expert here, in sorted order.
    ///
    /// # Safety
    /// As for [`Pass::run`].
    unsafe fn make_results(&self, groups: &Groups<'_>, column: usize, columns: usize) {
        let (d, ctx, local) = (self.d, self.ctx, Local::new(self.d.inter));
        let (scratch, hidden) = (self.part(self.layout.scratch), self.part(self.layout.hidden));
        let results = self.part(self.layout.results);
        groups.each(ctx, columns, &|g, outs, thread| {
            let right = Right::Rows(weights::rows(self.views.w2, g.index));
            let segment = column + outs.start..column + outs.end;
            // SAFETY: hidden values are only read now; each thread has its own scratch, each task its own result columns.
            unsafe {
                let scratch = scratch.slice::<f32>(thread, 0, local.scratch());
                let load = |row: usize, out: &mut [f32]| {
                    out.copy_from_slice(hidden.slice::<f32>(0, f32_bytes((g.start + row) * d.inter), d.inter));
                    round(d.a_quant, out, ctx);
                };
                local.multiply(ctx, &right, g.rows, &[segment], scratch, &load, &mut |row, _, o, values| {
                    let at = (g.start + row) * columns + outs.start + o;
                    results.slice::<f32>(0, f32_bytes(at), values.len()).copy_from_slice(values);
                });
            }
        });
    }

    /// Adds up the results of each row in the order of its choices.
    ///
    /// # Safety
    /// As for [`Pass::run`].
    unsafe fn sum(&self, places: &[i32], column: usize, columns: usize) {
        let (d, ctx, results) = (self.d, self.ctx, self.part(self.layout.results));
        let (y, acc) = (Tensor::new(self.views.y), self.views.acc.map(Tensor::new));
        let scratch = self.part(self.layout.scratch);
        each_row(ctx, self.rows, columns * d.choices, &|row, thread| {
            let at = [self.first + row, column];
            // SAFETY: the row lies in `y` and `acc`; each task has its own, each thread its own scratch.
            unsafe {
                let total = scratch.slice::<f32>(thread, 0, columns);
                match &acc {
                    Some(acc) => acc.load(acc.place(&at), total, ctx.simd),
                    None => total.fill(0.0),
                }
                for place in &places[row * d.choices..][..d.choices] {
                    if let Ok(place) = usize::try_from(*place) {
                        let values = results.slice::<f32>(0, f32_bytes(place * columns), columns);
                        total.iter_mut().zip(values).for_each(|(t, v)| *t += *v);
                    }
                }
                y.store(y.place(&at), total, ctx.simd);
            }
        });
    }
}
