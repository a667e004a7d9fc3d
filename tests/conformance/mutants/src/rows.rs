//! Rows of state pools: finding, unpacking and packing them (op-catalogue.md 5.1). Beside them, what the fused kernels share.

pub mod math;
pub mod rope;
pub mod round;
pub mod step;
#[cfg(test)]
pub mod testing;

use crate::Call;
use crate::tensor::number::{bf16, decode, e2m1, e4m3, e8m0};
use crate::tensor::{codes, store};
use omnihal::op::QuantKind;
use omnihal::{DType, RowFormat, View};
use round::scale_of;

/// Channels that share a scale in a packed key-value row.
const F8_GROUP: usize = 64;
/// Channels that share a scale in a packed indexer key.
const F4_GROUP: usize = 32;

/// The part of the variant's id after the dot, if the variant changes the operator of this call. Branches that several families share ask for it.
pub fn change(call: &Call<'_>) -> &'static str {
    let variant = call.variant.filter(|v| v.ops.contains(&call.op.kind()));
    variant.and_then(|v| v.id.split_once('.')).map_or("", |id| id.1)
}

/// One vector of a view: the last axis at one place of the joined leading axes.
pub fn vector(view: &View, row: usize) -> Option<View> {
    let rank = view.shape.rank();
    let width = *view.shape.dims().last()?;
    let (mut rest, mut start) = (row, 0usize);
    for axis in (0..rank - 1).rev() {
        start += rest % view.shape[axis] * view.strides[axis];
        rest /= view.shape[axis];
    }
    if rest > 0 {
        return None;
    }
    let mut one = *view;
    one.offset += start * view.dtype.bits() / 8;
    one.shape = [width].into();
    one.strides = [1; omnihal::MAX_RANK];
    one.strides[0] = view.strides[rank - 1];
    one.quant = None;
    Some(one)
}

/// The same tensor for a kernel that takes it to have no gaps. It never reaches farther than the view itself.
pub fn without_gaps(view: &View) -> View {
    let mut flat = *view;
    flat.strides = view.shape.contiguous_strides();
    let reach = flat.offset + flat.dtype.bytes(flat.elements());
    if reach <= flat.mem.len { flat } else { *view }
}

/// The argument as a kernel sees it that honours strides, or forgets them in the variant of that id.
pub fn strided(call: &Call<'_>, i: usize, id: &str) -> View {
    let view = *call.arg(i);
    if call.is(id) { without_gaps(&view) } else { view }
}

/// The numbers of one vector of a view; none if it is outside.
pub fn numbers(view: &View, row: usize) -> Vec<f32> {
    vector(view, row).map_or_else(Vec::new, |place| codes(&place))
}

/// Stores one vector of a view. One outside is skipped.
pub fn put(view: &View, row: usize, values: &[f32]) {
    if let Some(place) = vector(view, row) {
        store(&place, values);
    }
}

/// Mistakes of packed rows, which belong to several families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slips {
    /// All groups of a row take the scale of its first.
    pub first_scale: bool,
    /// The even column lies in the high nibble.
    pub nibbles: bool,
    /// The scales are looked for before the rotated channels.
    pub scales_first: bool,
    /// Rotated channels are cut to BF16, not rounded.
    pub truncated: bool,
    /// The sign of a zero is lost.
    pub unsigned_zero: bool,
}

impl Slips {
    /// The mistakes of the device's variant in this call.
    pub fn of(call: &Call<'_>) -> Slips {
        let change = change(call);
        Slips {
            first_scale: change == "first_scale_for_all_groups",
            nibbles: change == "nibbles_swapped",
            scales_first: change == "packed_scales_misplaced",
            truncated: change == "stored_rows_truncated",
            unsigned_zero: change == "sign_of_zero_lost",
        }
    }
}

/// A pool or ring as rows, pages or slots joined.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The stored tensor.
    pub view: View,
    /// How a row is stored.
    pub format: RowFormat,
    /// Channels of a row.
    pub width: usize,
    /// Rotated channels at its end.
    pub rotary: usize,
    /// Mistakes, none in an honest kernel.
    pub slips: Slips,
}

