//! The books: every handle that lives, the current context of each thread, the first failure, counts of calls, and planned failures.

use crate::executor::Executor;
use crate::fault::{Answer, Fault, broken, code, refuse};
use crate::hccl::Comm;
use crate::memory::Memory;
use crate::stream::{Event, Stream, Tasks, lock};
use crate::tensor::{Object, Tensor};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Everything that lives.
#[derive(Default)]
pub struct Books {
    /// `aclInit` was called, `aclFinalize` was not.
    pub ready: bool,
    /// Times that each device is set.
    pub set: HashMap<i32, u32>,
    /// Live contexts and their devices.
    pub contexts: HashMap<u64, i32>,
    /// Live streams.
    pub streams: HashMap<u64, Arc<Stream>>,
    /// Default stream of each context.
    pub defaults: HashMap<u64, Arc<Stream>>,
    /// Live events, and their contexts.
    pub events: HashMap<u64, (Arc<Event>, u64)>,
    /// Captured graphs.
    pub graphs: HashMap<u64, Tasks>,
    /// Live memory.
    pub memory: Memory,
    /// Live tensors.
    pub tensors: HashMap<u64, Arc<Tensor>>,
    /// Live scalars, arrays and lists.
    pub objects: HashMap<u64, Arc<Object>>,
    /// Live communicators.
    pub comms: HashMap<u64, Arc<Comm>>,
    /// Live executors.
    pub executors: HashMap<u64, Executor>,
    /// Calls by name.
    pub calls: HashMap<String, u64>,
    planned: Vec<(String, u64, i32)>,
    read_plan: bool,
}

/// Contexts' handles: a device's default context is this plus its index.
pub const CONTEXT: u64 = 0xC0DE_0000;
/// Streams of a device (CANN runtime documents).
pub const MOST_STREAMS: usize = 1984;
/// Events of a device (CANN runtime documents).
pub const MOST_EVENTS: usize = 65536;

static NEXT: AtomicU64 = AtomicU64::new(0x1_0000);

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// The books, locked.
pub fn books() -> MutexGuard<'static, Books> {
    static BOOKS: OnceLock<Mutex<Books>> = OnceLock::new();
    lock(BOOKS.get_or_init(Mutex::default))
}

/// A new handle: never an address that anything could be read from, and never one that was used before.
pub fn handle() -> u64 {
    NEXT.fetch_add(0x10, Relaxed)
}

/// The context current on this thread, 0 for none.
pub fn current() -> u64 {
    CURRENT.with(Cell::get)
}

/// Makes a context current.
pub fn set_current(context: u64) {
    CURRENT.with(|current| current.set(context));
}

/// A variable of the environment as a number.
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

impl Books {
    /// Counts a call; the code with which it was planned to fail, if it was. `FAKE_CANN_FAIL=call:after:code,...`; the call `task` is a task's execution, `capture` what a
    /// capture turns out to be at its end.
    pub fn planned(&mut self, name: &str) -> Option<i32> {
        if !self.read_plan {
            self.read_plan = true;
            let text = std::env::var("FAKE_CANN_FAIL").unwrap_or_default();
            let one = |part: &str| {
                let mut words = part.split(':');
                Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            };
            self.planned.extend(text.split(',').filter_map(one));
        }
        match self.calls.get_mut(name) {
            Some(count) => *count += 1,
            None => _ = self.calls.insert(name.to_owned(), 1),
        }
        let at = self.planned.iter().position(|(call, ..)| call == name)?;
        if self.planned[at].1 == 0 {
            return Some(self.planned.remove(at).2);
        }
        self.planned[at].1 -= 1;
        None
    }

    /// Plans a failure of a call after `after` that go well.
    pub fn plan_failure(&mut self, name: &str, after: u64, code: i32) {
        self.planned.push((name.to_owned(), after, code));
    }

    /// A stream of the current context; null is that context's default stream.
    pub fn stream(&mut self, stream: u64) -> Answer<Arc<Stream>> {
        let context = current();
        if stream == 0 {
            return Ok(self.defaults.entry(context).or_insert_with(|| Arc::new(Stream::new(context, true))).clone());
        }
        match self.streams.get(&stream) {
            None => broken("handles", code::HANDLE, format!("stream {stream:#x} is not alive")),
            Some(found) if found.context != context => {
                broken("contexts", code::STREAM_CONTEXT, "a stream of another context than the current one")
            }
            Some(found) => Ok(found.clone()),
        }
    }

    /// A live event.
    pub fn event(&self, event: u64) -> Answer<(Arc<Event>, u64)> {
        match self.events.get(&event) {
            None => broken("handles", code::HANDLE, format!("event {event:#x} is not alive")),
            Some(found) => Ok(found.clone()),
        }
    }

    /// What lives: streams, events, graphs, device blocks, pinned blocks, tensors, other objects (communicators too), executors.
    pub fn live(&self) -> [u64; 8] {
        let [device, pinned] = self.memory.live();
        let all = [self.streams.len(), self.events.len(), self.graphs.len(), device, pinned];
        let host = [self.tensors.len(), self.objects.len() + self.comms.len(), self.executors.len()];
        let mut counts = [0; 8];
        all.iter().chain(&host).zip(&mut counts).for_each(|(n, to)| *to = *n as u64);
        counts
    }
}

/// The failure of a task, which stays.
pub struct Lost;

static LOST: Mutex<Option<Fault>> = Mutex::new(None);

impl Lost {
    /// Keeps the first.
    pub fn keep(fault: Fault) {
        eprintln!("stand-in CANN: a task failed with {}: {}", fault.code, fault.text);
        lock(&LOST).get_or_insert(fault);
    }

    /// The first, if there was one.
    pub fn cause() -> Option<Fault> {
        lock(&LOST).clone()
    }
}

/// What every device call checks first: initialised, a context current on this thread.
pub fn enter() -> Answer {
    let books = books();
    if !books.ready {
        drop(books);
        return broken("init", code::UNINITIALIZE, "a call before aclInit or after aclFinalize");
    }
    let known = books.contexts.contains_key(&current());
    drop(books);
    match known {
        true => Ok(()),
        false => broken("contexts", code::CONTEXT, "a call on a thread that has no context"),
    }
}

/// Refuses what an open capture forbids to this thread, and spoils that capture.
pub fn outside_captures(what: &str) -> Answer {
    let streams: Vec<_> = books().streams.values().cloned().collect();
    match streams.iter().find(|stream| stream.forbids()) {
        None => Ok(()),
        Some(stream) => {
            stream.spoil();
            broken("capture", code::CAPTURE_MODE, format!("{what} during a capture"))
        }
    }
}

/// Counts a call, runs it, keeps its words for the thread.
pub fn call(name: &str, body: impl FnOnce() -> Answer) -> i32 {
    let planned = books().planned(name);
    let answer = match planned {
        Some(code) => refuse(code, format!("{name} failed as planned")),
        None => body(),
    };
    match answer {
        Ok(()) => 0,
        Err(fault) => {
            crate::fault::tell(format!("{name}: {}", fault.text));
            fault.code
        }
    }
}
