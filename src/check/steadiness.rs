//! Controllers come to rest, and applying the same thing twice changes nothing.

use super::{CheckContext, Checked, failed};
use crate::cluster::{ClusterView, ObjectExt};
use crate::event::{Failure, FailureClass};
use crate::types::{ObjectRef, show_duration};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// For that long no object may change. Cluster API probes a workload cluster every 10 s and looks at health
/// checks more often, so a loop shows within it.
const REST: Duration = Duration::from_secs(12);
/// What follows a change (status copied from object to object) is over by then.
const REST_LIMIT: Duration = Duration::from_secs(90);

pub(super) async fn quiescence(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let start = Instant::now();
    let mut writes: BTreeMap<ObjectRef, u32> = BTreeMap::new();
    let mut before = cx.views.borrow_and_update().clone();
    loop {
        // What cannot be seen may change.
        let seen = before.trouble.is_none() && before.synced;
        let rested = if seen { before.changed + REST } else { start + REST_LIMIT };
        if seen && Instant::now() >= rested {
            return Ok(Checked::Passed(format!("no object changed for {}", show_duration(REST))));
        }
        tokio::select! {
            changed = cx.views.changed() => {
                if changed.is_err() {
                    return Err(Failure::new(FailureClass::Infrastructure, "the observer has ended"));
                }
                let now = cx.views.borrow_and_update().clone();
                for object in changed_objects(&before, &now) {
                    *writes.entry(object).or_default() += 1;
                }
                before = now;
            }
            () = tokio::time::sleep_until(rested.min(start + REST_LIMIT)) => {}
        }
        if start.elapsed() >= REST_LIMIT {
            return Ok(restless(&before, &writes));
        }
    }
}

fn restless(last: &ClusterView, writes: &BTreeMap<ObjectRef, u32>) -> Checked {
    if let Some((_, why)) = &last.trouble {
        return Checked::Failed(Failure::new(FailureClass::Infrastructure, why.clone()));
    }
    let mut by_count: Vec<_> = writes.iter().collect();
    by_count.sort_by_key(|(object, count)| (std::cmp::Reverse(**count), (*object).clone()));
    let worst: Vec<String> =
        by_count.iter().take(3).map(|(o, count)| format!("{}/{} {count} times", o.kind, o.name)).collect();
    let summary = format!("objects keep changing: within {} {}", show_duration(REST_LIMIT), worst.join(", "));
    let object = by_count.first().map(|(object, _)| (*object).clone());
    Checked::Failed(Failure::new(FailureClass::CheckFailed, summary).about(object))
}

fn changed_objects(before: &ClusterView, now: &ClusterView) -> Vec<ObjectRef> {
    let versions = |view: &ClusterView| -> BTreeMap<ObjectRef, String> {
        view.objects.iter().map(|o| (o.reference(), o.resource_version().unwrap_or_default())).collect()
    };
    let (before, now) = (versions(before), versions(now));
    let changed = now.iter().filter(|(object, version)| before.get(*object) != Some(version));
    let gone = before.keys().filter(|object| !now.contains_key(*object));
    changed.map(|(object, _)| object.clone()).chain(gone.cloned()).collect()
}

/// How often a second apply is tried anew because somebody wrote to the Cluster meanwhile.
const TRIES: u32 = 20;

/// The Cluster as it is and as a second apply would make it. A dry run answers with the resource version that it
/// was made upon; only when that is the one that was read can no other writer be the cause of a difference.
async fn applied_twice(cx: &CheckContext<'_>) -> Result<Result<[DynamicObject; 2], Checked>, Failure> {
    let namespace = Some(cx.namespace.as_str());
    let kind = crate::cluster::Kind::cluster();
    for _ in 0..TRIES {
        let before =
            cx.api.get(&kind, namespace, cx.cluster.as_str()).await.map_err(|error| error.failure())?;
        let Some(before) = before else { return Ok(Err(failed("the Cluster does not exist"))) };
        let after = cx.api.apply(cx.manifest, true).await.map_err(|error| error.failure())?;
        if before.resource_version() == after.resource_version() {
            return Ok(Ok([before, after]));
        }
    }
    let words = format!("somebody wrote to the Cluster between a read and a dry run, {TRIES} times in a row");
    Ok(Err(failed(words)))
}

