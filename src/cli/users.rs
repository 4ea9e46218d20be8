//! Who uses the testbed: the last run takes down what a run has brought up, and never under the feet of another.

use super::{screen, testbed};
use crate::testbed::{Settings, TestbedError, TestbedInfo};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Stands in the testbed's state when a run has brought it up, not a person.
const MARK: &str = "brought-up-by-a-run";

/// The use of a testbed by one run. A lock on a file beside the testbed's state says that it goes on; a killed
/// process loses it without doing anything.
pub(super) struct TestbedUse {
    settings: Settings,
    lock: Option<File>,
}

fn lock_file(state_dir: &Path) -> PathBuf {
    let mut name = state_dir.file_name().unwrap_or_default().to_owned();
    name.push(".users");
    state_dir.with_file_name(name)
}

impl TestbedUse {
    /// Brings the testbed up when it is not, and holds it.
    pub(super) fn begin(settings: Settings) -> Result<(Self, TestbedInfo), TestbedError> {
        // Without the lock the testbed works all the same; only nobody will take it down by itself.
        let lock = hold(&settings);
        let info = testbed::up(&settings)?;
        if !info.already_running {
            let _ = std::fs::write(info.state_dir.join(MARK), "");
        }
        Ok((Self { settings, lock }, info))
    }

    /// Ends the use: takes the testbed down when a run has brought it up and nobody else uses it. Whether it is gone.
    /// `place` is what other commands must be told to find it.
    pub(super) fn end(self, keep: bool, place: &str) -> bool {
        let mark = self.settings.state_dir.join(MARK);
        if keep {
            // From now on it belongs to the person who asked for it.
            let _ = std::fs::remove_file(mark);
            screen::note(&format!("the testbed is kept; `stack-e2e testbed down{place}` stops it"));
            return false;
        }
        drop(self.lock);
        release(&self.settings);
        !self.settings.state_dir.exists()
    }
}

/// Keeps others from taking the testbed down, until it is dropped.
pub(super) fn hold(settings: &Settings) -> Option<File> {
    let path = lock_file(&settings.state_dir);
    std::fs::create_dir_all(path.parent()?).ok()?;
    let file = File::options().create(true).append(true).open(&path).ok()?;
    file.lock_shared().ok()?;
    Some(file)
}

/// Takes a testbed down that a run has brought up, unless somebody uses it.
pub(super) fn release(settings: &Settings) {
    let path = lock_file(&settings.state_dir);
    if !settings.state_dir.join(MARK).exists() {
        return;
    }
    let Ok(file) = File::options().create(true).append(true).open(&path) else { return };
    if file.try_lock().is_err() {
        return;
    }
    match testbed::down(settings) {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
        }
        Err(error) => {
            testbed::complain(&error);
        }
    }
}
