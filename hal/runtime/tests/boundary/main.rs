//! Boundary review: two vendors' ways of working, sketched against the traits.
//!
//! CUDA captures streams into graphs; aclnn prepares every call in two phases (size and executor, then launch). Each sketch drives a tiny
//! stand-in with the shape of the vendor's interface: one operator, one graph, one error. What hurt is in `docs/architecture.md`.

#![allow(clippy::unwrap_used, reason = "stand-ins of a test: a failure is the test's failure")]

mod aclnn;
mod cuda;
mod queue;

use omnihal::op::elementwise::{Func, Unary};
use omnihal::{Buffer, DType, Device, MemoryKind, SpaceShape, StepShape, View};
use omnihal_runtime::{Operand, Program, ProgramSpec, Recipe, TierLimit, transfer};
use std::sync::Arc;

/// `relu` of every second column of a matrix, so that the operand has gaps.
fn strided_relu(device: &Arc<dyn Device>, stream: &dyn omnihal::Stream) -> (Program, Buffer) {
    let input = device.alloc(4 * 6, MemoryKind::Device).unwrap();
    let bytes: Vec<u8> = [-1f32, 2.0, -3.0, 4.0, -5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    transfer::write(stream, &input, 0, &bytes).unwrap();
    let x = View::contiguous(input.mem(), DType::F32, [3, 2]).unwrap().slice(1, 1, 1).unwrap();
    let mut r = Recipe::new();
    let y = r.named("y", DType::F32, [3, 1]);
    let op = Unary {
        shape: [3, 1].into(),
        func: Func::Relu,
        alpha: 1.0,
        beta: 0.0,
        gamma: 1.0,
        delta: 0.0,
        input: DType::F32,
        output: DType::F32,
    };
    r.op(op, &[&Operand::view(x), &y]);
    let recipe = r.finish().unwrap();
    let space = SpaceShape { ratio: 4, overlap: true, closings: 1, table: 1, page_entries: 1, ring: 16 };
    let step = StepShape { rows: 3, seqs: 1, wanted: 1, tile: 1, window: 1, ring: 1, drafts: 0, spaces: vec![space] };
    let spec = ProgramSpec { recipe: &recipe, step, limit: TierLimit::All, fallback: None, keep: vec![input] };
    let mut program = Program::build(device, stream, spec).unwrap();
    let arena = device.alloc(program.arena_bytes(), MemoryKind::Device).unwrap();
    program.bind(&arena).unwrap();
    (program, arena)
}

fn result(program: &Program, stream: &dyn omnihal::Stream, arena: &Buffer) -> Vec<f32> {
    let mut bytes = [0; 12];
    transfer::read_view(stream, arena, &program.named("y").unwrap(), &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn cuda_runs_eagerly_then_replays_one_graph() {
    let device = cuda::open();
    let stream = device.stream().unwrap();
    let (mut program, arena) = strided_relu(&device, &*stream);
    program.run(&*stream, 3).unwrap();
    assert_eq!(result(&program, &*stream, &arena), [2.0, 4.0, 6.0]);
    assert!(program.capture(&*stream).unwrap());
    let before = cuda::calls("cuLaunchKernel");
    program.run(&*stream, 3).unwrap();
    program.run(&*stream, 3).unwrap();
    assert_eq!(result(&program, &*stream, &arena), [2.0, 4.0, 6.0]);
    assert_eq!((cuda::calls("cuLaunchKernel") - before, cuda::calls("cuGraphLaunch")), (0, 2));
}

#[test]
fn a_cuda_failure_is_found_late_and_returned_for_ever() {
    let device = cuda::open();
    let stream = device.stream().unwrap();
    let (program, _arena) = strided_relu(&device, &*stream);
    cuda::fail_next_kernel();
    // Enqueueing cannot know yet.
    program.run(&*stream, 3).unwrap();
    let first = stream.sync(std::time::Duration::from_secs(1)).unwrap_err();
    assert_eq!(first.vendor().map(|v| v.code), Some(700));
    assert_eq!(first.severity(), omnihal::Severity::DeviceLost);
    assert_eq!(program.run(&*stream, 3).unwrap_err(), first);
}

#[test]
fn aclnn_sizes_by_layout_and_prepares_executors_once() {
    let device = aclnn::open();
    let stream = device.stream().unwrap();
    let (mut program, arena) = strided_relu(&device, &*stream);
    let prepared = aclnn::calls("aclnnReluGetWorkspaceSize");
    for _ in 0..3 {
        program.run(&*stream, 3).unwrap();
    }
    assert_eq!(result(&program, &*stream, &arena), [2.0, 4.0, 6.0]);
    assert_eq!(aclnn::calls("aclnnReluGetWorkspaceSize"), prepared, "a run prepared an executor");
    assert!(program.capture(&*stream).unwrap());
    program.run(&*stream, 3).unwrap();
    assert_eq!(result(&program, &*stream, &arena), [2.0, 4.0, 6.0]);
    assert_eq!(aclnn::calls("aclmdlRIExecuteAsync"), 1);
}

#[test]
fn an_aclnn_refusal_comes_back_with_the_vendors_words() {
    let device = aclnn::open();
    let stream = device.stream().unwrap();
    aclnn::refuse_next_executor();
    let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| strided_relu(&device, &*stream)));
    assert!(built.is_err(), "a refused executor must fail the build");
    let error = aclnn::last_error().unwrap();
    assert_eq!(error.severity(), omnihal::Severity::Rejected);
    assert_eq!(error.vendor().unwrap().text, "EZ1001: dtype of self is not supported");
}
