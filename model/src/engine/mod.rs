//! The engine: a model on a device, with sequences that can be fed in any mixture.
//!
//! A step takes tokens of many sequences, prompt chunks and single tokens alike. Feeding a prompt whole, in chunks, or token by token
//! gives the same state.

mod buckets;
mod options;
mod step;

pub use options::EngineOptions;
pub use step::{Feed, Logits, Want};

use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::graph::{GraphOptions, build, build_mtp};
use crate::load::{Progress, Weights};
use crate::state::{PageCopy, Pools, SeqId, Sequences, StateShape};
use crate::weights::Checkpoint;
use buckets::{Bucket, Buckets};
use omnihal::{Buffer, DType, Device, ErrorKind, MemoryKind, Stream, View};
use omnihal_runtime::{Program, ProgramSpec, transfer};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A model on a device. Not shared between threads: one engine, one stream.
pub struct Engine {
    // Programs wait for their last run when dropped, so they go before the memory they name.
    programs: HashMap<Bucket, Program>,
    arena: Option<Buffer>,
    config: Config,
    weights: Arc<Weights>,
    pools: Pools,
    sequences: Sequences,
    buckets: Buckets,
    options: EngineOptions,
    /// Final residual streams of the last step, for multi-token prediction.
    streams: Option<(Buffer, View)>,
    /// Entries to attend to instead of the indexer's, by block name.
    forced: BTreeMap<String, (Buffer, View)>,
    scratch: step::Scratch,
    copies: Vec<PageCopy>,
    stream: Box<dyn Stream>,
    device: Arc<dyn Device>,
}

