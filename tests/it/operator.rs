//! The contract with the Cluster Stack Operator, against its real definitions on the real API server of a testbed, with real
//! webhooks and hooks. The operator itself is not here: [`StandIn`] stands in for it and plays what is documented of it, the
//! misleading parts included. What holds against it says nothing about the operator's own code.
//!
//! Needs a testbed that was started with `--crds` of the operator, and to be inside its network: `.ci/operator` sees to both.

use crate::addons::{carry_out, failed, outcome, passed, plan_of, rendered, scenario};
use crate::stand_in::{Plays, Published, StandIn};
use crate::{support, upgrades};
use serde_json::Value;
use stack_e2e::cluster::Api;
use stack_e2e::event::{Cleanliness, Outcome};
use stack_e2e::plan::{AddonStep, OperatorRelease, Plan, Step, StepAction};
use stack_e2e::provider::capi::{Capi, find_left, sweep};
use stack_e2e::provider::manifest;
use stack_e2e::results::RunReport;
use stack_e2e::stack::addon::Hook;
use stack_e2e::stack::{ReleaseAddons, Stack, StackRelease};
use stack_e2e::types::{CaseId, CheckName, ProviderKind, Release, RunId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const CLASS: &str = "embedded-scs-1-34-v1";
const KUBERNETES: &str = "v1.34.7";
const STACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");

/// One cluster with its add-ons, by the operator's way.
fn plan(provision: u64) -> Plan {
    let mut plan = support::plan(1, 1);
    plan.run = RunId::from_uuid_v7(uuid::Uuid::now_v7().into_bytes());
    plan.namespace = manifest::namespace_name(&plan.run).unwrap();
    plan.provider = ProviderKind::Embedded;
    plan.operator = vec![OperatorRelease::of(CLASS, KUBERNETES.parse().unwrap()).unwrap()];
    let source = stack_e2e::stack::load(Path::new(STACK)).unwrap();
    let addons = source.minors[0].addons.clone();
    let stages = addons.at(Hook::AfterControlPlaneInitialized).to_vec();
    let addons = ReleaseAddons {
        folder: PathBuf::from(STACK).join("cluster-addon"),
        digest: String::new(),
        plan: addons,
    };
    plan.addons.insert(CLASS.into(), addons);
    let one = &mut plan.runs[0];
    one.release = Release {
        class: CLASS.into(),
        kubernetes: KUBERNETES.parse().unwrap(),
        worker_class: "default-worker".into(),
    };
    one.workers = 1;
    one.timeouts.provision = Duration::from_secs(provision);
    one.timeouts.change = Duration::from_secs(20);
    let target = one.first_target();
    let step = |(number, stage): (usize, &stack_e2e::stack::addon::Stage)| Step {
        case: CaseId(format!("addon/AfterControlPlaneInitialized/{}", stage.name)),
        action: StepAction::Addon(AddonStep { hook: Hook::AfterControlPlaneInitialized, stage: number }),
        target: target.clone(),
    };
    one.steps = stages.iter().enumerate().map(step).collect();
    one.steps.push(Step {
        case: CaseId("check/addon-stages".into()),
        action: StepAction::Check(CheckName::new("addon-stages").unwrap()),
        target,
    });
    plan
}

/// The API server of a testbed with the operator's definitions.
async fn testbed() -> Option<Api> {
    if std::env::var_os("STACK_E2E_OPERATOR_TESTS").is_none_or(|value| value != "1") {
        println!("skipped: it needs a testbed with the operator's definitions; `.ci/operator` brings one up");
        return None;
    }
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG");
    Some(Api::from_file(Path::new(&kubeconfig)).await.unwrap())
}

/// The operator may do what the harness may not: register a webhook and an extension.
async fn administrator() -> Api {
    let kubeconfig = std::env::var_os("KUBECONFIG").unwrap();
    Api::from_file(&Path::new(&kubeconfig).with_file_name("admin.kubeconfig")).await.unwrap()
}

/// The only release of [`plan`].
fn published() -> BTreeMap<String, Published> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/rendered/embedded-scs-1-34.yaml");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
    BTreeMap::from([(CLASS.to_owned(), Published { kubernetes: KUBERNETES.into(), objects })])
}

/// A run by the operator's way with a stand-in that plays so.
async fn with(
    api: &Api,
    plan: Plan,
    plays: Plays,
    published: BTreeMap<String, Published>,
) -> (RunReport, Arc<StandIn>) {
    let plan = Arc::new(plan);
    let stand_in = Arc::new(StandIn::new(&administrator().await, &plan, plays, published));
    stand_in.install().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(stand_in.clone().play());
    let report = carry_out(api, &plan, None).await;
    stand_in.remove().await;
    (report, stand_in)
}

