//! Planted wrong calls, each of which must be refused in words that name what is wrong.

use super::{ValidateOptions, validate, validate_with};
use crate::layers::testing::{Rig, Wishes, linear, linear_with, tensor};
use omnihal::op::{copy, elementwise, hyper, norm};
use omnihal::{
    Args, Buffer, Column, DType, Device, ErrorKind, Layout, Mem, MemoryKind, Op, Quant, Shape, Stream, View,
    WeightFormat,
};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);

/// A validated device, and buffers kept until the end of the test.
struct Bench {
    rig: Arc<Rig>,
    device: Arc<dyn Device>,
    stream: Box<dyn Stream>,
    keep: Vec<Buffer>,
}

impl Bench {
    fn new(wishes: Wishes) -> Bench {
        Bench::with(wishes, ValidateOptions::default())
    }

    fn with(wishes: Wishes, options: ValidateOptions) -> Bench {
        let rig = Rig::new(wishes);
        let device = validate_with(rig.clone(), options);
        let stream = device.stream().unwrap();
        Bench { rig, device, stream, keep: Vec::new() }
    }

    fn tensor(&mut self, dtype: DType, dims: &[usize]) -> View {
        let (buffer, view) = tensor(&*self.device, dtype, dims);
        self.keep.push(buffer);
        view
    }

    fn run_with(&self, op: &Op, views: &[Option<View>], workspace: Mem) -> omnihal::Result<()> {
        let plan = self.device.plan(op).unwrap();
        // SAFETY: the rig touches no argument, and the layer refuses what is wrong.
        unsafe { self.stream.run(&*plan, &Args { workspace, ..Args::new(views) }) }
    }

    fn run(&self, op: &Op, views: &[Option<View>]) -> omnihal::Result<()> {
        self.run_with(op, views, Mem::default())
    }

    /// Fails unless the call is refused with these words and never reaches the device.
    fn refused(&self, op: &Op, views: &[Option<View>], words: &str) {
        let error = self.run(op, views).expect_err(words);
        assert!(error.to_string().contains(words), "expected `{words}` in `{error}`");
        assert_eq!((error.kind(), error.op()), (ErrorKind::InvalidArgument, Some(op.kind())), "{error}");
        assert_eq!(self.rig.seen(), [""; 0], "{words}");
    }

    fn linear_args(&mut self) -> [View; 3] {
        [[2, 16], [8, 16], [2, 8]].map(|dims| self.tensor(DType::F32, &dims))
    }
}

#[test]
fn each_wrong_argument_of_a_product_is_refused_and_the_right_one_runs() {
    let mut bench = Bench::new(Wishes::default());
    let right = bench.linear_args();
    let wide = bench.tensor(DType::F32, &[2, 32]);
    type Spoil = Box<dyn Fn(&mut Vec<Option<View>>)>;
    fn field(i: usize, change: impl Fn(&mut View) + 'static) -> Spoil {
        Box::new(move |views| change(views[i].as_mut().unwrap()))
    }
    let wrong: Vec<(&str, Spoil)> = vec![
        ("2 arguments were given, expected 3", Box::new(|v| v.truncate(2))),
        ("4 arguments were given, expected 3", Box::new(|v| v.push(None))),
        ("argument `w` is missing", Box::new(|v| v[1] = None)),
        ("`a` has shape [2, 8], expected [2, 16]", field(0, |v| v.shape = Shape::from([2, 8]))),
        ("`a` has shape [32], expected [2, 16]", field(0, |v| v.shape = Shape::from([32]))),
        ("`a` has format BF16, expected F32", field(0, |v| v.dtype = DType::BF16)),
        ("`a` F32 [2, 16] at byte 4 reaches past its buffer", field(0, |v| v.offset = 4)),
        ("reaches past its buffer", field(0, |v| v.offset = usize::MAX)),
        ("reaches past its buffer", field(0, |v| v.strides[0] = usize::MAX)),
        ("reaches past its buffer", field(0, |v| v.mem.addr = 0)),
        ("expected a multiple of 4 for F32", field(0, |v| (v.mem.addr, v.mem.len) = (v.mem.addr + 2, v.mem.len))),
        ("its last axis has gaps", field(0, |v| v.strides[..2].copy_from_slice(&[1, 2]))),
        ("axis 0 repeats", field(0, |v| v.strides[0] = 0)),
        ("elements would be written twice", field(2, |v| v.strides[0] = 7)),
        ("is written and has a private layout", field(2, |v| v.layout = Layout::Vendor(1))),
        ("output `y` overlaps `a`", Box::new(|v| v[2] = v[0].map(|a| a.slice(1, 0, 8).unwrap()))),
        ("output `y` overlaps `w`", Box::new(|v| v[2].as_mut().unwrap().mem = v[1].unwrap().mem)),
        ("does not lie in a live allocation", field(1, |v| (v.mem.addr, v.mem.len) = (4096, 512))),
        ("`a` at", field(0, |v| v.mem.len += 1)),
    ];
    for (words, spoil) in wrong {
        let mut views: Vec<_> = right.iter().copied().map(Some).collect();
        spoil(&mut views);
        bench.refused(&linear(), &views, words);
    }
    bench.run(&linear(), &right.map(Some)).unwrap();
    let apart = wide.slice(1, 3, 16).unwrap();
    bench.run(&linear(), &[Some(apart), Some(right[1]), Some(right[2])]).unwrap();
    assert_eq!(bench.rig.seen().len(), 2);
}

