//! Sizes that make sense alone and together.

use super::{BlockKind, Config, FieldError, Yarn};

// Caps, each several times the largest released value. With them every size of the model, counted
// in bytes, stays below 2^62, so later arithmetic on a valid config cannot overflow.

/// Hidden, latent and expert widths.
pub(super) const WIDTH: usize = 1 << 18;
/// Heads, head widths and groups.
pub(super) const HEADS: usize = 1 << 14;
/// Products of a head count and a head width.
const HEADS_WIDTH: usize = 1 << 22;
/// Vocabulary entries.
pub(super) const VOCAB: usize = 1 << 24;
/// Blocks, backbone and tail together.
pub(super) const BLOCKS: usize = 1 << 10;
/// Routed experts of a block.
pub(super) const EXPERTS: usize = 1 << 14;
/// Routed experts of all blocks.
const ALL_EXPERTS: usize = 1 << 20;
/// Tokens per compressed entry.
pub(super) const RATIO: usize = 1 << 16;
/// Window length and kept entries.
pub(super) const ROWS: usize = 1 << 20;
/// Positions: indices are 32 bits.
pub(super) const POSITIONS: usize = 1 << 30;
/// Residual streams.
pub(super) const STREAMS: usize = 16;
/// Sinkhorn iterations.
pub(super) const SINKHORN: usize = 1000;

type Check = Result<(), FieldError>;

fn within(field: &str, value: usize, min: usize, max: usize) -> Check {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let expected = format!("an integer from {min} to {max}");
    Err(FieldError::new(field, expected, value))
}

fn positive(field: &str, value: f64, max: f64) -> Check {
    if value > 0.0 && value <= max {
        return Ok(());
    }
    let expected = format!("a number above 0 and at most {max}");
    Err(FieldError::new(field, expected, value))
}

fn product(field: &str, of: [usize; 2], max: usize) -> Check {
    match of[0].checked_mul(of[1]) {
        Some(product) if product <= max => Ok(()),
        _ => Err(FieldError::new(field, format!("a product of at most {max}"), format!("{} x {}", of[0], of[1]))),
    }
}

impl Config {
    /// Refuses sizes that are absurd or contradict each other. A config that was read has passed this.
    pub fn validate(&self) -> Result<(), FieldError> {
        self.check_sizes()?;
        self.check_numbers()?;
        self.check_rope()?;
        self.check_blocks()?;
        self.check_experts()?;
        self.check_tokens()
    }

