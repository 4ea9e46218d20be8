//! Pure conditions over what is observed of a cluster: it is there / not yet, and why / never, and why.
//!
//! The conditions and reasons are those of Cluster API's v1beta2 contract
//! (<https://cluster-api.sigs.k8s.io/developer/providers/contracts/overview>).

use super::view::{ClusterView, Cond, ObjectExt};
use super::wait::{Progress, Why};
use crate::types::Target;
use kube::ResourceExt;
use kube::api::DynamicObject;

/// What a Cluster's conditions must be when nothing is going on. A condition that the Cluster does not carry is
/// `Unknown`, and that is not what it should be.
pub const RESTING: &[(&str, &str)] = &[
    ("Available", "True"),
    ("TopologyReconciled", "True"),
    ("InfrastructureReady", "True"),
    ("ControlPlaneInitialized", "True"),
    ("ControlPlaneAvailable", "True"),
    ("ControlPlaneMachinesReady", "True"),
    ("ControlPlaneMachinesUpToDate", "True"),
    ("WorkersAvailable", "True"),
    ("WorkerMachinesReady", "True"),
    ("WorkerMachinesUpToDate", "True"),
    ("RemoteConnectionProbe", "True"),
    ("RollingOut", "False"),
    ("ScalingUp", "False"),
    ("ScalingDown", "False"),
    ("Remediating", "False"),
    ("Deleting", "False"),
    ("Paused", "False"),
];

/// Conditions that are set once and then left alone: their generation is that of the day when they came true.
const LATCHES: &[&str] = &["ControlPlaneInitialized"];

/// What Cluster API keeps on a Cluster while it creates it or carries it from version to version: the step it is at, and
/// the lifecycle hooks that it still means to call. `TopologyReconciled` turns True before the last of them is taken
/// off, and until then the Cluster will be written again, and its webhook refuses the next version.
const UNDER_WAY: &[&str] =
    &["topology.internal.cluster.x-k8s.io/upgrade-step", "runtime.cluster.x-k8s.io/pending-hooks"];

/// The cluster has reached its target and rests: the spec is the target's, every condition of [`RESTING`] holds
/// for the current generation, and exactly the wanted Machines exist, up to date, Ready, on the wanted version.
#[must_use]
pub fn settled(view: &ClusterView, target: &Target) -> Progress<()> {
    if let Some(why) = terminal(view) {
        return Progress::Never(why);
    }
    let Some(root) = view.root() else {
        return Progress::NotYet(Why::new("the Cluster does not exist yet"));
    };
    match unsettled(view, root, target) {
        Some(why) => Progress::NotYet(why),
        None => Progress::Ready(()),
    }
}

/// Nothing of the cluster is left among the observed kinds.
#[must_use]
pub fn gone(view: &ClusterView) -> Progress<()> {
    let blocked = |object: &DynamicObject| {
        let mut text = format!("is waiting for its finalizers: {}", object.finalizers().join(", "));
        if object.is_true("Paused") {
            text =
                format!("is paused, so nobody takes its finalizers off: {}", object.finalizers().join(", "));
        }
        if let Some(cond) = object.condition("Deleting").filter(|c| !c.message.is_empty()) {
            text = format!("{text} ({})", one_line(cond.message));
        }
        Why::of(object.reference(), text)
    };
    // The innermost object that is being deleted is what the others wait for.
    let order = ["Machine", "MachineSet", "MachineDeployment", "KubeadmControlPlane", "Cluster"];
    let known = order.iter().flat_map(|kind| view.of(kind)).filter(|o| o.is_deleting());
    let other = view.objects.iter().map(AsRef::as_ref).filter(|o| !order.contains(&o.kind()));
    let infrastructure = other.clone().filter(|o| o.is_deleting());
    match infrastructure.chain(known).next() {
        Some(object) => Progress::NotYet(blocked(object)),
        None => match view.objects.first() {
            Some(object) => {
                Progress::NotYet(Why::of(object.reference(), "still exists and is not being deleted"))
            }
            None => Progress::Ready(()),
        },
    }
}

