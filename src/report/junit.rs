//! JUnit XML as Zuul, Jenkins and people read it; valid against the schema of the Jenkins xunit plugin.
//!
//! One suite per combination, one case per phase and check; `run` is the suite of what all units share. A report
//! that nobody can parse is often shown as "0 tests", which looks like a pass, so that it is well-formed whatever
//! the logs hold, and never too large to be read.

// A new kind of event, outcome or reason must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

mod merged;

pub use merged::merged;

use crate::event::{
    Availability, Blame, CancelReason, Cleanliness, Failure, FailureClass, LeftOutInfo, Outcome, Seen,
};
use crate::results::{AttemptReport, CaseReport, RunReport, UnitReport, Verdict};
use crate::types::CaseId;
use crate::types::{head_and_tail, one_line, printable};
use jiff::Timestamp;
use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestRerun, TestSuite,
};
use std::fmt::Write;
use std::time::Duration;

/// The whole file is not larger than this, as long as the names and messages alone are not.
const MAX_FILE: usize = 5 << 20;

/// How much of one body (evidence, output) is kept; a later entry is used when the file would be too large.
const MAX_BODY: [usize; 6] = [64 << 10, 16 << 10, 4 << 10, 1 << 10, 256, 0];

const MAX_MESSAGE: usize = 500;

/// `report` as JUnit XML.
#[must_use]
pub fn junit(report: &RunReport) -> Vec<u8> {
    let mut last = Vec::new();
    for max_body in MAX_BODY {
        // Writing to memory fails only for a defect of the writer; then a short valid report says so.
        last = write(report, max_body).unwrap_or_else(|error| unwritable(&error));
        if last.len() <= MAX_FILE {
            break;
        }
    }
    last
}

fn unwritable(error: &SerializeError) -> Vec<u8> {
    let message: String =
        error.to_string().chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
    format!(
        "<testsuites><testsuite name=\"run\" tests=\"1\" failures=\"0\" errors=\"1\"><testcase name=\"report\">\
         <error type=\"harness\" message=\"{message}\"/></testcase></testsuite></testsuites>\n"
    )
    .into_bytes()
}

fn write(report: &RunReport, max_body: usize) -> Result<Vec<u8>, SerializeError> {
    let writer = Writer { max_body };
    let mut file = Report::new(format!("stack-e2e {}", report.run));
    file.set_time(between(report.started, report.finished));
    for unit in &report.units {
        file.add_test_suite(writer.unit(unit, report));
    }
    let mut left_out: Vec<(String, TestSuite)> = Vec::new();
    for one in &report.left_out {
        let name = format!("{}: left out", one.scenario);
        let index = left_out.iter().position(|(known, _)| *known == name);
        let index = index.unwrap_or_else(|| {
            let suite = writer.suite(&name, report.started, Duration::ZERO);
            left_out.push((name, suite));
            left_out.len() - 1
        });
        left_out[index].1.add_test_case(writer.left_out(one));
    }
    file.add_test_suites(left_out.into_iter().map(|(_, suite)| suite));
    file.add_test_suite(writer.run(report));
    let mut xml = Vec::new();
    file.serialize(&mut xml)?;
    Ok(without_skipped_total(xml))
}

/// The schema has no `skipped` on the root element, but the writer insists on it.
pub(super) fn without_skipped_total(xml: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&xml) else {
        return xml;
    };
    let root = text.find("<testsuites").and_then(|start| {
        let end = start + text[start..].find('>')?;
        // Quotes within the name are escaped, so that the first match is the attribute.
        let attribute = start + text[start..end].find(" skipped=\"")?;
        let value = attribute + " skipped=\"".len();
        Some(attribute..value + text[value..end].find('"')? + 1)
    });
    match root {
        Some(range) => [&text[..range.start], &text[range.end..]].concat().into_bytes(),
        None => xml,
    }
}

struct Writer {
    max_body: usize,
}

impl Writer {
    fn suite(&self, name: &str, started: Timestamp, time: Duration) -> TestSuite {
        let mut suite = TestSuite::new(one_line(name, MAX_MESSAGE));
        suite.extra.insert("timestamp".into(), timestamp(started).into());
        suite.set_time(time);
        suite
    }

