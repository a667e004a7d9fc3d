//! Two processes over the stand-ins: they add up and gather, and one that is left alone does not wait for ever.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::{Collective, DType, Device, ErrorKind, Mem, MemoryKind, Severity, Stream, View};
use omnihal_ascend::collective::{RootInfo, join, root_info};
use stand_in::{LIMIT, StandIn};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const RANK: &str = "STAND_IN_TEST_RANK";
const NAME: &str = "processes_add_up_and_gather_and_one_that_is_left_alone_learns_it";

fn read(stream: &dyn Stream, mem: Mem) -> Vec<u8> {
    let mut bytes = vec![0; mem.len];
    // SAFETY: the memory is alive.
    unsafe { stream.read(mem, &mut bytes, LIMIT).unwrap() };
    bytes
}

fn bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
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

/// What both members do, eagerly and as a graph.
fn together(device: &dyn Device, stream: &dyn Stream, group: &dyn Collective, rank: usize) {
    assert_eq!((group.rank(), group.size()), (rank, 2));
    let data = device.alloc(16, MemoryKind::Device).unwrap();
    let all = device.alloc(32, MemoryKind::Device).unwrap();
    let view = |mem, n| View::contiguous(mem, DType::F32, [n]).unwrap();
    // SAFETY: both buffers outlive the stream's work.
    unsafe {
        stream.write(data.mem(), &bytes((0..4).map(|i| (10 * rank + i) as f32))).unwrap();
        group.all_gather(stream, &view(data.mem(), 4), &view(all.mem(), 8)).unwrap();
        group.all_reduce(stream, &view(data.mem(), 4)).unwrap();
    }
    refused(stream, group, data.mem());
    assert_eq!(read(stream, data.mem()), bytes((0..4).map(|i| (10 + 2 * i) as f32)));
    assert_eq!(read(stream, all.mem()), bytes((0..8).map(|i| (i / 4 * 10 + i % 4) as f32)));

    stream.begin_capture().unwrap();
    // SAFETY: as above.
    unsafe { group.all_reduce(stream, &view(data.mem(), 4)).unwrap() };
    let graph = stream.end_capture().unwrap();
    for _ in 0..3 {
        // SAFETY: as above.
        unsafe { stream.launch(&*graph).unwrap() };
    }
    assert_eq!(read(stream, data.mem()), bytes((0..4).map(|i| (8 * (10 + 2 * i)) as f32)));
}

fn second(cann: &StandIn, mut from: impl Read) {
    let mut info: RootInfo = [0; 4108];
    from.read_exact(&mut info).unwrap();
    {
        let device = cann.device(1);
        let stream = device.stream().unwrap();
        let group = join(&*stream, &info, 1, 2, LIMIT).unwrap();
        together(&*device, &*stream, &*group, 1);
    }
    assert_eq!((cann.live(), cann.broken()), ([0; 8], String::new()));
}

#[test]
fn processes_add_up_and_gather_and_one_that_is_left_alone_learns_it() {
    // SAFETY: no thread was started yet.
    unsafe { std::env::set_var("FAKE_CANN_DEVICES", "2") };
    let cann = StandIn::stage("Ascend910_9391");
    if std::env::var_os(RANK).is_some() {
        return second(&cann, std::io::stdin());
    }
    let device = cann.open();
    let stream = device.stream().unwrap();
    let alone = join(&*stream, &root_info(&*stream).unwrap(), 0, 2, Duration::from_millis(50)).err().unwrap();
    assert_eq!(alone.kind(), ErrorKind::Timeout);
    let info = root_info(&*stream).unwrap();
    assert_eq!(join(&*stream, &info, 2, 2, LIMIT).err().unwrap().kind(), ErrorKind::InvalidArgument);

    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(RANK, "1")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    other.stdin.take().unwrap().write_all(&info).unwrap();
    let group = join(&*stream, &info, 0, 2, LIMIT).unwrap();
    together(&*device, &*stream, &*group, 0);
    assert!(other.wait().unwrap().success());

    // The other one has gone: the first call is enqueued, and fails as it runs; later ones are refused with the first cause.
    let data = device.alloc(16, MemoryKind::Device).unwrap();
    let view = View::contiguous(data.mem(), DType::F32, [4]).unwrap();
    // SAFETY: the buffer outlives the stream.
    unsafe { group.all_reduce(&*stream, &view).unwrap() };
    let lost = stream.sync(LIMIT).unwrap_err();
    assert_eq!((lost.kind(), lost.severity()), (ErrorKind::Execution, Severity::DeviceLost));
    // SAFETY: as above.
    let later = unsafe { group.all_reduce(&*stream, &view) }.unwrap_err();
    assert_eq!(later, lost);
    assert_eq!(cann.broken(), "");
}
