//! Rows of state as they are stored (op-catalogue.md 5.1).

use crate::num::{
    E2M1, E4M3, bf16_to_f32, e2m1_code, e2m1_exponent, e4m3_code, e4m3_exponent, e8m0_code, e8m0_to_f32, exp2i,
    f32_to_bf16, round_e2m1, round_e4m3,
};
use crate::ops::Tensor;
use crate::simd::Kernels;
use omnihal::{DType, Error, Result, RowFormat, View};

/// Codes that share a scale in [`RowFormat::F8R`].
const F8_GROUP: usize = 64;

/// Codes that share a scale in [`RowFormat::F4`].
const F4_GROUP: usize = 32;

/// Refuses formats whose rows this crate cannot read or write.
pub(crate) fn check(format: RowFormat, width: usize, rotary: usize) -> Result<()> {
    let whole = match format {
        RowFormat::Plain(DType::F32 | DType::BF16) => true,
        RowFormat::Plain(_) => false,
        RowFormat::F8R => rotary <= width && (width - rotary) % F8_GROUP == 0,
        RowFormat::F4 => width % F4_GROUP == 0,
    };
    if whole {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "rows of {width} channels, {rotary} rotated, cannot be stored as {format}; use F32 or BF16"
    )))
}

/// A pool or a set of rings: rows in two levels, page and entry or slot and place.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    tensor: Tensor,
    format: RowFormat,
    width: usize,
    rotary: usize,
}

impl Stored {
    pub(crate) fn new(view: &View, format: RowFormat, width: usize, rotary: usize) -> Stored {
        Stored { tensor: Tensor::new(view), format, width, rotary }
    }

    /// Widens the row `(outer, inner)` into the start of `out`.
    ///
    /// # Safety
    /// The row must lie in the view, and no other task may write it.
    #[inline]
    pub(crate) unsafe fn load(&self, outer: usize, inner: usize, out: &mut [f32], simd: &Kernels) {
        let place = self.tensor.place(&[outer, inner]);
        let out = &mut out[..self.width];
        // SAFETY: passed on to the caller; the row has the bytes of its format.
        unsafe {
            match self.format {
                RowFormat::Plain(_) => self.tensor.load(place, out, simd),
                packed => {
                    unpack(packed, self.tensor.slice(place, packed.bytes(self.width, self.rotary)), self.rotary, out)
                }
            }
        }
    }

    /// Stores the row `(outer, inner)`. Values for a packed format must be on its grid.
    ///
    /// # Safety
    /// The row must lie in the view, and no other task may touch it.
    #[inline]
    pub(crate) unsafe fn store(&self, outer: usize, inner: usize, values: &[f32], simd: &Kernels) {
        let place = self.tensor.place(&[outer, inner]);
        // SAFETY: passed on to the caller; the row has the bytes of its format.
        unsafe {
            match self.format {
                RowFormat::Plain(_) => self.tensor.store(place, values, simd),
                packed => {
                    let bytes = self.tensor.slice_mut(place, packed.bytes(self.width, self.rotary));
                    pack(packed, values, self.rotary, bytes);
                }
            }
        }
    }
}

fn unpack(format: RowFormat, row: &[u8], rotary: usize, out: &mut [f32]) {
    let width = out.len();
    if format == RowFormat::F4 {
        let (codes, scales) = row.split_at(width / 2);
        for ((out, codes), &scale) in out.chunks_mut(F4_GROUP).zip(codes.chunks(F4_GROUP / 2)).zip(scales) {
            let scale = e8m0_to_f32(scale);
            for (pair, &byte) in out.chunks_exact_mut(2).zip(codes) {
                (pair[0], pair[1]) = (E2M1[(byte & 15) as usize] * scale, E2M1[(byte >> 4) as usize] * scale);
            }
        }
        return;
    }
    let (codes, rest) = row.split_at(width - rotary);
    let (rotated, scales) = rest.split_at(2 * rotary);
    let (plain, turned) = out.split_at_mut(width - rotary);
    for ((out, codes), &scale) in plain.chunks_mut(F8_GROUP).zip(codes.chunks(F8_GROUP)).zip(scales) {
        let scale = e8m0_to_f32(scale);
        out.iter_mut().zip(codes).for_each(|(v, &code)| *v = E4M3[code as usize] * scale);
    }
    for (v, bytes) in turned.iter_mut().zip(rotated.chunks_exact(2)) {
        *v = bf16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]));
    }
}

fn pack(format: RowFormat, values: &[f32], rotary: usize, row: &mut [u8]) {
    let width = values.len();
    if format == RowFormat::F4 {
        let (codes, scales) = row.split_at_mut(width / 2);
        for ((values, codes), scale) in values.chunks(F4_GROUP).zip(codes.chunks_mut(F4_GROUP / 2)).zip(scales) {
            let exponent = e2m1_exponent(amax(values));
            let code = |v: f32| e2m1_code(round_e2m1(v / exp2i(exponent)));
            *scale = e8m0_code(exponent);
            codes.iter_mut().zip(values.chunks_exact(2)).for_each(|(b, v)| *b = code(v[0]) | (code(v[1]) << 4));
        }
        return;
    }
    let (plain, turned) = values.split_at(width - rotary);
    let (codes, rest) = row.split_at_mut(width - rotary);
    let (rotated, scales) = rest.split_at_mut(2 * rotary);
    for ((values, codes), scale) in plain.chunks(F8_GROUP).zip(codes.chunks_mut(F8_GROUP)).zip(scales) {
        let exponent = e4m3_exponent(amax(values));
        *scale = e8m0_code(exponent);
        codes.iter_mut().zip(values).for_each(|(c, v)| *c = e4m3_code(round_e4m3(v / exp2i(exponent))));
    }
    for (bytes, &v) in rotated.chunks_exact_mut(2).zip(turned) {
        bytes.copy_from_slice(&f32_to_bf16(v).to_le_bytes());
    }
}

/// Largest absolute value; NaN does not count.
pub(crate) fn amax(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    // Eight maxima side by side: one would wait for itself at every step.
    let (mut lanes, (chunks, rest)) = ([0.0f32; 8], values.as_chunks::<8>());
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(m, v)| *m = larger(*m, v.abs()));
    }
    lanes.into_iter().chain(rest.iter().map(|v| v.abs())).fold(0.0, larger)
}
