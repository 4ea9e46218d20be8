//! One page that is a file of its own: no script, nothing loaded from anywhere, readable in any browser and on paper.
//! What failed, why, and what to do stand first; everything else is below, folded where it is long.
//!
//! Every text goes through the template, which escapes it, and through `printable`, which takes out what moves a
//! cursor or turns writing around. The policy in the head of the page forbids everything but the one style sheet, so
//! that even a text that got through could not do anything.

mod downtime;
mod failures;
mod matrix;
mod schedule;
mod tables;
mod units;
mod words;

use super::facts::{Facts, Tone};
use super::terminal::{count, tally_words};
use crate::event::{Cleanliness, Outcome, UnitInfo};
use crate::results::suspects::switches;
use crate::results::{CaseReport, RunReport, UnitReport};
use crate::types::CombinationId;
use crate::types::one_line;
use base64::Engine as _;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html as markup};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

const STYLE: &str = include_str!("style.css");

/// How much of one text of evidence is shown; a later entry is used when the page would be too large.
const MAX_TEXT: [usize; 6] = [32 << 10, 8 << 10, 2 << 10, 512, 128, 0];
/// All texts of evidence together.
const TEXT_BUDGET: usize = 1 << 20;

/// What all sections need.
struct Page<'a> {
    facts: &'a Facts<'a>,
    /// How much of one text of evidence is shown.
    max_text: usize,
    /// What each combination is called here, by its id.
    names: HashMap<&'a str, String>,
}

/// The page about `facts`.
#[must_use]
pub fn html(facts: &Facts<'_>) -> Vec<u8> {
    let page = Page { facts, max_text: max_text(facts), names: facts.report.map(names).unwrap_or_default() };
    page.document().into_string().into_bytes()
}

/// Names without what all combinations share: which scenario, and the switches that have one value only.
fn names(report: &RunReport) -> HashMap<&str, String> {
    let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut scenarios = HashSet::new();
    for unit in &report.units {
        scenarios.insert(unit.info.scenario.as_str());
        for (switch, value) in switches(&unit.info) {
            values.entry(switch).or_default().insert(value);
        }
    }
    let name = |info: &UnitInfo| {
        let own =
            switches(info).into_iter().filter(|(switch, _)| values.get(switch).is_some_and(|v| v.len() > 1));
        let own: Vec<String> = own.map(|(switch, value)| format!("{switch}={value}")).collect();
        let name = if own.is_empty() { info.name.clone() } else { own.join(" ") };
        let name = if name.is_empty() { info.id.to_string() } else { name };
        one_line(&if scenarios.len() > 1 { format!("{}: {name}", info.scenario) } else { name }, 200)
    };
    report.units.iter().map(|unit| (unit.info.id.as_str(), name(&unit.info))).collect()
}

/// The largest limit with which all texts that will be shown stay within the budget.
fn max_text(facts: &Facts<'_>) -> usize {
    let cases = facts.report.iter().flat_map(|report| &report.units).flat_map(|unit| &unit.cases);
    let attempts = cases.flat_map(|case: &CaseReport| &case.attempts);
    let own = attempts.map(|attempt| match &attempt.outcome {
        Outcome::Failed { failure, .. } => failure.detail.len(),
        Outcome::Passed { .. } | Outcome::Skipped { .. } => 0,
    });
    let foreign = facts.foreign.failures.iter().map(|failure| failure.detail.len());
    let sizes: Vec<usize> = own.chain(foreign).filter(|size| *size > 0).collect();
    let fits = |max: &usize| sizes.iter().map(|size| size.min(max)).sum::<usize>() <= TEXT_BUDGET;
    MAX_TEXT.into_iter().find(fits).unwrap_or(0)
}

