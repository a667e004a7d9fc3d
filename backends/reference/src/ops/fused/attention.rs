//! attention.latent, query, sparse (deepseek-v4.md 4).

use super::step::{self, Pages, Sequence, Source, Token};
use super::stored::{RowShape, Rows};
use super::{result, vector};
use crate::format::unit_roundoff;
use crate::num::{self, Num};
use crate::tensor::{Output, Reader, Tensor, index, read};
use omnihal::op::attention::{Entries, Latent, LatentArgs, Query, QueryArgs, Sparse, SparseArgs};
use omnihal::{Args, DType, Error, OpKind, Result};

pub fn latent(d: &Latent, args: &Args) -> Result<Vec<Output>> {
    let a = LatentArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let (lat, rope) = (read(a.lat)?, Reader::new(a.rope)?);
    let (q_gain, kv_gain) = (read(a.q_norm)?, read(a.kv_norm)?);
    let (mut qr, mut kv) = (vec![Num::ZERO; d.rows * d.q_lora], vec![Num::ZERO; d.rows * d.head]);
    for (row, token) in tokens.iter().enumerate() {
        let Some(token) = token else { continue };
        let (q_part, kv_part) = lat.row(row).split_at(d.q_lora);
        let q_row = vector::rms_norm(&vector::exact(q_part), Some(&q_gain.data), d.eps);
        qr[row * d.q_lora..(row + 1) * d.q_lora].copy_from_slice(&q_row);
        let mut kv_row = vector::rms_norm(&vector::exact(kv_part), Some(&kv_gain.data), d.eps);
        vector::round_all(&mut kv_row, d.act);
        vector::rope(&mut kv_row, &rope.row(token.pos)?, false);
        let kv_row = vector::rotate_and_quantise(kv_row, d.act, d.rotary, false, d.quant);
        kv[row * d.head..(row + 1) * d.head].copy_from_slice(&kv_row);
    }
    let live = step::live(&tokens);
    let op = OpKind::AttentionLatent;
    Ok(vec![result::dense(op, "qr", qr, &live), result::dense(op, "kv", kv, &live)])
}

pub fn query(d: &Query, args: &Args) -> Result<Vec<Output>> {
    let a = QueryArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let (q, rope) = (read(a.q)?, Reader::new(a.rope)?);
    let mut out = q.nums();
    for (row, token) in tokens.iter().enumerate() {
        let Some(token) = token else { continue };
        let cs = rope.row(token.pos)?;
        for head in out[row * d.heads * d.head..(row + 1) * d.heads * d.head].chunks_mut(d.head) {
            let mut done = vector::rms_norm(head, None, d.eps);
            done.iter_mut().for_each(|x| *x = x.may_round(d.act));
            vector::rope(&mut done, &cs, false);
            head.copy_from_slice(&done);
        }
    }
    Ok(vec![result::dense(OpKind::AttentionQuery, "q", out, &step::live(&tokens))])
}

/// The sources of keys.
struct Keys<'a> {
    d: &'a Sparse,
    kv: Reader,
    ring: Rows,
    /// Entries, their pages, and the lists of the rows if there are any.
    entries: Option<(Rows, Pages, Option<Tensor>)>,
}

pub fn sparse(d: &Sparse, args: &Args) -> Result<Vec<Output>> {
    let a = SparseArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let sequences = step::sequences(a.seqs)?;
    let shape = RowShape { format: d.format, width: d.head, rotary: d.rotary };
    let entries = match (a.pool, a.pt) {
        (Some(pool), Some(pt)) => {
            Some((Rows::new(pool, shape)?, Pages::new(d.pages, pt)?, a.idx.map(read).transpose()?))
        }
        _ => None,
    };
    let keys = Keys { d, kv: Reader::new(a.kv)?, ring: Rows::new(a.ring, shape)?, entries };
    let (q, sink, rope) = (read(a.q)?, read(a.sink)?, Reader::new(a.rope)?);
    let mut o = vec![Num::ZERO; d.rows * d.heads * d.head];
    for (row, token) in tokens.iter().enumerate() {
        let Some(token) = token else { continue };
        let keys = keys.of(row, token, &sequences)?;
        let cs = rope.row(token.pos)?;
        for head in 0..d.heads {
            let place = row * d.heads + head;
            let result = attend(d, q.row(place), &keys, sink.data[head], &cs);
            o[place * d.head..(place + 1) * d.head].copy_from_slice(&result);
        }
    }
    Ok(vec![result::dense(OpKind::AttentionSparse, "o", o, &step::live(&tokens))])
}

/// One head of one row.
fn attend(d: &Sparse, q: &[f64], keys: &[Vec<f64>], sink: f64, cs: &[f64]) -> Vec<Num> {
    let scale = Num::exact(f64::from(d.scale));
    let logits: Vec<Num> = keys.iter().map(|key| num::dot(q, key) * scale).collect();
    let p: Vec<Num> =
        vector::softmax(&logits, Some(Num::exact(sink))).into_iter().map(|p| probability(p, d.act)).collect();
    let value = |c: usize| num::dot(&p, &keys.iter().map(|key| key[c]).collect::<Vec<_>>());
    let mut o: Vec<Num> = (0..d.head).map(value).collect();
    if d.inverse {
        let nope = d.head - d.rotary;
        o[nope..].iter_mut().for_each(|x| *x = x.may_round(d.act));
        vector::rope(&mut o, cs, true);
    }
    o
}

/// A probability as it meets the values. Devices round the quotient to BF16, or the exponential before it is divided.
fn probability(p: Num, act: DType) -> Num {
    if act != DType::BF16 {
        return p;
    }
    let rounded = p.round_to(act).v;
    Num::new(rounded, (rounded - p.v).abs() + p.e + unit_roundoff(act) * (p.v + p.e))
}

impl Keys<'_> {
    /// The keys that a row attends to: its window, ascending, then its entries.
    fn of(&self, row: usize, token: &Token, sequences: &[Option<Sequence>]) -> Result<Vec<Vec<f64>>> {
        let sequence = step::sequence_of(token, sequences).ok_or_else(|| {
            Error::argument(format!("row {row} names sequence {}, which the step does not have", token.seq))
        })?;
        let mut keys = Vec::new();
        for pos in (token.pos + 1).saturating_sub(self.d.window)..=token.pos {
            keys.push(match sequence.source(pos, self.d.ring) {
                Some(Source::Step(row)) => self.kv.row(row)?,
                Some(Source::Ring(row)) => self.ring.row(row)?,
                None => return Err(Error::argument(format!("row {row} lies past the end of its sequence"))),
            });
        }
        if let Some((pool, pages, lists)) = &self.entries {
            for entry in self.listed(row, pages.visible(token.pos, self.d.ratio), lists.as_ref()) {
                if let Some(place) = pages.row(token.seq, entry) {
                    keys.push(pool.row(place)?);
                }
            }
        }
        Ok(keys)
    }

    /// The entries of a row: those listed that are visible, each once, or all visible ones.
    fn listed(&self, row: usize, visible: usize, lists: Option<&Tensor>) -> Vec<usize> {
        match (self.d.entries, lists) {
            (Entries::None, _) => Vec::new(),
            (Entries::All, _) | (Entries::Listed(_), None) => (0..visible).collect(),
            (Entries::Listed(_), Some(lists)) => {
                let mut entries = Vec::new();
                for &j in lists.row(row) {
                    if let Some(j) = index(j, visible).filter(|j| !entries.contains(j)) {
                        entries.push(j);
                    }
                }
                entries
            }
        }
    }
}
