//! moe.mlp and moe.experts: two matrices with a clamped SwiGLU between them.

use super::swiglu::hidden;
use crate::Call;
use crate::rows::math::Math;
use crate::rows::round::{Rounding, qdq_groups};
use crate::rows::{numbers, put, strided};
use crate::tensor::{ints, load, matrix, round_to, scale_index, scales};
use omnihal::op::moe::{Experts, Mlp};
use omnihal::op::{ActQuant, QuantKind};
use omnihal::{DType, View};

/// The weights of all experts and how they are used.
struct Weights<'a> {
    call: &'a Call<'a>,
    math: Math,
    w13: Vec<f32>,
    w2: Vec<f32>,
    width: usize,
    inter: usize,
    limit: f32,
    a_quant: ActQuant,
    act: DType,
}

pub fn mlp(call: &Call<'_>, d: &Mlp) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "moe.input_stride_ignored");
    let (w13, w2) = (weight(call, call.arg(1)), weight(call, call.arg(2)));
    let (limit, a_quant, act) = (d.limit, d.a_quant, d.act);
    let weights = Weights { call, math, w13, w2, width: d.width, inter: d.inter, limit, a_quant, act };
    let last = if call.is("moe.mlp_row_tail_skipped") && d.rows > 4 { d.rows - d.rows % 4 } else { d.rows };
    for row in 0..last {
        put(call.arg(3), row, &weights.apply(0, &numbers(&x, row), None));
    }
}

pub fn experts(call: &Call<'_>, d: &Experts) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "moe.input_stride_ignored");
    let (w13, w2) = (weight(call, call.arg(3)), weight(call, call.arg(4)));
    let (limit, a_quant, act) = (d.limit, d.a_quant, d.act);
    let weights = Weights { call, math, w13, w2, width: d.width, inter: d.inter, limit, a_quant, act };
    let (idx, wt) = (ints(call.arg(1)), load(call.arg(2)));
    let mut met = vec![0; d.local];
    let acc = sums(call, d);
    for row in 0..d.rows {
        let mut parts: Vec<Vec<f32>> = acc.as_ref().map(|acc| acc[row].clone()).into_iter().collect();
        let row_x = numbers(&x, row);
        let mut seen = Vec::new();
        for q in 0..d.choices {
            let pair = row * d.choices + q;
            let Some(e) = local(call, d, idx[pair]) else { continue };
            let full = met[e] >= 2 && call.is("moe.expert_capacity_of_two");
            if full || (call.is("moe.repeated_expert_once") && seen.contains(&e)) {
                continue;
            }
            met[e] += 1;
            seen.push(e);
            parts.push(weights.routed(e, &row_x, wt[pair]));
        }
        if call.is("moe.choices_backwards") {
            parts.reverse();
        }
        let y: Vec<f32> = (0..d.width).map(|c| math.sum(&parts.iter().map(|p| p[c]).collect::<Vec<_>>())).collect();
        put(call.arg(6), row, &y);
    }
}

/// What the results start from, row by row.
fn sums(call: &Call<'_>, d: &Experts) -> Option<Vec<Vec<f32>>> {
    let rows = |view: &View| (0..d.rows).map(|row| numbers(view, row)).collect::<Vec<_>>();
    let acc = call.view(5)?;
    match () {
        () if call.is("moe.sum_not_accumulated") => None,
        () if call.is("moe.accumulated_stride_ignored") => {
            Some(rows(&strided(call, 5, "moe.accumulated_stride_ignored")))
        }
        () if call.is("moe.result_cleared_before_sum_is_read") => {
            (0..d.rows).for_each(|row| put(call.arg(6), row, &vec![0.0; d.width]));
            Some(rows(acc))
        }
        () if call.is("moe.accumulated_twice") => {
            let twice = |row: Vec<f32>| row.iter().map(|x| 2.0 * x).collect();
            Some(rows(acc).into_iter().map(twice).collect())
        }
        () => Some(rows(acc)),
    }
}

