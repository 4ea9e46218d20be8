//! Pure conditions over what is observed of a cluster at Cluster API's lifecycle hooks.

use super::condition::{one_line, say, terminal};
use super::view::{ClusterView, ObjectExt};
use super::wait::{Progress, Why};
use crate::types::KubernetesVersion;
use kube::ResourceExt;

/// The start of annotations on a Cluster, each of which makes Cluster API wait before it changes anything for another
/// Kubernetes version. It takes the same place as the hook `BeforeClusterUpgrade` of an extension.
const HOLD: &str = "before-upgrade.hook.cluster.cluster.x-k8s.io";

/// Our annotation of that kind. It goes with the Cluster, so nothing is left behind that could block others.
#[must_use]
pub fn hold() -> String {
    format!("{HOLD}/stack-e2e")
}

/// What Cluster API means to call later.
const PENDING: &str = "runtime.cluster.x-k8s.io/pending-hooks";

/// The control plane of a new cluster is initialized, and Cluster API has gone past its hook
/// `AfterControlPlaneInitialized`.
#[must_use]
pub fn initialized(view: &ClusterView) -> Progress<()> {
    if let Some(why) = terminal(view) {
        return Progress::Never(why);
    }
    let Some(root) = view.root() else {
        return Progress::NotYet(Why::new("the Cluster does not exist yet"));
    };
    let not_yet = |text: String| Progress::NotYet(Why::of(root.reference(), text));
    match root.condition("ControlPlaneInitialized") {
        None => return not_yet("condition ControlPlaneInitialized is not there yet".into()),
        Some(cond) if cond.status != "True" => return not_yet(say(&cond)),
        Some(_) => {}
    }
    let pending = root.annotations().get(PENDING).map(String::as_str).unwrap_or_default();
    if pending.split(',').any(|hook| hook == "AfterControlPlaneInitialized") {
        return not_yet("Cluster API has not called AfterControlPlaneInitialized yet".into());
    }
    Progress::Ready(())
}

/// Cluster API says that the upgrade to `to` waits for our annotation; gives its words.
#[must_use]
pub fn held(view: &ClusterView, to: KubernetesVersion) -> Progress<String> {
    if let Some(why) = terminal(view) {
        return Progress::Never(why);
    }
    let Some(root) = view.root() else {
        return Progress::NotYet(Why::new("the Cluster does not exist yet"));
    };
    if let Some(control_plane) = view.control_plane().filter(|o| o.text("/spec/version") == to.to_string()) {
        let text = format!(
            "has {to} already: Cluster API did not wait (is its feature gate RuntimeSDK on, and is it 1.12 or later?)"
        );
        return Progress::Never(Why::of(control_plane.reference(), text));
    }
    let not_yet = |text: String| Progress::NotYet(Why::of(root.reference(), text));
    match root.condition("TopologyReconciled") {
        Some(cond) if cond.status == "False" && cond.message.contains(&hold()) => {
            let now = cond.observed_generation.zip(root.metadata.generation);
            if now.is_some_and(|(observed, current)| observed < current) {
                return not_yet("condition TopologyReconciled is about an older generation".into());
            }
            Progress::Ready(one_line(cond.message))
        }
        Some(cond) => not_yet(format!("Cluster API does not say yet that the upgrade waits: {}", say(&cond))),
        None => not_yet("condition TopologyReconciled is not there yet".into()),
    }
}

/// The control plane object wants the version; gives its resource version.
#[must_use]
pub fn control_plane_on(view: &ClusterView, version: KubernetesVersion) -> Progress<String> {
    match view.control_plane() {
        Some(object) if object.text("/spec/version") == version.to_string() => {
            Progress::Ready(object.resource_version().unwrap_or_default())
        }
        Some(object) => {
            let text = format!("has {}, not yet {version}", object.text("/spec/version"));
            Progress::NotYet(Why::of(object.reference(), text))
        }
        None => Progress::NotYet(Why::new("there is no control plane yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::captured::view;
    use serde_json::{Value, json};

    fn cluster(change: impl Fn(&mut Value)) -> ClusterView {
        view(|object| {
            if object["kind"] == "Cluster" {
                change(object);
            }
        })
    }

    fn set(object: &mut Value, kind: &str, status: &str, message: &str) {
        let conditions = object["status"]["conditions"].as_array_mut().unwrap();
        let condition = conditions.iter_mut().find(|c| c["type"] == kind).unwrap();
        condition["status"] = json!(status);
        condition["message"] = json!(message);
    }

    fn why<T: std::fmt::Debug>(progress: Progress<T>) -> String {
        match progress {
            Progress::NotYet(why) | Progress::Never(why) => why.to_string(),
            other @ Progress::Ready(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_control_plane_is_initialized_once_its_hook_was_called() {
        assert_eq!(initialized(&cluster(|_| {})), Progress::Ready(()));
        let pending = cluster(|c| {
            c["metadata"]["annotations"][PENDING] = json!("AfterClusterUpgrade,AfterControlPlaneInitialized");
        });
        assert!(why(initialized(&pending)).contains("has not called AfterControlPlaneInitialized yet"));
        let early = cluster(|c| set(c, "ControlPlaneInitialized", "False", "no Node"));
        assert!(why(initialized(&early)).contains("no Node"));
    }

    #[test]
    fn an_upgrade_is_held_when_cluster_api_says_so() {
        let to = "v1.35.4".parse().unwrap();
        let words = format!("Cluster is upgrading to v1.35.4\n  * annotation {} is set", hold());
        let held_view = cluster(|c| set(c, "TopologyReconciled", "False", &words));
        assert!(matches!(held(&held_view, to), Progress::Ready(words) if words.contains("stack-e2e is set")));
        assert!(why(held(&cluster(|_| {}), to)).contains("does not say yet that the upgrade waits"));
        let stale = cluster(|c| {
            set(c, "TopologyReconciled", "False", &words);
            c["metadata"]["generation"] = json!(99);
        });
        assert!(why(held(&stale, to)).contains("older generation"));
        // A Cluster API that knows no such annotation goes ahead: that must not be taken for waiting.
        let ahead = view(|object| {
            if object["kind"] == "KubeadmControlPlane" {
                object["spec"]["version"] = json!("v1.35.4");
            }
        });
        assert!(matches!(held(&ahead, to), Progress::Never(why) if why.to_string().contains("did not wait")));
    }

    #[test]
    fn the_version_of_the_control_plane_is_seen() {
        assert!(matches!(control_plane_on(&cluster(|_| {}), "v1.34.7".parse().unwrap()), Progress::Ready(_)));
        let early = why(control_plane_on(&cluster(|_| {}), "v1.35.4".parse().unwrap()));
        assert!(early.ends_with("has v1.34.7, not yet v1.35.4"), "{early}");
    }
}
