//! Running cases in worker processes: what a case does to its process is that case's outcome, and the rest goes on.
//!
//! A worker is this very program, started again with other arguments. It opens the device, says what it opened, and then answers each case's name with its
//! result, one JSON line each ([`wire`]). The supervisor gives a worker one case at a time, so that it always knows which case a death belongs to.

mod process;
pub mod wire;
pub mod worker;

use crate::outcome::{CaseResult, Check, Outcome};
use crate::report::DeviceFacts;
use crate::suite::Item;
use process::{Answer, Worker};
use std::collections::VecDeque;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// Limits of one case.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time from the case's name to its result.
    pub time: Duration,
    /// Resident bytes of the worker.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        // The longest case takes seconds on two cores; the largest holds some hundred MiB in host memory.
        Limits { time: Duration::from_secs(120), memory: 8 << 30 }
    }
}

/// How to start a worker.
pub type Start<'a> = dyn Fn() -> Command + Sync + 'a;

/// Runs items in `jobs` workers. `done` is called once for each item, in the order in which they finish. An error says why no worker could be started at all.
pub fn run(
    items: &[Item],
    start: &Start<'_>,
    jobs: usize,
    limits: Limits,
    mut done: impl FnMut(usize, CaseResult),
) -> Result<(), String> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..items.len()).collect());
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let (send, queue) = (send.clone(), &queue);
            scope.spawn(move || {
                if let Err(error) = serve(items, queue, start, limits, &send) {
                    let _ = send.send(Err(error));
                }
            });
        }
        drop(send);
        let mut failed = None;
        for message in receive {
            match message {
                Ok((index, result)) => done(index, result),
                Err(error) => {
                    // One worker that cannot start means that none can: nothing more is begun.
                    if let Ok(mut queue) = queue.lock() {
                        queue.clear();
                    }
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    })
}

/// What a worker says of the device that it has opened.
pub fn device(start: &Start<'_>, limits: Limits) -> Result<DeviceFacts, String> {
    Worker::start(&mut start(), limits).map(|worker| worker.facts.clone())
}

type Done = Result<(usize, CaseResult), String>;

/// One worker after another, until the queue is empty.
fn serve(
    items: &[Item],
    queue: &Mutex<VecDeque<usize>>,
    start: &Start<'_>,
    limits: Limits,
    send: &mpsc::Sender<Done>,
) -> Result<(), String> {
    let mut worker: Option<Worker> = None;
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
    while let Some(index) = next() {
        let mut current = match worker.take() {
            Some(worker) => worker,
            None => Worker::start(&mut start(), limits)?,
        };
        let started = Instant::now();
        let answer = current.ask(&items[index].asked(), limits);
        let mut result = match answer {
            Answer::Result(result) => *result,
            Answer::Died(how) => blank(&items[index], Outcome::Crash).because(how),
            Answer::TooLate => {
                let text = format!("no answer within {} s; the worker was stopped", limits.time.as_secs_f64());
                blank(&items[index], Outcome::Timeout).because(text)
            }
            Answer::TooLarge(bytes) => {
                let text = format!("the worker grew to {} MiB and was stopped", bytes >> 20);
                blank(&items[index], Outcome::Crash).because(text)
            }
        };
        if result.millis == 0.0 {
            result.millis = started.elapsed().as_secs_f64() * 1e3;
        }
        // A case that wrote where nothing is its own may have damaged what later cases need: they get a new process.
        let clean = !result.findings.iter().any(|f| matches!(f.check, Check::Guards | Check::Inputs));
        if clean && !matches!(result.outcome, Outcome::Crash | Outcome::Timeout) {
            worker = Some(current);
        }
        if send.send(Ok((index, result))).is_err() {
            break;
        }
    }
    Ok(())
}

fn blank(item: &Item, outcome: Outcome) -> CaseResult {
    let (op, types) = item.place();
    CaseResult::new(item.id(), op, &types, outcome)
}
