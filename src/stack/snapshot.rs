//! The files of a chart as they are at one moment. Helm renders the copy, so that what is hashed is what is rendered, and
//! nothing that a link leads to later.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Error, Read, Result};
use std::path::{Path, PathBuf};

/// The chart of a ClusterClass has some ten files.
const MAX_FILES: usize = 2_000;
/// It has some hundred KiB.
const MAX_BYTES: u64 = 32 << 20;
/// Links may lead to a folder above themselves.
const MAX_DEPTH: usize = 16;

/// Functions of templates whose result is another one each time. A chart that uses one is never taken from the cache.
const UNSTEADY: &str =
    r"\b(now|ago|rand\w+|gen[A-Z]\w*|uuidv4|shuffle|htpasswd|bcrypt|encryptAES|getHostByName|lookup)\b";

/// The files of a chart, by their paths in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Snapshot {
    /// Reads a chart. Symbolic links are followed; the caller has seen to it that they stay in the repository. A place
    /// for a version in `Chart.yaml` (`<< .ClusterClassVersion >>`) becomes `v0`, since Helm wants one.
    pub(super) fn take(chart: &Path) -> Result<Self> {
        let mut snapshot = Self::default();
        let mut left = MAX_BYTES;
        snapshot.folder(chart, Path::new(""), 0, &mut left)?;
        if let Some(metadata) = snapshot.files.get_mut(Path::new("Chart.yaml")) {
            let version = regex::bytes::Regex::new(r"<<\s*\.\w+\s*>>").map_err(Error::other)?;
            *metadata = version.replace_all(metadata, &b"v0"[..]).into_owned();
        }
        Ok(snapshot)
    }

    fn folder(&mut self, folder: &Path, below: &Path, depth: usize, left: &mut u64) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::other(format!("has folders in folders, more than {MAX_DEPTH} deep")));
        }
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            let metadata = std::fs::metadata(&path)?;
            if metadata.is_dir() {
                self.folder(&path, &name, depth + 1, left)?;
            } else if metadata.is_file() {
                let mut bytes = Vec::new();
                std::fs::File::open(&path)?.take(*left + 1).read_to_end(&mut bytes)?;
                let size = bytes.len() as u64;
                if size > *left || self.files.len() >= MAX_FILES {
                    let limit = format!("{MAX_FILES} files or {} MiB", MAX_BYTES >> 20);
                    return Err(Error::other(format!("the chart has more than {limit}")));
                }
                *left -= size;
                self.files.insert(name, bytes);
            }
        }
        Ok(())
    }

    /// The files, by their paths in the chart.
    pub(super) fn files(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.files
    }

    /// Writes the files below a folder that is made for them.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Whether the same files always render to the same objects, as far as can be seen: packed charts cannot be seen
    /// into.
    pub(super) fn is_steady(&self) -> bool {
        let Ok(unsteady) = regex::bytes::Regex::new(UNSTEADY) else { return false };
        let packed = |name: &Path| name.extension().is_some_and(|e| e == "tgz" || e == "gz");
        self.files.iter().all(|(name, bytes)| !packed(name) && !unsteady.is_match(bytes))
    }

    /// The hash of these texts and of all files with their names, in hexadecimal.
    pub(super) fn hash(&self, texts: &[&str]) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        add(&(texts.len() as u64).to_be_bytes());
        texts.iter().for_each(|text| add(text.as_bytes()));
        for (name, bytes) in &self.files {
            add(name.as_os_str().as_encoded_bytes());
            add(bytes);
        }
        hex(&hash.finalize())
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn links_are_followed_and_a_version_is_filled_in() {
        let chart = chart(&[
            ("chart/Chart.yaml", "version: << .ClusterClassVersion >>\n"),
            ("common/templates/a.yaml", "a"),
        ]);
        let folder = chart.path().join("chart");
        std::os::unix::fs::symlink("../common/templates", folder.join("templates")).unwrap();
        let copy = chart.path().join("copy");
        Snapshot::take(&folder).unwrap().write(&copy).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("Chart.yaml")).unwrap(), "version: v0\n");
        assert_eq!(std::fs::read_to_string(copy.join("templates/a.yaml")).unwrap(), "a");
        assert!(!copy.join("templates").is_symlink());
        // A link to a folder above itself ends with an error.
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        assert!(Snapshot::take(&folder).unwrap_err().to_string().contains("deep"));
    }

    #[test]
    fn every_change_changes_the_hash() {
        let hash =
            |files: &[(&str, &str)], texts: &[&str]| Snapshot::take(chart(files).path()).unwrap().hash(texts);
        let first = hash(&[("a", "1"), ("b", "2")], &["x"]);
        assert_eq!(first, hash(&[("b", "2"), ("a", "1")], &["x"]));
        for (files, texts) in [
            (vec![("a", "1"), ("b", "3")], vec!["x"]),
            (vec![("a", "1"), ("c", "2")], vec!["x"]),
            (vec![("a", "1")], vec!["x"]),
            (vec![("a", "1b2")], vec!["x"]),
            (vec![("a", "1"), ("b", "2"), ("c", "")], vec!["x"]),
            (vec![("a", "1"), ("b", "2")], vec!["y"]),
            (vec![("a", "1"), ("b", "2")], vec!["x", ""]),
        ] {
            assert_ne!(first, hash(&files, &texts), "{files:?} {texts:?}");
        }
    }

    #[test]
    fn unsteady_charts_are_told() {
        for (text, steady) in [
            ("a: {{ .Values.b }}", true),
            ("a: known", true),
            ("a: {{ now }}", false),
            ("a: {{ randAlphaNum 5 }}", false),
            ("a: {{ genCA \"x\" 1 }}", false),
            ("a: {{ uuidv4 }}", false),
        ] {
            let chart = chart(&[("templates/a.yaml", text)]);
            assert_eq!(Snapshot::take(chart.path()).unwrap().is_steady(), steady, "{text}");
        }
        assert!(!Snapshot::take(chart(&[("charts/a.tgz", "")]).path()).unwrap().is_steady());
    }
}
