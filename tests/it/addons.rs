//! Add-ons on the testbed: a definition together with objects of it, on a real API server; and what runs with add-ons need.
//!
//! Needs a testbed and to be inside its network: `.ci/broken` sees to both.

use crate::support;
use serde_json::{Value, json};
use stack_e2e::addon::{Done, Workshop};
use stack_e2e::check::CHECKS;
use stack_e2e::cluster::Api;
use stack_e2e::event::{FailureClass, Outcome};
use stack_e2e::matrix::{self, Effort};
use stack_e2e::plan::{self, KnownCheck, Plan, PlanOptions};
use stack_e2e::provider::capi::Capi;
use stack_e2e::provider::manifest;
use stack_e2e::results::RunReport;
use stack_e2e::run::{CapiWorld, Signal, World, run};
use stack_e2e::scenario::{self, Known, Scenario};
use stack_e2e::stack::Stack;
use stack_e2e::types::{CheckName, Owner, Redactor, RunId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The kubeconfig of the testbed's administrator: the harness may not make definitions there.
fn testbed() -> Option<PathBuf> {
    if std::env::var_os("STACK_E2E_TESTBED_TESTS").is_none_or(|value| value != "1") {
        println!("skipped: it needs a testbed; `.ci/broken` brings one up");
        return None;
    }
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG");
    Some(Path::new(&kubeconfig).with_file_name("admin.kubeconfig"))
}

pub fn scenario(text: &str) -> Scenario {
    let checks: Vec<(&str, &str)> =
        CHECKS.iter().flat_map(|check| check.groups.iter().map(|group| (check.name, *group))).collect();
    let known = Known { checks: &checks, ..Known::default() };
    scenario::parse(text, Path::new("test.yaml"), &known)
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

/// Some minors of the stack in a folder, rendered.
pub async fn rendered(folder: &Path, helm: &Path, minors: &[&str]) -> Stack {
    let source = stack_e2e::stack::load(folder).unwrap();
    let minors: Vec<_> = minors.iter().map(|minor| minor.parse().unwrap()).collect();
    stack_e2e::stack::render(&source, helm, &minors).await.unwrap()
}

/// The plan of a new run of a scenario.
pub fn plan_of(scenario: &Scenario, stack: Stack) -> Plan {
    let run = RunId::from_uuid_v7(uuid::Uuid::now_v7().into_bytes());
    let known = |check: &stack_e2e::check::Check| KnownCheck {
        name: CheckName::new(check.name).unwrap(),
        groups: check.groups.iter().map(|group| (*group).to_owned()).collect(),
        repeats: check.repeats,
        after_change_only: check.after_change_only,
    };
    let options = PlanOptions {
        namespace: manifest::namespace_name(&run).unwrap(),
        run,
        now: jiff::Timestamp::now(),
        keep: Duration::from_secs(43_200),
        owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
        concurrency: None,
        shard: None,
        keep_on_failure: false,
        checks: CHECKS.iter().map(known).collect(),
    };
    let effort = Effort { steps: 1, seed: 1, threads: 1, price: None, capacities: &[], slack: 0 };
    let scenarios = std::slice::from_ref(scenario);
    let matrix = matrix::expand(scenarios, &[], effort).unwrap();
    let stacks = BTreeMap::from([(scenario.name.to_string(), stack)]);
    plan::build(scenarios, &matrix, &stacks, &options)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
        .0
}

/// Carries a plan out on the testbed, and shows what happened.
pub async fn carry_out(api: &Api, plan: &Arc<Plan>, helm: Option<PathBuf>) -> RunReport {
    let world = World::Capi(Box::new(CapiWorld {
        capi: Capi::start(api.clone(), plan.clone()),
        plan: plan.clone(),
        logs: Vec::new(),
        runs_pods: false,
        helm,
        kubectl: "kubectl".into(),
        redactor: Redactor::default(),
        project: None,
    }));
    let directory = tempfile::tempdir().unwrap();
    let (_signals, signals) = mpsc::unbounded_channel::<Signal>();
    let mut heard = support::Heard::default();
    let options = support::options(directory.path());
    let ended = run(plan.clone(), Arc::new(world), options, signals, &mut heard).await.unwrap();
    for event in &heard.events {
        println!("{} {:?}", event.at.strftime("%H:%M:%S"), event.kind);
    }
    ended.report
}

/// The last outcome of a case.
pub fn outcome<'a>(report: &'a RunReport, case: &str) -> &'a Outcome {
    let unit = &report.units[0];
    let found = unit.cases.iter().find(|found| found.case.0 == case);
    let found = found.unwrap_or_else(|| panic!("there is no case {case}"));
    &found.attempts.last().unwrap().outcome
}

pub fn passed(report: &RunReport, case: &str) {
    let outcome = outcome(report, case);
    assert!(matches!(outcome, Outcome::Passed { .. }), "{case}: {outcome:?}");
}

pub fn failed(report: &RunReport, case: &str) -> String {
    match outcome(report, case) {
        Outcome::Failed { failure, .. } => {
            assert_eq!(failure.class, FailureClass::CheckFailed, "{case}: {failure:?}");
            failure.summary.clone()
        }
        other => panic!("{case}: {other:?}"),
    }
}

fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.addons.example.org")},
        "spec": {
            "group": "addons.example.org",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

/// A stage that carries a definition and an object of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_can_be_used_by_what_comes_with_it() {
    let Some(kubeconfig) = testbed() else { return };
    let api = Api::from_file(&kubeconfig).await.unwrap();
    let object = json!({"apiVersion": "addons.example.org/v1", "kind": "Thing",
        "metadata": {"name": "one", "namespace": "default"}, "spec": {"size": 1}});
    let mut workshop = Workshop::new(api.client(), false);
    // Its kind was asked for before, and was not there.
    let early = workshop.apply(&object).await.unwrap_err();
    assert!(early.contains("the cluster does not know Thing (addons.example.org/v1)"), "{early}");
    assert_eq!(workshop.apply(&definition("things", "Thing")).await.unwrap().done, Done::Applied);
    let applied = workshop.apply(&object).await.unwrap();
    assert_eq!(workshop.get(&applied).await.unwrap().unwrap()["spec"]["size"], 1);
    // A definition whose names another one has never can be used.
    let mut taken = definition("others", "Thing");
    taken["spec"]["names"]["singular"] = "other".into();
    let why = workshop.apply(&taken).await.unwrap_err();
    println!("{why}");
    for words in [
        "CustomResourceDefinition/others.addons.example.org cannot be used after 30 s",
        "NamesAccepted is False",
    ] {
        assert!(why.contains(words), "`{words}` is not in: {why}");
    }
    for definition in [definition("things", "Thing"), taken] {
        workshop.delete(&definition).await.unwrap();
    }
}
