//! Router and gate of the experts. Types and sizes are those of the documents of MoeGatingTopKV2 and ClippedSwiglu; MoeGatingTopKHash has a header only, with the same parameters.

use super::{Fits, want};
use crate::ops::calls::Calls;
use crate::ops::tensor::{Tensor, kind};
use crate::ops::words::{BOOL, F32, I32, Order, Pair};
use crate::toolkit::version::Soc;
use omnihal::op::moe::{Route, RouteArgs, Routing, Swiglu, SwigluArgs};
use omnihal::{Args, DType, Error, Op, Result, View};
use std::ptr::null;

/// The vendor's name of the root of softplus.
const SQRT_SOFTPLUS: i64 = 2;
/// What keeps a sum of scores from being 0 (deepseek-v4.md 10, row 12).
const LEAST_SUM: f64 = 1e-20;

pub(super) fn hash_fits(op: &Op, _: Soc) -> Fits {
    let Op::MoeRoute(d) = op else { return Err("another operator".to_owned()) };
    want(d.experts <= 2048, || format!("{} experts, it takes up to 2048", d.experts))?;
    let looked_up = matches!(d.routing, Routing::Hash(_));
    want(!looked_up || d.choices <= 64, || format!("{} experts of a row, it takes up to 64", d.choices))
}

pub(super) fn gating_fits(op: &Op, soc: Soc) -> Fits {
    want(soc == Soc::A950, || "its root of softplus is on Ascend 950 only".to_owned())?;
    hash_fits(op, soc)
}

/// Logits, and what decides: bias, or ids and table.
struct Gate {
    logits: Tensor,
    bias: Option<Tensor>,
    looked_up: Option<[Tensor; 2]>,
    /// Results of the vendor's operator: weights, experts, and scores that nobody wants.
    results: [Tensor; 3],
}

impl Gate {
    fn new(c: &mut Calls<'_>, d: &Route, args: &RouteArgs<'_>) -> Result<Self> {
        let (x, gate) = (Tensor::of(args.x)?, Tensor::of(args.gate)?);
        let (x, gate) = (c.of_kind(&x, F32)?, c.of_kind(&gate, F32)?);
        let logits = c.temp(F32, &[d.rows, d.experts])?;
        c.product(&x, &gate.exchanged(0, 1), &logits)?;
        let bias = match args.bias {
            Some(bias) => {
                let bias = Tensor::of(bias)?;
                Some(c.dense(&bias, F32)?)
            }
            None => None,
        };
        let looked_up = match (args.table, args.ids, d.routing) {
            (Some(table), Some(ids), Routing::Hash(ids_known)) => {
                let (table, ids) = (Tensor::of(table)?, Tensor::of(ids)?);
                let (table, legal) = (c.dense(&table, I32)?, c.temp(I32, &[d.rows])?);
                // Padding rows have any id.
                c.within(&ids, ids_known, &legal)?;
                Some([legal, table])
            }
            _ => None,
        };
        let weights = c.temp(F32, &[d.rows, d.choices])?;
        let results = [weights, c.temp(I32, &[d.rows, d.choices])?, c.temp(F32, &[d.rows, d.experts])?];
        Ok(Gate { logits, bias, looked_up, results })
    }

    /// Padding rows choose no expert.
    fn finish(self, c: &mut Calls<'_>, d: &Route, args: &RouteArgs<'_>) -> Result<()> {
        let [weights, experts, _] = &self.results;
        let (index, weight) = (Tensor::of(args.idx)?, Tensor::of(args.wt)?);
        let position = Tensor::of(args.toks)?.slice(1, 0, 1);
        let (padding, none) = (c.temp(BOOL, &[d.rows, 1])?, c.temp(I32, &[1, 1])?);
        c.compare_to(Order::Lt, &position, 0.0, &padding)?;
        c.fill_word(&none, -1)?;
        let chosen = c.temp(I32, &[d.rows, d.choices])?;
        c.select(&padding, &none, experts, &chosen)?;
        c.copy(&chosen, &index)?;
        c.copy(weights, &weight)?;
        match args.logits {
            Some(logits) => c.copy(&self.logits, &Tensor::of(logits)?),
            None => Ok(()),
        }
    }
}

