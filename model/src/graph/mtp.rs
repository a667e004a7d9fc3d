//! A multi-token-prediction pass (deepseek-v4.md 7): one window-only block on the final streams and the next tokens.

use super::{Graph, GraphOptions, outputs};
use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::load::{MtpWeights, Weights};
use crate::state::Pools;
use omnihal::op::elementwise::Arith;
use omnihal::{DType, StepShape, View};
use omnihal_runtime::{Operand, Recipe};

/// The recipe of a pass of prediction block `i`: the step's ids are the *next* tokens, its positions those of `streams`.
pub fn build_mtp(
    config: &Config,
    weights: &Weights,
    pools: &Pools,
    step: &StepShape,
    options: &GraphOptions,
    i: usize,
    streams: &View,
) -> Result<Recipe> {
    let Some(w) = weights.mtp.get(i) else {
        return Err(ModelError::refused(format!(
            "the checkpoint has {} prediction blocks, block {i} was asked for",
            weights.mtp.len()
        )));
    };
    let mut g = Graph { config, weights, pools, step, options, r: Recipe::new(), act: weights.act };
    let ids = g.ids();
    let x = g.mix(w, &ids, &Operand::view(*streams).slice(0, 0, step.rows));
    g.tap(|| "mtp.mix".into(), &x);
    let state = &pools.blocks[config.blocks.len() + i];
    let out = g.block("mtp.", &config.mtp[i], &w.block, state, &x, &ids);
    let logits = g.head(&out, &w.hc_head, &w.norm, "mtp.head.");
    for (name, x) in [(outputs::MTP_OUT, &out), (outputs::MTP_LOGITS, &logits)] {
        // With taps on, the block itself keeps its output under this name.
        if !(options.taps && name == outputs::MTP_OUT) {
            let kept = g.r.named(name, DType::F32, x.shape());
            g.r.copy(x, &kept);
        }
    }
    Ok(g.r.finish()?)
}

impl Graph<'_> {
    /// `e_proj(enorm(embedding)) + h_proj(hnorm(streams))`, the same addend in every stream.
    fn mix(&mut self, w: &MtpWeights, ids: &Operand, streams: &Operand) -> Operand {
        let (rows, n, eps, aq) = (self.step.rows, self.config.hc_mult, self.config.rms_norm_eps, self.a_quant());
        let embedded = self.embed(ids, 1);
        let e = self.rms(&embedded, Some(w.enorm), eps).merge(0);
        let e = self.matrix(&e, w.e_proj, aq, DType::F32);
        let h = self.rms(streams, Some(w.hnorm), eps).merge(0);
        let h = self.matrix(&h, w.h_proj, aq, DType::F32).split(0, rows, n);
        let x = self.r.temp(self.act, h.shape());
        self.r.zip_into(Arith::Add, &h, &e.unsqueeze(1), &x);
        x
    }
}
