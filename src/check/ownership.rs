//! Owner references and finalizers: complete, and put back by their controllers.

use super::{CheckContext, Checked};
use crate::cluster::{ClusterView, Kind, ObjectExt, Why};
use crate::event::Failure;
use crate::types::ObjectRef;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds whose objects hold something outside the API server, or others back, until their controller lets go.
const WITH_FINALIZER: &[&str] =
    &["Cluster", "KubeadmControlPlane", "MachineDeployment", "MachineSet", "Machine"];

/// What one object must get back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    owners: BTreeSet<String>,
    finalizers: BTreeSet<String>,
}

fn marks(object: &DynamicObject) -> Marks {
    Marks {
        owners: object
            .owner_references()
            .iter()
            .map(|owner| format!("{}/{}", owner.kind, owner.name))
            .collect(),
        finalizers: object.finalizers().iter().cloned().collect(),
    }
}

pub(super) async fn ownership(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let complete = cx.within_grace(judge_complete).await?;
    let Checked::Passed(_) = complete else { return Ok(complete) };
    let view = cx.views.borrow().clone();
    let chosen = one_of_each_kind(&view);
    for (object, _) in &chosen {
        let kind = Kind::of(
            object.types.as_ref().map_or("", |types| types.api_version.as_str()),
            ObjectExt::kind(object),
        );
        // Without a resource version on purpose: controllers write all the time, and whatever they write, the
        // marks are gone after this call.
        let patch = json!({"metadata": {"ownerReferences": null, "finalizers": null}});
        match cx.api.merge(&kind, Some(cx.namespace.as_str()), &object.name_any(), &patch).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.failure()),
        }
    }
    let wanted: BTreeMap<ObjectRef, Marks> =
        chosen.iter().map(|(o, marks)| (o.reference(), marks.clone())).collect();
    let versions: BTreeMap<ObjectRef, String> =
        chosen.iter().map(|(o, _)| (o.reference(), o.resource_version().unwrap_or_default())).collect();
    cx.within_grace(|view| judge_restored(view, &wanted, &versions)).await
}

/// Every object is owned, by something that leads to the Cluster; every object that needs a finalizer has one.
fn judge_complete(view: &ClusterView) -> Result<String, Why> {
    let root = view.root().ok_or_else(|| Why::new("the Cluster does not exist"))?;
    let known: BTreeMap<String, &DynamicObject> =
        view.objects.iter().map(|o| (o.uid().unwrap_or_default(), o.as_ref())).collect();
    for object in &view.objects {
        if object.uid() != root.uid() {
            let owners = object.owner_references();
            if owners.is_empty() {
                return Err(Why::of(object.reference(), "has no owner reference"));
            }
            if let Some(owner) = owners.iter().find(|owner| !known.contains_key(&owner.uid)) {
                let text = format!("is owned by {}/{}, which does not exist", owner.kind, owner.name);
                return Err(Why::of(object.reference(), text));
            }
        }
        let infrastructure = !object.kind().ends_with("Template")
            && object.types.as_ref().is_some_and(|types| types.api_version.starts_with("infrastructure."));
        if (infrastructure || WITH_FINALIZER.contains(&object.kind())) && object.finalizers().is_empty() {
            return Err(Why::of(object.reference(), "has no finalizer"));
        }
    }
    Ok(String::new())
}

/// One object of each kind that has a controller to put its marks back. MachineHealthChecks and templates are
/// plain data: nobody looks after theirs.
fn one_of_each_kind(view: &ClusterView) -> Vec<(DynamicObject, Marks)> {
    let mut chosen: BTreeMap<String, (DynamicObject, Marks)> = BTreeMap::new();
    for object in &view.objects {
        let kind = ObjectExt::kind(object.as_ref());
        if !kind.ends_with("Template") && kind != "MachineHealthCheck" {
            chosen.entry(kind.into()).or_insert_with(|| (object.as_ref().clone(), marks(object)));
        }
    }
    chosen.into_values().collect()
}

