//! Streams are threads that work late: a call that only enqueues has nothing done when it returns. Events, captured graphs.

use crate::codes::{self, Code};
use crate::module::{Kernel, Launch};
use crate::state::{self, state};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One enqueued call.
#[derive(Clone)]
pub enum Node {
    /// A kernel.
    Run(Arc<Kernel>, Launch, Arc<[u64]>),
    /// A function of the host with its data.
    Host(extern "C" fn(*mut c_void), usize),
    /// A copy: destination, source, bytes.
    Copy(usize, usize, usize),
    /// A fill.
    Fill(usize, u8, usize),
    /// A mark.
    Record(Arc<Event>, u64),
    /// In a capture: a mark whose number is drawn at each launch.
    RecordNow(Arc<Event>),
    /// A wait for a mark.
    Wait(Arc<Event>, u64),
    /// In a capture: a wait for whatever mark is the newest at the launch.
    WaitNow(Arc<Event>),
    /// A whole graph.
    Graph(GraphNodes),
}

/// The nodes of a graph.
pub type GraphNodes = Arc<Vec<Node>>;

/// A point in a stream.
#[derive(Default)]
pub struct Event {
    /// Marks enqueued so far, marks passed so far, and whether the newest lies in a capture.
    marks: Mutex<(u64, u64, bool)>,
    passed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Event {
    /// Numbers a new mark.
    pub fn mark(&self) -> u64 {
        let mut marks = lock(&self.marks);
        marks.0 += 1;
        marks.2 = false;
        marks.0
    }

    /// Says that the newest mark lies in a capture.
    pub fn captured(&self) {
        lock(&self.marks).2 = true;
    }

    /// True while the newest mark lies in a capture.
    pub fn is_captured(&self) -> bool {
        lock(&self.marks).2
    }

    /// The newest mark.
    pub fn newest(&self) -> u64 {
        lock(&self.marks).0
    }

    /// True once the newest mark has passed.
    pub fn done(&self) -> bool {
        let marks = lock(&self.marks);
        marks.1 >= marks.0
    }

    fn pass(&self, mark: u64) {
        let mut marks = lock(&self.marks);
        marks.1 = marks.1.max(mark);
        self.passed.notify_all();
    }

    fn wait(&self, mark: u64) {
        let mut marks = lock(&self.marks);
        while marks.1 < mark && state::lost().is_none() {
            marks =
                self.passed.wait_timeout(marks, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a stream collects while it is captured.
struct Capture {
    nodes: Vec<Node>,
    /// A forbidden call was made.
    invalid: bool,
}

/// A queue and its thread.
pub struct Stream {
    queue: Mutex<Sender<Node>>,
    counts: Arc<(AtomicU64, AtomicU64)>,
    capture: Mutex<Option<Capture>>,
}

impl Stream {
    /// Starts the thread.
    pub fn new() -> Stream {
        let (sender, receiver) = channel();
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let mine = counts.clone();
        std::thread::spawn(move || work(&receiver, &mine.1));
        Stream { queue: Mutex::new(sender), counts, capture: Mutex::new(None) }
    }

    /// Enqueues, or collects during a capture.
    pub fn push(&self, node: Node) -> Result<(), Code> {
        if let Some(capture) = lock(&self.capture).as_mut() {
            if capture.invalid {
                return Err(codes::CAPTURE_INVALIDATED);
            }
            capture.nodes.push(node);
            return Ok(());
        }
        self.counts.0.fetch_add(1, Relaxed);
        lock(&self.queue).send(node).map_err(|_| codes::LAUNCH_FAILED)
    }

    /// Refuses what a capture forbids, and spoils the capture.
    pub fn outside_capture(&self) -> Result<(), Code> {
        match lock(&self.capture).as_mut() {
            None => Ok(()),
            Some(capture) => {
                capture.invalid = true;
                Err(codes::CAPTURE_UNSUPPORTED)
            }
        }
    }

    /// True while a capture is open.
    pub fn is_capturing(&self) -> bool {
        lock(&self.capture).is_some()
    }

    /// Opens a capture.
    pub fn begin_capture(&self) -> Result<(), Code> {
        let mut capture = lock(&self.capture);
        match capture.is_some() {
            true => Err(codes::CAPTURE_UNSUPPORTED),
            false => {
                *capture = Some(Capture { nodes: Vec::new(), invalid: false });
                Ok(())
            }
        }
    }

    /// Ends the capture and gives what it collected.
    pub fn end_capture(&self) -> Result<Vec<Node>, Code> {
        let capture = lock(&self.capture).take().ok_or(codes::CAPTURE_UNMATCHED)?;
        if capture.invalid { Err(codes::CAPTURE_INVALIDATED) } else { Ok(capture.nodes) }
    }

    /// True if nothing is left to do.
    pub fn idle(&self) -> bool {
        self.counts.1.load(Relaxed) >= self.counts.0.load(Relaxed)
    }
}

fn work(queue: &Receiver<Node>, done: &AtomicU64) {
    let schedule = Schedule::from_environment();
    let mut lateness = 0x9e37_79b9_7f4a_7c15u64;
    while let Ok(node) = queue.recv() {
        // Now and then the stream is late, so that a host that forgot to wait is found out.
        lateness = lateness.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if lateness >> 58 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        execute(&node, &schedule);
        done.fetch_add(1, Relaxed);
    }
}

/// The order in which the threads of a block are run: `FAKE_CUDA_ORDER=forward|reverse|SEED`.
struct Schedule {
    order: u32,
    seed: u64,
}

impl Schedule {
    fn from_environment() -> Schedule {
        match std::env::var("FAKE_CUDA_ORDER").as_deref() {
            Err(_) | Ok("forward") => Schedule { order: 0, seed: 0 },
            Ok("reverse") => Schedule { order: 1, seed: 0 },
            Ok(seed) => Schedule { order: 2, seed: seed.parse().unwrap_or(1) },
        }
    }
}

fn fail(code: Code, words: &str) {
    eprintln!("stand-in driver: {words}");
    state::lose(code);
}

fn execute(node: &Node, schedule: &Schedule) {
    if state::lost().is_some() {
        // A failed context runs nothing more; marks pass so that nobody waits for ever.
        if let Node::Record(event, mark) = node {
            event.pass(*mark);
        }
        return;
    }
    match node {
        Node::Run(..) | Node::Host(..) | Node::Fill(..) | Node::Copy(..) if state::dry() => {}
        Node::Run(kernel, launch, params) => {
            let launch = Launch { order: schedule.order, seed: schedule.seed, ..*launch };
            // SAFETY: whoever enqueued the kernel answers for the addresses.
            if let Err(words) = unsafe { kernel.run(&launch, params) } {
                fail(codes::LAUNCH_FAILED, &format!("kernel {}: {words}", kernel.name));
            }
        }
        Node::Host(function, data) => function(*data as *mut c_void),
        Node::Copy(to, from, bytes) => {
            let memory = &state().memory;
            if memory.holds(*to, *bytes).is_none() || memory.holds(*from, *bytes).is_none() {
                return fail(
                    codes::ILLEGAL_ADDRESS,
                    &format!("a copy of {bytes} bytes reaches memory that was freed or never allocated"),
                );
            }
            // SAFETY: both ranges are alive; the books are locked, so nobody frees them meanwhile.
            unsafe { (*from as *const u8).copy_to(*to as *mut u8, *bytes) };
        }
        Node::Fill(at, byte, bytes) => {
            let memory = &state().memory;
            if memory.holds(*at, *bytes).is_none() {
                return fail(
                    codes::ILLEGAL_ADDRESS,
                    &format!("a fill of {bytes} bytes reaches memory that was freed or never allocated"),
                );
            }
            // SAFETY: as above.
            unsafe { (*at as *mut u8).write_bytes(*byte, *bytes) };
        }
        Node::Record(event, mark) => event.pass(*mark),
        Node::Wait(event, mark) => event.wait(*mark),
        // Only captures hold these, and a launch replaces them.
        Node::RecordNow(_) | Node::WaitNow(_) => {}
        Node::Graph(nodes) => nodes.iter().for_each(|node| execute(node, schedule)),
    }
}
