//! Code grids. All arithmetic on a grid is exact: scales are powers of two, made from the bits of a number, and rounding to the grid is adding and taking away a number so
//! large that the sum has the grid's unit as its last place.

use super::calls::Calls;
use super::tables::Table;
use super::tensor::Tensor;
use super::words::{BOOL, F32, I32, Map, Order, Pair};
use crate::sys::constants::aclDataType;
use omnihal::op::QuantKind;
use omnihal::op::quant::{Dequant, DequantArgs, Qdq, QdqArgs};
use omnihal::{DType, Error, Result, View};

/// Bits of the exponent of an f32.
const EXPONENT: i32 = 0x7f80_0000;
/// Bits of `1 / s` are this less the bits of `s`, for a power of two.
const RECIPROCAL: i32 = 254 << 23;

/// What a grid is made of (deepseek-v4.md 2.2).
struct Grid {
    /// Smallest amplitude that decides a scale.
    floor: f32,
    /// Largest value.
    largest: f32,
    /// Smallest normal value.
    normal: f32,
    /// Bits of the fraction.
    fraction: i32,
}

fn grid(kind: QuantKind) -> Grid {
    match kind {
        QuantKind::F8E4M3 => Grid { floor: 1e-4, largest: 448.0, normal: 2f32.powi(-6), fraction: 3 },
        QuantKind::F4E2M1 => Grid { floor: 6.0 * f32::MIN_POSITIVE, largest: 6.0, normal: 1.0, fraction: 1 },
    }
}

/// The largest power of two that is not above `|x|`.
fn power_below(c: &mut Calls<'_>, x: &Tensor) -> Result<Tensor> {
    let power = c.temp(I32, x.dims())?;
    c.masked(&x.bits(I32), EXPONENT, &power)?;
    Ok(power.bits(F32))
}

/// The scale of each group: the smallest power of two that is not below `amplitude / largest`. And its reciprocal.
fn scales(c: &mut Calls<'_>, values: &Tensor, grid: &Grid) -> Result<[Tensor; 2]> {
    let groups = [values.dims()[0], 1];
    let (sizes, amplitude) = (c.temp(F32, values.dims())?, c.temp(F32, &groups)?);
    c.map(Map::Abs, values, &sizes)?;
    c.largest(&sizes, 1, true, &amplitude)?;
    let (floored, wanted) = (c.temp(F32, &groups)?, c.temp(F32, &groups)?);
    c.clamp(&amplitude, Some(grid.floor), None, &floored)?;
    c.muls(&floored, 1.0 / grid.largest, &wanted)?;
    let below = power_below(c, &wanted)?;
    let (above, mask) = (c.temp(F32, &groups)?, c.temp(BOOL, &groups)?);
    c.muls(&below, 2.0, &above)?;
    c.compare(Order::Gt, &wanted, &below, &mask)?;
    let (scale, inverse) = (c.temp(F32, &groups)?, c.temp(I32, &groups)?);
    c.select(&mask, &above, &below, &scale)?;
    c.words_from(RECIPROCAL, &scale.bits(I32), &inverse)?;
    Ok([scale, inverse.bits(F32)])
}

/// Rounds `[groups, group]` values to the grid of each group's scale.
pub(super) fn round_to_grid(c: &mut Calls<'_>, values: &Tensor, kind: QuantKind) -> Result<Tensor> {
    let grid = grid(kind);
    let [scale, inverse] = scales(c, values, &grid)?;
    let (scaled, kept) = (c.temp(F32, values.dims())?, c.temp(F32, values.dims())?);
    c.pair(Pair::Mul, values, &inverse, &scaled)?;
    c.clamp(&scaled, Some(-grid.largest), Some(grid.largest), &kept)?;
    let power = power_below(c, &kept)?;
    let (unit, anchor) = (c.temp(F32, values.dims())?, c.temp(F32, values.dims())?);
    c.clamp(&power, Some(grid.normal), None, &unit)?;
    // One and a half times 2^23 units of the grid.
    c.muls(&unit, 1.5 * 2f32.powi(23 - grid.fraction), &anchor)?;
    let (sum, rounded, result) =
        (c.temp(F32, values.dims())?, c.temp(F32, values.dims())?, c.temp(F32, values.dims())?);
    c.pair(Pair::Add, &kept, &anchor, &sum)?;
    c.pair(Pair::Sub, &sum, &anchor, &rounded)?;
    c.pair(Pair::Mul, &rounded, &scale, &result)?;
    Ok(result)
}

