//! What the main job, `stack-e2e run scenarios/local.yaml`, must have reported. The expected report is written down
//! here by hand and from the table of checks, not by the code that writes reports.
//!
//! `STACK_E2E_JUNIT` names the file; without it, only the judgement itself is tested.

use roxmltree::{Document, Node};
use stack_e2e::check::{CHECKS, Check, Needs};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The only reason for which a case of the main job may be skipped.
const NO_PODS: &str = "not applicable on this backend";

/// Phase and name of a case.
type Case = (String, String);

fn suites() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kubernetes in ["1.33", "1.34", "1.35"] {
        for control_planes in [1, 3] {
            for yawol in ["off", "on"] {
                names.insert(format!(
                    "local: kubernetes={kubernetes} controlPlanes={control_planes} yawol={yawol}"
                ));
            }
        }
    }
    names
}

/// The cases of each combination: provision, the checks, and after each change those that look again.
fn cases() -> Vec<Case> {
    let case = |phase: &str, name: &str| (phase.to_owned(), name.to_owned());
    let look = |check: &Check, suffix: &str| case("check", &format!("{}{suffix}", check.name));
    let mut cases = vec![case("provision", "provision")];
    for stage in ["cni", "ccm", "metrics-server"] {
        cases.push(case("addon", &format!("AfterControlPlaneInitialized/{stage}")));
        cases.push(case("addon", &format!("BeforeClusterUpgrade/{stage}@before-upgrade-next-minor")));
    }
    cases.extend(CHECKS.iter().filter(|check| !check.after_change_only).map(|check| look(check, "")));
    for change in ["scale-workers-3", "upgrade-next-minor"] {
        cases.push(case("change", change));
        let again = CHECKS.iter().filter(|check| check.repeats);
        cases.extend(again.map(|check| look(check, &format!("@after-{change}"))));
    }
    cases.extend([case("tear-down", "tear-down"), case("prove-clean", "prove-clean")]);
    cases
}

/// Whether a case is about Pods, which the testbed does not run.
fn needs_pods((phase, name): &Case) -> bool {
    // Where nothing was upgraded, nothing waited either.
    if name == "upgrade-waits-for-addons@after-scale-workers-3" {
        return true;
    }
    let check = name.split('@').next().unwrap_or_default();
    phase == "check" && CHECKS.iter().any(|known| known.name == check && known.needs == Needs::Pods)
}

/// Everything that is wrong with the report of the main job.
fn judge(xml: &str) -> Vec<String> {
    let document = match Document::parse(xml) {
        Ok(document) => document,
        Err(error) => return vec![format!("it is no XML: {error}")],
    };
    let mut wrong = Vec::new();
    let root = document.root_element();
    for total in ["failures", "errors"] {
        if root.attribute(total) != Some("0") {
            wrong.push(format!("the root says {total}={:?}", root.attribute(total)));
        }
    }
    let elements = |node: Node<'_, '_>, tag: &str| -> usize {
        node.descendants().filter(|element| element.has_tag_name(tag)).count()
    };
    for tag in ["failure", "error", "rerunFailure", "flakyFailure", "rerunError", "flakyError"] {
        if elements(root, tag) > 0 {
            wrong.push(format!("there are {} <{tag}>", elements(root, tag)));
        }
    }
    let mut found = BTreeMap::new();
    for suite in root.children().filter(|node| node.has_tag_name("testsuite")) {
        let name = suite.attribute("name").unwrap_or_default().to_owned();
        if found.insert(name.clone(), suite).is_some() {
            wrong.push(format!("suite `{name}` is there twice"));
        }
    }
    for name in suites() {
        match found.remove(&name) {
            Some(suite) => judge_suite(&name, suite, &mut wrong),
            None => wrong.push(format!("suite `{name}` is missing")),
        }
    }
    match found.remove("run") {
        Some(suite) => judge_run(suite, &mut wrong),
        None => wrong.push("suite `run` is missing".into()),
    }
    wrong.extend(found.keys().map(|name| format!("suite `{name}` was not planned")));
    wrong
}

fn skipped<'a>(case: Node<'a, '_>) -> Option<&'a str> {
    let skipped = case.children().find(|node| node.has_tag_name("skipped"))?;
    Some(skipped.attribute("message").unwrap_or_default())
}

fn judge_suite(suite: &str, node: Node<'_, '_>, wrong: &mut Vec<String>) {
    let mut expected: BTreeSet<Case> = cases().into_iter().collect();
    for case in node.children().filter(|node| node.has_tag_name("testcase")) {
        let class = case.attribute("classname").unwrap_or_default();
        let phase = class.strip_prefix("embedded-scs.local.").unwrap_or(class);
        let key = (phase.to_owned(), case.attribute("name").unwrap_or_default().to_owned());
        if !expected.remove(&key) {
            wrong.push(format!("{suite}: `{}` of `{}` was not planned, or is there twice", key.1, key.0));
        }
        match (skipped(case), needs_pods(&key)) {
            (None, false) => {}
            (Some(reason), true)
                if reason.starts_with(NO_PODS) || reason.ends_with("there was no upgrade") => {}
            (Some(reason), _) => wrong.push(format!("{suite}: `{}` was skipped: {reason}", key.1)),
            (None, true) => wrong.push(format!("{suite}: `{}` cannot have run", key.1)),
        }
    }
    wrong.extend(expected.iter().map(|(phase, name)| format!("{suite}: `{name}` of `{phase}` is missing")));
}

