use super::*;
use serde_json::json;

/// A class with text variables `lb` (default `amphora`), `id`, `name`, a number `n`, a structure `oidc`, and
/// these patches.
fn class(patches: &Value) -> Value {
    let variable = |name: &str, schema: Value| json!({"name": name, "schema": {"openAPIV3Schema": schema}});
    let text = json!({"type": "string"});
    json!({"metadata": {"name": "c"}, "spec": {"patches": patches, "variables": [
        variable("lb", json!({"type": "string", "default": "amphora", "description": "One of ovn, amphora, yawol or none."})),
        variable("choice", json!({"type": "string", "default": "a", "enum": ["a", "b", "c"]})),
        variable("id", text.clone()), variable("name", text.clone()), variable("unseen", text.clone()),
        variable("n", json!({"type": "integer"})),
        variable("list", json!({"type": "array", "items": text.clone()})),
        variable("oidc", json!({"type": "object", "properties": {
            "id": text, "url": text, "claim": {"type": "string", "default": "sub"}, "spare": text}})),
    ]}})
}

fn on(name: &str, enabled_if: &str) -> Value {
    json!({"name": name, "enabledIf": enabled_if, "definitions": [{"jsonPatches": [{"op": "add", "path": "/x", "value": name}]}]})
}

fn set(name: &str, enabled_if: &str, from: Value) -> Value {
    json!({"name": name, "enabledIf": enabled_if, "definitions": [{"jsonPatches": [{"op": "add", "path": "/x", "valueFrom": from}]}]})
}

