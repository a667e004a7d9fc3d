//! Validation: every call is checked against its operator before the device sees it, and refused with words for people.
//!
//! A backend's `Stream::run` checks nothing. Under this layer a wrong call becomes [`ErrorKind::InvalidArgument`] or
//! [`ErrorKind::InvalidState`], with the operator and the position of the call on its stream, and changes nothing.

mod args;
mod live;
mod overlap;
mod rules;

use super::layer::{At, Call, Hook, LayerDevice};
use super::tracked::tracked;
use live::Live;
use omnihal::{Buffer, Device, Error, ErrorKind, Mem, MemoryKind, Plan, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// What the validation layer does beyond checking arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Refuse memory that does not lie in a live allocation or import of the wrapped device.
    pub live: bool,
    /// Fill outputs with 0xFF bytes before each run: a NaN in every float format and -1, an absent index, in every signed integer.
    /// An element that the device forgets to write then shows. Outputs that are also inputs are left alone.
    pub poison: bool,
}

impl Default for ValidateOptions {
    fn default() -> Self {
        ValidateOptions { live: true, poison: false }
    }
}

/// Checks every call, without poison.
pub fn validate(device: Arc<dyn Device>) -> Arc<dyn Device> {
    validate_with(device, ValidateOptions::default())
}

/// Checks every call.
pub fn validate_with(device: Arc<dyn Device>, options: ValidateOptions) -> Arc<dyn Device> {
    let hook = Validate { options, alignment: device.caps().alignment, live: Arc::new(Live::default()) };
    LayerDevice::wrap(device, Arc::new(hook))
}

struct Validate {
    options: ValidateOptions,
    alignment: usize,
    live: Arc<Live>,
}

/// The state of one stream.
#[derive(Default)]
struct StreamState {
    capturing: AtomicBool,
    calls: AtomicU64,
}

impl Hook for Validate {
    type Stream = StreamState;
    type Event = ();

    fn stream(&self) -> StreamState {
        StreamState::default()
    }

    fn alloc(&self, device: &dyn Device, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        device.alloc(bytes, kind).map(|buffer| self.imported(buffer))
    }

    fn imported(&self, buffer: Buffer) -> Buffer {
        let (key, live) = (self.live.add(buffer.mem()), Arc::clone(&self.live));
        tracked(buffer, move || live.remove(key))
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        let sequence = at.state.calls.fetch_add(1, SeqCst);
        let checked = self.check_state(at.state, call).and_then(|()| self.check_arguments(call));
        checked.map_err(|error| match call.op() {
            Some(op) => error.with_op(op.kind()).with_sequence(sequence),
            None => error.with_sequence(sequence),
        })?;
        match call {
            Call::Run { plan, args } if self.options.poison => {
                for mem in args::poisonable(&plan.signature, args.views) {
                    // SAFETY: the range lies in an output that the caller gave for writing and that no input shares.
                    unsafe { at.inner.fill(mem, 0xFF)? };
                }
                go()
            }
            Call::BeginCapture => {
                go()?;
                at.state.capturing.store(true, SeqCst);
                Ok(())
            }
            Call::EndCapture => {
                at.state.capturing.store(false, SeqCst);
                go()
            }
            _ => go(),
        }
    }
}

impl Validate {
    fn check_state(&self, state: &StreamState, call: &Call<'_, Self>) -> Result<()> {
        let state_error = |text: String| Err(Error::new(ErrorKind::InvalidState, text));
        match (state.capturing.load(SeqCst), call) {
            (false, Call::EndCapture) => state_error("no capture to end: begin one on this stream first".to_owned()),
            (true, Call::Run { plan, .. }) if !plan.inner.capture_safe() => {
                state_error("the plan is not safe to capture: run it outside the capture".to_owned())
            }
            (
                true,
                Call::Run { .. }
                | Call::Copy { .. }
                | Call::Fill { .. }
                | Call::Record(_)
                | Call::Wait(_)
                | Call::EndCapture,
            )
            | (false, _) => Ok(()),
            (true, call) => state_error(format!("{} during a capture: end the capture first", call.name())),
        }
    }

    fn check_arguments(&self, call: &Call<'_, Self>) -> Result<()> {
        match call {
            Call::Run { plan, args } => {
                args::check(plan.inner.op().kind(), &plan.signature, args.views)?;
                args::check_workspace(&plan.signature, args, plan.workspace(), self.alignment)?;
                for (name, view) in args::named(&plan.signature, args.views) {
                    self.check_live(name, view.mem)?;
                    view.quant.iter().try_for_each(|q| self.check_live(name, q.mem))?;
                }
                if plan.workspace() > 0 { self.check_live("workspace", args.workspace) } else { Ok(()) }
            }
            Call::Copy { dst, src } => {
                same_length("destination", dst.len, "source", src.len)?;
                if overlap::bytes_overlap(*dst, *src) {
                    return Err(Error::argument(format!(
                        "source and destination of a copy of {} bytes overlap: copy through a third buffer",
                        dst.len
                    )));
                }
                self.check_live("destination", *dst)?;
                self.check_live("source", *src)
            }
            Call::Fill { dst, .. } => self.check_live("destination", *dst),
            Call::Write { dst, src } => {
                same_length("destination", dst.len, "host source", src.len())?;
                self.check_live("destination", *dst)
            }
            Call::Read { src, bytes } => {
                same_length("host destination", *bytes, "source", src.len)?;
                self.check_live("source", *src)
            }
            _ => Ok(()),
        }
    }

    fn check_live(&self, name: &str, mem: Mem) -> Result<()> {
        match !self.options.live || mem.len == 0 || self.live.covers(mem) {
            true => Ok(()),
            false => Err(Error::argument(format!(
                "`{name}` at {:#x}, {} bytes, does not lie in a live allocation of this device: it was freed, or it is not this device's",
                mem.addr, mem.len
            ))),
        }
    }
}

fn same_length(a: &str, a_bytes: usize, b: &str, b_bytes: usize) -> Result<()> {
    match a_bytes == b_bytes {
        true => Ok(()),
        false => Err(Error::argument(format!("{a} has {a_bytes} bytes and {b} has {b_bytes}, expected the same"))),
    }
}

#[cfg(test)]
mod tests;
