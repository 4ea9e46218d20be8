//! What goes to the API server for each provider, from a scenario and a rendered stack: everything but the ClusterClass,
//! which is the stack's own.

use serde_json::Value;
use stack_e2e::check::CHECKS;
use stack_e2e::cloud::config::Files;
use stack_e2e::matrix::{self, Effort};
use stack_e2e::plan::{self, Plan, PlanOptions};
use stack_e2e::provider::clouds::CloudEntry;
use stack_e2e::provider::manifest;
use stack_e2e::scenario::{self, Known, Scenario};
use stack_e2e::stack::{Stack, StackRelease};
use stack_e2e::types::{KubernetesMinor, Owner, RunId};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const RENDERED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/rendered");

/// A fixture as Helm rendered it.
pub fn release(name: &str, kubernetes: &str) -> StackRelease {
    let text = std::fs::read_to_string(format!("{RENDERED}/{name}.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    StackRelease {
        kubernetes: kubernetes.parse().unwrap(),
        class: format!("{name}-v1"),
        worker_class: "default-worker".into(),
        worker_classes: vec!["default-worker".into()],
        cluster_class: objects.iter().find(|object| object["kind"] == "ClusterClass").unwrap().clone(),
        objects,
        addon_values: Vec::new(),
        addons: None,
    }
}

/// A scenario on one fixture; `more` are further lines of `spec`.
pub fn scenario(provider: &str, stack: &str, kubernetes: &str, more: &str) -> Scenario {
    let minor: KubernetesMinor = kubernetes.parse().unwrap();
    let text = format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: golden}}\nspec:\n  stack:\n    \
         provider: {provider}\n    name: {stack}\n    source: {{directory: .}}\n  workers: 2\n  checks: [smoke]\n{more}\n  \
         switches:\n    kubernetes: [\"{minor}\"]\n"
    );
    let text = match text.split_once("  switches:\n    kubernetes") {
        Some((before, after)) if before.contains("  switches:") => {
            before.replacen("  switches:", &format!("  switches:\n    kubernetes{}", after.trim_end()), 1)
        }
        _ => text,
    };
    let checks: Vec<(&str, &str)> =
        CHECKS.iter().flat_map(|check| check.groups.iter().map(|group| (check.name, *group))).collect();
    let known = Known { checks: &checks, ..Known::default() };
    scenario::parse(&text, Path::new("golden.yaml"), &known)
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

/// The plan of a scenario on one release.
pub fn plan_of(scenario: &Scenario, release: StackRelease) -> Plan {
    let run = RunId::from_uuid_v7([1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 1, 2, 3, 4, 5, 6]);
    let stack = Stack {
        provider: scenario.stack.provider,
        name: scenario.stack.name.clone(),
        directory: ".".into(),
        minors: vec![release.kubernetes.minor()],
        releases: vec![release],
        next: vec![],
        other: vec![],
    };
    let options = PlanOptions {
        namespace: manifest::namespace_name(&run).unwrap(),
        run,
        now: jiff::Timestamp::UNIX_EPOCH,
        keep: Duration::from_secs(43_200),
        owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
        concurrency: None,
        shard: None,
        keep_on_failure: false,
        checks: Vec::new(),
    };
    let effort = Effort { steps: 1, seed: 1, threads: 1, price: None, capacities: &[], slack: 0 };
    let scenarios = std::slice::from_ref(scenario);
    let matrix = matrix::expand(scenarios, &[], effort).unwrap();
    let stacks = BTreeMap::from([(scenario.name.to_string(), stack)]);
    plan::build(scenarios, &matrix, &stacks, &options)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
        .0
}

/// The objects of a whole plan as documents.
fn documents(plan: &Plan, entry: Option<&CloudEntry>) -> String {
    let mut objects = manifest::credentials(plan, entry);
    objects.extend(plan.runs.iter().map(|run| manifest::cluster(plan, run, &run.first_target())));
    objects.iter().map(|object| format!("---\n{}", serde_saphyr::to_string(object).unwrap())).collect()
}

