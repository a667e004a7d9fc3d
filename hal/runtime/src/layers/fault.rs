//! Fault injection: makes chosen calls fail as a real device would, so that a program's handling of failures can be tested anywhere.

use super::layer::{At, Call, Hook, LayerDevice};
use super::tracked::tracked;
use omnihal::{Buffer, Device, Error, ErrorKind, MemoryKind, Op, Result, Severity};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Wraps a device so that calls fail as planned. Calls are counted over all streams of the device.
pub fn fault(device: Arc<dyn Device>, plan: FaultPlan) -> Arc<dyn Device> {
    let hook = Fault { plan, counts: Default::default(), allocated: Arc::default(), lost: OnceLock::new() };
    LayerDevice::wrap(device, Arc::new(hook))
}

/// Calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// A run of a plan.
    Run,
    /// A copy on the device.
    Copy,
    /// A fill.
    Fill,
    /// A copy from the host.
    Write,
    /// A copy to the host.
    Read,
    /// A launch of a graph.
    Launch,
    /// A wait of the host for a stream.
    Sync,
    /// An allocation.
    Alloc,
}

const SITES: [(Site, &str); 8] = [
    (Site::Run, "run"),
    (Site::Copy, "copy"),
    (Site::Fill, "fill"),
    (Site::Write, "write"),
    (Site::Read, "read"),
    (Site::Launch, "launch"),
    (Site::Sync, "sync"),
    (Site::Alloc, "alloc"),
];

/// What happens to the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It is refused; the stream stays usable.
    Rejected,
    /// It fails while it executes: the stream is poisoned, and this call already says so.
    Execution,
    /// It fails while it executes, and the next call on the stream is the first to say so, as on a device that works on its own.
    Late,
    /// The memory is exhausted.
    OutOfMemory,
    /// It waits too long; the work goes on.
    Timeout,
    /// The device is gone, for every stream and every later call.
    Lost,
    /// It is made after this long.
    Delay(Duration),
}

/// One planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// The kind of call.
    pub site: Site,
    /// Which one, counted from 1.
    pub nth: u64,
    /// What happens.
    pub effect: Effect,
}

/// The planned faults, written as `run:17=execution,alloc:3=oom,copy:2=delay(50),bytes:1048576=oom`.
///
/// A rule is `CALL:N=EFFECT`: the N-th call of its kind, counted from 1. Calls: run, copy, fill, write, read, launch, sync, alloc. Effects:
/// rejected, execution, late, oom, timeout, lost, delay(MILLISECONDS). `bytes:N=oom` gives the device N bytes of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Faults at single calls.
    pub rules: Vec<FaultRule>,
    /// Bytes of memory; an allocation beyond them fails.
    pub memory: Option<u64>,
}

impl FromStr for FaultPlan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut plan = FaultPlan::default();
        for rule in text.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let refused = |what: &str, found: &str, expected: &str| {
                Error::new(ErrorKind::InvalidInput, format!("fault `{rule}` has {what} `{found}`, expected {expected}"))
            };
            let (place, effect) = rule.split_once('=').ok_or_else(|| refused("form", rule, "call:n=effect"))?;
            let (site, nth) = place.split_once(':').ok_or_else(|| refused("place", place, "call:n"))?;
            let number = nth.parse::<u64>().map_err(|_| refused("number", nth, "a count from 1"))?;
            let effect = parse_effect(effect).ok_or_else(|| {
                refused("effect", effect, "rejected, execution, late, oom, timeout, lost or delay(milliseconds)")
            })?;
            if site == "bytes" {
                if effect != Effect::OutOfMemory {
                    return Err(refused("effect", rule, "oom for a limit in bytes"));
                }
                plan.memory = Some(number);
                continue;
            }
            let known = SITES
                .iter()
                .find(|(_, name)| *name == site)
                .ok_or_else(|| refused("call", site, "run, copy, fill, write, read, launch, sync, alloc or bytes"))?;
            if number == 0 {
                return Err(refused("number", nth, "a count from 1"));
            }
            plan.rules.push(FaultRule { site: known.0, nth: number, effect });
        }
        Ok(plan)
    }
}

fn parse_effect(text: &str) -> Option<Effect> {
    Some(match text {
        "rejected" => Effect::Rejected,
        "execution" => Effect::Execution,
        "late" => Effect::Late,
        "oom" => Effect::OutOfMemory,
        "timeout" => Effect::Timeout,
        "lost" => Effect::Lost,
        other => {
            let milliseconds = other.strip_prefix("delay(")?.strip_suffix(')')?.parse().ok()?;
            Effect::Delay(Duration::from_millis(milliseconds))
        }
    })
}

struct Fault {
    plan: FaultPlan,
    counts: [AtomicU64; SITES.len()],
    allocated: Arc<AtomicU64>,
    lost: OnceLock<Error>,
}

/// The state of one stream.
#[derive(Default)]
struct StreamState {
    cause: OnceLock<Error>,
    calls: AtomicU64,
}

