//! Reads files of one repository, and nothing outside of it.

use super::StackProblem;
use super::parse::Fault;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A repository of stacks has some hundred files; whoever points at `/` learns it quickly.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// No file of a stack that is read here comes near.
const MAX_FILE: u64 = 1 << 20;

/// Reads files, and keeps what is wrong with them.
pub(super) struct Reader {
    /// Symbolic links must not lead out of it. Without symbolic links itself.
    root: PathBuf,
    /// The folder without symbolic links, and as the user named it.
    real: PathBuf,
    named: PathBuf,
    pub(super) problems: Vec<StackProblem>,
}

impl Reader {
    /// Reads below `directory`. Links may lead anywhere in `root`; without one, in the git work tree, or where there is
    /// none, in the folder itself.
    pub(super) fn new(directory: &Path, root: Option<&Path>) -> Result<Self, StackProblem> {
        let problem = |why: String| StackProblem::whole(directory.to_path_buf(), why);
        let real = directory.canonicalize().map_err(|error| problem(error.to_string()))?;
        if !real.is_dir() {
            return Err(problem("is not a folder".into()));
        }
        let root = match root {
            Some(root) => root.canonicalize().map_err(|error| problem(error.to_string()))?,
            None => real.ancestors().find(|a| a.join(".git").exists()).unwrap_or(&real).to_path_buf(),
        };
        if !real.starts_with(&root) {
            return Err(problem(format!("is not in {}", root.display())));
        }
        Ok(Self { root, real, named: directory.to_path_buf(), problems: Vec::new() })
    }

    /// The folder without symbolic links.
    pub(super) fn directory(&self) -> PathBuf {
        self.real.clone()
    }

    /// A path as the user would write it.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.real) {
            Ok(rest) if rest.as_os_str().is_empty() => self.named.clone(),
            Ok(rest) => self.named.join(rest),
            Err(_) => path.strip_prefix(&self.root).unwrap_or(path).to_path_buf(),
        }
    }

    pub(super) fn problem(&mut self, file: &Path, why: impl Into<String>) {
        let file = self.shown(file);
        self.problems.push(StackProblem::whole(file, why.into()));
    }

    pub(super) fn fault(&mut self, file: &Path, fault: Fault) {
        let Fault { line, column, why } = fault;
        let file = self.shown(file);
        self.problems.push(StackProblem { file, line, column, why });
    }

    pub(super) fn text(&mut self, file: &Path) -> Option<String> {
        let read = || {
            // A pipe or a device could deliver for ever, or never.
            if !std::fs::metadata(file)?.is_file() {
                return Err(std::io::Error::other("is not a file"));
            }
            let mut text = String::new();
            std::fs::File::open(file)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
            if text.len() as u64 > MAX_FILE {
                return Err(std::io::Error::other(format!("has more than {MAX_FILE} bytes")));
            }
            Ok(text)
        };
        read().map_err(|error| self.problem(file, error.to_string())).ok()
    }

    /// Reads and parses a file; every fault becomes a problem.
    pub(super) fn parse<T, F: Into<Vec<Fault>>>(
        &mut self,
        file: &Path,
        parse: impl FnOnce(&str) -> Result<T, F>,
    ) -> Option<T> {
        let text = self.text(file)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(faults) => {
                for fault in faults.into() {
                    self.fault(file, fault);
                }
                None
            }
        }
    }

    /// Whether a path, links followed, is in the repository. One that leads out of it is a problem.
    pub(super) fn inside(&mut self, path: &Path) -> bool {
        let shown = || std::fs::read_link(path).unwrap_or_default().display().to_string();
        match path.canonicalize() {
            Ok(target) if target.starts_with(&self.root) => true,
            Ok(target) => {
                let (link, target) = (shown(), target.display().to_string());
                let real = if link == target { String::new() } else { format!(" ({target})") };
                let why = format!("is a link to {link}{real}, which leads out of the repository");
                self.problem(path, why);
                false
            }
            Err(error) => {
                let why = format!("is a link to {}, which leads nowhere: {error}", shown());
                self.problem(path, why);
                false
            }
        }
    }

    /// Refuses symbolic links below these paths that lead out of the repository: a stack of a pull request must not
    /// read the machine. Folders that links lead to are searched as well.
    pub(super) fn links(&mut self, paths: &[PathBuf]) {
        let mut open: Vec<PathBuf> = paths.to_vec();
        let mut visited = BTreeSet::new();
        let mut seen = 0;
        while let Some(path) = open.pop() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            seen += 1;
            if seen > MAX_ENTRIES {
                let first = paths.first().cloned().unwrap_or_default();
                self.problem(&first, format!("holds more than {MAX_ENTRIES} files; is it a stack?"));
                return;
            }
            if metadata.is_symlink() && !self.inside(&path) {
                continue;
            }
            if path.is_dir() && path.canonicalize().is_ok_and(|real| visited.insert(real)) {
                open.extend(entries(&path));
            }
        }
    }
}

/// What is in a folder, in the order of the names.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.take(MAX_ENTRIES + 1).map(|e| e.path()).collect();
    found.sort();
    found
}
