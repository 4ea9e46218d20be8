//! Clusters through Cluster API: the verbs that act on a management cluster, and the proof that nothing is left.
//!
//! The callers write their intent down before they call a verb, and keep the time; nothing here prints or retries
//! beyond a single call.

use super::clouds::CloudEntry;
use super::operator::{self, Releases, addon_kind, addon_name};
use super::{Leftover, manifest};
use crate::cluster::{Api, ApiError, Kind, Listing, ObjectExt, Observer, Why, condition, wait};
use crate::event::{Cleanliness, Failure, FailureClass};
use crate::plan::{Plan, PlannedRun};
use crate::types::{Namespace, ObjectRef, Owner, RunId, Target, label, show_duration};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A namespace without Clusters goes within seconds.
const GOING: Duration = Duration::from_secs(120);

/// A namespace that every Kubernetes cluster has: a list of namespaces without it is not to be believed.
const NAMESPACE_SENTINEL: &str = "kube-system";

/// A plan at work on a management cluster.
pub struct Capi {
    api: Api,
    plan: Arc<Plan>,
    observer: Observer,
    kinds: Vec<Kind>,
    cloud: Option<CloudEntry>,
    releases: Option<Releases>,
}

impl Capi {
    /// Starts observing the plan's namespace, which need not exist yet.
    #[must_use]
    pub fn start(api: Api, plan: Arc<Plan>) -> Self {
        let mut kinds = Kind::core();
        kinds.extend(Kind::from_templates(&plan.shared));
        let releases = Releases::start(&api, &plan);
        if releases.is_some() {
            kinds.push(addon_kind());
        }
        let clusters: Vec<_> = plan.runs.iter().map(|run| run.cluster.clone()).collect();
        let observer = Observer::start(&api, &plan.namespace, &kinds, &clusters);
        Self { api, plan, observer, kinds, cloud: None, releases }
    }

    /// With the credential that the plan's clusters need.
    #[must_use]
    pub fn with_cloud(self, cloud: Option<CloudEntry>) -> Self {
        Self { cloud, ..self }
    }

    /// The management cluster.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// ClusterStacks and releases of the run as they were last seen, where the operator brings them.
    #[must_use]
    pub fn releases(&self) -> Vec<Arc<DynamicObject>> {
        self.releases.as_ref().map(Releases::objects).unwrap_or_default()
    }

    /// What is observed.
    #[must_use]
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Makes the run's namespace, its sentinel, and the ClusterClasses with their templates. Everything may be
    /// there already when a killed run is resumed.
    ///
    /// # Errors
    /// An object is refused, the namespace is somebody else's, or the API server does not answer.
    pub async fn prepare(&self, on_why: impl FnMut(&Why) + Send) -> Result<(), Failure> {
        let wanted = manifest::namespace(&self.plan);
        match self.api.create(&wanted).await {
            Err(error) if error.is_conflict() => {
                if self.adopt_namespace(&wanted).await?.is_deleting() {
                    // A killed run or sweep was about to end: it has to go before it can come again.
                    let (kind, name) = (Kind::namespace(), self.plan.namespace.as_str());
                    await_absence(&self.api, &kind, None, name, GOING).await.map_err(|why| {
                        Failure::new(FailureClass::Infrastructure, format!("it is being deleted, but {why}"))
                    })?;
                    self.api.create(&wanted).await.map_err(|error| error.failure())?;
                }
            }
            other => other.map(|_| ()).map_err(|error| error.failure())?,
        }
        self.api.apply(&manifest::sentinel(&self.plan), false).await.map_err(|e| e.failure())?;
        if let (Some(access), None) = (manifest::access(&self.plan), &self.cloud) {
            let summary = format!("the credential of the cloud `{}` was not given", access.cloud);
            return Err(Failure::new(FailureClass::Harness, summary));
        }
        for object in &manifest::credentials(&self.plan, self.cloud.as_ref()) {
            self.api.apply(object, false).await.map_err(|error| error.failure())?;
        }
        if let Some(releases) = &self.releases {
            return releases.prepare(on_why).await;
        }
        // The ClusterClass last: its webhook looks for the templates that it refers to.
        let mut objects = manifest::shared(&self.plan);
        objects.sort_by_key(|object| object.get("kind").and_then(Value::as_str) == Some("ClusterClass"));
        for object in &objects {
            self.api.apply(object, false).await.map_err(|error| {
                error.failure().hint("`stack-e2e plan --format json` prints the objects that are applied")
            })?;
        }
        Ok(())
    }

