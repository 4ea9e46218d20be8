//! Archives of releases: `tar` in `gzip`. Written so that the same content gives the same bytes; read with limits,
//! because whoever publishes a release is a stranger.

use super::hash::Files;
use flate2::{Compression, GzBuilder, read::MultiGzDecoder};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

/// The most files of an archive; Cilium's chart has some hundred.
const MAX_ENTRIES: usize = 20_000;
/// The most bytes of an archive, unpacked. Everything that a release holds is text.
const MAX_UNPACKED: u64 = 256 << 20;
/// The longest path in an archive.
const MAX_PATH: usize = 512;
/// The time of every file: 1980-01-01, the earliest that every reader takes for a time.
const TIME: u64 = 315_532_800;

/// Why an archive is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is damaged, cut off, or something else.
    #[error("it is no archive of tar in gzip, or not all of it: {0}")]
    Broken(String),
    /// It holds something that no release does.
    #[error("`{path}` in it {why}")]
    Entry {
        /// Where.
        path: String,
        /// What.
        why: &'static str,
    },
    /// It is larger than any release.
    #[error("it holds {0}, which no release does")]
    TooLarge(String),
}

/// The files of an archive by their paths. Folders are not kept: they say nothing that their files do not.
///
/// # Errors
/// It is no archive, it holds links, devices, paths that lead out of it or the same path twice, or it is too large.
pub fn read(bytes: &[u8]) -> Result<Files, ArchiveError> {
    let broken = |error: std::io::Error| ArchiveError::Broken(error.to_string());
    let limited = MultiGzDecoder::new(bytes).take(MAX_UNPACKED + 1);
    let mut archive = tar::Archive::new(limited);
    let mut files = Files::new();
    let mut seen = 0;
    let mut unpacked: u64 = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        seen += 1;
        if seen > MAX_ENTRIES {
            return Err(ArchiveError::TooLarge(format!("more than {MAX_ENTRIES} files")));
        }
        let raw = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw).chars().take(MAX_PATH).collect::<String>();
        let wrong = |why| ArchiveError::Entry { path: shown.escape_debug().to_string(), why };
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let path = String::from_utf8(raw).map_err(|_| wrong("has a name that is no UTF-8"))?;
        let path = safe(&path).map_err(wrong)?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(wrong("is neither a file nor a folder"));
        }
        unpacked = unpacked.saturating_add(entry.size());
        if unpacked > MAX_UNPACKED {
            return Err(ArchiveError::TooLarge(format!("more than {} MiB", MAX_UNPACKED >> 20)));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != entry.size() {
            return Err(ArchiveError::Broken(format!("`{path}` is cut off")));
        }
        if files.insert(path, content).is_some() {
            return Err(wrong("is there twice"));
        }
    }
    // What comes after the archive's end: the check sum of gzip, which nobody has looked at so far.
    let mut rest = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(broken)?;
    if rest.limit() == 0 {
        return Err(ArchiveError::TooLarge(format!("more than {} MiB", MAX_UNPACKED >> 20)));
    }
    if files.is_empty() {
        return Err(ArchiveError::Broken("there is no file in it".into()));
    }
    Ok(files)
}

/// A path inside of an archive that stays there, in its one spelling.
fn safe(path: &str) -> Result<String, &'static str> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.len() > MAX_PATH {
        return Err("has a name that is too long");
    }
    if path.chars().any(char::is_control) || path.contains('\\') {
        return Err("has a name with signs that no file of a release has");
    }
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err("leads out of it");
    }
    if path.split('/').any(|part| matches!(part, "" | ".")) && path != "." {
        return Err("has a name with empty parts");
    }
    Ok(path.to_owned())
}

/// An archive of these files, and of the folders that hold them if `folders` is set. The same files give the same bytes:
/// they are sorted, and belong to nobody, at no time.
///
/// # Errors
/// A path does not fit into an archive.
pub fn write(files: &Files, folders: bool) -> std::io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    let header = |kind: tar::EntryType, mode: u32, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    let mut known = BTreeSet::new();
    for (path, bytes) in files {
        if folders {
            for (at, _) in path.match_indices('/') {
                if known.insert(&path[..at]) {
                    let mut header = header(tar::EntryType::Directory, 0o755, 0);
                    archive.append_data(&mut header, format!("{}/", &path[..at]), std::io::empty())?;
                }
            }
        }
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len());
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    let mut gzip = archive.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}
