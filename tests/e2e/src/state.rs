//! The state of a sequence in the oracle's form (oracle README: `state_after_*`).

use crate::parity::ParityError;
use crate::run::Rows;
use omnihal::{DType, View};
use omnihal_deepseek::config::Block;
use omnihal_deepseek::engine::Engine;
use omnihal_deepseek::state::SeqId;
use std::collections::BTreeMap;

/// Rows of one state tensor of a sequence, as F32.
struct Reader<'a> {
    engine: &'a Engine,
    seq: SeqId,
    len: usize,
}

/// Everything that the oracle stores of one sequence, under names that start with `layers.`.
pub fn export(engine: &Engine, seq: SeqId, apes: &Apes) -> Result<BTreeMap<String, Rows>, ParityError> {
    let reader = Reader { engine, seq, len: engine.len(seq)? };
    let (config, mut out) = (engine.config(), BTreeMap::new());
    for (i, (block, state)) in config.blocks.iter().zip(&engine.pools().blocks).enumerate() {
        let history = (config.sliding_window - 1).min(reader.len);
        let window = reader.ring(&state.ring, reader.len - history..reader.len)?;
        out.insert(format!("layers.{i}.window_kv"), rows(config.head_dim, window));
        let pairs = [
            ("compressor", &state.open, &state.entries, config.head_dim),
            ("indexer", &state.index_open, &state.keys, config.index_head_dim),
        ];
        for (kind, open, pool, width) in pairs {
            if let (Some(open), Some(pool)) = (open, pool) {
                let name = format!("layers.{i}.{kind}.");
                reader.compressor(&name, block, open, pool, width, apes.get(&name), &mut out)?;
            }
        }
    }
    Ok(out)
}

/// Position biases by the name of their state, `[ratio, halves * width]`.
#[derive(Default)]
pub struct Apes(pub BTreeMap<String, Vec<f32>>);

impl Apes {
    fn get(&self, name: &str) -> &[f32] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

fn rows(width: usize, values: Vec<f32>) -> Rows {
    Rows { row: vec![width], count: values.len() / width, values }
}

impl Reader<'_> {
    /// Rows of a ring of this sequence at the given positions.
    fn ring(&self, ring: &View, positions: std::ops::Range<usize>) -> Result<Vec<f32>, ParityError> {
        let (count, width) = (ring.dim(1), ring.dim(2));
        let slot = floats(ring.dtype, &self.engine.state_row(ring, self.engine.slot(self.seq))?);
        Ok(positions.flat_map(|p| slot[(p % count) * width..(p % count + 1) * width].to_vec()).collect())
    }

    /// Entries 0..count of this sequence.
    fn entries(&self, pool: &View, ratio: usize, count: usize) -> Result<Vec<f32>, ParityError> {
        let (entries, width) = (pool.dim(1), pool.dim(2));
        let mut out = Vec::with_capacity(count * width);
        for (i, &page) in self.engine.pages(self.seq, ratio).iter().enumerate() {
            let rows = floats(pool.dtype, &self.engine.state_row(pool, page as usize)?);
            let here = count.saturating_sub(i * entries).min(entries);
            out.extend_from_slice(&rows[..here * width]);
        }
        Ok(out)
    }

    #[expect(clippy::too_many_arguments, reason = "the tensors of one compressor")]
    fn compressor(
        &self,
        name: &str,
        block: &Block,
        open: &View,
        pool: &View,
        width: usize,
        ape: &[f32],
        out: &mut BTreeMap<String, Rows>,
    ) -> Result<(), ParityError> {
        let (m, halves) = (block.ratio, block.compressor_halves());
        let closed = self.len / m;
        out.insert(format!("{name}compressed_kv"), rows(width, self.entries(pool, m, closed)?));
        // Open rows: each half is kv, then gate with its bias.
        let now = self.ring(open, closed * m..self.len)?;
        let (mut kv, mut gate) = (Vec::new(), Vec::new());
        for (i, row) in now.chunks_exact(2 * halves * width).enumerate() {
            for half in 0..halves {
                kv.extend_from_slice(&row[2 * half * width..(2 * half + 1) * width]);
                let bias = &ape[(i * halves + half) * width..][..width];
                gate.extend(row[(2 * half + 1) * width..][..width].iter().zip(bias).map(|(g, b)| g - b));
            }
        }
        out.insert(format!("{name}buffer_kv"), rows(halves * width, kv));
        out.insert(format!("{name}buffer_gate"), rows(halves * width, gate));
        if block.overlaps() && closed > 0 {
            let before = self.ring(open, (closed - 1) * m..closed * m)?;
            let part = |at: usize| {
                before.chunks_exact(4 * width).flat_map(|row| row[at * width..(at + 1) * width].to_vec()).collect()
            };
            out.insert(format!("{name}overlap_kv"), rows(width, part(0)));
            out.insert(format!("{name}overlap_gate"), rows(width, part(1)));
        }
        Ok(())
    }
}

/// Stored numbers as F32.
pub fn floats(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        DType::BF16 => {
            let widen = |b: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
            bytes.chunks_exact(2).map(widen).collect()
        }
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}
