//! Several reports -> one: the shards of a run, or a run and the repetition of what failed in it. In linear time,
//! and the same for every order in which the reports are given.

use super::verdict::of_attempts;
use super::{CaseReport, RunReport, UnitReport};
use crate::event::{Cleanliness, LeftOutInfo};
use crate::types::{CaseId, CombinationId};
use std::collections::{HashMap, HashSet};

/// Merges reports; `None` when there is none. Units with the same id become one with all attempts, in the order of
/// time; the last one decides. A trouble of a whole run (its preparation, a signal, a missing end) is forgotten
/// when all of its units were carried out again later; what it may have left behind is never forgotten. A run that
/// is given twice counts once, as the longer record tells it.
///
/// What failed once is flaky at best, unless it was only cut short.
#[must_use]
pub fn merge(reports: Vec<RunReport>) -> Option<RunReport> {
    let reports = in_order(reports);
    // Where each unit was carried out last.
    let mut last: HashMap<&CombinationId, usize> = HashMap::new();
    for (index, report) in reports.iter().enumerate() {
        let started = report.units.iter().filter(|unit| unit.started.is_some());
        last.extend(started.map(|unit| (&unit.info.id, index)));
    }
    let again = |index: usize, unit: &UnitReport| last.get(&unit.info.id).is_some_and(|last| *last > index);
    let redone: Vec<bool> = reports
        .iter()
        .enumerate()
        .map(|(index, report)| !report.units.is_empty() && report.units.iter().all(|unit| again(index, unit)))
        .collect();
    let mut parts = reports.into_iter().zip(redone);
    let (mut first, forget) = parts.next()?;
    if forget {
        forget_trouble(&mut first);
    }
    let mut whole = Whole::of(first);
    for (mut part, forget) in parts {
        if forget {
            forget_trouble(&mut part);
        }
        whole.add(part);
    }
    Some(whole.report)
}

/// By time, and where two began at once by name; the shorter records of a run are dropped.
fn in_order(mut reports: Vec<RunReport>) -> Vec<RunReport> {
    let length = |report: &RunReport| {
        let cases = report.units.iter().flat_map(|unit| &unit.cases);
        let attempts: usize = cases.map(|case| case.attempts.len()).sum();
        (report.finished, attempts, report.complete)
    };
    reports.sort_by(|one, other| {
        let place = |report: &RunReport| (report.started, report.run.clone());
        let first_unit = |report: &RunReport| report.units.first().map(|unit| unit.info.id.clone());
        place(one)
            .cmp(&place(other))
            .then_with(|| first_unit(one).cmp(&first_unit(other)))
            .then_with(|| length(other).cmp(&length(one)))
    });
    reports.dedup_by(|later, kept| {
        let same = |one: &UnitReport, other: &UnitReport| one.info.id == other.info.id;
        later.run == kept.run
            && later.started == kept.started
            && later.units.len() == kept.units.len()
            && later.units.iter().zip(&kept.units).all(|(one, other)| same(one, other))
    });
    reports
}

fn forget_trouble(report: &mut RunReport) {
    report.prepared = true;
    report.prepare_failure = None;
    report.cancelled = None;
    report.complete = true;
}

/// The report so far, with what is needed to find its parts at once.
struct Whole {
    report: RunReport,
    units: HashMap<CombinationId, usize>,
    cases: Vec<HashMap<CaseId, usize>>,
    left_out: HashSet<[String; 4]>,
}

fn left_out_key(left_out: &LeftOutInfo) -> [String; 4] {
    let LeftOutInfo { name, scenario, stack, reason } = left_out;
    [name, scenario, stack, reason].map(Clone::clone)
}

fn cases_of(unit: &UnitReport) -> HashMap<CaseId, usize> {
    unit.cases.iter().enumerate().map(|(index, case)| (case.case.clone(), index)).collect()
}

impl Whole {
    fn of(report: RunReport) -> Self {
        let units = report.units.iter().enumerate();
        Self {
            units: units.map(|(index, unit)| (unit.info.id.clone(), index)).collect(),
            cases: report.units.iter().map(cases_of).collect(),
            left_out: report.left_out.iter().map(left_out_key).collect(),
            report,
        }
    }

