//! What changes took down, and for how long.

use super::{Page, words};
use crate::event::{Availability, Seen};
use crate::report::terminal::count;
use crate::results::{CaseReport, RunReport, UnitReport};
use maud::{Markup, html};

const MAX_LINES: usize = 200;

type Row<'a> = (&'a UnitReport, &'a CaseReport, &'a Availability);

impl Page<'_> {
    pub(super) fn downtime(&self, report: &RunReport) -> Option<Markup> {
        let (mut told, quiet): (Vec<Row<'_>>, Vec<Row<'_>>) =
            report.availability().partition(|(_, _, one)| one.is_notable());
        if told.is_empty() && quiet.is_empty() {
            return None;
        }
        // The unknown first: it may be the longest.
        told.sort_by_key(|(_, _, one)| std::cmp::Reverse(down(one)));
        let gap = quiet.iter().filter_map(|(_, _, one)| gap(one)).max().unwrap_or_default();
        Some(html! {
            @if !quiet.is_empty() {
                p {
                    "In " (count(quiet.len(), "change")) " every probe was answered; the longest time without an answer was "
                    (gap) " ms."
                }
            }
            @if !told.is_empty() {
                (words::scrolling("downtime during changes", html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "combination" } th scope="col" { "change" } th scope="col" { "service" }
                                th scope="col" { "downtime" } th scope="col" { "longest without an answer" }
                                th scope="col" { "failed probes" } th scope="col" { "first failure" }
                            }
                        }
                        tbody { @for row in told.iter().take(MAX_LINES) { (self.downtime_row(row)) } }
                    }
                }))
                @if told.len() > MAX_LINES { p { "… and " (told.len() - MAX_LINES) " more." } }
            }
        })
    }

    fn downtime_row(&self, (unit, case, one): &Row<'_>) -> Markup {
        html! {
            tr {
                th scope="row" { (self.name(&unit.info.id)) }
                td { code { (words::line(&case.case.0)) } }
                td { (words::line(&one.service)) }
                @match &one.seen {
                    Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, first_failure } => {
                        td.number { (downtime_ms) " ms" }
                        td.number { (longest_gap_ms) " ms" }
                        td.number { (failed) " of " (probes) }
                        td { (words::line(first_failure.as_deref().unwrap_or_default())) }
                    }
                    Seen::Unknown { why } => {
                        td { "unknown" } td { "unknown" } td { "–" } td { (words::line(why)) }
                    }
                }
            }
        }
    }
}

fn down(one: &Availability) -> u64 {
    match &one.seen {
        Seen::Measured { downtime_ms, .. } => *downtime_ms,
        Seen::Unknown { .. } => u64::MAX,
    }
}

fn gap(one: &Availability) -> Option<u64> {
    match &one.seen {
        Seen::Measured { longest_gap_ms, .. } => Some(*longest_gap_ms),
        Seen::Unknown { .. } => None,
    }
}
