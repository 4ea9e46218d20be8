//! Custom resource definitions that the user brings: files -> what an API server can serve without the provider's own
//! processes. Reading aside, pure.
//!
//! Nothing of the provider runs here, so nobody answers a conversion webhook. A definition with several versions that
//! differ is therefore reduced to one of them: an API server that only renames the version would drop, without a word,
//! the fields that the other version does not have. Cluster API finds the version of a contract by a label, which
//! providers add when they are released; where it is missing it is added. All of it is said.

use super::error::{IoContext as _, TestbedError};
use super::manifest::{Manifest, drop_descriptions, parse};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One file. The largest published definition has 0.6 MiB, all of a provider together 3 MiB.
const MAX_FILE: u64 = 8 << 20;
/// All files together.
const MAX_ALL: u64 = 64 << 20;
/// How many files a directory may have.
const MAX_FILES: usize = 500;

/// What was read, and what is to be said about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Definitions {
    /// The definitions, ready to be sent.
    pub manifests: Vec<Manifest>,
    /// What differs from the files, one sentence each.
    pub notes: Vec<String>,
}

/// Reads definitions from files and directories (`*.yaml`, `*.yml`, `*.json`; without subdirectories). Of a definition
/// that has to be reduced to one version, the first of `versions` that it has is kept, else the one that it stores.
///
/// # Errors
/// Every problem of every file; a file that cannot be read.
pub(super) fn read(places: &[PathBuf], versions: &[String]) -> Result<Definitions, TestbedError> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut total = 0;
    for place in places {
        let files = if place.is_dir() { listed(place)? } else { vec![place.clone()] };
        if files.is_empty() || files.len() > MAX_FILES {
            problems.push(format!(
                "{} holds {} files with definitions; 1 to {MAX_FILES} are taken",
                place.display(),
                files.len()
            ));
            continue;
        }
        for file in files {
            let size = fs::metadata(&file).on("cannot read", &file)?.len();
            total += size;
            if size > MAX_FILE || total > MAX_ALL {
                let limits = format!("{} MiB for a file, {} MiB for all", MAX_FILE >> 20, MAX_ALL >> 20);
                problems.push(format!("{} is too large: allowed are {limits}", file.display()));
                break;
            }
            let text = fs::read_to_string(&file).on("cannot read", &file)?;
            match parse(&text) {
                Ok(objects) => found.extend(objects.into_iter().map(|object| (file.clone(), object))),
                Err(why) => problems.push(format!("{}: {why}", file.display())),
            }
        }
    }
    let made = prepare(found, versions, &mut problems);
    if problems.is_empty() { Ok(made) } else { Err(TestbedError::Definitions { problems }) }
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, TestbedError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).on("cannot list", directory)? {
        let path = entry.on("cannot list", directory)?.path();
        let wanted = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if wanted && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn prepare(found: Vec<(PathBuf, Value)>, versions: &[String], problems: &mut Vec<String>) -> Definitions {
    let mut made = Definitions::default();
    let mut reduced: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut labelled: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for (file, mut object) in found {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind != "CustomResourceDefinition" {
            if !object.is_null() {
                *left_out.entry(if kind.is_empty() { "unknown".into() } else { kind }).or_default() += 1;
            }
            continue;
        }
        match one(&mut object, versions) {
            Err(why) => problems.push(format!("{}: {why}", file.display())),
            Ok((manifest, changes)) => {
                if made.manifests.iter().any(|other| other.name == manifest.name) {
                    problems.push(format!("{}: {} is defined twice", file.display(), manifest.name));
                }
                if let Some(versions) = changes.reduced {
                    let kept = manifest.versions.join(", ");
                    reduced.entry((versions, kept)).or_default().push(manifest.name.clone());
                }
                if let Some(label) = changes.label {
                    labelled.entry(label).or_default().push(manifest.name.clone());
                }
                made.manifests.push(manifest);
            }
        }
    }
    for ((all, kept), names) in reduced {
        made.notes.push(format!(
            "{}: nobody converts between {all} here, so {kept} alone is served (`--crd-version` chooses another)",
            summary(&names)
        ));
    }
    for (label, names) in labelled {
        made.notes.push(format!(
            "{}: the label `{label}`, by which Cluster API finds the version, is missing and added",
            summary(&names)
        ));
    }
    if !left_out.is_empty() {
        let kinds: Vec<String> = left_out.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        made.notes.push(format!("left out, because only definitions are installed: {}", kinds.join(", ")));
    }
    if made.manifests.is_empty() && problems.is_empty() {
        problems.push("there is no CustomResourceDefinition in the files".into());
    }
    made
}

fn summary(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    }
}

