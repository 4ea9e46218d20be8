//! Stands in for the Cluster Stack Operator in one namespace, and plays what is documented of it, the misleading parts
//! included. Nothing of it is the operator's code, and what holds against it says nothing about that code.
//!
//! Its webhook and its runtime extension are real ones: the API server and Cluster API call them over TLS.

use crate::support::https::{Request, Response, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stack_e2e::cluster::{Api, Kind, ObjectExt};
use stack_e2e::plan::Plan;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// How the stand-in behaves, beyond what it always does: a ClusterStack is Ready before there is any release, and a
/// ClusterAddon stays ready for a while after its cluster wants another release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plays {
    /// As documented, and to the end.
    Well,
    /// Its release is never downloaded.
    ReleaseStuck,
    /// Its release says ready and Ready, and that what it needs is not.
    ReleaseStale,
    /// A stage waits for a condition that never holds.
    StageStuck,
    /// A stage before an upgrade waits for a condition that never holds.
    UpgradeStuck,
    /// Its extension lets upgrades go before their stages are done.
    DoesNotWait,
    /// Its webhook is not there.
    TakesAll,
}

/// A release as it is published.
#[derive(Debug, Clone)]
pub struct Published {
    pub kubernetes: String,
    pub objects: Vec<Value>,
}

/// The stages of the stack in `fixtures`, at both hooks.
const STAGES: [&str; 3] = ["cni", "ccm", "metrics-server"];
const HOOKS: &str = "hooks.runtime.cluster.x-k8s.io/v1alpha1";

/// What webhook and extension answer from, kept by the rest.
#[derive(Default)]
struct Known {
    /// The Kubernetes versions of releases that are Ready.
    ready: BTreeMap<String, String>,
    /// Classes that Cluster API is upgrading a cluster to, as the extension was told, and whether their stages are done.
    upgrades: BTreeMap<String, bool>,
    /// The Kubernetes versions to which the extension was told that clusters are being upgraded.
    told: Vec<String>,
}

pub struct StandIn {
    api: Api,
    client: Client,
    namespace: String,
    plays: Plays,
    /// By the name of the ClusterClass.
    releases: BTreeMap<String, Published>,
    known: Arc<Mutex<Known>>,
    server: Server,
}