    /// A namespace of that name exists: ours, when a reply was lost or the run is resumed. From now on it says who
    /// carries the run out, or a sweep would take it for that of a dead process.
    async fn adopt_namespace(&self, wanted: &Value) -> Result<DynamicObject, Failure> {
        let name = self.plan.namespace.as_str();
        let found = self.api.get(&Kind::namespace(), None, name).await.map_err(|e| e.failure())?;
        let found = found
            .filter(|n| n.labels().get(label::RUN).map(String::as_str) == Some(self.plan.run.as_str()))
            .ok_or_else(|| {
                let summary = format!("namespace `{name}` exists and does not belong to this run");
                Failure::new(FailureClass::Infrastructure, summary)
            })?;
        let patch = json!({"metadata": {
            "uid": found.metadata.uid,
            "annotations": wanted.pointer("/metadata/annotations"),
        }});
        self.api.merge(&Kind::namespace(), None, name, &patch).await.map_err(|error| error.failure())
    }

    /// Creates or changes the cluster: applies its manifest for `target`.
    ///
    /// # Errors
    /// The manifest is refused or the API server does not answer.
    pub async fn apply(&self, run: &PlannedRun, target: &Target) -> Result<DynamicObject, ApiError> {
        self.api.apply(&manifest::cluster(&self.plan, run, target), false).await
    }

    /// Waits until the cluster has reached `target` and rests.
    ///
    /// # Errors
    /// It cannot get there, or not in time.
    pub async fn await_target(
        &self,
        run: &PlannedRun,
        target: &Target,
        limit: Duration,
        on_why: impl FnMut(&Why),
    ) -> Result<(), Failure> {
        let mut views = self.observer.views(&run.cluster).ok_or_else(|| unobserved(run))?;
        let waited = wait(&mut views, limit, on_why, |view| condition::settled(view, target)).await;
        waited.map_err(|error| {
            let failure =
                error.failure(&format!("cluster `{}` did not become {}", run.cluster, describe(target)));
            // A stack is not to blame for a controller that does not run.
            if failure.class == FailureClass::TimedOut && condition::unattended(&views.borrow()).is_some() {
                let failure = Failure { class: FailureClass::Infrastructure, ..failure };
                return failure.hint("see whether the provider's controllers run in the management cluster");
            }
            failure
        })
    }

    /// Asks for the deletion of the cluster; `false` when there is none.
    ///
    /// # Errors
    /// The delete is refused or the API server does not answer.
    pub async fn delete(&self, run: &PlannedRun) -> Result<bool, Failure> {
        let namespace = Some(self.plan.namespace.as_str());
        let deleted = self.api.delete(&Kind::cluster(), namespace, run.cluster.as_str(), None).await;
        deleted.map_err(|error| Failure { class: FailureClass::TearDown, ..error.failure() })
    }

    /// Waits until nothing of the cluster is left among the observed kinds.
    ///
    /// # Errors
    /// Something is left when the time is over; the failure names it and what it waits for.
    pub async fn await_gone(
        &self,
        run: &PlannedRun,
        limit: Duration,
        on_why: impl FnMut(&Why),
    ) -> Result<(), Failure> {
        let mut views = self.observer.views(&run.cluster).ok_or_else(|| unobserved(run))?;
        wait(&mut views, limit, on_why, condition::gone).await.map_err(|error| {
            let failure = error.failure(&format!("cluster `{}` is not gone", run.cluster));
            Failure { class: FailureClass::TearDown, ..failure }
        })
    }

