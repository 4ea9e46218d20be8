//! `stack-e2e report`

mod history;
mod inputs;
mod replay;
mod traces;
mod zuul;

pub(super) use history::recent;
pub(super) use inputs::read;

use super::commands::Commands;
use super::exit::Exit;
use super::screen;
use crate::report::terminal::{self, SummaryContext, summary};
use crate::report::{Facts, html, json_of, junit, junit_merged, markdown, prometheus};
use crate::results::foreign::{Foreign, Merged};
use crate::results::history::Past;
use crate::results::{UnitReport, write_atomically, write_atomically_with};
use clap::{Args, ValueEnum};
use inputs::Inputs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Directories of runs, each with its journal, and JUnit files of any tool
    #[arg(required_unless_present_any = ["history", "replay"], value_name = "RUN_DIR|JUNIT_FILE")]
    inputs: Vec<PathBuf>,
    /// Write JUnit to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page for people to this file; it needs nothing else to be read
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a comment for a pull request to this file, at most 60 lines
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write metrics in the text format of Prometheus to this file
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Send traces to this collector of OpenTelemetry (OTLP over HTTP), e.g. http://127.0.0.1:4318
    #[arg(long, value_name = "URL", conflicts_with = "replay")]
    otlp: Option<String>,
    /// Compare with earlier runs: a directory with run directories or `report.json` files in it, at any depth; or
    /// s3://BUCKET/PREFIX of an object store, with access from the environment (`AWS_ACCESS_KEY_ID` and so on)
    #[arg(long, value_name = "DIR|S3_URL")]
    history: Option<PathBuf>,
    /// Show a run again as it happened, from its directory or journal
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["inputs", "history"])]
    replay: Option<PathBuf>,
    /// How many times as fast as it happened; without it as fast as possible
    #[arg(long, value_name = "TIMES", requires = "replay", conflicts_with = "inputs", value_parser = replay::parse_speed)]
    speed: Option<f64>,
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

pub(super) fn run(args: &ReportArgs) -> Exit {
    match report(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn report(args: &ReportArgs) -> Result<Exit, Exit> {
    let named = match &args.replay {
        Some(journal) => {
            let directory = inputs::run_directory(journal);
            replay::replay(&directory, args.speed)?;
            vec![directory]
        }
        None => args.inputs.clone(),
    };
    let mut known = match &args.history {
        Some(directory) => Some(history::read(directory)?),
        None => None,
    };
    let inputs = Inputs::read(&named)?;
    let sources = inputs.sources();
    let limits = crate::results::foreign::Limits::default();
    let merged = match Merged::of(&sources, &limits) {
        Ok(merged) => merged,
        Err((file, error)) => return Err(inputs::refuse(&file, &error)),
    };
    if let (Some(history), Some(report)) = (&mut known, &inputs.report) {
        *history = history.until(Past::of(report));
    }
    let run = inputs.report.as_ref().map(|report| &report.run);
    let directory = inputs.directory_of_first.clone();
    let commands = run.map(|run| Commands::of_run(directory.as_deref().unwrap_or(Path::new("")), run));
    let commands = commands.unwrap_or_default();
    let again = |unit: &UnitReport| commands.again(unit.info.id.as_str());
    let base = args.html.as_deref().and_then(|page| inputs::relative(page, inputs.files_in()));
    let facts = Facts {
        report: inputs.report.as_ref(),
        timeline: &inputs.timeline,
        foreign: &merged.foreign,
        history: known.as_ref(),
        again: &again,
        resume: &commands.resume,
        sweep: &commands.sweep,
        files: base.as_deref(),
    };
    write(args, &facts, &merged, &inputs)?;
    let sent = args.otlp.as_deref().map_or(Ok(()), |endpoint| traces::send(endpoint, &facts));
    match (args.format, facts.report) {
        (Format::Zuul, Some(report)) => {
            zuul::show(report, &inputs.directories, args.artifacts.as_deref(), args.to.clone());
        }
        (Format::Zuul | Format::Text, _) => show(args, &facts, &inputs, &commands.bisect),
    }
    sent?;
    if facts.report.is_none() && facts.foreign.files.is_empty() {
        return Ok(if args.history.is_some() { Exit::Passed } else { Exit::NothingSelected });
    }
    Ok(Exit::Run(facts.exit_status()))
}

/// Writes what was asked for.
fn write(args: &ReportArgs, facts: &Facts<'_>, merged: &Merged, inputs: &Inputs) -> Result<(), Exit> {
    let cannot = |file: &Path, error: &io::Error| {
        screen::complain(&format!("`{}` cannot be written: {error}", file.display()), "choose another place");
        Exit::Infrastructure
    };
    if let Some(file) = &args.junit {
        write_junit(file, facts, merged, inputs).map_err(|error| cannot(file, &error))?;
    }
    let write = |file: &Option<PathBuf>, text: &dyn Fn() -> io::Result<Vec<u8>>| match file {
        Some(file) => {
            text().and_then(|text| write_atomically(file, &text)).map_err(|error| cannot(file, &error))
        }
        None => Ok(()),
    };
    write(&args.json, &|| Ok(json_of(facts)?.into_bytes()))?;
    write(&args.html, &|| Ok(html(facts)))?;
    write(&args.markdown, &|| Ok(markdown(facts).into_bytes()))?;
    write(&args.prometheus, &|| Ok(prometheus(facts).into_bytes()))?;
    Ok(())
}

fn write_junit(file: &Path, facts: &Facts<'_>, merged: &Merged, inputs: &Inputs) -> io::Result<()> {
    let own = facts.report.map(junit);
    if let (Some(own), true) = (&own, facts.foreign.files.is_empty()) {
        return write_atomically(file, own);
    }
    write_atomically_with(file, |out| {
        let written = junit_merged(merged, &inputs.sources(), own.as_deref(), out);
        written.map_err(|(file, error)| io::Error::other(format!("`{file}`: {error}")))
    })
}

fn show(args: &ReportArgs, facts: &Facts<'_>, inputs: &Inputs, bisect: &str) {
    let mut text = String::new();
    if let Some(report) = facts.report {
        let directories: Vec<String> =
            inputs.directories.iter().map(|dir| dir.display().to_string()).collect();
        let beside = match inputs.directories.as_slice() {
            [one] => Some(one.join(screen::PAGE_FILE)).filter(|page| page.is_file()),
            _ => None,
        };
        let page = args.html.clone().or(beside).map(|page| page.display().to_string());
        text.push_str(&summary(
            report,
            &SummaryContext {
                run_dir: &directories.join(" "),
                evidence: if directories.len() == 1 { &directories[0] } else { "" },
                page: page.as_deref(),
                rerun: facts.again,
                resume: facts.resume,
                bisect,
                sweep: facts.sweep,
                color: false,
                width: screen::width(),
            },
        ));
    }
    text.push_str(&terminal::foreign(facts.foreign, screen::width()));
    if let Some(history) = facts.history {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&terminal::history(history, screen::width()));
    }
    if !text.is_empty() {
        screen::data(&text);
    }
}

/// What other tools say, when there is nothing of theirs.
pub(super) fn no_foreign() -> &'static Foreign {
    static NONE: Foreign = Foreign { files: Vec::new(), failures: Vec::new(), more: 0 };
    &NONE
}