fn scaled(codes: View, quant: Quant) -> View {
    View { quant: Some(quant), ..codes }
}

#[test]
fn scales_must_fit_their_codes() {
    let mut bench = Bench::new(Wishes::default());
    let format = WeightFormat::FP8_BLOCK;
    let [a, _, y] = bench.linear_args();
    let (codes, scales) = (bench.tensor(DType::F8E4M3, &[8, 16]), bench.tensor(DType::E8M0, &[1, 1]));
    let quant = Quant { mem: scales.mem, dtype: DType::E8M0, block: (128, 128), shape: Shape::from([1, 1]) };
    let with = |quant: Quant| [Some(a), Some(scaled(codes, quant)), Some(y)];
    let op = linear_with(format);
    bench.run(&op, &with(quant)).unwrap();
    bench.rig.seen();
    bench.refused(&op, &[Some(a), Some(codes), Some(y)], "`w` has format F8E4M3, expected F8E4M3xE8M0/128x128");
    bench.refused(&op, &with(Quant { block: (1, 128), ..quant }), "`w` has format F8E4M3xE8M0/1x128");
    bench.refused(&op, &with(Quant { dtype: DType::F32, ..quant }), "`w` has format F8E4M3xF32/128x128");
    let shape = Shape::from([2, 1]);
    bench.refused(&op, &with(Quant { shape, ..quant }), "scales of `w` have shape [2, 1], expected [1, 1]");
    let short = Mem { len: 0, ..scales.mem };
    bench.refused(&op, &with(Quant { mem: short, ..quant }), "scales of `w` take 1 bytes, their memory has 0");
    let freed = Mem { addr: 1 << 20, len: 1 };
    bench.refused(&op, &with(Quant { mem: freed, ..quant }), "does not lie in a live allocation");
    bench.refused(&op, &with(Quant { mem: y.mem, ..quant }), "output `y` overlaps `w`");
}

#[test]
fn packed_rows_start_at_whole_bytes() {
    let mut bench = Bench::new(Wishes::default());
    let op: Op = copy::Gather { rows: 4, width: 7, count: 2, dtype: DType::F4E2M1X2, trusted: true }.into();
    let (src, idx) = (bench.tensor(DType::F4E2M1X2, &[4, 8]), bench.tensor(DType::I32, &[2]));
    let y = bench.tensor(DType::F4E2M1X2, &[2, 8]).slice(1, 0, 7).unwrap();
    let narrow = src.slice(1, 0, 7).unwrap();
    bench.run(&op, &[Some(narrow), Some(idx), Some(y)]).unwrap();
    bench.rig.seen();
    let mut odd = narrow;
    odd.strides[0] = 7;
    bench.refused(&op, &[Some(odd), Some(idx), Some(y)], "axis 0 cuts a byte of F4E2M1X2");
}