fn route_of(op: &Op) -> Result<&Route> {
    match op {
        Op::MoeRoute(d) => Ok(d),
        other => Err(Error::argument(format!("{} where moe.route was expected", other.kind().name()))),
    }
}

macro_rules! gating {
    ($name:ident, $through:ident, $call:ident) => {
        pub(super) fn $name(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
            let (d, args) = (route_of(op)?, Args::new(views));
            let args = RouteArgs::new(&args)?;
            let gate = Gate::new(c, d, &args)?;
            let [weights, experts, scores] = &gate.results;
            let (choices, scale) = (d.choices as i64, f64::from(d.scale));
            c.$through(|operators, h| {
                let bias = gate.bias.as_ref().map_or(Ok(null()), |bias| h.t(bias))?;
                let [ids, table] = match &gate.looked_up {
                    Some([ids, table]) => [h.t(ids)?, h.t(table)?],
                    None => [null(); 2],
                };
                let x = h.t(&gate.logits)?;
                let (weights, experts, scores) = (h.t(weights)?, h.t(experts)?, h.t(scores)?);
                // One group; scores are not given back.
                let (groups_kept, groups, group_mode, renorm, give) = (1, 1, 0, 1, false);
                // SAFETY: see `words`.
                unsafe {
                    operators.$call(
                        x,
                        bias,
                        ids,
                        table,
                        choices,
                        groups_kept,
                        groups,
                        group_mode,
                        renorm,
                        SQRT_SOFTPLUS,
                        give,
                        scale,
                        LEAST_SUM,
                        weights,
                        experts,
                        scores,
                    )
                }
            })?;
            gate.finish(c, d, &args)
        }
    };
}

gating!(gating, call_fused, aclnnMoeGatingTopKV2);
gating!(gating_hash, call_vllm, aclnnMoeGatingTopKHash);

pub(super) fn swiglu_fits(op: &Op, _: Soc) -> Fits {
    let Op::MoeSwiglu(d) = op else { return Err("another operator".to_owned()) };
    let floats = [DType::F32, DType::BF16];
    want(floats.contains(&d.input) && floats.contains(&d.output), || format!("{} to {}", d.input, d.output))?;
    want(d.limit.is_finite() && d.limit > 0.0, || format!("a limit of {}", d.limit))
}

pub(super) fn swiglu(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let Op::MoeSwiglu(Swiglu { rows, inter, limit, weighted, input, output }) = *op else {
        return Err(Error::argument(format!("{} where moe.swiglu was expected", op.kind().name())));
    };
    let args = Args::new(views);
    let args = SwigluArgs::new(&args)?;
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    // The vendor's result has the type of its input, and is rounded once only if nothing follows.
    let inside = if input == output && !weighted { kind(input)? } else { F32 };
    let x = c.dense(&x, inside)?;
    let value = match weighted {
        false => c.dense_place(&y, inside, &[&x])?,
        true => c.temp(F32, &[rows, inter])?,
    };
    c.call_fused(|fused, h| {
        let (x, y) = (h.t(&x)?, h.t(&value)?);
        // Along the last axis, halves and not pairs, silu itself, nothing added to the second half.
        let (axis, alpha, bias, pairs) = (-1, 1.0, 0.0, false);
        // SAFETY: see `words`.
        unsafe { fused.aclnnClippedSwiglu(x, null(), axis, alpha, f64::from(limit), bias, pairs, y) }
    })?;
    match args.wt {
        None => c.settle(&value, &y),
        Some(weight) => {
            let (weight, scaled) = (Tensor::of(weight)?.with_axis(1), c.temp(F32, &[rows, inter])?);
            c.pair(Pair::Mul, &value, &weight, &scaled)?;
            c.copy(&scaled, &y)
        }
    }
}