/// Why the cluster can never get there, if so.
#[must_use]
pub fn terminal(view: &ClusterView) -> Option<Why> {
    if let Some(root) = view.root() {
        if root.is_deleting() {
            return Some(Why::of(root.reference(), "is being deleted, but not by this run"));
        }
        let topology = root.condition("TopologyReconciled");
        if let Some(cond) = topology.filter(|c| c.status == "False" && c.reason == "ReconcileFailed")
            && !is_transient(cond.message)
            && speaks_of_now(root, &cond)
        {
            let text = format!("the topology does not reconcile: {}", one_line(cond.message));
            return Some(Why::of(root.reference(), text));
        }
    }
    // The Machine first: it is nearer to the cause than what owns it. The fields are Cluster API's "terminal
    // error", which since v1beta2 stands below `deprecated` and is still what providers set.
    let failed = |object: &DynamicObject| {
        let message = ["/status/deprecated/v1beta1/failureMessage", "/status/failureMessage"]
            .map(|pointer| object.text(pointer))
            .into_iter()
            .find(|text| !text.is_empty())?;
        let reason = ["/status/deprecated/v1beta1/failureReason", "/status/failureReason"]
            .map(|pointer| object.text(pointer))
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or("failed");
        Some(Why::of(object.reference(), format!("{reason}: {}", one_line(message))))
    };
    let machines = view.of("Machine");
    let others = view.objects.iter().map(AsRef::as_ref).filter(|object| object.kind() != "Machine");
    machines.chain(others).find_map(failed)
}

/// The first thing, from the root of the cause outwards, that is not as the target wants it.
fn unsettled(view: &ClusterView, root: &DynamicObject, target: &Target) -> Option<Why> {
    let of_root = |text: String| Some(Why::of(root.reference(), text));
    if root.text("/spec/topology/version") != target.release.kubernetes.to_string()
        || root.text("/spec/topology/classRef/name") != target.release.class
    {
        return of_root("the change has not been seen yet".into());
    }
    let topology = root.condition("TopologyReconciled");
    if let Some(cond) = topology.filter(|c| c.status != "True") {
        return of_root(format!("topology: {}", say(&cond)));
    }
    // Whose controller is not there: everything else waits for these.
    if let Some(object) = unattended(view) {
        return Some(untouched(object));
    }
    if let Some(object) = view.objects.iter().find(|o| o.kind().ends_with("Cluster") && o.kind() != "Cluster")
        && let Some(cond) = object.condition("Ready").filter(|c| c.status != "True")
    {
        return Some(Why::of(object.reference(), say(&cond)));
    }
    let version = target.release.kubernetes.to_string();
    for (control_plane, wanted, what) in
        [(true, target.control_planes, "control plane"), (false, target.workers, "worker")]
    {
        let machines: Vec<_> = view.machines(control_plane).collect();
        let other = view.control_plane_without_machines().filter(|_| control_plane);
        if let Some(object) = other {
            let found = object.number("/spec/replicas").unwrap_or(1);
            if found != i64::from(wanted) {
                return Some(Why::of(object.reference(), format!("spec.replicas is {found}, not {wanted}")));
            }
        }
        let wanted = if other.is_some() { 0 } else { wanted };
        if let Some(why) = machines.iter().find_map(|machine| unsettled_machine(view, machine, &version)) {
            return Some(why);
        }
        if machines.len() != wanted as usize {
            let blocked = view.control_plane().filter(|_| control_plane).and_then(|object| {
                let cond = object.condition("ScalingUp").filter(|c| !c.message.is_empty())?;
                Some(Why::of(object.reference(), say(&cond)))
            });
            return blocked
                .or_else(|| of_root(format!("{} of {wanted} {what} Machines exist", machines.len())));
        }
    }
    for (kind, wanted) in RESTING {
        match root.condition(kind) {
            None => return of_root(format!("condition {kind} is not there yet")),
            Some(cond) if cond.status != *wanted => return of_root(say(&cond)),
            Some(cond) if !LATCHES.contains(kind) && !speaks_of_now(root, &cond) => {
                return of_root(format!("condition {kind} is about an older generation"));
            }
            Some(_) => {}
        }
    }
    // Last, because whatever else is missing is what this waits for.
    let (key, value) = UNDER_WAY.iter().find_map(|key| Some((key, root.annotations().get(*key)?)))?;
    of_root(format!("Cluster API has not finished: annotation {key} is still `{value}`"))
}

