//! Composition: a device that runs, out of its own smaller operators, what it does not have.
//!
//! A program composes by itself; this layer is for whoever plans operators one by one, such as the conformance kit.

use super::layer::{At, Call, Hook, LayerDevice};
use crate::arena::ArenaPlan;
use crate::binding::{Binding, Launch, place_constants, plan_arena, step_rows};
use crate::decompose::{Context, TILE_BYTES};
use crate::lower::{Flat, lower_op};
use crate::placement::{Place, Placer, TierLimit};
use omnihal::op::copy::Copy;
use omnihal::op::{ArgType, Role};
use omnihal::{
    Accumulation, Args, Buffer, Column, Cost, Determinism, Device, Error, Mem, Op, Plan, Quant, Result, Shape,
    StepLayout, StepShape, Stream, Support, View, WeightFormat,
};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the upload of a plan's constants.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Wraps a device so that it also plans operators that have a decomposition into operators it has, for steps of the given capacities.
/// `limit` says whether it uses the fused operators that it has itself.
///
/// A composed plan owns its constants: keep it until the stream has passed its runs. It enqueues several calls; run it as bound
/// ([`Plan::bind`]), since otherwise each run lays out its calls anew.
pub fn compose(device: Arc<dyn Device>, limit: TierLimit, step: StepShape) -> Arc<dyn Device> {
    LayerDevice::wrap(device, Arc::new(Compose { limit, step }))
}

struct Compose {
    limit: TierLimit,
    step: StepShape,
}

impl Compose {
    fn place(&self, device: &dyn Device, op: &Op) -> Result<(Place, Option<Flat>)> {
        let context = Context { step: &self.step, tile_bytes: TILE_BYTES, trusted_lists: false };
        let mut placer = Placer::new(device, None, self.limit, context);
        let place = placer.place(op)?;
        let flat = match &place {
            Place::Composed(recipe) => Some(lower_op(op, recipe, &mut placer)?),
            _ => None,
        };
        Ok((place, flat))
    }
}

impl Hook for Compose {
    type Stream = ();
    type Event = ();

    fn stream(&self) {}

    fn supports(&self, device: &dyn Device, op: &Op) -> Support {
        match self.place(device, op) {
            Ok((_, Some(flat))) => Support::Emulated(format!("composed of {} device calls", flat.calls.len())),
            Ok(_) => device.supports(op),
            Err(error) => Support::No(error.to_string()),
        }
    }

    fn plan(&self, device: &dyn Device, op: &Op) -> Result<Arc<dyn Plan>> {
        match self.place(device, op)? {
            (_, Some(flat)) => Ok(Arc::new(Composed::new(device, op, &self.step, flat)?)),
            _ => device.plan(op),
        }
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        let Call::Run { plan, args } = call else { return go() };
        match (&*plan.inner as &dyn Any).downcast_ref::<Composed>() {
            Some(composed) => composed.enqueue(at.inner, args),
            None => go(),
        }
    }
}

/// A lowered decomposition, and once it is bound its calls at their addresses.
struct Composed {
    parts: Arc<Parts>,
    launches: Option<Vec<Launch>>,
}

struct Parts {
    op: Op,
    flat: Flat,
    columns: Vec<Column>,
    layout: StepLayout,
    consts: Vec<View>,
    align: usize,
    /// For each argument: how it is copied, if the calls need it in one piece.
    staging: Vec<Option<Staging>>,
    _memory: Buffer,
}

/// A copy of one argument, for calls that join axes of it which may lie apart.
struct Staging {
    plan: Arc<dyn Plan>,
    role: Role,
}

impl Parts {
    /// The calls for arguments that lie as these do: those that lie apart and must not are copied before or after.
    fn laid_out(&self, args: &[Option<View>]) -> Flat {
        let mut flat = self.flat.clone();
        for (i, (view, staging)) in args.iter().zip(&self.staging).enumerate() {
            if let (Some(view), Some(staging)) = (view, staging)
                && !view.is_contiguous()
            {
                flat.stage(i, view, &staging.plan, staging.role);
            }
        }
        flat
    }
}

impl Composed {
    fn new(device: &dyn Device, op: &Op, step: &StepShape, mut flat: Flat) -> Result<Composed> {
        // The step's columns come after the operator's own arguments, in the order in which the plan asks for them.
        let columns: Vec<Column> = flat.columns.iter().copied().collect();
        flat.columns_as_arguments(&columns, op.arg_types().len());
        let stream = device.stream()?;
        let align = device.caps().alignment;
        let (memory, consts) = place_constants(device, &flat, align.max(64))?;
        let uploaded = flat.consts.iter().zip(&consts).try_for_each(|(constant, view)| {
            // SAFETY: the memory outlives the wait below.
            unsafe { stream.write(view.mem, &constant.bytes) }
        });
        uploaded.and(stream.sync(UPLOAD_TIMEOUT))?;
        let layout = StepLayout::new(step.clone(), columns.iter().copied())?;
        let staging = staging(device, op, &flat)?;
        let parts = Parts { op: *op, flat, columns, layout, consts, align, staging, _memory: memory };
        Ok(Composed { parts: Arc::new(parts), launches: None })
    }

