//! indexer.select: scores of the visible entries, and the best of them.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::step::{self, Pages, Token};
use crate::rows::{Rows, numbers, put, strided, vector};
use crate::tensor::{bf16, load, store_ints};
use omnihal::View;
use omnihal::op::indexer::Select;
use std::cmp::Ordering;

/// Entries of a block in kernels that choose block by block.
const BLOCK: usize = 8;

pub fn select(call: &Call<'_>, d: &Select) {
    let math = Math::of(call, d.rows);
    let source = Source {
        q: strided(call, 0, "indexer.scored_query_stride_ignored"),
        w: strided(call, 1, "indexer.weight_stride_ignored"),
        pool: Rows::new(strided(call, 2, "indexer.pool_stride_ignored"), d.format, d.width, d.rotary).of(call),
        pages: Pages::new(d.pages, call.arg(3)),
    };
    let last = if call.is("indexer.last_row_not_written") && d.rows > 4 { d.rows - d.rows % 4 } else { d.rows };
    for (row, token) in step::tokens(call.arg(4)).into_iter().enumerate().take(last) {
        let Some(token) = token else { continue };
        let scored = source.score(call, d, &math, row, &token);
        let kept = keep(call, d, scored);
        write(call, d, row, &kept);
    }
}

struct Source {
    q: View,
    w: View,
    pool: Rows,
    pages: Pages,
}

impl Source {
    /// The entries that a row sees, with their scores.
    fn score(&self, call: &Call<'_>, d: &Select, math: &Math, row: usize, token: &Token) -> Vec<(usize, f32)> {
        let seen = match () {
            () if call.is("indexer.entry_visible_early") => token.pos / d.ratio + 1,
            () if call.is("indexer.entry_visible_late") => token.pos / d.ratio,
            () if call.is("indexer.all_entries_scored") => d.pages.capacity(),
            () => (token.pos + 1) / d.ratio,
        };
        let visible = seen.min(d.pages.capacity());
        let end = match () {
            () if call.is("indexer.last_block_lost") && visible > BLOCK => visible - visible % BLOCK,
            () => visible,
        };
        let heads = if call.is("indexer.odd_head_skipped") && d.heads > 1 { d.heads - d.heads % 2 } else { d.heads };
        let queries: Vec<Vec<f32>> = (0..heads).map(|h| self.query(call, d, row, h)).collect();
        let weights = self.weights(call, d, row);
        let score = |place: usize| {
            let key = self.pool.read(place);
            let terms: Vec<f32> =
                queries.iter().zip(&weights).map(|(q, &w)| term(call, w, math.dot(q, &key))).collect();
            let score = finish(call, d, math.sum(&terms));
            if call.is("indexer.scores_in_bf16") { bf16(score) } else { score }
        };
        (0..end).filter_map(|j| self.place(call, d, token, j).map(|place| (j, score(place)))).collect()
    }

    fn query(&self, call: &Call<'_>, d: &Select, row: usize, head: usize) -> Vec<f32> {
        let mut q = numbers(&self.q, row * d.heads + head);
        if call.is("indexer.queries_scaled_first") {
            q.iter_mut().for_each(|x| *x *= factor(call, d));
        }
        q
    }

    fn weights(&self, call: &Call<'_>, d: &Select, row: usize) -> Vec<f32> {
        let mut w = match () {
            () if call.is("indexer.weights_of_first_row") => numbers(&self.w, 0),
            () if call.is("indexer.weights_transposed") => {
                let all = load(&self.w);
                (0..d.heads).map(|h| all[h * d.rows + row]).collect()
            }
            () => numbers(&self.w, row),
        };
        if call.is("indexer.weights_scaled_first") {
            w.iter_mut().for_each(|x| *x *= factor(call, d));
        }
        w
    }

    fn place(&self, call: &Call<'_>, d: &Select, token: &Token, j: usize) -> Option<usize> {
        match () {
            () if call.is("indexer.table_of_first_sequence") => self.pages.row(0, j),
            () if call.is("indexer.pages_taken_as_adjacent") => {
                self.pages.row(token.seq, 0).map(|start| start + j).filter(|&r| r < d.pages.rows())
            }
            () if call.is("indexer.absent_page_scored") => {
                Some(self.pages.row(token.seq, j).unwrap_or(j % d.pages.entries))
            }
            () => self.pages.row(token.seq, j),
        }
    }
}

