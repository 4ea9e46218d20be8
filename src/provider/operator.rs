//! The operator's way: ClusterStacks instead of rendered ClusterClasses, waited for release by release, and taken away
//! again when no Cluster needs them any more.

use super::capi::{await_absence, named};
use super::manifest;
use crate::cluster::{
    Api, ApiError, Kind, ObjectExt, Observer, ViewReceiver, WaitError, Why, operator, wait,
};
use crate::event::{Cleanliness, Failure, FailureClass};
use crate::plan::{OperatorRelease, Plan};
use crate::types::{ClusterName, Namespace, ObjectRef};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const API_VERSION: &str = "clusterstack.x-k8s.io/v1alpha1";
const GROUP: &str = "clusterstack.x-k8s.io";

/// What the observer calls the view of everything that belongs to no cluster.
const RELEASES: &str = "releases";

pub(super) fn stack_kind() -> Kind {
    Kind::of(API_VERSION, "ClusterStack")
}

fn release_kind() -> Kind {
    Kind::of(API_VERSION, "ClusterStackRelease")
}

/// The operator's object about the add-ons of a cluster.
#[must_use]
pub(super) fn addon_kind() -> Kind {
    Kind::of(API_VERSION, "ClusterAddon")
}

/// The name that the operator gives to it.
#[must_use]
pub(super) fn addon_name(cluster: &ClusterName) -> String {
    format!("cluster-addon-{cluster}")
}

/// The ClusterStacks of a plan: one for each Kubernetes minor, with the versions that are needed and no others.
#[must_use]
pub fn cluster_stacks(plan: &Plan) -> Vec<Value> {
    let mut stacks: BTreeMap<&str, Vec<&OperatorRelease>> = BTreeMap::new();
    for release in &plan.operator {
        stacks.entry(&release.cluster_stack).or_default().push(release);
    }
    let stack = |(name, releases): (&str, Vec<&OperatorRelease>)| {
        let first = releases.first()?;
        let versions: Vec<&str> = releases.iter().map(|release| release.version.as_str()).collect();
        Some(json!({
            "apiVersion": API_VERSION,
            "kind": "ClusterStack",
            "metadata": {
                "name": name,
                "namespace": plan.namespace.as_str(),
                "labels": manifest::run_marks(plan),
                "annotations": manifest::annotations(plan),
            },
            "spec": {
                "provider": first.provider,
                "name": first.stack,
                "kubernetesVersion": first.minor.to_string(),
                "channel": first.channel,
                "autoSubscribe": false,
                "noProvider": true,
                "versions": versions,
            },
        }))
    };
    stacks.into_iter().filter_map(stack).collect()
}

/// What is observed of the operator's objects in the run's namespace.
pub(super) struct Releases {
    api: Api,
    plan: Arc<Plan>,
    observer: Observer,
    name: ClusterName,
}

impl Releases {
    /// Starts observing; `None` when the plan needs no operator.
    pub(super) fn start(api: &Api, plan: &Arc<Plan>) -> Option<Self> {
        if plan.operator.is_empty() {
            return None;
        }
        let name = ClusterName::new(RELEASES).ok()?;
        let kinds = [stack_kind(), release_kind(), Kind::cluster_class()];
        let observer = Observer::of_namespace(api, &plan.namespace, &kinds, &name);
        Some(Self { api: api.clone(), plan: plan.clone(), observer, name })
    }

    fn views(&self) -> Result<ViewReceiver, Failure> {
        let views = self.observer.views(&self.name);
        views.ok_or_else(|| Failure::new(FailureClass::Harness, "the operator's objects are not observed"))
    }

    /// Applies the ClusterStacks and waits for each named release, then for its ClusterClass. That a ClusterStack is
    /// Ready is not waited for: it is so as soon as releases have been created.
    ///
    /// # Errors
    /// An object is refused, or a release does not become Ready in time; says what it waited for.
    pub(super) async fn prepare(&self, mut on_why: impl FnMut(&Why)) -> Result<(), Failure> {
        for stack in cluster_stacks(&self.plan) {
            self.api.apply(&stack, false).await.map_err(|error| {
                error
                    .failure()
                    .hint("the management cluster needs the Cluster Stack Operator and its definitions")
            })?;
        }
        let deadline = Instant::now() + self.plan.releases_within();
        let mut views = self.views()?;
        let left = || deadline.saturating_duration_since(Instant::now());
        // The product is the release; what it waits for is the failure's text, and the objects say the rest.
        let failure = |error: WaitError, what: String| error.failure(&what).detail(shown(&self.objects()));
        for release in &self.plan.operator {
            let (name, version) = (&release.release, release.kubernetes.to_string());
            let ready =
                wait(&mut views, left(), &mut on_why, |view| operator::release_ready(view, name, &version));
            ready
                .await
                .map_err(|e| failure(e, format!("ClusterStackRelease `{name}` did not become Ready")))?;
            let class = &release.class;
            let there = wait(&mut views, left(), &mut on_why, |view| operator::class_there(view, class));
            there.await.map_err(|e| failure(e, format!("ClusterClass `{class}` did not come")))?;
        }
        Ok(())
    }

    /// ClusterStacks and releases as they were last seen.
    pub(super) fn objects(&self) -> Vec<Arc<DynamicObject>> {
        let Some(views) = self.observer.views(&self.name) else { return Vec::new() };
        let view = views.borrow().clone();
        let ours = |object: &&Arc<DynamicObject>| object.kind() != Kind::cluster_class().name();
        view.objects.iter().filter(ours).cloned().collect()
    }

