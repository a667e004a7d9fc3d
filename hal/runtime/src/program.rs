//! Programs: a recipe bound to a device, ready to run any number of times.

use crate::arena::ArenaPlan;
use crate::binding::{Binding, Launch, place_constants, plan_arena};
use crate::decompose::{Context, TILE_BYTES};
use crate::lower::lower;
use crate::placement::{PlacementTable, Placer, TierLimit};
use crate::recipe::Recipe;
use omnihal::{
    Buffer, Cost, Device, Error, Event, Graph, Mem, MemoryKind, Result, Sequence, Severity, StepColumns, StepLayout,
    StepShape, Stream, View,
};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a device before its program is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(60);

/// What a program is built from.
pub struct ProgramSpec<'a> {
    /// The calls.
    pub recipe: &'a Recipe,
    /// Capacities of its step.
    pub step: StepShape,
    /// Which operators may run natively.
    pub limit: TierLimit,
    /// Runs what the device cannot, with copies. `None`: nothing falls back.
    pub fallback: Option<Arc<dyn Device>>,
    /// Memory that the recipe's views lie in.
    pub keep: Vec<Buffer>,
}

/// A recipe bound to a device. Running it allocates nothing.
pub struct Program {
    launches: Vec<Launch>,
    columns: StepColumns,
    table: Buffer,
    consts: Buffer,
    arena_bytes: usize,
    arena: Option<Buffer>,
    named: Vec<(String, View)>,
    placement: PlacementTable,
    graph: Option<Box<dyn Graph>>,
    capture_safe: bool,
    done: Box<dyn Event>,
    keep: ManuallyDrop<Vec<Buffer>>,
}

impl Program {
    /// Places, lowers and lays out a recipe, and uploads its constants. The arena is bound later: [`Program::bind`].
    pub fn build(device: &Arc<dyn Device>, stream: &dyn Stream, spec: ProgramSpec<'_>) -> Result<Program> {
        let context = Context { step: &spec.step, tile_bytes: TILE_BYTES, trusted_lists: true };
        let mut placer = Placer::new(&**device, spec.fallback.as_deref(), spec.limit, context);
        let flat = lower(spec.recipe, &mut placer)?;
        let placement = placer.table();
        let align = device.caps().alignment.max(64);
        let layout = StepLayout::new(spec.step.clone(), flat.columns.iter().copied())?;
        let table = device.alloc(layout.bytes(), MemoryKind::Device)?;
        let (consts, const_views) = place_constants(&**device, &flat, align)?;
        let mut binding = Binding {
            flat: &flat,
            arena: ArenaPlan::unplaced(flat.temps.len()),
            layout: &layout,
            table: table.mem(),
            consts: const_views.clone(),
            args: &[],
            workspaces: Vec::new(),
        };
        binding.workspaces = binding.size_workspaces()?;
        binding.arena = plan_arena(&flat, &binding.workspaces, align);
        let launches = binding.launches(spec.fallback.as_ref())?;
        let named = binding.named()?;
        let arena = binding.arena;
        let program = Program {
            capture_safe: launches.iter().all(|l| l.fallback.is_none() && l.plan.capture_safe()),
            launches,
            columns: StepColumns::new(layout),
            table,
            consts,
            arena_bytes: arena.bytes,
            arena: None,
            named,
            placement,
            graph: None,
            done: device.event()?,
            keep: ManuallyDrop::new(spec.keep),
        };
        // From here on the program answers for the upload, whether or not it ever runs.
        let uploaded = flat.consts.iter().zip(&const_views).try_for_each(|(constant, view)| {
            // SAFETY: the program owns the memory and waits for `done` before it lets go of it.
            unsafe { stream.write(view.mem, &constant.bytes) }
        });
        stream.record(&*program.done)?;
        uploaded.map(|()| program)
    }

    /// Bytes of arena that the program needs.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Bytes of the program's own device memory: constants and step table.
    pub fn own_bytes(&self) -> usize {
        self.table.len() + self.consts.len()
    }

    /// Where its operators run.
    pub fn placement(&self) -> &PlacementTable {
        &self.placement
    }

    /// Number of device calls in a run.
    pub fn calls(&self) -> usize {
        self.launches.len()
    }

