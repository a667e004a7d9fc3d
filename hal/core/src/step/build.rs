//! Filling the step table.

use super::{Column, Placed, SpaceShape, StepLayout, StepShape};
use crate::op::compress::halves;
use crate::{Error, ErrorKind, Result};

/// What one sequence brings to a step.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Its state slot, from 2: slot 0 is null, slot 1 is trash.
    pub slot: usize,
    /// Position of its first token in this step.
    pub first: usize,
    /// Token ids; `-1-i` stands for the i-th token that the device sampled last for the slot.
    pub ids: &'a [i32],
    /// Pages in order, for each space of the step.
    pub pages: &'a [&'a [i32]],
    /// Its rows whose logits are wanted, counted from its first token, ascending.
    pub wanted: &'a [usize],
}

impl Sequence<'_> {
    /// Position of its last token in this step.
    fn last(&self) -> usize {
        self.first + self.ids.len() - 1
    }
}

/// The host's copy of the step table. Building it allocates nothing.
#[derive(Clone, Debug)]
pub struct StepColumns {
    layout: StepLayout,
    words: Vec<i32>,
}

impl StepColumns {
    /// An empty table.
    pub fn new(layout: StepLayout) -> Self {
        let words = vec![0; layout.words];
        StepColumns { layout, words }
    }

    /// Where the columns lie.
    pub fn layout(&self) -> &StepLayout {
        &self.layout
    }

    /// The table as it is uploaded.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: i32 has no padding and any byte is a valid u8; the length is the slice's own in bytes.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.words.len() * 4) }
    }

    /// The words of a column, for tests and tools. F32 columns are bit patterns.
    pub fn column(&self, column: Column) -> Option<&[i32]> {
        let placed = self.layout.columns.iter().find(|p| p.column == column)?;
        Some(&self.words[placed.offset..placed.offset + placed.shape.elements()])
    }

    /// Fills the table for a batch. Rows follow the order of `seqs`.
    pub fn build(&mut self, seqs: &[Sequence<'_>]) -> Result<()> {
        let shape = &self.layout.shape;
        check(shape, seqs)?;
        for &Placed { column, offset, shape: dims, .. } in &self.layout.columns {
            let out = &mut self.words[offset..offset + dims.elements()];
            fill(shape, seqs, column, out)?;
        }
        Ok(())
    }
}

fn check(shape: &StepShape, seqs: &[Sequence<'_>]) -> Result<()> {
    let rows: usize = seqs.iter().map(|s| s.ids.len()).sum();
    let wanted: usize = seqs.iter().map(|s| s.wanted.len()).sum();
    let full = |what: &str, found: usize, room: usize| {
        Err(Error::new(ErrorKind::InvalidArgument, format!("a step of {found} {what} does not fit a plan for {room}")))
    };
    match () {
        () if seqs.len() > shape.seqs => full("sequences", seqs.len(), shape.seqs),
        () if rows > shape.rows => full("rows", rows, shape.rows),
        () if wanted > shape.wanted => full("wanted rows", wanted, shape.wanted),
        () if seqs.iter().any(|s| s.ids.is_empty() || s.slot < 2 || s.pages.len() != shape.spaces.len()) => {
            Err(Error::argument("a sequence needs tokens, a slot from 2 and pages for each space"))
        }
        () => Ok(()),
    }
}

/// Each sequence with its number and its first row.
fn numbered<'a>(seqs: &'a [Sequence<'a>]) -> impl Iterator<Item = (usize, usize, &'a Sequence<'a>)> {
    let mut row = 0;
    seqs.iter().enumerate().map(move |(b, seq)| {
        let first_row = row;
        row += seq.ids.len();
        (b, first_row, seq)
    })
}

/// Each row: (row, sequence number, sequence, position).
fn each_row<'a>(seqs: &'a [Sequence<'a>]) -> impl Iterator<Item = (usize, usize, &'a Sequence<'a>, usize)> {
    numbered(seqs)
        .flat_map(|(b, first_row, seq)| (0..seq.ids.len()).map(move |i| (first_row + i, b, seq, seq.first + i)))
}

/// Each row with its place in tile order: (place, row, sequence number, sequence, position).
fn each_place<'a>(
    tile: usize,
    seqs: &'a [Sequence<'a>],
) -> impl Iterator<Item = (usize, usize, usize, &'a Sequence<'a>, usize)> {
    let mut tiles = 0;
    numbered(seqs).flat_map(move |(b, first_row, seq)| {
        let first_place = tiles * tile;
        tiles += seq.ids.len().div_ceil(tile);
        (0..seq.ids.len()).map(move |i| (first_place + i, first_row + i, b, seq, seq.first + i))
    })
}