/// The infrastructure or the control plane, when it is there and no controller has ever acted on it.
#[must_use]
pub fn unattended(view: &ClusterView) -> Option<&DynamicObject> {
    let roots = [view.infrastructure(), view.control_plane()];
    roots.into_iter().flatten().find(|object| object.is_untouched())
}

fn untouched(object: &DynamicObject) -> Why {
    let text = "no controller has acted on it: it has neither status nor finalizers";
    Why::of(object.reference(), text)
}

fn unsettled_machine(view: &ClusterView, machine: &DynamicObject, version: &str) -> Option<Why> {
    let of = |text: String| Some(Why::of(machine.reference(), text));
    if machine.is_deleting() {
        return of("is being deleted".into());
    }
    if machine.text("/spec/version") != version {
        return of(format!("runs {}, not yet {version}", machine.text("/spec/version")));
    }
    // Infrastructure before bootstrap before node: the first that is not so is what the others wait for.
    for kind in
        ["InfrastructureReady", "BootstrapConfigReady", "NodeHealthy", "Ready", "Available", "UpToDate"]
    {
        let cond = machine.condition(kind);
        if kind == "InfrastructureReady" && cond.as_ref().is_none_or(|cond| cond.status != "True") {
            let (kind, name) =
                (machine.text("/spec/infrastructureRef/kind"), machine.text("/spec/infrastructureRef/name"));
            let infrastructure = view.of(kind).find(|object| object.name_any() == name);
            if let Some(object) = infrastructure.filter(|object| object.is_untouched()) {
                return Some(untouched(object));
            }
        }
        match cond {
            None => return of(format!("condition {kind} is not there yet")),
            Some(cond) if cond.status != "True" => return of(say(&cond)),
            Some(_) => {}
        }
    }
    None
}

/// Whether the condition is about the object's current generation; one that does not say is taken at its word.
fn speaks_of_now(object: &DynamicObject, cond: &Cond<'_>) -> bool {
    match (cond.observed_generation, object.metadata.generation) {
        (Some(observed), Some(current)) => observed >= current,
        _ => true,
    }
}

/// `Ready is False (WaitingForX): words`
pub(crate) fn say(cond: &Cond<'_>) -> String {
    let mut text = format!("{} is {}", cond.kind, cond.status);
    if cond.reason != cond.kind {
        text = format!("{text} ({})", cond.reason);
    }
    if !cond.message.is_empty() {
        text = format!("{text}: {}", one_line(cond.message));
    }
    text
}

/// Messages of Cluster API are lists; here they become one line.
pub(crate) fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("* ")).filter(|line| !line.is_empty());
    lines.fold(String::new(), |mut text, line| {
        // What follows a colon belongs to it.
        match text.chars().last() {
            None => {}
            Some(':') => text.push(' '),
            Some(_) => text.push_str("; "),
        }
        text + line
    })
}

