//! Real clusters, broken on purpose: every check fails for the right reason and passes again when the damage is
//! undone; and waits end at once where waiting is in vain.
//!
//! Needs a testbed, and to be inside its network: `.ci/broken` sees to both.

use crate::support;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use stack_e2e::check::{CHECKS, CheckContext, Checked, Needs, find};
use stack_e2e::cluster::{Api, Kind, ObjectExt, Progress, Why, Workload, wait};
use stack_e2e::event::{Cleanliness, Failure, FailureClass};
use stack_e2e::plan::{Plan, PlannedRun};
use stack_e2e::provider::capi::Capi;
use stack_e2e::provider::manifest;
use stack_e2e::types::{Namespace, ProviderKind, Release, RunId, Target};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const CLASS: &str = "embedded-scs-1-34-v1";
/// A ClusterClass like the other one, with a patch that its webhook accepts and that can never be applied.
const BAD_CLASS: &str = "embedded-scs-1-34-bad";
const CHECK_LIMIT: Duration = Duration::from_secs(150);

/// A plan at work on the testbed. Runs 0 and 1 are clusters; 2 and 3 can never become any.
struct Bench {
    api: Api,
    capi: Capi,
    plan: Arc<Plan>,
    began: Instant,
}

fn shared() -> Vec<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/rendered/embedded-scs-1-34.yaml");
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut bad = objects.iter().find(|object| object["kind"] == "ClusterClass").unwrap().clone();
    bad["metadata"]["name"] = BAD_CLASS.into();
    bad["spec"]["patches"].as_array_mut().unwrap().push(json!({
        "name": "impossible",
        "definitions": [{
            "selector": {
                "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2",
                "kind": "KubeadmControlPlaneTemplate",
                "matchResources": {"controlPlane": true},
            },
            "jsonPatches": [{"op": "replace", "path": "/spec/template/spec/nowhere/to/go", "value": 1}],
        }],
    }));
    objects.push(bad);
    objects
}

fn plan() -> Plan {
    let mut plan = support::plan(4, 4);
    plan.run = RunId::from_uuid_v7(uuid::Uuid::now_v7().into_bytes());
    plan.namespace = manifest::namespace_name(&plan.run).unwrap();
    plan.provider = ProviderKind::Embedded;
    plan.shared = shared();
    let classes = [CLASS, CLASS, BAD_CLASS, "embedded-scs-1-34-nowhere"];
    for (run, class) in plan.runs.iter_mut().zip(classes) {
        run.release = Release {
            class: class.into(),
            kubernetes: "v1.34.7".parse().unwrap(),
            worker_class: "default-worker".into(),
        };
        run.workers = 1;
    }
    plan
}

impl Bench {
    async fn start(kubeconfig: &Path) -> Self {
        let api = Api::from_file(kubeconfig).await.unwrap();
        let plan = Arc::new(plan());
        let capi = Capi::start(api.clone(), plan.clone());
        capi.prepare(|_| {}).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        Self { api, capi, plan, began: Instant::now() }
    }

