//! Moving tensors from mapped files to a device, in the form that the device wants.

use super::{Linear, Mixer};
use crate::error::{ModelError, Result};
use crate::weights::{Checkpoint, Tensor};
use half::f16;
use omnihal::op::{copy, quant};
use omnihal::{
    Buffer, DType, Device, Layout, MemoryKind, Op, Quant, Shape, Stream, View, WeightDesc, WeightForm, WeightFormat,
};
use omnihal_runtime::transfer;
use std::ops::Range;

/// How far loading has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Bytes of the checkpoint done.
    pub done: u64,
    /// Bytes of the checkpoint.
    pub total: u64,
    /// Tensor just uploaded.
    pub name: &'a str,
}

/// Rows of a tensor of the checkpoint.
#[derive(Clone, Debug)]
pub struct Part {
    name: String,
    rows: Range<usize>,
}

/// Bytes between parts of a buffer: the widest alignment that a listed device asks of an operand.
const ALIGN: usize = 64;

/// Uploads tensors and keeps the buffers.
pub struct Loader<'a> {
    device: &'a dyn Device,
    stream: &'a dyn Stream,
    checkpoint: &'a Checkpoint,
    act: DType,
    progress: &'a mut dyn FnMut(Progress<'_>),
    done: u64,
    buffers: Vec<Buffer>,
}

/// How a matrix of one or more parts lies in the file.
#[derive(Clone, Copy, PartialEq)]
struct Stored {
    format: WeightFormat,
    rows: usize,
    cols: usize,
}

impl Stored {
    fn shape(&self) -> Shape {
        Shape::from([self.rows, self.cols])
    }

    fn data_bytes(&self) -> usize {
        self.format.dtype().bytes(self.rows * self.cols)
    }

    fn scale_bytes(&self) -> usize {
        self.format.bytes(&self.shape()) - self.data_bytes()
    }
}

impl<'a> Loader<'a> {
    /// A loader for one checkpoint and one device.
    pub fn new(
        device: &'a dyn Device,
        stream: &'a dyn Stream,
        checkpoint: &'a Checkpoint,
        act: DType,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        Loader { device, stream, checkpoint, act, progress, done: 0, buffers: Vec::new() }
    }

    /// The buffers behind every view that the loader gave out.
    pub fn finish(self) -> Vec<Buffer> {
        self.buffers
    }

    /// Activation type.
    pub fn act(&self) -> DType {
        self.act
    }

    /// All rows of a tensor.
    pub fn whole(&self, name: &str) -> Result<Part> {
        let rows = self.checkpoint.tensor(name)?.shape[0];
        Ok(Part { name: name.to_owned(), rows: 0..rows })
    }

    /// Some rows of a tensor.
    pub fn rows(&self, name: &str, rows: Range<usize>) -> Part {
        Part { name: name.to_owned(), rows }
    }

    /// New device memory for a tensor.
    pub fn empty(&mut self, dtype: DType, shape: impl Into<Shape>) -> Result<View> {
        let shape = shape.into();
        let mem = self.alloc(dtype.bytes(shape.elements()))?.mem();
        Ok(View::contiguous(mem, dtype, shape)?)
    }

    /// Writes floats into an F32 tensor of this loader, from element `at`.
    pub fn write_f32(&mut self, view: &View, at: usize, values: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let buffer = self.owner(view)?;
        Ok(transfer::write(self.stream, &buffer, view.offset + at * 4, &bytes)?)
    }

    /// A tensor in the type of the file; F16 becomes F32.
    pub fn stored(&mut self, name: &str) -> Result<View> {
        let tensor = self.checkpoint.tensor(name)?;
        if tensor.dtype == DType::F16 {
            return self.f32(name);
        }
        let view = self.empty(tensor.dtype, Shape::new(&tensor.shape))?;
        let buffer = self.owner(&view)?;
        transfer::write(self.stream, &buffer, 0, tensor.read_checked()?)?;
        self.finished(&tensor);
        Ok(view)
    }

    /// A small tensor as host floats.
    pub fn host_f32(&mut self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.checkpoint.tensor(name)?;
        let values = floats(tensor.dtype, tensor.read_checked()?)
            .ok_or_else(|| ModelError::refused(format!("tensor {name} is {}, expected plain floats", tensor.dtype)))?;
        self.finished(&tensor);
        Ok(values)
    }

