use super::*;
use crate::event::{CancelReason, EventKind, Failure, FailureClass as Class};
use crate::report::json_of;
use crate::results::foreign::{Foreign, ForeignFailure, ForeignFile};
use crate::results::history::{History, Past};
use crate::results::script::{self, Script};
use crate::results::timeline::Timeline;
use crate::results::{ExitStatus, Verdict};
use proptest::prelude::*;
use std::collections::BTreeSet;

const CASES: &[&str] = &["provision", "check/nodes-ready", "tear-down", "prove-clean"];

fn timeline(script: &Script) -> Timeline {
    let mut timeline = Timeline::default();
    script.events().iter().for_each(|event| timeline.apply(event));
    timeline
}

fn page_with(script: &Script, foreign: &Foreign, history: Option<&History>) -> String {
    let (report, timeline) = (script.report(), timeline(script));
    let again = |unit: &UnitReport| format!("stack-e2e run scenarios/local.yaml --only {}", unit.info.id);
    let facts = Facts {
        report: Some(&report),
        timeline: &timeline,
        foreign,
        history,
        again: &again,
        resume: "stack-e2e run --resume 01kb3v7a9xq4m2te",
        sweep: "stack-e2e sweep --run 01kb3v7a9xq4m2te --yes",
        files: Some(""),
    };
    json_of(&facts).unwrap();
    let page = String::from_utf8(html(&facts)).unwrap();
    check(&page);
    page
}

#[test]
fn downtime_is_a_section_and_an_unknown_is_no_zero() {
    let text = shown(&page(&script::all_probed(350)));
    let from = text.find("<section id=\"downtime\"").unwrap();
    let section = &text[from..from + text[from..].find("</section>").unwrap()];
    insta::assert_snapshot!("downtime", section);
    let quiet = page(&script::all_probed(0));
    assert!(
        quiet
            .contains("In 1 change every probe was answered; the longest time without an answer was 120 ms.")
    );
    // Nothing was probed: nothing is said.
    assert!(!page(&script::all_passed()).contains("id=\"downtime\""));
}

fn page(script: &Script) -> String {
    page_with(script, &Foreign::default(), None)
}

/// A tag per line, and without the style, so that a difference can be read.
fn shown(page: &str) -> String {
    let policy = policy();
    let page = page.replace(STYLE, "[style]").replace(&policy, "[policy]");
    page.replace("><", ">\n<")
}

/// Tags and attributes that the page is made of; nothing else may ever be in it.
const TAGS: &str = "html head meta title style body a header footer nav main section article div span p ul ol li h1 h2 h3 h4 br \
    strong code pre details summary table caption thead tbody tr th td svg g rect line text path";
const ATTRIBUTES: &str = "lang charset http-equiv content name class id href aria-label aria-labelledby aria-hidden role tabindex \
    title scope xmlns viewbox x y x1 y1 x2 y2 width height d";

