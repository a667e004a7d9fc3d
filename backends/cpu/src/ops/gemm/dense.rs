//! The product of many rows with one weight, shared by the operators that are a plain product inside.

use super::products::{self, BLOCK_ROWS, FEW, Group, Right, grain, multiply};
use crate::ops::{Ctx, Scratch};
use omnihal::Mem;

/// Bytes of packed activations that one pass over the weight uses at most, so that a long prompt needs little scratch.
const PASS_BYTES: usize = 16 << 20;

/// Bytes of `numbers` f32 numbers.
pub(crate) const fn f32_bytes(numbers: usize) -> usize {
    4 * numbers
}

/// Rows of one pass: whole blocks.
fn pass_rows(inner: usize) -> usize {
    (PASS_BYTES / f32_bytes(products::padded(inner)) / BLOCK_ROWS).max(1) * BLOCK_ROWS
}

/// One product `rows x inner` by `segments` ranges of `outer` outputs each.
pub(crate) struct Dense<'a> {
    /// Rows to compute.
    pub rows: usize,
    /// Rows that the workspace was sized for.
    pub capacity: usize,
    pub inner: usize,
    pub outer: usize,
    /// First output of each range; a task does the same part of all of them, in order.
    pub segments: &'a [usize],
    pub right: Right,
}

/// Reads row `row` as f32.
pub(crate) type Load<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// Takes finished values: row, segment, first output within the segment.
pub(crate) type Emit<'a> = dyn Fn(usize, usize, usize, &mut [f32]) + Sync + 'a;

/// Workspace that a product of up to `rows` rows needs.
pub(crate) fn workspace(rows: usize, inner: usize, threads: usize) -> usize {
    let group = Group::size(rows.min(pass_rows(inner)), inner);
    Scratch::bytes(1, f32_bytes(group)) + Scratch::bytes(threads, f32_bytes(products::scratch(inner)))
}

impl Dense<'_> {
    /// Runs the product on all threads.
    ///
    /// # Safety
    /// `workspace` must have the bytes that [`workspace`] tells for `capacity`; the right operand must have its outputs.
    pub(crate) unsafe fn run(&self, ctx: &Ctx<'_>, workspace: Mem, load: &Load<'_>, emit: &Emit<'_>) {
        let pass = pass_rows(self.inner);
        let size = Group::size(self.capacity.min(pass), self.inner);
        let activations = Scratch::new(workspace, 0, f32_bytes(size));
        let each = products::scratch(self.inner);
        let scratch = Scratch::new(workspace, Scratch::bytes(1, f32_bytes(size)), f32_bytes(each));
        for first in (0..self.rows).step_by(pass) {
            let rows = pass.min(self.rows - first);
            // SAFETY: the workspace has room for one pass, and the pass before is over.
            let group = Group::new(unsafe { activations.slice(0, 0, size) }, rows, &self.right);
            ctx.pool.run(rows.div_ceil(group.step()), &|i, thread| {
                // SAFETY: each task has its own rows, each thread its own scratch.
                unsafe {
                    let scratch = scratch.slice(thread, 0, each);
                    group.pack(i * group.step(), scratch, &|row, out| load(first + row, out));
                }
            });
            // SAFETY: as above.
            unsafe { self.multiply(ctx, group, scratch, &|row, s, o, values| emit(first + row, s, o, values)) };
        }
    }

    /// # Safety
    /// The group must be packed, and `scratch` must have a part for each thread.
    unsafe fn multiply(&self, ctx: &Ctx<'_>, group: Group, scratch: Scratch, emit: &Emit<'_>) {
        let block = if group.rows <= FEW { group.rows } else { BLOCK_ROWS };
        let grain = grain(self.outer, ctx.pool.threads());
        let pieces = self.outer.div_ceil(grain);
        ctx.pool.run(group.rows.div_ceil(block) * pieces, &|i, thread| {
            let (row, out) = (i / pieces * block, i % pieces * grain);
            let part = group.block(row, block.min(group.rows - row));
            let end = (out + grain).min(self.outer);
            for (s, segment) in self.segments.iter().enumerate() {
                // SAFETY: each task has its own outputs, each thread its own scratch; the group is only read now.
                unsafe {
                    let scratch = scratch.slice(thread, 0, products::scratch(self.inner));
                    multiply(&self.right, &part, segment + out..segment + end, scratch, ctx.simd, &mut |r, o, v| {
                        emit(row + r, s, o - segment, v)
                    });
                }
            }
        });
    }
}

/// The same, for the rows of one task, which may change its own state.
pub(crate) type EmitLocal<'a> = dyn FnMut(usize, usize, usize, &mut [f32]) + 'a;

/// A task-local product: packs blocks of rows in the thread's own scratch. For experts, whose rows are few.
pub(crate) struct Local {
    inner: usize,
    block: usize,
}

/// Bytes of packed rows that a thread keeps: they should stay in its second-level cache.
const LOCAL_BYTES: usize = 1 << 20;

impl Local {
    pub(crate) fn new(inner: usize) -> Local {
        let rows = LOCAL_BYTES / f32_bytes(products::padded(inner)) / products::FULL_TILE * products::FULL_TILE;
        Local { inner, block: rows.clamp(4 * products::FULL_TILE, BLOCK_ROWS) }
    }

    /// Numbers of scratch that a thread needs.
    pub(crate) fn scratch(&self) -> usize {
        Group::size(self.block, self.inner) + products::scratch(self.inner)
    }

    /// Multiplies `rows` rows with the outputs `out .. out + outs` of each segment, as [`Dense::run`] does.
    ///
    /// # Safety
    /// `scratch` must have [`Local::scratch`] numbers; the outputs must exist.
    #[allow(clippy::too_many_arguments, reason = "one call site a family; a struct would only rename the arguments")]
    pub(crate) unsafe fn multiply(
        &self,
        ctx: &Ctx<'_>,
        right: &Right,
        rows: usize,
        segments: &[std::ops::Range<usize>],
        scratch: &mut [f32],
        load: &dyn Fn(usize, &mut [f32]),
        emit: &mut EmitLocal<'_>,
    ) {
        let (packed, scratch) = scratch.split_at_mut(Group::size(self.block, self.inner));
        for first in (0..rows).step_by(self.block) {
            let group = Group::new(packed, self.block.min(rows - first), right);
            for row in (0..group.rows).step_by(group.step()) {
                // SAFETY: the block fits the packed part.
                unsafe { group.pack(row, scratch, &|row, out| load(first + row, out)) };
            }
            for (s, outs) in segments.iter().enumerate() {
                // SAFETY: passed on to the caller.
                unsafe {
                    multiply(right, &group, outs.clone(), scratch, ctx.simd, &mut |r, o, v| {
                        emit(first + r, s, o - outs.start, v)
                    })
                };
            }
        }
    }
}