    fn unit(&self, unit: &UnitReport, report: &RunReport) -> TestSuite {
        let started = unit.started.unwrap_or(report.started);
        let ended = unit.finished.or(unit.started.map(|_| report.finished));
        let mut suite = self.suite(&suite_name(unit), started, between(started, ended.unwrap_or(started)));
        let properties = unit.info.properties.iter();
        suite.add_properties(
            properties.map(|(key, value)| (one_line(key, MAX_MESSAGE), one_line(value, MAX_MESSAGE))),
        );
        // The schema has properties for suites alone, so that the case is part of their names.
        for case in &unit.cases {
            for one in case.attempts.last().iter().flat_map(|attempt| &attempt.availability) {
                suite.add_properties(downtime(&case.case, one));
            }
            suite.add_test_case(self.case(case, unit));
        }
        let output = unit_output(unit);
        if let Some(output) = self.body(&output) {
            suite.set_system_out(output);
        }
        suite
    }

    fn case(&self, case: &CaseReport, unit: &UnitReport) -> TestCase {
        let (phase, name) = case.case.0.split_once('/').unwrap_or((&case.case.0, &case.case.0));
        let mut test = TestCase::new(one_line(name, MAX_MESSAGE), self.status(case));
        test.set_classname(class_name(&unit.info.stack, &unit.info.scenario, phase));
        let time = case.attempts.iter().map(|a| between(a.started, a.finished));
        test.set_time(time.sum());
        let output = case_output(case);
        if let Some(output) = self.body(&output) {
            test.set_system_out(output);
        }
        test
    }