    /// A small tensor as F32, whatever float the file has.
    pub fn f32(&mut self, name: &str) -> Result<View> {
        let shape = Shape::new(&self.checkpoint.tensor(name)?.shape);
        let values = self.host_f32(name)?;
        self.f32s(shape, &values)
    }

    /// Host floats as an F32 tensor.
    pub fn f32s(&mut self, shape: impl Into<Shape>, values: &[f32]) -> Result<View> {
        let view = self.empty(DType::F32, shape)?;
        self.write_f32(&view, 0, values)?;
        Ok(view)
    }

    /// A table of expert numbers as I32.
    pub fn table(&mut self, name: &str) -> Result<View> {
        let tensor = self.checkpoint.tensor(name)?;
        let bytes = tensor.read_checked()?;
        let narrow: Vec<u8> = match tensor.dtype {
            // The checked values are small and not negative: the low half is the value.
            DType::I64 => bytes.chunks_exact(8).flat_map(|v| [v[0], v[1], v[2], v[3]]).collect(),
            _ => bytes.to_vec(),
        };
        let view = self.empty(DType::I32, Shape::new(&tensor.shape))?;
        let buffer = self.owner(&view)?;
        transfer::write(self.stream, &buffer, 0, &narrow)?;
        self.finished(&tensor);
        Ok(view)
    }

    /// The coefficients whose names start with `prefix`.
    pub fn mixer(&mut self, prefix: &str) -> Result<Mixer> {
        Ok(Mixer {
            projection: self.f32(&format!("{prefix}fn"))?,
            scale: self.f32(&format!("{prefix}scale"))?,
            base: self.f32(&format!("{prefix}base"))?,
        })
    }

    /// A whole tensor as a weight in the device's form.
    pub fn matrix(&mut self, name: &str) -> Result<View> {
        let part = self.whole(name)?;
        first_of(&self.matrices(&[vec![part]])?)
    }

    /// Parts side by side, as few products as their formats allow.
    pub fn linear(&mut self, parts: Vec<Part>) -> Result<Linear> {
        let mut groups: Vec<Vec<Part>> = Vec::new();
        for part in parts {
            match groups.last_mut() {
                Some(group) if self.joint(group, &part)? => group.push(part),
                _ => groups.push(vec![part]),
            }
        }
        let views = groups.into_iter().map(|group| first_of(&self.matrices(&[group])?));
        Ok(Linear { parts: views.collect::<Result<_>>()? })
    }

    /// Equally made matrices, stacked: `[count, rows, cols]`. Parts that cannot be joined as stored are expanded to the activation type.
    pub fn matrices(&mut self, stack: &[Vec<Part>]) -> Result<View> {
        let joinable = stack.iter().map(|parts| self.all_joint(parts)).collect::<Result<Vec<_>>>()?;
        let first = self.describe(&stack[0])?;
        for parts in stack {
            let next = self.describe(parts)?;
            if next != first {
                return Err(ModelError::refused(format!(
                    "tensor {} is {} {}, its siblings are {} {}: store all experts of a block alike",
                    parts[0].name,
                    next.format,
                    next.shape(),
                    first.format,
                    first.shape()
                )));
            }
        }
        if !joinable.into_iter().all(|j| j) {
            return self.expanded(stack, first, self.act);
        }
        let desc = WeightDesc { shape: first.shape(), format: first.format, act: self.act };
        match self.device.weight(&desc) {
            WeightForm::AsIs => self.as_is(stack, first),
            WeightForm::Expand(dtype) => self.expanded(stack, first, dtype),
            WeightForm::Repack { layout, bytes, .. } => self.repacked(stack, first, &desc, layout, bytes),
            WeightForm::No(reason) => Err(omnihal::Error::unsupported(format!(
                "{} takes no {} weight of shape {}: {reason}",
                self.device.info().backend,
                first.format,
                first.shape()
            ))
            .into()),
        }
    }

