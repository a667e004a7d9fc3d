//! One small call of every operator, with arguments that are legal on any device.
#![allow(clippy::unwrap_used, dead_code, reason = "test helpers; each test file uses some of them")]

use omnihal::op::attention::{self, Entries};
use omnihal::op::elementwise::{self, Arith, Cmp, Func, Reduction, Source};
use omnihal::op::{
    ActQuant, ArgType, PageSpace, QuantKind, RowQuant, cache, compress, copy, embed, gemm, hyper, indexer,
};
use omnihal::op::{moe, norm, quant, rope, sample};
use omnihal::{Args, Buffer, Column, DType, Device, Mem, MemoryKind, Op, Plan, Quant, RowFormat, Shape, Stream, View};
use omnihal::{Layout, WeightFormat};
use std::time::Duration;

/// No call of these tests takes a second.
pub const LIMIT: Duration = Duration::from_secs(20);

const ROWS: usize = 4;
const SLOTS: usize = 4;
const POSITIONS: usize = 32;
const PAGES: PageSpace = PageSpace { pages: 6, entries: 4, table: 3 };
const F32: DType = DType::F32;
const BF16: DType = DType::BF16;

fn dense_ops() -> Vec<Op> {
    let (rows, width) = (ROWS, 64);
    let linear = gemm::Linear {
        rows,
        inner: 128,
        outer: 128,
        input: F32,
        weight: F32.into(),
        a_quant: ActQuant::None,
        output: F32,
        accumulate: false,
    };
    let fp8 = gemm::Linear { weight: WeightFormat::FP8_BLOCK, a_quant: ActQuant::F8G128, input: BF16, ..linear };
    let batched = gemm::Batched {
        batch: 2,
        m: 3,
        inner: 8,
        n: 5,
        transpose_a: false,
        transpose_b: true,
        input: F32,
        output: F32,
        alpha: 0.5,
        accumulate: true,
    };
    let grouped =
        gemm::Grouped { rows, groups: 2, inner: 64, outer: 8, input: F32, weight: WeightFormat::FP4_ROW, output: F32 };
    vec![
        embed::Lookup { rows, vocab: 16, width, copies: 2, table: BF16, act: F32 }.into(),
        embed::Ids { rows, slots: SLOTS, drafts: 1 }.into(),
        norm::Rms { rows, heads: 2, width, eps: 1e-6, weight: Some(BF16), input: F32, output: BF16 }.into(),
        norm::Rms { rows, heads: 1, width, eps: 1e-6, weight: None, input: BF16, output: F32 }.into(),
        linear.into(),
        gemm::Linear { accumulate: true, ..linear }.into(),
        fp8.into(),
        batched.into(),
        grouped.into(),
        quant::Qdq { rows, heads: 1, width, group: 32, kind: QuantKind::F4E2M1, dtype: F32 }.into(),
        quant::Dequant { rows: 128, width: 128, format: WeightFormat::FP8_BLOCK, output: BF16 }.into(),
        quant::Quantize { rows, width: 128, group: 128, kind: QuantKind::F8E4M3, input: F32 }.into(),
        rope::Apply { rows, heads: 2, width, rotary: 16, inverse: true, dtype: F32 }.into(),
    ]
}

fn element_ops() -> Vec<Op> {
    let shape = Shape::from([3, 4]);
    let unary = elementwise::Unary {
        shape,
        func: Func::Clamp(-0.5, 0.75),
        alpha: 2.0,
        beta: 0.25,
        gamma: 1.5,
        delta: -1.0,
        input: F32,
        output: BF16,
    };
    let binary = elementwise::Binary {
        shape,
        a_shape: shape,
        b_shape: Shape::from([1, 4]),
        arith: Arith::Div,
        eps: 1.5,
        scale: 2.0,
        a: F32,
        b: F32,
        output: F32,
    };
    let choose = elementwise::Where {
        shape,
        a_shape: shape,
        cmp: Cmp::Gt,
        b: Source::Const(0.0),
        p: Source::Tensor(shape),
        q: Source::Const(-3.0),
        compared: F32,
        dtype: F32,
    };
    let reduce =
        elementwise::Reduce { pre: 3, len: 5, post: 2, op: Reduction::MeanSquare, alpha: 0.5, input: F32, output: F32 };
    let (rows, width, dtype) = (8, 6, F32);
    vec![
        unary.into(),
        elementwise::Unary { func: Func::SqrtSoftplus, ..unary }.into(),
        binary.into(),
        choose.into(),
        reduce.into(),
        elementwise::Softmax { pre: 3, len: 5, post: 1 }.into(),
        elementwise::Cumsum { rows: 3, len: 5, exclusive: true }.into(),
        copy::Copy { shape, input: F32, output: BF16 }.into(),
        copy::Fill { shape, value: -1.5, dtype }.into(),
        copy::Gather { rows, width, count: 3, dtype, trusted: false }.into(),
        copy::Scatter { rows, width, count: 3, dtype, trusted: true }.into(),
        copy::Take { rows, width, count: 3, dtype }.into(),
        copy::Concat { pre: 2, lens: [1, 2, 3, 0], post: 2, dtype }.into(),
        sample::TopK { rows, width, keep: 3, largest: true, sorted: true }.into(),
    ]
}