    /// Deletes the ClusterStacks, and waits until they and all releases are gone; then lists both afresh.
    pub(super) async fn finish(&self, limit: Duration) -> Cleanliness {
        let namespace = Some(self.plan.namespace.as_str());
        for stack in cluster_stacks(&self.plan) {
            let name = stack["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let Err(error) = self.api.delete(&stack_kind(), namespace, &name, None).await {
                return Cleanliness::Unknown { why: error.to_string() };
            }
        }
        if let Ok(mut views) = self.views()
            && let Err(error) = wait(&mut views, limit, |_| {}, operator::releases_gone).await
        {
            tracing::debug!(%error, "releases are not gone");
        }
        // An empty list proves nothing unless the namespace is the right one and can be read.
        let unknown = |why: String| Cleanliness::Unknown { why };
        match self.api.list(&Kind::config_map(), namespace, "").await {
            Ok(found) if found.objects.iter().any(|object| object.name_any() == manifest::SENTINEL) => {}
            Ok(_) => {
                let sentinel = manifest::SENTINEL;
                return unknown(format!(
                    "namespace `{}` lacks the sentinel `{sentinel}`",
                    self.plan.namespace
                ));
            }
            Err(error) => return unknown(error.to_string()),
        }
        let mut left: Vec<ObjectRef> = Vec::new();
        for kind in [stack_kind(), release_kind(), addon_kind()] {
            match self.api.list(&kind, namespace, "").await {
                Ok(found) => left.extend(found.objects.iter().map(|object| ObjectRef {
                    kind: kind.name().into(),
                    namespace: object.namespace().unwrap_or_default(),
                    name: object.name_any(),
                })),
                Err(error) => return unknown(error.to_string()),
            }
        }
        if left.is_empty() { Cleanliness::Clean } else { Cleanliness::Left { objects: left } }
    }
}

fn shown(objects: &[Arc<DynamicObject>]) -> String {
    let objects: Vec<&DynamicObject> = objects.iter().map(AsRef::as_ref).collect();
    serde_json::to_string_pretty(&objects).unwrap_or_default()
}

/// The ClusterStacks of a namespace; none where the management cluster has no operator.
pub(super) async fn left(api: &Api, namespace: &Namespace) -> Result<Vec<DynamicObject>, ApiError> {
    let served = api.served(GROUP).await?;
    if !served.iter().any(|(_, kind)| kind == stack_kind().name()) {
        return Ok(Vec::new());
    }
    Ok(api.list(&stack_kind(), Some(namespace.as_str()), "").await?.objects)
}

/// Deletes the ClusterStacks of a namespace and waits until they and their releases are gone; gives what is left. The
/// operator takes its finalizers off only while its objects are complete, so the namespace goes after them.
pub(super) async fn remove(
    api: &Api,
    namespace: &Namespace,
    limit: Duration,
) -> Result<Vec<ObjectRef>, ApiError> {
    let deadline = Instant::now() + limit;
    let stacks = left(api, namespace).await?;
    if stacks.is_empty() {
        return Ok(Vec::new());
    }
    let place = Some(namespace.as_str());
    let mut objects: Vec<(Kind, DynamicObject)> = Vec::new();
    for stack in stacks {
        api.delete(&stack_kind(), place, &stack.name_any(), None).await?;
        objects.push((stack_kind(), stack));
    }
    let releases = api.list(&release_kind(), place, "").await?.objects;
    objects.extend(releases.into_iter().map(|release| (release_kind(), release)));
    let mut remaining = Vec::new();
    for (kind, object) in &objects {
        let rest = deadline.saturating_duration_since(Instant::now());
        if await_absence(api, kind, place, &object.name_any(), rest).await.is_err() {
            remaining.push(named(object, kind));
        }
    }
    Ok(remaining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Owner, ProviderKind, RunId};

    fn plan() -> Plan {
        let run = RunId::from_uuid_v7([1; 16]);
        Plan {
            namespace: manifest::namespace_name(&run).unwrap(),
            run,
            made: jiff::Timestamp::UNIX_EPOCH,
            expires: jiff::Timestamp::UNIX_EPOCH,
            owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
            provider: ProviderKind::Openstack,
            shared: vec![],
            addons: BTreeMap::new(),
            operator: vec![],
            runs: vec![],
            after: Default::default(),
            tables: Default::default(),
            left_out: vec![],
            concurrency: 1,
            shard: None,
            keep_on_failure: false,
            coverage: vec![],
            timetable: None,
            places: BTreeMap::new(),
        }
    }

    #[test]
    fn one_cluster_stack_for_each_minor_with_the_versions_that_are_needed() {
        let release = |class: &str| OperatorRelease::of(class, "v1.34.7".parse().unwrap()).unwrap();
        let plan = Plan {
            operator: vec![
                release("openstack-scs2-1-34-v1"),
                release("openstack-scs2-1-34-v2"),
                OperatorRelease::of("openstack-scs2-1-35-v0-sha.rwvgrna", "v1.35.4".parse().unwrap())
                    .unwrap(),
            ],
            ..plan()
        };
        let stacks = cluster_stacks(&plan);
        let specs: Vec<&Value> = stacks.iter().map(|stack| &stack["spec"]).collect();
        assert_eq!(
            specs,
            [
                &json!({"provider": "openstack", "name": "scs2", "kubernetesVersion": "1.34", "channel": "stable",
                    "autoSubscribe": false, "noProvider": true, "versions": ["v1", "v2"]}),
                &json!({"provider": "openstack", "name": "scs2", "kubernetesVersion": "1.35", "channel": "custom",
                    "autoSubscribe": false, "noProvider": true, "versions": ["v0-sha.rwvgrna"]}),
            ]
        );
        for stack in &stacks {
            assert_eq!(stack["metadata"]["namespace"], plan.namespace.as_str());
            assert_eq!(stack["metadata"]["labels"]["e2e.clusterstack.x-k8s.io/run"], plan.run.as_str());
        }
    }
}
