//! The device tensors of the state.

use crate::config::{Block, Config, Precision};
use crate::error::Result;
use crate::load::projection_width;
use crate::state::{MAX_ROLLBACK, RESERVED};
use omnihal::op::PageSpace;
use omnihal::{Buffer, DType, Device, MemoryKind, RowFormat, Shape, SpaceShape, Stream, View};
use omnihal_runtime::transfer;

/// Capacities of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateShape {
    /// Slots, the reserved ones included.
    pub slots: usize,
    /// Longest sequence in positions.
    pub positions: usize,
    /// Rows of a window ring.
    pub ring: usize,
    /// Ratios of the model, ascending, with the pages of each space (reserved ones included) and entries a page.
    pub spaces: Vec<Space>,
    /// Stored rows of rings and entries.
    pub rows: RowFormat,
    /// Stored rows of indexer keys.
    pub keys: RowFormat,
}

/// One page space: shared by all blocks of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Positions in an entry.
    pub ratio: usize,
    /// Entries also pool the window before.
    pub overlap: bool,
    /// Pages.
    pub pages: usize,
    /// Entries in a page.
    pub page_entries: usize,
}

impl Space {
    /// Positions in a page.
    pub fn page_positions(&self) -> usize {
        self.ratio * self.page_entries
    }

    /// Pages that hold the closed entries of `positions` positions.
    pub fn pages_for(&self, positions: usize) -> usize {
        (positions / self.ratio).div_ceil(self.page_entries)
    }

    /// Rows of an open-window ring: the rows a closing can read, and the slack that makes rolling back free.
    pub fn ring(&self) -> usize {
        (if self.overlap { 2 } else { 1 }) * self.ratio + MAX_ROLLBACK - 1
    }

    /// The space as a step sees it, with page tables of `table` pages.
    pub fn shape(&self, rows: usize, seqs: usize, table: usize) -> SpaceShape {
        SpaceShape {
            ratio: self.ratio,
            overlap: self.overlap,
            closings: SpaceShape::max_closings(self.ratio, rows, seqs),
            table,
            page_entries: self.page_entries,
            ring: self.ring(),
        }
    }
}

impl StateShape {
    /// Room for `sequences` sequences of up to `positions` positions each, in plain rows of type `row`.
    pub fn new(config: &Config, sequences: usize, positions: usize, row: DType) -> Self {
        let mut ratios: Vec<(usize, bool)> =
            config.blocks.iter().filter(|b| b.ratio > 0).map(|b| (b.ratio, b.overlaps())).collect();
        ratios.sort_unstable();
        ratios.dedup();
        let spaces = ratios.into_iter().map(|(ratio, overlap)| {
            // Page sizes of op-catalogue.md 5.1: 256 positions of CSA, 2048 of HCA at the released ratios.
            let page_entries = if overlap { 64 } else { 16 };
            let space = Space { ratio, overlap, pages: 0, page_entries };
            Space { pages: RESERVED + sequences * space.pages_for(positions).max(1), ..space }
        });
        StateShape {
            slots: RESERVED + sequences,
            positions,
            ring: (config.sliding_window + MAX_ROLLBACK - 1).next_multiple_of(16),
            spaces: spaces.collect(),
            rows: RowFormat::Plain(row),
            keys: RowFormat::Plain(row),
        }
    }

    /// The same room in packed rows, as far as the precision mode puts values on the packed grids. `None` if it does not: a packed row is
    /// legal only where it loses nothing (op-catalogue.md 5.1). Its rotated channels are BF16, so activations must be too.
    pub fn packed(&self, precision: Precision) -> Option<Self> {
        let plain = RowFormat::Plain(DType::BF16);
        if self.rows != plain || !precision.quantises_kv() {
            return None;
        }
        let keys = if precision.quantises_indexer() { RowFormat::F4 } else { plain };
        Some(StateShape { rows: RowFormat::F8R, keys, ..self.clone() })
    }

    /// The page space of a ratio.
    pub fn space(&self, ratio: usize) -> Option<&Space> {
        self.spaces.iter().find(|s| s.ratio == ratio)
    }

    /// Number of a ratio's space.
    pub fn space_index(&self, ratio: usize) -> usize {
        self.spaces.iter().position(|s| s.ratio == ratio).unwrap_or(0)
    }

    /// A ratio's pages as an operator sees them, with page tables of `table` pages.
    pub fn page_space(&self, ratio: usize, table: usize) -> PageSpace {
        let (pages, entries) = self.space(ratio).map_or((1, 1), |s| (s.pages, s.page_entries));
        PageSpace { pages, entries, table }
    }
}

