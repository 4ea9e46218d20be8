//! Events -> [`RunReport`]. Whatever was planned appears in the report: what has no outcome is errored, with the
//! reason for which it has none.

// A new kind of event, outcome or reason must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

use super::verdict::of_attempts;
use super::{AttemptReport, CaseReport, RunReport, UnitReport, Verdict};
use crate::event::{CancelReason, Cleanliness, Event, EventKind, Failure, Outcome};
use crate::types::{CaseId, CombinationId, head_and_tail};
use std::collections::HashMap;

/// Why a sequence of events makes no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The first event is not the start of a run, or there is none.
    #[error("the run has no start")]
    NoStart,
    /// A second start.
    #[error("the run starts twice")]
    TwoStarts,
    /// An event names a unit that was not planned.
    #[error("unit `{0}` was never planned")]
    UnknownUnit(CombinationId),
    /// An event that belongs to a unit names none.
    #[error("`{0}` names no unit")]
    NoUnit(&'static str),
}

/// The report of a whole sequence of events.
///
/// # Errors
/// See [`FoldError`].
pub fn fold(events: impl IntoIterator<Item = Event>) -> Result<RunReport, FoldError> {
    let mut folder = Folder::default();
    for event in events {
        folder.apply(&event)?;
    }
    folder.report()
}

/// Takes events one by one, and can give a report at any time: of a live run after every unit.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    report: Option<RunReport>,
    index: HashMap<CombinationId, usize>,
    /// The most urgent reason over the whole life of the run, those before a resumption included.
    stopped: Option<CancelReason>,
    /// How much of each text of evidence is kept.
    max_detail: Option<usize>,
}

impl Folder {
    /// Keeps only so many bytes of each text of evidence; see [`super::EvidenceSizes`].
    #[must_use]
    pub fn with_evidence_limit(max: usize) -> Self {
        Self { max_detail: Some(max), ..Self::default() }
    }

