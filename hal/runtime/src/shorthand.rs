//! Core operators as methods: each makes its descriptor from its operands and returns the result.

use crate::recipe::{Operand, Recipe};
use omnihal::op::elementwise::{Arith, Binary, Cmp, Cumsum, Func, Reduce, Reduction, Softmax, Source, Unary, Where};
use omnihal::op::{ActQuant, QuantKind};
use omnihal::op::{copy, gemm, norm, quant, rope, sample};
use omnihal::{DType, Shape};

/// `gamma * f(alpha * x + beta) + delta`; `Affine::default()` is plain `f(x)`.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    /// Factor of x.
    pub alpha: f32,
    /// Added to the scaled x.
    pub beta: f32,
    /// Factor of the result.
    pub gamma: f32,
    /// Added to the scaled result.
    pub delta: f32,
}

impl Default for Affine {
    fn default() -> Self {
        Affine { alpha: 1.0, beta: 0.0, gamma: 1.0, delta: 0.0 }
    }
}

/// An operand or a constant in a selection.
pub enum Choice<'a> {
    /// A tensor that broadcasts to the result.
    Of(&'a Operand),
    /// One number.
    Number(f32),
}

impl Choice<'_> {
    fn source(&self) -> Source {
        match self {
            Choice::Of(operand) => Source::Tensor(operand.shape()),
            Choice::Number(value) => Source::Const(*value),
        }
    }
}

fn broadcast(a: Shape, b: Shape) -> Shape {
    let dims: Vec<usize> = a.dims().iter().zip(b.dims()).map(|(&a, &b)| a.max(b)).collect();
    Shape::new(&dims)
}

impl Recipe {
    /// `f` of each element, in F32.
    pub fn map(&mut self, x: &Operand, func: Func, affine: Affine) -> Operand {
        let y = self.temp(DType::F32, x.shape());
        self.map_into(x, func, affine, &y);
        y
    }

    /// `f` of each element, into `y`.
    pub fn map_into(&mut self, x: &Operand, func: Func, affine: Affine, y: &Operand) {
        let Affine { alpha, beta, gamma, delta } = affine;
        let op = Unary { shape: x.shape(), func, alpha, beta, gamma, delta, input: x.dtype(), output: y.dtype() };
        self.op(op, &[x, y]);
    }

    /// `a op b`, in F32, with broadcasting between equal ranks.
    pub fn zip(&mut self, arith: Arith, a: &Operand, b: &Operand) -> Operand {
        let y = self.temp(DType::F32, broadcast(a.shape(), b.shape()));
        self.zip_into(arith, a, b, &y);
        y
    }

    /// `a op b` into `y`.
    pub fn zip_into(&mut self, arith: Arith, a: &Operand, b: &Operand, y: &Operand) {
        self.divide_into(arith, a, b, 0.0, 1.0, y);
    }

    /// `scale * a / (b + eps)` into `y`.
    pub fn ratio_into(&mut self, a: &Operand, b: &Operand, eps: f32, scale: f32, y: &Operand) {
        self.divide_into(Arith::Div, a, b, eps, scale, y);
    }

    fn divide_into(&mut self, arith: Arith, a: &Operand, b: &Operand, eps: f32, scale: f32, y: &Operand) {
        let op = Binary {
            shape: y.shape(),
            a_shape: a.shape(),
            b_shape: b.shape(),
            arith,
            eps,
            scale,
            a: a.dtype(),
            b: b.dtype(),
            output: y.dtype(),
        };
        self.op(op, &[a, b, y]);
    }

    /// `(a cmp b) ? p : q` into `y`.
    pub fn select_into(&mut self, a: &Operand, cmp: Cmp, b: Choice<'_>, p: Choice<'_>, q: Choice<'_>, y: &Operand) {
        let op = Where {
            shape: y.shape(),
            a_shape: a.shape(),
            cmp,
            b: b.source(),
            p: p.source(),
            q: q.source(),
            compared: a.dtype(),
            dtype: y.dtype(),
        };
        let mut args = vec![a];
        for choice in [&b, &p, &q] {
            if let Choice::Of(operand) = choice {
                args.push(operand);
            }
        }
        args.push(y);
        self.op(op, &args);
    }

