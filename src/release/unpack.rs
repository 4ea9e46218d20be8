//! Lays a release out as the folder of a stack, with one subfolder for its minor, so that it is read like one.

use super::{Finding, Metadata, Release, ReleaseError, archive};
use crate::stack::{self, Stack};
use std::path::Path;

/// Unpacks a release below `stack`, into `1-NN`. Returns nothing that is not in the release: whether it agrees with its
/// name is for [`super::check()`] to say, before.
///
/// # Errors
/// An asset is missing or cannot be read, or a file cannot be written.
pub fn unpack(release: &Release, stack: &Path) -> Result<(), ReleaseError> {
    let name = &release.name;
    let folder = stack.join(name.minor.dashed());
    let missing =
        |file: &str| ReleaseError::File { path: file.into(), why: format!("{name} does not have it") };
    let metadata = release.assets.get("metadata.yaml").ok_or_else(|| missing("metadata.yaml"))?;
    let metadata = Metadata::parse(metadata)
        .map_err(|problems| ReleaseError::File { path: "metadata.yaml".into(), why: problems.join("; ") })?;
    let csctl = format!(
        "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  clusterStackName: {}\n  kubernetesVersion: {}\n  \
         provider:\n    type: {}\n",
        name.stack, metadata.kubernetes, name.provider
    );
    write(&folder.join("csctl.yaml"), csctl.as_bytes())?;
    let line = name.line();
    let class = format!("{line}-cluster-class-{}.tgz", metadata.cluster_stack);
    let addon = format!("{line}-cluster-addon-{}.tgz", metadata.cluster_addon);
    let stages = release.assets.get("clusteraddon.yaml");
    // A chart stands in a folder of its name; the stages of add-ons stand beside each other.
    for (asset, into, chart) in [(class, "cluster-class", true), (addon, "cluster-addon", stages.is_none())] {
        let bytes = release.assets.get(&asset).ok_or_else(|| missing(&asset))?;
        let files =
            archive::read(bytes).map_err(|source| ReleaseError::Archive { asset: asset.clone(), source })?;
        for (path, bytes) in files {
            let inside = if chart { path.split_once('/').map_or("", |(_, rest)| rest) } else { &path };
            if !inside.is_empty() {
                write(&folder.join(into).join(inside), &bytes)?;
            }
        }
    }
    for (asset, path) in [
        ("clusteraddon.yaml", "clusteraddon.yaml"),
        ("cluster-addon-values.yaml", "cluster-addon-values.yaml"),
        ("node-images.yaml", "node-images/config.yaml"),
    ] {
        if let Some(bytes) = release.assets.get(asset) {
            write(&folder.join(path), bytes)?;
        }
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
    let wrong =
        |error: std::io::Error| ReleaseError::File { path: file.to_path_buf(), why: error.to_string() };
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(wrong)?;
    }
    std::fs::write(file, bytes).map_err(wrong)
}

/// Unpacks a release into `folder` and renders its ClusterClass: what stands in there, or what contradicts its name.
///
/// # Errors
/// The findings that are left when the assets are not looked at, but used.
pub async fn rendered(release: &Release, folder: &Path, helm: &Path) -> Result<Stack, Box<Finding>> {
    let name = &release.name;
    let asset = format!("{}-cluster-class-{}.tgz", name.line(), name.version);
    let finding = |rule, why: String| {
        // Where it was unpacked is of no interest to anybody.
        let why = why.replace(&format!("{}/", folder.display()), "");
        let hint = "correct the stack, and build the release again";
        Box::new(Finding { rule, file: asset.clone(), why, hint: hint.into() })
    };
    unpack(release, folder).map_err(|error| finding("archive", error.to_string()))?;
    let source = stack::load(folder).map_err(|error| finding("stack", error.to_string()))?;
    let stack = stack::render(&source, helm, &[name.minor])
        .await
        .map_err(|error| finding("class-render", error.to_string()))?;
    match stack.release(name.minor) {
        Some(found) if found.class == name.class() => Ok(stack),
        Some(found) => {
            let why =
                format!("renders a ClusterClass {}; the operator looks for {}", found.class, name.class());
            Err(finding("class-name", why))
        }
        None => Err(finding("class-render", "renders no ClusterClass for its minor".into())),
    }
}
