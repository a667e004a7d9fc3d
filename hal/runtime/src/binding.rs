//! Giving the calls of a lowered recipe their addresses.

use crate::arena::{self, ArenaPlan, Lifetime};
use crate::fallback::FallbackCall;
use crate::lower::{Flat, FlatCall};
use crate::recipe::{Base, Operand};
use omnihal::{Args, Buffer, Device, Error, Mem, MemoryKind, Op, Plan, Result, StepLayout, View};
use std::sync::Arc;

/// One device call with its addresses.
pub(crate) struct Launch {
    pub plan: Arc<dyn Plan>,
    /// The plan prepared for these addresses, where the device prepares calls.
    pub bound: Option<Arc<dyn Plan>>,
    pub views: Box<[Option<View>]>,
    /// Offset and length of its workspace in the arena.
    pub workspace: (usize, usize),
    /// Arguments that lie in the arena, one bit each.
    pub in_arena: u32,
    /// The operator's rows are the step's rows, so a hint about those may shorten it.
    pub by_row: bool,
    pub fallback: Option<FallbackCall>,
}

impl Launch {
    /// Its arguments in an arena.
    pub fn args(&self, arena: Mem, rows_hint: usize) -> Args<'_> {
        let (offset, len) = self.workspace;
        let workspace = Mem { addr: arena.addr + offset as u64, len };
        Args { views: &self.views, workspace, rows_hint: if self.by_row { rows_hint } else { usize::MAX } }
    }

    /// Gives the arguments that lie in the arena their memory.
    pub fn place(&mut self, arena: Mem) {
        for (i, view) in self.views.iter_mut().enumerate() {
            if let Some(view) = view.as_mut().filter(|_| self.in_arena & (1 << i) != 0) {
                view.mem = arena;
            }
        }
    }
}

/// One buffer for all constants, and a view of each.
pub(crate) fn place_constants(device: &dyn Device, flat: &Flat, align: usize) -> Result<(Buffer, Vec<View>)> {
    let total = flat.consts.iter().map(|c| c.bytes.len().next_multiple_of(align)).sum::<usize>().max(align);
    let buffer = device.alloc(total, MemoryKind::Device)?;
    let (mut views, mut offset) = (Vec::with_capacity(flat.consts.len()), 0);
    for constant in &flat.consts {
        let mem = buffer.mem().slice(offset, constant.bytes.len())?;
        views.push(View::contiguous(mem, constant.dtype, constant.shape)?);
        offset += constant.bytes.len().next_multiple_of(align);
    }
    Ok((buffer, views))
}

/// Temps first, then one workspace for each call.
pub(crate) fn plan_arena(flat: &Flat, workspaces: &[usize], align: usize) -> ArenaPlan {
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
    lives.extend(workspaces.iter().enumerate().map(|(i, &bytes)| Lifetime { bytes, first: i, last: i }));
    arena::plan(&lives, align)
}

/// The rows of an operator that works row by row. Operators on other axes, and rows that are not the step's, take no hint.
pub(crate) fn step_rows(op: &Op) -> Option<usize> {
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

pub(crate) struct Binding<'a> {
    pub flat: &'a Flat,
    pub arena: ArenaPlan,
    pub layout: &'a StepLayout,
    pub table: Mem,
    pub consts: Vec<View>,
    /// Arguments of the recipe, where it is one operator's and not a whole step.
    pub args: &'a [Option<View>],
    /// Bytes of each call's workspace.
    pub workspaces: Vec<usize>,
}

impl Binding<'_> {
    /// Asks every plan for its workspace, now that the layout of its arguments is known.
    pub fn size_workspaces(&self) -> Result<Vec<usize>> {
        let size = |call: &FlatCall| {
            let views = self.views(call)?;
            call.plan.workspace_for(&views).map_err(|e| e.with_op(call.plan.op().kind()))
        };
        self.flat.calls.iter().map(size).collect()
    }

    fn views(&self, call: &FlatCall) -> Result<Box<[Option<View>]>> {
        let views = call.args.iter().map(|a| a.as_ref().map(|a| self.view(a)).transpose());
        views.collect::<Result<_>>().map_err(|e| e.with_op(call.plan.op().kind()))
    }

    pub fn launches(&self, fallback: Option<&Arc<dyn Device>>) -> Result<Vec<Launch>> {
        let temps = self.flat.temps.len();
        let launch = |(i, call): (usize, &FlatCall)| {
            let views = self.views(call)?;
            let in_arena = call.args.iter().enumerate().filter_map(|(i, a)| match a.as_ref()?.base {
                Base::Temp(_) => Some(1u32 << i),
                _ => None,
            });
            Ok(Launch {
                plan: call.plan.clone(),
                bound: None,
                workspace: (self.arena.offsets[temps + i], self.workspaces[i]),
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

    pub fn named(&self) -> Result<Vec<(String, View)>> {
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
            Base::Arg(i) => match self.args.get(*i) {
                Some(Some(view)) => *view,
                _ => return Err(Error::argument(format!("the outermost recipe has no argument {i}"))),
            },
        };
        operand.reshapes.iter().try_fold(whole, |view, reshape| reshape.apply(&view))
    }
}
