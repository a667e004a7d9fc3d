//! Which groups have rows, and how their products are split into tasks.

use super::products::grain;
use crate::ops::{Ctx, Scratch};
use omnihal::Mem;
use std::ops::Range;

/// A group with rows.
#[derive(Clone, Copy)]
pub(crate) struct Active {
    pub index: usize,
    /// Its first row in the order of the groups.
    pub start: usize,
    pub rows: usize,
}

/// The groups that have rows, in scratch memory.
pub(crate) struct Groups<'a> {
    active: &'a [Active],
}

impl Groups<'_> {
    /// Bytes of workspace for up to `groups` groups.
    pub(crate) const fn bytes(groups: usize) -> usize {
        Scratch::bytes(1, groups * size_of::<Active>())
    }

    /// Lists the groups with rows. Counts that go past `rows` in all are cut.
    ///
    /// # Safety
    /// The workspace must begin with [`Groups::bytes`] bytes that nobody else uses.
    pub(crate) unsafe fn new(workspace: Mem, groups: usize, rows: usize, count: impl Fn(usize) -> i32) -> Self {
        let scratch = Scratch::new(workspace, 0, groups * size_of::<Active>());
        // SAFETY: passed on to the caller; any bytes are a legal `Active`.
        let list = unsafe { scratch.slice::<Active>(0, 0, groups) };
        let (mut start, mut active) = (0, 0);
        for index in 0..groups {
            let rows = (count(index).max(0) as usize).min(rows - start);
            if rows > 0 {
                list[active] = Active { index, start, rows };
                active += 1;
            }
            start += rows;
        }
        Groups { active: &list[..active] }
    }

    /// Calls `task(group, outputs, thread)` for parts of the outputs of each group, on all threads.
    pub(crate) fn each(&self, ctx: &Ctx<'_>, outer: usize, task: &(dyn Fn(Active, Range<usize>, usize) + Sync)) {
        let grain = grain(outer * self.active.len(), ctx.pool.threads()).min(outer);
        let pieces = outer.div_ceil(grain.max(1));
        ctx.pool.run(self.active.len() * pieces, &|i, thread| {
            let out = i % pieces * grain;
            task(self.active[i / pieces], out..(out + grain).min(outer), thread);
        });
    }
}