impl Engine {
    /// Loads a checkpoint and allocates the state. `progress` hears of every tensor.
    pub fn load(
        device: Arc<dyn Device>,
        checkpoint: &Checkpoint,
        options: EngineOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Engine> {
        options.check(checkpoint.config())?;
        let stream = device.stream()?;
        let weights = Weights::load(&*device, &*stream, checkpoint, options.act, options.positions, progress)?;
        Engine::with_weights(device, stream, checkpoint.config().clone(), Arc::new(weights), options)
    }

    fn with_weights(
        device: Arc<dyn Device>,
        stream: Box<dyn Stream>,
        config: Config,
        weights: Arc<Weights>,
        options: EngineOptions,
    ) -> Result<Engine> {
        let plain = StateShape::new(&config, options.sequences, options.positions, options.act);
        let packed = plain.packed(options.precision).filter(|_| options.packed_rows);
        if let Some(shape) = packed {
            let engine =
                Engine::with_state(&device, device.stream()?, config.clone(), weights.clone(), options.clone(), shape);
            // Whether every operator takes packed rows shows when the first program is placed: nothing decomposes them.
            let placed =
                engine.and_then(|mut engine| engine.program(engine.buckets.of(1, 1, 1, 1, None)).map(|()| engine));
            match placed {
                Err(ModelError::Hal(error)) if error.kind() == ErrorKind::Unsupported => {
                    tracing::info!(%error, "rows are stored plain: the device does not take packed ones");
                }
                placed => return placed,
            }
        }
        Engine::with_state(&device, stream, config, weights, options, plain)
    }

    fn with_state(
        device: &Arc<dyn Device>,
        stream: Box<dyn Stream>,
        config: Config,
        weights: Arc<Weights>,
        options: EngineOptions,
        shape: StateShape,
    ) -> Result<Engine> {
        let device = device.clone();
        let pools = Pools::new(&*device, &*stream, &config, shape.clone(), options.poison)?;
        let streams = match weights.mtp.is_empty() || !options.predict {
            true => None,
            false => {
                let dims = [options.max_rows, config.hc_mult, config.hidden_size];
                let buffer = device.alloc(options.act.bytes(dims.iter().product()), MemoryKind::Device)?;
                let view = View::contiguous(buffer.mem(), options.act, dims)?;
                Some((buffer, view))
            }
        };
        let forced = match options.forced_entries {
            true => forced_tables(&*device, &*stream, &config, &options)?,
            false => BTreeMap::new(),
        };
        Ok(Engine {
            forced,
            programs: HashMap::new(),
            arena: None,
            buckets: Buckets::new(&config, &options),
            sequences: Sequences::new(shape),
            config,
            weights,
            pools,
            options,
            streams,
            scratch: step::Scratch::default(),
            copies: Vec::new(),
            stream,
            device,
        })
    }

    /// The model's config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the engine was opened with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Bytes of weights, of state, and of the arena so far.
    pub fn memory(&self) -> [usize; 3] {
        [self.weights.bytes(), self.pools.bytes(), self.arena.as_ref().map_or(0, Buffer::len)]
    }

    /// The state tensors.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Opens an empty sequence.
    pub fn add(&mut self) -> Result<SeqId> {
        self.sequences.add()
    }

    /// Closes a sequence.
    pub fn remove(&mut self, seq: SeqId) -> Result<()> {
        self.sequences.remove(seq)
    }

    /// The state slot of a sequence.
    pub fn slot(&self, seq: SeqId) -> usize {
        self.sequences.slot(seq)
    }

    /// Positions of a sequence.
    pub fn len(&self, seq: SeqId) -> Result<usize> {
        self.sequences.len(seq)
    }

    /// True if no sequence is open.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Page table of a sequence in the space of a ratio.
    pub fn pages(&self, seq: SeqId, ratio: usize) -> &[i32] {
        self.sequences.pages(seq, self.pools.shape.space_index(ratio))
    }

    /// Takes back the last `tokens` positions, at most 9 under the highest ever written.
    pub fn roll_back(&mut self, seq: SeqId, tokens: usize) -> Result<()> {
        self.sequences.roll_back(seq, tokens)
    }

    /// A sequence with the same past. Pages are shared until one of the two writes them.
    pub fn fork(&mut self, seq: SeqId) -> Result<SeqId> {
        let fork = self.sequences.fork(seq)?;
        let (from, to) = (self.sequences.slot(seq), self.sequences.slot(fork));
        for view in self.pools.blocks.iter().flat_map(|b| b.slot_tensors()).chain([&self.pools.last]) {
            copy_row(&*self.stream, &self.pools.buffers, view, from, to)?;
        }
        Ok(fork)
    }

    /// Copies shared pages that the coming step will write.
    fn copy_pages(&mut self) -> Result<()> {
        for copy in self.copies.drain(..) {
            let ratio = self.pools.shape.spaces[copy.space].ratio;
            let blocks = self.config.blocks.iter().chain(&self.config.mtp).zip(&self.pools.blocks);
            for (_, state) in blocks.filter(|(b, _)| b.ratio == ratio) {
                for view in state.page_tensors() {
                    copy_row(&*self.stream, &self.pools.buffers, view, copy.from as usize, copy.to as usize)?;
                }
            }
        }
        Ok(())
    }

    /// The program of a bucket, built when first met.
    fn program(&mut self, bucket: Bucket) -> Result<()> {
        if self.programs.contains_key(&bucket) {
            return Ok(());
        }
        let step = self.buckets.step(&bucket, &self.config, &self.pools.shape);
        let graph = GraphOptions {
            precision: self.options.precision,
            taps: self.options.taps,
            force_indexer: self.options.force_indexer,
            window_only: self.options.window_only,
            forced: self.forced.iter().map(|(name, (_, view))| (name.clone(), *view)).collect(),
            streams: self.streams.as_ref().map(|(_, view)| *view),
        };
        let recipe = match (bucket.predict, &self.streams) {
            (None, _) => build(&self.config, &self.weights, &self.pools, &step, &graph)?,
            (Some(i), Some((_, view))) => build_mtp(&self.config, &self.weights, &self.pools, &step, &graph, i, view)?,
            (Some(_), None) => {
                return Err(ModelError::refused(
                    "the engine was opened without prediction, or the checkpoint has no prediction block",
                ));
            }
        };
        let mut keep = self.weights.buffers.clone();
        keep.extend(self.pools.buffers.iter().cloned());
        keep.extend(self.streams.iter().chain(self.forced.values()).map(|(buffer, _)| buffer.clone()));
        let spec = ProgramSpec {
            recipe: &recipe,
            step,
            limit: self.options.limit,
            fallback: self.options.fallback.clone(),
            keep,
        };
        let mut program = Program::build(&self.device, &*self.stream, spec)?;
        tracing::debug!(?bucket, calls = program.calls(), arena = program.arena_bytes(), "built a step program");
        match &self.arena {
            Some(arena) if arena.len() >= program.arena_bytes() => program.bind(arena)?,
            _ => {
                let arena = self.device.alloc(program.arena_bytes(), MemoryKind::Device)?;
                self.programs.values_mut().try_for_each(|p| p.bind(&arena))?;
                program.bind(&arena)?;
                self.arena = Some(arena);
            }
        }
        self.programs.insert(bucket, program);
        Ok(())
    }

    /// Sets the entries that the rows of the next step attend to in a block, `index_topk` a row, ascending, -1 at the end. The engine
    /// must have been opened with `forced_entries`.
    pub fn force_entries(&mut self, block: usize, entries: &[i32]) -> Result<()> {
        let Some((buffer, _)) = self.forced.get(&format!("layers.{block}.")) else {
            return Err(ModelError::refused(format!("block {block} takes no forced entries in this engine")));
        };
        let bytes: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
        Ok(transfer::write(&*self.stream, buffer, 0, &bytes)?)
    }

    /// A tensor kept by the last step, as F32 or I32 words.
    pub fn kept(&self, name: &str) -> Result<(Vec<usize>, DType, Vec<u8>)> {
        let (Some(bucket), Some(arena)) = (self.scratch.last, &self.arena) else {
            return Err(ModelError::refused("no step has run yet"));
        };
        let view = self.programs[&bucket].named(name)?;
        let mut bytes = vec![0; view.dtype.bytes(view.elements())];
        transfer::read_view(&*self.stream, arena, &view, &mut bytes)?;
        Ok((view.shape.dims().to_vec(), view.dtype, bytes))
    }

    /// Names of the tensors kept by the last step.
    pub fn kept_names(&self) -> Vec<String> {
        let program = self.scratch.last.and_then(|bucket| self.programs.get(&bucket));
        program.map_or(Vec::new(), |p| p.names().map(str::to_owned).collect())
    }

    /// The bytes of a state tensor's row (a slot or a page).
    pub fn state_row(&self, view: &View, row: usize) -> Result<Vec<u8>> {
        let view = view.slice(0, row, 1)?;
        let mut bytes = vec![0; view.dtype.bytes(view.elements())];
        transfer::read_view(&*self.stream, owner(&self.pools.buffers, &view)?, &view, &mut bytes)?;
        Ok(bytes)
    }

    /// Where the operators of a step of `rows` rows of one sequence run.
    pub fn placement(&mut self, rows: usize) -> Result<&omnihal_runtime::PlacementTable> {
        let bucket = self.buckets.of(rows, 1, 1, rows, None);
        self.program(bucket)?;
        Ok(self.programs[&bucket].placement())
    }

    /// Arithmetic and traffic of a full step of `rows` rows of one sequence at `positions` positions.
    pub fn cost(&mut self, rows: usize, positions: usize) -> Result<(omnihal::Cost, usize)> {
        let bucket = self.buckets.of(rows, 1, 1, positions, None);
        self.program(bucket)?;
        Ok((self.programs[&bucket].cost(), self.programs[&bucket].calls()))
    }
}

/// A table of absent entries for every block with an indexer.
fn forced_tables(
    device: &dyn Device,
    stream: &dyn Stream,
    config: &Config,
    options: &EngineOptions,
) -> Result<BTreeMap<String, (Buffer, View)>> {
    let blocks = config.blocks.iter().enumerate().filter(|(_, b)| b.has_indexer());
    let table = |(i, _)| {
        let dims = [options.max_rows, config.index_topk];
        let buffer = transfer::filled(device, stream, DType::I32.bytes(dims.iter().product()), 0xFF)?;
        let view = View::contiguous(buffer.mem(), DType::I32, dims)?;
        Ok((format!("layers.{i}."), (buffer, view)))
    };
    blocks.map(table).collect()
}

fn owner<'a>(buffers: &'a [Buffer], view: &View) -> Result<&'a Buffer> {
    let owner = buffers.iter().find(|b| b.mem().addr == view.mem.addr);
    owner.ok_or_else(|| ModelError::refused("a tensor of another engine"))
}

fn copy_row(stream: &dyn Stream, buffers: &[Buffer], view: &View, from: usize, to: usize) -> Result<()> {
    let bytes = view.dtype.bytes(view.elements() / view.dim(0));
    Ok(transfer::copy_within(stream, owner(buffers, view)?, to * bytes, from * bytes, bytes)?)
}
