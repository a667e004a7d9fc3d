//! Parity of a whole model.

use crate::compare::{SetRow, set_rows};
use crate::derive;
use crate::golden::{Golden, GoldenError};
use crate::judge::judge;
use crate::report::Report;
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
    pub(crate) config: Option<Config>,
    pub(crate) paths: Vec<(Path, Run)>,
    /// Tokens of the prompt that the decode path feeds at once.
    pub(crate) n0: usize,
    /// Sink logits by layer.
    pub(crate) sinks: BTreeMap<String, Vec<f32>>,
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
pub(crate) fn all_scores(run: &Run, layer: &str) -> Result<Rows, ParityError> {
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
