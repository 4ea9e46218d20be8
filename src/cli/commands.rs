//! The commands that the last screen names: runnable as printed, in the directory where the run was started.

use super::run::RunArgs;
use super::screen;
use crate::plan::Plan;
use crate::results::write_atomically;
use crate::types::{ProviderKind, RunId};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "commands.json";

/// How to go on with a run. Kept in its directory, so that `report` and `--rerun-failed` can say the same later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commands {
    /// The directory to which relative paths belong.
    directory: PathBuf,
    /// Runs one combination again: its id is to be appended.
    again: String,
    /// Finishes a run that was stopped.
    pub(super) resume: String,
    /// Removes what the run left.
    pub(super) sweep: String,
    /// Runs what tells apart the possible causes of its failures.
    #[serde(default)]
    pub(super) bisect: String,
}

impl Commands {
    /// The commands for a run that these arguments have started.
    pub(super) fn new(args: &RunArgs, plan: &Plan) -> Self {
        let (run, place) = (plan.run.as_str(), place(args, plan.provider));
        let mut resume = words(&["run", "--resume", run]);
        resume.extend(place.clone());
        resume.extend(args.junit.iter().flat_map(|file| path("--junit", file)));
        resume.extend(args.clouds.iter().flat_map(|file| path("--clouds", file)));
        resume.extend(args.keep_testbed.then(|| "--keep-testbed".to_owned()));
        let mut sweep = words(&["sweep", "--run", run, "--yes"]);
        match (plan.provider, &args.kubeconfig) {
            (ProviderKind::Scripted, _) => {
                sweep.extend(words(&["--provider", "scripted"]));
                sweep.extend(path("--ledger", &args.scripted.ledger));
            }
            (_, Some(file)) => sweep.extend(path("--kubeconfig", file)),
            (_, None) => sweep.extend(args.testbed.place()),
        }
        let mut again = words(&["run"]);
        if args.files.is_empty() {
            again.extend(words(&["--rerun-failed", run]));
        } else {
            again.extend(args.files.iter().map(|file| file.display().to_string()));
            again.extend(args.trust.words());
            again.extend(args.planning.select.cover.words());
            again.extend(args.planning.access.words());
            // Limits have a say in which covering array it is.
            again
                .extend(args.planning.capacity.iter().flat_map(|c| ["--capacity".to_owned(), c.to_string()]));
        }
        again.extend(args.clouds.iter().flat_map(|file| path("--clouds", file)));
        let mut bisect = again.clone();
        bisect.extend(place.clone());
        bisect.extend(words(&["--bisect", run]));
        again.extend(place);
        again.push("--only".into());
        Self {
            directory: std::env::current_dir().unwrap_or_default(),
            again: command(&again),
            resume: command(&resume),
            sweep: command(&sweep),
            bisect: command(&bisect),
        }
    }

    /// As these, but what is done again is done as before: from the files that were named then.
    pub(super) fn after(self, earlier: Option<Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.directory == self.directory => {
                Self { again: earlier.again, bisect: earlier.bisect, ..self }
            }
            Some(_) | None => self,
        }
    }

    /// Runs one combination again.
    pub(super) fn again(&self, id: &str) -> String {
        format!("{} {id}", self.again)
    }

    /// Lays them down in the run's directory.
    pub(super) fn write(&self, directory: &Path) -> std::io::Result<()> {
        write_atomically(&directory.join(FILE_NAME), &serde_json::to_vec_pretty(self)?)
    }

    /// Those of an earlier run, as far as they are known.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join(FILE_NAME)).ok()?).ok()
    }

    /// Those of an earlier run, to be typed here; a guess where they are not known.
    pub(super) fn of_run(directory: &Path, run: &RunId) -> Self {
        let guess = || Self {
            directory: PathBuf::new(),
            again: "stack-e2e run FILE --only".into(),
            resume: format!("stack-e2e run --resume {run}"),
            sweep: format!("stack-e2e sweep --run {run} --yes"),
            bisect: format!("stack-e2e run FILE --bisect {run}"),
        };
        let mut found = Self::read(directory).unwrap_or_else(guess);
        let here = std::env::current_dir().unwrap_or_default();
        if !found.directory.as_os_str().is_empty() && found.directory != here {
            let there = screen::word(&found.directory.display().to_string());
            for command in [&mut found.again, &mut found.resume, &mut found.sweep, &mut found.bisect] {
                *command = format!("cd {there} && {command}");
            }
        }
        found
    }
}

/// What has to be said again whatever is done with a run.
fn place(args: &RunArgs, provider: ProviderKind) -> Vec<String> {
    let mut place = Vec::new();
    if args.output != Path::new(super::run::DEFAULT_OUTPUT) {
        place.extend(path("--output", &args.output));
    }
    match (provider, &args.kubeconfig) {
        (ProviderKind::Scripted, _) => {
            place.extend(args.scripted.script.iter().flat_map(|file| path("--script", file)));
            place.extend(path("--ledger", &args.scripted.ledger));
        }
        (_, Some(file)) => place.extend(path("--kubeconfig", file)),
        (_, None) => {
            place.extend(args.testbed.place());
            place.extend(args.testbed.build());
        }
    }
    place
}

fn path(flag: &str, value: &Path) -> [String; 2] {
    [flag.to_owned(), value.display().to_string()]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One line that a shell takes apart into these words again.
pub(super) fn command(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| screen::word(word)).collect();
    format!("stack-e2e {}", quoted.join(" "))
}

/// Where the testbed is, to be put into a command line; nothing where it is found without.
pub(super) fn place_words(args: &RunArgs) -> String {
    args.testbed.place().iter().map(|word| format!(" {}", screen::word(word))).collect()
}