impl StandIn {
    pub fn new(api: &Api, plan: &Plan, plays: Plays, releases: BTreeMap<String, Published>) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        let shared = known.clone();
        let server = Server::start(move |request, _| answer(request, &shared, plays));
        Self {
            client: api.client(),
            api: api.clone(),
            namespace: plan.namespace.to_string(),
            plays,
            releases,
            known,
            server,
        }
    }

    /// The Kubernetes versions to which the extension was told that clusters are being upgraded.
    pub fn told(&self) -> Vec<String> {
        self.known.lock().unwrap().told.clone()
    }

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

    /// The webhook and the extension, for this namespace alone.
    fn registrations(&self) -> [Value; 2] {
        let url = |path: &str| format!("https://{}{path}", self.server.host());
        let authority = STANDARD.encode(std::fs::read(&self.server.ca).unwrap());
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
        let client = |path: &str| json!({"url": url(path), "caBundle": authority});
        [
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": self.namespace},
                "webhooks": [{
                    "name": "validation.cluster.stand-in.example.org",
                    "clientConfig": client("/validate"),
                    "namespaceSelector": selector,
                    "rules": [{"apiGroups": ["cluster.x-k8s.io"], "apiVersions": ["v1beta1"], "resources": ["clusters"],
                        "operations": ["CREATE", "UPDATE"]}],
                    "matchPolicy": "Equivalent", "failurePolicy": "Fail", "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }],
            }),
            json!({
                "apiVersion": "runtime.cluster.x-k8s.io/v1beta2", "kind": "ExtensionConfig",
                "metadata": {"name": self.namespace},
                "spec": {"clientConfig": client("/"), "namespaceSelector": selector},
            }),
        ]
    }

    pub async fn install(&self) {
        for object in self.registrations() {
            if self.plays == Plays::TakesAll && object["kind"] == "ValidatingWebhookConfiguration" {
                continue;
            }
            self.everywhere(&object)
                .patch(&self.namespace, &PatchParams::apply("stand-in").force(), &Patch::Apply(&object))
                .await
                .unwrap();
        }
        // Until Cluster API has asked what the extension does, no hook is called.
        let config = self.everywhere(&self.registrations()[1]);
        let discovered = |object: Option<&DynamicObject>| object.is_some_and(|o| o.is_true("Discovered"));
        let discovered = kube::runtime::wait::await_condition(config, &self.namespace, discovered);
        tokio::time::timeout(Duration::from_secs(60), discovered).await.unwrap().unwrap();
    }

    pub async fn remove(&self) {
        for object in self.registrations() {
            let _ = self.everywhere(&object).delete(&self.namespace, &Default::default()).await;
        }
    }

    fn everywhere(&self, object: &Value) -> kube::Api<DynamicObject> {
        let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
        let kind = object["kind"].as_str().unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        kube::Api::all_with(self.client.clone(), &resource)
    }

    pub async fn play(self: Arc<Self>) {
        let stacks = watcher(self.own("ClusterStack"), watcher::Config::default());
        let releases = watcher(self.own("ClusterStackRelease"), watcher::Config::default());
        let clusters = watcher(self.api("cluster.x-k8s.io/v1beta2", "Cluster"), watcher::Config::default());
        let mut seen = futures::stream::select(stacks.boxed(), releases.boxed());
        let mut clusters = clusters.boxed();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
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
                _ = tick.tick() => {
                    let all = self.api("cluster.x-k8s.io/v1beta2", "Cluster").list(&Default::default()).await;
                    for cluster in all.map(|all| all.items).unwrap_or_default() {
                        self.cluster(&cluster).await;
                    }
                }
            }
        }
    }

    /// Ready as soon as releases are created, which means nothing.
    async fn stack(&self, stack: &DynamicObject) {
        let ready = json!({"conditions": [condition("Ready", "True", "")]});
        self.status("ClusterStack", &stack.name_any(), ready).await;
        for version in stack.data["spec"]["versions"].as_array().unwrap() {
            let name = format!("{}-{}", stack.name_any(), version.as_str().unwrap().replace('.', "-"));
            if self.own("ClusterStackRelease").get_opt(&name).await.unwrap().is_some() {
                continue;
            }
            sleep(Duration::from_millis(500)).await;
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
                let waits = "release assets not downloaded yet";
                let condition = condition("ClusterStackReleaseDownloaded", "False", waits);
                let status = json!({"ready": false, "conditions": [condition]});
                self.status("ClusterStackRelease", &name, status).await;
                return;
            }
            Plays::ReleaseStale => {
                vec![condition("ProviderClusterStackReleaseReady", "False", "the node image is gone")]
            }
            _ => vec![condition("HelmChartApplied", "True", "")],
        };
        conditions.push(condition("Ready", "True", ""));
        let published = self.releases.iter().find(|(class, _)| class.replace('.', "-") == name);
        let (class, published) = published.unwrap_or_else(|| panic!("{name} is not published"));
        let kubernetes = published.kubernetes.clone();
        let status = json!({"ready": true, "kubernetesVersion": kubernetes, "conditions": conditions});
        self.status("ClusterStackRelease", &name, status).await;
        self.known.lock().unwrap().ready.insert(class.clone(), kubernetes);
        // The class comes later than its release is Ready.
        sleep(Duration::from_secs(1)).await;
        let mut objects = published.objects.clone();
        objects.sort_by_key(|object| object["kind"] == "ClusterClass");
        for mut object in objects {
            object["metadata"]["namespace"] = self.namespace.clone().into();
            let text = |key: &str| object[key].as_str().unwrap().to_owned();
            let api = self.api(&text("apiVersion"), &text("kind"));
            let params = PatchParams::apply("stand-in").force();
            let name = object["metadata"]["name"].as_str().unwrap();
            api.patch(name, &params, &Patch::Apply(&object)).await.unwrap();
        }
    }

    async fn cluster(&self, cluster: &DynamicObject) {
        let name = format!("cluster-addon-{}", cluster.name_any());
        let addons = self.own("ClusterAddon");
        let Ok(found) = addons.get_opt(&name).await else { return };
        let Some(addon) = found else {
            let reference = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                "name": cluster.name_any(), "uid": cluster.uid().unwrap()});
            let mut spec = reference.clone();
            spec["namespace"] = self.namespace.clone().into();
            let addon = json!({
                "apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterAddon",
                "metadata": {"name": name, "namespace": self.namespace, "ownerReferences": [reference]},
                "spec": {"clusterRef": spec},
            });
            let _ = addons.create(&PostParams::default(), &serde_json::from_value(addon).unwrap()).await;
            return;
        };
        if !cluster.is_true("ControlPlaneInitialized") || cluster.is_deleting() {
            return;
        }
        let wants = cluster.text("/spec/topology/classRef/name").to_owned();
        let (has, at) = (addon.text("/spec/clusterStack").to_owned(), addon.text("/spec/hook").to_owned());
        let kubernetes = |class: &str| self.known.lock().unwrap().ready.get(class).cloned();
        let stuck = |hook: &str| match self.plays {
            Plays::StageStuck => hook == "AfterControlPlaneInitialized",
            Plays::UpgradeStuck => hook == "BeforeClusterUpgrade",
            _ => false,
        };
        if has.is_empty() {
            let hook = "AfterControlPlaneInitialized";
            if at.is_empty() {
                self.stages(&name, hook, &wants, stuck(hook)).await;
            }
        } else if has != wants && kubernetes(&has) == kubernetes(&wants) {
            // No hook is called for the same Kubernetes version. Ready stays True for a while.
            sleep(Duration::from_secs(1)).await;
            self.stages(&name, "", &wants, false).await;
        } else if has != wants && at.is_empty() {
            let told = self.known.lock().unwrap().upgrades.contains_key(&wants);
            if told {
                let hook = "BeforeClusterUpgrade";
                self.stages(&name, hook, &wants, stuck(hook)).await;
                if self.plays != Plays::UpgradeStuck {
                    self.known.lock().unwrap().upgrades.insert(wants, true);
                }
            }
        }
    }

    /// Carries out the stages of a hook, one after the other; or stays in the last.
    async fn stages(&self, name: &str, hook: &str, class: &str, stuck: bool) {
        let addons = self.own("ClusterAddon");
        let spec = |spec: Value| Patch::Merge(json!({"spec": spec}));
        if addons.patch(name, &PatchParams::default(), &spec(json!({"hook": hook}))).await.is_err() {
            return;
        }
        for current in 0..STAGES.len() {
            let phase = |at: usize| match at.cmp(&current) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "waitingForPostCondition",
                std::cmp::Ordering::Greater => "Pending",
            };
            let all: Vec<Value> = (0..)
                .zip(STAGES)
                .map(|(at, stage)| json!({"name": stage, "action": "apply", "phase": phase(at)}))
                .collect();
            let waiting =
                condition("EvaluatedCEL", "False", "failed to successfully evaluate post condition");
            let status = json!({"ready": false, "stages": all, "conditions": [waiting]});
            self.status("ClusterAddon", name, status).await;
            if stuck && current == 2 {
                return;
            }
            let slow = self.plays == Plays::DoesNotWait && hook == "BeforeClusterUpgrade";
            sleep(Duration::from_millis(if slow { 4000 } else { 300 })).await;
        }
        let done = spec(json!({"hook": "", "clusterStack": class}));
        let _ = addons.patch(name, &PatchParams::default(), &done).await;
        let status = json!({"ready": true, "stages": [], "conditions": [condition("Ready", "True", "")]});
        self.status("ClusterAddon", name, status).await;
    }

    /// What is left of the operator's kinds.
    pub async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for kind in ["ClusterStack", "ClusterStackRelease", "ClusterAddon"] {
            let kind = Kind::of("clusterstack.x-k8s.io/v1alpha1", kind);
            let found = self.api.list(&kind, Some(&self.namespace), "").await.unwrap();
            left.extend(found.objects.iter().map(|object| format!("{}/{}", kind.name(), object.name_any())));
        }
        left
    }
}

