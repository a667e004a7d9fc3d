//! The life of a stream: order, refusals, poisoning.

use crate::ReferenceBackend;
use crate::testing::Bench;
use omnihal::op::copy;
use omnihal::{Args, Backend, DType, ErrorKind, Op, Plan, Severity, Shape, Support};
use std::time::Duration;

fn cast(input: DType) -> copy::Copy {
    copy::Copy { shape: Shape::from([1]), input, output: DType::F32 }
}

#[test]
fn a_refused_call_leaves_the_stream_usable() {
    let mut bench = Bench::new();
    let (short, y) = (bench.put(DType::BF16, [1], &[1.0]), bench.empty(DType::F32, [1]));
    let error = bench.run(cast(DType::F32), &[Some(short), Some(y)]).unwrap_err();
    assert_eq!(
        (error.kind(), error.severity(), error.sequence()),
        (ErrorKind::InvalidArgument, Severity::Rejected, Some(0))
    );
    assert!(bench.run(cast(DType::F32), &[Some(short)]).is_err());
    bench.run(cast(DType::BF16), &[Some(short), Some(y)]).unwrap();
}

#[test]
fn a_failed_execution_poisons_the_stream_and_what_waits_on_it_with_the_first_cause() {
    let mut bench = Bench::new();
    let (x, y) = (bench.put(DType::I64, [1], &[2f64.powi(60)]), bench.empty(DType::F32, [1]));
    let device = ReferenceBackend.open(0).unwrap();
    let (first, second) = (device.stream().unwrap(), device.stream().unwrap());
    let (before, after) = (device.event().unwrap(), device.event().unwrap());
    let plan = device.plan(&cast(DType::I64).into()).unwrap();
    first.record(&*before).unwrap();
    // SAFETY: the views name buffers that the bench owns.
    let cause = unsafe { first.run(&*plan, &Args::new(&[Some(x), Some(y)])) }.unwrap_err();
    assert_eq!(
        (cause.severity(), cause.kind(), cause.sequence()),
        (Severity::StreamPoisoned, ErrorKind::Execution, Some(0))
    );
    assert_eq!(first.record(&*after).unwrap_err(), cause);
    assert_eq!(first.sync(Duration::ZERO).unwrap_err(), cause);
    second.wait(&*before).unwrap();
    assert!(second.poll().unwrap());
    assert_eq!(second.wait(&*after).unwrap_err(), cause);
    assert_eq!(second.poll().unwrap_err(), cause);
}

#[test]
fn copies_of_unequal_length_are_refused_and_equal_ones_move_bytes() {
    let mut bench = Bench::new();
    let (a, b) = (bench.mem(4), bench.mem(8));
    let stream = ReferenceBackend.open(0).unwrap().stream().unwrap();
    let mut bytes = [0; 4];
    // SAFETY: the bench owns both ranges.
    unsafe {
        assert!(stream.copy(a, b).is_err());
        stream.write(a, &[1, 2, 3, 4]).unwrap();
        stream.fill(b, 9).unwrap();
        stream.copy(b.slice(4, 4).unwrap(), a).unwrap();
        stream.read(b.slice(2, 4).unwrap(), &mut bytes, Duration::ZERO).unwrap();
    }
    assert_eq!(bytes, [9, 9, 1, 2]);
}

#[test]
fn bad_descriptors_are_refused_with_the_same_reason_by_supports_and_plan() {
    let device = ReferenceBackend.open(0).unwrap();
    let op: Op = copy::Copy { shape: Shape::from([0]), input: DType::F32, output: DType::F32 }.into();
    let Support::No(reason) = device.supports(&op) else { panic!("an empty shape is supported") };
    assert_eq!(device.plan(&op).err().unwrap().to_string(), reason);
    assert!(ReferenceBackend.open(1).is_err());
}

struct Foreign(Op);

impl Plan for Foreign {
    fn op(&self) -> &Op {
        &self.0
    }
    fn determinism(&self) -> omnihal::Determinism {
        omnihal::Determinism::None
    }
    fn accumulation(&self) -> omnihal::Accumulation {
        omnihal::Accumulation::F32
    }
}

#[test]
fn a_plan_of_another_device_is_refused() {
    let stream = ReferenceBackend.open(0).unwrap().stream().unwrap();
    // SAFETY: no view is named.
    let error = unsafe { stream.run(&Foreign(cast(DType::F32).into()), &Args::new(&[])) }.unwrap_err();
    assert_eq!(error.severity(), Severity::Rejected);
}

#[test]
fn capture_is_refused() {
    let stream = ReferenceBackend.open(0).unwrap().stream().unwrap();
    assert_eq!(stream.begin_capture().unwrap_err().kind(), ErrorKind::Unsupported);
}
