use crate::results::Verdict;
use crate::results::foreign::{Counts, Foreign, Kept, Limits, Merged, Source, Status};
use crate::results::script::{self, Script};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Cursor;

fn source(name: &str, text: impl Into<Vec<u8>>) -> Source<'static> {
    let text = text.into();
    Source { name: name.into(), open: Box::new(move || Ok(Box::new(Cursor::new(text.clone())))) }
}

fn foreign(text: &str) -> Foreign {
    Merged::of(&[source("a.xml", text)], &Limits::default()).unwrap().foreign
}

fn refused(text: impl Into<Vec<u8>>) -> String {
    let limits = Limits { file: 10_000, piece: 2_000, depth: 20, cases: 100 };
    let (name, error) = Merged::of(&[source("a.xml", text)], &limits).unwrap_err();
    assert_eq!(name, "a.xml");
    let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

#[test]
fn what_other_tools_write_is_read() {
    // The root of pytest, the times of some tools with a comma, the nested suites of others.
    for (text, wanted) in [
        (
            r#"<testsuite name="s" tests="1,234" time="1,234.5"><testcase name="a" time="0.1"/></testsuite>"#,
            (1, 0, 0, 0),
        ),
        (
            r#"<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="Kubernetes e2e suite"
               timestamp="2026-07-01T10:00:00"><properties><property name="x" value="y"></property></properties>
               <testcase name="[It] a" classname="e2e" status="passed" time="1"><system-err>&gt; x</system-err>
               </testcase><testcase name="b" status="skipped"><skipped message="skipped"></skipped></testcase>
               <testcase name="c" status="failed"><failure type="failed" message="m">t</failure></testcase>
               <testcase name="d" status="timedout"/></testsuite></testsuites>"#,
            (1, 2, 0, 1),
        ),
        (
            r#"<testsuites><testsuite name="o"><testsuite name="i"><testcase name="a"><error/></testcase>
               </testsuite><testcase name="b"/></testsuite></testsuites>"#,
            (1, 0, 1, 0),
        ),
        // A failure counts wherever it stands, and whatever stands after it.
        (
            r#"<testsuite><testcase name="a"><x><failure/></x><skipped/></testcase><failure/></testsuite>"#,
            (0, 2, 0, 0),
        ),
        (r#"<testsuite><testcase name="a"><rerunFailure type="x"/></testcase></testsuite>"#, (0, 1, 0, 0)),
        // Absence is no pass.
        ("<testsuites/>", (0, 0, 1, 0)),
        (
            r#"<testsuites failures="3"><testsuite failures="3" errors="1"><testcase name="a"><failure/>
               </testcase><testcase name="b"/></testsuite></testsuites>"#,
            (1, 1, 1, 0),
        ),
    ] {
        let found = foreign(text);
        let file = &found.files[0];
        assert_eq!((file.passed, file.failed, file.errored, file.skipped), wanted, "{text}");
    }
}

#[test]
fn names_and_reasons_are_told() {
    let found = foreign(
        r#"<testsuites><testsuite name="outer"><testsuite name="inner"><testcase classname="c" name="n">
        <failure message="first &amp; last">a<![CDATA[<b>]]>&#33;</failure></testcase></testsuite></testsuite></testsuites>"#,
    );
    let failure = &found.failures[0];
    assert_eq!(failure.suite, "outer / inner");
    assert_eq!((failure.class.as_str(), failure.name.as_str()), ("c", "n"));
    assert_eq!((failure.message.as_str(), failure.detail.as_str()), ("first & last", "a<b>!"));
}

#[test]
fn what_is_no_junit_is_refused_with_the_place() {
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuites>&b;</testsuites>"#;
    for (text, wanted) in [
        (bomb.to_owned(), "it is refused at byte 0: a document type, which no JUnit file needs"),
        (
            "<testsuites>&b;</testsuites>".into(),
            "it is refused at byte 12: an entity of its own, which is not expanded",
        ),
        ("<html></html>".into(), "it is no JUnit file: its root is `html`, not `testsuites` or `testsuite`"),
        (" \n".into(), "it is empty"),
        (
            "<testsuites><testsuite>".into(),
            "it is not well-formed XML at byte 23: it ends before its last element does",
        ),
        ("<testsuites/><testsuite/>".into(), "it is not well-formed XML at byte 13: it has a second root"),
        (
            r#"<?xml version="1.0" encoding="ISO-8859-1"?><testsuites/>"#.into(),
            "it is refused at byte 0: an encoding other than UTF-8",
        ),
        ("<testsuite>".repeat(21), "it is refused at byte 220: too many elements within each other"),
        (
            format!("<testsuites>{}</testsuites>", "x".repeat(9_000)),
            "it cannot be read at byte 12: a text or tag of more than 2000 bytes",
        ),
        (format!("<testsuites>{}</testsuites>", "<x a='1'/>".repeat(2_000)), "it cannot be read at byte"),
        (format!("<testsuite>{}</testsuite>", "<testcase/>".repeat(101)), "there are more than 100 cases"),
    ] {
        let error = refused(text.clone());
        assert!(error.starts_with(wanted), "{wanted}\n{error}");
    }
    assert!(refused("<testsuites></testsuite>").starts_with("it is not well-formed XML at byte"));
}

/// A case as it is drawn: its name, how it ended, and what it says.
type Drawn = (u8, u8, u8);

fn text(cases: &[Drawn]) -> String {
    let cases: String = cases
        .iter()
        .map(|(name, status, word)| {
            let child = match status {
                0 => "<skipped/>".to_owned(),
                1 => String::new(),
                2 => format!("<failure message=\"{word}\"/>"),
                _ => format!("<error message=\"{word}\"/>"),
            };
            format!("<testcase name=\"{name}\">{child}</testcase>")
        })
        .collect();
    format!("<testsuites><testsuite name=\"s\">{cases}</testsuite></testsuites>")
}

/// What a merge comes to, told without the order of the files: for each case its status, with all that failed.
fn told(sources: &[Source<'_>]) -> BTreeMap<String, (Status, Vec<String>)> {
    let merged = Merged::of(sources, &Limits::default()).unwrap();
    let mut told: BTreeMap<String, (Status, Vec<String>)> = BTreeMap::new();
    let mut totals = Counts::default();
    let (mut suites, mut cases) = (Counts::default(), 0);
    merged
        .each(sources, &mut |kept| {
            match kept {
                Kept::Suite(suite) => {
                    suites.tests += suite.counts.tests;
                    suites.failures += suite.counts.failures;
                }
                Kept::Case(case) => {
                    cases += 1;
                    totals.failures += usize::from(case.status == Status::Failed);
                    let entry = told.entry(case.name.clone()).or_insert((case.status, Vec::new()));
                    entry.0 = entry.0.max(case.status);
                    if case.status > Status::Passed {
                        entry.1.push(case.parts[0].message.clone());
                        entry.1.sort();
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(
        (suites.tests, suites.failures),
        (cases, totals.failures),
        "what suites declare is what they hold"
    );
    assert_eq!(merged.totals().tests, cases);
    told
}

fn written(sources: &[Source<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let merged = Merged::of(sources, &Limits::default()).unwrap();
    super::merged(&merged, sources, None, &mut out).unwrap();
    out
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    proptest::collection::vec((0_u8..6, 0_u8..4, 0_u8..3), 1..12)
}

proptest! {
    #[test]
    fn merging_knows_no_order_and_no_grouping(a in drawn(), b in drawn(), c in drawn()) {
        let (a, b, c) = (text(&a), text(&b), text(&c));
        let whole = told(&[source("a", a.clone()), source("b", b.clone()), source("c", c.clone())]);
        let other = told(&[source("a", c.clone()), source("b", a.clone()), source("c", b.clone())]);
        prop_assert_eq!(&whole, &other);
        let left = written(&[source("a", a.clone()), source("b", b.clone())]);
        prop_assert_eq!(&whole, &told(&[source("ab", left), source("c", c.clone())]));
        let right = written(&[source("b", b), source("c", c)]);
        prop_assert_eq!(&whole, &told(&[source("a", a), source("bc", right)]));
    }

    #[test]
    fn nothing_that_failed_is_lost_and_nothing_red_turns_green(files in proptest::collection::vec(drawn(), 1..5)) {
        let sources: Vec<Source<'_>> =
            files.iter().enumerate().map(|(n, cases)| source(&n.to_string(), text(cases))).collect();
        let told = told(&sources);
        for (name, status, word) in files.iter().flatten() {
            let (merged, words) = &told[&name.to_string()];
            if *status >= 2 {
                prop_assert!(*merged > Status::Passed);
                prop_assert!(words.contains(&word.to_string()));
            } else {
                let drawn = if *status == 1 { Status::Passed } else { Status::Skipped };
                prop_assert!(*merged >= drawn);
            }
        }
        let again = written(&sources);
        let bad = Merged::of(&sources, &Limits::default()).unwrap().foreign.verdict();
        let twice = Merged::of(&[source("x", again)], &Limits::default()).unwrap().foreign.verdict();
        prop_assert_eq!(bad, twice);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Merged::of(&[source("a", bytes)], &Limits::default());
    }

    #[test]
    fn any_text_comes_out_well_formed(t in proptest::collection::vec("\\PC{0,20}|[\\x00-\\x1f<>&\"'\\]]{0,20}", 4)) {
        let escape = |text: &str| quick_xml::escape::escape(text.replace(|c: char| c.is_control(), "")).into_owned();
        let file = format!(
            "<testsuite name=\"{}\"><testcase name=\"{}\"><failure message=\"{}\">{}</failure></testcase></testsuite>",
            escape(&t[0]), escape(&t[1]), escape(&t[2]), escape(&t[3]),
        );
        let out = String::from_utf8(written(&[source("a", file)])).unwrap();
        let document = roxmltree::Document::parse(&out).unwrap();
        prop_assert_eq!(document.descendants().filter(|node| node.has_tag_name("failure")).count(), 1);
    }
}

#[test]
fn a_file_counts_once_and_a_pass_beats_a_skip() {
    let one = text(&[(1, 0, 0), (2, 1, 0), (3, 2, 0)]);
    let other = text(&[(1, 1, 0), (2, 0, 0), (3, 1, 0)]);
    let merged =
        Merged::of(&[source("b", other), source("a", one.clone()), source("a", one)], &Limits::default())
            .unwrap();
    let counts: Vec<_> =
        merged.foreign.files.iter().map(|f| (f.name.as_str(), f.passed, f.failed, f.skipped)).collect();
    assert_eq!(counts, [("a", 1, 1, 0), ("b", 1, 0, 0)]);
    assert_eq!(merged.foreign.verdict(), Verdict::Failed);
}

#[test]
fn what_is_merged_is_valid_against_the_schema_and_goes_in_again() {
    let own = |script: &Script| crate::report::junit(&script.report());
    let flaky = Script::new().unit("a", &["provision"]).started().fails("a", "provision", "x");
    let flaky = own(&flaky.passes("a", &["provision"]).unit_clean("a").clean());
    let sources = [
        source("a", own(&script::one_failure())),
        source("b", own(&script::all_passed())),
        source("c", flaky),
    ];
    let once = written(&sources);
    super::tests::check(&once);
    let text = String::from_utf8(once.clone()).unwrap();
    // A pass that was flaky in one file stays flaky.
    assert_eq!((text.matches("<failure").count(), text.matches("<flakyFailure").count()), (1, 1));
    assert_eq!(written(&[source("x", once.clone())]), once, "to merge what is merged changes nothing");
    let merged = Merged::of(&sources, &Limits::default()).unwrap();
    let mut with_own = Vec::new();
    super::merged(&merged, &sources, Some(&own(&script::one_failure())), &mut with_own).unwrap();
    super::tests::check(&with_own);
}
