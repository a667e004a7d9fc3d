//! What the tests of this crate share: device tensors with known values, and calls with plans.
#![allow(dead_code, reason = "each test file uses a part")]

use omnihal::{Args, Buffer, DType, Device, Mem, MemoryKind, Op, Plan, Quant, Shape, Stream, View, WeightFormat};
use omnihal_cpu::CpuBackend;
use std::sync::Arc;
use std::time::Duration;

/// A small generator seeded by a name: the same numbers on every host.
pub struct Random(u64);

impl Random {
    pub fn new(name: &str) -> Self {
        // FNV-1a.
        Random(name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3)))
    }

    /// SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Nearly normal, mean 0, variance 1.
    pub fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| self.bits() as f64 / u64::MAX as f64).sum();
        (sum - 6.0) as f32
    }

    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// A device with a stream.
pub struct Host {
    pub device: Arc<dyn Device>,
    pub stream: Box<dyn Stream>,
}

impl Host {
    pub fn new(threads: usize) -> Self {
        let device = CpuBackend::open_with(threads).unwrap();
        let stream = device.stream().unwrap();
        Host { device, stream }
    }

    pub fn bytes(&self, bytes: &[u8]) -> Buffer {
        let buffer = self.device.alloc(bytes.len(), MemoryKind::Device).unwrap();
        // SAFETY: the buffer is alive and the call finishes before it returns.
        unsafe { self.stream.write(buffer.mem(), bytes).unwrap() };
        buffer
    }

    /// A tensor of these values, rounded to `dtype`.
    pub fn tensor(&self, dtype: DType, shape: impl Into<Shape>, values: &[f32]) -> Tensor {
        let shape = shape.into();
        assert_eq!(shape.elements(), values.len());
        let buffer = self.bytes(&encode(dtype, values));
        Tensor { view: View::contiguous(buffer.mem(), dtype, shape).unwrap(), _keep: vec![buffer] }
    }

    pub fn indices(&self, shape: impl Into<Shape>, values: &[i32]) -> Tensor {
        let buffer = self.bytes(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        Tensor { view: View::contiguous(buffer.mem(), DType::I32, shape).unwrap(), _keep: vec![buffer] }
    }

    /// A tensor filled with a value that no kernel makes by itself.
    pub fn output(&self, dtype: DType, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        self.tensor(dtype, shape, &vec![-77.0; shape.elements()])
    }

    /// A weight of random codes in any format, with the numbers that it stands for.
    pub fn weight(&self, format: WeightFormat, shape: impl Into<Shape>, random: &mut Random) -> (Tensor, Vec<f64>) {
        let shape = shape.into();
        let WeightFormat::Blocked { data, scale, block } = format else {
            let values = random.normals(shape.elements());
            let tensor = self.tensor(format.dtype(), shape, &values);
            let exact = self.read(&tensor).into_iter().map(f64::from).collect();
            return (tensor, exact);
        };
        let scales_shape = format.scale_shape(&shape).unwrap();
        let codes: Vec<u8> = (0..data.bytes(shape.elements())).map(|_| code(data, random)).collect();
        let exponents: Vec<i32> = (0..scales_shape.elements()).map(|_| random.below(9) as i32 - 6).collect();
        let fraction: Vec<f32> = exponents.iter().map(|_| if scale == DType::F32 { 1.1 } else { 1.0 }).collect();
        let scales: Vec<f32> = exponents.iter().zip(&fraction).map(|(e, f)| f * 2f32.powi(*e)).collect();
        let scale_bytes = match scale {
            DType::F32 => encode(DType::F32, &scales),
            _ => exponents.iter().map(|e| (e + 127) as u8).collect(),
        };
        let (codes_buffer, scale_buffer) = (self.bytes(&codes), self.bytes(&scale_bytes));
        let mut view = View::contiguous(codes_buffer.mem(), data, shape).unwrap();
        view.quant = Some(Quant { mem: scale_buffer.mem(), dtype: scale, block, shape: scales_shape });
        let exact = expand(data, &codes, &scales, &shape, block);
        (Tensor { view, _keep: vec![codes_buffer, scale_buffer] }, exact)
    }

    pub fn plan(&self, op: impl Into<Op>) -> Arc<dyn Plan> {
        self.device.plan(&op.into()).unwrap()
    }

    pub fn run(&self, op: impl Into<Op>, views: &[Option<View>]) {
        self.run_rows(op, views, usize::MAX);
    }

    pub fn run_rows(&self, op: impl Into<Op>, views: &[Option<View>], rows_hint: usize) {
        let plan = self.plan(op);
        let workspace = self.device.alloc(plan.workspace(), MemoryKind::Device).unwrap();
        // SAFETY: every buffer is alive, and the views are made for the operator.
        unsafe { self.stream.fill(workspace.mem(), 0xFF).unwrap() };
        let args = Args { views, workspace: workspace.mem(), rows_hint };
        // SAFETY: as above.
        unsafe { self.stream.run(&*plan, &args).unwrap() };
    }

    /// The stored bytes of the whole buffer.
    pub fn raw(&self, mem: Mem) -> Vec<u8> {
        let mut bytes = vec![0; mem.len];
        // SAFETY: the buffer is alive.
        unsafe { self.stream.read(mem, &mut bytes, Duration::from_secs(1)).unwrap() };
        bytes
    }

    /// The values of a tensor, in row-major order of its view.
    pub fn read(&self, tensor: &Tensor) -> Vec<f32> {
        let (view, bytes) = (&tensor.view, self.raw(tensor.view.mem));
        let dims = view.shape.dims();
        (0..view.elements())
            .map(|mut flat| {
                let mut place = 0;
                for axis in (0..dims.len()).rev() {
                    place += flat % dims[axis] * view.strides[axis];
                    flat /= dims[axis];
                }
                let at = view.offset + view.dtype.bytes(place);
                match view.dtype {
                    DType::BF16 => f32::from_bits((u16::from_le_bytes([bytes[at], bytes[at + 1]]) as u32) << 16),
                    _ => f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()),
                }
            })
            .collect()
    }

