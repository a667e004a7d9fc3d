//! A kernel that fails, over the stand-ins: the first cause for every later call, and nothing left behind.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::copy::Fill;
use omnihal::{Args, DType, ErrorKind, MemoryKind, Severity, Shape, View};
use stand_in::{LIMIT, StandIn};

const AICORE_EXCEPTION: i32 = 507_015;

#[test]
fn a_failed_task_loses_the_device_and_every_later_call_tells_the_first_cause() {
    let cann = StandIn::stage("Ascend910_9391");
    {
        let device = cann.open();
        let op = Fill { shape: Shape::from([16]), value: 3.0, dtype: DType::F32 }.into();
        let (plan, stream) = (device.plan(&op).unwrap(), device.stream().unwrap());
        let buffer = device.alloc(64, MemoryKind::Device).unwrap();
        let views = [Some(View::contiguous(buffer.mem(), DType::F32, [16]).unwrap())];
        // SAFETY: the buffer outlives the stream.
        let run = || unsafe { stream.run(&*plan, &Args::new(&views)) };
        run().unwrap();
        stream.sync(LIMIT).unwrap();
        assert!(device.health().is_ok());

        cann.fail("task", 1, AICORE_EXCEPTION);
        let enqueued = [run(), run(), run()];
        let cause = enqueued.into_iter().find_map(Result::err).unwrap_or_else(|| stream.sync(LIMIT).unwrap_err());
        assert_eq!((cause.kind(), cause.severity()), (ErrorKind::Execution, Severity::DeviceLost));
        assert!(cause.to_string().contains("507015"), "{cause}");
        let later = [run().err(), stream.poll().err(), device.event().err(), device.health().err()];
        assert_eq!(
            later.map(|error| error.unwrap().message().to_owned()),
            [(); 4].map(|()| cause.message().to_owned())
        );
        assert_eq!(device.alloc(64, MemoryKind::Device).err().unwrap().message(), cause.message());
    }
    assert_eq!(cann.live(), [0; 8], "streams, events, graphs, device, pinned, tensors, others, executors");
    assert_eq!(cann.broken(), "");
}
