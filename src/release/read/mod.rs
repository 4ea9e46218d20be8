//! Where releases are published, and how they are read from there: into memory, bounded, every digest compared.

mod github;
mod http;
mod oci;

use super::hash::Files;
use super::{Release, ReleaseName};
use crate::types::Secret;
use std::fmt;
use std::path::{Path, PathBuf};

pub use http::{Client, ReadError};

/// The most files of a release.
const MAX_ASSETS: usize = 64;
/// The most bytes of one.
const MAX_ASSET: u64 = 64 << 20;

/// Where a release is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder with the assets, or one that holds such a folder with the name of the release.
    Directory(PathBuf),
    /// A repository of an OCI registry; the tag is the name of the release.
    Oci {
        /// Host, with a port if it is not 443.
        registry: String,
        /// The repository's name.
        repository: String,
    },
    /// A repository on GitHub; the tag is the name of the release.
    Github {
        /// Its owner.
        owner: String,
        /// Its name.
        repository: String,
    },
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no place of releases: {why}")]
pub struct PlaceError {
    text: String,
    why: &'static str,
}

impl Place {
    /// Reads a place, and the tag if one is given: `oci://host/repository[:tag]`, `github:owner/repository[@tag]`, or a
    /// directory.
    ///
    /// # Errors
    /// The text is of neither form.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), PlaceError> {
        let wrong = |why| PlaceError { text: text.escape_debug().to_string(), why };
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
                && !part.bytes().all(|b| b == b'.')
        };
        if let Some(rest) = text.strip_prefix("oci://") {
            let form = "write oci://host/repository:tag";
            let (registry, rest) = rest.split_once('/').ok_or(wrong(form))?;
            let (repository, tag) = match rest.rsplit_once(':') {
                Some((repository, tag)) => (repository, Some(tag)),
                None => (rest, None),
            };
            let (host, port) = registry.rsplit_once(':').map_or((registry, None), |(h, p)| (h, Some(p)));
            if !plain(host) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Err(wrong("the registry is a host name, with a port if it is not 443"));
            }
            if !repository.split('/').all(plain) || tag.is_some_and(|tag| !plain(tag)) {
                return Err(wrong(form));
            }
            let (registry, repository) = (registry.to_owned(), repository.to_owned());
            return Ok((Self::Oci { registry, repository }, tag.map(str::to_owned)));
        }
        if let Some(rest) = text.strip_prefix("github:") {
            let form = wrong("write github:owner/repository@tag");
            let (name, tag) = rest.split_once('@').map_or((rest, None), |(name, tag)| (name, Some(tag)));
            let (owner, repository) = name.split_once('/').ok_or(form.clone())?;
            if !plain(owner) || !plain(repository) || tag.is_some_and(|tag| !plain(tag)) {
                return Err(form);
            }
            let (owner, repository) = (owner.to_owned(), repository.to_owned());
            return Ok((Self::Github { owner, repository }, tag.map(str::to_owned)));
        }
        if text.is_empty() || text.contains("://") {
            return Err(wrong("it is a directory, oci://host/repository:tag or github:owner/repository@tag"));
        }
        Ok((Self::Directory(text.into()), None))
    }

    /// Whether it is on another machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Directory(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Oci { registry, repository } => write!(f, "oci://{registry}/{repository}"),
            Self::Github { owner, repository } => write!(f, "github:{owner}/{repository}"),
        }
    }
}

/// What opens doors. Each is sent to one host only, and only over TLS.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The registry that the next two are for. Others get none of them, so that whoever writes `from:` cannot collect
    /// them.
    pub registry: Option<String>,
    /// A token, as it is sent: `csctl` sends it in base64.
    pub registry_token: Option<Secret>,
    /// Name and password.
    pub registry_login: Option<(String, Secret)>,
    /// A token for GitHub.
    pub github_token: Option<Secret>,
    /// GitHub's API, if it is not `https://api.github.com`.
    pub github_api: Option<String>,
    /// A file with certificates of authorities to trust, besides those of the system.
    pub ca: Option<PathBuf>,
}