    /// Takes one event.
    ///
    /// # Errors
    /// See [`FoldError`]; the event is then ignored.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        if let EventKind::RunStarted { .. } = event.kind {
            return self.start(event);
        }
        let report = self.report.as_mut().ok_or(FoldError::NoStart)?;
        let unit = match &event.unit {
            Some(id) => {
                let index = *self.index.get(id).ok_or_else(|| FoldError::UnknownUnit(id.clone()))?;
                Some(&mut report.units[index])
            }
            None => None,
        };
        match &event.kind {
            EventKind::RunStarted { .. } => return Err(FoldError::TwoStarts),
            EventKind::RunResumed { .. } => {
                // The run speaks again: its earlier last words no longer hold.
                report.complete = false;
                report.cancelled = None;
                report.clean = nothing_known("run");
            }
            EventKind::Prepared { failure } => {
                report.prepared = true;
                report.prepare_failure.clone_from(failure);
            }
            EventKind::UnitStarted => {
                let unit = unit.ok_or(FoldError::NoUnit("unit-started"))?;
                unit.started.get_or_insert(event.at);
                unit.finished = None;
                unit.clean = nothing_known("unit");
            }
            EventKind::CaseFinished { case, attempt: _, started, outcome, availability } => {
                let outcome = limited(outcome, self.max_detail);
                let attempt = AttemptReport {
                    started: *started,
                    finished: event.at,
                    outcome,
                    availability: availability.clone(),
                };
                let unit = unit.ok_or(FoldError::NoUnit("case-finished"))?;
                match unit.cases.iter_mut().find(|known| known.case == *case) {
                    Some(known) => known.attempts.push(attempt),
                    None => unit.cases.push(CaseReport {
                        case: case.clone(),
                        attempts: vec![attempt],
                        missing: None,
                        verdict: Verdict::Errored,
                    }),
                }
            }
            EventKind::Collected { files, trouble } => {
                let unit = unit.ok_or(FoldError::NoUnit("collected"))?;
                // A resumed run writes over what its earlier life has gathered.
                let new = files.iter().filter(|file| !unit.evidence.contains(file));
                let new: Vec<String> = new.cloned().collect();
                unit.evidence.extend(new);
                unit.trouble.extend(trouble.iter().cloned());
            }
            EventKind::Kept { commands } => {
                let unit = unit.ok_or(FoldError::NoUnit("kept"))?;
                unit.commands.clone_from(commands);
            }
            EventKind::UnitFinished { clean } => {
                let unit = unit.ok_or(FoldError::NoUnit("unit-finished"))?;
                unit.finished = Some(event.at);
                unit.clean = clean.clone();
            }
            EventKind::Cancelled { reason } => {
                report.cancelled = report.cancelled.max(Some(*reason));
                self.stopped = self.stopped.max(Some(*reason));
            }
            EventKind::RunFinished { clean } => {
                report.complete = true;
                report.clean = clean.clone();
            }
            // These matter while they happen; what they lead to is in the outcomes.
            EventKind::PhaseStarted { .. } | EventKind::Intent { .. } | EventKind::Waiting { .. } => {}
        }
        report.finished = report.finished.max(event.at);
        Ok(())
    }

    fn start(&mut self, event: &Event) -> Result<(), FoldError> {
        let EventKind::RunStarted { run, units, left_out, harness } = &event.kind else {
            return Err(FoldError::NoStart);
        };
        if self.report.is_some() {
            return Err(FoldError::TwoStarts);
        }
        let planned = |case: &CaseId| CaseReport {
            case: case.clone(),
            attempts: Vec::new(),
            missing: None,
            verdict: Verdict::Errored,
        };
        self.index = units.iter().enumerate().map(|(index, unit)| (unit.id.clone(), index)).collect();
        self.report = Some(RunReport {
            run: run.clone(),
            harness: harness.clone(),
            started: event.at,
            finished: event.at,
            units: units
                .iter()
                .map(|info| UnitReport {
                    info: info.clone(),
                    started: None,
                    finished: None,
                    cases: info.cases.iter().map(planned).collect(),
                    evidence: Vec::new(),
                    trouble: Vec::new(),
                    commands: Vec::new(),
                    clean: nothing_known("unit"),
                })
                .collect(),
            left_out: left_out.clone(),
            prepared: false,
            prepare_failure: None,
            cancelled: None,
            clean: nothing_known("run"),
            complete: false,
        });
        Ok(())
    }

    /// What is known so far.
    ///
    /// # Errors
    /// The run has not started.
    pub fn report(&self) -> Result<RunReport, FoldError> {
        let mut report = self.report.clone().ok_or(FoldError::NoStart)?;
        let stopped = self.stopped.or(report.cancelled);
        let (complete, prepare) = (report.complete, report.prepare_failure.clone());
        for unit in &mut report.units {
            let (started, finished) = (unit.started.is_some(), unit.finished.is_some());
            let mut first = true;
            for case in &mut unit.cases {
                if !case.attempts.is_empty() {
                    case.verdict = of_attempts(&case.attempts);
                    first = false;
                    continue;
                }
                (case.verdict, case.missing) = match &prepare {
                    // One cause is reported once per unit; the rest follows from it.
                    Some(failure) if !started && first => {
                        let why = format!("never ran: the shared preparation failed: {}", failure.summary);
                        (Verdict::of_failure(failure), Some(why))
                    }
                    Some(_) if !started => {
                        let why = "not run: the shared preparation failed".to_owned();
                        (Verdict::Skipped, Some(why))
                    }
                    Some(_) | None => {
                        let why = why_missing(started, finished, complete, stopped);
                        (Verdict::Errored, Some(why))
                    }
                };
                first = false;
            }
        }
        Ok(report)
    }
}

fn limited(outcome: &Outcome, max: Option<usize>) -> Outcome {
    match (outcome, max) {
        (Outcome::Failed { failure, expected }, Some(max)) if failure.detail.len() > max => {
            let detail = head_and_tail(&failure.detail, max).into_owned();
            let Failure { class, summary, object, hint, detail: _ } = failure;
            let (summary, object, hint) = (summary.clone(), object.clone(), hint.clone());
            let failure = Failure { class: *class, summary, object, detail, hint };
            Outcome::Failed { failure, expected: expected.clone() }
        }
        (Outcome::Failed { .. } | Outcome::Passed { .. } | Outcome::Skipped { .. }, _) => outcome.clone(),
    }
}

fn nothing_known(of: &str) -> Cleanliness {
    Cleanliness::Unknown { why: format!("the end of the {of} was not reached") }
}

