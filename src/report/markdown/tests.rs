use super::*;
use crate::event::{CancelReason, Failure, FailureClass as Class};
use crate::results::foreign::{Foreign, ForeignFailure, ForeignFile};
use crate::results::script::{self, Script};
use crate::results::timeline::Timeline;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};

const CASES: &[&str] = &["provision", "check/nodes-ready", "tear-down", "prove-clean"];

fn comment(report: Option<&RunReport>, foreign: &Foreign, command: &str) -> String {
    let timeline = Timeline::default();
    let again = |unit: &UnitReport| format!("{command} --only {}", unit.info.id);
    let facts = Facts {
        report,
        timeline: &timeline,
        foreign,
        history: None,
        again: &again,
        resume: "stack-e2e run --resume 01kb3v7a9xq4m2te",
        sweep: "stack-e2e sweep --run 01kb3v7a9xq4m2te --yes",
        files: None,
    };
    let text = markdown(&facts);
    assert!(text.lines().count() <= MAX_LINES, "{} lines", text.lines().count());
    text
}

fn shown(script: &Script) -> String {
    comment(Some(&script.report()), &Foreign::default(), "stack-e2e run scenarios/local.yaml")
}

#[test]
fn whole_comments() {
    insta::assert_snapshot!("all_passed", shown(&script::all_passed()));
    insta::assert_snapshot!("one_failure", shown(&script::one_failure()));
    let flaky = Script::new().unit("a", CASES).started().fails("a", "provision", "x").passes("a", CASES);
    insta::assert_snapshot!("flaky", shown(&flaky.unit_clean("a").clean()));
    let stopped = Script::new().unit("a", CASES).unit("b", CASES).started();
    let stopped = stopped.cancelled(CancelReason::Interrupt).left(&["Cluster/e2e/e2e-a"]);
    insta::assert_snapshot!("interrupted_and_left", shown(&stopped));
    let broken = Script::new().unit("a", CASES).prepare_fails(Class::Infrastructure, "no route to host");
    insta::assert_snapshot!("not_prepared", shown(&broken.clean()));
}

#[test]
fn downtime_is_told_when_there_is_some_or_nobody_knows() {
    let quiet = script::all_probed(0);
    assert!(!shown(&quiet).contains("owntime"));
    insta::assert_snapshot!("downtime", shown(&script::all_probed(350)));
}

#[test]
fn a_comment_is_never_longer_than_it_may_be() {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "j", "k", "m", "n", "p", "q"];
    let mut script = letters.iter().fold(Script::new(), |script, letter| script.unit(letter, CASES));
    for number in 0..20 {
        script = script.leaves_out("x", &format!("reason {number}"));
    }
    script = script.started();
    for letter in letters {
        script = script.fails("a", "provision", "x").passes("a", &["provision"]).fails(
            letter,
            "check/nodes-ready",
            "x",
        );
    }
    let report = script.cancelled(CancelReason::Interrupt).left(&["a/b"]).report();
    let failure = ForeignFailure {
        file: "f".into(),
        suite: "s".into(),
        class: "c".into(),
        name: "n".into(),
        verdict: Verdict::Failed,
        message: "m".into(),
        detail: "d".into(),
    };
    let foreign = Foreign {
        files: vec![ForeignFile { failed: 50, ..ForeignFile::default() }],
        failures: vec![failure; 50],
        more: 9,
    };
    let text = comment(Some(&report), &foreign, "x");
    assert!(text.ends_with("stack-e2e `0.1.0`.\n"), "the end is there:\n{text}");
    assert!(comment(None, &foreign, "x").starts_with("## ❌ FAILED\n"));
}

/// What a reader of Markdown makes of it: no HTML, no links, no pictures, no tables, no headings but the first.
fn check(text: &str) {
    let mut headings = 0;
    for event in Parser::new_ext(text, Options::all()) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => panic!("HTML: {html}\n{text}"),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                panic!("a link to {dest_url}\n{text}")
            }
            Event::Start(Tag::Table(_) | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_)) => panic!("{text}"),
            Event::Start(Tag::Heading { .. }) => headings += 1,
            // Outside of code nothing comes from elsewhere, so that nobody is called and nothing is linked.
            Event::Text(words) if !text.contains("```") => assert!(!words.contains('@'), "{words}\n{text}"),
            _ => {}
        }
    }
    assert_eq!(headings, 1, "{text}");
}

proptest! {
    #[test]
    fn no_text_gets_out_of_its_code(t in proptest::collection::vec(
        "\\PC{0,12}|[\\x00-\\x20`~*_#<>|\\[\\]()!\\\\@-]{0,12}|`{1,5}|\n```\n|<script>|@everyone|\\[a\\]\\(http://b\\)|\\|", 6,
    )) {
        let failure = Failure::new(Class::CheckFailed, t[0].clone());
        let case = format!("check/{}", t[1]);
        let script = Script::new()
            .unit("a", &["provision", &case])
            .unit("b", &["provision"])
            .leaves_out(&t[2], &t[3])
            .started()
            .passes("b", &["provision"])
            .fails_with("a", &case, failure)
            .unit_clean("a")
            .unit_clean("b")
            .clean_unknown(&t[4]);
        let mut report = script.report();
        report.units[0].info.name = t[5].clone();
        report.units[0].info.properties = [(t[0].clone(), t[1].clone())].into();
        report.units[1].info.properties.clear();
        report.harness = t[2].clone();
        let failure = ForeignFailure {
            file: t[0].clone(), suite: t[1].clone(), class: t[2].clone(), name: t[3].clone(),
            verdict: Verdict::Errored, message: t[4].clone(), detail: t[5].clone(),
        };
        let foreign = Foreign {
            files: vec![ForeignFile { errored: 1, ..ForeignFile::default() }], failures: vec![failure], more: 0,
        };
        check(&comment(Some(&report), &foreign, &t[5]));
    }
}
