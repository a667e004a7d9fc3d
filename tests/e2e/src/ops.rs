//! Parity of single operators and number formats with the oracle's vectors.

use crate::compare::{STREAMS, max_abs, result};
use crate::golden::Golden;
use crate::parity::ParityError;
use crate::report::{Report, TensorResult};
use crate::state::floats;
use omnihal::op::elementwise::{Func, Unary};
use omnihal::op::{QuantKind, RowQuant, hyper, indexer, quant, rope};
use omnihal::{
    Buffer, DType, Device, MemoryKind, Op, Quant, Sequence, Shape, SpaceShape, StepShape, Stream, View, WeightFormat,
};
use omnihal_deepseek::config::{Rope, Yarn};
use omnihal_deepseek::rope as tables;
use omnihal_runtime::{Operand, Program, ProgramSpec, Recipe, TierLimit, transfer};
use std::sync::Arc;

/// Number formats and roundings are exact.
const EXACT: f64 = 0.0;
/// Rotation of unit-scale vectors: a few roundings of f32 values below 8.
const ROTATION: f64 = 4e-6;

/// Runs every vector of the oracle's `ops` file on a device.
pub fn ops_parity(device: &Arc<dyn Device>, golden: &Golden, limit: TierLimit) -> Result<Report, ParityError> {
    let bench = Bench { device, stream: device.stream()?, golden, limit };
    let mut results = Vec::new();
    bench.formats(&mut results)?;
    bench.roundings(&mut results)?;
    bench.hadamard(&mut results)?;
    bench.rope(&mut results)?;
    bench.hyper(&mut results)?;
    let x = bench.input("sqrtsoftplus.x")?;
    let op = Unary {
        shape: x.view.shape,
        func: Func::SqrtSoftplus,
        alpha: 1.0,
        beta: 0.0,
        gamma: 1.0,
        delta: 0.0,
        input: DType::F32,
        output: DType::F32,
    };
    let y = bench.run(op, &[&x], 1)?;
    // The bound of one f32 function of a value up to 100.
    bench.judge(&mut results, "sqrtsoftplus.y", &y[0], 1e-5)?;
    let total = golden.tensors.keys().filter(|name| !is_input(name)).count();
    Ok(Report::new(results, total))
}

/// Vectors that are put in. All others come out of an operator, and one that nothing was compared with fails the report.
fn is_input(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    let inputs = ["x", "codes", "q", "scale", "pos", "fn", "base", "streams", "sub_out"];
    name.starts_with("mhc.head.") || inputs.contains(&leaf)
}

struct Bench<'a> {
    device: &'a Arc<dyn Device>,
    stream: Box<dyn Stream>,
    golden: &'a Golden,
    limit: TierLimit,
}

/// A tensor on the device with its memory.
struct Input {
    buffers: Vec<Buffer>,
    view: View,
}

