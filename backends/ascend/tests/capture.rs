//! Graphs over the stand-ins: one call for a replay, and captures that fail at any point.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::copy::Fill;
use omnihal::{Args, DType, Device, ErrorKind, MemoryKind, Result, Severity, Shape, Stream, View};
use stand_in::{LIMIT, StandIn};

const INVALIDATED: i32 = 507_903;
const UNJOINED: i32 = 107_025;
const MODE: i32 = 107_030;
const NO_STREAM: i32 = 207_008;
const NO_MEMORY: i32 = 207_001;

struct Filled {
    stream: Box<dyn Stream>,
    plan: std::sync::Arc<dyn omnihal::Plan>,
    buffer: omnihal::Buffer,
}

impl Filled {
    fn new(device: &dyn Device) -> Filled {
        let op = Fill { shape: Shape::from([16]), value: 3.0, dtype: DType::F32 }.into();
        Filled {
            stream: device.stream().unwrap(),
            plan: device.plan(&op).unwrap(),
            buffer: device.alloc(64, MemoryKind::Device).unwrap(),
        }
    }

    fn run(&self) -> Result<()> {
        let views = [Some(View::contiguous(self.buffer.mem(), DType::F32, [16]).unwrap())];
        // SAFETY: the buffer outlives the stream.
        unsafe { self.stream.run(&*self.plan, &Args::new(&views)) }
    }

    fn graph(&self) -> Result<Box<dyn omnihal::Graph>> {
        self.stream.begin_capture()?;
        let ran = self.run();
        let graph = self.stream.end_capture();
        ran.and(graph)
    }

    fn clear_and_read(&self, enqueue: impl FnOnce()) -> Vec<f32> {
        let mut bytes = [0; 64];
        // SAFETY: the buffer outlives the stream.
        unsafe { self.stream.fill(self.buffer.mem(), 0).unwrap() };
        enqueue();
        // SAFETY: as above.
        unsafe { self.stream.read(self.buffer.mem(), &mut bytes, LIMIT).unwrap() };
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

#[test]
fn a_replay_is_one_call_and_a_capture_that_fails_leaves_the_stream_to_run_without() {
    let cann = StandIn::stage("Ascend910B2");
    {
        let device = cann.open();
        let filled = Filled::new(&*device);
        filled.run().unwrap();
        // Whatever fails: the error is no damage, and the next run and the next capture are as before.
        let failures = [
            ("aclmdlRICaptureBegin", NO_STREAM),
            // The workspace of what is captured, which is kept from here on.
            ("aclrtMalloc", NO_MEMORY),
            ("aclnnInplaceFillScalar", MODE),
            ("capture", INVALIDATED),
            ("capture", UNJOINED),
            ("aclrtCreateEventExWithFlag", 207_007),
        ];
        for (call, code) in failures {
            cann.fail(call, 0, code);
            let error = filled.graph().err().unwrap();
            assert_eq!(error.severity(), Severity::Rejected, "{call}: {error}");
            assert_eq!(filled.clear_and_read(|| filled.run().unwrap()), [3.0; 16], "{call}");
        }
        let graph = filled.graph().unwrap();
        let names = ["aclmdlRIExecuteAsync", "aclnnInplaceFillScalar", "aclrtStreamQuery", "aclrtMalloc"];
        let before = names.map(|name| cann.calls(name));
        // SAFETY: the buffer outlives the stream.
        let launch = || unsafe { filled.stream.launch(&*graph).unwrap() };
        assert_eq!(filled.clear_and_read(launch), [3.0; 16]);
        let made: Vec<_> = names.iter().zip(before).map(|(name, before)| cann.calls(name) - before).collect();
        assert_eq!(made, [1, 0, 0, 0], "{names:?}");

        let event = device.event().unwrap();
        filled.stream.begin_capture().unwrap();
        for refused in [filled.stream.poll().err(), filled.stream.sync(LIMIT).err()] {
            assert_eq!(refused.unwrap().kind(), ErrorKind::InvalidState);
        }
        filled.stream.record(&*event).unwrap();
        drop(filled.stream.end_capture().unwrap());
        assert!(event.poll().unwrap());
        graphs_run_out(&cann, &filled);
    }
    assert_eq!(cann.live(), [0; 8], "streams, events, graphs, device, pinned, tensors, others, executors");
    assert_eq!(cann.broken(), "");
}

/// Captures end where only the streams are left that everything else needs.
fn graphs_run_out(cann: &StandIn, filled: &Filled) {
    // SAFETY: no other thread of the test reads the environment now.
    unsafe { std::env::set_var("FAKE_CANN_STREAMS", "24") };
    let graphs: Vec<_> = std::iter::from_fn(|| filled.graph().ok()).collect();
    let [streams, _, live, ..] = cann.live();
    assert_eq!(24 - streams - live, 15, "the last graph was begun with 16 left");
    assert_eq!(filled.graph().err().unwrap().kind(), ErrorKind::OutOfMemory);
    filled.run().unwrap();
    filled.stream.sync(LIMIT).unwrap();
    drop(graphs);
    assert!(filled.graph().is_ok());
    // SAFETY: as above.
    unsafe { std::env::remove_var("FAKE_CANN_STREAMS") };
}
