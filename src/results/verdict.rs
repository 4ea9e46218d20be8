//! The rules of judgement. One sentence stands above them: an unknown is never a pass.
//!
//! - A case is judged by its last try that looked at anything; a pass after a failure is flaky, but not after a try
//!   that was cut short from outside.
//! - A known failure (`expect`) counts as skipped, but only if the product is at fault: nobody can expect a leak
//!   or a defect of the harness away.
//! - A unit is as bad as its worst case, and errored as long as nothing proves that it left nothing behind.
//! - A run is as bad as its worst unit, its preparation and its own clean-up; a run that was stopped early or whose
//!   last word is missing is errored.

use super::{AttemptReport, RunReport, UnitReport};
use crate::event::{Blame, CancelReason, Cleanliness, Failure, FailureClass, Outcome};
use serde::{Deserialize, Serialize};

/// The verdict of a case, a unit or a run. The order is the severity: the verdict of a whole is the maximum of
/// its parts, with `Skipped` and `Passed` alike harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// Who is at fault decides between failed and errored.
    #[must_use]
    pub const fn of_failure(failure: &Failure) -> Self {
        match failure.class.blame() {
            Blame::Product => Self::Failed,
            Blame::Infrastructure => Self::Errored,
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        match self {
            Self::Skipped | Self::Passed | Self::Flaky => false,
            Self::Failed | Self::Errored => true,
        }
    }
}

/// The verdict over all tries of one case; without any try it is errored, as nothing is known.
pub(super) fn of_attempts(attempts: &[AttemptReport]) -> Verdict {
    let mut looked = attempts.iter().rev().filter(|a| !matches!(a.outcome, Outcome::Skipped { .. }));
    match looked.next().map(|last| &last.outcome) {
        Some(Outcome::Passed { .. }) => {
            let failed = |earlier: &AttemptReport| match &earlier.outcome {
                Outcome::Failed { failure, .. } => failure.class != FailureClass::Cancelled,
                Outcome::Passed { .. } | Outcome::Skipped { .. } => false,
            };
            if looked.any(failed) { Verdict::Flaky } else { Verdict::Passed }
        }
        Some(Outcome::Failed { failure, expected }) => match (Verdict::of_failure(failure), expected) {
            (Verdict::Failed, Some(_)) => Verdict::Skipped,
            (verdict, _) => verdict,
        },
        Some(Outcome::Skipped { .. }) => Verdict::Skipped,
        None if attempts.is_empty() => Verdict::Errored,
        None => Verdict::Skipped,
    }
}

/// What the missing or bad proof of cleanliness does to a verdict.
fn of_cleanliness(clean: &Cleanliness) -> Verdict {
    match clean {
        // A kept cluster is judged by the failure for which it was kept.
        Cleanliness::Clean | Cleanliness::Kept => Verdict::Skipped,
        Cleanliness::Left { .. } | Cleanliness::Unknown { .. } => Verdict::Errored,
    }
}

impl UnitReport {
    /// The verdict of the unit.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        // A unit that never started has made nothing that could be left; its cases say that it never ran.
        let clean = match self.started {
            Some(_) => of_cleanliness(&self.clean),
            None => Verdict::Skipped,
        };
        let worst = self.cases.iter().map(|case| case.verdict).max();
        worst.unwrap_or(Verdict::Errored).max(clean)
    }
}

impl RunReport {
    /// The verdict of the run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let units = self.units.iter().map(UnitReport::verdict).max();
        let prepare = self.prepare_failure.as_ref().map(Verdict::of_failure);
        let stopped = (self.cancelled.is_some() || !self.complete).then_some(Verdict::Errored);
        let parts = [units, prepare, stopped, Some(of_cleanliness(&self.clean))];
        parts.into_iter().flatten().max().unwrap_or(Verdict::Skipped)
    }

    /// How the process should end.
    #[must_use]
    pub fn exit_status(&self) -> ExitStatus {
        match self.cancelled {
            Some(CancelReason::Terminate) => return ExitStatus::Terminated,
            Some(CancelReason::Interrupt | CancelReason::Abort) => return ExitStatus::Interrupted,
            // Nobody sent a signal: the verdict and the clean-up decide.
            Some(CancelReason::Deadline) | None => {}
        }
        if self.units.is_empty() && self.prepare_failure.is_none() {
            return ExitStatus::NothingSelected;
        }
        let kept = match self.clean {
            Cleanliness::Left { .. } | Cleanliness::Unknown { .. } => return ExitStatus::NotProvenClean,
            Cleanliness::Kept => true,
            Cleanliness::Clean => self.units.iter().any(|unit| unit.clean == Cleanliness::Kept),
        };
        match self.verdict() {
            Verdict::Skipped | Verdict::Passed | Verdict::Flaky if kept => ExitStatus::Inconclusive,
            Verdict::Skipped | Verdict::Passed | Verdict::Flaky => ExitStatus::Passed,
            Verdict::Failed => ExitStatus::Failed,
            Verdict::Errored => ExitStatus::Inconclusive,
        }
    }
}

/// How a process that carried out a run, or reports on one, ends.
///
/// An interrupted run says so even when its tear-down went well, because what it did not look at is unknown. A
/// cluster kept on request is no leak: the exit status is that of the failure for which it was kept, and never 0.
/// Bad input (2) and a taken slot (5) end a command before there is a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitStatus {
    /// All passed, proven clean.
    Passed,
    /// A check failed, proven clean.
    Failed,
    /// Infrastructure or the harness failed; inconclusive; clean.
    Inconclusive,
    /// Something of ours is left, or nobody knows; overrides `Failed` and `Inconclusive`.
    NotProvenClean,
    /// The selection holds no combination.
    NothingSelected,
    /// Interrupted by SIGINT, once or twice.
    Interrupted,
    /// Ended by SIGTERM or SIGHUP.
    Terminated,
}

impl ExitStatus {
    /// The number that the process returns.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Inconclusive => 3,
            Self::NotProvenClean => 4,
            Self::NothingSelected => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}
