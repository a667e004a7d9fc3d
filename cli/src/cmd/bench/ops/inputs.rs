//! Arguments for one run: numbers drawn at random, and the integers of a step as the model would write them.

use super::table::Step;
use omnihal::op::ArgType;
use omnihal::{Buffer, DType, Device, Error, MemoryKind, Op, Quant, Result, Stream, View, WeightFormat};

/// Bytes drawn on the host; the rest of a buffer repeats them.
const DRAWN: usize = 4 << 20;

/// Views of freshly filled buffers.
pub struct Inputs {
    views: Vec<Option<View>>,
    owners: Vec<Buffer>,
}

impl Inputs {
    pub fn new(device: &dyn Device, stream: &dyn Stream, op: &Op, step: Step, seed: u64) -> Result<Inputs> {
        let mut inputs = Inputs { views: Vec::new(), owners: Vec::new() };
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for arg in op.arg_types() {
            let view = match arg.present {
                true => Some(inputs.argument(device, stream, op, &arg, step, &mut draw)?),
                false => None,
            };
            inputs.views.push(view);
        }
        Ok(inputs)
    }

    pub fn views(&self) -> &[Option<View>] {
        &self.views
    }

    fn argument(
        &mut self,
        device: &dyn Device,
        stream: &dyn Stream,
        op: &Op,
        arg: &ArgType,
        step: Step,
        draw: &mut Draw,
    ) -> Result<View> {
        let dtype = arg.format.dtype();
        let bytes = dtype.bytes(arg.shape.elements());
        let pattern = match dtype {
            DType::I32 => integers(op, arg, step, draw)?,
            _ => draw.numbers(dtype, bytes.min(DRAWN)),
        };
        let mem = self.filled(device, stream, bytes, &pattern)?;
        let mut view = View::contiguous(mem, dtype, arg.shape)?;
        if let (WeightFormat::Blocked { scale, block, .. }, Some(shape)) =
            (arg.format, arg.format.scale_shape(&arg.shape))
        {
            let bytes = scale.bytes(shape.elements());
            let pattern = draw.numbers(scale, bytes.min(DRAWN));
            view.quant = Some(Quant { mem: self.filled(device, stream, bytes, &pattern)?, dtype: scale, block, shape });
        }
        Ok(view)
    }

    /// A buffer that repeats a pattern: written once, then doubled on the device.
    fn filled(
        &mut self,
        device: &dyn Device,
        stream: &dyn Stream,
        bytes: usize,
        pattern: &[u8],
    ) -> Result<omnihal::Mem> {
        let buffer = device.alloc(bytes, MemoryKind::Device)?;
        let mem = buffer.mem();
        self.owners.push(buffer);
        let mut done = pattern.len().min(bytes);
        // SAFETY: the buffer is kept by `self`, and the halves of a doubling do not overlap.
        unsafe {
            stream.write(mem.slice(0, done)?, &pattern[..done])?;
            while done < bytes {
                let part = done.min(bytes - done);
                stream.copy(mem.slice(done, part)?, mem.slice(0, part)?)?;
                done += part;
            }
        }
        stream.sync(super::LIMIT)?;
        Ok(mem)
    }
}

/// The integers of an argument, by its name in the catalogue.
fn integers(op: &Op, arg: &ArgType, step: Step, draw: &mut Draw) -> Result<Vec<u8>> {
    let dims = arg.shape.dims();
    let rows = step.rows();
    let first = step.context - step.tokens;
    let all: Vec<i32> = match arg.name {
        "toks" => (0..rows)
            .flat_map(|row| {
                [(first + row % step.tokens) as i32, 2 + (row / step.tokens) as i32, (row / step.tokens) as i32, 7]
            })
            .collect(),
        "seqs" => (0..step.batch)
            .flat_map(|seq| [2 + seq as i32, first as i32, (seq * step.tokens) as i32, step.tokens as i32])
            .collect(),
        "pt" => (0..dims.iter().product::<usize>()).map(|page| 2 + page as i32).collect(),
        // Chosen experts, and chosen entries in ascending order: distinct in a row.
        "idx" => {
            let (per_row, among) = (dims[1], among(op, step));
            (0..rows).flat_map(|_| draw.distinct(per_row, among)).collect()
        }
        _ if arg.role == omnihal::op::Role::Write => vec![0; arg.shape.elements()],
        other => {
            return Err(
                Error::unsupported(format!("the bench has no integers for argument `{other}`")).with_op(op.kind())
            );
        }
    };
    Ok(all.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// From how many the indices of an operator are chosen.
fn among(op: &Op, step: Step) -> usize {
    match op {
        Op::MoeExperts(d) => d.local,
        _ => step.context / 4,
    }
}

/// A small generator: the numbers only have to differ.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn distinct(&mut self, count: usize, among: usize) -> Vec<i32> {
        // One in each of `count` equal parts: distinct and ascending.
        (0..count)
            .map(|i| {
                let (from, to) = (i * among / count, ((i + 1) * among / count).max(i * among / count + 1));
                (from as u64 + self.next() % (to - from) as u64) as i32
            })
            .collect()
    }

    /// Small finite numbers of a type.
    fn numbers(&mut self, dtype: DType, bytes: usize) -> Vec<u8> {
        let mut small = || (self.next() >> 40) as f32 / (1u64 << 24) as f32 * 0.2 - 0.1;
        match dtype {
            DType::F32 => (0..bytes / 4).flat_map(|_| small().to_le_bytes()).collect(),
            DType::BF16 => (0..bytes / 2).flat_map(|_| ((small().to_bits() >> 16) as u16).to_le_bytes()).collect(),
            DType::F4E2M1X2 => (0..bytes).map(|_| self.next() as u8).collect(),
            // No exponent that makes a number, or in packed rows a scale, infinite or not a number.
            DType::F8E4M3 => (0..bytes).map(|_| self.next() as u8 & 0xb7).collect(),
            DType::E8M0 => (0..bytes).map(|_| 119 + (self.next() % 4) as u8).collect(),
            _ => (0..bytes).map(|_| 0x30 | (self.next() as u8 & 0x0f)).collect(),
        }
    }
}
