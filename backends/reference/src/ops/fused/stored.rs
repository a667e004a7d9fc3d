//! Rows of pools and rings: plain numbers, or packed codes with their scales (op-catalogue.md 5.1).

use crate::num::Num;
use crate::rows;
use crate::tensor::Reader;
use omnihal::{Result, RowFormat, View};

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
            RowFormat::F8R if self.rotary > self.width || (self.width - self.rotary) % 64 != 0 => {
                Some(format!("F8R rows need whole groups of 64 before the {} rotated of {}", self.rotary, self.width))
            }
            RowFormat::F4 if self.width % 32 != 0 => {
                Some(format!("F4 rows need whole groups of 32 channels, found {}", self.width))
            }
            _ => None,
        }
    }

    /// Stored elements of a row.
    pub fn stored(&self) -> usize {
        self.format.row(self.width, self.rotary).1
    }

    /// True for rows of bytes, where a bound of a channel means nothing.
    pub fn is_packed(&self) -> bool {
        !matches!(self.format, RowFormat::Plain(_))
    }

    /// Stored elements of a row from its channels. Packed formats hold only values that lie on the code grid already.
    pub fn pack(&self, row: &[Num]) -> Vec<Num> {
        if !self.is_packed() {
            return row.to_vec();
        }
        let values: Vec<f64> = row.iter().map(|x| x.v).collect();
        rows::pack(self.format, &values, self.rotary).into_iter().map(Num::exact).collect()
    }
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
        Ok(rows::unpack(self.shape.format, &self.reader.row(r)?, self.shape.width, self.shape.rotary))
    }
}
