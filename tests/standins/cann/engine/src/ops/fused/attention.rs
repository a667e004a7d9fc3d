//! Attention over a window and compressed entries (documents of SparseFlashMla and SparseFlashMlaMetadata in CANN 9.1): queries as `BSND`, keys in pages as `PA_BBND`. What the metadata holds no
//! document says: here a digest of everything that it was made for, which the attention compares.
//!
//! Mistakes: `missing-sink`, `window-too-short`, `entries-unmasked`.

use super::wrong::makes;
use crate::fault::{Answer, broken, code};
use crate::ops::reader::{BF16, F16, F32, I32, Reader};
use crate::ops::{Action, Held};
use crate::soc::{Soc, soc};

pub(super) const METADATA: usize = 1024;

/// Numbers that the two operators must agree on.
#[derive(Clone)]
struct Shape {
    heads: i64,
    batch: i64,
    queries: i64,
    keep: i64,
    ratio: i64,
    far: bool,
}

impl Shape {
    fn numbers(&self) -> [i64; 6] {
        [self.heads, self.batch, self.queries, self.keep, self.ratio, self.far as i64]
    }
}

/// What metadata say: numbers, and the lengths at the time that they were made.
pub(super) fn digest(numbers: &[i64], lengths: &[Option<&Held>]) -> Vec<i64> {
    let mut all = numbers.to_vec();
    for held in lengths.iter().flatten() {
        all.push(-7);
        all.extend(held.ints());
    }
    let mut sum = 0x1234_5678u32;
    let mut digest: Vec<i64> = Vec::with_capacity(METADATA);
    for at in 0..METADATA {
        sum = sum.wrapping_mul(1_664_525).wrapping_add(all[at % all.len()] as u32 ^ at as u32);
        digest.push((sum >> 1) as i64);
    }
    digest
}

/// Modes that the documents of the chip allow.
fn modes(r: &mut Reader<'_>, far: bool, ratio: i64, keep: i64) -> Answer {
    let (near_mask, far_mask) = (r.whole()?, r.whole()?);
    let (left, right) = (r.whole()?, r.whole()?);
    let (queries, keys) = (r.text()?, r.text()?);
    r.want(near_mask == 4 && far_mask == 3, "masks other than band and causal")?;
    r.want(left == 127 && right == 0, "a window other than 127 and 0")?;
    r.want(
        queries == "BSND" && keys == "PA_BBND",
        format!("layouts {queries} and {keys}: the stand-in takes BSND and PA_BBND"),
    )?;
    if soc() != Soc::A950 {
        r.want(
            ratio
                == if !far {
                    1
                } else if keep > 0 {
                    4
                } else {
                    128
                },
            format!("a ratio of {ratio}"),
        )?;
        r.want(keep == 0 || keep == 512 || keep == 1024, format!("{keep} entries"))?;
    }
    r.want((1..=128).contains(&ratio), format!("a ratio of {ratio}"))
}

pub(super) fn lengths(r: &Reader<'_>, held: Option<&Held>, batch: i64, wanted: bool, what: &str) -> Answer {
    r.want(held.is_some() == wanted, format!("{what}: wanted {wanted}"))?;
    r.want(
        held.is_none_or(|h| h.kind() == I32 && h.dims() == [batch as usize]),
        format!("{what} have another shape or type"),
    )
}

pub(super) fn metadata(r: &mut Reader<'_>) -> Answer<Action> {
    r.absent(4)?;
    let (near, far_used, rest) = (r.optional_input()?, r.optional_input()?, r.optional_input()?);
    r.absent(2)?;
    let (heads, kv_heads, head, batch, queries) = (r.whole()?, r.whole()?, r.whole()?, r.whole()?, r.whole()?);
    let (_most_near, _most_far, near_keep, keep) = (r.whole()?, r.whole()?, r.whole()?, r.whole()?);
    let ratio = r.whole()?;
    r.want(kv_heads == 1 && head == 512 && near_keep == 0, "sizes out of range")?;
    // The flags come last, what they decide is known from the lengths.
    modes(r, far_used.is_some(), ratio, keep)?;
    let (has_near, far) = (r.whole()? != 0, r.whole()? != 0);
    let y = r.output()?;
    r.want(has_near, "no window")?;
    lengths(r, near.as_ref(), batch, true, "lengths of windows")?;
    lengths(r, far_used.as_ref(), batch, far, "numbers of entries")?;
    lengths(r, rest.as_ref(), batch, far && ratio != 1, "positions behind the last entry")?;
    r.want(y.kind() == I32 && y.dims() == [METADATA], "the metadata are 1024 integers")?;
    let shape = Shape { heads, batch, queries, keep, ratio, far };
    Ok(Box::new(move || {
        y.put_ints(&digest(&shape.numbers(), &[near.as_ref(), far_used.as_ref(), rest.as_ref()]));
        Ok(())
    }))
}

