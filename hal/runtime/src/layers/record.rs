//! Recording: one JSON line for each call, with operators, argument shapes and small inputs, to be replayed or turned into a case later.
//!
//! Reading the inputs of a run waits for the work before it, so a recorded program is slower, and its timing says nothing.

use super::layer::{At, Call, Hook, LayerDevice};
use omnihal::op::Role;
use omnihal::{Args, DType, Device, Error, ErrorKind, Layout, Mem, Op, Result, Stream, View};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Inputs up to this many bytes are recorded with their contents: step tables and small tensors, not weights or caches.
const SMALL: usize = 4096;

/// Longest wait for earlier work before an input is recorded without its contents.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Records into any writer. What cannot be written is reported by `Device::health`.
pub fn record(device: Arc<dyn Device>, out: impl Write + Send + 'static) -> Arc<dyn Device> {
    let hook = Recorder {
        out: Mutex::new(Sink { out: Box::new(out), error: None }),
        streams: AtomicU32::new(0),
        calls: AtomicU64::new(0),
    };
    LayerDevice::wrap(device, Arc::new(hook))
}

/// Records into a file, which is replaced.
pub fn record_to(device: Arc<dyn Device>, path: &Path) -> Result<Arc<dyn Device>> {
    let file = File::create(path)
        .map_err(|e| Error::new(ErrorKind::Io, format!("recording to {} cannot start: {e}", path.display())))?;
    Ok(record(device, BufWriter::new(file)))
}

/// A recording in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RecordBuffer(Arc<Mutex<Vec<u8>>>);

impl RecordBuffer {
    /// The calls so far.
    pub fn records(&self) -> serde_json::Result<Vec<Record>> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::Deserializer::from_slice(&bytes).into_iter().collect()
    }
}

impl Write for RecordBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One recorded call: one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position among all calls of the device, from 0.
    pub sequence: u64,
    /// Number of the stream, in the order in which they were made.
    pub stream: u32,
    /// The call was collected into a graph.
    pub captured: bool,
    /// What was called.
    #[serde(flatten)]
    pub call: CallRecord,
}

/// What was called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum CallRecord {
    /// A run of a plan.
    Run {
        /// Name of the operator.
        name: String,
        /// Its descriptor, for [`CallRecord::op`].
        op: serde_json::Value,
        /// The descriptor as text, where JSON cannot hold it: a field is infinite or NaN.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Its arguments; `None` where the descriptor leaves one out.
        args: Vec<Option<ArgRecord>>,
        /// Bytes of workspace.
        workspace: usize,
        /// Leading rows that matter, if the caller said.
        rows_hint: Option<usize>,
    },
    /// A copy on the device.
    Copy {
        /// Destination.
        dst: MemRecord,
        /// Source.
        src: MemRecord,
    },
    /// A fill.
    Fill {
        /// Destination.
        dst: MemRecord,
        /// Value.
        byte: u8,
    },
    /// A copy from the host.
    Write {
        /// Destination.
        dst: MemRecord,
        /// What was written, in hexadecimal, if it is small.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// A copy to the host.
    Read {
        /// Source.
        src: MemRecord,
    },
    /// A launch of a graph.
    Launch {
        /// Its nodes.
        nodes: usize,
    },
    /// A call without arguments that matter: record, wait, begin_capture, end_capture, poll, sync.
    Other {
        /// Its name.
        name: String,
    },
}

impl CallRecord {
    /// The operator of a run. Fails where JSON cannot hold the descriptor.
    pub fn op(&self) -> Result<Option<Op>> {
        let CallRecord::Run { op, text, .. } = self else { return Ok(None) };
        serde_json::from_value(op.clone()).map(Some).map_err(|e| {
            let op = text.as_deref().unwrap_or("a descriptor");
            Error::new(
                ErrorKind::InvalidInput,
                format!("the recorded operator cannot be read back from JSON: {e}, in {op}"),
            )
        })
    }
}

/// A range of device memory. Equal and overlapping ranges tell which arguments share memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemRecord {
    /// Device address in hexadecimal, as JSON numbers are not wide enough for every reader.
    pub addr: String,
    /// Bytes.
    pub len: usize,
}