fn condition(kind: &str, status: &str, message: &str) -> Value {
    let severity = if status == "False" { json!("Info") } else { json!("") };
    json!({"type": kind, "status": status, "reason": "StandIn", "message": message, "severity": severity,
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn answer(request: &Request, known: &Mutex<Known>, plays: Plays) -> Response {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.path.split('?').next().unwrap_or_default();
    let answer = if path.ends_with("/validate") {
        reviewed(&asked["request"], known)
    } else if path.ends_with("/discovery") {
        let handlers = ["AfterControlPlaneInitialized", "BeforeClusterUpgrade", "AfterClusterUpgrade"].map(|hook| {
            json!({"name": hook.to_lowercase(), "requestHook": {"apiVersion": HOOKS, "hook": hook}, "timeoutSeconds": 10,
                "failurePolicy": "Fail"})
        });
        json!({"apiVersion": HOOKS, "kind": "DiscoveryResponse", "status": "Success", "handlers": handlers})
    } else if path.contains("/beforeclusterupgrade/") {
        let class = asked["cluster"]["spec"]["topology"]["class"].as_str();
        let class = class.or_else(|| asked["cluster"]["spec"]["topology"]["classRef"]["name"].as_str());
        let mut known = known.lock().unwrap();
        known.told.push(asked["toKubernetesVersion"].as_str().unwrap_or_default().to_owned());
        let done = *known.upgrades.entry(class.unwrap().to_owned()).or_insert(false);
        // It is asked again until the charts are applied.
        let retry = if done || plays == Plays::DoesNotWait { 0 } else { 2 };
        json!({"apiVersion": HOOKS, "kind": "BeforeClusterUpgradeResponse", "status": "Success", "retryAfterSeconds": retry,
            "message": "the add-ons are not upgraded yet"})
    } else {
        let kind = if path.contains("/aftercontrolplaneinitialized/") {
            "AfterControlPlaneInitializedResponse"
        } else {
            "AfterClusterUpgradeResponse"
        };
        json!({"apiVersion": HOOKS, "kind": kind, "status": "Success"})
    };
    Response::ok(answer.to_string()).with("Content-Type", "application/json")
}

/// The webhook's word on a Cluster, in the version `v1beta1`.
fn reviewed(request: &Value, known: &Mutex<Known>) -> Value {
    let known = known.lock().unwrap();
    let (denied, warnings) = match judged(request, &known.ready) {
        Ok(warning) => (None, warning),
        Err(why) => (Some(why), None),
    };
    let mut response = json!({"uid": request["uid"], "allowed": denied.is_none()});
    if let Some(why) = denied {
        response["status"] = json!({"message": why, "code": 403});
    }
    if let Some(warning) = warnings {
        response["warnings"] = json!([warning]);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn judged(request: &Value, ready: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    let topology = |object: &str, key: &str| {
        request[object]["spec"]["topology"][key].as_str().unwrap_or_default().to_owned()
    };
    let class = topology("object", "class");
    if class.is_empty() {
        return Err("the operator needs a topology with a class".into());
    }
    let Some(kubernetes) = ready.get(&class) else {
        return Ok(Some(format!("there is no ClusterStackRelease for {class}")));
    };
    if topology("object", "version") != *kubernetes {
        return Err(format!(
            "the version must be {kubernetes}, which is that of the ClusterStackRelease of {class}"
        ));
    }
    if request["operation"] != "UPDATE" {
        return Ok(None);
    }
    let old = topology("oldObject", "class");
    let parts = |class: &str| -> Option<(String, String, i64)> {
        let mut parts = class.split('-');
        let (provider, stack) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let minor = parts.nth(1)?.parse().ok()?;
        Some((provider, stack, minor))
    };
    let (Some(from), Some(to)) = (parts(&old), parts(&class)) else {
        return Err("the class has no such name".into());
    };
    if (&from.0, &from.1) != (&to.0, &to.1) {
        return Err(format!(
            "the cluster stack must not change from {}-{} to {}-{}",
            from.0, from.1, to.0, to.1
        ));
    }
    if !(0..=1).contains(&(to.2 - from.2)) {
        return Err(format!("the minor of the cluster stack must not go from {} to {}", from.2, to.2));
    }
    Ok(None)
}
