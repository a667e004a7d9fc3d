//! Several devices together, through HCCL where the installation has it.
//!
//! One member calls [`root_info`] and gives the bytes to the others by whatever way they have; then every member calls [`join`] with the same bytes. Sums and copies are enqueued
//! on the stream that they are given, and may be captured; a graph that holds some must not outlive its group. How long a stream waits for a member that does not come is the
//! library's to say (`HCCL_EXEC_TIMEOUT`).

use crate::context::Context;
use crate::errors::{self, Class, FirstCause};
use crate::event::AscendEvent;
use crate::stream::{self, AscendStream};
use crate::sys::call::Hccl;
use crate::sys::constants::{HcclDataType, HcclReduceOp, HcclResult};
use crate::sys::types::{HCCL_ROOT_INFO_BYTES, HcclComm, HcclRootInfo, aclrtStream};
use omnihal::{Collective, DType, Error, ErrorKind, Event, Result, Severity, Stream, View};
use std::ffi::{CStr, c_void};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes by which the members of a group find each other.
pub type RootInfo = [u8; HCCL_ROOT_INFO_BYTES];

/// Makes the bytes of a new group, on the device of a stream. This process must stay until all members have joined.
pub fn root_info(stream: &dyn Stream) -> Result<RootInfo> {
    let context = stream::own(stream)?.context();
    let hccl = hccl(context)?;
    context.enter()?;
    let mut info = HcclRootInfo([0; HCCL_ROOT_INFO_BYTES]);
    // SAFETY: writes the structure.
    check(context, hccl, "HcclGetRootInfo", unsafe { hccl.HcclGetRootInfo(&mut info) }?)?;
    Ok(info.0)
}

/// Makes the device of `stream` member `rank` of `size`. Returns when all members have joined, or after `limit`.
pub fn join(
    stream: &dyn Stream,
    info: &RootInfo,
    rank: usize,
    size: usize,
    limit: Duration,
) -> Result<Box<dyn Collective>> {
    let place = u32::try_from(rank).ok().zip(u32::try_from(size).ok()).filter(|(rank, size)| rank < size);
    let place =
        place.ok_or_else(|| Error::argument(format!("member {rank} of {size} was asked; members count from 0")))?;
    let context = stream::own(stream)?.context().clone();
    hccl(&context)?;
    let (info, theirs) = (HcclRootInfo(*info), context.clone());
    // The vendor's call waits as long as `HCCL_CONNECT_TIMEOUT` says, which may be hours: it gets a thread, which is left to it when the limit has passed.
    let (sender, answer) = channel();
    std::thread::spawn(move || {
        let joined = init(&theirs, &info, place).map(|comm| Group {
            context: theirs,
            comm: Mutex::new(comm),
            last: Mutex::default(),
            failed: FirstCause::default(),
            rank,
            size,
            limit,
        });
        // A group that nobody waits for any more is dropped here, which ends it.
        _ = sender.send(joined);
    });
    match answer.recv_timeout(limit) {
        Ok(joined) => Ok(Box::new(joined?)),
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("member {rank} waited {limit:?} for the other {} to join: start all of them", size - 1),
        )),
    }
}

fn init(context: &Context, info: &HcclRootInfo, (rank, size): (u32, u32)) -> Result<HcclComm> {
    let hccl = hccl(context)?;
    context.enter()?;
    let mut comm = HcclComm::NULL;
    // SAFETY: reads the structure, writes one handle; the device's context is current.
    let code = unsafe { hccl.HcclCommInitRootInfo(size, info, rank, &mut comm) }?;
    check(context, hccl, "HcclCommInitRootInfo", code)?;
    Ok(comm)
}

fn hccl(context: &Context) -> Result<&Hccl> {
    context.toolkit.hccl.as_ref().ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "several devices need libhccl.so, and the CANN installation has none beside its runtime: install HCCL",
        )
    })
}

/// A member's communicator.
struct Group {
    context: Arc<Context>,
    comm: Mutex<HcclComm>,
    /// Passed once the latest call that was not captured is over.
    last: Mutex<Option<AscendEvent>>,
    /// The first failure: a communicator does not recover.
    failed: FirstCause,
    rank: usize,
    size: usize,
    limit: Duration,
}

impl Group {
    /// Makes one call on a stream of this device.
    fn call(
        &self,
        stream: &AscendStream,
        call: &str,
        run: impl FnOnce(&Hccl, HcclComm, aclrtStream) -> Result<HcclResult>,
    ) -> Result<()> {
        if !Arc::ptr_eq(stream.context(), &self.context) {
            return Err(Error::argument(format!("{call}: the stream is of another device than the group's member")));
        }
        let (context, comm) = (&*self.context, self.comm.lock().unwrap_or_else(PoisonError::into_inner));
        self.failed.check()?;
        let hccl = hccl(context)?;
        context.enter()?;
        let mut earlier = HcclResult::HCCL_SUCCESS;
        // SAFETY: writes one code; the communicator is alive.
        let asked = unsafe { hccl.HcclGetCommAsyncError(*comm, &mut earlier) }?;
        check(context, hccl, "HcclGetCommAsyncError", asked)
            .and_then(|()| check(context, hccl, "an earlier call of the group", earlier))
            .map_err(|error| self.failed.record(error))?;
        check(context, hccl, call, run(hccl, *comm, stream.handle())?).map_err(|error| self.failed.record(error))?;
        match stream.is_captured() {
            true => Ok(()),
            false => self.mark(stream.handle()),
        }
    }

