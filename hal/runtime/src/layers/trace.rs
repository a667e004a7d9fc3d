//! Tracing: a `tracing` span around every call, and a ring of the latest calls that a trace viewer can show.
//!
//! Times are those of the host: a device that works on its own returns from a call before the work is done.

use super::layer::{At, Call, Hook, LayerDevice};
use omnihal::{Device, Result};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Calls that a ring keeps unless told otherwise: a few decode steps of the largest model, about 4 MB.
const DEFAULT_CAPACITY: usize = 1 << 16;

/// Traces a device into a ring of its own.
pub fn trace(device: Arc<dyn Device>) -> (Arc<dyn Device>, Arc<TraceRing>) {
    let ring = Arc::new(TraceRing::new(DEFAULT_CAPACITY));
    (trace_into(device, Arc::clone(&ring)), ring)
}

/// Traces a device into a ring that other devices may share; streams are numbered in the order in which they are made.
pub fn trace_into(device: Arc<dyn Device>, ring: Arc<TraceRing>) -> Arc<dyn Device> {
    let info = device.info();
    let device_name = format!("{}:{} {}", info.backend, info.index, info.name);
    LayerDevice::wrap(device, Arc::new(Trace { ring, device_name: device_name.into() }))
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// The operator of a run; otherwise the call.
    pub name: &'static str,
    /// The call.
    pub call: &'static str,
    /// Number of the stream in the ring.
    pub stream: u32,
    /// Position of the call on its stream, from 0.
    pub sequence: u64,
    /// Nanoseconds from the making of the ring to the call.
    pub start_ns: u64,
    /// Nanoseconds until the call returned.
    pub duration_ns: u64,
    /// The call returned an error.
    pub failed: bool,
}

/// The latest calls, in memory that is allocated once.
pub struct TraceRing {
    epoch: Instant,
    slots: Mutex<Slots>,
}

struct Slots {
    entries: Vec<TraceEntry>,
    capacity: usize,
    total: u64,
    /// Device of each stream.
    streams: Vec<Arc<str>>,
}

impl TraceRing {
    /// A ring of `capacity` calls, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let slots = Slots { entries: Vec::with_capacity(capacity), capacity, total: 0, streams: Vec::new() };
        TraceRing { epoch: Instant::now(), slots: Mutex::new(slots) }
    }

    /// Calls seen since the ring was made, the forgotten ones included.
    pub fn total(&self) -> u64 {
        self.slots().total
    }

    /// The calls that it still holds, oldest first.
    pub fn entries(&self) -> Vec<TraceEntry> {
        let slots = self.slots();
        let oldest = (slots.total % slots.entries.len().max(1) as u64) as usize;
        let (newer, older) = slots.entries.split_at(oldest);
        older.iter().chain(newer).copied().collect()
    }

    /// Writes the calls in the Chrome trace event format, which Perfetto reads too. Times are microseconds there.
    pub fn write_chrome(&self, out: &mut impl Write) -> io::Result<()> {
        let streams = self.slots().streams.clone();
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        for (tid, device) in streams.iter().enumerate() {
            let name = format!("{device} stream {tid}");
            let event = ThreadName { name: "thread_name", ph: "M", pid: 1, tid: tid as u32, args: NameArgs { name } };
            write_event(out, tid == 0, &event)?;
        }
        for entry in self.entries() {
            write_event(out, streams.is_empty(), &CallEvent::from(entry))?;
        }
        writeln!(out, "\n]}}")
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Entries are plain data, whole after each store.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_stream(&self, device: &Arc<str>) -> u32 {
        let mut slots = self.slots();
        slots.streams.push(Arc::clone(device));
        slots.streams.len() as u32 - 1
    }

    fn push(&self, entry: TraceEntry) {
        let mut slots = self.slots();
        match slots.entries.len() < slots.capacity {
            true => slots.entries.push(entry),
            false => {
                let place = (slots.total % slots.capacity as u64) as usize;
                slots.entries[place] = entry;
            }
        }
        slots.total += 1;
    }
}

fn write_event(out: &mut impl Write, first: bool, event: &impl Serialize) -> io::Result<()> {
    write!(out, "{}", if first { "\n" } else { ",\n" })?;
    serde_json::to_writer(&mut *out, event).map_err(io::Error::from)
}

#[derive(Serialize)]
struct ThreadName {
    name: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u32,
    args: NameArgs,
}