    pub fn ints(&self, tensor: &Tensor) -> Vec<i32> {
        self.read(tensor).into_iter().map(|v| v.to_bits() as i32).collect()
    }
}

/// A view with the memory it needs.
pub struct Tensor {
    pub view: View,
    _keep: Vec<Buffer>,
}

impl Tensor {
    pub fn arg(&self) -> Option<View> {
        Some(self.view)
    }

    /// The same memory through another view.
    pub fn with(&self, view: View) -> Tensor {
        Tensor { view, _keep: self._keep.clone() }
    }
}

/// Rounds to BF16.
pub fn bf16(value: f32) -> f32 {
    half::bf16::from_f32(value).to_f32()
}

/// Rounds to an activation type.
pub fn rounded(dtype: DType, value: f32) -> f32 {
    if dtype == DType::BF16 { bf16(value) } else { value }
}

pub fn encode(dtype: DType, values: &[f32]) -> Vec<u8> {
    match dtype {
        DType::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
        DType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        other => panic!("{other} is not encoded here"),
    }
}

fn code(data: DType, random: &mut Random) -> u8 {
    let code = random.bits() as u8;
    // The two NaN codes are refused when weights are loaded.
    if data == DType::F8E4M3 && code & 0x7F == 0x7F { 0 } else { code }
}

fn e4m3(code: u8) -> f64 {
    let (exponent, mantissa) = (((code >> 3) & 15) as i32, (code & 7) as f64);
    let magnitude =
        if exponent == 0 { mantissa * 2f64.powi(-9) } else { (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7) };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

fn e2m1(code: u8) -> f64 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][(code & 7) as usize];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

fn expand(data: DType, codes: &[u8], scales: &[f32], shape: &Shape, block: (usize, usize)) -> Vec<f64> {
    let rank = shape.rank();
    let (rows, cols) = (shape[rank - 2], shape[rank - 1]);
    let (block_rows, block_cols) = (rows.div_ceil(block.0), cols.div_ceil(block.1));
    (0..shape.elements())
        .map(|i| {
            let (matrix, row, col) = (i / (rows * cols), i / cols % rows, i % cols);
            let scale = scales[(matrix * block_rows + row / block.0) * block_cols + col / block.1] as f64;
            let value = match data {
                DType::F8E4M3 => e4m3(codes[i]),
                _ => e2m1(codes[i / 2] >> (4 * (i % 2)) & 15),
            };
            value * scale
        })
        .collect()
}

/// Fails unless each value is within `6 sqrt(len) 2^-24 sum|a||b|` of the exact one, plus half a unit of a BF16 result.
pub fn assert_close(got: f32, exact: f64, magnitude: f64, len: usize, output: DType, what: &str) {
    let sum = 6.0 * (len as f64).sqrt() * 2f64.powi(-24) * magnitude;
    let rounding = exact.abs() * if output == DType::BF16 { 2f64.powi(-8) } else { 2f64.powi(-23) };
    let error = (got as f64 - exact).abs();
    assert!(error <= sum + rounding + 1e-40, "{what}: {got} is {error:e} from {exact}, bound {:e}", sum + rounding);
}
