//! The content of a folder of charts as one hash, so that a run can tell whether it still is what was planned.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// The most files, and the most bytes, of the add-ons of a stack; vendored charts are the largest.
const MAX_FILES: usize = 10_000;
const MAX_BYTES: u64 = 256 << 20;

/// The hash of all files below a folder and of the file of values beside it: their names and contents, `sha256:...`.
///
/// # Errors
/// A file cannot be read, or there is more than any stack has.
pub fn digest(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let beside = folder.with_file_name("cluster-addon-values.yaml");
    if beside.is_file() {
        files.push(beside);
    }
    files.sort();
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    for file in files {
        let content = std::fs::read(&file)?;
        bytes += content.len() as u64;
        if bytes > MAX_BYTES {
            return Err(io::Error::other(format!("holds more than {} MiB", MAX_BYTES >> 20)));
        }
        let root = folder.parent().unwrap_or(folder);
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        for part in [name.as_bytes(), &content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if files.len() >= MAX_FILES {
            return Err(io::Error::other(format!("holds more than {MAX_FILES} files")));
        }
        // Links to folders could lead in circles; what they point at is no part of a chart.
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_shows() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cluster-addon");
        std::fs::create_dir_all(folder.join("cni/templates")).unwrap();
        std::fs::write(folder.join("cni/Chart.yaml"), "a").unwrap();
        let first = digest(&folder).unwrap();
        assert_eq!(first, digest(&folder).unwrap());
        std::fs::write(folder.join("cni/Chart.yaml"), "b").unwrap();
        let second = digest(&folder).unwrap();
        std::fs::rename(folder.join("cni/Chart.yaml"), folder.join("cni/values.yaml")).unwrap();
        let third = digest(&folder).unwrap();
        std::fs::write(root.path().join("cluster-addon-values.yaml"), "x").unwrap();
        let fourth = digest(&folder).unwrap();
        let all: std::collections::BTreeSet<_> = [first, second, third, fourth].into();
        assert_eq!(all.len(), 4);
        assert!(digest(&root.path().join("none")).is_err());
    }
}