    fn say(&self, text: &str) {
        println!("{:>5.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn run(&self, n: usize) -> &PlannedRun {
        &self.plan.runs[n]
    }

    fn namespace(&self) -> &Namespace {
        &self.plan.namespace
    }

    async fn create(&self, n: usize) {
        let target = self.run(n).first_target();
        self.capi.apply(self.run(n), &target).await.unwrap();
    }

    async fn settled(&self, n: usize, limit: u64) -> Result<(), Failure> {
        let target = self.run(n).first_target();
        let limit = Duration::from_secs(limit);
        self.capi.await_target(self.run(n), &target, limit, |_| {}).await
    }

    async fn workload(&self, n: usize) -> Workload {
        Workload::connect(&self.api, self.namespace(), &self.run(n).cluster).await.unwrap()
    }

    /// Carries out a check of a cluster that is meant to be as planned.
    async fn look(&self, n: usize, name: &str) -> Checked {
        let first = self.workload(n).await;
        self.look_with(n, name, &self.run(n).first_target(), &first).await
    }

    async fn look_with(&self, n: usize, name: &str, target: &Target, first: &Workload) -> Checked {
        let run = self.run(n);
        let manifest = manifest::cluster(&self.plan, run, target);
        let mut context = CheckContext {
            api: &self.api,
            namespace: self.namespace(),
            cluster: &run.cluster,
            target,
            views: self.capi.observer().views(&run.cluster).unwrap(),
            manifest: &manifest,
            first: Some(first),
            runs_pods: false,
            addons: None,
        };
        context.run(find(name).unwrap(), CHECK_LIMIT).await
    }

    /// The failure must be the product's, say `words` and name an object of `kind`.
    fn must_fail(&self, name: &str, checked: Checked, kind: &str, words: &[&str]) {
        let Checked::Failed(failure) = checked else { panic!("`{name}` must fail, but: {checked:?}") };
        let object = failure.object.as_ref();
        self.say(&format!("{name}: {}", failure.summary));
        assert_eq!(failure.class, FailureClass::CheckFailed, "{name}: {failure:?}");
        for words in words {
            assert!(failure.summary.contains(words), "{name}: `{words}` is not in {failure:?}");
        }
        assert_eq!(object.map_or("", |object| object.kind.as_str()), kind, "{name}: {failure:?}");
    }

    async fn all_pass(&self, n: usize) {
        let first = self.workload(n).await;
        let target = self.run(n).first_target();
        for check in CHECKS {
            let checked = self.look_with(n, check.name, &target, &first).await;
            match (&checked, check.needs) {
                (Checked::Passed(note), Needs::Nodes) => self.say(&format!("{} passed: {note}", check.name)),
                (Checked::Skipped(why), Needs::Nodes) if check.groups.contains(&"addons") => {
                    assert_eq!(why, "not applicable: the stack has no add-ons");
                }
                (Checked::Skipped(why), Needs::Pods) => {
                    assert!(why.starts_with("not applicable on this backend"), "{}: {why}", check.name);
                }
                _ => panic!("`{}` on a good cluster: {checked:?}", check.name),
            }
        }
    }

    async fn pause(&self, n: usize, paused: bool) {
        let patch = json!({"spec": {"paused": paused}});
        self.patch(&Kind::cluster(), self.run(n).cluster.as_str(), &patch).await;
        let mut views = self.capi.observer().views(&self.run(n).cluster).unwrap();
        let status = if paused { "True" } else { "False" };
        let everywhere = |view: &stack_e2e::cluster::ClusterView| {
            let mut conditions = view.objects.iter().filter_map(|object| object.condition("Paused"));
            if conditions.all(|condition| condition.status == status) {
                Progress::Ready(())
            } else {
                Progress::NotYet(Why::new("not every controller has heard of it"))
            }
        };
        wait(&mut views, Duration::from_secs(30), |_| {}, everywhere).await.unwrap();
    }

    async fn patch(&self, kind: &Kind, name: &str, patch: &Value) {
        self.api.merge(kind, Some(self.namespace().as_str()), name, patch).await.unwrap();
    }

    /// The Node of the first worker or control plane Machine, and the Machine.
    fn node(&self, n: usize, control_plane: bool) -> (String, String) {
        let views = self.capi.observer().views(&self.run(n).cluster).unwrap();
        let view = views.borrow();
        let machine = view.machines(control_plane).next().unwrap();
        (machine.text("/status/nodeRef/name").to_owned(), machine.name_any())
    }

    async fn end(&self) {
        for run in &self.plan.runs {
            self.capi.delete(run).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        }
        for run in &self.plan.runs {
            let gone = self.capi.await_gone(run, Duration::from_secs(120), |_| {}).await;
            assert_eq!(gone, Ok(()), "{}", run.cluster);
            assert_eq!(self.capi.left(run).await, Cleanliness::Clean);
        }
        assert_eq!(self.capi.finish(Duration::from_secs(60)).await, Cleanliness::Clean);
        self.say("everything is gone");
    }
}

/// The kubeconfig of a testbed whose network this process is in; without one there is nothing to test.
fn testbed() -> Option<std::path::PathBuf> {
    let wanted = std::env::var_os("STACK_E2E_TESTBED_TESTS").is_some_and(|value| value == "1");
    if !wanted {
        println!("skipped: it needs a testbed; `.ci/broken` brings one up");
        return None;
    }
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG");
    Some(kubeconfig.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_fails_for_the_right_reason() {
    let Some(kubeconfig) = testbed() else { return };
    let bench = Bench::start(&kubeconfig).await;
    bench.create(0).await;
    bench.create(1).await;
    bench.create(2).await;
    bench.create(3).await;
    refusals(&bench).await;
    tokio::join!(impossible_topology(&bench), missing_class(&bench));
    bench.settled(0, 180).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    bench.settled(1, 60).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    bench.say("two clusters are settled");
    tokio::join!(bench.all_pass(0), bench.all_pass(1));
    tokio::join!(paused_cluster(&bench), living_cluster(&bench));
    tokio::join!(bench.all_pass(0), bench.all_pass(1));
    refused_changes(&bench).await;
    bench.end().await;
}

/// With the controllers of cluster 0 held back nobody repairs what is broken, until they are let go.
async fn paused_cluster(bench: &Bench) {
    let all_at_once = async {
        bench.pause(0, true).await;
        tokio::join!(
            async {
                let checked = bench.look(0, "cluster-conditions").await;
                bench.must_fail("cluster-conditions", checked, "Cluster", &["spec.paused is set to true"]);
            },
            numbers(bench),
            lost_marks(bench),
            dead_kubeconfig(bench),
            async {
                strange_nodes(bench).await;
                strange_members(bench).await;
                kubeconfigs(bench).await;
                drift(bench).await;
            },
        )
    };
    all_at_once.await;
    bench.pause(0, false).await;
    bench.settled(0, 120).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    bench.say("the paused cluster goes on and is settled");
}

/// Targets that the cluster was never given.
async fn numbers(bench: &Bench) {
    let first = bench.workload(0).await;
    let target = bench.run(0).first_target();
    let more = Target { control_planes: 3, workers: 2, ..target.clone() };
    let mut newer = target;
    newer.release.kubernetes = "v1.35.4".parse().unwrap();
    let (control_planes, workers, versions) = tokio::join!(
        bench.look_with(0, "control-plane-machines", &more, &first),
        bench.look_with(0, "worker-nodes", &more, &first),
        bench.look_with(0, "node-versions", &newer, &first),
    );
    bench.must_fail("control-plane-machines", control_planes, "", &["1 control plane Machines exist, not 3"]);
    bench.must_fail("worker-nodes", workers, "", &["1 worker Machines exist, not 2"]);
    bench.must_fail("node-versions", versions, "MachineDeployment", &["wants v1.34.7, not v1.35.4"]);
}

async fn lost_marks(bench: &Bench) {
    let checked = bench.look(0, "ownership").await;
    bench.must_fail("ownership", checked, "DevCluster", &["did not get its owner Cluster/", "back"]);
    // What the first look removed is still missing.
    let checked = bench.look(0, "ownership").await;
    let Checked::Failed(failure) = &checked else { panic!("{checked:?}") };
    let kind = failure.object.as_ref().map(|object| object.kind.clone()).unwrap_or_default();
    bench.must_fail("ownership", checked, &kind, &["has no"]);
}

async fn dead_kubeconfig(bench: &Bench) {
    let good = bench.workload(0).await.kubeconfig().clone();
    // A port that nobody listens on, in a network of loopback alone.
    let dead = with_cluster(&good, |cluster| cluster["server"] = "https://127.0.0.1:1".into());
    let first = Workload::with(dead).await.unwrap();
    let checked = bench.look_with(0, "old-kubeconfig", &bench.run(0).first_target(), &first).await;
    let words = ["the kubeconfig from before the change no longer works", "refused"];
    bench.must_fail("old-kubeconfig", checked, "Node", &words);
    let other = bench.workload(1).await;
    let checked = bench.look_with(0, "old-kubeconfig", &bench.run(0).first_target(), &other).await;
    bench.must_fail("old-kubeconfig", checked, "", &["leads to other Nodes than the Machines have"]);
}

fn with_cluster(kubeconfig: &Kubeconfig, change: impl FnOnce(&mut Value)) -> Kubeconfig {
    let mut value = serde_json::to_value(kubeconfig).unwrap();
    change(&mut value["clusters"][0]["cluster"]);
    serde_json::from_value(value).unwrap()
}

/// Deletes an object of a workload cluster. Its API server says nothing in reply, which is no answer that a client
/// understands.
async fn remove(api: &Api, kind: &Kind, namespace: Option<&str>, name: &str) {
    let _ = api.delete(kind, namespace, name, None).await;
}

/// Since now: a Machine whose Node has been sick for long is replaced at once.
fn ready(status: &str) -> Value {
    let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition =
        |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": since});
    let calm = ["MemoryPressure", "DiskPressure", "PIDPressure"].map(|kind| condition(kind, "False"));
    let conditions: Vec<Value> = [condition("Ready", status)].into_iter().chain(calm).collect();
    json!({"status": {"conditions": conditions}})
}

fn node_kind() -> Kind {
    Kind::of("v1", "Node")
}

async fn strange_nodes(bench: &Bench) {
    let workload = bench.workload(0).await;
    let api = workload.api();
    let (worker, _) = bench.node(0, false);
    let saved = api.get(&node_kind(), None, &worker).await.unwrap().unwrap();

    let ghost = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}});
    api.create(&ghost).await.unwrap();
    let checked = bench.look(0, "worker-nodes").await;
    bench.must_fail("worker-nodes", checked, "Node", &["Node/ghost: is a worker without a Machine"]);
    remove(api, &node_kind(), None, "ghost").await;

