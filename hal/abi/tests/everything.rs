//! Every function of the traits through the table: what goes in comes out on the other side, errors whole, panics never.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod common;
#[path = "common/rig.rs"]
mod rig;

use omnihal::op::norm;
use omnihal::{
    Accumulation, Args, Column, Cost, DType, Determinism, Device, Error, ErrorKind, Layout, Mem, MemoryKind, Op,
    OpKind, Quant, Severity, Shape, Support, View, WeightDesc, WeightForm, WeightFormat,
};
use omnihal_abi::through_table;
use rig::{RigBackend, Script};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn rms() -> Op {
    let (input, output) = (DType::F32, DType::F32);
    norm::Rms { rows: 3, heads: 2, width: 8, eps: 1e-6, weight: Some(DType::BF16), input, output }.into()
}

fn open() -> (Arc<dyn Device>, Arc<Script>) {
    let rig = RigBackend::default();
    let script = Arc::clone(&rig.script);
    (through_table(Box::new(rig)).open(0).unwrap(), script)
}

/// Views that differ from each other and from defaults in every part.
fn views() -> Vec<Option<View>> {
    let view = View {
        mem: Mem { addr: 0xdead_0000, len: 4096 },
        offset: 96,
        dtype: DType::F8E4M3,
        shape: Shape::from([2, 3, 4]),
        strides: [40, 10, 1, 3, 2, 1],
        layout: Layout::Vendor(5),
        quant: Some(Quant {
            mem: Mem { addr: 0xbeef_0000, len: 77 },
            dtype: DType::E8M0,
            block: (1, 32),
            shape: Shape::from([2, 3, 1]),
        }),
    };
    let plain = View { quant: None, layout: Layout::Strided, dtype: DType::BOOL, offset: 0, ..view };
    vec![Some(view), None, Some(plain)]
}

#[test]
fn facts_of_the_device_arrive() {
    let rig = RigBackend::default();
    let backend = through_table(Box::new(rig));
    assert_eq!(backend.name(), "rig");
    let probe = backend.probe().unwrap();
    assert_eq!(probe.searched, ["here", "there"]);
    let device = backend.open(0).unwrap();
    for info in [&probe.devices[0], device.info()] {
        assert_eq!((info.backend, info.index, info.name.as_str(), info.memory), ("rig", 0, "rig Ünit", Some(1 << 33)));
        assert_eq!(info.versions, [("driver".to_owned(), "1.2".to_owned()), ("library".to_owned(), "3".to_owned())]);
    }
    let caps = device.caps();
    assert_eq!(caps.activations, [DType::F32, DType::F16]);
    assert_eq!(caps.ops, [OpKind::NormRms, OpKind::SamplePick].into_iter().collect());
    assert_eq!((caps.host_addressable, caps.native_graphs, caps.alignment), (false, true, 256));
    assert_eq!(device.memory_in_use(), Some(12345));
    assert_eq!(backend.open(3).err().unwrap(), Error::new(ErrorKind::NotFound, "no device rig:3"));
}

#[test]
fn facts_of_a_plan_arrive() {
    let (device, _) = open();
    let plan = device.plan(&rms()).unwrap();
    assert_eq!(plan.op(), &rms());
    assert_eq!((plan.workspace(), plan.capture_safe()), (640, false));
    assert_eq!(plan.workspace_for(&views()).unwrap(), 80);
    assert_eq!(plan.columns(), [Column::Pos0, Column::PtQt(128)]);
    assert_eq!(plan.cost(), Cost { flops: 17.0, bytes: 3.5 });
    assert_eq!(plan.determinism(), Determinism::Repeatable);
    assert_eq!(plan.accumulation(), Accumulation::TensorCoreTrunc { bits: 13, promote: 128 });
    let prologue = plan.prologue().unwrap();
    assert_eq!((prologue.key.as_str(), prologue.bytes), ("metadata/4", 96));
    assert!(prologue.plan.prologue().is_none());
}

