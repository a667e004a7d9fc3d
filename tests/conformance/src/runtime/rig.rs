//! What scripts are made of: memory that outlives its streams, prepared calls, and a list of findings.

use crate::outcome::{Check, Finding};
use crate::script::Verdict;
use omnihal::{
    Args, Buffer, DType, Device, Error, ErrorKind, Event, Graph, Mem, MemoryKind, Op, Plan, Result, Severity, Stream,
    View,
};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait for work that must end. The supervisor's limit for a whole script is what a user sets.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A limit that work of some length does not keep.
pub const SHORT: Duration = Duration::from_millis(1);

/// Findings of a script beyond which more of them tell nothing new.
const ENOUGH: usize = 8;

/// What did not hold so far.
#[derive(Default)]
pub struct Notes(Vec<Finding>);

impl Notes {
    /// Keeps a finding unless the statement holds.
    pub fn expect(&mut self, holds: bool, check: Check, text: impl FnOnce() -> String) {
        if !holds && self.0.len() < ENOUGH {
            self.0.push(Finding::new(check, text()));
        }
    }

    /// As [`Notes::expect`], for what the interface says of calls.
    pub fn rule(&mut self, holds: bool, text: impl FnOnce() -> String) {
        self.expect(holds, Check::Interface, text);
    }

    /// Bytes must be these.
    pub fn same(&mut self, check: Check, what: impl FnOnce() -> String, found: &[u8], expected: &[u8]) {
        if let Some(difference) = difference(found, expected) {
            self.expect(false, check, || format!("{}: {difference}", what()));
        }
    }

    /// The call must be refused, with an error of one of these kinds that says what it is about and changes nothing.
    pub fn refused<T>(&mut self, what: &str, result: Result<T>, kinds: &[ErrorKind]) {
        let Err(error) = result else {
            return self.rule(false, || format!("{what} was accepted, expected a refusal"));
        };
        self.rule(kinds.contains(&error.kind()), || {
            format!("{what} was refused as {:?} ({error}), expected one of {kinds:?}", error.kind())
        });
        self.rule(error.severity() == Severity::Rejected, || {
            format!("{what} was refused with severity {:?} ({error}), expected Rejected", error.severity())
        });
        self.rule(!error.message().is_empty(), || format!("{what} was refused without a word"));
    }

    /// The call must succeed.
    pub fn done<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.rule(false, || format!("{what} failed: {error}"));
                None
            }
        }
    }

    /// What another thread found.
    pub fn merge(&mut self, other: Notes) {
        self.0.extend(other.0);
        self.0.truncate(ENOUGH);
    }

    /// True if all held so far.
    pub fn clean(&self) -> bool {
        self.0.is_empty()
    }

    /// The script's result.
    pub fn verdict(self) -> Result<Verdict> {
        Ok(Verdict::Ran(self.0))
    }
}

/// The first difference of two byte strings, in words.
pub fn difference(found: &[u8], expected: &[u8]) -> Option<String> {
    if found == expected {
        return None;
    }
    if found.len() != expected.len() {
        return Some(format!("{} bytes instead of {}", found.len(), expected.len()));
    }
    let at = (0..found.len()).find(|&i| found[i] != expected[i])?;
    let count = (0..found.len()).filter(|&i| found[i] != expected[i]).count();
    Some(format!(
        "byte {at} of {} is {:#04x}, expected {:#04x} ({count} bytes differ)",
        found.len(),
        found[at],
        expected[at]
    ))
}

