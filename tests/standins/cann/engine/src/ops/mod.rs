//! Operators, from the vendor's operator documents: parameters checked in the first phase, arithmetic when the task runs. Integers are exact, floats are computed in f32 and rounded once to
//! the output's type, ties to even. What the stand-in cannot compute has no kernel.

mod data;
pub mod fused;
mod maps;
mod matrix;
mod moves;
mod order;
mod reader;
mod reduce;

use crate::executor::Arg;
use crate::fault::{Answer, code, refuse};
use crate::tensor::Tensor;
pub(crate) use data::Held;
use maps::{
    arith, bitwise_and, clamp, compare, compare_scalar, logical_and, scaled, select, softplus, unary, with_scalar,
};
use reader::Reader;

/// A checked call.
pub struct Call {
    /// Tensors that are read.
    pub reads: Vec<Tensor>,
    /// Tensors that are written, in place or not.
    pub writes: Vec<Tensor>,
    /// Handles of all of them.
    pub named: Vec<u64>,
    /// What the task does.
    pub action: Action,
}

/// What a task does.
pub type Action = Box<dyn Fn() -> Answer + Send + Sync>;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Checks the parameters of an operator.
pub fn prepare(operator: &str, args: &[Arg]) -> Answer<Call> {
    let args = fused::wrong::parameters(operator, args);
    let mut reader = Reader::new(operator, &args);
    let r = &mut reader;
    let action = match operator.strip_prefix("aclnn").unwrap_or(operator) {
        "Exp" => unary(r, f32::exp),
        "Log" => unary(r, f32::ln),
        "Sqrt" => unary(r, f32::sqrt),
        "Rsqrt" => unary(r, |x| 1.0 / x.sqrt()),
        "Reciprocal" => unary(r, |x| 1.0 / x),
        "Abs" => unary(r, f32::abs),
        "Floor" => unary(r, f32::floor),
        "Relu" => unary(r, |x| if x < 0.0 { 0.0 } else { x }),
        "Sigmoid" => unary(r, sigmoid),
        "Silu" => unary(r, |x| x * sigmoid(x)),
        "Softplus" => softplus(r),
        "Add" => scaled(r, |a, b, alpha| a + alpha * b, |a, b, alpha| a + alpha * b),
        "Sub" => scaled(r, |a, b, alpha| a - alpha * b, |a, b, alpha| a - alpha * b),
        "Mul" => arith(r, |a, b| a * b, i64::wrapping_mul),
        "Div" => arith(r, |a, b| a / b, |a, b| if b == 0 { 0 } else { a / b }),
        "Maximum" => arith(r, |a, b| if a.is_nan() || a > b { a } else { b }, i64::max),
        "Minimum" => arith(r, |a, b| if a.is_nan() || a < b { a } else { b }, i64::min),
        "Muls" => with_scalar(r, false, |a, b, _| a * b, |a, b, _| a * b),
        "Adds" => with_scalar(r, true, |a, b, alpha| a + alpha * b, |a, b, alpha| a + alpha * b),
        "Clamp" => clamp(r),
        "BitwiseAndScalar" => bitwise_and(r),
        "LtTensor" => compare(r, |a, b| a < b, |a, b| a < b),
        "GeTensor" => compare(r, |a, b| a >= b, |a, b| a >= b),
        "GtTensor" => compare(r, |a, b| a > b, |a, b| a > b),
        "EqTensor" => compare(r, |a, b| a == b, |a, b| a == b),
        "LtScalar" => compare_scalar(r, |a, b| a < b, |a, b| a < b),
        "GeScalar" => compare_scalar(r, |a, b| a >= b, |a, b| a >= b),
        "GtScalar" => compare_scalar(r, |a, b| a > b, |a, b| a > b),
        "EqScalar" => compare_scalar(r, |a, b| a == b, |a, b| a == b),
        "LogicalAnd" => logical_and(r),
        "SWhere" => select(r),
        "ReduceSum" => reduce::sum(r, false),
        "Mean" => reduce::sum(r, true),
        "Amax" => reduce::largest(r),
        "Softmax" => reduce::softmax(r),
        "Cumsum" => reduce::cumsum(r),
        "RmsNorm" => reduce::rms_norm(r),
        "Sort" => order::sort(r),
        "Topk" => order::topk(r),
        "Cast" => moves::cast(r),
        "InplaceCopy" => moves::inplace_copy(r),
        "IndexSelect" | "GatherV2" => moves::index_select(r),
        "Gather" => moves::gather(r),
        "ScatterNdUpdate" => moves::scatter_nd_update(r),
        "Cat" => moves::cat(r),
        "InplaceFillScalar" => moves::fill(r),
        "InplaceZero" => moves::zero(r),
        "Arange" => moves::arange(r),
        "Mm" | "Matmul" => matrix::mm(r),
        "BatchMatMul" => matrix::batched(r),
        "GroupedMatmulV5" => matrix::grouped(r),
        name => match fused::prepare(name, r) {
            Some(action) => action,
            None => refuse(code::NN_KERNEL, format!("{operator} has no kernel here")),
        },
    }?;
    reader.finish(action)
}