fn state_ops() -> Vec<Op> {
    let (rows, seqs, slots, act) = (ROWS, 1, SLOTS, F32);
    let (head, rotary, positions, eps) = (96, 32, POSITIONS, 1e-6);
    let sparse = attention::Sparse {
        rows,
        seqs,
        heads: 2,
        head,
        rotary,
        positions,
        window: 4,
        scale: 0.1,
        entries: Entries::Listed(5),
        ratio: 4,
        pages: PAGES,
        ring: 12,
        slots,
        format: RowFormat::F8R,
        inverse: true,
        act,
    };
    let update = compress::Update {
        rows,
        seqs,
        closings: 2,
        ratio: 4,
        overlap: true,
        width: 64,
        rotary: 16,
        positions,
        ring: 16,
        slots,
        eps,
        hadamard: true,
        quant: RowQuant::F4All,
        pages: PAGES,
        format: RowFormat::Plain(F32),
        weight: F32,
        act,
    };
    let select = indexer::Select {
        rows,
        seqs,
        heads: 2,
        width: 32,
        rotary: 16,
        keep: 5,
        ratio: 4,
        pages: PAGES,
        format: RowFormat::Plain(F32),
        act,
        with_scores: true,
    };
    let query = indexer::Query {
        rows,
        heads: 2,
        width: 32,
        rotary: 16,
        positions,
        hadamard: true,
        quant: RowQuant::F4All,
        act,
    };
    let format = RowFormat::Plain(BF16);
    vec![
        attention::Latent { rows, q_lora: 16, head, rotary, positions, eps, quant: RowQuant::F8Nope, weight: F32, act }
            .into(),
        attention::Query { rows, heads: 3, head, rotary, positions, eps, act }.into(),
        sparse.into(),
        attention::Sparse { entries: Entries::All, format: RowFormat::Plain(F32), ..sparse }.into(),
        attention::Sparse { entries: Entries::None, ratio: 0, format: RowFormat::Plain(F32), ..sparse }.into(),
        update.into(),
        query.into(),
        select.into(),
        cache::Rows { rows, count: 3, tables: 1, table: 3, entries: 4 }.into(),
        cache::Store { rows, seqs, width: 8, rotary: 4, ring: 12, slots, format, act }.into(),
        cache::CopyRows { rows: 8, width: 6, count: 2, dtype: F32 }.into(),
    ]
}

fn expert_ops() -> Vec<Op> {
    let (rows, act, a_quant) = (ROWS, F32, ActQuant::None);
    let (w13, w2) = (WeightFormat::FP4_ROW, WeightFormat::FP4_ROW);
    let route = moe::Route {
        rows,
        width: 16,
        experts: 8,
        choices: 2,
        routing: moe::Routing::Scored,
        scale: 1.5,
        gate: F32,
        act,
        with_logits: true,
    };
    let experts = moe::Experts {
        rows,
        width: 64,
        inter: 32,
        choices: 2,
        first: 0,
        local: 4,
        w13,
        w2,
        limit: 7.0,
        a_quant,
        act,
        accumulate: true,
    };
    let pre = hyper::Pre { rows, streams: 4, width: 16, iters: 3, eps: 1e-6, hc_eps: 1e-6, norm: Some(BF16), act };
    let pick = sample::Pick { wanted: 2, vocab: 16, candidates: 8, rows, slots: SLOTS, drafts: 1, penalties: true };
    vec![
        moe::Group { rows, choices: 2, first: 0, local: 4 }.into(),
        route.into(),
        moe::Route { routing: moe::Routing::Hash(16), ..route }.into(),
        moe::Swiglu { rows, inter: 8, limit: 7.0, weighted: true, input: F32, output: BF16 }.into(),
        moe::Mlp { rows, width: 64, inter: 32, w13, w2, limit: 7.0, a_quant, act }.into(),
        experts.into(),
        pre.into(),
        hyper::Sinkhorn { rows, streams: 4, iters: 3, eps: 1e-6 }.into(),
        hyper::Post { rows, streams: 4, width: 16, act }.into(),
        hyper::Head { rows, wanted: 2, streams: 4, width: 16, eps: 1e-6, hc_eps: 1e-6, norm: None, act }.into(),
        pick.into(),
    ]
}

/// At least one descriptor of every operator.
pub fn every_op() -> Vec<Op> {
    [dense_ops(), element_ops(), state_ops(), expert_ops()].concat()
}

/// xorshift64*; seeded from a name.
pub struct Random(u64);