    fn mark(&self, stream: aclrtStream) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match last.take() {
            Some(event) => event,
            None => AscendEvent::new(&self.context)?,
        };
        event.record(stream)?;
        *last = Some(event);
        Ok(())
    }
}

impl Collective for Group {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    unsafe fn all_reduce(&self, stream: &dyn Stream, data: &View) -> Result<()> {
        let kind = summed(data.dtype)?;
        whole(data, "data")?;
        let (at, count) = (data.addr() as *mut c_void, data.elements() as u64);
        self.call(stream::own(stream)?, "HcclAllReduce", |hccl, comm, stream| {
            // SAFETY: the caller keeps the range alive; in place is allowed.
            unsafe { hccl.HcclAllReduce(at, at, count, kind, HcclReduceOp::HCCL_REDUCE_SUM, comm, stream) }
        })
    }

    unsafe fn all_gather(&self, stream: &dyn Stream, part: &View, all: &View) -> Result<()> {
        whole(part, "part")?;
        whole(all, "whole")?;
        if all.dtype != part.dtype || Some(all.elements()) != part.elements().checked_mul(self.size) {
            return Err(Error::argument(format!(
                "parts of {} {:?} from {} members were asked into {} {:?}; give as many elements as all parts have",
                part.dtype, part.shape, self.size, all.dtype, all.shape
            )));
        }
        let (from, to) = (part.addr() as *mut c_void, all.addr() as *mut c_void);
        let bytes = part.dtype.bytes(part.elements()) as u64;
        self.call(stream::own(stream)?, "HcclAllGather", |hccl, comm, stream| {
            // SAFETY: the caller keeps both ranges alive.
            unsafe { hccl.HcclAllGather(from, to, bytes, HcclDataType::HCCL_DATA_TYPE_INT8, comm, stream) }
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let (context, comm) = (&*self.context, *self.comm.get_mut().unwrap_or_else(PoisonError::into_inner));
        let idle = self.last.get_mut().unwrap_or_else(PoisonError::into_inner).as_ref();
        let idle = idle.is_none_or(|last| last.sync(self.limit).is_ok());
        // What failed may never end by itself, and the library has no call to abort it: it is left behind.
        if self.failed.check().is_err() || !idle {
            return;
        }
        let ended = context.enter_anyway().and_then(|_| {
            let hccl = hccl(context)?;
            // SAFETY: the handle is this object's own and is not used again; nothing of it is enqueued.
            check(context, hccl, "HcclCommDestroy", unsafe { hccl.HcclCommDestroy(comm) }?)
        });
        context.note(ended);
    }
}

fn whole(view: &View, name: &str) -> Result<()> {
    match view.is_contiguous() && view.quant.is_none() {
        true => Ok(()),
        false => Err(Error::argument(format!("`{name}` must be contiguous and without scales to be exchanged"))),
    }
}

/// Types that HCCL adds up on every generation of chips.
fn summed(dtype: DType) -> Result<HcclDataType> {
    match dtype {
        DType::F32 => Ok(HcclDataType::HCCL_DATA_TYPE_FP32),
        DType::F16 => Ok(HcclDataType::HCCL_DATA_TYPE_FP16),
        DType::BF16 => Ok(HcclDataType::HCCL_DATA_TYPE_BFP16),
        DType::I32 => Ok(HcclDataType::HCCL_DATA_TYPE_INT32),
        DType::I64 => Ok(HcclDataType::HCCL_DATA_TYPE_INT64),
        other => {
            Err(Error::unsupported(format!("a sum of {other} over devices was asked; use F32, F16, BF16, I32 or I64")))
        }
    }
}

/// `Ok` for success, else the error with the library's own words.
fn check(context: &Context, hccl: &Hccl, call: &str, code: HcclResult) -> Result<()> {
    if errors::classify_hccl(code.0).class == Class::Success {
        return Ok(());
    }
    // SAFETY: gives the address of a text of the library, or null.
    let words = unsafe { hccl.HcclGetErrorString(code) }.ok().filter(|words| !words.is_null());
    // SAFETY: as above; the library stays open.
    let words = words.map(|words| unsafe { CStr::from_ptr(words.cast()) }.to_string_lossy().into_owned());
    // The runtime's text tells more, and would be taken for that of the next failure.
    let text = context.acl().recent_text();
    let text = if text.is_empty() { words.unwrap_or_default() } else { text };
    let error = errors::hccl_error(call, code.0, &text);
    Err(match error.severity() {
        Severity::DeviceLost => context.keep(error),
        _ => error,
    })
}
