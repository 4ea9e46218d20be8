//! The object tree of a cluster and the order in which things happened. Pure.

use crate::cluster::{ClusterView, ObjectExt};
use kube::ResourceExt;
use kube::api::DynamicObject;
use std::fmt::Write as _;
use std::sync::Arc;

/// The objects as a tree by owner, each with its conditions that are not as they usually are.
pub(super) fn tree(view: &ClusterView) -> String {
    let mut text = String::new();
    let known = |uid: &str| view.objects.iter().any(|object| object.uid().as_deref() == Some(uid));
    let roots =
        view.objects.iter().filter(|object| !object.owner_references().iter().any(|owner| known(&owner.uid)));
    for root in roots {
        branch(view, root, 0, &mut text);
    }
    if text.is_empty() {
        text.push_str("  none\n");
    }
    text
}

fn branch(view: &ClusterView, object: &DynamicObject, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth + 1);
    let deleting = if object.is_deleting() { " (being deleted)" } else { "" };
    let _ = writeln!(text, "{indent}{}/{}{deleting}", ObjectExt::kind(object), object.name_any());
    for cond in object.conditions() {
        let usual = matches!((cond.kind, cond.status), (_, "True") | ("Paused" | "Deleting", "False"));
        let calm = cond.status == "False" && cond.reason.starts_with("Not");
        if !usual && !calm {
            let _ = writeln!(text, "{indent}  ! {}", crate::cluster::condition::say(&cond));
        }
    }
    // A loop of owners would be an endless tree.
    if depth < 8 {
        for child in &view.objects {
            if child.owner_references().iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref()) {
                branch(view, child, depth + 1, text);
            }
        }
    }
}

/// Transitions of conditions and Events, in order of their time.
pub(super) fn timeline(view: &ClusterView, events: &[Arc<DynamicObject>]) -> String {
    let mut entries: Vec<(String, String)> = Vec::new();
    for object in &view.objects {
        if let Some(list) = object.data.pointer("/status/conditions").and_then(serde_json::Value::as_array) {
            for (cond, raw) in object.conditions().iter().zip(list) {
                let at =
                    raw.get("lastTransitionTime").and_then(serde_json::Value::as_str).unwrap_or_default();
                let what = format!(
                    "{}/{} {}",
                    object.kind(),
                    object.name_any(),
                    crate::cluster::condition::say(cond)
                );
                entries.push((at.to_owned(), what));
            }
        }
    }
    for event in events {
        let at = ["/lastTimestamp", "/eventTime", "/firstTimestamp"]
            .map(|pointer| event.text(pointer))
            .into_iter()
            .find(|at| !at.is_empty())
            .unwrap_or_default();
        let count =
            event.number("/count").filter(|count| *count > 1).map_or(String::new(), |n| format!(" (x{n})"));
        let what = format!(
            "{}/{} event {}: {}{count}",
            event.text("/involvedObject/kind"),
            event.text("/involvedObject/name"),
            event.text("/reason"),
            crate::cluster::condition::one_line(event.text("/message"))
        );
        entries.push((at.to_owned(), what));
    }
    entries.sort();
    if entries.is_empty() {
        return "  nothing\n".into();
    }
    entries.iter().map(|(at, what)| format!("  {at} {what}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ClusterName;
    use serde_json::json;

    #[test]
    fn the_tree_follows_owners_and_marks_what_is_wrong() {
        let object = |value| Arc::new(serde_json::from_value(value).unwrap());
        let view = ClusterView {
            objects: vec![
                object(
                    json!({"apiVersion": "v1", "kind": "Cluster", "metadata": {"name": "c1", "uid": "1"}}),
                ),
                object(json!({"apiVersion": "v1", "kind": "Machine",
                    "metadata": {"name": "m1", "uid": "2", "ownerReferences": [
                        {"apiVersion": "v1", "kind": "Cluster", "name": "c1", "uid": "1"}]},
                    "status": {"conditions": [
                        {"type": "Ready", "status": "False", "reason": "NoHost", "message": "* no host",
                         "lastTransitionTime": "2026-01-01T00:00:02Z"},
                        {"type": "Paused", "status": "False", "reason": "NotPaused",
                         "lastTransitionTime": "2026-01-01T00:00:01Z"}]}})),
            ],
            synced: true,
            ..ClusterView::empty(ClusterName::new("c1").unwrap())
        };
        assert_eq!(tree(&view), "  Cluster/c1\n    Machine/m1\n      ! Ready is False (NoHost): no host\n");
        assert_eq!(
            timeline(&view, &[]),
            "  2026-01-01T00:00:01Z Machine/m1 Paused is False (NotPaused)\n  \
             2026-01-01T00:00:02Z Machine/m1 Ready is False (NoHost): no host\n"
        );
    }
}
