//! indexer.query, select (deepseek-v4.md 4.5).

use super::result;
use super::step::{self, Pages};
use super::stored::{RowShape, Rows};
use super::{choice, vector};
use crate::num::{self, Num};
use crate::tensor::{Choice, Output, Reader, read};
use omnihal::op::indexer::{Query, QueryArgs, Select, SelectArgs};
use omnihal::{Args, OpKind, Result};

pub fn query(d: &Query, args: &Args) -> Result<Vec<Output>> {
    let a = QueryArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let (q, rope) = (read(a.q)?, Reader::new(a.rope)?);
    let mut out = q.nums();
    for (row, token) in tokens.iter().enumerate() {
        let Some(token) = token else { continue };
        let cs = rope.row(token.pos)?;
        for head in out[row * d.heads * d.width..(row + 1) * d.heads * d.width].chunks_mut(d.width) {
            vector::rope(head, &cs, false);
            let done = vector::rotate_and_quantise(head.to_vec(), d.act, d.rotary, d.hadamard, d.quant);
            head.copy_from_slice(&done);
        }
    }
    Ok(vec![result::dense(OpKind::IndexerQuery, "q", out, &step::live(&tokens))])
}

pub fn select(d: &Select, args: &Args) -> Result<Vec<Output>> {
    let a = SelectArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let pages = Pages::new(d.pages, a.pt)?;
    let (q, w) = (read(a.q)?, read(a.w)?);
    let keys = Rows::new(a.pool, RowShape { format: d.format, width: d.width, rotary: d.rotary })?;
    let factor = Num::exact(((d.width * d.heads) as f64).powf(-0.5));

    let mut idx = vec![-1.0; d.rows * d.keep];
    let mut scores = vec![Num::ZERO; d.rows * d.keep];
    let (mut decided, mut scored) = (vec![false; d.rows], vec![false; d.rows * d.keep]);
    let mut open = vec![None; d.rows];
    for (row, token) in tokens.iter().enumerate() {
        let Some(token) = token else { continue };
        let mut entries = Vec::new();
        for j in 0..pages.visible(token.pos, d.ratio) {
            let Some(key) = pages.row(token.seq, j) else { continue };
            let key = keys.row(key)?;
            let head = |h: usize| Num::exact(w.row(row)[h]) * num::dot(q.row(row * d.heads + h), &key).relu();
            let score = num::sum(&(0..d.heads).map(head).collect::<Vec<_>>()) * factor;
            entries.push((j, score));
        }
        let all: Vec<Num> = entries.iter().map(|e| e.1).collect();
        let mut kept = choice::best(&all, d.keep);
        decided[row] = choice::set_is_decided(&all, &kept);
        open[row] = (!decided[row]).then(|| entries.clone());
        kept.sort_unstable();
        for (k, place) in kept.into_iter().enumerate() {
            let at = row * d.keep + k;
            (idx[at], scores[at]) = (entries[place].0 as f64, entries[place].1);
            scored[at] = decided[row];
        }
    }
    let op = OpKind::IndexerSelect;
    let choice = Choice { keep: d.keep, rows: open };
    let mut outputs = vec![result::dense_exact(op, "idx", idx, &decided).with_choice(choice)];
    if d.with_scores {
        outputs.push(result::dense(op, "scores", scores, &scored));
    }
    Ok(outputs)
}