/// Each tile in use: (tile, sequence).
fn each_tile<'a>(tile: usize, seqs: &'a [Sequence<'a>]) -> impl Iterator<Item = (usize, &'a Sequence<'a>)> {
    seqs.iter().flat_map(move |seq| (0..seq.ids.len().div_ceil(tile)).map(move |_| seq)).enumerate()
}

/// Each closing of a space: (number, sequence number, first row of the sequence, sequence, entry).
fn each_closing<'a>(
    ratio: usize,
    seqs: &'a [Sequence<'a>],
) -> impl Iterator<Item = (usize, usize, usize, &'a Sequence<'a>, usize)> {
    numbered(seqs)
        .flat_map(move |(b, row, seq)| (seq.first / ratio..(seq.last() + 1) / ratio).map(move |j| (b, row, seq, j)))
        .enumerate()
        .map(|(c, (b, row, seq, j))| (c, b, row, seq, j))
}

/// Each pooled slot of each closing: (flat slot, half, first row, sequence, position if the slot exists).
fn each_slot<'a>(
    space: &'a SpaceShape,
    seqs: &'a [Sequence<'a>],
) -> impl Iterator<Item = (usize, usize, usize, &'a Sequence<'a>, Option<usize>)> {
    let m = space.ratio;
    each_closing(m, seqs).flat_map(move |(c, _, row, seq, j)| {
        (0..space.pooled()).map(move |s| {
            let (half, position) = match space.overlap {
                true if s < m => (0, (j * m + s).checked_sub(m)),
                true => (1, Some(j * m + s - m)),
                false => (0, Some(j * m + s)),
            };
            (c * space.pooled() + s, half, row, seq, position)
        })
    })
}

/// Pool row of an entry; `None` if the table has no page for it.
fn pool_row(space: &SpaceShape, pages: &[i32], entry: usize) -> Option<usize> {
    let page = *pages.get(entry / space.page_entries)? as usize;
    (page > 0).then_some(page * space.page_entries + entry % space.page_entries)
}

