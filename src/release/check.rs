//! Whether what is inside of a release agrees with its name. Pure.

use super::hash::{Files, Hashes, dirhash};
use super::{Metadata, Release, ReleaseName, archive};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Something in a release that contradicts its name, or another part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, of a fixed name.
    pub rule: &'static str,
    /// The asset, with the path inside of it where that is an archive.
    pub file: String,
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// A chart, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Chart {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddonConfig {
    #[serde(default)]
    addon_stages: std::collections::BTreeMap<String, Option<Vec<Stage>>>,
}

#[derive(Debug, Deserialize)]
struct Stage {
    #[serde(default)]
    name: String,
}

const AGAIN: &str =
    "build the release again; a release that is published must not be changed, so take the next version";

/// Compares the assets of a release with its name. No finding means that they agree, as far as it can be seen without
/// rendering; `metadata.yaml` is not believed either.
#[must_use]
pub fn check(release: &Release) -> Vec<Finding> {
    let mut checker = Checker { release, findings: Vec::new(), known: BTreeSet::new() };
    checker.all();
    checker.findings
}

struct Checker<'a> {
    release: &'a Release,
    findings: Vec<Finding>,
    known: BTreeSet<String>,
}

impl<'a> Checker<'a> {
    fn finding(&mut self, rule: &'static str, file: &str, why: impl Into<String>, hint: &str) {
        let (file, why) = (file.to_owned(), why.into());
        self.findings.push(Finding { rule, file, why, hint: hint.into() });
    }

