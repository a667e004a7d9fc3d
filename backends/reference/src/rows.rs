//! Packed state rows (op-catalogue.md 5.1). They are exact for values that already lie on the code grid, as state rounding leaves them.

use crate::format::{decode, encode, pow2};
use crate::num::scale_exponent;
use omnihal::op::QuantKind;
use omnihal::{DType, RowFormat};

/// Channels that share a scale in a packed key-value row.
const F8_GROUP: usize = 64;
/// Channels that share a scale in a packed indexer key.
const F4_GROUP: usize = 32;

/// The elements that a row of `values` is stored as: the values themselves, or bytes in a packed format.
pub fn pack(format: RowFormat, values: &[f64], rotary: usize) -> Vec<f64> {
    let mut bytes = match format {
        RowFormat::Plain(_) => return values.to_vec(),
        RowFormat::F8R => {
            let (codes, rotated) = values.split_at(values.len().saturating_sub(rotary));
            let scales = scales(codes, F8_GROUP, QuantKind::F8E4M3);
            let mut bytes: Vec<u8> =
                codes.iter().enumerate().map(|(i, x)| encode(DType::F8E4M3, x / scales[i / F8_GROUP]) as u8).collect();
            bytes.extend(rotated.iter().flat_map(|&x| (encode(DType::BF16, x) as u16).to_le_bytes()));
            bytes.extend(scales.iter().map(|&s| encode(DType::E8M0, s) as u8));
            bytes
        }
        RowFormat::F4 => {
            let scales = scales(values, F4_GROUP, QuantKind::F4E2M1);
            let code = |i: usize| encode(DType::F4E2M1X2, values[i] / scales[i / F4_GROUP]) as u8;
            let mut bytes: Vec<u8> = (0..values.len() / 2).map(|j| code(2 * j) | code(2 * j + 1) << 4).collect();
            bytes.extend(scales.iter().map(|&s| encode(DType::E8M0, s) as u8));
            bytes
        }
    };
    bytes.resize(format.bytes(values.len(), rotary), 0);
    bytes.into_iter().map(f64::from).collect()
}

/// The `width` values of a stored row. Missing elements count as 0.
pub fn unpack(format: RowFormat, row: &[f64], width: usize, rotary: usize) -> Vec<f64> {
    let byte = |i: usize| row.get(i).copied().unwrap_or(0.0) as u64;
    match format {
        RowFormat::Plain(_) => row.to_vec(),
        RowFormat::F8R => {
            let codes = width.saturating_sub(rotary);
            let scale = |i: usize| decode(DType::E8M0, byte(codes + 2 * rotary + i / F8_GROUP));
            let value = |i: usize| decode(DType::F8E4M3, byte(i)) * scale(i);
            let rotated = |i: usize| decode(DType::BF16, byte(codes + 2 * i) | byte(codes + 2 * i + 1) << 8);
            (0..codes).map(value).chain((0..rotary).map(rotated)).collect()
        }
        RowFormat::F4 => {
            let scale = |i: usize| decode(DType::E8M0, byte(width / 2 + i / F4_GROUP));
            let code = |i: usize| (byte(i / 2) >> (4 * (i % 2))) & 15;
            (0..width).map(|i| decode(DType::F4E2M1X2, code(i)) * scale(i)).collect()
        }
    }
}

/// The scale of each group. A row of zeros has the scale that the formula gives, so that it decodes to zeros.
fn scales(values: &[f64], group: usize, kind: QuantKind) -> Vec<f64> {
    let scale = |group: &[f64]| {
        let largest = group.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
        pow2(scale_exponent(largest, kind))
    };
    values.chunks(group).map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::{Num, qdq};

    fn rounded(width: usize, group: usize, kind: QuantKind) -> Vec<f64> {
        let raw: Vec<Num> = (0..width).map(|i| Num::exact(((i * 37 + 11) % 101) as f64 * 0.37 - 17.0)).collect();
        raw.chunks(group).flat_map(|g| qdq(g, kind)).map(|x| x.v).collect()
    }

    #[test]
    fn a_key_row_of_grid_values_survives_packing() {
        let mut row = rounded(128, 64, QuantKind::F8E4M3);
        row.extend([0.5, -3.0, 1.0 / 128.0, -0.0]);
        let packed = pack(RowFormat::F8R, &row, 4);
        assert_eq!(packed.len(), RowFormat::F8R.bytes(132, 4));
        assert_eq!(unpack(RowFormat::F8R, &packed, 132, 4), row);
    }

    #[test]
    fn an_indexer_row_of_grid_values_survives_packing() {
        let row = rounded(64, 32, QuantKind::F4E2M1);
        let packed = pack(RowFormat::F4, &row, 0);
        assert_eq!(packed.len(), 34);
        assert_eq!(unpack(RowFormat::F4, &packed, 64, 0), row);
    }

    #[test]
    fn the_null_row_of_zero_bytes_decodes_to_zeros() {
        assert!(unpack(RowFormat::F8R, &[0.0; 584], 512, 64).iter().all(|&x| x == 0.0));
        assert!(unpack(RowFormat::F4, &[0.0; 68], 128, 0).iter().all(|&x| x == 0.0));
    }
}
