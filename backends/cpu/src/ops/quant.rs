//! Number formats: rounding to a code grid, expanding codes, making codes.

use super::gemm::weights;
use super::{Choice, Ctx, Scratch, Tensor, each_row, unsupported};
use crate::num;
use crate::simd::{Kernels, LANES};
use omnihal::op::QuantKind;
use omnihal::op::quant::{DequantArgs, QdqArgs, QuantizeArgs};
use omnihal::{Args, DType, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::QuantQdq(d) => {
            weights::check_types(&[d.dtype])?;
            Choice::new(qdq, Scratch::bytes(threads, 4 * d.width))
        }
        Op::QuantDequant(d) => {
            weights::check(d.format, d.width)?;
            weights::check_types(&[d.output])?;
            Choice::new(dequant, 0)
        }
        Op::QuantQuantize(d) => {
            weights::check_types(&[d.input])?;
            Choice::new(quantize, Scratch::bytes(threads, 4 * d.width))
        }
        other => unsupported(other),
    }
}

/// The kernel that rounds to a grid and back.
pub(crate) fn grid(kind: QuantKind, simd: &Kernels) -> fn(&mut [f32], usize) {
    match kind {
        QuantKind::F8E4M3 => simd.qdq_e4m3,
        QuantKind::F4E2M1 => simd.qdq_e2m1,
    }
}

fn qdq(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::QuantQdq(d), views) = (op, QdqArgs::new(args)?) else { return Ok(()) };
    let (x, y) = (Tensor::new(views.x), Tensor::new(views.y));
    let scratch = Scratch::new(args.workspace, 0, 4 * d.width);
    each_row(ctx, d.rows.min(args.rows_hint) * d.heads, d.width, &|i, thread| {
        let at = [i / d.heads, i % d.heads];
        // SAFETY: the vector lies in `x` and `y`; each task has its own, each thread its own scratch.
        unsafe {
            let values = scratch.slice::<f32>(thread, 0, d.width);
            x.load(x.place(&at), values, ctx.simd);
            grid(d.kind, ctx.simd)(values, d.group);
            y.store(y.place(&at), values, ctx.simd);
        }
    });
    Ok(())
}

fn dequant(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::QuantDequant(d), views) = (op, DequantArgs::new(args)?) else { return Ok(()) };
    let (w, y) = (weights::rows(views.w, 0), Tensor::new(views.y));
    each_row(ctx, d.rows.min(args.rows_hint), d.width, &|row, _| {
        for k in (0..d.width).step_by(LANES) {
            // SAFETY: the row lies in `w` and `y`, and each task has its own.
            unsafe {
                let values = w.chunk(row, k).map(|v| v * w.code.post());
                y.store(y.place(&[row, k]), &values[..LANES.min(d.width - k)], ctx.simd);
            }
        }
    });
    Ok(())
}

fn quantize(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::QuantQuantize(d), views) = (op, QuantizeArgs::new(args)?) else { return Ok(()) };
    let (x, data, scale) = (Tensor::new(views.x), Tensor::new(views.data), Tensor::new(views.scale));
    let scratch = Scratch::new(args.workspace, 0, 4 * d.width);
    each_row(ctx, d.rows.min(args.rows_hint), d.width, &|row, thread| {
        // SAFETY: the row lies in all three; each task has its own, each thread its own scratch.
        unsafe {
            let values = scratch.slice::<f32>(thread, 0, d.width);
            x.load(x.place(&[row]), values, ctx.simd);
            for (g, values) in values.chunks_exact_mut(d.group).enumerate() {
                let exponent = exponent(d.kind, values);
                *scale.at::<u8>(scale.place(&[row, g])) = num::e8m0_code(exponent);
                grid(d.kind, ctx.simd)(values, d.group);
                let inverse = num::exp2i(-exponent);
                values.iter_mut().for_each(|v| *v *= inverse);
            }
            codes(d.kind, values, &data, data.place(&[row]));
        }
    });
    Ok(())
}

fn exponent(kind: QuantKind, values: &[f32]) -> i32 {
    let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    match kind {
        QuantKind::F8E4M3 => num::e4m3_exponent(largest),
        QuantKind::F4E2M1 => num::e2m1_exponent(largest),
    }
}

/// Stores the codes of numbers that are on the grid.
///
/// # Safety
/// They must lie in `data`, and no other task may touch them.
unsafe fn codes(kind: QuantKind, values: &[f32], data: &Tensor, place: usize) {
    debug_assert!(matches!(data.dtype, DType::F8E4M3 | DType::F4E2M1X2));
    match kind {
        QuantKind::F8E4M3 => {
            // SAFETY: passed on to the caller.
            let bytes = unsafe { data.slice_mut::<u8>(place, values.len()) };
            bytes.iter_mut().zip(values).for_each(|(b, v)| *b = num::e4m3_code(*v));
        }
        QuantKind::F4E2M1 => {
            // SAFETY: as above; a row of packed codes is half as many bytes.
            let bytes = unsafe { data.slice_mut::<u8>(place / 2, values.len().div_ceil(2)) };
            for (byte, pair) in bytes.iter_mut().zip(values.chunks(2)) {
                let high = pair.get(1).map_or(0, |v| num::e2m1_code(*v));
                *byte = num::e2m1_code(pair[0]) | (high << 4);
            }
        }
    }
}
