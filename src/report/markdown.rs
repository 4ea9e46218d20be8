//! The results as a comment for a pull request: the verdict first, at most `MAX_LINES` lines. Texts from elsewhere stand
//! in code alone, where they can neither mention somebody nor link nor end the list they are in.

use super::facts::{Facts, Tone};
use super::terminal::{cause, clean_words, count};
use crate::event::{Cleanliness, Seen};
use crate::results::suspects::suspects;
use crate::results::{CaseReport, RunReport, UnitReport, Verdict};
use crate::types::one_line;

/// A longer comment is not read.
pub const MAX_LINES: usize = 60;
const MAX_UNITS: usize = 8;
const MAX_FOREIGN: usize = 6;
const MAX_COMMANDS: usize = 5;
const MAX_REASONS: usize = 3;
const MAX_DOWN: usize = 4;

/// The comment about `facts`.
#[must_use]
pub fn markdown(facts: &Facts<'_>) -> String {
    let mut lines = Vec::new();
    let sign = match facts.tone() {
        Tone::Good => "✅",
        Tone::Bad => "❌",
        Tone::Unsure => "⚠️",
    };
    lines.push(format!("## {sign} {}", facts.word()));
    lines.push(String::new());
    lines.push(format!("{}.", capital(&facts.sentence())));
    if let Some(report) = facts.report {
        own(facts, report, &mut lines);
    }
    foreign(facts, &mut lines);
    if let Some(report) = facts.report {
        notes(report, &mut lines);
        let run = format!("Run {}, stack-e2e {}.", code(report.run.as_str(), 40), code(&report.harness, 40));
        lines.extend([String::new(), run]);
    }
    // Each part has a limit of its own; together they stay below this one.
    lines.truncate(MAX_LINES);
    lines.join("\n") + "\n"
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// A text from elsewhere in one line of code, fenced by more backticks than it has itself.
fn code(text: &str, max: usize) -> String {
    let text = one_line(text, max);
    if text.is_empty() {
        return String::new();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // A backtick at an end would become part of the fence; one blank on each side is taken away by readers.
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Commands in a block of their own.
fn block(commands: &[String], lines: &mut Vec<String>) {
    let commands: Vec<String> = commands.iter().map(|command| one_line(command, 2_000)).collect();
    let longest = commands.iter().flat_map(|text| text.split(|c| c != '`')).map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or_default().max(2) + 1);
    lines.push(format!("{fence}sh"));
    lines.extend(commands);
    lines.push(fence);
}

fn own(facts: &Facts<'_>, report: &RunReport, lines: &mut Vec<String>) {
    if let Some(failure) = &report.prepare_failure {
        lines.extend([String::new(), format!("Preparation failed: {}", code(&cause(failure, 300), 300))]);
    }
    if let Some(reason) = report.cancelled {
        lines.extend([String::new(), format!("Stopped early: {}.", reason.as_str())]);
    }
    for suspect in suspects(report).iter().take(3) {
        let values: Vec<String> =
            suspect.values.iter().map(|(switch, value)| code(&format!("{switch}={value}"), 80)).collect();
        let share = match suspect.explains {
            all if all == suspect.of => "Every failure has".to_owned(),
            some => format!("{some} of {} failures have", suspect.of),
        };
        lines.extend([
            String::new(),
            format!("**{share} {}**; nothing that passed has.", values.join(" with ")),
        ]);
    }
    let bad: Vec<&UnitReport> = report.units.iter().filter(|unit| unit.verdict().is_bad()).collect();
    if !bad.is_empty() {
        lines.push(String::new());
    }
    for unit in bad.iter().take(MAX_UNITS) {
        lines.push(bad_unit(unit));
    }
    if bad.len() > MAX_UNITS {
        lines.push(format!("- … and {} more", bad.len() - MAX_UNITS));
    }
    let commands: Vec<String> = bad
        .iter()
        .filter(|unit| unit.started.is_some())
        .take(MAX_COMMANDS)
        .map(|unit| (facts.again)(unit))
        .collect();
    if !commands.is_empty() {
        lines.extend([String::new(), "Again, just these:".to_owned(), String::new()]);
        block(&commands, lines);
    }
    match &report.clean {
        Cleanliness::Clean => {}
        Cleanliness::Left { .. } | Cleanliness::Unknown { .. } | Cleanliness::Kept => {
            let words = code(&clean_words(&report.clean), 300);
            lines.extend([
                String::new(),
                format!("{words}; this looks, and removes what it finds:"),
                String::new(),
            ]);
            block(&[facts.sweep.to_owned()], lines);
        }
    }
}

fn bad_unit(unit: &UnitReport) -> String {
    let first = unit.cases.iter().find(|case| case.verdict.is_bad());
    let why = match (first, first.and_then(CaseReport::failure)) {
        (_, Some(failure)) => cause(failure, 300),
        (Some(case), None) => case.missing.clone().unwrap_or_default(),
        (None, None) => clean_words(&unit.clean),
    };
    let case = first.map_or("prove-clean", |case| case.case.0.as_str());
    let title = format!("{}: {}", unit.info.scenario, unit.info.name);
    format!(
        "- **{}** {} in {}: {}",
        unit.verdict().as_str(),
        code(&title, 150),
        code(case, 80),
        code(&why, 300)
    )
}

fn foreign(facts: &Facts<'_>, lines: &mut Vec<String>) {
    let foreign = facts.foreign;
    if foreign.files.is_empty() {
        return;
    }
    let total: [usize; 4] = foreign.files.iter().fold([0; 4], |sum, file| {
        [sum[0] + file.passed, sum[1] + file.failed, sum[2] + file.errored, sum[3] + file.skipped]
    });
    let [passed, failed, errored, skipped] = total;
    let files = count(foreign.files.len(), "other file");
    lines.extend([
        String::new(),
        format!("{files}: {passed} passed, {failed} failed, {errored} errored, {skipped} skipped."),
    ]);
    if !foreign.failures.is_empty() {
        lines.push(String::new());
    }
    for failure in foreign.failures.iter().take(MAX_FOREIGN) {
        let (name, message) = (code(&failure.name, 200), code(&failure.message, 300));
        lines.push(format!("- **{}** {name}: {message}", failure.verdict.as_str()));
    }
    let more = foreign.failures.len().saturating_sub(MAX_FOREIGN) + foreign.more;
    if more > 0 {
        lines.push(format!("- … and {more} more"));
    }
}

fn notes(report: &RunReport, lines: &mut Vec<String>) {
    let cases = report.units.iter().flat_map(|unit| &unit.cases);
    let flaky: Vec<&CaseReport> = cases.filter(|case| case.verdict == Verdict::Flaky).collect();
    if let Some(first) = flaky.first() {
        let more = if flaky.len() > 1 { " and others" } else { "" };
        let what = count(flaky.len(), "case");
        lines.extend([
            String::new(),
            format!("{what} passed only on a retry: {}{more}.", code(&first.case.0, 80)),
        ]);
    }
    downtime(report, lines);
    if report.left_out.is_empty() {
        return;
    }
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for one in &report.left_out {
        let full = reasons.len() >= MAX_REASONS;
        match reasons.iter_mut().find(|(reason, _)| *reason == one.reason) {
            Some((_, number)) => *number += 1,
            None if full => {}
            None => reasons.push((&one.reason, 1)),
        }
    }
    let told: usize = reasons.iter().map(|(_, number)| number).sum();
    let left_out = report.left_out.len();
    lines.extend([String::new(), format!("Left out: {}.", count(left_out, "combination")), String::new()]);
    lines.extend(reasons.iter().map(|(reason, number)| format!("- {number}: {}", code(reason, 200))));
    if left_out > told {
        lines.push(format!("- {} for other reasons", left_out - told));
    }
}

/// What changes took down; not a word when every probe was answered.
fn downtime(report: &RunReport, lines: &mut Vec<String>) {
    let mut told: Vec<_> = report.availability().filter(|(_, _, one)| one.is_notable()).collect();
    if told.is_empty() {
        return;
    }
    told.sort_by_key(|(_, _, one)| match &one.seen {
        Seen::Measured { downtime_ms, .. } => std::cmp::Reverse(*downtime_ms),
        Seen::Unknown { .. } => std::cmp::Reverse(u64::MAX),
    });
    lines.extend([String::new(), "Downtime during changes:".to_owned(), String::new()]);
    for (unit, case, one) in told.iter().take(MAX_DOWN) {
        let (name, words) = (code(&unit.info.name, 150), code(&one.words(), 300));
        lines.push(format!("- {name} in {}: {words}", code(&case.case.0, 80)));
    }
    if told.len() > MAX_DOWN {
        lines.push(format!("- … and {} more", told.len() - MAX_DOWN));
    }
}

#[cfg(test)]
mod tests;
