//! Parity of a whole model.

use crate::compare::{SetRow, limit, max_abs, misshapen, real, result, set_rows, sets};
use crate::derive;
use crate::golden::{Golden, GoldenError, Tensor, Values};
use crate::report::{Report, TensorResult};
use crate::run::{self, Forced, Rows, Run};
use crate::state::{self, Apes};
use omnihal::{DType, Device};
use omnihal_deepseek::config::{Config, Precision};
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::weights::{Checkpoint, WeightError};
use omnihal_runtime::TierLimit;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parity could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// The golden file cannot be used.
    #[error(transparent)]
    Golden(#[from] GoldenError),
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The device failed.
    #[error(transparent)]
    Hal(#[from] omnihal::Error),
    /// A derived tensor needs one that the run did not keep.
    #[error("the run kept no tensor {0}")]
    NotKept(String),
    /// The golden file does not fit the model.
    #[error("{0}")]
    Input(String),
}

/// How the prompt is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// All at once.
    Prefill,
    /// The first part at once, then token by token.
    Decode,
    /// In the odd chunks that the golden file names.
    Chunks,
}

impl Path {
    /// Every path.
    pub const ALL: [Path; 3] = [Path::Prefill, Path::Decode, Path::Chunks];
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct ParityOptions {
    /// Paths to run.
    pub paths: Vec<Path>,
    /// Which operators may run natively.
    pub limit: TierLimit,
    /// Where values are rounded.
    pub precision: Precision,
}

/// What runs along one or more paths produced, by golden name.
#[derive(Default)]
pub struct Observations {
    config: Option<Config>,
    paths: Vec<(Path, Run)>,
    n0: usize,
    sinks: BTreeMap<String, Vec<f32>>,
}

/// Runs a model on a device and compares everything with a golden file.
pub fn parity(
    device: &Arc<dyn Device>,
    checkpoint: &Checkpoint,
    golden: &Golden,
    options: &ParityOptions,
) -> Result<Report, ParityError> {
    let observations = observe(device, checkpoint, golden, options)?;
    judge(&observations, golden, options.precision)
}

/// Runs the model along the paths.
pub fn observe(
    device: &Arc<dyn Device>,
    checkpoint: &Checkpoint,
    golden: &Golden,
    options: &ParityOptions,
) -> Result<Observations, ParityError> {
    let config = checkpoint.config();
    let ids = input_ids(golden, config)?;
    let total = ids.len();
    let decoded = golden.real("decode_logits").map_or(0, |(shape, _)| shape[0]);
    let n0 = total
        .checked_sub(decoded)
        .ok_or_else(|| ParityError::Input("decode_logits is longer than the prompt".into()))?;
    let chunks = golden.int("chunk_sizes").map_or(vec![total as i64], |(_, sizes)| sizes.to_vec());
    if chunks.iter().sum::<i64>() != total as i64 || chunks.iter().any(|&c| c < 1) {
        return Err(ParityError::Input(format!("chunk_sizes {chunks:?} do not add up to {total} tokens")));
    }
    let mut engine = open(device, checkpoint, total, options, false)?;
    let apes = apes(checkpoint, config)?;
    let mut observed =
        Observations { config: Some(config.clone()), n0, sinks: sinks(checkpoint, config)?, paths: vec![] };
    for &path in &options.paths {
        let lengths = run::steps(path, total, n0, &chunks);
        let predicts = golden.tensors.contains_key("mtp.next_ids") && path == Path::Prefill;
        let feed = |engine: &mut Engine, forced: &Forced| {
            run::feed(engine, &ids, &lengths, forced, |engine, seq, at, run| {
                let moments = [(at == n0, "state_after_n0."), (at == total, "state_after_T.")];
                for (_, prefix) in moments.iter().filter(|(now, _)| *now) {
                    let state = state::export(engine, seq, &apes)?;
                    run.state.extend(state.into_iter().map(|(name, rows)| (format!("{prefix}{name}"), rows)));
                }
                if at == total && predicts {
                    predict(engine, seq, golden, run)?;
                }
                Ok(())
            })
        };
        let mut run = feed(&mut engine, &Forced::new())?;
        // Where scores tie exactly the oracle's choice is as good as ours, but what follows from it differs: follow the oracle's.
        if let Some(forced) = broken_ties(&run, golden, config, options.precision)? {
            let mut engine = open(device, checkpoint, total, options, true)?;
            run = feed(&mut engine, &forced)?;
        }
        observed.paths.push((path, run));
    }
    Ok(observed)
}

/// The oracle's chosen entries of every block with an indexer, if it broke at least one tie the other way.
fn broken_ties(
    run: &Run,
    golden: &Golden,
    config: &Config,
    precision: Precision,
) -> Result<Option<Forced>, ParityError> {
    let prefix = if precision == Precision::Plain { "prefill".to_owned() } else { precision.to_string() };
    let (mut forced, mut any) = (Forced::new(), false);
    for (i, _) in config.blocks.iter().enumerate().filter(|(_, b)| b.has_indexer()) {
        let layer = format!("layers.{i}.");
        let name = format!("{prefix}.{layer}attn.index_topk");
        let Ok((shape, values)) = golden.int(&name) else { return Ok(None) };
        let Some(found) = run.kept.get(&format!("{layer}attn.index_topk")) else { return Ok(None) };
        let scores = all_scores(run, &layer)?;
        let rows = set_rows(found, &golden.tensors[&name], Some(&scores)).unwrap_or_default();
        any |= rows.contains(&SetRow::Tied);
        let mut table = Vec::with_capacity(shape[0] * config.index_topk);
        for row in values.chunks_exact(shape[1].max(1)) {
            let mut row: Vec<i32> = row.iter().filter(|&&j| j >= 0).map(|&j| j as i32).collect();
            row.sort_unstable();
            row.resize(config.index_topk, -1);
            table.extend(row);
        }
        forced.insert(i, table);
    }
    Ok(any.then_some(forced))
}

/// Scores of every entry that exists at the end of the prompt.
fn all_scores(run: &Run, layer: &str) -> Result<Rows, ParityError> {
    let name = format!("state_after_T.{layer}indexer.compressed_kv");
    let count = run.state.get(&name).ok_or(ParityError::NotKept(name))?.count;
    derive::index_scores(run, layer, count)
}

fn input_ids(golden: &Golden, config: &Config) -> Result<Vec<u32>, ParityError> {
    let (_, ids) = golden.int("input_ids")?;
    let id = |&id: &i64| u32::try_from(id).ok().filter(|&id| (id as usize) < config.vocab_size);
    let ids: Option<Vec<u32>> = ids.iter().map(id).collect();
    let ids = ids.filter(|ids| !ids.is_empty());
    ids.ok_or_else(|| ParityError::Input(format!("input_ids must be tokens below {}", config.vocab_size)))
}

fn open(
    device: &Arc<dyn Device>,
    checkpoint: &Checkpoint,
    total: usize,
    options: &ParityOptions,
    forced: bool,
) -> Result<Engine, ParityError> {
    let mut engine = EngineOptions::new(checkpoint.config(), total.max(2));
    engine.act = DType::F32;
    engine.precision = options.precision;
    engine.limit = options.limit;
    engine.max_rows = total;
    engine.predict = true;
    engine.force_indexer = true;
    engine.forced_entries = forced;
    engine.taps = true;
    engine.poison = true;
    Ok(Engine::load(device.clone(), checkpoint, engine, &mut |_| {})?)
}

fn host_f32(checkpoint: &Checkpoint, name: &str) -> Result<Vec<f32>, ParityError> {
    let tensor = checkpoint.tensor(name)?;
    Ok(state::floats(tensor.dtype, tensor.read_checked()?))
}

fn apes(checkpoint: &Checkpoint, config: &Config) -> Result<Apes, ParityError> {
    let mut apes = Apes::default();
    for (i, block) in config.blocks.iter().enumerate().filter(|(_, b)| b.ratio > 0) {
        let name = format!("layers.{i}.compressor.");
        apes.0.insert(name, host_f32(checkpoint, &format!("layers.{i}.attn.compressor.ape"))?);
        if block.has_indexer() {
            let name = format!("layers.{i}.indexer.");
            apes.0.insert(name, host_f32(checkpoint, &format!("layers.{i}.attn.indexer.compressor.ape"))?);
        }
    }
    Ok(apes)
}

fn sinks(checkpoint: &Checkpoint, config: &Config) -> Result<BTreeMap<String, Vec<f32>>, ParityError> {
    let sink = |i: usize| Ok((format!("layers.{i}."), host_f32(checkpoint, &format!("layers.{i}.attn.attn_sink"))?));
    (0..config.blocks.len()).map(sink).collect()
}

/// A prediction pass over the rows of the prompt that have a next token.
fn predict(
    engine: &mut Engine,
    seq: omnihal_deepseek::state::SeqId,
    golden: &Golden,
    run: &mut Run,
) -> Result<(), ParityError> {
    let (_, next) = golden.int("mtp.next_ids")?;
    let tokens: Vec<u32> = next.iter().map(|&id| id.max(0) as u32).collect();
    let logits = engine.predict(0, &[Feed { seq, tokens: &tokens, want: Want::All }], &[0])?;
    let (count, width) = (logits.len(), logits.values().len() / logits.len().max(1));
    run::append(run, "mtp.logits", vec![width], count, logits.values());
    run::keep(engine, run, tokens.len())
}

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
