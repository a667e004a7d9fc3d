//! Packing of activations and the product of packed rows with a range of output channels.

use crate::ops::{Shared, Tensor};
use crate::simd::{Code, DOTS, Kernels, LANES, TILE_OUTS, TILE_ROWS, WeightRows};
use std::ops::Range;

/// Most rows that are ever multiplied along the stored weight rows.
pub(crate) const FEW: usize = 9;

/// Up to this many rows are multiplied along the stored weight rows; more of them in tiles. Measured: widening codes anew for each row
/// costs more than a tile from 5 rows on, plain numbers cost less than one up to 9.
const fn few_rows(code: Code) -> usize {
    match code {
        Code::F32 | Code::BF16 => FEW,
        Code::F8E4M3 | Code::F4E2M1 => 4,
    }
}

/// Rows of a block whose tile results one thread keeps: 12 KiB, and enough rows to make widening the weights cheap.
pub(crate) const BLOCK_ROWS: usize = 192;

/// Rows of a tile, for those who cut rows into blocks.
pub(crate) const FULL_TILE: usize = TILE_ROWS;

/// Most outputs of a task when rows are few.
const FEW_OUTS: usize = 256;

/// Elements of a packed row: whole lanes.
pub(crate) const fn padded(inner: usize) -> usize {
    inner.next_multiple_of(LANES)
}

/// Rows packed for the kernels: as f32, in whole lanes.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    data: Shared<f32>,
    pub rows: usize,
    inner: usize,
    /// The code whose `Code::place` orders each row that is not in tiles.
    code: Code,
    /// In tiles of [`TILE_ROWS`] rows, one lane after the other; else row by row.
    tiled: bool,
}

impl Group {
    /// Rows to be packed into `data` for a right operand. Only tiles can be multiplied with columns.
    pub(crate) fn new(data: &mut [f32], rows: usize, right: &Right) -> Group {
        let (few, code) = match right {
            Right::Rows(w) => (few_rows(w.code), w.code),
            Right::Columns { .. } => (0, Code::F32),
        };
        Group { data: Shared(data.as_mut_ptr()), rows, inner: right.inner(), code, tiled: rows > few }
    }

    /// Numbers that up to `rows` packed rows take.
    pub(crate) const fn size(rows: usize, inner: usize) -> usize {
        rows.next_multiple_of(TILE_ROWS) * padded(inner)
    }

    /// Rows of one packing task.
    pub(crate) fn step(&self) -> usize {
        if self.tiled { TILE_ROWS } else { 1 }
    }

    /// Part of a group, from a row that begins a tile.
    pub(crate) fn block(&self, first: usize, rows: usize) -> Group {
        Group { data: Shared(self.data.get().wrapping_add(first * padded(self.inner))), rows, ..*self }
    }

    /// Packs rows `first .. first + step`, which `load(row, out)` reads as f32.
    ///
    /// # Safety
    /// The data must have [`Group::size`] numbers, and no other task may touch these rows.
    pub(crate) unsafe fn pack(&self, first: usize, scratch: &mut [f32], load: &dyn Fn(usize, &mut [f32])) {
        let (width, inner) = (padded(self.inner), self.inner);
        // SAFETY: the step lies in the group.
        let packed = unsafe { std::slice::from_raw_parts_mut(self.data.get().add(first * width), self.step() * width) };
        if !self.tiled {
            load(first, &mut packed[..inner]);
            packed[inner..].fill(0.0);
            self.code.arrange(packed);
            return;
        }
        let lines = &mut scratch[..TILE_ROWS * width];
        for (r, line) in lines.chunks_exact_mut(width).enumerate() {
            let used = if first + r < self.rows { inner } else { 0 };
            if used > 0 {
                load(first + r, &mut line[..inner]);
            }
            line[used..].fill(0.0);
        }
        let steps = width / LANES;
        for i in 0..steps {
            for j in 0..LANES {
                let place = (j * steps + i) * TILE_ROWS;
                for r in 0..TILE_ROWS {
                    packed[place + r] = lines[r * width + i * LANES + j];
                }
            }
        }
    }
}

/// F32 numbers of scratch that a thread needs to pack and to multiply rows of `inner` elements.
pub(crate) const fn scratch(inner: usize) -> usize {
    let tiles = padded(inner) * TILE_OUTS + BLOCK_ROWS * TILE_OUTS;
    let (few, pack) = (FEW * FEW_OUTS, TILE_ROWS * padded(inner));
    let most = if tiles > few { tiles } else { few };
    if most > pack { most } else { pack }
}

/// Outputs of a task: enough tasks for an even split, enough work in each.
pub(crate) fn grain(outs: usize, threads: usize) -> usize {
    (outs / (threads * 4)).next_multiple_of(TILE_OUTS).clamp(TILE_OUTS, FEW_OUTS)
}

/// Right operands: rows of a weight, or the columns of a matrix.
#[derive(Clone, Copy)]
pub(crate) enum Right {
    /// Each output is a row.
    Rows(WeightRows),
    /// Output `o` is the elements `k * stride + o`.
    Columns { matrix: Tensor, place: usize, stride: usize, inner: usize },
}

impl Right {
    fn inner(&self) -> usize {
        match self {
            Right::Rows(w) => w.inner,
            Right::Columns { inner, .. } => *inner,
        }
    }

