//! Events -> [`RunReport`] -> [`Verdict`]. The same from a live run, a replayed journal or merged shards. Pure,
//! but for `journal`, whose writer and reader touch the one file.

use crate::event::{CancelReason, Cleanliness, Failure, LeftOutInfo, UnitInfo};
use crate::types::{CaseId, RunId};
use jiff::Timestamp;
use serde::Serialize;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// When its last event happened.
    pub finished: Timestamp,
    /// One per planned unit, in the order of the plan, started or not.
    pub units: Vec<UnitReport>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOutInfo>,
    /// A failure of the shared preparation.
    pub prepare_failure: Option<Failure>,
    /// The most urgent reason to stop early, if there was one.
    pub cancelled: Option<CancelReason>,
    /// What is known of leftovers of the whole run; `Unknown` until the run says so.
    pub clean: Cleanliness,
    /// Whether the run's last word has been read; not so for a killed one.
    pub complete: bool,
}

/// What one unit came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// How to go on with a kept cluster.
    pub commands: Vec<String>,
    /// What is known of the unit's objects; `Unknown` until the unit says so.
    pub clean: Cleanliness,
}

/// What one case came to: every attempt is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The case.
    pub case: CaseId,
    /// All tries, in order; empty when it never ran.
    pub attempts: Vec<AttemptReport>,
    /// The verdict over all tries.
    pub verdict: Verdict,
}

/// One try of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptReport {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How it ended.
    pub outcome: crate::event::Outcome,
}

/// The verdict of a case, a unit or a run. The order is the severity: the verdict of a whole is the maximum of
/// its parts, with `Skipped` and `Passed` alike harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Not looked at, for a reason that is said.
    Skipped,
    /// As it should be.
    Passed,
    /// Failed first, passed on a retry.
    Flaky,
    /// The product is at fault.
    Failed,
    /// Infrastructure or the harness itself is at fault, or it never ran: nothing is known about the product.
    Errored,
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Failed => "failed",
            Self::Errored => "errored",
        }
    }
}
