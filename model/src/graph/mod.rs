//! The forward pass as a recipe (deepseek-v4.md 3 to 7, op-catalogue.md 6).
//!
//! The graph is written once and knows no device: layer kinds, ratios and widths are data of the config.

mod attention;
mod ffn;
mod mtp;

use crate::config::{Config, Precision};
use crate::error::Result;
use crate::load::{Linear, Mixer, Weights};
use crate::state::Pools;
use omnihal::op::{ActQuant, RowQuant, embed, hyper};
use omnihal::{Column, DType, StepShape, View};
use omnihal_runtime::{Operand, Recipe};
use std::collections::BTreeMap;

pub use mtp::build_mtp;

/// Names under which a step's results can be read.
pub mod outputs {
    /// F32 `[wanted, vocab]`.
    pub const LOGITS: &str = "logits";
    /// Residual streams after the last block of a multi-token-prediction pass.
    pub const MTP_OUT: &str = "mtp.out";
    /// Logits of a multi-token-prediction pass.
    pub const MTP_LOGITS: &str = "mtp.logits";
}

/// How a step is to be built.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// Where values are rounded to code grids.
    pub precision: Precision,
    /// Keep every intermediate tensor that the oracle names, as F32.
    pub taps: bool,
    /// Run the indexer even where it would keep every entry.
    pub force_indexer: bool,
    /// Attend to the window alone, in every block. Compressed entries are still made: shows what they are worth.
    pub window_only: bool,
    /// Entries that rows attend to instead of those the indexer chose, I32 `[rows, index_topk]`, by block name (`layers.1.`). The indexer still
    /// runs. For comparing with recorded choices, where a tie may be broken either way.
    pub forced: BTreeMap<String, View>,
    /// Copy the final residual streams here, `[rows, streams, d]`, for a multi-token-prediction pass.
    pub streams: Option<View>,
}

/// The recipe of one step over all backbone blocks, final norm and head.
pub fn build(
    config: &Config,
    weights: &Weights,
    pools: &Pools,
    step: &StepShape,
    options: &GraphOptions,
) -> Result<Recipe> {
    let mut g = Graph { config, weights, pools, step, options, r: Recipe::new(), act: weights.act };
    let ids = g.ids();
    let mut x = g.embed(&ids, config.hc_mult);
    for i in 0..config.blocks.len() {
        x = g.block(&format!("layers.{i}."), &config.blocks[i], &weights.blocks[i], &pools.blocks[i], &x, &ids);
    }
    if let Some(streams) = options.streams {
        let target = Operand::view(streams).slice(0, 0, step.rows);
        g.r.copy(&x, &target);
    }
    let logits = g.head(&x, &weights.hc_head, &weights.norm, "head.");
    let kept = g.r.named(outputs::LOGITS, DType::F32, logits.shape());
    g.r.copy(&logits, &kept);
    Ok(g.r.finish()?)
}

/// What every part of the graph needs.
struct Graph<'a> {
    config: &'a Config,
    weights: &'a Weights,
    pools: &'a Pools,
    step: &'a StepShape,
    options: &'a GraphOptions,
    r: Recipe,
    act: DType,
}

