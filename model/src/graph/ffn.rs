//! The mixture-of-experts sublayer of a block (deepseek-v4.md 6).

use super::Graph;
use crate::load::{BlockWeights, ExpertChoice};
use omnihal::op::moe::{Experts, Mlp, Route, Routing};
use omnihal::{Column, DType};
use omnihal_runtime::Operand;

impl Graph<'_> {
    pub(super) fn ffn(&mut self, name: &str, w: &BlockWeights, x: &Operand, ids: &Operand) -> Operand {
        let (c, rows, width) = (self.config, x.dim(0), x.dim(1));
        let (idx, wt) = self.route(name, w, x, ids);
        let [w13, w2] = w.shared.map(Operand::view);
        let shared = self.r.temp(self.act, x.shape());
        let op = Mlp {
            rows,
            width,
            inter: c.moe_intermediate_size,
            w13: w13.format(),
            w2: w2.format(),
            limit: c.swiglu_limit,
            a_quant: self.a_quant(),
            act: self.act,
        };
        self.r.op(op, &[x, &w13, &w2, &shared]);
        let [w13, w2] = w.experts.map(Operand::view);
        let experts = |accumulate: bool| Experts {
            rows,
            width,
            inter: c.moe_intermediate_size,
            choices: c.num_experts_per_tok,
            first: 0,
            local: c.n_routed_experts,
            w13: w13.format(),
            w2: w2.format(),
            limit: c.swiglu_limit,
            a_quant: self.a_quant(),
            act: self.act,
            accumulate,
        };
        let (joint, alone) = (experts(true), experts(false));
        if self.options.taps {
            let routed = self.r.temp(self.act, x.shape());
            self.r.op(alone, &[x, &idx, &wt, &w13, &w2, &routed]);
            self.tap(|| format!("{name}ffn.routed"), &routed);
            self.tap(|| format!("{name}ffn.shared"), &shared);
        }
        let out = self.r.temp(self.act, x.shape());
        self.r.op(joint, &[x, &idx, &wt, &w13, &w2, &shared, &out]);
        out
    }

    fn route(&mut self, name: &str, w: &BlockWeights, x: &Operand, ids: &Operand) -> (Operand, Operand) {
        let (c, rows) = (self.config, x.dim(0));
        let gate = Operand::view(w.gate);
        let toks = self.column(Column::Toks);
        let [idx, wt] = [DType::I32, DType::F32].map(|dtype| self.r.temp(dtype, [rows, c.num_experts_per_tok]));
        let logits = self.options.taps.then(|| self.r.temp(DType::F32, [rows, c.n_routed_experts]));
        let (routing, table) = match &w.choice {
            ExpertChoice::Scored(bias) => (Routing::Scored, Operand::view(*bias)),
            ExpertChoice::Hash(table) => (Routing::Hash(table.dim(0)), Operand::view(*table)),
        };
        let op = Route {
            rows,
            width: x.dim(1),
            experts: c.n_routed_experts,
            choices: c.num_experts_per_tok,
            routing,
            scale: c.routed_scaling_factor,
            gate: gate.dtype(),
            act: self.act,
            with_logits: logits.is_some(),
        };
        let mut operands = vec![x, &gate, &table];
        if routing != Routing::Scored {
            operands.push(ids);
        }
        operands.extend([&toks, &idx, &wt]);
        operands.extend(&logits);
        self.r.op(op, &operands);
        self.tap(|| format!("{name}ffn.router_indices"), &idx);
        self.tap(|| format!("{name}ffn.router_weights"), &wt);
        if let Some(logits) = &logits {
            self.tap(|| format!("{name}ffn.router_logits"), logits);
        }
        (idx, wt)
    }
}