    /// Lists everything that could be left of a cluster, afresh from etcd. The sentinel must be in sight, and no
    /// list may be older than it.
    pub async fn left(&self, run: &PlannedRun) -> Cleanliness {
        match self.list_left(run).await {
            Ok(objects) if objects.is_empty() => Cleanliness::Clean,
            Ok(objects) => Cleanliness::Left { objects },
            Err(why) => Cleanliness::Unknown { why },
        }
    }

    async fn list_left(&self, run: &PlannedRun) -> Result<Vec<ObjectRef>, String> {
        let namespace = Some(self.plan.namespace.as_str());
        let ours = manifest::run_selector(&self.plan.run);
        let sentinel =
            self.api.list(&Kind::config_map(), namespace, &ours).await.map_err(|e| e.to_string())?;
        if !sentinel.objects.iter().any(|object| object.name_any() == manifest::SENTINEL) {
            return Err(format!(
                "the list of ConfigMaps of namespace `{}` lacks the sentinel `{}`, so no list can be believed",
                self.plan.namespace,
                manifest::SENTINEL
            ));
        }
        let not_before = age(&sentinel, "ConfigMap")?;
        let selector = manifest::cluster_selector(run);
        let mut left = Vec::new();
        for kind in self.kinds.iter().chain([&Kind::secret()]) {
            let listing = self.api.list(kind, namespace, &selector).await.map_err(|e| e.to_string())?;
            if age(&listing, kind.name())? < not_before {
                return Err(format!("the list of {} is older than the sentinel's", kind.name()));
            }
            let mut objects: Vec<_> = listing.objects.iter().map(|object| named(object, kind)).collect();
            objects.sort();
            left.extend(objects);
        }
        // The Cluster itself carries the label only once its controller has seen it.
        let cluster = self.api.get(&Kind::cluster(), namespace, run.cluster.as_str()).await;
        if let Some(cluster) = cluster.map_err(|e| e.to_string())? {
            let reference = named(&cluster, &Kind::cluster());
            if !left.contains(&reference) {
                left.push(reference);
            }
        }
        if self.releases.is_some() {
            let (kind, name) = (addon_kind(), addon_name(&run.cluster));
            let addon = self.api.get(&kind, namespace, &name).await.map_err(|e| e.to_string())?;
            left.extend(addon.map(|addon| named(&addon, &kind)));
        }
        Ok(left)
    }

    /// Deletes the run's namespace with all that is shared, and proves that nothing of the run is left anywhere.
    pub async fn finish(&self, limit: Duration) -> Cleanliness {
        if let Some(releases) = &self.releases {
            // In its own order: the operator takes its finalizers off only while it can.
            let clean = releases.finish(limit).await;
            if clean != Cleanliness::Clean {
                return clean;
            }
        }
        remove_namespace(&self.api, &self.plan.run, &self.plan.namespace, limit).await
    }
}

/// The age of a list, as a number that grows. The API promises no more than an opaque text, but every list of etcd's
/// has a number there; one that has none proves nothing.
fn age(listing: &Listing, kind: &str) -> Result<u64, String> {
    let version = &listing.resource_version;
    version
        .parse()
        .map_err(|_| format!("the list of {kind} has the resource version `{version}`, which tells no age"))
}

fn unobserved(run: &PlannedRun) -> Failure {
    Failure::new(FailureClass::Harness, format!("cluster `{}` is not observed", run.cluster))
}

fn describe(target: &Target) -> String {
    format!(
        "available with {} control plane and {} worker Machines on {}",
        target.control_planes, target.workers, target.release.kubernetes
    )
}

/// List items may come without their kind.
pub(super) fn named(object: &DynamicObject, kind: &Kind) -> ObjectRef {
    ObjectRef { kind: kind.name().into(), ..object.reference() }
}

