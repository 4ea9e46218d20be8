//! The JSON schema of scenario files, for editors: they complete keys and mark mistakes while one types.
//!
//! The types below exist for the schema alone. The loader reads a tree with places and not these types, because a
//! file with five mistakes must be told about five; a test holds that both know the same keys.

#![expect(dead_code, reason = "the fields are never read, only described")]

use super::{API_VERSION, MAX_AFTER, MAX_STRENGTH, MAX_SWITCHES, MAX_VALUES, MAX_WEIGHT, MAX_WORKERS};
use crate::types::ProviderKind;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema, as it stands in `scenarios/schema.json`.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema
}

/// An optional key may be absent, but it may not be null; schemars writes both for `Option`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|c| *c != json!({"type": "null"}));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only: Map<String, Value> = only.clone();
                    map.remove("anyOf");
                    map.extend(only);
                }
            }
            map.values_mut().for_each(without_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A scenario of stack-e2e: a Cluster Stack, its big switches, what to leave out, the checks and changes to make.
#[derive(JsonSchema)]
#[schemars(title = "Scenario", rename_all = "camelCase", deny_unknown_fields)]
struct File {
    /// The version of the format.
    #[schemars(extend("const" = API_VERSION))]
    api_version: String,
    /// Always `Scenario`.
    #[schemars(extend("const" = "Scenario"))]
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

/// What the scenario is called.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Metadata {
    /// Unique among the files of one command; becomes part of labels and paths.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), length(max = 40))]
    name: String,
}

/// What is tested, and how.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Spec {
    stack: Stack,
    switches: Switches,
    /// Which combinations of the switches are wanted.
    #[schemars(extend("default" = "all"))]
    cover: Option<Cover>,
    /// Combinations that must not run, each with its reason.
    #[schemars(length(max = 64))]
    exclude: Option<Vec<Exclude>>,
    /// Rows that always run, whatever `cover` says: a value for every switch.
    #[schemars(length(max = 1000))]
    include: Option<Vec<BTreeMap<String, ValueRef>>>,
    /// Worker Machines of a cluster, unless a switch value says otherwise.
    #[schemars(range(min = 0, max = MAX_WORKERS), extend("default" = 1))]
    workers: Option<u32>,
    /// Names of checks and of groups of checks; `stack-e2e list checks` prints them.
    #[schemars(length(min = 1, max = 256))]
    checks: Vec<String>,
    /// What is done to the running cluster, in order; after each change the checks look again.
    #[schemars(length(max = 32))]
    changes: Option<Vec<Change>>,
    /// Failures that are known and do not count until a day.
    #[schemars(length(max = 256))]
    expect: Option<Vec<Expect>>,
    timeouts: Option<Timeouts>,
    credentials: Option<Access>,
    /// The failure domain of the workers, e.g. an availability zone.
    #[schemars(rename = "failureDomain", regex(pattern = r"^[A-Za-z0-9._-]+$"), length(min = 1, max = 63))]
    failure_domain: Option<String>,
    cost: Option<Cost>,
    /// Scenarios of the same command whose combinations end before those of this one start.
    #[schemars(length(max = MAX_AFTER))]
    after: Option<Vec<String>>,
}

/// The cloud of the provider `openstack`; the secret itself is named on the command line.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Access {
    /// The entry of clouds.yaml.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), length(max = 40))]
    cloud: String,
    deliver: Option<Deliver>,
}

/// How the credential gets to the controllers.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", extend("default" = "clouds-yaml"))]
enum Deliver {
    /// The Secret `openstack`, and a ClusterResourceSet `clouds-yaml`.
    CloudsYaml,
    /// The Secrets and the ClusterResourceSet of the chart openstack-csp-helper.
    CspHelper,
}

/// Which Cluster Stack.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Stack {
    /// Where clusters come from.
    provider: ProviderKind,
    /// The name without provider and minor.
    #[schemars(regex(pattern = r"^[a-z0-9]+$"), length(max = 30))]
    name: String,
    source: Source,
    /// Where the release is that `upgrade: next-release` goes to, of the same stack.
    next: Option<Source>,
    /// Another stack, which `upgrade: other-stack` must not get to.
    other: Option<OtherStack>,
    /// Who brings the release into being: the harness, unless said otherwise, or the Cluster Stack Operator.
    #[schemars(extend("enum" = ["harness", "operator"]))]
    via: Option<String>,
}

