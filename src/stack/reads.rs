//! What one minor of a stack is made of: which paths its reading and rendering look at, and what they come to, part by
//! part, so that two revisions can be compared.

use super::model::MinorSource;
use super::snapshot::{Snapshot, hex};
use super::{StackRelease, yaml_options};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Files and folders that the reading of a stack's folder looks for.
const NAMES: [&str; 13] = [
    "csctl.yaml",
    "stack.yaml",
    "metadata.yaml",
    "versions.yaml",
    "clusteraddon.yaml",
    "cluster-addon-values.yaml",
    "cluster-addon",
    "cluster-class",
    "node-images",
    "node-images.yaml",
    "image.yaml",
    "kubernetes.yaml",
    "image-manager.yaml",
];

/// Links that lead to links.
const MAX_LINKS: usize = 40;
/// A stack has some hundred files.
const MAX_FILES: usize = 20_000;

/// Paths that are looked at: what is there, what is below, and what is not there. A change anywhere else changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    paths: BTreeSet<PathBuf>,
}

impl Reads {
    /// What the reading of a minor looks at; `named` is the folder that the user has named, which may be reached by links.
    #[must_use]
    pub fn of(minor: &MinorSource, named: &Path) -> Self {
        let mut reads = Self::default();
        let named = std::path::absolute(named).unwrap_or_else(|_| named.into());
        reads.resolve(&named, &mut 0);
        // The folder itself is not read through, only what is looked for in it.
        reads.paths.retain(|path| path.is_symlink());
        let mut bases = BTreeSet::from([minor.folder.clone()]);
        // Where minors have folders, files beside these would make it another layout.
        bases.extend(minor.folder.parent().filter(|_| reads.is_minor(&minor.folder)).map(Path::to_path_buf));
        for base in bases {
            for name in NAMES {
                reads.add(&base.join(name));
            }
        }
        reads
    }

    /// One file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        let mut reads = Self::default();
        reads.add(&std::path::absolute(path).unwrap_or_else(|_| path.into()));
        reads
    }

    fn is_minor(&self, folder: &Path) -> bool {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().replace('-', ".");
        name.parse::<crate::types::KubernetesMinor>().is_ok()
    }

    /// All of them: a folder stands for everything below it.
    #[must_use]
    pub fn paths(&self) -> &BTreeSet<PathBuf> {
        &self.paths
    }

    /// Whether a change of this file can matter.
    #[must_use]
    pub fn touched_by(&self, file: &Path) -> bool {
        file.ancestors().any(|above| self.paths.contains(above))
    }

    /// Adds a path, the links on the way to it, and what links below it lead to.
    fn add(&mut self, path: &Path) {
        let mut open = vec![path.to_path_buf()];
        let mut seen = BTreeSet::new();
        while let Some(path) = open.pop() {
            let real = self.resolve(&path, &mut 0);
            if seen.len() >= MAX_FILES || !seen.insert(real.clone()) {
                continue;
            }
            for entry in super::read::entries(&real) {
                let link = entry.is_symlink();
                if link || entry.is_dir() {
                    open.push(entry);
                }
            }
        }
        // What lies below another path needs no mention, unless a link leads there.
        let all = self.paths.clone();
        self.paths.retain(|path| !path.ancestors().skip(1).any(|above| all.contains(above)));
    }

    /// Follows a path link by link, and adds each link and the end.
    fn resolve(&mut self, path: &Path, links: &mut usize) -> PathBuf {
        let mut real = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    real.pop();
                }
                Component::CurDir => {}
                other => real.push(other),
            }
            if let (true, Ok(target)) = (*links < MAX_LINKS, std::fs::read_link(&real)) {
                *links += 1;
                self.paths.insert(real.clone());
                let from = real.parent().unwrap_or(&real).to_path_buf();
                real = self.resolve(&from.join(target), links);
            }
        }
        self.paths.insert(real.clone());
        real
    }
}

/// What a minor comes to, part by part: the name of the part -> a hash. Equal hashes mean that nothing that a cluster could
/// see is different; comments, texts about the stack and the order of keys do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    parts: BTreeMap<String, String>,
}

impl Fingerprint {
    /// From a minor's files and what it renders to.
    ///
    /// # Errors
    /// A chart of an add-on cannot be read.
    pub fn of(minor: &MinorSource, rendered: &StackRelease) -> std::io::Result<Self> {
        let mut parts = BTreeMap::new();
        let mut part = |name: String, value: Value| {
            parts.insert(name, hash(&value));
        };
        part("Kubernetes version".into(), json!(minor.kubernetes));
        part("ClusterClass chart".into(), json!(rendered.objects));
        for values in &minor.addon_values {
            part(format!("values of add-on {}", values.stage), json!(values.template));
        }
        let wait = |wait: &super::addon::WaitFor| json!([wait.objects, wait.condition]);
        let stage = |stage: &super::addon::Stage| {
            json!([stage.name, stage.action, stage.before.as_ref().map(wait), stage.after.as_ref().map(wait)])
        };
        let hooks = minor.addons.hooks.iter();
        let hooks: BTreeMap<&str, Vec<Value>> =
            hooks.map(|(hook, stages)| (hook.as_str(), stages.iter().map(stage).collect())).collect();
        part("stages of add-ons".into(), json!([minor.addons.style, hooks]));
        for addon in &minor.addon_charts {
            let folder = match minor.addons.style {
                super::addon::Style::Stages => minor.folder.join("cluster-addon").join(&addon.stage),
                _ => minor.folder.join("cluster-addon"),
            };
            part(format!("add-on {}", addon.stage), chart(&folder)?);
            let versions = addon.chart.dependencies.iter().map(|d| (&d.name, &d.version));
            let versions: BTreeMap<_, _> = versions.collect();
            part(format!("versions of add-on {}", addon.stage), json!(versions));
        }
        let images = minor.node_images.iter().map(|i| (&i.name, &i.url, &i.checksum));
        part("images of nodes".into(), json!(images.collect::<Vec<_>>()));
        Ok(Self { parts })
    }

    /// The parts that differ, by name; also those that only one has.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.parts.keys().chain(other.parts.keys()).collect();
        names.into_iter().filter(|name| self.parts.get(*name) != other.parts.get(*name)).cloned().collect()
    }
}

fn hash(value: &Value) -> String {
    hex(&Sha256::digest(serde_json::to_vec(value).unwrap_or_default()))
}

/// The files of a chart. Of those that Helm reads as YAML the meaning counts, of others the bytes. The versions of its
/// dependencies are compared by themselves, because a minor may have others.
fn chart(folder: &Path) -> std::io::Result<Value> {
    let mut files = serde_json::Map::new();
    for (name, bytes) in Snapshot::take(folder)?.files() {
        let shown = name.to_string_lossy().into_owned();
        let text = std::str::from_utf8(bytes).ok();
        let meant = match shown.as_str() {
            "values.yaml" | "Chart.yaml" => {
                text.and_then(|text| serde_saphyr::from_str_with_options::<Value>(text, yaml_options()).ok())
            }
            _ => None,
        };
        let meant = meant.map(|mut value| {
            if let Some(dependencies) = value.get_mut("dependencies").and_then(Value::as_array_mut) {
                for dependency in dependencies.iter_mut().filter_map(Value::as_object_mut) {
                    dependency.remove("version");
                }
            }
            value
        });
        files.insert(shown, meant.unwrap_or_else(|| json!(hex(&Sha256::digest(bytes)))));
    }
    Ok(Value::Object(files))
}
