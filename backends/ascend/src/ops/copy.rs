//! Moving elements. Equal types move bits: the vendor's operators see a type of the same width that all of them take.

use super::calls::Calls;
use super::tensor::{Tensor, width};
use super::words::{BOOL, F32, I32, Order};
use crate::sys::constants::aclDataType;
use omnihal::op::copy::{
    Concat, ConcatArgs, Copy, CopyArgs, Fill, FillArgs, Gather, GatherArgs, Scatter, ScatterArgs, Take, TakeArgs,
};
use omnihal::{DType, Result, View};

/// A view for moving bits.
fn bits(view: &View) -> Result<Tensor> {
    if view.dtype == DType::F4E2M1X2 {
        return Ok(Tensor::of_packed(view));
    }
    let tensor = Tensor::of(view)?;
    Ok(match width(tensor.kind()) {
        4 => tensor.bits(F32),
        2 => tensor.bits(aclDataType::ACL_FLOAT16),
        1 => tensor.bits(aclDataType::ACL_UINT8),
        _ => tensor,
    })
}

pub(super) fn copy(c: &mut Calls<'_>, d: &Copy, args: CopyArgs<'_>) -> Result<()> {
    match d.input == d.output {
        true => {
            let (x, y) = (bits(args.x)?, bits(args.y)?);
            c.copy(&x.folded(), &y)
        }
        false => {
            let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
            c.copy(&x.folded(), &y)
        }
    }
}

pub(super) fn fill(c: &mut Calls<'_>, d: &Fill, args: FillArgs<'_>) -> Result<()> {
    c.fill(&Tensor::of(args.y)?, d.value)
}

/// Indices that are legal, and which of them were.
struct Legal {
    index: Tensor,
    /// True where the index was legal.
    mask: Tensor,
}

/// Brings indices into `0..rows`.
fn legal(c: &mut Calls<'_>, index: &Tensor, rows: usize) -> Result<Legal> {
    let (clamped, mask) = (c.temp(I32, index.dims())?, c.temp(BOOL, index.dims())?);
    c.within(index, rows, &clamped)?;
    c.compare(Order::Eq, index, &clamped, &mask)?;
    Ok(Legal { index: clamped, mask })
}

/// Zeros where an index was not legal.
fn cleared(c: &mut Calls<'_>, legal: &Legal, picked: &Tensor) -> Result<Tensor> {
    let (zero, result) = (c.temp(picked.kind(), &[1, 1])?, c.temp(picked.kind(), picked.dims())?);
    c.fill(&zero, 0.0)?;
    let mask = if legal.mask.dims().len() < 2 { legal.mask.with_axis(1) } else { legal.mask };
    c.select(&mask, picked, &zero, &result)?;
    Ok(result)
}

pub(super) fn gather(c: &mut Calls<'_>, d: &Gather, args: GatherArgs<'_>) -> Result<()> {
    let (from, index, y) = (bits(args.src)?, Tensor::of(args.idx)?, bits(args.y)?);
    if d.trusted {
        let value = c.place(&y, y.kind(), &[&from])?;
        c.pick(&from, 0, &index, &value)?;
        return c.settle(&value, &y);
    }
    let legal = legal(c, &index, d.rows)?;
    let picked = c.temp(from.kind(), y.dims())?;
    c.pick(&from, 0, &legal.index, &picked)?;
    let value = cleared(c, &legal, &picked)?;
    c.copy(&value, &y)
}

pub(super) fn scatter(c: &mut Calls<'_>, d: &Scatter, args: ScatterArgs<'_>) -> Result<()> {
    let (to, index, from) = (bits(args.dst)?, Tensor::of(args.idx)?, bits(args.src)?);
    let from = c.dense(&from, from.kind())?;
    if d.trusted && to.is_contiguous() {
        return c.put_rows(&to, &index, &from);
    }
    // A copy of the destination with one row more, for all that is absent.
    let width = to.dims()[1];
    let copy = c.temp(to.kind(), &[d.rows + 1, width])?;
    let kept = copy.slice(0, 0, d.rows);
    c.copy(&to, &kept)?;
    let legal = legal(c, &index, d.rows)?;
    let (extra, placed) = (c.temp(I32, &[1])?, c.temp(I32, index.dims())?);
    c.fill_word(&extra, i32::try_from(d.rows).unwrap_or(i32::MAX))?;
    c.select(&legal.mask, &legal.index, &extra, &placed)?;
    c.put_rows(&copy, &placed, &from)?;
    c.copy(&kept, &to)
}

pub(super) fn take(c: &mut Calls<'_>, d: &Take, args: TakeArgs<'_>) -> Result<()> {
    let (x, index, y) = (bits(args.x)?, Tensor::of(args.idx)?, bits(args.y)?);
    let legal = legal(c, &index, d.width)?;
    let picked = c.temp(x.kind(), y.dims())?;
    c.pick_each(&x, &legal.index, &picked)?;
    let value = cleared(c, &legal, &picked)?;
    c.copy(&value, &y)
}

pub(super) fn concat(c: &mut Calls<'_>, _d: &Concat, args: ConcatArgs<'_>) -> Result<()> {
    let parts: Vec<Tensor> =
        [Some(args.a), Some(args.b), args.c, args.d].into_iter().flatten().map(bits).collect::<Result<_>>()?;
    let y = bits(args.y)?;
    let inputs: Vec<&Tensor> = parts.iter().collect();
    let value = c.place(&y, y.kind(), &inputs)?;
    c.join(&parts, 1, &value)?;
    c.settle(&value, &y)
}
