//! Finding, mapping and indexing the files of a checkpoint.

use super::header;
use super::{WeightError, names};
use memmap2::Mmap;
use safetensors::Dtype;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Longest index. That of the larger released model, 145116 tensors, is about 12 MB.
const MAX_INDEX: u64 = 1 << 26;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// One file of weights.
pub(super) struct Shard {
    pub(super) path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    Memory(Cow<'static, [u8]>),
}

impl Shard {
    pub(super) fn in_memory(name: &str, bytes: Cow<'static, [u8]>) -> Self {
        Self { path: name.into(), bytes: Bytes::Memory(bytes) }
    }

    fn map(path: &Path) -> Result<Self, WeightError> {
        let file = open(path)?;
        // SAFETY: the map is read only and private to this process. Another process that changes
        // or truncates the file while it is mapped breaks this, as with every mapped checkpoint;
        // all sizes are checked against the map's length, not against a later one.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| WeightError::Io { file: path.into(), source })?;
        Ok(Self { path: path.into(), bytes: Bytes::Mapped(map) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Memory(bytes) => bytes,
        }
    }

    /// Lets the system take back the pages of a byte range. They come back from the file when read again.
    pub(super) fn release(&self, start: usize, len: usize) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.bytes
            && len > 0
        {
            // SAFETY: dropping pages of a read-only shared file map loses nothing: the next read
            // gets the same bytes from the file.
            let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
            if let Err(error) = advised {
                tracing::debug!(file = %self.path.display(), %error, "pages not released");
            }
        }
        #[cfg(not(unix))]
        let _ = (start, len);
    }
}

/// Opens a regular file. A pipe would block, a folder would give a puzzling error later.
fn open(path: &Path) -> Result<File, WeightError> {
    let io = |source| WeightError::Io { file: path.into(), source };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(WeightError::File {
            file: path.into(),
            expected: "a regular file".into(),
            found: "something else".into(),
        });
    }
    File::open(path).map_err(io)
}

/// The config file of a checkpoint folder.
pub(super) fn config_path(dir: &Path) -> PathBuf {
    let (official, library) = (dir.join("config.json"), dir.join("config.hf.json"));
    if !official.exists() && library.exists() { library } else { official }
}

/// Maps the weight files of a folder and reads their headers.
pub(super) fn in_folder(dir: &Path) -> Result<Tensors, WeightError> {
    let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
    if single.exists() {
        return Tensors::of_files(&[single]);
    }
    if !index.exists() {
        return Err(WeightError::File {
            file: dir.into(),
            expected: format!("{SINGLE} or {INDEX}"),
            found: "neither".into(),
        });
    }
    let map = read_index(&index)?;
    let shards: BTreeSet<&str> = map.values().map(String::as_str).collect();
    let mut paths = Vec::with_capacity(shards.len());
    for shard in shards {
        check_shard_name(&index, shard)?;
        paths.push(dir.join(shard));
    }
    let tensors = Tensors::of_files(&paths)?;
    tensors.check_index(&index, &map)?;
    Ok(tensors)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>, WeightError> {
    let fail =
        |expected: &str, found: String| WeightError::File { file: path.into(), expected: expected.into(), found };
    let mut text = Vec::new();
    open(path)?
        .take(MAX_INDEX + 1)
        .read_to_end(&mut text)
        .map_err(|source| WeightError::Io { file: path.into(), source })?;
    if text.len() as u64 > MAX_INDEX {
        let expected = format!("an index of at most {MAX_INDEX} bytes");
        return Err(fail(&expected, "more".into()));
    }
    let index: Index =
        serde_json::from_slice(&text).map_err(|error| fail("an index with a weight_map", error.to_string()))?;
    if index.weight_map.is_empty() {
        return Err(fail("tensors in weight_map", "none".into()));
    }
    Ok(index.weight_map)
}

/// A shard lies beside its index, nowhere else.
fn check_shard_name(index: &Path, shard: &str) -> Result<(), WeightError> {
    let mut parts = Path::new(shard).components();
    let plain = matches!(parts.next(), Some(Component::Normal(name)) if name == shard);
    if plain && parts.next().is_none() && !shard.contains(['/', '\\', '\0']) {
        return Ok(());
    }
    Err(WeightError::File {
        file: index.into(),
        expected: "shard names without a path".into(),
        found: format!("{shard:?}"),
    })
}

/// One tensor of a file, under its official name in [`Tensors`].
pub(super) struct Entry {
    pub(super) shard: usize,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The name in the file, where it is another one.
    pub(super) stored: Option<String>,
    /// True once the config has asked for it.
    pub(super) used: bool,
}

/// Everything the files hold.
pub(super) struct Tensors {
    pub(super) shards: Vec<Shard>,
    pub(super) entries: HashMap<String, Entry>,
    /// True if some name is one that only the library writes.
    pub(super) library: bool,
}

impl Tensors {
    pub(super) fn of_files(paths: &[PathBuf]) -> Result<Self, WeightError> {
        let shards = paths.iter().map(|path| Shard::map(path));
        Self::of_shards(shards.collect::<Result<_, _>>()?)
    }

    pub(super) fn of_shards(shards: Vec<Shard>) -> Result<Self, WeightError> {
        let mut entries: HashMap<String, Entry> = HashMap::new();
        let mut library = false;
        for (number, shard) in shards.iter().enumerate() {
            for tensor in header::read(&shard.path, shard.bytes())? {
                library |= names::is_library(&tensor.name);
                let name = names::official(&tensor.name);
                if let Some(earlier) = entries.get(&name) {
                    return Err(WeightError::Duplicate {
                        tensor: name,
                        first: shards[earlier.shard].path.clone(),
                        second: shard.path.clone(),
                    });
                }
                let stored = (tensor.name != name).then_some(tensor.name);
                let entry = Entry {
                    shard: number,
                    dtype: tensor.dtype,
                    shape: tensor.shape,
                    start: tensor.start,
                    end: tensor.end,
                    stored,
                    used: false,
                };
                entries.insert(name, entry);
            }
        }
        Ok(Self { shards, entries, library })
    }

    /// Every tensor of the index is in the shard that the index names.
    fn check_index(&self, index: &Path, map: &BTreeMap<String, String>) -> Result<(), WeightError> {
        for (stored, shard) in map {
            let entry = self.entries.get(&names::official(stored));
            let holder = entry.map(|e| self.shards[e.shard].path.as_path());
            if holder.and_then(Path::file_name) != Some(shard.as_ref()) {
                return Err(WeightError::Tensor {
                    file: index.into(),
                    tensor: stored.clone(),
                    expected: format!("the tensor in shard {shard}, as the index says"),
                    found: match holder {
                        Some(path) => format!("it in {}", path.display()),
                        None => "it in no shard".into(),
                    },
                });
            }
        }
        Ok(())
    }
}
