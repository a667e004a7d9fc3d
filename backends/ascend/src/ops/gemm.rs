//! Matrix products: in bf16 where operands and result are, else in f32. The vendor's products give their operands' type, so that a wider result wants wider operands.

use super::calls::Calls;
use super::quant::{expand, round_to_grid};
use super::tensor::Tensor;
use super::words::{BF16, F32, I64, Pair};
use crate::sys::constants::aclDataType;
use omnihal::op::gemm::{Batched, BatchedArgs, Grouped, GroupedArgs, Linear, LinearArgs};
use omnihal::op::{ActQuant, QuantKind};
use omnihal::{DType, Result, View, WeightFormat};

/// Channels whose activations share a scale.
const ACT_GROUP: usize = 128;

/// The type to compute in.
fn inside(input: DType, weight: WeightFormat, output: DType, exact_result: bool) -> aclDataType {
    let weight_fits = matches!(weight, WeightFormat::Plain(DType::BF16)) || blocked_by_powers(weight);
    match input == DType::BF16 && output == DType::BF16 && weight_fits && exact_result {
        true => BF16,
        false => F32,
    }
}

/// True if the numbers of a format are numbers of bf16.
fn blocked_by_powers(weight: WeightFormat) -> bool {
    matches!(weight, WeightFormat::Blocked { scale: DType::E8M0, .. })
}

/// A weight as `[stack, outer, inner]`.
fn weight(c: &mut Calls<'_>, view: &View, format: WeightFormat, kind: aclDataType) -> Result<Tensor> {
    if format.is_quantised() {
        return expand(c, view, kind);
    }
    let tensor = Tensor::of(view)?;
    let tensor = if tensor.dims().len() == 2 { tensor.with_axis(0) } else { tensor };
    c.of_kind(&tensor, kind)
}

pub(super) fn linear(c: &mut Calls<'_>, d: &Linear, args: LinearArgs<'_>) -> Result<()> {
    let kind = inside(d.input, d.weight, d.output, !d.accumulate);
    let (a, y) = (Tensor::of(args.a)?, Tensor::of(args.y)?);
    let a = match d.a_quant {
        ActQuant::None => c.of_kind(&a, kind)?,
        ActQuant::F8G128 => {
            let groups = d.rows * (d.inner / ACT_GROUP);
            let values = c.dense(&a, F32)?.reshape(&[groups, ACT_GROUP]);
            let rounded = round_to_grid(c, &values, QuantKind::F8E4M3)?.reshape(&[d.rows, d.inner]);
            c.of_kind(&rounded, kind)?
        }
    };
    let w = weight(c, args.w, d.weight, kind)?;
    // `[outer, inner]` seen as `[inner, outer]`: a view, no copy.
    let w = w.exchanged(1, 2).without_first();
    let inputs = [&a, &w];
    let value = if d.accumulate { c.temp(kind, y.dims())? } else { c.place(&y, kind, &inputs)? };
    c.product(&a, &w, &value)?;
    if d.accumulate { add(c, &value, &y) } else { c.settle(&value, &y) }
}

/// `y += value`, rounded once.
fn add(c: &mut Calls<'_>, value: &Tensor, y: &Tensor) -> Result<()> {
    let (before, sum) = (c.of_kind(y, F32)?, c.temp(F32, y.dims())?);
    c.pair(Pair::Add, value, &before, &sum)?;
    c.copy(&sum, y)
}

/// An operand of a batch, without repeats.
fn operand(c: &mut Calls<'_>, view: &View, kind: aclDataType, transposed: bool) -> Result<Tensor> {
    let tensor = Tensor::of(view)?;
    let tensor = if tensor.repeats() { c.dense(&tensor, kind)? } else { c.of_kind(&tensor, kind)? };
    Ok(if transposed { tensor.exchanged(1, 2) } else { tensor })
}

pub(super) fn batched(c: &mut Calls<'_>, d: &Batched, args: BatchedArgs<'_>) -> Result<()> {
    let plain = d.alpha == 1.0 && !d.accumulate;
    let kind = inside(d.input, WeightFormat::Plain(d.input), d.output, plain);
    let a = operand(c, args.a, kind, d.transpose_a)?;
    let b = operand(c, args.b, kind, d.transpose_b)?;
    let y = Tensor::of(args.y)?;
    if plain {
        let value = c.place(&y, kind, &[&a, &b])?;
        c.products(&a, &b, &value)?;
        return c.settle(&value, &y);
    }
    let mut value = c.temp(F32, y.dims())?;
    c.products(&a, &b, &value)?;
    if d.alpha != 1.0 {
        let scaled = c.temp(F32, y.dims())?;
        c.muls(&value, d.alpha, &scaled)?;
        value = scaled;
    }
    if d.accumulate { add(c, &value, &y) } else { c.copy(&value, &y) }
}

pub(super) fn grouped(c: &mut Calls<'_>, d: &Grouped, args: GroupedArgs<'_>) -> Result<()> {
    let kind = inside(d.input, d.weight, d.output, true);
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let x = c.dense(&x, kind)?;
    let w = weight(c, args.w, d.weight, kind)?.exchanged(1, 2);
    let counts = Tensor::of(args.counts)?;
    let counts = c.dense(&counts, I64)?;
    let value = c.temp(kind, y.dims())?;
    c.grouped(&x, &w, &counts, &value)?;
    c.copy(&value, &y)
}