    fn add(&mut self, part: RunReport) {
        let whole = &mut self.report;
        whole.finished = whole.finished.max(part.finished);
        whole.prepared &= part.prepared;
        whole.prepare_failure = whole.prepare_failure.take().or(part.prepare_failure);
        whole.cancelled = whole.cancelled.max(part.cancelled);
        whole.complete &= part.complete;
        whole.clean = worse(std::mem::replace(&mut whole.clean, Cleanliness::Clean), part.clean);
        for left_out in part.left_out {
            if self.left_out.insert(left_out_key(&left_out)) {
                whole.left_out.push(left_out);
            }
        }
        for unit in part.units {
            match self.units.get(&unit.info.id) {
                Some(index) => add(&mut whole.units[*index], &mut self.cases[*index], unit),
                None => {
                    self.units.insert(unit.info.id.clone(), whole.units.len());
                    self.cases.push(cases_of(&unit));
                    whole.units.push(unit);
                }
            }
        }
    }
}

fn add(known: &mut UnitReport, cases: &mut HashMap<CaseId, usize>, later: UnitReport) {
    for case in later.cases {
        match cases.get(&case.case) {
            Some(index) => add_case(&mut known.cases[*index], case),
            None => {
                cases.insert(case.case.clone(), known.cases.len());
                known.cases.push(case);
            }
        }
    }
    if later.started.is_some() {
        // What never started has made nothing.
        known.clean = match known.started {
            Some(_) => worse(known.clean.clone(), later.clean),
            None => later.clean,
        };
        known.finished = later.finished;
        known.started = known.started.or(later.started);
        known.info = later.info;
    }
    known.evidence.extend(later.evidence);
    known.trouble.extend(later.trouble);
    known.commands.extend(later.commands);
}

fn add_case(known: &mut CaseReport, later: CaseReport) {
    if later.attempts.is_empty() {
        return;
    }
    known.attempts.extend(later.attempts);
    known.attempts.sort_by_key(|attempt| attempt.started);
    known.missing = None;
    known.verdict = of_attempts(&known.attempts);
}

