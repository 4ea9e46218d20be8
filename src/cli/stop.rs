//! `stack-e2e stop`

use super::exit::Exit;
use super::owner::{Life, life};
use super::run::{DEFAULT_OUTPUT, read_plan, run_directory};
use super::{inputs, screen};
use crate::types::{Owner, RunId, parse_duration};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often to look whether a process has ended.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Where runs are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUTPUT, env = "STACK_E2E_OUTPUT")]
    output: PathBuf,
    /// How long a run may take to hand over after SIGTERM, before it is killed
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15s")]
    grace: Duration,
}

/// Ends the processes of all runs that are kept in a directory, and prints the ids of the runs, one on a line, for
/// `sweep --run`. Whoever started a run may be gone without having stopped it: a CI system that aborts a build.
pub(super) fn run(args: &StopArgs) -> Exit {
    let runs = match runs(&args.output) {
        Ok(runs) => runs,
        Err(error) => {
            let hint = "`--output DIR` names the directory where runs are kept";
            screen::complain(&format!("`{}`: {error}", args.output.display()), hint);
            return Exit::NotProvenClean;
        }
    };
    let runtime = match inputs::runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let mut exit = Exit::Passed;
    for run in runs {
        // Without a plan nothing has been created, and nobody can tell whose it is.
        match read_plan(&run_directory(&args.output, &run)) {
            Ok(plan) if !runtime.block_on(ended(&run, &plan.owner, args.grace)) => {
                screen::complain(&format!("run {run} does not end"), "look at its process");
                exit = Exit::NotProvenClean;
            }
            Ok(_) => {}
            Err(why) => screen::note(&format!("run {run}: {why}")),
        }
        screen::data(run.as_str());
    }
    exit
}

fn runs(output: &Path) -> std::io::Result<Vec<RunId>> {
    let directory = match std::fs::read_dir(output.join("runs")) {
        Ok(directory) => directory,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut runs = Vec::new();
    for entry in directory {
        runs.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    runs.sort();
    Ok(runs)
}

/// Whether a process has ended, after it was asked to, and then told to.
async fn ended(run: &RunId, owner: &Owner, grace: Duration) -> bool {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let Some(pid) = alive(owner) else { return true };
        screen::note(&format!("{signal} to process {pid} of run {run}"));
        // An error means that it has gone meanwhile, or never will: the next look tells.
        let _ = kill(pid, signal);
        let end = Instant::now() + grace;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while alive(owner).is_some() && Instant::now() < end {
            ticks.tick().await;
        }
    }
    alive(owner).is_none()
}

fn alive(owner: &Owner) -> Option<Pid> {
    let pid = i32::try_from(owner.pid).ok().filter(|pid| *pid > 1)?;
    (life(owner) == Life::Alive).then(|| Pid::from_raw(pid))
}