    fn check_sizes(&self) -> Check {
        within("vocab_size", self.vocab_size, 1, VOCAB)?;
        within("hidden_size", self.hidden_size, 1, WIDTH)?;
        within("num_attention_heads", self.num_attention_heads, 1, HEADS)?;
        within("head_dim", self.head_dim, 2, HEADS)?;
        within("q_lora_rank", self.q_lora_rank, 1, WIDTH)?;
        within("o_lora_rank", self.o_lora_rank, 1, WIDTH)?;
        within("o_groups", self.o_groups, 1, HEADS)?;
        within("sliding_window", self.sliding_window, 1, ROWS)?;
        within("hc_mult", self.hc_mult, 1, STREAMS)?;
        within("hc_sinkhorn_iters", self.hc_sinkhorn_iters, 1, SINKHORN)?;
        within("max_position_embeddings", self.max_position_embeddings, 1, POSITIONS)?;
        let [rows, columns] = self.weight_block;
        within("weight_block_size", rows, 1, WIDTH)?;
        within("weight_block_size", columns, 1, WIDTH)?;
        let q = [self.num_attention_heads, self.head_dim];
        product("num_attention_heads x head_dim", q, HEADS_WIDTH)?;
        let o = [self.o_groups, self.o_lora_rank];
        product("o_groups x o_lora_rank", o, HEADS_WIDTH)?;
        let outputs = q[0] * q[1];
        if !outputs.is_multiple_of(self.o_groups) {
            let expected = format!("a divisor of num_attention_heads x head_dim = {outputs}");
            return Err(FieldError::new("o_groups", expected, self.o_groups));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Check {
        positive("hc_eps", self.hc_eps.into(), 1.0)?;
        positive("rms_norm_eps", self.rms_norm_eps.into(), 1.0)?;
        positive("swiglu_limit", self.swiglu_limit.into(), f32::MAX.into())?;
        positive("routed_scaling_factor", self.routed_scaling_factor.into(), f32::MAX.into())
    }

    fn check_rope(&self) -> Check {
        let rope = self.qk_rope_head_dim;
        if rope < 2 || !rope.is_multiple_of(2) || rope > self.head_dim {
            let expected = format!("an even number from 2 to head_dim = {}", self.head_dim);
            return Err(FieldError::new("qk_rope_head_dim", expected, rope));
        }
        positive("rope_theta", self.rope_theta, f32::MAX.into())?;
        if self.blocks.iter().any(|b| b.kind != BlockKind::Window) {
            let theta = self.compress_rope_theta;
            positive("compress_rope_theta", theta, f32::MAX.into())?;
        }
        // Frequencies fall with theta above 1 and the YaRN ramp divides by its logarithm.
        for (field, theta) in [("rope_theta", self.rope_theta), ("compress_rope_theta", self.compress_rope_theta)] {
            if theta <= 1.0 && theta > 0.0 {
                return Err(FieldError::new(field, "a number above 1", theta));
            }
        }
        self.yarn.map_or(Ok(()), |yarn| check_yarn(&yarn))
    }

    fn check_blocks(&self) -> Check {
        within("num_hidden_layers", self.blocks.len(), 1, BLOCKS)?;
        within("num_nextn_predict_layers", self.mtp.len(), 0, BLOCKS)?;
        for block in self.blocks.iter().chain(&self.mtp) {
            within("compress_ratios", block.ratio, 0, RATIO)?;
        }
        if let Some(block) = self.mtp.iter().find(|b| b.kind != BlockKind::Window) {
            return Err(FieldError::new("compress_ratios", "0 for every MTP block", block.ratio));
        }
        if !self.has_indexer() {
            return Ok(());
        }
        let width = self.index_head_dim;
        within("index_n_heads", self.index_n_heads, 1, HEADS)?;
        within("index_head_dim", width, self.qk_rope_head_dim, HEADS)?;
        within("index_topk", self.index_topk, 1, ROWS)?;
        let heads = [self.index_n_heads, width];
        product("index_n_heads x index_head_dim", heads, HEADS_WIDTH)
    }

    fn check_experts(&self) -> Check {
        within("n_routed_experts", self.n_routed_experts, 1, EXPERTS)?;
        within("num_experts_per_tok", self.num_experts_per_tok, 1, self.n_routed_experts)?;
        within("moe_intermediate_size", self.moe_intermediate_size, 1, WIDTH)?;
        let all = [self.n_routed_experts, self.blocks.len() + self.mtp.len()];
        product("n_routed_experts x blocks", all, ALL_EXPERTS)
    }

    fn check_tokens(&self) -> Check {
        let last = self.vocab_size - 1;
        for id in &self.eos_token_ids {
            within("eos_token_id", *id as usize, 0, last)?;
        }
        match self.bos_token_id {
            Some(id) => within("bos_token_id", id as usize, 0, last),
            None => Ok(()),
        }
    }
}

fn check_yarn(yarn: &Yarn) -> Check {
    if !(yarn.factor >= 1.0 && yarn.factor <= f64::from(1u32 << 20)) {
        let expected = "a number from 1 to 1048576";
        return Err(FieldError::new("rope_scaling.factor", expected, yarn.factor));
    }
    within("rope_scaling.original_max_position_embeddings", yarn.original_max_position_embeddings, 1, POSITIONS)?;
    positive("rope_scaling.beta_slow", yarn.beta_slow, 1e6)?;
    positive("rope_scaling.beta_fast", yarn.beta_fast, 1e6)?;
    if yarn.beta_fast < yarn.beta_slow {
        let expected = format!("at least beta_slow = {}", yarn.beta_slow);
        return Err(FieldError::new("rope_scaling.beta_fast", expected, yarn.beta_fast));
    }
    Ok(())
}
