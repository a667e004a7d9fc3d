//! Decompositions of the indexer family.

use super::{Arguments, Context, hadamard_rows, round_rows};
use crate::recipe::{Operand, Recipe};
use crate::shorthand::Affine;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::elementwise::{Cmp, Func};
use omnihal::op::indexer::{Query, Select};
use omnihal::{Column, DType, Error, Result, Shape};

/// Entries scored at a time. Also what a vendor's top-k is known to take (op-catalogue.md 3.2).
const BLOCK: usize = 8192;
/// Above every entry number, exact in f32.
const ABSENT: f32 = 1e30;

pub(super) fn query(r: &mut Recipe, d: &Query, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (q, rope) = (args.get(0)?, args.get(1)?);
    let position = r.column(cx.step, Column::Pos0);
    let cs = r.gather_once(rope, &position);
    r.rotate(q, &cs, false);
    if d.hadamard {
        let rows = r.cast(q, d.act).merge(0);
        let turned = hadamard_rows(r, &rows, d.act).split(0, d.rows, d.heads);
        round_rows(r, &turned, d.rotary, d.quant);
        r.copy(&turned, q);
    } else {
        round_rows(r, q, d.rotary, d.quant);
    }
    Ok(())
}

/// The operands of a selection in tile order.
struct Tiles<'a> {
    d: &'a Select,
    q: Operand,
    w: Operand,
    pool: &'a Operand,
    pages: Operand,
    visible: Operand,
    /// Rows of a tile.
    tile: usize,
}

pub(super) fn select(r: &mut Recipe, d: &Select, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (q, w, pool, idx, scores) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(5)?, args.opt(6));
    let m = d.ratio as u32;
    if d.keep > BLOCK {
        return Err(Error::unsupported(format!("keeping {} entries of blocks of {BLOCK}", d.keep)));
    }
    let tile = cx.step.tile;
    let pages = r.column(cx.step, Column::PtQt(m));
    let visible = r.column(cx.step, Column::NVis(m)).unsqueeze(1);
    let (q, w) = match tile {
        1 => (q.merge(1), w.clone()),
        _ => {
            let rows = r.column(cx.step, Column::QtRows);
            (r.gather(&q.merge(1), &rows), r.gather(w, &rows))
        }
    };
    let tiles = Tiles { d, q, w, pool, pages, visible, tile };
    let total = cx.step.tiles();
    let per_tile = BLOCK.min(d.pages.capacity()) * (tile * d.heads * 4 + d.width * pool.dtype().bits() / 8);
    let group = (cx.tile_bytes / per_tile).clamp(1, total);
    let (idx_out, score_out) = match tile {
        1 => (idx.clone(), scores.cloned()),
        _ => {
            let shape = [total * tile, d.keep];
            (r.temp(DType::I32, shape), scores.map(|_| r.temp(DType::F32, shape)))
        }
    };
    for first in (0..total).step_by(group) {
        let count = group.min(total - first);
        let rows = |x: &Operand| x.slice(0, first * tile, count * tile);
        let (values, entries) = tiles.best(r, first, count)?;
        // Entries that are not visible come last and are told by their number: a visible one may have a NaN score too.
        let visible = rows(&tiles.visible);
        let present = r.select(values.shape(), &entries, Cmp::Lt, Of(&visible), Of(&entries), Number(ABSENT));
        order_by_entry(r, d.keep, &values, &present, &rows(&idx_out), score_out.as_ref().map(rows).as_ref());
    }
    if tile > 1 {
        let place = r.column(cx.step, Column::TokQt);
        r.gather_into(&idx_out, &place, idx);
        if let (Some(from), Some(to)) = (score_out, scores) {
            r.gather_into(&from, &place, to);
        }
    }
    Ok(())
}

