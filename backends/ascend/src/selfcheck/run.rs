//! A check's operator on a device: inputs drawn and uploaded, the program run, outputs read.

use super::cases::{Case, ENTRIES, FAR, Fill, REAL};
use omnihal::op::Role;
use omnihal::{Buffer, Column, DType, Device, Error, MemoryKind, Result, Sequence, Stream, View};
use omnihal_runtime::{Operand, Program, ProgramSpec, Recipe, TierLimit};
use std::sync::Arc;
use std::time::Duration;

/// How long a check's step may take: the first call of an operator loads its kernels.
const LIMIT: Duration = Duration::from_secs(120);

/// An output, its padding rows left out.
pub(super) struct Output {
    pub(super) name: &'static str,
    pub(super) dtype: DType,
    pub(super) values: Vec<f32>,
}

/// Numbers that are the same on every run (Marsaglia's xorshift64*), for one argument.
struct Draw(u64);

impl Draw {
    fn of(name: &str) -> Self {
        // FNV-1a, so that arguments differ.
        Draw(
            name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From -1 to 1.
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn drawn(fill: &Fill, name: &str, elements: usize, row: usize) -> Vec<f32> {
    let mut draw = Draw::of(name);
    match *fill {
        Fill::Drawn(size) => (0..elements).map(|_| draw.unit() * size).collect(),
        Fill::Below(end) => (0..elements).map(|_| (draw.bits() >> 33) as f32 % end as f32).map(f32::floor).collect(),
        Fill::Pairs(size) => {
            let half: Vec<f32> = (0..elements.div_ceil(2)).map(|_| draw.unit() * size).collect();
            half.chunks(row).flat_map(|row| [row, row].concat()).take(elements).collect()
        }
        Fill::Ascending => (0..elements).map(|at| listed(at / row, at % row)).collect(),
        Fill::Column(_) | Fill::Pages => Vec::new(),
    }
}

/// An entry that a row lists: some of those that rows far on see, none for the others; -1 behind the last.
fn listed(row: usize, at: usize) -> f32 {
    let entry = at + at / 7;
    if row < FAR && entry < ENTRIES { entry as f32 } else { -1.0 }
}

/// As the device stores it.
fn bytes(values: &[f32], dtype: DType) -> Result<Vec<u8>> {
    Ok(match dtype {
        DType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        // Cut off: any bf16 will do.
        DType::BF16 => values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        DType::I32 => values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect(),
        other => return Err(Error::unsupported(format!("no self-check draws {other}"))),
    })
}

fn numbers(bytes: &[u8], dtype: DType) -> Vec<f32> {
    let word = |b: &[u8]| b.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    match dtype {
        DType::BF16 => bytes.chunks(2).map(|b| f32::from_bits(word(b) << 16)).collect(),
        DType::I32 => bytes.chunks(4).map(|b| word(b) as i32 as f32).collect(),
        _ => bytes.chunks(4).map(|b| f32::from_bits(word(b))).collect(),
    }
}

/// The outputs of a check's operator on a device.
pub(super) fn outputs(device: &Arc<dyn Device>, case: &Case) -> Result<Vec<Output>> {
    let (stream, mut keep) = (device.stream()?, Vec::new());
    let outputs = enqueue(device, &*stream, case, &mut keep);
    // Whatever failed, what was enqueued before it may still use the memory.
    if stream.sync(LIMIT).is_err() {
        std::mem::forget(keep);
    }
    outputs
}

fn enqueue(device: &Arc<dyn Device>, stream: &dyn Stream, case: &Case, keep: &mut Vec<Buffer>) -> Result<Vec<Output>> {
    let (mut recipe, mut operands, mut results) = (Recipe::new(), Vec::new(), Vec::new());
    for arg in case.op.arg_types().iter().filter(|arg| arg.present) {
        let fill = case.fill(arg.name);
        let column = match (&fill, case.step.spaces.first()) {
            (Fill::Column(column), _) => Some(*column),
            (Fill::Pages, Some(space)) => Some(Column::PageTable(space.ratio as u32)),
            _ => None,
        };
        if let Some(column) = column.filter(|_| arg.role == Role::Read) {
            operands.push(recipe.column(&case.step, column));
            continue;
        }
        let (dtype, elements) = (arg.format.dtype(), arg.shape.elements());
        let buffer = device.alloc(dtype.bytes(elements), MemoryKind::Device)?;
        let view = View::contiguous(buffer.mem(), dtype, arg.shape)?;
        if arg.role != Role::Write {
            let row = arg.shape.dims().get(1..).map_or(1, |dims| dims.iter().product());
            let values = drawn(&fill, arg.name, elements, row);
            // SAFETY: the buffer outlives the program, which waits for the stream.
            unsafe { stream.write(buffer.mem(), &bytes(&values, dtype)?)? };
        }
        if arg.role != Role::Read {
            results.push((arg.name, dtype, elements / arg.shape.dims()[0] * REAL, buffer.clone()));
        }
        operands.push(Operand::view(view));
        keep.push(buffer);
    }
    recipe.op(case.op, &operands.iter().collect::<Vec<_>>());
    step(device, stream, &recipe.finish()?, case, keep)?;
    results.into_iter().map(|(name, dtype, count, buffer)| output(stream, name, dtype, count, &buffer)).collect()
}

/// One step of the operator, waited for.
fn step(device: &Arc<dyn Device>, stream: &dyn Stream, recipe: &Recipe, case: &Case, keep: &[Buffer]) -> Result<()> {
    let spec =
        ProgramSpec { recipe, step: case.step.clone(), limit: TierLimit::All, fallback: None, keep: keep.to_vec() };
    let mut program = Program::build(device, stream, spec)?;
    let arena = device.alloc(program.arena_bytes().max(1), MemoryKind::Device)?;
    program.bind(&arena)?;
    let ids = vec![1; case.step.rows];
    let pages: Vec<Vec<i32>> = case.step.spaces.iter().map(|space| (2..2 + space.table as i32).collect()).collect();
    let pages: Vec<&[i32]> = pages.iter().map(Vec::as_slice).collect();
    let sequences: Vec<_> = case
        .sequences
        .iter()
        .enumerate()
        .map(|(at, &(first, rows))| Sequence { slot: 2 + at, first, ids: &ids[..rows], pages: &pages, wanted: &[] })
        .collect();
    let stepped = program.step_with(stream, &sequences);
    // A step that was refused half-way leaves work that names the program's memory.
    match stream.sync(LIMIT) {
        Ok(()) => stepped,
        Err(error) => {
            std::mem::forget((program, arena));
            stepped.and(Err(error))
        }
    }
}

fn output(stream: &dyn Stream, name: &'static str, dtype: DType, count: usize, buffer: &Buffer) -> Result<Output> {
    let mut bytes = vec![0; buffer.len()];
    // SAFETY: as many bytes as the buffer has; the call waits.
    unsafe { stream.read(buffer.mem(), &mut bytes, LIMIT)? };
    Ok(Output { name, dtype, values: numbers(&bytes[..dtype.bytes(count)], dtype) })
}
