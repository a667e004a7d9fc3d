//! Decompositions of the cache family.

use super::{Arguments, Context};
use crate::recipe::Recipe;
use omnihal::op::cache::{CopyRows, Store};
use omnihal::op::copy;
use omnihal::{Column, Result};

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
    r.scatter(t, to, &rows, false);
    Ok(())
}
