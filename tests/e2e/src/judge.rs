//! Judging observations: every golden tensor against what the runs produced, in graph order.

use crate::compare::{limit, max_abs, misshapen, real, result, sets};
use crate::derive;
use crate::golden::{Golden, Tensor, Values};
use crate::parity::{Observations, ParityError, Path, all_scores};
use crate::report::{Report, TensorResult};
use crate::run::{Rows, Run};
use omnihal_deepseek::config::Precision;

/// Golden names that are inputs of the comparison: nothing can be compared with them.
const INPUTS: [&str; 2] = ["input_ids", "chunk_sizes"];

/// Compares observations with a golden file: plain goldens, or those of one rounding mode.
pub fn judge(observed: &Observations, golden: &Golden, precision: Precision) -> Result<Report, ParityError> {
    let mode = format!("{precision}.");
    let rounded = |name: &str| Precision::ALL.iter().any(|p| name.starts_with(&format!("{p}.")));
    let wanted = |name: &&String| match precision {
        Precision::Plain => !rounded(name) && !INPUTS.contains(&name.as_str()),
        _ => name.starts_with(&mode),
    };
    let mut names: Vec<&String> = golden.tensors.keys().filter(wanted).collect();
    names.sort_by_key(|name| graph_order(name));
    let mut results = Vec::new();
    for name in &names {
        let plain = name.strip_prefix(&mode).map_or(name.to_string(), |rest| match rest {
            "logits" => rest.to_owned(),
            rest => format!("prefill.{rest}"),
        });
        let tensor = &golden.tensors[*name];
        let mut worst: Option<TensorResult> = None;
        for (path, run) in &observed.paths {
            let found = observed.compare(*path, run, name, &plain, tensor, golden)?;
            // A difference is never NaN: one that cannot be measured is infinite.
            worst = worst.into_iter().chain(found).max_by(|a, b| a.max_abs.total_cmp(&b.max_abs));
        }
        results.extend(worst);
    }
    Ok(Report::new(results, names.len()))
}

impl Observations {
    /// Compares one golden tensor with one run; `None` if this path has nothing to compare with it.
    fn compare(
        &self,
        path: Path,
        run: &Run,
        name: &str,
        plain: &str,
        tensor: &Tensor,
        golden: &Golden,
    ) -> Result<Option<TensorResult>, ParityError> {
        if let Some(rest) = plain.strip_prefix("prefill.") {
            return self.compare_step(run, name, rest, tensor, golden).map(Some);
        }
        if name.starts_with("state_after_") {
            return Ok(run.state.get(name).map(|rows| real(name, rows, tensor)));
        }
        Ok(match plain {
            "decode_logits" if path == Path::Decode => {
                let logits = &run.kept["logits"];
                let width: usize = logits.row.iter().product();
                let values = logits.values[self.n0 * width..].to_vec();
                let rows = Rows { row: vec![width], count: logits.count - self.n0, values };
                Some(real(name, &rows, tensor))
            }
            "mtp.next_ids" => Some(next_ids(name, tensor, golden)),
            "logits" | "mtp.logits" | "mtp.out" | "mtp.mix" => run.kept.get(plain).map(|rows| real(name, rows, tensor)),
            _ => None,
        })
    }

    /// Compares a tensor that the steps kept, or one derived from such.
    fn compare_step(
        &self,
        run: &Run,
        name: &str,
        rest: &str,
        tensor: &Tensor,
        golden: &Golden,
    ) -> Result<TensorResult, ParityError> {
        let Some(config) = &self.config else { return Ok(misshapen(name)) };
        let layer = layer_of(rest);
        let leaf = rest.strip_prefix(layer.as_str()).unwrap_or(rest);
        let entries = |kind: &str| run.state.get(&format!("state_after_T.{layer}{kind}.compressed_kv"));
        let missing = || ParityError::NotKept(rest.to_owned());
        Ok(match leaf {
            "attn.compressed_kv" => real(name, entries("compressor").ok_or_else(missing)?, tensor),
            "attn.index_keys" => real(name, entries("indexer").ok_or_else(missing)?, tensor),
            "attn.index_scores" | "attn.index_margin" => {
                let Values::Real(values) = &tensor.values else { return Ok(misshapen(name)) };
                let scores = all_scores(run, &layer)?;
                let found = match leaf {
                    "attn.index_margin" => derive::index_margin(&scores, config.index_topk),
                    _ => scores,
                };
                // Scores of entries that a row does not see are no result of the model.
                let pairs = found.values.iter().zip(values).filter(|(f, _)| !f.is_nan());
                let (found_seen, golden_seen): (Vec<f32>, Vec<f32>) = pairs.unzip();
                match found.values.len() == values.len() {
                    true => result(name, max_abs(found_seen, &golden_seen), limit(name)),
                    false => misshapen(name),
                }
            }
            "attn.probs" => {
                let Values::Real(values) = &tensor.values else { return Ok(misshapen(name)) };
                let index: usize = layer.split('.').nth(1).and_then(|i| i.parse().ok()).ok_or_else(missing)?;
                let ratio = config.blocks[index].ratio;
                let found =
                    derive::probabilities(run, config, &layer, entries("compressor"), ratio, &self.sinks[&layer])?;
                match found.len() == values.len() {
                    true => result(name, max_abs(found, values), limit(name)),
                    false => misshapen(name),
                }
            }
            "attn.index_topk" => {
                sets(name, run.kept.get(rest).ok_or_else(missing)?, tensor, Some(&all_scores(run, &layer)?))
            }
            "ffn.router_indices" => sets(name, run.kept.get(rest).ok_or_else(missing)?, tensor, None),
            "ffn.router_weights" => self.router_weights(run, name, &layer, tensor, golden)?,
            "attn.q_prerope" => {
                let rows = run.kept.get(rest).ok_or_else(missing)?;
                real(name, &heads_first(rows), tensor)
            }
            _ => real(name, run.kept.get(rest).ok_or_else(missing)?, tensor),
        })
    }

