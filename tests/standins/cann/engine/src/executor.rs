//! The two phases of an operator. An executor is used once, by the thread that made it, with nothing prepared in between, and by the second phase even if that refuses.

use crate::books::{books, current, enter, handle};
use crate::fault::{Answer, broken, code};
use crate::memory::Block;
use crate::ops;
use crate::stream::{Task, Work};
use crate::tensor::Tensor;
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::ThreadId;

/// What the first phase leaves.
pub struct Executor {
    operator: String,
    thread: ThreadId,
    context: u64,
    workspace: u64,
    call: ops::Call,
    /// Tensors that must be alive at the second phase.
    named: Vec<u64>,
}

/// A parameter of an operator, as it crosses from one library to the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// What it is, see the constants.
    pub kind: u32,
    /// Its value or handle.
    pub bits: u64,
}

/// Kinds of parameters.
pub mod kind {
    #![allow(missing_docs, reason = "named after the types")]
    pub const TENSOR: u32 = 0;
    pub const LIST: u32 = 1;
    pub const INTS: u32 = 2;
    pub const SCALAR: u32 = 3;
    pub const WHOLE: u32 = 4;
    pub const REAL: u32 = 5;
    pub const OTHER: u32 = 6;
}

thread_local! {
    /// The executor that this thread prepared and did not use yet.
    static OPEN: Cell<u64> = const { Cell::new(0) };
}

/// Sizes of workspaces: never 0, never twice the same in a row.
fn workspace_size() -> u64 {
    static DRAWN: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    let draw = DRAWN.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    let mixed = (draw ^ (draw >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    32 * (1 + (mixed >> 57))
}

/// The first phase.
pub fn first(operator: &str, args: &[Arg], size: *mut u64, executor: *mut u64) -> Answer {
    enter()?;
    if size.is_null() || executor.is_null() {
        return broken("null", code::NN_NULL, format!("{operator}: a null place for a result"));
    }
    let open = OPEN.get();
    if open != 0 && books().executors.contains_key(&open) {
        OPEN.set(0);
        return broken(
            "phases",
            code::NN_PARAM,
            format!("{operator} was prepared between the two phases of another operator"),
        );
    }
    let call = ops::prepare(operator, args)?;
    let workspace = workspace_size();
    let named = call.named.clone();
    let made = handle();
    let thread = std::thread::current().id();
    let kept = Executor { operator: operator.to_owned(), thread, context: current(), workspace, call, named };
    books().executors.insert(made, kept);
    OPEN.set(made);
    // SAFETY: the caller's places, checked above.
    unsafe {
        size.write(workspace);
        executor.write(made);
    }
    Ok(())
}

/// Forgets an executor that was not used.
pub fn forget(executor: u64) -> Answer {
    if OPEN.get() == executor {
        OPEN.set(0);
    }
    match books().executors.remove(&executor) {
        Some(_) => Ok(()),
        None => broken(
            "executors",
            code::NN_PARAM,
            "an executor was destroyed that is not alive: the second phase consumes it",
        ),
    }
}

/// Drops an executor if it is still there.
pub fn consume(executor: u64) {
    if OPEN.get() == executor {
        OPEN.set(0);
    }
    books().executors.remove(&executor);
}

/// The second phase. From here on the executor is gone, whatever happens.
pub fn second(operator: &str, workspace: u64, size: u64, executor: u64, stream: u64) -> Answer {
    enter()?;
    if OPEN.get() == executor {
        OPEN.set(0);
    }
    let Some(kept) = books().executors.remove(&executor) else {
        return broken("executors", code::NN_PARAM, format!("{operator}: the executor was used before, or never made"));
    };
    if kept.operator != operator {
        return broken("executors", code::NN_PARAM, format!("{operator} got the executor of {}", kept.operator));
    }
    if kept.thread != std::thread::current().id() {
        return broken("executors", code::NN_PARAM, format!("{operator}: the two phases ran on two threads"));
    }
    let stream = books().stream(stream)?;
    if stream.context != kept.context {
        return broken("contexts", code::STREAM_CONTEXT, format!("{operator}: the two phases ran in two contexts"));
    }
    let dead = {
        let books = books();
        kept.named.iter().any(|tensor| !books.tensors.contains_key(tensor))
    };
    if dead {
        return broken(
            "handles",
            code::NN_PARAM,
            format!("{operator}: a tensor was destroyed before the second phase"),
        );
    }
    let scratch = check_workspace(&kept, workspace, size)?;
    let mut blocks = vec![scratch.clone()];
    for tensor in kept.call.reads.iter().chain(&kept.call.writes) {
        blocks.push(tensor.check(operator)?);
    }
    note(operator);
    stream.push(Task::Run(Arc::new(work(kept, blocks, scratch, workspace))))
}

/// Appends the name of an operator that was enqueued to the file that `FAKE_CANN_CALLS` names.
fn note(operator: &str) {
    if let Some(path) = std::env::var_os("FAKE_CANN_CALLS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // A log that cannot be written is seen to be short.
        let _ = writeln!(file, "{operator}");
    }
}

fn check_workspace(kept: &Executor, workspace: u64, size: u64) -> Answer<Arc<Block>> {
    let operator = &kept.operator;
    if size != kept.workspace {
        let words = format!("{operator}: {size} bytes of workspace where the first phase asked for {}", kept.workspace);
        return broken("workspace", code::NN_PARAM, words);
    }
    if workspace == 0 {
        return broken(
            "workspace",
            code::NN_NULL,
            format!("{operator}: a null workspace where {size} bytes are wanted"),
        );
    }
    if workspace % 32 != 0 {
        return broken("workspace", code::NN_PARAM, format!("{operator}: the workspace is not aligned to 32 bytes"));
    }
    let end = workspace + size;
    let meets = |tensor: &&Tensor| {
        let (start, bytes) = tensor.range();
        start < end && workspace < start + bytes as u64
    };
    if kept.call.reads.iter().chain(&kept.call.writes).any(|tensor| meets(&tensor)) {
        return broken("workspace", code::NN_PARAM, format!("{operator}: the workspace overlaps a tensor"));
    }
    books().memory.device(workspace, size as usize, &format!("{operator}, workspace"))
}

/// The task: garbage in the workspace, the operator, other garbage in the workspace.
fn work(kept: Executor, blocks: Vec<Arc<Block>>, scratch: Arc<Block>, at: u64) -> Work {
    let size = kept.workspace as usize;
    let name = kept.operator;
    let call = kept.call;
    let action = Box::new(move || {
        // SAFETY: the block holds the workspace.
        unsafe { scratch.at(at).write_bytes(0x5a, size) };
        (call.action)()?;
        // SAFETY: as above.
        unsafe { scratch.at(at).write_bytes(0xff, size) };
        Ok(())
    });
    Work { name, blocks, action }
}
