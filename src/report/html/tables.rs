//! Durations beside those of earlier runs, flaky cases, history, and the results of other tools.

use super::{Page, moment, words};
use crate::event::Outcome;
use crate::report::terminal::count;
use crate::results::RunReport;
use crate::results::history::{FlakeRate, History, Trend};
use crate::results::{CaseReport, UnitReport, Verdict};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::time::Duration;

const MAX_LINES: usize = 25;

impl Page<'_> {
    pub(super) fn durations(&self, report: &RunReport) -> Option<Markup> {
        let mut times: BTreeMap<&str, Vec<(Duration, &UnitReport)>> = BTreeMap::new();
        for unit in &report.units {
            for case in unit.cases.iter().filter(|case| case.verdict != Verdict::Skipped) {
                let Some(last) = case.deciding() else { continue };
                let took = words::between(last.started, last.finished);
                times.entry(&case.case.0).or_default().push((took, unit));
            }
        }
        let trends: BTreeMap<String, Trend> = self
            .facts
            .history
            .iter()
            .flat_map(|history| history.trends())
            .map(|trend| (trend.case.clone(), trend))
            .collect();
        let mut rows: Vec<(&str, Vec<(Duration, &UnitReport)>)> = times.into_iter().collect();
        rows.iter_mut().for_each(|(_, times)| times.sort_by_key(|(took, _)| *took));
        rows.sort_by_key(|(_, times)| {
            std::cmp::Reverse(times.iter().map(|(took, _)| *took).sum::<Duration>())
        });
        if rows.is_empty() {
            return None;
        }
        let table = |rows: &[(&str, Vec<(Duration, &UnitReport)>)], label: &str| {
            words::scrolling(
                label,
                html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "case" } th scope="col" { "median" } th scope="col" { "longest" }
                                th scope="col" { "in" }
                                @if !trends.is_empty() { th scope="col" { "before" } th scope="col" { "now" } }
                            }
                        }
                        tbody { @for (case, times) in rows { (self.duration_row(case, times, &trends)) } }
                    }
                },
            )
        };
        let first = rows.len().min(12);
        Some(html! {
            @let slower: Vec<&Trend> = trends.values().filter(|trend| trend.is_slower()).collect();
            @if !slower.is_empty() {
                p { strong { "Slower than before: " }
                    @for (number, trend) in slower.iter().take(5).enumerate() {
                        @if number > 0 { ", " }
                        code { (words::line(&trend.case)) } " " (words::time(trend.now)) " instead of " (words::time(trend.before))
                    }
                }
            }
            (table(&rows[..first], "durations"))
            @if rows.len() > first {
                details {
                    summary { (count(rows.len() - first, "more case")) }
                    (table(&rows[first..rows.len().min(first + 200)], "more durations"))
                }
            }
            @if trends.is_empty() { p.note { "With results of earlier runs (" code { "--history" } ") each would stand beside what it took before." } }
        })
    }

    fn duration_row(
        &self,
        case: &str,
        times: &[(Duration, &UnitReport)],
        trends: &BTreeMap<String, Trend>,
    ) -> Markup {
        let median = times.get(times.len() / 2).map_or(Duration::ZERO, |(took, _)| *took);
        html! {
            tr {
                th scope="row" { code { (words::line(case)) } }
                td.number { (words::time(median)) }
                @if let Some((longest, unit)) = times.last() {
                    td.number { (words::time(*longest)) }
                    td { (self.name(&unit.info.id)) }
                }
                @if !trends.is_empty() {
                    @match trends.get(case) {
                        Some(trend) => {
                            td.number { (words::time(trend.before)) }
                            td class=[trend.is_slower().then_some("h4")] {
                                @if trend.is_slower() { "slower, " }
                                "× " (format!("{:.1}", trend.factor()))
                            }
                        }
                        None => { td { "–" } td { "new" } }
                    }
                }
            }
        }
    }

    pub(super) fn second_looks(&self, report: &RunReport) -> Option<Markup> {
        let mut flaky = Vec::new();
        let mut known = Vec::new();
        for unit in &report.units {
            for case in &unit.cases {
                match case.deciding().map(|attempt| &attempt.outcome) {
                    Some(Outcome::Passed { .. }) if case.verdict == Verdict::Flaky => {
                        flaky.push((unit, case))
                    }
                    Some(Outcome::Passed { note }) if note.starts_with("expected to fail") => {
                        known.push((unit, case, "fixed?", note.clone()));
                    }
                    Some(Outcome::Failed { failure, expected: Some(reason) }) => {
                        known.push((unit, case, "known", format!("{reason} ({})", failure.summary)));
                    }
                    Some(Outcome::Passed { .. } | Outcome::Failed { .. } | Outcome::Skipped { .. })
                    | None => {}
                }
            }
        }
        if flaky.is_empty() && known.is_empty() {
            return None;
        }
        Some(html! {
            @if !flaky.is_empty() {
                p { (count(flaky.len(), "case")) " failed first and passed on a retry. Good by the rules, but not for nothing." }
                (words::scrolling("flaky cases", html! {
                    table {
                        thead { tr { th scope="col" { "combination" } th scope="col" { "case" } th scope="col" { "attempts" } th scope="col" { "first failure" } } }
                        tbody {
                            @for (unit, case) in flaky.iter().take(MAX_LINES) {
                                tr {
                                    th scope="row" { (self.name(&unit.info.id)) }
                                    td { code { (words::line(&case.case.0)) } }
                                    td.number { (case.attempts.len()) }
                                    td { (first_failure(case)) }
                                }
                            }
                        }
                    }
                }))
                @if flaky.len() > MAX_LINES { p { "… and " (flaky.len() - MAX_LINES) " more." } }
            }
            @if !known.is_empty() {
                p { (count(known.len(), "case")) " with a known failure." }
                (words::scrolling("known trouble", html! {
                    table {
                        thead { tr { th scope="col" { "combination" } th scope="col" { "case" } th scope="col" { "" span.visually-hidden { "state" } } th scope="col" { "why" } } }
                        tbody {
                            @for (unit, case, word, why) in known.iter().take(MAX_LINES) {
                                tr {
                                    th scope="row" { (self.name(&unit.info.id)) }
                                    td { code { (words::line(&case.case.0)) } }
                                    td { (word) }
                                    td { (words::line(why)) }
                                }
                            }
                        }
                    }
                }))
                @if known.len() > MAX_LINES { p { "… and " (known.len() - MAX_LINES) " more." } }
            }
        })
    }

    pub(super) fn history(&self) -> Option<Markup> {
        let history = self.facts.history.filter(|history| history.runs().len() > 1)?;
        let runs = history.runs();
        Some(html! {
            p {
                (count(runs.len(), "run")) " since " (moment(runs[0].started)) ": "
                span.runs role="img" aria-label=(spoken(history)) {
                    @for past in runs.iter().skip(runs.len().saturating_sub(60)) {
                        span class={ "run " (past.verdict.as_str()) } title={ (past.run) " " (moment(past.started)) " " (past.verdict.as_str()) } {
                            (words::sign(past.verdict))
                        }
                    }
                }
            }
            (difference(history))
            (self.red(history))
            (rates("How flaky cases are", "case", &history.flaky_cases()))
            (rates("How flaky switch values are", "value", &history.flaky_values()))
        })
    }

    fn red(&self, history: &History) -> Markup {
        let red = history.red();
        html! {
            @if !red.is_empty() {
                (words::scrolling("since when it is red", html! {
                    table {
                        caption { "Since when it is red" }
                        thead { tr { th scope="col" { "combination" } th scope="col" { "case" } th scope="col" { "red since" } th scope="col" { "runs" } th scope="col" { "last green" } } }
                        tbody {
                            @for one in red.iter().take(MAX_LINES) {
                                tr {
                                    th scope="row" { (self.names.get(one.unit.as_str()).map_or(one.name.as_str(), String::as_str)) }
                                    td { code { (words::line(&one.case)) } }
                                    td { (moment(one.at)) " " code { (one.since) } }
                                    td.number { (one.runs) }
                                    td { @match &one.green { Some(run) => { code { (run) } } None => { "never" } } }
                                }
                            }
                        }
                    }
                }))
                @if red.len() > MAX_LINES { p { "… and " (red.len() - MAX_LINES) " more." } }
            }
        }
    }

    /// What JUnit files of other tools say.
    pub(super) fn foreign(&self) -> Option<Markup> {
        let foreign = self.facts.foreign;
        if foreign.files.is_empty() {
            return None;
        }
        Some(html! {
            @for failure in &foreign.failures {
                details.foreign {
                    summary {
                        (words::badge(failure.verdict)) " " (words::line(&failure.name))
                    }
                    p.cause { (words::line(&failure.message)) }
                    p.note { (words::line(&failure.suite)) " " (words::line(&failure.class)) ", in " code { (words::line(&failure.file)) } }
                    @if let Some(text) = self.text(&failure.detail) { (text) }
                }
            }
            @if foreign.more > 0 { p { "… and " (count(foreign.more, "more failure")) ", in the files." } }
            (words::scrolling("files of other tools", html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "file" } th scope="col" { "passed" } th scope="col" { "flaky" }
                            th scope="col" { "failed" } th scope="col" { "errored" } th scope="col" { "skipped" }
                        }
                    }
                    tbody {
                        @for file in foreign.files.iter().take(200) {
                            tr {
                                th scope="row" { (words::line(&file.name)) }
                                @for number in [file.passed, file.flaky, file.failed, file.errored, file.skipped] { td.number { (number) } }
                            }
                        }
                    }
                }
            }))
        })
    }
}

