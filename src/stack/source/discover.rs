//! Where stacks are below a folder.

use super::super::read::{MAX_ENTRIES, Reader, entries};
use crate::types::KubernetesMinor;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the folder that is named down to a stack: `release-1.34/maint/providers/openstack/scs`.
const MAX_DEPTH: usize = 6;

/// Folders in which tools write stacks, or in which stacks share files.
const PASSED_BY: [&str; 5] = ["out", "common", "charts", "node_modules", "target"];

/// A folder that looks like a stack.
pub(super) struct Candidate {
    /// The stack's folder.
    pub(super) base: PathBuf,
    /// The folders of its minors, oldest first; none if the stack's folder has the files itself.
    pub(super) folders: Vec<PathBuf>,
    /// The minor that the name of a folder above `providers` ends with.
    pub(super) branch: Option<KubernetesMinor>,
}

/// All of them, in the order of their paths.
pub(super) fn candidates(reader: &mut Reader) -> Vec<Candidate> {
    let base = reader.directory();
    let mut search = Search { found: Vec::new(), visited: BTreeSet::new(), seen: 0 };
    search.folder(reader, &base, 0, None);
    search.found
}

struct Search {
    found: Vec<Candidate>,
    visited: BTreeSet<PathBuf>,
    seen: usize,
}

impl Search {
    fn folder(&mut self, reader: &mut Reader, folder: &Path, depth: usize, branch: Option<KubernetesMinor>) {
        let Ok(real) = folder.canonicalize() else { return };
        if !self.visited.insert(real) {
            return;
        }
        let folders = minor_folders(folder);
        let own = folder.join("cluster-class").is_dir();
        if own || (has_identity(folder) && folders.is_empty()) {
            self.found.push(Candidate { base: folder.into(), folders: Vec::new(), branch });
        } else if !folders.is_empty() {
            self.found.push(Candidate { base: folder.into(), folders, branch: None });
        } else if depth < MAX_DEPTH {
            self.below(reader, folder, depth, branch);
        }
    }

    fn below(&mut self, reader: &mut Reader, folder: &Path, depth: usize, branch: Option<KubernetesMinor>) {
        let providers = folder.join("providers");
        if providers.is_dir() {
            let branch = branch.or_else(|| if depth > 0 { trailing_minor(folder) } else { None });
            if !providers.is_symlink() || reader.inside(&providers) {
                self.folder(reader, &providers, depth + 1, branch);
            }
            return;
        }
        for entry in entries(folder) {
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                reader.problem(folder, format!("more than {MAX_ENTRIES} files; are there stacks?"));
                return;
            }
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || PASSED_BY.contains(&name.as_str()) {
                continue;
            }
            // A link that leads to nothing, or out, matters only where a stack could be.
            if entry.is_dir() && (!entry.is_symlink() || reader.inside(&entry)) {
                self.folder(reader, &entry, depth + 1, branch);
            }
        }
    }
}

/// Whether a file says which stack this is.
fn has_identity(folder: &Path) -> bool {
    ["csctl.yaml", "stack.yaml"].iter().any(|file| folder.join(file).exists())
}

/// Subfolders named like a minor, `1-34`, with a stack's files in them.
fn minor_folders(directory: &Path) -> Vec<PathBuf> {
    let mut folders = BTreeMap::new();
    for path in entries(directory).into_iter().filter(|p| p.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('-', ".");
        let stack = has_identity(&path) || path.join("cluster-class").exists();
        if let (Ok(minor), true) = (name.parse::<KubernetesMinor>(), stack) {
            folders.insert(minor, path);
        }
    }
    folders.into_values().collect()
}

/// `release-1.34`, `scs2-1-34` and `1-34` end with 1.34.
fn trailing_minor(folder: &Path) -> Option<KubernetesMinor> {
    let name = folder.file_name()?.to_string_lossy().replace('.', "-");
    let mut parts = name.rsplitn(3, '-');
    let (minor, major, before) = (parts.next()?, parts.next()?, parts.next());
    let major = major.trim_start_matches(|c: char| !c.is_ascii_digit());
    // `2026-1-12` is a day.
    before.is_none_or(|b| !b.chars().all(|c| c.is_ascii_digit())).then_some(())?;
    let minor: KubernetesMinor = format!("{major}.{minor}").parse().ok()?;
    (major == "1").then_some(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_tell_their_minor() {
        for (name, minor) in [
            ("release-1.34", Some("1.34")),
            ("scs2-1-34", Some("1.34")),
            ("v1.34", Some("1.34")),
            ("1-34", Some("1.34")),
            ("2024-04-25", None),
            ("2025-02", None),
            ("2026-1-12", None),
            ("main", None),
            ("scs2", None),
        ] {
            let found = trailing_minor(Path::new(name)).map(|m| m.to_string());
            assert_eq!(found.as_deref(), minor, "{name}");
        }
    }
}