    fn asset(&mut self, file: &str) -> Option<&'a [u8]> {
        self.known.insert(file.to_owned());
        self.release.assets.get(file).map(Vec::as_slice)
    }

    fn all(&mut self) {
        let name = &self.release.name;
        let metadata = self.metadata(name);
        let line = name.line();
        let class = format!("{line}-cluster-class");
        let archive = self.archive(&class, &name.version.to_string());
        if let Some((asset, files)) = archive {
            self.chart(&asset, &files, &class, &name.version.to_string());
        }
        let addon = format!("{line}-cluster-addon");
        let config = self.asset("clusteraddon.yaml");
        let values = self.asset("cluster-addon-values.yaml");
        match (config, values) {
            (None, None) => self.finding(
                "addon-config",
                "clusteraddon.yaml",
                "is not there, and no cluster-addon-values.yaml either: the operator learns from one of them what to apply",
                AGAIN,
            ),
            (Some(_), Some(_)) => self.finding(
                "addon-config",
                "cluster-addon-values.yaml",
                "is there beside clusteraddon.yaml, which makes the operator ignore it",
                "remove the one that the stack does not use",
            ),
            _ => {}
        }
        let version = metadata.as_ref().map(|metadata| metadata.cluster_addon.to_string());
        if version.is_none() {
            // Nobody knows what it should be called; that is told already.
            let archives = self.release.assets.keys().filter(|file| file.contains("-cluster-addon-"));
            self.known.extend(archives.cloned().collect::<Vec<_>>());
        }
        let mut addon_hash = None;
        if let Some((asset, files)) = version.as_ref().and_then(|version| self.archive(&addon, version)) {
            match config {
                Some(config) => {
                    self.stages(&asset, &files, config);
                    addon_hash = dirhash(&files).ok();
                }
                None => self.chart(&asset, &files, &addon, &version.unwrap_or_default()),
            }
        }
        self.hashes(addon_hash);
        self.node_images(metadata.as_ref());
        let unknown: Vec<_> = self.release.assets.keys().filter(|file| !self.known.contains(*file)).collect();
        for file in unknown {
            self.finding("unknown-asset", file, "belongs to no release of this name", AGAIN);
        }
    }

    fn metadata(&mut self, name: &ReleaseName) -> Option<Metadata> {
        let file = "metadata.yaml";
        let Some(bytes) = self.asset(file) else {
            self.finding("metadata", file, "is not there", AGAIN);
            return None;
        };
        let metadata = match Metadata::parse(bytes) {
            Ok(metadata) => metadata,
            Err(problems) => {
                for why in problems {
                    self.finding("metadata", file, why, AGAIN);
                }
                return None;
            }
        };
        if metadata.cluster_stack != name.version {
            let why =
                format!("says version {}; the release is named {}", metadata.cluster_stack, name.version);
            self.finding("metadata-version", file, why, AGAIN);
        }
        if metadata.kubernetes.minor() != name.minor {
            let why = format!("says Kubernetes {}; the release is named {}", metadata.kubernetes, name.minor);
            self.finding(
                "metadata-kubernetes",
                file,
                why,
                "correct kubernetesVersion in csctl.yaml, and build again",
            );
        }
        Some(metadata)
    }

    /// The archive of this name and version; others of its kind are strangers.
    fn archive(&mut self, chart: &str, version: &str) -> Option<(String, Files)> {
        let asset = format!("{chart}-{version}.tgz");
        let kind = if chart.ends_with("-cluster-class") { "-cluster-class-" } else { "-cluster-addon-" };
        let Some(bytes) = self.asset(&asset) else {
            let others: Vec<String> = self
                .release
                .assets
                .keys()
                .filter(|file| file.contains(kind) && file.ends_with(".tgz"))
                .cloned()
                .collect();
            if others.is_empty() {
                self.finding("archive-missing", &asset, "is not there", AGAIN);
            }
            for other in others {
                let why = format!("should be called {asset}");
                let hint = "its name comes from Chart.yaml: correct the name of the chart, and build again";
                self.finding("archive-name", &other, why, hint);
                self.known.insert(other);
            }
            return None;
        };
        match archive::read(bytes) {
            Ok(files) => Some((asset, files)),
            Err(error) => {
                self.finding("archive", &asset, error.to_string(), AGAIN);
                None
            }
        }
    }

    /// A packed chart: one folder with its name, and its name and version in it.
    fn chart(&mut self, asset: &str, files: &Files, name: &str, version: &str) {
        let roots: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
        let hint = "its name comes from Chart.yaml: correct it there, and build again";
        if roots.len() != 1 || !roots.contains(name) {
            let found: Vec<_> = roots.iter().take(5).copied().collect();
            let why = format!("holds {}; it should hold one folder {name}", found.join(", "));
            self.finding("chart-name", asset, why, hint);
        }
        let charts: Vec<&String> = files
            .keys()
            .filter(|path| path.ends_with("/Chart.yaml") && path.matches('/').count() == 1)
            .collect();
        if charts.is_empty() {
            self.finding("chart", asset, "has no Chart.yaml", AGAIN);
        }
        for path in charts {
            let file = format!("{asset}/{path}");
            let text = String::from_utf8_lossy(&files[path]);
            match serde_saphyr::from_str_with_options::<Chart>(&text, crate::stack::yaml_options()) {
                Err(error) => self.finding("chart", &file, error.to_string(), AGAIN),
                Ok(chart) => {
                    if chart.name != name {
                        let why = format!("names the chart {}, not {name}", chart.name);
                        self.finding("chart-name", &file, why, hint);
                    }
                    if chart.version != version {
                        let why = format!(
                            "is of version {}, not {version}; the ClusterClass is named after it",
                            chart.version
                        );
                        self.finding("chart-version", &file, why, AGAIN);
                    }
                }
            }
        }
    }

    /// Every stage that is named has a chart, and every chart is named.
    fn stages(&mut self, asset: &str, files: &Files, config: &[u8]) {
        let file = "clusteraddon.yaml";
        let text = String::from_utf8_lossy(config);
        let config =
            match serde_saphyr::from_str_with_options::<AddonConfig>(&text, crate::stack::yaml_options()) {
                Ok(config) => config,
                Err(error) => {
                    return self.finding(
                        "addon-config",
                        file,
                        error.to_string(),
                        "correct it, and build again",
                    );
                }
            };
        let named: BTreeSet<String> =
            config.addon_stages.values().flatten().flatten().map(|stage| stage.name.clone()).collect();
        if named.is_empty() {
            self.finding("addon-config", file, "names no stage", "name the add-ons in it, and build again");
        }
        let charts: BTreeSet<String> = files
            .keys()
            .filter_map(|path| path.strip_suffix("/Chart.yaml"))
            .filter(|folder| !folder.contains('/'))
            .map(str::to_owned)
            .collect();
        for stage in named.difference(&charts) {
            let why = format!("names the stage `{stage}`, of which {asset} holds no chart");
            self.finding("addon-stage", file, why, "add the chart or correct the name, and build again");
        }
        for chart in charts.difference(&named) {
            let why = format!("is a chart that no stage of {file} names: it is never applied");
            self.finding("addon-stage", &format!("{asset}/{chart}"), why, "name it, or leave it out");
        }
    }

    fn hashes(&mut self, addon: Option<String>) {
        let file = "hashes.json";
        let Some(bytes) = self.asset(file) else {
            let why = "is not there: csctl cannot make the release that follows this one";
            return self.finding("hashes", file, why, AGAIN);
        };
        let hashes: Hashes = match serde_json::from_slice(bytes) {
            Ok(hashes) => hashes,
            Err(error) => return self.finding("hashes", file, error.to_string(), AGAIN),
        };
        if let Some(patch) = self.release.name.version.patch_of("sha")
            && patch != hashes.short()
        {
            let why = format!("has the hash {}…; the release is named after {patch}", hashes.short());
            self.finding("hashes-version", file, why, AGAIN);
        }
        // The hash is of the add-ons before `<< >>` was filled in, which nobody uses there.
        if let Some(addon) = addon {
            let addon = super::hash::clean(&addon);
            if addon != hashes.cluster_addon_dir {
                let why = format!(
                    "says {} of the add-ons; those in the archive have {addon}, so they are others",
                    hashes.cluster_addon_dir
                );
                self.finding("hashes-addons", file, why, AGAIN);
            }
        }
    }

    /// Names of node images bear the version of Kubernetes.
    fn node_images(&mut self, metadata: Option<&Metadata>) {
        let file = "node-images.yaml";
        let Some((bytes, metadata)) = self.asset(file).zip(metadata) else { return };
        let text = String::from_utf8_lossy(bytes);
        let Ok(version) = regex::Regex::new(r"v(\d{1,4}\.\d{1,4}\.\d{1,4})\b") else { return };
        let wanted = metadata.kubernetes.to_string();
        let found: BTreeSet<&str> = version.find_iter(&text).map(|found| found.as_str()).collect();
        let wrong: Vec<&str> = found.iter().copied().filter(|found| *found != wanted).collect();
        if !wrong.is_empty() {
            let why = format!("names an image of {}; the nodes are to be {wanted}", wrong.join(", "));
            self.finding("node-image", file, why, "correct node-images/config.yaml, and build again");
        }
    }
}
