use super::*;
use crate::layers::testing::{Rig, Wishes, linear, tensor};
use omnihal::{Args, DType, Stream};
use std::time::Instant;

const WAIT: Duration = Duration::from_secs(1);

fn faulty(plan: &str) -> (Arc<Rig>, Arc<dyn Device>) {
    let rig = Rig::new(Wishes::default());
    (rig.clone(), fault(rig, plan.parse().unwrap()))
}

fn run(device: &dyn Device, stream: &dyn Stream) -> Result<()> {
    let plan = device.plan(&linear())?;
    // SAFETY: the rig touches no argument.
    unsafe { stream.run(&*plan, &Args::new(&[])) }
}

#[test]
fn plans_are_read_from_text() {
    let plan: FaultPlan = "run:17=execution, alloc:3=oom,copy:2=delay(50),bytes:1048576=oom,".parse().unwrap();
    let rule = |site, nth, effect| FaultRule { site, nth, effect };
    let rules = vec![
        rule(Site::Run, 17, Effect::Execution),
        rule(Site::Alloc, 3, Effect::OutOfMemory),
        rule(Site::Copy, 2, Effect::Delay(Duration::from_millis(50))),
    ];
    assert_eq!(plan, FaultPlan { rules, memory: Some(1 << 20) });
    assert_eq!("".parse::<FaultPlan>().unwrap(), FaultPlan::default());
}

#[test]
fn wrong_plans_are_refused_and_the_wrong_part_is_named() {
    for (text, words) in [
        ("run", "form `run`"),
        ("run=oom", "place `run`"),
        ("run:x=oom", "number `x`"),
        ("run:0=oom", "number `0`"),
        ("jump:1=oom", "call `jump`"),
        ("run:1=sing", "effect `sing`"),
        ("run:1=delay(soon)", "effect `delay(soon)`"),
        ("bytes:9=lost", "expected oom"),
    ] {
        let error = text.parse::<FaultPlan>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert!(error.message().contains(words), "{text}: {error}");
    }
}

#[test]
fn a_poisoned_stream_returns_its_first_cause_forever_and_others_go_on() {
    let (rig, device) = faulty("run:2=execution,run:3=lost");
    let (stream, other) = (device.stream().unwrap(), device.stream().unwrap());
    run(&*device, &*stream).unwrap();
    let cause = run(&*device, &*stream).unwrap_err();
    assert_eq!((cause.kind(), cause.severity()), (ErrorKind::Execution, Severity::StreamPoisoned));
    assert_eq!((cause.op(), cause.sequence()), (Some(linear().kind()), Some(1)));
    let event = device.event().unwrap();
    let later = [
        run(&*device, &*stream).unwrap_err(),
        stream.sync(WAIT).unwrap_err(),
        stream.poll().unwrap_err(),
        stream.begin_capture().unwrap_err(),
        stream.record(&*event).unwrap_err(),
        stream.sync(WAIT).unwrap_err(),
    ];
    assert_eq!(later, [(); 6].map(|()| cause.clone()));
    assert_eq!(rig.seen().len(), 1, "nothing after the fault reached the device");
    other.sync(WAIT).unwrap();
}

#[test]
fn a_late_fault_is_told_by_the_next_call() {
    let (rig, device) = faulty("run:1=late");
    let stream = device.stream().unwrap();
    run(&*device, &*stream).unwrap();
    assert_eq!(rig.seen().len(), 1);
    let cause = stream.sync(WAIT).unwrap_err();
    assert_eq!(cause.op(), Some(linear().kind()));
    assert_eq!(run(&*device, &*stream).unwrap_err(), cause);
}

#[test]
fn waiting_on_the_event_of_a_poisoned_stream_poisons_with_the_same_cause() {
    let (_, device) = faulty("run:1=execution");
    let (stream, waiter, event) = (device.stream().unwrap(), device.stream().unwrap(), device.event().unwrap());
    let cause = run(&*device, &*stream).unwrap_err();
    waiter.wait(&*event).unwrap();
    stream.record(&*event).unwrap_err();
    assert_eq!(waiter.wait(&*event).unwrap_err(), cause);
    assert_eq!(waiter.sync(WAIT).unwrap_err(), cause);
    assert_eq!(event.sync(WAIT).unwrap_err(), cause);
    let healthy = device.stream().unwrap();
    healthy.record(&*event).unwrap();
    event.sync(WAIT).unwrap();
}

#[test]
fn a_lost_device_refuses_everything() {
    let (_, device) = faulty("sync:1=lost");
    let (stream, other) = (device.stream().unwrap(), device.stream().unwrap());
    let cause = stream.sync(WAIT).unwrap_err();
    assert_eq!(cause.severity(), Severity::DeviceLost);
    let later = [
        other.poll().unwrap_err(),
        device.health().unwrap_err(),
        device.stream().err().unwrap(),
        device.plan(&linear()).err().unwrap(),
        device.alloc(1, MemoryKind::Device).err().unwrap(),
    ];
    assert_eq!(later, [(); 5].map(|()| cause.clone()));
}

#[test]
fn refusals_leave_the_stream_usable() {
    let (rig, device) = faulty("run:1=rejected,run:2=timeout,run:3=oom");
    let stream = device.stream().unwrap();
    let kinds = [(); 3].map(|()| run(&*device, &*stream).unwrap_err().kind());
    assert_eq!(kinds, [ErrorKind::InvalidState, ErrorKind::Timeout, ErrorKind::OutOfMemory]);
    run(&*device, &*stream).unwrap();
    assert_eq!(rig.seen().len(), 1);
}

#[test]
fn memory_runs_out_at_the_limit_and_comes_back_when_freed() {
    let (_, device) = faulty("bytes:100=oom,alloc:4=oom");
    let alloc = |bytes| device.alloc(bytes, MemoryKind::Device);
    let first = alloc(60).unwrap();
    let error = alloc(41).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.message().contains("41 bytes were asked for, 40 of 100 are left"), "{error}");
    drop(first);
    let _second = alloc(41).unwrap();
    assert!(alloc(1).err().unwrap().message().contains("alloc 4"));
    assert!(alloc(1).is_ok());
}

#[test]
fn a_delay_is_waited_and_the_call_made() {
    let (rig, device) = faulty("copy:1=delay(20)");
    let stream = device.stream().unwrap();
    let [(_a, a), (_b, b)] = [(); 2].map(|()| tensor(&*device, DType::F32, &[4]));
    let start = Instant::now();
    // SAFETY: both buffers outlive the call.
    unsafe { stream.copy(a.mem, b.mem) }.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(rig.seen(), ["copy"]);
}
