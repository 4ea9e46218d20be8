//! What the folder of a Cluster Stack says, before anything is rendered. Pure.

use super::addon::AddonPlan;
use crate::types::{KubernetesMinor, KubernetesVersion, ProviderKind, StackName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How the minors of a stack lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layout {
    /// One folder for each minor: `1-34/`.
    FolderPerMinor,
    /// One folder for all minors, which `versions.yaml` lists.
    Versions,
    /// One folder with one minor.
    Single,
    /// One checkout of a branch for each minor, side by side: `release-1.34/providers/...`.
    Branches,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FolderPerMinor => "a folder for each minor",
            Self::Versions => "versions.yaml",
            Self::Single => "one minor",
            Self::Branches => "a branch for each minor",
        })
    }
}

/// What the folder of a Cluster Stack says, before anything is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSource {
    /// The provider of its release names.
    pub provider: ProviderKind,
    /// Its name.
    pub name: StackName,
    /// Its folder; with [`Layout::Branches`] the one that holds the checkouts.
    pub directory: PathBuf,
    /// How its minors lie there.
    pub layout: Layout,
    /// The minors that it has, oldest first.
    pub minors: Vec<MinorSource>,
}

/// One minor of a Cluster Stack on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinorSource {
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
    /// Where that version is written.
    pub declared: At,
    /// The folder of its files, which it may share with other minors.
    pub folder: PathBuf,
    /// The folder of the Helm chart of the ClusterClass.
    pub chart: PathBuf,
    /// That chart.
    pub class: Chart,
    /// What the add-ons read from a cluster.
    pub addon_values: Vec<AddonValues>,
    /// Which add-ons are applied when.
    pub addons: AddonPlan,
    /// The charts of the add-ons, one for each stage, in the order of their names.
    pub addon_charts: Vec<AddonChart>,
    /// Versions that this minor has in place of those in the charts.
    pub components: Vec<Component>,
    /// The images of its nodes, as far as files name them.
    pub node_images: Vec<NodeImage>,
}

/// A place in a file of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct At {
    /// The file, as the user named its folder.
    pub file: PathBuf,
    /// The line, from 1; 0 stands for the whole file.
    pub line: u64,
    /// The column, from 1; 0 where there is none.
    pub column: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match (self.line, self.column) {
            (0, _) => Ok(()),
            (line, 0) => write!(f, ":{line}"),
            (line, column) => write!(f, ":{line}:{column}"),
        }
    }
}

/// A Helm chart, as its `Chart.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// Its name.
    pub name: String,
    /// Its version; not released charts have a place for one: `<< .ClusterClassVersion >>`.
    pub version: String,
    /// Where the name is written.
    pub name_at: At,
    /// Where the version is written.
    pub version_at: At,
    /// The charts that it is made of.
    pub dependencies: Vec<Dependency>,
    /// Files in its folder `charts/`, by name: `cilium-1.16.3.tgz`.
    pub vendored: Vec<String>,
}

impl Chart {
    /// Whether the version is a place to be filled in by the release.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.version.contains("<<")
    }
}

/// A chart that another one is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name in the repository.
    pub name: String,
    /// The version that `Chart.yaml` wants.
    pub wanted: String,
    /// The version that this minor gets: `wanted`, or what `versions.yaml` or `stack.yaml` says instead.
    pub version: String,
    /// The repository of charts.
    pub repository: String,
    /// The key of its values, if it is not the name.
    pub alias: Option<String>,
    /// The values that switch it on.
    pub condition: Option<String>,
    /// The version in `Chart.lock`.
    pub locked: Option<String>,
    /// Where `wanted` is written.
    pub at: At,
}

/// The chart of an add-on stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonChart {
    /// The stage; `cluster-addon` for the one chart of old stacks.
    pub stage: String,
    /// Its folder.
    pub directory: PathBuf,
    /// The chart.
    pub chart: Chart,
}

/// Values of an add-on that are made for each cluster, by a template that sees the cluster's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonValues {
    /// The stage; `cluster-addon` for the one chart of old stacks.
    pub stage: String,
    /// The file, relative to the stack's folder.
    pub file: String,
    /// The template.
    pub template: String,
}

/// A version that a minor has in place of the one in a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// The key: `occm`, `cinder_csi`, or the name of a stage or of a chart.
    pub name: String,
    /// The version.
    pub version: String,
    /// The dependencies that get it, each as `stage/name`; with none it does nothing.
    pub applies_to: Vec<String>,
    /// Where it is written.
    pub at: At,
}

/// An image for nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeImage {
    /// Its name in the cloud.
    pub name: String,
    /// The Kubernetes version in it, if name or address tell.
    pub kubernetes: Option<KubernetesVersion>,
    /// Where it is downloaded from.
    pub url: Option<String>,
    /// `sha256:...`
    pub checksum: Option<String>,
    /// Where it is written.
    pub at: At,
}

impl StackSource {
    /// The minors that the stack has, oldest first.
    pub fn minors(&self) -> impl Iterator<Item = KubernetesMinor> {
        self.minors.iter().map(|m| m.kubernetes.minor())
    }

    /// One minor.
    #[must_use]
    pub fn minor(&self, minor: KubernetesMinor) -> Option<&MinorSource> {
        self.minors.iter().find(|m| m.kubernetes.minor() == minor)
    }

    /// The name that Helm gives to the release of a minor: `<provider>-<stack>-1-NN`.
    #[must_use]
    pub fn release_name(&self, minor: KubernetesMinor) -> String {
        format!("{}-{}-{}", self.provider, self.name, minor.dashed())
    }
}

impl MinorSource {
    /// A minor with a chart of its ClusterClass in the folder `cluster-class`, and nothing else.
    #[must_use]
    pub fn bare(kubernetes: KubernetesVersion, folder: PathBuf) -> Self {
        Self {
            kubernetes,
            declared: At::default(),
            chart: folder.join("cluster-class"),
            folder,
            class: Chart::default(),
            addon_values: Vec::new(),
            addons: AddonPlan::default(),
            addon_charts: Vec::new(),
            components: Vec::new(),
            node_images: Vec::new(),
        }
    }

    /// Gives the dependencies of the add-ons' charts the versions that this minor has in place of theirs.
    pub(super) fn overlay(&mut self) {
        /// What the tools of published stacks call two charts.
        const SHORT: [(&str, &str); 2] =
            [("occm", "openstack-cloud-controller-manager"), ("cinder_csi", "openstack-cinder-csi")];
        for component in &mut self.components {
            let short = SHORT.iter().find(|(short, _)| *short == component.name).map(|(_, name)| *name);
            let dashed = component.name.replace('_', "-");
            for addon in &mut self.addon_charts {
                let whole = addon.stage == component.name;
                for dependency in &mut addon.chart.dependencies {
                    let own =
                        dependency.alias.as_deref() == Some(dashed.as_str()) || dependency.name == dashed;
                    if whole || own || short == Some(dependency.name.as_str()) {
                        dependency.version.clone_from(&component.version);
                        component.applies_to.push(format!("{}/{}", addon.stage, dependency.name));
                    }
                }
            }
        }
    }

    /// The versions of everything that the add-ons are made of, by stage and name.
    #[must_use]
    pub fn addon_versions(&self) -> BTreeMap<(String, String), String> {
        let dependencies = |addon: &AddonChart| {
            let stage = addon.stage.clone();
            let versions = addon.chart.dependencies.iter();
            versions.map(|d| ((stage.clone(), d.name.clone()), d.version.clone())).collect::<Vec<_>>()
        };
        self.addon_charts.iter().flat_map(dependencies).collect()
    }
}