/// What was changed about a definition.
#[derive(Default)]
struct Changes {
    /// The versions that there were.
    reduced: Option<String>,
    /// The label that was added.
    label: Option<String>,
}

fn one(object: &mut Value, wanted: &[String]) -> Result<(Manifest, Changes), String> {
    let text =
        |object: &Value, at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, group) = (text(object, "/metadata/name"), text(object, "/spec/group"));
    let plural = text(object, "/spec/names/plural");
    if text(object, "/apiVersion") != "apiextensions.k8s.io/v1" {
        return Err(format!("`{name}` is not of apiextensions.k8s.io/v1"));
    }
    if group.is_empty() || plural.is_empty() || name != format!("{plural}.{group}") {
        return Err(format!("`{name}` is not named after its resource and group, `{plural}.{group}`"));
    }
    if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-')) {
        return Err(format!("`{name}` is no name of a definition"));
    }
    let all = object.pointer("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut served: Vec<Value> = all.iter().filter(|version| version["served"] == true).cloned().collect();
    if served.is_empty() {
        return Err(format!("`{name}` serves no version"));
    }
    for version in &mut served {
        drop_descriptions(&mut version["schema"]["openAPIV3Schema"]);
    }
    let mut changes = Changes::default();
    let named = |version: &Value| version["name"].as_str().unwrap_or_default().to_owned();
    let same = served.windows(2).all(|pair| pair[0]["schema"] == pair[1]["schema"]);
    let spec = object["spec"].as_object_mut().ok_or_else(|| format!("`{name}` has no `spec`"))?;
    if served.len() > 1 && !same {
        changes.reduced = Some(served.iter().map(named).collect::<Vec<_>>().join(" and "));
        let kept = wanted.iter().find_map(|wanted| served.iter().find(|version| named(version) == *wanted));
        let stored = || served.iter().find(|version| version["storage"] == true);
        let kept = kept.or_else(stored).or(served.last()).cloned();
        served = kept.into_iter().collect();
    }
    if !served.iter().any(|version| version["storage"] == true)
        && let Some(last) = served.last_mut()
    {
        last["storage"] = json!(true);
    }
    spec.insert("versions".into(), json!(served));
    spec.remove("conversion");
    object.as_object_mut().map(|object| object.remove("status"));
    if group == "cluster.x-k8s.io" || group.ends_with(".cluster.x-k8s.io") {
        changes.label = contract(object, &served.iter().map(named).collect::<Vec<_>>());
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("cert-manager.io/inject-ca-from");
        }
    }
    let manifest = Manifest {
        component: String::new(),
        kind: "CustomResourceDefinition".into(),
        name,
        group,
        versions: served.iter().map(named).collect(),
        plural,
        body: object.to_string(),
    };
    Ok((manifest, changes))
}

/// Labels a definition of Cluster API's for the contract that its versions are of, and for no version that is not served
/// any more: a version named after a contract is of that one, any other of v1beta1, as with the providers that have one.
/// Gives the label that was added.
fn contract(object: &mut Value, served: &[String]) -> Option<String> {
    const PREFIX: &str = "cluster.x-k8s.io/";
    let metadata = object["metadata"].as_object_mut()?;
    let labels = metadata.entry("labels").or_insert_with(|| json!({})).as_object_mut()?;
    let mut is_labelled = false;
    labels.retain(|key, value| {
        if !key.starts_with(&format!("{PREFIX}v1")) {
            return true;
        }
        let versions = value.as_str().unwrap_or_default().split('_');
        let left: Vec<&str> = versions.filter(|version| served.iter().any(|s| s == version)).collect();
        is_labelled |= !left.is_empty();
        let keep = !left.is_empty();
        *value = left.join("_").into();
        keep
    });
    if is_labelled {
        return None;
    }
    let mut contracts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for version in served {
        let contract = if version == "v1beta2" { "v1beta2" } else { "v1beta1" };
        contracts.entry(contract).or_default().push(version);
    }
    let mut added = Vec::new();
    for (contract, versions) in contracts {
        let (key, value) = (format!("{PREFIX}{contract}"), versions.join("_"));
        added.push(format!("{key}: {value}"));
        labels.insert(key, value.into());
    }
    Some(added.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: openstackclusters.infrastructure.cluster.x-k8s.io, creationTimestamp: null}
spec:
  group: infrastructure.cluster.x-k8s.io
  names: {plural: openstackclusters, kind: OpenStackCluster}
  conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: w, namespace: n}}}}
  versions:
  - {name: v1alpha7, served: false, storage: false}
  - {name: v1beta1, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {old: {type: string}}}}}
  - {name: v1beta2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {new: {type: string}}}}}
