//! Streams are threads that work late: a call that only enqueues has nothing done when it returns. Events, captured graphs.

use crate::books::{Lost, books};
use crate::fault::{Answer, Fault, broken, code, refuse};
use crate::memory::Block;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A piece of work and the memory it names.
pub struct Work {
    /// For messages.
    pub name: String,
    /// Blocks that must live until it has run.
    pub blocks: Vec<Arc<Block>>,
    /// What it does.
    pub action: Box<dyn Fn() -> Answer + Send + Sync>,
}

/// One enqueued task.
#[derive(Clone)]
pub enum Task {
    /// Work.
    Run(Arc<Work>),
    /// A mark.
    Record(Arc<Event>, u64),
    /// A mark whose number is drawn when it runs.
    RecordNow(Arc<Event>),
    /// A wait for a mark.
    Wait(Arc<Event>, u64),
    /// A wait for whatever mark is the newest when it runs.
    WaitNow(Arc<Event>),
    /// A whole graph.
    Graph(Tasks),
}

/// The tasks of a graph.
pub type Tasks = Arc<Vec<Task>>;

impl Task {
    fn blocks(&self, each: &mut dyn FnMut(&Arc<Block>)) {
        match self {
            Task::Run(work) => work.blocks.iter().for_each(each),
            Task::Graph(tasks) => tasks.iter().for_each(|task| task.blocks(each)),
            _ => {}
        }
    }
}

/// A point in a stream.
pub struct Event {
    /// Flags it was made with.
    pub flags: u32,
    marks: Mutex<Marks>,
    passed: Condvar,
}