#[test]
fn answers_about_support_arrive() {
    let (device, _) = open();
    assert_eq!(device.supports(&rms()), Support::Native);
    let ops = common::every_op();
    let pick = ops.iter().find(|op| op.kind() == OpKind::SamplePick).unwrap();
    assert_eq!(device.supports(pick), Support::Emulated("by twö kernels".to_owned()));
    assert_eq!(device.supports(&ops[0]), Support::No("no kernel for embed.lookup".to_owned()));
}

#[test]
fn wishes_about_weights_arrive() {
    let (device, script) = open();
    let mut desc = WeightDesc { shape: Shape::from([256, 128]), format: WeightFormat::FP8_BLOCK, act: DType::F32 };
    assert_eq!(device.weight(&desc), WeightForm::Expand(DType::F16));
    desc.act = DType::F16;
    assert_eq!(device.weight(&desc), WeightForm::No("too wide".to_owned()));
    desc.act = DType::I8;
    assert_eq!(device.weight(&desc), WeightForm::AsIs);
    desc.act = DType::BF16;
    let repack = WeightForm::Repack { layout: Layout::Vendor(9), bytes: 4096, row_granule: Some(16) };
    assert_eq!(device.weight(&desc), repack);
    let (stream, src, dst) = (device.stream().unwrap(), views()[0].unwrap(), Mem { addr: 64, len: 4096 });
    // SAFETY: the rig only writes down what it is given.
    unsafe { device.repack(&*stream, &desc, &src, dst).unwrap() };
    assert_eq!(script.last(), format!("repack {desc:?} {src:?} {dst:?}"));
}

#[test]
fn every_call_of_a_stream_arrives_as_it_was_made() {
    let (device, script) = open();
    let (stream, event, plan) = (device.stream().unwrap(), device.event().unwrap(), device.plan(&rms()).unwrap());
    let views = views();
    let args = Args { views: &views, workspace: Mem { addr: 0x500, len: 640 }, rows_hint: 2 };
    let (dst, src) = (Mem { addr: 1, len: 2 }, Mem { addr: 3, len: 2 });
    let mut bytes = [0; 2];
    // SAFETY: the rig only writes down what it is given.
    unsafe {
        stream.run(&*plan, &args).unwrap();
        assert_eq!(script.last(), format!("run bound=false {args:?}"));
        let all = Args { rows_hint: usize::MAX, ..args };
        let bound = plan.bind(&all).unwrap().unwrap();
        assert_eq!(script.last(), format!("bind {all:?}"));
        assert_eq!((bound.columns(), bound.workspace()), (plan.columns(), 640));
        stream.run(&*bound, &all).unwrap();
        assert_eq!(script.last(), format!("run bound=true {all:?}"));
        stream.copy(dst, src).unwrap();
        assert_eq!(script.last(), format!("copy {dst:?} {src:?}"));
        stream.fill(dst, 200).unwrap();
        assert_eq!(script.last(), format!("fill {dst:?} 200"));
        stream.write(dst, &[5, 6]).unwrap();
        assert_eq!(script.last(), format!("write {dst:?} [5, 6]"));
        stream.read(src, &mut bytes, Duration::from_millis(1500)).unwrap();
        assert_eq!((script.last(), bytes), (format!("read {src:?} 1.5s"), [9, 9]));
        assert!(stream.write(dst, &[1]).is_err() && stream.copy(dst, Mem { addr: 0, len: 3 }).is_err());
        stream.begin_capture().unwrap();
        let graph = stream.end_capture().unwrap();
        assert_eq!(graph.nodes(), 42);
        stream.launch(&*graph).unwrap();
        assert_eq!(script.last(), "launch");
    }
    stream.record(&*event).unwrap();
    stream.wait(&*event).unwrap();
    assert_eq!(script.last(), "wait");
    assert!(stream.poll().unwrap() && !event.poll().unwrap());
    assert_eq!(event.sync(Duration::from_secs(2)).unwrap_err(), Error::new(ErrorKind::Timeout, "waited 2s"));
    stream.sync(Duration::from_nanos(5)).unwrap();
    assert_eq!(script.last(), "sync 5ns");
}

