use super::*;
use crate::event::{Cleanliness, FailureClass as Class};
use crate::results::script::{self, Script, object};
use proptest::prelude::*;
use roxmltree::{Document, Node};

/// What the schema of the Jenkins xunit plugin allows: element, its attributes (`!` = required), its children, and
/// whether it holds text.
const SCHEMA: &[(&str, &[&str], &[&str], bool)] = &[
    ("testsuites", &["name", "time", "tests", "failures", "errors"], &["testsuite"], false),
    (
        "testsuite",
        &[
            "!name",
            "!tests",
            "!failures",
            "!errors",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
            "version",
            "group",
        ],
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
        false,
    ),
    ("properties", &[], &["property"], false),
    ("property", &["!name", "!value"], &[], false),
    (
        "testcase",
        &["!name", "time", "classname", "group"],
        &[
            "skipped",
            "error",
            "failure",
            "rerunFailure",
            "rerunError",
            "flakyFailure",
            "flakyError",
            "system-out",
            "system-err",
        ],
        false,
    ),
    ("failure", &["type", "message"], &[], true),
    ("error", &["type", "message"], &[], true),
    ("skipped", &["type", "message"], &[], true),
    ("rerunFailure", &["!type", "message"], RERUN, true),
    ("rerunError", &["!type", "message"], RERUN, true),
    ("flakyFailure", &["!type", "message"], RERUN, true),
    ("flakyError", &["!type", "message"], RERUN, true),
    ("stackTrace", &[], &[], true),
    ("system-out", &[], &[], true),
    ("system-err", &[], &[], true),
];

/// In this order, each at most once.
const RERUN: &[&str] = &["stackTrace", "system-out", "system-err"];

fn check_element(node: Node<'_, '_>) {
    let name = node.tag_name().name();
    let (_, attributes, children, text) = SCHEMA
        .iter()
        .find(|(known, ..)| *known == name)
        .unwrap_or_else(|| panic!("the schema has no element `{name}`"));
    for attribute in node.attributes() {
        let allowed = attributes.iter().any(|a| a.trim_start_matches('!') == attribute.name());
        assert!(allowed, "`{name}` has no attribute `{}`", attribute.name());
        if attribute.name() == "time" {
            let (whole, fraction) = attribute.value().split_once('.').unwrap();
            let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
            assert!(digits(whole) && digits(fraction) && fraction.len() <= 3);
        }
    }
    for required in attributes.iter().filter_map(|a| a.strip_prefix('!')) {
        assert!(node.has_attribute(required), "`{name}` needs `{required}`");
    }
    let mut last = 0;
    for child in node.children() {
        if child.is_text() {
            let blank = child.text().unwrap_or_default().trim().is_empty();
            assert!(*text || blank, "`{name}` holds no text");
        } else {
            let place = children.iter().position(|known| *known == child.tag_name().name());
            let place = place.unwrap_or_else(|| panic!("`{name}` holds no `{}`", child.tag_name().name()));
            if **children == *RERUN {
                assert!(place >= last, "`{name}`: wrong order");
                last = place + 1;
            }
            check_element(child);
        }
    }
}

fn elements<'a>(node: Node<'a, 'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// Valid, and with totals that are right.
pub(super) fn check(xml: &[u8]) {
    let text = std::str::from_utf8(xml).unwrap();
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let root = document.root_element();
    assert!(root.has_tag_name("testsuites"));
    check_element(root);
    for suite in elements(root, "testsuite") {
        let count = |name: &str| {
            let with = |case: &Node<'_, '_>| case.children().any(|child| child.has_tag_name(name));
            suite.children().filter(with).count().to_string()
        };
        let cases = suite.children().filter(|c| c.has_tag_name("testcase")).count();
        assert_eq!(suite.attribute("tests"), Some(cases.to_string().as_str()));
        assert_eq!(suite.attribute("failures"), Some(count("failure").as_str()));
        assert_eq!(suite.attribute("errors"), Some(count("error").as_str()));
        assert_eq!(suite.attribute("skipped"), Some(count("skipped").as_str()));
        assert!(suite.attribute("timestamp").is_some(), "a suite says when it began");
    }
}

fn shown(script: &Script) -> String {
    let xml = junit(&script.report());
    check(&xml);
    String::from_utf8(xml).unwrap()
}

const CASES: &[&str] = &["provision", "check/nodes-ready", "tear-down", "prove-clean"];

#[test]
fn whole_reports() {
    insta::assert_snapshot!("all_passed", shown(&script::all_passed()));
    insta::assert_snapshot!("one_failure", shown(&script::one_failure()));
}

#[test]
fn downtime_is_a_property_for_each_change_and_an_unknown_is_no_number() {
    let xml = shown(&script::all_probed(350));
    for wanted in [
        r#"<property name="downtime/change/scale-workers-3/api-server/downtime-ms" value="350"/>"#,
        r#"<property name="downtime/change/scale-workers-3/api-server/longest-gap-ms" value="470"/>"#,
        r#"<property name="downtime/change/scale-workers-3/api-server/failed-probes" value="3"/>"#,
        r#"<property name="downtime/change/scale-workers-3/api-server/downtime-ms" value="unknown"/>"#,
        "api-server: down for 350 ms, longest 470 ms without an answer, 3 of 660 probes failed (connection refused)",
    ] {
        assert!(xml.contains(wanted), "{wanted}: {xml}");
    }
}

