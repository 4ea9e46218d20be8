//! Pure conditions over what the Cluster Stack Operator says of releases and add-ons.
//!
//! Its words mislead in places that are known: a ClusterStack is Ready as soon as releases were *created*, a release stays
//! `status.ready` while its conditions say something else, and a ClusterAddon is ready although a chart is missing or could
//! not be rendered. What counts here is what the conditions below look at.

use super::condition::{one_line, say};
use super::view::{ClusterView, ObjectExt};
use super::wait::{Progress, Why};
use crate::stack::addon::{Hook, Stage};
use kube::ResourceExt;
use kube::api::DynamicObject;

/// The named release is Ready, for the Kubernetes version that it is wanted for. Neither the ClusterStack nor other
/// releases count.
#[must_use]
pub fn release_ready(view: &ClusterView, release: &str, kubernetes: &str) -> Progress<()> {
    let Some(object) = view.of("ClusterStackRelease").find(|object| object.name_any() == release) else {
        return Progress::NotYet(match view.of("ClusterStack").find_map(said) {
            Some(why) => why,
            None => Why::new(format!("the operator has not made ClusterStackRelease/{release} yet")),
        });
    };
    let not_yet = |text: String| Progress::NotYet(Why::of(object.reference(), text));
    if object.is_deleting() {
        return Progress::Never(Why::of(object.reference(), "is being deleted"));
    }
    let found = object.text("/status/kubernetesVersion");
    if !found.is_empty() && found != kubernetes {
        let text =
            format!("is for Kubernetes {found}, but the stack that was planned with is for {kubernetes}");
        return Progress::Never(Why::of(object.reference(), text));
    }
    if let Some(why) = said(object) {
        return Progress::NotYet(why);
    }
    // Of a release whose downloads fail later, `status.ready` stays true; of one that is new, there is no condition yet.
    if !object.is_true("Ready") {
        return not_yet("condition Ready is not True".into());
    }
    match (object.data.pointer("/status/ready").and_then(serde_json::Value::as_bool), found) {
        (Some(true), version) if !version.is_empty() => Progress::Ready(()),
        (Some(true), _) => not_yet("it says no Kubernetes version".into()),
        _ => not_yet("status.ready is not true".into()),
    }
}

/// The ClusterClass of a release is there.
#[must_use]
pub fn class_there(view: &ClusterView, class: &str) -> Progress<()> {
    match view.of("ClusterClass").any(|object| object.name_any() == class) {
        true => Progress::Ready(()),
        false => Progress::NotYet(Why::new(format!(
            "ClusterClass/{class} does not exist, although its release is Ready"
        ))),
    }
}

/// No ClusterStack and no release is left.
#[must_use]
pub fn releases_gone(view: &ClusterView) -> Progress<()> {
    let left = view.of("ClusterStack").chain(view.of("ClusterStackRelease")).next();
    match left {
        None => Progress::Ready(()),
        Some(object) if object.is_deleting() => {
            let text = format!("is waiting for its finalizers: {}", object.finalizers().join(", "));
            Progress::NotYet(Why::of(object.reference(), text))
        }
        Some(object) => Progress::NotYet(Why::of(object.reference(), "still exists")),
    }
}

/// What a stage waits for, by its hook and number.
#[derive(Debug, Clone, Copy)]
pub struct Awaited<'a> {
    /// The ClusterClass of the release that the add-ons belong to.
    pub class: &'a str,
    /// The hook.
    pub hook: Hook,
    /// The stage.
    pub stage: &'a Stage,
}

