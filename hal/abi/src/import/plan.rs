//! Plans.

use super::call;
use super::device::{DeviceOwner, foreign, not_null};
use super::stream::with_args_out;
use crate::codes::Coded;
use crate::convert::{accumulation_in, array_in, broken, str_in, with_views_out};
use crate::structs::blank;
use crate::sys::handles::PlanHandle;
use crate::wire::Encoded;
use crate::{columns, limits, sys};
use omnihal::{Accumulation, Args, Column, Cost, Determinism, Error, Op, Plan, Prologue, Result, View};
use std::any::Any;
use std::ptr;
use std::sync::Arc;

/// The plug-in's plan.
struct PlanOwner {
    handle: *mut PlanHandle,
    device: Arc<DeviceOwner>,
}

// SAFETY: the interface allows a plan's functions from any thread.
unsafe impl Send for PlanOwner {}
// SAFETY: as above.
unsafe impl Sync for PlanOwner {}

impl Drop for PlanOwner {
    fn drop(&mut self) {
        if let Some(destroy) = self.device.shared.table.plan_destroy {
            // SAFETY: the handle came from the device, and only this value destroys it.
            unsafe { destroy(self.handle) }
        }
    }
}

/// A plan of a plug-in; its facts are asked once.
pub(super) struct ImportedPlan {
    own: Arc<PlanOwner>,
    /// The plan that a bound one was made from; it goes last.
    _first: Option<Arc<PlanOwner>>,
    op: Op,
    facts: Facts,
    prologue: Option<Prologue>,
}

struct Facts {
    workspace: usize,
    columns: Vec<Column>,
    cost: Cost,
    capture_safe: bool,
    determinism: Determinism,
    accumulation: Accumulation,
}

impl ImportedPlan {
    pub(super) fn new(device: &Arc<DeviceOwner>, op: &Op) -> Result<Self> {
        let (encoded, mut handle) = (Encoded::new(op), ptr::null_mut());
        let c_op = encoded.op(op.kind());
        call!(device.shared, plan_create(device.handle, &raw const c_op, &raw mut handle))?;
        let mut plan = Self::take(device, handle, op, None, "plan_create")?;
        plan.prologue = plan.ask_prologue()?;
        Ok(plan)
    }

    fn take(
        device: &Arc<DeviceOwner>,
        handle: *mut PlanHandle,
        op: &Op,
        first: Option<Arc<PlanOwner>>,
        function: &str,
    ) -> Result<Self> {
        let handle = not_null(handle, function)?;
        let own = Arc::new(PlanOwner { handle, device: Arc::clone(device) });
        let facts = Facts::ask(&own, op).map_err(|e| e.with_op(op.kind()))?;
        Ok(ImportedPlan { own, _first: first, op: *op, facts, prologue: None })
    }

    fn ask_prologue(&self) -> Result<Option<Prologue>> {
        let device = &self.own.device;
        let mut out: sys::Prologue = blank();
        if device.shared.table.plan_prologue.is_none() {
            return Ok(None);
        }
        call!(device.shared, plan_prologue(self.own.handle, &raw mut out))?;
        if out.plan.is_null() {
            return Ok(None);
        }
        let plan = Self::take(device, out.plan, &self.op, None, "plan_prologue")?;
        if out.bytes > limits::BYTES {
            let text = format!("the prologue's output has {} bytes, expected at most {}", out.bytes, limits::BYTES);
            return Err(broken(text).with_op(self.op.kind()));
        }
        // SAFETY: what a plan gives out stays valid while it lives.
        let key = unsafe { str_in(out.key, "the key of a prologue")? }.to_owned();
        Ok(Some(Prologue { key, bytes: out.bytes as usize, plan: Arc::new(plan) }))
    }

    /// The plug-in's handle of a plan of this device.
    pub(super) fn own(plan: &dyn Plan, device: &Arc<DeviceOwner>) -> Result<*mut PlanHandle> {
        match (plan as &dyn Any).downcast_ref::<ImportedPlan>() {
            Some(plan) if Arc::ptr_eq(&plan.own.device, device) => Ok(plan.own.handle),
            _ => Err(foreign("plan")),
        }
    }
}

impl Facts {
    fn ask(own: &PlanOwner, op: &Op) -> Result<Self> {
        let cost = op.cost();
        let mut out = sys::PlanInfo { flops: cost.flops, bytes: cost.bytes, ..blank() };
        call!(own.device.shared, plan_info(own.handle, &raw mut out))?;
        if out.workspace > limits::BYTES {
            return Err(broken(format!(
                "the plan wants {} bytes of workspace, expected at most {}",
                out.workspace,
                limits::BYTES
            )));
        }
        if ![out.flops, out.bytes].iter().all(|n| n.is_finite() && *n >= 0.0) {
            return Err(broken(format!(
                "the plan costs {} operations and {} bytes, expected numbers from 0",
                out.flops, out.bytes
            )));
        }
        // SAFETY: what a plan gives out stays valid while it lives.
        let wanted = unsafe { array_in(out.columns, out.column_count, limits::COLUMNS, "columns")? };
        let unknown =
            |what: &str, code: u32| Error::unsupported(format!("{what} has number {code}, unknown to this host"));
        let column = |c: &sys::Column| columns::decode(c.kind, c.ratio).ok_or_else(|| unknown("a column", c.kind));
        Ok(Facts {
            workspace: out.workspace as usize,
            columns: wanted.iter().map(column).collect::<Result<_>>()?,
            cost: Cost { flops: out.flops, bytes: out.bytes },
            capture_safe: out.capture_safe != 0 && own.device.shared.captures(),
            determinism: Determinism::from_code(out.determinism)
                .ok_or_else(|| unknown("the determinism", out.determinism))?,
            accumulation: accumulation_in(out.accumulation, out.accumulation_bits, out.accumulation_promote)
                .ok_or_else(|| unknown("the accumulation", out.accumulation))?,
        })
    }
}

impl Plan for ImportedPlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn workspace(&self) -> usize {
        self.facts.workspace
    }

    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        let shared = &self.own.device.shared;
        if shared.table.plan_workspace_for.is_none() {
            return Ok(self.workspace());
        }
        let mut bytes = 0u64;
        with_views_out(views, |views| {
            call!(shared, plan_workspace_for(self.own.handle, views.as_ptr(), views.len() as u32, &raw mut bytes))
        })??;
        match bytes <= limits::BYTES {
            true => Ok(bytes as usize),
            false => {
                Err(broken(format!("the plan wants {bytes} bytes of workspace, expected at most {}", limits::BYTES)))
            }
        }
    }

    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        let device = &self.own.device;
        if device.shared.table.plan_bind.is_none() {
            return Ok(None);
        }
        let mut handle = ptr::null_mut();
        with_args_out(args, |args| call!(device.shared, plan_bind(self.own.handle, args, &raw mut handle)))?;
        if handle.is_null() {
            return Ok(None);
        }
        let mut bound = Self::take(device, handle, &self.op, Some(Arc::clone(&self.own)), "plan_bind")?;
        bound.prologue.clone_from(&self.prologue);
        Ok(Some(Arc::new(bound)))
    }

    fn columns(&self) -> &[Column] {
        &self.facts.columns
    }

    fn prologue(&self) -> Option<&Prologue> {
        self.prologue.as_ref()
    }

    fn cost(&self) -> Cost {
        self.facts.cost
    }

    fn capture_safe(&self) -> bool {
        self.facts.capture_safe
    }

    fn determinism(&self) -> Determinism {
        self.facts.determinism
    }

    fn accumulation(&self) -> Accumulation {
        self.facts.accumulation
    }
}
