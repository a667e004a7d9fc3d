//! What the tests of this crate share: operands in host memory, runs on a real stream, the oracle's vectors.

use crate::tensor::{Output, read};
use crate::{Num, ReferenceBackend};
use omnihal::{Args, Backend, Buffer, DType, Device, Mem, MemoryKind, Op, Quant, Shape, Stream, View, WeightFormat};
use std::sync::Arc;

/// A device, a stream and the buffers of a test.
pub struct Bench {
    device: Arc<dyn Device>,
    stream: Box<dyn Stream>,
    buffers: Vec<Buffer>,
}

impl Bench {
    pub fn new() -> Bench {
        let device = ReferenceBackend.open(0).unwrap();
        let stream = device.stream().unwrap();
        Bench { device, stream, buffers: Vec::new() }
    }

    pub fn mem(&mut self, bytes: usize) -> Mem {
        self.buffers.push(self.device.alloc(bytes, MemoryKind::Device).unwrap());
        self.buffers.last().unwrap().mem()
    }

    /// Fresh memory: NaN or -1 everywhere.
    pub fn empty(&mut self, dtype: DType, shape: impl Into<Shape>) -> View {
        let shape = shape.into();
        let mem = self.mem(dtype.bytes(shape.elements()));
        View::contiguous(mem, dtype, shape).unwrap()
    }

    /// A contiguous tensor with these values, rounded to its type.
    pub fn put(&mut self, dtype: DType, shape: impl Into<Shape>, values: &[f64]) -> View {
        let view = self.empty(dtype, shape);
        set(&view, values);
        view
    }

    pub fn ints(&mut self, shape: impl Into<Shape>, values: &[i32]) -> View {
        let values: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        self.put(DType::I32, shape, &values)
    }

    /// A quantised tensor from its raw codes and scales.
    pub fn weight(&mut self, format: WeightFormat, shape: impl Into<Shape>, codes: &[u8], scales: &[u8]) -> View {
        let WeightFormat::Blocked { data, scale, block } = format else { panic!("plain weights have no scales") };
        let mut view = self.empty(data, shape);
        let shape = format.scale_shape(&view.shape).unwrap();
        let mem = self.mem(scale.bytes(shape.elements()));
        // SAFETY: both buffers are owned by the bench and have these lengths.
        unsafe {
            self.stream.write(view.mem, codes).unwrap();
            self.stream.write(mem, scales).unwrap();
        }
        view.quant = Some(Quant { mem, dtype: scale, block, shape });
        view
    }

    /// Plans and runs an operator.
    pub fn run(&self, op: impl Into<Op>, views: &[Option<View>]) -> omnihal::Result<()> {
        let plan = self.device.plan(&op.into())?;
        // SAFETY: the views name buffers that the bench owns.
        unsafe { self.stream.run(&*plan, &Args::new(views)) }
    }

    /// Evaluates an operator without storing.
    pub fn judge(&self, op: impl Into<Op>, views: &[Option<View>]) -> Vec<Output> {
        // SAFETY: the views name buffers that the bench owns.
        unsafe { crate::evaluate(&op.into(), &Args::new(views)) }.unwrap()
    }
}

pub fn set(view: &View, values: &[f64]) {
    crate::tensor::store(view, &Output::dense(0, values.iter().map(|&x| Num::exact(x)).collect())).unwrap();
}

pub fn get(view: &View) -> Vec<f64> {
    read(view).unwrap().data
}

pub fn get_ints(view: &View) -> Vec<i32> {
    get(view).into_iter().map(|x| x as i32).collect()
}

/// Numbers of both signs and several magnitudes, by the name of the case.
pub fn noise(name: &str, count: usize) -> Vec<f64> {
    let mut state =
        name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    let mut next = || {
        // The step of SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    };
    (0..count).map(|_| f64::from(((next() - 0.5) * 2f64.powf(4.0 * next())) as f32)).collect()
}

/// One tensor of the oracle's `ops` case: its shape and raw bytes.
pub fn oracle(name: &str) -> (Vec<usize>, Vec<u8>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/oracle/cases/ops/golden.safetensors");
    let file = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

/// One F32 tensor of the oracle's `ops` case.
pub fn oracle_f32(name: &str) -> (Vec<usize>, Vec<f64>) {
    let (shape, bytes) = oracle(name);
    (shape, bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect())
}

/// Fails with the worst element if one is farther than `limit` away.
pub fn assert_close(found: &[f64], expected: &[f64], limit: f64) {
    assert_eq!(found.len(), expected.len());
    let far = |(i, (a, b)): (usize, (&f64, &f64))| ((a - b).abs(), i, *a, *b);
    let worst = found.iter().zip(expected).enumerate().map(far).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((distance, i, a, b)) = worst {
        assert!(distance <= limit, "element {i}: {a} is {distance:e} from {b}, more than {limit:e}");
    }
}