/// The operator has carried a stage out.
#[must_use]
pub fn stage_done(view: &ClusterView, awaited: &Awaited<'_>) -> Progress<()> {
    let Some(addon) = view.of("ClusterAddon").next() else {
        let name = format!("cluster-addon-{}", view.cluster);
        return Progress::NotYet(Why::new(format!("the operator has not made ClusterAddon/{name} yet")));
    };
    if let Some(why) = broken(addon) {
        return Progress::Never(why);
    }
    if addon_ready(addon, awaited.class) {
        return Progress::Ready(());
    }
    let Awaited { hook, stage, .. } = awaited;
    let name = format!("stage {} of {hook}", stage.name);
    let not_yet = |text: String| Progress::NotYet(Why::of(addon.reference(), text));
    if addon.text("/spec/hook") != hook.as_str() {
        let hook_now = addon.text("/spec/hook");
        let at = if hook_now.is_empty() { "no hook".to_owned() } else { format!("hook {hook_now}") };
        let cond = worst(addon).map(|cond| format!(": {cond}")).unwrap_or_default();
        return not_yet(format!("{name} has not begun, it is at {at}{cond}"));
    }
    let stages = addon.data.pointer("/status/stages").and_then(serde_json::Value::as_array);
    let phase = stages.into_iter().flatten().find_map(|found| {
        let ours =
            found["name"] == stage.name.as_str() && found["action"] == stage.action.to_string().as_str();
        ours.then(|| found["phase"].as_str().unwrap_or_default())
    });
    let waits = |wait: &Option<crate::stack::addon::WaitFor>| {
        wait.as_ref()
            .map_or_else(String::new, |wait| format!(", which waits for `{}`", one_line(&wait.condition)))
    };
    let cond = worst(addon).map(|cond| format!("; {cond}")).unwrap_or_default();
    match phase {
        Some("done") => Progress::Ready(()),
        Some("waitingForPreCondition") => {
            not_yet(format!("{name} is in waitingForPreCondition{}{cond}", waits(&stage.before)))
        }
        Some("waitingForPostCondition") => {
            not_yet(format!("{name} is in waitingForPostCondition{}{cond}", waits(&stage.after)))
        }
        Some(phase) => not_yet(format!("{name} is in {phase}{cond}")),
        None => not_yet(format!("{name} is not among its stages{cond}")),
    }
}

/// All add-ons of a release are as they should be.
#[must_use]
pub fn addons_ready(view: &ClusterView, class: &str) -> Progress<()> {
    let Some(addon) = view.of("ClusterAddon").next() else {
        return Progress::NotYet(Why::new("there is no ClusterAddon"));
    };
    if let Some(why) = broken(addon) {
        return Progress::Never(why);
    }
    if addon_ready(addon, class) {
        return Progress::Ready(());
    }
    let has = addon.text("/spec/clusterStack");
    let text = if has == class {
        worst(addon).unwrap_or_else(|| "is not ready".into())
    } else {
        format!("has the add-ons of `{has}`, not of {class}")
    };
    Progress::NotYet(Why::of(addon.reference(), text))
}

/// `status.ready` of an earlier release stays true until the operator looks; the release says which one it means.
fn addon_ready(addon: &DynamicObject, class: &str) -> bool {
    addon.data.pointer("/status/ready") == Some(&serde_json::Value::Bool(true))
        && addon.text("/spec/clusterStack") == class
        && addon.text("/spec/hook").is_empty()
}

/// What the operator goes on from as if it were well, or never tries again. A chart that cannot be rendered is tried again
/// until the operator says that it is ready.
fn broken(addon: &DynamicObject) -> Option<Why> {
    let ready = addon.data.pointer("/status/ready") == Some(&serde_json::Value::Bool(true));
    let kinds =
        [("ClusterAddonConfigValidated", true), ("HelmChartFound", true), ("HelmChartTemplated", ready)];
    kinds.into_iter().filter(|(_, counts)| *counts).find_map(|(kind, _)| {
        let cond = addon.condition(kind).filter(|cond| cond.status == "False")?;
        Some(Why::of(addon.reference(), format!("the operator does not try again: {}", say(&cond))))
    })
}

/// The condition that tells most about why it is not ready.
fn worst(addon: &DynamicObject) -> Option<String> {
    let order = ["EvaluatedCEL", "HelmChartApplied", "HelmChartDeleted", "ClusterReady", "HookServerReady"];
    let found = order.iter().filter_map(|kind| addon.condition(kind)).find(|cond| cond.status == "False");
    let found = found.or_else(|| addon.conditions().into_iter().find(|cond| cond.status == "False"));
    found.map(|cond| say(&cond))
}

