//! The step table: everything that varies between runs of a plan, in one buffer at a fixed device address.
//!
//! The host fills it ([`StepColumns::build`]) and uploads it with one copy before a step; a captured graph reads it and is never patched.
//! Base columns describe the batch. Derived columns are pure functions of them, built only when a plan asks, so that the core tier
//! needs no integer arithmetic on the device (op-catalogue.md 1.2).

mod build;

pub use build::{Sequence, StepColumns};

use crate::op::compress::halves;
use crate::{DType, Error, Mem, Result, Shape, View};
use serde::{Deserialize, Serialize};

/// One column. Those with a number belong to the state space of that compression ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Column {
    /// I32 `[N, 4]`: position, slot, sequence, id; padding rows -1.
    Toks,
    /// I32 `[B, 4]`: slot, first position, first row, rows; padding slot -1, rows 0.
    Seqs,
    /// I32 `[R]`: rows whose logits are wanted, -1 padding.
    Out,
    /// I32 `[B, Pm]`: pages of each sequence in order, 0 beyond the end.
    PageTable(u32),
    /// I32 `[C, 2]`: sequence and entry completed in this step, -1 padding.
    Close(u32),
    /// I32 `[N]`: position, padding 0.
    Pos0,
    /// F32 `[N]`: 1 for real rows, 0 for padding.
    Live,
    /// I32 `[NT*Q]`: position in tile order, padding 0.
    PosQt,
    /// I32 `[NT*Q]`: row at each place of the query tiles; a tile holds rows of one sequence; padding 0.
    QtRows,
    /// I32 `[N]`: place of each row in tile order.
    TokQt,
    /// I32 `[NT, Pm]`: page table of each tile.
    PtQt(u32),
    /// F32 `[NT*Q]`: entries visible to each tile row, 0 for padding.
    NVis(u32),
    /// I32 `[1 + (win-1)*B]`: ring rows of the positions just before each sequence's chunk; element 0 and missing ones: the null row.
    HistSrc,
    /// I32 `[NT*Q, win]`: rows of the linear key tensor that each tile row sees, ascending position; missing 0.
    WinSrc,
    /// I32 `[NT, E]`: pool rows of all entries of the tile's sequence, null row beyond its count.
    AllRows(u32),
    /// I32 `[N]`: place in `last` of a row whose id is not literal, else 0.
    LastIdx,
    /// I32 `[R]`: `Out` with padding as 0.
    Out0,
    /// I32 `[R]`: slot of each wanted row; padding: the trash slot.
    OutSlot,
    /// I32 `[N]`: window-ring row to write; the trash row for padding and for rows that a later row of the step overwrites.
    RingDst,
    /// I32 `[N]`: the same in the open-window ring.
    OwDst(u32),
    /// I32 `[N]`: position modulo the ratio.
    ApeIdx(u32),
    /// I32 `[C]`: position of the closed entry.
    ClPos(u32),
    /// I32 `[C]`: its pool row; padding: the trash row.
    ClDst(u32),
    /// I32 `[C*h*m]`: half-row of each pooled slot in the state, null row if it is not there.
    ClOld(u32),
    /// I32 `[C*h*m]`: half-row of each pooled slot in this step, 0 if it is not there.
    ClNew(u32),
    /// F32 `[C*h*m]`: 1 where the state is taken.
    ClSel(u32),
    /// F32 `[C*h*m]`: 1 where the slot exists.
    ClMask(u32),
}

/// The state space of one compression ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpaceShape {
    /// Positions in an entry.
    pub ratio: usize,
    /// Entries also pool the A-halves of the window before.
    pub overlap: bool,
    /// Closings that a step can have.
    pub closings: usize,
    /// Pages in a page table.
    pub table: usize,
    /// Entries in a page.
    pub page_entries: usize,
    /// Rows of an open-window ring.
    pub ring: usize,
}

impl SpaceShape {
    /// Slots that a closing pools.
    pub fn pooled(&self) -> usize {
        halves(self.overlap) * self.ratio
    }

    /// Closings that `rows` rows of `seqs` sequences can have at most.
    pub fn max_closings(ratio: usize, rows: usize, seqs: usize) -> usize {
        rows.min(rows / ratio + seqs).max(1)
    }
}

/// The capacities of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepShape {
    /// Token rows.
    pub rows: usize,
    /// Sequences.
    pub seqs: usize,
    /// Rows whose logits are wanted.
    pub wanted: usize,
    /// Rows of a query tile: 1 for decoding, more when keys are to be gathered once for several rows.
    pub tile: usize,
    /// Window length.
    pub window: usize,
    /// Rows of a window ring.
    pub ring: usize,
    /// Draft tokens kept beside the last one.
    pub drafts: usize,
    /// One space for each ratio of the model, ascending.
    pub spaces: Vec<SpaceShape>,
}