    /// Arithmetic and traffic of a full run.
    pub fn cost(&self) -> Cost {
        self.launches
            .iter()
            .map(|l| l.plan.cost())
            .fold(Cost::default(), |a, b| Cost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes })
    }

    /// Capacities of the step.
    pub fn step(&self) -> &StepShape {
        self.columns.layout().shape()
    }

    /// Gives the program its arena, of at least [`Program::arena_bytes`]. Programs that never run at the same time may share one.
    pub fn bind(&mut self, arena: &Buffer) -> Result<()> {
        if arena.len() < self.arena_bytes {
            return Err(Error::argument(format!(
                "an arena of {} bytes is too small for a program that needs {}",
                arena.len(),
                self.arena_bytes
            )));
        }
        self.graph = None;
        self.arena = Some(arena.clone());
        for launch in &mut self.launches {
            launch.place(arena.mem());
            if launch.fallback.is_none() {
                let args = launch.args(arena.mem(), usize::MAX);
                launch.bound = launch.plan.bind(&args).map_err(|e| e.with_op(launch.plan.op().kind()))?;
            }
        }
        self.named.iter_mut().for_each(|(_, view)| view.mem = arena.mem());
        Ok(())
    }

    /// A named tensor. Its contents are valid after a run, until the next program that shares the arena runs.
    pub fn named(&self, name: &str) -> Result<View> {
        let found = self.named.iter().find(|(n, _)| n == name).map(|(_, view)| *view);
        found.ok_or_else(|| Error::argument(format!("the program keeps no tensor `{name}`")))
    }

    /// Names of the tensors that it keeps, in the order they were declared.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|(name, _)| name.as_str())
    }

    /// Fills the step table for a batch, uploads it and enqueues the calls.
    pub fn step_with(&mut self, stream: &dyn Stream, seqs: &[Sequence<'_>]) -> Result<()> {
        self.columns.build(seqs)?;
        // SAFETY: the table is owned by the program, which waits for its last run before it lets go of any memory.
        unsafe { stream.write(self.table.mem(), self.columns.bytes())? };
        let rows = seqs.iter().map(|s| s.ids.len()).sum();
        self.run(stream, rows)
    }

    /// Enqueues the calls on the step table as it is. `rows_hint` rows matter.
    pub fn run(&self, stream: &dyn Stream, rows_hint: usize) -> Result<()> {
        let Some(arena) = &self.arena else {
            return Err(Error::argument("the program has no arena yet: bind one before running"));
        };
        let enqueued = match &self.graph {
            // SAFETY: everything that the graph names is owned or kept by the program until `done` has passed.
            Some(graph) => unsafe { stream.launch(&**graph) },
            None => self.enqueue(stream, arena.mem(), rows_hint),
        };
        // Also after a refused call: those before it are on the stream.
        let recorded = stream.record(&*self.done);
        enqueued.and(recorded)
    }

    fn enqueue(&self, stream: &dyn Stream, arena: Mem, rows_hint: usize) -> Result<()> {
        for launch in &self.launches {
            let args = launch.args(arena, rows_hint);
            match &launch.fallback {
                // SAFETY: lowering checked every argument against the operator; memory is kept until `done` has passed.
                None => unsafe { stream.run(&**launch.bound.as_ref().unwrap_or(&launch.plan), &args)? },
                Some(fallback) => fallback.run(stream, &*launch.plan, &args)?,
            }
        }
        Ok(())
    }

    /// True if runs launch a captured graph.
    pub fn is_captured(&self) -> bool {
        self.graph.is_some()
    }

    /// Captures the calls into a device graph, where the device and every plan allow it. Run once before, eagerly. A device that turns a capture down is not asked again: runs
    /// then go on call by call.
    pub fn capture(&mut self, stream: &dyn Stream) -> Result<bool> {
        let Some(arena) = self.arena.as_ref().filter(|_| self.capture_safe).map(Buffer::mem) else { return Ok(false) };
        let captured = stream.begin_capture().and_then(|()| {
            let enqueued = self.enqueue(stream, arena, usize::MAX);
            let graph = stream.end_capture();
            enqueued.and(graph)
        });
        match captured {
            Ok(graph) => self.graph = Some(graph),
            Err(error) if error.severity() == Severity::Rejected => {
                tracing::warn!(%error, "a capture was turned down: steps run call by call");
                self.capture_safe = false;
            }
            Err(error) => return Err(error),
        }
        Ok(self.graph.is_some())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Memory that the device may still use must not be freed: when the wait fails it is leaked instead.
        match self.done.sync(DROP_TIMEOUT) {
            // SAFETY: taken once, here.
            Ok(()) => drop(unsafe { ManuallyDrop::take(&mut self.keep) }),
            Err(error) => {
                tracing::error!(%error, "a program was dropped while its device did not answer: its memory is leaked");
                std::mem::forget((self.table.clone(), self.consts.clone(), self.arena.clone()));
            }
        }
    }
}