#[test]
fn retries_expected_failures_and_leaks() {
    let script = Script::new()
        .unit("a", CASES)
        .unit("b", CASES)
        .unit("c", CASES)
        .leaves_out("kubernetes=1.29 yawol=on", "yawol does not start on 1.29")
        .started();
    let script = script
        .fails_as("a", "provision", Class::Infrastructure, "no route to host")
        .passes("a", &["provision"])
        .fails_as_expected("a", "check/nodes-ready", Class::CheckFailed, "1.27 is out of support")
        .passes("a", &["tear-down", "prove-clean"])
        .unit_clean("a")
        .fails_as("b", "provision", Class::TimedOut, "not available after 20m: `Machine/e2e/x` waits")
        .fails_as("b", "provision", Class::Terminal, "quota exceeded")
        .skips("b", "check/nodes-ready", "not run: provision failed")
        .fails_as("b", "tear-down", Class::TearDown, "not gone after 15m")
        .fails_as("b", "prove-clean", Class::Leftover, "1 object is left")
        .unit_ends("b", script::left(&["Machine/e2e/x"]))
        .left(&["Machine/e2e/x"]);
    insta::assert_snapshot!(shown(&script));
}

#[test]
fn a_run_cut_short_at_any_event_gives_a_valid_report_that_is_not_green() {
    let events = script::all_passed().events();
    for end in 1..events.len() {
        let xml = junit(&crate::results::fold(events[..end].to_vec()).unwrap());
        check(&xml);
        let text = String::from_utf8(xml).unwrap();
        assert!(text.contains("<error"), "{end} events of a run look green");
    }
}

#[test]
fn a_run_of_nothing_is_a_valid_report() {
    shown(&Script::new().clean());
    shown(&Script::new().clean_unknown("nobody looked"));
    shown(&Script::new().unit("a", CASES).prepare_fails(Class::Refused, "no such variable").kept());
}

#[test]
fn the_file_stays_small_whatever_the_logs_hold() {
    // Each `&` takes five bytes in XML.
    let log = "&<>'\"\n".repeat(20_000);
    let mut script = Script::new();
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let cases: Vec<String> = (0..20).map(|n| format!("check/c{n}")).collect();
    let names: Vec<&str> = cases.iter().map(String::as_str).collect();
    for letter in letters {
        script = script.unit(letter, &names);
    }
    script = script.started();
    for letter in letters {
        for name in &names {
            let failure = Failure::new(Class::CheckFailed, log.clone()).detail(log.clone());
            script = script.fails_with(letter, name, failure);
        }
    }
    let xml = junit(&script.report());
    check(&xml);
    assert!(xml.len() <= MAX_FILE, "{} bytes", xml.len());
    assert!(xml.len() > MAX_FILE / 50, "as much as fits is kept: {} bytes", xml.len());
}

fn hostile() -> impl Strategy<Value = String> {
    let nasty = [
        "]]>",
        "<![CDATA[",
        "&#0;",
        "&amp;",
        "\u{1b}[31m",
        "\u{1b}]0;t",
        "\u{0}",
        "\u{9b}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{fdd0}",
        "\u{202e}",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\r\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\"",
        "'",
        "<!--",
        "-->",
        "<?xml",
        " skipped=\"1\"",
        "\u{feff}",
        "é",
        "😀",
        "\t",
        " ",
    ];
    let piece = prop_oneof![
        proptest::sample::select(nasty.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_anywhere_gives_a_valid_report_that_keeps_it(t in proptest::collection::vec(hostile(), 16)) {
        let failure = Failure::new(Class::CheckFailed, t[0].clone())
            .detail(t[1].clone())
            .hint(t[2].clone())
            .about(Some(crate::types::ObjectRef {
                kind: t[3].clone(),
                namespace: t[4].clone(),
                name: t[5].clone(),
            }));
        let again = Failure::new(Class::Infrastructure, t[6].clone()).detail(t[1].clone());
        let case = format!("check/{}", t[7]);
        let script = Script::new()
            .unit("a", &["provision", &case])
            .unit("b", &[&t[8]])
            .leaves_out(&t[9], &t[10])
            .started()
            .ends("a", "provision", Outcome::Passed { note: t[11].clone() })
            .fails_with("a", &case, again)
            .fails_with("a", &case, failure.clone())
            .skips("b", &t[8], &t[12])
            .collects("a", &[&t[13]], &[&t[14]])
            .unit_ends("a", Cleanliness::Unknown { why: t[15].clone() })
            .left(&["Machine/x"]);
        let mut report = script.report();
        let info = &mut report.units[0].info;
        info.name = t[13].clone();
        info.scenario = t[14].clone();
        info.stack = t[15].clone();
        info.properties.insert(t[12].clone(), t[11].clone());
        report.harness = t[10].clone();
        report.clean = Cleanliness::Left { objects: vec![object("a/b"), crate::types::ObjectRef {
            kind: t[9].clone(),
            namespace: t[8].clone(),
            name: t[7].clone(),
        }] };
        let xml = junit(&report);
        check(&xml);
        let text = std::str::from_utf8(&xml).unwrap();
        let document = Document::parse(text).unwrap();
        let found = document.descendants().find(|n| n.has_tag_name("failure")).unwrap();
        let body = printable(&failure_body(&failure)).replace('\t', "    ");
        let message = one_line(&t[0], MAX_MESSAGE);
        prop_assert_eq!(found.text().unwrap_or_default(), body);
        prop_assert_eq!(found.attribute("message").unwrap(), message);
    }
}