impl Rows {
    /// Rows of a view.
    pub fn new(view: View, format: RowFormat, width: usize, rotary: usize) -> Rows {
        Rows { view, format, width, rotary, slips: Slips::default() }
    }

    /// With the mistakes of the device's variant.
    pub fn of(mut self, call: &Call<'_>) -> Rows {
        self.slips = Slips::of(call);
        self
    }

    /// The channels of a row; zeros for one that does not exist.
    pub fn read(&self, row: usize) -> Vec<f32> {
        let Some(place) = vector(&self.view, row) else { return vec![0.0; self.width] };
        let stored = codes(&place);
        match self.format {
            RowFormat::Plain(_) => stored,
            RowFormat::F8R => self.unpack_f8(&stored),
            RowFormat::F4 => self.unpack_f4(&stored),
        }
    }

    /// Stores a row. One that does not exist is skipped.
    pub fn write(&self, row: usize, values: &[f32]) {
        let Some(place) = vector(&self.view, row) else { return };
        let bytes = match self.format {
            RowFormat::Plain(dtype) => {
                let stored: Vec<f32> = values.iter().map(|&x| self.plain(dtype, x)).collect();
                return store(&place, &stored);
            }
            RowFormat::F8R => self.pack_f8(values),
            RowFormat::F4 => self.pack_f4(values),
        };
        let padded = bytes.into_iter().chain(std::iter::repeat(0)).take(place.elements());
        store(&place, &padded.map(f32::from).collect::<Vec<_>>());
    }

    fn plain(&self, dtype: DType, x: f32) -> f32 {
        match x {
            x if self.slips.unsigned_zero && x == 0.0 => 0.0,
            x if self.slips.truncated && dtype == DType::BF16 => cut(x),
            x => x,
        }
    }

    /// Where the scales and the rotated channels of an F8R row begin.
    fn places(&self) -> (usize, usize, usize) {
        let codes = self.width - self.rotary;
        if self.slips.scales_first {
            (codes, codes, codes + codes / F8_GROUP)
        } else {
            (codes, codes + 2 * self.rotary, codes)
        }
    }

    fn group(&self, i: usize, group: usize) -> usize {
        if self.slips.first_scale { 0 } else { i / group }
    }

    fn unpack_f8(&self, stored: &[f32]) -> Vec<f32> {
        let byte = |i: usize| stored.get(i).copied().unwrap_or(0.0) as u64;
        let (codes, scales, rotated) = self.places();
        let scale = |i: usize| decode(DType::E8M0, byte(scales + self.group(i, F8_GROUP)));
        let key = |i: usize| decode(DType::F8E4M3, byte(i)) * scale(i);
        let turned = |i: usize| decode(DType::BF16, byte(rotated + 2 * i) | byte(rotated + 2 * i + 1) << 8);
        (0..codes).map(key).chain((0..self.rotary).map(turned)).collect()
    }

    fn pack_f8(&self, values: &[f32]) -> Vec<u8> {
        let (codes, scales, rotated) = self.places();
        let mut bytes = vec![0; self.format.bytes(self.width, self.rotary)];
        let scale: Vec<f32> = values[..codes].chunks(F8_GROUP).map(|g| scale_of(g, QuantKind::F8E4M3)).collect();
        for i in 0..codes {
            bytes[i] = e4m3(self.signed(values[i] / scale[self.group(i, F8_GROUP)]));
        }
        for (i, &x) in values[codes..].iter().enumerate() {
            let x = self.signed(if self.slips.truncated { cut(x) } else { bf16(x) });
            bytes[rotated + 2 * i..][..2].copy_from_slice(&((x.to_bits() >> 16) as u16).to_le_bytes());
        }
        for (g, &s) in scale.iter().enumerate() {
            bytes[scales + g] = e8m0(s);
        }
        bytes
    }

    fn nibble(&self, i: usize) -> u32 {
        let odd = (i % 2) as u32;
        4 * if self.slips.nibbles { 1 - odd } else { odd }
    }

