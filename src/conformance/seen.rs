//! What JUnit files say of conformance tests, whatever wrote them: Ginkgo, `e2e.test`, hydrophone, sonobuoy.

use crate::results::foreign::{Case, Limits, ReadError, Source, Status, Suite, Tag, each_case};
use std::collections::BTreeMap;

/// How a test has ended, over all files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is listed and did not run.
    Skipped,
    /// It passed.
    Passed,
    /// It passed after it had failed.
    Flaky,
    /// It failed in one of the files, or its result is not known; with the message.
    Failed(String),
}

/// What all files say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The tests with `[Conformance]` in their names.
    pub tests: BTreeMap<String, Outcome>,
    /// What failed besides: other tests, and what prepares or ends a suite.
    pub others: BTreeMap<String, String>,
    /// Suites that were ended before they were through: file and reason.
    pub cut_short: Vec<(String, String)>,
    /// How many cases all files have.
    pub cases: usize,
}

/// Property of a suite by which Ginkgo says why it was ended, e.g. `Interrupted by User`, `Timed Out`.
const ENDED: &str = "SpecialSuiteFailureReason";
const MAX_MESSAGE: usize = 500;

impl Seen {
    /// Reads all files, each once, as a stream.
    ///
    /// # Errors
    /// The name of the first file that is no JUnit, and why.
    pub fn read(sources: &[Source<'_>], limits: &Limits) -> Result<Self, (String, ReadError)> {
        let mut seen = Self::default();
        for source in sources {
            let mut suites = None;
            let read = (source.open)().map_err(|source| ReadError::Io { at: 0, source }).and_then(|input| {
                each_case(input, limits, &mut |suite, case| {
                    if suites != Some(suite.number) {
                        suites = Some(suite.number);
                        seen.suite(&source.name, suite);
                    }
                    seen.case(&case);
                    Ok(())
                })
            });
            read.map_err(|error| (source.name.clone(), error))?;
        }
        Ok(seen)
    }

    fn suite(&mut self, file: &str, suite: &Suite) {
        let ended = suite.properties.iter().find(|(name, why)| name == ENDED && !why.is_empty());
        self.cut_short.extend(ended.map(|(_, why)| (file.to_owned(), why.clone())));
    }

    fn case(&mut self, case: &Case) {
        self.cases += 1;
        let name = case.name.strip_prefix("[It] ").unwrap_or(&case.name).trim();
        let outcome = outcome(case);
        if !name.contains("[Conformance]") {
            if let Outcome::Failed(why) = outcome {
                self.others.entry(name.to_owned()).or_insert(why);
            }
            return;
        }
        let name = without_labels(name);
        match self.tests.get_mut(name) {
            // What failed anywhere has failed; a pass beats a skip: each pass of two lists what the other one ran.
            Some(known) if *known < outcome => *known = outcome,
            Some(_) => {}
            None => {
                self.tests.insert(name.to_owned(), outcome);
            }
        }
    }
}

/// Ginkgo's own report has the labels behind the name, ` [Serial, Conformance]`; that of `e2e.test` has not. The names of required
/// tests end with a tag in brackets, in which there is no comma.
fn without_labels(name: &str) -> &str {
    match name.rsplit_once(" [") {
        Some((before, labels)) if before.contains("[Conformance]") && labels.ends_with(']') => {
            let labels = labels.trim_end_matches(']');
            let listed = labels.split(", ").any(|label| label == "Conformance");
            if listed { before.trim_end() } else { name }
        }
        _ => name,
    }
}

fn outcome(case: &Case) -> Outcome {
    let bad = |tag| matches!(tag, Tag::Failure | Tag::Error | Tag::RerunFailure | Tag::RerunError);
    match case.status {
        Status::Skipped => Outcome::Skipped,
        Status::Passed if case.parts.iter().any(|p| matches!(p.tag, Tag::FlakyFailure | Tag::FlakyError)) => {
            Outcome::Flaky
        }
        Status::Passed => Outcome::Passed,
        Status::Failed | Status::Errored => {
            let part = case.parts.iter().find(|part| bad(part.tag));
            let text = part.map(|part| part.text.text()).unwrap_or_default();
            let message = part.map(|part| part.message.trim()).filter(|message| !message.is_empty());
            let line = message.or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()));
            Outcome::Failed(line.unwrap_or("no reason is given").chars().take(MAX_MESSAGE).collect())
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Cursor;

    pub(in crate::conformance) fn seen(files: &[(&str, &str)]) -> Seen {
        let sources: Vec<Source<'_>> = files
            .iter()
            .map(|(name, text)| Source {
                name: (*name).to_owned(),
                open: Box::new(|| Ok(Box::new(Cursor::new(text.as_bytes())))),
            })
            .collect();
        Seen::read(&sources, &Limits::default()).unwrap()
    }

    /// The first passes run what is not serial side by side, the second one the rest, as their reports list it.
    pub(in crate::conformance) const PARALLEL: &str = r#"<testsuites><testsuite name="Kubernetes e2e suite">
        <properties><property name="SpecialSuiteFailureReason" value=""/></properties>
        <testcase name="[It] [sig-a] one [Conformance]" status="passed"/>
        <testcase name="[It] [sig-a] two [Conformance]" status="passed"/>
        <testcase name="[It] [sig-b] three [Serial] [Conformance]" status="skipped"><skipped message="skipped"/></testcase>
        <testcase name="[It] [sig-b] other" status="skipped"><skipped message="skipped"/></testcase>
        </testsuite></testsuites>"#;
    pub(in crate::conformance) const SERIAL: &str = r#"<testsuite name="Kubernetes e2e suite">
        <testcase name="[It] [sig-a] one [Conformance]" status="skipped"><skipped message="skipped"/></testcase>
        <testcase name="[It] [sig-b] three [Serial] [Conformance]" status="passed"/></testsuite>"#;

    #[test]
    fn a_pass_beats_a_skip_and_a_failure_beats_both() {
        let both = seen(&[("a", PARALLEL), ("b", SERIAL)]);
        assert_eq!(both.tests.values().filter(|outcome| **outcome == Outcome::Passed).count(), 3);
        let failed = SERIAL.replace(
            r#"" status="passed"/>"#,
            r#""><failure>
            timed out
            waiting</failure></testcase>"#,
        );
        let again = seen(&[("b", SERIAL), ("c", &failed), ("a", PARALLEL), ("d", SERIAL)]);
        let three = &again.tests["[sig-b] three [Serial] [Conformance]"];
        assert_eq!(*three, Outcome::Failed("timed out".into()));
    }

    #[test]
    fn labels_behind_a_name_are_no_part_of_it() {
        let name = "[sig-b] three [Serial] [Conformance]";
        assert_eq!(without_labels("[sig-b] three [Serial] [Conformance] [Serial, Conformance]"), name);
        assert_eq!(without_labels("[sig-b] three [Serial] [Conformance] [Conformance]"), name);
        assert_eq!(without_labels(name), name);
        assert_eq!(without_labels("[sig-b] [Conformance] of [x]"), "[sig-b] [Conformance] of [x]");
    }

    #[test]
    fn what_ended_a_suite_and_what_failed_besides_is_known() {
        let text = r#"<testsuite name="s"><properties><property name="SpecialSuiteFailureReason" value="Interrupted by User"/>
            </properties><testcase name="[SynchronizedBeforeSuite]"><error message="no nodes"/></testcase></testsuite>"#;
        let seen = seen(&[("a", text)]);
        assert_eq!(seen.cut_short, [("a".to_owned(), "Interrupted by User".to_owned())]);
        assert_eq!(seen.others["[SynchronizedBeforeSuite]"], "no nodes");
        assert!(seen.tests.is_empty());
    }
}
