//! What failed, by the case that failed first; which switch values explain it; and the command that repeats it.

use super::{Page, words};
use crate::report::terminal::{cause, clean_words, count};
use crate::results::suspects::{Suspect, is_bad, suspects, suspects_by_case};
use crate::results::{CaseReport, RunReport, UnitReport, Verdict};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// This many combinations of a group are told at once, the next ones are folded, further ones are named only.
const MAX_OPEN: usize = 2;
const MAX_FOLDED: usize = 30;
const MAX_NAMED: usize = 300;

/// Combinations in which the same case went badly first.
struct Group<'a> {
    case: Option<&'a str>,
    units: Vec<(&'a UnitReport, Option<&'a CaseReport>)>,
}

/// The groups, the largest first.
fn groups(report: &RunReport) -> Vec<Group<'_>> {
    let mut found: BTreeMap<Option<&str>, Vec<(&UnitReport, Option<&CaseReport>)>> = BTreeMap::new();
    for unit in report.units.iter().filter(|unit| unit.started.is_some() && unit.verdict().is_bad()) {
        let first = unit.cases.iter().find(|case| case.verdict.is_bad());
        found.entry(first.map(|case| case.case.0.as_str())).or_default().push((unit, first));
    }
    let mut groups: Vec<Group<'_>> = found.into_iter().map(|(case, units)| Group { case, units }).collect();
    // The product before the infrastructure, as it is what is tested; then the larger group.
    let product = |group: &Group<'_>| group.units.iter().any(|(unit, _)| unit.verdict() == Verdict::Failed);
    groups.sort_by_key(|group| std::cmp::Reverse((product(group), group.units.len())));
    groups
}

impl Page<'_> {
    /// What failed in the run; `None` when all is well.
    pub(super) fn failures(&self) -> Option<Markup> {
        let report = self.facts.report?;
        let groups = groups(report);
        let never = never_ran(report);
        let stopped = report.cancelled.is_some() || !report.complete;
        let nothing_bad =
            groups.is_empty() && never.is_empty() && report.prepare_failure.is_none() && !stopped;
        if nothing_bad {
            return None;
        }
        let by_case = suspects_by_case(report);
        let known = report.units.iter().filter(|unit| unit.started.is_some()).count();
        Some(html! {
            (self.run_trouble(report))
            (explanation(report, &suspects(report), &groups))
            @for group in &groups { (self.group(group, &by_case, known)) }
            @if report.prepare_failure.is_none() { @for (why, units) in &never { (self.never(why, units)) } }
        })
    }

    fn run_trouble(&self, report: &RunReport) -> Markup {
        html! {
            @if let Some(failure) = &report.prepare_failure {
                article {
                    h3 { (words::badge(Verdict::of_failure(failure))) " shared preparation of all combinations" }
                    p.cause { (words::line(&cause(failure, usize::MAX))) }
                    @if let Some(hint) = &failure.hint { p { span.label { "hint" } " " (words::line(hint)) } }
                    @if let Some(text) = self.text(&failure.detail) { (text) }
                }
            }
            @match (report.cancelled, report.complete) {
                (Some(reason), _) => {
                    p { strong { "Stopped early: " } (reason.as_str()) ". This goes on with it:" }
                    (words::command(self.facts.resume))
                }
                (None, false) => {
                    p { strong { "No end of the run is on record: " } "it goes on elsewhere, or was killed. This goes on with it:" }
                    (words::command(self.facts.resume))
                }
                (None, true) => {}
            }
        }
    }

    fn group(&self, group: &Group<'_>, by_case: &BTreeMap<String, Vec<Suspect>>, known: usize) -> Markup {
        let bad = group.units.len();
        let suspects = group.case.and_then(|case| by_case.get(case)).map_or(&[][..], Vec::as_slice);
        html! {
            article {
                h3 {
                    code { (words::line(group.case.unwrap_or("prove-clean"))) }
                    span.count { " in " (bad) " of " (count(known, "combination")) }
                }
                @if !suspects.is_empty() { (blame(suspects)) }
                @for (unit, case) in group.units.iter().take(MAX_OPEN) { (self.bad_unit(unit, *case)) }
                @if bad > MAX_OPEN {
                    details {
                        summary { (count(bad - MAX_OPEN, "more combination")) }
                        @for (unit, case) in group.units.iter().skip(MAX_OPEN).take(MAX_FOLDED) {
                            details {
                                summary { (self.name(&unit.info.id)) }
                                (self.bad_unit(unit, *case))
                            }
                        }
                        ul {
                            @for (unit, _) in group.units.iter().skip(MAX_OPEN + MAX_FOLDED).take(MAX_NAMED) {
                                li { (self.name(&unit.info.id)) " " code { (unit.info.id) } }
                            }
                        }
                        @if bad > MAX_OPEN + MAX_FOLDED + MAX_NAMED {
                            p { "… and " (bad - MAX_OPEN - MAX_FOLDED - MAX_NAMED) " more, left out here to keep the page small." }
                        }
                    }
                }
            }
        }
    }

    fn bad_unit(&self, unit: &UnitReport, case: Option<&CaseReport>) -> Markup {
        let later: Vec<&CaseReport> =
            unit.cases.iter().filter(|case| case.verdict.is_bad()).skip(1).collect();
        html! {
            div.bad-unit {
                h4 { (words::badge(unit.verdict())) " " (self.name(&unit.info.id)) }
                @match (case, case.and_then(CaseReport::failure)) {
                    (Some(case), Some(failure)) => {
                        p.cause {
                            (words::line(&failure.summary))
                            @if case.attempts.len() > 1 { " (" (case.attempts.len()) " attempts)" }
                        }
                        @if let Some(object) = &failure.object {
                            p { span.label { "object" } " " code { (words::line(&object.to_string())) } }
                        }
                        @if let Some(hint) = &failure.hint { p { span.label { "hint" } " " (words::line(hint)) } }
                        @if let Some(text) = self.text(&failure.detail) {
                            details { summary { "what was seen" } (text) }
                        }
                    }
                    (Some(case), None) => p.cause { (words::line(case.missing.as_deref().unwrap_or("it has no outcome"))) }
                    (None, _) => p.cause { (words::line(&clean_words(&unit.clean))) }
                }
                @if !later.is_empty() {
                    p {
                        span.label { "then" }
                        @for case in later.iter().take(4) { " " code { (words::line(&case.case.0)) } }
                        @if later.len() > 4 { " and " (later.len() - 4) " more" }
                    }
                }
                (self.evidence(unit))
                p.label { "run just this again" }
                (words::command(&(self.facts.again)(unit)))
            }
        }
    }

    fn never(&self, why: &str, units: &[&UnitReport]) -> Markup {
        html! {
            article {
                h3 { (count(units.len(), "combination")) " without a result" }
                p.cause { (words::line(why)) }
                details {
                    summary { "which" }
                    ul { @for unit in units.iter().take(MAX_NAMED) { li { (self.name(&unit.info.id)) " " code { (unit.info.id) } } } }
                    @if units.len() > MAX_NAMED { p { "… and " (units.len() - MAX_NAMED) " more." } }
                }
            }
        }
    }
}

