//! A union -> what people read, JSON, JUnit.

use super::Union;
use crate::results::Verdict;
use crate::types::printable;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;
use std::fmt::Write as _;

/// For people: the verdict, the numbers, and every test that is not a pass.
#[must_use]
pub fn text(union: &Union) -> String {
    let mut out = String::new();
    let (passed, required) = (union.passed.len(), union.required);
    let _ = match union.verdict() {
        Verdict::Passed => writeln!(out, "CONFORMANT: all {required} required tests passed"),
        Verdict::Flaky => {
            writeln!(out, "CONFORMANT, FLAKY: all {required} required tests passed, some not at once")
        }
        Verdict::Failed => {
            writeln!(out, "NOT CONFORMANT: {} of {required} required tests failed", union.failed.len())
        }
        Verdict::Errored | Verdict::Skipped => {
            writeln!(
                out,
                "NOT A CONFORMANCE RESULT: {passed} of {required} required tests passed, the others did not run"
            )
        }
    };
    section(
        &mut out,
        "ended before it was through",
        union.cut_short.iter().map(|(file, why)| format!("{file}: {why}")),
    );
    section(
        &mut out,
        "failed",
        union.failed.iter().map(|(name, why)| format!("{name}\n      {}", printable(why))),
    );
    section(&mut out, "flaky", union.flaky.iter().cloned());
    section(&mut out, "did not run", union.missing.iter().cloned());
    section(
        &mut out,
        "failed, and is not required",
        union.others.iter().map(|(name, why)| format!("{name}\n      {}", printable(why))),
    );
    section(&mut out, "conformance tests of another version", union.unknown.iter().cloned());
    if let (missing @ 1.., all) = union.serial() {
        let _ = writeln!(
            out,
            "\nhint: {missing} of the {all} [Serial] ones did not run; suites that run side by side leave them out, so run a second pass \
             with the focus `\\[Serial\\].*\\[Conformance\\]` and name both results"
        );
    } else if !union.is_complete() {
        let _ = writeln!(
            out,
            "\nhint: name all results of the same cluster; together they must have every required test"
        );
    }
    out.truncate(out.trim_end().len());
    out
}

fn section(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    if lines.len() == 0 {
        return;
    }
    let _ = writeln!(out, "\n{title} ({}):", lines.len());
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

/// For programs: the union, with `verdict` (`passed`, `flaky`, `failed`, `errored`) before it.
#[must_use]
pub fn json(union: &Union) -> String {
    let mut value = json!({ "verdict": union.verdict(), "complete": union.is_complete() });
    if let (Some(all), Ok(serde_json::Value::Object(more))) =
        (value.as_object_mut(), serde_json::to_value(union))
    {
        all.extend(more);
    }
    format!("{value:#}")
}

/// For CI systems: a case for each required test; what did not run is an error.
#[must_use]
pub fn junit(union: &Union) -> Vec<u8> {
    let mut suite = TestSuite::new("conformance");
    let mut add = |name: &str, status| {
        let mut case = TestCase::new(printable(name), status);
        case.set_classname("stack-e2e.conformance");
        suite.add_test_case(case);
    };
    let bad = |kind, message: &str, of: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(printable(message)).set_type(of);
        status
    };
    for name in &union.passed {
        add(name, TestCaseStatus::success());
    }
    for (name, why) in &union.failed {
        add(name, bad(NonSuccessKind::Failure, why, "failed"));
    }
    for name in &union.missing {
        add(name, bad(NonSuccessKind::Error, "it did not run", "not-run"));
    }
    for (file, why) in &union.cut_short {
        add(&format!("the suite of {file} is through"), bad(NonSuccessKind::Error, why, "cut-short"));
    }
    let mut report = Report::new("stack-e2e conformance");
    report.add_test_suite(suite);
    let mut bytes = Vec::new();
    // Writing to memory does not fail; an empty file is no report, so that nobody takes it for a pass.
    let _ = report.serialize(&mut bytes);
    bytes
}
