//! The fixture stack and, when they are at hand, published Cluster Stacks.
//!
//! With `STACK_E2E_HELM=/path/to/helm` charts are rendered; with `STACK_E2E_UPSTREAM=/path/to/states`, a folder with
//! one checkout of the published stacks for each state, these are read as well. Without, the tests say what they skip.

use serde_json::{Value, json};
use stack_e2e::stack::variables::{self, Severity};
use stack_e2e::stack::{self, StackRelease, effect};
use stack_e2e::types::KubernetesMinor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks");

fn from_environment(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).map(PathBuf::from);
    if value.is_none() {
        println!("skipped: {name} is not set");
    }
    value
}

fn variables(values: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(values).unwrap()
}

/// The fixture as Helm rendered it; `the_rendered_fixture_is_current` holds that it still does.
fn fixture() -> StackRelease {
    let text = std::fs::read_to_string(format!("{FIXTURES}/rendered/embedded-scs-1-34.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    StackRelease {
        kubernetes: "v1.34.7".parse().unwrap(),
        class: "embedded-scs-1-34-v1".into(),
        worker_class: "default-worker".into(),
        worker_classes: vec!["default-worker".into()],
        cluster_class: objects.iter().find(|o| o["kind"] == "ClusterClass").unwrap().clone(),
        objects,
        addon_values: Vec::new(),
    }
}

fn found(release: &StackRelease, values: Value) -> Vec<String> {
    variables::problems(release, &variables(values)).into_iter().map(|p| p.message).collect()
}

#[test]
fn the_switches_of_the_fixture_have_an_effect() {
    let ids = ("0a79590e-10d7-4c2c-8f69-ca0a2c6208d2", "f0b2ef46-f0ff-43d2-9c08-f58a5a6e9060");
    for values in [
        json!({"workload_loadbalancer": "yawol", "yawol_flavor_id": ids.0, "yawol_image_id": ids.1}),
        json!({"workload_loadbalancer": "octavia-amphora"}),
        json!({"workload_loadbalancer": "octavia-ovn", "apiserver_loadbalancer": "octavia-ovn"}),
        json!({"workload_loadbalancer": "none", "apiserver_loadbalancer": "none"}),
        json!({"controller_flavor": "SCS-4V-8", "worker_flavor": "SCS-4V-8", "image_name": "flatcar"}),
        json!({"dns_nameservers": ["9.9.9.9"], "network_mtu": 1500, "certSANs": ["api.example.org"]}),
        json!({"oidc_config": {"client_id": "kubectl", "issuer_url": "https://dex.example.org", "groups_claim": "roles"}}),
    ] {
        assert_eq!(found(&fixture(), values.clone()), Vec::<String>::new(), "{values}");
    }
}

#[test]
fn mistakes_in_the_fixture_are_found() {
    let class = "ClusterClass embedded-scs-1-34-v1";
    for (values, message) in [
        (
            json!({"workload_loadbalancer": "octavia-onv"}),
            format!(
                "the value `octavia-onv` of `workload_loadbalancer` changes nothing in {class}: no patch tells it from any other text"
            ),
        ),
        (
            json!({"yawol_flavor_id": "0a79590e-10d7-4c2c-8f69-ca0a2c6208d2"}),
            format!(
                "the value `0a79590e-10d7-4c2c-8f69-ca0a2c6208d2` of `yawol_flavor_id` changes nothing in {class}: what looks \
                     at it is off with the other variables of this combination: workload_loadbalancer_yawol"
            ),
        ),
        (
            json!({"oidc_config": {"client_id": "kubectl"}}),
            format!(
                "the value {} of `oidc_config` changes nothing in {class}: what looks at it is off with the other variables \
                     of this combination: oidc_config",
                r#"{"client_id":"kubectl","groups_claim":"groups","username_claim":"preferred_user…"#
            ),
        ),
        (json!({"workload_loadbalancr": "yawol"}), format!("{class} has no variable `workload_loadbalancr`")),
        (json!({"network_mtu": "1500"}), "`network_mtu` is `1500`, not an integer".into()),
        (json!({"network_mtu": 100}), "`network_mtu` is 100, allowed is at least 1280".into()),
    ] {
        assert_eq!(found(&fixture(), values), [message]);
    }
}

#[test]
fn the_fixture_loads() {
    let source = stack::load(Path::new(&format!("{FIXTURES}/embedded/scs"))).unwrap();
    let minors: Vec<String> = source.minors().map(|m| m.to_string()).collect();
    assert_eq!(minors, ["1.33", "1.34", "1.35", "1.36"]);
    assert_eq!(source.release_name("1.34".parse().unwrap()), "embedded-scs-1-34");
}

#[tokio::test]
async fn the_rendered_fixture_is_current() {
    let Some(helm) = from_environment("STACK_E2E_HELM") else {
        return;
    };
    let source = stack::load(Path::new(&format!("{FIXTURES}/embedded/scs"))).unwrap();
    let minors: Vec<KubernetesMinor> = source.minors().collect();
    let stack = stack::render(&source, &helm, &minors).await.unwrap();
    assert_eq!(
        stack.release("1.34".parse().unwrap()).unwrap().objects,
        fixture().objects,
        "render it again: helm template embedded-scs-1-34 fixtures/stacks/embedded/scs/cluster-class"
    );
    let names: Vec<&str> = stack.releases.iter().map(|r| r.class.as_str()).collect();
    assert_eq!(
        names,
        ["embedded-scs-1-33-v1", "embedded-scs-1-34-v1", "embedded-scs-1-35-v1", "embedded-scs-1-36-v1"]
    );
    // The minors live in one namespace, so no object may have the name of another.
    let mut objects: Vec<(&Value, &Value)> = stack
        .releases
        .iter()
        .flat_map(|r| &r.objects)
        .map(|o| (&o["kind"], &o["metadata"]["name"]))
        .collect();
    let all = objects.len();
    objects.sort_by_key(|(kind, name)| (kind.to_string(), name.to_string()));
    objects.dedup();
    assert_eq!(objects.len(), all);
}

/// Folders that hold a stack, in either layout.
fn published(upstream: &Path) -> Vec<PathBuf> {
    let mut stacks = Vec::new();
    for state in folders(upstream) {
        for provider in folders(&state.join("providers")) {
            stacks.extend(folders(&provider));
        }
    }
    stacks
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten().map(|e| e.path());
    let mut folders: Vec<PathBuf> = entries.filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn published_stacks_are_understood() {
    let Some(upstream) = from_environment("STACK_E2E_UPSTREAM") else {
        return;
    };
    let Some(helm) = from_environment("STACK_E2E_HELM") else {
        return;
    };
    let mut rendered = 0;
    for directory in published(&upstream) {
        let shown = directory.strip_prefix(&upstream).unwrap().display();
        let source = match stack::load(&directory) {
            Ok(source) => source,
            Err(error) => {
                println!("{shown}: {error}");
                continue;
            }
        };
        let minors: Vec<KubernetesMinor> = source.minors().collect();
        let stack = match stack::render(&source, &helm, &minors).await {
            Ok(stack) => stack,
            Err(error) => {
                println!("{shown}: {error}");
                continue;
            }
        };
        for release in &stack.releases {
            rendered += 1;
            let defaults: BTreeMap<String, Value> = variables::variables(&release.cluster_class)
                .filter_map(|v| Some((v.name.to_owned(), v.default()?)))
                .collect();
            println!("{shown}: {} with {} defaults", release.class, defaults.len());
            for problem in variables::problems(release, &defaults) {
                println!("    {:?}: {}", problem.severity, problem.message);
                // Required variables without default, and variables that nothing looks at, are facts of these stacks.
                assert!(!problem.message.contains("fails with"), "{}", problem.message);
            }
            let typo = [
                ("apiserver_loadbalancer", "octavia-onv"),
                ("workload_loadbalancer", "octavia-onv"),
                ("apiServerLoadBalancer", "octavia-onv"),
            ];
            for (name, value) in typo {
                let values = variables(json!({name: value}));
                if let Some(effect) =
                    effect::effect(&release.cluster_class, &release.addon_values, &values, name)
                {
                    println!("    {name}: {value} -> {effect:?}");
                    assert!(matches!(effect, effect::Effect::Ineffective { .. }), "{}", release.class);
                }
            }
            let unknown = variables::problems(release, &variables(json!({"nosuch": 1})));
            assert!(
                unknown
                    .iter()
                    .any(|p| p.severity == Severity::Error && p.message.contains("no variable `nosuch`"))
            );
        }
    }
    assert!(rendered > 0, "no stack was rendered");
}
