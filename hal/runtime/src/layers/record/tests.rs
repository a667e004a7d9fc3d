use super::*;
use crate::layers::testing::{Rig, Wishes, device, linear, tensor};
use omnihal::op::copy;
use omnihal::{MemoryKind, Shape};
use std::sync::atomic::AtomicUsize;

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn a_run_is_recorded_with_its_descriptor_shapes_and_small_inputs() {
    let buffer = RecordBuffer::default();
    let device = record(device(), buffer.clone());
    let (stream, plan) = (device.stream().unwrap(), device.plan(&linear()).unwrap());
    let [(_a, a), (_w, w), (_y, y)] = [[2, 16], [8, 16], [2, 8]].map(|dims| tensor(&*device, DType::F32, &dims));
    let values: Vec<f32> = (0..32).map(|i| i as f32).collect();
    let views = [Some(a), Some(w), Some(y)];
    // SAFETY: the null device touches no argument; the buffers outlive the calls.
    unsafe {
        stream.write(a.mem, &floats(&values)).unwrap();
        stream.run(&*plan, &Args { rows_hint: 1, ..Args::new(&views) }).unwrap();
    }
    let records = buffer.records().unwrap();
    assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(records[1].call.op().unwrap(), Some(linear()));
    let CallRecord::Run { args, rows_hint, .. } = &records[1].call else { panic!("{records:?}") };
    assert_eq!(*rows_hint, Some(1));
    let first = args[0].as_ref().unwrap();
    assert_eq!((first.name.as_deref(), &first.shape[..], &first.strides[..]), (Some("a"), &[2, 16][..], &[16, 1][..]));
    assert_eq!(first.data, Some(hex(&floats(&values))));
    let CallRecord::Write { dst, data } = &records[0].call else { panic!("{records:?}") };
    assert_eq!((dst, data), (&first.mem, &first.data));
}

#[test]
fn large_tensors_and_captured_calls_are_recorded_without_contents() {
    let buffer = RecordBuffer::default();
    let device = record(device(), buffer.clone());
    let op: Op = copy::Copy { shape: Shape::from([2048]), input: DType::F32, output: DType::F32 }.into();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&op).unwrap());
    let [(_x, x), (_y, y)] = [(); 2].map(|()| tensor(&*device, DType::F32, &[2048]));
    let (_small, small) = tensor(&*device, DType::F32, &[2, 16]);
    let linear = device.plan(&linear()).unwrap();
    // SAFETY: the null device touches no argument; the buffers outlive the calls.
    unsafe {
        stream.run(&*plan, &Args::new(&[Some(x), Some(y)])).unwrap();
        stream.begin_capture().unwrap();
        stream.run(&*linear, &Args::new(&[Some(small)])).unwrap();
        let graph = stream.end_capture().unwrap();
        stream.launch(&*graph).unwrap();
    }
    let records = buffer.records().unwrap();
    let captured: Vec<_> = records.iter().map(|r| r.captured).collect();
    assert_eq!(captured, [false, false, true, true, false]);
    for i in [0, 2] {
        let CallRecord::Run { args, .. } = &records[i].call else { panic!("{:?}", records[i]) };
        assert!(args.iter().flatten().all(|arg| arg.data.is_none()));
    }
    assert_eq!(records[4].call, CallRecord::Launch { nodes: 1 });
}

#[test]
fn a_descriptor_that_json_cannot_hold_is_kept_as_text() {
    let buffer = RecordBuffer::default();
    let device = record(device(), buffer.clone());
    let op: Op = copy::Fill { shape: Shape::from([4]), value: f32::NEG_INFINITY, dtype: DType::F32 }.into();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&op).unwrap());
    // SAFETY: the null device touches no argument.
    unsafe { stream.run(&*plan, &Args::new(&[])) }.unwrap();
    let error = buffer.records().unwrap()[0].call.op().unwrap_err();
    assert!(error.message().contains("value: -inf"), "{error}");
}

#[test]
fn a_call_is_recorded_before_it_is_made() {
    let buffer = RecordBuffer::default();
    let device = record(Rig::new(Wishes::default()), buffer.clone());
    let stream = device.stream().unwrap();
    assert!(stream.begin_capture().is_err());
    let other = CallRecord::Other { name: "begin_capture".to_owned() };
    assert_eq!(buffer.records().unwrap()[0].call, other);
    stream.poll().unwrap();
    assert!(!buffer.records().unwrap()[1].captured, "a capture that never began captures nothing");
}

/// A writer that is full after some bytes.
struct Full(AtomicUsize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.fetch_add(bytes.len(), SeqCst) > 100 {
            true => Err(io::Error::other("no space left")),
            false => Ok(bytes.len()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recording_that_cannot_be_written_makes_the_device_unhealthy() {
    let device = record(device(), Full(AtomicUsize::new(0)));
    let stream = device.stream().unwrap();
    device.health().unwrap();
    (0..9).for_each(|_| assert!(stream.poll().unwrap()));
    let error = device.health().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("no space left"), "{error}");
    assert!(device.alloc(8, MemoryKind::Device).is_err());
}