pub(super) fn qdq(c: &mut Calls<'_>, d: &Qdq, args: QdqArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let groups = d.rows * d.heads * (d.width / d.group);
    let values = c.dense(&x, F32)?.reshape(&[groups, d.group]);
    let rounded = round_to_grid(c, &values, d.kind)?;
    c.copy(&rounded.reshape(&[d.rows, d.heads, d.width]), &y)
}

/// `floor(i / by)` for the places of an axis, as indices.
fn blocks(c: &mut Calls<'_>, len: usize, by: usize) -> Result<Tensor> {
    let (places, middle, parts, index) =
        (c.temp(F32, &[len])?, c.temp(F32, &[len])?, c.temp(F32, &[len])?, c.temp(I32, &[len])?);
    c.counting(&places)?;
    // From the middle of a place the quotient is far from every border.
    c.adds(&places, 0.5, &middle)?;
    c.muls(&middle, 1.0 / by as f32, &parts)?;
    // The cast cuts the fraction off.
    c.copy(&parts, &index)?;
    Ok(index)
}

/// A row-major stack `[stack, rows, cols]` of codes as numbers without their scales.
fn codes(c: &mut Calls<'_>, view: &View, [stack, rows, cols]: [usize; 3]) -> Result<Tensor> {
    let (bytes, table, per_byte) = match view.dtype {
        DType::F8E4M3 => (Tensor::of(view)?, c.table(Table::F8)?, 1),
        DType::F4E2M1X2 if cols % 2 == 0 => (Tensor::of_packed(view), c.table(Table::F4)?, 2),
        other => {
            return Err(Error::unsupported(format!(
                "codes of type {other} with {cols} columns: use F8E4M3, or F4E2M1X2 with an even number"
            )));
        }
    };
    let index = c.dense(&bytes, I32)?;
    let count = index.elements();
    let values = c.temp(F32, &[count, per_byte])?;
    c.pick(&table, 0, &index.reshape(&[count]), &values)?;
    Ok(values.reshape(&[stack, rows, cols]))
}

/// The numbers of a quantised weight `[.., rows, cols]`, as `[stack, rows, cols]` of the type asked for.
pub(super) fn expand(c: &mut Calls<'_>, view: &View, to: aclDataType) -> Result<Tensor> {
    let quant =
        view.quant.ok_or_else(|| Error::argument("a quantised weight without scales: give them in its view"))?;
    let dims = view.shape.dims();
    let [rows, cols] = [dims[dims.len() - 2], dims[dims.len() - 1]];
    let stack = view.elements() / (rows * cols);
    let values = codes(c, view, [stack, rows, cols])?;
    let [scale_rows, scale_cols] = [rows.div_ceil(quant.block.0), cols.div_ceil(quant.block.1)];
    let scales = Tensor::at(quant.mem.addr, super::tensor::kind(quant.dtype)?, &[stack, scale_rows, scale_cols]);
    let scales = match quant.dtype {
        DType::F32 => scales,
        _ => {
            let (index, found) = (c.dense(&scales, I32)?, c.temp(F32, &[scales.elements(), 1])?);
            let table = c.table(Table::E8M0)?;
            c.pick(&table, 0, &index.reshape(&[scales.elements()]), &found)?;
            found.reshape(&[stack, scale_rows, scale_cols])
        }
    };
    let (row_of, col_of) = (blocks(c, rows, quant.block.0)?, blocks(c, cols, quant.block.1)?);
    let by_row = c.temp(F32, &[stack, rows, scale_cols])?;
    c.pick(&scales, 1, &row_of, &by_row)?;
    let all = c.temp(F32, &[stack, rows, cols])?;
    c.pick(&by_row, 2, &col_of, &all)?;
    let product = c.temp(F32, &[stack, rows, cols])?;
    c.pair(Pair::Mul, &values, &all, &product)?;
    c.of_kind(&product, to)
}

pub(super) fn dequant(c: &mut Calls<'_>, d: &Dequant, args: DequantArgs<'_>) -> Result<()> {
    let y = Tensor::of(args.y)?;
    let values = expand(c, args.w, F32)?;
    c.copy(&values.reshape(&[d.rows, d.width]), &y)
}
