//! One line for each thing worth a line; for logs of CI, and above the live table.

// A new kind of event, outcome or reason must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

use super::{cause, clean_words, count, elapsed};
use crate::event::{Act, Availability, Cleanliness, Event, EventKind, Outcome};
use crate::results::Verdict;
use crate::types::{CombinationId, show_duration};
use crate::types::{one_line, shorten};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// At most one line in this time says why a unit waits.
const BETWEEN_WAITS: SignedDuration = SignedDuration::from_secs(10);

/// How much is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Phases and waits too: the lines are all there is to see.
    All,
    /// Failures and ends only: the rest is in the live table.
    Outcomes,
}

/// Turns events into lines.
#[derive(Debug, Clone)]
pub struct Lines {
    detail: Detail,
    width: usize,
    start: Option<Timestamp>,
    units: HashMap<CombinationId, Tally>,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    /// By case, so that a retry replaces what came before it.
    cases: BTreeMap<String, Verdict>,
    last_wait: Option<Timestamp>,
}

impl Lines {
    /// Lines of at most `width` characters.
    #[must_use]
    pub fn new(detail: Detail, width: usize) -> Self {
        Self { detail, width, start: None, units: HashMap::new() }
    }

    /// The lines for one event; often none.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        let start = *self.start.get_or_insert(event.at);
        // Every line begins with a bracket, so that no text from elsewhere can begin one: some CI systems take
        // lines that begin with `::` as commands.
        let mut head = format!("[{:>6}] ", stamp(start, event.at));
        if let Some(unit) = &event.unit {
            head.push_str(unit.as_str());
            head.push_str("  ");
        }
        self.texts(event)
            .iter()
            .map(|text| {
                let text = one_line(text, self.width.saturating_mul(2));
                shorten(&format!("{head}{text}"), self.width).into_owned()
            })
            .collect()
    }

    fn texts(&mut self, event: &Event) -> Vec<String> {
        let all = self.detail == Detail::All;
        let tally = event.unit.clone().map(|unit| self.units.entry(unit).or_default());
        let text = match &event.kind {
            EventKind::RunStarted { run, units, left_out, harness } => {
                let mut texts = vec![format!(
                    "run {run}: {}, {} left out; stack-e2e {harness}",
                    count(units.len(), "combination"),
                    left_out.len()
                )];
                if all {
                    texts.extend(
                        units.iter().map(|unit| format!("{} is {}: {}", unit.id, unit.scenario, unit.name)),
                    );
                }
                return texts;
            }
            EventKind::RunResumed { unfinished } => {
                Some(format!("resumed: {} to finish", count(unfinished.len(), "combination")))
            }
            EventKind::Prepared { failure: None } => all.then(|| "prepared".into()),
            EventKind::Prepared { failure: Some(failure) } => Some(format!(
                "{} prepare: {}",
                word(Verdict::of_failure(failure)),
                cause(failure, self.width)
            )),
            EventKind::UnitStarted => all.then(|| "started".into()),
            EventKind::PhaseStarted { phase } => all.then(|| phase.as_str().into()),
            EventKind::Intent { act, object } => match act {
                // The first step of a long wait, and the beginning of the end.
                Act::Create | Act::Delete if all && object.kind == "Cluster" => {
                    let verb = if *act == Act::Create { "creating" } else { "deleting" };
                    Some(format!("{verb} {object}"))
                }
                Act::Create | Act::Change | Act::Delete => None,
            },
            EventKind::Waiting { phase: _, why } => {
                let soon = tally
                    .as_ref()
                    .and_then(|tally| tally.last_wait)
                    .is_some_and(|last| event.at.duration_since(last) < BETWEEN_WAITS);
                if all && !soon {
                    if let Some(tally) = tally {
                        tally.last_wait = Some(event.at);
                    }
                    Some(format!("waiting: {why}"))
                } else {
                    None
                }
            }
            EventKind::CaseFinished { case, attempt, started, outcome, availability } => {
                let (verdict, why) = match outcome {
                    Outcome::Passed { note } => (Verdict::Passed, note.clone()),
                    Outcome::Skipped { reason } => (Verdict::Skipped, reason.clone()),
                    Outcome::Failed { failure, expected } => match (Verdict::of_failure(failure), expected) {
                        (Verdict::Failed, Some(reason)) => {
                            (Verdict::Skipped, format!("known: {reason} ({})", cause(failure, self.width)))
                        }
                        (verdict, _) => (verdict, cause(failure, self.width)),
                    },
                };
                if let Some(tally) = tally {
                    tally.cases.insert(case.0.clone(), verdict);
                }
                // What went well in a check is told by the tally at the end of the unit.
                let known = matches!(outcome, Outcome::Failed { .. });
                let long = all && verdict == Verdict::Passed && !case.0.starts_with("check/");
                let down: Vec<String> =
                    availability.iter().filter(|one| one.is_notable()).map(Availability::words).collect();
                let again = *attempt > 0 && verdict == Verdict::Passed;
                (verdict.is_bad() || known || long || again || !down.is_empty()).then(|| {
                    let again = match attempt {
                        0 => String::new(),
                        n => format!(", attempt {}", n + 1),
                    };
                    let colon = if why.is_empty() { "" } else { ": " };
                    let took = elapsed(*started, event.at);
                    let down = down.iter().map(|words| format!("; {words}")).collect::<String>();
                    format!("{} {case} ({took}{again}){colon}{why}{down}", word(verdict))
                })
            }
            EventKind::Collected { files, trouble } => {
                let missing = match trouble.first() {
                    Some(first) => format!("; could not have {}: {first}", trouble.len()),
                    None => String::new(),
                };
                (all && !(files.is_empty() && trouble.is_empty()))
                    .then(|| format!("evidence: {}{missing}", count(files.len(), "file")))
            }
            EventKind::Kept { commands } => Some(match commands.first() {
                Some(command) => format!("kept on request; go on with `{command}`"),
                None => "kept on request".into(),
            }),
            EventKind::UnitFinished { clean } => {
                let cases = tally.map(|tally| std::mem::take(&mut tally.cases)).unwrap_or_default();
                let verdict = cases.values().max().copied().unwrap_or(Verdict::Errored);
                let verdict = match clean {
                    Cleanliness::Clean | Cleanliness::Kept => verdict,
                    Cleanliness::Left { .. } | Cleanliness::Unknown { .. } => Verdict::Errored,
                };
                Some(format!(
                    "ended {}: {}; {}",
                    word(verdict),
                    tally_words(cases.values()),
                    clean_words(clean)
                ))
            }
            EventKind::Cancelled { reason } => Some(format!("stopping: {}", reason.as_str())),
            EventKind::RunFinished { clean } => Some(format!("the run has ended; {}", clean_words(clean))),
        };
        text.into_iter().collect()
    }
}

