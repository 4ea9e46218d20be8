//! Releases of Cluster Stacks: built from a folder as `csctl` builds them, read from where they are published, and
//! checked against their names.
//!
//! ```text
//! folder -> Folder -> versions (Mode) -> build -> Release -> check -> findings
//! directory, registry, GitHub ---> read ----------^    '--> unpack -> a folder that `stack` reads
//! ```
//!
//! Pure but for `folder`, `build`, `csctl`, `unpack` and `read`.

pub mod archive;
pub mod build;
pub mod check;
mod csctl;
pub mod folder;
pub mod hash;
pub mod metadata;
pub mod name;
pub mod read;
mod template;
mod unpack;
mod versions;

pub use build::{Builder, Built, build};
pub use check::{Finding, check};
pub use folder::{Folder, open};
pub use hash::{Files, Hashes};
pub use metadata::Metadata;
pub use name::{ReleaseName, ReleaseNameError, ReleaseVersion};
pub use unpack::{rendered, unpack};
pub use versions::{Mode, Versioned, versions};

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most that a program may say that makes one.
const MAX_SAID: u64 = 8 << 20;

/// A release: its name and its assets, which are few files in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What it is called where it was found.
    pub name: ReleaseName,
    /// Its files by their names.
    pub assets: Files,
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The folder of the stack is not one that a release can be built from.
    #[error("no release can be built from this:{}", lines(path, problems))]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<String>,
    },
    /// The earlier release cannot be followed.
    #[error("the earlier release cannot be followed: {0}")]
    Previous(String),
    /// There is nothing to release.
    #[error("nothing has changed since {previous}{}", if *elsewhere { ", but for files that no asset is made from" } else { "" })]
    NothingChanged {
        /// The earlier release.
        previous: ReleaseName,
        /// Whether files have changed that do not reach a release.
        elsewhere: bool,
    },
    /// Only what `csctl` does not look at has changed, and `csctl` was asked for.
    #[error(
        "csctl refuses this release as `no change in the cluster stack`: since {previous} only {what} changed, and csctl \
         compares the add-ons only"
    )]
    RefusedByCsctl {
        /// The earlier release.
        previous: ReleaseName,
        /// What has changed.
        what: String,
    },
    /// A program cannot be run or fails.
    #[error("{program} cannot build the release: {why}")]
    Program {
        /// Which.
        program: String,
        /// What it says.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// An archive of a release cannot be read.
    #[error("{asset}: {source}")]
    Archive {
        /// Which.
        asset: String,
        /// Why not.
        source: archive::ArchiveError,
    },
}

fn lines(path: &Path, problems: &[String]) -> String {
    problems.iter().map(|why| format!("\n  {}: {why}", path.display())).collect()
}

/// The bytes of a file, if they are not more than `limit`.
fn bounded(file: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    if !file.is_file() {
        return Err(std::io::Error::other("is no file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!(
            "is larger than {limit} bytes, or the whole is too large"
        )));
    }
    Ok(bytes)
}
