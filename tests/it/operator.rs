//! The contract with the Cluster Stack Operator, against its real definitions on the real API server of a testbed. The
//! operator itself is not here: [`StandIn`] stands in for it and plays what is documented of it, the misleading parts
//! included. What holds against it says nothing about the operator's own code.
//!
//! Needs a testbed that was started with `--crds` of the operator, and to be inside its network: `.ci/operator` sees to both.

use crate::support;
use futures::StreamExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stack_e2e::cluster::{Api, ObjectExt};
use stack_e2e::event::{Cleanliness, Outcome};
use stack_e2e::plan::{AddonStep, OperatorRelease, Plan, Step, StepAction};
use stack_e2e::provider::capi::Capi;
use stack_e2e::provider::manifest;
use stack_e2e::results::RunReport;
use stack_e2e::run::{CapiWorld, Signal, World, run};
use stack_e2e::stack::ReleaseAddons;
use stack_e2e::stack::addon::Hook;
use stack_e2e::types::{CaseId, CheckName, ProviderKind, Redactor, Release, RunId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

const CLASS: &str = "embedded-scs-1-34-v1";
const KUBERNETES: &str = "v1.34.7";
const STACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");

/// How the stand-in behaves, beyond what it always does: a ClusterStack is Ready before there is any release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plays {
    /// As documented, and to the end.
    Well,
    /// Its release is never downloaded.
    ReleaseStuck,
    /// Its release says ready and Ready, and that what it needs is not.
    ReleaseStale,
    /// A stage waits for a condition that never holds.
    StageStuck,
}

/// Stands in for the operator in one namespace. Nothing of it is the operator's code.
struct StandIn {
    client: Client,
    namespace: String,
    plays: Plays,
}

impl StandIn {
    fn api(&self, api_version: &str, kind: &str) -> kube::Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        kube::Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn own(&self, kind: &str) -> kube::Api<DynamicObject> {
        self.api("clusterstack.x-k8s.io/v1alpha1", kind)
    }

    async fn status(&self, kind: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let _ = self.own(kind).patch_status(name, &PatchParams::default(), &patch).await;
    }

    async fn play(self) {
        let stacks = watcher(self.own("ClusterStack"), watcher::Config::default());
        let releases = watcher(self.own("ClusterStackRelease"), watcher::Config::default());
        let clusters = watcher(self.api("cluster.x-k8s.io/v1beta2", "Cluster"), watcher::Config::default());
        let mut seen = futures::stream::select(stacks.boxed(), releases.boxed());
        let mut clusters = clusters.boxed();
        loop {
            tokio::select! {
                Some(event) = seen.next() => {
                    if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event {
                        match object.data.pointer("/spec/versions") {
                            Some(_) if !object.is_deleting() => self.stack(&object).await,
                            None => self.release(&object).await,
                            Some(_) => {}
                        }
                    }
                }
                Some(event) = clusters.next() => {
                    if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event {
                        self.cluster(&object).await;
                    }
                }
            }
        }
    }

    /// Ready as soon as releases are created, which means nothing.
    async fn stack(&self, stack: &DynamicObject) {
        self.status(
            "ClusterStack",
            &stack.name_any(),
            json!({"conditions": [condition("Ready", "True", "")]}),
        )
        .await;
        for version in stack.data["spec"]["versions"].as_array().unwrap() {
            let name = format!("{}-{}", stack.name_any(), version.as_str().unwrap().replace('.', "-"));
            if self.own("ClusterStackRelease").get_opt(&name).await.unwrap().is_some() {
                continue;
            }
            sleep(Duration::from_secs(1)).await;
            let release = json!({
                "apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterStackRelease",
                "metadata": {
                    "name": name, "namespace": self.namespace,
                    "finalizers": ["clusterstackrelease.clusterstack.x-k8s.io"],
                    "ownerReferences": [{"apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterStack",
                        "name": stack.name_any(), "uid": stack.uid().unwrap()}],
                },
            });
            let release = serde_json::from_value(release).unwrap();
            self.own("ClusterStackRelease").create(&PostParams::default(), &release).await.unwrap();
        }
    }

    async fn release(&self, release: &DynamicObject) {
        let name = release.name_any();
        if release.is_deleting() {
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let _ = self.own("ClusterStackRelease").patch(&name, &PatchParams::default(), &patch).await;
            return;
        }
        if release.data.pointer("/status/conditions").is_some() {
            return;
        }
        let mut conditions = match self.plays {
            Plays::ReleaseStuck => {
                let condition =
                    condition("ClusterStackReleaseDownloaded", "False", "release assets not downloaded yet");
                self.status("ClusterStackRelease", &name, json!({"ready": false, "conditions": [condition]}))
                    .await;
                return;
            }
            Plays::ReleaseStale => {
                vec![condition("ProviderClusterStackReleaseReady", "False", "the node image is gone")]
            }
            Plays::Well | Plays::StageStuck => vec![condition("HelmChartApplied", "True", "")],
        };
        conditions.push(condition("Ready", "True", ""));
        let status = json!({"ready": true, "kubernetesVersion": KUBERNETES, "conditions": conditions});
        self.status("ClusterStackRelease", &name, status).await;
        // The class comes later than its release is Ready.
        sleep(Duration::from_secs(2)).await;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/rendered/embedded-scs-1-34.yaml");
        let mut objects: Vec<Value> =
            serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
        objects.sort_by_key(|object| object["kind"] == "ClusterClass");
        for mut object in objects {
            object["metadata"]["namespace"] = self.namespace.clone().into();
            let text = |key: &str| object[key].as_str().unwrap().to_owned();
            let api = self.api(&text("apiVersion"), &text("kind"));
            let params = PatchParams::apply("stand-in").force();
            api.patch(object["metadata"]["name"].as_str().unwrap(), &params, &Patch::Apply(&object))
                .await
                .unwrap();
        }
    }

