//! The lightning indexer. Types and sizes are those of the documents of LightningIndexerV2; every row of the step is a sequence of its own to the vendor, as in attention.

use super::attention::{CAUSAL, LAYOUT_KV, LAYOUT_Q, METADATA, rows_of_pages};
use super::{Fits, want};
use crate::ops::calls::Calls;
use crate::ops::tensor::Tensor;
use crate::ops::words::{BF16, BOOL, F32, I32, I64, Order};
use crate::toolkit::version::Soc;
use omnihal::op::indexer::{Select, SelectArgs};
use omnihal::{Args, DType, Error, Op, Result, RowFormat, View};
use std::ptr::null;

/// The only width of a key.
const WIDTH: usize = 128;
/// Behind every entry: whole numbers up to here are exact in f32.
const BEHIND: f32 = (1 << 24) as f32;

fn fits(op: &Op) -> std::result::Result<&Select, String> {
    let Op::IndexerSelect(d) = op else { return Err("another operator".to_owned()) };
    want(d.act == DType::BF16, || format!("activations are {}, it takes bf16", d.act))?;
    want(d.format == RowFormat::Plain(DType::BF16), || "stored keys are not plain bf16".to_owned())?;
    want(d.width == WIDTH, || format!("keys of {} channels, it takes {WIDTH}", d.width))?;
    want(!d.with_scores, || "scores are wanted: the types of its documents and its samples differ".to_owned())?;
    want(matches!(d.ratio, 4 | 128), || format!("a ratio of {}, it takes 4 or 128", d.ratio))?;
    want(d.keep <= 2048, || format!("{} entries to keep, it takes up to 2048", d.keep))?;
    let block = d.pages.entries;
    want(block % 16 == 0 && block <= 1024, || {
        format!("pages of {block} entries, it takes multiples of 16 up to 1024")
    })?;
    want(d.pages.capacity() < BEHIND as usize, || format!("{} entries in a sequence", d.pages.capacity()))?;
    Ok(d)
}

pub(super) fn older_fits(op: &Op, soc: Soc) -> Fits {
    want(soc != Soc::A950, || "on Ascend 950 it wants metadata".to_owned())?;
    let d = fits(op)?;
    want((1..=64).contains(&d.heads), || format!("{} heads, it takes up to 64", d.heads))
}

pub(super) fn newer_fits(op: &Op, soc: Soc) -> Fits {
    want(soc == Soc::A950, || "on Atlas A2 and A3 it takes no metadata".to_owned())?;
    let d = fits(op)?;
    want(matches!(d.heads, 32 | 64), || format!("{} heads, it takes 32 or 64", d.heads))
}

pub(super) fn older(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    select(c, op, views, false)
}

pub(super) fn newer(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    select(c, op, views, true)
}

fn select(c: &mut Calls<'_>, op: &Op, views: &[Option<View>], with_metadata: bool) -> Result<()> {
    let Op::IndexerSelect(d) = op else {
        return Err(Error::argument(format!("{} where indexer.select was expected", op.kind().name())));
    };
    let args = Args::new(views);
    let args = SelectArgs::new(&args)?;
    let (q, w, toks) = (Tensor::of(args.q)?, Tensor::of(args.w)?, Tensor::of(args.toks)?);
    let (pool, table) = (Tensor::of(args.pool)?, Tensor::of(args.pt)?);
    let keys = rows_of_pages(c, &pool, &table, &toks, [d.rows, d.seqs, d.ratio])?;
    let q = c.dense(&q, BF16)?.reshape(&[d.rows, 1, d.heads, WIDTH]);
    // The order of scores is what counts; the factor is given all the same, for what the vendor rounds.
    let (w, scaled) = (c.dense(&w, F32)?, c.temp(F32, &[d.rows, d.heads])?);
    c.muls(&w, ((d.width * d.heads) as f64).powf(-0.5) as f32, &scaled)?;
    let w = scaled.reshape(&[d.rows, 1, d.heads]);
    let metadata = match with_metadata {
        true => Some(c.temp(I32, &[METADATA])?),
        false => None,
    };
    let (layout_q, layout_kv) = (LAYOUT_Q.as_ptr().cast(), LAYOUT_KV.as_ptr().cast());
    let (rows, heads, keep, ratio) = (d.rows as i64, d.heads as i64, d.keep as i64, d.ratio as i64);
    let (one, width, capacity) = (1, WIDTH as i64, d.pages.capacity() as i64);
    if let Some(metadata) = &metadata {
        c.call_fused(|fused, h| {
            let (used, rest, metadata) = (h.t(&keys.used)?, h.t(&keys.rest)?, h.t(metadata)?);
            // SAFETY: see `words`; the texts are constants.
            unsafe {
                fused.aclnnLightningIndexerV2Metadata(
                    null(),
                    null(),
                    null(),
                    used,
                    rest,
                    heads,
                    one,
                    width,
                    keep,
                    rows,
                    one,
                    capacity,
                    layout_q,
                    layout_kv,
                    CAUSAL,
                    ratio,
                    metadata,
                )
            }
        })?;
    }
    let (found, values) = (c.temp(I32, &[d.rows, 1, 1, d.keep])?, c.temp(F32, &[d.rows, 1, 1, d.keep])?);
    c.call_fused(|fused, h| {
        let metadata = metadata.as_ref().map_or(Ok(null()), |metadata| h.t(metadata))?;
        let (q, pool, w) = (h.t(&q)?, h.t(&keys.pool)?, h.t(&w)?);
        let (used, rest, table) = (h.t(&keys.used)?, h.t(&keys.rest)?, h.t(&keys.table)?);
        let (found, values) = (h.t(&found)?, h.t(&values)?);
        let (any_length, give_values) = (-1, 0);
        // SAFETY: as above.
        unsafe {
            fused.aclnnLightningIndexerV2(
                q,
                pool,
                w,
                null(),
                null(),
                null(),
                used,
                rest,
                table,
                null(),
                metadata,
                keep,
                any_length,
                layout_q,
                layout_kv,
                CAUSAL,
                ratio,
                give_values,
                found,
                values,
            )
        }
    })?;
    let index = Tensor::of(args.idx)?;
    ascending(c, &found.reshape(&[d.rows, d.keep]), &index)
}

/// Entries in ascending order, -1 behind the last.
fn ascending(c: &mut Calls<'_>, found: &Tensor, index: &Tensor) -> Result<()> {
    let numbers = c.of_kind(found, F32)?;
    let (absent, behind, keys) = (c.temp(BOOL, found.dims())?, c.temp(F32, &[1, 1])?, c.temp(F32, found.dims())?);
    c.compare_to(Order::Lt, &numbers, 0.0, &absent)?;
    c.fill(&behind, BEHIND)?;
    c.select(&absent, &behind, &numbers, &keys)?;
    let (sorted, places) = (c.temp(F32, found.dims())?, c.temp(I64, found.dims())?);
    c.sort(&keys, false, &sorted, &places)?;
    let (last, none, result) = (c.temp(BOOL, found.dims())?, c.temp(F32, &[1, 1])?, c.temp(F32, found.dims())?);
    c.compare_to(Order::Ge, &sorted, BEHIND, &last)?;
    c.fill(&none, -1.0)?;
    c.select(&last, &none, &sorted, &result)?;
    c.copy(&result, index)
}
