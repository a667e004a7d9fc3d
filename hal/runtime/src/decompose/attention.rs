//! Decompositions of the attention family.

use super::{Arguments, Context, NEG, round_rows};
use crate::recipe::{Operand, Recipe};
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::attention::{Entries, Latent, Query, Sparse};
use omnihal::op::cache;
use omnihal::op::elementwise::Cmp;
use omnihal::{Column, DType, Result};

pub(super) fn latent(r: &mut Recipe, d: &Latent, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (lat, q_norm, kv_norm, rope) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?);
    let (qr, kv) = (args.get(5)?.unsqueeze(1), args.get(6)?.unsqueeze(1));
    r.rms_norm(&lat.slice(1, 0, d.q_lora).unsqueeze(1), Some(q_norm), d.eps, &qr);
    r.rms_norm(&lat.slice(1, d.q_lora, d.head).unsqueeze(1), Some(kv_norm), d.eps, &kv);
    let position = r.column(cx.step, Column::Pos0);
    let cs = r.gather_once(rope, &position);
    r.rotate(&kv, &cs, false);
    round_rows(r, &kv, d.rotary, d.quant);
    Ok(())
}

pub(super) fn query(r: &mut Recipe, d: &Query, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (q, rope) = (args.get(0)?, args.get(1)?);
    r.rms_norm(q, None, d.eps, q);
    let position = r.column(cx.step, Column::Pos0);
    let cs = r.gather_once(rope, &position);
    r.rotate(q, &cs, false);
    Ok(())
}

/// The operands of an attention in tile order.
struct Tiles<'a> {
    d: &'a Sparse,
    q: Operand,
    /// Null row, history of each sequence, rows of this step.
    keys: Operand,
    /// Rows of `keys` that each tile row sees.
    window: Operand,
    pool: Option<&'a Operand>,
    idx: Option<Operand>,
    sink: &'a Operand,
    /// Rope rows of the tile rows' positions.
    cs: Operand,
    out: Operand,
    /// Rows of a tile.
    tile: usize,
}

pub(super) fn sparse(r: &mut Recipe, d: &Sparse, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (q, kv, ring, pool, idx) = (args.get(0)?, args.get(1)?, args.get(2)?, args.opt(3), args.opt(5));
    let (sink, rope, o) = (args.get(6)?, args.get(7)?, args.get(10)?);
    let (tile, total) = (cx.step.tile, cx.step.tiles() * cx.step.tile);
    // (1) One tensor of every key-value row that a window can reach.
    let keys = r.temp(d.act, [cx.step.linear_keys(), d.head]);
    let history = r.column(cx.step, Column::HistSrc);
    let past = keys.slice(0, 0, history.dim(0));
    let ring = ring.merge(0);
    match ring.dtype() == d.act {
        true => r.gather_into(&ring, &history, &past),
        false => {
            let rows = r.gather(&ring, &history);
            r.copy(&rows, &past);
        }
    }
    r.copy(kv, &keys.slice(0, history.dim(0), d.rows));
    // (2) Tile order.
    let flat = q.merge(1);
    let (q, idx, out) = match tile {
        1 => (flat, idx.cloned(), o.merge(1)),
        _ => {
            let rows = r.column(cx.step, Column::QtRows);
            let tiled_q = r.gather(&flat, &rows);
            let tiled_idx = idx.map(|idx| r.gather(idx, &rows));
            (tiled_q, tiled_idx, r.temp(d.act, [total, d.heads * d.head]))
        }
    };
    let idx = idx.map(|idx| if cx.trusted_lists { idx } else { legal(r, d, &idx, cx) });
    let window = r.column(cx.step, Column::WinSrc);
    let position = r.column(cx.step, Column::PosQt);
    let cs = r.gather_once(rope, &position);
    let tiles = Tiles { d, q, keys, window, pool, idx, sink, cs, out, tile };
    let group = tiles.group(cx).min(total);
    for first in (0..total).step_by(group) {
        tiles.attend(r, cx, first, group.min(total - first))?;
    }
    if tile > 1 {
        let place = r.column(cx.step, Column::TokQt);
        r.gather_into(&tiles.out, &place, &o.merge(1));
    }
    Ok(())
}

/// A list without entries that count as absent: those not visible, and those listed before.
fn legal(r: &mut Recipe, d: &Sparse, idx: &Operand, cx: &Context<'_>) -> Operand {
    let visible = r.column(cx.step, Column::NVis(d.ratio as u32)).unsqueeze(1);
    let listed = r.cast(idx, DType::F32);
    let kept = r.select(idx.shape(), &listed, Cmp::Lt, Of(&visible), Of(&listed), Number(-1.0));
    if idx.dim(1) > 1 {
        let later = |x: &Operand| x.slice(1, 1, idx.dim(1) - 1);
        let before = listed.slice(1, 0, idx.dim(1) - 1);
        r.select_into(&later(&listed), Cmp::Gt, Of(&before), Of(&later(&kept)), Number(-1.0), &later(&kept));
    }
    r.cast(&kept, DType::I32)
}