    api.merge(&node_kind(), Some(bench.namespace().as_str()), &worker, &ready("False")).await.unwrap();
    let checked = bench.look(0, "worker-nodes").await;
    bench.must_fail("worker-nodes", checked, "Node", &[worker.as_str(), "is not Ready"]);
    api.merge(&node_kind(), Some(bench.namespace().as_str()), &worker, &ready("True")).await.unwrap();

    let version = |version: &str| json!({"status": {"nodeInfo": {"kubeletVersion": version}}});
    api.merge(&node_kind(), Some(bench.namespace().as_str()), &worker, &version("v1.33.10")).await.unwrap();
    let checked = bench.look(0, "node-versions").await;
    let words = format!("not every Node runs v1.34.7: {worker} runs v1.33.10");
    bench.must_fail("node-versions", checked, "Node", &[words.as_str()]);
    api.merge(&node_kind(), Some(bench.namespace().as_str()), &worker, &version("v1.34.7")).await.unwrap();

    remove(api, &node_kind(), None, &worker).await;
    let checked = bench.look(0, "worker-nodes").await;
    bench.must_fail("worker-nodes", checked, "Node", &[worker.as_str(), "does not exist"]);
    let checked = bench.look(0, "kubeconfig").await;
    bench.must_fail("kubeconfig", checked, "Secret", &["leads to another cluster", worker.as_str()]);
    api.create(&fresh(&saved)).await.unwrap();
    assert!(matches!(bench.look(0, "worker-nodes").await, Checked::Passed(_)));
}