/// A release as it was found, and what was odd about the way it is published.
#[derive(Debug, Clone)]
pub struct Found {
    /// The release.
    pub release: Release,
    /// What contradicts the way releases are published.
    pub findings: Vec<super::Finding>,
}

/// Reads a release.
///
/// # Errors
/// It is not there, cannot be reached or read, or is not what its digests say.
pub async fn read(place: &Place, name: &ReleaseName, client: &Client) -> Result<Found, ReadError> {
    let (assets, findings) = match place {
        Place::Directory(path) => {
            let inside = path.join(name.dashed());
            let path = if inside.is_dir() { &inside } else { path };
            (directory(path)?, Vec::new())
        }
        Place::Oci { registry, repository } => client.oci(registry, repository, &name.dashed()).await?,
        Place::Github { owner, repository } => {
            (client.github(owner, repository, &name.dashed()).await?, Vec::new())
        }
    };
    Ok(Found { release: Release { name: name.clone(), assets }, findings })
}

/// The files of a folder; other folders in it are none of a release.
///
/// # Errors
/// It cannot be read, holds a link or no file at all, or is larger than any release.
pub fn directory(path: &Path) -> Result<Files, ReadError> {
    let wrong = |why: String| ReadError::Unreadable { what: path.display().to_string(), why };
    let mut files = Files::new();
    let entries = std::fs::read_dir(path).map_err(|error| wrong(error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| wrong(error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(|error| wrong(error.to_string()))?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(wrong(format!("`{}` in it is not a file", name.escape_debug())));
        }
        if files.len() == MAX_ASSETS {
            return Err(wrong(format!("holds more than {MAX_ASSETS} files; is it a release?")));
        }
        let bytes = super::bounded(&entry.path(), MAX_ASSET)
            .map_err(|error| wrong(format!("`{}`: {error}", name.escape_debug())))?;
        files.insert(name, bytes);
    }
    if files.is_empty() {
        return Err(wrong("holds no file; a release has metadata.yaml and some more".into()));
    }
    Ok(files)
}

/// The name of an asset, which becomes the name of a file.
fn asset_name(name: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (!name.is_empty() && name.len() <= 255 && name.bytes().all(plain) && !name.starts_with('.'))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_three_forms() {
        for (text, shown, tag) in [
            (
                "oci://ghcr.io/scs/stacks:docker-scs-1-34-v1",
                Some("oci://ghcr.io/scs/stacks"),
                Some("docker-scs-1-34-v1"),
            ),
            ("oci://localhost:5000/a", Some("oci://localhost:5000/a"), None),
            ("github:scs/cluster-stacks@x-1", Some("github:scs/cluster-stacks"), Some("x-1")),
            ("github:scs/cluster-stacks", Some("github:scs/cluster-stacks"), None),
            ("releases/x", Some("releases/x"), None),
            ("oci://host", None, None),
            ("oci://host:port/a", None, None),
            ("oci://user:secret@host/a", None, None),
            ("oci://host/../a", None, None),
            ("oci://host/a?b", None, None),
            ("github:scs", None, None),
            ("github:scs/../../user", None, None),
            ("http://host/a", None, None),
            ("", None, None),
        ] {
            let found = Place::parse(text).ok();
            assert_eq!(found.as_ref().map(|(place, _)| place.to_string()).as_deref(), shown, "{text}");
            assert_eq!(found.and_then(|(_, found)| found).as_deref(), tag, "{text}");
        }
    }

    #[test]
    fn assets_have_plain_names() {
        for (name, good) in [
            ("metadata.yaml", true),
            ("a-1_b.tgz", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            (".x", false),
        ] {
            assert_eq!(asset_name(name).is_some(), good, "{name}");
        }
    }
}
