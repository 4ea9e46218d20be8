//! Earlier runs in a directory: run directories, or what is left of them in an archive of results.

use super::inputs;
use crate::cli::exit::Exit;
use crate::cli::{screen, store};
use crate::report::from_json;
use crate::results::JOURNAL_FILE;
use crate::results::history::{History, Past};
use std::path::{Path, PathBuf};

/// Directories within each other, and files; an archive is not deeper or larger than this.
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 20_000;
/// A larger file is no `report.json`.
const MAX_BYTES: u64 = 512 << 20;

/// What was found to look at.
enum Found {
    Run(PathBuf),
    Report(PathBuf),
}

/// All runs below a directory, or an address of an object store. What cannot be read is said and left out: one damaged file does not take the rest away.
pub(super) fn read(place: &Path) -> Result<History, Exit> {
    if store::is_address(place) {
        let copy = store::fetch(place)?;
        return below(copy.path());
    }
    below(place)
}

fn below(directory: &Path) -> Result<History, Exit> {
    if !directory.is_dir() {
        let hint = "`--history` names a directory with run directories or `report.json` files in it, or s3://BUCKET/PREFIX";
        screen::complain(&format!("`{}` is no directory", directory.display()), hint);
        return Err(Exit::BadInput);
    }
    let mut found = Vec::new();
    look(directory, 0, &mut found);
    let mut history = History::default();
    for one in found {
        let (path, past) = match one {
            Found::Run(path) => {
                let past = inputs::read(&path);
                (path, past)
            }
            Found::Report(path) => {
                let past = read_json(&path);
                (path, past)
            }
        };
        match past {
            Ok(report) => history.add(Past::of(&report)),
            Err(why) => screen::note(&format!("warning: `{}` is left out: {why}", path.display())),
        }
    }
    Ok(history)
}

fn read_json(path: &Path) -> Result<crate::results::RunReport, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    from_json(&std::fs::read(path).map_err(|error| error.to_string())?)
}

/// Links are not followed, so that no way leads out or round.
fn look(directory: &Path, depth: usize, found: &mut Vec<Found>) {
    if directory.join(JOURNAL_FILE).is_file() {
        found.push(Found::Run(directory.to_owned()));
        return;
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.flatten().collect();
    paths.sort_by_key(std::fs::DirEntry::file_name);
    for entry in paths {
        let (Ok(kind), path) = (entry.file_type(), entry.path()) else { continue };
        if found.len() >= MAX_FILES {
            return;
        }
        if kind.is_dir() && depth < MAX_DEPTH {
            look(&path, depth + 1, found);
        } else if kind.is_file() && entry.file_name().to_string_lossy().ends_with("report.json") {
            found.push(Found::Report(path));
        }
    }
}

/// The last few runs below `output`, for a guess of how long a new one takes. Whatever goes wrong, there is less to
/// guess from.
pub(crate) fn recent(output: &Path) -> History {
    const RUNS: usize = 5;
    const MAX_JOURNAL: u64 = 32 << 20;
    let Ok(entries) = std::fs::read_dir(output.join("runs")) else { return History::default() };
    let mut runs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // Ids of runs sort by time.
    runs.sort();
    let small = |run: &&PathBuf| {
        std::fs::metadata(run.join(JOURNAL_FILE)).is_ok_and(|journal| journal.len() <= MAX_JOURNAL)
    };
    let mut history = History::default();
    for report in runs.iter().rev().filter(small).take(RUNS).filter_map(|run| inputs::read(run).ok()) {
        history.add(Past::of(&report));
    }
    history
}