/// The cause that an event carries from a poisoned stream to those that wait for it.
#[derive(Default)]
struct EventState {
    cause: Mutex<Option<Error>>,
}

impl EventState {
    fn set(&self, cause: Option<Error>) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    fn get(&self) -> Option<Error> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fault {
    /// Counts a call and finds what is planned for it.
    fn planned(&self, site: Site) -> Option<(u64, Effect)> {
        let n = self.counts[site as usize].fetch_add(1, SeqCst) + 1;
        self.plan.rules.iter().find(|rule| rule.site == site && rule.nth == n).map(|rule| (n, rule.effect))
    }

    /// The error that stands for an effect. Delays have none.
    fn error(site: Site, n: u64, effect: Effect) -> Error {
        let text = format!("injected fault at {} {n}", SITES[site as usize].1);
        match effect {
            Effect::Execution | Effect::Late => Error::new(ErrorKind::Execution, text),
            Effect::Lost => Error::new(ErrorKind::Execution, text).with_severity(Severity::DeviceLost),
            Effect::OutOfMemory => Error::new(ErrorKind::OutOfMemory, text),
            Effect::Timeout => Error::new(ErrorKind::Timeout, text),
            Effect::Rejected | Effect::Delay(_) => Error::new(ErrorKind::InvalidState, text),
        }
    }

    fn lose(&self, error: Error) -> Error {
        self.lost.get_or_init(|| error).clone()
    }

    /// The memory limit, and the account of what is allocated.
    fn account(&self, device: &dyn Device, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        let Some(limit) = self.plan.memory else { return device.alloc(bytes, kind) };
        let allocated = Arc::clone(&self.allocated);
        let taken = allocated
            .fetch_update(SeqCst, SeqCst, |now| now.checked_add(bytes as u64).filter(|sum| *sum <= limit))
            .map_err(|now| {
                Error::new(
                    ErrorKind::OutOfMemory,
                    format!("injected limit: {bytes} bytes were asked for, {} of {limit} are left", limit - now),
                )
            });
        taken?;
        match device.alloc(bytes, kind) {
            Ok(buffer) => Ok(tracked(buffer, move || {
                allocated.fetch_sub(bytes as u64, SeqCst);
            })),
            Err(error) => {
                allocated.fetch_sub(bytes as u64, SeqCst);
                Err(error)
            }
        }
    }

    /// The cause that forbids any further call on the stream, if there is one.
    fn check_alive(&self, state: &StreamState, call: &Call<'_, Self>) -> Result<()> {
        self.ready()?;
        if let Call::Wait(event) = call
            && let Some(cause) = event.state.get()
        {
            return Err(state.cause.get_or_init(|| cause).clone());
        }
        let cause = state.cause.get().cloned();
        if let Call::Record(event) = call {
            event.state.set(cause.clone());
        }
        cause.map_or(Ok(()), Err)
    }
}

impl Hook for Fault {
    type Stream = StreamState;
    type Event = EventState;

    fn stream(&self) -> StreamState {
        StreamState::default()
    }

    fn ready(&self) -> Result<()> {
        self.lost.get().cloned().map_or(Ok(()), Err)
    }

    fn event_ready(&self, event: &EventState) -> Result<()> {
        self.ready()?;
        event.get().map_or(Ok(()), Err)
    }

    fn alloc(&self, device: &dyn Device, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        match self.planned(Site::Alloc) {
            None => {}
            Some((_, Effect::Delay(time))) => std::thread::sleep(time),
            Some((n, Effect::Lost)) => return Err(self.lose(Self::error(Site::Alloc, n, Effect::Lost))),
            Some((n, effect)) => return Err(Self::error(Site::Alloc, n, effect)),
        }
        self.account(device, bytes, kind)
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        let sequence = at.state.calls.fetch_add(1, SeqCst);
        self.check_alive(at.state, call)?;
        let Some((site, (n, effect))) = site(call).and_then(|site| Some((site, self.planned(site)?))) else {
            return go();
        };
        let error = || {
            let error = Self::error(site, n, effect).with_sequence(sequence);
            call.op().map(Op::kind).map_or(error.clone(), |kind| error.with_op(kind))
        };
        match effect {
            Effect::Delay(time) => {
                std::thread::sleep(time);
                go()
            }
            Effect::Rejected | Effect::OutOfMemory | Effect::Timeout => Err(error()),
            Effect::Execution => Err(at.state.cause.get_or_init(error).clone()),
            Effect::Late => {
                go()?;
                at.state.cause.get_or_init(error);
                Ok(())
            }
            Effect::Lost => Err(self.lose(error())),
        }
    }
}

fn site<H: Hook>(call: &Call<'_, H>) -> Option<Site> {
    Some(match call {
        Call::Run { .. } => Site::Run,
        Call::Copy { .. } => Site::Copy,
        Call::Fill { .. } => Site::Fill,
        Call::Write { .. } => Site::Write,
        Call::Read { .. } => Site::Read,
        Call::Launch(_) => Site::Launch,
        Call::Sync => Site::Sync,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