    fn status(&self, case: &CaseReport) -> TestCaseStatus {
        let Some(deciding) = case.deciding() else {
            return self.never_ran(case);
        };
        match (&deciding.outcome, case.verdict) {
            (Outcome::Passed { .. }, _) => {
                let mut status = TestCaseStatus::success();
                status.add_reruns(self.other_failures(case, deciding));
                status
            }
            (Outcome::Skipped { reason }, _) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(one_line(reason, MAX_MESSAGE));
                status
            }
            (Outcome::Failed { failure, expected: Some(reason) }, Verdict::Skipped) => {
                let mut status = TestCaseStatus::skipped();
                status.set_type("expected-failure");
                let message = format!("expected failure: {reason} ({})", failure.summary);
                status.set_message(one_line(&message, MAX_MESSAGE));
                self.describe(&mut status, failure);
                status
            }
            (Outcome::Failed { failure, .. }, _) => {
                let mut status = self.failed(failure);
                status.add_reruns(self.other_failures(case, deciding));
                status.set_rerun_kind(FlakyOrRerun::Rerun);
                status
            }
        }
    }

    /// A case without any attempt: its verdict has been decided by the fold.
    fn never_ran(&self, case: &CaseReport) -> TestCaseStatus {
        let (mut status, class) = match case.verdict {
            Verdict::Skipped => (TestCaseStatus::skipped(), None),
            Verdict::Failed => (TestCaseStatus::non_success(NonSuccessKind::Failure), Some("never-ran")),
            // Passed and flaky cannot be without an attempt; if they ever are, nothing is known.
            Verdict::Errored | Verdict::Passed | Verdict::Flaky => {
                (TestCaseStatus::non_success(NonSuccessKind::Error), Some("never-ran"))
            }
        };
        if let Some(class) = class {
            status.set_type(class);
        }
        let why = case.missing.as_deref().unwrap_or("never ran");
        status.set_message(one_line(why, MAX_MESSAGE));
        status
    }

    fn failed(&self, failure: &Failure) -> TestCaseStatus {
        let mut status = TestCaseStatus::non_success(kind(failure.class));
        status.set_type(failure.class.as_str());
        status.set_message(one_line(&failure.summary, MAX_MESSAGE));
        self.describe(&mut status, failure);
        status
    }

    fn describe(&self, status: &mut TestCaseStatus, failure: &Failure) {
        if let Some(body) = self.body(&failure_body(failure)) {
            status.set_description(body);
        }
    }

    fn other_failures(&self, case: &CaseReport, deciding: &AttemptReport) -> Vec<TestRerun> {
        let others = case.attempts.iter().filter(|attempt| !std::ptr::eq(*attempt, deciding));
        others
            .filter_map(|attempt| match &attempt.outcome {
                Outcome::Failed { failure, .. } => Some(self.rerun(failure)),
                Outcome::Passed { .. } | Outcome::Skipped { .. } => None,
            })
            .collect()
    }

    fn rerun(&self, failure: &Failure) -> TestRerun {
        let mut rerun = TestRerun::new(kind(failure.class));
        rerun.set_type(failure.class.as_str());
        rerun.set_message(one_line(&failure.summary, MAX_MESSAGE));
        if let Some(body) = self.body(&failure_body(failure)) {
            rerun.set_stack_trace(body);
        }
        rerun
    }

    fn left_out(&self, left_out: &LeftOutInfo) -> TestCase {
        let mut status = TestCaseStatus::skipped();
        status.set_message(one_line(&left_out.reason, MAX_MESSAGE));
        let mut test = TestCase::new(one_line(&left_out.name, MAX_MESSAGE), status);
        test.set_classname(class_name(&left_out.stack, &left_out.scenario, "left-out"));
        test.set_time(Duration::ZERO);
        test
    }

    /// What all units share: the preparation, and the proof that the whole run left nothing behind.
    fn run(&self, report: &RunReport) -> TestSuite {
        let time = between(report.started, report.finished);
        let mut suite = self.suite("run", report.started, time);
        suite.add_property(("run-id", report.run.as_str()));
        suite.add_property(("harness", one_line(&report.harness, MAX_MESSAGE).as_str()));
        suite.add_property(("verdict", report.verdict().as_str()));
        let statuses = [
            ("prepare", self.prepare(report)),
            ("complete", self.complete(report)),
            ("prove-clean", self.prove_clean(report)),
        ];
        for (name, status) in statuses {
            let mut test = TestCase::new(name, status);
            test.set_classname(class_name("stack-e2e", "run", name));
            test.set_time(Duration::ZERO);
            suite.add_test_case(test);
        }
        suite
    }

    fn prepare(&self, report: &RunReport) -> TestCaseStatus {
        match &report.prepare_failure {
            Some(failure) => self.failed(failure),
            None if report.prepared => TestCaseStatus::success(),
            None if report.units.is_empty() => skipped("nothing was selected"),
            None => errored(FailureClass::Cancelled, "never ran"),
        }
    }

    fn complete(&self, report: &RunReport) -> TestCaseStatus {
        match (report.cancelled, report.complete) {
            (
                Some(
                    reason @ (CancelReason::Deadline
                    | CancelReason::Interrupt
                    | CancelReason::Terminate
                    | CancelReason::Abort),
                ),
                _,
            ) => errored(FailureClass::Cancelled, &format!("stopped early: {}", reason.as_str())),
            (None, true) => TestCaseStatus::success(),
            (None, false) => errored(
                FailureClass::Cancelled,
                "the run has not reached its end: it goes on, or it was killed",
            ),
        }
    }

    fn prove_clean(&self, report: &RunReport) -> TestCaseStatus {
        match &report.clean {
            Cleanliness::Clean => TestCaseStatus::success(),
            Cleanliness::Left { objects } => {
                let message = match objects.as_slice() {
                    [object] => format!("`{object}` outlived the run"),
                    objects => format!("{} objects outlived the run", objects.len()),
                };
                let body: String = objects.iter().fold(String::new(), |mut body, object| {
                    let _ = writeln!(body, "{object}");
                    body
                });
                let mut status = errored(FailureClass::Leftover, &message);
                if let Some(body) = self.body(&body) {
                    status.set_description(body);
                }
                status
            }
            Cleanliness::Unknown { why } => {
                errored(FailureClass::Leftover, &format!("not proven clean: {why}"))
            }
            Cleanliness::Kept => skipped("clusters were kept on request"),
        }
    }

    /// A text as the body of an element; `None` when there is nothing to say or no room.
    fn body(&self, text: &str) -> Option<String> {
        if text.trim().is_empty() || self.max_body == 0 {
            return None;
        }
        // The writer drops tabs, which would run words together.
        Some(printable(&head_and_tail(text, self.max_body)).replace('\t', "    "))
    }
}

