//! The files of one minor, or of several that share a folder.

use super::super::addon::{self, AddonPlan, SINGLE, Style};
use super::super::model::{AddonChart, AddonValues, Chart, MinorSource, NodeImage};
use super::super::parse::{self, Entry, Fault, Identity};
use super::super::read::{Reader, entries};
use super::Release;
use crate::types::{KubernetesVersion, ProviderKind, StackName};
use std::path::{Path, PathBuf};

/// Files beside the charts that may name images for nodes.
const IMAGES: [&str; 5] =
    ["node-images/config.yaml", "node-images.yaml", "image.yaml", "kubernetes.yaml", "image-manager.yaml"];

/// What all minors of a folder share.
pub(super) struct Contents {
    folder: PathBuf,
    chart: PathBuf,
    class: Chart,
    values: Vec<AddonValues>,
    addons: AddonPlan,
    charts: Vec<AddonChart>,
    images: Vec<NodeImage>,
}

/// Which stack the folder is of, and in which version: from `stack.yaml`, `csctl.yaml`, or, before there was either,
/// `metadata.yaml` and the name of the chart.
pub(super) fn identity(reader: &mut Reader, folder: &Path) -> Option<Release> {
    let (new, usual, old) =
        (folder.join("stack.yaml"), folder.join("csctl.yaml"), folder.join("metadata.yaml"));
    let (file, found) = if new.exists() {
        (new.clone(), reader.parse(&new, parse::stack)?)
    } else if usual.exists() || !old.exists() {
        (usual.clone(), reader.parse(&usual, parse::csctl)?)
    } else {
        let chart = chart(reader, &folder.join("cluster-class"))?;
        (old.clone(), reader.parse(&old, |text| parse::metadata(text, &chart.name))?)
    };
    checked(reader, &file, found)
}

fn checked(reader: &mut Reader, file: &Path, found: Identity) -> Option<Release> {
    let provider = ProviderKind::ALL.into_iter().find(|p| p.as_str() == found.provider.value);
    if provider.is_none() {
        let known = ProviderKind::ALL.map(ProviderKind::as_str).join(", ");
        let why = format!("has the provider `{}`; known are {known}", found.provider.value);
        reader.fault(file, Fault::at(found.provider.referenced, why));
    }
    let name = StackName::new(found.name.value).map_err(|error| {
        reader.fault(file, Fault::at(found.name.referenced, error.to_string()));
    });
    let kubernetes: Result<KubernetesVersion, ()> = found.kubernetes.value.parse().map_err(|error| {
        let why = format!("{error}");
        reader.fault(file, Fault::at(found.kubernetes.referenced, why));
    });
    let shown = reader.shown(file);
    Some(Release {
        provider: provider?,
        name: name.ok()?,
        kubernetes: kubernetes.ok()?,
        declared: parse::place(&shown, found.kubernetes.referenced),
        components: parse::components(found.components, &shown),
    })
}

/// Reads the charts, the plan of the add-ons and what else stands in the folder.
pub(super) fn contents(reader: &mut Reader, base: &Path, folder: &Path) -> Option<Contents> {
    let class_folder = folder.join("cluster-class");
    let class = chart(reader, &class_folder);
    let addon_folder = folder.join("cluster-addon");
    let (plan, single) = (folder.join("clusteraddon.yaml"), addon_folder.join("Chart.yaml"));
    let addons = if plan.exists() {
        reader.parse(&plan, addon::parse)
    } else if single.exists() {
        Some(AddonPlan::single())
    } else if entries(&addon_folder).iter().any(|e| e.join("Chart.yaml").exists()) {
        let why = "there are charts in cluster-addon, but no clusteraddon.yaml says when they are applied";
        reader.problem(&plan, why);
        None
    } else {
        Some(AddonPlan::default())
    };
    let (mut charts, mut values) = (Vec::new(), Vec::new());
    for stage in addons.iter().flat_map(|plan| stage_folders(plan, folder)) {
        let (name, directory, file) = stage;
        if let Some(chart) = chart(reader, &directory) {
            charts.push(AddonChart { stage: name.clone(), directory: reader.shown(&directory), chart });
        }
        if file.is_file()
            && let Some(text) = reader.text(&file)
        {
            let shown = file.strip_prefix(base).unwrap_or(&file).display().to_string();
            // The template stands as text below `values`; around it the file is no YAML before it is rendered.
            let template = text.trim_start().strip_prefix("values: |").unwrap_or(&text).to_owned();
            values.push(AddonValues { stage: name, file: shown, template });
        }
    }
    charts.sort_by(|a, b| a.stage.cmp(&b.stage));
    values.sort_by(|a, b| a.file.cmp(&b.file));
    let images = images(reader, folder);
    Some(Contents {
        folder: folder.into(),
        chart: class_folder,
        class: class?,
        values,
        addons: addons?,
        charts,
        images,
    })
}

/// Name, folder of the chart, and file of the values of each stage.
fn stage_folders(plan: &AddonPlan, folder: &Path) -> Vec<(String, PathBuf, PathBuf)> {
    let addons = folder.join("cluster-addon");
    match plan.style {
        Style::None => Vec::new(),
        Style::Single => vec![(SINGLE.into(), addons, folder.join("cluster-addon-values.yaml"))],
        Style::Stages => {
            let stage =
                |name: &str| (name.to_owned(), addons.join(name), addons.join(name).join("overwrite.yaml"));
            plan.stages().into_iter().map(stage).collect()
        }
    }
}

fn chart(reader: &mut Reader, folder: &Path) -> Option<Chart> {
    let file = folder.join("Chart.yaml");
    if !file.is_file() {
        reader.problem(folder, "is not a Helm chart: there is no Chart.yaml");
        return None;
    }
    let lock = folder.join("Chart.lock");
    let lock = if lock.is_file() { reader.text(&lock) } else { None };
    let shown = reader.shown(&file);
    let mut chart = reader.parse(&file, |text| parse::chart(text, &shown, lock.as_deref()))?;
    let vendored = entries(&folder.join("charts"));
    let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
    chart.vendored = vendored.iter().filter_map(name).collect();
    Some(chart)
}

fn images(reader: &mut Reader, folder: &Path) -> Vec<NodeImage> {
    let mut images: Vec<NodeImage> = Vec::new();
    for file in IMAGES.map(|name| folder.join(name)).into_iter().filter(|file| file.is_file()) {
        let shown = reader.shown(&file);
        let found = reader.parse(&file, |text| parse::node_images(text, &shown));
        for image in found.unwrap_or_default() {
            let same = |other: &NodeImage| {
                (&other.name, &other.url, other.kubernetes) == (&image.name, &image.url, image.kubernetes)
            };
            if !images.iter().any(same) {
                images.push(image);
            }
        }
    }
    images
}

/// One minor of a folder.
pub(super) fn of(contents: &Contents, entry: Entry) -> MinorSource {
    let minor = entry.kubernetes.minor();
    let own = |image: &&NodeImage| image.kubernetes.is_none_or(|version| version.minor() == minor);
    let mut source = MinorSource {
        kubernetes: entry.kubernetes,
        declared: entry.at,
        folder: contents.folder.clone(),
        chart: contents.chart.clone(),
        class: contents.class.clone(),
        addon_values: contents.values.clone(),
        addons: contents.addons.clone(),
        addon_charts: contents.charts.clone(),
        components: entry.components,
        node_images: contents.images.iter().filter(own).cloned().collect(),
    };
    source.overlay();
    source
}
