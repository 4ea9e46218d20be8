//! The files of a stack: text -> data, or what is wrong with it and where. Pure.

use super::model::{At, Chart, Component, Dependency, NodeImage};
use super::yaml_options;
use crate::types::KubernetesVersion;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::path::Path;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1; 0 stands for the whole file.
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn at(location: Location, why: String) -> Self {
        Self { line: location.line(), column: location.column(), why }
    }

    pub(super) fn whole(why: String) -> Self {
        Self { line: 0, column: 0, why }
    }
}

impl From<Fault> for Vec<Fault> {
    fn from(fault: Fault) -> Self {
        vec![fault]
    }
}

/// Reads YAML as everywhere in this program.
pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| fault(&error))
}

fn fault(error: &serde_saphyr::Error) -> Fault {
    let told = error.without_snippet().to_string();
    let why = told.lines().next().unwrap_or("is not YAML");
    // The place stands in front of the message, where this program shows it.
    let why = why.split(" at line ").next().unwrap_or(why).trim().to_owned();
    match error.location() {
        Some(location) => Fault::at(location, why),
        None => Fault::whole(why),
    }
}

pub(super) fn place(file: &Path, location: Location) -> At {
    At { file: file.into(), line: location.line(), column: location.column() }
}

/// What a stack is, as one of its files says.
pub(super) struct Identity {
    pub(super) provider: Spanned<String>,
    pub(super) name: Spanned<String>,
    pub(super) kubernetes: Spanned<String>,
    pub(super) components: BTreeMap<String, Spanned<String>>,
}

/// `csctl.yaml`
pub(super) fn csctl(text: &str) -> Result<Identity, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        #[serde(default)]
        api_version: String,
        config: Config,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        kubernetes_version: Spanned<String>,
        cluster_stack_name: Spanned<String>,
        provider: Provider,
    }
    #[derive(Deserialize)]
    struct Provider {
        r#type: Spanned<String>,
    }
    let Document { api_version, config } = yaml(text)?;
    if !api_version.starts_with("csctl.clusterstack.x-k8s.io/") {
        return Err(Fault::whole(format!(
            "has the apiVersion `{api_version}`, not csctl.clusterstack.x-k8s.io/…"
        )));
    }
    Ok(Identity {
        provider: config.provider.r#type,
        name: config.cluster_stack_name,
        kubernetes: config.kubernetes_version,
        components: BTreeMap::new(),
    })
}

/// `stack.yaml`
pub(super) fn stack(text: &str) -> Result<Identity, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        provider: Spanned<String>,
        cluster_stack_name: Spanned<String>,
        kubernetes_version: Spanned<String>,
        #[serde(default)]
        addons: BTreeMap<String, Spanned<String>>,
    }
    let Document { provider, cluster_stack_name: name, kubernetes_version: kubernetes, addons } = yaml(text)?;
    Ok(Identity { provider, name, kubernetes, components: addons })
}

/// `metadata.yaml` of stacks that are older than `csctl.yaml`, together with the name of their chart:
/// `<provider>-<stack>-1-NN-cluster-class`.
pub(super) fn metadata(text: &str, chart: &str) -> Result<Identity, Fault> {
    #[derive(Deserialize)]
    struct Document {
        versions: Versions,
    }
    #[derive(Deserialize)]
    struct Versions {
        kubernetes: Spanned<String>,
    }
    let Document { versions } = yaml(text)?;
    let parts: Vec<&str> = chart.split('-').collect();
    let [provider, name, _, _, "cluster", "class"] = parts.as_slice() else {
        return Err(Fault::whole(format!(
            "names neither provider nor stack, and neither does the chart `{chart}`, which is not \
             `<provider>-<stack>-1-NN-cluster-class`"
        )));
    };
    let here = |text: &str| Spanned::new(text.to_owned(), Location::UNKNOWN, Location::UNKNOWN);
    Ok(Identity {
        provider: here(provider),
        name: here(name),
        kubernetes: versions.kubernetes,
        components: BTreeMap::new(),
    })
}

/// One entry of `versions.yaml`.
pub(super) struct Entry {
    pub(super) kubernetes: KubernetesVersion,
    pub(super) at: At,
    pub(super) components: Vec<Component>,
}