#[derive(Default)]
struct Marks {
    enqueued: u64,
    /// Marks that have not passed. One event may be recorded on several streams, so a later mark can pass first.
    open: BTreeSet<u64>,
    captured: bool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Event {
    /// An event that was never recorded.
    pub fn new(flags: u32) -> Event {
        Event { flags, marks: Mutex::default(), passed: Condvar::new() }
    }

    /// Numbers a new mark.
    pub fn mark(&self) -> u64 {
        let mut marks = lock(&self.marks);
        marks.enqueued += 1;
        marks.captured = false;
        let mark = marks.enqueued;
        marks.open.insert(mark);
        mark
    }

    /// Says that the newest mark lies in a capture.
    pub fn captured(&self) {
        lock(&self.marks).captured = true;
    }

    /// True while the newest mark lies in a capture.
    pub fn is_captured(&self) -> bool {
        lock(&self.marks).captured
    }

    /// The newest mark.
    pub fn newest(&self) -> u64 {
        lock(&self.marks).enqueued
    }

    /// True once the newest mark has passed.
    pub fn done(&self) -> bool {
        let marks = lock(&self.marks);
        !marks.open.contains(&marks.enqueued)
    }

    fn pass(&self, mark: u64) {
        let mut marks = lock(&self.marks);
        marks.open.remove(&mark);
        self.passed.notify_all();
    }

    fn hold(&self, mark: u64) {
        let mut marks = lock(&self.marks);
        while marks.open.contains(&mark) && Lost::cause().is_none() {
            marks =
                self.passed.wait_timeout(marks, Duration::from_millis(20)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the newest mark; false if the limit passed first.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let start = Instant::now();
        let mut marks = lock(&self.marks);
        while marks.open.contains(&marks.enqueued) && Lost::cause().is_none() {
            if limit.is_some_and(|limit| start.elapsed() >= limit) {
                return false;
            }
            marks = self.passed.wait_timeout(marks, Duration::from_millis(1)).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// What a stream collects while it is captured.
struct Capture {
    tasks: Vec<Task>,
    by: ThreadId,
    mode: i32,
    /// A forbidden call was made.
    invalid: bool,
}

/// A queue and its thread.
pub struct Stream {
    /// The context it belongs to.
    pub context: u64,
    /// The default stream cannot be captured.
    pub default: bool,
    /// After a failed task no other runs.
    pub stops: AtomicBool,
    queue: Mutex<Sender<Task>>,
    counts: Arc<(AtomicU64, AtomicU64)>,
    capture: Mutex<Option<Capture>>,
}

impl Stream {
    /// Starts the thread.
    pub fn new(context: u64, default: bool) -> Stream {
        let (sender, receiver) = channel();
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let mine = counts.clone();
        std::thread::spawn(move || work(&receiver, &mine.1));
        let (stops, queue, capture) = (AtomicBool::new(false), Mutex::new(sender), Mutex::new(None));
        Stream { context, default, stops, queue, counts, capture }
    }

    /// Enqueues, or collects during a capture.
    pub fn push(&self, task: Task) -> Answer {
        if let Some(capture) = lock(&self.capture).as_mut() {
            if capture.invalid {
                return refuse(code::CAPTURE_INVALID, "the capture is invalid");
            }
            capture.tasks.push(task);
            return Ok(());
        }
        if let Some(fault) = Lost::cause() {
            return Err(fault);
        }
        let mut freed = false;
        task.blocks(&mut |block| {
            block.pending.fetch_add(1, Relaxed);
            freed |= block.freed.load(Relaxed);
        });
        if freed {
            task.blocks(&mut |block| _ = block.pending.fetch_sub(1, Relaxed));
            return broken("freed memory", code::PARAM, "a graph was launched that names memory which was freed");
        }
        self.counts.0.fetch_add(1, Relaxed);
        lock(&self.queue)
            .send(task)
            .map_err(|_| Fault { code: code::RESOURCE, text: "the stream has ended".to_owned() })
    }

    /// Refuses what a capture forbids, and spoils the capture.
    pub fn outside_capture(&self, what: &str) -> Answer {
        match lock(&self.capture).as_mut() {
            None => Ok(()),
            Some(capture) => {
                capture.invalid = true;
                broken("capture", code::CAPTURE_BLOCKED, format!("{what} of a stream that is captured"))
            }
        }
    }

    /// True while a capture is open.
    pub fn is_capturing(&self) -> bool {
        lock(&self.capture).is_some()
    }

    /// True if this thread has an open capture here, or another has one that forbids things to all.
    pub fn forbids(&self) -> bool {
        let me = std::thread::current().id();
        lock(&self.capture).as_ref().is_some_and(|capture| capture.mode == 0 || (capture.mode == 1 && capture.by == me))
    }

    /// Spoils an open capture.
    pub fn spoil(&self) {
        if let Some(capture) = lock(&self.capture).as_mut() {
            capture.invalid = true;
        }
    }

    /// Opens a capture.
    pub fn begin_capture(&self, mode: i32) -> Answer {
        if self.default {
            return broken("capture", code::CAPTURE_IMPLICIT, "the default stream cannot be captured");
        }
        let mut capture = lock(&self.capture);
        match capture.is_some() {
            true => broken("capture", code::STREAM_CAPTURED, "the stream is captured already"),
            false => {
                let by = std::thread::current().id();
                *capture = Some(Capture { tasks: Vec::new(), by, mode, invalid: false });
                Ok(())
            }
        }
    }

    /// State of the capture: 0 none, 1 active, 2 invalid.
    pub fn capture_state(&self) -> i32 {
        lock(&self.capture).as_ref().map_or(0, |capture| if capture.invalid { 2 } else { 1 })
    }

    /// Ends the capture and gives what it collected.
    pub fn end_capture(&self) -> Answer<Vec<Task>> {
        let mut open = lock(&self.capture);
        match open.as_ref() {
            None => return broken("capture", code::NOT_CAPTURED, "no capture to end"),
            Some(capture) if capture.mode != 2 && capture.by != std::thread::current().id() => {
                return broken("capture", code::CAPTURE_THREAD, "a capture ended by another thread");
            }
            _ => {}
        }
        match open.take() {
            Some(capture) if !capture.invalid => Ok(capture.tasks),
            _ => refuse(code::CAPTURE_INVALID, "the capture was invalidated"),
        }
    }

    /// True if nothing is left to do.
    pub fn idle(&self) -> bool {
        self.counts.1.load(Relaxed) >= self.counts.0.load(Relaxed)
    }

    /// Waits until nothing is left to do; false if the limit passed first.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let start = Instant::now();
        while !self.idle() {
            if limit.is_some_and(|limit| start.elapsed() >= limit) {
                return false;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        true
    }
}

fn work(queue: &Receiver<Task>, done: &AtomicU64) {
    let mut lateness = 0x9e37_79b9_7f4a_7c15u64;
    while let Ok(task) = queue.recv() {
        // Now and then the stream is late, so that a host that forgot to wait is found out.
        lateness = lateness.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if lateness >> 58 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
        execute(&task);
        task.blocks(&mut |block| _ = block.pending.fetch_sub(1, Relaxed));
        done.fetch_add(1, Relaxed);
    }
}

fn execute(task: &Task) {
    if Lost::cause().is_some() {
        // A failed context runs nothing more; marks pass so that nobody waits for ever.
        if let Task::Record(event, mark) = task {
            event.pass(*mark);
        }
        return;
    }
    match task {
        Task::Run(work) => {
            if let Err(fault) = run(work) {
                Lost::keep(fault);
            }
        }
        Task::Record(event, mark) => event.pass(*mark),
        Task::RecordNow(event) => {
            let mark = event.mark();
            event.pass(mark);
        }
        Task::Wait(event, mark) => event.hold(*mark),
        Task::WaitNow(event) => event.hold(event.newest()),
        Task::Graph(tasks) => tasks.iter().for_each(execute),
    }
}

fn run(work: &Work) -> Answer {
    if work.blocks.iter().any(|block| block.freed.load(Relaxed)) {
        let words = format!("{} reached memory that was freed before it ran", work.name);
        return broken("freed memory", code::AICORE, words);
    }
    if let Some(code) = books().planned("task") {
        return refuse(code, format!("{} failed as planned", work.name));
    }
    (work.action)()
}