/// A device with memory and streams that a script takes from it. All memory stays until every stream is done.
pub struct Rig {
    device: Arc<dyn Device>,
    streams: Mutex<Vec<Arc<dyn Stream>>>,
    buffers: Mutex<Vec<Buffer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rig {
    /// A rig on a device.
    pub fn new(device: &Arc<dyn Device>) -> Rig {
        Rig { device: device.clone(), streams: Mutex::default(), buffers: Mutex::default() }
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// A new stream.
    pub fn queue(&self) -> Result<Queue> {
        let stream: Arc<dyn Stream> = Arc::from(self.device.stream()?);
        lock(&self.streams).push(stream.clone());
        Ok(Queue(stream))
    }

    /// Device memory.
    pub fn alloc(&self, bytes: usize) -> Result<Mem> {
        self.alloc_kind(bytes, MemoryKind::Device)
    }

    /// Memory of a kind.
    pub fn alloc_kind(&self, bytes: usize, kind: MemoryKind) -> Result<Mem> {
        let buffer = self.device.alloc(bytes, kind)?;
        let mem = buffer.mem();
        lock(&self.buffers).push(buffer);
        match mem.len == bytes {
            true => Ok(mem),
            false => mem.slice(0, bytes),
        }
    }

    /// Device memory with these contents.
    pub fn filled(&self, queue: &Queue, bytes: &[u8]) -> Result<Mem> {
        let mem = self.alloc(bytes.len())?;
        queue.write(mem, bytes)?;
        Ok(mem)
    }

    /// A call of an operator on contiguous arguments in these places, in the operator's order.
    pub fn call(&self, op: &Op, mems: &[Mem]) -> Result<Call> {
        self.call_planned(self.device.plan(op)?, mems)
    }

    /// A call of a plan on contiguous arguments in these places.
    pub fn call_planned(&self, plan: Arc<dyn Plan>, mems: &[Mem]) -> Result<Call> {
        if !plan.columns().is_empty() || plan.prologue().is_some() {
            let name = plan.op().kind().name();
            return Err(Error::argument(format!("the plan of {name} asks for a step table, expected none")));
        }
        let mut places = mems.iter();
        let view = |arg: omnihal::op::ArgType| -> Result<Option<View>> {
            if !arg.present {
                return Ok(None);
            }
            let mem = places.next().ok_or_else(|| Error::argument("fewer places than arguments"))?;
            View::contiguous(*mem, arg.format.dtype(), arg.shape).map(Some)
        };
        let views: Vec<Option<View>> = plan.op().arg_types().into_iter().map(view).collect::<Result<_>>()?;
        let bytes = plan.workspace_for(&views)?;
        let workspace = if bytes > 0 { self.alloc(bytes)? } else { Mem::default() };
        let args = Args { views: &views, workspace, rows_hint: usize::MAX };
        let bound = plan.bind(&args)?;
        Ok(Call { plan: bound.unwrap_or(plan), views, workspace })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let late = |s: &Arc<dyn Stream>| s.sync(PATIENCE).is_err_and(|e| e.kind() == ErrorKind::Timeout);
        if lock(&self.streams).iter().any(late) {
            // The device may still write there: memory that is leaked harms nobody.
            std::mem::take(&mut *lock(&self.buffers)).into_iter().for_each(std::mem::forget);
        }
    }
}

/// A prepared run. Its memory belongs to the rig that made it.
#[derive(Clone)]
pub struct Call {
    /// The plan, finished for these arguments.
    pub plan: Arc<dyn Plan>,
    /// The arguments.
    pub views: Vec<Option<View>>,
    /// Scratch memory.
    pub workspace: Mem,
}

/// A stream on memory of the rig that made it.
#[derive(Clone)]
pub struct Queue(Arc<dyn Stream>);

impl Deref for Queue {
    type Target = dyn Stream;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Queue {
    /// Enqueues a run.
    pub fn run(&self, call: &Call) -> Result<()> {
        let args = Args { views: &call.views, workspace: call.workspace, rows_hint: usize::MAX };
        // SAFETY: the views have the operator's types; their memory belongs to the rig, which outlasts the stream's work.
        unsafe { self.0.run(&*call.plan, &args) }
    }

    /// Enqueues a copy.
    pub fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        // SAFETY: as above; scripts copy between different allocations or parts.
        unsafe { self.0.copy(dst, src) }
    }

    /// Enqueues a fill.
    pub fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.0.fill(dst, byte) }
    }

    /// Enqueues a copy from the host.
    pub fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.0.write(dst, src) }
    }

    /// Copies to the host.
    pub fn read_into(&self, src: Mem, dst: &mut [u8], limit: Duration) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.0.read(src, dst, limit) }
    }

    /// The bytes of a range, after all earlier work.
    pub fn read(&self, src: Mem) -> Result<Vec<u8>> {
        let mut bytes = vec![0; src.len];
        self.read_into(src, &mut bytes, PATIENCE)?;
        Ok(bytes)
    }

    /// Enqueues a graph.
    pub fn launch(&self, graph: &dyn Graph) -> Result<()> {
        // SAFETY: as above: captured calls name memory of the rig.
        unsafe { self.0.launch(graph) }
    }

    /// Captures what `calls` enqueues. The capture ends even where a call fails.
    pub fn capture(&self, calls: impl FnOnce() -> Result<()>) -> Result<Box<dyn Graph>> {
        self.begin_capture()?;
        let enqueued = calls();
        let graph = self.end_capture();
        enqueued?;
        graph
    }

    /// Waits for everything.
    pub fn finish(&self) -> Result<()> {
        self.sync(PATIENCE)
    }

    /// Makes a new event stand for what was enqueued so far.
    pub fn mark(&self, rig: &Rig) -> Result<Box<dyn Event>> {
        let event = rig.device().event()?;
        self.record(&*event)?;
        Ok(event)
    }
}

/// Bytes of 32-bit floats.
pub fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Bytes of `n` 32-bit floats.
pub fn floats(n: usize) -> usize {
    DType::F32.bytes(n)
}

/// True if something is seen in each of three tries: what a busy host makes happen once is no finding.
pub fn always(mut seen: impl FnMut() -> Result<bool>) -> Result<bool> {
    for _ in 0..3 {
        if !seen()? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl From<Box<dyn Stream>> for Queue {
    fn from(stream: Box<dyn Stream>) -> Queue {
        Queue(Arc::from(stream))
    }
}
