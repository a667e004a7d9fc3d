//! The worker threads of a device. A run of tasks allocates nothing and costs two atomic hand-overs.
//!
//! A worker joins a job while it is open; the caller works too, closes the job when no task is left to hand out, and waits only for the
//! workers that joined. So a worker that the host has not scheduled delays nobody.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// More threads than any host of today has; a guard against a mistyped number.
pub(crate) const MAX_THREADS: usize = 1024;

/// Rounds of spinning before a worker sleeps: some tens of microseconds, longer than the gap between two operators of a step.
const SPINS_BEFORE_SLEEP: u32 = 20_000;

/// Rounds of spinning before the caller yields its core to a worker that the host has not scheduled.
const SPINS_BEFORE_YIELD: u32 = 2_000;

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

struct Job {
    task: *const Task<'static>,
    tasks: usize,
}

struct Shared {
    /// Number of the present job, whether it is [`OPEN`], and how many workers are in it.
    state: AtomicU64,
    job: UnsafeCell<Job>,
    next: AtomicUsize,
    sleeping: AtomicUsize,
    quit: AtomicBool,
    panicked: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// Bit of the state that lets workers in. The workers inside are counted below it, jobs above.
const OPEN: u64 = 1 << 32;

/// Step of the job number.
const JOB: u64 = OPEN << 1;

// SAFETY: `job` is written only by the holder of the turn while the state is closed and empty, and published by opening it.
unsafe impl Sync for Shared {}
// SAFETY: the task pointer is used only while the call that owns the task waits for the workers.
unsafe impl Send for Shared {}

/// A fixed set of threads that run numbered tasks.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One run at a time: callers on several host threads take turns.
    turn: Mutex<()>,
}

thread_local! {
    /// This thread's number in the run it takes part in.
    static INSIDE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Marks this thread as running a task until dropped, also by a panic.
struct Inside;

impl Inside {
    fn enter(thread: usize) -> Inside {
        INSIDE.set(Some(thread));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(None);
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller of [`Pool::run`] included.
    pub(crate) fn new(threads: usize) -> std::io::Result<Pool> {
        let idle: &Task<'static> = &|_, _| {};
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(Job { task: idle, tasks: 0 }),
            next: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let mut pool = Pool { shared, workers: Vec::new(), turn: Mutex::new(()) };
        for thread in 1..threads {
            let shared = pool.shared.clone();
            let worker = std::thread::Builder::new().name(format!("omnihal-cpu-{thread}"));
            pool.workers.push(worker.spawn(move || work(&shared, thread))?);
        }
        Ok(pool)
    }

    /// Number of threads. The second argument of a task is below it.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i, thread)` once for each `i` below `tasks`, on any thread, and returns when all calls have.
    ///
    /// Tasks are handed out in ascending order. A call from inside a task runs on that task's thread alone.
    pub(crate) fn run(&self, tasks: usize, task: &Task<'_>) {
        if let Some(thread) = INSIDE.get() {
            return (0..tasks).for_each(|i| task(i, thread));
        }
        if tasks <= 1 || self.workers.is_empty() {
            let _inside = Inside::enter(0);
            return (0..tasks).for_each(|i| task(i, 0));
        }
        let turn = lock(&self.turn);
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased. No worker touches the task after the job is closed and empty, which this call waits for.
        let task = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        // SAFETY: the turn is held and the state is closed and empty, so nobody else looks at the job.
        unsafe { *shared.job.get() = Job { task, tasks } };
        shared.next.store(0, Ordering::Relaxed);
        let number = (shared.state.load(Ordering::Relaxed) / JOB).wrapping_add(1);
        shared.state.store(number.wrapping_mul(JOB) | OPEN, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            let _guard = lock(&shared.sleep);
            shared.wake.notify_all();
        }
        let mine = take_part(shared, 0);
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let empty = || shared.state.load(Ordering::Acquire) % OPEN == 0;
        wait_until(SPINS_BEFORE_YIELD, empty, std::thread::yield_now);
        let failed = shared.panicked.swap(false, Ordering::Relaxed);
        drop(turn);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!failed, "a worker thread of the cpu device panicked");
    }

    /// Splits `0..items` into ranges of at most `grain` items and calls `task(range, thread)` for each.
    pub(crate) fn ranges(&self, items: usize, grain: usize, task: &(dyn Fn(std::ops::Range<usize>, usize) + Sync)) {
        let grain = grain.max(1);
        self.run(items.div_ceil(grain), &|i, thread| task(i * grain..((i + 1) * grain).min(items), thread));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.state.fetch_add(JOB, Ordering::SeqCst);
        {
            let _guard = lock(&self.shared.sleep);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it ends well.
            let _ = worker.join();
        }
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_part(shared: &Shared, thread: usize) -> Result<(), Box<dyn Any + Send>> {
    let _inside = Inside::enter(thread);
    // SAFETY: the job does not change while this thread is in it (or holds the turn).
    let job = unsafe { &*shared.job.get() };
    // SAFETY: the task outlives the run, see `Pool::run`.
    let task = unsafe { &*job.task };
    catch_unwind(AssertUnwindSafe(|| {
        loop {
            let i = shared.next.fetch_add(1, Ordering::Relaxed);
            if i >= job.tasks {
                break;
            }
            task(i, thread);
        }
    }))
}

fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    loop {
        let changed = || shared.state.load(Ordering::Acquire) / JOB != seen;
        wait_until(SPINS_BEFORE_SLEEP, changed, || sleep(shared, seen));
        if shared.quit.load(Ordering::Acquire) {
            return;
        }
        let state = shared.state.load(Ordering::Acquire);
        seen = state / JOB;
        if !join(shared, state) {
            continue;
        }
        if take_part(shared, thread).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.state.fetch_sub(1, Ordering::Release);
    }
}

/// Enters the job of `state` unless it has been closed.
fn join(shared: &Shared, mut state: u64) -> bool {
    let job = state / JOB;
    while state & OPEN != 0 && state / JOB == job {
        match shared.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(now) => state = now,
        }
    }
    false
}

/// Sleeps until the job differs from number `seen`.
fn sleep(shared: &Shared, seen: u64) {
    let mut guard = lock(&shared.sleep);
    shared.sleeping.fetch_add(1, Ordering::SeqCst);
    while shared.state.load(Ordering::SeqCst) / JOB == seen {
        guard = shared.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
    shared.sleeping.fetch_sub(1, Ordering::SeqCst);
}

/// Spins until `done`, calling `give_way` each time the spins are used up.
fn wait_until(spins: u32, done: impl Fn() -> bool, mut give_way: impl FnMut()) {
    loop {
        for _ in 0..spins {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        give_way();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_a_legal_thread() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads).unwrap();
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|i, thread| {
                    assert!(thread < threads);
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn callers_on_several_threads_and_nested_calls_finish() {
        let pool = Pool::new(3).unwrap();
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(5, &|_, _| {
                            pool.run(3, &|_, _| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 200 * 5 * 3);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(2).unwrap();
        let run = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|i, _| assert_ne!(i, 5))));
        assert!(run.is_err());
        let total = AtomicUsize::new(0);
        pool.run(8, &|i, _| {
            total.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(total.load(Ordering::Relaxed), 28);
    }

    #[test]
    fn workers_wake_from_sleep() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let total = AtomicUsize::new(0);
            pool.run(4, &|_, _| {
                total.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(total.load(Ordering::Relaxed), 4);
        }
    }
}
