//! Inputs of one operator call: drawn from the descriptor's own text, so that a case is its descriptor.

use omnihal::op::Role;
use omnihal::{
    Buffer, Column, DType, Device, Mem, MemoryKind, Op, Quant, Sequence, Shape, SpaceShape, StepColumns, StepLayout,
    StepShape, Stream, View, WeightFormat,
};
use omnihal_runtime::transfer;

/// Rows, sequences and pages of the step that every case belongs to: five rows in use and one of padding.
pub const ROWS: usize = 6;
pub const SEQS: usize = 3;
pub const SLOTS: usize = 5;
pub const POSITIONS: usize = 64;
pub const PAGES: omnihal::op::PageSpace = omnihal::op::PageSpace { pages: 9, entries: 4, table: 3 };

/// A fixed linear congruential sequence (Knuth's MMIX constants), seeded by a hash of the case.
struct Draw(u64);

impl Draw {
    fn new(text: &str) -> Draw {
        // FNV-1a.
        Draw(text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n
    }

    /// Near normal: a sum of uniform numbers.
    fn real(&mut self) -> f32 {
        (0..4).map(|_| self.bits() as f32 / (1u64 << 31) as f32 - 0.5).sum::<f32>() * 1.7
    }
}

/// The step of every case.
pub fn step() -> StepShape {
    let space = |ratio, overlap, ring| SpaceShape {
        ratio,
        overlap,
        closings: SpaceShape::max_closings(ratio, ROWS, SEQS),
        table: PAGES.table,
        page_entries: PAGES.entries,
        ring,
    };
    StepShape {
        rows: ROWS,
        seqs: SEQS,
        wanted: 3,
        tile: 1,
        window: 4,
        ring: 12,
        drafts: 0,
        spaces: vec![space(4, true, 16), space(8, false, 24)],
    }
}

pub struct Bench {
    pub stream: Box<dyn Stream>,
    pub buffers: Vec<Buffer>,
    args: Vec<Option<View>>,
}

impl Bench {
    /// Draws and uploads every argument of `op`.
    pub fn new(device: &dyn Device, op: &Op) -> Bench {
        let mut bench = Bench { stream: device.stream().unwrap(), buffers: Vec::new(), args: Vec::new() };
        let mut draw = Draw::new(&format!("{op:?}"));
        let table = columns();
        for t in op.arg_types() {
            let view = t.present.then(|| {
                if let Some(words) = column(op, t.name, &table) {
                    return bench.put(device, DType::I32, t.shape, &bytes(&words));
                }
                match t.format {
                    WeightFormat::Plain(DType::I32) if t.role == Role::Read => {
                        let words = indices(op, t.name, t.shape, &mut draw);
                        bench.put(device, DType::I32, t.shape, &bytes(&words))
                    }
                    WeightFormat::Plain(dtype) => {
                        let data = reals(dtype, t.name, t.shape, &mut draw);
                        bench.put(device, dtype, t.shape, &data)
                    }
                    format => bench.coded(device, format, t.shape, &mut draw),
                }
            });
            bench.args.push(view);
        }
        bench
    }

    pub fn views(&self) -> Vec<Option<View>> {
        self.args.clone()
    }

    /// The buffer that a view lies in.
    pub fn owner(&self, view: &View) -> &Buffer {
        self.buffers.iter().find(|b| b.mem() == view.mem).unwrap()
    }

    fn upload(&mut self, device: &dyn Device, data: &[u8]) -> Mem {
        let buffer = device.alloc(data.len(), MemoryKind::Device).unwrap();
        transfer::write(&*self.stream, &buffer, 0, data).unwrap();
        self.buffers.push(buffer.clone());
        buffer.mem()
    }

    fn put(&mut self, device: &dyn Device, dtype: DType, shape: Shape, data: &[u8]) -> View {
        View::contiguous(self.upload(device, data), dtype, shape).unwrap()
    }

