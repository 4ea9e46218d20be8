//! What charts rendered to, kept on disk under the hash of everything that the rendering depends on: the files of the chart,
//! the names and the version that Helm is given, and the Helm program itself. An entry carries a hash of its own; one that
//! is cut off or changed is not taken.

use super::snapshot::{Snapshot, hex};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Raised when what is kept means something else.
const FORMAT: &str = "stack-e2e rendering 1";
/// No rendering has more.
const MAX_ENTRY: u64 = 9 << 20;
/// When there are more entries than this, the older half goes.
const MAX_ENTRIES: usize = 1_000;

/// Renderings on disk, made by one Helm.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
    helm: String,
}

impl Cache {
    /// The cache in this folder. `None` if it cannot be told which Helm it is: a script may call another one tomorrow.
    pub(super) fn of(directory: &Path, helm: &Path) -> Option<Self> {
        Some(Self { directory: directory.into(), helm: identity(helm)? })
    }

    #[cfg(test)]
    pub(super) fn named(directory: &Path, helm: &str) -> Self {
        Self { directory: directory.into(), helm: helm.into() }
    }

    /// Under what the rendering of these files is kept. `None` if it may be another one each time.
    pub(super) fn key(&self, files: &Snapshot, arguments: &[&str]) -> Option<String> {
        let mut texts = vec![FORMAT, self.helm.as_str()];
        texts.extend(arguments);
        files.is_steady().then(|| files.hash(&texts))
    }

    /// What is kept, if it is whole.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let mut text = String::new();
        std::fs::File::open(self.directory.join(key)).ok()?.take(MAX_ENTRY).read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once('\n')?;
        (head == checked(body)).then(|| body.to_owned())
    }

    /// Keeps a rendering. A disk that is full or read-only costs time later, and nothing else.
    pub(super) fn put(&self, key: &str, text: &str) {
        if let Err(error) = self.try_put(key, text) {
            tracing::debug!(%error, directory = %self.directory.display(), "a rendering cannot be kept");
        }
    }

    fn try_put(&self, key: &str, text: &str) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.make_room()?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        writeln!(file, "{}", checked(text))?;
        file.write_all(text.as_bytes())?;
        file.persist(self.directory.join(key)).map_err(|error| error.error)?;
        Ok(())
    }

    fn make_room(&self) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            entries.push((entry.metadata()?.mtime(), entry.path()));
        }
        if entries.len() > MAX_ENTRIES {
            entries.sort();
            for (_, path) in &entries[..entries.len() / 2] {
                // Another process may have been faster.
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(())
    }
}

fn checked(text: &str) -> String {
    format!("{FORMAT} {}", hex(&Sha256::digest(text.as_bytes())))
}

/// What changes whenever a program is replaced. The time of the last change of the file's record cannot be set by hand.
fn identity(program: &Path) -> Option<String> {
    let path = program.canonicalize().ok()?;
    let mut magic = [0; 4];
    std::fs::File::open(&path).ok()?.read_exact(&mut magic).ok()?;
    let metadata = path.metadata().ok()?;
    (magic == *b"\x7fELF").then(|| {
        format!(
            "{} {} {} {} {}.{} {}.{}",
            path.display(),
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_entries_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::named(&folder.path().join("deep/below"), "helm");
        assert_eq!(cache.get("k"), None);
        cache.put("k", "a: 1\nb: 2\n");
        assert_eq!(cache.get("k").as_deref(), Some("a: 1\nb: 2\n"));
        let file = folder.path().join("deep/below/k");
        let whole = std::fs::read_to_string(&file).unwrap();
        for spoilt in [&whole[..whole.len() - 1], &whole.replace("b: 2", "b: 3"), "", "a: 1\n"] {
            std::fs::write(&file, spoilt).unwrap();
            assert_eq!(cache.get("k"), None, "{spoilt}");
        }
        // A folder that cannot be written to is no error.
        Cache::named(Path::new("/proc/nowhere"), "helm").put("k", "a");
    }

    #[test]
    fn another_helm_is_another_key() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: x").unwrap();
        let files = Snapshot::take(folder.path()).unwrap();
        let key = |helm: &str| Cache::named(folder.path(), helm).key(&files, &["r", "v1.34.7"]);
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
        let (program, other) = (folder.path().join("helm"), folder.path().join("other"));
        std::fs::write(&program, b"\x7fELF one").unwrap();
        let first = identity(&program).unwrap();
        // Replaced by one of the same size, even with the time of the old one.
        std::fs::write(&other, b"\x7fELF two").unwrap();
        let time = program.metadata().unwrap().modified().unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, &program).unwrap();
        assert_ne!(identity(&program).unwrap(), first);
        std::fs::write(&program, "#!/bin/sh\nexec helm \"$@\"\n").unwrap();
        assert_eq!(identity(&program), None);
    }

    #[test]
    fn old_entries_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..=MAX_ENTRIES {
            std::fs::write(folder.path().join(format!("{n}")), "").unwrap();
        }
        Cache::named(folder.path(), "helm").put("new", "text");
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(left <= MAX_ENTRIES / 2 + 2, "{left}");
    }
}
