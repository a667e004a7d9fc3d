//! Elements of tensors, through strides and broadcasting.

use super::reader::{BF16, BOOL, F16, F32, I32, I64};
use crate::memory::Block;
use crate::tensor::Tensor;
use std::sync::Arc;

/// A tensor and the memory that holds it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) tensor: Arc<Tensor>,
    pub(crate) block: Arc<Block>,
}

/// Distance of every element from the first, in order.
pub(crate) fn positions(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut all = vec![0usize];
    for (&n, &stride) in dims.iter().zip(strides) {
        let mut next = Vec::with_capacity(all.len() * n);
        for &base in &all {
            next.extend((0..n).map(|i| base + i * stride));
        }
        all = next;
    }
    all
}

/// The shape that two broadcast to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

pub(crate) fn half_to_f32(bits: u16) -> f32 {
    let sign = ((bits as u32) & 0x8000) << 16;
    let (exponent, fraction) = ((bits >> 10) & 0x1f, (bits & 0x3ff) as u32);
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        31 => 0x7f80_0000 | (fraction << 13),
        e => ((e as u32 + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

fn f32_to_half(x: f32) -> u16 {
    let sign = ((x.to_bits() >> 16) & 0x8000) as u16;
    let a = x.abs();
    if x.is_nan() {
        return sign | 0x7e00;
    }
    if a >= 65520.0 {
        return sign | 0x7c00;
    }
    // The unit of the last place, from which adding and taking away rounds to even.
    let exponent = ((a.to_bits() >> 23) as i32 - 127).max(-14);
    let unit = 2f32.powi(exponent - 10);
    let steps = a / unit;
    let rounded = (steps + 8_388_608.0) - 8_388_608.0;
    let value = rounded * unit;
    if value < 2f32.powi(-14) {
        return sign | (value / 2f32.powi(-24)) as u16;
    }
    let bits = value.to_bits();
    sign | (((bits >> 23) - 112) << 10) as u16 | ((bits >> 13) & 0x3ff) as u16
}

fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return ((bits >> 16) | 0x40) as u16;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

impl Held {
    pub(crate) fn dims(&self) -> &[usize] {
        &self.tensor.dims
    }

    pub(crate) fn kind(&self) -> i32 {
        self.tensor.kind.0
    }

    fn first(&self) -> *mut u8 {
        let (addr, _) = self.tensor.range();
        self.block.at(addr)
    }

    /// Distances of the elements when the tensor is broadcast to `dims`, which it fits.
    fn spread(&self, dims: &[usize]) -> Vec<usize> {
        let own = &self.tensor;
        let lead = dims.len() - own.dims.len();
        let strides: Vec<_> = (0..dims.len())
            .map(|axis| match axis.checked_sub(lead) {
                Some(i) if own.dims[i] == dims[axis] => own.strides[i],
                _ => 0,
            })
            .collect();
        positions(dims, &strides)
    }

    /// The bits of every element.
    pub(crate) fn bits_as(&self, dims: &[usize]) -> Vec<u64> {
        let (first, width) = (self.first(), self.tensor.bytes());
        let read = |at: usize| {
            let mut bytes = [0u8; 8];
            // SAFETY: the tensor was checked against its block, which is alive.
            unsafe { first.add(at * width).copy_to_nonoverlapping(bytes.as_mut_ptr(), width) };
            u64::from_le_bytes(bytes)
        };
        self.spread(dims).into_iter().map(read).collect()
    }

    /// The bits of every element.
    pub(crate) fn bits(&self) -> Vec<u64> {
        self.bits_as(&self.tensor.dims)
    }

    /// Writes the bits of every element.
    pub(crate) fn put_bits(&self, bits: &[u64]) {
        let (first, width) = (self.first(), self.tensor.bytes());
        for (at, bits) in positions(&self.tensor.dims, &self.tensor.strides).into_iter().zip(bits) {
            // SAFETY: as for reading; the client's order of tasks keeps others away.
            unsafe { first.add(at * width).copy_from_nonoverlapping(bits.to_le_bytes().as_ptr(), width) };
        }
    }

    fn real(&self, bits: u64) -> f32 {
        match self.kind() {
            F32 => f32::from_bits(bits as u32),
            BF16 => f32::from_bits((bits as u32) << 16),
            F16 => half_to_f32(bits as u16),
            _ => self.integer(bits) as f32,
        }
    }

    fn integer(&self, bits: u64) -> i64 {
        match self.kind() {
            I32 => bits as u32 as i32 as i64,
            I64 => bits as i64,
            2 => bits as u8 as i8 as i64,
            6 => bits as u16 as i16 as i64,
            F32 | BF16 | F16 => self.real(bits) as i64,
            _ => bits as i64,
        }
    }

    /// Elements as f32, broadcast to `dims`.
    pub(crate) fn floats_as(&self, dims: &[usize]) -> Vec<f32> {
        self.bits_as(dims).into_iter().map(|bits| self.real(bits)).collect()
    }

    /// Elements as f32.
    pub(crate) fn floats(&self) -> Vec<f32> {
        self.floats_as(&self.tensor.dims)
    }

    /// Elements as integers, broadcast to `dims`.
    pub(crate) fn ints_as(&self, dims: &[usize]) -> Vec<i64> {
        self.bits_as(dims).into_iter().map(|bits| self.integer(bits)).collect()
    }

    /// Elements as integers.
    pub(crate) fn ints(&self) -> Vec<i64> {
        self.ints_as(&self.tensor.dims)
    }

    /// Rounds and writes.
    pub(crate) fn put_floats(&self, values: &[f32]) {
        let round = |x: f32| match self.kind() {
            F32 => x.to_bits() as u64,
            BF16 => f32_to_bf16(x) as u64,
            F16 => f32_to_half(x) as u64,
            // A cast to an integer cuts the fraction off and stays within the type.
            I32 => x as i32 as u32 as u64,
            I64 => x as i64 as u64,
            BOOL => (x != 0.0) as u64,
            2 => x as i8 as u8 as u64,
            _ => x as u8 as u64,
        };
        self.put_bits(&values.iter().map(|&x| round(x)).collect::<Vec<_>>());
    }

    /// Writes integers.
    pub(crate) fn put_ints(&self, values: &[i64]) {
        let as_bits = |x: i64| match self.kind() {
            F32 => (x as f32).to_bits() as u64,
            BF16 => f32_to_bf16(x as f32) as u64,
            F16 => f32_to_half(x as f32) as u64,
            BOOL => (x != 0) as u64,
            _ => x as u64,
        };
        self.put_bits(&values.iter().map(|&x| as_bits(x)).collect::<Vec<_>>());
    }
}
