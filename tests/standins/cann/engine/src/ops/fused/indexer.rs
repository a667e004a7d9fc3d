//! The lightning indexer (documents of LightningIndexerV2 and its metadata in CANN 9.1): queries as `BSND`, keys in pages as `PA_BBND`. Which entries are kept is promised, their order is not:
//! here best first. On the older chips metadata are refused.
//!
//! Mistakes: `without-relu`, `weights-ignored`, `unmasked`.

use super::attention::{METADATA, Pages, Rows, digest, lengths};
use super::wrong::makes;
use crate::fault::{Answer, broken, code};
use crate::ops::reader::{BF16, F16, F32, I32, Reader};
use crate::ops::{Action, Held};
use crate::soc::{Soc, soc};

fn layouts(r: &mut Reader<'_>) -> Answer {
    let (queries, keys) = (r.text()?, r.text()?);
    r.want(queries == "BSND" && keys == "PA_BBND", "layouts other than BSND and PA_BBND")
}

fn modes(r: &mut Reader<'_>) -> Answer<i64> {
    let (mask, ratio) = (r.whole()?, r.whole()?);
    r.want(mask == 3, "a mask other than causal")?;
    r.want(matches!(ratio, 1 | 4 | 128), "a ratio other than 1, 4 and 128")?;
    Ok(ratio)
}

pub(super) fn metadata(r: &mut Reader<'_>) -> Answer<Action> {
    r.absent(3)?;
    let (used, rest) = (r.input()?, r.input()?);
    let (heads, one, width, keep, batch) = (r.whole()?, r.whole()?, r.whole()?, r.whole()?, r.whole()?);
    let (queries, _most_keys) = (r.whole()?, r.whole()?);
    layouts(r)?;
    let ratio = modes(r)?;
    let y = r.output()?;
    r.want(one == 1 && width == 128, "sizes out of range")?;
    lengths(r, Some(&used), batch, true, "numbers of keys")?;
    lengths(r, Some(&rest), batch, true, "positions behind the last key")?;
    r.want(y.kind() == I32 && y.dims() == [METADATA], "the metadata are 1024 integers")?;
    Ok(Box::new(move || {
        y.put_ints(&digest(&[heads, batch, queries, keep, ratio], &[Some(&used), Some(&rest)]));
        Ok(())
    }))
}

struct Indexer {
    q: Held,
    keys: Pages,
    w: Held,
    rest: Held,
    metadata: Option<Held>,
    y: Held,
    keep: usize,
    ratio: i64,
}

impl Indexer {
    fn run(&self) -> Answer {
        let &[batch, queries, heads, width] = self.q.dims() else { return Ok(()) };
        let (qs, ws, values) = (self.q.floats(), self.w.floats(), self.keys.keys.floats());
        let (table, used, rest) = (self.keys.table.ints(), self.keys.used.ints(), self.rest.ints());
        let numbers = [heads as i64, batch as i64, queries as i64, self.keep as i64, self.ratio];
        if let Some(metadata) = &self.metadata
            && metadata.ints() != digest(&numbers, &[Some(&self.keys.used), Some(&self.rest)])
        {
            return broken("metadata", code::AICORE, "LightningIndexerV2: the metadata were made for other numbers");
        }
        let wrong = |mistake| makes("LightningIndexerV2", mistake);
        let (no_relu, no_weights, unmasked) = (wrong("without-relu"), wrong("weights-ignored"), wrong("unmasked"));
        let columns = table.len() / batch;
        let mut all = Vec::new();
        for row in 0..batch * queries {
            let (b, i) = (row / queries, row % queries);
            let pages = Rows {
                values: &values,
                width,
                table: &table[b * columns..][..columns],
                block: self.keys.keys.dims()[1],
            };
            let positions = used[b] * self.ratio + rest[b] - queries as i64 + i as i64 + 1;
            let visible = if unmasked { used[b] + 1 } else { (positions / self.ratio).min(used[b]) };
            let mut scored = Vec::new();
            for j in 0..visible.max(0) as usize {
                let Some(key) = pages.row(j) else {
                    return broken(
                        "index",
                        code::AICORE,
                        "LightningIndexerV2: a page that the table or the pool does not have",
                    );
                };
                let score: f32 = (0..heads)
                    .map(|h| {
                        let dot: f32 =
                            qs[(row * heads + h) * width..][..width].iter().zip(key).map(|(a, b)| a * b).sum();
                        let dot = if no_relu { dot } else { dot.max(0.0) };
                        if no_weights { dot } else { dot * ws[row * heads + h] }
                    })
                    .sum();
                scored.push((score, j as i64));
            }
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut kept: Vec<i64> = scored.iter().take(self.keep).map(|(_, j)| *j).collect();
            kept.resize(self.keep, -1);
            all.extend(kept);
        }
        self.y.put_ints(&all);
        Ok(())
    }
}

pub(super) fn select(r: &mut Reader<'_>) -> Answer<Action> {
    let (q, k, w) = (r.input()?, r.input()?, r.input()?);
    r.absent(3)?;
    let (used, rest, table) = (r.input()?, r.input()?, r.input()?);
    r.absent(1)?;
    let metadata = r.optional_input()?;
    let (keep, _longest) = (r.whole()? as usize, r.whole()?);
    layouts(r)?;
    let ratio = modes(r)?;
    let (give, y, values) = (r.whole()?, r.output()?, r.output()?);
    r.want(give == 0, "the stand-in gives no scores")?;
    let newest = soc() == Soc::A950;
    r.want(metadata.is_some() == newest, "metadata are for the newest chips, and for all of those")?;
    let &[batch, queries, heads, width] = q.dims() else { return r.bad("q is not [batch, rows, heads, width]") };
    r.want(width == 128 && matches!(q.kind(), BF16 | F16), "q has another width or type")?;
    r.want(
        if newest { matches!(heads, 32 | 64) } else { (1..=64).contains(&heads) },
        "a number of heads that is not allowed",
    )?;
    r.want(w.kind() == F32 && w.dims() == [batch, queries, heads], "the weights have another shape or type")?;
    r.want((1..=2048).contains(&keep), "a number to keep that is out of range")?;
    r.want(
        y.kind() == I32 && y.dims() == [batch, queries, 1, keep] && values.dims() == y.dims(),
        "the result has another shape",
    )?;
    [&q, &w, &y].into_iter().try_for_each(|held| r.dense(held))?;
    lengths(r, Some(&used), batch as i64, true, "numbers of keys")?;
    lengths(r, Some(&rest), batch as i64, true, "positions behind the last key")?;
    let keys = Pages { keys: k, table, used };
    keys.check(r, &q, batch, 128)?;
    let all = Indexer { q, keys, w, rest, metadata, y, keep, ratio };
    Ok(Box::new(move || all.run()))
}