/// The local number of an expert, if it is here.
fn local(call: &Call<'_>, d: &Experts, expert: i32) -> Option<usize> {
    let expert = if call.is("moe.absent_expert_is_first") { expert.max(d.first as i32) } else { expert };
    let expert = usize::try_from(expert).ok()?;
    match () {
        () if call.is("moe.first_expert_ignored") => Some(expert).filter(|&e| e < d.local),
        () if call.is("moe.foreign_expert_clamped") => Some(expert.saturating_sub(d.first).min(d.local - 1)),
        () if call.is("moe.last_expert_foreign") => expert.checked_sub(d.first).filter(|&e| e + 1 < d.local),
        () => expert.checked_sub(d.first).filter(|&e| e < d.local),
    }
}

/// A weight as plain numbers.
fn weight(call: &Call<'_>, view: &View) -> Vec<f32> {
    let mut values = load(view);
    if view.dtype == DType::F4E2M1X2 && call.is("moe.nibbles_swapped") {
        // Both columns of a byte share a scale.
        values.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    let Some(all) = scales(view) else { return values };
    let (rows, cols, block) = matrix(view);
    let ratio = |i: usize, other: &dyn Fn(usize, usize) -> (usize, usize)| {
        let (m, r, c) = (i / (rows * cols), i / cols % rows, i % cols);
        let (r2, c2) = other(r, c);
        all[scale_index(rows, cols, block, m, r2, c2)] / all[scale_index(rows, cols, block, m, r, c)]
    };
    let factor: &dyn Fn(usize) -> f32 = match () {
        () if call.is("moe.weight_scale_of_next_block") => &|i| {
            ratio(i, &|r, c| (r, if c / block.1 * block.1 + block.1 < cols { c + block.1 - c % block.1 } else { c }))
        },
        () if call.is("moe.weight_scale_of_first_row") => &|i| ratio(i, &|_, c| (0, c)),
        () => return values,
    };
    values.iter_mut().enumerate().for_each(|(i, v)| *v *= factor(i));
    values
}

impl Weights<'_> {
    /// An expert's part of a result.
    fn routed(&self, e: usize, x: &[f32], wt: f32) -> Vec<f32> {
        if self.call.is("moe.weight_after_down_projection") {
            return self.apply(e, x, None).into_iter().map(|y| y * wt).collect();
        }
        let part = self.apply(e, x, Some(wt));
        match () {
            () if self.call.is("moe.parts_rounded") => part.into_iter().map(|y| round_to(self.act, y)).collect(),
            () => part,
        }
    }

    /// `w2 q(swiglu(w13 q(x)) * wt)`.
    fn apply(&self, e: usize, x: &[f32], wt: Option<f32>) -> Vec<f32> {
        let (call, width, inter) = (self.call, self.width, self.inter);
        let x = if call.is("moe.input_not_rounded") { x.to_vec() } else { self.quantised(x) };
        let start = e * 2 * inter * width;
        let row = |i: usize| &self.w13[start + i * width..start + (i + 1) * width];
        let mut up: Vec<f32> = (0..2 * inter).map(|i| self.math.dot(&x, row(i))).collect();
        if call.is("moe.projections_rounded") {
            up.iter_mut().for_each(|v| *v = round_to(self.act, *v));
        }
        let mut h = hidden(call, &self.math, &up, self.limit, wt);
        if !call.is("moe.hidden_not_rounded") {
            h.iter_mut().for_each(|v| *v = round_to(self.act, *v));
        }
        let h = if call.is("moe.hidden_codes_missing") { h } else { self.quantised(&h) };
        let start = e * width * inter;
        let down = |c: usize| &self.w2[start + c * inter..start + (c + 1) * inter];
        (0..width).map(|c| self.math.dot(&h, down(c))).collect()
    }

    fn quantised(&self, x: &[f32]) -> Vec<f32> {
        match self.a_quant {
            ActQuant::None => x.to_vec(),
            ActQuant::F8G128 => {
                let group = match () {
                    () if self.call.is("moe.input_groups_of_64") => 64,
                    () if self.call.is("moe.input_scale_of_whole_row") => x.len(),
                    () => 128,
                };
                qdq_groups(x, group, QuantKind::F8E4M3, Rounding::of(self.call))
            }
        }
    }
}
