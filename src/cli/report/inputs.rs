//! What `report` reads: runs by their journals, event by event, and JUnit files.

use crate::cli::exit::Exit;
use crate::cli::screen;
use crate::event::Event;
use crate::results::foreign::{ReadError, Source};
use crate::results::timeline::Timeline;
use crate::results::{EvidenceSizes, Folder, JOURNAL_FILE, JournalError, RunReport, each_event, merge};
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

/// Texts of evidence of all journals together are not held beyond this.
const EVIDENCE_BUDGET: u64 = 64 << 20;

/// Everything that was named, read.
pub(super) struct Inputs {
    /// The directories of runs, as they were named.
    pub(super) directories: Vec<PathBuf>,
    /// The directory whose run gives the merged report its name.
    pub(super) directory_of_first: Option<PathBuf>,
    /// All runs as one.
    pub(super) report: Option<RunReport>,
    /// All runs as one.
    pub(super) timeline: Timeline,
    files: Vec<PathBuf>,
}

/// The directory of a run that is named by it or by its journal.
pub(super) fn run_directory(named: &Path) -> PathBuf {
    match (named.file_name(), named.parent()) {
        (Some(name), Some(parent)) if name == JOURNAL_FILE && named.is_file() => match parent.as_os_str() {
            empty if empty.is_empty() => PathBuf::from("."),
            _ => parent.to_owned(),
        },
        _ => named.to_owned(),
    }
}

impl Inputs {
    pub(super) fn read(named: &[PathBuf]) -> Result<Self, Exit> {
        let mut directories = Vec::new();
        let mut files = Vec::new();
        for path in named {
            let directory = run_directory(path);
            if directory != *path || !path.is_file() {
                directories.push(directory);
            } else {
                files.push(path.clone());
            }
        }
        let limit = evidence_limit(&directories);
        let mut reports = Vec::new();
        let mut timeline = Timeline::default();
        for directory in &directories {
            let (mut report, times) = read_limited(directory, limit).map_err(|why| {
                let hint = "name directories of runs, e.g. .stack-e2e/runs/ID, or JUnit files";
                screen::complain(&format!("`{}`: {why}", directory.display()), hint);
                Exit::BadInput
            })?;
            if directories.len() > 1 {
                // Whose evidence it is must be told when there is more than one directory.
                for unit in &mut report.units {
                    for file in &mut unit.evidence {
                        *file = format!("{}/{file}", directory.display());
                    }
                }
            }
            timeline.add(times);
            reports.push((report.run.clone(), directory.clone(), report));
        }
        let names: Vec<_> =
            reports.iter().map(|(run, directory, _)| (run.clone(), directory.clone())).collect();
        let report = merge(reports.into_iter().map(|(_, _, report)| report).collect());
        let directory_of_first = report.as_ref().and_then(|report| {
            let found = names.into_iter().find(|(run, _)| *run == report.run);
            found.map(|(_, directory)| directory)
        });
        Ok(Self { directories, directory_of_first, report, timeline, files })
    }

    /// The JUnit files, to be opened as often as they are read.
    pub(super) fn sources(&self) -> Vec<Source<'static>> {
        let source = |path: &'_ PathBuf| -> Source<'static> {
            let path = path.clone();
            Source {
                name: path.display().to_string(),
                open: Box::new(move || {
                    let file = BufReader::with_capacity(1 << 16, File::open(&path)?);
                    Ok(Box::new(file))
                }),
            }
        };
        self.files.iter().map(source).collect()
    }

    /// Where paths of evidence begin.
    pub(super) fn files_in(&self) -> &Path {
        match self.directories.as_slice() {
            [one] => one,
            _ => Path::new("."),
        }
    }
}

/// Says why a JUnit file is no use.
pub(super) fn refuse(file: &str, error: &ReadError) -> Exit {
    let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    let hint = "name directories of runs, e.g. .stack-e2e/runs/ID, or JUnit files";
    screen::complain(&format!("`{file}`: {error}{cause}"), hint);
    Exit::BadInput
}

/// A first look at all journals, when together they could hold too much evidence.
fn evidence_limit(directories: &[PathBuf]) -> usize {
    let size = |directory: &PathBuf| {
        std::fs::metadata(directory.join(JOURNAL_FILE)).map_or(0, |metadata| metadata.len())
    };
    if directories.iter().map(size).sum::<u64>() <= EVIDENCE_BUDGET {
        return usize::MAX;
    }
    let mut sizes = EvidenceSizes::default();
    for directory in directories {
        // What is wrong with it is said when it is read.
        let _ = each_event(directory, &mut |event| sizes.add(&event));
    }
    sizes.limit(EVIDENCE_BUDGET)
}

fn told(error: &JournalError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn read_limited(directory: &Path, limit: usize) -> Result<(RunReport, Timeline), String> {
    let mut folder = Folder::with_evidence_limit(limit);
    let mut timeline = Timeline::default();
    let mut wrong = None;
    let mut apply = |event: Event| {
        timeline.apply(&event);
        if let Err(error) = folder.apply(&event) {
            wrong.get_or_insert(error);
        }
    };
    each_event(directory, &mut apply).map_err(|error| told(&error))?;
    match wrong {
        Some(error) => Err(error.to_string()),
        None => Ok((folder.report().map_err(|error| error.to_string())?, timeline)),
    }
}

/// What an earlier run came to, as its journal says.
pub(crate) fn read(directory: &Path) -> Result<RunReport, String> {
    read_limited(directory, usize::MAX).map(|(report, _)| report)
}

/// How `directory` is reached from the page at `page`: empty or ending in `/`. `None` when a part of the way has a
/// name that cannot stand in an address as it is.
pub(super) fn relative(page: &Path, directory: &Path) -> Option<String> {
    let parent = page.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (from, to) = (parent.canonicalize().ok()?, directory.canonicalize().ok()?);
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let mut address = "../".repeat(from.len() - shared);
    for part in &to[shared..] {
        let Component::Normal(name) = part else { return None };
        let name = name.to_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if !name.chars().all(plain) {
            return None;
        }
        address.push_str(name);
        address.push('/');
    }
    Some(address)
}