/// One head's part of a score.
fn term(call: &Call<'_>, w: f32, product: f32) -> f32 {
    // A NaN must stay one, so no `max`.
    let relu = |x: f32| if x < 0.0 { 0.0 } else { x };
    match () {
        () if call.is("indexer.relu_missing") || call.is("indexer.relu_of_sum") => w * product,
        () if call.is("indexer.relu_after_weight") => relu(w * product),
        () if call.is("indexer.absolute_value") => w * product.abs(),
        () if call.is("indexer.nan_swallowed") => w * product.max(0.0),
        () => w * relu(product),
    }
}

fn factor(call: &Call<'_>, d: &Select) -> f32 {
    match () {
        () if call.is("indexer.factor_of_width_only") => (d.width as f32).sqrt().recip(),
        () => ((d.width * d.heads) as f32).sqrt().recip(),
    }
}

fn finish(call: &Call<'_>, d: &Select, sum: f32) -> f32 {
    let already = call.is("indexer.weights_scaled_first") || call.is("indexer.queries_scaled_first");
    let sum = if call.is("indexer.relu_of_sum") { sum.max(0.0) } else { sum };
    if already || call.is("indexer.factor_missing") { sum } else { sum * factor(call, d) }
}

/// Better first. A NaN ranks below every number; equal scores rank by entry.
fn rank(call: &Call<'_>, a: &(usize, f32), b: &(usize, f32)) -> Ordering {
    if call.is("indexer.nan_ranks_first") {
        return b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    }
    let size = |x: f32| if call.is("indexer.ranked_by_magnitude") { x.abs() } else { x };
    let better = size(b.1).partial_cmp(&size(a.1)).unwrap_or_else(|| a.1.is_nan().cmp(&b.1.is_nan()));
    better.then(if call.is("indexer.ties_take_highest") { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) })
}

fn best(call: &Call<'_>, mut scored: Vec<(usize, f32)>, keep: usize) -> Vec<(usize, f32)> {
    scored.sort_by(|a, b| rank(call, a, b));
    scored.truncate(keep);
    scored
}

/// The best entries, in the order in which they are given.
fn keep(call: &Call<'_>, d: &Select, scored: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    let count = if call.is("indexer.one_kept_less") { d.keep - 1 } else { d.keep };
    if call.is("indexer.unscored_when_all_are_kept") && scored.len() <= d.keep {
        return scored.into_iter().map(|(j, _)| (j, 0.0)).collect();
    }
    let blocks = |share: usize| -> Vec<(usize, f32)> {
        scored.chunks(BLOCK).flat_map(|block| best(call, block.to_vec(), share)).collect()
    };
    let mut kept = match () {
        () if call.is("indexer.selected_by_blocks") => best(call, blocks(count), count),
        () if call.is("indexer.candidates_lost_by_blocks") => best(call, blocks(count.div_ceil(2)), count),
        () => best(call, scored.clone(), count),
    };
    if call.is("indexer.ties_at_border_lost") && scored.len() > count {
        let (_, border) = kept.last().copied().unwrap_or_default();
        kept.retain(|&(_, s)| s > border);
    }
    if !call.is("indexer.ordered_by_score") {
        let ranked: Vec<f32> = kept.iter().map(|k| k.1).collect();
        kept.sort_by_key(|k| k.0);
        if call.is("indexer.scores_left_in_rank_order") {
            kept.iter_mut().zip(ranked).for_each(|(k, s)| k.1 = s);
        }
    }
    kept
}

fn write(call: &Call<'_>, d: &Select, row: usize, kept: &[(usize, f32)]) {
    let filler = if call.is("indexer.padding_is_zero") { 0 } else { -1 };
    let mut idx: Vec<i32> = kept.iter().map(|k| k.0 as i32).collect();
    let mut scores: Vec<f32> = kept.iter().map(|k| k.1).collect();
    scores.resize(d.keep, 0.0);
    if !call.is("indexer.padding_not_written") {
        idx.resize(d.keep, filler);
    }
    if call.is("indexer.padding_first") {
        idx.rotate_left(kept.len());
    }
    if let Some(place) = vector(call.arg(5), row) {
        store_ints(&place, &idx);
    }
    if let Some(view) = call.view(6) {
        put(view, row, &scores);
    }
}