/// Another stack of the same provider.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OtherStack {
    /// The name without provider and minor.
    #[schemars(regex(pattern = r"^[a-z0-9]+$"), length(max = 30))]
    name: String,
    source: Source,
}

/// Where the stack is found: in a folder, or as releases.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = [{"required": ["directory"]}, {"required": ["release", "from"]}]))]
struct Source {
    /// The folder of the stack, relative to this file.
    #[schemars(length(min = 1, max = 1024))]
    directory: Option<String>,
    /// Who makes a release of the folder, which is tested then.
    build: Option<super::BuildWith>,
    /// A release, or one for each minor.
    release: Option<Releases>,
    /// Where they are: a directory relative to this file, oci://host/repository or github:owner/repository.
    #[schemars(length(min = 1, max = 1024))]
    from: Option<String>,
}

/// Names of releases.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Releases {
    /// One.
    One(String),
    /// One for each minor.
    Several(#[schemars(length(min = 1, max = 16))] Vec<String>),
}

/// The axes: switches that the harness knows, and others that set variables of the ClusterClass.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("minProperties" = 1, "maxProperties" = MAX_SWITCHES, "propertyNames" = {"pattern": r"^[A-Za-z][A-Za-z0-9_]*$", "maxLength": 40}))]
struct Switches {
    /// Kubernetes minors, quoted: unquoted, 1.30 is the number 1.3.
    #[schemars(length(min = 1, max = MAX_VALUES), extend("uniqueItems" = true))]
    kubernetes: Option<Vec<Marked<Minor>>>,
    /// Numbers of control plane Machines.
    #[schemars(length(min = 1, max = MAX_VALUES), extend("uniqueItems" = true))]
    control_planes: Option<Vec<Marked<ControlPlanes>>>,
    /// Numbers of worker Machines.
    #[schemars(length(min = 1, max = MAX_VALUES), extend("uniqueItems" = true))]
    workers: Option<Vec<Marked<Workers>>>,
    /// Any other name: a switch of the stack.
    #[schemars(flatten)]
    others: BTreeMap<String, Vec<SwitchValue>>,
}

/// A Kubernetes minor, quoted.
#[derive(JsonSchema)]
struct Minor(#[schemars(regex(pattern = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$"))] String);

/// Control plane Machines: odd, because etcd needs a majority.
#[derive(JsonSchema)]
#[schemars(extend("enum" = [1, 3, 5, 7]))]
struct ControlPlanes(u32);

/// Worker Machines.
#[derive(JsonSchema)]
struct Workers(#[schemars(range(min = 0, max = MAX_WORKERS))] u32);

/// A value alone, or with what a covering array should know of it.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "{T}OrMarked")]
enum Marked<T> {
    Plain(T),
    Marked(MarkedValue<T>),
}

/// A value, and what a covering array should know of it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Marked{T}")]
struct MarkedValue<T> {
    name: T,
    requires: Option<Requires>,
    /// How much it is preferred where a covering array may choose.
    #[schemars(range(min = 1, max = MAX_WEIGHT), extend("default" = 1))]
    weight: Option<u32>,
    default: Option<Yes>,
}

/// One value of a switch: a named patch on the cluster.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct SwitchValue {
    /// Its name; quote `on` and `off`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"), length(max = 63))]
    name: String,
    /// Variables of the ClusterClass; `${NAME}` in a string stands for an allowed environment variable.
    #[schemars(extend("maxProperties" = 256))]
    variables: Option<BTreeMap<String, Value>>,
    /// Worker Machines with this value.
    #[schemars(range(min = 0, max = MAX_WORKERS))]
    workers: Option<u32>,
    /// Control plane Machines with this value.
    control_planes: Option<ControlPlanes>,
    /// Checks that run only with this value.
    checks: Option<Vec<String>>,
    requires: Option<Requires>,
    /// How much it is preferred where a covering array may choose.
    #[schemars(range(min = 1, max = MAX_WEIGHT), extend("default" = 1))]
    weight: Option<u32>,
    default: Option<Yes>,
    /// The cluster must be refused; at most one such value stands in a combination.
    invalid: Option<Yes>,
    /// A regular expression that the message of the refusal matches.
    #[schemars(length(min = 1, max = 256))]
    refusal: Option<String>,
}

/// What a cluster was before the switch existed: combinations with this value keep the ids that they had then.
#[derive(JsonSchema)]
#[schemars(extend("const" = true))]
struct Yes(bool);

/// What a value needs from its surroundings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Requires {
    credentials: Option<Credentials>,
    /// Values of other switches.
    switches: Option<Values>,
    /// Why the other switches must have these values.
    because: Option<String>,
}

