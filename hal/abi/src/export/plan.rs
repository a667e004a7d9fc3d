//! Answers and plans.

use super::device::{DeviceObject, own};
use super::{HostRef, give, guard, put, take_back};
use crate::codes::{Coded, SupportKind};
use crate::convert::{accumulation_out, mem_in, str_out, text_out, with_views_in};
use crate::structs::{blank, read, write};
use crate::sys::handles::{DeviceHandle, PlanHandle};
use crate::{columns, limits, sys, wire};
use omnihal::{Args, Error, Op, Plan, Result, Support, View};
use std::sync::Arc;

/// What a plan handle leads to.
pub(super) struct PlanObject {
    host: HostRef,
    pub(super) plan: Arc<dyn Plan>,
    columns: Vec<sys::Column>,
}

impl PlanObject {
    fn new(host: HostRef, plan: Arc<dyn Plan>) -> Self {
        let column = |c| {
            let (kind, ratio) = columns::encode(c);
            sys::Column { kind, ratio }
        };
        PlanObject { host, columns: plan.columns().iter().map(|c| column(*c)).collect(), plan }
    }
}

/// The operator that the host described.
///
/// # Safety
/// `op` must be NULL or point to a struct as long as it says, with a descriptor as long as it says.
unsafe fn operator(op: *const sys::Op) -> Result<Op> {
    // SAFETY: promised by the caller.
    let op = unsafe { read(op, "an operator", size_of::<sys::Op>(), usize::MAX)? };
    let limit = u64::from(limits::STRUCT);
    // SAFETY: promised by the caller.
    let bytes = unsafe { crate::convert::array_in(op.desc.cast::<u8>(), op.desc_size, limit, "descriptor bytes")? };
    wire::decode(op.kind, bytes)
}

pub(super) unsafe extern "C" fn supports(
    device: *mut DeviceHandle,
    op: *const sys::Op,
    out: *mut sys::Support,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        // SAFETY: the host's struct is as long as it says.
        let mut answer = unsafe { read(out, "an answer", size_of::<sys::Support>(), usize::MAX)? };
        // SAFETY: the host's operator is readable during the call.
        let support = match unsafe { operator(op) } {
            Ok(op) => own.device.supports(&op),
            Err(error) => Support::No(error.to_string()),
        };
        let (kind, reason) = match support {
            Support::Native => (SupportKind::Native, String::new()),
            Support::Emulated(reason) => (SupportKind::Emulated, reason),
            Support::No(reason) => (SupportKind::No, reason),
        };
        answer.kind = kind.code();
        // SAFETY: the host's room has the capacity it says, and its struct is as long as it says.
        unsafe {
            text_out(&mut answer.reason, &reason);
            write(out, &answer)
        }
    })
}

pub(super) unsafe extern "C" fn create(
    device: *mut DeviceHandle,
    op: *const sys::Op,
    out: *mut *mut PlanHandle,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        // SAFETY: the host's operator is readable during the call.
        let plan = own.device.plan(&unsafe { operator(op)? })?;
        // SAFETY: the host's place is writable.
        unsafe { give(out, PlanObject::new(own.host, plan)) }
    })
}

pub(super) unsafe extern "C" fn destroy(plan: *mut PlanHandle) {
    // SAFETY: the host passes a plan for the last time.
    unsafe { take_back::<PlanObject, _>(plan) }
}

pub(super) unsafe extern "C" fn info(plan: *mut PlanHandle, out: *mut sys::PlanInfo) -> sys::Fallible {
    own!(own: PlanObject = plan);
    guard(own.host, || {
        let (accumulation, accumulation_bits, accumulation_promote) = accumulation_out(own.plan.accumulation());
        let cost = own.plan.cost();
        let filled = sys::PlanInfo {
            determinism: own.plan.determinism().code(),
            accumulation,
            accumulation_bits,
            accumulation_promote,
            capture_safe: u32::from(own.plan.capture_safe()),
            workspace: own.plan.workspace() as u64,
            flops: cost.flops,
            bytes: cost.bytes,
            columns: own.columns.as_ptr(),
            column_count: own.columns.len() as u64,
            ..blank()
        };
        // SAFETY: the host's struct is as long as it says.
        unsafe { write(out, &filled) }
    })
}

pub(super) unsafe extern "C" fn prologue(plan: *mut PlanHandle, out: *mut sys::Prologue) -> sys::Fallible {
    own!(own: PlanObject = plan);
    guard(own.host, || {
        let Some(prologue) = own.plan.prologue() else { return Ok(()) };
        // SAFETY: the host's struct is as long as it says; one too short for the plan would leak it.
        let mut filled = unsafe { read(out, "a prologue", size_of::<sys::Prologue>(), usize::MAX)? };
        filled.key = str_out(&prologue.key);
        filled.bytes = prologue.bytes as u64;
        // SAFETY: the place is a member of a local struct.
        unsafe { give(&raw mut filled.plan, PlanObject::new(own.host, Arc::clone(&prologue.plan)))? };
        // SAFETY: as above.
        unsafe { write(out, &filled) }
    })
}

pub(super) unsafe extern "C" fn workspace_for(
    plan: *mut PlanHandle,
    views: *const *const sys::View,
    count: u32,
    bytes: *mut u64,
) -> sys::Fallible {
    own!(own: PlanObject = plan);
    guard(own.host, || {
        let ask = |views: &[Option<View>]| own.plan.workspace_for(views);
        // SAFETY: the host's views are readable during the call, and its place is writable.
        unsafe {
            let answer = with_views_in(views, count, ask)?;
            put(bytes, answer as u64)
        }
    })
}

/// Takes the arguments of a run, without allocating.
///
/// # Safety
/// `args` must be NULL or point to a struct as long as it says, with readable views.
pub(super) unsafe fn with_args<R>(args: *const sys::Args, f: impl FnOnce(&Args<'_>) -> Result<R>) -> Result<R> {
    // SAFETY: promised by the caller.
    let args = unsafe { read(args, "the arguments of a run", size_of::<sys::Args>(), usize::MAX)? };
    let workspace = mem_in(args.workspace)?;
    let rows_hint = usize::try_from(args.rows_hint).unwrap_or(usize::MAX);
    // SAFETY: promised by the caller.
    unsafe { with_views_in(args.views, args.count, |views| f(&Args { views, workspace, rows_hint })) }
}

pub(super) unsafe extern "C" fn bind(
    plan: *mut PlanHandle,
    args: *const sys::Args,
    out: *mut *mut PlanHandle,
) -> sys::Fallible {
    own!(own: PlanObject = plan);
    guard(own.host, || {
        // SAFETY: the host's arguments are readable during the call.
        match unsafe { with_args(args, |args| own.plan.bind(args))? } {
            // SAFETY: the host's place is writable.
            Some(bound) => unsafe { give(out, PlanObject::new(own.host, bound)) },
            // SAFETY: as above.
            None => unsafe { put(out, std::ptr::null_mut()) },
        }
    })
}

/// A plan handle of the host, as the plan behind it.
///
/// # Safety
/// `plan` must be NULL or a plan handle that is alive.
pub(super) unsafe fn plan_of<'a>(plan: *mut PlanHandle) -> Result<&'a dyn Plan> {
    // SAFETY: promised by the caller.
    let own = unsafe { super::object::<PlanObject, _>(plan) };
    own.map(|p| &*p.plan).ok_or_else(|| Error::argument("the plan is NULL"))
}
