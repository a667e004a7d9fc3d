//! Programs: a recipe bound to a device, ready to run any number of times.

use crate::arena::{self, ArenaPlan, Lifetime};
use crate::decompose::{Context, TILE_BYTES};
use crate::fallback::FallbackCall;
use crate::lower::{Flat, lower};
use crate::placement::{PlacementTable, Placer, TierLimit};
use crate::recipe::{Base, Operand, Recipe};
use omnihal::{
    Args, Buffer, Cost, Device, Error, Event, Graph, Mem, MemoryKind, Op, Plan, Result, Sequence, StepColumns,
    StepLayout, StepShape, Stream, View,
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

struct Launch {
    plan: Arc<dyn Plan>,
    views: Box<[Option<View>]>,
    /// Offset and length of its workspace in the arena.
    workspace: (usize, usize),
    /// Arguments that lie in the arena, one bit each.
    in_arena: u32,
    /// The operator's rows are the step's rows, so a hint about those may shorten it.
    by_row: bool,
    fallback: Option<FallbackCall>,
}

impl Program {
    /// Places, lowers and lays out a recipe, and uploads its constants. The arena is bound later: [`Program::bind`].
    pub fn build(device: &Arc<dyn Device>, stream: &dyn Stream, spec: ProgramSpec<'_>) -> Result<Program> {
        let context = Context { step: &spec.step, tile_bytes: TILE_BYTES };
        let mut placer = Placer::new(&**device, spec.fallback.as_deref(), spec.limit, context);
        let flat = lower(spec.recipe, &mut placer)?;
        let placement = placer.table();
        let align = device.caps().alignment.max(64);
        let layout = StepLayout::new(spec.step.clone(), flat.columns.iter().copied())?;
        let table = device.alloc(layout.bytes(), MemoryKind::Device)?;
        let (consts, const_views) = upload_constants(&**device, stream, &flat, align)?;
        let arena = plan_arena(&flat, align);
        let binding = Binding { flat: &flat, arena: &arena, layout: &layout, table: table.mem(), consts: const_views };
        let launches = binding.launches(spec.fallback.as_ref())?;
        let named = binding.named()?;
        Ok(Program {
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
        })
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
            for (i, view) in launch.views.iter_mut().enumerate() {
                if let Some(view) = view.as_mut().filter(|_| launch.in_arena & (1 << i) != 0) {
                    view.mem = arena.mem();
                }
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
        match &self.graph {
            // SAFETY: everything that the graph names is owned or kept by the program until `done` has passed.
            Some(graph) => unsafe { stream.launch(&**graph)? },
            None => self.enqueue(stream, arena.mem(), rows_hint)?,
        }
        stream.record(&*self.done)
    }

    fn enqueue(&self, stream: &dyn Stream, arena: Mem, rows_hint: usize) -> Result<()> {
        for launch in &self.launches {
            let (offset, len) = launch.workspace;
            let workspace = Mem { addr: arena.addr + offset as u64, len };
            let rows_hint = if launch.by_row { rows_hint } else { usize::MAX };
            let args = Args { views: &launch.views, workspace, rows_hint };
            match &launch.fallback {
                // SAFETY: lowering checked every argument against the operator; memory is kept until `done` has passed.
                None => unsafe { stream.run(&*launch.plan, &args)? },
                Some(fallback) => fallback.run(stream, &*launch.plan, &args)?,
            }
        }
        Ok(())
    }

    /// Captures the calls into a device graph, where the device and every plan allow it. Run once before, eagerly.
    pub fn capture(&mut self, stream: &dyn Stream) -> Result<bool> {
        let Some(arena) = self.arena.as_ref().filter(|_| self.capture_safe).map(Buffer::mem) else { return Ok(false) };
        if stream.begin_capture().is_err() {
            return Ok(false);
        }
        let enqueued = self.enqueue(stream, arena, usize::MAX);
        let graph = stream.end_capture();
        enqueued?;
        self.graph = Some(graph?);
        Ok(true)
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

/// One buffer for all constants, and a view of each.
fn upload_constants(
    device: &dyn Device,
    stream: &dyn Stream,
    flat: &Flat,
    align: usize,
) -> Result<(Buffer, Vec<View>)> {
    let total = flat.consts.iter().map(|c| c.bytes.len().next_multiple_of(align)).sum::<usize>().max(align);
    let buffer = device.alloc(total, MemoryKind::Device)?;
    let (mut views, mut offset) = (Vec::with_capacity(flat.consts.len()), 0);
    for constant in &flat.consts {
        let mem = buffer.mem().slice(offset, constant.bytes.len())?;
        // SAFETY: the buffer is owned by the program that is being built.
        unsafe { stream.write(mem, &constant.bytes)? };
        views.push(View::contiguous(mem, constant.dtype, constant.shape)?);
        offset += constant.bytes.len().next_multiple_of(align);
    }
    Ok((buffer, views))
}

/// Temps first, then one workspace for each call.
fn plan_arena(flat: &Flat, align: usize) -> ArenaPlan {
    let end = flat.calls.len();
    let mut lives: Vec<Lifetime> = flat
        .temps
        .iter()
        .map(|t| Lifetime { bytes: t.dtype.bytes(t.shape.elements()), first: usize::MAX, last: 0 })
        .collect();
    for (i, call) in flat.calls.iter().enumerate() {
        for arg in call.args.iter().flatten() {
            if let Base::Temp(t) = arg.base {
                lives[t].first = lives[t].first.min(i);
                lives[t].last = lives[t].last.max(i);
            }
        }
    }
    for (life, temp) in lives.iter_mut().zip(&flat.temps) {
        match () {
            // Read by the host after the run: nothing may take its place.
            () if temp.name.is_some() => (life.first, life.last) = (0, end),
            () if life.first == usize::MAX => *life = Lifetime { bytes: 0, first: 0, last: 0 },
            () => {}
        }
    }
    lives.extend(flat.calls.iter().enumerate().map(|(i, call)| Lifetime {
        bytes: call.plan.workspace(),
        first: i,
        last: i,
    }));
    arena::plan(&lives, align)
}

/// The rows of an operator that works row by row. Operators on other axes, and rows that are not the step's, take no hint.
fn step_rows(op: &Op) -> Option<usize> {
    Some(match op {
        Op::EmbedLookup(d) => d.rows,
        Op::NormRms(d) => d.rows,
        Op::GemmLinear(d) => d.rows,
        Op::QuantQdq(d) => d.rows,
        Op::RopeApply(d) => d.rows,
        Op::EmbedIds(d) => d.rows,
        Op::HyperPre(d) => d.rows,
        Op::HyperSinkhorn(d) => d.rows,
        Op::HyperPost(d) => d.rows,
        Op::CompressUpdate(d) => d.rows,
        Op::IndexerQuery(d) => d.rows,
        Op::IndexerSelect(d) => d.rows,
        Op::AttentionLatent(d) => d.rows,
        Op::AttentionQuery(d) => d.rows,
        Op::AttentionSparse(d) => d.rows,
        Op::CacheStore(d) => d.rows,
        Op::MoeRoute(d) => d.rows,
        Op::MoeMlp(d) => d.rows,
        Op::MoeExperts(d) => d.rows,
        _ => return None,
    })
}

struct Binding<'a> {
    flat: &'a Flat,
    arena: &'a ArenaPlan,
    layout: &'a StepLayout,
    table: Mem,
    consts: Vec<View>,
}

impl Binding<'_> {
    fn launches(&self, fallback: Option<&Arc<dyn Device>>) -> Result<Vec<Launch>> {
        let temps = self.flat.temps.len();
        let launch = |(i, call): (usize, &crate::lower::FlatCall)| {
            let views = call.args.iter().map(|a| a.as_ref().map(|a| self.view(a)).transpose());
            let views = views.collect::<Result<Box<[_]>>>().map_err(|e| e.with_op(call.plan.op().kind()))?;
            let in_arena = call.args.iter().enumerate().filter_map(|(i, a)| match a.as_ref()?.base {
                Base::Temp(_) => Some(1u32 << i),
                _ => None,
            });
            Ok(Launch {
                plan: call.plan.clone(),
                workspace: (self.arena.offsets[temps + i], call.plan.workspace()),
                in_arena: in_arena.sum(),
                by_row: step_rows(call.plan.op()) == Some(self.layout.shape().rows),
                fallback: match fallback.filter(|_| call.fallback) {
                    Some(device) => Some(FallbackCall::new(device, call.plan.op(), &views)?),
                    None => None,
                },
                views,
            })
        };
        self.flat.calls.iter().enumerate().map(launch).collect()
    }

    fn named(&self) -> Result<Vec<(String, View)>> {
        let named = self.flat.temps.iter().enumerate().filter_map(|(i, t)| Some((i, t.name.clone()?)));
        named.map(|(i, name)| Ok((name, self.temp(i)?))).collect()
    }

    fn temp(&self, i: usize) -> Result<View> {
        let temp = &self.flat.temps[i];
        let mut view = View::contiguous(Mem { addr: 0, len: usize::MAX / 2 }, temp.dtype, temp.shape)?;
        view.offset = self.arena.offsets[i];
        view.mem.len = self.arena.bytes;
        view.check_bounds()?;
        Ok(view)
    }

    fn view(&self, operand: &Operand) -> Result<View> {
        let whole = match &operand.base {
            Base::Temp(i) => self.temp(*i)?,
            Base::Const(i) => self.consts[*i],
            Base::Column(column) => self.layout.view(*column, self.table)?,
            Base::View(view) => **view,
            Base::Arg(i) => return Err(Error::argument(format!("the outermost recipe has no argument {i}"))),
        };
        operand.reshapes.iter().try_fold(whole, |view, reshape| reshape.apply(&view))
    }
}
