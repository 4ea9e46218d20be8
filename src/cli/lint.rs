//! `stack-e2e lint`

use super::exit::Exit;
use super::{inputs, screen, testbed};
use crate::lint::baseline::{Baseline, Sorted};
use crate::lint::{self, RULES, Severity, report};
use crate::results::{ExitStatus, write_atomically};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Consistency of stacks.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Folders of stacks, or of repositories of stacks
    #[arg(required_unless_present = "rules", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Findings that are accepted, each with a reason and a date
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The least severity for which the exit code is 1
    #[arg(long, value_enum, default_value_t = Severity::Info)]
    fail_on: Severity,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Refuse links that lead out of this directory
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// List the rules
    #[arg(long)]
    rules: bool,
    #[command(flatten)]
    testbed: testbed::RunTestbedArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
    Zuul,
}

pub(super) fn run(args: &LintArgs) -> Exit {
    if args.rules {
        let lines =
            RULES.iter().map(|rule| format!("{:<20}{:<9}{}", rule.id, rule.severity.as_str(), rule.what));
        screen::data(&lines.collect::<Vec<_>>().join("\n"));
        return Exit::Passed;
    }
    linted(args).unwrap_or_else(|exit| exit)
}

fn linted(args: &LintArgs) -> Result<Exit, Exit> {
    let baseline = args.baseline.as_deref().map(baseline).transpose()?;
    let helm = testbed::helm(&args.testbed.settings()).map_err(|error| Exit::testbed(&error))?;
    let runtime = inputs::runtime()?;
    let gathered = runtime.block_on(lint::gather(&args.paths, args.root.as_deref(), &helm));
    let findings = lint::lint(&gathered);
    let unread = !gathered.unread.is_empty();
    let sorted = match (&baseline, &args.baseline) {
        (Some(baseline), Some(file)) => baseline.sort(findings, file, jiff::Zoned::now().date(), unread),
        _ => Sorted { findings, accepted: Vec::new() },
    };
    let minors = gathered.subjects.iter().map(|subject| subject.rendered.len()).sum();
    let problems = gathered.unread.iter().map(ToString::to_string).collect();
    let looked = report::Looked { stacks: gathered.subjects.len(), minors, unread: problems };
    let junit = report::junit(&sorted, &looked, args.fail_on);
    if let Some(file) = &args.junit {
        write_atomically(file, &junit).map_err(|error| {
            screen::complain(
                &format!("`{}` cannot be written: {error}", file.display()),
                "choose another place",
            );
            Exit::BadInput
        })?;
    }
    screen::data(&match args.format {
        Format::Text => report::text(&sorted, &looked),
        Format::Json => report::json(&sorted, &looked),
        Format::Junit => String::from_utf8_lossy(&junit).into_owned(),
        Format::Zuul => report::zuul(&sorted, &looked),
    });
    for problem in &gathered.unread {
        screen::note(&format!("error: {problem}"));
    }
    if unread {
        screen::note("\nhint: these could not be read or rendered, so nothing is known about them");
        return Ok(Exit::BadInput);
    }
    let counts = sorted.findings.iter().any(|finding| finding.severity >= args.fail_on);
    Ok(if counts { Exit::Run(ExitStatus::Failed) } else { Exit::Passed })
}

fn baseline(file: &Path) -> Result<Baseline, Exit> {
    let refuse = |problems: Vec<(u64, String)>| {
        let lines: Vec<String> = problems
            .iter()
            .map(|(line, why)| match line {
                0 => format!("error: {}: {why}", file.display()),
                line => format!("error: {}:{line}: {why}", file.display()),
            })
            .collect();
        screen::note(&format!("{}\n\nhint: docs/LINT.md describes the format", lines.join("\n")));
        Exit::BadInput
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(vec![(0, error.to_string())]))?;
    Baseline::parse(&text).map_err(refuse)
}
