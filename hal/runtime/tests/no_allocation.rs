//! Running plans allocates nothing, traced or replayed. One test in this file: the counter is the whole process's.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal::op::copy;
use omnihal::{Args, Backend, DType, Device, Mem, MemoryKind, Op, Shape, View};
use omnihal_null::NullBackend;
use omnihal_runtime::layers::{FaultPlan, fault, trace};
use omnihal_runtime::soft_graph::{Node, SoftGraph};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
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

/// Allocations of `count` runs and launches, after a first one.
fn allocations(device: &Arc<dyn Device>, count: usize) -> u64 {
    let op: Op = copy::Copy { shape: Shape::from([16]), input: DType::F32, output: DType::F32 }.into();
    let (stream, plan, event) = (device.stream().unwrap(), device.plan(&op).unwrap(), device.event().unwrap());
    let buffers = [(); 2].map(|()| device.alloc(64, MemoryKind::Device).unwrap());
    let views = buffers.each_ref().map(|b| Some(View::contiguous(b.mem(), DType::F32, [16]).unwrap()));
    let graph = SoftGraph::new(vec![
        Node::Fill { dst: buffers[0].mem(), byte: 1 },
        Node::Run { plan: Arc::clone(&plan), views: views.into(), workspace: Mem::default(), rows_hint: 1 },
        Node::Copy { dst: buffers[1].mem(), src: buffers[0].mem() },
        Node::Record(Arc::from(event)),
    ]);
    let once = || {
        // SAFETY: the buffers outlive the calls; a null run touches no argument.
        unsafe {
            stream.run(&*plan, &Args::new(&views)).unwrap();
            graph.enqueue(&*stream).unwrap();
        }
    };
    once();
    let before = ALLOCATIONS.load(SeqCst);
    (0..count).for_each(|_| once());
    ALLOCATIONS.load(SeqCst) - before
}

#[test]
fn runs_and_replays_allocate_nothing() {
    let plain = NullBackend::new().open(0).unwrap();
    assert_eq!(allocations(&plain, 1000), 0);
    let (traced, ring) = trace(Arc::clone(&plain));
    let layered = fault(traced, FaultPlan::default());
    assert_eq!(allocations(&layered, 1000), 0);
    assert_eq!(ring.total(), 1001 * 5);
    let before = ALLOCATIONS.load(SeqCst);
    drop(plain.event().unwrap());
    drop(plain.stream().unwrap());
    assert!(ALLOCATIONS.load(SeqCst) > before, "the counter counts");
}