"#;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn said(files: &[(&str, &str)], versions: &[&str]) -> Result<Definitions, Vec<String>> {
        let directory = directory(files);
        let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
        let root = directory.path().display().to_string();
        read(&[directory.path().into()], &versions).map_err(|error| match error {
            TestbedError::Definitions { problems } => {
                problems.iter().map(|problem| problem.replace(&root, "DIR")).collect()
            }
            other => vec![other.to_string()],
        })
    }

    #[test]
    fn versions_that_nobody_converts_between_become_one() {
        for (wanted, kept) in [(&[] as &[&str], "v1beta2"), (&["v1", "v1beta1"], "v1beta1")] {
            let made = said(&[("a.yaml", TWO)], wanted).unwrap();
            assert_eq!(made.manifests[0].versions, [kept]);
            let body: Value = serde_json::from_str(&made.manifests[0].body).unwrap();
            assert_eq!(body["spec"]["versions"].as_array().unwrap().len(), 1);
            assert_eq!(body["spec"]["versions"][0]["storage"], true);
            assert!(
                body["spec"].get("conversion").is_none()
                    && body["metadata"].get("creationTimestamp").is_none()
            );
            assert_eq!(body["metadata"]["labels"], json!({format!("cluster.x-k8s.io/{kept}"): kept}));
            let name = "openstackclusters.infrastructure.cluster.x-k8s.io";
            assert_eq!(
                made.notes,
                [
                    format!(
                        "{name}: nobody converts between v1beta1 and v1beta2 here, so {kept} alone is served \
                         (`--crd-version` chooses another)"
                    ),
                    format!(
                        "{name}: the label `cluster.x-k8s.io/{kept}: {kept}`, by which Cluster API finds the version, \
                         is missing and added"
                    ),
                ]
            );
        }
    }

    #[test]
    fn versions_that_are_the_same_stay() {
        let same = TWO.replace("old", "new");
        let made = said(&[("a.yaml", &same)], &[]).unwrap();
        assert_eq!(made.manifests[0].versions, ["v1beta1", "v1beta2"]);
        assert_eq!(made.notes.len(), 1, "{:?}", made.notes);
    }

    #[test]
    fn labels_of_versions_that_are_not_served_go() {
        let labelled = TWO.replace(
            "creationTimestamp: null",
            "labels: {keep: \"yes\", cluster.x-k8s.io/v1beta1: v1alpha7_v1beta1, cluster.x-k8s.io/v1beta2: v1beta2}",
        );
        let made = said(&[("a.yaml", &labelled)], &["v1beta1"]).unwrap();
        let body: Value = serde_json::from_str(&made.manifests[0].body).unwrap();
        assert_eq!(body["metadata"]["labels"], json!({"keep": "yes", "cluster.x-k8s.io/v1beta1": "v1beta1"}));
        assert_eq!(made.notes.len(), 1, "no label was added: {:?}", made.notes);
    }

    #[test]
    fn other_objects_are_named_and_left_out() {
        let more = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: controller}\n";
        let made = said(&[("a.yaml", TWO), ("b.yml", more), ("c.txt", "not read")], &[]).unwrap();
        assert_eq!(made.manifests.len(), 1);
        assert_eq!(made.notes[2], "left out, because only definitions are installed: 1 Deployment");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = said(
            &[
                ("1.yaml", TWO),
                ("2.yaml", TWO),
                ("3.yaml", &TWO.replace("{plural: openstackclusters", "{plural: others")),
                ("4.yaml", &TWO.replace("served: true", "served: false")),
                ("5.yaml", &TWO.replace("k8s.io/v1\n", "k8s.io/v1beta1\n")),
                ("6.yaml", "a: [1"),
            ],
            &[],
        )
        .unwrap_err();
        let starts = [
            "DIR/6.yaml: ",
            "DIR/2.yaml: openstackclusters",
            "DIR/3.yaml: `openst",
            "DIR/4.yaml: ",
            "DIR/5.",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem} / {start}");
        }
        assert_eq!(said(&[], &[]).unwrap_err(), ["DIR holds 0 files with definitions; 1 to 500 are taken"]);
        let none = said(&[("a.yaml", "kind: Deployment")], &[]).unwrap_err();
        assert_eq!(none, ["there is no CustomResourceDefinition in the files"]);
    }

    #[test]
    fn a_file_has_a_limit() {
        let directory = directory(&[("a.yaml", "")]);
        let file = fs::File::create(directory.path().join("a.yaml")).unwrap();
        file.set_len(MAX_FILE + 1).unwrap();
        let error = read(&[directory.path().join("a.yaml")], &[]).unwrap_err().to_string();
        assert!(error.contains("too large: allowed are 8 MiB"), "{error}");
    }
}