/// `versions.yaml`
pub(super) fn versions(text: &str, file: &Path) -> Result<Vec<Entry>, Vec<Fault>> {
    let list: Vec<Spanned<BTreeMap<String, Spanned<String>>>> = yaml(text).map_err(|fault| vec![fault])?;
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    for item in list {
        let here = item.referenced;
        let mut map = item.value;
        let Some(version) = map.remove("kubernetes") else {
            faults.push(Fault::at(here, "the entry names no Kubernetes version".into()));
            continue;
        };
        match version.value.parse() {
            Ok(kubernetes) => entries.push(Entry {
                kubernetes,
                at: place(file, version.referenced),
                components: components(map, file),
            }),
            Err(error) => faults.push(Fault::at(version.referenced, format!("{error}"))),
        }
    }
    if entries.is_empty() && faults.is_empty() {
        faults.push(Fault::whole("names no Kubernetes version".into()));
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

pub(super) fn components(map: BTreeMap<String, Spanned<String>>, file: &Path) -> Vec<Component> {
    let component = |(name, version): (String, Spanned<String>)| Component {
        name,
        at: place(file, version.referenced),
        version: version.value,
        applies_to: Vec::new(),
    };
    map.into_iter().map(component).collect()
}

#[derive(Deserialize)]
struct DependencyDocument {
    name: Spanned<String>,
    #[serde(default)]
    version: Option<Spanned<String>>,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    condition: Option<String>,
}

/// `Chart.yaml`, with the text of the `Chart.lock` beside it.
pub(super) fn chart(text: &str, file: &Path, lock: Option<&str>) -> Result<Chart, Fault> {
    #[derive(Deserialize)]
    struct Document {
        name: Spanned<String>,
        #[serde(default)]
        version: Option<Spanned<String>>,
        #[serde(default)]
        dependencies: Option<Vec<DependencyDocument>>,
    }
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        dependencies: Option<Vec<DependencyDocument>>,
    }
    let document: Document = yaml(text)?;
    let lock: Option<Lock> = lock.and_then(|text| yaml(text).ok());
    let locked = lock.and_then(|lock| lock.dependencies).unwrap_or_default();
    let dependency = |found: DependencyDocument| {
        let lock = locked.iter().find(|l| l.name.value == found.name.value);
        let at = place(file, found.version.as_ref().map_or(found.name.referenced, |v| v.referenced));
        let wanted = found.version.map(|v| v.value).unwrap_or_default();
        Dependency {
            name: found.name.value,
            version: wanted.clone(),
            wanted,
            repository: found.repository,
            alias: found.alias,
            condition: found.condition,
            locked: lock.and_then(|l| l.version.as_ref()).map(|v| v.value.clone()),
            at,
        }
    };
    let whole = At { file: file.into(), ..At::default() };
    Ok(Chart {
        name_at: place(file, document.name.referenced),
        name: document.name.value,
        version_at: document.version.as_ref().map_or(whole, |v| place(file, v.referenced)),
        version: document.version.map(|v| v.value).unwrap_or_default(),
        dependencies: document.dependencies.unwrap_or_default().into_iter().map(dependency).collect(),
        vendored: Vec::new(),
    })
}

/// Images for nodes, from any of the files that name some: those of csctl's plugin for OpenStack
/// (`openStackNodeImages`, `dockerImages`), of the OpenStack resource controller (`kind: Image`) and of the OpenStack
/// image manager (`images`). What is none of these names no images.
pub(super) fn node_images(text: &str, file: &Path) -> Result<Vec<NodeImage>, Fault> {
    let documents: Vec<Spanned<Value>> =
        serde_saphyr::from_multiple_with_options(text, yaml_options()).map_err(|error| fault(&error))?;
    let mut images = Vec::new();
    for document in documents {
        let at = place(file, document.referenced);
        found_in(&document.value, &at, &mut images);
    }
    Ok(images)
}

/// Images that rendered objects name.
pub(super) fn image_of_object(object: &Value, at: &At) -> Option<NodeImage> {
    let orc = object["apiVersion"].as_str().is_some_and(|v| v.starts_with("openstack.k-orc.cloud/"));
    if !orc || object["kind"] != "Image" {
        return None;
    }
    let download = &object["spec"]["resource"]["content"]["download"];
    let name = object["spec"]["resource"]["name"].as_str().or(object["metadata"]["name"].as_str())?;
    let hash = |download: &Value| {
        Some(format!("{}:{}", download["hash"]["algorithm"].as_str()?, download["hash"]["value"].as_str()?))
    };
    Some(image(name, None, download["url"].as_str(), hash(download).as_deref(), at))
}

fn found_in(document: &Value, at: &At, images: &mut Vec<NodeImage>) {
    images.extend(image_of_object(document, at));
    let list = |key: &str| document[key].as_array().into_iter().flatten();
    for found in list("openStackNodeImages") {
        let name = found["createOpts"]["name"].as_str().unwrap_or_default();
        images.push(image(name, None, found["url"].as_str(), None, at));
    }
    images.extend(list("dockerImages").filter_map(|f| Some(image(f.as_str()?, None, None, None, at))));
    for found in list("images") {
        let name = found["name"].as_str().unwrap_or_default();
        let separator = found["separator"].as_str().unwrap_or(" ");
        for version in found["versions"].as_array().into_iter().flatten() {
            let text = version["version"].as_str().unwrap_or_default();
            let (url, checksum) = (version["url"].as_str(), version["checksum"].as_str());
            images.push(image(&format!("{name}{separator}{text}"), Some(text), url, checksum, at));
        }
    }
}

fn image(name: &str, version: Option<&str>, url: Option<&str>, checksum: Option<&str>, at: &At) -> NodeImage {
    let told = version.and_then(|v| v.parse().ok());
    NodeImage {
        name: name.into(),
        kubernetes: told.or_else(|| version_in(name)).or_else(|| url.and_then(version_in)),
        url: url.map(Into::into),
        checksum: checksum.map(Into::into),
        at: at.clone(),
    }
}

/// The last full version in a text: `ubuntu-2404-kube-v1.34.7.qcow2` has `v1.34.7`.
fn version_in(text: &str) -> Option<KubernetesVersion> {
    let starts: Vec<usize> = text.match_indices("v1.").map(|(at, _)| at).collect();
    starts.into_iter().rev().find_map(|start| {
        let rest: String =
            text[start + 1..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        rest.trim_end_matches('.').parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_images_of_every_kind() {
        let names = |text: &str| -> Vec<String> {
            let images = node_images(text, Path::new("f")).unwrap();
            let version = |i: &NodeImage| i.kubernetes.map_or_else(|| "-".into(), |v| v.to_string());
            images.iter().map(|i| format!("{} {}", i.name, version(i))).collect()
        };
        let url = "https://example.org/ubuntu-2204-kube-v1.29/ubuntu-2204-kube-v1.29.3.qcow2";
        let plugin = format!("openStackNodeImages:\n- url: {url}\n  createOpts: {{name: capi}}\n");
        assert_eq!(names(&plugin), ["capi v1.29.3"]);
        assert_eq!(names("dockerImages:\n  - worker\n"), ["worker -"]);
        let orc = "apiVersion: openstack.k-orc.cloud/v1alpha1\nkind: Image\nmetadata: {name: capi-v1.34.7}\n\
                   spec: {resource: {content: {download: {url: u, hash: {algorithm: sha256, value: ab}}}}}\n";
        assert_eq!(names(&format!("---\n{orc}")), ["capi-v1.34.7 v1.34.7"]);
        assert_eq!(node_images(orc, Path::new("f")).unwrap()[0].checksum.as_deref(), Some("sha256:ab"));
        let manager =
            "images:\n- name: capi\n  separator: '-'\n  versions: [{version: v1.33.4}, {version: v1.34.0}]\n";
        assert_eq!(names(manager), ["capi-v1.33.4 v1.33.4", "capi-v1.34.0 v1.34.0"]);
        assert_eq!(names("a: b\n"), Vec::<String>::new());
    }

    #[test]
    fn faults_have_places() {
        let fault = csctl("apiVersion: csctl.clusterstack.x-k8s.io/v1\nconfig:\n  kubernetesVersion: [1]\n");
        let fault = fault.err().unwrap();
        assert_eq!((fault.line, fault.column > 0), (3, true), "{fault:?}");
        assert!(!fault.why.contains("line 3"), "{fault:?}");
        let faults = versions("- kubernetes: 1.30\n- occm: 1.0.0\n", Path::new("f")).err().unwrap();
        let lines: Vec<u64> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn a_chart_with_its_lock() {
        let text = "name: a\nversion: << .ClusterAddonVersion >>\ndependencies:\n- name: cni\n  version: 1.x\n  alias: net\n";
        let lock = "dependencies:\n- name: cni\n  version: 1.16.3\n";
        let chart = chart(text, Path::new("f"), Some(lock)).unwrap();
        assert!(chart.is_placeholder());
        let cni = &chart.dependencies[0];
        assert_eq!((cni.wanted.as_str(), cni.locked.as_deref(), cni.at.line), ("1.x", Some("1.16.3"), 5));
    }
}
