//! Findings as text, JSON, JUnit and comments for Zuul. Pure.

use super::baseline::Sorted;
use super::{Finding, RULES, Severity};
use crate::types::printable;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Component;

/// What was looked at.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// How many stacks.
    pub stacks: usize,
    /// How many minors of them.
    pub minors: usize,
    /// What could not be read or rendered: nothing is known about it.
    pub unread: Vec<String>,
}

/// For people: a block for each finding, and the numbers.
#[must_use]
pub fn text(sorted: &Sorted, looked: &Looked) -> String {
    let mut text = String::new();
    for finding in &sorted.findings {
        let Finding { file, line, rule, severity, why, hint, .. } = finding;
        let place = if *line > 0 { format!("{}:{line}", file.display()) } else { file.display().to_string() };
        let _ = write!(text, "{place}: {}: {why} [{rule}]\n    hint: {hint}\n", severity.as_str());
    }
    if !sorted.findings.is_empty() {
        text.push('\n');
    }
    let number = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (stacks, minors) = (number(looked.stacks, "stack"), number(looked.minors, "minor"));
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Info]
        .into_iter()
        .map(|severity| (severity, sorted.findings.iter().filter(|f| f.severity == severity).count()))
        .filter(|(_, n)| *n > 0)
        .map(
            |(severity, n)| {
                if severity == Severity::Info { format!("{n} info") } else { number(n, severity.as_str()) }
            },
        )
        .collect();
    let found = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let _ = write!(text, "{stacks}, {minors}: {found}; {} accepted", sorted.accepted.len());
    let unread = match looked.unread.len() {
        0 => String::new(),
        n => format!("; {n} could not be read, and nothing is known about them"),
    };
    let _ = writeln!(text, "{unread}");
    text
}

/// For programs.
#[must_use]
pub fn json(sorted: &Sorted, looked: &Looked) -> String {
    let accepted: Vec<Value> = sorted
        .accepted
        .iter()
        .map(|(finding, because)| json!({"finding": finding, "because": because}))
        .collect();
    let value = json!({
        "stacks": looked.stacks, "minors": looked.minors, "unread": looked.unread, "findings": sorted.findings, "accepted": accepted,
    });
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// One suite with a case for each rule; the case of a rule that has found something at or above `fail_on` fails.
#[must_use]
pub fn junit(sorted: &Sorted, looked: &Looked, fail_on: Severity) -> Vec<u8> {
    let mut suite = TestSuite::new("lint");
    let mut status = TestCaseStatus::success();
    if !looked.unread.is_empty() {
        status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let message = format!("{} could not be read or rendered", looked.unread.len());
        status.set_message(message).set_type("unread").set_description(printable(&looked.unread.join("\n")));
    }
    let mut case = TestCase::new("readable", status);
    case.set_classname("stack-e2e.lint");
    suite.add_test_case(case);
    for rule in RULES {
        let own: Vec<&Finding> = sorted.findings.iter().filter(|finding| finding.rule == rule.id).collect();
        let accepted: Vec<_> =
            sorted.accepted.iter().filter(|(finding, _)| finding.rule == rule.id).collect();
        let mut lines: Vec<String> = own
            .iter()
            .map(|finding| format!("{}:{}: {}", finding.file.display(), finding.line, finding.why))
            .collect();
        let mut status = if own.is_empty() || rule.severity < fail_on {
            TestCaseStatus::success()
        } else {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        };
        if matches!(status, TestCaseStatus::NonSuccess { .. }) {
            let message = format!("{}: {}", own.len(), rule.what);
            status
                .set_message(message)
                .set_type(rule.severity.as_str())
                .set_description(printable(&lines.join("\n")));
            lines.clear();
        }
        lines.extend(
            accepted.iter().map(|(finding, because)| format!("accepted: {} ({because})", finding.why)),
        );
        let mut case = TestCase::new(rule.id, status);
        case.set_classname("stack-e2e.lint");
        if !lines.is_empty() {
            case.set_system_out(printable(&lines.join("\n")));
        }
        suite.add_test_case(case);
    }
    let mut report =
        Report::new(format!("stack-e2e lint: {} stacks, {} minors", looked.stacks, looked.minors));
    report.add_test_suite(suite);
    let mut bytes = Vec::new();
    // Writing to memory does not fail; an empty file is no report, so that nobody takes it for a pass.
    let _ = report.serialize(&mut bytes);
    bytes
}

/// Data for `zuul_return`: a comment at each line of a file of the project.
#[must_use]
pub fn zuul(sorted: &Sorted, looked: &Looked) -> String {
    let mut comments: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for finding in &sorted.findings {
        let parts: Option<Vec<&str>> = finding
            .file
            .components()
            .filter(|part| *part != Component::CurDir)
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let Some(path) = parts.map(|parts| parts.join("/")).filter(|path| !path.is_empty()) else { continue };
        let message = format!("{} [{}]\n\nhint: {}", finding.why, finding.rule, finding.hint);
        let level = finding.severity.as_str();
        comments.entry(path).or_default().push(json!({
            "line": finding.line.max(1), "message": message, "level": level,
        }));
    }
    json!({"zuul": {"file_comments": comments, "warnings": looked.unread}}).to_string()
}