/// An object as it can be created once more.
fn fresh(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    let metadata = value["metadata"].as_object_mut().unwrap();
    for key in ["resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"] {
        metadata.remove(key);
    }
    value
}

async fn strange_members(bench: &Bench) {
    let workload = bench.workload(0).await;
    let pod = Kind::of("v1", "Pod");
    let system = Some("kube-system");
    let (node, _) = bench.node(0, true);

    let stray = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "etcd-ghost", "namespace": "kube-system"}});
    workload.api().create(&stray).await.unwrap();
    let checked = bench.look(0, "etcd-members").await;
    bench.must_fail("etcd-members", checked, "Pod", &["etcd Pods run for {", "ghost}"]);
    remove(workload.api(), &pod, system, "etcd-ghost").await;

    let name = format!("etcd-{node}");
    let saved = workload.api().get(&pod, system, &name).await.unwrap().unwrap();
    remove(workload.api(), &pod, system, &name).await;
    let checked = bench.look(0, "etcd-members").await;
    bench.must_fail("etcd-members", checked, "Pod", &["etcd Pods run for {}", node.as_str()]);
    workload.api().create(&fresh(&saved)).await.unwrap();
    assert!(matches!(bench.look(0, "etcd-members").await, Checked::Passed(_)));
}

async fn kubeconfigs(bench: &Bench) {
    let secret = format!("{}-kubeconfig", bench.run(0).cluster);
    let namespace = Some(bench.namespace().as_str());
    let saved = bench.api.get(&Kind::secret(), namespace, &secret).await.unwrap().unwrap();
    let own = bench.workload(0).await.kubeconfig().clone();
    let other = bench.workload(1).await.kubeconfig().clone();
    let other_server = other.clusters[0].cluster.clone().unwrap().server.unwrap();
    let insecure = with_cluster(&own, |cluster| {
        cluster["insecure-skip-tls-verify"] = true.into();
        cluster.as_object_mut().unwrap().remove("certificate-authority-data");
    });
    let elsewhere = with_cluster(&own, |cluster| cluster["server"] = other_server.clone().into());
    for (kubeconfig, words) in [
        (&other, "the CA in the kubeconfig is not the cluster's CA"),
        (&elsewhere, other_server.as_str()),
        (&insecure, "turns verification off"),
    ] {
        let text = serde_json::to_string(kubeconfig).unwrap();
        bench.patch(&Kind::secret(), &secret, &json!({"data": {"value": STANDARD.encode(text)}})).await;
        let checked =
            bench.look_with(0, "kubeconfig", &bench.run(0).first_target(), &dummy(&own).await).await;
        bench.must_fail("kubeconfig", checked, "Secret", &[words]);
    }
    bench.patch(&Kind::secret(), &secret, &json!({"data": {"value": "AA=="}})).await;
    let checked = bench.look_with(0, "kubeconfig", &bench.run(0).first_target(), &dummy(&own).await).await;
    bench.must_fail("kubeconfig", checked, "Secret", &[secret.as_str()]);
    bench.api.delete(&Kind::secret(), namespace, &secret, None).await.unwrap();
    let checked = bench.look_with(0, "kubeconfig", &bench.run(0).first_target(), &dummy(&own).await).await;
    bench.must_fail("kubeconfig", checked, "Secret", &[secret.as_str(), "does not exist"]);
    bench.api.create(&fresh(&saved)).await.unwrap();
    assert!(matches!(bench.look(0, "kubeconfig").await, Checked::Passed(_)));

    // The proof of verification itself: a client that verifies nothing must be found out.
    let blind = Workload::with(insecure).await.unwrap();
    let refused = blind.api().version_refused().await;
    assert!(
        refused.as_ref().is_err_and(|why| why.contains("the certificate is not verified")),
        "{refused:?}"
    );
    bench.say(&format!("verification off: {}", refused.unwrap_err()));
}