/// Forbids everything but the one style sheet.
fn policy() -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl Page<'_> {
    fn name<'b>(&'b self, id: &'b CombinationId) -> &'b str {
        self.names.get(id.as_str()).map_or(id.as_str(), String::as_str)
    }

    fn document(&self) -> Markup {
        let facts = self.facts;
        let title = format!("{} {}", facts.word(), one_line(&facts.sentence(), 200));
        let sections = self.sections();
        markup! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "Skip to what failed" }
                    (self.header())
                    @if sections.len() > 2 {
                        nav aria-label="Sections" {
                            ul {
                                @for (id, name, _) in &sections { li { a href={ "#" (id) } { (name) } } }
                            }
                        }
                    }
                    main #main {
                        @for (id, name, body) in &sections {
                            section id=(id) aria-labelledby={ (id) "-title" } {
                                h2 id={ (id) "-title" } { (name) }
                                (body)
                            }
                        }
                    }
                    (self.footer())
                }
            }
        }
    }

    fn header(&self) -> Markup {
        let facts = self.facts;
        let (class, sign) = match facts.tone() {
            Tone::Good => ("good", "✓"),
            Tone::Bad => ("bad", "✗"),
            Tone::Unsure => ("unsure", "!"),
        };
        markup! {
            header class=(class) {
                h1 { span aria-hidden="true" { (sign) " " } (facts.word()) }
                p.lead { (one_line(&facts.sentence(), 400)) }
                @if let Some(report) = facts.report {
                    p.when {
                        @let units: Vec<_> = report.units.iter().map(UnitReport::verdict).collect();
                        @let cases: Vec<_> = report.units.iter().flat_map(|unit| &unit.cases).map(|case| case.verdict).collect();
                        @if !units.is_empty() {
                            (count(units.len(), "combination")) ": " (tally_words(units.iter())) br;
                            (count(cases.len(), "case")) ": " (tally_words(cases.iter())) br;
                        }
                        "run " (report.run) ", " (moment(report.started))
                    }
                }
            }
        }
    }

    /// The sections that have something to say: id, name, content.
    fn sections(&self) -> Vec<(&'static str, &'static str, Markup)> {
        let mut sections = Vec::new();
        let mut add = |id, name, body: Option<Markup>| {
            if let Some(body) = body {
                sections.push((id, name, body));
            }
        };
        let report = self.facts.report;
        let with = |section: fn(&Self, &RunReport) -> Option<Markup>| report.and_then(|r| section(self, r));
        add("failed", "What failed, and why", self.failures());
        add("clean", "What is left behind", with(Self::leftovers));
        add("other", "Other results", self.foreign());
        add("matrix", "Matrix", with(Self::matrix));
        add("schedule", "Schedule", with(Self::schedule));
        add("downtime", "Downtime during changes", with(Self::downtime));
        add("durations", "Durations", with(Self::durations));
        add("flaky", "Flaky and known trouble", with(Self::second_looks));
        add("history", "History", self.history());
        add("combinations", "All combinations", with(Self::units));
        add("left-out", "Left out", with(Self::left_out));
        sections
    }

    fn leftovers(&self, report: &RunReport) -> Option<Markup> {
        const MAX: usize = 100;
        Some(match &report.clean {
            Cleanliness::Clean => return None,
            Cleanliness::Kept => markup! {
                p { "Clusters were kept on request. This removes them:" }
                (words::command(self.facts.sweep))
            },
            Cleanliness::Unknown { why } => markup! {
                p { strong { "Not proven clean: " } (words::line(why)) }
                p { "This looks, and removes what it finds:" }
                (words::command(self.facts.sweep))
            },
            Cleanliness::Left { objects } => markup! {
                p { strong { "Objects outlived the run." } " This removes them:" }
                (words::command(self.facts.sweep))
                ul.objects { @for object in objects.iter().take(MAX) { li { code { (words::line(&object.to_string())) } } } }
                @if objects.len() > MAX { p { "… and " (objects.len() - MAX) " more." } }
            },
        })
    }

    fn footer(&self) -> Markup {
        markup! {
            footer {
                p {
                    "Written by stack-e2e"
                    @if let Some(report) = self.facts.report { " " (words::line(&report.harness)) }
                    ". Times are of the machine that ran it, in UTC."
                    @if self.max_text < MAX_TEXT[0] {
                        " Texts of evidence are cut to " (self.max_text) " bytes each, so that this page stays small; the files of evidence have them in full."
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
