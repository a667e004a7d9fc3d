//! What a program can rely on when it runs on the null device.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal::op::{copy, norm};
use omnihal::{Args, Backend, DType, Device, ErrorKind, Mem, MemoryKind, Op, OpKind, Shape, Stream, View};
use omnihal_null::{Call, Calls, NullBackend, SoloCollective};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);

fn open() -> (Arc<dyn Device>, Arc<Calls>) {
    let backend = NullBackend::new();
    (backend.open(0).unwrap(), backend.calls())
}

fn rms() -> Op {
    norm::Rms { rows: 2, heads: 1, width: 4, eps: 1e-6, weight: None, input: DType::F32, output: DType::F32 }.into()
}

fn read(stream: &dyn Stream, mem: Mem) -> Vec<u8> {
    let mut bytes = vec![0; mem.len];
    // SAFETY: the tests keep their buffers until the end.
    unsafe { stream.read(mem, &mut bytes, WAIT) }.unwrap();
    bytes
}

#[test]
fn what_is_written_copied_and_filled_can_be_read_back() {
    let (device, _) = open();
    let (a, b) = (device.alloc(8, MemoryKind::Device).unwrap(), device.alloc(8, MemoryKind::Pinned).unwrap());
    let stream = device.stream().unwrap();
    // SAFETY: `a` and `b` outlive the calls and do not overlap.
    unsafe {
        stream.write(a.mem(), &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        stream.fill(a.mem().slice(6, 2).unwrap(), 9).unwrap();
        stream.copy(b.mem(), a.mem()).unwrap();
    }
    assert_eq!(read(&*stream, b.mem()), [1, 2, 3, 4, 5, 6, 9, 9]);
}

#[test]
fn a_run_is_counted_and_changes_nothing() {
    let (device, calls) = open();
    let buffer = device.alloc(64, MemoryKind::Device).unwrap();
    let stream = device.stream().unwrap();
    let plan = device.plan(&rms()).unwrap();
    let view = View::contiguous(buffer.mem(), DType::F32, [2, 1, 4]).unwrap();
    // SAFETY: `buffer` outlives the calls.
    unsafe {
        stream.write(buffer.mem(), &[7; 64]).unwrap();
        stream.run(&*plan, &Args::new(&[Some(view), None, Some(view)])).unwrap();
    }
    assert_eq!(read(&*stream, buffer.mem()), [7; 64]);
    assert_eq!(calls.journal(), [Call::Write, Call::Run(OpKind::NormRms), Call::Read]);
}

#[test]
fn captured_calls_take_effect_at_each_launch_and_not_before() {
    let (device, calls) = open();
    let buffer = device.alloc(4, MemoryKind::Device).unwrap();
    let (stream, event) = (device.stream().unwrap(), device.event().unwrap());
    let plan = device.plan(&rms()).unwrap();
    stream.begin_capture().unwrap();
    // SAFETY: `buffer` outlives the launches; a null run reads no argument.
    unsafe {
        stream.run(&*plan, &Args::new(&[])).unwrap();
        stream.fill(buffer.mem(), 3).unwrap();
    }
    stream.record(&*event).unwrap();
    stream.wait(&*event).unwrap();
    let graph = stream.end_capture().unwrap();
    assert_eq!((graph.nodes(), calls.total()), (4, 0));
    assert_eq!(read(&*stream, buffer.mem()), [0; 4]);
    // SAFETY: as above.
    unsafe { stream.launch(&*graph) }.unwrap();
    assert_eq!(read(&*stream, buffer.mem()), [3; 4]);
    let expected = [Call::Launch, Call::Run(OpKind::NormRms), Call::Fill, Call::Record, Call::Wait];
    assert_eq!(calls.journal()[1..6], expected);
}

#[test]
fn only_calls_that_a_graph_can_hold_are_legal_during_a_capture() {
    let (device, _) = open();
    let buffer = device.alloc(4, MemoryKind::Device).unwrap();
    let stream = device.stream().unwrap();
    assert_eq!(stream.end_capture().err().unwrap().kind(), ErrorKind::InvalidState);
    stream.begin_capture().unwrap();
    let empty = {
        let other = device.stream().unwrap();
        other.begin_capture().unwrap();
        other.end_capture().unwrap()
    };
    // SAFETY: `buffer` outlives the calls.
    let refused = unsafe {
        [
            stream.write(buffer.mem(), &[0; 4]).unwrap_err(),
            stream.read(buffer.mem(), &mut [0; 4], WAIT).unwrap_err(),
            stream.launch(&*empty).unwrap_err(),
            stream.begin_capture().unwrap_err(),
            stream.poll().unwrap_err(),
            stream.sync(WAIT).unwrap_err(),
        ]
    };
    assert!(refused.iter().all(|e| e.kind() == ErrorKind::InvalidState), "{refused:?}");
    stream.end_capture().unwrap();
    stream.sync(WAIT).unwrap();
}

#[test]
fn a_descriptor_that_makes_no_sense_gets_no_plan_and_the_same_reason_twice() {
    let (device, _) = open();
    let op: Op = copy::Fill { shape: Shape::from([0]), value: 0.0, dtype: DType::F32 }.into();
    let error = device.plan(&op).err().unwrap();
    assert_eq!(device.supports(&op), omnihal::Support::No(error.to_string()));
}

#[test]
fn absurd_allocations_are_refused_and_empty_ones_are_not() {
    let (device, _) = open();
    assert_eq!(device.alloc(usize::MAX, MemoryKind::Device).err().unwrap().kind(), ErrorKind::OutOfMemory);
    assert!(device.alloc(0, MemoryKind::Device).unwrap().is_empty());
    assert_eq!(device.alloc(1, MemoryKind::Device).unwrap().mem().addr % device.caps().alignment as u64, 0);
}

#[test]
fn imported_memory_is_used_in_place_and_keeps_its_owner() {
    let (device, _) = open();
    let owner = Arc::new(vec![5u8; 16]);
    // SAFETY: the buffer holds the vector alive, and nothing writes to it.
    let buffer = unsafe { device.import(owner.as_ptr(), owner.len(), owner.clone()) }.unwrap();
    assert_eq!((buffer.mem().addr, Arc::strong_count(&owner)), (owner.as_ptr() as u64, 2));
    drop(buffer);
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn there_is_one_device_and_asking_for_another_says_so() {
    let backend = NullBackend::new();
    assert_eq!(backend.probe().unwrap().devices.len(), 1);
    let error = backend.open(3).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("null:3"), "{error}");
}

#[test]
fn a_group_of_one_gathers_its_own_part() {
    use omnihal::Collective;
    let (device, _) = open();
    let (part, whole) = (device.alloc(8, MemoryKind::Device).unwrap(), device.alloc(8, MemoryKind::Device).unwrap());
    let stream = device.stream().unwrap();
    let view = |mem| View::contiguous(mem, DType::F32, [2]).unwrap();
    // SAFETY: both buffers outlive the calls.
    unsafe {
        stream.write(part.mem(), &[4; 8]).unwrap();
        SoloCollective.all_reduce(&*stream, &view(part.mem())).unwrap();
        SoloCollective.all_gather(&*stream, &view(part.mem()), &view(whole.mem())).unwrap();
    }
    assert_eq!(read(&*stream, whole.mem()), [4; 8]);
    assert_eq!((SoloCollective.rank(), SoloCollective.size()), (0, 1));
}