/// Any connection: the check at hand does not use it.
async fn dummy(kubeconfig: &Kubeconfig) -> Workload {
    Workload::with(kubeconfig.clone()).await.unwrap()
}

async fn drift(bench: &Bench) {
    let name = bench.run(0).cluster.as_str();
    let namespace = Some(bench.namespace().as_str());
    let cluster = bench.api.get(&Kind::cluster(), namespace, name).await.unwrap().unwrap();
    let topology = |replicas: u32| {
        let mut deployments = cluster.data["spec"]["topology"]["workers"]["machineDeployments"].clone();
        deployments[0]["replicas"] = replicas.into();
        json!({"spec": {"topology": {"workers": {"machineDeployments": deployments}}}})
    };
    bench.patch(&Kind::cluster(), name, &topology(2)).await;
    let checked = bench.look(0, "no-drift").await;
    let words = "would change spec.topology.workers.machineDeployments[0].replicas";
    bench.must_fail("no-drift", checked, "Cluster", &[words]);
    bench.patch(&Kind::cluster(), name, &topology(1)).await;

    let label = "app.kubernetes.io/managed-by";
    bench.patch(&Kind::cluster(), name, &json!({"metadata": {"labels": {label: "somebody"}}})).await;
    let checked = bench.look(0, "no-drift").await;
    bench.must_fail("no-drift", checked, "Cluster", &["would change metadata.labels", label]);
    bench.create(0).await;

    // Nothing would change, but the controllers have been told to keep their hands off.
    let checked = bench.look(0, "no-drift").await;
    bench.must_fail("no-drift", checked, "Cluster", &["TopologyReconciled is False"]);
}