impl From<Mem> for MemRecord {
    fn from(mem: Mem) -> Self {
        MemRecord { addr: format!("{:#x}", mem.addr), len: mem.len }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgRecord {
    /// Name in the catalogue; step columns and the prologue's output have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Memory.
    pub mem: MemRecord,
    /// Bytes from its start to element 0.
    pub offset: usize,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Distance of neighbours along each axis, in elements.
    pub strides: Vec<usize>,
    /// Arrangement.
    pub layout: Layout,
    /// Scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quant: Option<QuantRecord>,
    /// Bytes from the first to the last element before the call, in hexadecimal, if it is a small input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// The scales of an argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantRecord {
    /// Memory.
    pub mem: MemRecord,
    /// Type of a scale.
    pub dtype: DType,
    /// Rows and columns that share one.
    pub block: (usize, usize),
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Their bytes in hexadecimal, if they are small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

struct Recorder {
    out: Mutex<Sink>,
    streams: AtomicU32,
    calls: AtomicU64,
}

struct Sink {
    out: Box<dyn Write + Send>,
    /// The first failure: a recording with a hole in it is worth nothing, so nothing is written after it.
    error: Option<String>,
}

/// The state of one stream.
struct StreamState {
    number: u32,
    capturing: AtomicBool,
}

impl Hook for Recorder {
    type Stream = StreamState;
    type Event = ();

    fn stream(&self) -> StreamState {
        StreamState { number: self.streams.fetch_add(1, SeqCst), capturing: AtomicBool::new(false) }
    }

    fn ready(&self) -> Result<()> {
        match &self.out.lock().unwrap_or_else(PoisonError::into_inner).error {
            None => Ok(()),
            Some(error) => Err(Error::new(ErrorKind::Io, format!("the recording is incomplete: {error}"))),
        }
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        let captured = at.state.capturing.load(SeqCst);
        let contents = if captured { None } else { Some(at.inner) };
        // The line is written before the call, so that the call that ends the process is in the recording.
        self.write(&Record {
            sequence: self.calls.fetch_add(1, SeqCst),
            stream: at.state.number,
            captured,
            call: describe(call, contents),
        });
        let result = go();
        match call {
            Call::BeginCapture if result.is_ok() => at.state.capturing.store(true, SeqCst),
            Call::EndCapture => at.state.capturing.store(false, SeqCst),
            _ => {}
        }
        result
    }
}

impl Recorder {
    fn write(&self, record: &Record) {
        let mut sink = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.error.is_some() {
            return;
        }
        let written = serde_json::to_vec(record).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            sink.out.write_all(&line)?;
            sink.out.flush()
        });
        sink.error = written.err().map(|e| e.to_string());
    }
}

fn describe<H: Hook>(call: &Call<'_, H>, contents: Option<&dyn Stream>) -> CallRecord {
    match call {
        Call::Run { plan, args } => {
            let names = plan.signature.args.iter().map(|arg| (Some(arg.name), arg.role));
            let names = names.chain(std::iter::repeat((None, Role::Read)));
            let describe = |(view, (name, role)): (&Option<View>, (Option<&str>, Role))| {
                view.as_ref().map(|view| describe_arg(name, view, contents.filter(|_| role != Role::Write)))
            };
            describe_run(plan.inner.op(), args, args.views.iter().zip(names).map(describe).collect())
        }
        Call::Copy { dst, src } => CallRecord::Copy { dst: (*dst).into(), src: (*src).into() },
        Call::Fill { dst, byte } => CallRecord::Fill { dst: (*dst).into(), byte: *byte },
        Call::Write { dst, src } => {
            CallRecord::Write { dst: (*dst).into(), data: (src.len() <= SMALL).then(|| hex(src)) }
        }
        Call::Read { src, .. } => CallRecord::Read { src: (*src).into() },
        Call::Launch(graph) => CallRecord::Launch { nodes: graph.nodes() },
        other => CallRecord::Other { name: other.name().to_owned() },
    }
}

fn describe_run(op: &Op, args: &Args<'_>, described: Vec<Option<ArgRecord>>) -> CallRecord {
    let value = serde_json::to_value(op).unwrap_or_default();
    let readable = serde_json::from_value::<Op>(value.clone()).is_ok();
    CallRecord::Run {
        name: op.kind().name().to_owned(),
        op: value,
        text: (!readable).then(|| format!("{op:?}")),
        args: described,
        workspace: args.workspace.len,
        rows_hint: (args.rows_hint != usize::MAX).then_some(args.rows_hint),
    }
}

fn describe_arg(name: Option<&str>, view: &View, contents: Option<&dyn Stream>) -> ArgRecord {
    let rank = view.shape.rank();
    ArgRecord {
        name: name.map(str::to_owned),
        mem: view.mem.into(),
        offset: view.offset,
        dtype: view.dtype,
        shape: view.shape.dims().to_vec(),
        strides: view.strides[..rank].to_vec(),
        layout: view.layout,
        quant: view.quant.map(|q| QuantRecord {
            mem: q.mem.into(),
            dtype: q.dtype,
            block: q.block,
            shape: q.shape.dims().to_vec(),
            data: contents.and_then(|stream| read(stream, q.mem)),
        }),
        data: contents.and_then(|stream| read(stream, reach(view)?)),
    }
}

/// The memory from the first to the last element, if it is small and lies in the view's memory.
fn reach(view: &View) -> Option<Mem> {
    if view.layout != Layout::Strided {
        return None;
    }
    let mut last = 0usize;
    for axis in 0..view.shape.rank() {
        last = last.checked_add(view.shape[axis].checked_sub(1)?.checked_mul(view.strides[axis])?)?;
    }
    if last >= 2 * SMALL {
        return None;
    }
    view.mem.slice(view.offset, view.dtype.bytes(last + 1)).ok()
}

fn read(stream: &dyn Stream, mem: Mem) -> Option<String> {
    if mem.len > SMALL {
        return None;
    }
    let mut bytes = vec![0; mem.len];
    // SAFETY: the memory belongs to an argument of the call that is being made, which its caller keeps alive.
    unsafe { stream.read(mem, &mut bytes, READ_TIMEOUT) }.ok()?;
    Some(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|n| DIGITS[n as usize] as char).collect()
}

#[cfg(test)]
mod tests;