#[test]
fn errors_keep_all_their_parts() {
    let (device, script) = open();
    let lost = device.health().unwrap_err();
    let expected = Error::new(ErrorKind::Execution, "the fan stopped");
    assert_eq!(lost, expected.with_severity(Severity::DeviceLost).with_sequence(7));
    let refused = device.plan(&common::every_op()[0]).err().unwrap();
    let expected = Error::unsupported("no kernel for embed.lookup").with_op(OpKind::EmbedLookup);
    assert_eq!(refused, expected.with_vendor(-77, "ärger"));
    let stream = device.stream().unwrap();
    for kind in [ErrorKind::Unsupported, ErrorKind::OutOfMemory, ErrorKind::InvalidState, ErrorKind::Io] {
        for severity in [Severity::Rejected, Severity::StreamPoisoned, Severity::DeviceLost] {
            let error = Error::new(kind, "ü").with_severity(severity).with_sequence(0);
            *script.failure.lock().unwrap() = Some(error.clone());
            assert_eq!(stream.sync(Duration::ZERO).unwrap_err(), error);
        }
    }
}

#[test]
fn panics_become_errors_and_never_cross() {
    let rig = RigBackend::default();
    let script = Arc::clone(&rig.script);
    let backend = through_table(Box::new(rig));
    let (device, plan) = (backend.open(0).unwrap(), backend.open(0).unwrap().plan(&rms()).unwrap());
    let (stream, event) = (device.stream().unwrap(), device.event().unwrap());
    let own = device.plan(&rms()).unwrap();
    let told = |function: &'static str| *script.panic_in.lock().unwrap() = function;
    let check = |error: Error, function: &str| {
        assert_eq!(error.message(), format!("the backend panicked: told to panic in {function}"));
        assert_eq!(error.severity(), Severity::StreamPoisoned);
    };
    told("probe");
    check(backend.probe().unwrap_err(), "probe");
    told("open");
    check(backend.open(0).err().unwrap(), "open");
    told("alloc");
    check(device.alloc(1, MemoryKind::Device).err().unwrap(), "alloc");
    told("stream");
    check(device.stream().err().unwrap(), "stream");
    told("plan");
    check(device.plan(&rms()).err().unwrap(), "plan");
    told("supports");
    assert!(matches!(device.supports(&rms()), Support::No(reason) if reason.contains("panicked")));
    told("run");
    // SAFETY: the rig touches no memory.
    check(unsafe { stream.run(&*own, &Args::new(&[])) }.unwrap_err(), "run");
    told("sync");
    check(stream.sync(Duration::ZERO).unwrap_err(), "sync");
    told("event poll");
    check(event.poll().unwrap_err(), "event poll");
    told("health");
    check(device.health().unwrap_err(), "health");
    told("drop");
    drop((plan, own, event, stream));
    told("");
    assert_eq!(device.supports(&rms()), Support::Native, "the host is alive");
}

#[test]
fn objects_keep_their_device_and_all_are_dropped_in_the_end() {
    let rig = RigBackend::default();
    let script = Arc::clone(&rig.script);
    let backend = through_table(Box::new(rig));
    let device = backend.open(0).unwrap();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&rms()).unwrap());
    let bound = plan.bind(&Args::new(&[])).unwrap().unwrap();
    let (buffer, event) = (device.alloc(8, MemoryKind::Pinned).unwrap(), device.event().unwrap());
    assert_eq!((buffer.kind(), buffer.len()), (MemoryKind::Pinned, 8));
    stream.begin_capture().unwrap();
    let graph = stream.end_capture().unwrap();
    // The device; the stream; plan and prologue; the bound plan; buffer; event; graph.
    assert_eq!(script.alive.load(SeqCst), 8);
    drop((backend, device, plan));
    assert_eq!(script.alive.load(SeqCst), 8);
    stream.sync(Duration::ZERO).unwrap();
    drop((stream, buffer, event, graph));
    assert_eq!(script.alive.load(SeqCst), 4);
    drop(bound);
    assert_eq!(script.alive.load(SeqCst), 0);
}
