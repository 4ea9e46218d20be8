//! Stacks of other providers on a testbed with their definitions and without their controllers: what the real API server
//! takes and refuses, what Cluster API's topology controller makes of it, that this is what the offline evaluation of
//! patches says, and that a run on which nobody acts ends with its reason and clean.
//!
//! Needs such a testbed, and to be inside its network: `.ci/stacks` sees to both. With the published stacks
//! (`support::upstream`) these are tested too.

use crate::support;
use crate::support::openstack::Cloud;
use crate::support::process::{Home, Said};
use kube::ResourceExt;
use regex::Regex;
use serde_json::{Value, json};
use stack_e2e::cloud::config::Files;
use stack_e2e::cluster::{Api, ClusterView, Kind, ObjectExt, Progress, Why, wait};
use stack_e2e::event::Cleanliness;
use stack_e2e::plan::{Plan, PlannedRun};
use stack_e2e::provider::capi::Capi;
use stack_e2e::provider::clouds::CloudEntry;
use stack_e2e::provider::manifest;
use stack_e2e::scenario::{CloudAccess, Delivery};
use stack_e2e::stack::effect::{Effect, effect};
use stack_e2e::stack::{self, StackRelease};
use stack_e2e::types::{ClusterName, ProviderKind, Release, RunId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks");
const CANARY: &str = "canary-canary-canary";
const CLOUDS: &str = "clouds: {openstack: {auth_type: v3applicationcredential, auth: {auth_url: https://keystone.example.org, application_credential_id: abc, \
                      application_credential_secret: canary-canary-canary}}}\n";

/// The kubeconfig of the testbed and a Helm.
fn testbed() -> Option<(PathBuf, PathBuf)> {
    let wanted = std::env::var_os("STACK_E2E_TESTBED_TESTS").is_some_and(|value| value == "1");
    let helm = std::env::var_os("STACK_E2E_HELM").filter(|_| wanted);
    let Some(helm) = helm else {
        println!("skipped: it needs a testbed with definitions; `.ci/stacks` brings one up");
        return None;
    };
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("`stack-e2e testbed exec` sets KUBECONFIG");
    Some((kubeconfig.into(), helm.into()))
}

/// A scenario file on a stack; `switches` in YAML, indented as below.
fn scenario(directory: &Path, provider: &str, name: &str, switches: &str, more: &str) -> String {
    format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: stacks}}\nspec:\n  stack:\n    \
         provider: {provider}\n    name: {name}\n    source: {{directory: {}}}\n  workers: 2\n  checks: [smoke]\n{more}  \
         switches:\n{switches}",
        directory.display()
    )
}

/// A command that has ended, and the process that it was.
fn run_as(home: &Home, helm: &Path, words: &[&str]) -> (Said, u32) {
    let mut command = home.stack_e2e(words);
    command.env("STACK_E2E_TESTBED_HELM", helm).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let said = Said {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    (said, pid)
}

fn run(home: &Home, helm: &Path, words: &[&str]) -> Said {
    run_as(home, helm, words).0
}

/// Files below a directory that hold a text.
fn holding(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

const MINOR_29: &str = "    kubernetes: [\"1.29\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_acts_on_names_the_object_and_is_clean() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let home = Home::new();
    let directory = Path::new(FIXTURES).join("openstack/scs");
    let more = "  credentials: {cloud: openstack, deliver: csp-helper}\n  timeouts: {provision: 20s}\n  failureDomain: nova\n";
    std::fs::write(home.path("scenario.yaml"), scenario(&directory, "openstack", "scs", MINOR_29, more))
        .unwrap();
    // A cloud that has what the scenario wants, and in which nobody makes anything.
    let cloud = Cloud::start().await;
    cloud.put("networks", "ext", json!({"name": "public"}));
    cloud.put("images", "i", json!({"name": "ubuntu-capi-image-v1.29.15", "status": "active"}));
    cloud.world.lock().unwrap().quota = 100;
    let clouds = cloud.clouds_yaml().replace("  test:", "  openstack:").replace("canary-sesame-open", CANARY);
    std::fs::write(home.path("clouds.yaml"), clouds).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();

    // Without the credential nothing is touched.
    let words = ["run", "scenario.yaml", "--kubeconfig", kubeconfig];
    let said = run(&home, &helm, &words);
    assert_eq!(said.code(), 2, "{}", said.stderr);
    assert!(said.stderr.contains("need the credential of the cloud `openstack`"), "{}", said.stderr);
    assert!(!home.path(".stack-e2e").exists(), "nothing was touched");

    let said = run(&home, &helm, &[&words[..], &["--clouds", "clouds.yaml"]].concat());
    println!("{}", said.stderr);
    assert_eq!(said.code(), 3, "a controller that does not run is not the stack's fault: {}", said.stderr);
    assert!(said.stderr.contains("ended ERRORED: 2 passed"), "{}", said.stderr);
    assert!(said.stderr.contains("the run has ended; proven clean"), "{}", said.stderr);
    // The screen wraps its lines.
    let screen = said.screen().split_whitespace().collect::<Vec<_>>().join(" ");
    let words = "no controller has acted on it: it has neither status nor finalizers";
    assert!(screen.contains(words) && screen.contains("OpenStackCluster/"), "{screen}");
    assert!(screen.contains("see whether the provider's controllers run"), "{screen}");

    let run_id = said.stderr.split_whitespace().nth(1).unwrap().to_owned();
    let api = Api::from_file(Path::new(kubeconfig)).await.unwrap();
    let left = stack_e2e::provider::capi::find_left(&api).await.unwrap();
    assert!(left.iter().all(|left| left.run.as_str() != run_id), "{left:?}");
    assert_eq!(holding(&home.path("."), CANARY), [home.path("./clouds.yaml")]);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains(CANARY));
}