/// The less certain of two; leftovers add up.
fn worse(one: Cleanliness, other: Cleanliness) -> Cleanliness {
    use Cleanliness::{Clean, Kept, Left, Unknown};
    match (one, other) {
        (Unknown { why }, _) | (_, Unknown { why }) => Unknown { why },
        (Left { mut objects }, Left { objects: more }) => {
            objects.extend(more);
            Left { objects }
        }
        (Left { objects }, Clean | Kept) | (Clean | Kept, Left { objects }) => Left { objects },
        (Kept, Clean | Kept) | (Clean, Kept) => Kept,
        (Clean, Clean) => Clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CancelReason, FailureClass};
    use crate::results::script::Script;
    use crate::results::{ExitStatus, Verdict};
    use proptest::prelude::*;

    const CASES: &[&str] = &["provision", "prove-clean"];

    fn good(unit: &str, minute: i64) -> RunReport {
        let script = Script::at(minute).unit(unit, CASES).started();
        script.passes(unit, CASES).unit_clean(unit).clean().report()
    }

    #[test]
    fn shards_stand_side_by_side_and_one_bad_shard_spoils_the_whole() {
        let whole = merge(vec![good("b", 1), good("a", 0)]).unwrap();
        let ids: Vec<&str> = whole.units.iter().map(|unit| unit.info.id.as_str()).collect();
        assert_eq!(ids, ["aaaaaaaa", "bbbbbbbb"]);
        assert_eq!(whole.exit_status(), ExitStatus::Passed);
        let bad = Script::at(2).unit("c", CASES).started().report();
        assert_eq!(merge(vec![good("a", 0), bad]).unwrap().exit_status(), ExitStatus::NotProvenClean);
        assert_eq!(merge(vec![]), None);
    }

    #[test]
    fn a_repetition_makes_it_flaky_and_keeps_both_attempts() {
        let first = Script::at(0).unit("a", CASES).started();
        let first = first.fails("a", "provision", "x").passes("a", &["prove-clean"]);
        let first = first.unit_clean("a").clean().report();
        let whole = merge(vec![good("a", 60), first]).unwrap();
        assert_eq!(whole.verdict(), Verdict::Flaky);
        assert_eq!(whole.units[0].cases[0].attempts.len(), 2);
    }

    #[test]
    fn a_run_that_was_done_again_in_full_is_forgotten_but_not_what_it_left() {
        let never = Script::at(0).unit("a", CASES);
        let never = never.prepare_fails(FailureClass::Infrastructure, "x").clean().report();
        assert_eq!(merge(vec![never, good("a", 60)]).unwrap().exit_status(), ExitStatus::Passed);
        let stopped = Script::at(0).unit("a", CASES).started();
        let stopped = stopped.cancelled(CancelReason::Terminate).left(&["Machine/x"]).report();
        let whole = merge(vec![stopped, good("a", 60)]).unwrap();
        assert_eq!(whole.exit_status(), ExitStatus::NotProvenClean);
    }

    #[test]
    fn a_run_that_is_given_twice_counts_once_as_its_longer_record() {
        let script = Script::at(0).unit("a", CASES).started().passes("a", CASES);
        let (short, long) = (script.report(), script.unit_clean("a").clean().report());
        assert_eq!(merge(vec![short.clone(), long.clone()]), Some(long.clone()));
        assert_eq!(merge(vec![long.clone(), short]), Some(long));
    }

    /// A shard or a repetition: which units it has, and how each of their two cases ended, if it started.
    fn drawn() -> impl Strategy<Value = Vec<(usize, Option<[u8; 2]>)>> {
        let outcome = 0_u8..4;
        let unit = (0_usize..4, proptest::option::of([outcome.clone(), outcome]));
        proptest::collection::vec(unit, 1..4)
    }

    fn report(minute: i64, units: &[(usize, Option<[u8; 2]>)]) -> RunReport {
        const LETTERS: [&str; 4] = ["a", "b", "c", "d"];
        let mut once: Vec<_> = units.to_vec();
        once.sort_unstable_by_key(|(unit, _)| *unit);
        once.dedup_by_key(|(unit, _)| *unit);
        let mut script = Script::at(minute);
        for (unit, _) in &once {
            script = script.unit(LETTERS[*unit], CASES);
        }
        for (unit, outcomes) in &once {
            let (unit, Some(outcomes)) = (LETTERS[*unit], outcomes) else { continue };
            script = script.event(Some(unit), crate::event::EventKind::UnitStarted);
            for (case, outcome) in CASES.iter().zip(outcomes) {
                script = match outcome {
                    0 => script.skips(unit, case, "n/a"),
                    1 => script.passes(unit, &[*case]),
                    2 => script.fails(unit, case, &format!("minute {minute}")),
                    _ => {
                        script.fails_as(unit, case, FailureClass::Infrastructure, &format!("minute {minute}"))
                    }
                };
            }
            script = script.unit_clean(unit);
        }
        script.clean().report()
    }

    fn failures(report: &RunReport) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for unit in &report.units {
            for case in &unit.cases {
                for attempt in &case.attempts {
                    if let crate::event::Outcome::Failed { failure, .. } = &attempt.outcome {
                        let id = unit.info.id.to_string();
                        found.push((id, case.case.0.clone(), failure.summary.clone()));
                    }
                }
            }
        }
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter_no_failure_is_lost_and_none_is_painted_green(
            parts in proptest::collection::vec(drawn(), 1..5), turn in 0_usize..5,
        ) {
            let reports: Vec<RunReport> =
                (0..).step_by(100).zip(&parts).map(|(minute, units)| report(minute, units)).collect();
            let whole = merge(reports.clone()).unwrap();
            let mut turned = reports.clone();
            turned.rotate_left(turn % reports.len());
            prop_assert_eq!(&merge(turned).unwrap(), &whole);
            let mut parts_failures: Vec<_> = reports.iter().flat_map(failures).collect();
            parts_failures.sort();
            prop_assert_eq!(&failures(&whole), &parts_failures);
            if !parts_failures.is_empty() {
                prop_assert!(whole.verdict() >= Verdict::Flaky);
            }
            // In two steps: the same attempts and the same verdicts of all cases.
            if let [first, second, rest @ ..] = reports.as_slice() {
                let pair = merge(vec![first.clone(), second.clone()]).unwrap();
                let stepped = merge(std::iter::once(pair).chain(rest.iter().cloned()).collect()).unwrap();
                let cases = |report: &RunReport| -> Vec<_> {
                    report.units.iter().map(|unit| (unit.info.id.clone(), unit.cases.clone())).collect()
                };
                prop_assert_eq!(cases(&stepped), cases(&whole));
            }
        }
    }
}
