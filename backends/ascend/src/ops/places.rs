//! Operators on indices: grouping by expert, rows of pages, the best of a row, embeddings. Indices are exact in f32: there are fewer than 2^24 (op-catalogue.md 1.3).

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::{BOOL, F32, I32, I64, Map, Order, Pair};
use omnihal::op::cache::{Rows, RowsArgs};
use omnihal::op::embed::{Lookup, LookupArgs};
use omnihal::op::moe::{Group, GroupArgs};
use omnihal::op::sample::{TopK, TopKArgs};
use omnihal::{Error, Result};

/// Whole numbers from here on are not all f32.
const EXACT: usize = 1 << 24;

fn exact(count: usize, what: &str) -> Result<()> {
    match count < EXACT {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "{what} of {count}: at most {} are computed exactly, use a smaller bucket",
            EXACT - 1
        ))),
    }
}

/// `x` where a mask does not hold, else a constant.
fn unless(c: &mut Calls<'_>, mask: &Tensor, constant: f32, x: &Tensor) -> Result<Tensor> {
    let (one, result) = (c.temp(x.kind(), &vec![1; x.dims().len()])?, c.temp(x.kind(), x.dims())?);
    c.fill(&one, constant)?;
    c.select(mask, &one, x, &result)?;
    Ok(result)
}

fn mask(c: &mut Calls<'_>, order: Order, x: &Tensor, value: f32) -> Result<Tensor> {
    let mask = c.temp(BOOL, x.dims())?;
    c.compare_to(order, x, value, &mask)?;
    Ok(mask)
}

/// Stable ascending order of keys: the places.
fn order(c: &mut Calls<'_>, keys: &Tensor) -> Result<Tensor> {
    let (sorted, places) = (c.temp(keys.kind(), keys.dims())?, c.temp(I64, keys.dims())?);
    c.sort(keys, false, &sorted, &places)?;
    Ok(places)
}

pub(super) fn group(c: &mut Calls<'_>, d: &Group, args: GroupArgs<'_>) -> Result<()> {
    let pairs = d.rows * d.choices;
    exact(pairs, "a number of pairs")?;
    let index = Tensor::of(args.idx)?;
    let (perm, src) = (Tensor::of(args.perm)?, Tensor::of(args.src)?);
    let (inv, counts) = (Tensor::of(args.inv)?, Tensor::of(args.counts)?);
    let chosen = c.dense(&index, F32)?.reshape(&[pairs]);
    let local = c.temp(F32, &[pairs])?;
    c.adds(&chosen, -(d.first as f32), &local)?;
    // Absent and foreign experts come last.
    let below = mask(c, Order::Lt, &local, 0.0)?;
    let keys = unless(c, &below, d.local as f32, &local)?;
    let above = mask(c, Order::Ge, &keys, d.local as f32)?;
    let keys = unless(c, &above, d.local as f32, &keys)?;
    let places = order(c, &keys)?;
    c.copy(&places, &perm)?;

    let (numbers, rows) = (c.temp(F32, &[d.rows])?, c.temp(F32, &[d.rows, d.choices])?);
    c.counting(&numbers)?;
    c.copy(&numbers.reshape(&[d.rows, 1]), &rows)?;
    let picked = c.temp(F32, &[pairs])?;
    c.pick(&rows.reshape(&[pairs]), 0, &places, &picked)?;
    c.copy(&picked, &src)?;

    let back = c.of_kind(&places, F32)?;
    let inverse = order(c, &back)?;
    c.copy(&inverse, &inv)?;

    let experts = c.temp(F32, &[d.local])?;
    c.counting(&experts)?;
    let (hits, ones, total) =
        (c.temp(BOOL, &[d.local, pairs])?, c.temp(F32, &[d.local, pairs])?, c.temp(F32, &[d.local])?);
    c.compare(Order::Eq, &experts.reshape(&[d.local, 1]), &keys.reshape(&[1, pairs]), &hits)?;
    c.copy(&hits, &ones)?;
    c.sum(&ones, 1, &total)?;
    c.copy(&total, &counts)
}

/// Quotient and remainder of whole numbers, corrected so that no rounding of the reciprocal shows.
pub(super) fn divided(c: &mut Calls<'_>, x: &Tensor, by: usize) -> Result<[Tensor; 2]> {
    let by = by as f32;
    let (about, down) = (c.temp(F32, x.dims())?, c.temp(F32, x.dims())?);
    c.muls(x, 1.0 / by, &about)?;
    c.map(Map::Floor, &about, &down)?;
    let rest = remainder(c, x, &down, by)?;
    let low = mask(c, Order::Lt, &rest, 0.0)?;
    let high = mask(c, Order::Ge, &rest, by)?;
    let (low, high) = (c.of_kind(&low, F32)?, c.of_kind(&high, F32)?);
    let (raised, quotient) = (c.temp(F32, x.dims())?, c.temp(F32, x.dims())?);
    c.pair(Pair::Add, &down, &high, &raised)?;
    c.pair(Pair::Sub, &raised, &low, &quotient)?;
    let rest = remainder(c, x, &quotient, by)?;
    Ok([quotient, rest])
}