fn judge_run(node: Node<'_, '_>, wrong: &mut Vec<String>) {
    let cases: Vec<Node<'_, '_>> = node.children().filter(|node| node.has_tag_name("testcase")).collect();
    let names: Vec<&str> = cases.iter().filter_map(|case| case.attribute("name")).collect();
    if names != ["prepare", "complete", "prove-clean"] {
        wrong.push(format!("suite `run` has the cases {names:?}"));
    }
    for case in cases {
        if let Some(reason) = skipped(case) {
            wrong.push(format!("run: {:?} was skipped: {reason}", case.attribute("name")));
        }
    }
    let verdict = node.descendants().find(|node| node.attribute("name") == Some("verdict"));
    if verdict.and_then(|property| property.attribute("value")) != Some("passed") {
        wrong.push("the verdict of the run is not `passed`".into());
    }
}

#[test]
fn the_main_job_passed_in_every_part() {
    let Some(file) = std::env::var_os("STACK_E2E_JUNIT") else {
        println!("skipped: STACK_E2E_JUNIT is not set");
        return;
    };
    let xml = std::fs::read_to_string(&file).unwrap();
    let wrong = judge(&xml);
    assert!(wrong.is_empty(), "{} is not the report of a good run:\n{}", file.display(), wrong.join("\n"));
}

/// A good report, as this file expects it.
fn good() -> String {
    let mut xml = String::from("<testsuites failures=\"0\" errors=\"0\">\n");
    for suite in suites() {
        let _ = writeln!(xml, "<testsuite name=\"{suite}\">");
        for case in cases() {
            let body = if needs_pods(&case) {
                "<skipped message=\"not applicable on this backend: x\"/>"
            } else {
                ""
            };
            let (phase, name) = case;
            let _ = writeln!(
                xml,
                "<testcase classname=\"embedded-scs.local.{phase}\" name=\"{name}\">{body}</testcase>"
            );
        }
        xml.push_str("</testsuite>\n");
    }
    xml.push_str(
        "<testsuite name=\"run\">\n<properties><property name=\"verdict\" value=\"passed\"/></properties>\n",
    );
    for name in ["prepare", "complete", "prove-clean"] {
        let _ = writeln!(xml, "<testcase classname=\"stack-e2e.run.{name}\" name=\"{name}\"></testcase>");
    }
    xml + "</testsuite>\n</testsuites>\n"
}

#[test]
fn a_report_with_anything_missing_or_wrong_is_refused() {
    let good = good();
    assert_eq!(judge(&good), Vec::<String>::new());
    let without = |line: &str| {
        assert!(good.contains(line), "`{line}` must be there to be taken away");
        good.replacen(line, "", 1)
    };
    let close = "name=\"prove-clean\"></testcase>";
    for (bad, words) in [
        (good[..good.len() - 20].to_owned(), "it is no XML"),
        ("<testsuites failures=\"0\" errors=\"0\"/>".to_owned(), "suite `run` is missing"),
        (good.replacen("failures=\"0\"", "failures=\"1\"", 1), "the root says failures"),
        (good.replacen(close, "name=\"prove-clean\"><error/></testcase>", 1), "there are 1 <error>"),
        (
            good.replacen(close, "name=\"prove-clean\"><skipped message=\"kept\"/></testcase>", 1),
            "was skipped: kept",
        ),
        (
            without(
                "<testcase classname=\"embedded-scs.local.change\" name=\"upgrade-next-minor\"></testcase>\n",
            ),
            "`upgrade-next-minor` of `change` is missing",
        ),
        (
            good.replacen("not applicable on this backend: x", "not run: provision failed", 1),
            "was skipped: not run",
        ),
        (good.replacen("<skipped message=\"not applicable on this backend: x\"/>", "", 1), "cannot have run"),
        (good.replacen("controlPlanes=3 yawol=on", "controlPlanes=5 yawol=on", 1), "is missing"),
        (good.replacen("value=\"passed\"", "value=\"flaky\"", 1), "the verdict of the run"),
        (
            without("<testcase classname=\"stack-e2e.run.complete\" name=\"complete\"></testcase>\n"),
            "has the cases",
        ),
    ] {
        let wrong = judge(&bad);
        assert!(wrong.iter().any(|found| found.contains(words)), "{words}: {wrong:?}");
    }
}
