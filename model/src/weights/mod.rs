//! The weights of a checkpoint: found, mapped, named, and checked against the config.
//!
//! [`Checkpoint::open`] reads headers only, so it is quick at any size; everything about names,
//! types, shapes and offsets is checked there. Values are checked when a tensor is read, and
//! [`Checkpoint::release`] gives its pages back, so a model streams through bounded memory.

mod check;
mod error;
mod files;
mod header;
mod manifest;
mod names;
mod tensor;
mod values;

#[cfg(test)]
mod tests;

pub use error::WeightError;
pub use manifest::{Role, Spec, manifest};
pub use tensor::{Scale, Tensor};

use crate::config::Config;
use check::FP4_GROUP;
use files::{Entry, Shard, Tensors};
use omnihal::DType;
use safetensors::Dtype;
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tensor::Place;

/// An open checkpoint that fits its config.
pub struct Checkpoint {
    config: Config,
    tensors: Tensors,
}

/// A share of a stacked tensor: part `index` of `count` equal ones.
#[derive(Clone, Copy)]
struct Share {
    index: usize,
    count: usize,
}

impl Share {
    const WHOLE: Share = Share { index: 0, count: 1 };

    fn of(self, len: usize) -> Range<usize> {
        let part = len / self.count;
        part * self.index..part * (self.index + 1)
    }
}

impl Checkpoint {
    /// Opens a folder: `config.json` (or `config.hf.json`), and `model.safetensors` or the shards
    /// that `model.safetensors.index.json` names.
    pub fn open(dir: &Path) -> Result<Self, WeightError> {
        let config = Config::from_file(&files::config_path(dir))?;
        Self::of(config, files::in_folder(dir)?)
    }

    /// Opens the given files, wherever they are, as the weights of `config`.
    pub fn open_files(config: Config, files: &[PathBuf]) -> Result<Self, WeightError> {
        Self::of(config, Tensors::of_files(files)?)
    }

    /// Uses the contents of one safetensors file; `name` stands for its path in errors.
    pub fn from_memory(config: Config, name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, WeightError> {
        let shard = Shard::in_memory(name, bytes.into());
        Self::of(config, Tensors::of_shards(vec![shard])?)
    }

    fn of(mut config: Config, mut tensors: Tensors) -> Result<Self, WeightError> {
        check::check(&mut config, &mut tensors)?;
        Ok(Self { config, tensors })
    }

    /// The config, saying what the files hold: `quantised` and `expert_format` describe the stored
    /// tensors, and `mtp` is empty if the library dropped the tail when it wrote the files.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// True if some weight is stored as FP8 or FP4 codes.
    pub fn quantised(&self) -> bool {
        self.config.quantised
    }

    /// Bytes of every tensor that the config demands, scales included.
    pub fn total_bytes(&self) -> u64 {
        let used = self.tensors.entries.values().filter(|e| e.used);
        used.map(|e| (e.end - e.start) as u64).sum()
    }

    /// The files, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.tensors.shards.iter().map(|s| s.path.as_path())
    }

    /// True if the model has this tensor, by its official name.
    pub fn has(&self, official_name: &str) -> bool {
        self.find(official_name).is_some()
    }

    /// A tensor by its official name; one expert of a stacked tensor is a slice of it. Scales come
    /// with their weight and have no name of their own here.
    pub fn tensor(&self, official_name: &str) -> Result<Tensor<'_>, WeightError> {
        let Some((name, entry, share)) = self.find(official_name) else {
            return Err(WeightError::File {
                file: self.files().next().map(PathBuf::from).unwrap_or_default(),
                expected: "a tensor of the manifest".into(),
                found: format!("`{official_name}`, which this model does not have"),
            });
        };
        let scale = names::scale_of(&name)
            .and_then(|scale| self.tensors.entries.get(&scale))
            .map(|scale| self.scale(entry, scale, share));
        let (bytes, place) = self.bytes(entry, share);
        let mut shape = logical_shape(entry, share);
        let dtype = dtype(entry.dtype);
        if dtype == DType::F4E2M1X2
            && entry.dtype != Dtype::F4
            && let Some(columns) = shape.last_mut()
        {
            *columns *= 2;
        }
        Ok(Tensor {
            name: official_name.into(),
            file: &place.shard.path,
            dtype,
            shape,
            bytes,
            scale,
            limit: u32::try_from(self.config.n_routed_experts).unwrap_or(u32::MAX),
            place,
        })
    }

    /// Gives the pages of a tensor and its scale back to the system. They may be read again, from the file.
    pub fn release(&self, tensor: &Tensor<'_>) {
        tensor.place.shard.release(tensor.place.start, tensor.bytes.len());
        if let Some(scale) = &tensor.scale {
            scale.place.shard.release(scale.place.start, scale.bytes.len());
        }
    }

    /// The entry that holds a tensor, its name, and which part of it the tensor is.
    fn find(&self, official: &str) -> Option<(String, &Entry, Share)> {
        let used = |name: &str| self.tensors.entries.get(name).filter(|e| e.used);
        if let Some(entry) = used(official) {
            // The stacked tensors are named by us, and a scale is no tensor of the manifest.
            let own = official.ends_with(names::GATE_UP) || official.ends_with(names::DOWN);
            let scale = official.ends_with(".scale");
            return (!own && !scale).then(|| (official.to_owned(), entry, Share::WHOLE));
        }
        let (prefix, expert, matrix) = names::expert(official)?;
        let count = self.config.n_routed_experts;
        if expert >= count {
            return None;
        }
        let (name, index, count) = match matrix {
            "w1" => (names::GATE_UP, 2 * expert, 2 * count),
            "w3" => (names::GATE_UP, 2 * expert + 1, 2 * count),
            "w2" => (names::DOWN, expert, count),
            _ => return None,
        };
        let name = format!("{prefix}{name}");
        let entry = used(&name)?;
        Some((name, entry, Share { index, count }))
    }

    fn bytes(&self, entry: &Entry, share: Share) -> (&[u8], Place<'_>) {
        let shard = &self.tensors.shards[entry.shard];
        let range = share.of(entry.end - entry.start);
        let start = entry.start + range.start;
        let place = Place { shard, start };
        (&shard.bytes()[start..start + range.len()], place)
    }

    fn scale(&self, weight: &Entry, scale: &Entry, share: Share) -> Scale<'_> {
        let (bytes, place) = self.bytes(scale, share);
        Scale {
            dtype: dtype(scale.dtype),
            shape: logical_shape(scale, share),
            bytes,
            block: match weight.dtype {
                Dtype::F8_E4M3 => self.config.weight_block,
                _ => [1, FP4_GROUP],
            },
            place,
        }
    }
}

/// The shape of a share: only stacked tensors have three dimensions, and a share of one is a matrix.
fn logical_shape(entry: &Entry, share: Share) -> Vec<usize> {
    match entry.shape[..] {
        [experts, rows, columns] => vec![experts * rows / share.count, columns],
        _ => entry.shape.clone(),
    }
}

/// The type of a tensor that has been checked. Bytes in a float's place are packed FP4.
fn dtype(stored: Dtype) -> DType {
    match stored {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F8_E4M3 => DType::F8E4M3,
        Dtype::F8_E8M0 => DType::E8M0,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        _ => DType::F4E2M1X2,
    }
}
