//! The run path allocates nothing on either side of the table. Allocations are counted by thread: the null device works on its caller's.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal::op::moe;
use omnihal::{Args, Backend, DType, Mem, MemoryKind, Op, View};
use omnihal_abi::{Importer, through_table_with};
use omnihal_null::NullBackend;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() -> u64 {
    ALLOCATIONS.get()
}

struct Counting;

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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

#[test]
fn runs_through_the_table_allocate_nothing() {
    let backend = through_table_with(Box::new(NullBackend::new()), Importer::new().strict(true)).unwrap();
    let device = backend.open(0).unwrap();
    let op: Op =
        moe::Swiglu { rows: 2, inter: 8, limit: 7.0, weighted: false, input: DType::F32, output: DType::F32 }.into();
    let (stream, plan, event) = (device.stream().unwrap(), device.plan(&op).unwrap(), device.event().unwrap());
    let buffers = [(); 2].map(|()| device.alloc(128, MemoryKind::Device).unwrap());
    let [x, y] = buffers.each_ref().map(|b| b.mem());
    let half = Mem { len: 64, ..y };
    let views = [
        Some(View::contiguous(x, DType::F32, [2, 16]).unwrap()),
        None,
        Some(View::contiguous(y, DType::F32, [2, 8]).unwrap()),
    ];
    let mut bytes = [0u8; 64];
    let mut once = || {
        // SAFETY: the buffers outlive the calls, which the null device finishes at once.
        unsafe {
            stream.run(&*plan, &Args::new(&views)).unwrap();
            stream.copy(half, Mem { len: 64, ..x }).unwrap();
            stream.fill(half, 3).unwrap();
            stream.write(half, &[1; 64]).unwrap();
            stream.read(half, &mut bytes, Duration::from_secs(1)).unwrap();
        }
        stream.record(&*event).unwrap();
        stream.wait(&*event).unwrap();
        assert!(stream.poll().unwrap() && event.poll().unwrap());
        event.sync(Duration::from_secs(1)).unwrap();
        stream.sync(Duration::from_secs(1)).unwrap();
    };
    once();
    let before = count();
    (0..1000).for_each(|_| once());
    assert_eq!(count() - before, 0);
    drop(device.plan(&op).unwrap());
    assert!(count() > before, "the counter counts");
}
