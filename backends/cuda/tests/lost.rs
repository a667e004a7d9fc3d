//! A failed device over the stand-in driver.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::norm::Rms;
use omnihal::{Args, DType, ErrorKind, MemoryKind, Severity, View};
use stand_in::{LAUNCH_FAILED, StandIn};
use std::time::Duration;

#[test]
fn after_a_failure_of_the_device_every_call_gives_the_first_cause() {
    let driver = StandIn::stage(&["norm"]);
    let device = driver.open();
    let op = Rms { rows: 1, heads: 1, width: 8, eps: 1.0, weight: None, input: DType::F32, output: DType::F32 }.into();
    let (plan, stream) = (device.plan(&op).unwrap(), device.stream().unwrap());
    let buffer = device.alloc(32, MemoryKind::Device).unwrap();
    let view = View::contiguous(buffer.mem(), DType::F32, [1, 1, 8]).unwrap();
    let views = [Some(view), None, Some(view)];
    driver.fail("cuLaunchKernel", 1, LAUNCH_FAILED);
    // SAFETY: the buffer outlives the stream; the views are the operator's.
    let run = || unsafe { stream.run(&*plan, &Args::new(&views)) };
    run().unwrap();
    let first = run().unwrap_err();
    assert_eq!(
        (first.kind(), first.severity(), first.sequence()),
        (ErrorKind::Execution, Severity::DeviceLost, Some(1))
    );
    assert_eq!(first.vendor().unwrap().code, LAUNCH_FAILED as i64);
    assert!(first.vendor().unwrap().text.starts_with("CUDA_ERROR_LAUNCH_FAILED, "), "{first}");
    let health = device.health().unwrap_err();
    for later in [
        stream.sync(Duration::ZERO).err(),
        device.alloc(8, MemoryKind::Device).err(),
        device.event().err(),
        run().err(),
    ] {
        assert_eq!(later.unwrap().vendor(), health.vendor());
    }
}