/// The first condition of a ClusterStack or a release that is not True, the most telling first.
fn said(object: &DynamicObject) -> Option<Why> {
    let conditions = object.conditions();
    let own = conditions.iter().find(|cond| cond.status != "True" && cond.kind != "Ready");
    let cond = own.or_else(|| conditions.iter().find(|cond| cond.status != "True"))?;
    Some(Why::of(object.reference(), say(cond)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::captured::view_of;
    use crate::stack::addon::{Action, WaitFor};
    use serde_json::{Value, json};

    const RELEASE: &str = "openstack-scs2-1-34-v1";

    fn object(kind: &str, name: &str, status: Value) -> Value {
        json!({"apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "status": status})
    }

    fn cond(kind: &str, status: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "Why", "message": message})
    }

    fn why<T: std::fmt::Debug>(progress: Progress<T>) -> String {
        match progress {
            Progress::NotYet(why) => format!("not yet: {why}"),
            Progress::Never(why) => format!("never: {why}"),
            other @ Progress::Ready(_) => format!("{other:?}"),
        }
    }

    #[test]
    fn only_the_named_release_counts() {
        let ready = || json!({"ready": true, "kubernetesVersion": "v1.34.7", "conditions": [cond("Ready", "True", "")]});
        let stack = object("ClusterStack", "s", json!({"conditions": [cond("Ready", "True", "")]}));
        for (objects, expect) in [
            (
                vec![stack.clone()],
                "not yet: the operator has not made ClusterStackRelease/openstack-scs2-1-34-v1 yet",
            ),
            (
                vec![stack.clone(), object("ClusterStackRelease", "openstack-scs2-1-34-v2", ready())],
                "not yet: the operator has not made",
            ),
            (
                vec![object("ClusterStackRelease", RELEASE, json!({}))],
                "not yet: ClusterStackRelease/openstack-scs2-1-34-v1: condition Ready is not True",
            ),
            (
                // Ready turned stale: the summary and status.ready say yes, another condition says no.
                vec![object(
                    "ClusterStackRelease",
                    RELEASE,
                    json!({"ready": true, "kubernetesVersion": "v1.34.7",
                    "conditions": [cond("Ready", "True", ""), cond("ProviderClusterStackReleaseReady", "False", "image is gone")]}),
                )],
                "not yet: ClusterStackRelease/openstack-scs2-1-34-v1: ProviderClusterStackReleaseReady is False (Why): image is gone",
            ),
            (
                vec![object(
                    "ClusterStackRelease",
                    RELEASE,
                    json!({"ready": true, "conditions": [cond("Ready", "True", "")]}),
                )],
                "says no Kubernetes version",
            ),
            (
                vec![object(
                    "ClusterStackRelease",
                    RELEASE,
                    json!({"ready": true, "kubernetesVersion": "v1.34.8",
                    "conditions": [cond("Ready", "True", "")]}),
                )],
                "never: ClusterStackRelease/openstack-scs2-1-34-v1: is for Kubernetes v1.34.8",
            ),
            (vec![stack, object("ClusterStackRelease", RELEASE, ready())], "Ready(())"),
        ] {
            let found = why(release_ready(&view_of(objects), RELEASE, "v1.34.7"));
            assert!(found.contains(expect), "`{expect}` is not in: {found}");
        }
    }

    #[test]
    fn a_class_may_come_later_than_its_release() {
        let class = object("ClusterClass", "c", json!({}));
        assert_eq!(class_there(&view_of(vec![class.clone()]), "c"), Progress::Ready(()));
        assert!(why(class_there(&view_of(vec![class]), "d")).contains("although its release is Ready"));
    }

    #[test]
    fn releases_are_gone_when_none_is_left() {
        assert_eq!(releases_gone(&view_of(vec![])), Progress::Ready(()));
        let release = object("ClusterStackRelease", RELEASE, json!({}));
        assert!(why(releases_gone(&view_of(vec![release.clone()]))).contains("still exists"));
        let mut deleting = release;
        deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        deleting["metadata"]["finalizers"] = json!(["clusterstackrelease.clusterstack.x-k8s.io"]);
        assert!(
            why(releases_gone(&view_of(vec![deleting])))
                .contains("clusterstackrelease.clusterstack.x-k8s.io")
        );
    }

    fn addon(spec: Value, status: Value) -> ClusterView {
        let mut addon = object("ClusterAddon", "cluster-addon-c1", status);
        addon["spec"] = spec;
        view_of(vec![addon])
    }

    #[test]
    fn a_stage_that_is_not_done_names_hook_phase_and_condition() {
        let wait = WaitFor { objects: vec![], condition: "dep.status.readyReplicas\n  == 1".into(), line: 1 };
        let stage =
            Stage { name: "ccm".into(), action: Action::Apply, before: None, after: Some(wait), line: 1 };
        let hook = Hook::AfterControlPlaneInitialized;
        let awaited = Awaited { class: "c-v1", hook, stage: &stage };
        let at = |hook: &str, phase: &str, conditions: Value| {
            addon(
                json!({"hook": hook}),
                json!({"ready": false, "stages": [{"name": "ccm", "action": "apply", "phase": phase}],
                    "conditions": conditions}),
            )
        };
        let stuck = at(
            hook.as_str(),
            "waitingForPostCondition",
            json!([
                cond("EvaluatedCEL", "False", "failed to successfully evaluate post condition"),
                cond("Ready", "False", "")
            ]),
        );
        for (view, expect) in [
            (view_of(vec![]), "not yet: the operator has not made ClusterAddon/cluster-addon-c1 yet"),
            (
                stuck,
                "not yet: ClusterAddon/cluster-addon-c1: stage ccm of AfterControlPlaneInitialized is in waitingForPostCondition, \
                 which waits for `dep.status.readyReplicas; == 1`; EvaluatedCEL is False (Why): failed to successfully evaluate",
            ),
            (
                at("", "Pending", json!([cond("HookServerReady", "False", "unresponsive")])),
                "has not begun, it is at no hook: HookServerReady is False",
            ),
            (
                at("BeforeClusterUpgrade", "done", json!([])),
                "has not begun, it is at hook BeforeClusterUpgrade",
            ),
            (at(hook.as_str(), "applyingOrDeleting", json!([])), "is in applyingOrDeleting"),
            (at(hook.as_str(), "done", json!([])), "Ready(())"),
            // The operator leaves such a stage out and says that all is well.
            (
                addon(
                    json!({"clusterStack": "c-v1"}),
                    json!({"ready": true, "conditions": [cond("HelmChartFound", "False", "ccm")]}),
                ),
                "never: ClusterAddon/cluster-addon-c1: the operator does not try again: HelmChartFound is False (Why): ccm",
            ),
            // Ready, but of the release before.
            (addon(json!({"clusterStack": "c-v0"}), json!({"ready": true})), "has not begun"),
            (addon(json!({"clusterStack": "c-v1"}), json!({"ready": true})), "Ready(())"),
        ] {
            let found = why(stage_done(&view, &awaited));
            assert!(found.contains(expect), "`{expect}` is not in: {found}");
        }
    }

    #[test]
    fn add_ons_are_ready_for_the_very_release() {
        let view = addon(json!({"clusterStack": "c-v1"}), json!({"ready": true}));
        assert_eq!(addons_ready(&view, "c-v1"), Progress::Ready(()));
        assert!(why(addons_ready(&view, "c-v2")).contains("has the add-ons of `c-v1`, not of c-v2"));
        let failing = addon(
            json!({"clusterStack": "c-v1"}),
            json!({"ready": false, "conditions": [cond("HelmChartApplied", "False", "refused")]}),
        );
        assert!(why(addons_ready(&failing, "c-v1")).contains("HelmChartApplied is False (Why): refused"));
    }
}