    fn coded(&mut self, device: &dyn Device, format: WeightFormat, shape: Shape, draw: &mut Draw) -> View {
        let WeightFormat::Blocked { data, scale, block } = format else { panic!("{format} has no scales") };
        // 0x7F and 0xFF are the NaNs of E4M3.
        let code = |draw: &mut Draw| match draw.bits() as u8 {
            nan if data == DType::F8E4M3 && nan & 0x7F == 0x7F => 0x3A,
            code => code,
        };
        let codes: Vec<u8> = (0..data.bytes(shape.elements())).map(|_| code(draw)).collect();
        let scales = format.scale_shape(&shape).unwrap();
        let bytes: Vec<u8> = (0..scales.elements()).map(|_| 118 + draw.below(6) as u8).collect();
        let mem = self.upload(device, &bytes);
        let mut view = self.put(device, data, shape, &codes);
        view.quant = Some(Quant { mem, dtype: scale, block, shape: scales });
        view
    }
}

fn bytes(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// A decoding sequence, a chunk of three rows that closes windows of both ratios, and a fresh sequence.
fn columns() -> StepColumns {
    let mut table = StepColumns::new(StepLayout::new(step(), []).unwrap());
    let batch = [
        Sequence { slot: 2, first: 9, ids: &[1], pages: &[&[2, 3], &[2]], wanted: &[0] },
        Sequence { slot: 3, first: 13, ids: &[1, 2, 3], pages: &[&[4, 5], &[4]], wanted: &[2] },
        Sequence { slot: 4, first: 0, ids: &[3], pages: &[&[6], &[6]], wanted: &[0] },
    ];
    table.build(&batch).unwrap();
    table
}

/// The words of an argument that is a column of the step table.
fn column(op: &Op, name: &str, table: &StepColumns) -> Option<Vec<i32>> {
    let ratio = match op {
        Op::CompressUpdate(d) => d.ratio as u32,
        Op::IndexerSelect(d) => d.ratio as u32,
        Op::AttentionSparse(d) => d.ratio as u32,
        _ => 0,
    };
    let column = match name {
        "toks" => Column::Toks,
        "seqs" => Column::Seqs,
        "out" if matches!(op, Op::HyperHead(_)) => Column::Out,
        "pt" if ratio > 0 => Column::PageTable(ratio),
        "close" => Column::Close(ratio),
        _ => return None,
    };
    table.column(column).map(<[i32]>::to_vec)
}

/// Indices of an argument: in range, with absent ones where they are legal.
fn indices(op: &Op, name: &str, shape: Shape, draw: &mut Draw) -> Vec<i32> {
    let n = shape.elements();
    let mut some = |first: i32, end: usize| (0..n).map(|_| first + draw.below(end) as i32).collect::<Vec<_>>();
    match (op, name) {
        (Op::EmbedLookup(d), _) => some(0, d.vocab),
        (Op::GemmGrouped(d), _) => (0..n).map(|g| [2, 0, 1][g % 3].min(d.rows as i32)).collect(),
        (Op::MoeGroup(d), _) => some(-1, d.first + d.local + 2),
        (Op::MoeExperts(d), _) => some(-1, d.local + 1),
        (Op::MoeRoute(d), "table") => some(0, d.experts),
        (Op::MoeRoute(_), _) => some(0, 7),
        (Op::CacheRows(_), "pt") => some(0, 9),
        (Op::CacheRows(d), "which") => some(0, d.tables),
        (Op::CacheRows(d), _) => some(-1, d.table * d.entries + 2),
        // Ascending entries with padding, as the indexer gives them.
        (Op::AttentionSparse(_), _) => (0..n).map(|i| [0, 1, -1][i % 3].min(i as i32)).collect(),
        (Op::Gather(d), _) => some(-1, d.rows + 2),
        (Op::Take(d), _) => some(-1, d.width + 2),
        (Op::Scatter(d), _) => (0..n).map(|i| (n - 1 - i) as i32 % d.rows as i32).collect(),
        (Op::EmbedIds(_), _) => some(0, 9),
        _ => some(0, 3),
    }
}

/// Real numbers; rows of the null slot and page are zero, norm gains lie near 1, weights of a choice are positive.
fn reals(dtype: DType, name: &str, shape: Shape, draw: &mut Draw) -> Vec<u8> {
    let null = matches!(name, "state" | "ring" | "pool").then(|| shape.elements() / shape[0]).unwrap_or(0);
    let value = |i: usize, draw: &mut Draw| match name {
        _ if i < null => 0.0,
        "norm" | "weight" | "q_norm" | "kv_norm" => 1.0 + 0.1 * draw.real(),
        "wt" => draw.real().abs(),
        "w" | "w13" | "w2" | "gate" | "projection" => 0.3 * draw.real(),
        _ => draw.real(),
    };
    let values: Vec<f32> = (0..shape.elements()).map(|i| value(i, draw)).collect();
    match dtype {
        DType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        other => vec![0; other.bytes(shape.elements())],
    }
}