/// Lets the testbed judge a scenario, and sees to it that nothing of that stays.
async fn judged(home: &Home, helm: &Path, kubeconfig: &Path, text: &str) -> Said {
    std::fs::write(home.path("scenario.yaml"), text).unwrap();
    let words = ["plan", "scenario.yaml", "--check-with", kubeconfig.to_str().unwrap()];
    let (said, pid) = run_as(home, helm, &words);
    let api = Api::from_file(kubeconfig).await.unwrap();
    let left = stack_e2e::provider::capi::find_left(&api).await.unwrap();
    assert!(!left.iter().any(|left| left.owner.as_ref().is_some_and(|owner| owner.pid == pid)), "{left:?}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_management_cluster_judges_a_plan() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let home = Home::new();
    let fixture = |stack: &str| Path::new(FIXTURES).join(stack);
    let docker = |values: &str| {
        let switches = format!("    kubernetes: [\"1.34\"]\n    controlPlanes: [1, 3]\n{values}");
        scenario(&fixture("docker/scs"), "docker", "scs", &switches, "")
    };
    let said = judged(&home, &helm, &kubeconfig, &docker("")).await;
    assert_eq!(said.code(), 0, "{}", said.stderr);
    assert!(said.stderr.contains("the management cluster accepts 2 of 2 combinations"), "{}", said.stderr);

    // A value that is expected to be refused, and is; and one that admission lets pass.
    let invalid = "    names:\n      - {name: usual, variables: {certSANs: [api.example.org]}}\n      \
                   - {name: numbers, variables: {certSANs: [7]}, invalid: true, refusal: 'must be of type string'}\n      \
                   - {name: letters, variables: {certSANs: [abc]}, invalid: true, refusal: 'never said'}\n";
    let said = judged(&home, &helm, &kubeconfig, &docker(invalid)).await;
    println!("{}", said.stderr);
    assert_eq!(said.code(), 0, "{}", said.stderr);
    assert!(said.stderr.contains("accepts 2 of 2 combinations"), "{}", said.stderr);
    assert!(
        said.stderr.contains("names=letters is to be refused, and admission lets it pass"),
        "{}",
        said.stderr
    );

    // The words of a refusal that was expected are not those that were expected: it is told, at its line.
    let other = "    names:\n      - {name: usual, variables: {certSANs: [api.example.org]}}\n      \
                 - {name: numbers, variables: {certSANs: [7]}, invalid: true, refusal: 'never said'}\n";
    let said = judged(&home, &helm, &kubeconfig, &docker(other)).await;
    println!("{}", said.stderr);
    assert_eq!(said.code(), 2, "{}", said.stderr);
    assert!(said.stderr.contains("spec.topology.variables[certSANs]"), "{}", said.stderr);
    let line = docker(other).lines().position(|line| line.contains("name: numbers")).unwrap() + 1;
    assert!(said.stderr.contains(&format!("--> scenario.yaml:{line}:")), "line {line}: {}", said.stderr);
    assert!(
        said.stderr.contains("this fails kubernetes=1.34 controlPlanes=1 names=numbers"),
        "{}",
        said.stderr
    );

    // A provider whose definitions are not there.
    let switches =
        "    kubernetes: [\"1.34\"]\n    region:\n      - {name: fsn1, variables: {region: nbg1}}\n";
    let said =
        judged(&home, &helm, &kubeconfig, &scenario(&fixture("hetzner/scs"), "hetzner", "scs", switches, ""))
            .await;
    assert_eq!(said.code(), 2, "{}", said.stderr);
    let words = "the management cluster has no HetznerClusterTemplate of infrastructure.cluster.x-k8s.io";
    assert!(said.stderr.contains(words), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_stacks_are_accepted_or_refused_for_their_true_reason() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let Some(upstream) = support::upstream() else { return };
    let home = Home::new();
    let minor = |minor: &str| format!("    kubernetes: [\"{minor}\"]\n");
    let with = |version: &str, variables: &str| {
        format!("{}    needed:\n      - {{name: set, variables: {variables}}}\n", minor(version))
    };
    let old = "2024-04-25";
    let yawol = "2025-02-with-yawol-switch";
    let new = "2026-05";
    // State, folder, provider, stack, switches, words of the refusal; none when it is accepted.
    type Case<'a> = (&'a str, &'a str, &'a str, &'a str, String, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (new, "openstack/scs2", "openstack", "scs2", minor("1.34"), &[]),
        (new, "openstack/scs", "openstack", "scs", minor("1.32"), &[]),
        (new, "docker/scs", "docker", "scs", minor("1.30"), &[]),
        (yawol, "kubevirt/alpha/1-29", "kubevirt", "alpha", minor("1.29"), &[]),
        (
            yawol,
            "metal3/alpha/1-28",
            "metal3",
            "alpha",
            with("1.28", "{controlPlaneEndpoint: {host: 192.168.111.249, port: 6443}}"),
            &["ClusterClass `metal3-alpha-1-28-", "spec.variables[1].required: Required value"],
        ),
        (
            yawol,
            "hetzner/baremetal/1-30",
            "hetzner",
            "baremetal",
            with(
                "1.30",
                "{region: fsn1, bareMetalWorkerHostSelector: {matchLabels: {role: worker}}, \
                 bareMetalControlPlaneHostSelector: {matchLabels: {role: control-plane}}}",
            ),
            &[
                "has no HetznerClusterTemplate of infrastructure.cluster.x-k8s.io: its definition is not installed",
            ],
        ),
        (
            yawol,
            "openstack/kamaji/1-30",
            "openstack",
            "kamaji",
            with("1.30", "{data_store: other}"),
            &[
                "serves KamajiControlPlaneTemplate as v1alpha2 of controlplane.cluster.x-k8s.io, not as v1alpha1",
            ],
        ),
        (
            old,
            "openstack/alpha/1-29",
            "openstack",
            "alpha",
            minor("1.29"),
            &[
                "serves OpenStackClusterTemplate as v1beta1 of infrastructure.cluster.x-k8s.io, not as v1alpha7",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (state, folder, provider, name, switches, words) in cases {
        let directory = upstream.join("cluster-stacks").join(state).join("providers").join(folder);
        let said =
            judged(&home, &helm, &kubeconfig, &scenario(&directory, provider, name, switches, "")).await;
        println!("== {state} {folder}: exit {}\n{}", said.code(), said.stderr);
        let good = if words.is_empty() {
            said.code() == 0 && said.stderr.contains("accepts 1 of 1 combinations")
        } else {
            said.code() == 2 && words.iter().all(|words| said.stderr.contains(words))
        };
        if !good {
            wrong.push(format!("{state} {folder}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The stack with the yawol switch: four switches, three minors.
fn twelve(upstream: &Path, load_balancer: &str) -> String {
    let directory = upstream.join("cluster-stacks/2025-02-with-yawol-switch/providers/openstack/scs");
    let switches = format!(
        "    kubernetes: [\"1.29\", \"1.30\", \"1.31\"]\n    controlPlanes: [1, 3]\n    yawol:\n      - name: \"off\"\n        \
         variables: {{workload_loadbalancer: octavia-ovn, apiserver_loadbalancer: {load_balancer}}}\n      - name: \"on\"\n        \
         variables:\n          workload_loadbalancer: yawol\n          \
         yawol_flavor_id: 0a79590e-10d7-4c2c-8f69-ca0a2c6208d2\n          \
         yawol_image_id: f0b2ef46-f0ff-43d2-9c08-f58a5a6e9060\n"
    );
    let more = "  credentials: {cloud: openstack}\n";
    scenario(&directory, "openstack", "scs", &switches, more)
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_combinations_are_accepted_and_become_what_they_say() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let Some(upstream) = support::upstream() else { return };
    let home = Home::new();
    let text = twelve(&upstream, "octavia-onv");
    let said = judged(&home, &helm, &kubeconfig, &text).await;
    assert_eq!(said.code(), 2, "{}", said.stderr);
    let line = text.lines().position(|line| line.contains("octavia-onv")).unwrap() + 1;
    assert!(said.stderr.contains(&format!("--> scenario.yaml:{line}:")), "{}", said.stderr);
    assert!(
        said.stderr.contains("`octavia-onv` of `apiserver_loadbalancer` changes nothing"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("did you mean `octavia-ovn`?"), "{}", said.stderr);

    let said = judged(&home, &helm, &kubeconfig, &twelve(&upstream, "octavia-ovn")).await;
    println!("{}{}", said.stdout, said.stderr);
    assert_eq!(said.code(), 0, "{}", said.stderr);
    assert!(said.stderr.contains("the management cluster accepts 12 of 12 combinations"), "{}", said.stderr);

    let planned = run(&home, &helm, &["plan", "scenario.yaml", "--format", "json"]);
    let plan: Plan = serde_json::from_str(&planned.stdout).unwrap();
    let wanted = ["kubernetes=1.30 controlPlanes=3 yawol=off", "kubernetes=1.31 controlPlanes=1 yawol=on"];
    let runs: Vec<PlannedRun> =
        plan.runs.iter().filter(|run| wanted.contains(&run.name.as_str())).cloned().collect();
    let bench = Bench::start(&kubeconfig, Plan { runs, ..plan }).await;
    bench.create().await;
    let ovn = bench.made(0).await;
    let yawol = bench.made(1).await;
    let cluster = |made: &Made| made.only("OpenStackCluster").clone();
    assert_eq!(cluster(&ovn)["apiServerLoadBalancer"], json!({"enabled": true, "provider": "ovn"}));
    assert_eq!(cluster(&yawol)["apiServerLoadBalancer"], json!({"enabled": true, "provider": "amphora"}));
    for (made, replicas, version) in [(&ovn, 3, "v1.30.6"), (&yawol, 1, "v1.31.2")] {
        let control_plane = made.only("KubeadmControlPlane");
        assert_eq!(
            (&control_plane["replicas"], &control_plane["version"]),
            (&json!(replicas), &json!(version))
        );
        let workers = made.only("MachineDeployment");
        assert_eq!(
            (&workers["replicas"], &workers["template"]["spec"]["version"]),
            (&json!(2), &json!(version))
        );
        for (role, flavor) in [("control-plane", "SCS-2V-4-20s"), ("default-worker", "SCS-2V-4")] {
            let machine = &made.of("OpenStackMachineTemplate", role)["template"]["spec"];
            assert_eq!(machine["flavor"], flavor, "{machine}");
            assert_eq!(
                machine["image"]["filter"]["name"],
                format!("ubuntu-capi-image-{version}"),
                "{machine}"
            );
        }
    }
    bench.end().await;
}

/// Clusters that are made for real, as far as Cluster API can without the provider.
struct Bench {
    capi: Capi,
    plan: Arc<Plan>,
}

/// What the topology controller has made of one Cluster: the `spec` of each object, by its kind and the template that it
/// was made from, without names that differ from cluster to cluster.
struct Made(BTreeMap<(String, String), Value>);

impl Made {
    fn only(&self, kind: &str) -> &Value {
        let found: Vec<&Value> =
            self.0.iter().filter(|((k, _), _)| k == kind).map(|(_, spec)| spec).collect();
        assert_eq!(found.len(), 1, "{kind}: {:?}", self.0.keys());
        found[0]
    }

    fn of(&self, kind: &str, role: &str) -> &Value {
        let found = self.0.iter().find(|((k, from), _)| k == kind && from.ends_with(role));
        found.map(|(_, spec)| spec).unwrap_or_else(|| panic!("{kind} {role}: {:?}", self.0.keys()))
    }
}

impl Bench {
    async fn start(kubeconfig: &Path, plan: Plan) -> Self {
        let api = Api::from_file(kubeconfig).await.unwrap();
        let plan = Arc::new(plan);
        let cloud = manifest::access(&plan).map(|access| {
            CloudEntry::of(&Files::of_texts(CLOUDS, None, None).unwrap(), &access.cloud, None).unwrap()
        });
        let capi = Capi::start(api, plan.clone()).with_cloud(cloud);
        capi.prepare(|_| {}).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        Self { capi, plan }
    }

    /// Creates all clusters.
    async fn create(&self) {
        for run in &self.plan.runs {
            self.capi.apply(run, &run.first_target()).await.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Waits until all that comes of a cluster before a controller of the provider acts is there.
    async fn made(&self, n: usize) -> Made {
        let run = &self.plan.runs[n];
        let mut views = self.capi.observer().views(&run.cluster).unwrap();
        let made = wait(
            &mut views,
            Duration::from_secs(120),
            |_| {},
            |view| match complete(view) {
                None => Progress::Ready(specs(view)),
                Some(why) => Progress::NotYet(Why::new(why)),
            },
        );
        made.await.unwrap_or_else(|error| panic!("{}: {error}", run.name))
    }

    async fn end(&self) {
        for run in &self.plan.runs {
            self.capi.delete(run).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        }
        for run in &self.plan.runs {
            assert_eq!(
                self.capi.await_gone(run, Duration::from_secs(120), |_| {}).await,
                Ok(()),
                "{}",
                run.cluster
            );
            assert_eq!(self.capi.left(run).await, Cleanliness::Clean);
        }
        assert_eq!(self.capi.finish(Duration::from_secs(120)).await, Cleanliness::Clean);
    }
}

/// Why not everything is there yet.
fn complete(view: &ClusterView) -> Option<String> {
    let Some(root) = view.root() else { return Some("the Cluster does not exist".into()) };
    if !root.is_true("TopologyReconciled") {
        return Some("the topology is not reconciled".into());
    }
    if view.infrastructure().is_none() || view.control_plane().is_none() {
        return Some("infrastructure or control plane is not there".into());
    }
    let templates = view.objects.iter().filter(|object| object.kind().ends_with("Template")).count();
    let wanted = if view.control_plane_without_machines().is_some() { 2 } else { 3 };
    if templates < wanted || view.of("MachineDeployment").next().is_none() {
        return Some(format!("{templates} of {wanted} templates, or no MachineDeployment"));
    }
    None
}

fn specs(view: &ClusterView) -> Made {
    let kinds = view.objects.iter().filter(|object| {
        let kind = object.kind();
        kind.ends_with("Template")
            || kind == "MachineDeployment"
            || [view.infrastructure(), view.control_plane()].into_iter().flatten().any(|o| o.kind() == kind)
    });
    let name = Regex::new(&format!("{}[a-z0-9-]*", regex::escape(view.cluster.as_str()))).unwrap();
    let spec = |object: &kube::api::DynamicObject| {
        let from = object.annotations().get("cluster.x-k8s.io/cloned-from-name").cloned().unwrap_or_default();
        let text = object.data["spec"].to_string();
        let plain: Value = serde_json::from_str(&name.replace_all(&text, "NAME")).unwrap();
        ((object.kind().to_owned(), from), plain)
    };
    Made(kinds.map(|object| spec(object)).collect())
}

/// Values of one variable, each tried alone on top of `base`.
struct Probes {
    directory: PathBuf,
    minor: &'static str,
    base: Value,
    values: &'static [(&'static str, &'static str)],
}

/// What the offline evaluation says of a value is what the topology controller does with it: the objects of a Cluster
/// with the value differ from those of one without it exactly when the value is said to have an effect.
async fn agree(kubeconfig: &Path, helm: &Path, probes: &Probes) {
    let source = stack::load(&probes.directory).unwrap();
    let minor = probes.minor.parse().unwrap();
    let rendered = stack::render(&source, helm, &[minor]).await.unwrap();
    let release: &StackRelease = rendered.release(minor).unwrap();
    let base: BTreeMap<String, Value> = serde_json::from_value(probes.base.clone()).unwrap();
    let mut plan = support::plan(1, 100);
    plan.run = RunId::from_uuid_v7(uuid::Uuid::now_v7().into_bytes());
    plan.namespace = manifest::namespace_name(&plan.run).unwrap();
    plan.provider = source.provider;
    plan.shared = release.objects.clone();
    let first = PlannedRun {
        release: Release {
            class: release.class.clone(),
            kubernetes: release.kubernetes,
            worker_class: release.worker_class.clone(),
        },
        credentials: (source.provider == ProviderKind::Openstack)
            .then(|| CloudAccess { cloud: "openstack".into(), deliver: Delivery::CloudsYaml }),
        ..plan.runs[0].clone()
    };
    let with = |name: &str, value: Value| -> BTreeMap<String, Value> {
        base.clone().into_iter().chain([(name.to_owned(), value)]).collect()
    };
    // Cluster 0 has no value of these; then one for each value, and one with a text that no patch knows.
    let mut all = vec![base.clone()];
    let mut judged = Vec::new();
    for (name, value) in probes.values {
        all.push(with(name, serde_json::from_str(value).unwrap()));
        let said = effect(&release.cluster_class, &[], all.last().unwrap(), name).unwrap();
        // What no patch tells from any other text is compared with any other, not with the default, which some patch may
        // well know: `octavia-onv` gives a cluster without what the default would have brought.
        let unknown = matches!(&said, Effect::Ineffective { literals, .. } if !literals.is_empty());
        let (at, mut against) = (all.len() - 1, 0);
        if unknown {
            all.push(with(name, "any-other-text".into()));
            against = at + 1;
        }
        judged.push((name, value, said, at, against));
    }
    let probe = |(n, variables): (usize, &BTreeMap<String, Value>)| PlannedRun {
        cluster: ClusterName::new(format!("probe-{n}-x")).unwrap(),
        name: format!("n={n}"),
        variables: variables.clone(),
        ..first.clone()
    };
    plan.runs = all.iter().enumerate().map(probe).collect();
    let bench = Bench::start(kubeconfig, plan).await;
    bench.create().await;
    let mut wrong = Vec::new();
    let mut kinds = BTreeSet::new();
    for (name, value, said, at, against) in judged {
        let differs = bench.made(at).await.0 != bench.made(against).await.0;
        let effective = matches!(said, Effect::Effective { .. });
        println!(
            "{} {name}={value}: offline {said:?}; the server's objects differ: {differs}",
            release.class
        );
        kinds.insert(differs);
        if differs != effective {
            wrong.push(format!("{name}={value}: {said:?}, but the objects differ: {differs}"));
        }
    }
    bench.end().await;
    assert_eq!(wrong, Vec::<String>::new(), "{}", release.class);
    assert_eq!(kinds.len(), 2, "{}: the values are meant to show both", release.class);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_and_server_agree_on_what_has_an_effect() {
    let Some((kubeconfig, helm)) = testbed() else { return };
    let fixture = |stack: &str| Path::new(FIXTURES).join(stack);
    agree(
        &kubeconfig,
        &helm,
        &Probes {
            directory: fixture("openstack/scs"),
            minor: "1.29",
            base: json!({}),
            values: &[
                ("apiserver_loadbalancer", r#""octavia-ovn""#),
                ("apiserver_loadbalancer", r#""octavia-amphora""#),
                ("apiserver_loadbalancer", r#""none""#),
                ("workload_loadbalancer", r#""yawol""#),
                ("yawol_flavor_id", r#""0a79590e-10d7-4c2c-8f69-ca0a2c6208d2""#),
                ("controller_flavor", r#""SCS-4V-8""#),
                ("worker_flavor", r#""SCS-4V-8""#),
                ("image_name", r#""flatcar""#),
            ],
        },
    )
    .await;
    let Some(upstream) = support::upstream() else { return };
    let others = [
        Probes {
            directory: fixture("openstack/kamaji"),
            minor: "1.34",
            base: json!({"data_store": "default"}),
            values: &[
                ("dns_service_ips", r#"["10.96.0.10"]"#),
                ("dns_service_ips", r#"["10.96.0.53"]"#),
                ("worker_flavor", r#""SCS-4V-8""#),
            ],
        },
        Probes {
            directory: fixture("kubevirt/scs"),
            minor: "1.34",
            base: json!({}),
            values: &[
                ("image", r#""quay.io/capk/other:v1""#),
                ("csi_driver", "true"),
                ("certSANs", "[]"),
                ("certSANs", r#"["api.example.org"]"#),
            ],
        },
        Probes {
            directory: fixture("metal3/scs"),
            minor: "1.34",
            base: json!({"controlPlaneEndpoint": {"host": "192.168.111.249", "port": 6443}}),
            values: &[("workerHostSelector", r#"{"matchLabels": {"rack": "one"}}"#), ("certSANs", "[]")],
        },
        Probes {
            directory: upstream.join("cluster-stacks/2025-02-with-yawol-switch/providers/openstack/scs"),
            minor: "1.29",
            base: json!({}),
            values: &[
                ("apiserver_loadbalancer", r#""octavia-ovn""#),
                ("apiserver_loadbalancer", r#""octavia-onv""#),
                ("apiserver_loadbalancer", r#""octavia-amphora""#),
                ("workload_loadbalancer", r#""octavia-ovn""#),
                ("yawol_flavor_id", r#""0a79590e-10d7-4c2c-8f69-ca0a2c6208d2""#),
                ("kube_vip_network_id", r#""0a79590e-10d7-4c2c-8f69-ca0a2c6208d2""#),
                ("controller_flavor", r#""SCS-4V-8""#),
                ("controller_root_disk", "50"),
                ("worker_root_disk", "30"),
                ("ssh_key", r#""mine""#),
                ("dns_nameservers", r#"["9.9.9.9"]"#),
                ("node_cidr", r#""10.9.0.0/20""#),
                ("certSANs", r#"["api.example.org"]"#),
                ("network_mtu", "1400"),
                ("external_id", r#""0a79590e-10d7-4c2c-8f69-ca0a2c6208d2""#),
                ("controlPlaneAvailabilityZones", r#"["nova"]"#),
                ("openstack_security_groups", r#"[]"#),
                ("oidc_config", r#"{"client_id": "kubectl", "issuer_url": "https://dex.example.org"}"#),
                ("oidc_config", r#"{"client_id": "kubectl"}"#),
                ("controller_server_group_id", r#""3adf4e92-bb33-4e44-8ad3-afda9dfe8ec3""#),
            ],
        },
        Probes {
            directory: upstream.join("cluster-stacks/2026-05/providers/openstack/scs2"),
            minor: "1.34",
            base: json!({}),
            values: &[
                ("apiServerLoadBalancer", r#""octavia-amphora""#),
                ("apiServerLoadBalancer", r#""octavia-onv""#),
                ("apiServerLoadBalancer", r#""none""#),
                ("apiServerLoadBalancerOctaviaAmphoraAllowedCIDRs", r#"["10.0.0.0/8"]"#),
                ("imageIsOrc", "true"),
                ("imageAddVersion", "false"),
                ("controlPlaneRootDisk", "0"),
                ("workerRootDisk", "50"),
                ("workerAdditionalBlockDevices", r#"[{"name": "data", "sizeGiB": 20}]"#),
                ("securityGroups", r#"["default"]"#),
                ("workerSecurityGroups", r#"[]"#),
                ("disableAPIServerFloatingIP", "true"),
                ("controlPlaneOmitAvailabilityZone", "true"),
                ("networkMTU", "1400"),
                ("identityRef", r#"{"name": "openstack", "cloudName": "other"}"#),
            ],
        },
    ];
    for probes in &others {
        agree(&kubeconfig, &helm, probes).await;
    }
}

/// An object of the kind exists by this name: the definitions are those of the provider.
#[tokio::test(flavor = "multi_thread")]
async fn the_testbed_serves_what_it_was_given() {
    let Some((kubeconfig, _)) = testbed() else { return };
    let api = Api::from_file(&kubeconfig).await.unwrap();
    let served = api.served("infrastructure.cluster.x-k8s.io").await.unwrap();
    assert!(served.contains(&("v1beta1".into(), "OpenStackCluster".into())), "{served:?}");
    assert_eq!(api.served("nowhere.example.org").await.unwrap(), []);
    let kind = Kind::of("infrastructure.cluster.x-k8s.io/v1beta1", "OpenStackCluster");
    assert!(api.list(&kind, Some("default"), "").await.unwrap().objects.is_empty());
}