fn remainder(c: &mut Calls<'_>, x: &Tensor, quotient: &Tensor, by: f32) -> Result<Tensor> {
    let (whole, rest) = (c.temp(F32, x.dims())?, c.temp(F32, x.dims())?);
    c.muls(quotient, by, &whole)?;
    c.pair(Pair::Sub, x, &whole, &rest)?;
    Ok(rest)
}

pub(super) fn rows(c: &mut Calls<'_>, d: &Rows, args: RowsArgs<'_>) -> Result<()> {
    exact(d.tables.saturating_mul(d.table), "a number of pages")?;
    let (pages, which) = (Tensor::of(args.pt)?, Tensor::of(args.which)?);
    let (entries, y) = (Tensor::of(args.j)?, Tensor::of(args.phys)?);
    let entries = c.of_kind(&entries, F32)?;
    let [page, rest] = divided(c, &entries, d.entries)?;
    let legal = c.temp(F32, page.dims())?;
    c.clamp(&page, Some(0.0), Some(d.table as f32 - 1.0), &legal)?;
    let absent = c.temp(BOOL, page.dims())?;
    c.compare(Order::Eq, &page, &legal, &absent)?;
    let present = absent;

    let table = c.of_kind(&which, F32)?;
    let (clamped, start) = (c.temp(F32, table.dims())?, c.temp(F32, table.dims())?);
    c.clamp(&table, Some(0.0), Some(d.tables as f32 - 1.0), &clamped)?;
    c.muls(&clamped, d.table as f32, &start)?;
    let (place, index) = (c.temp(F32, page.dims())?, c.temp(I32, page.dims())?);
    c.pair(Pair::Add, &legal, &start.reshape(&[d.rows, 1]), &place)?;
    c.copy(&place, &index)?;
    let count = d.rows * d.count;
    let pages = c.dense(&pages, pages.kind())?.reshape(&[d.tables * d.table]);
    let found = c.temp(I32, &[count])?;
    c.pick(&pages, 0, &index.reshape(&[count]), &found)?;
    let found = c.of_kind(&found.reshape(&[d.rows, d.count]), F32)?;
    let (first, row) = (c.temp(F32, page.dims())?, c.temp(F32, page.dims())?);
    c.muls(&found, d.entries as f32, &first)?;
    c.pair(Pair::Add, &first, &rest, &row)?;
    let (zero, result) = (c.temp(F32, &[1, 1])?, c.temp(F32, page.dims())?);
    c.fill(&zero, 0.0)?;
    c.select(&present, &row, &zero, &result)?;
    c.copy(&result, &y)
}

pub(super) fn top(c: &mut Calls<'_>, d: &TopK, args: TopKArgs<'_>) -> Result<()> {
    let x = Tensor::of(args.x)?;
    let (values, places) = (Tensor::of(args.values)?, Tensor::of(args.idx)?);
    // A NaN is below every number here, minus infinity included, and above every number for the vendor: NaNs go last first, then a stable sort by value, in which they are
    // as bad as the worst number, leaves them there.
    let (number, is_number) = (c.temp(BOOL, x.dims())?, c.temp(F32, x.dims())?);
    c.compare(Order::Eq, &x, &x, &number)?;
    c.copy(&number, &is_number)?;
    let (sorted, last) = (c.temp(F32, x.dims())?, c.temp(I64, x.dims())?);
    c.sort(&is_number, true, &sorted, &last)?;
    let (worst, keys, placed) = (c.temp(F32, &[1, 1])?, c.temp(F32, x.dims())?, c.temp(F32, x.dims())?);
    c.fill(&worst, if d.largest { f32::NEG_INFINITY } else { f32::INFINITY })?;
    c.select(&number, &x, &worst, &keys)?;
    c.pick_each(&keys, &last, &placed)?;
    // A stable sort promises the order of equals, the operator for the best ones does not.
    let order = c.temp(I64, x.dims())?;
    c.sort(&placed, d.largest, &sorted, &order)?;
    let best = c.temp(I64, &[d.rows, d.keep])?;
    c.pick_each(&last, &order.slice(1, 0, d.keep), &best)?;
    let picked = c.temp(F32, &[d.rows, d.keep])?;
    c.pick_each(&x, &best, &picked)?;
    c.copy(&picked, &values)?;
    c.copy(&best, &places)
}

pub(super) fn lookup(c: &mut Calls<'_>, d: &Lookup, args: LookupArgs<'_>) -> Result<()> {
    let (table, ids, x) = (Tensor::of(args.table)?, Tensor::of(args.ids)?, Tensor::of(args.x)?);
    let legal = c.temp(I32, ids.dims())?;
    c.within(&ids, d.vocab, &legal)?;
    let found = c.temp(table.kind(), &[d.rows, d.width])?;
    c.pick(&table, 0, &legal, &found)?;
    let found = c.of_kind(&found, x.kind())?;
    c.copy(&found.with_axis(1), &x)
}
