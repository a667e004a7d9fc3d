//! Sampling in a decode loop takes no memory from the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use omnihal_deepseek::sampler::{Sampler, SamplerParams};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; counting touches a const-initialised thread local
// without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's guarantee for `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn sampling_allocates_nothing_after_the_sampler_is_made() {
    let vocab = 5000;
    let logits: Vec<f32> = (0..vocab as u32).map(|i| (i * 7919 % 5000) as f32 * 1e-3).collect();
    let history = [1, 2, 3, 1];
    let cuts = SamplerParams { temperature: 0.7, top_k: 50, top_p: 0.9, min_p: 0.01, repetition_penalty: 1.1, seed: 1 };
    let mut samplers = [Sampler::new(vocab), Sampler::with_candidates(vocab, vocab)];

    let before = ALLOCATIONS.get();
    let mut checksum = 0u64;
    for sampler in &mut samplers {
        for params in [SamplerParams::default(), cuts, SamplerParams { top_k: 0, top_p: 1.0, min_p: 0.0, ..cuts }] {
            for position in 0..20 {
                let sampled = sampler.sample(&logits, &params, &history, position).unwrap();
                checksum += u64::from(sampled.token);
            }
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(checksum > 0);

    let boxed = std::hint::black_box(Box::new(checksum));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter does not count, {boxed}");
}