fn why_missing(started: bool, finished: bool, complete: bool, stopped: Option<CancelReason>) -> String {
    let what = if started && !finished { "has no outcome" } else { "never ran" };
    let why = match (stopped, complete) {
        (Some(reason), _) => reason.as_str(),
        (None, _) if finished => "the unit ended before it",
        (None, true) => "the run ended before it",
        (None, false) => "the run has not reached its end",
    };
    format!("{what}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FailureClass as Class;
    use crate::results::script::{self, Script};
    use crate::results::{ExitStatus, script::left};

    const CASES: &[&str] = &["provision", "check/nodes", "tear-down", "prove-clean"];

    fn script() -> Script {
        Script::new().unit("a", CASES).started()
    }

    fn judged(script: Script) -> (Verdict, u8) {
        let report = script.report();
        (report.verdict(), report.exit_status().code())
    }

    #[test]
    fn the_table_of_verdicts_and_exit_codes() {
        use Verdict::{Errored, Failed, Flaky, Passed, Skipped};
        let all = |script: Script| script.passes("a", CASES).unit_clean("a");
        let failed = |class| {
            script()
                .passes("a", &["provision"])
                .fails_as("a", "check/nodes", class, "two of three nodes")
                .passes("a", &["tear-down", "prove-clean"])
                .unit_clean("a")
        };
        let expected = |class| {
            script()
                .passes("a", &["provision"])
                .fails_as_expected("a", "check/nodes", class, "known")
                .passes("a", &["tear-down", "prove-clean"])
                .unit_clean("a")
                .clean()
        };
        let table: Vec<(&str, Script, Verdict, u8)> = vec![
            ("all passed", all(script()).clean(), Passed, 0),
            ("a check failed", failed(Class::CheckFailed).clean(), Failed, 1),
            ("terminal", failed(Class::Terminal).clean(), Failed, 1),
            ("timed out", failed(Class::TimedOut).clean(), Failed, 1),
            ("refused", failed(Class::Refused).clean(), Failed, 1),
            ("infrastructure", failed(Class::Infrastructure).clean(), Errored, 3),
            ("own defect", failed(Class::Harness).clean(), Errored, 3),
            ("leak beats a failure", failed(Class::CheckFailed).left(&["Machine/x"]), Errored, 4),
            ("leak beats infrastructure", failed(Class::Infrastructure).left(&["Machine/x"]), Errored, 4),
            ("unknown beats a pass", all(script()).clean_unknown("no answer"), Errored, 4),
            ("killed before its last word", all(script()), Errored, 4),
            ("killed at once", script(), Errored, 4),
            (
                "a case without outcome",
                script().passes("a", &["provision"]).unit_clean("a").clean(),
                Errored,
                3,
            ),
            ("the unit never said its last word", script().passes("a", CASES).clean(), Errored, 3),
            (
                "the unit left something that the run cleaned up",
                script().passes("a", CASES).unit_ends("a", left(&["Machine/x"])).clean(),
                Errored,
                3,
            ),
            ("expected", expected(Class::CheckFailed), Passed, 0),
            ("a leak cannot be expected", expected(Class::Leftover), Errored, 3),
            (
                "passed on a retry",
                script()
                    .passes("a", &["provision"])
                    .fails("a", "check/nodes", "x")
                    .passes("a", &["check/nodes", "tear-down", "prove-clean"])
                    .unit_clean("a")
                    .clean(),
                Flaky,
                0,
            ),
            (
                "a skip on the retry does not hide the failure",
                failed(Class::CheckFailed).skips("a", "check/nodes", "n/a").clean(),
                Failed,
                1,
            ),
            (
                "all skipped",
                CASES.iter().fold(script(), |s, c| s.skips("a", c, "n/a")).unit_clean("a").clean(),
                Skipped,
                0,
            ),
            (
                "interrupted, cleaned up",
                all(script()).cancelled(CancelReason::Interrupt).clean(),
                Errored,
                130,
            ),
            (
                "interrupted, leaked",
                all(script()).cancelled(CancelReason::Interrupt).left(&["A/b"]),
                Errored,
                130,
            ),
            (
                "terminated",
                script().cancelled(CancelReason::Terminate).clean_unknown("handed over"),
                Errored,
                143,
            ),
            (
                "aborted",
                script().cancelled(CancelReason::Interrupt).cancelled(CancelReason::Abort),
                Errored,
                130,
            ),
            (
                "deadline, clean",
                script().unit_clean("a").cancelled(CancelReason::Deadline).clean(),
                Errored,
                3,
            ),
            ("deadline, leaked", script().cancelled(CancelReason::Deadline).left(&["A/b"]), Errored, 4),
            ("kept", failed(Class::CheckFailed).unit_ends("a", Cleanliness::Kept).kept(), Failed, 1),
            (
                "kept without a reason is never 0",
                all(script()).unit_ends("a", Cleanliness::Kept).clean(),
                Passed,
                3,
            ),
            ("nothing selected", Script::new().clean(), Skipped, 6),
            (
                "the product breaks the preparation",
                Script::new().unit("a", CASES).prepare_fails(Class::Refused, "no such variable").clean(),
                Failed,
                1,
            ),
            (
                "the preparation breaks",
                Script::new().unit("a", CASES).prepare_fails(Class::Infrastructure, "no route").clean(),
                Errored,
                3,
            ),
            (
                "resumed after a signal, and finished",
                all(script().cancelled(CancelReason::Terminate).clean_unknown("handed over").resumed(&["a"]))
                    .clean(),
                Passed,
                0,
            ),
            ("resumed, and killed again", all(script().clean()).resumed(&["a"]), Errored, 4),
        ];
        for (name, script, verdict, code) in table {
            assert_eq!(judged(script), (verdict, code), "{name}");
        }
    }

    #[test]
    fn what_has_no_outcome_says_why() {
        let reason = |script: Script, case: usize| {
            let report = script.report();
            assert_eq!(report.units[0].cases[case].verdict, Verdict::Errored);
            report.units[0].cases[case].missing.clone().unwrap_or_default()
        };
        let planned = || Script::new().unit("a", CASES);
        assert_eq!(
            reason(planned().cancelled(CancelReason::Interrupt).clean(), 0),
            "never ran: interrupted (SIGINT)"
        );
        assert_eq!(reason(planned().clean(), 0), "never ran: the run ended before it");
        assert_eq!(reason(planned(), 0), "never ran: the run has not reached its end");
        assert_eq!(reason(script(), 0), "has no outcome: the run has not reached its end");
        assert_eq!(
            reason(script().passes("a", &["provision"]).unit_clean("a").clean(), 1),
            "never ran: the unit ended before it"
        );
        assert_eq!(
            reason(planned().prepare_fails(Class::Infrastructure, "no route").clean(), 0),
            "never ran: the shared preparation failed: no route"
        );
    }

    #[test]
    fn every_attempt_is_kept_and_unplanned_cases_are_shown() {
        let report = script()
            .fails("a", "provision", "first")
            .fails("a", "provision", "second")
            .passes("a", &["provision", "check/surprise"])
            .report();
        let unit = &report.units[0];
        assert_eq!(unit.cases[0].attempts.len(), 3);
        assert_eq!(unit.cases[0].verdict, Verdict::Flaky);
        assert_eq!(unit.cases.last().unwrap().case.0, "check/surprise");
    }

    #[test]
    fn events_in_a_wrong_place_are_refused() {
        let events = script::one_failure().events();
        assert_eq!(fold(vec![]), Err(FoldError::NoStart));
        assert_eq!(fold(events[1..].to_vec()), Err(FoldError::NoStart));
        assert_eq!(fold([events[0].clone(), events[0].clone()]), Err(FoldError::TwoStarts));
        let mut orphan = events.clone();
        orphan[2].unit = None;
        assert_eq!(fold(orphan), Err(FoldError::NoUnit("unit-started")));
    }

    #[test]
    fn a_prefix_of_a_run_is_never_better_than_the_run() {
        let events = script::all_passed().events();
        for end in 1..events.len() {
            let report = fold(events[..end].to_vec()).unwrap();
            assert!(report.verdict().is_bad(), "{end} events of a good run look like a good run");
            assert_eq!(report.exit_status(), ExitStatus::NotProvenClean);
        }
        assert_eq!(fold(events).unwrap().exit_status(), ExitStatus::Passed);
    }
}
