//! Several members over the stand-ins for driver and NCCL.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::{Collective, DType, Device, ErrorKind, Mem, MemoryKind, Severity, Stream, View};
use omnihal_cuda::collective::{UniqueId, join, unique_id};
use stand_in::StandIn;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Puts the stand-in for NCCL beside the driver.
fn stage() -> (StandIn, libloading::Library) {
    let driver = StandIn::stage(&[]);
    let folder = std::env::var_os("LD_LIBRARY_PATH").unwrap();
    let path = Path::new(&folder).join("libnccl.so.2");
    std::fs::copy(std::env::current_exe().unwrap().with_file_name("libfake_nccl.so"), &path).unwrap();
    // SAFETY: the stand-in has no constructors.
    (driver, unsafe { libloading::Library::new(path) }.unwrap())
}

fn read(stream: &dyn Stream, mem: Mem) -> Vec<u8> {
    let mut bytes = vec![0; mem.len];
    // SAFETY: the memory is alive.
    unsafe { stream.read(mem, &mut bytes, LIMIT).unwrap() };
    bytes
}

/// What one member does; its sum and what it gathered.
fn member(device: &dyn Device, id: &UniqueId, rank: usize, size: usize) -> (Vec<u8>, Vec<u8>) {
    let stream = device.stream().unwrap();
    let group = join(&*stream, id, rank, size, LIMIT).unwrap();
    assert_eq!((group.rank(), group.size()), (rank, size));
    let data = device.alloc(16, MemoryKind::Device).unwrap();
    let all = device.alloc(16 * size, MemoryKind::Device).unwrap();
    let view = |mem, n| View::contiguous(mem, DType::F32, [n]).unwrap();
    let numbers: Vec<u8> = (0..4).flat_map(|i| ((10 * rank + i) as f32).to_le_bytes()).collect();
    // SAFETY: both buffers outlive the stream.
    unsafe {
        stream.write(data.mem(), &numbers).unwrap();
        group.all_gather(&*stream, &view(data.mem(), 4), &view(all.mem(), 4 * size)).unwrap();
        group.all_reduce(&*stream, &view(data.mem(), 4)).unwrap();
    }
    refused(&*stream, &*group, data.mem());
    (read(&*stream, data.mem()), read(&*stream, all.mem()))
}

/// Calls that are refused before any other member hears of them.
fn refused(stream: &dyn Stream, group: &dyn Collective, mem: Mem) {
    let gaps = View { strides: [2, 1, 0, 0, 0, 0], ..View::contiguous(mem, DType::F32, [2, 1]).unwrap() };
    let codes = View::contiguous(mem, DType::F8E4M3, [16]).unwrap();
    let part = View::contiguous(mem, DType::F32, [4]).unwrap();
    // SAFETY: the memory is alive.
    let errors = unsafe {
        [group.all_reduce(stream, &gaps), group.all_reduce(stream, &codes), group.all_gather(stream, &part, &part)]
    };
    let kinds = errors.map(|e| e.err().unwrap().kind());
    assert_eq!(kinds, [ErrorKind::InvalidArgument, ErrorKind::Unsupported, ErrorKind::InvalidArgument]);
}

#[test]
fn members_add_up_and_gather_and_one_that_is_alone_or_left_alone_does_not_wait_for_ever() {
    let (driver, nccl) = stage();
    // SAFETY: the stand-in's own function.
    let live = || unsafe { nccl.get::<unsafe extern "C" fn() -> u64>(b"fake_nccl_live\0").unwrap()() };
    {
        let size = 3;
        let devices: Vec<_> = (0..size).map(|_| driver.open()).collect();
        let id = unique_id().unwrap();
        let results: Vec<_> = std::thread::scope(|scope| {
            let devices = &devices;
            let tasks: Vec<_> =
                (0..size).map(|rank| scope.spawn(move || member(&*devices[rank], &id, rank, size))).collect();
            tasks.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let bytes = |x: &dyn Fn(usize) -> f32, n: usize| (0..n).flat_map(|i| x(i).to_le_bytes()).collect::<Vec<_>>();
        for (sum, all) in results {
            assert_eq!(sum, bytes(&|i| (30 + 3 * i) as f32, 4));
            assert_eq!(all, bytes(&|i| (i / 4 * 10 + i % 4) as f32, 12));
        }
        assert_eq!(live(), 0);

        let stream = devices[0].stream().unwrap();
        let short = Duration::from_millis(50);
        let alone = join(&*stream, &unique_id().unwrap(), 0, 2, short).err().unwrap();
        assert_eq!(alone.kind(), ErrorKind::Timeout);
        assert_eq!(join(&*stream, &id, 2, 2, short).err().unwrap().kind(), ErrorKind::InvalidArgument);
        assert_eq!(live(), 0);

        left_alone(&*devices[0], &*devices[1]);
        assert_eq!(live(), 0);
    }
    assert_eq!(driver.live(), [0; 5], "streams, events, graphs, modules, blocks");
}

/// A member goes away while another waits for it: the first cause, for this call and every later one.
fn left_alone(stays: &dyn Device, goes: &dyn Device) {
    let (id, joined) = (unique_id().unwrap(), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let stream = goes.stream().unwrap();
            let group = join(&*stream, &id, 1, 2, LIMIT).unwrap();
            joined.wait();
            drop(group);
        });
        let stream = stays.stream().unwrap();
        let group = join(&*stream, &id, 0, 2, LIMIT).unwrap();
        joined.wait();
        let data = stays.alloc(16, MemoryKind::Device).unwrap();
        let view = View::contiguous(data.mem(), DType::I32, [4]).unwrap();
        // SAFETY: the buffer outlives the stream.
        let errors = unsafe { [(); 2].map(|()| group.all_reduce(&*stream, &view).err().unwrap()) };
        assert_eq!((errors[0].kind(), errors[0].severity()), (ErrorKind::Execution, Severity::StreamPoisoned));
        assert_eq!(errors[0], errors[1]);
    });
}
