//! Element-wise maps, reductions and scans, f32 inside. Inputs and outputs may have any strides.

use super::product;
use crate::{DType, Shape};
use serde::{Deserialize, Serialize};

/// A function of one variable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Func {
    /// x
    Identity,
    /// e^x
    Exp,
    /// max(x, 0)
    Relu,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// x / (1 + e^-x)
    Silu,
    /// square root
    Sqrt,
    /// 1 / square root
    Rsqrt,
    /// absolute value
    Abs,
    /// largest integer not above x
    Floor,
    /// x kept between two bounds
    Clamp(f32, f32),
    /// sqrt(log(1 + e^x)), with log(1 + e^x) = x above 20 (deepseek-v4.md 6)
    SqrtSoftplus,
    /// natural logarithm
    Log,
}

/// A function of two variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arith {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// scale * a / (b + eps)
    Div,
    /// the smaller
    Min,
    /// the larger
    Max,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cmp {
    /// a < b
    Lt,
    /// a >= b
    Ge,
    /// a > b
    Gt,
    /// a = b
    Eq,
}

/// An operand that is a tensor or one number for all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// A tensor whose dimensions equal the result's or are 1.
    Tensor(Shape),
    /// A constant.
    Const(f32),
}

impl Source {
    fn is_tensor(&self) -> bool {
        matches!(self, Source::Tensor(_))
    }

    fn shape(&self) -> Shape {
        match self {
            Source::Tensor(shape) => *shape,
            Source::Const(_) => Shape::from([1]),
        }
    }
}

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduction {
    /// alpha * sum
    Sum,
    /// alpha * largest
    Max,
    /// alpha * mean of squares
    MeanSquare,
}

/// True if `small` broadcasts to `full`: same rank, each dimension equal or 1.
fn broadcasts(small: Shape, full: Shape) -> bool {
    small.rank() == full.rank() && small.dims().iter().zip(full.dims()).all(|(&s, &f)| s == f || s == 1)
}

fn operand_fits(source: Source, full: Shape) -> bool {
    !source.is_tensor() || broadcasts(source.shape(), full)
}

super::operators! {
    /// `y = gamma * f(alpha * x + beta) + delta`.
    Core "elementwise.unary" Unary UnaryArgs {
        /// Shape of x and y.
        shape: Shape,
        /// f.
        func: Func,
        /// Factor of x.
        alpha: f32,
        /// Added to the scaled x.
        beta: f32,
        /// Factor of the result.
        gamma: f32,
        /// Added to the scaled result.
        delta: f32,
        /// Type of x.
        input: DType,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Input.
        read x = d.input, d.shape;
        /// Result; may be x.
        write y = d.output, d.shape;
    }
    flops(d) = product([4, d.shape.elements()]);

    /// `y = a op b` with broadcasting; division is `scale * a / (b + eps)`.
    Core "elementwise.binary" Binary BinaryArgs {
        /// Shape of y.
        shape: Shape,
        /// Shape of a: each dimension equal or 1.
        a_shape: Shape,
        /// Shape of b: each dimension equal or 1.
        b_shape: Shape,
        /// Operation.
        arith: Arith,
        /// Added to a divisor.
        eps: f32,
        /// Factor of a quotient.
        scale: f32,
        /// Type of a.
        a: DType,
        /// Type of b.
        b: DType,
        /// Type of y.
        output: DType,
    }
    require(d) {
        a_shape if broadcasts(d.a_shape, d.shape) => "a shape that broadcasts to `shape`";
        b_shape if broadcasts(d.b_shape, d.shape) => "a shape that broadcasts to `shape`";
    }
    args(d) {
        /// Left operand.
        read a = d.a, d.a_shape;
        /// Right operand.
        read b = d.b, d.b_shape;
        /// Result; may be an operand of the same shape.
        write y = d.output, d.shape;
    }
    flops(d) = product([d.shape.elements()]);

    /// `y = (a cmp b) ? p : q`; b, p and q are tensors or constants. Comparisons with NaN are false.
    Core "elementwise.where" Where WhereArgs {
        /// Shape of y.
        shape: Shape,
        /// Shape of a: each dimension equal or 1.
        a_shape: Shape,
        /// Comparison.
        cmp: Cmp,
        /// What a is compared with.
        b: Source,
        /// Chosen where the comparison holds.
        p: Source,
        /// Chosen elsewhere.
        q: Source,
        /// Type of a and b: F32 or I32.
        compared: DType,
        /// Type of p, q and y.
        dtype: DType,
    }
    require(d) {
        a_shape if broadcasts(d.a_shape, d.shape) => "a shape that broadcasts to `shape`";
        b if operand_fits(d.b, d.shape) => "a constant or a shape that broadcasts to `shape`";
        p if operand_fits(d.p, d.shape) => "a constant or a shape that broadcasts to `shape`";
        q if operand_fits(d.q, d.shape) => "a constant or a shape that broadcasts to `shape`";
    }
    args(d) {
        /// Compared values.
        read a = d.compared, d.a_shape;
        /// What they are compared with.
        read b if (d.b.is_tensor()) = d.compared, d.b.shape();
        /// Values where the comparison holds.
        read p if (d.p.is_tensor()) = d.dtype, d.p.shape();
        /// Values elsewhere.
        read q if (d.q.is_tensor()) = d.dtype, d.q.shape();
        /// Result; may be an operand of the same shape and type.
        write y = d.dtype, d.shape;
    }
    flops(d) = product([d.shape.elements()]);

    /// Combines the middle axis. The order is free, but fixed for a plan.
    Core "elementwise.reduce" Reduce ReduceArgs {
        /// Elements before the reduced axis.
        pre: usize,
        /// Elements combined.
        len: usize,
        /// Elements after it.
        post: usize,
        /// Combination.
        op: Reduction,
        /// Factor of the result.
        alpha: f32,
        /// Type of x.
        input: DType,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Input.
        read x = d.input, [d.pre, d.len, d.post];
        /// Result.
        write y = d.output, [d.pre, d.post];
    }
    flops(d) = product([d.pre, d.len, d.post]);

    /// Softmax over the middle axis; subtracts the maximum.
    Core "elementwise.softmax" Softmax SoftmaxArgs {
        /// Elements before the axis.
        pre: usize,
        /// Elements of the axis.
        len: usize,
        /// Elements after it.
        post: usize,
    }
    args(d) {
        /// Logits.
        read x = DType::F32, [d.pre, d.len, d.post];
        /// Probabilities; may be x.
        write y = DType::F32, [d.pre, d.len, d.post];
    }
    flops(d) = product([4, d.pre, d.len, d.post]);

    /// Running sum along a row; exclusive leaves the element itself out.
    Core "elementwise.cumsum" Cumsum CumsumArgs {
        /// Rows.
        rows: usize,
        /// Elements of a row.
        len: usize,
        /// Leave the element itself out.
        exclusive: bool,
    }
    args(d) {
        /// Input.
        read x = DType::F32, [d.rows, d.len];
        /// Sums.
        write y = DType::F32, [d.rows, d.len];
    }
    flops(d) = product([d.rows, d.len]);
}
