//! `stack-e2e sweep --cloud NAME`: looks twice, judges, deletes by id, and counts four times.

use super::exit::Exit;
use super::{cloud, inputs, screen};
use crate::cloud::{
    Client, Finding, Inventory, Judgement, Kind, OWNER, Proof, Purge, Rules, exists, judge, prove, silent,
};
use crate::report::CloudSweep;
use crate::results::write_atomically;
use crate::types::{RunId, parse_duration};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use std::path::PathBuf;
use std::time::Duration;

/// How far the clocks may be apart: marks end by the clock of whoever made them.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How often the four counts are made until they agree; quotas and lists of a cloud take a while to follow.
const COUNTS: usize = 5;

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
    let (skew, (project, project_name)) = match (client.skew().await, client.project().await) {
        (Ok(skew), Ok(project)) => (skew, project),
        (Err(error), _) | (_, Err(error)) => {
            cloud::complain(&error);
            return Exit::NotProvenClean;
        }
    };
    let rules = |now| Rules { owner: &args.owner, run: wanted.run, now };
    let first = Inventory::take(client).await;
    let mut before = first.clone();
    let mut judgement = judge(&first, &before, &rules(Timestamp::now()));
    // Only what may be taken needs a second look.
    if judgement.taken().next().is_some() {
        tokio::time::sleep(args.settle).await;
        before = Inventory::take(client).await;
        judgement = judge(&first, &before, &rules(Timestamp::now()));
    }
    let taken: Vec<Finding> = judgement.taken().cloned().collect();
    let refused = refusal(args, wanted, skew, taken.len());
    let project = if project_name.is_empty() { project } else { format!("{project_name} ({project})") };
    let (mut outcomes, mut proof) = (None, None);
    if wanted.yes && refused.is_none() {
        let purge = Purge { deadline: wanted.timeout, ..Purge::default() };
        outcomes = Some(purge.run(client, &taken).await);
        proof = Some(counted(args, client, &before, &taken).await);
    }
    let report = CloudSweep {
        cloud: wanted.name,
        project: &project,
        judgement: &judgement,
        outcomes: outcomes.as_ref(),
        proof: proof.as_ref(),
        refused: refused.as_deref(),
    };
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
    conclude(wanted, &report, &judgement, taken.len())
}

/// Why nothing may be deleted now, whatever was found.
fn refusal(args: &CloudSweepArgs, wanted: &Wanted<'_>, skew: SignedDuration, taken: usize) -> Option<String> {
    if skew.abs() > MAX_SKEW {
        let (seconds, limit) = (skew.as_secs(), MAX_SKEW.as_secs());
        return Some(format!(
            "the clock of the cloud is {seconds} s ahead of ours; more than {limit} s either way make marks end at a wrong time"
        ));
    }
    let too_many = wanted.yes && taken > args.max_delete;
    too_many.then(|| format!("{taken} are more than --max-delete {}; look at them first", args.max_delete))
}

/// The four counts, until two in a row agree that nothing is left, or there is no hope.
async fn counted(args: &CloudSweepArgs, client: &Client, before: &Inventory, taken: &[Finding]) -> Proof {
    let mut good = 0;
    let mut last = Proof::default();
    for count in 0..COUNTS {
        if count > 0 {
            tokio::time::sleep(args.settle).await;
        }
        let after = Inventory::take(client).await;
        let mut by_id: Vec<(Kind, String, Result<bool, String>)> = Vec::new();
        let quiet = silent(&after, taken);
        for resource in taken.iter().map(|finding| &finding.resource).filter(|r| quiet.contains(&r.kind)) {
            let answer = exists(client, resource.kind, &resource.id).await.map_err(|error| error.to_string());
            by_id.push((resource.kind, resource.id.clone(), answer));
        }
        last = prove(before, &after, taken, args.disposable, &by_id);
        good = if last.clean() { good + 1 } else { 0 };
        if good == 2 || (taken.is_empty() && good == 1) {
            break;
        }
    }
    last
}

fn conclude(wanted: &Wanted<'_>, report: &CloudSweep<'_>, judgement: &Judgement, taken: usize) -> Exit {
    let clean = report.clean();
    match (wanted.yes, clean) {
        (_, true) if taken == 0 => screen::note("nothing to sweep"),
        (true, true) => screen::note(&format!("{taken} swept, proven clean")),
        (true, false) => screen::note("not proven clean; the same command tries again"),
        (false, _) if taken > 0 => {
            screen::note(&format!("{taken} to sweep; the same command with `--yes` deletes"))
        }
        (false, _) => screen::note("not proven clean"),
    }
    if judgement.invalid().next().is_some() {
        screen::note(
            "what has parts of a mark is left: look at it, and delete it by hand or repair its mark",
        );
    }
    if clean { Exit::Passed } else { Exit::NotProvenClean }
}