/// The same with one cluster on one release; nothing when there is no testbed for it.
async fn played(plays: Plays, provision: u64) -> Option<RunReport> {
    let api = testbed().await?;
    Some(with(&api, plan(provision), plays, published()).await.0)
}

/// A cluster on 1.34 that is to go through these changes, with everything that may be published for it.
async fn changed(plays: Plays, changes: &str, limit: &str) -> Option<(RunReport, Arc<StandIn>)> {
    let api = testbed().await?;
    let helm = PathBuf::from(std::env::var_os("STACK_E2E_HELM").expect("`.ci/operator` sets STACK_E2E_HELM"));
    let (next, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    upgrades::later(next.path());
    upgrades::other(other.path());
    let has = |word: &str, text: String| if changes.contains(word) { text } else { String::new() };
    let text = format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: operator}}\nspec:\n  stack:\n    \
         provider: embedded\n    name: scs\n    source: {{directory: {STACK}}}\n    via: operator\n{}{}  switches:\n    \
         kubernetes: [\"1.34\"]\n  workers: 1\n  checks: [addon-stages, upgrade-waits-for-addons, node-versions]\n  \
         changes:\n{changes}  timeouts: {{provision: 5m, check: 1m, change: {limit}, delete: 5m}}\n",
        has("next-release", format!("    next: {{directory: {}}}\n", next.path().display())),
        has(
            "other-stack",
            format!("    other: {{name: scs2, source: {{directory: {}}}}}\n", other.path().display())
        ),
    );
    let mut stack: Stack = rendered(Path::new(STACK), &helm, &["1.33", "1.34", "1.35", "1.36"]).await;
    stack.next = rendered(next.path(), &helm, &["1.34"]).await.releases;
    stack.other = rendered(other.path(), &helm, &["1.34"]).await.releases;
    let publish = |release: &StackRelease| {
        let objects = release.objects.clone();
        (release.class.clone(), Published { kubernetes: release.kubernetes.to_string(), objects })
    };
    let all = stack.releases.iter().chain(&stack.next).chain(&stack.other);
    let published: BTreeMap<String, Published> = all.map(publish).collect();
    let plan = plan_of(&scenario(&text), stack);
    Some(with(&api, plan, plays, published).await)
}

