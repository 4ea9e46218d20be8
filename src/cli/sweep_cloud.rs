//! `stack-e2e sweep --cloud NAME`: looks twice, judges, deletes by id, and counts four times.

use super::exit::Exit;
use super::{cloud, inputs, screen};
use crate::cloud::{Cleaned, Cleaning, Client, OWNER, Purge};
use crate::provider::project::{Account, Project};
use crate::report::CloudSweep;
use crate::results::write_atomically;
use crate::types::{RunId, parse_duration};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct CloudSweepArgs {
    /// Look in the project of this cloud of clouds.yaml; `-`: the one that OS_CLOUD names, or the only one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["kubeconfig", "provider"])]
    pub(super) cloud: Option<String>,
    /// The region, when the cloud has several
    #[arg(long, value_name = "REGION", requires = "cloud")]
    region: Option<String>,
    /// Only what this owner has marked
    #[arg(long, value_name = "NAME", default_value = OWNER, requires = "cloud")]
    owner: String,
    /// Take what controllers have made for this cluster without a mark; may be given several times
    #[arg(long, value_name = "NAME", requires = "cloud")]
    cluster: Vec<String>,
    /// Delete nothing at all when it would be more than this
    #[arg(long, value_name = "N", default_value_t = 50, requires = "cloud")]
    max_delete: usize,
    /// Between two looks that must agree
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s", requires = "cloud")]
    settle: Duration,
    /// Nobody else uses the project: it must be empty afterwards
    #[arg(long, requires = "cloud")]
    disposable: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Table, requires = "cloud")]
    format: Format,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE", requires = "cloud")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) run: Option<&'a RunId>,
    pub(super) yes: bool,
    pub(super) timeout: Duration,
}

pub(super) fn run(args: &CloudSweepArgs, wanted: &Wanted<'_>) -> Exit {
    let client = match cloud::connect(wanted.name, args.region.as_deref()) {
        Ok(client) => client,
        Err(exit) => return exit,
    };
    match inputs::runtime() {
        Ok(runtime) => runtime.block_on(sweep(args, wanted, &client)),
        Err(exit) => exit,
    }
}

async fn sweep(args: &CloudSweepArgs, wanted: &Wanted<'_>, client: &Client) -> Exit {
    let clusters: BTreeSet<String> = args.cluster.iter().cloned().collect();
    let cleaning = Cleaning {
        owner: &args.owner,
        run: wanted.run,
        clusters: &clusters,
        yes: wanted.yes,
        max_delete: args.max_delete,
        settle: args.settle,
        disposable: args.disposable,
        purge: Purge { deadline: wanted.timeout, ..Purge::default() },
        now: Timestamp::now,
    };
    let cleaned = match cleaning.run(client).await {
        Ok(cleaned) => cleaned,
        Err(error) => {
            cloud::complain(&error);
            return Exit::NotProvenClean;
        }
    };
    let (id, name) = &cleaned.project;
    let project = if name.is_empty() { id.clone() } else { format!("{name} ({id})") };
    let report = CloudSweep { cloud: wanted.name, project: &project, cleaned: &cleaned };
    screen::data(&match args.format {
        Format::Table => report.table(),
        Format::Json => report.json(),
    });
    if let Some(file) = &args.junit {
        let wrote =
            report.junit().and_then(|xml| write_atomically(file, &xml).map_err(|error| error.to_string()));
        if let Err(why) = wrote {
            screen::note(&format!("warning: `{}` cannot be written: {why}", file.display()));
        }
    }
    conclude(wanted, &cleaned)
}

fn conclude(wanted: &Wanted<'_>, cleaned: &Cleaned) -> Exit {
    let (clean, taken) = (cleaned.clean(), cleaned.judgement.taken().count());
    match (wanted.yes, clean) {
        (_, true) if taken == 0 => screen::note("nothing to sweep"),
        (true, true) => screen::note(&format!("{taken} swept, proven clean")),
        (true, false) => screen::note("not proven clean; the same command tries again"),
        (false, _) if taken > 0 => {
            screen::note(&format!("{taken} to sweep; the same command with `--yes` deletes"))
        }
        (false, _) => screen::note("not proven clean"),
    }
    if cleaned.judgement.invalid().next().is_some() {
        screen::note(
            "what nobody can tell whose it is is left: name its cluster with `--cluster`, or delete it by hand",
        );
    }
    if clean { Exit::Passed } else { Exit::NotProvenClean }
}

/// What a run has found of itself in its project at its end: in its directory for programs, and on the screen where it
/// is worth a look, because controllers should have deleted it.
pub(super) fn account(project: &Project, directory: &Path) {
    let Some(Account { cleaned, strangers }) = project.account() else { return };
    let (cloud, name) = (project.cloud(), &cleaned.project.1);
    let report = CloudSweep { cloud, project: name, cleaned: &cleaned };
    let file = directory.join("cloud.json");
    if let Err(error) = write_atomically(&file, report.json().as_bytes()) {
        screen::note(&format!("warning: `{}` cannot be written: {error}", file.display()));
    }
    let taken = cleaned.judgement.taken().count();
    if taken > 0 {
        screen::note(&format!(
            "warning: controllers have left {taken} things in the cloud `{cloud}`, which were deleted there by their ids; `{}` names them",
            file.display()
        ));
    }
    for resource in strangers {
        screen::note(&format!(
            "new in the cloud `{cloud}` since the run began, without a mark, left alone: {} {} {}",
            resource.kind, resource.id, resource.name
        ));
    }
}
