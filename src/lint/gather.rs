//! Folders -> [`Subject`]s: reads the stacks, their files, and renders their minors.

use super::names::csctl_file;
use super::{Finding, Subject, Texts};
use crate::stack::{self, StackProblem, StackSource};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MAX_ENTRIES: usize = 20_000;
const MAX_DEPTH: usize = 16;
/// Longer files are compared, but not read.
const MAX_TEXT: u64 = 1 << 20;
const MAX_FILE: u64 = 64 << 20;

/// What there is to lint.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The stacks that could be read, and rendered in all of their minors.
    pub subjects: Vec<Subject>,
    /// Findings about files for which a stack cannot be read.
    pub findings: Vec<Finding>,
    /// Everything else that could not be read or rendered: nothing is known about these.
    pub unread: Vec<StackProblem>,
    /// The paths without links, and as they were named.
    pub roots: Vec<(PathBuf, PathBuf)>,
}

/// Reads and renders all stacks below these paths. Links may lead anywhere in `root`, or in the git work tree.
pub async fn gather(paths: &[PathBuf], root: Option<&Path>, helm: &Path) -> Gathered {
    let mut gathered = Gathered::default();
    for path in paths {
        gathered.roots.extend(path.canonicalize().ok().map(|real| (real, path.clone())));
        let found = stack::discover(path, root);
        let mut told: Vec<PathBuf> = Vec::new();
        let mut walk = Walk::default();
        walk.folder(path, Path::new(""), 0);
        for file in walk.files.iter().filter(|file| file.file_name().is_some_and(|name| name == "csctl.yaml"))
        {
            let shown = path.join(file);
            if let Ok(text) = std::fs::read_to_string(&shown) {
                let findings = csctl_file(&shown, &text);
                told.extend((!findings.is_empty()).then(|| shown.clone()));
                gathered.findings.extend(findings);
            }
        }
        // What a finding says already is not said again.
        gathered.unread.extend(found.problems.into_iter().filter(|problem| !told.contains(&problem.file)));
        gathered.unread.extend(walk.problem.map(|why| StackProblem::whole(path.clone(), why)));
        for source in found.stacks {
            subject(source, helm, &mut gathered).await;
        }
    }
    gathered
}

async fn subject(source: StackSource, helm: &Path, gathered: &mut Gathered) {
    let mut rendered = Vec::new();
    for minor in &source.minors {
        match stack::render(&source, helm, &[minor.kubernetes.minor()]).await {
            Ok(stack) => rendered.extend(stack.releases),
            Err(error) => gathered.unread.push(StackProblem::whole(minor.chart.clone(), error.to_string())),
        }
    }
    let mut files = BTreeMap::new();
    for minor in &source.minors {
        if !files.contains_key(&minor.folder) {
            match texts(&minor.folder) {
                Ok(texts) => {
                    files.insert(minor.folder.clone(), texts);
                }
                Err(why) => gathered.unread.push(StackProblem::whole(minor.folder.clone(), why)),
            }
        }
    }
    gathered.subjects.push(Subject { source, rendered, files });
}

fn texts(folder: &Path) -> Result<Texts, String> {
    let mut walk = Walk::default();
    walk.folder(folder, Path::new(""), 0);
    if let Some(problem) = walk.problem {
        return Err(problem);
    }
    let mut texts = Texts::default();
    for file in walk.files {
        let full = folder.join(&file);
        let Some(path) = file.to_str() else { continue };
        let link = full.symlink_metadata().is_ok_and(|found| found.is_symlink());
        let length = full.metadata().map_err(|error| format!("{path}: {error}"))?.len();
        if length > MAX_FILE {
            return Err(format!("{path}: is larger than any file of a stack"));
        }
        let bytes = std::fs::read(&full).map_err(|error| format!("{path}: {error}"))?;
        if !link {
            texts.digest.insert(path.to_owned(), Sha256::digest(&bytes).into());
        }
        if length <= MAX_TEXT
            && let Ok(text) = String::from_utf8(bytes)
        {
            texts.text.insert(path.to_owned(), text);
        }
    }
    Ok(texts)
}

/// The files of a folder. Links to files are followed, which the reading of stacks has found to stay inside; links to
/// folders are not.
#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    problem: Option<String>,
    seen: usize,
}

impl Walk {
    fn folder(&mut self, base: &Path, inside: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            self.problem = Some(format!("{} is more than {MAX_DEPTH} folders deep", inside.display()));
        }
        if self.problem.is_some() {
            return;
        }
        let mut entries: Vec<_> =
            std::fs::read_dir(base.join(inside)).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                self.problem = Some(format!("holds more than {MAX_ENTRIES} files"));
                return;
            }
            let name = entry.file_name();
            let path = inside.join(&name);
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if name != ".git" && name != "node_modules" && name != "target" {
                    self.folder(base, &path, depth + 1);
                }
            } else if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) {
                self.files.push(path);
            }
        }
    }
}