fn never_ran(report: &RunReport) -> BTreeMap<&str, Vec<&UnitReport>> {
    let mut reasons: BTreeMap<&str, Vec<&UnitReport>> = BTreeMap::new();
    for unit in report.units.iter().filter(|unit| unit.started.is_none() && unit.verdict().is_bad()) {
        let why = unit.cases.first().and_then(|case| case.missing.as_deref()).unwrap_or("never ran");
        reasons.entry(why).or_default().push(unit);
    }
    reasons
}

/// The switch values that only failed combinations have; said once here when there is more than one group.
fn explanation(report: &RunReport, suspects: &[Suspect], groups: &[Group<'_>]) -> Markup {
    let known: Vec<bool> = report.units.iter().filter_map(is_bad).collect();
    let bad = known.iter().filter(|bad| **bad).count();
    html! {
        @if groups.len() > 1 && !suspects.is_empty() {
            (blame(suspects))
        } @else if bad > 1 && bad == known.len() {
            p.why { "Every combination failed, so that no switch explains it: look for what they share." }
        } @else if bad > 1 && suspects.is_empty() {
            p.why { "No switch value, and no two of them together, tell what failed from what passed." }
        }
    }
}

fn blame(suspects: &[Suspect]) -> Markup {
    html! {
        ul.blame {
            @for suspect in suspects {
                li {
                    @if suspect.explains == suspect.of {
                        "Every failure has "
                    } @else {
                        (suspect.explains) " of " (suspect.of) " failures have "
                    }
                    strong { (words::values(suspect)) }
                    "; nothing that passed has " @if suspect.values.len() > 1 { "both" } @else { "it" } "."
                }
            }
        }
    }
}
