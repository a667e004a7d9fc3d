//! A steady decode step on the CPU allocates nothing, on any thread.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::DType;
use omnihal_deepseek::config::Precision;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::weights::Checkpoint;
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, so that no other thread of this process allocates meanwhile.
#[test]
fn a_steady_decode_step_allocates_nothing() {
    let cases = [
        ("mixed", Precision::Plain, DType::F32),
        ("mixed", Precision::Plain, DType::BF16),
        ("official", Precision::QatAll, DType::F32),
        ("official", Precision::QatAll, DType::BF16),
    ];
    for (case, precision, act) in cases {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases").join(case);
        let checkpoint = Checkpoint::open(&dir).unwrap();
        let mut options = EngineOptions::new(checkpoint.config(), 400);
        (options.precision, options.act, options.sequences) = (precision, act, 3);
        let device = omnihal_backends::registry().open("cpu").unwrap();
        let mut engine = Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap();
        let seqs = [(); 3].map(|()| engine.add().unwrap());
        for (i, &seq) in seqs.iter().enumerate() {
            engine.step(&[Feed { seq, tokens: &[3; 40][..20 + i], want: Want::None }]).unwrap();
        }
        let mut decode = |steps: usize| {
            for _ in 0..steps {
                let feeds = seqs.map(|seq| Feed { seq, tokens: &[5], want: Want::Last });
                assert_eq!(engine.step(&feeds).unwrap().len(), 3);
            }
        };
        decode(3);
        let before = COUNT.load(Ordering::SeqCst);
        // Far enough to close windows of both ratios and to start new pages.
        decode(200);
        let allocations = COUNT.load(Ordering::SeqCst) - before;
        assert_eq!(allocations, 0, "{case} {precision} {act}: {allocations} allocations in 200 steps");
    }
}