    /// # Safety
    /// The outputs must exist; `dst` must have room for a panel.
    unsafe fn panel(&self, outs: Range<usize>, dst: *mut f32, simd: &Kernels) {
        match *self {
            // SAFETY: passed on to the caller.
            Right::Rows(ref w) => unsafe { (simd.panel)(w, outs, dst) },
            Right::Columns { matrix, place, stride, inner } => {
                let steps = inner.div_ceil(LANES);
                for k in 0..steps * LANES {
                    let at = ((k % LANES) * steps + k / LANES) * TILE_OUTS;
                    // SAFETY: the caller promises room for a panel and the outputs.
                    unsafe {
                        let line = std::slice::from_raw_parts_mut(dst.add(at), TILE_OUTS);
                        line.fill(0.0);
                        if k < inner {
                            matrix.load(place + k * stride + outs.start, &mut line[..outs.len()], simd);
                        }
                    }
                }
            }
        }
    }
}

/// Multiplies packed rows with output channels and hands each finished piece to `emit(row, first output, values)`.
///
/// # Safety
/// The group must be packed, the outputs must exist, and `scratch` must have [`scratch`] numbers.
pub(crate) unsafe fn multiply(
    right: &Right,
    group: &Group,
    outs: Range<usize>,
    scratch: &mut [f32],
    simd: &Kernels,
    emit: &mut dyn FnMut(usize, usize, &mut [f32]),
) {
    match right {
        // SAFETY: passed on to the caller.
        Right::Rows(w) if !group.tiled => unsafe { few(w, group, outs, scratch, simd, emit) },
        // SAFETY: as above.
        _ => unsafe { tiles(right, group, outs, scratch, simd, emit) },
    }
}

/// # Safety
/// As for [`multiply`].
unsafe fn few(
    w: &WeightRows,
    group: &Group,
    outs: Range<usize>,
    scratch: &mut [f32],
    simd: &Kernels,
    emit: &mut dyn FnMut(usize, usize, &mut [f32]),
) {
    let (width, post) = (padded(w.inner), w.code.post());
    for start in outs.clone().step_by(FEW_OUTS) {
        let len = FEW_OUTS.min(outs.end - start);
        // Each of the rows that are read together is a stream of its own, far from the others: next to each other they get half the rate.
        let stride = len.div_ceil(DOTS);
        for i in 0..stride {
            let picked: [usize; DOTS] = std::array::from_fn(|s| (s * stride + i).min(len - 1));
            let at = picked.map(|p| start + p);
            for row in 0..group.rows {
                // SAFETY: the outputs exist and the packed row has whole lanes.
                let sums = unsafe { (simd.dots)(w, &at, group.data.get().add(row * width)) };
                for (p, sum) in picked.into_iter().zip(sums) {
                    scratch[row * FEW_OUTS + p] = sum * post;
                }
            }
        }
        for row in 0..group.rows {
            emit(row, start, &mut scratch[row * FEW_OUTS..][..len]);
        }
    }
}

/// # Safety
/// As for [`multiply`].
unsafe fn tiles(
    right: &Right,
    group: &Group,
    outs: Range<usize>,
    scratch: &mut [f32],
    simd: &Kernels,
    emit: &mut dyn FnMut(usize, usize, &mut [f32]),
) {
    let width = padded(right.inner());
    let steps = width / LANES;
    let post = match right {
        Right::Rows(w) => w.code.post(),
        Right::Columns { .. } => 1.0,
    };
    let (panel, results) = scratch.split_at_mut(width * TILE_OUTS);
    for out in outs.clone().step_by(TILE_OUTS) {
        let end = (out + TILE_OUTS).min(outs.end);
        // SAFETY: the outputs exist and the panel has its size.
        unsafe { right.panel(out..end, panel.as_mut_ptr(), simd) };
        for block in (0..group.rows).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(group.rows - block);
            for j in 0..LANES {
                let lane = &panel[j * steps * TILE_OUTS..];
                for t in 0..count.div_ceil(TILE_ROWS) {
                    let result = &mut results[t * TILE_ROWS * TILE_OUTS..][..TILE_ROWS * TILE_OUTS];
                    // SAFETY: blocks are whole tiles, so the tile lies in the group; lane and result have their sizes.
                    unsafe {
                        let a = group.data.get().add((block + t * TILE_ROWS) * width + j * steps * TILE_ROWS);
                        (simd.tile)(steps, a, lane.as_ptr(), result.as_mut_ptr(), j == 0);
                    }
                }
            }
            for row in 0..count {
                let values = &mut results[row * TILE_OUTS..][..end - out];
                values.iter_mut().for_each(|v| *v *= post);
                emit(block + row, out, values);
            }
        }
    }
}

/// Stores values, or adds them to what is there, with one rounding.
///
/// # Safety
/// The values must lie in the tensor, and no other task may touch them.
pub(crate) unsafe fn store(y: &Tensor, place: usize, values: &mut [f32], accumulate: bool, simd: &Kernels) {
    if accumulate {
        // SAFETY: passed on to the caller.
        values.iter_mut().enumerate().for_each(|(i, v)| unsafe { *v += y.get(place + i) });
    }
    // SAFETY: passed on to the caller.
    unsafe { y.store(place, values, simd) };
}
