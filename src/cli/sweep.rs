//! `stack-e2e sweep`

use super::commands::command;
use super::exit::Exit;
use super::owner::{Life, life};
use super::sweep_cloud::{self, CloudSweepArgs, Wanted};
use super::testbed::FindTestbedArgs;
use super::{inputs, screen, users};
use crate::cluster::Api;
use crate::event::Cleanliness;
use crate::provider::{capi, scripted};
use crate::testbed;
use crate::types::{ObjectRef, Owner, RunId, parse_duration};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Delete what is found; without it, it is only shown
    #[arg(long)]
    yes: bool,
    /// Only what this run has left, and even when nobody can tell whether it still lives
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Where to look
    #[arg(long, value_enum, default_value_t = Place::Embedded)]
    provider: Place,
    /// Look in this management cluster instead of the testbed
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where the provider `scripted` keeps what exists
    #[arg(long, value_name = "DIR", default_value = ".stack-e2e/scripted")]
    ledger: PathBuf,
    /// How long the deletion of one run may take
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    timeout: Duration,
    #[command(flatten)]
    cloud: CloudSweepArgs,
    #[command(flatten)]
    testbed: FindTestbedArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    Embedded,
    Scripted,
}

impl SweepArgs {
    /// The command that deletes what these arguments find.
    fn command(&self) -> String {
        let mut words = vec!["sweep".to_owned(), "--yes".to_owned()];
        words.extend(self.run.iter().flat_map(|run| ["--run".to_owned(), run.to_string()]));
        match (self.provider, &self.kubeconfig) {
            (Place::Scripted, _) => {
                words.extend(["--provider", "scripted", "--ledger"].map(str::to_owned));
                words.push(self.ledger.display().to_string());
            }
            (Place::Embedded, Some(file)) => {
                words.extend(["--kubeconfig".to_owned(), file.display().to_string()]);
            }
            (Place::Embedded, None) => words.extend(self.testbed.place()),
        }
        command(&words)
    }
}

/// What a run has left, whoever keeps it.
struct Found {
    run: RunId,
    owner: Option<Owner>,
    expires: Option<Timestamp>,
    objects: Vec<ObjectRef>,
}