/// All marks are back, on the same objects, which have changed since.
fn judge_restored(
    view: &ClusterView,
    wanted: &BTreeMap<ObjectRef, Marks>,
    versions: &BTreeMap<ObjectRef, String>,
) -> Result<String, Why> {
    for (reference, before) in wanted {
        let found = view.objects.iter().find(|object| object.reference() == *reference);
        let found = found.ok_or_else(|| Why::of(reference.clone(), "was deleted with its marks"))?;
        if found.resource_version().as_ref() == versions.get(reference) {
            return Err(Why::of(reference.clone(), "the removal has not been seen yet"));
        }
        let now = marks(found);
        if let Some(owner) = before.owners.difference(&now.owners).next() {
            return Err(Why::of(reference.clone(), format!("did not get its owner {owner} back")));
        }
        if let Some(finalizer) = before.finalizers.difference(&now.finalizers).next() {
            return Err(Why::of(reference.clone(), format!("did not get its finalizer {finalizer} back")));
        }
    }
    Ok(format!("removed from {} objects, all put back", wanted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::captured::view;
    use serde_json::Value;

    fn without(kind: &'static str, mark: &'static str) -> ClusterView {
        view(|object| {
            if object["kind"] == kind {
                object["metadata"].as_object_mut().unwrap().remove(mark);
            }
        })
    }

    #[test]
    fn completeness_fails_on_every_missing_mark() {
        assert!(judge_complete(&view(|_| {})).is_ok());
        for kind in
            ["KubeadmControlPlane", "MachineDeployment", "MachineSet", "Machine", "DevMachine", "DevCluster"]
        {
            for (mark, words) in
                [("ownerReferences", "has no owner reference"), ("finalizers", "has no finalizer")]
            {
                let why =
                    judge_complete(&without(kind, mark)).expect_err("a missing mark is found").to_string();
                assert!(why.starts_with(kind) && why.ends_with(words), "{kind} without {mark}: {why}");
            }
        }
        assert!(judge_complete(&without("KubeadmConfig", "ownerReferences")).is_err());
        let orphan = view(|object| {
            if object["kind"] == "DevMachine" {
                object["metadata"]["ownerReferences"][0]["uid"] = "somebody-else".into();
            }
        });
        assert!(
            judge_complete(&orphan)
                .expect_err("an unknown owner is found")
                .to_string()
                .contains("does not exist")
        );
    }

    #[test]
    fn restoration_fails_until_all_marks_are_back() {
        let before = view(|_| {});
        let chosen = one_of_each_kind(&before);
        assert_eq!(chosen.len(), 8, "one of each kind with a controller");
        let wanted: BTreeMap<_, _> = chosen.iter().map(|(o, m)| (o.reference(), m.clone())).collect();
        let versions: BTreeMap<_, _> =
            chosen.iter().map(|(o, _)| (o.reference(), o.resource_version().unwrap())).collect();
        let why = |view: &ClusterView| {
            judge_restored(view, &wanted, &versions).expect_err("not restored").to_string()
        };
        assert!(why(&before).ends_with("the removal has not been seen yet"));
        let touched = |object: &mut Value| object["metadata"]["resourceVersion"] = "999999".into();
        let bare = |kind: &'static str, mark: &'static str| {
            view(move |object| {
                touched(object);
                if object["kind"] == kind {
                    object["metadata"].as_object_mut().unwrap().remove(mark);
                }
            })
        };
        assert!(why(&bare("Machine", "ownerReferences")).contains("did not get its owner"));
        assert!(why(&bare("Cluster", "finalizers")).contains("did not get its finalizer"));
        let restored = view(touched);
        assert!(judge_restored(&restored, &wanted, &versions).is_ok());
        let mut lost = restored;
        lost.objects.retain(|object| ObjectExt::kind(object.as_ref()) != "DevCluster");
        assert!(why(&lost).ends_with("was deleted with its marks"));
    }
}
