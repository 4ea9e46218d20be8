//! A management cluster's view of a plan before anything is made of it: does it take the templates, the ClusterClasses and the
//! Cluster of every combination?
//!
//! A Cluster cannot be judged without its ClusterClass, whose variables Cluster API has to have read. So templates and
//! classes are made for real, in a namespace of their own with the marks of a run; the Clusters are only rehearsed, as
//! dry runs through the same defaulting, validation and webhooks. Then the namespace goes, and that is proven.

use super::capi::remove_namespace;
use super::manifest;
use crate::cluster::{Api, ApiError, Cause, Kind, ObjectExt};
use crate::event::{Cleanliness, Failure, FailureClass};
use crate::plan::{Plan, PlannedRun};
use crate::types::{ObjectRef, Target, show_duration};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Cluster API reads the variables of a class within seconds.
const READING: Duration = Duration::from_secs(60);
/// A namespace without Clusters goes within seconds.
const GOING: Duration = Duration::from_secs(120);

/// Something that the management cluster does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The combinations that fail by it, as their places in the plan.
    pub runs: Vec<usize>,
    /// The object.
    pub object: ObjectRef,
    /// The field, as the API server names it; empty where it names none.
    pub field: String,
    /// The ClusterClass variable that the field belongs to.
    pub variable: Option<String>,
    /// The API server's words.
    pub message: String,
}

/// What became of the rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// What was not taken, in the order of the plan.
    pub refusals: Vec<Refusal>,
    /// How many combinations were taken, of those that are meant to be.
    pub accepted: usize,
    /// Combinations of an invalid value that admission lets pass: only a run can tell.
    pub undecided: Vec<usize>,
    /// Whether all of it is gone again.
    pub clean: Cleanliness,
}

/// Rehearses a plan.
///
/// # Errors
/// The management cluster does not answer, or does not read its ClusterClasses; what was made is removed before, as far as
/// possible, and `sweep` finds the rest.
pub async fn rehearse(api: &Api, plan: &Plan) -> Result<Rehearsal, Failure> {
    api.create(&manifest::namespace(plan)).await.map_err(|error| error.failure())?;
    let done = acts(api, plan).await;
    let clean = remove_namespace(api, &plan.run, &plan.namespace, GOING).await;
    let (refusals, accepted, undecided) = done.map_err(|failure| match &clean {
        Cleanliness::Clean => failure,
        other => {
            let hint =
                format!("something may be left ({other:?}): `stack-e2e sweep --run {} --yes`", plan.run);
            failure.hint(hint)
        }
    })?;
    Ok(Rehearsal { refusals, accepted, undecided, clean })
}

type Acts = (Vec<Refusal>, usize, Vec<usize>);

