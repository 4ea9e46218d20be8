//! Files that are whole at every moment.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes `bytes` to `path` so that a kill or a power loss at any moment leaves either the old file or the new one:
/// a temporary file in the same directory, synced, then renamed, then the directory synced.
///
/// # Errors
/// What the file system says; the message names the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// The same for content that is not held in memory as a whole.
///
/// # Errors
/// What the file system or `write` says; the message names the file. The old file is then still there.
pub fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("could not write `{}`: {error}", path.display()))
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // Reports are read by other users (web servers, log collectors), so the umask decides, not the 0600 of
    // temporary files; they hold no secrets, see `redacted`.
    let mut temporary = tempfile::Builder::new()
        .prefix(".stack-e2e-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(named)?;
    let mut buffered = io::BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
    write(&mut buffered).and_then(|()| buffered.flush()).map_err(named)?;
    drop(buffered);
    temporary.as_file().sync_all().map_err(named)?;
    temporary.persist(path).map_err(|error| named(error.error))?;
    // Best effort: some file systems cannot sync a directory, and the content is safe by now.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("junit.xml");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failure_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent").join("junit.xml");
        let error = write_atomically(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("absent/junit.xml"), "{error}");
    }
}