    fn unpack_f4(&self, stored: &[f32]) -> Vec<f32> {
        let byte = |i: usize| stored.get(i).copied().unwrap_or(0.0) as u64;
        let scale = |i: usize| decode(DType::E8M0, byte(self.width / 2 + self.group(i, F4_GROUP)));
        let code = |i: usize| byte(i / 2) >> self.nibble(i) & 15;
        (0..self.width).map(|i| decode(DType::F4E2M1X2, code(i)) * scale(i)).collect()
    }

    fn pack_f4(&self, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; self.format.bytes(self.width, self.rotary)];
        let scale: Vec<f32> = values.chunks(F4_GROUP).map(|g| scale_of(g, QuantKind::F4E2M1)).collect();
        for (i, &x) in values.iter().enumerate() {
            bytes[i / 2] |= e2m1(self.signed(x / scale[self.group(i, F4_GROUP)])) << self.nibble(i);
        }
        for (g, &s) in scale.iter().enumerate() {
            bytes[self.width / 2 + g] = e8m0(s);
        }
        bytes
    }

    fn signed(&self, x: f32) -> f32 {
        if self.slips.unsigned_zero && x == 0.0 { 0.0 } else { x }
    }
}

/// The upper half of a number: BF16 without rounding.
pub fn cut(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0xFFFF_0000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::Mem;

    fn view(bytes: &mut [u8], dtype: DType, shape: [usize; 3]) -> View {
        View::contiguous(Mem { addr: bytes.as_mut_ptr() as u64, len: bytes.len() }, dtype, shape).unwrap()
    }

    #[test]
    fn a_packed_key_row_has_codes_then_rotated_channels_then_scales() {
        let mut bytes = vec![0xAAu8; 2 * RowFormat::F8R.bytes(132, 4)];
        let view = view(&mut bytes, DType::U8, [1, 2, 144]);
        let rows = Rows::new(view, RowFormat::F8R, 132, 4);
        let mut row: Vec<f32> = (0..64).map(|i| i as f32 - 32.0).collect();
        row.extend((0..64).map(|i| (i as f32 - 31.0) * 8.0));
        let on_grid = |g: &[f32]| round::qdq(g, QuantKind::F8E4M3, round::Rounding::default());
        row = row.chunks(64).flat_map(on_grid).chain([1.5, -0.5, 0.0, 3.0]).collect();
        rows.write(1, &row);
        assert_eq!(rows.read(1), row);
        // 2^-3 holds 32, 2^0 holds 256; the row is 128 codes, 8 bytes of BF16, 2 scales.
        assert_eq!(bytes[144 + 136..][..3], [124, 127, 0]);
        assert_eq!(bytes[144 + 128..][..2], 0x3FC0u16.to_le_bytes());
        assert!(bytes[..144].iter().all(|&b| b == 0xAA));
    }

    #[test]
    fn a_packed_indexer_row_has_the_even_column_in_the_low_nibble() {
        let mut bytes = vec![0u8; RowFormat::F4.bytes(32, 0)];
        let view = view(&mut bytes, DType::U8, [1, 1, 17]);
        let rows = Rows::new(view, RowFormat::F4, 32, 0);
        let mut row = vec![0.0f32; 32];
        (row[0], row[1], row[31]) = (1.0, -6.0, 0.5);
        rows.write(0, &row);
        assert_eq!((bytes[0], bytes[15], bytes[16]), (0xF2, 0x10, 127));
        let view = View { mem: Mem { addr: bytes.as_mut_ptr() as u64, len: 17 }, ..view };
        assert_eq!(Rows { view, ..rows }.read(0), row);
    }

    #[test]
    fn a_row_is_found_through_gaps_between_pages() {
        let mut bytes = vec![0u8; 64];
        let mut view = view(&mut bytes, DType::F32, [2, 2, 3]);
        view.strides[0] = 8;
        let rows = Rows::new(view, RowFormat::Plain(DType::F32), 3, 0);
        rows.write(3, &[1.0, 2.0, 3.0]);
        assert_eq!(bytes[4 * 11..][..4], 1f32.to_le_bytes());
        assert_eq!(rows.read(9), [0.0; 3]);
    }
}