/// What can be broken while the controllers of cluster 1 are at work.
async fn living_cluster(bench: &Bench) {
    let (node, machine) = bench.node(1, false);
    let busy = async {
        let kind = Kind::of("cluster.x-k8s.io/v1beta2", "Machine");
        for n in 0_u32.. {
            bench.patch(&kind, &machine, &json!({"metadata": {"annotations": {"n": n.to_string()}}})).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    // Until the writing has begun the cluster has been at rest for long enough.
    let checked = tokio::select! {
        checked = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            bench.look(1, "quiescence").await
        } => checked,
        () = busy => unreachable!("it counts for ever"),
    };
    let words = ["objects keep changing", machine.as_str(), "times"];
    bench.must_fail("quiescence", checked, "Machine", &words);

    let workload = bench.workload(1).await;
    workload
        .api()
        .merge(&node_kind(), Some(bench.namespace().as_str()), &node, &ready("False"))
        .await
        .unwrap();
    let unhealthy = |view: &stack_e2e::cluster::ClusterView| {
        let sick = view.machines(false).any(|machine| !machine.is_true("Ready"));
        if sick { Progress::Ready(()) } else { Progress::NotYet(Why::new("nobody has noticed")) }
    };
    let mut views = bench.capi.observer().views(&bench.run(1).cluster).unwrap();
    wait(&mut views, Duration::from_secs(30), |_| {}, unhealthy).await.unwrap();
    let checked = bench.look(1, "worker-nodes").await;
    bench.must_fail("worker-nodes", checked, "Machine", &[machine.as_str(), "Ready is False", "Node"]);
    workload
        .api()
        .merge(&node_kind(), Some(bench.namespace().as_str()), &node, &ready("True"))
        .await
        .unwrap();
    bench.settled(1, 60).await.unwrap_or_else(|failure| panic!("{failure:?}"));

    // A Node that somebody deletes comes back: the Machine misses it.
    let lost = Instant::now();
    remove(workload.api(), &node_kind(), None, &node).await;
    while !workload.nodes().await.unwrap().iter().any(|found| found.name == node) {
        assert!(lost.elapsed() < Duration::from_secs(60), "the Node does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bench.say(&format!("a deleted Node is back after {:.1} s", lost.elapsed().as_secs_f64()));
    bench.settled(1, 60).await.unwrap_or_else(|failure| panic!("{failure:?}"));
}

/// What a webhook refuses is known at once, in its own words.
async fn refusals(bench: &Bench) {
    let run = bench.run(0);
    let good = manifest::cluster(&bench.plan, run, &run.first_target());
    let with = |pointer: &str, value: Value| {
        let mut object = good.clone();
        object["metadata"]["name"] = "refused".into();
        object["spec"]["topology"]["variables"] = json!([{"name": "network_mtu", "value": 1400}]);
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    for (object, words) in [
        (with("/spec/topology/version", json!("1-34")), "version"),
        (with("/spec/topology/variables", json!([{"name": "network_mtu", "value": 5}])), "network_mtu"),
        (with("/spec/topology/variables", json!([{"name": "nonsense", "value": 5}])), "nonsense"),
        (with("/spec/topology/workers/machineDeployments/0/class", json!("nobody")), "nobody"),
    ] {
        let failure = bench.api.apply(&object, false).await.expect_err(words).failure();
        bench.say(&format!("refused: {}", failure.summary));
        assert_eq!(failure.class, FailureClass::Refused, "{failure:?}");
        assert!(failure.summary.contains(words), "{failure:?}");
        assert_eq!(failure.object.map(|object| object.name).as_deref(), Some("refused"));
    }
}

/// Changes of a cluster that is there.
async fn refused_changes(bench: &Bench) {
    let run = bench.run(0);
    for (version, words) in [("v1.33.10", "decrease"), ("v1.36.3", "version")] {
        let mut target = run.first_target();
        target.release.kubernetes = version.parse().unwrap();
        let failure = bench.capi.apply(run, &target).await.expect_err(version).failure();
        bench.say(&format!("refused: {}", failure.summary));
        assert_eq!(failure.class, FailureClass::Refused, "{failure:?}");
        assert!(failure.summary.contains(words), "{failure:?}");
    }
}

/// A topology that cannot be reconciled ends the wait long before its deadline.
async fn impossible_topology(bench: &Bench) {
    let begun = Instant::now();
    let failure = bench.settled(2, 120).await.expect_err("nothing can come of it");
    bench.say(&format!("impossible: {}", failure.summary));
    assert_eq!(failure.class, FailureClass::Terminal, "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "after {:?}", begun.elapsed());
    assert!(failure.summary.contains("nowhere"), "{failure:?}");
    assert_eq!(failure.object.map(|object| object.kind).as_deref(), Some("Cluster"));
}

/// The class may still come, so the wait goes on, and says what it waits for.
async fn missing_class(bench: &Bench) {
    let failure = bench.settled(3, 15).await.expect_err("there is no such class");
    bench.say(&format!("missing class: {}", failure.summary));
    assert_eq!(failure.class, FailureClass::TimedOut, "{failure:?}");
    assert!(failure.summary.contains("ClusterClass"), "{failure:?}");
    assert_eq!(failure.object.map(|object| object.kind).as_deref(), Some("Cluster"));
}
