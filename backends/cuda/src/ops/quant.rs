//! `quant.*`.

use super::walk::{self, RUN, THREADS, aligned};
use super::{Choice, CudaPlan, Enqueue, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, Weight, params};
use crate::stream::Queue;
use omnihal::op::QuantKind;
use omnihal::op::quant::{DequantArgs, QdqArgs, QuantizeArgs};
use omnihal::{Args, DType, Error, Op, Result, View, WeightFormat};

params! {
    /// Parameters of `qdq_*` and `quantize_*`: `count` runs of eight or groups.
    RoundGroups {
        x: Rows,
        y: Rows,
        scale: Ptr,
        scale_row: i64,
        count: u64,
        heads: i32,
        width: i32,
        group: i32,
        kind: i32,
        whole: i32,
        reserved: i32,
    }
    /// Parameters of `dequant_*`: `count` elements or runs of eight.
    Expand {
        w: Weight,
        y: Rows,
        w_row: i64,
        scale_row: i64,
        width: u64,
        count: u64,
    }
}

/// Groups of 8, 16 .. 256 elements are cut into runs that neighbouring lanes of a warp hold.
fn by_runs(group: usize) -> bool {
    group.is_multiple_of(RUN) && (group / RUN).is_power_of_two() && group <= 32 * RUN
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    let choose = |enqueue: Enqueue, names: &[&str]| {
        let functions: Result<Vec<_>> = names.iter().map(|name| modules.function("quant", name, 0)).collect();
        Ok(Choice::new(enqueue, &functions?))
    };
    match op {
        Op::QuantQdq(d) => {
            numbers(d.dtype)?;
            fits(&[d.rows * d.heads, d.width])?;
            choose(qdq, &[if by_runs(d.group) { "qdq_runs" } else { "qdq_any" }])
        }
        Op::QuantDequant(d) => {
            numbers(d.output)?;
            readable(d.format, d.width)?;
            fits(&[d.rows, d.width])?;
            choose(dequant, &["dequant_one", "dequant_runs"])
        }
        Op::QuantQuantize(d) => {
            numbers(d.input)?;
            fits(&[d.rows, d.width])?;
            if d.kind == QuantKind::F4E2M1 && d.group % 2 != 0 {
                return Err(Error::unsupported(format!(
                    "groups of {} packed codes end inside a byte; use an even number",
                    d.group
                )));
            }
            choose(quantize, &["quantize_any", "quantize_runs"])
        }
        other => unsupported(other),
    }
}

fn numbers(dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::BF16 => Ok(()),
        other => Err(Error::unsupported(format!("numbers of type {other} were asked; use F32 or BF16"))),
    }
}

/// Refuses weight formats that the kernels do not expand.
fn readable(format: WeightFormat, width: usize) -> Result<()> {
    let known = match format {
        WeightFormat::Plain(_) => false,
        WeightFormat::Blocked { data, scale, block } => {
            matches!(data, DType::F8E4M3 | DType::F4E2M1X2)
                && matches!(scale, DType::E8M0 | DType::F32)
                && block.0 > 0
                && block.1 > 0
        }
    };
    if !known {
        return Err(Error::unsupported(format!(
            "weights as {format} were asked; F8E4M3 and F4E2M1X2 codes with E8M0 or F32 scales are expanded"
        )));
    }
    match format.dtype() == DType::F4E2M1X2 && width % 2 != 0 {
        false => Ok(()),
        true => Err(Error::unsupported(format!("rows of {width} packed codes end inside a byte; use an even number"))),
    }
}

fn kind(kind: QuantKind) -> i32 {
    match kind {
        QuantKind::F8E4M3 => 0,
        QuantKind::F4E2M1 => 1,
    }
}

fn qdq(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::QuantQdq(d), views) = (&plan.op, QdqArgs::new(args)?) else { return Ok(()) };
    let vectors = (d.rows.min(args.rows_hint) * d.heads) as u64;
    let runs = by_runs(d.group);
    let count = vectors * (d.width / if runs { RUN } else { d.group }) as u64;
    let params = RoundGroups {
        x: Rows::new(views.x),
        y: Rows::new(views.y),
        scale: Ptr(0),
        scale_row: 0,
        count,
        heads: int(d.heads),
        width: int(d.width),
        group: int(d.group),
        kind: kind(d.kind),
        whole: i32::from(aligned(views.x) && aligned(views.y)),
        reserved: 0,
    };
    let threads = if runs { count } else { 32 * count };
    queue.launch(plan.kernel(0)?, [walk::blocks(threads), 1, 1], THREADS, 0, &params)
}

fn quantize(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::QuantQuantize(d), views) = (&plan.op, QuantizeArgs::new(args)?) else { return Ok(()) };
    let bytes = if d.kind == QuantKind::F8E4M3 { RUN } else { RUN / 2 };
    // A run of codes is one store of 8 or 4 bytes.
    let runs = by_runs(d.group) && starts_at(views.data, bytes);
    let count = (d.rows.min(args.rows_hint) * (d.width / if runs { RUN } else { d.group })) as u64;
    let params = RoundGroups {
        x: Rows::new(views.x),
        y: Rows::new(views.data),
        scale: views.scale.into(),
        scale_row: views.scale.strides[0] as i64,
        count,
        heads: 1,
        width: int(d.width),
        group: int(d.group),
        kind: kind(d.kind),
        whole: i32::from(aligned(views.x)),
        reserved: 0,
    };
    let threads = if runs { count } else { 32 * count };
    queue.launch(plan.kernel(usize::from(runs))?, [walk::blocks(threads), 1, 1], THREADS, 0, &params)
}

/// True if all rows of a matrix start at multiples of `bytes`.
fn starts_at(view: &View, bytes: usize) -> bool {
    let gap = if view.shape[0] == 1 { 0 } else { view.strides[0] * view.dtype.bits() / 8 };
    (view.addr() | gap as u64).is_multiple_of(bytes as u64)
}

fn dequant(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::QuantDequant(d), views) = (&plan.op, DequantArgs::new(args)?) else { return Ok(()) };
    let w = Weight::new(views.w);
    let whole = d.width.is_multiple_of(RUN) && (w.block_cols as usize).is_multiple_of(RUN);
    let bytes = RUN * views.w.dtype.bits() / 8;
    let runs = whole && starts_at(views.w, bytes) && aligned(views.y);
    let params = Expand {
        w,
        y: Rows::new(views.y),
        w_row: views.w.strides[0] as i64,
        scale_row: d.width.div_ceil(w.block_cols as usize) as i64,
        width: d.width as u64,
        count: (d.rows.min(args.rows_hint) * d.width / if runs { RUN } else { 1 }) as u64,
    };
    queue.launch(plan.kernel(usize::from(runs))?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}
