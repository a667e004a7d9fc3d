//! A run through a prepared plan allocates nothing. One test in this file: the counter is the whole process's.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal::op::gemm;
use omnihal::{Args, Backend, DType, Mem, Shape, View, WeightFormat};
use omnihal_null::NullBackend;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn linear() -> gemm::Linear {
    gemm::Linear {
        rows: 4,
        inner: 128,
        outer: 64,
        input: DType::BF16,
        weight: WeightFormat::Plain(DType::BF16),
        a_quant: omnihal::op::ActQuant::None,
        output: DType::BF16,
        accumulate: false,
    }
}

fn views() -> [Option<View>; 3] {
    [[4, 128], [64, 128], [4, 64]].map(|dims| {
        let shape = Shape::from(dims);
        Some(View::contiguous(Mem { addr: 64, len: 2 * shape.elements() }, DType::BF16, shape).unwrap())
    })
}

#[test]
fn a_run_and_a_launch_allocate_nothing() {
    let device = NullBackend::new().open(0).unwrap();
    let (stream, plan, views) = (device.stream().unwrap(), device.plan(&linear().into()).unwrap(), views());
    stream.begin_capture().unwrap();
    // SAFETY: a null run touches no argument, here and below.
    unsafe { stream.run(&*plan, &Args::new(&views)) }.unwrap();
    let graph = stream.end_capture().unwrap();
    let before = ALLOCATIONS.load(SeqCst);
    for _ in 0..10_000 {
        // SAFETY: as above.
        unsafe {
            stream.run(&*plan, &Args::new(&views)).unwrap();
            stream.launch(&*graph).unwrap();
        }
    }
    let after = ALLOCATIONS.load(SeqCst);
    drop(std::hint::black_box(Box::new(1u64)));
    assert_eq!(
        (after - before, ALLOCATIONS.load(SeqCst) - after),
        (0, 1),
        "the second number shows that the counter counts"
    );
}
