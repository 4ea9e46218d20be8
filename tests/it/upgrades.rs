//! Upgrades on the testbed, by real controllers and real webhooks: to the next release of the same minor, for which
//! Cluster API calls no hook; to the next minor, which waits for its add-ons; and to what must be refused.
//!
//! Needs a testbed and a Helm, and to be inside the testbed's network: `.ci/upgrades` sees to all of it.

use crate::support;
use crate::support::process::Home;
use serde_json::Value;
use stack_e2e::cluster::{Api, ObjectExt, Progress, Why, condition, hook, wait};
use stack_e2e::event::Cleanliness;
use stack_e2e::plan::{Plan, PlannedRun};
use stack_e2e::provider::capi::Capi;
use stack_e2e::provider::manifest;
use stack_e2e::types::{ProviderKind, Release, RunId, Target};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const STACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");

/// The kubeconfig of the testbed and a Helm.
fn testbed() -> Option<(PathBuf, PathBuf)> {
    let wanted = std::env::var_os("STACK_E2E_TESTBED_TESTS").is_some_and(|value| value == "1");
    let helm = std::env::var_os("STACK_E2E_HELM").filter(|_| wanted);
    let Some(helm) = helm else {
        println!("skipped: it needs a testbed; `.ci/upgrades` brings one up");
        return None;
    };
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG");
    Some((kubeconfig.into(), helm.into()))
}

/// The release that comes after the stack of `fixtures`: workers get another file, and the network another image.
pub fn later(folder: &Path) {
    support::copy(Path::new(STACK), folder);
    for (file, from, to) in [
        ("cluster-class/Chart.yaml", "version: v1", "version: v2"),
        (
            "cluster-class/templates/kubeadm-config-template-worker.yaml",
            "content: embedded-scs",
            "content: later",
        ),
        ("cluster-addon/cni/templates/agent.yaml", "cni:v1", "cni:v2"),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(folder.join(file), text.replace(from, to)).unwrap();
    }
}

/// The same stack under another name.
pub fn other(folder: &Path) {
    support::copy(Path::new(STACK), folder);
    for file in ["csctl.yaml", "cluster-class/Chart.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let text = text.replace("clusterStackName: scs", "clusterStackName: scs2");
        std::fs::write(folder.join(file), text.replace("embedded-scs-", "embedded-scs2-")).unwrap();
    }
}

/// What `run` said on stderr, with the code it ended with.
fn run(home: &Home, helm: &Path, kubeconfig: &Path) -> (i32, String) {
    let mut command = home.stack_e2e(&[
        "run",
        "scenario.yaml",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--junit",
        "junit.xml",
    ]);
    command.env("STACK_E2E_TESTBED_HELM", helm).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn scenario(stack: &str, changes: &str) -> String {
    format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: upgrades}}\nspec:\n  stack:\n    \
         provider: embedded\n    name: scs\n{stack}  switches:\n    kubernetes: [\"1.34\"]\n  workers: 1\n  \
         checks: [addon-stages, upgrade-waits-for-addons, node-versions]\n  changes:\n{changes}  \
         timeouts: {{provision: 5m, check: 2m, change: 6m, delete: 5m}}\n"
    )
}

#[test]
fn releases_and_minors_are_upgraded_to_and_mistakes_are_refused() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let home = Home::new();
    later(&home.path("later"));
    let stack = format!("    source: {{directory: {STACK}}}\n    next: {{directory: later}}\n");
    let changes = "    - {upgrade: skip-minor, refusal: 'cannot be increased'}\n    \
                   - {upgrade: previous-minor, refusal: 'cannot be decreased'}\n    \
                   - {upgrade: next-release}\n    - {upgrade: next-minor}\n";
    std::fs::write(home.path("scenario.yaml"), scenario(&stack, changes)).unwrap();
    let (code, said) = run(&home, &helm, &kubeconfig);
    println!("{said}");
    assert_eq!(code, 0, "{said}");
    let junit = std::fs::read_to_string(home.path("junit.xml")).unwrap();
    // A case that has passed has nothing in it.
    for case in [
        "upgrade-skip-minor",
        "upgrade-previous-minor",
        "upgrade-next-release",
        "BeforeClusterUpgrade/cni@after-upgrade-next-release",
        "addon-stages@after-upgrade-next-release",
        "BeforeClusterUpgrade/cni@before-upgrade-next-minor",
        "upgrade-next-minor",
        "addon-stages@after-upgrade-next-minor",
        "upgrade-waits-for-addons@after-upgrade-next-minor",
    ] {
        let case = junit.split("<testcase ").find(|text| text.contains(&format!("name=\"{case}\"")));
        let case = case.unwrap_or_else(|| panic!("{junit}")).split("</testcase>").next().unwrap();
        assert!(!["<skipped", "<failure", "<error"].iter().any(|bad| case.contains(bad)), "{case}");
    }
    let case = junit
        .split("<testcase ")
        .find(|t| t.contains("name=\"upgrade-waits-for-addons@after-upgrade-next-release\""));
    let why = "the Kubernetes version stayed, so Cluster API calls no hook";
    assert!(case.unwrap().split("</testcase>").next().unwrap().contains(why), "{junit}");
    // Stages without a hook follow the change; those of a hook come before it.
    let at = |words: &str| said.find(words).unwrap();
    assert!(
        at("passed change/upgrade-next-release")
            < at("passed addon/BeforeClusterUpgrade/cni@after-upgrade-next-release")
    );
    assert!(
        at("passed addon/BeforeClusterUpgrade/metrics-server@before-upgrade-next-minor")
            < at("passed change/upgrade-next-minor")
    );
}