fn said(report: &RunReport, case: &str) -> String {
    match outcome(report, case) {
        Outcome::Failed { failure, .. } => failure.summary.clone(),
        other => panic!("{case}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_by_the_operators_way_and_everything_goes_again() {
    let Some(report) = played(Plays::Well, 180).await else { return };
    for case in ["provision", "addon/AfterControlPlaneInitialized/metrics-server", "check/addon-stages"] {
        assert!(
            matches!(outcome(&report, case), Outcome::Passed { .. }),
            "{case}: {:?}",
            outcome(&report, case)
        );
    }
    // Releases, add-ons, Clusters and the namespace.
    assert_eq!(report.clean, Cleanliness::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_stuck_is_named_although_its_cluster_stack_is_ready() {
    let Some(report) = played(Plays::ReleaseStuck, 15).await else { return };
    let failure = report.prepare_failure.clone().unwrap();
    for words in [
        "ClusterStackRelease `embedded-scs-1-34-v1` did not become Ready",
        "release assets not downloaded yet",
    ] {
        assert!(failure.summary.contains(words), "`{words}` is not in: {}", failure.summary);
    }
    assert_eq!(report.clean, Cleanliness::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_ready_is_stale_is_not_believed() {
    let Some(report) = played(Plays::ReleaseStale, 15).await else { return };
    let failure = report.prepare_failure.clone().unwrap();
    assert!(failure.summary.contains("the node image is gone"), "{}", failure.summary);
    assert_eq!(report.clean, Cleanliness::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_stuck_is_named_with_hook_and_condition() {
    let Some(report) = played(Plays::StageStuck, 180).await else { return };
    assert!(matches!(outcome(&report, "addon/AfterControlPlaneInitialized/ccm"), Outcome::Passed { .. }));
    let summary = said(&report, "addon/AfterControlPlaneInitialized/metrics-server");
    for words in [
        "stage metrics-server of AfterControlPlaneInitialized is in waitingForPostCondition",
        "which waits for `has(server.status) && server.status.readyReplicas == server.spec.replicas`",
        "EvaluatedCEL is False",
    ] {
        assert!(summary.contains(words), "`{words}` is not in: {summary}");
    }
    assert!(
        failed(&report, "check/addon-stages").contains("has the add-ons of ``, not of embedded-scs-1-34-v1")
    );
    assert_eq!(report.clean, Cleanliness::Clean);
}

const MISTAKES: &str = "    - {upgrade: skip-minor, refusal: 'must not go from 34 to 36|cannot be increased'}\n    \
                        - {upgrade: previous-minor, refusal: 'must not go from 34 to 33|cannot be decreased'}\n    \
                        - {upgrade: other-stack, refusal: 'cluster stack must not change'}\n";

#[tokio::test(flavor = "multi_thread")]
async fn releases_and_minors_are_upgraded_to_and_mistakes_are_refused() {
    let changes = format!("{MISTAKES}    - {{upgrade: next-release}}\n    - {{upgrade: next-minor}}\n");
    let Some((report, stand_in)) = changed(Plays::Well, &changes, "5m").await else { return };
    for case in [
        "change/upgrade-skip-minor",
        "change/upgrade-previous-minor",
        "change/upgrade-other-stack",
        "change/upgrade-next-release",
        "addon/BeforeClusterUpgrade/metrics-server@after-upgrade-next-release",
        "check/addon-stages@after-upgrade-next-release",
        "change/upgrade-next-minor",
        "addon/BeforeClusterUpgrade/metrics-server@after-upgrade-next-minor",
        "check/addon-stages@after-upgrade-next-minor",
        "check/upgrade-waits-for-addons@after-upgrade-next-minor",
        "check/node-versions@after-upgrade-next-minor",
    ] {
        passed(&report, case);
    }
    let skipped = outcome(&report, "check/upgrade-waits-for-addons@after-upgrade-next-release");
    assert!(
        matches!(skipped, Outcome::Skipped { reason } if reason.contains("calls no hook")),
        "{skipped:?}"
    );
    // Cluster API has told of the other minor, several times, and of nothing else.
    let told = stand_in.told();
    assert!(told.len() >= 2 && told.iter().all(|version| version == "v1.35.4"), "{told:?}");
    assert_eq!(report.clean, Cleanliness::Clean);
    assert_eq!(stand_in.left().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stack_that_is_not_refused_fails() {
    let mistake = MISTAKES.lines().last().unwrap();
    let Some((report, _)) = changed(Plays::TakesAll, &format!("{mistake}\n"), "1m").await else { return };
    let said = failed(&report, "change/upgrade-other-stack");
    assert!(said.contains("but it was accepted: the cluster goes to embedded-scs2-1-34-v1"), "{said}");
    assert_eq!(report.clean, Cleanliness::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_operator_does_not_hold_back_is_found() {
    let changes = "    - {upgrade: next-minor}\n";
    let Some((report, _)) = changed(Plays::DoesNotWait, changes, "5m").await else { return };
    passed(&report, "change/upgrade-next-minor");
    let said = failed(&report, "check/upgrade-waits-for-addons@after-upgrade-next-minor");
    assert!(said.contains("the control plane got v1.35.4") && said.contains("were not done"), "{said}");
    assert_eq!(report.clean, Cleanliness::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_stuck_names_stage_hook_and_condition() {
    let changes = "    - {upgrade: next-minor}\n";
    let Some((report, _)) = changed(Plays::UpgradeStuck, changes, "40s").await else { return };
    let said = said(&report, "change/upgrade-next-minor");
    for words in [
        "stage metrics-server of BeforeClusterUpgrade is in waitingForPostCondition",
        "which waits for `has(server.status)",
        "EvaluatedCEL is False",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert_eq!(report.clean, Cleanliness::Clean);
}

/// What a run by the operator's way has left when it was killed goes, the operator's objects included.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_has_left_is_swept_in_the_operators_order() {
    let Some(api) = testbed().await else { return };
    let plan = Arc::new(plan(180));
    let stand_in = Arc::new(StandIn::new(&administrator().await, &plan, Plays::Well, published()));
    stand_in.install().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(stand_in.clone().play());
    {
        let capi = Capi::start(api.clone(), plan.clone());
        capi.prepare(|_| {}).await.unwrap();
        let run = &plan.runs[0];
        capi.apply(run, &run.first_target()).await.unwrap();
        capi.await_target(run, &run.first_target(), Duration::from_secs(180), |_| {}).await.unwrap();
    }
    let left = stand_in.left().await;
    for object in
        ["ClusterStack/embedded-scs-1-34", "ClusterStackRelease/embedded-scs-1-34-v1", "ClusterAddon/"]
    {
        assert!(left.iter().any(|left| left.starts_with(object)), "{object} is not in {left:?}");
    }
    let found = find_left(&api).await.unwrap().into_iter().find(|left| left.run == plan.run).unwrap();
    let named: Vec<String> = found.objects.iter().map(|left| left.object.to_string()).collect();
    assert!(named.iter().any(|name| name.starts_with("ClusterStack/")), "{named:?}");
    assert_eq!(sweep(&api, &found, Duration::from_secs(180)).await, Cleanliness::Clean);
    assert_eq!(stand_in.left().await, Vec::<String>::new());
    stand_in.remove().await;
    assert!(find_left(&api).await.unwrap().iter().all(|left| left.run != plan.run));
}
