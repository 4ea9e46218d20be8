//! `stack-e2e report`

use super::commands::Commands;
use super::exit::Exit;
use super::screen;
use crate::report::terminal::{SummaryContext, summary};
use crate::report::zuul::{self, Artifact};
use crate::report::{json, junit};
use crate::results::{RunReport, UnitReport, fold, merge, read_journal, write_atomically};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Directories of runs, each with its journal
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// Write JUnit to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What to print; zuul is data for zuul_return: comments on lines, warnings and artifacts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// With `--format zuul`: the directory among the logs of the build whose files are its artifacts
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// With `--format zuul`: write it to this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Zuul,
}

/// The files that are artifacts where they are there, with the names that people read.
const ARTIFACTS: &[(&str, &str)] = &[
    ("report.html", "Report"),
    ("junit.xml", "JUnit"),
    ("report.json", "Report (JSON)"),
    ("results.tar.gz", "Journal and evidence"),
];

pub(super) fn run(args: &ReportArgs) -> Exit {
    let mut reports = Vec::new();
    for directory in &args.runs {
        match read(directory) {
            Ok(report) => reports.push(report),
            Err(why) => {
                let hint = "name directories of runs, e.g. .stack-e2e/runs/ID";
                screen::complain(&format!("`{}`: {why}", directory.display()), hint);
                return Exit::BadInput;
            }
        }
    }
    let Some(report) = merge(reports) else { return Exit::NothingSelected };
    let mut wrote = Vec::new();
    if let Some(file) = &args.junit {
        wrote.push((file, write_atomically(file, &junit(&report))));
    }
    if let Some(file) = &args.json {
        let text = json(&report).map_err(std::io::Error::from);
        wrote.push((file, text.and_then(|text| write_atomically(file, text.as_bytes()))));
    }
    for (file, result) in wrote {
        if let Err(error) = result {
            screen::complain(
                &format!("`{}` cannot be written: {error}", file.display()),
                "choose another place",
            );
            return Exit::Infrastructure;
        }
    }
    if let Format::Zuul = args.format {
        let plans = args.runs.iter().filter_map(|directory| super::run::read_plan(directory).ok());
        let places = plans.flat_map(|plan| plan.places).collect();
        screen::for_zuul(args.to.clone());
        screen::zuul(&zuul::results(&report, &places, artifacts(args.artifacts.as_deref())));
        return Exit::Run(report.exit_status());
    }
    let directories: Vec<String> = args.runs.iter().map(|dir| dir.display().to_string()).collect();
    // The summary of several runs speaks for the first of them, as the merged report does.
    let first = args.runs.iter().find(|directory| read(directory).is_ok_and(|one| one.run == report.run));
    let commands = Commands::of_run(first.map_or(Path::new(""), PathBuf::as_path), &report.run);
    let rerun = |unit: &UnitReport| commands.again(unit.info.id.as_str());
    screen::data(&summary(
        &report,
        &SummaryContext {
            run_dir: &directories.join(" "),
            rerun: &rerun,
            resume: &commands.resume,
            bisect: &commands.bisect,
            sweep: &commands.sweep,
            color: false,
            width: screen::width(),
        },
    ));
    Exit::Run(report.exit_status())
}

fn artifacts(directory: Option<&Path>) -> Vec<Artifact> {
    let Some((directory, name)) = directory.and_then(|dir| Some((dir, dir.file_name()?.to_str()?))) else {
        return Vec::new();
    };
    let there = ARTIFACTS.iter().filter(|(file, _)| directory.join(file).is_file());
    there.map(|(file, text)| Artifact { name: (*text).to_owned(), url: format!("{name}/{file}") }).collect()
}

/// What an earlier run came to, as its journal says.
pub(super) fn read(directory: &Path) -> Result<RunReport, String> {
    let (events, _torn) = read_journal(directory).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    })?;
    fold(events).map_err(|error| error.to_string())
}
