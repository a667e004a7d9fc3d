//! The core operators by the vendor's plain two-phase calls: what every chip generation and release of the table has.
//!
//! A recipe is a function that makes its calls on [`calls::Calls`]; run once without a device it says how much memory its temporaries take, and whether the descriptor can be
//! honoured at all.

mod calls;
mod copy;
mod elementwise;
pub(crate) mod fused;
mod gemm;
mod handles;
mod norm;
mod places;
mod quant;
mod rope;
mod scratch;
mod tables;
mod tensor;
mod words;

pub(crate) use calls::{Calls, Target};
pub(crate) use scratch::Scratch;
pub(crate) use tables::Tables;

use crate::context::Context;
use fused::Fused;
use omnihal::op::{self, ArgType};
use omnihal::{
    Accumulation, Args, Column, Determinism, Error, Layout, Mem, Op, OpKind, OpSet, Plan, Quant, Result, View,
    WeightFormat,
};
use std::any::Any;

/// A checked operator.
pub(crate) struct AscendPlan {
    op: Op,
    /// The vendor's fused operator that runs it; else plain ones do.
    fused: Option<&'static Fused>,
    temporaries: usize,
}

/// Where views without memory seem to lie, while temporaries are measured.
const NOWHERE: u64 = 1 << 32;

/// A contiguous view of an argument, without memory.
fn outline(arg: &ArgType) -> Option<View> {
    if !arg.present {
        return None;
    }
    let quant = match arg.format {
        WeightFormat::Blocked { scale, block, .. } => arg.format.scale_shape(&arg.shape).map(|shape| Quant {
            mem: Mem { addr: NOWHERE, len: scale.bytes(shape.elements()) },
            dtype: scale,
            block,
            shape,
        }),
        WeightFormat::Plain(_) => None,
    };
    Some(View {
        mem: Mem { addr: NOWHERE, len: usize::MAX },
        offset: 0,
        dtype: arg.format.dtype(),
        shape: arg.shape,
        strides: arg.shape.contiguous_strides(),
        layout: Layout::Strided,
        quant,
    })
}

/// An operator of the vendor's that is missing: whatever is made of it cannot be run, which is no fault of the installation alone.
fn without(error: Error) -> Error {
    Error::unsupported(error.message().to_owned())
}

impl AscendPlan {
    /// Refuses what the recipes cannot do; loads the tables that they read.
    pub(crate) fn new(op: &Op, context: &Context) -> Result<Self> {
        AscendPlan::by(op, None, context)
    }

    /// As [`AscendPlan::new`], by one of the vendor's fused operators.
    pub(crate) fn by(op: &Op, fused: Option<&'static Fused>, context: &Context) -> Result<Self> {
        let mut views: Vec<_> = op.arg_types().iter().map(outline).collect();
        if let (Some(fused), Some(first)) = (fused, views.iter().flatten().next().copied()) {
            views.extend(fused.column_outlines(op, View { quant: None, ..first }));
        }
        let mut calls = Calls::measure();
        make(&mut calls, op, fused, &views)?;
        // What a fused operator calls was looked up when it was offered.
        if fused.is_none() {
            calls.needed().iter().try_for_each(|name| context.toolkit.core.has(name)).map_err(without)?;
        }
        for table in calls.tables() {
            context.tables.load(context, *table)?;
        }
        Ok(AscendPlan { op: *op, fused, temporaries: calls.most() })
    }

    /// Enqueues a run.
    pub(crate) fn run(&self, target: Target<'_>, args: &Args<'_>) -> Result<()> {
        make(&mut Calls::enqueue(target, args.workspace), &self.op, self.fused, args.views)
    }
}

impl Plan for AscendPlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn workspace(&self) -> usize {
        self.temporaries
    }

    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        let mut calls = Calls::measure();
        make(&mut calls, &self.op, self.fused, views)?;
        Ok(calls.most())
    }

    fn columns(&self) -> &[Column] {
        self.fused.map_or(&[], |fused| fused.columns)
    }

    fn determinism(&self) -> Determinism {
        Determinism::Repeatable
    }

    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

fn make(calls: &mut Calls<'_>, op: &Op, fused: Option<&Fused>, views: &[Option<View>]) -> Result<()> {
    match fused {
        Some(fused) => fused.build(calls, op, views),
        None => build(calls, op, views),
    }
}

/// Whether plain operators can run an operator at all.
pub(crate) fn is_plain(kind: OpKind) -> bool {
    all().contains(kind)
}

/// Gives this backend its own plan back.
pub(crate) fn own(plan: &dyn Plan) -> Result<&AscendPlan> {
    let other =
        || Error::argument("the plan was made by another device: make it on this one").with_op(plan.op().kind());
    (plan as &dyn Any).downcast_ref::<AscendPlan>().ok_or_else(other)
}

macro_rules! recipes {
    ($($Variant:ident($Args:path) => $recipe:path;)*) => {
        /// Operators with a recipe.
        pub(crate) fn all() -> OpSet {
            [$(OpKind::$Variant),*].into_iter().collect()
        }

        fn build(calls: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
            let args = Args::new(views);
            match op {
                $(Op::$Variant(d) => $recipe(calls, d, <$Args>::new(&args)?),)*
                other => Err(Error::unsupported(format!("the ascend backend has no call for {}: compose it", other.kind().name()))),
            }
        }
    };
}

recipes! {
    EmbedLookup(op::embed::LookupArgs) => places::lookup;
    NormRms(op::norm::RmsArgs) => norm::rms;
    GemmLinear(op::gemm::LinearArgs) => gemm::linear;
    GemmBatched(op::gemm::BatchedArgs) => gemm::batched;
    GemmGrouped(op::gemm::GroupedArgs) => gemm::grouped;
    QuantQdq(op::quant::QdqArgs) => quant::qdq;
    QuantDequant(op::quant::DequantArgs) => quant::dequant;
    RopeApply(op::rope::ApplyArgs) => rope::apply;
    MoeGroup(op::moe::GroupArgs) => places::group;
    CacheRows(op::cache::RowsArgs) => places::rows;
    SampleTopK(op::sample::TopKArgs) => places::top;
    Unary(op::elementwise::UnaryArgs) => elementwise::unary;
    Binary(op::elementwise::BinaryArgs) => elementwise::binary;
    Where(op::elementwise::WhereArgs) => elementwise::choose;
    Reduce(op::elementwise::ReduceArgs) => elementwise::reduce;
    Softmax(op::elementwise::SoftmaxArgs) => elementwise::softmax;
    Cumsum(op::elementwise::CumsumArgs) => elementwise::cumsum;
    Copy(op::copy::CopyArgs) => copy::copy;
    Fill(op::copy::FillArgs) => copy::fill;
    Gather(op::copy::GatherArgs) => copy::gather;
    Scatter(op::copy::ScatterArgs) => copy::scatter;
    Take(op::copy::TakeArgs) => copy::take;
    Concat(op::copy::ConcatArgs) => copy::concat;
}
