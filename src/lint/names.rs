//! Names and versions that contradict each other, or that the tools around cannot read.

use super::{Finding, Subject, line_of};
use crate::release::ReleaseVersion;
use crate::stack::addon::SINGLE;
use crate::stack::{At, Chart, Layout, MinorSource};
use crate::types::{KubernetesMinor, KubernetesVersion};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize, Default)]
struct Csctl {
    #[serde(default)]
    config: Config,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    kubernetes_version: String,
    cluster_stack_name: String,
    provider: Provider,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Provider {
    r#type: String,
}

fn csctl(text: &str) -> Config {
    let read = serde_saphyr::from_str_with_options::<Csctl>(text, crate::stack::yaml_options());
    read.unwrap_or_default().config
}

/// What is wrong with a `csctl.yaml`, which may belong to a stack that cannot be read for that very reason.
pub(super) fn csctl_file(file: &Path, text: &str) -> Vec<Finding> {
    let config = csctl(text);
    let mut findings = Vec::new();
    let at = |key: &str| At { file: file.to_path_buf(), line: line_of(text, key), column: 0 };
    for (key, name) in [("clusterStackName", &config.cluster_stack_name), ("type", &config.provider.r#type)] {
        if name.contains('-') {
            let why = format!(
                "`{name}` has a `-`: the operator would take the name of a release apart into {} parts instead of 5 or 7",
                5 + name.matches('-').count()
            );
            findings.push(Finding::new("name-split", at(key), name.clone(), why));
        }
    }
    let version = &config.kubernetes_version;
    let good = version.starts_with('v') && version.parse::<KubernetesVersion>().is_ok();
    if !good && !version.is_empty() {
        let why = format!("kubernetesVersion is `{version}`, which csctl refuses");
        let about = format!("{}-{} {version}", config.provider.r#type, config.cluster_stack_name);
        findings.push(Finding::new("csctl-version", at("kubernetesVersion"), about, why));
    }
    findings
}

impl Subject {
    /// The version that `csctl.yaml` names where several minors share a folder.
    pub(super) fn pinned(&self, minor: KubernetesMinor) -> Option<KubernetesVersion> {
        let folder = &self.source.minor(minor)?.folder;
        let shared = self.source.layout == Layout::Versions;
        shared.then(|| csctl(self.text(folder, "csctl.yaml")?).kubernetes_version.parse().ok()).flatten()
    }
}

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = subject.name();
    for (folder, minors) in subject.folders() {
        let text = subject.text(folder, "csctl.yaml");
        let pinned = text.and_then(|text| csctl(text).kubernetes_version.parse::<KubernetesVersion>().ok());
        // A folder that several minors share is, as it stands, of the one that csctl.yaml names.
        let own = match (minors.as_slice(), pinned) {
            (_, Some(pinned)) if subject.source.layout == Layout::Versions => Some(pinned),
            ([one], _) => Some(one.kubernetes),
            (_, pinned) => pinned,
        };
        if let (Some(pinned), Some(text)) = (pinned, text) {
            let listed = minors.iter().any(|minor| minor.kubernetes == pinned);
            if !listed {
                let has: Vec<_> = minors.iter().map(|minor| minor.kubernetes.to_string()).collect();
                let at = At {
                    file: folder.join("csctl.yaml"),
                    line: line_of(text, "kubernetesVersion"),
                    column: 0,
                };
                let why = format!("says {pinned}; the stack is of {} by {}", has.join(", "), source(&minors));
                findings.push(Finding::new("version-sources", at, format!("{name} {pinned}"), why));
            }
        }
        let Some((own, first)) = own.zip(minors.first()) else { continue };
        charts(subject, own.minor(), first, &mut findings);
        images(subject, own, first, &mut findings);
    }
    findings
}

/// The file that decides which versions a stack has.
fn source(minors: &[&MinorSource]) -> String {
    let file = minors.first().and_then(|minor| minor.declared.file.file_name());
    file.map_or_else(|| "its folder".into(), |file| file.to_string_lossy().into_owned())
}

fn charts(subject: &Subject, own: KubernetesMinor, minor: &MinorSource, findings: &mut Vec<Finding>) {
    let line = subject.source.release_name(own);
    let single = minor.addon_charts.iter().find(|addon| addon.stage == SINGLE);
    let charts: [(Option<&Chart>, &str); 2] =
        [(Some(&minor.class), "cluster-class"), (single.map(|addon| &addon.chart), "cluster-addon")];
    for (chart, part) in charts.into_iter().filter_map(|(chart, part)| Some((chart?, part))) {
        let wanted = format!("{line}-{part}");
        if chart.name != wanted {
            let why = format!("the chart is called {}; a release of this folder needs {wanted}", chart.name);
            findings.push(Finding::new("chart-name", chart.name_at.clone(), wanted.clone(), why));
        }
        if !chart.is_placeholder() && chart.version.parse::<ReleaseVersion>().is_err() {
            let why = format!("the version `{}` of {} is none of a release", chart.version, chart.name);
            findings.push(Finding::new("chart-version", chart.version_at.clone(), wanted, why));
        }
    }
}

/// Files that name images for nodes.
const IMAGES: [&str; 5] =
    ["node-images/config.yaml", "node-images.yaml", "image.yaml", "kubernetes.yaml", "image-manager.yaml"];

/// A file that names versions, but not the one that the stack installs.
fn images(subject: &Subject, own: KubernetesVersion, minor: &MinorSource, findings: &mut Vec<Finding>) {
    let Ok(version) = regex::Regex::new(r"v1\.\d{1,3}\.\d{1,3}\b") else { return };
    for file in IMAGES {
        let Some(text) = subject.text(&minor.folder, file) else { continue };
        let wanted = own.to_string();
        let found: Vec<(usize, &str)> =
            version.find_iter(text).map(|found| (found.start(), found.as_str())).collect();
        let Some((at, first)) = found.first().filter(|_| found.iter().all(|(_, found)| *found != wanted))
        else {
            continue;
        };
        let line = text[..*at].matches('\n').count() as u64 + 1;
        let place = At { file: minor.folder.join(file), line, column: 0 };
        let why =
            format!("names an image of Kubernetes {first}, and none of {own}, which the stack installs");
        findings.push(Finding::new("node-image", place, format!("{} {own} {file}", subject.name()), why));
    }
}