fn kind(class: FailureClass) -> NonSuccessKind {
    match class.blame() {
        Blame::Product => NonSuccessKind::Failure,
        Blame::Infrastructure => NonSuccessKind::Error,
    }
}

fn errored(class: FailureClass, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(class.as_str());
    status.set_message(one_line(message, MAX_MESSAGE));
    status
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn suite_name(unit: &UnitReport) -> String {
    match unit.info.name.as_str() {
        "" => unit.info.scenario.clone(),
        name => format!("{}: {name}", unit.info.scenario),
    }
}

/// Readers split at the dots, so that the parts have none.
fn class_name(stack: &str, scenario: &str, phase: &str) -> String {
    let part = |text: &str| one_line(text, 100).replace('.', "_");
    format!("{}.{}.{}", part(stack), part(scenario), part(phase))
}

/// The evidence first line by line, then what to do.
fn failure_body(failure: &Failure) -> String {
    let mut body = failure.summary.clone();
    if let Some(object) = &failure.object {
        let _ = write!(body, "\nobject: {object}");
    }
    if !failure.detail.is_empty() {
        let _ = write!(body, "\n\n{}", failure.detail.trim_end());
    }
    if let Some(hint) = &failure.hint {
        let _ = write!(body, "\n\nhint: {hint}");
    }
    body
}

fn case_output(case: &CaseReport) -> String {
    let mut output = String::new();
    for (number, attempt) in case.attempts.iter().enumerate() {
        let line = match &attempt.outcome {
            Outcome::Passed { note } if case.attempts.len() == 1 => note.clone(),
            Outcome::Failed { .. } | Outcome::Skipped { .. } if case.attempts.len() == 1 => String::new(),
            Outcome::Passed { note } => format!("attempt {}: passed {note}", number + 1),
            Outcome::Failed { failure, expected } => {
                let known =
                    expected.as_ref().map_or(String::new(), |reason| format!(" (expected: {reason})"));
                format!("attempt {}: {}{known}", number + 1, failure.summary)
            }
            Outcome::Skipped { reason } => format!("attempt {}: skipped: {reason}", number + 1),
        };
        if case.attempts.len() > 1 || matches!(attempt.outcome, Outcome::Passed { .. }) {
            output.push_str(line.trim_end());
            output.push('\n');
        }
        for one in &attempt.availability {
            output.push_str(&one.words());
            output.push('\n');
        }
    }
    output
}

/// `downtime/change/upgrade-next-minor/api-server/downtime-ms` = `350`; a downtime that nobody knows is `unknown`.
fn downtime(case: &CaseId, one: &Availability) -> Vec<(String, String)> {
    let pairs = match &one.seen {
        Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, first_failure: _ } => vec![
            ("downtime-ms", downtime_ms.to_string()),
            ("longest-gap-ms", longest_gap_ms.to_string()),
            ("probes", probes.to_string()),
            ("failed-probes", failed.to_string()),
        ],
        Seen::Unknown { why } => {
            vec![("downtime-ms", "unknown".to_owned()), ("unknown-because", why.clone())]
        }
    };
    let name = |key: &str| one_line(&format!("downtime/{case}/{}/{key}", one.service), MAX_MESSAGE);
    pairs.into_iter().map(|(key, value)| (name(key), one_line(&value, MAX_MESSAGE))).collect()
}

fn unit_output(unit: &UnitReport) -> String {
    let mut output = String::new();
    let sections = [
        ("evidence", &unit.evidence),
        ("evidence that could not be had", &unit.trouble),
        ("the cluster was kept; go on with", &unit.commands),
    ];
    for (title, lines) in sections {
        if !lines.is_empty() {
            let _ = writeln!(output, "{title}:");
            for line in lines {
                let _ = writeln!(output, "  {line}");
            }
        }
    }
    output
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    // A clock that was set back gives no negative time.
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// Seconds are enough, and readers choke on more.
fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod tests;
