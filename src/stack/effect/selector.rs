//! Whether a definition of a patch applies to any template of its class, as Cluster API selects: by `apiVersion` and `kind`,
//! and by the place that the class has the template in. What selects nothing changes nothing, and nobody says so. Pure.

use super::builtin::Role;
use serde_json::Value;
use std::collections::BTreeSet;

/// Where a class has a template.
#[derive(Clone, Copy)]
enum Place<'a> {
    InfrastructureCluster,
    ControlPlane,
    MachineDeployment(&'a str),
    MachinePool(&'a str),
}

/// What templates the definition selects; none, when it does nothing. A class without templates, or a definition without a
/// selector, says nothing.
pub(super) fn selected(class: &Value, definition: &Value) -> BTreeSet<Role> {
    let (templates, selector) = (templates(class), &definition["selector"]);
    let wanted = &selector["matchResources"];
    if templates.is_empty() || !selector.is_object() || !wanted.is_object() {
        return [Role::Any].into();
    }
    let found = templates.iter().filter(|(reference, place)| {
        let same = |key: &str| reference[key] == selector[key];
        same("apiVersion") && same("kind") && is_wanted(wanted, *place)
    });
    let role = |(_, place): &(&Value, Place<'_>)| match place {
        Place::InfrastructureCluster => Role::Cluster,
        Place::ControlPlane => Role::ControlPlane,
        // Plans have no pools of machines, so what patches see there is not known.
        Place::MachineDeployment(_) => Role::Workers,
        Place::MachinePool(_) => Role::Any,
    };
    found.map(role).collect()
}

fn is_wanted(wanted: &Value, place: Place<'_>) -> bool {
    let named = |key: &str, class: &str| {
        let names = wanted[key]["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.into_iter().any(|name| fits(name, class))
    };
    match place {
        Place::InfrastructureCluster => wanted["infrastructureCluster"] == true,
        Place::ControlPlane => wanted["controlPlane"] == true,
        Place::MachineDeployment(class) => named("machineDeploymentClass", class),
        Place::MachinePool(class) => named("machinePoolClass", class),
    }
}

/// One `*` stands at the beginning or at the end.
fn fits(name: &str, class: &str) -> bool {
    match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(end), _) => class.ends_with(end),
        (_, Some(start)) => class.starts_with(start),
        (None, None) => name == class,
    }
}

/// The references of a class, of `v1beta1` (`ref`, workers with a `template`) and of `v1beta2` (`templateRef`).
fn templates(class: &Value) -> Vec<(&Value, Place<'_>)> {
    let spec = &class["spec"];
    let mut found: Vec<(&Value, Place<'_>)> = Vec::new();
    found.extend(references(&spec["infrastructure"]).map(|r| (r, Place::InfrastructureCluster)));
    let control_plane = &spec["controlPlane"];
    for holder in [control_plane, &control_plane["machineInfrastructure"]] {
        found.extend(references(holder).map(|r| (r, Place::ControlPlane)));
    }
    for (key, pool) in [("machineDeployments", false), ("machinePools", true)] {
        for worker in spec["workers"][key].as_array().into_iter().flatten() {
            let name = worker["class"].as_str().unwrap_or_default();
            let place = if pool { Place::MachinePool(name) } else { Place::MachineDeployment(name) };
            for holder in [worker, &worker["template"]] {
                for part in ["bootstrap", "infrastructure"] {
                    found.extend(references(&holder[part]).map(|r| (r, place)));
                }
            }
        }
    }
    found
}

fn references(holder: &Value) -> impl Iterator<Item = &Value> {
    ["ref", "templateRef"].into_iter().filter_map(|key| holder.get(key)).filter(|found| found.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reference(kind: &str) -> Value {
        json!({"apiVersion": "g/v1", "kind": kind, "name": "x"})
    }

    #[test]
    fn definitions_select_as_cluster_api_does() {
        let old = json!({"spec": {
            "infrastructure": {"ref": reference("C")},
            "controlPlane": {"ref": reference("K"), "machineInfrastructure": {"ref": reference("M")}},
            "workers": {"machineDeployments": [{"class": "default-worker", "template": {
                "bootstrap": {"ref": reference("B")}, "infrastructure": {"ref": reference("M")}}}]},
        }});
        let new = json!({"spec": {
            "infrastructure": {"templateRef": reference("C")},
            "controlPlane": {"templateRef": reference("K"), "machineInfrastructure": {"templateRef": reference("M")}},
            "workers": {"machineDeployments": [{"class": "default-worker",
                "bootstrap": {"templateRef": reference("B")}, "infrastructure": {"templateRef": reference("M")}}]},
        }});
        let names = |name: &str| json!({"machineDeploymentClass": {"names": [name]}});
        for (kind, wanted, expect) in [
            ("C", json!({"infrastructureCluster": true}), true),
            ("C", json!({"infrastructureCluster": false}), false),
            ("C", json!({"controlPlane": true}), false),
            ("K", json!({"controlPlane": true}), true),
            ("M", json!({"controlPlane": true}), true),
            ("M", names("default-worker"), true),
            ("B", names("default-worker"), true),
            ("M", names("worker"), false),
            ("M", names("default-*"), true),
            ("M", names("*-worker"), true),
            ("M", names("*"), true),
            ("M", names("other-*"), false),
            ("M", json!({"machinePoolClass": {"names": ["*"]}}), false),
            ("K", names("default-worker"), false),
            ("Other", json!({"controlPlane": true}), false),
        ] {
            let selector = json!({"apiVersion": "g/v1", "kind": kind, "matchResources": wanted});
            for class in [&old, &new] {
                let found = !selected(class, &json!({"selector": selector})).is_empty();
                assert_eq!(found, expect, "{kind} {wanted}");
            }
            // Another version of the API is another kind.
            let other = json!({"apiVersion": "g/v2", "kind": kind, "matchResources": wanted});
            assert!(selected(&old, &json!({"selector": other})).is_empty());
        }
        let any = BTreeSet::from([Role::Any]);
        assert_eq!(selected(&json!({}), &json!({"selector": {"kind": "C", "matchResources": {}}})), any);
        assert_eq!(selected(&old, &json!({})), any);
        let both = json!({"controlPlane": true, "machineDeploymentClass": {"names": ["*"]}});
        let selector = json!({"apiVersion": "g/v1", "kind": "M", "matchResources": both});
        let roles = selected(&old, &json!({"selector": selector}));
        assert_eq!(roles, [Role::ControlPlane, Role::Workers].into());
    }
}