    /// A whole tensor as plain numbers of `dtype`.
    pub fn plain(&mut self, name: &str, dtype: DType) -> Result<View> {
        let part = self.whole(name)?;
        let stack = [vec![part]];
        let stored = self.describe(&stack[0])?;
        match stored.format {
            WeightFormat::Plain(found) if found == dtype => first_of(&self.as_is(&stack, stored)?),
            _ => first_of(&self.expanded(&stack, stored, dtype)?),
        }
    }

    fn describe(&self, parts: &[Part]) -> Result<Stored> {
        let tensor = self.checkpoint.tensor(&parts[0].name)?;
        let rows = parts.iter().map(|p| p.rows.len()).sum();
        Ok(Stored { format: format_of(&tensor), rows, cols: tensor.shape[1] })
    }

    fn all_joint(&self, parts: &[Part]) -> Result<bool> {
        for i in 1..parts.len() {
            if !self.joint(&parts[..i], &parts[i])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a part may follow the others in one tensor: same format, and no scale block across the border.
    fn joint(&self, before: &[Part], next: &Part) -> Result<bool> {
        let (a, b) = (self.describe(before)?, self.describe(std::slice::from_ref(next))?);
        let whole_blocks = match a.format {
            WeightFormat::Blocked { block, .. } => a.rows % block.0 == 0 && next.rows.start % block.0 == 0,
            WeightFormat::Plain(_) => true,
        };
        Ok(a.format == b.format && a.cols == b.cols && whole_blocks)
    }

    fn as_is(&mut self, stack: &[Vec<Part>], stored: Stored) -> Result<View> {
        let scales_at = (stack.len() * stored.data_bytes()).next_multiple_of(ALIGN);
        let buffer = self.alloc(scales_at + stack.len() * stored.scale_bytes())?;
        for (i, parts) in stack.iter().enumerate() {
            self.upload(parts, &buffer, i * stored.data_bytes(), scales_at + i * stored.scale_bytes())?;
        }
        stacked(&buffer, stored, stack.len(), scales_at)
    }

    fn expanded(&mut self, stack: &[Vec<Part>], stored: Stored, dtype: DType) -> Result<View> {
        let shape = Shape::from([stack.len(), stored.rows, stored.cols]);
        let view = self.empty(dtype, shape)?;
        let owner = self.owner(&view)?;
        for (i, parts) in stack.iter().enumerate() {
            let mut row = 0;
            for part in parts {
                let piece = self.describe(std::slice::from_ref(part))?;
                let (stage, source) = self.stage(std::slice::from_ref(part), piece)?;
                let target = view.slice(0, i, 1)?.merge(0)?.slice(0, row, piece.rows)?;
                let op: Op = match piece.format {
                    WeightFormat::Plain(input) => copy::Copy { shape: piece.shape(), input, output: dtype }.into(),
                    format => {
                        let (rows, width) = (piece.rows, piece.cols);
                        quant::Dequant { rows, width, format, output: dtype }.into()
                    }
                };
                transfer::run_once(self.device, self.stream, &op, &[Some(source), Some(target)], &[&stage, &owner])?;
                row += piece.rows;
            }
        }
        Ok(view)
    }

    fn repacked(
        &mut self,
        stack: &[Vec<Part>],
        stored: Stored,
        desc: &WeightDesc,
        layout: Layout,
        bytes: usize,
    ) -> Result<View> {
        // A grouped weight in a private layout is the concatenation of its members' layouts.
        let buffer = self.alloc(stack.len() * bytes)?;
        for (i, parts) in stack.iter().enumerate() {
            let (_stage, source) = self.stage(parts, stored)?;
            let target = buffer.mem().slice(i * bytes, bytes)?;
            // SAFETY: the staging buffer outlives the wait below, the target is kept by the loader.
            unsafe { self.device.repack(self.stream, desc, &source, target)? };
            self.stream.sync(std::time::Duration::from_secs(600))?;
        }
        let shape = Shape::from([stack.len(), stored.rows, stored.cols]);
        let quant = scale_view(stored, stack.len(), buffer.mem());
        let strides = shape.contiguous_strides();
        Ok(View { mem: buffer.mem(), offset: 0, dtype: stored.format.dtype(), shape, strides, layout, quant })
    }

    /// One matrix as stored, in device memory that goes away with the returned buffer.
    fn stage(&mut self, parts: &[Part], stored: Stored) -> Result<(Buffer, View)> {
        let scales_at = stored.data_bytes().next_multiple_of(ALIGN);
        let buffer = self.device.alloc(scales_at + stored.scale_bytes(), MemoryKind::Device)?;
        self.upload(parts, &buffer, 0, scales_at)?;
        let view = first_of(&stacked(&buffer, stored, 1, scales_at)?)?;
        Ok((buffer, view))
    }

    /// Writes codes and scales of the parts one after the other.
    fn upload(&mut self, parts: &[Part], buffer: &Buffer, mut data_at: usize, mut scale_at: usize) -> Result<()> {
        for part in parts {
            let tensor = self.checkpoint.tensor(&part.name)?;
            let row = tensor.dtype.bytes(tensor.shape[1]);
            let bytes = &tensor.read_checked()?[part.rows.start * row..part.rows.end * row];
            let widened;
            let bytes = match tensor.dtype {
                DType::F16 => {
                    widened = f16_to_f32(bytes);
                    &widened[..]
                }
                _ => bytes,
            };
            transfer::write(self.stream, buffer, data_at, bytes)?;
            data_at += bytes.len();
            if let Some(scale) = &tensor.scale {
                let row = scale.dtype.bytes(scale.shape[1]);
                let first = part.rows.start / scale.block[0];
                let last = part.rows.end.div_ceil(scale.block[0]);
                transfer::write(self.stream, buffer, scale_at, &scale.bytes[first * row..last * row])?;
                scale_at += (last - first) * row;
            }
            if part.rows.end == tensor.shape[0] {
                self.finished(&tensor);
            }
        }
        Ok(())
    }

    fn alloc(&mut self, bytes: usize) -> Result<Buffer> {
        let buffer = self.device.alloc(bytes.max(1), MemoryKind::Device)?;
        self.buffers.push(buffer.clone());
        Ok(buffer)
    }

    fn owner(&self, view: &View) -> Result<Buffer> {
        let owner = self.buffers.iter().rev().find(|b| b.mem() == view.mem || b.mem().addr == view.mem.addr);
        owner.cloned().ok_or_else(|| ModelError::refused("a tensor of another loader"))
    }

    fn finished(&mut self, tensor: &Tensor<'_>) {
        self.checkpoint.release(tensor);
        self.done += tensor.stored_bytes() as u64;
        (self.progress)(Progress { done: self.done, total: self.checkpoint.total_bytes(), name: &tensor.name });
    }
}

/// The only member of a stack of one.
pub(super) fn first_of(view: &View) -> Result<View> {
    let shape = Shape::new(&view.shape.dims()[1..]);
    let quant = view.quant.map(|q| Quant { shape: Shape::new(&q.shape.dims()[1..]), ..q });
    Ok(View { shape, strides: shape.contiguous_strides(), quant, ..*view })
}

fn stacked(buffer: &Buffer, stored: Stored, count: usize, scales_at: usize) -> Result<View> {
    let shape = Shape::from([count, stored.rows, stored.cols]);
    let mut view = View::contiguous(buffer.mem(), stored.format.dtype(), shape)?;
    if stored.format.is_quantised() {
        let scales = buffer.mem().slice(scales_at, count * stored.scale_bytes())?;
        view.quant = scale_view(stored, count, scales);
    }
    Ok(view)
}

fn scale_view(stored: Stored, count: usize, mem: omnihal::Mem) -> Option<Quant> {
    let WeightFormat::Blocked { scale, block, .. } = stored.format else { return None };
    let shape = stored.format.scale_shape(&Shape::from([count, stored.rows, stored.cols]))?;
    Some(Quant { mem, dtype: scale, block, shape })
}

fn format_of(tensor: &Tensor<'_>) -> WeightFormat {
    match &tensor.scale {
        Some(scale) => {
            WeightFormat::Blocked { data: tensor.dtype, scale: scale.dtype, block: (scale.block[0], scale.block[1]) }
        }
        None if tensor.dtype == DType::F16 => WeightFormat::Plain(DType::F32),
        None => WeightFormat::Plain(tensor.dtype),
    }
}

fn f16_to_f32(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks_exact(2).flat_map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32().to_le_bytes()).collect()
}

fn floats(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        DType::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => return None,
    })
}