    /// `(a cmp b) ? p : q` in F32 of the given shape.
    pub fn select(
        &mut self,
        shape: Shape,
        a: &Operand,
        cmp: Cmp,
        b: Choice<'_>,
        p: Choice<'_>,
        q: Choice<'_>,
    ) -> Operand {
        let y = self.temp(DType::F32, shape);
        self.select_into(a, cmp, b, p, q, &y);
        y
    }

    /// Combines the middle axis of `[pre, len, post]`, in F32.
    pub fn reduce(&mut self, x: &Operand, op: Reduction) -> Operand {
        let (pre, len, post) = (x.dim(0), x.dim(1), x.dim(2));
        let y = self.temp(DType::F32, [pre, post]);
        self.op(Reduce { pre, len, post, op, alpha: 1.0, input: x.dtype(), output: DType::F32 }, &[x, &y]);
        y
    }

    /// Softmax over the middle axis of `[pre, len, post]`, in place.
    pub fn softmax(&mut self, x: &Operand) {
        self.op(Softmax { pre: x.dim(0), len: x.dim(1), post: x.dim(2) }, &[x, x]);
    }

    /// Running sum of each row.
    pub fn cumsum(&mut self, x: &Operand, exclusive: bool) -> Operand {
        let y = self.temp(DType::F32, x.shape());
        self.op(Cumsum { rows: x.dim(0), len: x.dim(1), exclusive }, &[x, &y]);
        y
    }

    /// A contiguous copy of the given type.
    pub fn cast(&mut self, x: &Operand, dtype: DType) -> Operand {
        let y = self.temp(dtype, x.shape());
        self.copy(x, &y);
        y
    }

    /// The operand itself if it has the type, else a copy that has.
    pub fn as_type(&mut self, x: &Operand, dtype: DType) -> Operand {
        if x.dtype() == dtype { x.clone() } else { self.cast(x, dtype) }
    }

    /// Copies `x` to `y` with a cast.
    pub fn copy(&mut self, x: &Operand, y: &Operand) {
        self.op(copy::Copy { shape: x.shape(), input: x.dtype(), output: y.dtype() }, &[x, y]);
    }

    /// Rows of the matrix `src`, by trusted index.
    pub fn gather(&mut self, src: &Operand, idx: &Operand) -> Operand {
        let y = self.temp(src.dtype(), [idx.dim(0), src.dim(1)]);
        self.gather_into(src, idx, &y);
        y
    }

    /// Rows of the matrix `src` into `y`, by trusted index.
    pub fn gather_into(&mut self, src: &Operand, idx: &Operand, y: &Operand) {
        self.op(gather_op(src, idx, true), &[src, idx, y]);
    }

    /// Rows of a table that depend on the step only: gathered once for all layers.
    pub fn gather_once(&mut self, src: &Operand, idx: &Operand) -> Operand {
        let y = self.temp(src.dtype(), [idx.dim(0), src.dim(1)]);
        self.once(gather_op(src, idx, true), &[src, idx, &y]);
        y
    }

    /// Writes the rows of `src` to the rows `idx` of the matrix `dst`.
    pub fn scatter(&mut self, dst: &Operand, idx: &Operand, src: &Operand, trusted: bool) {
        let op = copy::Scatter { rows: dst.dim(0), width: dst.dim(1), count: idx.dim(0), dtype: dst.dtype(), trusted };
        self.op(op, &[dst, idx, src]);
    }

    /// Elements of each row of `x`, by place.
    pub fn take(&mut self, x: &Operand, idx: &Operand) -> Operand {
        let y = self.temp(x.dtype(), idx.shape());
        self.op(copy::Take { rows: x.dim(0), width: x.dim(1), count: idx.dim(1), dtype: x.dtype() }, &[x, idx, &y]);
        y
    }