    /// Router weights by expert: the order of a row's experts is free.
    fn router_weights(
        &self,
        run: &Run,
        name: &str,
        layer: &str,
        tensor: &Tensor,
        golden: &Golden,
    ) -> Result<TensorResult, ParityError> {
        let kept = |leaf: &str| {
            let name = format!("{layer}ffn.{leaf}");
            run.kept.get(&name).ok_or(ParityError::NotKept(name))
        };
        let (weights, idx) = (kept("router_weights")?, kept("router_indices")?);
        let (_, chosen) = golden.int(&format!("prefill.{layer}ffn.router_indices"))?;
        let width: usize = weights.row.iter().product();
        let Values::Real(values) = &tensor.values else { return Ok(misshapen(name)) };
        if values.len() != weights.values.len() || chosen.len() != values.len() {
            return Ok(misshapen(name));
        }
        // Each golden expert's weight in the run; one that the run did not choose has none, and differs without bound.
        let found = chosen.iter().enumerate().map(|(i, &expert)| {
            let row = i / width * width..(i / width + 1) * width;
            let place = idx.values[row.clone()].iter().position(|&e| e as i64 == expert);
            place.map_or(f32::NAN, |p| weights.values[row.start + p])
        });
        Ok(result(name, max_abs(found, values), limit(name)))
    }
}

fn next_ids(name: &str, tensor: &Tensor, golden: &Golden) -> TensorResult {
    let Ok((_, ids)) = golden.int("input_ids") else { return misshapen(name) };
    let Values::Int(next) = &tensor.values else { return misshapen(name) };
    let differing = next.iter().zip(&ids[1..]).filter(|(a, b)| a != b).count();
    result(name, differing as f64 + (next.len() + 1).abs_diff(ids.len()) as f64, 0.0)
}

fn heads_first(rows: &Rows) -> Rows {
    let (heads, d) = (rows.row[0], rows.row[1]);
    let mut values = Vec::with_capacity(rows.values.len());
    for h in 0..heads {
        for t in 0..rows.count {
            values.extend_from_slice(&rows.values[(t * heads + h) * d..][..d]);
        }
    }
    Rows { row: vec![rows.count, d], count: heads, values }
}

/// `layers.N.` of a name, or nothing.
fn layer_of(name: &str) -> String {
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some("layers"), Some(number)) => format!("layers.{number}."),
        _ => String::new(),
    }
}

/// Leaves of a layer in the order in which the graph makes them.
const STAGES: [&str; 30] = [
    "attn_hc.collapsed",
    "attn_hc.post",
    "attn_hc.comb",
    "attn.in",
    "attn.q_latent",
    "attn.kv_prerope",
    "attn.q_prerope",
    "attn.compressed_kv",
    "attn.index_keys",
    "attn.index_q",
    "attn.index_scores",
    "attn.index_margin",
    "attn.index_topk",
    "attn.probs",
    "attn.o_groups_in",
    "attn.o_lora",
    "attn.out",
    "window_kv",
    "ffn_hc.collapsed",
    "ffn_hc.post",
    "ffn_hc.comb",
    "ffn.in",
    "ffn.router_logits",
    "ffn.router_indices",
    "ffn.router_weights",
    "ffn.shared",
    "ffn.routed",
    "ffn.out",
    "out",
    "state",
];

/// Sorts names as the graph makes them: by layer, then by stage, then head, then prediction.
fn graph_order(name: &str) -> (usize, usize, String) {
    let rest = ["prefill.", "state_after_n0.", "state_after_T.", "qat_kv.", "qat_kv_idx.", "qat_all."]
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name);
    let layer = layer_of(rest);
    if let Some(number) = layer.split('.').nth(1).and_then(|n| n.parse::<usize>().ok()) {
        let leaf = &rest[layer.len()..];
        let stage = STAGES.iter().position(|s| *s == leaf).unwrap_or(STAGES.len() - 1);
        return (number, stage, name.to_owned());
    }
    let tail = ["head.collapsed", "head.normed", "logits", "decode_logits", "mtp.next_ids", "mtp.mix", "mtp.out"];
    let stage = tail.iter().position(|t| *t == rest).unwrap_or(tail.len());
    (usize::MAX, stage, name.to_owned())
}
