//! Folders of images. An image file starts with one line that says what it is and how long and which bytes must follow, so that a folder needs no index and a torn
//! or foreign file is noticed.

use super::hex;
use omnihal::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};

/// Largest image that is read: some hundred times what a family takes.
const MOST: u64 = 256 << 20;

fn file(folder: &Path, family: &str, arch: &str) -> PathBuf {
    folder.join(format!("{family}.{arch}.image"))
}

fn first_line(family: &str, arch: &str, source: &str, image: &[u8]) -> String {
    format!("omnihal-cuda-1 {family} {arch} {source} {} {}\n", image.len(), hex(&Sha256::digest(image)))
}

/// Where compiled kernels are kept, if this user has such a place.
pub(super) fn cache() -> Option<PathBuf> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = given("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| given("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("omnihal/cuda"))
}

/// An image, `None` if the folder has none of this text, an error if what it has is damaged.
pub(super) fn read(folder: &Path, family: &str, arch: &str, source: &str) -> Result<Option<Vec<u8>>> {
    let path = file(folder, family, arch);
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("{}: {e}", path.display()));
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == Io::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
        Ok(data) if data.len() > MOST => return Err(damaged(&path, "it is longer than any image")),
        Ok(_) => {}
    }
    let bytes = std::fs::read(&path).map_err(io)?;
    let Some(end) = bytes.iter().take(512).position(|&b| b == b'\n') else {
        return Err(damaged(&path, "it does not start with a line"));
    };
    let (line, image) = (&bytes[..=end], &bytes[end + 1..]);
    // A file of another text is not damaged, only old.
    if !line.starts_with(format!("omnihal-cuda-1 {family} {arch} {source} ").as_bytes()) {
        return Ok(None);
    }
    if line != first_line(family, arch, source, image).as_bytes() {
        return Err(damaged(&path, "its length or digest is not what its first line says"));
    }
    Ok(Some(image.to_vec()))
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{} is not a whole kernel image: {why}; delete it", path.display()))
}

/// Writes an image beside its place and then moves it there, so that nobody sees half of it.
pub(super) fn write(folder: &Path, family: &str, arch: &str, source: &str, image: &[u8]) -> Result<()> {
    let path = file(folder, family, arch);
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("{}: {e}", path.display()));
    std::fs::create_dir_all(folder).map_err(io)?;
    let beside = folder.join(format!(".{family}.{arch}.{}", std::process::id()));
    let mut out = std::fs::File::create(&beside).map_err(io)?;
    out.write_all(first_line(family, arch, source, image).as_bytes())
        .and_then(|()| out.write_all(image))
        .map_err(io)?;
    drop(out);
    std::fs::rename(&beside, &path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert_eq!(read(at, "norm", "sm_80", "aa").unwrap(), None);
        write(at, "norm", "sm_80", "aa", b"image").unwrap();
        assert_eq!(read(at, "norm", "sm_80", "aa").unwrap().unwrap(), b"image");
        assert_eq!(read(at, "norm", "sm_80", "bb").unwrap(), None);
        let path = file(at, "norm", "sm_80");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(at, "norm", "sm_80", "aa").unwrap_err().kind(), ErrorKind::InvalidInput);
        bytes.truncate(20);
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(at, "norm", "sm_80", "aa").is_err());
    }
}