/// The kind of OpenStack credential.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Credentials {
    /// User name and password.
    Password,
    /// An application credential.
    ApplicationCredential,
}

/// Which combinations are wanted.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Cover {
    /// The full product.
    All(All),
    /// Every tuple of that many values at least once.
    Strength(Strength),
}

/// The full product.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum All {
    All,
}

/// Every tuple of that many values at least once.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Strength {
    /// 2 = every pair of values.
    #[schemars(range(min = 1, max = MAX_STRENGTH))]
    strength: u8,
    /// Switches that are covered more strongly.
    #[schemars(length(max = 16))]
    groups: Option<Vec<Group>>,
}

/// Switches that are covered more strongly than the rest.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Group {
    /// Names of switches.
    #[schemars(length(min = 1, max = MAX_SWITCHES), extend("uniqueItems" = true))]
    of: Vec<String>,
    /// 3 = every triple of values of these switches.
    #[schemars(range(min = 1, max = MAX_STRENGTH))]
    strength: u8,
}

/// Combinations that must not run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Exclude {
    when: When,
    /// Why not; shown in every report.
    #[schemars(length(min = 1))]
    because: String,
}

/// Which combinations.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum When {
    /// All of these switches have one of these values.
    Values(Values),
    /// An expression such as `yawol == "on" && controlPlanes > 1`.
    Expression(#[schemars(length(min = 1, max = super::expr::MAX_LENGTH))] String),
    /// Always, or never.
    Constant(bool),
}

/// Switches, each with one or several of their values.
#[derive(JsonSchema)]
#[schemars(extend("minProperties" = 1))]
struct Values(BTreeMap<String, OneOrMore>);

/// A value, or several alternatives.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore {
    One(ValueRef),
    More(#[schemars(length(min = 1))] Vec<ValueRef>),
}

/// The name of a value; numbers for `controlPlanes` and `workers`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ValueRef {
    Name(String),
    Number(u32),
}

/// Something that is done to a running cluster.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = [{"required": ["scale"]}, {"required": ["upgrade"]}]))]
struct Change {
    scale: Option<Scale>,
    /// To the next minor that the stack has, or to the next release of the same minor. The others must be refused.
    #[schemars(extend("enum" = ["next-minor", "next-release", "skip-minor", "previous-minor", "other-stack"]))]
    upgrade: Option<String>,
    /// A regular expression that the message of the refusal matches, for changes that must be refused.
    #[schemars(length(min = 1, max = 256))]
    refusal: Option<String>,
}

/// Scale one kind of Machine.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("minProperties" = 1, "maxProperties" = 1)
)]
struct Scale {
    /// The workers, to this number.
    #[schemars(range(min = 0, max = MAX_WORKERS))]
    workers: Option<u32>,
    /// The control plane, to this number.
    control_planes: Option<ControlPlanes>,
}

/// Known trouble.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Expect {
    /// A regular expression over the whole name of a check.
    #[schemars(length(min = 1, max = 256))]
    check: String,
    /// Always `failed`.
    #[schemars(extend("const" = "failed"))]
    verdict: String,
    /// Only with these switch values.
    when: Option<Values>,
    /// Why it is known, with a link.
    #[schemars(length(min = 1))]
    because: String,
    /// A day such as 2027-06-30; from then on the failure counts again.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    until: String,
}

