//! Every in-tree backend through its own C table gives the same bits, facts and errors as without.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod common;

use common::{Bench, LIMIT, every_op, run};
use omnihal::{Args, Backend, Device, Mem, MemoryKind, Op, OpKind, Support};
use omnihal_abi::through_table;
use omnihal_cpu::CpuBackend;
use omnihal_null::NullBackend;
use omnihal_reference::ReferenceBackend;
use omnihal_runtime::layers::validate;
use std::collections::BTreeSet;
use std::sync::Arc;

fn pair(make: impl Fn() -> Box<dyn Backend>) -> (Arc<dyn Device>, Arc<dyn Device>) {
    (make().open(0).unwrap(), through_table(make()).open(0).unwrap())
}

#[test]
fn the_calls_cover_every_operator() {
    let covered: BTreeSet<_> = every_op().iter().map(Op::kind).collect();
    assert_eq!(covered.into_iter().collect::<Vec<_>>(), OpKind::ALL);
}

fn same_bits(make: impl Fn() -> Box<dyn Backend>) {
    let (direct, table) = pair(make);
    let (mut ran, mut kinds) = (0, BTreeSet::new());
    for op in every_op() {
        op.check().unwrap();
        assert_eq!(direct.supports(&op), table.supports(&op), "{op:?}");
        if let Support::No(_) = direct.supports(&op) {
            let (left, right) = (direct.plan(&op).err().unwrap(), table.plan(&op).err().unwrap());
            assert_eq!(left, right, "{op:?}");
            continue;
        }
        assert_eq!(run(&*direct, &op), run(&*table, &op), "{op:?}");
        ran += 1;
        kinds.insert(op.kind());
    }
    assert!(ran >= 40 && kinds.len() >= 40, "only {ran} calls of {} operators ran", kinds.len());
}

#[test]
fn the_cpu_gives_the_same_bits() {
    same_bits(|| Box::new(CpuBackend));
}

#[test]
fn the_reference_gives_the_same_bits() {
    same_bits(|| Box::new(ReferenceBackend));
}

#[test]
fn plans_state_the_same_facts() {
    let backends: [fn() -> Box<dyn Backend>; 3] =
        [|| Box::new(CpuBackend), || Box::new(ReferenceBackend), || Box::new(NullBackend::new())];
    for make in backends {
        let (direct, table) = pair(make);
        for op in every_op().iter().filter(|op| !matches!(direct.supports(op), Support::No(_))) {
            let (left, right) = (direct.plan(op).unwrap(), table.plan(op).unwrap());
            assert_eq!(left.op(), right.op());
            assert_eq!(left.workspace(), right.workspace());
            assert_eq!(left.columns(), right.columns());
            assert_eq!(left.cost(), right.cost());
            assert_eq!(left.capture_safe(), right.capture_safe());
            assert_eq!(left.determinism(), right.determinism());
            assert_eq!(left.accumulation(), right.accumulation());
            assert_eq!(left.prologue().is_some(), right.prologue().is_some());
        }
    }
}

/// A little of everything that the null device writes into its journal.
fn exercise(backend: &NullBackend, device: &Arc<dyn Device>) -> Vec<omnihal_null::Call> {
    let (stream, event) = (device.stream().unwrap(), device.event().unwrap());
    let buffers = [(); 2].map(|()| device.alloc(64, MemoryKind::Pinned).unwrap());
    let [a, b] = buffers.each_ref().map(|x| x.mem());
    for op in every_op() {
        let plan = device.plan(&op).unwrap();
        let bench = Bench::new(&**device, &*stream, &*plan);
        // SAFETY: the null device touches no argument.
        unsafe { stream.run(&*plan, &bench.args()).unwrap() };
    }
    // SAFETY: the buffers outlive the stream's work, which is done at once.
    unsafe {
        stream.begin_capture().unwrap();
        stream.fill(a, 0xab).unwrap();
        stream.copy(b, a).unwrap();
        stream.record(&*event).unwrap();
        stream.wait(&*event).unwrap();
        let graph = stream.end_capture().unwrap();
        assert_eq!(graph.nodes(), 4);
        stream.launch(&*graph).unwrap();
        let mut bytes = [0; 64];
        stream.read(b, &mut bytes, LIMIT).unwrap();
        assert_eq!(bytes, [0xab; 64]);
    }
    assert!(stream.poll().unwrap() && event.poll().unwrap());
    event.sync(LIMIT).unwrap();
    stream.sync(LIMIT).unwrap();
    backend.calls().journal()
}