/// A mistake that the API server takes, or refuses for another reason than the expected one, fails the case.
#[test]
fn a_mistake_that_is_not_refused_as_expected_fails() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let home = Home::new();
    // Cluster API alone lets a cluster go to another stack; only the operator's webhook would refuse it.
    other(&home.path("other"));
    let stack = format!(
        "    source: {{directory: {STACK}}}\n    other: {{name: scs2, source: {{directory: other}}}}\n"
    );
    let changes = "    - {upgrade: previous-minor, refusal: there is no such class}\n    \
                   - {upgrade: other-stack, refusal: cluster stack}\n";
    let text = scenario(&stack, changes);
    let (first, second) = (changes.lines().next().unwrap(), changes.lines().nth(1).unwrap());
    for (left_out, case, words) in [
        (
            second,
            "upgrade-previous-minor",
            "refused, but not with the expected words `there is no such class`",
        ),
        (first, "upgrade-other-stack", "the change was to be refused (`cluster stack`), but it was accepted"),
    ] {
        let mut text = text.replace(&format!("{left_out}\n"), "");
        if left_out == second {
            text = text.replace("    other: {name: scs2, source: {directory: other}}\n", "");
        }
        std::fs::write(home.path("scenario.yaml"), text).unwrap();
        let (code, said) = run(&home, &helm, &kubeconfig);
        println!("{said}");
        assert_eq!(code, 1, "{said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("FAILED change/{case}")) && said.contains(words), "{said}");
    }
}

/// The stack as a folder of 1.34 alone, which is what a release can be built from.
fn pinned(folder: &Path) {
    std::fs::remove_file(folder.join("versions.yaml")).unwrap();
    for (file, from, to) in [
        ("csctl.yaml", "v1.36.3", "v1.34.7"),
        ("cluster-class/Chart.yaml", "embedded-scs-1-36", "embedded-scs-1-34"),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(folder.join(file), text.replace(from, to)).unwrap();
    }
}

/// Releases as they are published, and one that is built for the run.
#[test]
fn a_published_release_is_upgraded_to_one_that_is_built() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let home = Home::new();
    support::copy(Path::new(STACK), &home.path("first"));
    pinned(&home.path("first"));
    later(&home.path("later"));
    pinned(&home.path("later"));
    let mut build = home.stack_e2e(&["release", "build", "first", "--mode", "stable", "--first"]);
    let built = build.env("STACK_E2E_TESTBED_HELM", &helm).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let stack = "    source: {release: embedded-scs-1-34-v1, from: .release}\n    next: {directory: later, build: own}\n";
    std::fs::write(home.path("scenario.yaml"), scenario(stack, "    - {upgrade: next-release}\n")).unwrap();
    let (code, said) = run(&home, &helm, &kubeconfig);
    println!("{said}");
    assert_eq!(code, 0, "{said}");
    for words in ["objects of embedded-scs-1-34-v1 applied", "objects of embedded-scs-1-34-v0-sha."] {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
}

/// A cluster of the stack's 1.34, and the rendered objects of all its releases.
fn plan(objects: Vec<Value>) -> Plan {
    let mut plan = support::plan(1, 1);
    plan.run = RunId::from_uuid_v7(uuid::Uuid::now_v7().into_bytes());
    plan.namespace = manifest::namespace_name(&plan.run).unwrap();
    plan.provider = ProviderKind::Embedded;
    plan.shared = objects;
    plan.runs[0].release = release("v1", "v1.34.7");
    plan.runs[0].workers = 1;
    plan
}