/// The state tensors of one block.
#[derive(Clone)]
pub struct BlockState {
    /// `[slots, ring, head]`, or bytes of packed rows.
    pub ring: View,
    /// F32 `[slots, open ring, halves * 2 * head]`.
    pub open: Option<View>,
    /// `[pages, entries, head]`, or bytes of packed rows.
    pub entries: Option<View>,
    /// F32 `[slots, open ring, halves * 2 * indexer head]`.
    pub index_open: Option<View>,
    /// `[pages, entries, indexer head]`, or bytes of packed rows.
    pub keys: Option<View>,
}

impl BlockState {
    /// Tensors with one row a slot.
    pub fn slot_tensors(&self) -> impl Iterator<Item = &View> {
        [Some(&self.ring), self.open.as_ref(), self.index_open.as_ref()].into_iter().flatten()
    }

    /// Tensors with one row a page.
    pub fn page_tensors(&self) -> impl Iterator<Item = &View> {
        [self.entries.as_ref(), self.keys.as_ref()].into_iter().flatten()
    }
}

/// The state tensors of all blocks.
pub struct Pools {
    /// Capacities.
    pub shape: StateShape,
    /// Backbone blocks, then multi-token-prediction blocks.
    pub blocks: Vec<BlockState>,
    /// I32 `[slots, 1]`: the token that the device sampled last.
    pub last: View,
    /// The memory behind all views.
    pub buffers: Vec<Buffer>,
}

impl Pools {
    /// Allocates the pools. Null slots and pages are zeroed; with `poison`, all else is filled with NaN, to show what is read unwritten.
    pub fn new(
        device: &dyn Device,
        stream: &dyn Stream,
        config: &Config,
        shape: StateShape,
        poison: bool,
    ) -> Result<Self> {
        let mut alloc = Allocator { device, stream, poison, buffers: Vec::new() };
        let blocks = config.blocks.iter().chain(&config.mtp);
        let blocks = blocks.map(|block| alloc.block(config, &shape, block)).collect::<Result<_>>()?;
        let last = alloc.tensor(DType::I32, [shape.slots, 1])?;
        Ok(Pools { blocks, last, buffers: alloc.buffers, shape })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(Buffer::len).sum()
    }
}

struct Allocator<'a> {
    device: &'a dyn Device,
    stream: &'a dyn Stream,
    poison: bool,
    buffers: Vec<Buffer>,
}

impl Allocator<'_> {
    /// A tensor whose first row, the null slot or page, is zero.
    fn tensor(&mut self, dtype: DType, shape: impl Into<Shape>) -> Result<View> {
        let shape = shape.into();
        let bytes = dtype.bytes(shape.elements());
        let buffer = self.device.alloc(bytes, MemoryKind::Device)?;
        if self.poison {
            // All bits set is a NaN in F32 and BF16.
            transfer::fill(self.stream, &buffer, 0, bytes, 0xFF)?;
        }
        transfer::fill(self.stream, &buffer, 0, bytes / shape[0], 0)?;
        let view = View::contiguous(buffer.mem(), dtype, shape)?;
        self.buffers.push(buffer);
        Ok(view)
    }

    fn block(&mut self, config: &Config, shape: &StateShape, block: &Block) -> Result<BlockState> {
        let rotary = config.qk_rope_head_dim;
        let (dtype, len) = shape.rows.row(config.head_dim, rotary);
        let ring = self.tensor(dtype, [shape.slots, shape.ring, len])?;
        let mut state = BlockState { ring, open: None, entries: None, index_open: None, keys: None };
        let Some(space) = shape.space(block.ratio).copied() else { return Ok(state) };
        let mut pair = |width: usize, format: RowFormat| -> Result<(View, View)> {
            let (dtype, len) = format.row(width, rotary);
            let open = self.tensor(DType::F32, [shape.slots, space.ring(), projection_width(block, width)])?;
            let pool = self.tensor(dtype, [space.pages, space.page_entries, len])?;
            Ok((open, pool))
        };
        let (open, entries) = pair(config.head_dim, shape.rows)?;
        (state.open, state.entries) = (Some(open), Some(entries));
        if block.has_indexer() {
            let (open, keys) = pair(config.index_head_dim, shape.keys)?;
            (state.index_open, state.keys) = (Some(open), Some(keys));
        }
        Ok(state)
    }
}
