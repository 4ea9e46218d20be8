//! A Cluster Stack on disk: its minors, its ClusterClass rendered, its variables with their schema, and whether a
//! value has an effect. Pure but for
//! [`load`], [`find`], [`discover`], [`render`], `program`, [`Reads`], [`Fingerprint`] and [`git`].

pub mod addon;
mod cache;
pub mod charts;
pub mod effect;
pub mod git;
pub mod gotemplate;
mod model;
mod parse;
pub(crate) mod program;
mod read;
mod reads;
mod render;
mod snapshot;
mod source;
pub mod variables;

pub use model::{
    AddonChart, AddonValues, At, Chart, Component, Dependency, Layout, MinorSource, NodeImage, StackSource,
};
pub use reads::{Fingerprint, Reads};
pub use render::{Helm, render, render_with};
pub use source::{Found, discover, find, load};

use crate::types::{KubernetesMinor, KubernetesVersion, ProviderKind, StackName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A Cluster Stack, read from its folder and rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The provider of its release names.
    pub provider: ProviderKind,
    /// Its name.
    pub name: StackName,
    /// Its folder.
    pub directory: PathBuf,
    /// All minors that it has, rendered or not, oldest first.
    pub minors: Vec<KubernetesMinor>,
    /// One release for each minor that was asked for, oldest first.
    pub releases: Vec<StackRelease>,
    /// Releases of the same stack that come after those, one for each minor that was asked for; none when nothing is
    /// upgraded within a minor.
    pub next: Vec<StackRelease>,
    /// Releases of another stack, to which no cluster may go.
    pub other: Vec<StackRelease>,
}

/// One minor of a stack, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct StackRelease {
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
    /// The name of the ClusterClass object.
    pub class: String,
    /// The name of the first worker class.
    pub worker_class: String,
    /// The names of all worker classes, in the order of the ClusterClass.
    pub worker_classes: Vec<String>,
    /// The ClusterClass, as rendered.
    pub cluster_class: Value,
    /// Everything that the chart renders, the ClusterClass included.
    pub objects: Vec<Value>,
    /// What the add-ons read from a cluster.
    pub addon_values: Vec<AddonValues>,
    /// Its add-ons; absent when it has none.
    pub addons: Option<ReleaseAddons>,
}

/// The add-ons of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseAddons {
    /// The folder of their charts, without links.
    pub folder: PathBuf,
    /// The hash of its content, see [`charts::digest`].
    pub digest: String,
    /// Which of them are applied or deleted when.
    pub plan: addon::AddonPlan,
}

impl StackRelease {
    /// Images for nodes that the chart itself brings, as objects of the OpenStack resource controller.
    pub fn node_images(&self) -> impl Iterator<Item = NodeImage> + '_ {
        self.objects.iter().filter_map(|object| parse::image_of_object(object, &At::default()))
    }
}

impl Stack {
    /// The release of a minor.
    #[must_use]
    pub fn release(&self, minor: KubernetesMinor) -> Option<&StackRelease> {
        of_minor(&self.releases, minor)
    }

    /// The release that comes after that of the same minor.
    #[must_use]
    pub fn next_release(&self, minor: KubernetesMinor) -> Option<&StackRelease> {
        of_minor(&self.next, minor)
    }

    /// The release of the other stack.
    #[must_use]
    pub fn other_release(&self, minor: KubernetesMinor) -> Option<&StackRelease> {
        of_minor(&self.other, minor)
    }
}

fn of_minor(releases: &[StackRelease], minor: KubernetesMinor) -> Option<&StackRelease> {
    releases.iter().find(|release| release.kubernetes.minor() == minor)
}

/// One thing that is wrong with the folder of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackProblem {
    /// The file or folder.
    pub file: PathBuf,
    /// The line, from 1; 0 stands for the whole file.
    pub line: u64,
    /// The column, from 1; 0 where there is none.
    pub column: u64,
    /// What is wrong with it.
    pub why: String,
}

impl StackProblem {
    /// A problem of a whole file or folder.
    #[must_use]
    pub fn whole(file: PathBuf, why: String) -> Self {
        Self { file, line: 0, column: 0, why }
    }
}

impl fmt::Display for StackProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = At { file: self.file.clone(), line: self.line, column: self.column };
        write!(f, "{at}: {}", self.why)
    }
}

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The folder is not that of a stack.
    #[error("{} is not a Cluster Stack:\n{}", directory.display(), lines(problems))]
    Source {
        /// The folder.
        directory: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<StackProblem>,
    },
    /// The stack does not have this minor.
    #[error("the stack has {}; not {wanted}", minors(has))]
    UnknownMinor {
        /// What was asked for.
        wanted: KubernetesMinor,
        /// What there is.
        has: Vec<KubernetesMinor>,
    },
    /// Helm cannot be run.
    #[error("cannot run helm as `{}`", helm.display())]
    Helm {
        /// The program.
        helm: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Files that Helm needs cannot be prepared.
    #[error("cannot prepare the chart {} for helm", chart.display())]
    Prepare {
        /// The chart.
        chart: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Helm refuses the chart.
    #[error("helm cannot render {} as {release}: {message}", chart.display())]
    HelmFailed {
        /// The chart.
        chart: PathBuf,
        /// The release.
        release: String,
        /// What Helm says.
        message: String,
    },
    /// Helm takes too long.
    #[error("helm did not render {} within {} s", chart.display(), after.as_secs())]
    HelmTimedOut {
        /// The chart.
        chart: PathBuf,
        /// The deadline.
        after: Duration,
    },
    /// What Helm renders is not what a stack has.
    #[error("{} renders as {release}, but {why}", chart.display())]
    Output {
        /// The chart.
        chart: PathBuf,
        /// The release.
        release: String,
        /// What is wrong.
        why: String,
    },
}

fn lines(problems: &[StackProblem]) -> String {
    problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n")
}

fn minors(minors: &[KubernetesMinor]) -> String {
    if minors.is_empty() {
        return "no minor".into();
    }
    minors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// YAML as everywhere in this program: one spelling of booleans, numbers that are numbers, no merge keys, bounded.
pub(crate) fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}
