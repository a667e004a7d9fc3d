//! Rows of pools and rings: plain numbers, or packed codes with their scales (op-catalogue.md 5.1).

use crate::format::{decode, encode, pow2};
use crate::num::{self, Num};
use crate::tensor::Reader;
use omnihal::op::QuantKind;
use omnihal::{DType, Result, RowFormat, View};

/// Channels of an F8R row that share a scale.
const F8_GROUP: usize = 64;
/// Channels of an F4 row that share a scale.
const F4_GROUP: usize = 32;

/// How a row of a pool or ring is stored.
#[derive(Clone, Copy, Debug)]
pub struct RowShape {
    pub format: RowFormat,
    pub width: usize,
    pub rotary: usize,
}

impl RowShape {
    /// Why the judge cannot read rows of this kind.
    pub fn unsupported(&self) -> Option<String> {
        match self.format {
            RowFormat::Plain(dtype) if !dtype.is_float() => Some(format!("rows of {dtype} hold no real numbers")),
            RowFormat::F8R if self.rotary > self.width || (self.width - self.rotary) % F8_GROUP != 0 => {
                Some(format!("F8R rows need whole groups of 64 before the {} rotated of {}", self.rotary, self.width))
            }
            RowFormat::F4 if self.width % F4_GROUP != 0 => {
                Some(format!("F4 rows need whole groups of 32 channels, found {}", self.width))
            }
            _ => None,
        }
    }

    /// Stored elements of a row.
    pub fn stored(&self) -> usize {
        self.format.row(self.width, self.rotary).1
    }

    /// Channels of a row from its stored elements.
    fn unpack(&self, row: Vec<f64>) -> Vec<f64> {
        let nope = self.width - self.rotary.min(self.width);
        let code = |x: f64| x as u64;
        match self.format {
            RowFormat::Plain(_) => row,
            RowFormat::F8R => {
                let scales = nope + 2 * self.rotary;
                let keys = (0..nope).map(|i| {
                    decode(DType::F8E4M3, code(row[i])) * decode(DType::E8M0, code(row[scales + i / F8_GROUP]))
                });
                let rotated =
                    row[nope..scales].chunks_exact(2).map(|b| decode(DType::BF16, code(b[0]) | code(b[1]) << 8));
                keys.chain(rotated).collect()
            }
            RowFormat::F4 => {
                let scales = self.width / 2;
                (0..self.width)
                    .map(|i| {
                        let nibble = (code(row[i / 2]) >> (4 * (i % 2))) & 15;
                        decode(DType::F4E2M1X2, nibble) * decode(DType::E8M0, code(row[scales + i / F4_GROUP]))
                    })
                    .collect()
            }
        }
    }

    /// Stored elements of a row from its channels. Packed formats hold only values that lie on the code grid already.
    pub fn pack(&self, row: &[Num]) -> Vec<Num> {
        let nope = self.width - self.rotary.min(self.width);
        let mut bytes = Vec::with_capacity(self.stored());
        match self.format {
            RowFormat::Plain(_) => return row.to_vec(),
            RowFormat::F8R => {
                let (codes, scales) = codes(&row[..nope], F8_GROUP, QuantKind::F8E4M3);
                bytes.extend(codes);
                for x in &row[nope..] {
                    bytes.extend((encode(DType::BF16, x.v) as u16).to_le_bytes().map(u64::from));
                }
                bytes.extend(scales);
            }
            RowFormat::F4 => {
                let (codes, scales) = codes(row, F4_GROUP, QuantKind::F4E2M1);
                bytes.extend(codes.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
                bytes.extend(scales);
            }
        }
        bytes.resize(self.stored(), 0);
        bytes.into_iter().map(|byte| Num::exact(byte as f64)).collect()
    }
}

/// Codes, and the scale code of each group.
pub fn codes(row: &[Num], group: usize, kind: QuantKind) -> (Vec<u64>, Vec<u64>) {
    let dtype = match kind {
        QuantKind::F8E4M3 => DType::F8E4M3,
        QuantKind::F4E2M1 => DType::F4E2M1X2,
    };
    let (mut data, mut scales) = (Vec::with_capacity(row.len()), Vec::with_capacity(row.len() / group.max(1)));
    for values in row.chunks(group) {
        let largest = values.iter().map(|x| x.v.abs()).fold(0.0, f64::max);
        let scale = pow2(num::scale_exponent(largest, kind));
        data.extend(values.iter().map(|x| encode(dtype, x.v / scale)));
        scales.push(encode(DType::E8M0, scale));
    }
    (data, scales)
}

/// Reads rows of a pool or ring, slots or pages joined.
pub struct Rows {
    reader: Reader,
    shape: RowShape,
}

impl Rows {
    pub fn new(view: &View, shape: RowShape) -> Result<Rows> {
        Ok(Rows { reader: Reader::new(view)?, shape })
    }

    /// The channels of row `r`.
    pub fn row(&self, r: usize) -> Result<Vec<f64>> {
        Ok(self.shape.unpack(self.reader.row(r)?))
    }
}
