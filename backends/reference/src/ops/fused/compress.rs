//! compress.update (deepseek-v4.md 4.3, 4.4, 5).

use super::result::{self, NewRow};
use super::step::{self, Pages, Sequence, Source, Token};
use super::{stored::RowShape, vector};
use crate::format::round;
use crate::num::{self, Num};
use crate::tensor::{Output, Packed, Reader, Tensor, index, read};
use omnihal::op::compress::{Update, UpdateArgs, halves};
use omnihal::{Args, DType, OpKind, Result};

/// What a closing reads.
struct Window<'a> {
    d: &'a Update,
    proj: Reader,
    ape: Tensor,
    state: Reader,
}

pub fn update(d: &Update, args: &Args) -> Result<Vec<Output>> {
    let a = UpdateArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let sequences = step::sequences(a.seqs)?;
    let pages = Pages::new(d.pages, a.pt)?;
    let (gain, rope) = (read(a.norm)?, Reader::new(a.rope)?);
    let window = Window { d, proj: Reader::new(a.proj)?, ape: read(a.ape)?, state: Reader::new(a.state)? };
    let shape = RowShape { format: d.format, width: d.width, rotary: d.rotary };

    let mut entries = Vec::new();
    let mut undecided = Vec::new();
    for closing in read(a.close)?.data.chunks(2) {
        let (Some(seq), Some(j)) = (index(closing[0], d.seqs), index(closing[1], d.pages.capacity())) else { continue };
        let (Some(sequence), Some(row)) = (sequences[seq], pages.row(seq, j)) else { continue };
        let Some(pooled) = window.pool(&sequence, j)? else { continue };
        let entry = finish(d, pooled, &gain, &rope.row(j * d.ratio)?);
        let decided = !shape.is_packed() || entry.iter().all(|x| x.e == 0.0);
        entries.push(NewRow { row, values: shape.pack(&entry), decided });
        if !decided {
            undecided.push((row, entry));
        }
    }
    let open = window.open(&tokens, &sequences)?;
    let op = OpKind::CompressUpdate;
    let mut pool = result::rows(op, "pool", shape.stored(), false, entries);
    pool.packed = shape.is_packed().then_some(Packed { format: d.format, rotary: d.rotary, rows: undecided });
    Ok(vec![result::rows(op, "state", halves(d.overlap) * 2 * d.width, true, open), pool])
}

/// From the pooled value to the channels that are stored.
fn finish(d: &Update, mut entry: Vec<Num>, gain: &Tensor, cs: &[f64]) -> Vec<Num> {
    vector::round_all(&mut entry, d.act);
    let mut entry = vector::rms_norm(&entry, Some(&gain.data), d.eps);
    vector::round_all(&mut entry, d.act);
    vector::rope(&mut entry, cs, false);
    let mut entry = vector::rotate_and_quantise(entry, d.act, d.rotary, d.hadamard, d.quant);
    vector::round_all(&mut entry, d.act);
    entry
}

impl Window<'_> {
    /// `proj + ape` of a row of the step: one f32 sum, the same on every device, so that a row pooled now and one kept for later agree.
    fn step_row(&self, row: usize, pos: usize) -> Result<Vec<Num>> {
        let ape = self.ape.row(pos % self.d.ratio);
        Ok(self.proj.row(row)?.iter().zip(ape).map(|(&p, &a)| Num::exact(round(DType::F32, p + a))).collect())
    }

    /// The row of a position, as it was before the operator if it is not in this step.
    fn row(&self, sequence: &Sequence, pos: usize) -> Result<Option<Vec<Num>>> {
        Ok(match sequence.source(pos, self.d.ring) {
            None => None,
            Some(Source::Step(row)) => Some(self.step_row(row, pos)?),
            Some(Source::Ring(row)) => Some(vector::exact(&self.state.row(row)?)),
        })
    }

    /// Positions and halves that entry `j` pools, in order.
    fn slots(&self, j: usize) -> Vec<(usize, usize)> {
        let m = self.d.ratio;
        let own = (j * m..(j + 1) * m).map(|pos| (pos, halves(self.d.overlap) - 1));
        if self.d.overlap && j > 0 {
            return ((j - 1) * m..j * m).map(|pos| (pos, 0)).chain(own).collect();
        }
        own.collect()
    }

    /// The pooled value of an entry; `None` if the sequence does not reach its end.
    fn pool(&self, sequence: &Sequence, j: usize) -> Result<Option<Vec<Num>>> {
        let w = self.d.width;
        let mut slots = Vec::new();
        for (pos, half) in self.slots(j) {
            let Some(row) = self.row(sequence, pos)? else { return Ok(None) };
            slots.push(row[half * 2 * w..(half + 1) * 2 * w].to_vec());
        }
        let channel = |c: usize| {
            let gates: Vec<Num> = slots.iter().map(|slot| slot[w + c]).collect();
            let values: Vec<Num> = slots.iter().map(|slot| slot[c]).collect();
            num::dot(&vector::softmax(&gates, None), &values)
        };
        Ok(Some((0..w).map(channel).collect()))
    }

    /// New rows of the open-window rings: the last of each sequence.
    fn open(&self, tokens: &[Option<Token>], sequences: &[Option<Sequence>]) -> Result<Vec<NewRow>> {
        let mut rows = Vec::new();
        for (row, token) in tokens.iter().enumerate() {
            let Some(token) = token else { continue };
            let target = step::sequence_of(token, sequences).and_then(|s| s.target(token.pos, self.d.ring));
            if let Some(target) = target {
                rows.push(NewRow { row: target, values: self.step_row(row, token.pos)?, decided: true });
            }
        }
        Ok(rows)
    }
}