#[test]
fn an_argument_that_the_descriptor_leaves_out_must_not_be_given() {
    let mut bench = Bench::new(Wishes::default());
    let op: Op =
        norm::Rms { rows: 2, heads: 1, width: 8, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 }.into();
    let (x, w) = (bench.tensor(DType::F32, &[2, 1, 8]), bench.tensor(DType::F32, &[8]));
    bench.refused(&op, &[Some(x), Some(w), Some(x)], "`weight` was given, but the descriptor leaves it out");
    bench.run(&op, &[Some(x), None, Some(x)]).unwrap();
}

#[test]
fn an_output_may_be_its_input_only_where_the_catalogue_says_so_and_only_whole() {
    let mut bench = Bench::new(Wishes::default());
    let rms: Op =
        norm::Rms { rows: 2, heads: 1, width: 8, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 }.into();
    let wide = bench.tensor(DType::F32, &[3, 1, 8]);
    let (x, shifted) = (wide.slice(0, 0, 2).unwrap(), wide.slice(0, 1, 2).unwrap());
    bench.run(&rms, &[Some(x), None, Some(x)]).unwrap();
    bench.rig.seen();
    bench.refused(&rms, &[Some(x), None, Some(shifted)], "output `y` overlaps `x`");
    let copy: Op = copy::Copy { shape: Shape::from([2, 1, 8]), input: DType::F32, output: DType::F32 }.into();
    bench.refused(&copy, &[Some(x), Some(x)], "output `y` overlaps `x`");
    let sinkhorn: Op = hyper::Sinkhorn { rows: 2, streams: 2, iters: 2, eps: 0.0 }.into();
    let logits = bench.tensor(DType::F32, &[2, 4]);
    let comb = logits.split(1, 2, 2).unwrap();
    bench.refused(&sinkhorn, &[Some(logits), Some(comb)], "output `comb` overlaps `logits`");
}

#[test]
fn strides_are_judged_by_operator() {
    let mut bench = Bench::new(Wishes::default());
    let unary = |shape: Shape| -> Op {
        let func = elementwise::Func::Relu;
        let (input, output) = (DType::F32, DType::F32);
        elementwise::Unary { shape, func, alpha: 1.0, beta: 0.0, gamma: 1.0, delta: 0.0, input, output }.into()
    };
    let (x, y) = (bench.tensor(DType::F32, &[4, 6]), bench.tensor(DType::F32, &[6, 4]));
    bench.run(&unary(Shape::from([6, 4])), &[Some(x.swap(0, 1).unwrap()), Some(y)]).unwrap();
    bench.rig.seen();
    let repeated = x.slice(0, 0, 1).unwrap().expand(0, 4).unwrap();
    let op = unary(Shape::from([4, 6]));
    bench.refused(&op, &[Some(x), Some(repeated)], "elements would be written twice");
    let sinkhorn: Op = hyper::Sinkhorn { rows: 2, streams: 2, iters: 1, eps: 0.0 }.into();
    let (logits, wide) = (bench.tensor(DType::F32, &[2, 4]), bench.tensor(DType::F32, &[2, 2, 4]));
    let apart = wide.slice(2, 0, 2).unwrap();
    bench.refused(&sinkhorn, &[Some(logits), Some(apart)], "expected a contiguous output");
}

#[test]
fn a_workspace_must_be_there_aligned_and_apart() {
    let mut bench = Bench::new(Wishes { workspace: 100, ..Wishes::default() });
    let views = bench.linear_args().map(Some);
    let scratch = bench.device.alloc(256, MemoryKind::Device).unwrap();
    let refused = |workspace: Mem, words: &str| {
        let error = bench.run_with(&linear(), &views, workspace).expect_err(words);
        assert!(error.message().contains(words), "expected `{words}` in `{error}`");
    };
    refused(Mem::default(), "needs a workspace of 100 bytes, 0 were given");
    refused(scratch.mem().slice(0, 99).unwrap(), "needs a workspace of 100 bytes, 99 were given");
    refused(scratch.mem().slice(8, 100).unwrap(), "expected a multiple of the device's alignment, 64");
    refused(views[1].unwrap().mem, "the workspace overlaps `w`");
    refused(Mem { addr: 64, len: 100 }, "`workspace` at 0x40, 100 bytes, does not lie in a live allocation");
    bench.run_with(&linear(), &views, scratch.mem()).unwrap();
}