fn first_failure(case: &CaseReport) -> String {
    let failure = case.attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Failed { failure, .. } => Some(failure),
        Outcome::Passed { .. } | Outcome::Skipped { .. } => None,
    });
    failure.map_or(String::new(), |failure| words::line(&failure.summary))
}

fn spoken(history: &History) -> String {
    let good = history.runs().iter().filter(|past| !past.verdict.is_bad()).count();
    format!("{good} of {} runs were good", history.runs().len())
}

fn difference(history: &History) -> Markup {
    html! {
        @match history.difference() {
            Some(difference) => {
                p {
                    "Since the last green run (" code { (difference.green) } ", " (moment(difference.at)) "): "
                    (count(difference.broken.len(), "case")) " broken, "
                    (count(difference.added.len(), "combination")) " added, " (difference.gone.len()) " gone."
                }
            }
            None => p { "There is no green run before this one." }
        }
    }
}

fn rates(title: &str, what: &str, rates: &[FlakeRate]) -> Markup {
    html! {
        @if !rates.is_empty() {
            (words::scrolling(title, html! {
                table {
                    caption { (title) }
                    thead { tr { th scope="col" { (what) } th scope="col" { "rate" } th scope="col" { "passed on a retry" } th scope="col" { "failed alone" } th scope="col" { "looked at" } } }
                    tbody {
                        @for rate in rates.iter().take(MAX_LINES) {
                            tr {
                                th scope="row" { code { (words::line(&rate.what)) } }
                                td.number { (format!("{:.1} %", rate.rate() * 100.0)) }
                                td.number { (rate.retried) }
                                td.number { (rate.alone) }
                                td.number { (rate.looked) }
                            }
                        }
                    }
                }
            }))
        }
    }
}