/// Deletes the namespace of a run and waits until it is gone; then lists all namespaces, with a sentinel.
pub(super) async fn remove_namespace(
    api: &Api,
    run: &RunId,
    namespace: &Namespace,
    limit: Duration,
) -> Cleanliness {
    let unknown = |error: ApiError| Cleanliness::Unknown { why: error.to_string() };
    if let Err(error) = api.delete(&Kind::namespace(), None, namespace.as_str(), None).await {
        // Only a 409 ("already being deleted") may be waited out.
        if !error.is_conflict() {
            return unknown(error);
        }
    }
    let waited = await_absence(api, &Kind::namespace(), None, namespace.as_str(), limit).await;
    if let Err(why) = waited {
        tracing::debug!(why, "namespace is not gone");
    }
    match api.list(&Kind::namespace(), None, "").await {
        Err(error) => unknown(error),
        Ok(all) if !all.objects.iter().any(|n| n.name_any() == NAMESPACE_SENTINEL) => Cleanliness::Unknown {
            why: format!("the list of namespaces lacks `{NAMESPACE_SENTINEL}`, so it cannot be believed"),
        },
        Ok(all) => {
            let ours =
                |n: &&DynamicObject| n.labels().get(label::RUN).map(String::as_str) == Some(run.as_str());
            let left: Vec<_> =
                all.objects.iter().filter(ours).map(|n| named(n, &Kind::namespace())).collect();
            if left.is_empty() { Cleanliness::Clean } else { Cleanliness::Left { objects: left } }
        }
    }
}

/// Watches one object until it is not there.
pub(super) async fn await_absence(
    api: &Api,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
    limit: Duration,
) -> Result<(), String> {
    let objects: kube::Api<DynamicObject> = match namespace {
        Some(namespace) => kube::Api::namespaced_with(api.client(), namespace, kind.resource()),
        None => kube::Api::all_with(api.client(), kind.resource()),
    };
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let watching = async {
        let stream = watcher(objects, config).default_backoff();
        futures::pin_mut!(stream);
        let mut seen = false;
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Init) => seen = false,
                Ok(watcher::Event::InitApply(_)) => seen = true,
                Ok(watcher::Event::InitDone) if !seen => return,
                Ok(watcher::Event::Delete(_)) => return,
                Ok(watcher::Event::InitDone | watcher::Event::Apply(_)) => {}
                Err(error) => tracing::debug!(%error, "watch is broken"),
            }
        }
    };
    let ended = tokio::time::timeout(limit, watching).await;
    ended.map_err(|_| format!("{}/{name} still exists after {}", kind.name(), show_duration(limit)))
}

/// A run that left something in a management cluster.
#[derive(Debug, Clone)]
pub struct LeftRun {
    /// The run.
    pub run: RunId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Who carries it out, where the namespace says so.
    pub owner: Option<Owner>,
    /// What is left.
    pub objects: Vec<Leftover>,
}

/// Finds what runs have left, by labels alone: no journal and no plan is needed.
///
/// # Errors
/// The lists cannot be had, or cannot be believed.
pub async fn find_left(api: &Api) -> Result<Vec<LeftRun>, Failure> {
    let all = api.list(&Kind::namespace(), None, "").await.map_err(|e| e.failure())?;
    if !all.objects.iter().any(|n| n.name_any() == NAMESPACE_SENTINEL) {
        let summary =
            format!("the list of namespaces lacks `{NAMESPACE_SENTINEL}`, so it cannot be believed");
        return Err(Failure::new(FailureClass::Infrastructure, summary));
    }
    let mut found = Vec::new();
    for namespace in &all.objects {
        // Three marks must agree before anything is taken for ours; a prefix alone never decides.
        let labels = namespace.labels();
        let Some(run) = labels.get(label::RUN).and_then(|run| run.parse::<RunId>().ok()) else { continue };
        let managed = labels.get(label::MANAGED_BY).map(String::as_str) == Some(label::MANAGED_BY_VALUE);
        let Some(name) = manifest::namespace_name(&run).filter(|n| n.as_str() == namespace.name_any()) else {
            continue;
        };
        if !managed {
            continue;
        }
        let expires = |object: &DynamicObject| {
            let seconds = object.annotations().get(label::EXPIRES_AT)?.parse().ok()?;
            jiff::Timestamp::from_second(seconds).ok()
        };
        let leftover = |object: &DynamicObject, kind: &Kind| Leftover {
            run: run.clone(),
            object: named(object, kind),
            expires: expires(object).or_else(|| expires(namespace)),
        };
        let clusters = api.list(&Kind::cluster(), Some(name.as_str()), "").await.map_err(|e| e.failure())?;
        let mut objects: Vec<_> = clusters.objects.iter().map(|c| leftover(c, &Kind::cluster())).collect();
        objects.sort();
        let releases = operator::left(api, &name).await.map_err(|error| error.failure())?;
        objects.extend(releases.iter().map(|stack| leftover(stack, &operator::stack_kind())));
        objects.push(leftover(namespace, &Kind::namespace()));
        let owner = owner_of(namespace);
        found.push(LeftRun { run: run.clone(), namespace: name, owner, objects });
    }
    found.sort_by(|a, b| a.run.cmp(&b.run));
    Ok(found)
}