#[test]
fn columns_and_prologue_output_follow_the_arguments() {
    let columns = vec![Column::Pos0, Column::Live];
    let mut bench = Bench::new(Wishes { columns, prologue: 32, ..Wishes::default() });
    let [a, w, y] = bench.linear_args();
    let (pos, live) = (bench.tensor(DType::I32, &[2]), bench.tensor(DType::F32, &[2]));
    let meta = bench.tensor(DType::U8, &[32]);
    let with = |rest: [Option<View>; 3]| [Some(a), Some(w), Some(y), rest[0], rest[1], rest[2]];
    let right = with([Some(pos), Some(live), Some(meta)]);
    bench.run(&linear(), &right).unwrap();
    bench.rig.seen();
    bench.refused(&linear(), &right[..5], "3 of the operator, 2 step columns, 1 prologue output");
    bench.refused(&linear(), &with([Some(live), Some(live), Some(meta)]), "`column Pos0` is F32");
    bench.refused(&linear(), &with([Some(pos), None, Some(meta)]), "`column Live` is missing");
    bench.refused(&linear(), &with([Some(pos), Some(live), Some(pos)]), "prologue's output is I32 [2], expected");
    bench.refused(&linear(), &with([Some(pos), Some(live), None]), "prologue's output is missing");
    let plan = bench.device.plan(&linear()).unwrap();
    let prologue = plan.prologue().unwrap();
    // SAFETY: the rig touches no argument.
    unsafe {
        bench.stream.run(&*prologue.plan, &Args::new(&[Some(pos), Some(live), Some(meta)])).unwrap();
        assert!(bench.stream.run(&*prologue.plan, &Args::new(&right)).is_err());
    }
}

#[test]
fn memory_that_was_freed_or_is_foreign_is_refused() {
    let bench = Bench::new(Wishes::default());
    let buffer = bench.device.alloc(64, MemoryKind::Device).unwrap();
    let (mem, copy) = (buffer.mem(), buffer.clone());
    let foreign = bench.rig.alloc(64, MemoryKind::Device).unwrap();
    // SAFETY: what is not alive is refused before it is touched.
    unsafe {
        drop(buffer);
        bench.stream.fill(mem, 1).unwrap();
        bench.stream.fill(mem.slice(60, 4).unwrap(), 1).unwrap();
        drop(copy);
        let freed = bench.stream.fill(mem, 1).unwrap_err();
        assert!(freed.message().contains("live allocation"), "{freed}");
        assert!(bench.stream.fill(foreign.mem(), 1).is_err());
        let trusting = validate_with(bench.rig.clone(), ValidateOptions { live: false, ..Default::default() });
        trusting.stream().unwrap().fill(foreign.mem(), 1).unwrap();
    }
}

