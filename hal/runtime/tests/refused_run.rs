//! A run that is refused halfway leaves calls on the stream: the program must still be told when they have passed.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{Backend, DType, Device, MemoryKind, SpaceShape, StepShape};
use omnihal_null::NullBackend;
use omnihal_runtime::{Program, ProgramSpec, Recipe, TierLimit, layers};
use std::sync::Arc;

fn step() -> StepShape {
    let space = SpaceShape { ratio: 4, overlap: true, closings: 1, table: 1, page_entries: 2, ring: 16 };
    StepShape { rows: 1, seqs: 1, wanted: 1, tile: 1, window: 4, ring: 16, drafts: 0, spaces: vec![space] }
}

#[test]
fn a_run_that_is_refused_halfway_is_marked_all_the_same() {
    let null: Arc<dyn Device> = NullBackend::new().open(0).unwrap();
    let (device, ring) = layers::trace(layers::fault(null, "run:2=rejected".parse().unwrap()));
    let stream = device.stream().unwrap();
    let mut recipe = Recipe::new();
    let x = recipe.temp(DType::F32, [4]);
    let y = recipe.cast(&x, DType::F32);
    recipe.cast(&y, DType::F32);
    let recipe = recipe.finish().unwrap();
    let spec = ProgramSpec { recipe: &recipe, step: step(), limit: TierLimit::All, fallback: None, keep: Vec::new() };
    let mut program = Program::build(&device, &*stream, spec).unwrap();
    program.bind(&device.alloc(program.arena_bytes(), MemoryKind::Device).unwrap()).unwrap();
    program.run(&*stream, 1).unwrap_err();
    let calls: Vec<_> = ring.entries().iter().map(|entry| (entry.call, entry.failed)).collect();
    assert!(calls.ends_with(&[("run", false), ("run", true), ("record", false)]), "{calls:?}");
}
