//! The files of OpenStack clients: which ones are read.

use super::{Files, Problem, Problems, read};
use crate::scenario::MAX_FILE;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// What of the environment decides which files are read.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `OS_CLIENT_CONFIG_FILE`: looked at before all others.
    pub config_file: Option<PathBuf>,
    /// `OS_CLIENT_SECURE_FILE`: the same for the file of secrets.
    pub secure_file: Option<PathBuf>,
    /// The working directory.
    pub working: PathBuf,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Places {
    /// The directories in the order in which they are searched.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut all = vec![self.working.clone()];
        all.extend(self.config_home.iter().map(|home| home.join("openstack")));
        all.extend(self.home.iter().map(|home| home.join(".config/openstack")));
        all.extend([PathBuf::from("/etc/xdg/openstack"), PathBuf::from("/etc/openstack")]);
        all
    }

    /// The files that may be `name`, in the order of the search.
    fn candidates(&self, name: &str, first: Option<&PathBuf>) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = first.cloned().into_iter().collect();
        for directory in self.directories() {
            all.extend(
                ["yaml", "yml", "json"].map(|extension| directory.join(format!("{name}.{extension}"))),
            );
        }
        all
    }
}

/// Reads the first of each of the three files that is there, as openstacksdk does: one that may not be read is passed
/// over, and so is an `OS_CLIENT_CONFIG_FILE` that does not exist.
///
/// # Errors
/// Every problem of every file.
pub fn load(places: &Places) -> Result<Files, Problems> {
    let mut problems = Vec::new();
    let mut find = |name: &str, first: Option<&PathBuf>| {
        for path in places.candidates(name, first) {
            match bytes(&path) {
                Ok(text) => return read(&path, &text, &mut problems),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
                Err(error) => {
                    let problem = Problem::of_file(&path, format!("it cannot be read: {error}"));
                    problems.push(problem.hint("OpenStack clients read this file first"));
                    return None;
                }
            }
        }
        None
    };
    let clouds = find("clouds", places.config_file.as_ref());
    let secure = find("secure", places.secure_file.as_ref());
    let public = find("clouds-public", None);
    if problems.is_empty() {
        let searched = places.candidates("clouds", places.config_file.as_ref());
        Ok(Files { clouds, secure, public, searched, home: places.home.clone() })
    } else {
        Err(Problems(problems))
    }
}

fn bytes(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    let mut text = String::new();
    file.take(MAX_FILE as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_FILE {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", MAX_FILE / 1024)));
    }
    Ok(text)
}
