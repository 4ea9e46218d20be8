//! Required tests x what was seen -> what passed, what failed, what did not run.

use super::{Outcome, Required, Seen};
use crate::results::Verdict;
use serde::Serialize;

/// What results say about a list of required tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Union {
    /// How many are required.
    pub required: usize,
    /// Those that passed, the flaky ones too.
    pub passed: Vec<String>,
    /// Those that passed only after they had failed.
    pub flaky: Vec<String>,
    /// Those that failed, each with the message.
    pub failed: Vec<(String, String)>,
    /// Those that did not run: they are listed as skipped, or not at all.
    pub missing: Vec<String>,
    /// What failed besides, which is not required: each with the message.
    pub others: Vec<(String, String)>,
    /// Conformance tests in the results that are not required: of another version.
    pub unknown: Vec<String>,
    /// Suites that were ended before they were through: file and reason.
    pub cut_short: Vec<(String, String)>,
}

impl Union {
    /// Compares.
    #[must_use]
    pub fn of(required: &Required, seen: &Seen) -> Self {
        let mut union = Self {
            required: required.names.len(),
            others: seen.others.clone().into_iter().collect(),
            cut_short: seen.cut_short.clone(),
            unknown: seen.tests.keys().filter(|name| !required.names.contains(*name)).cloned().collect(),
            ..Self::default()
        };
        for name in &required.names {
            match seen.tests.get(name) {
                Some(Outcome::Passed) => union.passed.push(name.clone()),
                Some(Outcome::Flaky) => {
                    union.passed.push(name.clone());
                    union.flaky.push(name.clone());
                }
                Some(Outcome::Failed(why)) => union.failed.push((name.clone(), why.clone())),
                Some(Outcome::Skipped) | None => union.missing.push(name.clone()),
            }
        }
        union
    }

    /// Whether everything that is required ran.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.required > 0
    }

    /// Failed when a required test failed; errored when one did not run or a suite was cut short, as then nobody
    /// knows; else flaky or passed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match () {
            () if !self.failed.is_empty() => Verdict::Failed,
            () if !self.is_complete() || !self.cut_short.is_empty() => Verdict::Errored,
            () if !self.flaky.is_empty() => Verdict::Flaky,
            () => Verdict::Passed,
        }
    }

    /// Of those with `[Serial]` in their names: how many did not run, and how many are required.
    #[must_use]
    pub fn serial(&self) -> (usize, usize) {
        let serial = |name: &&String| name.contains("[Serial]");
        let missing = self.missing.iter().filter(serial).count();
        let failed = self.failed.iter().map(|(name, _)| name).filter(serial).count();
        (missing, missing + failed + self.passed.iter().filter(serial).count())
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{PARALLEL, SERIAL, seen};
    use super::*;
    use crate::conformance::{json, text};

    fn required(more: &[&str]) -> Required {
        let names = [
            "[sig-a] one [Conformance]",
            "[sig-a] two [Conformance]",
            "[sig-b] three [Serial] [Conformance]",
        ];
        Required { names: names.iter().chain(more).map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn both_passes_together_are_a_conformance_result() {
        let union = Union::of(&required(&[]), &seen(&[("a", PARALLEL), ("b", SERIAL)]));
        assert_eq!((union.verdict(), union.passed.len()), (Verdict::Passed, 3));
        insta::assert_snapshot!(text(&union));
    }

    #[test]
    fn what_did_not_run_is_no_pass() {
        let union = Union::of(&required(&[]), &seen(&[("a", PARALLEL)]));
        assert_eq!((union.verdict(), union.serial()), (Verdict::Errored, (1, 1)));
        insta::assert_snapshot!(text(&union));
        assert!(json(&union).contains("\"missing\": [\n    \"[sig-b] three [Serial] [Conformance]\""));
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let junit = r#"<testsuite name="s"><properties><property name="SpecialSuiteFailureReason" value="Timed Out"/></properties>
            <testcase name="[It] [sig-a] one [Conformance]"><failure message="no answer"/></testcase>
            <testcase name="[It] [sig-a] two [Conformance]"><flakyFailure message="once"/></testcase>
            <testcase name="[It] [sig-c] old [Conformance]"/>
            <testcase name="[It] [sig-c] beta"><error message="panic"/></testcase></testsuite>"#;
        let union = Union::of(&required(&["[sig-b] four [Conformance]"]), &seen(&[("junit_01.xml", junit)]));
        assert_eq!(union.verdict(), Verdict::Failed);
        insta::assert_snapshot!(text(&union));
        let file = String::from_utf8(crate::conformance::junit(&union)).unwrap();
        assert!(
            file.contains("tests=\"5\"") && file.contains("failures=\"1\"") && file.contains("errors=\"3\""),
            "{file}"
        );
    }

    #[test]
    fn a_suite_that_was_cut_short_is_no_pass_although_all_of_its_tests_passed() {
        let junit = PARALLEL.replace("Reason\" value=\"\"", "Reason\" value=\"Timed Out\"");
        let union = Union::of(&required(&[]), &seen(&[("a", &junit), ("b", SERIAL)]));
        assert_eq!((union.missing.len(), union.verdict()), (0, Verdict::Errored));
    }

    #[test]
    fn nobody_conforms_to_nothing() {
        assert_eq!(Union::of(&Required::default(), &seen(&[("a", PARALLEL)])).verdict(), Verdict::Errored);
    }
}