/// Whole seconds: nobody reads a log by the millisecond.
fn stamp(start: Timestamp, at: Timestamp) -> String {
    let seconds = u64::try_from(at.duration_since(start).as_secs()).unwrap_or(0);
    match seconds {
        0 => "0s".into(),
        _ => show_duration(Duration::from_secs(seconds)),
    }
}

/// What is bad stands out without colour.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Failed => "FAILED",
        Verdict::Errored => "ERRORED",
        Verdict::Skipped | Verdict::Passed | Verdict::Flaky => verdict.as_str(),
    }
}

/// `5 passed, 1 failed`
pub(crate) fn tally_words<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(*verdict).or_default() += 1;
    }
    let order = [Verdict::Passed, Verdict::Flaky, Verdict::Failed, Verdict::Errored, Verdict::Skipped];
    let parts: Vec<String> = order
        .iter()
        .filter_map(|verdict| Some(format!("{} {}", counts.get(verdict)?, verdict.as_str())))
        .collect();
    if parts.is_empty() { "nothing was looked at".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CancelReason, FailureClass, Phase};
    use crate::results::script::{self, Script};

    fn shown(script: &Script, detail: Detail) -> String {
        let mut lines = Lines::new(detail, 100);
        let lines: Vec<String> = script.events().iter().flat_map(|e| lines.lines(e)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_run_as_lines() {
        insta::assert_snapshot!("all", shown(&script::one_failure(), Detail::All));
        insta::assert_snapshot!("outcomes", shown(&script::one_failure(), Detail::Outcomes));
    }

    #[test]
    fn a_bad_run_as_lines() {
        let cases = &["provision", "check/x", "tear-down"];
        let script = Script::new().unit("a", cases).started();
        let script = script
            .fails_as("a", "provision", FailureClass::Infrastructure, "no route to host")
            .passes("a", &["provision"])
            .fails_as_expected("a", "check/x", FailureClass::CheckFailed, "1.27 is out of support")
            .cancelled(CancelReason::Interrupt)
            .unit_ends("a", script::left(&["Machine/e2e/x", "Machine/e2e/y"]))
            .resumed(&["a"])
            .clean_unknown("the API server does not answer");
        insta::assert_snapshot!(shown(&script, Detail::All));
    }

    #[test]
    fn a_wait_speaks_at_most_every_ten_seconds() {
        let wait = |script: Script, seconds| script.waits("a", seconds, Phase::Provision, "node");
        let mut script = Script::new().unit("a", &["provision"]).started();
        for seconds in [0, 3, 6, 1, 1, 9, 30] {
            script = wait(script, seconds);
        }
        let text = shown(&script, Detail::All);
        assert_eq!(text.matches("waiting: node").count(), 4, "{text}");
    }

    #[test]
    fn hostile_texts_stay_on_their_line() {
        let hostile = "a\n::set-output name=x::y\n\u{1b}[2J\u{1b}]0;title\u{7}\r[0s] FAKE";
        let script = Script::new().unit("a", &[hostile]).started();
        let script = script.waits("a", 60, Phase::Check, hostile).fails("a", hostile, hostile);
        let script = script.collects("a", &[hostile], &[hostile]).clean_unknown(hostile);
        for line in shown(&script, Detail::All).lines() {
            assert!(line.starts_with('['), "{line:?}");
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
            assert!(line.chars().count() <= 100, "{line:?}");
        }
    }
}
