//! The header of a safetensors file, checked before anything else uses it.

use super::WeightError;
use safetensors::Dtype;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// Longest header, as in the format's own reader.
const MAX_HEADER: u64 = 100_000_000;
/// More dimensions than any tensor of a model has.
const MAX_RANK: usize = 8;
/// Bytes of the header's length field.
const LENGTH: usize = 8;

/// One tensor as its file declares it; `start..end` are bytes of the file and inside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tensors of a file, in the order of their data.
pub(super) fn read(file: &Path, bytes: &[u8]) -> Result<Vec<Declared>, WeightError> {
    let fail =
        |expected: &str, found: String| WeightError::File { file: file.into(), expected: expected.into(), found };
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
        let expected = "a safetensors file of at least 8 bytes";
        return Err(fail(expected, format!("{} bytes", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        let expected = format!("a safetensors header of at most {MAX_HEADER} bytes");
        return Err(fail(&expected, format!("a header length of {length}")));
    }
    // At most 10^8, so this fits any usize of 32 bits or more.
    let length = length as usize;
    let Some((header, data)) = rest.split_at_checked(length) else {
        let expected = format!("a safetensors header of {length} bytes");
        return Err(fail(&expected, format!("{} bytes (truncated?)", rest.len())));
    };
    let Header(mut tensors) =
        serde_json::from_slice(header).map_err(|error| fail("a safetensors header", format!("a bad one: {error}")))?;
    check_names(file, &tensors)?;
    for tensor in &tensors {
        check_extent(file, tensor, data.len())?;
    }
    tensors.sort_by_key(|t| (t.start, t.end));
    check_cover(file, &tensors, data.len())?;
    for tensor in &mut tensors {
        tensor.start += LENGTH + length;
        tensor.end += LENGTH + length;
    }
    Ok(tensors)
}

fn check_names(file: &Path, tensors: &[Declared]) -> Result<(), WeightError> {
    let mut seen = HashSet::with_capacity(tensors.len());
    match tensors.iter().find(|t| !seen.insert(t.name.as_str())) {
        None => Ok(()),
        Some(twice) => {
            Err(WeightError::Duplicate { tensor: twice.name.clone(), first: file.into(), second: file.into() })
        }
    }
}

fn tensor_error(file: &Path, tensor: &str, expected: String, found: String) -> WeightError {
    WeightError::Tensor { file: file.into(), tensor: tensor.into(), expected, found }
}

/// Offsets inside the data, as far apart as type and shape say.
fn check_extent(file: &Path, tensor: &Declared, data: usize) -> Result<(), WeightError> {
    let fail = |expected, found| Err(tensor_error(file, &tensor.name, expected, found));
    let (start, end) = (tensor.start, tensor.end);
    if start > end || end > data {
        return fail(format!("data offsets inside the {data} bytes of data (truncated?)"), format!("[{start}, {end}]"));
    }
    let bits = tensor.shape.iter().try_fold(tensor.dtype.bitsize(), |bits, dim| bits.checked_mul(*dim));
    let (dtype, shape) = (tensor.dtype, &tensor.shape);
    match bits {
        None => fail("a size that can be counted".into(), format!("{dtype} {shape:?}")),
        Some(bits) if !bits.is_multiple_of(8) || bits / 8 != end - start => fail(
            format!("{} bytes for {dtype} {shape:?}", bits.div_ceil(8)),
            format!("{} bytes in [{start}, {end}]", end - start),
        ),
        Some(_) => Ok(()),
    }
}

/// The format allows neither overlaps nor holes. `tensors` are in the order of their data.
fn check_cover(file: &Path, tensors: &[Declared], data: usize) -> Result<(), WeightError> {
    let mut end = 0;
    let mut before = "the start of the data";
    for tensor in tensors {
        if tensor.start != end {
            let kind = if tensor.start < end { "overlap" } else { "hole" };
            return Err(tensor_error(
                file,
                &tensor.name,
                format!("data at {end}, right after `{before}`"),
                format!("data at {} ({kind})", tensor.start),
            ));
        }
        end = tensor.end;
        before = &tensor.name;
    }
    if end == data {
        return Ok(());
    }
    Err(WeightError::File {
        file: file.into(),
        expected: format!("{end} bytes of tensor data"),
        found: format!("{data} bytes"),
    })
}

/// The tensors of a header in the order of the text, `__metadata__` left out, duplicates left in.
struct Header(Vec<Declared>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let info: Info = map.next_value().map_err(|error| A::Error::custom(format!("tensor `{name}`: {error}")))?;
            tensors.push(Declared {
                name,
                dtype: info.dtype,
                shape: info.shape.0,
                start: info.data_offsets[0],
                end: info.data_offsets[1],
            });
        }
        Ok(Header(tensors))
    }
}

#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Shape,
    data_offsets: [usize; 2],
}

/// A shape whose rank is checked while it is read, so that a long list costs nothing.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ShapeSeed.deserialize(deserializer)
    }
}

struct ShapeSeed;

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MAX_RANK} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut dims = Vec::new();
        while let Some(dim) = seq.next_element()? {
            if dims.len() == MAX_RANK {
                return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
            }
            dims.push(dim);
        }
        Ok(Shape(dims))
    }
}