    /// Joins tensors of shape `[pre, len, post]` along the middle axis.
    pub fn concat(&mut self, parts: &[&Operand]) -> Operand {
        let mut lens = [0; 4];
        parts.iter().zip(&mut lens).for_each(|(part, len)| *len = part.dim(1));
        let (pre, post, dtype) = (parts[0].dim(0), parts[0].dim(2), parts[0].dtype());
        let y = self.temp(dtype, [pre, lens.iter().sum(), post]);
        let mut args = parts.to_vec();
        args.push(&y);
        self.op(copy::Concat { pre, lens, post, dtype }, &args);
        y
    }

    /// The `keep` best of each row, best first: values and places.
    pub fn top_k(&mut self, x: &Operand, keep: usize, largest: bool) -> (Operand, Operand) {
        let values = self.temp(DType::F32, [x.dim(0), keep]);
        let idx = self.temp(DType::I32, [x.dim(0), keep]);
        let op = sample::TopK { rows: x.dim(0), width: x.dim(1), keep, largest, sorted: true };
        self.op(op, &[x, &values, &idx]);
        (values, idx)
    }

    /// `x w^T` of the given output type.
    pub fn linear(&mut self, x: &Operand, w: &Operand, a_quant: ActQuant, output: DType) -> Operand {
        let y = self.temp(output, [x.dim(0), w.dim(0)]);
        self.linear_into(x, w, a_quant, &y);
        y
    }

    /// `x w^T` into `y`.
    pub fn linear_into(&mut self, x: &Operand, w: &Operand, a_quant: ActQuant, y: &Operand) {
        let op = gemm::Linear {
            rows: x.dim(0),
            inner: x.dim(1),
            outer: w.dim(0),
            input: x.dtype(),
            weight: w.format(),
            a_quant,
            output: y.dtype(),
            accumulate: false,
        };
        self.op(op, &[x, w, y]);
    }

    /// `y[i] = alpha a[i] op(b[i]) (+ y[i])`, with `b` given as `[batch, n, inner]` if `transpose_b`.
    pub fn batched_into(
        &mut self,
        a: &Operand,
        b: &Operand,
        transpose_b: bool,
        alpha: f32,
        accumulate: bool,
        y: &Operand,
    ) {
        let op = gemm::Batched {
            batch: a.dim(0),
            m: a.dim(1),
            inner: a.dim(2),
            n: y.dim(2),
            transpose_a: false,
            transpose_b,
            input: a.dtype(),
            output: y.dtype(),
            alpha,
            accumulate,
        };
        self.op(op, &[a, b, y]);
    }

    /// Norm over the last axis of `[rows, heads, width]`.
    pub fn rms_norm(&mut self, x: &Operand, weight: Option<&Operand>, eps: f32, y: &Operand) {
        let op = norm::Rms {
            rows: x.dim(0),
            heads: x.dim(1),
            width: x.dim(2),
            eps,
            weight: weight.map(Operand::dtype),
            input: x.dtype(),
            output: y.dtype(),
        };
        let args: Vec<&Operand> = [Some(x), weight, Some(y)].into_iter().flatten().collect();
        self.op(op, &args);
    }

    /// Rotates the last channels of `[rows, heads, width]` in place.
    pub fn rotate(&mut self, x: &Operand, cs: &Operand, inverse: bool) {
        let op = rope::Apply {
            rows: x.dim(0),
            heads: x.dim(1),
            width: x.dim(2),
            rotary: cs.dim(1),
            inverse,
            dtype: x.dtype(),
        };
        self.op(op, &[x, cs]);
    }

    /// Rounds `[rows, heads, width]` to a code grid into `y`.
    pub fn qdq(&mut self, x: &Operand, kind: QuantKind, group: usize, y: &Operand) {
        let op = quant::Qdq { rows: x.dim(0), heads: x.dim(1), width: x.dim(2), group, kind, dtype: x.dtype() };
        self.op(op, &[x, y]);
    }
}

fn gather_op(src: &Operand, idx: &Operand, trusted: bool) -> copy::Gather {
    copy::Gather { rows: src.dim(0), width: src.dim(1), count: idx.dim(0), dtype: src.dtype(), trusted }
}