    async fn cluster(&self, cluster: &DynamicObject) {
        let name = format!("cluster-addon-{}", cluster.name_any());
        let addons = self.own("ClusterAddon");
        let Some(addon) = addons.get_opt(&name).await.unwrap() else {
            let reference = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                "name": cluster.name_any(), "uid": cluster.uid().unwrap()});
            let mut spec = reference.clone();
            spec["namespace"] = self.namespace.clone().into();
            let addon = json!({
                "apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterAddon",
                "metadata": {"name": name, "namespace": self.namespace, "ownerReferences": [reference]},
                "spec": {"clusterRef": spec},
            });
            addons.create(&PostParams::default(), &serde_json::from_value(addon).unwrap()).await.unwrap();
            return;
        };
        if !cluster.is_true("ControlPlaneInitialized")
            || !addon.text("/spec/clusterStack").is_empty()
            || cluster.is_deleting()
        {
            return;
        }
        let spec = |spec: Value| Patch::Merge(json!({"spec": spec}));
        let hook = Hook::AfterControlPlaneInitialized.as_str();
        if addons.patch(&name, &PatchParams::default(), &spec(json!({"hook": hook}))).await.is_err() {
            return;
        }
        let stages = ["cni", "ccm", "metrics-server"];
        for current in 0..stages.len() {
            let phase = |at: usize| match at.cmp(&current) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "waitingForPostCondition",
                std::cmp::Ordering::Greater => "Pending",
            };
            let all: Vec<Value> = stages
                .iter()
                .enumerate()
                .map(|(at, stage)| json!({"name": stage, "action": "apply", "phase": phase(at)}))
                .collect();
            let waiting =
                condition("EvaluatedCEL", "False", "failed to successfully evaluate post condition");
            let status = json!({"ready": false, "stages": all, "conditions": [waiting]});
            self.status("ClusterAddon", &name, status).await;
            if self.plays == Plays::StageStuck && current == 2 {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
        let _ = addons
            .patch(&name, &PatchParams::default(), &spec(json!({"hook": "", "clusterStack": CLASS})))
            .await;
        let status = json!({"ready": true, "stages": [], "conditions": [condition("Ready", "True", "")]});
        self.status("ClusterAddon", &name, status).await;
    }
}

fn condition(kind: &str, status: &str, message: &str) -> Value {
    let severity = if status == "False" { json!("Info") } else { json!("") };
    json!({"type": kind, "status": status, "reason": "StandIn", "message": message, "severity": severity,
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

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

/// A run by the operator's way with a stand-in that plays so; nothing when there is no testbed for it.
async fn played(plays: Plays, provision: u64) -> Option<RunReport> {
    if std::env::var_os("STACK_E2E_OPERATOR_TESTS").is_none_or(|value| value != "1") {
        println!("skipped: it needs a testbed with the operator's definitions; `.ci/operator` brings one up");
        return None;
    }
    let kubeconfig =
        PathBuf::from(std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG"));
    let api = Api::from_file(&kubeconfig).await.unwrap();
    let plan = Arc::new(plan(provision));
    let mut tasks = JoinSet::new();
    let stand_in = StandIn { client: api.client(), namespace: plan.namespace.to_string(), plays };
    tasks.spawn(stand_in.play());
    let world = World::Capi(Box::new(CapiWorld {
        capi: Capi::start(api, plan.clone()),
        plan: plan.clone(),
        logs: Vec::new(),
        runs_pods: false,
        helm: None,
        kubectl: "kubectl".into(),
        redactor: Redactor::default(),
        project: None,
    }));
    let directory = tempfile::tempdir().unwrap();
    let (_signals, signals) = mpsc::unbounded_channel::<Signal>();
    let mut heard = support::Heard::default();
    let ended =
        run(plan, Arc::new(world), support::options(directory.path()), signals, &mut heard).await.unwrap();
    for event in &heard.events {
        println!("{plays:?} {} {:?}", event.at.strftime("%H:%M:%S"), event.kind);
    }
    Some(ended.report)
}

/// The last outcome of a case.
fn outcome<'a>(report: &'a RunReport, case: &str) -> &'a Outcome {
    let unit = &report.units[0];
    let found = unit.cases.iter().find(|found| found.case.0 == case).unwrap();
    &found.attempts.last().unwrap().outcome
}

fn failed(report: &RunReport, case: &str) -> String {
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
    let summary = failed(&report, "addon/AfterControlPlaneInitialized/metrics-server");
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
