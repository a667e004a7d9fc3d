//! Functions of one variable.

use super::{read, write};
use crate::Call;
use crate::tensor::{bf16, round_to};
use omnihal::DType;
use omnihal::op::elementwise::{Func, Unary};
use std::f32::consts::LOG2_E;

/// e^x by a power of two: 4 ulp, more where the argument is large, as fast libraries promise.
fn exp(call: &Call<'_>, x: f32) -> f32 {
    match () {
        () if call.is("elementwise.exp_by_a_power_of_two") => (x * LOG2_E).exp2(),
        () if call.is("elementwise.exp_in_f16") => round_to(DType::F16, round_to(DType::F16, x).exp()),
        () if call.is("elementwise.exp_argument_in_bf16") => bf16(x).exp(),
        () if call.is("elementwise.exp_is_cut_at_80") => x.clamp(-80.0, 80.0).exp(),
        () => x.exp(),
    }
}

fn softplus(call: &Call<'_>, x: f32) -> f32 {
    match () {
        () if call.is("elementwise.softplus_by_the_larger_part") => x.max(0.0) + exp(call, -x.abs()).ln_1p(),
        () if call.is("elementwise.softplus_overflows") => exp(call, x).ln_1p(),
        () if call.is("elementwise.softplus_is_linear_above_2") && x > 2.0 => x,
        () if call.is("elementwise.softplus_without_log1p") && x <= 20.0 => (1.0 + exp(call, x)).ln(),
        () if x > 20.0 => x,
        () => exp(call, x).ln_1p(),
    }
}

fn function(call: &Call<'_>, func: Func, x: f32) -> f32 {
    match func {
        Func::Identity => x,
        Func::Exp => exp(call, x),
        Func::Relu if call.is("elementwise.relu_swallows_nan") => f32::max(x, 0.0),
        Func::Relu if call.is("elementwise.relu_leaks") && x < 0.0 => 0.01 * x,
        Func::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Func::Sigmoid if call.is("elementwise.sigmoid_by_decaying_exponential") && x < 0.0 => {
            let e = exp(call, x);
            e / (1.0 + e)
        }
        Func::Sigmoid if call.is("elementwise.hard_sigmoid") => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Func::Sigmoid => 1.0 / (1.0 + exp(call, -x)),
        Func::Silu if call.is("elementwise.silu_by_multiplication") => x * (1.0 / (1.0 + exp(call, -x))),
        Func::Silu if call.is("elementwise.silu_is_gelu_like") => x / (1.0 + exp(call, -1.702 * x)),
        Func::Silu if call.is("elementwise.silu_forgets_the_factor") => 1.0 / (1.0 + exp(call, -x)),
        Func::Silu => x / (1.0 + exp(call, -x)),
        Func::Sqrt => x.sqrt(),
        Func::Rsqrt if call.is("elementwise.half_precision_root") => round_to(DType::F16, 1.0 / x.sqrt()),
        Func::Rsqrt if call.is("elementwise.root_in_f64") => (1.0 / f64::from(x).sqrt()) as f32,
        Func::Rsqrt => 1.0 / x.sqrt(),
        Func::Abs => x.abs(),
        Func::Floor if call.is("elementwise.floor_truncates") => x.trunc(),
        Func::Floor => x.floor(),
        Func::Clamp(low, high) => clamp(call, low, high, x),
        Func::SqrtSoftplus if call.is("elementwise.root_of_softplus_is_forgotten") => softplus(call, x),
        Func::SqrtSoftplus => softplus(call, x).sqrt(),
        Func::Log if call.is("elementwise.logarithm_to_base_2") => x.log2(),
        Func::Log => x.ln(),
    }
}

fn clamp(call: &Call<'_>, low: f32, high: f32, x: f32) -> f32 {
    match () {
        () if call.is("elementwise.clamp_has_no_lower_bound") => {
            if x > high {
                high
            } else {
                x
            }
        }
        () if call.is("elementwise.clamp_is_symmetric") => x.clamp(-high.abs(), high.abs()),
        () if x < low => low,
        () if x > high => high,
        () => x,
    }
}

fn affine(call: &Call<'_>, x: f32, factor: f32, offset: f32) -> f32 {
    match () {
        () if call.is("elementwise.scale_after_the_offset") => factor * (x + offset),
        () if call.is("elementwise.fused_scale_and_offset") => factor.mul_add(x, offset),
        () => factor * x + offset,
    }
}

pub fn run(call: &Call<'_>, d: &Unary) {
    let beta = if call.is("elementwise.offset_before_the_function_is_ignored") { 0.0 } else { d.beta };
    let alpha = if call.is("elementwise.scale_before_the_function_is_ignored") { 1.0 } else { d.alpha };
    let delta = if call.is("elementwise.offset_of_the_result_is_ignored") { 0.0 } else { d.delta };
    let value = |x: f32| {
        let inner = if alpha == 1.0 && beta == 0.0 { x } else { affine(call, x, alpha, beta) };
        let y = function(call, d.func, inner);
        if d.gamma == 1.0 && delta == 0.0 { y } else { affine(call, y, d.gamma, delta) }
    };
    write(call, call.arg(1), read(call, call.arg(0)).into_iter().map(value).collect());
}