#[derive(Serialize)]
struct NameArgs {
    name: String,
}

#[derive(Serialize)]
struct CallEvent {
    name: &'static str,
    cat: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u32,
    ts: f64,
    dur: f64,
    args: CallArgs,
}

#[derive(Serialize)]
struct CallArgs {
    sequence: u64,
    failed: bool,
}

impl From<TraceEntry> for CallEvent {
    fn from(entry: TraceEntry) -> Self {
        CallEvent {
            name: entry.name,
            cat: entry.call,
            ph: "X",
            pid: 1,
            tid: entry.stream,
            ts: entry.start_ns as f64 / 1e3,
            dur: entry.duration_ns as f64 / 1e3,
            args: CallArgs { sequence: entry.sequence, failed: entry.failed },
        }
    }
}

struct Trace {
    ring: Arc<TraceRing>,
    device_name: Arc<str>,
}

/// The state of one stream.
struct StreamState {
    /// Set at the first call, so that streams of a device that is never used take no line in the viewer.
    number: AtomicU32,
    calls: AtomicU64,
}

/// A stream that has made no call.
const UNNUMBERED: u32 = u32::MAX;

impl StreamState {
    fn number(&self, trace: &Trace) -> u32 {
        match self.number.load(Relaxed) {
            UNNUMBERED => {
                let fresh = trace.ring.add_stream(&trace.device_name);
                match self.number.compare_exchange(UNNUMBERED, fresh, Relaxed, Relaxed) {
                    Ok(_) => fresh,
                    Err(earlier) => earlier,
                }
            }
            number => number,
        }
    }
}

impl Hook for Trace {
    type Stream = StreamState;
    type Event = ();

    fn stream(&self) -> StreamState {
        StreamState { number: AtomicU32::new(UNNUMBERED), calls: AtomicU64::new(0) }
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        let (stream, sequence) = (at.state.number(self), at.state.calls.fetch_add(1, Relaxed));
        let name = call.op().map_or(call.name(), |op| op.kind().name());
        let span = tracing::trace_span!("device_call", name, call = call.name(), stream, sequence);
        let _entered = span.enter();
        let start = self.ring.epoch.elapsed();
        let result = go();
        let duration = self.ring.epoch.elapsed() - start;
        self.ring.push(TraceEntry {
            name,
            call: call.name(),
            stream,
            sequence,
            start_ns: start.as_nanos() as u64,
            duration_ns: duration.as_nanos() as u64,
            failed: result.is_err(),
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing;
    use omnihal::Args;
    use std::time::Duration;

    #[test]
    fn the_trace_is_json_that_names_operators_streams_and_failures() {
        let (device, ring) = trace(testing::device());
        let (stream, plan) = (device.stream().unwrap(), device.plan(&testing::linear()).unwrap());
        let second = device.stream().unwrap();
        // SAFETY: the device under test computes nothing.
        unsafe { stream.run(&*plan, &Args::new(&[])) }.unwrap();
        stream.end_capture().err().unwrap();
        second.sync(Duration::ZERO).unwrap();
        let mut text = Vec::new();
        ring.write_chrome(&mut text).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        let calls: Vec<_> = events.iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(events.len() - calls.len(), 2, "one name for each stream");
        let line = |i: usize| (calls[i]["name"].as_str().unwrap(), calls[i]["tid"].as_u64().unwrap());
        assert_eq!([line(0), line(1), line(2)], [("gemm.linear", 0), ("end_capture", 0), ("sync", 1)]);
        assert_eq!(calls[1]["args"]["failed"], true);
        assert!(calls[0]["ts"].as_f64().unwrap() <= calls[1]["ts"].as_f64().unwrap());
    }

    #[test]
    fn an_empty_trace_is_json_too() {
        let mut text = Vec::new();
        TraceRing::new(4).write_chrome(&mut text).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["traceEvents"].as_array().unwrap().len(), 0);
    }

    #[test]
    fn a_full_ring_keeps_the_latest_calls_in_order() {
        let ring = Arc::new(TraceRing::new(3));
        let device = trace_into(testing::device(), Arc::clone(&ring));
        let stream = device.stream().unwrap();
        (0..5).for_each(|_| stream.sync(Duration::ZERO).unwrap());
        let kept: Vec<_> = ring.entries().iter().map(|e| e.sequence).collect();
        assert_eq!((ring.total(), kept), (5, vec![2, 3, 4]));
    }
}