    /// The calls with their places in the workspace.
    fn binding<'a>(&'a self, flat: &'a Flat, args: &'a [Option<View>]) -> Result<Binding<'a>> {
        let (layout, consts) = (&self.parts.layout, self.parts.consts.clone());
        let arena = ArenaPlan::unplaced(flat.temps.len());
        let mut binding = Binding { flat, arena, layout, table: Mem::default(), consts, args, workspaces: Vec::new() };
        binding.workspaces = binding.size_workspaces()?;
        binding.arena = plan_arena(flat, &binding.workspaces, self.parts.align);
        Ok(binding)
    }

    fn arena_bytes(&self, args: &[Option<View>]) -> Result<usize> {
        Ok(self.binding(&self.parts.laid_out(args), args)?.arena.bytes)
    }

    /// The calls for arguments at their addresses; `prepared` as the device below wants them, which must then stay alive until they have run.
    fn launches(&self, args: &Args<'_>, prepared: bool) -> Result<Vec<Launch>> {
        let flat = self.parts.laid_out(args.views);
        let binding = self.binding(&flat, args.views)?;
        if args.workspace.len < binding.arena.bytes {
            let text = format!("a workspace of {} bytes, where {} are needed", args.workspace.len, binding.arena.bytes);
            return Err(Error::argument(text).with_op(self.parts.op.kind()));
        }
        let mut launches = binding.launches(None)?;
        for launch in &mut launches {
            launch.place(args.workspace);
            if prepared {
                launch.bound = launch.plan.bind(&launch.args(args.workspace, usize::MAX))?;
            }
        }
        Ok(launches)
    }

    fn enqueue(&self, stream: &dyn Stream, args: &Args<'_>) -> Result<()> {
        let fresh;
        let launches = match &self.launches {
            Some(launches) => launches,
            None => {
                fresh = self.launches(args, false)?;
                &fresh
            }
        };
        let hint = if step_rows(&self.parts.op).is_some() { args.rows_hint } else { usize::MAX };
        for launch in launches {
            let plan = launch.bound.as_ref().unwrap_or(&launch.plan);
            // SAFETY: lowering checked every argument against its operator; the caller keeps the memory of the arguments, the plan its constants.
            unsafe { stream.run(&**plan, &launch.args(args.workspace, hint))? };
        }
        Ok(())
    }

    /// Contiguous arguments without an address: what a size may be told by.
    fn plain_arguments(&self) -> Result<Vec<Option<View>>> {
        let nowhere = Mem { addr: 0, len: usize::MAX / 2 };
        let own = self.parts.op.arg_types().into_iter();
        let own = own.map(|t| t.present.then(|| plain_view(nowhere, t.format, t.shape)).transpose());
        let columns = self.parts.columns.iter().map(|&column| {
            let (dtype, shape) = self.parts.layout.shape().column(column)?;
            View::contiguous(nowhere, dtype, shape).map(Some)
        });
        own.chain(columns).collect()
    }
}

/// Plans a copy for every argument of which some call joins axes.
fn staging(device: &dyn Device, op: &Op, flat: &Flat) -> Result<Vec<Option<Staging>>> {
    let plan = |(i, arg): (usize, ArgType)| {
        let plain = matches!(arg.format, WeightFormat::Plain(_));
        if !arg.present || !plain || !flat.joins_axes_of(i) {
            return Ok(None);
        }
        let dtype = arg.format.dtype();
        let copy = Copy { shape: arg.shape, input: dtype, output: dtype };
        Ok(Some(Staging { plan: device.plan(&copy.into())?, role: arg.role }))
    };
    op.arg_types().into_iter().enumerate().map(plan).collect()
}

/// A contiguous tensor, with contiguous scales where its format has them.
fn plain_view(mem: Mem, format: WeightFormat, shape: Shape) -> Result<View> {
    let mut view = View::contiguous(mem, format.dtype(), shape)?;
    if let (WeightFormat::Blocked { scale, block, .. }, Some(shape)) = (format, format.scale_shape(&shape)) {
        view.quant = Some(Quant { mem, dtype: scale, block, shape });
    }
    Ok(view)
}

impl Plan for Composed {
    fn op(&self) -> &Op {
        &self.parts.op
    }

    fn workspace(&self) -> usize {
        self.plain_arguments().and_then(|views| self.arena_bytes(&views)).unwrap_or(0)
    }

    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        self.arena_bytes(views)
    }

    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        let launches = Some(self.launches(args, true)?);
        Ok(Some(Arc::new(Composed { parts: self.parts.clone(), launches })))
    }

    fn columns(&self) -> &[Column] {
        &self.parts.columns
    }

    fn cost(&self) -> Cost {
        let costs = self.parts.flat.calls.iter().map(|call| call.plan.cost());
        costs.fold(Cost::default(), |a, b| Cost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes })
    }

    fn capture_safe(&self) -> bool {
        self.parts.flat.calls.iter().all(|call| call.plan.capture_safe())
    }

    /// At most D1: the capacities of the step decide how its calls are cut.
    fn determinism(&self) -> Determinism {
        let calls = self.parts.flat.calls.iter().map(|call| call.plan.determinism());
        calls.fold(Determinism::Repeatable, Ord::min)
    }

    /// The coarsest of its calls'.
    fn accumulation(&self) -> Accumulation {
        let calls = self.parts.flat.calls.iter().map(|call| call.plan.accumulation());
        calls.reduce(Accumulation::coarser).unwrap_or(Accumulation::F32)
    }
}