/// Whether something may be taken.
enum Claim {
    Take(&'static str),
    Leave(&'static str),
}

impl Found {
    fn claim(&self, named: Option<&RunId>, now: Timestamp) -> Claim {
        match (named, self.owner.as_ref().map(life)) {
            (_, Some(Life::Alive)) => Claim::Leave("its process is at work"),
            (Some(named), _) if *named == self.run => Claim::Take("it was named"),
            (Some(_), _) => Claim::Leave("another run was named"),
            (None, Some(Life::Ended)) => Claim::Take("its process has ended"),
            (None, Some(Life::Elsewhere) | None) if self.expires.is_some_and(|at| at < now) => {
                Claim::Take("its time is over")
            }
            (None, Some(Life::Elsewhere) | None) => {
                Claim::Leave("its process is not on this machine and its time is not over; `--run` takes it")
            }
        }
    }
}

pub(super) fn run(args: &SweepArgs) -> Exit {
    if let Some(name) = &args.cloud.cloud {
        let wanted = Wanted { name, run: args.run.as_ref(), yes: args.yes, timeout: args.timeout };
        return sweep_cloud::run(&args.cloud, &wanted);
    }
    match (args.provider, &args.kubeconfig) {
        (Place::Scripted, _) => in_ledger(args),
        (Place::Embedded, Some(file)) => match inputs::runtime() {
            Ok(runtime) => runtime.block_on(in_cluster(args, file)),
            Err(exit) => exit,
        },
        (Place::Embedded, None) => in_testbed(args),
    }
}

fn in_testbed(args: &SweepArgs) -> Exit {
    let settings = args.testbed.settings();
    let info = match testbed::info(&settings) {
        Ok(Some(info)) => info,
        Ok(None) => {
            screen::note("no testbed is running, so nothing can be left in it");
            return Exit::Passed;
        }
        Err(error) => return Exit::testbed(&error),
    };
    // A run that ends meanwhile must not take the testbed down under the feet of the sweep.
    let used = users::hold(&settings);
    if let Err(error) = testbed::join(&info) {
        return Exit::testbed(&error);
    }
    let exit = match inputs::runtime() {
        Ok(runtime) => runtime.block_on(in_cluster(args, &info.kubeconfig)),
        Err(exit) => return exit,
    };
    drop(used);
    if args.yes && exit == Exit::Passed {
        users::release(&settings);
    }
    exit
}

async fn in_cluster(args: &SweepArgs, kubeconfig: &std::path::Path) -> Exit {
    let api = match Api::from_file(kubeconfig).await {
        Ok(api) => api,
        Err(error) => {
            screen::error(&error, Some("`--kubeconfig FILE` names the management cluster"));
            return Exit::Infrastructure;
        }
    };
    let left = match capi::find_left(&api).await {
        Ok(left) => left,
        Err(failure) => {
            screen::complain(&failure.summary, "nothing is known about leftovers until the listing works");
            return Exit::NotProvenClean;
        }
    };
    let mut outcome = Outcome::default();
    for left in left {
        let found = Found {
            run: left.run.clone(),
            owner: left.owner.clone(),
            expires: left.objects.iter().filter_map(|l| l.expires).max(),
            objects: left.objects.iter().map(|l| l.object.clone()).collect(),
        };
        if outcome.takes(args, &found) {
            let clean = capi::sweep(&api, &left, args.timeout).await;
            outcome.took(&found, &clean);
        }
    }
    outcome.end(args)
}

fn in_ledger(args: &SweepArgs) -> Exit {
    let trouble = |error: std::io::Error| {
        screen::complain(
            &format!("`{}`: {error}", args.ledger.display()),
            "`--ledger DIR` names another place",
        );
        Exit::NotProvenClean
    };
    if !args.ledger.exists() {
        screen::note(&format!("`{}` does not exist, so nothing can be left in it", args.ledger.display()));
        return Exit::Passed;
    }
    let ledger = match scripted::Ledger::in_directory(&args.ledger) {
        Ok(ledger) => ledger,
        Err(error) => return trouble(error),
    };
    let left = match scripted::find_left(&ledger) {
        Ok(left) => left,
        Err(error) => return trouble(error),
    };
    let mut outcome = Outcome::default();
    for (run, (owner, objects)) in left {
        let found = Found { run, owner: Some(owner), expires: None, objects };
        if outcome.takes(args, &found) {
            let clean = scripted::sweep(&ledger, &found.run);
            outcome.took(&found, &clean);
        }
    }
    outcome.end(args)
}

/// What a sweep came to.
#[derive(Default)]
struct Outcome {
    taken: usize,
    would_take: usize,
    remaining: usize,
    /// The named run is at work, so it was not touched.
    at_work: bool,
}

impl Outcome {
    /// Shows what was found; whether it is to be deleted now.
    fn takes(&mut self, args: &SweepArgs, found: &Found) -> bool {
        let claim = found.claim(args.run.as_ref(), Timestamp::now());
        let (word, why) = match claim {
            Claim::Leave(why) => ("leave", why),
            Claim::Take(why) if args.yes => ("take", why),
            Claim::Take(why) => ("would take", why),
        };
        screen::data(&format!("run {}: {word}, because {why}", found.run));
        for object in &found.objects {
            screen::data(&format!("  {object}"));
        }
        match claim {
            Claim::Leave(_) => {
                self.at_work |= args.run.as_ref() == Some(&found.run);
                false
            }
            Claim::Take(_) => {
                self.would_take += 1;
                args.yes
            }
        }
    }

    fn took(&mut self, found: &Found, clean: &Cleanliness) {
        match clean {
            Cleanliness::Clean => {
                self.taken += 1;
                screen::data(&format!("run {}: clean", found.run));
            }
            Cleanliness::Left { objects } => {
                self.remaining += 1;
                screen::data(&format!("run {}: still left", found.run));
                for object in objects {
                    screen::data(&format!("  {object}"));
                }
            }
            Cleanliness::Unknown { why } => {
                self.remaining += 1;
                screen::data(&format!("run {}: not known what is left: {why}", found.run));
            }
            Cleanliness::Kept => {}
        }
    }

    fn end(&self, args: &SweepArgs) -> Exit {
        if self.remaining > 0 {
            screen::note(&format!("not everything could be removed; `{}` tries again", args.command()));
            return Exit::NotProvenClean;
        }
        if self.at_work {
            screen::note("nothing was removed: the run is at work; SIGINT makes it tear down");
            return Exit::NotProvenClean;
        }
        match (self.would_take, args.yes) {
            (0, _) => screen::note("nothing to sweep"),
            (count, false) => screen::note(&format!("{count} to sweep; `{}` deletes", args.command())),
            (_, true) => screen::note(&format!("{} swept, proven clean", self.taken)),
        }
        Exit::Passed
    }
}
