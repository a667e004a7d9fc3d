//! The attention sublayer of a block (deepseek-v4.md 4).

use super::Graph;
use crate::config::Block;
use crate::load::{BlockWeights, projection_width};
use crate::state::BlockState;
use omnihal::op::attention::{Entries, Latent, Query, Sparse};
use omnihal::op::{ActQuant, RowQuant, cache, compress, gemm, indexer};
use omnihal::{Column, DType, RowFormat};
use omnihal_runtime::Operand;

/// A compressor's operands: which half of the state it updates.
struct CompressorArgs<'a> {
    proj: Operand,
    weights: &'a crate::load::Compressor,
    open: Operand,
    pool: Operand,
    width: usize,
    hadamard: bool,
    quant: RowQuant,
    format: RowFormat,
}

impl Graph<'_> {
    pub(super) fn attention(
        &mut self,
        name: &str,
        block: &Block,
        w: &BlockWeights,
        state: &BlockState,
        a: &Operand,
    ) -> Operand {
        let (c, d, rows) = (self.config, self.config.head_dim, self.step.rows);
        let aq = self.a_quant();
        let rope = Operand::view(*self.weights.rope(block.ratio));
        let lat = self.linear(a, &w.lat, aq, self.act);
        let (qr, kv) = self.latent(name, w, &lat, &rope);
        let queries = self.linear(&qr, &w.q, aq, self.act);
        let heads = c.num_attention_heads;
        let q = queries.slice(1, 0, heads * d).split(1, heads, d);
        self.query(name, &q, &rope);
        let entries = match (&w.proj, &w.main, &state.open, &state.entries) {
            (Some(proj), Some(main), Some(open), Some(pool)) => {
                let proj = self.linear(a, proj, ActQuant::None, DType::F32);
                let args = CompressorArgs {
                    proj: proj.slice(1, 0, projection_width(block, d)),
                    weights: main,
                    open: Operand::view(*open),
                    pool: Operand::view(*pool),
                    width: d,
                    hadamard: false,
                    quant: self.kv_quant(),
                    format: self.pools.shape.rows,
                };
                self.compress(block, &rope, args);
                let qi = queries.slice(1, heads * d, queries.dim(1) - heads * d);
                self.select(name, block, w, state, &proj, &qi, &rope)
            }
            _ => Chosen { entries: Entries::None, idx: None },
        };
        let entries = match self.options.window_only {
            true => Chosen { entries: Entries::None, idx: None },
            false => entries,
        };
        let o = self.sparse(block, w, state, &q, &kv, &rope, entries);
        self.store(state, &kv);
        // Grouped low-rank output: heads in order, `o_groups` groups of them.
        let groups = c.o_groups;
        let wo_a = Operand::view(w.wo_a);
        let v = self.r.temp(self.act, [rows, groups * c.o_lora_rank]);
        let grouped = o.merge(1).split(1, groups, c.o_group_in());
        let op = gemm::Batched {
            batch: groups,
            m: rows,
            inner: c.o_group_in(),
            n: c.o_lora_rank,
            transpose_a: false,
            transpose_b: true,
            input: self.act,
            output: self.act,
            alpha: 1.0,
            accumulate: false,
        };
        let target = v.split(1, groups, c.o_lora_rank);
        self.r.op(op, &[&grouped.swap(0, 1), &wo_a, &target.swap(0, 1)]);
        self.tap(|| format!("{name}attn.o_groups_in"), &grouped);
        self.tap(|| format!("{name}attn.o_lora"), &target);
        self.matrix(&v, w.wo_b, aq, self.act)
    }

    fn latent(&mut self, name: &str, w: &BlockWeights, lat: &Operand, rope: &Operand) -> (Operand, Operand) {
        let (c, rows) = (self.config, self.step.rows);
        let toks = self.column(Column::Toks);
        let (qr, kv) = (self.r.temp(self.act, [rows, c.q_lora_rank]), self.r.temp(self.act, [rows, c.head_dim]));
        let [q_norm, kv_norm] = [w.q_norm, w.kv_norm].map(Operand::view);
        let op = Latent {
            rows,
            q_lora: c.q_lora_rank,
            head: c.head_dim,
            rotary: c.qk_rope_head_dim,
            positions: rope.dim(0),
            eps: c.rms_norm_eps,
            quant: self.kv_quant(),
            weight: q_norm.dtype(),
            act: self.act,
        };
        self.r.op(op, &[lat, &q_norm, &kv_norm, rope, &toks, &qr, &kv]);
        self.tap(|| format!("{name}attn.q_latent"), &qr);
        if self.options.taps {
            let before = lat.slice(1, c.q_lora_rank, c.head_dim).unsqueeze(1);
            let normed = self.rms(&before, Some(w.kv_norm), c.rms_norm_eps).merge(0);
            self.tap(|| format!("{name}attn.kv_prerope"), &normed);
            self.tap(|| format!("{name}attn.kv"), &kv);
        }
        (qr, kv)
    }

    fn query(&mut self, name: &str, q: &Operand, rope: &Operand) {
        let c = self.config;
        if self.options.taps {
            let normed = self.rms(q, None, c.rms_norm_eps);
            self.tap(|| format!("{name}attn.q_prerope"), &normed);
        }
        let toks = self.column(Column::Toks);
        let op = Query {
            rows: self.step.rows,
            heads: c.num_attention_heads,
            head: c.head_dim,
            rotary: c.qk_rope_head_dim,
            positions: rope.dim(0),
            eps: c.rms_norm_eps,
            act: self.act,
        };
        self.r.op(op, &[q, rope, &toks]);
        self.tap(|| format!("{name}attn.q"), q);
    }

    fn compress(&mut self, block: &Block, rope: &Operand, args: CompressorArgs<'_>) {
        let (m, step) = (block.ratio as u32, self.step);
        let [pt, close] = [Column::PageTable(m), Column::Close(m)].map(|column| self.column(column));
        let [toks, seqs] = [Column::Toks, Column::Seqs].map(|column| self.column(column));
        let [ape, norm] = [args.weights.ape, args.weights.norm].map(Operand::view);
        let op = compress::Update {
            rows: step.rows,
            seqs: step.seqs,
            closings: close.dim(0),
            ratio: block.ratio,
            overlap: block.overlaps(),
            width: args.width,
            rotary: self.config.qk_rope_head_dim,
            positions: rope.dim(0),
            ring: args.open.dim(1),
            slots: args.open.dim(0),
            eps: self.config.rms_norm_eps,
            hadamard: args.hadamard,
            quant: args.quant,
            pages: self.pools.shape.page_space(block.ratio, pt.dim(1)),
            format: args.format,
            weight: norm.dtype(),
            act: self.act,
        };
        let operands = [&args.proj, &ape, &norm, rope, &args.open, &args.pool, &pt, &toks, &seqs, &close];
        self.r.op(op, &operands);
    }

    /// Which entries a row attends to: those the indexer keeps, or all where there is no indexer or it would keep them all.
    #[expect(clippy::too_many_arguments, reason = "the operands of one block")]
    fn select(
        &mut self,
        name: &str,
        block: &Block,
        w: &BlockWeights,
        state: &BlockState,
        proj: &Operand,
        qi: &Operand,
        rope: &Operand,
    ) -> Chosen {
        let (Some(compressor), Some(open), Some(keys)) = (&w.indexer, &state.index_open, &state.keys) else {
            return Chosen { entries: Entries::All, idx: None };
        };
        let (c, rows) = (self.config, self.step.rows);
        let (heads, width) = (c.index_n_heads, c.index_head_dim);
        let main = projection_width(block, c.head_dim);
        let own = projection_width(block, width);
        let quant = self.index_quant();
        let hadamard = quant != RowQuant::None;
        let args = CompressorArgs {
            proj: proj.slice(1, main, own),
            weights: compressor,
            open: Operand::view(*open),
            pool: Operand::view(*keys),
            width,
            hadamard,
            quant,
            format: self.pools.shape.keys,
        };
        self.compress(block, rope, args);
        let pt = self.column(Column::PageTable(block.ratio as u32));
        let pages = self.pools.shape.page_space(block.ratio, pt.dim(1));
        if pages.capacity() <= c.index_topk && !self.options.force_indexer {
            return Chosen { entries: Entries::All, idx: None };
        }
        let toks = self.column(Column::Toks);
        let q = qi.split(1, heads, width);
        let (rotary, positions) = (c.qk_rope_head_dim, rope.dim(0));
        let op = indexer::Query { rows, heads, width, rotary, positions, hadamard, quant, act: self.act };
        self.r.op(op, &[&q, rope, &toks]);
        self.tap(|| format!("{name}attn.index_q"), &q);
        let head_weights = proj.slice(1, main + own, heads);
        let pool = Operand::view(*keys);
        let select = |g: &mut Self, keep: usize, with_scores: bool| {
            let idx = g.r.temp(DType::I32, [rows, keep]);
            let scores = with_scores.then(|| g.r.temp(DType::F32, [rows, keep]));
            let op = indexer::Select {
                rows,
                seqs: g.step.seqs,
                heads,
                width,
                rotary,
                keep,
                ratio: block.ratio,
                pages,
                format: g.pools.shape.keys,
                act: g.act,
                with_scores,
            };
            let mut operands = vec![&q, &head_weights, &pool, &pt, &toks, &idx];
            operands.extend(&scores);
            g.r.op(op, &operands);
            (idx, scores)
        };
        let keep = c.index_topk.min(pages.capacity());
        let (idx, _) = select(self, keep, false);
        if self.options.taps {
            self.tap(|| format!("{name}attn.index_topk"), &idx);
            // Keeping every entry makes the scores of all visible ones a result.
            let (all, scores) = select(self, pages.capacity(), true);
            self.tap(|| format!("{name}attn.index_all"), &all);
            if let Some(scores) = scores {
                self.tap(|| format!("{name}attn.index_scores"), &scores);
            }
        }
        let forced = self.options.forced.get(name);
        let forced = forced.map(|view| Operand::view(*view).slice(0, 0, rows).slice(1, 0, keep));
        Chosen { entries: Entries::Listed(keep), idx: Some(forced.unwrap_or(idx)) }
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of one block")]
    fn sparse(
        &mut self,
        block: &Block,
        w: &BlockWeights,
        state: &BlockState,
        q: &Operand,
        kv: &Operand,
        rope: &Operand,
        chosen: Chosen,
    ) -> Operand {
        let (c, rows, m) = (self.config, self.step.rows, block.ratio as u32);
        let [toks, seqs] = [Column::Toks, Column::Seqs].map(|column| self.column(column));
        let pt = (chosen.entries != Entries::None).then(|| self.column(Column::PageTable(m)));
        let pool = state.entries.map(Operand::view).filter(|_| pt.is_some());
        let [ring, sink] = [state.ring, w.sink].map(Operand::view);
        let o = self.r.temp(self.act, q.shape());
        let op = Sparse {
            rows,
            seqs: self.step.seqs,
            heads: c.num_attention_heads,
            head: c.head_dim,
            rotary: c.qk_rope_head_dim,
            positions: rope.dim(0),
            window: c.sliding_window,
            scale: (c.head_dim as f64).powf(-0.5) as f32,
            entries: chosen.entries,
            ratio: block.ratio,
            pages: self.pools.shape.page_space(block.ratio, pt.as_ref().map_or(1, |pt| pt.dim(1))),
            ring: ring.dim(1),
            slots: ring.dim(0),
            format: self.pools.shape.rows,
            inverse: true,
            act: self.act,
        };
        let mut operands = vec![q, kv, &ring];
        operands.extend(pool.iter().chain(&pt).chain(&chosen.idx));
        operands.extend([&sink, rope, &toks, &seqs, &o]);
        self.r.op(op, &operands);
        o
    }

    fn store(&mut self, state: &BlockState, kv: &Operand) {
        let [toks, seqs] = [Column::Toks, Column::Seqs].map(|column| self.column(column));
        let ring = Operand::view(state.ring);
        let op = cache::Store {
            rows: self.step.rows,
            seqs: self.step.seqs,
            width: self.config.head_dim,
            rotary: self.config.qk_rope_head_dim,
            ring: ring.dim(1),
            slots: ring.dim(0),
            format: self.pools.shape.rows,
            act: self.act,
        };
        self.r.op(op, &[kv, &ring, &toks, &seqs]);
    }
}

/// The compressed entries of an attention.
struct Chosen {
    entries: Entries,
    idx: Option<Operand>,
}
