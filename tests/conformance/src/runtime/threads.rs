//! Calls from many threads at once.

use super::chain::{binary, flip};
use super::rig::{Notes, PATIENCE, Rig};
use super::{Chain, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::op::elementwise::Arith;
use omnihal::{Error, ErrorKind, MemoryKind, Result};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const GROUP: &str = "runtime.threads";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/threads/eight_threads_with_a_stream_each", GROUP, own_streams),
    quick("runtime/threads/eight_threads_on_one_stream", GROUP, one_stream),
    quick("runtime/threads/plans_and_memory_from_eight_threads", GROUP, plan_and_alloc),
    quick("runtime/threads/one_thread_waits_while_another_enqueues", GROUP, wait_beside),
];

const THREADS: u64 = 8;

/// Does the same on several threads and gathers the results.
pub(super) fn on_threads<T: Send>(count: u64, work: &(dyn Fn(u64) -> Result<T> + Sync)) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..count).map(|thread| scope.spawn(move || work(thread))).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Result<T>>| {
            handle.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Execution, "a call panicked on its thread")))
        };
        // All are joined before the first error is returned.
        handles.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

fn gather(all: Vec<Notes>) -> Result<Verdict> {
    let mut notes = Notes::default();
    all.into_iter().for_each(|n| notes.merge(n));
    notes.verdict()
}

fn own_streams(target: &Target, seed: u64) -> Result<Verdict> {
    let rig = Rig::new(target.device());
    let work = |thread: u64| -> Result<Notes> {
        let mut notes = Notes::default();
        let mut random = Random::new(seed ^ thread);
        let queue = rig.queue()?;
        let mut chain = Chain::new(&rig, &queue, 30 + 50 * thread as usize, &mut random)?;
        for round in 0..5 {
            chain.walk(&queue, 8, &mut random)?;
            let what = || format!("the stream of thread {thread} in round {round}");
            notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
        }
        Ok(notes)
    };
    gather(on_threads(THREADS, &work)?)
}

/// Calls of different threads come in some order, those of one thread in theirs.
fn one_stream(target: &Target, seed: u64) -> Result<Verdict> {
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let work = |thread: u64| -> Result<Notes> {
        let mut notes = Notes::default();
        let mut random = Random::new(seed ^ thread);
        let mut chain = Chain::new(&rig, &queue, 25 + thread as usize, &mut random)?;
        for round in 0..5 {
            chain.walk(&queue, 5, &mut random)?;
            let what = || format!("the state of thread {thread} in round {round}, on one stream with others");
            notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
        }
        Ok(notes)
    };
    gather(on_threads(THREADS, &work)?)
}

fn plan_and_alloc(target: &Target, seed: u64) -> Result<Verdict> {
    let device = target.device();
    let work = |thread: u64| -> Result<Notes> {
        let mut notes = Notes::default();
        let mut random = Random::new(seed ^ thread);
        for round in 0..60 {
            let n = 1 + random.below(500);
            let op = if round % 2 == 0 { flip(n, round as f32) } else { binary(n, Arith::Max) };
            let plan = device.plan(&op)?;
            notes.rule(*plan.op() == op, || format!("a plan of {op:?} made beside others is of {:?}", plan.op()));
            let kind = if round % 3 == 0 { MemoryKind::Pinned } else { MemoryKind::Device };
            let buffer = device.alloc(n, kind)?;
            notes.rule(buffer.len() == n && buffer.kind() == kind, || {
                format!("{n} bytes of {kind:?} memory, made beside others, are {} of {:?}", buffer.len(), buffer.kind())
            });
            if round % 10 == 0 {
                let (stream, event) = (device.stream()?, device.event()?);
                stream.record(&*event)?;
                event.sync(PATIENCE)?;
            }
        }
        Ok(notes)
    };
    gather(on_threads(THREADS, &work)?)
}

/// One thread polls, syncs and reads events of a stream on which another enqueues.
fn wait_beside(target: &Target, seed: u64) -> Result<Verdict> {
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let event = rig.device().event()?;
    let over = AtomicBool::new(false);
    let work = |thread: u64| -> Result<Notes> {
        let mut notes = Notes::default();
        if thread == 0 {
            let mut random = Random::new(seed);
            let walked = (|| {
                let mut chain = Chain::new(&rig, &queue, 64, &mut random)?;
                for _ in 0..20 {
                    chain.walk(&queue, 4, &mut random)?;
                    queue.record(&*event)?;
                }
                let what = || "the state after calls beside another thread's waits".into();
                notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
                Ok(())
            })();
            over.store(true, SeqCst);
            return walked.map(|()| notes);
        }
        while !over.load(SeqCst) {
            queue.poll()?;
            event.poll()?;
            event.sync(PATIENCE)?;
            queue.finish()?;
        }
        Ok(notes)
    };
    gather(on_threads(3, &work)?)
}
