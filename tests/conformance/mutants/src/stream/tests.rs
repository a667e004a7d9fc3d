use crate::{device, failing_plan, variant};
use omnihal::op::copy::Fill;
use omnihal::{Args, DType, ErrorKind, MemoryKind, Op, Severity, Shape, View};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn fill(value: f32) -> Op {
    Fill { shape: Shape::from([4]), value, dtype: DType::F32 }.into()
}

#[test]
fn another_stream_sees_what_it_waited_for() {
    for id in [None, Some("stream.slow_engine"), Some("stream.runs_at_once")] {
        let device = device(id.and_then(variant::find));
        let (a, b) = (device.stream().unwrap(), device.stream().unwrap());
        let memory = device.alloc(64, MemoryKind::Device).unwrap();
        let (low, high) = (memory.mem().slice(0, 32).unwrap(), memory.mem().slice(32, 32).unwrap());
        let event = device.event().unwrap();
        let mut bytes = [0; 32];
        // SAFETY: the memory outlives the streams.
        unsafe {
            a.write(low, &[7; 32]).unwrap();
            a.record(&*event).unwrap();
            b.wait(&*event).unwrap();
            b.copy(high, low).unwrap();
            b.read(high, &mut bytes, SECOND).unwrap();
        }
        assert_eq!(bytes, [7; 32]);
        assert!(event.poll().unwrap());
    }
}

#[test]
fn a_failed_run_poisons_its_stream_and_whoever_waits_for_it_with_the_first_cause() {
    let device = device(None);
    let (a, b) = (device.stream().unwrap(), device.stream().unwrap());
    let event = device.event().unwrap();
    let plan = failing_plan(&fill(1.0));
    // SAFETY: the plan looks at no argument.
    unsafe { a.run(&*plan, &Args::new(&[])).unwrap() };
    let cause = a.sync(SECOND).unwrap_err();
    assert_eq!((cause.kind(), cause.severity()), (ErrorKind::Execution, Severity::StreamPoisoned));
    assert_eq!(a.record(&*event).unwrap_err(), cause);
    let _ = b.wait(&*event);
    assert_eq!(b.sync(SECOND).unwrap_err(), cause);
    assert_eq!(b.poll().unwrap_err(), cause);
}

#[test]
fn a_graph_can_be_launched_again_and_capturing_runs_nothing() {
    let device = device(None);
    let stream = device.stream().unwrap();
    let memory = device.alloc(16, MemoryKind::Device).unwrap();
    let view = View::contiguous(memory.mem(), DType::F32, [4]).unwrap();
    let plan = device.plan(&fill(2.0)).unwrap();
    let read = || {
        let mut bytes = [0; 16];
        // SAFETY: the memory is alive.
        unsafe { stream.read(memory.mem(), &mut bytes, SECOND).unwrap() };
        bytes[3]
    };
    stream.begin_capture().unwrap();
    // SAFETY: the memory outlives the stream.
    unsafe { stream.run(&*plan, &Args::new(&[Some(view)])).unwrap() };
    assert_eq!(stream.sync(SECOND).unwrap_err().kind(), ErrorKind::InvalidState);
    let graph = stream.end_capture().unwrap();
    // SAFETY: as above.
    unsafe { stream.fill(memory.mem(), 0).unwrap() };
    assert_eq!((graph.nodes(), read()), (1, 0));
    for _ in 0..2 {
        // SAFETY: as above.
        unsafe {
            stream.fill(memory.mem(), 0).unwrap();
            stream.launch(&*graph).unwrap();
        }
        assert_eq!(read(), 0x40);
    }
}

#[test]
fn waits_end_at_their_limit_and_the_work_still_finishes() {
    let device = device(variant::find("stream.slow_engine"));
    let stream = device.stream().unwrap();
    let memory = device.alloc(16, MemoryKind::Device).unwrap();
    // SAFETY: the memory outlives the stream.
    unsafe { stream.fill(memory.mem(), 1).unwrap() };
    assert_eq!(stream.sync(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
    stream.sync(SECOND).unwrap();
}