impl Bench<'_> {
    fn upload(&self, dtype: DType, shape: impl Into<Shape>, bytes: &[u8]) -> Result<Input, ParityError> {
        let buffer = self.device.alloc(bytes.len(), MemoryKind::Device)?;
        transfer::write(&*self.stream, &buffer, 0, bytes)?;
        let view = View::contiguous(buffer.mem(), dtype, shape)?;
        Ok(Input { buffers: vec![buffer], view })
    }

    fn reals(&self, shape: impl Into<Shape>, values: &[f32]) -> Result<Input, ParityError> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.upload(DType::F32, shape, &bytes)
    }

    fn input(&self, name: &str) -> Result<Input, ParityError> {
        let (shape, values) = self.golden.real(name)?;
        self.reals(Shape::new(shape), values)
    }

    /// Codes with scales.
    fn coded(
        &self,
        format: WeightFormat,
        shape: [usize; 2],
        codes: &[u8],
        scales: &[u8],
    ) -> Result<Input, ParityError> {
        let WeightFormat::Blocked { data, scale, block } = format else {
            return Err(ParityError::Input("a vector of codes needs a blocked format".into()));
        };
        let mut input = self.upload(data, shape, codes)?;
        let shape = format.scale_shape(&Shape::from(shape)).unwrap_or(Shape::from([1]));
        let scales = self.upload(scale, shape, scales)?;
        input.view.quant = Some(Quant { mem: scales.view.mem, dtype: scale, block, shape });
        input.buffers.extend(scales.buffers);
        Ok(input)
    }

    /// Runs one operator whose inputs come first and whose last `outputs` arguments are read back. An updated argument is a copy of its input.
    fn run(&self, op: impl Into<Op>, inputs: &[&Input], outputs: usize) -> Result<Vec<Vec<f32>>, ParityError> {
        let op = op.into();
        let mut r = Recipe::new();
        let types: Vec<_> = op.arg_types().into_iter().filter(|t| t.present).collect();
        let mut args: Vec<Operand> = inputs.iter().map(|i| Operand::view(i.view)).collect();
        let mut named = Vec::new();
        for (i, t) in types.iter().enumerate() {
            if t.role == omnihal::op::Role::Read {
                continue;
            }
            let kept = r.named(format!("out{i}"), t.format.dtype(), t.shape);
            if t.role == omnihal::op::Role::Update {
                r.copy(&args[i], &kept);
                args[i] = kept.clone();
            } else {
                args.push(kept.clone());
            }
            named.push(format!("out{i}"));
        }
        r.op(op, &args.iter().collect::<Vec<_>>());
        let recipe = r.finish()?;
        let step = one_sequence(types[0].shape[0]);
        let keep = inputs.iter().flat_map(|i| i.buffers.clone()).collect();
        let spec = ProgramSpec { recipe: &recipe, step, limit: self.limit, fallback: None, keep };
        let mut program = Program::build(self.device, &*self.stream, spec)?;
        let arena = self.device.alloc(program.arena_bytes(), MemoryKind::Device)?;
        program.bind(&arena)?;
        let (ids, wanted): (Vec<i32>, Vec<usize>) = (0..types[0].shape[0]).map(|i| (0, i)).unzip();
        let sequence = Sequence { slot: 2, first: 0, ids: &ids, pages: &[&[]], wanted: &wanted };
        program.step_with(&*self.stream, &[sequence])?;
        named[named.len() - outputs..]
            .iter()
            .map(|name| {
                let view = program.named(name)?;
                let mut bytes = vec![0; view.dtype.bytes(view.elements())];
                transfer::read_view(&*self.stream, &arena, &view, &mut bytes)?;
                Ok(floats(view.dtype, &bytes))
            })
            .collect()
    }

    fn judge(&self, results: &mut Vec<TensorResult>, name: &str, found: &[f32], limit: f64) -> Result<(), ParityError> {
        let (_, values) = self.golden.real(name)?;
        // A NaN in the oracle is a value of the format: it must be a NaN here too.
        let pairs = found.iter().zip(values).map(|(f, g)| if f.is_nan() && g.is_nan() { (0.0, 0.0) } else { (*f, *g) });
        let (found_set, golden): (Vec<f32>, Vec<f32>) = pairs.unzip();
        let fits = found.len() == values.len();
        results.push(result(name, if fits { max_abs(found_set, &golden) } else { f64::INFINITY }, limit));
        Ok(())
    }

    fn formats(&self, results: &mut Vec<TensorResult>) -> Result<(), ParityError> {
        let dequant = |rows, width, format| quant::Dequant { rows, width, format, output: DType::F32 };
        let one = 127;
        let row = |data| WeightFormat::Blocked { data, scale: DType::E8M0, block: (1, 32) };
        let codes = self.golden.codes("e4m3.codes")?.1;
        let input = self.coded(row(DType::F8E4M3), [1, 256], codes, &[one; 8])?;
        let y = self.run(dequant(1, 256, row(DType::F8E4M3)), &[&input], 1)?;
        self.judge(results, "e4m3.values", &y[0], EXACT)?;
        // 0x38 is 1.0 in E4M3, so each row shows its scale.
        let input = self.coded(row(DType::F8E4M3), [256, 32], &[0x38; 256 * 32], self.golden.codes("e8m0.codes")?.1)?;
        let y = self.run(dequant(256, 32, row(DType::F8E4M3)), &[&input], 1)?;
        let scales: Vec<f32> = y[0].chunks_exact(32).map(|row| row[0]).collect();
        self.judge(results, "e8m0.values", &scales, EXACT)?;
        let packed: Vec<u8> = (0..16u8).map(|i| (2 * i % 16) | ((2 * i + 1) % 16) << 4).collect();
        let input = self.coded(row(DType::F4E2M1X2), [1, 32], &packed, &[one])?;
        let y = self.run(dequant(1, 32, row(DType::F4E2M1X2)), &[&input], 1)?;
        self.judge(results, "e2m1.values", &y[0][..16], EXACT)?;
        for (name, format) in [("wfp8", WeightFormat::FP8_BLOCK), ("wfp4", WeightFormat::FP4_ROW)] {
            let (shape, _) = self.golden.real(&format!("{name}.deq"))?;
            let (codes, scales) =
                (self.golden.codes(&format!("{name}.q"))?.1, self.golden.codes(&format!("{name}.scale"))?.1);
            let input = self.coded(format, [shape[0], shape[1]], codes, scales)?;
            let y = self.run(dequant(shape[0], shape[1], format), &[&input], 1)?;
            self.judge(results, &format!("{name}.deq"), &y[0], EXACT)?;
        }
        Ok(())
    }

    fn roundings(&self, results: &mut Vec<TensorResult>) -> Result<(), ParityError> {
        let (shape, values) = self.golden.real("act.x")?;
        let x = self.reals([shape[0], 1, shape[1]], values)?;
        let cases = [
            ("act.fp8_g64", QuantKind::F8E4M3, 64),
            ("act.fp8_g128", QuantKind::F8E4M3, 128),
            ("act.fp4_g32", QuantKind::F4E2M1, 32),
        ];
        for (name, kind, group) in cases {
            let op = quant::Qdq { rows: shape[0], heads: 1, width: shape[1], group, kind, dtype: DType::F32 };
            let y = self.run(op, &[&x], 1)?;
            self.judge(results, name, &y[0], EXACT)?;
        }
        Ok(())
    }

    /// The Hadamard step of the indexer query, with a rotation by nothing before it.
    fn hadamard(&self, results: &mut Vec<TensorResult>) -> Result<(), ParityError> {
        for width in [16, 64, 128] {
            let (shape, values) = self.golden.real(&format!("hadamard{width}.x"))?;
            let (rows, rotary) = (shape[0], 2);
            let op = indexer::Query {
                rows,
                heads: 1,
                width,
                rotary,
                positions: rows,
                hadamard: true,
                quant: RowQuant::None,
                act: DType::F32,
            };
            let q = self.reals([rows, 1, width], values)?;
            let still = self.reals([rows, rotary], &[1.0, 0.0].repeat(rows))?;
            let toks: Vec<u8> = (0..rows as i32).flat_map(|t| [t, 2, 0, 0]).flat_map(i32::to_le_bytes).collect();
            let toks = self.upload(DType::I32, [rows, 4], &toks)?;
            let y = self.run(op, &[&q, &still, &toks], 1)?;
            // One product of K unit-scale terms: 6 sqrt(K) 2^-24 sum|a||b| with sum|a||b| <= sqrt(K) |x|_max, |x|_max < 5.
            self.judge(results, &format!("hadamard{width}.y"), &y[0], 6.0 * width as f64 * 5.0 / (1 << 24) as f64)?;
        }
        Ok(())
    }

    fn rope(&self, results: &mut Vec<TensorResult>) -> Result<(), ParityError> {
        // The released constants (deepseek-v4.md 1.1).
        let yarn = Yarn { factor: 16.0, original_max_position_embeddings: 65536, beta_fast: 32.0, beta_slow: 1.0 };
        let kinds = [
            ("main", Rope { dim: 64, theta: 10000.0, yarn: None }),
            ("compress", Rope { dim: 64, theta: 160000.0, yarn: Some(yarn) }),
        ];
        let (shape, values) = self.golden.real("rope.x")?;
        let (rows, width) = (shape[0], shape[1]);
        let positions = self.golden.int("rope.pos")?.1;
        for (kind, rope) in kinds {
            let frequencies = tables::frequencies(&rope);
            self.judge(results, &format!("rope.inv_freq_{kind}"), &frequencies, EXACT)?;
            let cs: Vec<f32> = positions.iter().flat_map(|&p| tables::table(&rope, p as usize, 1)).collect();
            let cs = self.reals([rows, rope.dim], &cs)?;
            let mut x = self.reals([rows, 1, width], values)?;
            for (inverse, name) in [(false, "y"), (true, "back")] {
                let op = rope::Apply { rows, heads: 1, width, rotary: rope.dim, inverse, dtype: DType::F32 };
                let y = self.run(op, &[&x, &cs], 1)?;
                self.judge(results, &format!("rope.{name}_{kind}"), &y[0], ROTATION)?;
                x = self.reals([rows, 1, width], &y[0])?;
            }
        }
        Ok(())
    }

    fn hyper(&self, results: &mut Vec<TensorResult>) -> Result<(), ParityError> {
        let x = self.input("mhc.streams")?;
        let (rows, streams, width) = (x.view.dim(0), x.view.dim(1), x.view.dim(2));
        let (eps, hc_eps, act) = (1e-6, 1e-6, DType::F32);
        let [f, scale, base] = ["mhc.fn", "mhc.scale", "mhc.base"].map(|name| self.input(name));
        let (f, scale, base) = (f?, scale?, base?);
        let pre = hyper::Pre { rows, streams, width, iters: 20, eps, hc_eps, norm: None, act };
        let y = self.run(pre, &[&x, &f, &scale, &base], 3)?;
        for (name, y) in ["mhc.collapsed", "mhc.post", "mhc.comb"].iter().zip(&y) {
            self.judge(results, name, y, STREAMS)?;
        }
        let inputs = ["mhc.sub_out", "mhc.post", "mhc.comb"].map(|name| self.input(name));
        let [out, post, comb] = inputs;
        let (out, post, comb) = (out?, post?, comb?);
        let y = self.run(hyper::Post { rows, streams, width, act }, &[&x, &out, &post, &comb], 1)?;
        self.judge(results, "mhc.merged", &y[0], STREAMS)?;
        let inputs = ["mhc.head.hc_fn", "mhc.head.hc_scale", "mhc.head.hc_base"].map(|name| self.input(name));
        let [f, scale, base] = inputs;
        let (f, scale, base) = (f?, scale?, base?);
        let wanted: Vec<u8> = (0..rows as i32).flat_map(i32::to_le_bytes).collect();
        let wanted = self.upload(DType::I32, [rows], &wanted)?;
        let head = hyper::Head { rows, wanted: rows, streams, width, eps, hc_eps, norm: None, act };
        let y = self.run(head, &[&x, &wanted, &f, &scale, &base], 1)?;
        self.judge(results, "mhc.head_out", &y[0], STREAMS)
    }
}

/// A step of `rows` rows of one sequence, for operators that ask for columns when they are composed.
fn one_sequence(rows: usize) -> StepShape {
    let space = SpaceShape { ratio: 4, overlap: true, closings: 1, table: 1, page_entries: 1, ring: 16 };
    StepShape {
        rows,
        seqs: 1,
        wanted: rows,
        tile: 1,
        window: 1,
        ring: 1,
        drafts: 0,
        spaces: vec![SpaceShape { closings: rows, ..space }],
    }
}
