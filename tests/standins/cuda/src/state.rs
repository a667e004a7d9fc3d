//! The books: every handle that lives, the current context of each thread, the first failure, counts of calls, and planned failures.

use crate::codes::{self, Code};
use crate::memory::Memory;
use crate::module::Module;
use crate::stream::{Event, GraphNodes, Stream};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Everything that lives.
#[derive(Default)]
pub struct State {
    /// Times that the primary context is retained.
    pub retained: u32,
    /// Live streams.
    pub streams: HashMap<usize, Arc<Stream>>,
    /// Live events.
    pub events: HashMap<usize, Arc<Event>>,
    /// Captured graphs.
    pub graphs: HashMap<usize, GraphNodes>,
    /// Executable graphs.
    pub execs: HashMap<usize, GraphNodes>,
    /// Loaded modules.
    pub modules: HashMap<usize, Arc<Module>>,
    /// Live memory.
    pub memory: Memory,
    /// Calls by name.
    pub calls: HashMap<&'static str, u64>,
    /// Calls that must fail: name, how many go well before, code.
    pub planned: Vec<(String, u64, Code)>,
}

/// The one context's handle.
pub const CONTEXT: usize = 0xC0DE;
/// Sticky failure of the context, 0 for none.
static LOST: AtomicU32 = AtomicU32::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0x1000);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The books, locked.
pub fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    let state = STATE.get_or_init(|| Mutex::new(State { planned: planned(), ..State::default() }));
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `FAKE_CUDA_FAIL=call:after:code,...`
fn planned() -> Vec<(String, u64, Code)> {
    let text = std::env::var("FAKE_CUDA_FAIL").unwrap_or_default();
    let one = |part: &str| {
        let mut words = part.split(':');
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    text.split(',').filter_map(one).collect()
}

/// A new handle: never an address that anything could be read from.
pub fn handle() -> usize {
    NEXT.fetch_add(0x10, Relaxed) as usize
}

/// The context current on this thread.
pub fn current() -> usize {
    CURRENT.with(Cell::get)
}

/// Makes a context current.
pub fn set_current(context: usize) {
    CURRENT.with(|current| current.set(context));
}

/// Keeps the first failure of the context.
pub fn lose(code: Code) {
    let _ = LOST.compare_exchange(0, code, Relaxed, Relaxed);
}

/// The failure of the context, if it has failed.
pub fn lost() -> Option<Code> {
    Some(LOST.load(Relaxed)).filter(|&code| code != codes::SUCCESS)
}

/// Counts a call; fails if it was planned to.
pub fn count(name: &'static str) -> Result<(), Code> {
    let mut state = state();
    *state.calls.entry(name).or_default() += 1;
    if let Some(at) = state.planned.iter().position(|(call, _, _)| call == name) {
        if state.planned[at].1 == 0 {
            let code = state.planned.remove(at).2;
            return Err(code);
        }
        state.planned[at].1 -= 1;
    }
    Ok(())
}

/// What nearly every call checks first: it is not planned to fail, a retained context is current, and that has not failed.
pub fn enter(name: &'static str) -> Result<(), Code> {
    count(name)?;
    if current() != CONTEXT || state().retained == 0 {
        return Err(codes::INVALID_CONTEXT);
    }
    lost().map_or(Ok(()), Err)
}

/// `FAKE_CUDA_DRY`: launches are checked and counted, and touch no memory, so that their sizes may be those of the largest models.
pub fn dry() -> bool {
    static DRY: OnceLock<bool> = OnceLock::new();
    *DRY.get_or_init(|| std::env::var_os("FAKE_CUDA_DRY").is_some())
}
