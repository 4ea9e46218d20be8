//! Several reports -> one: the shards of a run, or a run and the repetition of what failed in it.

use super::verdict::of_attempts;
use super::{CaseReport, RunReport, UnitReport};
use crate::event::Cleanliness;

/// Merges reports; `None` when there is none. Units with the same id become one with all attempts, in the order of
/// time; the last one decides. A trouble of a whole run (its preparation, a signal, a missing end) is forgotten
/// when all of its units were carried out again later; what it may have left behind is never forgotten.
#[must_use]
pub fn merge(mut reports: Vec<RunReport>) -> Option<RunReport> {
    reports.sort_by_key(|report| report.started);
    let redone: Vec<bool> = (0..reports.len())
        .map(|index| {
            let later = &reports[index + 1..];
            let again = |unit: &UnitReport| {
                let ran = |other: &&UnitReport| other.info.id == unit.info.id && other.started.is_some();
                later.iter().any(|report| report.units.iter().any(|u| ran(&u)))
            };
            !reports[index].units.is_empty() && reports[index].units.iter().all(again)
        })
        .collect();
    let mut parts = reports.into_iter().zip(redone);
    let (mut whole, forget) = parts.next()?;
    if forget {
        forget_trouble(&mut whole);
    }
    for (mut part, forget) in parts {
        if forget {
            forget_trouble(&mut part);
        }
        whole.finished = whole.finished.max(part.finished);
        whole.prepared &= part.prepared;
        whole.prepare_failure = whole.prepare_failure.or(part.prepare_failure);
        whole.cancelled = whole.cancelled.max(part.cancelled);
        whole.complete &= part.complete;
        whole.clean = worse(whole.clean, part.clean);
        for left_out in part.left_out {
            if !whole.left_out.contains(&left_out) {
                whole.left_out.push(left_out);
            }
        }
        for unit in part.units {
            match whole.units.iter_mut().find(|known| known.info.id == unit.info.id) {
                Some(known) => add(known, unit),
                None => whole.units.push(unit),
            }
        }
    }
    Some(whole)
}

fn forget_trouble(report: &mut RunReport) {
    report.prepared = true;
    report.prepare_failure = None;
    report.cancelled = None;
    report.complete = true;
}

fn add(known: &mut UnitReport, later: UnitReport) {
    for case in later.cases {
        match known.cases.iter_mut().find(|other| other.case == case.case) {
            Some(other) => add_case(other, case),
            None => known.cases.push(case),
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
}