impl Tiles<'_> {
    /// Tile rows worked on at a time, whole tiles of them.
    fn group(&self, cx: &Context<'_>) -> usize {
        let d = self.d;
        let (gathered, scored) = match d.entries {
            Entries::None => (0, 0),
            Entries::Listed(keep) => (keep, keep),
            Entries::All => (d.pages.capacity().div_ceil(self.tile), d.pages.capacity()),
        };
        let row = (d.window + gathered) * d.head * d.act.bits() / 8 + 3 * 4 * d.heads * (d.window + scored + 1);
        (cx.tile_bytes / row / self.tile).max(1) * self.tile
    }

    /// Attention of tile rows `first..first+count`.
    fn attend(&self, r: &mut Recipe, cx: &Context<'_>, first: usize, count: usize) -> Result<()> {
        let (d, rows) = (self.d, |x: &Operand| x.slice(0, first, count));
        let q = rows(&self.q).split(1, d.heads, d.head);
        // (3-5) Window keys and their scores.
        let places = rows(&self.window);
        let near = r.gather(&self.keys, &places.merge(0)).split(0, count, d.window);
        let near_scores = r.temp(DType::F32, [count, d.heads, d.window]);
        r.batched_into(&q, &near, true, d.scale, false, &near_scores);
        let seen = places.unsqueeze(1);
        r.select_into(&seen, Cmp::Gt, Number(0.0), Of(&near_scores), Number(NEG), &near_scores);
        // (6-8) Compressed entries and their scores.
        let far = self.entries(r, cx, &q, first, count)?;
        // (9-11) Softmax with the sink as one more key.
        let sink = r.cast(&self.sink.unsqueeze(0).expand(0, count), DType::F32);
        let column = |x: &Operand| x.merge(0).unsqueeze(2);
        let mut parts = vec![column(&near_scores)];
        parts.extend(far.as_ref().map(|far| column(&far.scores)));
        parts.push(column(&sink.unsqueeze(2)));
        let joined = r.concat(&parts.iter().collect::<Vec<_>>());
        r.softmax(&joined);
        let p = joined.merge(1).split(0, count, d.heads);
        // (12-14) Values, rotated back by the query's position.
        let sum = r.temp(DType::F32, [count, d.heads, d.head]);
        let near_p = p.slice(2, 0, d.window);
        let near_p = r.as_type(&near_p, d.act);
        r.batched_into(&near_p, &near, false, 1.0, false, &sum);
        if let Some(far) = far {
            let far_p = p.slice(2, d.window, far.scores.dim(2));
            let far_p = r.as_type(&far_p, d.act);
            let (batch, m) = (far.keys.dim(0), count * d.heads / far.keys.dim(0));
            let grouped = |x: &Operand| x.merge(0).split(0, batch, m);
            r.batched_into(&grouped(&far_p), &far.keys, false, 1.0, true, &grouped(&sum));
        }
        if d.inverse {
            r.rotate(&sum, &rows(&self.cs), true);
        }
        r.copy(&sum.merge(1), &rows(&self.out));
        Ok(())
    }

    /// Keys and masked scores of the compressed entries of tile rows `first..first+count`.
    fn entries(
        &self,
        r: &mut Recipe,
        cx: &Context<'_>,
        q: &Operand,
        first: usize,
        count: usize,
    ) -> Result<Option<Far>> {
        let (d, m) = (self.d, self.d.ratio as u32);
        let Some(pool) = self.pool else { return Ok(None) };
        let pool_rows = pool.merge(0);
        let scores = match (&self.idx, d.entries) {
            (Some(_), Entries::Listed(keep)) => r.temp(DType::F32, [count, d.heads, keep]),
            _ => r.temp(DType::F32, [count, d.heads, d.pages.capacity()]),
        };
        let keys = match &self.idx {
            Some(idx) => {
                let (idx, keep) = (idx.slice(0, first, count), scores.dim(2));
                let tables = r.column(cx.step, Column::PtQt(m));
                let which = r.i32s([count], (first..first + count).map(|row| (row / self.tile) as i32));
                let phys = r.temp(DType::I32, [count, keep]);
                let (pages, entries) = (d.pages.table, d.pages.entries);
                let op = cache::Rows { rows: count, count: keep, tables: tables.dim(0), table: pages, entries };
                r.op(op, &[&tables, &which, &idx, &phys]);
                r.gather(&pool_rows, &phys.merge(0)).split(0, count, keep)
            }
            None => {
                let (tile, tiles) = (first / self.tile, count / self.tile);
                let all = r.column(cx.step, Column::AllRows(m)).slice(0, tile, tiles);
                r.gather(&pool_rows, &all.merge(0)).split(0, tiles, d.pages.capacity())
            }
        };
        let keys = r.as_type(&keys, d.act);
        let (batch, rows) = (keys.dim(0), count * d.heads / keys.dim(0));
        // Queries used in place may lie apart; those gathered into tiles are contiguous.
        let grouped = |x: &Operand| if batch == count { x.clone() } else { x.merge(0).split(0, batch, rows) };
        r.batched_into(&grouped(q), &keys, true, d.scale, false, &grouped(&scores));
        match &self.idx {
            Some(idx) => {
                let listed = idx.slice(0, first, count).unsqueeze(1);
                r.select_into(&listed, Cmp::Ge, Number(0.0), Of(&scores), Number(NEG), &scores);
            }
            None => {
                let number = r.f32s([1, 1, scores.dim(2)], (0..scores.dim(2)).map(|j| j as f32));
                let visible = r.column(cx.step, Column::NVis(m)).slice(0, first, count).unsqueeze(1).unsqueeze(2);
                r.select_into(&number, Cmp::Lt, Of(&visible), Of(&scores), Number(NEG), &scores);
            }
        }
        Ok(Some(Far { keys, scores }))
    }
}

/// Compressed entries of a group of tile rows.
struct Far {
    /// `[count, keep, head]` for listed entries, `[tiles, capacity, head]` for all.
    keys: Operand,
    /// `[count, heads, entries]`, masked.
    scores: Operand,
}
