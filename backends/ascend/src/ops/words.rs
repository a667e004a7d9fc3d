//! The vendor's operators as the recipes use them, each with what its documents want.
//!
//! Safety of all of them: tensors name memory that the caller of `Stream::run` keeps alive, or temporaries of the run.

use super::calls::Calls;
use super::tensor::Tensor;
use crate::sys::constants::aclDataType;
use omnihal::Result;

pub(crate) const F32: aclDataType = aclDataType::ACL_FLOAT;
pub(crate) const BF16: aclDataType = aclDataType::ACL_BF16;
pub(crate) const I32: aclDataType = aclDataType::ACL_INT32;
pub(crate) const I64: aclDataType = aclDataType::ACL_INT64;
pub(crate) const BOOL: aclDataType = aclDataType::ACL_BOOL;

/// Matrix products keep the types of their operands: no reduced precision inside.
const KEEP_TYPES: i8 = 0;

macro_rules! maps {
    ($($name:ident => $call:ident;)*) => {
        /// A function of one variable: floats of one type and shape.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Map { $($name,)* }

        impl Calls<'_> {
            pub(crate) fn map(&mut self, map: Map, x: &Tensor, y: &Tensor) -> Result<()> {
                match map {
                    // SAFETY: see the module.
                    $(Map::$name => self.needs(&[stringify!($call)]).call(|core, h| unsafe { core.$call(h.t(x)?, h.t(y)?) }),)*
                }
            }
        }
    };
}

maps! {
    Exp => aclnnExp;
    Relu => aclnnRelu;
    Sigmoid => aclnnSigmoid;
    Silu => aclnnSilu;
    Sqrt => aclnnSqrt;
    Rsqrt => aclnnRsqrt;
    Abs => aclnnAbs;
    Floor => aclnnFloor;
    Log => aclnnLog;
}

/// A function of two variables of one type, with broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Lt,
    Ge,
    Gt,
    Eq,
}

