//! Golden tensors that are not results of any operator, computed from those that are.

use crate::parity::ParityError;
use crate::run::{Rows, Run};
use omnihal_deepseek::config::Config;

fn kept<'a>(run: &'a Run, name: &str) -> Result<&'a Rows, ParityError> {
    run.kept.get(name).ok_or_else(|| ParityError::NotKept(name.to_owned()))
}

/// Scores of every visible entry of every row: `[rows, entries]`, NaN where the row does not see the entry.
pub fn index_scores(run: &Run, layer: &str, entries: usize) -> Result<Rows, ParityError> {
    let all = kept(run, &format!("{layer}attn.index_all"))?;
    let scores = kept(run, &format!("{layer}attn.index_scores"))?;
    let width: usize = all.row.iter().product();
    let mut values = vec![f32::NAN; all.count * entries];
    for (row, (idx, score)) in all.values.chunks_exact(width).zip(scores.values.chunks_exact(width)).enumerate() {
        for (&j, &s) in idx.iter().zip(score).filter(|(j, _)| **j >= 0.0 && (**j as usize) < entries) {
            values[row * entries + j as usize] = s;
        }
    }
    Ok(Rows { row: vec![entries], count: all.count, values })
}

/// Gap between the last kept and the first dropped score of each row; infinite where all visible entries are kept.
pub fn index_margin(scores: &Rows, keep: usize) -> Rows {
    let entries: usize = scores.row.iter().product();
    let margin = |row: &[f32]| {
        let mut seen: Vec<f32> = row.iter().copied().filter(|s| !s.is_nan()).collect();
        seen.sort_by(|a, b| b.total_cmp(a));
        if seen.len() > keep { seen[keep - 1] - seen[keep] } else { f32::INFINITY }
    };
    let values = scores.values.chunks_exact(entries.max(1)).map(margin).collect();
    Rows { row: vec![], count: scores.count, values }
}

/// Attention probabilities `[heads, rows, rows + entries]`: window positions, then entries; the sink's share is left out.
/// Computed in f64 from the rotated queries and keys, the stored entries and the chosen sets.
pub fn probabilities(
    run: &Run,
    config: &Config,
    layer: &str,
    entries: Option<&Rows>,
    ratio: usize,
    sink: &[f32],
) -> Result<Vec<f32>, ParityError> {
    let (q, kv) = (kept(run, &format!("{layer}attn.q"))?, kept(run, &format!("{layer}attn.kv"))?);
    let chosen = run.kept.get(&format!("{layer}attn.index_topk"));
    let (rows, heads, d) = (q.count, config.num_attention_heads, config.head_dim);
    let count = entries.map_or(0, |e| e.count);
    let mut out = vec![0.0; heads * rows * (rows + count)];
    for t in 0..rows {
        let first = (t + 1).saturating_sub(config.sliding_window);
        let mut keys: Vec<(usize, &[f32])> = (first..=t).map(|s| (s, &kv.values[s * d..(s + 1) * d])).collect();
        if let Some(entries) = entries {
            let visible = ((t + 1) / ratio).min(count);
            let picked: Vec<usize> = match chosen {
                Some(idx) => {
                    let width: usize = idx.row.iter().product();
                    let row = &idx.values[t * width..(t + 1) * width];
                    row.iter().filter(|&&j| j >= 0.0).map(|&j| j as usize).collect()
                }
                None => (0..visible).collect(),
            };
            keys.extend(picked.into_iter().map(|j| (rows + j, &entries.values[j * d..(j + 1) * d])));
        }
        for h in 0..heads {
            let query = &q.values[(t * heads + h) * d..][..d];
            let p = softmax_with_sink(query, &keys, sink[h]);
            for ((place, _), p) in keys.iter().zip(p) {
                out[(h * rows + t) * (rows + count) + place] = p;
            }
        }
    }
    Ok(out)
}

fn softmax_with_sink(query: &[f32], keys: &[(usize, &[f32])], sink: f32) -> Vec<f32> {
    let scale = (query.len() as f64).powf(-0.5);
    let dot = |key: &[f32]| query.iter().zip(key).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>() * scale;
    let logits: Vec<f64> = keys.iter().map(|(_, key)| dot(key)).collect();
    let top = logits.iter().copied().fold(sink as f64, f64::max);
    let total = logits.iter().map(|l| (l - top).exp()).sum::<f64>() + (sink as f64 - top).exp();
    logits.iter().map(|l| ((l - top).exp() / total) as f32).collect()
}