const VALUES: &str =
    "  switches:\n    controlPlanes: [3]\n    setting:\n      - name: chosen\n        variables: ";

#[test]
fn every_provider_has_its_manifests() {
    let cases = [
        (
            "openstack-scs-1-29",
            "v1.29.15",
            "{apiserver_loadbalancer: octavia-ovn, worker_flavor: SCS-4V-8-20}",
            "  credentials: {cloud: openstack}\n  failureDomain: nova\n",
        ),
        (
            "openstack-kamaji-1-34",
            "v1.34.1",
            "{data_store: default}",
            "  credentials: {cloud: scs, deliver: csp-helper}\n",
        ),
        ("docker-scs-1-34", "v1.34.7", "{certSANs: [api.example.org]}", ""),
        ("kubevirt-scs-1-34", "v1.34.1", "{image: \"quay.io/capk/other:v1.34.1\"}", ""),
        ("metal3-scs-1-34", "v1.34.1", "{controlPlaneEndpoint: {host: 192.168.111.249}}", ""),
        ("hetzner-scs-1-34", "v1.34.1", "{region: fsn1}", ""),
    ];
    for (name, kubernetes, variables, more) in cases {
        let mut parts = name.splitn(3, '-');
        let (provider, stack) = (parts.next().unwrap(), parts.next().unwrap());
        let minor: stack_e2e::types::KubernetesVersion = kubernetes.parse().unwrap();
        let scenario =
            scenario(provider, stack, &minor.minor().to_string(), &format!("{more}{VALUES}{variables}"));
        let plan = plan_of(&scenario, release(name, kubernetes));
        insta::assert_snapshot!(format!("manifests_{}_{stack}", provider), documents(&plan, None));
    }
}

/// What Cluster API's provider makes in a project is found by these tags; the stack's own stay.
#[test]
fn what_is_made_in_an_openstack_project_carries_the_mark_of_the_run() {
    let openstack = scenario("openstack", "scs", "1.29", "  credentials: {cloud: openstack}");
    let mut plan = plan_of(&openstack, release("openstack-scs-1-29", "v1.29.15"));
    let tags = manifest::mark(&plan).unwrap().tags();
    plan.shared.push(serde_json::json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "OpenStackMachineTemplate",
        "metadata": {"name": "tagged"}, "spec": {"template": {"spec": {"tags": ["own", tags[0]]}}},
    }));
    plan.shared.push(serde_json::json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "OpenStackCluster", "metadata": {"name": "c"},
    }));
    plan.shared.push(serde_json::json!({
        "apiVersion": "example.org/v1", "kind": "OpenStackCluster", "metadata": {"name": "of others"},
    }));
    let shared = manifest::shared(&plan);
    let of = |kind: &str, name: &str| {
        let found =
            shared.iter().find(|o| o["kind"] == kind && (name.is_empty() || o["metadata"]["name"] == name));
        found.unwrap().clone()
    };
    let template = |object: &Value| object["spec"]["template"]["spec"]["tags"].clone();
    assert_eq!(template(&of("OpenStackClusterTemplate", "")), serde_json::json!(tags));
    let machines: Vec<&Value> = shared.iter().filter(|o| o["kind"] == "OpenStackMachineTemplate").collect();
    assert_eq!(machines.len(), 3);
    assert_eq!(template(machines[0]), serde_json::json!(tags));
    assert_eq!(template(machines[2]), serde_json::json!(["own", tags[0], tags[1], tags[2]]));
    assert_eq!(of("OpenStackCluster", "c")["spec"]["tags"], serde_json::json!(tags));
    assert!(of("OpenStackCluster", "of others").get("spec").is_none());
    assert!(machines.iter().all(|machine| machine["metadata"]["labels"].is_object()));
    insta::assert_snapshot!(
        "manifests_openstack_templates",
        shared[..shared.len() - 3]
            .iter()
            .filter(|object| object["kind"].as_str().unwrap().starts_with("OpenStack"))
            .map(|object| format!("---\n{}", serde_saphyr::to_string(object).unwrap()))
            .collect::<String>()
    );
    // Nobody else's templates know such tags.
    let docker = plan_of(&scenario("docker", "scs", "1.34", ""), release("docker-scs-1-34", "v1.34.7"));
    assert_eq!(manifest::mark(&docker), None);
    assert!(
        !manifest::shared(&docker).iter().any(|object| object.to_string().contains("stack-e2e-expires-at"))
    );
}