impl Random {
    pub fn new(name: &str) -> Self {
        Random(name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In -1..1.
    fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Words of an index argument by its name: legal for every operator above.
fn index(name: &str, place: usize, random: &mut Random) -> i32 {
    match name {
        // Position, slot, sequence, id of a sequence that starts at position 5.
        "toks" => [5 + place as i32 / 4, 2, 0, 3][place % 4],
        "seqs" => [2, 5, 0, ROWS as i32][place % 4],
        "pt" => 2 + place as i32 % 3,
        // The entry that positions 4..8 complete; then padding.
        "close" => [0, 1, -1, -1][place % 4],
        "counts" => [3, 1][place % 2],
        "out" | "which" => 0,
        "to" => place as i32,
        "from" => 4 + place as i32,
        _ => (random.next() % 4) as i32,
    }
}

/// Bytes of `elements` legal values.
pub fn values(name: &str, dtype: DType, elements: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    match dtype {
        DType::F32 => (0..elements).for_each(|_| bytes.extend(random.number().to_ne_bytes())),
        DType::BF16 => {
            (0..elements).for_each(|_| bytes.extend(((random.number().to_bits() >> 16) as u16).to_ne_bytes()))
        }
        DType::I32 => (0..elements).for_each(|i| bytes.extend(index(name, i, random).to_ne_bytes())),
        DType::E8M0 => bytes.resize(elements, 126),
        // Codes below NaN; bytes of packed rows are small numbers too.
        other => bytes.extend((0..other.bytes(elements)).map(|_| (random.next() % 0x60) as u8)),
    }
    bytes
}

/// Arguments in device memory.
pub struct Bench {
    pub buffers: Vec<Buffer>,
    pub views: Vec<Option<View>>,
    pub workspace: Mem,
}

fn upload(device: &dyn Device, stream: &dyn Stream, bytes: &[u8]) -> Buffer {
    let buffer = device.alloc(bytes.len(), MemoryKind::Device).unwrap();
    // SAFETY: the buffer outlives the stream's work, which is waited for.
    unsafe { stream.write(buffer.mem(), bytes).unwrap() };
    stream.sync(LIMIT).unwrap();
    buffer
}

impl Bench {
    /// The arguments of a plan, drawn from the operator's name.
    pub fn new(device: &dyn Device, stream: &dyn Stream, plan: &dyn Plan) -> Self {
        assert_eq!(plan.columns(), &[] as &[Column], "these backends ask for no columns");
        let mut random = Random::new(plan.op().kind().name());
        let mut bench = Bench { buffers: Vec::new(), views: Vec::new(), workspace: Mem::default() };
        for arg in plan.op().arg_types() {
            let view = arg.present.then(|| bench.argument(device, stream, &arg, &mut random));
            bench.views.push(view);
        }
        let scratch = device.alloc(plan.workspace(), MemoryKind::Device).unwrap();
        bench.workspace = scratch.mem();
        bench.buffers.push(scratch);
        bench
    }

    fn argument(&mut self, device: &dyn Device, stream: &dyn Stream, arg: &ArgType, random: &mut Random) -> View {
        let elements = arg.shape.elements();
        let data = upload(device, stream, &values(arg.name, arg.format.dtype(), elements, random));
        let mut view = View {
            mem: data.mem(),
            offset: 0,
            dtype: arg.format.dtype(),
            shape: arg.shape,
            strides: arg.shape.contiguous_strides(),
            layout: Layout::Strided,
            quant: None,
        };
        self.buffers.push(data);
        if let (WeightFormat::Blocked { scale, block, .. }, Some(shape)) =
            (arg.format, arg.format.scale_shape(&arg.shape))
        {
            let scales = upload(device, stream, &values("scale", scale, shape.elements(), random));
            view.quant = Some(Quant { mem: scales.mem(), dtype: scale, block, shape });
            self.buffers.push(scales);
        }
        view
    }

    pub fn args(&self) -> Args<'_> {
        Args { views: &self.views, workspace: self.workspace, rows_hint: usize::MAX }
    }

    /// The bytes of every argument.
    pub fn read(&self, stream: &dyn Stream) -> Vec<Vec<u8>> {
        let bytes = |view: &View| {
            let mut bytes = vec![0; view.mem.len];
            // SAFETY: the buffer is alive.
            unsafe { stream.read(view.mem, &mut bytes, LIMIT).unwrap() };
            bytes
        };
        self.views.iter().flatten().map(bytes).collect()
    }
}

/// Runs an operator once on a fresh stream and returns what all its arguments are afterwards.
pub fn run(device: &dyn Device, op: &Op) -> Vec<Vec<u8>> {
    let (stream, plan) = (device.stream().unwrap(), device.plan(op).unwrap());
    let bench = Bench::new(device, &*stream, &*plan);
    // SAFETY: the arguments fit the operator and outlive the wait.
    unsafe { stream.run(&*plan, &bench.args()).unwrap() };
    stream.sync(LIMIT).unwrap();
    bench.read(&*stream)
}