/// Deadlines: `90s`, `20m`, `1h30m`, at most 7 days.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Timeouts {
    /// From the create call to an available cluster.
    #[schemars(extend("default" = "20m"))]
    provision: Option<Time>,
    /// One check.
    #[schemars(extend("default" = "10m"))]
    check: Option<Time>,
    /// One change, until its end state.
    #[schemars(extend("default" = "20m"))]
    change: Option<Time>,
    /// From the delete call until everything is gone.
    #[schemars(extend("default" = "15m"))]
    delete: Option<Time>,
}

/// What clusters are expected to take, where the built-in table does not know it; what was measured wins over both.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Cost {
    /// Creating a cluster of one control plane and one worker.
    provision: Option<Time>,
    /// Each further control plane Machine, while creating and while upgrading.
    control_plane: Option<Time>,
    /// Each further worker, while creating.
    worker: Option<Time>,
    /// One check.
    check: Option<Time>,
    /// Scaling.
    scale: Option<Time>,
    /// Upgrading a cluster of one control plane.
    upgrade: Option<Time>,
    /// Each worker, while upgrading.
    upgrade_worker: Option<Time>,
    /// Deleting.
    tear_down: Option<Time>,
    /// The listing that proves that nothing is left.
    prove_clean: Option<Time>,
    /// What each cluster takes besides its Machines.
    cluster: Option<Amounts>,
    /// What each Machine takes besides what its flavor says.
    machine: Option<Amounts>,
    /// The flavor of Machines for which no variable names one.
    flavor: Option<String>,
}

/// Amounts of what a quota can limit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Amounts {
    cores: Option<u32>,
    #[schemars(rename = "memoryMiB")]
    memory_mib: Option<u32>,
    instances: Option<u32>,
    volumes: Option<u32>,
    #[schemars(rename = "floatingIPs")]
    floating_ips: Option<u32>,
    #[schemars(rename = "loadBalancers")]
    load_balancers: Option<u32>,
    networks: Option<u32>,
    #[schemars(rename = "managementCpuMilli")]
    management_cpu_milli: Option<u32>,
    #[schemars(rename = "managementMemoryMiB")]
    management_memory_mib: Option<u32>,
    clusters: Option<u32>,
}

/// A duration.
#[derive(JsonSchema)]
struct Time(
    #[schemars(regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"), length(min = 2))] String,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::document::keys;
    use std::collections::BTreeSet;

    #[test]
    fn the_schema_and_the_loader_know_the_same_keys() {
        let schema = schema();
        let check = |at: &str, keys: &[&str]| {
            let properties =
                schema.pointer(at).and_then(Value::as_object).map(|p| p.keys().map(String::as_str));
            let properties: BTreeSet<&str> = properties.into_iter().flatten().collect();
            assert_eq!(properties, keys.iter().copied().collect(), "{at}");
        };
        check("/properties", keys::ROOT);
        for (name, keys) in [
            ("Metadata", keys::METADATA),
            ("Spec", keys::SPEC),
            ("Stack", keys::STACK),
            ("Source", keys::SOURCE),
            ("OtherStack", keys::OTHER),
            ("SwitchValue", keys::VALUE),
            ("Requires", keys::REQUIRES),
            ("Strength", keys::COVER),
            ("Group", keys::GROUP),
            ("MarkedMinor", keys::MARKED),
            ("Exclude", keys::EXCLUDE),
            ("Change", keys::CHANGE),
            ("Scale", keys::SCALE),
            ("Expect", keys::EXPECT),
            ("Timeouts", keys::TIMEOUTS),
            ("Cost", keys::COST),
            ("Amounts", keys::RESOURCES),
        ] {
            check(&format!("/$defs/{name}/properties"), keys);
        }
    }

    #[test]
    fn defaults_are_those_of_the_loader() {
        let schema = schema();
        let timeouts = crate::scenario::Timeouts::default();
        for (key, value) in [
            ("provision", timeouts.provision),
            ("check", timeouts.check),
            ("change", timeouts.change),
            ("delete", timeouts.delete),
        ] {
            let text = schema.pointer(&format!("/$defs/Timeouts/properties/{key}/default"));
            let default = text.and_then(Value::as_str).and_then(|t| crate::types::parse_duration(t).ok());
            assert_eq!(default, Some(value), "{key}");
        }
    }
}