fn release(version: &str, kubernetes: &str) -> Release {
    let kubernetes: stack_e2e::types::KubernetesVersion = kubernetes.parse().unwrap();
    let class = format!("embedded-scs-{}-{version}", kubernetes.minor().dashed());
    Release { class, kubernetes, worker_class: "default-worker".into() }
}

async fn rendered(folder: &Path, helm: &Path, minors: &[&str]) -> Vec<Value> {
    let source = stack_e2e::stack::load(folder).unwrap();
    let minors: Vec<_> = minors.iter().map(|minor| minor.parse().unwrap()).collect();
    let stack = stack_e2e::stack::render(&source, helm, &minors).await.unwrap();
    stack.releases.into_iter().flat_map(|release| release.objects).collect()
}

/// Applies the Cluster for a target with the annotation that holds an upgrade back where the hook `BeforeClusterUpgrade`
/// is called.
async fn apply_held(capi: &Capi, plan: &Plan, run: &PlannedRun, target: &Target) {
    let mut cluster = manifest::cluster(plan, run, target);
    cluster["metadata"]["annotations"][hook::hold()] = "a test".into();
    capi.api().apply(&cluster, false).await.unwrap();
}

/// The premise of the stages of a release of the same minor: Cluster API calls `BeforeClusterUpgrade` for another
/// Kubernetes version alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_hook_is_called_for_a_release_of_the_same_minor() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let folder = tempfile::tempdir().unwrap();
    later(folder.path());
    let mut objects = rendered(Path::new(STACK), &helm, &["1.34", "1.35"]).await;
    objects.extend(rendered(folder.path(), &helm, &["1.34"]).await);
    let plan = Arc::new(plan(objects));
    let capi = Capi::start(Api::from_file(&kubeconfig).await.unwrap(), plan.clone());
    capi.prepare(|_| {}).await.unwrap();
    let run = &plan.runs[0];
    let start = run.first_target();
    let limit = Duration::from_secs(240);
    capi.apply(run, &start).await.unwrap();
    capi.await_target(run, &start, limit, |_| {}).await.unwrap();

    // The whole change goes through while something waits for the hook; at no moment does Cluster API wait.
    let same = Target { release: release("v2", "v1.34.7"), ..start.clone() };
    apply_held(&capi, &plan, run, &same).await;
    let mut views = capi.observer().views(&run.cluster).unwrap();
    let mut never_held = |view: &stack_e2e::cluster::ClusterView| {
        let to = same.release.kubernetes;
        let words =
            view.root().and_then(|root| root.condition("TopologyReconciled")).map(|cond| cond.message);
        assert!(!words.unwrap_or_default().contains(&hook::hold()), "held for {to}");
        condition::settled(view, &same)
    };
    wait(&mut views, limit, |_| {}, &mut never_held).await.unwrap();
    let view = views.borrow().clone();
    assert_eq!(view.root().unwrap().text("/spec/topology/classRef/name"), same.release.class);
    println!("{} reached with the annotation in place", same.release.class);

    // The same annotation holds an upgrade to the next minor, until it goes.
    let minor = Target { release: release("v1", "v1.35.4"), ..start };
    apply_held(&capi, &plan, run, &minor).await;
    let words =
        wait(&mut views, limit, |_| {}, |view| hook::held(view, minor.release.kubernetes)).await.unwrap();
    println!("held: {words}");
    let changes =
        |view: &stack_e2e::cluster::ClusterView| match hook::control_plane_on(view, minor.release.kubernetes)
        {
            Progress::Ready(version) => Progress::Ready(version),
            _ => Progress::NotYet(Why::new("it waits")),
        };
    let early = wait(&mut views, Duration::from_secs(10), |_| {}, changes).await;
    assert!(early.is_err(), "the control plane went on: {early:?}");
    capi.apply(run, &minor).await.unwrap();
    capi.await_target(run, &minor, limit, |_| {}).await.unwrap();

    capi.delete(run).await.unwrap();
    capi.await_gone(run, limit, |_| {}).await.unwrap();
    assert_eq!(capi.left(run).await, Cleanliness::Clean);
    assert_eq!(capi.finish(Duration::from_secs(60)).await, Cleanliness::Clean);
}
