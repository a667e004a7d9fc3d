//! Graphs over the stand-in driver.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::norm::Rms;
use omnihal::{Args, DType, ErrorKind, MemoryKind, View};
use stand_in::StandIn;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_replay_is_one_driver_call_and_a_forbidden_call_leaves_the_capture_whole() {
    let driver = StandIn::stage(&["norm"]);
    {
        let device = driver.open();
        let op =
            Rms { rows: 4, heads: 1, width: 64, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 }.into();
        let (plan, stream) = (device.plan(&op).unwrap(), device.stream().unwrap());
        let buffer = device.alloc(4 * 64 * 4, MemoryKind::Device).unwrap();
        let view = View::contiguous(buffer.mem(), DType::F32, [4, 1, 64]).unwrap();
        let views = [Some(view), None, Some(view)];
        let threes: Vec<u8> = std::iter::repeat_n(3.0f32.to_le_bytes(), 256).flatten().collect();
        // SAFETY: the buffer outlives the stream; the views are the operator's.
        unsafe { stream.write(buffer.mem(), &threes).unwrap() };

        stream.begin_capture().unwrap();
        for _ in 0..3 {
            // SAFETY: as above.
            unsafe { stream.run(&*plan, &Args::new(&views)).unwrap() };
        }
        for refused in [stream.poll().err(), stream.sync(LIMIT).err(), stream.begin_capture().err()] {
            assert_eq!(refused.unwrap().kind(), ErrorKind::InvalidState);
        }
        let graph = stream.end_capture().unwrap();
        assert_eq!(graph.nodes(), 3);

        let of = |name| driver.calls(name);
        let names = [
            "cuGraphLaunch",
            "cuLaunchKernel",
            "cuStreamQuery",
            "cuStreamSynchronize",
            "cuEventQuery",
            "cuMemcpyAsync",
        ];
        let before = names.map(of);
        for _ in 0..10 {
            // SAFETY: as above.
            unsafe { stream.launch(&*graph).unwrap() };
        }
        let made: Vec<_> = names.iter().zip(before).map(|(name, before)| of(name) - before).collect();
        assert_eq!(made, [10, 0, 0, 0, 0, 0], "{names:?}");

        let mut bytes = vec![0; 1024];
        // SAFETY: as above.
        unsafe { stream.read(buffer.mem(), &mut bytes, LIMIT).unwrap() };
        assert!(bytes.chunks(4).all(|b| f32::from_le_bytes(b.try_into().unwrap()) == 1.0));
    }
    assert_eq!(driver.live(), [0; 5], "streams, events, graphs, modules, blocks");
}
