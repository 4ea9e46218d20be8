//! Events -> [`RunReport`] -> [`Verdict`]. The same from a live run, a replayed journal or merged shards. Pure,
//! but for `journal` and `file`, which touch the files of a run.

mod evidence;
mod file;
mod fold;
pub mod foreign;
pub mod history;
mod journal;
mod merge;
mod redacted;
#[cfg(test)]
pub(crate) mod script;
pub mod suspects;
pub mod timeline;
mod verdict;

pub use evidence::EvidenceSizes;
pub use file::{write_atomically, write_atomically_with};
pub use fold::{FoldError, Folder, fold};
pub use journal::{
    FILE_NAME as JOURNAL_FILE, Journal, JournalError, Torn, each as each_event, read as read_journal,
};
pub use merge::merge;
pub use redacted::redacted;
pub use verdict::{ExitStatus, Verdict};

use crate::event::{Availability, CancelReason, Cleanliness, Failure, LeftOutInfo, Outcome, UnitInfo};
use crate::types::{CaseId, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// Version of the harness.
    pub harness: String,
    /// When it began.
    pub started: Timestamp,
    /// When its last event happened.
    pub finished: Timestamp,
    /// One per planned unit, in the order of the plan, started or not.
    pub units: Vec<UnitReport>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOutInfo>,
    /// Whether the shared preparation is known to have ended, well or not.
    pub prepared: bool,
    /// A failure of the shared preparation.
    pub prepare_failure: Option<Failure>,
    /// The most urgent reason to stop early, if there was one since the run was started or last resumed.
    pub cancelled: Option<CancelReason>,
    /// What is known of leftovers of the whole run; `Unknown` until the run says so.
    pub clean: Cleanliness,
    /// Whether the run's last word has been read; not so for a killed one.
    pub complete: bool,
}

/// What one unit came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Who it is.
    pub info: UnitInfo,
    /// When it got its slot.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// One per case of the info, in order, and further ones that nobody planned.
    pub cases: Vec<CaseReport>,
    /// Evidence files, relative to the run's directory.
    pub evidence: Vec<String>,
    /// Evidence that could not be had, one line each.
    pub trouble: Vec<String>,
    /// How to go on with a kept cluster.
    pub commands: Vec<String>,
    /// What is known of the unit's objects; `Unknown` until the unit says so.
    pub clean: Cleanliness,
}

/// What one case came to: every attempt is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    pub case: CaseId,
    /// All tries, in order; empty when it never ran.
    pub attempts: Vec<AttemptReport>,
    /// Why there is no attempt; `None` when there is one.
    pub missing: Option<String>,
    /// The verdict over all tries.
    pub verdict: Verdict,
}

/// One try of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// How services of the cluster could be reached meanwhile; of changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub availability: Vec<Availability>,
}

impl RunReport {
    /// What probes saw of services during changes, in the order of the units.
    pub fn availability(&self) -> impl Iterator<Item = (&UnitReport, &CaseReport, &Availability)> {
        self.units.iter().flat_map(|unit| {
            unit.cases.iter().flat_map(move |case| {
                case.attempts
                    .iter()
                    .flat_map(|attempt| &attempt.availability)
                    .map(move |one| (unit, case, one))
            })
        })
    }
}

impl CaseReport {
    /// The try that the verdict rests on: the last one that looked at anything, else the last one.
    #[must_use]
    pub fn deciding(&self) -> Option<&AttemptReport> {
        let looked = |a: &&AttemptReport| !matches!(a.outcome, Outcome::Skipped { .. });
        self.attempts.iter().rev().find(looked).or(self.attempts.last())
    }

    /// The failure behind a verdict of failed or errored, if there is one to show.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match (self.verdict, &self.deciding()?.outcome) {
            (Verdict::Failed | Verdict::Errored, Outcome::Failed { failure, .. }) => Some(failure),
            _ => None,
        }
    }
}
