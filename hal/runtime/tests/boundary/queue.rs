//! What both stand-ins share: memory, and queues that run late.

use std::sync::{Arc, Mutex};

/// Work of a queue: returns a vendor code, 0 for success.
pub type Work = Arc<dyn Fn() -> i32 + Send + Sync>;

/// A queue that runs nothing until somebody waits, and can collect instead.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Work>,
    captured: Option<Vec<Work>>,
    /// First failure; it stays.
    failed: i32,
}

impl Queue {
    pub fn push(&self, work: Work) -> i32 {
        let mut state = self.state.lock().unwrap();
        if state.failed == 0 {
            match &mut state.captured {
                Some(captured) => captured.push(work),
                None => state.waiting.push(work),
            }
        }
        state.failed
    }

    pub fn begin_capture(&self) {
        self.state.lock().unwrap().captured = Some(Vec::new());
    }

    pub fn end_capture(&self) -> Vec<Work> {
        self.state.lock().unwrap().captured.take().unwrap_or_default()
    }

    pub fn synchronize(&self) -> i32 {
        let mut state = self.state.lock().unwrap();
        for work in std::mem::take(&mut state.waiting) {
            if state.failed == 0 {
                state.failed = work();
            }
        }
        state.failed
    }
}

/// Addresses of a strided column of floats.
#[derive(Clone, Copy)]
pub struct Column {
    pub addr: u64,
    pub rows: usize,
    pub stride: usize,
}

pub fn relu(x: Column, y: Column) {
    for i in 0..x.rows {
        // SAFETY: the stand-ins' device memory is host memory, kept alive by the program under test.
        unsafe {
            let value = *(x.addr as *const f32).add(i * x.stride);
            *(y.addr as *mut f32).add(i * y.stride) = value.max(0.0);
        }
    }
}

pub fn copy(dst: u64, src: u64, bytes: usize) {
    // SAFETY: as above; callers give ranges of live allocations.
    unsafe { std::ptr::copy_nonoverlapping(src as *const u8, dst as *mut u8, bytes) }
}