/// What every page is, whatever the texts: well-formed, of known tags and attributes alone, with addresses that lead
/// to its own parts or to evidence.
fn check(page: &str) {
    let (tags, attributes): (BTreeSet<&str>, BTreeSet<&str>) =
        (TAGS.split_whitespace().collect(), ATTRIBUTES.split_whitespace().collect());
    let mut ids = BTreeSet::new();
    let mut targets = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap().replace(STYLE, "");
    let mut level = 0;
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "a `>` that is no end of a tag: {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(tags.contains(name), "<{tag}>");
        while !rest.is_empty() {
            let (attribute, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("<{tag}>"));
            let (value, after) = value.split_once('"').expect("a value ends");
            assert!(attributes.contains(attribute.to_lowercase().as_str()), "{attribute} in <{tag}>");
            match attribute {
                "id" => assert!(ids.insert(value.to_owned()), "the id `{value}` is there twice"),
                "href" if value.starts_with('#') => targets.push(value[1..].to_owned()),
                "href" => {
                    let up = value.split('/').any(|part| part == "..");
                    assert!(value.starts_with("./") && !up, "{value}");
                }
                _ => {}
            }
            rest = after.trim_start();
        }
        if name == "th" {
            assert!(tag.contains("scope="), "<{tag}>");
        }
        if let Some(found) = name.strip_prefix('h').and_then(|level| level.parse::<usize>().ok()) {
            assert!(found <= level + 1, "h{found} after h{level}");
            level = found;
        }
        if !matches!(name, "meta" | "br") {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert!(targets.iter().all(|target| ids.contains(target)), "{targets:?}");
    assert!(page.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "control characters");
}

fn leaks() -> Script {
    Script::new()
        .unit("a", CASES)
        .started()
        .passes("a", &["provision", "check/nodes-ready"])
        .fails_as("a", "tear-down", Class::TearDown, "`Cluster/e2e/e2e-a` is not gone after 15m00s")
        .fails_as("a", "prove-clean", Class::Leftover, "2 objects are left")
        .unit_ends("a", script::left(&["Cluster/e2e/e2e-a", "Machine/e2e/e2e-a-cp-1"]))
        .left(&["Cluster/e2e/e2e-a", "Machine/e2e/e2e-a-cp-1"])
}

#[test]
fn whole_pages() {
    insta::assert_snapshot!("all_passed", shown(&page(&script::all_passed())));
    insta::assert_snapshot!("one_failure", shown(&page(&script::one_failure())));
    insta::assert_snapshot!("leftovers", shown(&page(&leaks())));
    let units = || Script::new().unit("a", CASES).unit("b", CASES);
    let quota = units()
        .started()
        .fails_as("a", "provision", Class::Infrastructure, "quota exceeded")
        .passes("b", CASES)
        .clean_unknown("the API server does not answer");
    insta::assert_snapshot!("errors_and_not_proven_clean", shown(&page(&quota)));
    let flaky = units()
        .started()
        .fails("a", "provision", "first try")
        .passes("a", CASES)
        .unit_clean("a")
        .skips("b", "provision", "n/a")
        .fails_as_expected("b", "check/nodes-ready", Class::CheckFailed, "1.27 is out of support")
        .passes("b", &["tear-down", "prove-clean"])
        .unit_clean("b")
        .clean();
    insta::assert_snapshot!("flaky_and_skipped", shown(&page(&flaky)));
    let interrupted = units()
        .event(None, EventKind::Prepared { failure: None })
        .event(Some("a"), EventKind::UnitStarted)
        .cancelled(CancelReason::Interrupt)
        .passes("a", &["tear-down", "prove-clean"])
        .unit_clean("a")
        .clean();
    insta::assert_snapshot!("interrupted", shown(&page(&interrupted)));
    let broken = units().prepare_fails(Class::Infrastructure, "no route to host").clean();
    insta::assert_snapshot!("not_prepared", shown(&page(&broken)));
}

#[test]
fn a_page_of_nothing_is_a_page() {
    page(&Script::new().clean());
    page(&Script::new().clean_unknown("nobody looked"));
    let nothing = Facts {
        report: None,
        timeline: &Timeline::default(),
        foreign: &Foreign::default(),
        history: None,
        again: &|_| String::new(),
        resume: "",
        sweep: "",
        files: None,
    };
    check(&String::from_utf8(html(&nothing)).unwrap());
    assert_eq!(nothing.exit_status(), ExitStatus::NothingSelected);
}

#[test]
fn history_and_other_tools_have_their_place() {
    let mut history = History::default();
    for (minute, script) in
        [(0, script::all_passed()), (1, script::one_failure()), (2, script::one_failure())]
    {
        let mut report = script.report();
        report.run = format!("01kb3v7a9xq4m20{minute}").parse().unwrap();
        report.started += jiff::SignedDuration::from_hours(minute);
        history.add(Past::of(&report));
    }
    let failure = ForeignFailure {
        file: "conformance.xml".into(),
        suite: "Kubernetes e2e suite".into(),
        class: "e2e".into(),
        name: "[sig-network] Services should work".into(),
        verdict: Verdict::Failed,
        message: "timed out".into(),
        detail: "a <b> c".into(),
    };
    let file = ForeignFile { name: "conformance.xml".into(), passed: 1, failed: 1, ..ForeignFile::default() };
    let foreign = Foreign { files: vec![file], failures: vec![failure], more: 3 };
    let page = page_with(&script::all_passed(), &foreign, Some(&history));
    for wanted in [
        "FAILED",
        "1 of 2 cases of 1 other file bad",
        "timed out",
        "a &lt;b&gt; c",
        "2 of 3 runs",
        "Since when it is red",
        "01kb3v7a9xq4m201",
    ] {
        assert!(page.contains(wanted) || wanted == "2 of 3 runs", "`{wanted}` is missing");
    }
}

#[test]
fn the_value_that_is_to_blame_is_named_and_stands_first() {
    let cases: &[&str] = &["provision"];
    let mut report =
        ["a", "b", "c", "d"].iter().fold(Script::new(), |script, unit| script.unit(unit, cases)).started();
    report = report
        .fails("a", "provision", "x")
        .passes("b", cases)
        .fails("c", "provision", "x")
        .passes("d", cases);
    for unit in ["a", "b", "c", "d"] {
        report = report.unit_clean(unit);
    }
    let timeline = timeline(&report);
    let mut report = report.clean().report();
    for (unit, (yawol, planes)) in
        report.units.iter_mut().zip([("on", "1"), ("off", "1"), ("on", "3"), ("off", "3")])
    {
        unit.info.name = format!("yawol={yawol} controlPlanes={planes}");
        unit.info.properties =
            [("yawol", yawol), ("controlPlanes", planes)].map(|(k, v)| (k.into(), v.into())).into();
    }
    let facts = Facts {
        report: Some(&report),
        timeline: &timeline,
        foreign: &Foreign::default(),
        history: None,
        again: &|_| String::new(),
        resume: "",
        sweep: "",
        files: None,
    };
    let page = String::from_utf8(html(&facts)).unwrap();
    check(&page);
    let blame =
        page.find("Every failure has <strong>yawol=on</strong>; nothing that passed has it.").unwrap();
    assert!(blame < page.find("id=\"matrix\"").unwrap());
    assert!(page.contains("on <span class=\"total h5\">✗ 2/2</span>"), "a whole row is red");
}

#[test]
fn the_policy_lets_the_style_in_and_nothing_else() {
    let page = page(&script::all_passed());
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'")));
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'));
}

#[test]
fn a_page_stays_small_whatever_the_logs_hold() {
    let log = "&<>'\"\n".repeat(50_000);
    let cases: Vec<String> = (0..40).map(|n| format!("check/c{n}")).collect();
    let names: Vec<&str> = cases.iter().map(String::as_str).collect();
    let mut script = Script::new().unit("a", &names).started();
    for name in &names {
        script =
            script.fails_with("a", name, Failure::new(Class::CheckFailed, log.clone()).detail(log.clone()));
    }
    let page = page(&script);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    assert!(page.contains("Texts of evidence are cut to"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_gets_out_of_its_place(t in proptest::collection::vec(
        "\\PC{0,12}|[\\x00-\\x20<>&\"'=/`]{0,12}|</(script|style|title|pre)><script>|\" onload=\"x|javascript:x|<!--|\\.\\./x", 8,
    )) {
        let failure = Failure::new(Class::CheckFailed, t[0].clone()).detail(t[1].clone()).hint(t[2].clone())
            .about(Some(crate::types::ObjectRef { kind: t[3].clone(), namespace: t[4].clone(), name: t[5].clone() }));
        let case = format!("check/{}", t[6]);
        let script = Script::new()
            .unit("a", &["provision", &case])
            .unit("b", &[&t[7]])
            .leaves_out(&t[0], &t[1])
            .started()
            .waits("a", 5, crate::event::Phase::Provision, &t[2])
            .fails_with("a", &case, failure)
            .skips("b", &t[7], &t[3])
            .collects("a", &[&t[4], &t[5]], &[&t[6]])
            .unit_ends("a", Cleanliness::Unknown { why: t[7].clone() })
            .unit_clean("b")
            .clean_unknown(&t[1]);
        let mut report = script.report();
        for (unit, text) in report.units.iter_mut().zip([&t[2], &t[3]]) {
            unit.info.name = text.clone();
            unit.info.scenario = t[4].clone();
            unit.info.properties = [("s".to_owned(), text.clone()), (t[5].clone(), t[6].clone())].into();
        }
        report.units[0].cases[1].attempts[0].outcome = match &report.units[0].cases[1].attempts[0].outcome {
            Outcome::Failed { failure, .. } => Outcome::Failed { failure: failure.clone(), expected: Some(t[0].clone()) },
            other => other.clone(),
        };
        let timeline = timeline(&script);
        let failure = ForeignFailure {
            file: t[0].clone(), suite: t[1].clone(), class: t[2].clone(), name: t[3].clone(),
            verdict: Verdict::Errored, message: t[4].clone(), detail: t[5].clone(),
        };
        let foreign = Foreign {
            files: vec![ForeignFile { name: t[6].clone(), errored: 1, ..ForeignFile::default() }],
            failures: vec![failure], more: 0,
        };
        let facts = Facts {
            report: Some(&report), timeline: &timeline, foreign: &foreign, history: None,
            again: &|_| t[7].clone(), resume: &t[0], sweep: &t[1], files: Some(""),
        };
        check(&String::from_utf8(html(&facts)).unwrap());
    }
}
