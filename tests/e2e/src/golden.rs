//! Golden tensors.

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A golden file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file cannot be read.
    #[error("golden file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not safetensors.
    #[error("golden file {}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing or of another type.
    #[error("golden tensor {name}: {found}, expected {expected}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is there.
        found: String,
        /// What is needed.
        expected: String,
    },
}

/// Values of a golden tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// F32.
    Real(Vec<f32>),
    /// I64.
    Int(Vec<i64>),
    /// Codes of a number format.
    Bytes(Vec<u8>),
}

/// One golden tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Values, row major.
    pub values: Values,
}

/// Largest golden file that is read: the oracle's are under 2 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The tensors of a golden file.
#[derive(Clone, Debug, Default)]
pub struct Golden {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    /// Reads a golden file.
    pub fn open(path: &Path) -> Result<Golden, GoldenError> {
        let io = |source| GoldenError::Io { path: path.into(), source };
        let size = std::fs::metadata(path).map_err(io)?.len();
        if size > MAX_BYTES {
            return Err(io(std::io::Error::other(format!("{size} bytes, at most {MAX_BYTES} are read"))));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|source| GoldenError::Format { path: path.into(), source })?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::Real(words(data, f32::from_le_bytes)),
                Dtype::I64 => Values::Int(words(data, i64::from_le_bytes)),
                _ => Values::Bytes(data.to_vec()),
            };
            tensors.insert(name, Tensor { shape: view.shape().to_vec(), values });
        }
        Ok(Golden { tensors })
    }

    /// A real tensor.
    pub fn real(&self, name: &str) -> Result<(&[usize], &[f32]), GoldenError> {
        match self.tensors.get(name) {
            Some(Tensor { shape, values: Values::Real(values) }) => Ok((shape, values)),
            other => Err(wrong(name, other, "F32")),
        }
    }

    /// An integer tensor.
    pub fn int(&self, name: &str) -> Result<(&[usize], &[i64]), GoldenError> {
        match self.tensors.get(name) {
            Some(Tensor { shape, values: Values::Int(values) }) => Ok((shape, values)),
            other => Err(wrong(name, other, "I64")),
        }
    }

    /// A tensor of codes.
    pub fn codes(&self, name: &str) -> Result<(&[usize], &[u8]), GoldenError> {
        match self.tensors.get(name) {
            Some(Tensor { shape, values: Values::Bytes(values) }) => Ok((shape, values)),
            other => Err(wrong(name, other, "codes")),
        }
    }
}

fn wrong(name: &str, found: Option<&Tensor>, expected: &str) -> GoldenError {
    let found = match found {
        None => "missing".to_owned(),
        Some(t) => format!("another type of shape {:?}", t.shape),
    };
    GoldenError::Tensor { name: name.into(), found, expected: expected.into() }
}

fn words<T, const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let word = |chunk: &[u8]| {
        let mut bytes = [0; N];
        bytes.copy_from_slice(chunk);
        read(bytes)
    };
    data.chunks_exact(N).map(word).collect()
}
