//! One at a time: a lock on a file, and a word about who is waited for. The system drops it when its holder ends.

use super::Progress;
use super::error::{IoContext as _, TestbedError};
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Takes the lock file `path`. When another process has it, the caller is told which one, and waits.
pub(super) fn lock(
    path: &Path,
    what: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<File, TestbedError> {
    loop {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .on("cannot open", path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What stands there only serves the message.
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.is_empty() { "a process that has just begun".into() } else { holder };
                progress(Progress::Waiting { what: what.to_owned(), holder });
                file.lock().on("cannot lock", path)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).on("cannot lock", path),
        }
        // Whoever had it may have removed the file: then this lock is on nothing, and the next one is the true one.
        if !same_file(&file, path) {
            continue;
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "process {}", std::process::id()));
        written.on("cannot write", path)?;
        return Ok(file);
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn two_builds_wait_for_each_other_and_say_for_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path, "a build", &mut |_| panic!("nobody is waited for")).unwrap();
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| lock(&path, "a build", &mut |progress| told.send(progress).unwrap()));
            let Progress::Waiting { what, holder } = hears.recv().unwrap() else { panic!("it waits first") };
            assert_eq!((what.as_str(), holder), ("a build", format!("process {}", std::process::id())));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_lock_on_a_removed_file_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path, "a build", &mut |_| ()).unwrap();
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| lock(&path, "a build", &mut |progress| told.send(progress).unwrap()));
            hears.recv().unwrap();
            fs::remove_file(&path).unwrap();
            drop(first);
            let second = second.join().unwrap().unwrap();
            assert!(same_file(&second, &path));
        });
    }
}