async fn acts(api: &Api, plan: &Plan) -> Result<Acts, Failure> {
    api.apply(&manifest::sentinel(plan), false).await.map_err(|error| error.failure())?;
    let mut refusals = Vec::new();
    let all: Vec<usize> = (0..plan.runs.len()).collect();
    for object in manifest::credentials(plan, None) {
        if let Err(error) = api.apply(&object, true).await {
            refused(&error, &all, &mut refusals)?;
        }
    }
    let mut objects = manifest::shared(plan);
    objects.sort_by_key(|object| object["kind"] == "ClusterClass");
    let served = Served::ask(api, &objects).await?;
    let mut bad: BTreeSet<(String, String)> = BTreeSet::new();
    for object in &objects {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let users = users(plan, &objects, &kind, &name);
        let applied = match served.lacks(object) {
            Some(message) => {
                let object = ObjectRef { kind: kind.clone(), namespace: String::new(), name: name.clone() };
                refusals.push(Refusal { runs: users, object, field: String::new(), variable: None, message });
                false
            }
            None => match api.apply(object, false).await {
                Ok(_) => true,
                Err(error) => {
                    refused(&error, &users, &mut refusals)?;
                    false
                }
            },
        };
        if !applied {
            bad.insert((kind, name));
        }
    }
    // A class without one of its templates is as good as none.
    let whole = |class: &str| {
        !bad.contains(&("ClusterClass".into(), class.to_owned()))
            && references(&objects, class).iter().all(|template| !bad.contains(template))
    };
    let mut classes: Vec<String> = plan.runs.iter().flat_map(targets).map(|t| t.release.class).collect();
    classes.sort();
    classes.dedup();
    let classes: Vec<String> = classes.into_iter().filter(|class| whole(class)).collect();
    await_classes(api, plan, &classes).await?;
    let (mut accepted, mut undecided) = (0, Vec::new());
    for (index, run) in plan.runs.iter().enumerate() {
        let mut taken = 0;
        let targets: Vec<Target> =
            targets(run).into_iter().filter(|t| classes.contains(&t.release.class)).collect();
        for target in &targets {
            match api.apply(&manifest::cluster(plan, run, target), true).await {
                Ok(_) => taken += 1,
                Err(error) => match (&run.refusal, &error) {
                    (Some(pattern), ApiError::Refused { message, .. })
                        if Regex::new(pattern).is_ok_and(|wanted| wanted.is_match(message)) => {}
                    _ => refused(&error, &[index], &mut refusals)?,
                },
            }
        }
        accepted += usize::from(run.refusal.is_none() && taken > 0 && taken == targets.len());
        if run.refusal.is_some() && taken > 0 {
            undecided.push(index);
        }
    }
    Ok((merged(refusals), accepted, undecided))
}

/// What a cluster is meant to be in turn, one target for each release: the Cluster has the same variables in all.
fn targets(run: &PlannedRun) -> Vec<Target> {
    let mut targets = vec![run.first_target()];
    for step in &run.steps {
        if targets.iter().all(|target| target.release != step.target.release) {
            targets.push(step.target.clone());
        }
    }
    targets
}

/// The combinations that need an object.
fn users(plan: &Plan, objects: &[Value], kind: &str, name: &str) -> Vec<usize> {
    let needs = |class: &str| {
        (kind == "ClusterClass" && class == name)
            || references(objects, class).contains(&(kind.to_owned(), name.to_owned()))
    };
    let runs = plan.runs.iter().enumerate();
    let users = runs.filter(|(_, run)| targets(run).iter().any(|target| needs(&target.release.class)));
    users.map(|(index, _)| index).collect()
}