impl Calls<'_> {
    pub(crate) fn pair(&mut self, pair: Pair, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
        self.needs(&["aclnnAdd", "aclnnSub", "aclnnMul", "aclnnDiv", "aclnnMinimum", "aclnnMaximum"]).call(|core, h| {
            let (p, q, to) = (h.t(a)?, h.t(b)?, h.t(y)?);
            // SAFETY: see the module.
            unsafe {
                match pair {
                    Pair::Add => core.aclnnAdd(p, q, h.s(1.0, a)?, to),
                    Pair::Sub => core.aclnnSub(p, q, h.s(1.0, a)?, to),
                    Pair::Mul => core.aclnnMul(p, q, to),
                    Pair::Div => core.aclnnDiv(p, q, to),
                    Pair::Min => core.aclnnMinimum(p, q, to),
                    Pair::Max => core.aclnnMaximum(p, q, to),
                }
            }
        })
    }

    pub(crate) fn muls(&mut self, x: &Tensor, by: f32, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnMuls"]).call(|core, h| unsafe { core.aclnnMuls(h.t(x)?, h.s(by, x)?, h.t(y)?) })
    }

    pub(crate) fn adds(&mut self, x: &Tensor, value: f32, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnAdds"])
            .call(|core, h| unsafe { core.aclnnAdds(h.t(x)?, h.s(value, x)?, h.s(1.0, x)?, h.t(y)?) })
    }

    /// `value - x` of 32-bit integers.
    pub(crate) fn words_from(&mut self, value: i32, x: &Tensor, y: &Tensor) -> Result<()> {
        let negative = self.temp(I32, x.dims())?;
        self.muls(x, -1.0, &negative)?;
        // SAFETY: see the module.
        self.needs(&["aclnnAdds"])
            .call(|core, h| unsafe { core.aclnnAdds(h.t(&negative)?, h.word(value)?, h.word(1)?, h.t(y)?) })
    }

    /// The bits of 32-bit integers that a mask has too.
    pub(crate) fn masked(&mut self, x: &Tensor, mask: i32, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnBitwiseAndScalar"])
            .call(|core, h| unsafe { core.aclnnBitwiseAndScalar(h.t(x)?, h.word(mask)?, h.t(y)?) })
    }

    pub(crate) fn clamp(&mut self, x: &Tensor, low: Option<f32>, high: Option<f32>, y: &Tensor) -> Result<()> {
        self.needs(&["aclnnClamp"]).call(|core, h| {
            let low = low.map_or(Ok(std::ptr::null()), |low| h.s(low, x))?;
            let high = high.map_or(Ok(std::ptr::null()), |high| h.s(high, x))?;
            // SAFETY: see the module.
            unsafe { core.aclnnClamp(h.t(x)?, low, high, h.t(y)?) }
        })
    }

    /// Brings 32-bit indices into `0..rows`.
    pub(crate) fn within(&mut self, index: &Tensor, rows: usize, y: &Tensor) -> Result<()> {
        let last = i32::try_from(rows).unwrap_or(i32::MAX).saturating_sub(1);
        // SAFETY: see the module.
        self.needs(&["aclnnClamp"])
            .call(|core, h| unsafe { core.aclnnClamp(h.t(index)?, h.word(0)?, h.word(last)?, h.t(y)?) })
    }

    pub(crate) fn softplus(&mut self, x: &Tensor, threshold: f32, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnSoftplus"])
            .call(|core, h| unsafe { core.aclnnSoftplus(h.t(x)?, h.s(1.0, x)?, h.s(threshold, x)?, h.t(y)?) })
    }

    pub(crate) fn compare(&mut self, order: Order, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
        self.needs(&["aclnnLtTensor", "aclnnGeTensor", "aclnnGtTensor", "aclnnEqTensor"]).call(|core, h| {
            let (p, q, to) = (h.t(a)?, h.t(b)?, h.t(y)?);
            // SAFETY: see the module.
            unsafe {
                match order {
                    Order::Lt => core.aclnnLtTensor(p, q, to),
                    Order::Ge => core.aclnnGeTensor(p, q, to),
                    Order::Gt => core.aclnnGtTensor(p, q, to),
                    Order::Eq => core.aclnnEqTensor(p, q, to),
                }
            }
        })
    }

    pub(crate) fn compare_to(&mut self, order: Order, x: &Tensor, value: f32, y: &Tensor) -> Result<()> {
        self.needs(&["aclnnLtScalar", "aclnnGeScalar", "aclnnGtScalar", "aclnnEqScalar"]).call(|core, h| {
            let (p, q, to) = (h.t(x)?, h.s(value, x)?, h.t(y)?);
            // SAFETY: see the module.
            unsafe {
                match order {
                    Order::Lt => core.aclnnLtScalar(p, q, to),
                    Order::Ge => core.aclnnGeScalar(p, q, to),
                    Order::Gt => core.aclnnGtScalar(p, q, to),
                    Order::Eq => core.aclnnEqScalar(p, q, to),
                }
            }
        })
    }

    pub(crate) fn select(&mut self, mask: &Tensor, p: &Tensor, q: &Tensor, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnSWhere"]).call(|core, h| unsafe { core.aclnnSWhere(h.t(mask)?, h.t(p)?, h.t(q)?, h.t(y)?) })
    }

    /// Copies with a cast; the source broadcasts.
    pub(crate) fn copy(&mut self, from: &Tensor, to: &Tensor) -> Result<()> {
        if from.kind() == to.kind() || from.dims() != to.dims() {
            // SAFETY: see the module.
            return self
                .needs(&["aclnnInplaceCopy"])
                .call(|core, h| unsafe { core.aclnnInplaceCopy(h.t(to)?, h.t(from)?) });
        }
        // SAFETY: see the module.
        self.needs(&["aclnnCast"]).call(|core, h| unsafe { core.aclnnCast(h.t(from)?, to.kind(), h.t(to)?) })
    }

    pub(crate) fn fill(&mut self, to: &Tensor, value: f32) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnInplaceFillScalar"])
            .call(|core, h| unsafe { core.aclnnInplaceFillScalar(h.t(to)?, h.s(value, to)?) })
    }

    pub(crate) fn fill_word(&mut self, to: &Tensor, value: i32) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnInplaceFillScalar"])
            .call(|core, h| unsafe { core.aclnnInplaceFillScalar(h.t(to)?, h.word(value)?) })
    }

    /// 0, 1, 2 ... as f32.
    pub(crate) fn counting(&mut self, to: &Tensor) -> Result<()> {
        let end = to.elements() as f32;
        // SAFETY: see the module.
        self.needs(&["aclnnArange"])
            .call(|core, h| unsafe { core.aclnnArange(h.s(0.0, to)?, h.s(end, to)?, h.s(1.0, to)?, h.t(to)?) })
    }

    /// The sum along an axis, which is left out of `y`.
    pub(crate) fn sum(&mut self, x: &Tensor, axis: usize, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnReduceSum"])
            .call(|core, h| unsafe { core.aclnnReduceSum(h.t(x)?, h.one(axis)?, false, F32, h.t(y)?) })
    }

    pub(crate) fn mean(&mut self, x: &Tensor, axis: usize, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnMean"]).call(|core, h| unsafe { core.aclnnMean(h.t(x)?, h.one(axis)?, false, F32, h.t(y)?) })
    }

    pub(crate) fn largest(&mut self, x: &Tensor, axis: usize, keep: bool, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnAmax"]).call(|core, h| unsafe { core.aclnnAmax(h.t(x)?, h.one(axis)?, keep, h.t(y)?) })
    }

    pub(crate) fn softmax(&mut self, x: &Tensor, axis: i64, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnSoftmax"]).call(|core, h| unsafe { core.aclnnSoftmax(h.t(x)?, axis, h.t(y)?) })
    }

    pub(crate) fn cumsum(&mut self, x: &Tensor, axis: i64, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnCumsum"]).call(|core, h| unsafe { core.aclnnCumsum(h.t(x)?, axis, F32, h.t(y)?) })
    }

    /// Sorts rows; equals stay in their order. Places are 64-bit integers.
    pub(crate) fn sort(&mut self, x: &Tensor, descending: bool, values: &Tensor, places: &Tensor) -> Result<()> {
        let last = x.dims().len() as i64 - 1;
        // SAFETY: see the module.
        self.needs(&["aclnnSort"])
            .call(|core, h| unsafe { core.aclnnSort(h.t(x)?, true, last, descending, h.t(values)?, h.t(places)?) })
    }

    /// Rows (`axis` 0) or columns of `x` by a list of indices, all legal.
    pub(crate) fn pick(&mut self, x: &Tensor, axis: i64, index: &Tensor, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnIndexSelect"])
            .call(|core, h| unsafe { core.aclnnIndexSelect(h.t(x)?, axis, h.t(index)?, h.t(y)?) })
    }

    /// Elements of each row by a matrix of indices, all legal.
    pub(crate) fn pick_each(&mut self, x: &Tensor, index: &Tensor, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnGather"]).call(|core, h| unsafe { core.aclnnGather(h.t(x)?, 1, h.t(index)?, h.t(y)?) })
    }

    /// Writes rows in place; `to` and `from` have no gaps.
    pub(crate) fn put_rows(&mut self, to: &Tensor, index: &Tensor, from: &Tensor) -> Result<()> {
        let index = index.reshape(&[index.elements(), 1]);
        // SAFETY: see the module.
        self.needs(&["aclnnScatterNdUpdate"])
            .call(|core, h| unsafe { core.aclnnScatterNdUpdate(h.t(to)?, h.t(&index)?, h.t(from)?) })
    }

    pub(crate) fn join(&mut self, parts: &[Tensor], axis: i64, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnCat"]).call(|core, h| unsafe { core.aclnnCat(h.list(parts)?, axis, h.t(y)?) })
    }

    /// `y = a b` of matrices of one type.
    pub(crate) fn product(&mut self, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnMm"]).call(|core, h| unsafe { core.aclnnMm(h.t(a)?, h.t(b)?, h.t(y)?, KEEP_TYPES) })
    }

    /// `y[i] = a[i] b[i]` of matrices of one type.
    pub(crate) fn products(&mut self, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
        // SAFETY: see the module.
        self.needs(&["aclnnBatchMatMul"])
            .call(|core, h| unsafe { core.aclnnBatchMatMul(h.t(a)?, h.t(b)?, h.t(y)?, KEEP_TYPES) })
    }

    /// `y = x w[g]` for consecutive groups of rows, `counts` of them 64-bit. `x` and `y` have no gaps.
    pub(crate) fn grouped(&mut self, x: &Tensor, w: &Tensor, counts: &Tensor, y: &Tensor) -> Result<()> {
        use std::ptr::null;
        // One output for all groups; groups along the rows; counts, not running sums; no activation.
        let (split, along_rows, counted, no_activation) = (3, 0, 1, 0);
        // SAFETY: see the module.
        self.needs(&["aclnnGroupedMatmulV5"]).call(|core, h| unsafe {
            let (x, w, counts, y) = (h.list(&[*x])?, h.list(&[*w])?, h.t(counts)?, h.list(&[*y])?);
            core.aclnnGroupedMatmulV5(
                x,
                w,
                null(),
                null(),
                null(),
                null(),
                null(),
                null(),
                counts,
                null(),
                null(),
                null(),
                split,
                along_rows,
                counted,
                no_activation,
                null(),
                y,
                null(),
                null(),
            )
        })
    }

    /// Root-mean-square norm of rows without gaps, all f32. The reciprocal roots are not optional.
    pub(crate) fn rms(&mut self, x: &Tensor, gamma: &Tensor, epsilon: f32, y: &Tensor, roots: &Tensor) -> Result<()> {
        let epsilon = f64::from(epsilon);
        // SAFETY: see the module.
        self.needs(&["aclnnRmsNorm"])
            .call(|core, h| unsafe { core.aclnnRmsNorm(h.t(x)?, h.t(gamma)?, epsilon, h.t(y)?, h.t(roots)?) })
    }

    /// The tensor itself if it has this type, else a copy of that type.
    pub(crate) fn of_kind(&mut self, x: &Tensor, kind: aclDataType) -> Result<Tensor> {
        if x.kind() == kind {
            return Ok(*x);
        }
        let converted = self.temp(kind, x.dims())?;
        self.copy(x, &converted)?;
        Ok(converted)
    }

    /// The tensor itself if it has this type and no gaps, else a copy that does.
    pub(crate) fn dense(&mut self, x: &Tensor, kind: aclDataType) -> Result<Tensor> {
        // What is measured without addresses must hold for every address.
        if x.kind() == kind && x.is_contiguous() {
            return Ok(*x);
        }
        let copied = self.temp(kind, x.dims())?;
        self.copy(&x.folded(), &copied)?;
        Ok(copied)
    }

    /// Where a result of this type is computed: `y` itself if it can hold it and shares nothing with an input, else a temporary.
    pub(crate) fn place(&mut self, y: &Tensor, kind: aclDataType, inputs: &[&Tensor]) -> Result<Tensor> {
        let direct = !self.measures() && y.kind() == kind && !inputs.iter().any(|input| input.meets(y));
        if direct { Ok(*y) } else { self.temp(kind, y.dims()) }
    }

    /// Brings a result from where it was computed to where it is wanted.
    pub(crate) fn settle(&mut self, computed: &Tensor, y: &Tensor) -> Result<()> {
        let there = computed.base() == y.base() && computed.offset() == y.offset() && computed.kind() == y.kind();
        if there && !self.measures() { Ok(()) } else { self.copy(computed, y) }
    }
}
