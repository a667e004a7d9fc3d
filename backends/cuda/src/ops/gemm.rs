//! `gemm.*`: every product is described by one [`Product`], then given to the kernel that suits its types, strides and number of rows.

mod choose;
mod product;

pub(crate) use product::STRUCTS;

use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::stream::Queue;
use choose::Shape;
use omnihal::op::ActQuant;
use omnihal::op::gemm::{Batched, BatchedArgs, Grouped, GroupedArgs, Linear, LinearArgs};
use omnihal::{Args, Op, Result, View, WeightFormat};
use product::Product;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::GemmLinear(d) => linear_plan(d, modules),
        Op::GemmBatched(d) => batched_plan(d, modules),
        Op::GemmGrouped(d) => grouped_plan(d, modules),
        other => unsupported(other),
    }
}

fn linear_plan(d: &Linear, modules: &Modules) -> Result<Choice> {
    let shape = Shape {
        rows: d.rows,
        inner: d.inner,
        outer: d.outer,
        matrices: 1,
        sorted: false,
        input: d.input,
        weight: d.weight,
        output: d.output,
        rounded: d.a_quant == ActQuant::F8G128,
    };
    choose::choose(linear, &shape, modules)
}

fn linear(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::GemmLinear(d), views) = (&plan.op, LinearArgs::new(args)?) else { return Ok(()) };
    let product = Product {
        a: views.a.into(),
        a_row: views.a.strides[0] as i64,
        y: views.y.into(),
        y_row: views.y.strides[0] as i64,
        rows: int(d.rows.min(args.rows_hint)),
        inner: int(d.inner),
        outer: int(d.outer),
        accumulate: i32::from(d.accumulate),
        rounded: i32::from(d.a_quant == ActQuant::F8G128),
        a_dtype: d.input as i32,
        y_dtype: d.output as i32,
        ..Product::of(views.w, false)
    };
    choose::launch(plan, &product, args, queue)
}

fn batched_plan(d: &Batched, modules: &Modules) -> Result<Choice> {
    let shape = Shape {
        rows: d.m,
        inner: d.inner,
        outer: d.n,
        matrices: d.batch,
        sorted: false,
        input: d.input,
        weight: WeightFormat::Plain(d.input),
        output: d.output,
        rounded: false,
    };
    choose::choose(batched, &shape, modules)
}

fn batched(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::GemmBatched(d), views) = (&plan.op, BatchedArgs::new(args)?) else { return Ok(()) };
    let (a_row, a_col) = axes(views.a, d.transpose_a);
    let (w_col, w_row) = axes(views.b, d.transpose_b);
    let product = Product {
        a: views.a.into(),
        a_row,
        a_col,
        a_batch: views.a.strides[0] as i64,
        y: views.y.into(),
        y_row: views.y.strides[1] as i64,
        y_batch: views.y.strides[0] as i64,
        w_row,
        w_col,
        w_batch: views.b.strides[0] as i64,
        rows: int(d.m.min(args.rows_hint)),
        inner: int(d.inner),
        outer: int(d.n),
        matrices: int(d.batch),
        accumulate: i32::from(d.accumulate),
        alpha: d.alpha,
        a_dtype: d.input as i32,
        y_dtype: d.output as i32,
        ..Product::of(views.b, true)
    };
    choose::launch(plan, &product, args, queue)
}

/// Strides of the first and the second axis of a matrix that may be given transposed.
fn axes(view: &View, transposed: bool) -> (i64, i64) {
    let (first, second) = (view.strides[1] as i64, view.strides[2] as i64);
    if transposed { (second, first) } else { (first, second) }
}

fn grouped_plan(d: &Grouped, modules: &Modules) -> Result<Choice> {
    let shape = Shape {
        rows: d.rows,
        inner: d.inner,
        outer: d.outer,
        matrices: d.groups,
        sorted: true,
        input: d.input,
        weight: d.weight,
        output: d.output,
        rounded: false,
    };
    choose::choose(grouped, &shape, modules)
}

fn grouped(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::GemmGrouped(d), views) = (&plan.op, GroupedArgs::new(args)?) else { return Ok(()) };
    let product = Product {
        a: views.x.into(),
        a_row: views.x.strides[0] as i64,
        y: views.y.into(),
        y_row: views.y.strides[0] as i64,
        counts: views.counts.into(),
        rows: int(d.rows.min(args.rows_hint)),
        inner: int(d.inner),
        outer: int(d.outer),
        matrices: int(d.groups),
        a_dtype: d.input as i32,
        y_dtype: d.output as i32,
        ..Product::of(views.w, true)
    };
    choose::launch(plan, &product, args, queue)
}
