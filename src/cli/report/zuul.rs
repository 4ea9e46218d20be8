//! `report --format zuul`: data for `zuul_return`.

use crate::report::zuul::{self, Artifact};
use crate::results::RunReport;
use std::path::{Path, PathBuf};

/// The files that are artifacts where they are there, with the names that people read.
const ARTIFACTS: &[(&str, &str)] = &[
    ("report.html", "Report"),
    ("junit.xml", "JUnit"),
    ("report.json", "Report (JSON)"),
    ("results.tar.gz", "Journal and evidence"),
];

/// Prints, or writes to `to`, the comments on lines, warnings and artifacts of a report.
pub(super) fn show(
    report: &RunReport,
    directories: &[PathBuf],
    artifacts: Option<&Path>,
    to: Option<PathBuf>,
) {
    let plans = directories.iter().filter_map(|directory| super::super::run::read_plan(directory).ok());
    let places = plans.flat_map(|plan| plan.places).collect();
    super::screen::for_zuul(to);
    super::screen::zuul(&zuul::results(report, &places, found(artifacts)));
}

fn found(directory: Option<&Path>) -> Vec<Artifact> {
    let Some((directory, name)) = directory.and_then(|dir| Some((dir, dir.file_name()?.to_str()?))) else {
        return Vec::new();
    };
    let there = ARTIFACTS.iter().filter(|(file, _)| directory.join(file).is_file());
    there.map(|(file, text)| Artifact { name: (*text).to_owned(), url: format!("{name}/{file}") }).collect()
}
