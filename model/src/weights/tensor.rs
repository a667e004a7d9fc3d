//! A tensor as it lies in its file, and the check of its values.

use super::WeightError;
use super::files::Shard;
use super::names;
use super::values::{first_bad, first_bad_scale, show, width};
use omnihal::DType;
use std::path::Path;

/// The scales of a tensor of FP8 or FP4 codes.
pub struct Scale<'a> {
    /// E8M0 or F32.
    pub dtype: DType,
    /// Blocks along each dimension of the weight.
    pub shape: Vec<usize>,
    /// The scales, row major, little endian.
    pub bytes: &'a [u8],
    /// Rows and columns of the weight that share a scale.
    pub block: [usize; 2],
    pub(super) place: Place<'a>,
}

/// One tensor of a checkpoint: borrowed bytes, nothing copied. Types and shapes have been checked,
/// values have not: see [`Tensor::read_checked`] and [`Tensor::checked_chunks`].
pub struct Tensor<'a> {
    /// Official name.
    pub name: String,
    /// The file that holds it.
    pub file: &'a Path,
    /// Element type. Packed FP4 is [`DType::F4E2M1X2`] whatever the file calls it.
    pub dtype: DType,
    /// Logical shape: for packed FP4 the unpacked one.
    pub shape: Vec<usize>,
    /// The elements, row major, little endian, at any alignment.
    pub bytes: &'a [u8],
    /// Present exactly when `dtype` is a code.
    pub scale: Option<Scale<'a>>,
    /// Table entries are below this.
    pub(super) limit: u32,
    pub(super) place: Place<'a>,
}

/// Where bytes come from.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) shard: &'a Shard,
    pub(super) start: usize,
}

impl<'a> Tensor<'a> {
    /// Bytes of the tensor and its scale.
    pub fn stored_bytes(&self) -> usize {
        self.bytes.len() + self.scale.as_ref().map_or(0, |s| s.bytes.len())
    }

    /// All bytes, after a look at every value: no NaN or infinity in floats, no NaN among codes and
    /// scales, table entries that name an expert.
    pub fn read_checked(&self) -> Result<&'a [u8], WeightError> {
        self.check_scale()?;
        self.check_values(0, self.bytes)?;
        Ok(self.bytes)
    }

    /// The bytes in order, in pieces of at most `max_bytes` (at least 8), each checked when it is its turn.
    /// The scale is checked with the first piece.
    pub fn checked_chunks(&self, max_bytes: usize) -> impl Iterator<Item = Result<&'a [u8], WeightError>> + '_ {
        // The widest element has 8 bytes, so no piece cuts one in two.
        let step = (max_bytes & !7).max(8);
        self.bytes.chunks(step).enumerate().map(move |(i, chunk)| {
            if i == 0 {
                self.check_scale()?;
            }
            self.check_values(i * step, chunk)?;
            Ok(chunk)
        })
    }

    fn check_scale(&self) -> Result<(), WeightError> {
        let Some(scale) = &self.scale else {
            return Ok(());
        };
        let Some(bad) = first_bad_scale(scale.dtype, scale.bytes) else {
            return Ok(());
        };
        Err(WeightError::Value {
            file: scale.place.shard.path.clone(),
            tensor: names::scale_of(&self.name).unwrap_or_else(|| self.name.clone()),
            expected: "finite scales that are not negative".into(),
            found: show(scale.dtype, scale.bytes, bad),
            element: bad,
        })
    }

    fn check_values(&self, offset: usize, bytes: &[u8]) -> Result<(), WeightError> {
        let Some(bad) = first_bad(self.dtype, self.limit, bytes) else {
            return Ok(());
        };
        let expected = match self.dtype {
            DType::I64 | DType::I32 => format!("experts from 0 to {}", self.limit - 1),
            DType::F8E4M3 => "codes that are numbers".into(),
            _ => "finite values".into(),
        };
        Err(WeightError::Value {
            file: self.file.into(),
            tensor: self.name.clone(),
            expected,
            found: show(self.dtype, bytes, bad),
            element: offset / width(self.dtype) + bad,
        })
    }
}
