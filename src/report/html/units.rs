//! All combinations: those that need a look with each of their cases, the others as a line each.

use super::{Page, words};
use crate::event::Outcome;
use crate::report::terminal::count;
use crate::results::{CaseReport, RunReport, UnitReport, Verdict};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// So many cases of combinations that passed are told one by one.
const MAX_CASES: usize = 2_500;
/// So many combinations that need a look are told with their cases.
const MAX_BAD: usize = 200;
/// More than so many of them are folded.
const MAX_OPEN: usize = 20;
/// So many lines a table has.
const MAX_LINES: usize = 10_000;

impl Page<'_> {
    pub(super) fn units(&self, report: &RunReport) -> Option<Markup> {
        if report.units.is_empty() {
            return None;
        }
        let (good, look): (Vec<&UnitReport>, Vec<&UnitReport>) = report
            .units
            .iter()
            .partition(|unit| matches!(unit.verdict(), Verdict::Passed | Verdict::Skipped));
        let cases: usize = good.iter().map(|unit| unit.cases.len()).sum();
        Some(html! {
            @if look.len() <= MAX_OPEN {
                @for unit in &look { (self.unit(unit)) }
            } @else {
                details {
                    summary { (count(look.len(), "combination")) " with trouble" }
                    @for unit in look.iter().take(MAX_BAD) { (self.unit(unit)) }
                }
            }
            @if look.len() > MAX_BAD {
                details {
                    summary { (count(look.len() - MAX_BAD, "more combination")) ", as a line each" }
                    (self.lines(&look[MAX_BAD..]))
                }
            }
            @if !good.is_empty() {
                @if cases <= MAX_CASES {
                    @for unit in &good { (self.unit(unit)) }
                } @else {
                    details {
                        summary { (words::badge(Verdict::Passed)) " " (count(good.len(), "combination")) " without trouble" }
                        p { "Their " (cases) " cases are in the JSON and JUnit files; here each combination is a line." }
                        (self.lines(&good))
                    }
                }
            }
        })
    }

    fn unit(&self, unit: &UnitReport) -> Markup {
        let bad = unit.verdict().is_bad();
        html! {
            details.unit id={ "u-" (unit.info.id) } {
                summary {
                    (words::badge(unit.verdict())) " " (self.name(&unit.info.id))
                    @if let Some(took) = words::took(unit) { " " span.count { (words::time(took)) } }
                }
                p.note { (words::line(&format!("{}: {}", unit.info.scenario, unit.info.name))) ", cluster " code { (words::line(&unit.info.cluster)) } }
                (words::scrolling(&format!("cases of {}", unit.info.id), html! {
                    table {
                        thead { tr { th scope="col" { "case" } th scope="col" { "verdict" } th scope="col" { "took" } th scope="col" { "what was found" } } }
                        tbody { @for case in &unit.cases { (row(case)) } }
                    }
                }))
                @if bad {
                    (self.evidence(unit))
                } @else {
                    p.label { "run just this again" }
                    (words::command(&(self.facts.again)(unit)))
                }
                @for command in unit.commands.iter().take(10) { (words::command(command)) }
            }
        }
    }

    fn lines(&self, units: &[&UnitReport]) -> Markup {
        html! {
            (words::scrolling("combinations", html! {
                table {
                    thead { tr { th scope="col" { "id" } th scope="col" { "combination" } th scope="col" { "took" } } }
                    tbody {
                        @for unit in units.iter().take(MAX_LINES) {
                            tr {
                                th scope="row" { code { (unit.info.id) } }
                                td { (self.name(&unit.info.id)) }
                                td.number { @if let Some(took) = words::took(unit) { (words::time(took)) } }
                            }
                        }
                    }
                }
            }))
            @if units.len() > MAX_LINES { p { "… and " (units.len() - MAX_LINES) " more, left out to keep the page small." } }
        }
    }

    pub(super) fn left_out(&self, report: &RunReport) -> Option<Markup> {
        const MAX_NAMES: usize = 200;
        if report.left_out.is_empty() {
            return None;
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in &report.left_out {
            reasons.entry(&one.reason).or_default().push(&one.name);
        }
        Some(html! {
            p { (count(report.left_out.len(), "combination")) " did not run, each for a reason." }
            @for (reason, names) in reasons.iter().take(MAX_NAMES) {
                details {
                    summary { (names.len()) ": " (words::line(reason)) }
                    ul { @for name in names.iter().take(MAX_NAMES) { li { (words::line(name)) } } }
                    @if names.len() > MAX_NAMES { p { "… and " (names.len() - MAX_NAMES) " more." } }
                }
            }
        })
    }
}

fn row(case: &CaseReport) -> Markup {
    let took = case.attempts.iter().map(|a| words::between(a.started, a.finished)).sum();
    let found = match (case.deciding().map(|attempt| &attempt.outcome), &case.missing) {
        (Some(Outcome::Passed { note }), _) => words::line(note),
        (Some(Outcome::Skipped { reason }), _) => words::line(reason),
        (Some(Outcome::Failed { failure, expected: None }), _) => words::line(&failure.summary),
        (Some(Outcome::Failed { failure, expected: Some(reason) }), _) => {
            words::line(&format!("known: {reason} ({})", failure.summary))
        }
        (None, Some(why)) => words::line(why),
        (None, None) => String::new(),
    };
    html! {
        tr {
            th scope="row" { code { (words::line(&case.case.0)) } }
            td { (words::badge(case.verdict)) @if case.attempts.len() > 1 { " " (case.attempts.len()) " attempts" } }
            td.number { @if !case.attempts.is_empty() { (words::time(took)) } }
            td { (found) }
        }
    }
}
