//! Decompositions of the cache family.

use super::{Arguments, Context};
use crate::recipe::Recipe;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::cache::{CopyRows, Store};
use omnihal::op::copy;
use omnihal::op::elementwise::Cmp;
use omnihal::{Column, DType, Result};

pub(super) fn store(r: &mut Recipe, _d: &Store, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (kv, ring) = (args.get(0)?, args.get(1)?);
    let rows = r.as_type(kv, ring.dtype());
    let dst = r.column(cx.step, Column::RingDst);
    r.scatter(&ring.merge(0), &dst, &rows, true);
    Ok(())
}

pub(super) fn copy_rows(r: &mut Recipe, d: &CopyRows, args: &Arguments) -> Result<()> {
    let (t, from, to) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let rows = r.temp(d.dtype, [d.count, d.width]);
    let gather = copy::Gather { rows: d.rows, width: d.width, count: d.count, dtype: d.dtype, trusted: false };
    r.op(gather, &[t, from, &rows]);
    // Where there is nothing to copy, nothing is written.
    let place = r.temp(DType::I32, [d.count]);
    r.select_into(from, Cmp::Ge, Number(0.0), Of(to), Number(-1.0), &place);
    r.scatter(t, &place, &rows, false);
    Ok(())
}