/// Errors that a controller gets over by trying again: optimistic locking, a webhook or API server that restarts.
fn is_transient(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "the object has been modified",
        "connection refused",
        "connection reset",
        "context deadline exceeded",
        "i/o timeout",
        "EOF",
        "TLS handshake timeout",
        "no endpoints available",
        "etcdserver:",
        "too many requests",
        "not found",
        "already exists",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::captured::{objects, target, view_of as view};
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Changes the first object of a kind: a JSON merge patch.
    fn with(kind: &str, patch: Value) -> ClusterView {
        let mut objects = objects();
        let object = objects.iter_mut().find(|o| o["kind"] == kind).expect("the fixture has the kind");
        merge(object, &patch);
        view(objects)
    }

    fn merge(into: &mut Value, patch: &Value) {
        match (into, patch) {
            (Value::Object(into), Value::Object(patch)) => {
                for (key, value) in patch {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (into, patch) => *into = patch.clone(),
        }
    }

    /// Changes one condition of the first object of a kind.
    fn with_condition(kind: &str, condition: &str, patch: Value) -> ClusterView {
        let mut objects = objects();
        let object = objects.iter_mut().find(|o| o["kind"] == kind).expect("the fixture has the kind");
        let list = object["status"]["conditions"].as_array_mut().unwrap();
        let entry = list.iter_mut().find(|c| c["type"] == condition).expect("the object has the condition");
        merge(entry, &patch);
        view(objects)
    }

    fn not_yet(progress: Progress<()>) -> String {
        match progress {
            Progress::NotYet(why) => why.to_string(),
            other => panic!("expected `not yet`, got {other:?}"),
        }
    }

    fn never(progress: Progress<()>) -> String {
        match progress {
            Progress::Never(why) => why.to_string(),
            other => panic!("expected `never`, got {other:?}"),
        }
    }

    #[test]
    fn a_resting_cluster_is_settled() {
        assert_eq!(settled(&view(objects()), &target()), Progress::Ready(()));
    }

    #[test]
    fn nothing_observed_is_not_settled() {
        assert_eq!(not_yet(settled(&view(vec![]), &target())), "the Cluster does not exist yet");
    }

    #[test]
    fn an_old_picture_is_not_taken_for_the_new_one() {
        let mut upgraded = target();
        upgraded.release.kubernetes = "v1.35.4".parse().unwrap();
        assert_eq!(
            not_yet(settled(&view(objects()), &upgraded)),
            "Cluster/c1: the change has not been seen yet"
        );
        let stale = with("Cluster", json!({"metadata": {"generation": 99}}));
        assert!(not_yet(settled(&stale, &target())).contains("is about an older generation"));
    }

    #[test]
    fn every_resting_condition_counts() {
        for (kind, wanted) in RESTING {
            let opposite = if *wanted == "True" { "False" } else { "True" };
            for status in [opposite, "Unknown"] {
                let view = with_condition("Cluster", kind, json!({"status": status, "reason": "Why"}));
                let why = not_yet(settled(&view, &target()));
                assert!(why.contains(kind) || kind.starts_with("Topology"), "{kind} {status}: {why}");
            }
        }
    }

    #[test]
    fn an_upgrade_that_is_still_tracked_is_not_over() {
        for key in UNDER_WAY {
            let view = with("Cluster", json!({"metadata": {"annotations": {*key: "v1.34.7"}}}));
            assert_eq!(
                not_yet(settled(&view, &target())),
                format!("Cluster/c1: Cluster API has not finished: annotation {key} is still `v1.34.7`")
            );
        }
    }

    #[test]
    fn the_number_of_machines_is_exact() {
        for (control_planes, workers) in [(3, 2), (1, 1), (1, 3)] {
            let wanted = Target { control_planes, workers, ..target() };
            assert!(not_yet(settled(&view(objects()), &wanted)).contains("Machines exist"));
        }
    }

    #[test]
    fn a_machine_on_another_version_is_named() {
        let view = with("Machine", json!({"spec": {"version": "v1.33.10"}}));
        let why = not_yet(settled(&view, &target()));
        assert!(why.starts_with("Machine/c1-") && why.ends_with("runs v1.33.10, not yet v1.34.7"), "{why}");
    }

    #[test]
    fn the_reason_nearest_to_the_cause_is_named() {
        let view = with_condition(
            "Machine",
            "InfrastructureReady",
            json!({"status": "False", "reason": "NotReady", "message": "* no flavor"}),
        );
        assert!(
            not_yet(settled(&view, &target()))
                .ends_with("InfrastructureReady is False (NotReady): no flavor")
        );
    }

    #[test]
    fn what_no_controller_has_touched_is_named() {
        let nothing = json!({"status": null, "metadata": {"finalizers": null}});
        let words = "no controller has acted on it: it has neither status nor finalizers";
        for kind in ["DevCluster", "KubeadmControlPlane"] {
            let why = not_yet(settled(&with(kind, nothing.clone()), &target()));
            assert!(why.starts_with(&format!("{kind}/c1-")) && why.ends_with(words), "{why}");
            // A finalizer or a status is the trace of a controller.
            let finalizer = json!({"status": null, "metadata": {"finalizers": ["example.org/mine"]}});
            for trace in [json!({"metadata": {"finalizers": null}}), finalizer] {
                let progress = settled(&with(kind, trace), &target());
                assert!(!format!("{progress:?}").contains(words), "{progress:?}");
            }
        }
        let mut objects = objects();
        for object in &mut objects {
            if object["kind"] == "DevMachine" {
                merge(object, &nothing);
            }
            if object["kind"] == "Machine" {
                let list = object["status"]["conditions"].as_array_mut().unwrap();
                list.retain(|condition| condition["type"] != "InfrastructureReady");
            }
        }
        let why = not_yet(settled(&view(objects), &target()));
        assert!(why.starts_with("DevMachine/c1-") && why.ends_with(words), "{why}");
    }

    #[test]
    fn a_control_plane_without_machines_counts_its_replicas() {
        let without = |replicas: u32| {
            let mut objects = objects();
            objects.retain(|object| {
                let labels = &object["metadata"]["labels"];
                object["kind"] != "Machine" || labels.get("cluster.x-k8s.io/control-plane").is_none()
            });
            for object in objects.iter_mut().filter(|object| object["kind"] == "KubeadmControlPlane") {
                merge(object, &json!({"spec": {"replicas": replicas}}));
                object["spec"].as_object_mut().unwrap().remove("machineTemplate");
            }
            view(objects)
        };
        assert_eq!(settled(&without(1), &target()), Progress::Ready(()));
        assert!(not_yet(settled(&without(3), &target())).ends_with("spec.replicas is 3, not 1"));
        // With a template for Machines, one that is missing is missing.
        let mut objects = objects();
        objects.retain(|object| object["metadata"]["name"] != "c1-fnrrs-xfthn");
        assert!(not_yet(settled(&view(objects), &target())).contains("0 of 1 control plane Machines"));
    }

    #[test]
    fn terminal_states_end_the_wait() {
        let refused = json!({"status": "False", "reason": "ReconcileFailed",
            "message": "admission webhook denied the request: spec.version: too old"});
        assert_eq!(
            never(settled(&with_condition("Cluster", "TopologyReconciled", refused), &target())),
            "Cluster/c1: the topology does not reconcile: admission webhook denied the request: \
             spec.version: too old"
        );
        let failed = json!({"status": {"deprecated": {"v1beta1":
            {"failureReason": "CreateError", "failureMessage": "no valid host was found"}}}});
        assert!(
            never(settled(&with("Machine", failed), &target()))
                .ends_with("CreateError: no valid host was found")
        );
        let deleting = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(
            never(settled(&with("Cluster", deleting), &target())),
            "Cluster/c1: is being deleted, but not by this run"
        );
    }

    #[test]
    fn what_a_controller_gets_over_is_not_terminal() {
        let busy = json!({"status": "False", "reason": "ReconcileFailed",
            "message": "failed calling webhook: connect: connection refused"});
        assert!(
            not_yet(settled(&with_condition("Cluster", "TopologyReconciled", busy), &target()))
                .contains("connection refused")
        );
    }

    #[test]
    fn a_list_becomes_one_line() {
        let message = "* NodeHealthy:\n  * Node.Ready: is False\n* Waiting for more";
        assert_eq!(one_line(message), "NodeHealthy: Node.Ready: is False; Waiting for more");
    }

    #[test]
    fn gone_means_nothing_is_left() {
        assert_eq!(gone(&view(vec![])), Progress::Ready(()));
        assert!(not_yet(gone(&view(objects()))).contains("still exists and is not being deleted"));
        let deleting = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let why = not_yet(gone(&with("Cluster", deleting.clone())));
        assert!(why.contains("cluster.cluster.x-k8s.io"), "{why}");
        let mut paused = with_condition("Cluster", "Paused", json!({"status": "True"}));
        let mut root = (*paused.objects[0]).clone();
        assert_eq!(ObjectExt::kind(&root), "Cluster");
        root.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        paused.objects[0] = Arc::new(root);
        assert!(not_yet(gone(&paused)).starts_with("Cluster/c1: is paused"));
        let why = not_yet(gone(&with("DevMachine", deleting)));
        assert!(why.starts_with("DevMachine/"), "the innermost object is named: {why}");
    }
}
