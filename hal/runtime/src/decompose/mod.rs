//! How each fused operator is made of core operators or smaller fused ones. Written once, as data, for every device.
//!
//! Numbers in comments are the steps of op-catalogue.md 3. Masked scores are `NEG`, finite, so that no softmax meets infinity minus
//! infinity. Rows of packed formats have no decomposition: they are legal only where store and reader are native.

mod attention;
mod cache;
mod compress;
mod embed;
mod hyper;
mod indexer;
mod moe;
mod sample;

use crate::recipe::{Operand, Recipe, arguments};
use omnihal::op::{QuantKind, RowQuant};
use omnihal::{DType, Error, Op, Result, RowFormat, StepShape};

/// What stands for minus infinity under a mask: finite, far below any score.
pub(crate) const NEG: f32 = -1e30;

/// What a decomposition may depend on besides its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Capacities of the step.
    pub step: &'a StepShape,
    /// Bytes that the temporaries of a repeated step may take.
    pub tile_bytes: usize,
    /// Lists of entries come from `indexer.select`, as in the model: visible entries of present pages, ascending. Else each list is checked.
    pub trusted_lists: bool,
}

/// Default of [`Context::tile_bytes`]: what op-catalogue.md 3 sizes its tiles by.
pub const TILE_BYTES: usize = 64 << 20;

/// The recipe of a fused operator; `None` for core operators and for descriptors that only a native kernel can run.
pub fn decompose(op: &Op, cx: &Context<'_>) -> Result<Option<Recipe>> {
    let mut recipe = Recipe::new();
    let args = Arguments(arguments(op));
    let r = &mut recipe;
    match op {
        Op::EmbedIds(d) => embed::ids(r, d, &args, cx)?,
        Op::HyperPre(d) => hyper::pre(r, d, &args)?,
        Op::HyperSinkhorn(d) => hyper::sinkhorn(r, d, &args)?,
        Op::HyperPost(d) => hyper::post(r, d, &args)?,
        Op::HyperHead(d) => hyper::head(r, d, &args, cx)?,
        Op::CompressUpdate(d) if plain(d.format) => compress::update(r, d, &args, cx)?,
        Op::IndexerQuery(d) => indexer::query(r, d, &args, cx)?,
        Op::IndexerSelect(d) if plain(d.format) => indexer::select(r, d, &args, cx)?,
        Op::AttentionLatent(d) => attention::latent(r, d, &args, cx)?,
        Op::AttentionQuery(d) => attention::query(r, d, &args, cx)?,
        Op::AttentionSparse(d) if plain(d.format) => attention::sparse(r, d, &args, cx)?,
        Op::CacheStore(d) if plain(d.format) => cache::store(r, d, &args, cx)?,
        Op::CacheCopyRows(d) => cache::copy_rows(r, d, &args)?,
        Op::MoeRoute(d) => moe::route(r, d, &args, cx)?,
        Op::MoeSwiglu(d) => moe::swiglu(r, d, &args)?,
        Op::MoeMlp(d) => moe::mlp(r, d, &args)?,
        Op::MoeExperts(d) => moe::experts(r, d, &args)?,
        Op::SamplePick(d) => sample::pick(r, d, &args, cx)?,
        _ => return Ok(None),
    }
    recipe.finish().map(Some)
}

fn plain(format: RowFormat) -> bool {
    matches!(format, RowFormat::Plain(_))
}

/// The operands of the decomposed operator.
struct Arguments(Vec<Option<Operand>>);

impl Arguments {
    /// A required argument.
    fn get(&self, at: usize) -> Result<&Operand> {
        self.opt(at).ok_or_else(|| Error::argument(format!("argument {at} of the operator is absent")))
    }

    /// An optional argument.
    fn opt(&self, at: usize) -> Option<&Operand> {
        self.0.get(at).and_then(Option::as_ref)
    }
}

/// The orthonormal Hadamard matrix of Sylvester's construction: symmetric, so it serves as a weight as it is.
fn hadamard(r: &mut Recipe, width: usize) -> Operand {
    let scale = (width as f64).powf(-0.5) as f32;
    let sign = |i: usize, j: usize| if (i & j).count_ones() % 2 == 0 { scale } else { -scale };
    r.f32s([width, width], (0..width).flat_map(|i| (0..width).map(move |j| sign(i, j))))
}

/// Hadamard of the rows of a contiguous `[rows, width]`.
fn hadamard_rows(r: &mut Recipe, x: &Operand, act: DType) -> Operand {
    let matrix = hadamard(r, x.dim(1));
    r.linear(x, &matrix, omnihal::op::ActQuant::None, act)
}

/// State rounding of `[rows, heads, width]` in place.
fn round_rows(r: &mut Recipe, x: &Operand, rotary: usize, quant: RowQuant) {
    match quant {
        RowQuant::None => {}
        RowQuant::F8Nope => {
            let nope = x.slice(2, 0, x.dim(2) - rotary);
            r.qdq(&nope, QuantKind::F8E4M3, 64, &nope);
        }
        RowQuant::F4All => r.qdq(x, QuantKind::F4E2M1, 32, x),
    }
}