/// The templates that a ClusterClass refers to, wherever in it: kind and name.
fn references(objects: &[Value], class: &str) -> BTreeSet<(String, String)> {
    fn walk(value: &Value, found: &mut BTreeSet<(String, String)>) {
        match value {
            Value::Object(fields) => {
                if let (Some(kind), Some(name)) =
                    (fields.get("kind").and_then(Value::as_str), fields.get("name").and_then(Value::as_str))
                {
                    found.insert((kind.to_owned(), name.to_owned()));
                }
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    let is_it = |object: &&Value| object["kind"] == "ClusterClass" && object["metadata"]["name"] == class;
    if let Some(class) = objects.iter().find(is_it) {
        walk(&class["spec"], &mut found);
    }
    found
}

/// Takes a refusal apart, one for each field that the API server names. Anything but a refusal is an error.
fn refused(error: &ApiError, runs: &[usize], refusals: &mut Vec<Refusal>) -> Result<(), Failure> {
    let ApiError::Refused { object, code, message, causes, .. } = error else { return Err(error.failure()) };
    if error.failure().class != FailureClass::Refused {
        return Err(error.failure());
    }
    let mut refusal = |field: &str, message: String| {
        refusals.push(Refusal {
            runs: runs.to_vec(),
            object: object.clone(),
            field: field.to_owned(),
            variable: variable(field),
            message,
        });
    };
    // "some validation rules were not checked" comes with every other cause, and names no field.
    let telling: Vec<&Cause> =
        causes.iter().filter(|cause| !matches!(cause.field.as_str(), "" | "<nil>")).collect();
    if telling.is_empty() {
        refusal("", format!("{message} ({code})"));
    }
    for cause in telling {
        refusal(&cause.field, cause.message.clone());
    }
    Ok(())
}

/// `spec.topology.variables[name].value.part` -> the variable's name. Older versions count instead of naming; a
/// number says nothing without the object, so it is left alone.
fn variable(field: &str) -> Option<String> {
    let rest = field.strip_prefix("spec.topology.variables[")?;
    let name = rest.split(']').next()?;
    (!name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.to_owned())
}

/// The same refusal of many combinations is told once, with all of them.
fn merged(refusals: Vec<Refusal>) -> Vec<Refusal> {
    let mut merged: Vec<Refusal> = Vec::new();
    for refusal in refusals {
        // The Clusters of combinations differ in their names alone.
        let same = |other: &&mut Refusal| {
            let named = other.object.kind != "Cluster" && other.object.name != refusal.object.name;
            !named
                && (&other.object.kind, &other.field, &other.message)
                    == (&refusal.object.kind, &refusal.field, &refusal.message)
        };
        match merged.iter_mut().find(same) {
            Some(other) => {
                let new = refusal.runs.into_iter().filter(|run| !other.runs.contains(run));
                let new: Vec<usize> = new.collect();
                other.runs.extend(new);
            }
            None => merged.push(refusal),
        }
    }
    merged
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Which versions of which resources an API server has, of the groups that a plan needs.
struct Served(BTreeMap<(String, String), BTreeSet<String>>);

impl Served {
    async fn ask(api: &Api, objects: &[Value]) -> Result<Self, Failure> {
        let mut served: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let groups: BTreeSet<String> = objects
            .iter()
            .filter_map(|object| Some(text(object, "/apiVersion").split_once('/')?.0.to_owned()))
            .collect();
        for group in groups {
            for (version, kind) in api.served(&group).await.map_err(|error| error.failure())? {
                served.entry((group.clone(), kind)).or_default().insert(version);
            }
        }
        Ok(Self(served))
    }

    /// Why the API server cannot know an object, if so.
    fn lacks(&self, object: &Value) -> Option<String> {
        let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let (group, version) = api_version.split_once('/')?;
        match self.0.get(&(group.to_owned(), kind.clone())) {
            Some(versions) if versions.contains(version) => None,
            Some(versions) => {
                let has = versions.iter().cloned().collect::<Vec<_>>().join(", ");
                Some(format!("the management cluster serves {kind} as {has} of {group}, not as {version}"))
            }
            None => Some(format!(
                "the management cluster has no {kind} of {group}: its definition is not installed"
            )),
        }
    }
}

/// Waits until Cluster API has read the variables of every class as it is now.
async fn await_classes(api: &Api, plan: &Plan, classes: &[String]) -> Result<(), Failure> {
    let objects: kube::Api<DynamicObject> =
        kube::Api::namespaced_with(api.client(), plan.namespace.as_str(), Kind::cluster_class().resource());
    let mut waiting: BTreeMap<String, String> =
        classes.iter().map(|class| (class.clone(), "has not been seen by Cluster API".to_owned())).collect();
    let watching = async {
        let stream = watcher(objects, watcher::Config::default()).default_backoff();
        futures::pin_mut!(stream);
        while !waiting.is_empty() {
            match stream.next().await {
                Some(Ok(watcher::Event::InitApply(class) | watcher::Event::Apply(class))) => {
                    match unread(&class) {
                        None => {
                            waiting.remove(&class.name_any());
                        }
                        Some(why) => {
                            waiting.entry(class.name_any()).and_modify(|known| *known = why);
                        }
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::debug!(%error, "watch is broken"),
                None => return,
            }
        }
    };
    let ended = tokio::time::timeout(READING, watching).await;
    match waiting.into_iter().next() {
        None => Ok(()),
        Some((class, why)) => {
            debug_assert!(ended.is_err());
            let object = ObjectRef {
                kind: "ClusterClass".into(),
                namespace: plan.namespace.to_string(),
                name: class.clone(),
            };
            let summary = format!("ClusterClass `{class}` {why} within {}", show_duration(READING));
            Err(Failure::new(FailureClass::Infrastructure, summary).about(Some(object)))
        }
    }
}

/// Why a class cannot be built on yet.
fn unread(class: &DynamicObject) -> Option<String> {
    let observed = class.number("/status/observedGeneration").unwrap_or(0);
    if observed < class.metadata.generation.unwrap_or(0) {
        return Some("has not been read by Cluster API".into());
    }
    match class.condition("VariablesReady") {
        None => Some("has no condition VariablesReady".into()),
        Some(cond) if cond.status == "True" => None,
        Some(cond) => Some(format!("is not ready: {}", crate::cluster::condition::say(&cond))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(code: u16, causes: &[(&str, &str)]) -> ApiError {
        let cause =
            |(field, message): &(&str, &str)| Cause { field: (*field).into(), message: (*message).into() };
        let object = ObjectRef { kind: "Cluster".into(), namespace: "n".into(), name: "c1".into() };
        let causes = causes.iter().map(cause).collect();
        ApiError::Refused { verb: "apply", object, code, message: "denied".into(), causes }
    }

    #[test]
    fn a_refusal_is_told_field_by_field_with_its_variable() {
        let mut refusals = Vec::new();
        let causes = [
            ("spec.topology.variables[flavor].value.size", "must be an integer"),
            ("spec.topology.variables[3].value", "too long"),
            ("spec.topology.version", "too old"),
            ("<nil>", "some validation rules were not checked"),
        ];
        refused(&error(422, &causes), &[0], &mut refusals).unwrap();
        let told: Vec<_> = refusals.iter().map(|r| (r.field.as_str(), r.variable.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("spec.topology.variables[flavor].value.size", Some("flavor")),
                ("spec.topology.variables[3].value", None),
                ("spec.topology.version", None),
            ]
        );
        let mut whole = Vec::new();
        refused(&error(403, &[]), &[0], &mut whole).unwrap();
        assert_eq!((whole[0].field.as_str(), whole[0].message.as_str()), ("", "denied (403)"));
        assert!(refused(&error(500, &[]), &[0], &mut whole).is_err(), "a broken server has refused nothing");
    }

    #[test]
    fn what_many_combinations_share_is_told_once() {
        let mut refusals = Vec::new();
        for run in 0..3 {
            refused(&error(422, &[("spec.x", "no")]), &[run], &mut refusals).unwrap();
        }
        refused(&error(422, &[("spec.y", "no")]), &[1], &mut refusals).unwrap();
        let merged = merged(refusals);
        assert_eq!(merged.iter().map(|r| r.runs.clone()).collect::<Vec<_>>(), [vec![0, 1, 2], vec![1]]);
    }

    #[test]
    fn a_class_without_its_template_is_found() {
        let class = json!({"kind": "ClusterClass", "metadata": {"name": "c"}, "spec": {
            "infrastructure": {"templateRef": {"kind": "XClusterTemplate", "name": "c-cluster"}},
            "workers": {"machineDeployments": [{"infrastructure": {"ref": {"kind": "XMachineTemplate", "name": "c-w"}}}]},
        }});
        let found = references(&[class], "c");
        let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["c-cluster", "c-w"]);
    }

    #[test]
    fn a_version_that_is_not_served_is_told_from_a_kind_that_is_not_there() {
        let served = Served([(("g.io".to_owned(), "A".to_owned()), ["v2".to_owned()].into())].into());
        let why = |version: &str, kind: &str| {
            served.lacks(&json!({"apiVersion": format!("g.io/{version}"), "kind": kind}))
        };
        assert_eq!(why("v2", "A"), None);
        assert_eq!(why("v1", "A").unwrap(), "the management cluster serves A as v2 of g.io, not as v1");
        let words = "the management cluster has no B of g.io: its definition is not installed";
        assert_eq!(why("v2", "B").unwrap(), words);
    }
}
