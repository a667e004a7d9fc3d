//! Memory over the stand-ins: what streams gave back is reused, and goes back to the device where memory runs out.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::copy::Fill;
use omnihal::{Args, DType, ErrorKind, MemoryKind, Severity, Shape, View};
use stand_in::{LIMIT, StandIn};

const MIB: usize = 1 << 20;
const NO_MEMORY: i32 = 207_001;

#[test]
fn where_memory_runs_out_idle_blocks_are_given_back_once_and_then_it_is_an_error() {
    // SAFETY: no thread was started yet.
    unsafe { std::env::set_var("FAKE_CANN_MEMORY", (8 * MIB).to_string()) };
    let cann = StandIn::stage("Ascend910_9391");
    {
        let device = cann.open();
        let op = Fill { shape: Shape::from([16]), value: 3.0, dtype: DType::F32 }.into();
        let plan = device.plan(&op).unwrap();
        let buffer = device.alloc(64, MemoryKind::Device).unwrap();
        let views = [Some(View::contiguous(buffer.mem(), DType::F32, [16]).unwrap())];
        let run = || {
            let stream = device.stream().unwrap();
            // SAFETY: the buffer outlives the stream.
            unsafe { stream.run(&*plan, &Args::new(&views)) }.and_then(|()| stream.sync(LIMIT))
        };
        run().unwrap();
        let before = cann.calls("aclrtMalloc");
        run().unwrap();
        assert_eq!(cann.calls("aclrtMalloc"), before, "the second stream takes the first one's workspace");

        // The workspace lies idle: without it this fits.
        let large = device.alloc(7 * MIB + MIB / 2, MemoryKind::Device).unwrap();
        assert_eq!(cann.calls("aclrtMalloc"), before + 2, "once in vain, once more after the trim");
        let error = device.alloc(MIB, MemoryKind::Device).err().unwrap();
        assert_eq!((error.kind(), error.severity()), (ErrorKind::OutOfMemory, Severity::Rejected));
        assert_eq!(cann.calls("aclrtMalloc"), before + 3, "nothing to give back: not asked again");

        let error = run().unwrap_err();
        assert_eq!((error.kind(), error.severity()), (ErrorKind::OutOfMemory, Severity::Rejected));
        drop(large);
        run().unwrap();
        cann.fail("aclrtMallocHost", 0, NO_MEMORY);
        assert_eq!(device.alloc(64, MemoryKind::Pinned).err().unwrap().kind(), ErrorKind::OutOfMemory);
    }
    assert_eq!(cann.live(), [0; 8]);
    assert_eq!(cann.broken(), "");
}