fn owner_of(namespace: &DynamicObject) -> Option<Owner> {
    namespace.annotations().get(label::OWNER).and_then(|owner| owner.parse().ok())
}

/// Removes what one run left: its Clusters first, and only when they are gone the operator's releases and then the
/// namespace, because the objects of a Cluster cannot be torn down without their ClusterClass and credentials.
pub async fn sweep(api: &Api, left: &LeftRun, limit: Duration) -> Cleanliness {
    let namespace = Some(left.namespace.as_str());
    let deadline = tokio::time::Instant::now() + limit;
    let clusters: Vec<_> = left.objects.iter().filter(|l| l.object.kind == "Cluster").collect();
    for cluster in &clusters {
        if let Err(error) = api.delete(&Kind::cluster(), namespace, &cluster.object.name, None).await {
            return Cleanliness::Unknown { why: error.to_string() };
        }
    }
    let mut remaining = Vec::new();
    for cluster in &clusters {
        let rest = deadline.saturating_duration_since(tokio::time::Instant::now());
        if await_absence(api, &Kind::cluster(), namespace, &cluster.object.name, rest).await.is_err() {
            remaining.push(cluster.object.clone());
        }
    }
    if !remaining.is_empty() {
        return Cleanliness::Left { objects: remaining };
    }
    let rest = deadline.saturating_duration_since(tokio::time::Instant::now());
    match operator::remove(api, &left.namespace, rest).await {
        Ok(objects) if objects.is_empty() => {}
        Ok(objects) => return Cleanliness::Left { objects },
        Err(error) => return Cleanliness::Unknown { why: error.to_string() },
    }
    // A process may have resumed the run meanwhile; then the namespace is not that of a dead one any more.
    match api.get(&Kind::namespace(), None, left.namespace.as_str()).await {
        Err(error) => return Cleanliness::Unknown { why: error.to_string() },
        Ok(Some(found)) if owner_of(&found) != left.owner => {
            return Cleanliness::Unknown { why: "another process has taken the run over".into() };
        }
        Ok(Some(_) | None) => {}
    }
    let rest = deadline.saturating_duration_since(tokio::time::Instant::now());
    remove_namespace(api, &left.run, &left.namespace, rest.max(Duration::from_secs(30))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ClusterName, CombinationId, ProviderKind, Release};
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use std::convert::Infallible;

    const DAY: Duration = Duration::from_secs(86_400);

    fn plan() -> Plan {
        let run = RunId::from_uuid_v7([1; 16]);
        let release = Release {
            class: "embedded-scs-1-34-v1".into(),
            kubernetes: "v1.34.7".parse().unwrap(),
            worker_class: "default-worker".into(),
        };
        let planned = PlannedRun {
            id: CombinationId::new("test", &vec![]),
            name: "test".into(),
            scenario: "test".into(),
            stack: "embedded-scs".into(),
            cluster: ClusterName::new("c1").unwrap(),
            release,
            next_release: None,
            control_planes: 1,
            workers: 1,
            variables: [].into(),
            steps: vec![],
            timeouts: crate::scenario::Timeouts::default(),
            switches: [].into(),
            expected: [].into(),
            refusal: None,
            credentials: None,
            failure_domain: None,
            digest: String::new(),
        };
        Plan {
            namespace: manifest::namespace_name(&run).unwrap(),
            run,
            made: jiff::Timestamp::UNIX_EPOCH,
            expires: jiff::Timestamp::UNIX_EPOCH + DAY,
            owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
            provider: ProviderKind::Embedded,
            shared: vec![],
            addons: Default::default(),
            operator: vec![],
            runs: vec![planned],
            left_out: vec![],
            concurrency: 1,
            shard: None,
            keep_on_failure: false,
            coverage: vec![],
            timetable: None,
            tables: Default::default(),
            after: Default::default(),
            places: [].into(),
        }
    }

    /// What an API server has: an answer for the last part of a path.
    type Answers = fn(&str) -> (u16, Value);

    fn list(names: &[&str], version: &str) -> (u16, Value) {
        let item = |name: &&str| json!({"metadata": {"name": name}});
        let items: Vec<Value> = names.iter().map(item).collect();
        (200, json!({"metadata": {"resourceVersion": version}, "items": items}))
    }

    fn absent() -> (u16, Value) {
        (
            404,
            json!({"kind": "Status", "status": "Failure", "message": "not found", "reason": "NotFound", "code": 404}),
        )
    }

    async fn left(answers: Answers) -> Cleanliness {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let (code, body) = answers(request.uri().path().rsplit('/').next().unwrap_or_default());
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        });
        let capi = Capi::start(Api::through(kube::Client::new(service, "default")), Arc::new(plan()));
        let run = capi.plan.runs[0].clone();
        capi.left(&run).await
    }

    fn why(clean: Cleanliness) -> String {
        match clean {
            Cleanliness::Unknown { why } => why,
            other => panic!("expected `unknown`, got {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_list_that_can_be_believed_is_clean() {
        assert_eq!(
            left(|path| match path {
                "configmaps" => list(&[manifest::SENTINEL], "100"),
                "c1" => absent(),
                _ => list(&[], "101"),
            })
            .await,
            Cleanliness::Clean
        );
        let lacks = left(|path| if path == "c1" { absent() } else { list(&[], "101") }).await;
        assert!(why(lacks).contains("lacks the sentinel"));
        let old = left(|path| match path {
            "configmaps" => list(&[manifest::SENTINEL], "100"),
            "c1" => absent(),
            "machines" => list(&[], "99"),
            _ => list(&[], "101"),
        });
        assert!(why(old.await).contains("Machine is older than the sentinel's"));
        let ageless = left(|path| match path {
            "configmaps" => list(&[manifest::SENTINEL], "100"),
            "c1" => absent(),
            _ => list(&[], "x"),
        });
        assert!(why(ageless.await).contains("tells no age"));
        let refused = left(|path| match path {
            "configmaps" => list(&[manifest::SENTINEL], "100"),
            "secrets" => {
                (403, json!({"kind": "Status", "status": "Failure", "message": "forbidden", "code": 403}))
            }
            "c1" => absent(),
            _ => list(&[], "101"),
        });
        assert!(why(refused.await).contains("forbidden"));
        let left_behind = left(|path| match path {
            "configmaps" => list(&[manifest::SENTINEL], "100"),
            "machines" => list(&["c1-0"], "101"),
            "c1" => absent(),
            _ => list(&[], "101"),
        });
        let Cleanliness::Left { objects } = left_behind.await else { panic!("a Machine is left") };
        assert_eq!(objects[0].name, "c1-0");
        // The Cluster itself is asked for by name: it carries the label only after its controller has seen it.
        let unlabelled = left(|path| match path {
            "configmaps" => list(&[manifest::SENTINEL], "100"),
            "c1" => (
                200,
                json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                "metadata": {"name": "c1", "namespace": "n"}}),
            ),
            _ => list(&[], "101"),
        });
        assert!(matches!(unlabelled.await, Cleanliness::Left { .. }));
    }
}