/// Keys in pages.
pub(super) struct Pages {
    pub(super) keys: Held,
    pub(super) table: Held,
    pub(super) used: Held,
}

impl Pages {
    pub(super) fn check(&self, r: &Reader<'_>, q: &Held, batch: usize, width: usize) -> Answer {
        let &[_, block, one, head] = self.keys.dims() else { return r.bad("keys are not [pages, rows, 1, width]") };
        r.same_kinds(&[q, &self.keys])?;
        r.want(one == 1 && head == width && block % 16 == 0 && block <= 1024, "pages of another shape")?;
        let table = self.table.dims();
        r.want(self.table.kind() == I32 && table.len() == 2 && table[0] == batch, "a table of another shape or type")
    }
}

/// The keys of one sequence: rows of pages.
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) table: &'a [i64],
    pub(super) block: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn row(&self, at: usize) -> Option<&'a [f32]> {
        let page = usize::try_from(*self.table.get(at / self.block)?).ok()?;
        self.values.chunks(self.width).nth(page * self.block + at % self.block)
    }
}

struct Attention {
    q: Held,
    near: Pages,
    far: Option<(Pages, Held, Option<Held>)>,
    sinks: Held,
    metadata: Held,
    y: Held,
    scale: f32,
    shape: Shape,
}

impl Attention {
    /// One query head over its keys; the sink is in the sum and has no value.
    fn head(&self, q: &[f32], keys: &[&[f32]], sink: f32) -> Vec<f32> {
        let scores: Vec<f32> =
            keys.iter().map(|k| q.iter().zip(*k).map(|(a, b)| a * b).sum::<f32>() * self.scale).collect();
        let sink = if makes("SparseFlashMla", "missing-sink") { f32::NEG_INFINITY } else { sink };
        let most = scores.iter().copied().fold(sink, f32::max);
        let parts: Vec<f32> = scores.iter().map(|s| (s - most).exp()).collect();
        let total = parts.iter().sum::<f32>() + (sink - most).exp();
        let mut out = vec![0f32; 512];
        for (part, key) in parts.iter().zip(keys) {
            out.iter_mut().zip(*key).for_each(|(o, k)| *o += part * k);
        }
        out.iter_mut().for_each(|o| *o /= total);
        out
    }

    fn run(&self) -> Answer {
        let far_lengths = self.far.as_ref().map(|(pages, ..)| &pages.used);
        let rest = self.far.as_ref().map(|(_, rest, _)| rest);
        if self.metadata.ints() != digest(&self.shape.numbers(), &[Some(&self.near.used), far_lengths, rest]) {
            return broken("metadata", code::AICORE, "SparseFlashMla: the metadata were made for other numbers");
        }
        let (batch, queries, heads) =
            (self.shape.batch as usize, self.shape.queries as usize, self.shape.heads as usize);
        let (qs, sinks) = (self.q.floats(), self.sinks.floats());
        let (near_values, near_table, near_used) =
            (self.near.keys.floats(), self.near.table.ints(), self.near.used.ints());
        let far = self.far.as_ref().map(|(pages, rest, chosen)| {
            (
                pages,
                pages.keys.floats(),
                pages.table.ints(),
                pages.used.ints(),
                rest.ints(),
                chosen.as_ref().map(Held::ints),
            )
        });
        let left = if makes("SparseFlashMla", "window-too-short") { 100 } else { 128 };
        let unmasked = makes("SparseFlashMla", "entries-unmasked");
        let width = |table: &[i64]| table.len() / batch;
        let mut all = Vec::with_capacity(qs.len());
        for b in 0..batch {
            let columns = width(&near_table);
            let near = Rows {
                values: &near_values,
                width: 512,
                table: &near_table[b * columns..][..columns],
                block: self.near.keys.dims()[1],
            };
            for i in 0..queries {
                let end = (near_used[b] as usize + i + 1).saturating_sub(queries);
                let mut keys: Vec<Option<&[f32]>> = (end.saturating_sub(left)..end).map(|at| near.row(at)).collect();
                if let Some((pages, values, table, used, rest, chosen)) = &far {
                    let columns = width(table);
                    let rows = Rows {
                        width: 512,
                        values,
                        table: &table[b * columns..][..columns],
                        block: pages.keys.dims()[1],
                    };
                    let positions = used[b] * self.shape.ratio + rest[b] - queries as i64 + i as i64 + 1;
                    let visible = if unmasked { used[b] + 1 } else { (positions / self.shape.ratio).min(used[b]) };
                    match chosen {
                        None => keys.extend((0..visible as usize).map(|at| rows.row(at))),
                        Some(chosen) => {
                            let keep = self.shape.keep as usize;
                            let list = &chosen[(b * queries + i) * keep..][..keep];
                            let list = list.iter().filter(|&&j| j >= 0 && (unmasked || j < visible));
                            keys.extend(list.map(|&j| rows.row(j as usize)).collect::<Vec<_>>());
                        }
                    }
                }
                let Some(keys) = keys.into_iter().collect::<Option<Vec<_>>>() else {
                    return broken(
                        "index",
                        code::AICORE,
                        "SparseFlashMla: a page that the table or the pool does not have",
                    );
                };
                for (h, sink) in sinks.iter().enumerate() {
                    let q = &qs[((b * queries + i) * heads + h) * 512..][..512];
                    all.extend(self.head(q, &keys, *sink));
                }
            }
        }
        self.y.put_floats(&all);
        Ok(())
    }
}