pub(super) async fn no_drift(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    // A dry run: if the second apply would change something, the check must not make the change.
    let [before, after] = match applied_twice(cx).await? {
        Ok(both) => both,
        Err(verdict) => return Ok(verdict),
    };
    let marks =
        |object: &DynamicObject| json!({"labels": object.labels(), "annotations": object.annotations()});
    let difference = first_difference("spec", &before.data["spec"], &after.data["spec"])
        .or_else(|| first_difference("metadata", &marks(&before), &marks(&after)));
    Ok(match difference {
        Some(path) => {
            failed(format!("applying the same manifest again would change {path}")).about(before.reference())
        }
        None if before.metadata.generation != after.metadata.generation => {
            failed("applying the same manifest again would make a new generation").about(before.reference())
        }
        // Nothing is drifting, but is the topology what the objects have?
        None => match cx.views.borrow().root().and_then(|root| root.condition("TopologyReconciled")) {
            Some(cond) if cond.status == "True" => Checked::Passed("a second apply changes nothing".into()),
            Some(cond) => failed(crate::cluster::condition::say(&cond)).about(before.reference()),
            None => failed("the Cluster has no condition TopologyReconciled").about(before.reference()),
        },
    })
}

/// The path of the first value that differs, e.g. `.topology.version`.
fn first_difference(path: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    use serde_json::Value::{Array, Object};
    match (a, b) {
        (Object(x), Object(y)) => {
            let keys: std::collections::BTreeSet<_> = x.keys().chain(y.keys()).collect();
            keys.into_iter().find_map(|key| {
                let path = format!("{path}.{key}");
                match (x.get(key), y.get(key)) {
                    (Some(a), Some(b)) => first_difference(&path, a, b),
                    _ => Some(path),
                }
            })
        }
        (Array(x), Array(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .enumerate()
            .find_map(|(i, (a, b))| first_difference(&format!("{path}[{i}]"), a, b)),
        _ => (a != b).then(|| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Api;
    use crate::types::{ClusterName, Namespace};
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;
    use std::convert::Infallible;
    use std::sync::Arc;

    fn view(versions: &[(&str, &str)]) -> ClusterView {
        let object = |(name, version): &(&str, &str)| {
            Arc::new(
                serde_json::from_value(json!({"apiVersion": "v1", "kind": "Machine",
                    "metadata": {"name": name, "resourceVersion": version}}))
                .unwrap(),
            )
        };
        ClusterView {
            objects: versions.iter().map(object).collect(),
            synced: true,
            ..ClusterView::empty(ClusterName::new("c1").unwrap())
        }
    }

    #[test]
    fn changes_are_counted_by_object() {
        let names = |a: &[(&str, &str)], b: &[(&str, &str)]| -> Vec<String> {
            changed_objects(&view(a), &view(b)).into_iter().map(|object| object.name).collect()
        };
        assert_eq!(names(&[("a", "1"), ("b", "1")], &[("a", "1"), ("b", "2")]), ["b"]);
        assert_eq!(names(&[("a", "1")], &[("a", "1"), ("new", "1")]), ["new"]);
        assert_eq!(names(&[("a", "1"), ("gone", "1")], &[("a", "1")]), ["gone"]);
    }

    #[test]
    fn a_hot_loop_names_the_object_that_changes_most() {
        let object =
            |name: &str| ObjectRef { kind: "Machine".into(), namespace: String::new(), name: name.into() };
        let writes = [(object("calm"), 1), (object("hot"), 40)].into();
        let Checked::Failed(failure) = restless(&view(&[]), &writes) else { panic!("must fail") };
        assert_eq!(
            failure.summary,
            "objects keep changing: within 1m30s Machine/hot 40 times, Machine/calm 1 times"
        );
        assert_eq!(failure.object, Some(object("hot")));
    }

    #[test]
    fn drift_is_named_by_its_path() {
        let a = json!({"topology": {"version": "v1", "list": [1, {"x": 1}]}});
        let diff = |b| first_difference("", &a, &b);
        assert_eq!(diff(a.clone()), None);
        assert_eq!(
            diff(json!({"topology": {"version": "v2", "list": [1, {"x": 1}]}})).unwrap(),
            ".topology.version"
        );
        assert_eq!(
            diff(json!({"topology": {"version": "v1", "list": [1, {"x": 2}]}})).unwrap(),
            ".topology.list[1].x"
        );
        assert_eq!(diff(json!({"topology": {"list": [1, {"x": 1}]}})).unwrap(), ".topology.version");
    }

    /// A Cluster as an API server has it.
    fn stored(version: u32, generation: i64, annotation: &str) -> Value {
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
            "metadata": {"name": "c1", "namespace": "n", "resourceVersion": version.to_string(),
                "generation": generation, "annotations": {"step": annotation}},
            "spec": {}})
    }

    /// What the check says when an API server answers the reads, and the dry runs that follow each of them, like
    /// this; the last pair is answered for ever.
    async fn drifts(answers: Vec<[Value; 2]>) -> Checked {
        let answers = Arc::new(std::sync::Mutex::new((answers, false)));
        let service = tower::service_fn(move |request: Request<Body>| {
            let dry = request.method() == http::Method::PATCH;
            assert_eq!(dry, request.uri().query().is_some_and(|query| query.contains("dryRun=All")));
            let mut answers = answers.lock().unwrap();
            let body = answers.0[0][usize::from(dry)].clone();
            if dry && answers.0.len() > 1 {
                answers.0.remove(0);
            }
            async move { Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&body).unwrap()))) }
        });
        let (_sender, views) = tokio::sync::watch::channel(Arc::new(crate::cluster::captured::view(|_| {})));
        let (namespace, cluster) = (Namespace::new("n").unwrap(), ClusterName::new("c1").unwrap());
        let mut cx = CheckContext {
            api: &Api::through(kube::Client::new(service, "default")),
            namespace: &namespace,
            cluster: &cluster,
            target: &crate::cluster::captured::target(),
            views,
            manifest: &stored(0, 0, ""),
            first: None,
            runs_pods: false,
            addons: None,
        };
        no_drift(&mut cx).await.unwrap()
    }

    fn summary(checked: Checked) -> String {
        let Checked::Failed(failure) = checked else { panic!("must fail: {checked:?}") };
        failure.summary
    }

    #[tokio::test]
    async fn only_what_the_second_apply_itself_changes_is_drift() {
        let same = [stored(1, 1, "a"), stored(1, 1, "a")];
        assert!(matches!(drifts(vec![same]).await, Checked::Passed(_)));
        let changed = [stored(1, 1, "a"), stored(1, 1, "b")];
        assert!(summary(drifts(vec![changed]).await).ends_with("would change metadata.annotations.step"));
        let generation = [stored(1, 1, "a"), stored(1, 2, "a")];
        assert!(summary(drifts(vec![generation]).await).ends_with("would make a new generation"));
        // A controller writes between the read and the dry run, and then rests.
        let meanwhile = [stored(1, 1, "a"), stored(2, 1, "b")];
        let rested = [stored(2, 1, "b"), stored(2, 1, "b")];
        assert!(matches!(drifts(vec![meanwhile.clone(), rested]).await, Checked::Passed(_)));
        assert!(summary(drifts(vec![meanwhile]).await).contains("20 times in a row"));
    }
}