impl Tiles<'_> {
    /// Best scores and their entries (as f32) of the rows of tiles `first..first+count`, best first.
    fn best(&self, r: &mut Recipe, first: usize, count: usize) -> Result<(Operand, Operand)> {
        let (d, pe) = (self.d, self.d.pages.entries);
        let pages_a_block = (BLOCK / pe).clamp(1, d.pages.table);
        let mut best: Option<(Operand, Operand)> = None;
        for page in (0..d.pages.table).step_by(pages_a_block) {
            let pages = pages_a_block.min(d.pages.table - page);
            let scores = self.scores(r, first, count, page, pages);
            let (values, places) = r.top_k(&scores, d.keep.min(pages * pe), true);
            let entries = r.map(&places, Func::Identity, Affine { beta: (page * pe) as f32, ..Affine::default() });
            best = Some(match best {
                None => (values, entries),
                Some((v, e)) => {
                    // Earlier blocks come first, so that equal scores keep the lower entry.
                    let v = r.concat(&[&v.unsqueeze(2), &values.unsqueeze(2)]).merge(1);
                    let e = r.concat(&[&e.unsqueeze(2), &entries.unsqueeze(2)]).merge(1);
                    let (v, places) = r.top_k(&v, d.keep.min(v.dim(1)), true);
                    (v, r.take(&e, &places))
                }
            });
        }
        best.ok_or_else(|| Error::argument("a page table without pages has nothing to select from"))
    }

    /// Masked scores `[count * tile, entries]` of a block of pages.
    fn scores(&self, r: &mut Recipe, first: usize, count: usize, page: usize, pages: usize) -> Operand {
        let (d, tile, pe) = (self.d, self.tile, self.d.pages.entries);
        let entries = pages * pe;
        let ids = self.pages.slice(0, first, count).slice(1, page, pages);
        let ids = if pages == d.pages.table { ids } else { r.cast(&ids, DType::I32) };
        let keys = r.gather(&self.pool.merge(1), &ids.merge(0));
        let keys = keys.split(0, count, pages).split(2, pe, d.width).merge(1);
        let keys = r.as_type(&keys, d.act);
        let q = self.q.slice(0, first * tile, count * tile).split(1, d.heads, d.width);
        // Rows gathered into tiles are contiguous; rows used in place may lie apart.
        let q = if tile == 1 { q } else { q.merge(0).split(0, count, tile * d.heads) };
        let dots = r.temp(DType::F32, [count, tile * d.heads, entries]);
        r.batched_into(&q, &keys, true, 1.0, false, &dots);
        r.map_into(&dots, Func::Relu, Affine::default(), &dots);
        let sums = r.temp(DType::F32, [count * tile, 1, entries]);
        let dots = dots.merge(0).split(0, count * tile, d.heads);
        let w = self.w.slice(0, first * tile, count * tile).unsqueeze(1);
        let alpha = ((d.width * d.heads) as f64).powf(-0.5) as f32;
        r.batched_into(&w, &dots, false, alpha, false, &sums);
        let sums = sums.merge(0);
        let number = r.f32s([1, entries], (page * pe..page * pe + entries).map(|j| j as f32));
        let visible = self.visible.slice(0, first * tile, count * tile);
        // NaN ranks below every number, a visible NaN before these: of equals the lower entry comes first.
        let unseen = r.f32s([1, 1], [f32::NAN]);
        r.select(Shape::from([count * tile, entries]), &number, Cmp::Lt, Of(&visible), Of(&sums), Of(&unseen))
    }
}

/// Turns best-first entries into ascending ones with -1 at the end.
fn order_by_entry(
    r: &mut Recipe,
    keep: usize,
    values: &Operand,
    present: &Operand,
    idx: &Operand,
    scores: Option<&Operand>,
) {
    let (ascending, places) = r.top_k(present, keep, false);
    let numbered = r.select(values.shape(), &ascending, Cmp::Lt, Number(ABSENT / 2.0), Of(&ascending), Number(-1.0));
    r.copy(&numbered, idx);
    if let Some(scores) = scores {
        let taken = r.take(values, &places);
        r.copy(&taken, scores);
    }
}
