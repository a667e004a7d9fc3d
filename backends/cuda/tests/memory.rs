//! Memory over the stand-in driver.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::{ErrorKind, MemoryKind, Severity};
use stand_in::{OUT_OF_MEMORY, StandIn};
use std::time::Duration;

#[test]
fn a_device_without_room_says_so_and_goes_on_and_copies_never_wait_behind_the_callers_back() {
    let driver = StandIn::stage(&[]);
    {
        let device = driver.open();
        let error = device.alloc(1 << 40, MemoryKind::Device).err().unwrap();
        assert_eq!((error.kind(), error.severity()), (ErrorKind::OutOfMemory, Severity::Rejected));
        assert!(device.alloc(usize::MAX, MemoryKind::Device).is_err());
        driver.fail("cuMemAllocAsync", 1, OUT_OF_MEMORY);
        let kept = device.alloc(1 << 20, MemoryKind::Device).unwrap();
        assert_eq!(device.alloc(64, MemoryKind::Device).err().unwrap().kind(), ErrorKind::OutOfMemory);
        let stream = device.stream().unwrap();
        let bytes: Vec<u8> = (0..3 << 20).map(|i| (i % 251) as u8).collect();
        let big = device.alloc(bytes.len(), MemoryKind::Device).unwrap();
        let waits = |driver: &StandIn| driver.calls("cuStreamSynchronize") + driver.calls("cuStreamQuery");
        let before = waits(&driver);
        // SAFETY: both buffers outlive the stream.
        unsafe {
            stream.write(big.mem(), &bytes).unwrap();
            stream.copy(kept.mem(), big.mem().slice(5, 1 << 20).unwrap()).unwrap();
            stream.fill(kept.mem().slice(0, 7).unwrap(), 9).unwrap();
        }
        assert_eq!(waits(&driver), before);
        let mut back = vec![0; 1 << 20];
        // SAFETY: as above.
        unsafe { stream.read(kept.mem(), &mut back, Duration::from_secs(20)).unwrap() };
        assert!(back[..7].iter().all(|&b| b == 9) && back[7..] == bytes[12..5 + (1 << 20)]);
        assert_eq!(device.memory_in_use().unwrap(), 4 << 20);
    }
    assert_eq!(driver.live(), [0; 5], "streams, events, graphs, modules, blocks");
}