fn patches() -> Value {
    json!([
        on("ovn", r#"{{ if eq .lb "ovn" }}true{{ end }}"#),
        on("amphora", r#"{{ eq .lb "amphora" }}"#),
        set("yawol", r#"{{ eq .lb "yawol" }}"#, json!({"template": "flavor: {{ .id }}"})),
        set("name", r#"{{ if .name }}true{{ end }}"#, json!({"variable": "name"})),
        set(
            "oidc",
            "{{ if and .oidc .oidc.id .oidc.url }}true{{ end }}",
            json!({"template": "{{ .oidc.id }} {{ .oidc.url }} {{ .oidc.claim }}"})
        ),
        on("choice", r#"{{ eq .choice "b" }}"#),
        set("list", "", json!({"template": "{{ range .list }}{{ . }}{{ end }}"})),
        set("n", "{{ if .n }}true{{ end }}", json!({"variable": "n"})),
    ])
}

fn values(values: &Value) -> BTreeMap<String, Value> {
    values.as_object().unwrap().clone().into_iter().collect()
}

fn messages(patches: &Value, v: &Value) -> Vec<String> {
    problems(&class(patches), &[], &values(v), None)
        .into_iter()
        .map(|p| format!("{}{}", p.message, p.hint.map(|h| format!("; {h}")).unwrap_or_default()))
        .collect()
}

#[test]
fn values_that_have_an_effect() {
    for v in [
        json!({"lb": "ovn"}),
        json!({"lb": "amphora"}),
        json!({"lb": "yawol", "id": "x"}),
        json!({"name": "anything"}),
        json!({"oidc": {"id": "i", "url": "u"}}),
        json!({"oidc": {"id": "i", "url": "u", "claim": "sub"}}),
        json!({"oidc": {"id": "i", "url": "u", "claim": "email"}}),
        json!({"choice": "b"}),
        json!({"lb": "none"}),
        json!({"list": []}),
        json!({"n": 0}),
        json!({"lb": ""}),
        json!({"n": 3}),
        json!({"list": ["x"]}),
    ] {
        assert_eq!(messages(&patches(), &v), Vec::<String>::new(), "{v}");
    }
    let by = |v: Value, name: &str| effect(&class(&patches()), &[], &values(&v), name);
    assert_eq!(by(json!({"lb": "amphora"}), "lb"), Some(Effect::Default));
    assert_eq!(
        by(json!({"lb": "ovn"}), "lb"),
        Some(Effect::Effective { by: vec!["ovn".into(), "amphora".into()] })
    );
    assert_eq!(by(json!({"lb": "ovn"}), "id"), None);
    assert_eq!(by(json!({"other": 1}), "other"), None);
}

#[test]
fn values_that_have_none() {
    for (v, message) in [
        (
            json!({"unseen": "x"}),
            "the value `x` of `unseen` changes nothing in ClusterClass c: no patch looks at it",
        ),
        (
            json!({"lb": "onv"}),
            "the value `onv` of `lb` changes nothing in ClusterClass c: no patch tells it from any \
          other text; did you mean `ovn`? values that are told apart: `amphora`, `ovn`, `yawol`",
        ),
        (
            json!({"lb": "ovn", "id": "x"}),
            "the value `x` of `id` changes nothing in ClusterClass c: what looks at it \
          is off with the other variables of this combination: yawol",
        ),
        (
            json!({"oidc": {"id": "i"}}),
            "the value {\"claim\":\"sub\",\"id\":\"i\"} of `oidc` changes nothing in \
          ClusterClass c: what looks at it is off with the other variables of this combination: oidc",
        ),
        (
            json!({"oidc": {"id": "i", "url": "u", "spare": "s"}}),
            "the value `s` of `oidc.spare` changes nothing in ClusterClass c: everything comes out as without it",
        ),
        (
            json!({"choice": "c"}),
            "the value `c` of `choice` changes nothing in ClusterClass c: no patch tells it from \
          the default `a`; values that are told apart: `b`",
        ),
    ] {
        assert_eq!(messages(&patches(), &v), [message], "{v}");
    }
}

#[test]
fn a_value_like_the_default_in_all_but_name() {
    let patches = json!([on("ovn", r#"{{ eq .lb "ovn" }}"#), on("none", r#"{{ eq .lb "none" }}"#)]);
    assert_eq!(
        messages(&patches, &json!({"lb": "onv"})),
        [
            "the value `onv` of `lb` changes nothing in ClusterClass c: no patch tells it from the default `amphora`; \
          did you mean `ovn`? values that are told apart: `none`, `ovn`"
        ]
    );
}

#[test]
fn unknown_is_not_silent() {
    for (patch, why) in [
        (on("p", r#"{{ semverCompare ">1.30" .lb }}"#), "p: the function `semverCompare` is not understood"),
        (
            on("p", r#"{{ if eq .builtin.controlPlane.version "v1" }}{{ .lb }}{{ end }}"#),
            "`.builtin.controlPlane.version`",
        ),
        (
            json!({"name": "p", "external": {"generatePatchesExtension": "x"}}),
            "p: a runtime extension decides",
        ),
        (on("p", "{{ block \"lb\" . }}{{ end }}"), "`block` is not understood"),
    ] {
        let problems = problems(&class(&json!([patch])), &[], &values(&json!({"lb": "x"})), None);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].severity, Severity::Warning);
        assert!(problems[0].message.contains(why), "{}", problems[0].message);
    }
    // An unknown patch that does not look at the variable says nothing about it.
    let patches = json!([on("p", "{{ nosuch .id }}"), on("ovn", r#"{{ eq .lb "ovn" }}"#)]);
    assert_eq!(messages(&patches, &json!({"lb": "ovn"})), Vec::<String>::new());
}

#[test]
fn patches_that_select_nothing_have_no_effect() {
    let mut patch = set("p", "", json!({"variable": "name"}));
    let select = |worker: &str| {
        json!({"apiVersion": "g/v1", "kind": "M",
            "matchResources": {"machineDeploymentClass": {"names": [worker]}}})
    };
    let messages = |patch: &Value| -> Vec<String> {
        let mut class = class(&json!([patch]));
        class["spec"]["workers"]["machineDeployments"] = json!([{"class": "default-worker", "template":
            {"infrastructure": {"ref": {"apiVersion": "g/v1", "kind": "M", "name": "w"}}}}]);
        let found = problems(&class, &[], &values(&json!({"name": "x"})), None);
        found.into_iter().map(|p| p.message).collect()
    };
    patch["definitions"][0]["selector"] = select("default-worker");
    assert_eq!(messages(&patch), Vec::<String>::new());
    patch["definitions"][0]["selector"] = select("worker");
    let why = "the value `x` of `name` changes nothing in ClusterClass c: what looks at it selects no template of the class: p";
    assert_eq!(messages(&patch), [why]);
    // One definition that selects something is enough, and what it reads alone counts.
    let mut other = patch["definitions"][0].clone();
    other["selector"] = select("default-*");
    other["jsonPatches"][0]["valueFrom"] = json!({"variable": "id"});
    patch["definitions"].as_array_mut().unwrap().push(other);
    assert!(messages(&patch)[0].contains("variable \"id\" does not exist"));
}

#[test]
fn patches_that_fail_are_told() {
    let patches =
        json!([set("p", r#"{{ eq .lb "ovn" }}"#, json!({"variable": "id"})), on("q", "{{ eq .n 3 }}")]);
    assert_eq!(
        messages(&patches, &json!({"lb": "ovn", "n": 3})),
        [
            "p of ClusterClass c fails with these variables: variable \"id\" does not exist; it looks at lb, id",
            "q of ClusterClass c fails with these variables: incompatible types for comparison: float64 and int; it looks at n",
        ]
    );
}

#[test]
fn add_ons_look_at_variables_too() {
    let template = r#"
        {{- range .Cluster.spec.topology.variables }}{{ if eq .name "unseen" }}
        {{- if or (eq .value "none") (eq .value "yawol") }}enabled: false{{ else if eq .value "ovn" }}ovn{{ end }}
        {{- end }}{{ end }} {{ printf "https://%s:%d" $.Cluster.spec.controlPlaneEndpoint.host $.Cluster.spec.controlPlaneEndpoint.port }}"#;
    let addons = [AddonValues { stage: "a".into(), file: "values.yaml".into(), template: template.into() }];
    let effect =
        |value: &str| effect(&class(&json!([])), &addons, &values(&json!({"unseen": value})), "unseen");
    assert_eq!(effect("ovn"), Some(Effect::Effective { by: vec!["values.yaml".into()] }));
    let Some(Effect::Ineffective { literals, .. }) = effect("onv") else { panic!("{:?}", effect("onv")) };
    assert_eq!(literals, ["none", "ovn", "yawol"]);
}

/// A class with templates for the control plane and for workers.
fn with_templates(patches: &Value) -> Value {
    let mut class = class(patches);
    let reference = json!({"apiVersion": "g/v1", "kind": "M", "name": "m"});
    class["spec"]["controlPlane"]["machineInfrastructure"]["ref"] = reference.clone();
    class["spec"]["workers"]["machineDeployments"] =
        json!([{"class": "default-worker", "template": {"infrastructure": {"ref": reference}}}]);
    class
}

#[test]
fn what_cluster_api_tells_of_a_planned_cluster_is_known() {
    let patch = |enabled_if: &str, resources: Value| {
        let mut patch = set("p", enabled_if, json!({"variable": "name"}));
        patch["definitions"][0]["selector"] =
            json!({"apiVersion": "g/v1", "kind": "M", "matchResources": resources});
        patch
    };
    let (planes, workers) =
        (json!({"controlPlane": true}), json!({"machineDeploymentClass": {"names": ["default-worker"]}}));
    let planned = Planned {
        kubernetes: "v1.34.7".into(),
        class: "c".into(),
        worker_class: "default-worker".into(),
        control_planes: 3,
        workers: 2,
    };
    let said = |patch: &Value, planned: Option<&Planned>| -> Vec<String> {
        let found = problems(&with_templates(&json!([patch])), &[], &values(&json!({"name": "x"})), planned);
        found.into_iter().map(|problem| problem.message).collect()
    };
    for (enabled_if, resources, expect) in [
        (r#"{{ eq .builtin.controlPlane.version "v1.34.7" }}"#, &planes, None),
        (
            r#"{{ eq .builtin.controlPlane.version "v1.35.0" }}"#,
            &planes,
            Some("is off with the other variables"),
        ),
        (r#"{{ eq .builtin.cluster.topology.version "v1.34.7" }}"#, &workers, None),
        ("{{ gt .builtin.controlPlane.replicas 1.0 }}", &planes, None),
        ("{{ lt .builtin.controlPlane.replicas 2.0 }}", &planes, Some("is off with the other variables")),
        ("{{ if .builtin.machineDeployment }}true{{ end }}", &workers, None),
        // A patch sees of a cluster what its template is of.
        (
            "{{ if .builtin.machineDeployment }}true{{ end }}",
            &planes,
            Some("is off with the other variables"),
        ),
        (r#"{{ eq .builtin.machineDeployment.class "default-worker" }}"#, &workers, None),
        (
            r#"{{ eq .builtin.machineDeployment.class "other" }}"#,
            &workers,
            Some("is off with the other variables"),
        ),
        // Names are given later.
        (r#"{{ eq .builtin.cluster.name "n" }}"#, &planes, Some("cannot tell whether")),
        (r#"{{ eq .builtin.machineDeployment.topologyName "md" }}"#, &workers, Some("cannot tell whether")),
    ] {
        let found = said(&patch(enabled_if, resources.clone()), Some(&planned));
        match expect {
            None => assert_eq!(found, Vec::<String>::new(), "{enabled_if}"),
            Some(words) => assert!(found.len() == 1 && found[0].contains(words), "{enabled_if}: {found:?}"),
        }
        // Without a plan it is unknown.
        let unknown = said(&patch(enabled_if, resources.clone()), None);
        assert!(unknown[0].contains("cannot tell whether"), "{enabled_if}: {unknown:?}");
    }
}
