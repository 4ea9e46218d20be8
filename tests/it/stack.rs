//! The fixture stack and, when they are at hand, published Cluster Stacks.
//!
//! With `STACK_E2E_HELM=/path/to/helm` charts are rendered; where the published stacks are (`support::upstream`), these
//! are read as well. Without, the tests say what they skip.

use crate::support::copy;
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
        addons: None,
    }
}

fn found(release: &StackRelease, values: Value) -> Vec<String> {
    variables::problems(release, &variables(values), None).into_iter().map(|p| p.message).collect()
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
async fn the_rendered_fixtures_of_other_providers_are_current() {
    let Some(helm) = from_environment("STACK_E2E_HELM") else {
        return;
    };
    for (folder, name) in [
        ("openstack/scs", "openstack-scs-1-29"),
        ("openstack/kamaji", "openstack-kamaji-1-34"),
        ("docker/scs", "docker-scs-1-34"),
        ("kubevirt/scs", "kubevirt-scs-1-34"),
        ("metal3/scs", "metal3-scs-1-34"),
        ("hetzner/scs", "hetzner-scs-1-34"),
    ] {
        let source = stack::load(Path::new(&format!("{FIXTURES}/{folder}"))).unwrap();
        let minor: KubernetesMinor = format!("1.{}", name.rsplit('-').next().unwrap()).parse().unwrap();
        let stack = stack::render(&source, &helm, &[minor]).await.unwrap();
        let text = std::fs::read_to_string(format!("{FIXTURES}/rendered/{name}.yaml")).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(
            stack.release(minor).unwrap().objects,
            objects,
            "render it again: helm template {name} fixtures/stacks/{folder}/cluster-class"
        );
    }
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

/// One line for each minor of each stack below a folder, and what is wrong with the others.
fn table(folder: &Path) -> String {
    let found = stack::discover(folder, None);
    let mut lines = Vec::new();
    for source in &found.stacks {
        for minor in &source.minors {
            let stages = minor.addons.hooks.iter().map(|(hook, stages)| {
                let names: Vec<&str> = stages.iter().map(|s| s.name.as_str()).collect();
                format!("{hook}: {}", names.join(" "))
            });
            let versions: Vec<String> = minor
                .addon_charts
                .iter()
                .flat_map(|a| &a.chart.dependencies)
                .map(|d| format!("{} {}", d.name, d.version))
                .collect();
            let images: Vec<&str> = minor.node_images.iter().map(|i| i.name.as_str()).collect();
            lines.push(format!(
                "{}-{} {} ({})\n  class {} {}\n  add-ons {}\n  {}\n  images {}",
                source.provider,
                source.name,
                minor.kubernetes,
                source.layout,
                minor.class.name,
                minor.class.version,
                versions.join(", "),
                stages.collect::<Vec<_>>().join("; "),
                images.join(", "),
            ));
        }
    }
    lines.extend(found.problems.iter().map(|problem| format!("PROBLEM {problem}")));
    lines.join("\n")
}

#[test]
fn every_layout_is_read() {
    for layout in ["minors", "versions", "branches", "subfolders"] {
        insta::assert_snapshot!(layout, table(&Path::new(FIXTURES).join("layouts").join(layout)));
    }
}

#[test]
fn no_published_stack_is_refused() {
    let Some(upstream) = crate::support::upstream() else { return };
    let expect = [
        ("2024-04-25", "docker-ferrol 1.27 / openstack-alpha 1.27 1.28 1.29 / openstack-wooctavia 1.27"),
        (
            "2025-02-with-yawol-switch",
            "docker-ferrol 1.27 / hetzner-baremetal 1.30 / kubevirt-alpha 1.29 / metal3-alpha 1.28 / openstack-kamaji 1.30 / \
             openstack-scs 1.29 1.30 1.31",
        ),
        ("2026-05", "docker-scs 1.30 / openstack-scs 1.30 1.31 1.32 / openstack-scs2 1.32 1.33 1.34"),
    ];
    for (state, stacks) in expect {
        let found = stack::discover(&upstream.join("cluster-stacks").join(state), None);
        assert_eq!(found.problems, [], "{state}");
        let named = |s: &stack::StackSource| {
            let minors: Vec<String> = s.minors().map(|m| m.to_string()).collect();
            format!("{}-{} {}", s.provider, s.name, minors.join(" "))
        };
        assert_eq!(found.stacks.iter().map(named).collect::<Vec<_>>().join(" / "), stacks, "{state}");
        for minor in found.stacks.iter().flat_map(|s| &s.minors) {
            assert!(!minor.addon_charts.is_empty() && !minor.addons.stages().is_empty(), "{minor:?}");
        }
    }
    // Versions of a minor come from `versions.yaml`, not from the charts that all minors share.
    let folder = upstream.join("cluster-stacks/2025-02-with-yawol-switch/providers/openstack/scs");
    let source = stack::load(&folder).unwrap();
    let occm = |minor: &stack::MinorSource| {
        let name = ("cluster-addon".to_owned(), "openstack-cloud-controller-manager".to_owned());
        minor.addon_versions()[&name].clone()
    };
    assert_eq!(source.minors.iter().map(occm).collect::<Vec<_>>(), ["2.29.3", "2.30.3", "2.31.1"]);
}

/// The example of a schema, or the least value of its type.
fn least(schema: &Value) -> Value {
    match (&schema["example"], schema["type"].as_str()) {
        (Value::Null, Some("object")) => json!({}),
        (Value::Null, Some("array")) => json!([]),
        (Value::Null, Some("integer" | "number")) => json!(1),
        (Value::Null, Some("boolean")) => json!(true),
        (Value::Null, _) => json!("x"),
        (example, _) => example.clone(),
    }
}

#[tokio::test]
async fn published_stacks_are_understood() {
    let Some(upstream) = crate::support::upstream() else { return };
    let Some(helm) = from_environment("STACK_E2E_HELM") else { return };
    let mut rendered = 0;
    let states = ["2024-04-25", "2025-02-with-yawol-switch", "2026-05"];
    let stacks =
        states.map(|state| stack::discover(&upstream.join("cluster-stacks").join(state), None).stacks);
    for source in stacks.iter().flatten() {
        let shown = source.directory.strip_prefix(&upstream).unwrap().display();
        let minors: Vec<KubernetesMinor> = source.minors().collect();
        let stack = stack::render(source, &helm, &minors).await.unwrap();
        for release in &stack.releases {
            rendered += 1;
            let defaults: BTreeMap<String, Value> = variables::variables(&release.cluster_class)
                .filter_map(|v| {
                    let least = v.required.then(|| least(v.schema));
                    Some((v.name.to_owned(), v.default().or(least)?))
                })
                .collect();
            println!("{shown}: {} with {} defaults", release.class, defaults.len());
            for problem in variables::problems(release, &defaults, Some(&effect::Planned::on(release, 3, 2)))
            {
                println!("    {:?}: {}", problem.severity, problem.message);
                // Required variables without default, and variables that nothing looks at, are facts of these stacks.
                // So is a patch that cannot do without a variable which is not required.
                let known = release.class.starts_with("hetzner-baremetal-")
                    && problem.message.contains("HostSelector");
                assert!(known || !problem.message.contains("fails with"), "{}", problem.message);
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
            let unknown = variables::problems(release, &variables(json!({"nosuch": 1})), None);
            assert!(
                unknown
                    .iter()
                    .any(|p| p.severity == Severity::Error && p.message.contains("no variable `nosuch`"))
            );
        }
    }
    assert_eq!(rendered, 20, "minors of the three states");
}

/// `stack-e2e stack` in the folder of this repository, so that paths are the same everywhere.
fn stack_command(arguments: &[&str]) -> Option<std::process::Output> {
    stack_command_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
}

fn stack_command_in(folder: &Path, arguments: &[&str]) -> Option<std::process::Output> {
    let helm = from_environment("STACK_E2E_HELM")?;
    let home = crate::support::process::Home::new();
    let cache = home.path("cache").display().to_string();
    let mut command = home.stack_e2e(&["stack", "--cache-dir", &cache]);
    command.args(arguments).current_dir(folder).env("STACK_E2E_TESTBED_HELM", helm);
    Some(command.output().unwrap())
}

#[test]
fn stacks_are_shown() {
    let Some(output) = stack_command(&["fixtures/stacks/layouts/minors", "fixtures/stacks/layouts/versions"])
    else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("shown_as_table", String::from_utf8(output.stdout).unwrap());
    let output = stack_command(&["fixtures/stacks/layouts/versions", "--minor", "1.34"]).unwrap();
    insta::assert_snapshot!("shown_in_detail", String::from_utf8(output.stdout).unwrap());
    let output = stack_command(&["fixtures/stacks/layouts/versions", "--format", "json"]).unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let minor = &all["stacks"][0];
    assert_eq!(minor["variables"][0]["default"], "octavia-amphora");
    assert_eq!(minor["patches"][2]["name"], "network_mtu");
    let wait = &minor["addons"]["hooks"]["AfterControlPlaneInitialized"][0]["after"];
    assert_eq!(wait["objects"][0]["apiVersion"], "apps/v1");
    assert_eq!(wait["condition"], "agent.status.numberReady == agent.status.desiredNumberScheduled");
    assert_eq!(minor["components"][1]["appliesTo"][0], "ccm/openstack-cloud-controller-manager");
    assert_eq!(all["problems"], json!([]));
}

#[test]
fn problems_of_stacks_are_shown_at_their_lines() {
    // A link out of the repository is made here: one in the repository would lead whoever copies it astray.
    let folder = tempfile::tempdir().unwrap();
    let broken = "fixtures/stacks/broken";
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(broken), &folder.path().join(broken));
    let link = folder.path().join(broken).join("providers/openstack/alpha/1-34/cluster-class");
    std::os::unix::fs::symlink("/etc", link).unwrap();
    let Some(output) = stack_command_in(folder.path(), &[broken]) else { return };
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!("shown_with_problems", String::from_utf8(output.stderr).unwrap());
    let output = stack_command(&["fixtures/stacks/layouts/versions", "--minor", "1.20"]).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no stack has 1.20"));
}

const YAWOL: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata: {name: yawol}
spec:
  stack: {provider: openstack, name: scs, source: {directory: REPOSITORY}}
  switches:
    kubernetes: [\"1.29\", \"1.30\", \"1.31\"]
    controlPlanes: [1, 3]
    yawol:
      - name: \"off\"
      - name: \"on\"
        variables:
          workload_loadbalancer: yawol
          yawol_flavor_id: 0a79590e-10d7-4c2c-8f69-ca0a2c6208d2
          yawol_image_id: f0b2ef46-f0ff-43d2-9c08-f58a5a6e9060
  checks: [smoke]
";

#[test]
fn a_published_stack_is_planned_and_a_typo_told_at_its_line() {
    let Some(upstream) = crate::support::upstream() else { return };
    let Some(helm) = from_environment("STACK_E2E_HELM") else { return };
    let home = crate::support::process::Home::new();
    // The repository as a whole: the stack is found in it by its name.
    let repository = upstream.join("cluster-stacks/2025-02-with-yawol-switch").display().to_string();
    let yawol = YAWOL.replace("REPOSITORY", &repository);
    let plan = |text: &str| {
        std::fs::write(home.path("yawol.yaml"), text).unwrap();
        let cache = home.path("cache").display().to_string();
        let mut command = home.stack_e2e(&["plan", "yawol.yaml", "--format", "json", "--cache-dir", &cache]);
        command.env("STACK_E2E_TESTBED_HELM", &helm).output().unwrap()
    };
    let output = plan(&yawol);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let planned: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(planned["runs"].as_array().unwrap().len(), 12);
    let output = plan(&yawol.replace("workload_loadbalancer: yawol", "workload_loadbalancer: octavia-onv"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    let message = "the value `octavia-onv` of `workload_loadbalancer` changes nothing in ClusterClass openstack-scs-1-29-v1";
    assert!(
        told.contains(message) && told.contains("yawol.yaml:13:11") && told.contains("`octavia-ovn`"),
        "{told}"
    );
}
