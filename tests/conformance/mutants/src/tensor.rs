//! Tensors of host memory as vectors in logical row-major order. Strides are honoured on every axis.

use crate::tensor::number::{decode, encode};
use omnihal::{DType, View};

pub mod number;

pub use number::{bf16, round_to};

/// Element offsets of a view, in logical order.
pub fn offsets(view: &View) -> Vec<usize> {
    let mut all = vec![0];
    for (axis, &dim) in view.shape.dims().iter().enumerate() {
        let stride = view.strides[axis];
        all = all.iter().flat_map(|&base| (0..dim).map(move |i| base + i * stride)).collect();
    }
    all
}

/// The stored bits of one element.
fn peek(view: &View, offset: usize) -> u64 {
    let base = view.addr() as *const u8;
    if view.dtype == DType::F4E2M1X2 {
        // SAFETY: whoever made the call promises that the view lies in live memory.
        let byte = unsafe { base.add(offset / 2).read() };
        return u64::from(if offset % 2 == 0 { byte & 15 } else { byte >> 4 });
    }
    let size = view.dtype.bits() / 8;
    let mut bytes = [0; 8];
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(base.add(offset * size), bytes.as_mut_ptr(), size) };
    u64::from_le_bytes(bytes)
}

fn poke(view: &View, offset: usize, bits: u64) {
    let base = view.addr() as *mut u8;
    if view.dtype == DType::F4E2M1X2 {
        // SAFETY: whoever made the call promises that the view lies in live memory.
        let byte = unsafe { &mut *base.add(offset / 2) };
        let nibble = (bits & 15) as u8;
        *byte = if offset % 2 == 0 { (*byte & 0xF0) | nibble } else { (*byte & 15) | (nibble << 4) };
        return;
    }
    let size = view.dtype.bits() / 8;
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(bits.to_le_bytes().as_ptr(), base.add(offset * size), size) };
}

/// The stored bits of every element, lowest bits first.
pub fn bits(view: &View) -> Vec<u64> {
    offsets(view).into_iter().map(|o| peek(view, o)).collect()
}

/// Stores bits as they are.
pub fn store_bits(view: &View, values: &[u64]) {
    for (offset, &value) in offsets(view).into_iter().zip(values) {
        poke(view, offset, value);
    }
}

/// Values as stored, codes without their scales.
pub fn codes(view: &View) -> Vec<f32> {
    bits(view).into_iter().map(|b| decode(view.dtype, b)).collect()
}

/// Values; codes are multiplied by their scales.
pub fn load(view: &View) -> Vec<f32> {
    let mut values = codes(view);
    let Some(scales) = scales(view) else { return values };
    let (rows, cols, block) = matrix(view);
    for (i, value) in values.iter_mut().enumerate() {
        let (matrix, r, c) = (i / (rows * cols), i / cols % rows, i % cols);
        *value *= scales[scale_index(rows, cols, block, matrix, r, c)];
    }
    values
}

/// The last two dimensions and the block of a view with scales. A vector is one row.
pub fn matrix(view: &View) -> (usize, usize, (usize, usize)) {
    let dims = view.shape.dims();
    let cols = dims.last().copied().unwrap_or(1);
    let rows = if dims.len() > 1 { dims[dims.len() - 2] } else { 1 };
    (rows, cols, view.quant.map_or((1, 1), |q| q.block))
}

/// Place of the scale of element `(r, c)` of a matrix.
pub fn scale_index(rows: usize, cols: usize, block: (usize, usize), matrix: usize, r: usize, c: usize) -> usize {
    let (high, wide) = (rows.div_ceil(block.0), cols.div_ceil(block.1));
    (matrix * high + r / block.0) * wide + c / block.1
}

/// The scales of a view of codes.
pub fn scales(view: &View) -> Option<Vec<f32>> {
    view.quant.map(|q| {
        let plain = View {
            mem: q.mem,
            offset: 0,
            dtype: q.dtype,
            shape: q.shape,
            strides: q.shape.contiguous_strides(),
            quant: None,
            ..*view
        };
        codes(&plain)
    })
}

/// Whole numbers: `I32`, or bytes.
pub fn ints(view: &View) -> Vec<i32> {
    let sign = |b: u64| if view.dtype == DType::I8 { i32::from(b as u8 as i8) } else { b as u32 as i32 };
    bits(view).into_iter().map(sign).collect()
}

/// Stores values with one rounding to nearest even. Values for `I32` are truncated.
pub fn store(view: &View, values: &[f32]) {
    for (offset, &value) in offsets(view).into_iter().zip(values) {
        poke(view, offset, encode(view.dtype, value));
    }
}

/// Stores whole numbers.
pub fn store_ints(view: &View, values: &[i32]) {
    for (offset, &value) in offsets(view).into_iter().zip(values) {
        poke(view, offset, u64::from(value as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::{Mem, Quant, Shape};

    fn mem(bytes: &mut [u8]) -> Mem {
        Mem { addr: bytes.as_mut_ptr() as u64, len: bytes.len() }
    }

    #[test]
    fn strides_are_honoured_on_both_sides() {
        let mut bytes = [0u8; 24];
        let wide = View::contiguous(mem(&mut bytes), DType::I32, [2, 3]).unwrap();
        let part = wide.slice(1, 1, 2).unwrap();
        store_ints(&part, &[1, 2, 3, 4]);
        assert_eq!(ints(&wide), [0, 1, 2, 0, 3, 4]);
        assert_eq!(ints(&part.swap(0, 1).unwrap()), [1, 3, 2, 4]);
    }

    #[test]
    fn packed_codes_have_the_even_column_in_the_low_nibble_and_a_scale_for_each_block() {
        let mut bytes = [0u8; 32];
        let mut scales = [127u8, 128];
        let mut view = View::contiguous(mem(&mut bytes), DType::F4E2M1X2, [1, 64]).unwrap();
        store(&view, &[0.5; 64]);
        store(&view.slice(1, 0, 2).unwrap(), &[1.0, -6.0]);
        view.quant =
            Some(Quant { mem: mem(&mut scales), dtype: DType::E8M0, block: (1, 32), shape: Shape::from([1, 2]) });
        assert_eq!(bytes[0], 0xF2);
        let values = load(&view);
        assert_eq!((values[0], values[1], values[31], values[32]), (1.0, -6.0, 0.5, 1.0));
    }
}