/// Two runs at the same time in one OpenStack project: what the cloud controller manager and the CSI driver name after the
/// cluster alone must differ, and fit.
#[test]
fn clusters_of_two_runs_have_different_names() {
    let scenario = scenario("openstack", "scs", "1.29", "  credentials: {cloud: openstack}");
    let first = plan_of(&scenario, release("openstack-scs-1-29", "v1.29.15"));
    let other = RunId::from_uuid_v7([1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 9, 2, 3, 4, 5, 6]);
    let again = plan::Again {
        namespace: manifest::namespace_name(&other).unwrap(),
        run: other,
        now: first.made,
        keep: Duration::from_secs(1),
        owner: first.owner.clone(),
        concurrency: None,
        keep_on_failure: false,
    };
    let second = first.again(|_| true, again).unwrap();
    assert_ne!(first.runs[0].cluster, second.runs[0].cluster);
    assert_eq!(second.runs[0].credentials, first.runs[0].credentials);
}

#[test]
fn secrets_are_in_the_objects_and_nowhere_in_the_plan() {
    let clouds = "clouds: {openstack: {auth_type: v3applicationcredential, auth: {auth_url: https://keystone.example.org, application_credential_id: abc, \
                  application_credential_secret: canary-canary}}}";
    let files = Files::of_texts(clouds, None, None).unwrap();
    let entry = CloudEntry::of(&files, "openstack", Some("PEM".into())).unwrap();
    for deliver in ["clouds-yaml", "csp-helper"] {
        let more = format!("  credentials: {{cloud: openstack, deliver: {deliver}}}");
        let plan =
            plan_of(&scenario("openstack", "scs", "1.29", &more), release("openstack-scs-1-29", "v1.29.15"));
        let objects = manifest::credentials(&plan, Some(&entry));
        for object in &objects[..2] {
            assert!(
                object.to_string().contains("canary-canary"),
                "{deliver}: {}",
                object["metadata"]["name"]
            );
            assert!(object.to_string().contains("PEM"), "{deliver}");
        }
        assert!(!serde_json::to_string(&plan).unwrap().contains("canary"));
        assert!(!format!("{plan:?}{entry:?}").contains("canary"));
        // What is wrapped is an object that an API server takes.
        let wrapped =
            objects[1]["stringData"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
        let wrapped: Value = serde_json::from_str(wrapped).unwrap();
        assert_eq!(
            (&wrapped["kind"], &wrapped["metadata"]["namespace"]),
            (&"Secret".into(), &"kube-system".into())
        );
        // The ClusterResourceSet finds the Cluster.
        let cluster = manifest::cluster(&plan, &plan.runs[0], &plan.runs[0].first_target());
        let selected = objects[2]["spec"]["clusterSelector"]["matchLabels"].as_object().unwrap();
        for (key, value) in selected {
            assert_eq!(&cluster["metadata"]["labels"][key], value, "{deliver}");
        }
        // Everything can be found again by what runs leave.
        for object in objects.iter().chain([&cluster]) {
            assert_eq!(object["metadata"]["labels"]["e2e.clusterstack.x-k8s.io/run"], plan.run.as_str());
            assert!(object["metadata"]["annotations"]["e2e.clusterstack.x-k8s.io/expires-at"].is_string());
        }
    }
}
