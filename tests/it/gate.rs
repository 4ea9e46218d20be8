//! The release gate: yes, no, undecidable, and never a yes by absence.

#![allow(clippy::unwrap_used)]

use crate::scenario::{known, read};
use crate::support::process::{Home, Said};
use jiff::{Timestamp, ToSpan};
use stack_e2e::gate::{Answer, Candidate, Judgement, Surroundings, TestResult, judge};
use stack_e2e::matrix::{Effort, expand};
use stack_e2e::results::Verdict;
use stack_e2e::scenario::{Policy, Scenario};
use stack_e2e::types::{CheckName, RunId, SwitchName, ValueName};
use std::path::Path;

const SCENARIO: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata: {name: demo}
spec:
  stack: {provider: scripted, name: scs, source: {directory: stack}}
  switches:
    kubernetes: [\"1.33\", \"1.34\"]
    controlPlanes: [1, 3]
    yawol: [{name: \"off\"}, {name: \"on\", variables: {lb: yawol}}]
  exclude:
    - {when: {yawol: \"on\", controlPlanes: 3}, because: no quota}
  checks: [smoke]
  changes: [{upgrade: next-minor}]
";

const POLICY: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: GatePolicy
metadata: {name: strict}
spec:
  scenario: demo.yaml
  coverage: {strength: 2, of: [controlPlanes, yawol]}
  combinations: [{controlPlanes: 3}]
  checks: [cluster-available]
  changes: [upgrade-next-minor]
  green: 2
  withinDays: 14
  maxFlakeRate: 10
";

const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

fn policy() -> Policy {
    Policy::parse(POLICY, Path::new("policy.yaml"), &known()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn now() -> Timestamp {
    "2026-06-30T12:00:00Z".parse().unwrap()
}

/// A green result of one of the combinations of 1.33, some days old.
fn result(scenario: &Scenario, run: u8, days: i64, pairs: &[(&str, &str)]) -> TestResult {
    let matrix = expand(std::slice::from_ref(scenario), &[], Effort::default()).unwrap();
    let has =
        |(switch, value): &(&str, &str)| (SwitchName::new(*switch).unwrap(), ValueName::new(*value).unwrap());
    let wanted: Vec<_> = pairs.iter().chain([&("kubernetes", "1.33")]).map(has).collect();
    let fits = |values: &Vec<_>| wanted.iter().all(|pair| values.contains(pair));
    let combination = matrix.combinations.iter().find(|c| fits(&c.values)).unwrap();
    let case = |id: &str| (id.to_owned(), Verdict::Passed);
    TestResult {
        run: RunId::from_uuid_v7([run; 16]),
        at: now() - (days * 24).hours(),
        scenario: "demo".into(),
        id: combination.id.clone(),
        values: combination.values.clone(),
        release: "scripted-scs-1-33-v1".into(),
        digest: DIGEST.into(),
        verdict: Verdict::Passed,
        clean: true,
        cases: vec![case("provision"), case("check/cluster-available"), case("change/upgrade-next-minor")],
        known: vec![],
    }
}

/// Two green runs of each of the three combinations of 1.33.
fn green(scenario: &Scenario) -> Vec<TestResult> {
    let combinations: [&[(&str, &str)]; 3] = [
        &[("controlPlanes", "1"), ("yawol", "off")],
        &[("controlPlanes", "1"), ("yawol", "on")],
        &[("controlPlanes", "3"), ("yawol", "off")],
    ];
    let runs = [(1, 5), (2, 1)];
    let results = |(run, days)| combinations.map(|pairs| result(scenario, run, days, pairs));
    runs.into_iter().flat_map(results).collect()
}

fn judged(results: &[TestResult]) -> Judgement {
    let scenario = read(SCENARIO).unwrap();
    let policy = policy();
    let matrix = expand(std::slice::from_ref(&scenario), &[], Effort::default()).unwrap();
    let around = Surroundings {
        scenario: &scenario,
        combinations: &policy.check(&scenario).unwrap(),
        planned: &matrix.combinations,
        checks: &[CheckName::new("cluster-available").unwrap()],
        now: now(),
    };
    let candidate = Candidate {
        release: "scripted-scs-1-33-v1".into(),
        digest: DIGEST.into(),
        minor: "1.33".parse().unwrap(),
    };
    judge(&policy, &candidate, results, &around)
}

/// What tells a set of results apart from the green one, and what the gate must say to it, with these words.
type Set = (&'static str, fn(&mut Vec<TestResult>), Answer, &'static str);

const SETS: &[Set] = &[
    ("green", |_| {}, Answer::Yes, "3 of 3"),
    ("one red", |all| all[5].verdict = Verdict::Failed, Answer::No, "controlPlanes=3 yawol=off ("),
    ("flaky", |all| all[4].verdict = Verdict::Flaky, Answer::No, "1 of 6"),
    ("red, then green", |all| all[1].verdict = Verdict::Failed, Answer::No, "1 of 6"),
    (
        "stale",
        |all| all[..3].iter_mut().for_each(|r| r.at = now() - 480.hours()),
        Answer::Undecidable,
        "older than",
    ),
    (
        "a combination is missing",
        |all| all.retain(|r| !r.values.iter().any(|(_, v)| v.as_str() == "3")),
        Answer::Undecidable,
        "no result that counts has these values",
    ),
    ("one run too few", |all| all.truncate(5), Answer::Undecidable, "1 green"),
    (
        "another content",
        |all| all.iter_mut().for_each(|r| r.digest = "sha256:bb".into()),
        Answer::Undecidable,
        "of another content, sha256:bb",
    ),
    (
        "another release",
        |all| all.iter_mut().for_each(|r| r.release = "scripted-scs-1-33-v2".into()),
        Answer::Undecidable,
        "of the release scripted-scs-1-33-v2",
    ),
    ("nothing at all", Vec::clear, Answer::Undecidable, "there are no results"),
    ("not proven clean", |all| all[0].clean = false, Answer::Undecidable, "not proven clean"),
    ("infrastructure", |all| all[0].verdict = Verdict::Errored, Answer::Undecidable, "infrastructure"),
    (
        "a check was skipped",
        |all| all[5].cases[1].1 = Verdict::Skipped,
        Answer::Undecidable,
        "`cluster-available` was not looked at",
    ),
    (
        "no upgrade",
        |all| all.iter_mut().for_each(|r| r.cases[2].1 = Verdict::Skipped),
        Answer::Undecidable,
        "in no result that counts",
    ),
    (
        "another scenario",
        |all| all.iter_mut().for_each(|r| r.scenario = "other".into()),
        Answer::Undecidable,
        "of the scenario `other`",
    ),
    (
        "switches that are no more",
        |all| {
            all.iter_mut().for_each(|r| {
                r.values.pop();
            })
        },
        Answer::Undecidable,
        "of switches that are no more",
    ),
];

#[test]
fn every_set_of_results_gets_the_right_answer_for_the_right_reason() {
    let scenario = read(SCENARIO).unwrap();
    for (name, change, answer, words) in SETS {
        let mut results = green(&scenario);
        change(&mut results);
        let judgement = judged(&results);
        let said = serde_json::to_string_pretty(&judgement).unwrap();
        assert_eq!(judgement.answer, *answer, "{name}\n{said}");
        assert!(said.contains(words), "{name}: no `{words}` in\n{said}");
        let unmet = judgement.demands.iter().filter(|demand| demand.answer != Answer::Yes);
        for demand in unmet {
            assert!(demand.remedy.is_some(), "{name}: {demand:?} says nothing of what would meet it");
        }
        // The order in which results are named does not matter.
        results.reverse();
        assert_eq!(judged(&results), judgement, "{name}");
    }
}

#[test]
fn less_evidence_is_never_a_yes() {
    let scenario = read(SCENARIO).unwrap();
    let all = green(&scenario);
    for left in 0_u32..1 << all.len() {
        let part: Vec<TestResult> = all
            .iter()
            .enumerate()
            .filter(|(at, _)| left >> at & 1 == 1)
            .map(|(_, one)| one.clone())
            .collect();
        let expected = if part.len() == all.len() { Answer::Yes } else { Answer::Undecidable };
        assert_eq!(judged(&part).answer, expected, "{left:b}");
    }
}

#[test]
fn what_is_wrong_with_a_policy_is_said_at_its_place() {
    let bad = "apiVersion: e2e.clusterstack.x-k8s.io/v1
kind: Policy
metadata: {name: Strict}
spec:
  scenario: 7
  coverage: {strength: 9, off: [x]}
  combinations: [{}, {yawol: on}]
  checks: [cluster-availabel]
  green: 0
  withinDays: often
  flakeRate: 3
";
    let problems = Policy::parse(bad, Path::new("policy.yaml"), &known()).unwrap_err();
    insta::assert_snapshot!("problems_of_a_policy", problems.render(false));
    let nothing = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: GatePolicy\nmetadata: {name: a}\nspec: {scenario: demo.yaml}\n";
    let problems = Policy::parse(nothing, Path::new("policy.yaml"), &known()).unwrap_err();
    assert!(problems.to_string().contains("asks for nothing"), "{problems}");

    let wrong = POLICY
        .replace("[controlPlanes, yawol]", "[controlPlane, yawol]")
        .replace("{controlPlanes: 3}", "{controlPlanes: 5}");
    let wrong = wrong.replace("upgrade-next-minor", "upgrade-minor");
    let policy = Policy::parse(&wrong, Path::new("policy.yaml"), &known()).unwrap();
    let problems = policy.check(&read(SCENARIO).unwrap()).unwrap_err();
    insta::assert_snapshot!("a_policy_that_does_not_fit_its_scenario", problems.render(false));
}

/// The program, on runs of scripted clusters.
const GATED: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: GatePolicy
metadata: {name: release}
spec:
  scenario: scripts/scenario.yaml
  coverage: {strength: 1}
  checks: [cluster-conditions, kubeconfig]
  changes: [scale-workers-3]
";

fn gate(home: &Home, release: &str, more: &[&str]) -> Said {
    let runs: Vec<String> =
        home.runs().iter().map(|run| home.run_directory(run).display().to_string()).collect();
    let mut words = vec!["gate", "--release", release, "--policy", "policy.yaml"];
    words.extend(more);
    words.extend(runs.iter().map(String::as_str));
    home.say(&words)
}

fn assert_screen(name: &str, said: &Said) {
    let filters = [
        (r"\b0[0-9a-z]{15}\b", "RUN"),
        (r"/\S*/\.stack-e2e", "HOME/.stack-e2e"),
        (r"sha256:[0-9a-f]{64}", "sha256:HASH"),
        (r"\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?", "DAY"),
    ];
    insta::with_settings!({filters => filters.to_vec()}, { insta::assert_snapshot!(name, said.stdout) });
}

#[test]
fn the_program_says_yes_no_or_undecidable_by_its_exit_code() {
    let home = Home::new();
    std::fs::write(home.path("policy.yaml"), GATED).unwrap();
    let nothing = gate(&home, "scripted-scs-1-33-v1", &[]);
    assert_eq!(nothing.code(), 3, "{}", nothing.stderr);
    assert_screen("gate_without_results", &nothing);

    assert_eq!(home.run("scripts/quick.json", &[]).code(), 0);
    let written = ["--attest", "gate.json", "--notes", "notes.md"];
    let yes = gate(&home, "scripted-scs-1-33-v1", &written);
    assert_eq!(yes.code(), 0, "{}{}", yes.stdout, yes.stderr);
    assert_screen("gate_yes", &yes);
    let statement: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path("gate.json")).unwrap()).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["subject"][0]["name"], "scripted-scs-1-33-v1");
    assert_eq!(statement["subject"][0]["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(statement["predicate"]["answer"], "yes");
    let notes = Said { stdout: std::fs::read_to_string(home.path("notes.md")).unwrap(), ..yes };
    assert_screen("gate_release_notes", &notes);

    std::fs::create_dir(home.path("e2e")).unwrap();
    let zuul =
        ["--format", "zuul", "--to", "return.json", "--attest", "e2e/gate.json", "--notes", "e2e/notes.md"];
    let returned = |more: &[&str]| -> (i32, serde_json::Value) {
        let said = gate(&home, "scripted-scs-1-33-v1", &[&zuul, more].concat());
        let data = std::fs::read(home.path("return.json")).unwrap();
        (said.code(), serde_json::from_slice(&data).unwrap())
    };
    let (code, data) = returned(&[]);
    assert_eq!(code, 0);
    assert_eq!(data["zuul"]["warnings"], serde_json::json!(["YES: scripted-scs-1-33-v1, policy release"]));
    assert_eq!(
        data["zuul"]["artifacts"][1],
        serde_json::json!({"name": "Statement (in-toto)", "url": "e2e/gate.json"})
    );

    let digest = format!("sha256:{}", "0".repeat(64));
    let (code, data) = returned(&["--digest", &digest]);
    assert_eq!(code, 3);
    let warnings: Vec<&str> =
        data["zuul"]["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(
        warnings[0].starts_with("UNDECIDABLE: ") && warnings[1].starts_with("NOT KNOWN: "),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|line| line.contains("would do: ")), "{warnings:?}");
    let other = gate(&home, "scripted-scs-1-33-v1", &["--digest", &digest]);
    assert_eq!(other.code(), 3, "{}", other.stdout);
    assert!(other.stdout.contains("of another content, sha256:"), "{}", other.stdout);

    assert_eq!(home.run("scripts/failed-check.json", &[]).code(), 1);
    let no = gate(&home, "scripted-scs-1-33-v1", &[]);
    assert_eq!(no.code(), 1, "{}", no.stdout);
    assert_screen("gate_no", &no);

    for bad in ["scripted-scs-1-33", "openstack-scs-1-33-v1", "nonsense"] {
        assert_eq!(gate(&home, bad, &[]).code(), 2, "{bad}");
    }
    assert_eq!(gate(&home, "scripted-scs-1-33-v1", &["--digest", "sha256:12"]).code(), 2);
}

#[test]
fn a_signature_can_be_verified_and_belongs_to_the_statement() {
    if std::process::Command::new("ssh-keygen").arg("--help").output().is_err() {
        println!("skipped: there is no ssh-keygen on the PATH");
        return;
    }
    let home = Home::new();
    std::fs::write(home.path("policy.yaml"), GATED).unwrap();
    assert_eq!(home.run("scripts/quick.json", &[]).code(), 0);
    let key = home.shell("ssh-keygen -q -t ed25519 -N '' -C gate -f key && awk '{print \"gate \" $1 \" \" $2}' key.pub > allowed");
    assert_eq!(key.code(), 0, "{}", key.stderr);
    let signed = gate(&home, "scripted-scs-1-33-v1", &["--attest", "gate.json", "--sign", "key"]);
    assert_eq!(signed.code(), 0, "{}", signed.stderr);
    let verify = "ssh-keygen -Y verify -f allowed -I gate -n stack-e2e-gate -s gate.json.sig < gate.json";
    assert_eq!(home.shell(verify).code(), 0);
    std::fs::write(home.path("gate.json"), "{\"answer\": \"yes\"}").unwrap();
    assert_ne!(home.shell(verify).code(), 0, "another statement must not verify");
    let unsigned = gate(&home, "scripted-scs-1-33-v1", &["--attest", "gate.json", "--sign", "no-such-key"]);
    assert_eq!(unsigned.code(), 3);
    assert!(unsigned.stderr.contains("cannot be signed"), "{}", unsigned.stderr);
}