impl StepShape {
    /// Query tiles.
    pub fn tiles(&self) -> usize {
        if self.tile == 1 { self.rows } else { self.rows.div_ceil(self.tile) + self.seqs }
    }

    /// Rows of the linear key tensor: the null row, the history of each sequence, the rows of the step.
    pub fn linear_keys(&self) -> usize {
        1 + (self.window - 1) * self.seqs + self.rows
    }

    /// The space of a ratio.
    pub fn space(&self, ratio: u32) -> Result<&SpaceShape> {
        self.spaces
            .iter()
            .find(|s| s.ratio == ratio as usize)
            .ok_or_else(|| Error::argument(format!("the step has no state space of ratio {ratio}")))
    }

    /// Element type and shape of a column.
    pub fn column(&self, column: Column) -> Result<(DType, Shape)> {
        let (n, b, r) = (self.rows, self.seqs, self.wanted);
        let tiled = self.tiles() * self.tile;
        let i32_of = |shape: Shape| (DType::I32, shape);
        let f32_of = |shape: Shape| (DType::F32, shape);
        Ok(match column {
            Column::Toks => i32_of([n, 4].into()),
            Column::Seqs => i32_of([b, 4].into()),
            Column::Out | Column::Out0 | Column::OutSlot => i32_of([r].into()),
            Column::Pos0 | Column::TokQt | Column::LastIdx | Column::RingDst => i32_of([n].into()),
            Column::Live => f32_of([n].into()),
            Column::PosQt | Column::QtRows => i32_of([tiled].into()),
            Column::HistSrc => i32_of([1 + (self.window - 1) * b].into()),
            Column::WinSrc => i32_of([tiled, self.window].into()),
            Column::PageTable(m) => i32_of([b, self.space(m)?.table].into()),
            Column::Close(m) => i32_of([self.space(m)?.closings, 2].into()),
            Column::PtQt(m) => i32_of([self.tiles(), self.space(m)?.table].into()),
            Column::NVis(_) => f32_of([tiled].into()),
            Column::AllRows(m) => {
                let space = self.space(m)?;
                i32_of([self.tiles(), space.table * space.page_entries].into())
            }
            Column::OwDst(_) | Column::ApeIdx(_) => i32_of([n].into()),
            Column::ClPos(m) | Column::ClDst(m) => i32_of([self.space(m)?.closings].into()),
            Column::ClOld(m) | Column::ClNew(m) => i32_of([self.space(m)?.closings * self.space(m)?.pooled()].into()),
            Column::ClSel(m) | Column::ClMask(m) => f32_of([self.space(m)?.closings * self.space(m)?.pooled()].into()),
        })
    }
}

/// Where each column lies in the step table.
#[derive(Clone, Debug)]
pub struct StepLayout {
    shape: StepShape,
    columns: Vec<Placed>,
    words: usize,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    column: Column,
    /// Offset in 4-byte words.
    offset: usize,
    dtype: DType,
    shape: Shape,
}

/// Columns start at multiples of 64 bytes, the widest alignment that a listed device asks of an operand.
const ALIGN_WORDS: usize = 16;

impl StepLayout {
    /// Lays out the base columns and the derived ones asked for.
    pub fn new(shape: StepShape, derived: impl IntoIterator<Item = Column>) -> Result<Self> {
        let mut wanted = vec![Column::Toks, Column::Seqs, Column::Out];
        for space in &shape.spaces {
            wanted.extend([Column::PageTable(space.ratio as u32), Column::Close(space.ratio as u32)]);
        }
        wanted.extend(derived);
        wanted.sort_unstable();
        wanted.dedup();
        let (mut columns, mut words) = (Vec::with_capacity(wanted.len()), 0);
        for column in wanted {
            let (dtype, dims) = shape.column(column)?;
            columns.push(Placed { column, offset: words, dtype, shape: dims });
            words += dims.elements().next_multiple_of(ALIGN_WORDS);
        }
        Ok(StepLayout { shape, columns, words })
    }

    /// The capacities.
    pub fn shape(&self) -> &StepShape {
        &self.shape
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.words * 4
    }

    /// The columns, in table order.
    pub fn columns(&self) -> impl Iterator<Item = Column> + '_ {
        self.columns.iter().map(|p| p.column)
    }

    /// A column as a tensor in the table's memory.
    pub fn view(&self, column: Column, table: Mem) -> Result<View> {
        let placed = self
            .columns
            .iter()
            .find(|p| p.column == column)
            .ok_or_else(|| Error::argument(format!("column {column:?} is not in this step table")))?;
        View::contiguous(table.slice(placed.offset * 4, placed.shape.elements() * 4)?, placed.dtype, placed.shape)
    }
}