fn fill(shape: &StepShape, seqs: &[Sequence<'_>], column: Column, out: &mut [i32]) -> Result<()> {
    match column {
        Column::Toks => fill_toks(seqs, out),
        Column::Seqs => fill_seqs(seqs, out),
        Column::Out | Column::Out0 | Column::OutSlot => fill_wanted(seqs, column, out),
        Column::Pos0 => rows_to(seqs, out, 0, |_, pos, _| pos),
        Column::Live => rows_to(seqs, out, 0, |_, _, _| 1f32.to_bits() as usize),
        Column::LastIdx => rows_to(seqs, out, 0, |seq, _, id| match id {
            id if id < 0 => seq.slot * (shape.drafts + 1) + (-1 - id) as usize,
            _ => 0,
        }),
        Column::RingDst => ring_rows(seqs, out, shape.ring),
        Column::PosQt => places_to(shape.tile, seqs, out, |_, pos, _| pos),
        Column::QtRows => places_to(shape.tile, seqs, out, |row, _, _| row),
        Column::TokQt => {
            out.fill(0);
            each_place(shape.tile, seqs).for_each(|(place, row, ..)| out[row] = place as i32);
        }
        Column::HistSrc => fill_history(shape, seqs, out),
        Column::WinSrc => fill_window(shape, seqs, out),
        spaced => fill_space(shape, seqs, spaced, out)?,
    }
    Ok(())
}

/// Columns of one compression ratio.
fn fill_space(shape: &StepShape, seqs: &[Sequence<'_>], column: Column, out: &mut [i32]) -> Result<()> {
    let ratio = match column {
        Column::PageTable(m) | Column::Close(m) | Column::PtQt(m) | Column::NVis(m) | Column::AllRows(m) => m,
        Column::OwDst(m) | Column::ApeIdx(m) | Column::ClPos(m) | Column::ClDst(m) => m,
        Column::ClOld(m) | Column::ClNew(m) | Column::ClSel(m) | Column::ClMask(m) => m,
        other => return Err(Error::argument(format!("column {other:?} has no ratio"))),
    };
    let space = shape.space(ratio)?;
    let at = shape.spaces.iter().position(|s| s.ratio == space.ratio).unwrap_or(0);
    let m = space.ratio;
    let one = 1f32.to_bits() as i32;
    match column {
        Column::PageTable(_) => {
            out.fill(0);
            for (row, seq) in out.chunks_exact_mut(space.table).zip(seqs) {
                copy_pages(row, seq.pages[at]);
            }
        }
        Column::PtQt(_) => {
            out.fill(0);
            each_tile(shape.tile, seqs)
                .for_each(|(tile, seq)| copy_pages(&mut out[tile * space.table..][..space.table], seq.pages[at]));
        }
        Column::Close(_) => {
            out.fill(-1);
            for (c, b, _, _, j) in each_closing(m, seqs) {
                out[2 * c..2 * c + 2].copy_from_slice(&[b as i32, j as i32]);
            }
        }
        // Entries on absent pages count as absent.
        Column::NVis(_) => places_to(shape.tile, seqs, out, |_, pos, seq| {
            let present = seq.pages[at].len() * space.page_entries;
            (((pos + 1) / m).min(present) as f32).to_bits() as usize
        }),
        Column::AllRows(_) => {
            out.fill(0);
            let width = space.table * space.page_entries;
            for (tile, seq) in each_tile(shape.tile, seqs) {
                for j in 0..((seq.last() + 1) / m).min(width) {
                    out[tile * width + j] = pool_row(space, seq.pages[at], j).unwrap_or(0) as i32;
                }
            }
        }
        Column::OwDst(_) => ring_rows(seqs, out, space.ring),
        Column::ApeIdx(_) => rows_to(seqs, out, 0, |_, pos, _| pos % m),
        Column::ClPos(_) => {
            out.fill(0);
            each_closing(m, seqs).for_each(|(c, _, _, _, j)| out[c] = (j * m) as i32);
        }
        Column::ClDst(_) => {
            let trash = space.page_entries;
            out.fill(trash as i32);
            for (c, _, _, seq, j) in each_closing(m, seqs) {
                out[c] = pool_row(space, seq.pages[at], j).unwrap_or(trash) as i32;
            }
        }
        _ => {
            out.fill(0);
            let h = halves(space.overlap);
            for (slot, half, row, seq, position) in each_slot(space, seqs) {
                let Some(pos) = position else { continue };
                let old = pos < seq.first;
                out[slot] = match column {
                    Column::ClMask(_) => one,
                    Column::ClSel(_) if old => one,
                    Column::ClOld(_) if old => ((seq.slot * space.ring + pos % space.ring) * h + half) as i32,
                    Column::ClNew(_) if !old => ((row + pos - seq.first) * h + half) as i32,
                    _ => 0,
                };
            }
        }
    }
    Ok(())
}

fn fill_toks(seqs: &[Sequence<'_>], out: &mut [i32]) {
    out.fill(-1);
    for (row, b, seq, pos) in each_row(seqs) {
        out[row * 4..row * 4 + 4].copy_from_slice(&[pos as i32, seq.slot as i32, b as i32, seq.ids[pos - seq.first]]);
    }
}

fn fill_seqs(seqs: &[Sequence<'_>], out: &mut [i32]) {
    for row in out.chunks_exact_mut(4) {
        row.copy_from_slice(&[-1, 0, 0, 0]);
    }
    for (b, first_row, seq) in numbered(seqs) {
        out[b * 4..b * 4 + 4].copy_from_slice(&[
            seq.slot as i32,
            seq.first as i32,
            first_row as i32,
            seq.ids.len() as i32,
        ]);
    }
}

fn fill_wanted(seqs: &[Sequence<'_>], column: Column, out: &mut [i32]) {
    // Slot 1 is trash: what padding rows write there is never read.
    out.fill(match column {
        Column::Out => -1,
        Column::OutSlot => 1,
        _ => 0,
    });
    let wanted = numbered(seqs).flat_map(|(_, row, seq)| seq.wanted.iter().map(move |w| (row + w, seq.slot)));
    for (place, (row, slot)) in wanted.enumerate() {
        out[place] = if column == Column::OutSlot { slot } else { row } as i32;
    }
}

/// Sets one word for each row from (sequence, position, id); padding gets `padding`.
fn rows_to(seqs: &[Sequence<'_>], out: &mut [i32], padding: i32, value: impl Fn(&Sequence<'_>, usize, i32) -> usize) {
    out.fill(padding);
    for (row, _, seq, pos) in each_row(seqs) {
        out[row] = value(seq, pos, seq.ids[pos - seq.first]) as u32 as i32;
    }
}

/// Sets one word for each place in tile order from (row, position, sequence); padding gets 0.
fn places_to(
    tile: usize,
    seqs: &[Sequence<'_>],
    out: &mut [i32],
    value: impl Fn(usize, usize, &Sequence<'_>) -> usize,
) {
    out.fill(0);
    for (place, row, _, seq, pos) in each_place(tile, seqs) {
        out[place] = value(row, pos, seq) as u32 as i32;
    }
}

/// Ring rows to write: the trash slot's first row for padding and for rows that a later row of the step overwrites.
fn ring_rows(seqs: &[Sequence<'_>], out: &mut [i32], ring: usize) {
    rows_to(seqs, out, ring as i32, |seq, pos, _| match pos + ring > seq.last() {
        true => seq.slot * ring + pos % ring,
        false => ring,
    });
}

fn fill_history(shape: &StepShape, seqs: &[Sequence<'_>], out: &mut [i32]) {
    out.fill(0);
    let history = shape.window - 1;
    for (b, seq) in seqs.iter().enumerate() {
        for i in 0..history {
            if let Some(pos) = (seq.first + i).checked_sub(history) {
                out[1 + b * history + i] = (seq.slot * shape.ring + pos % shape.ring) as i32;
            }
        }
    }
}

fn fill_window(shape: &StepShape, seqs: &[Sequence<'_>], out: &mut [i32]) {
    out.fill(0);
    let (window, history) = (shape.window, shape.window - 1);
    let this_step = 1 + history * shape.seqs;
    for (place, row, b, seq, pos) in each_place(shape.tile, seqs) {
        for i in 0..window {
            let Some(key) = (pos + i).checked_sub(history) else { continue };
            out[place * window + i] = match key.checked_sub(seq.first) {
                Some(_) => this_step + row + key - pos,
                None => 1 + b * history + history + key - seq.first,
            } as i32;
        }
    }
}

fn copy_pages(row: &mut [i32], pages: &[i32]) {
    let n = pages.len().min(row.len());
    row[..n].copy_from_slice(&pages[..n]);
}

#[cfg(test)]
mod tests;