impl Graph<'_> {
    fn column(&mut self, column: Column) -> Operand {
        self.r.column(self.step, column)
    }

    /// Keeps a copy under an oracle name, when asked.
    fn tap(&mut self, name: impl FnOnce() -> String, x: &Operand) {
        if self.options.taps {
            let dtype = if x.dtype() == DType::I32 { DType::I32 } else { DType::F32 };
            let kept = self.r.named(name(), dtype, x.shape());
            self.r.copy(x, &kept);
        }
    }

    fn ids(&mut self) -> Operand {
        let (rows, slots) = (self.step.rows, self.pools.shape.slots);
        let toks = self.column(Column::Toks);
        let ids = self.r.temp(DType::I32, [rows]);
        self.r.op(embed::Ids { rows, slots, drafts: 0 }, &[&toks, &Operand::view(self.pools.last), &ids]);
        ids
    }

    fn embed(&mut self, ids: &Operand, copies: usize) -> Operand {
        let table = Operand::view(self.weights.embed);
        let (rows, vocab, width) = (self.step.rows, table.dim(0), table.dim(1));
        let x = self.r.temp(self.act, [rows, copies, width]);
        let op = embed::Lookup { rows, vocab, width, copies, table: table.dtype(), act: self.act };
        self.r.op(op, &[&table, ids, &x]);
        x
    }

    /// Rounding of the inputs of FP8 and FP4 products.
    fn a_quant(&self) -> ActQuant {
        if self.options.precision.quantises_linears() { ActQuant::F8G128 } else { ActQuant::None }
    }

    /// Rounding of stored key-value rows.
    fn kv_quant(&self) -> RowQuant {
        if self.options.precision.quantises_kv() { RowQuant::F8Nope } else { RowQuant::None }
    }

    /// Rounding of indexer queries and keys; where there is one, Hadamard comes before.
    fn index_quant(&self) -> RowQuant {
        if self.options.precision.quantises_indexer() { RowQuant::F4All } else { RowQuant::None }
    }

    /// `x w^T` part by part into a tensor of `output` type.
    fn linear(&mut self, x: &Operand, linear: &Linear, a_quant: ActQuant, output: DType) -> Operand {
        let y = self.r.temp(output, [x.dim(0), linear.outer()]);
        let mut at = 0;
        for part in &linear.parts {
            let w = Operand::view(*part);
            self.r.linear_into(x, &w, a_quant, &y.slice(1, at, w.dim(0)));
            at += w.dim(0);
        }
        y
    }

    fn matrix(&mut self, x: &Operand, w: View, a_quant: ActQuant, output: DType) -> Operand {
        self.r.linear(x, &Operand::view(w), a_quant, output)
    }

    fn rms(&mut self, x: &Operand, weight: Option<View>, eps: f32) -> Operand {
        let y = self.r.temp(self.act, x.shape());
        let weight = weight.map(Operand::view);
        self.r.rms_norm(x, weight.as_ref(), eps, &y);
        y
    }

    /// One transformer block on the residual streams.
    fn block(
        &mut self,
        name: &str,
        block: &crate::config::Block,
        w: &crate::load::BlockWeights,
        state: &crate::state::BlockState,
        x: &Operand,
        ids: &Operand,
    ) -> Operand {
        let mixed = self.hyper_pre(&format!("{name}attn_hc."), x, &w.attn_hc, w.attn_norm);
        self.tap(|| format!("{name}attn.in"), &mixed.a);
        let out = self.attention(name, block, w, state, &mixed.a);
        self.tap(|| format!("{name}attn.out"), &out);
        let x = self.hyper_post(x, &out, &mixed);
        let mixed = self.hyper_pre(&format!("{name}ffn_hc."), &x, &w.ffn_hc, w.ffn_norm);
        self.tap(|| format!("{name}ffn.in"), &mixed.a);
        let out = self.ffn(name, w, &mixed.a, ids);
        self.tap(|| format!("{name}ffn.out"), &out);
        let x = self.hyper_post(&x, &out, &mixed);
        self.tap(|| format!("{name}out"), &x);
        x
    }

    fn hyper_pre(&mut self, name: &str, x: &Operand, mixer: &Mixer, norm: View) -> Mixed {
        let (rows, streams, width) = (x.dim(0), x.dim(1), x.dim(2));
        let pre = |r: &mut Recipe, norm: Option<View>| {
            let mixed = Mixed {
                a: r.temp(self.act, [rows, width]),
                post: r.temp(DType::F32, [rows, streams]),
                comb: r.temp(DType::F32, [rows, streams, streams]),
            };
            let op = hyper::Pre {
                rows,
                streams,
                width,
                iters: self.config.hc_sinkhorn_iters,
                eps: self.config.rms_norm_eps,
                hc_eps: self.config.hc_eps,
                norm: norm.map(|n| n.dtype),
                act: self.act,
            };
            let [projection, scale, base] = [mixer.projection, mixer.scale, mixer.base].map(Operand::view);
            let norm = norm.map(Operand::view);
            let mut args = vec![x, &projection, &scale, &base];
            args.extend(&norm);
            args.extend([&mixed.a, &mixed.post, &mixed.comb]);
            r.op(op, &args);
            mixed
        };
        let mixed = pre(&mut self.r, Some(norm));
        // The collapsed streams before the norm are not a result of the operator: a second call observes them.
        let collapsed = self.options.taps.then(|| pre(&mut self.r, None).a);
        if let Some(collapsed) = collapsed {
            self.tap(|| format!("{name}collapsed"), &collapsed);
            self.tap(|| format!("{name}post"), &mixed.post);
            self.tap(|| format!("{name}comb"), &mixed.comb);
        }
        mixed
    }

    fn hyper_post(&mut self, x: &Operand, out: &Operand, mixed: &Mixed) -> Operand {
        let (rows, streams, width) = (x.dim(0), x.dim(1), x.dim(2));
        let y = self.r.temp(self.act, x.shape());
        let op = hyper::Post { rows, streams, width, act: self.act };
        self.r.op(op, &[x, out, &mixed.post, &mixed.comb, &y]);
        y
    }

    /// Logits of the wanted rows, F32.
    fn head(&mut self, x: &Operand, mixer: &Mixer, norm: &View, name: &str) -> Operand {
        let (rows, streams, width) = (x.dim(0), x.dim(1), x.dim(2));
        let out = self.column(Column::Out);
        let wanted = out.dim(0);
        let head = |r: &mut Recipe, norm: Option<View>| {
            let y = r.temp(self.act, [wanted, width]);
            let op = hyper::Head {
                rows,
                wanted,
                streams,
                width,
                eps: self.config.rms_norm_eps,
                hc_eps: self.config.hc_eps,
                norm: norm.map(|n| n.dtype),
                act: self.act,
            };
            let [projection, scale, base] = [mixer.projection, mixer.scale, mixer.base].map(Operand::view);
            let norm = norm.map(Operand::view);
            let mut args = vec![x, &out, &projection, &scale, &base];
            args.extend(&norm);
            args.push(&y);
            r.op(op, &args);
            y
        };
        let y = head(&mut self.r, Some(*norm));
        let collapsed = self.options.taps.then(|| head(&mut self.r, None));
        if let Some(collapsed) = collapsed {
            self.tap(|| format!("{name}collapsed"), &collapsed);
            self.tap(|| format!("{name}normed"), &y);
        }
        self.matrix(&y, self.weights.head, ActQuant::None, DType::F32)
    }
}

/// What a hyper-connection gives to its sublayer, and keeps for after it.
struct Mixed {
    /// Normalised input of the sublayer.
    a: Operand,
    post: Operand,
    comb: Operand,
}