pub(super) fn sparse(r: &mut Reader<'_>) -> Answer<Action> {
    let (q, near, far) = (r.input()?, r.input()?, r.optional_input()?);
    r.absent(1)?;
    let (chosen, near_table, far_table) = (r.optional_input()?, r.input()?, r.optional_input()?);
    r.absent(4)?;
    let (near_used, far_used, rest) = (r.input()?, r.optional_input()?, r.optional_input()?);
    r.absent(2)?;
    let (sinks, metadata) = (r.input()?, r.input()?);
    let (scale, ratio) = (r.real()? as f32, r.whole()?);
    let keep = chosen.as_ref().and_then(|c| c.dims().last().copied()).unwrap_or(0) as i64;
    modes(r, far.is_some(), ratio, keep)?;
    let (value_mode, sums) = (r.whole()?, r.whole()? != 0);
    let (y, _sums) = (r.output()?, r.optional_output()?);
    r.want(value_mode == 1 && !sums, "modes that the stand-in does not take")?;
    let &[batch, queries, heads, head] = q.dims() else { return r.bad("q is not [batch, rows, heads, width]") };
    r.want(head == 512, "heads that are not of 512 channels")?;
    let fewest = if soc() == Soc::A950 { 2 } else { 1 };
    r.want(heads.is_power_of_two() && (fewest..=128).contains(&heads), "a number of heads that is not allowed")?;
    r.want(matches!(q.kind(), BF16 | F16) && y.dims() == q.dims(), "q or the result have another type or shape")?;
    r.same_kinds(&[&q, &y])?;
    r.dense(&y)?;
    r.want(sinks.kind() == F32 && sinks.dims() == [heads], "the sinks have another shape or type")?;
    r.want(metadata.kind() == I32 && metadata.dims() == [METADATA], "the metadata are 1024 integers")?;
    lengths(r, Some(&near_used), batch as i64, true, "lengths of windows")?;
    lengths(r, far_used.as_ref(), batch as i64, far.is_some(), "numbers of entries")?;
    lengths(r, rest.as_ref(), batch as i64, far.is_some() && ratio != 1, "positions behind the last entry")?;
    let index = [batch, queries, 1, keep as usize];
    r.want(
        chosen.as_ref().is_none_or(|c| c.kind() == I32 && c.dims() == index),
        "the chosen entries have another shape",
    )?;
    let near = Pages { keys: near, table: near_table, used: near_used };
    near.check(r, &q, batch, 512)?;
    let far = match (far, far_table, far_used, rest) {
        (Some(keys), Some(table), Some(used), Some(rest)) => {
            let pages = Pages { keys, table, used };
            pages.check(r, &q, batch, 512)?;
            Some((pages, rest, chosen))
        }
        (None, None, ..) => None,
        _ => return r.bad("entries without their table or lengths"),
    };
    let shape =
        Shape { heads: heads as i64, batch: batch as i64, queries: queries as i64, keep, ratio, far: far.is_some() };
    let all = Attention { q, near, far, sinks, metadata, y, scale, shape };
    Ok(Box::new(move || all.run()))
}