#[test]
fn wrong_transfers_are_refused() {
    let bench = Bench::new(Wishes::default());
    let buffer = bench.device.alloc(64, MemoryKind::Device).unwrap();
    let part = |offset, len| buffer.mem().slice(offset, len).unwrap();
    let past = Mem { len: 65, ..buffer.mem() };
    // SAFETY: what is wrong is refused before it is touched.
    let errors = unsafe {
        [
            bench.stream.copy(part(0, 8), part(8, 9)).unwrap_err(),
            bench.stream.copy(part(0, 8), part(4, 8)).unwrap_err(),
            bench.stream.copy(past, past).unwrap_err(),
            bench.stream.fill(past, 0).unwrap_err(),
            bench.stream.write(part(0, 8), &[0; 9]).unwrap_err(),
            bench.stream.read(part(0, 8), &mut [0; 7], WAIT).unwrap_err(),
        ]
    };
    assert!(errors.iter().all(|e| e.kind() == ErrorKind::InvalidArgument), "{errors:?}");
    assert_eq!(errors.iter().filter_map(|e| e.sequence()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(bench.rig.seen(), [""; 0]);
    // SAFETY: the buffer is alive and the ranges are apart.
    unsafe { bench.stream.copy(part(0, 8), part(8, 8)) }.unwrap();
}

#[test]
fn plans_events_and_streams_of_elsewhere_are_refused() {
    let bench = Bench::new(Wishes::default());
    let (plan, event) = (bench.rig.plan(&linear()).unwrap(), bench.rig.event().unwrap());
    // SAFETY: the rig touches no argument.
    assert!(unsafe { bench.stream.run(&*plan, &Args::new(&[])) }.unwrap_err().message().contains("other layers"));
    assert!(bench.stream.record(&*event).is_err());
    let (own, foreign) = (bench.device.stream().unwrap(), bench.rig.stream().unwrap());
    let desc = omnihal::WeightDesc { shape: Shape::from([1, 1]), format: DType::F32.into(), act: DType::F32 };
    let (buffer, view) = tensor(&*bench.device, DType::F32, &[1, 1]);
    // SAFETY: the rig touches no argument.
    unsafe {
        bench.device.repack(&*own, &desc, &view, buffer.mem()).unwrap();
        assert!(bench.device.repack(&*foreign, &desc, &view, buffer.mem()).is_err());
    }
}

#[test]
fn a_capture_takes_only_what_a_graph_can_hold() {
    let graphs = crate::soft_graph::with_graphs(Rig::new(Wishes { unsafe_to_capture: true, ..Wishes::default() }));
    let device = validate(graphs);
    let (stream, event) = (device.stream().unwrap(), device.event().unwrap());
    assert_eq!(stream.end_capture().err().unwrap().kind(), ErrorKind::InvalidState);
    let plan = device.plan(&linear()).unwrap();
    let (buffers, views): (Vec<_>, Vec<_>) =
        [[2, 16], [8, 16], [2, 8]].iter().map(|dims| tensor(&*device, DType::F32, dims)).unzip();
    let views: Vec<_> = views.into_iter().map(Some).collect();
    let mem = buffers[0].mem();
    // SAFETY: the rig touches no argument; the buffers outlive the calls.
    unsafe {
        stream.run(&*plan, &Args::new(&views)).unwrap();
        stream.begin_capture().unwrap();
        let refused = [
            stream.run(&*plan, &Args::new(&views)).unwrap_err(),
            stream.write(mem, &vec![0; mem.len]).unwrap_err(),
            stream.read(mem, &mut vec![0; mem.len], WAIT).unwrap_err(),
            stream.begin_capture().unwrap_err(),
            stream.poll().unwrap_err(),
            stream.sync(WAIT).unwrap_err(),
        ];
        assert!(refused.iter().all(|e| e.kind() == ErrorKind::InvalidState), "{refused:?}");
        assert!(refused[0].message().contains("not safe to capture"), "{}", refused[0]);
        stream.fill(mem, 0).unwrap();
        stream.record(&*event).unwrap();
        let graph = stream.end_capture().unwrap();
        assert_eq!(graph.nodes(), 2);
        stream.launch(&*graph).unwrap();
    }
    stream.sync(WAIT).unwrap();
}

#[test]
fn poison_marks_outputs_and_spares_inputs_and_gaps() {
    let mut bench = Bench::with(Wishes::default(), ValidateOptions { live: true, poison: true });
    let op: Op = copy::Copy { shape: Shape::from([2, 4]), input: DType::F32, output: DType::F32 }.into();
    let (x, wide) = (bench.tensor(DType::F32, &[2, 4]), bench.tensor(DType::F32, &[2, 6]));
    bench.run(&op, &[Some(x), Some(wide.slice(1, 1, 4).unwrap())]).unwrap();
    assert_eq!(bench.rig.seen(), ["fill 16 255", "fill 16 255", "run copy.copy 2 18446744073709551615"]);
    let floats = |view: View| -> Vec<bool> {
        let mut bytes = vec![0; view.mem.len];
        // SAFETY: the bench keeps the buffer.
        unsafe { bench.stream.read(view.mem, &mut bytes, WAIT) }.unwrap();
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).is_nan()).collect()
    };
    assert_eq!(floats(wide), [false, true, true, true, true, false].repeat(2));
    assert_eq!(floats(x), [false; 8]);
    let rms: Op =
        norm::Rms { rows: 2, heads: 1, width: 4, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 }.into();
    let in_place = x.unsqueeze(1).unwrap();
    bench.rig.seen();
    bench.run(&rms, &[Some(in_place), None, Some(in_place)]).unwrap();
    assert_eq!(bench.rig.seen().len(), 1, "an output that is its input is not poisoned");
}