#[test]
fn the_null_device_sees_the_same_calls_in_the_same_order() {
    let (direct, exported) = (NullBackend::new(), NullBackend::new());
    let calls = exported.calls();
    let table = through_table(Box::new(exported)).open(0).unwrap();
    let left = exercise(&direct, &direct.open(0).unwrap());
    exercise(&NullBackend::new(), &table);
    assert!(left.len() > 200);
    assert_eq!(left, calls.journal());
}

#[test]
fn imported_host_memory_is_used_in_place_and_kept_until_the_buffer_is_gone() {
    let device = through_table(Box::new(CpuBackend)).open(0).unwrap();
    let owner = Arc::new(vec![7u8; 4096]);
    // SAFETY: the owner is kept by the buffer.
    let buffer = unsafe { device.import(owner.as_ptr(), owner.len(), owner.clone()).unwrap() };
    assert_eq!(buffer.mem(), Mem { addr: owner.as_ptr().addr() as u64, len: 4096 });
    assert_eq!(Arc::strong_count(&owner), 2);
    drop(buffer);
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn objects_of_another_device_are_refused() {
    let backend = through_table(Box::new(NullBackend::new()));
    let (one, other) = (backend.open(0).unwrap(), backend.open(0).unwrap());
    let direct = NullBackend::new().open(0).unwrap();
    let op = every_op()[2];
    let (stream, event) = (one.stream().unwrap(), one.event().unwrap());
    for foreign in [&other, &direct] {
        let (plan, foreign_event) = (foreign.plan(&op).unwrap(), foreign.event().unwrap());
        let foreign_stream = foreign.stream().unwrap();
        // SAFETY: refused before anything is done.
        let error = unsafe { stream.run(&*plan, &Args::new(&[])).unwrap_err() };
        assert!(error.message().contains("plan was made by another device"), "{error}");
        assert!(stream.record(&*foreign_event).unwrap_err().message().contains("event"));
        assert!(stream.wait(&*foreign_event).is_err());
        foreign_stream.begin_capture().unwrap();
        let graph = foreign_stream.end_capture().unwrap();
        // SAFETY: as above.
        assert!(unsafe { stream.launch(&*graph) }.unwrap_err().message().contains("graph"));
    }
    stream.record(&*event).unwrap();
    let imported = one.plan(&op).unwrap();
    // SAFETY: as above.
    assert!(unsafe { direct.stream().unwrap().run(&*imported, &Args::new(&[])) }.is_err());
}

#[test]
fn more_arguments_than_the_interface_carries_are_refused() {
    let device = through_table(Box::new(NullBackend::new())).open(0).unwrap();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&every_op()[2]).unwrap());
    let views = vec![None; omnihal_abi::MAX_ARGS + 1];
    // SAFETY: refused before anything is done.
    let error = unsafe { stream.run(&*plan, &Args::new(&views)).unwrap_err() };
    assert!(error.message().starts_with("33 arguments"), "{error}");
}

#[test]
fn threads_share_a_device_and_its_plans() {
    let (direct, table) = pair(|| Box::new(CpuBackend));
    let ops: Vec<_> = every_op().into_iter().filter(|op| direct.supports(op) == Support::Native).collect();
    let expected: Vec<_> = ops.iter().map(|op| run(&*direct, op)).collect();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (table, ops, expected) = (&table, &ops, &expected);
            scope.spawn(move || {
                for (op, expected) in ops.iter().zip(expected).skip(first) {
                    assert_eq!(&run(&**table, op), expected, "{op:?}");
                }
            });
        }
    });
}

#[test]
fn layers_work_over_a_device_behind_the_table() {
    let (direct, table) = pair(|| Box::new(CpuBackend));
    let checked = validate(table);
    for op in every_op().iter().filter(|op| direct.supports(op) == Support::Native) {
        assert_eq!(run(&*direct, op), run(&*checked, op), "{op:?}");
    }
}
