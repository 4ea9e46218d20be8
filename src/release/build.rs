//! Builds the assets of a release: as `csctl` does, but each time the same bytes; or by `csctl` itself.

use super::folder::Folder;
use super::hash::Files;
use super::template::{Values, fill_in};
use super::versions::Versioned;
use super::{Release, ReleaseError, archive, csctl};
use crate::stack::program::{Call, helm_alone};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

/// Who builds.
#[derive(Debug, Clone)]
pub enum Builder {
    /// This program, with Helm for the charts.
    Own {
        /// Helm, as a path.
        helm: PathBuf,
    },
    /// `csctl`.
    Csctl {
        /// The program, as a path.
        csctl: PathBuf,
        /// Where it looks for its plugins: the value of `PATH`.
        path: OsString,
    },
}

/// A release as it has been built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The release.
    pub release: Release,
    /// What whoever releases it should know.
    pub notes: Vec<String>,
}

/// Builds a release from a folder.
///
/// # Errors
/// The folder has something that `csctl` refuses or spoils, a chart cannot be packed, a program fails, or nothing has
/// changed since the earlier release.
pub async fn build(folder: &Folder, versioned: Versioned, builder: &Builder) -> Result<Built, ReleaseError> {
    let mut notes = Vec::new();
    let assets = match builder {
        Builder::Own { helm } => {
            if !folder.linked.is_empty() {
                notes.push(format!(
                    "csctl cannot build this stack, because it does not follow links to folders: {}",
                    folder.linked.join(", ")
                ));
            }
            own(folder, &versioned, helm).await?
        }
        Builder::Csctl { csctl, path } => csctl::build(folder, &versioned, csctl, path).await?,
    };
    let release = Release { name: versioned.name, assets };
    if let Some(previous) = versioned.previous {
        let changed = changed(&previous, &release)?;
        if changed.is_empty() {
            let old = previous.assets.get("hashes.json");
            let old = old.and_then(|bytes| serde_json::from_slice::<super::Hashes>(bytes).ok());
            let elsewhere = old.is_none_or(|old| old.cluster_stack != versioned.hashes.cluster_stack);
            return Err(ReleaseError::NothingChanged { previous: previous.name, elsewhere });
        }
        if versioned.unseen_by_csctl {
            let what = changed.join(", ");
            if matches!(builder, Builder::Csctl { .. }) {
                return Err(ReleaseError::RefusedByCsctl { previous: previous.name, what });
            }
            notes.push(format!(
                "since {} only {what} changed; csctl compares the add-ons only and refuses such a release as `no change in \
                 the cluster stack`",
                previous.name
            ));
        }
    }
    Ok(Built { release, notes })
}

/// Which parts of a release have changed, but for their versions.
fn changed(old: &Release, new: &Release) -> Result<Vec<String>, ReleaseError> {
    let mut changed = Vec::new();
    for (what, part) in [("the cluster class", "-cluster-class-"), ("the add-ons", "-cluster-addon-")] {
        if content(old, part)? != content(new, part)? {
            changed.push(what.to_owned());
        }
    }
    for file in ["clusteraddon.yaml", "cluster-addon-values.yaml", "node-images.yaml"] {
        if old.assets.get(file) != new.assets.get(file) {
            changed.push(file.to_owned());
        }
    }
    let kubernetes = |release: &Release| {
        release
            .assets
            .get("metadata.yaml")
            .and_then(|bytes| Some(super::Metadata::parse(bytes).ok()?.kubernetes))
    };
    if kubernetes(old) != kubernetes(new) {
        changed.push("the Kubernetes version".to_owned());
    }
    Ok(changed)
}

/// The files of an archive, without the version of the chart.
fn content(release: &Release, part: &str) -> Result<Files, ReleaseError> {
    let Some((asset, bytes)) =
        release.assets.iter().find(|(name, _)| name.contains(part) && name.ends_with(".tgz"))
    else {
        return Ok(Files::new());
    };
    let mut files = archive::read(bytes)
        .map_err(|source| ReleaseError::Archive { asset: format!("{asset} of {}", release.name), source })?;
    let chart = format!("{}{}/Chart.yaml", release.name.line(), part.trim_end_matches('-'));
    if let Some(bytes) = files.get_mut(&chart) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with("version:"));
        *bytes = lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    }
    Ok(files)
}

async fn own(folder: &Folder, versioned: &Versioned, helm: &Path) -> Result<Files, ReleaseError> {
    let problem =
        |path: &str, why: String| ReleaseError::Source { path: folder.path.join(path), problems: vec![why] };
    let (line, metadata) = (versioned.name.line(), &versioned.metadata);
    let (class, addon) = (metadata.cluster_stack.to_string(), metadata.cluster_addon.to_string());
    let image = metadata.node_image.as_ref().map(ToString::to_string).unwrap_or_default();
    let values = Values { class: &class, addon: &addon, image: &image };
    let mut files = Files::new();
    for (path, bytes) in &folder.files {
        let filled = fill_in(bytes, values).map_err(|(line, why)| problem(&format!("{path}:{line}"), why))?;
        files.insert(path.clone(), filled);
    }
    let mut assets = Files::new();
    let pack = async |part: &str, version: &str| {
        let (name, content) = chart(&files, part, version, helm, folder).await?;
        let wanted = format!("{line}-{part}-{version}.tgz");
        if name != wanted {
            let why = format!(
                "gives an archive `{name}`; the release needs `{wanted}`, so the chart has to be called {line}-{part}"
            );
            return Err(problem(&format!("{part}/Chart.yaml"), why));
        }
        let bytes = archive::write(&content, false).map_err(|error| problem(part, error.to_string()))?;
        Ok((wanted, bytes))
    };
    assets.extend([pack("cluster-class", &class).await?]);
    if let Some(stages) = folder.files.get("clusteraddon.yaml") {
        let content: Files = below(&files, "cluster-addon").collect();
        if content.is_empty() {
            return Err(problem("cluster-addon", "holds no add-ons, but clusteraddon.yaml is there".into()));
        }
        let bytes =
            archive::write(&content, true).map_err(|error| problem("cluster-addon", error.to_string()))?;
        assets.insert(format!("{line}-cluster-addon-{addon}.tgz"), bytes);
        assets.insert("clusteraddon.yaml".into(), stages.clone());
    } else {
        let file = "cluster-addon-values.yaml";
        let values = files.get(file).ok_or_else(|| {
            problem(file, "is not there, and clusteraddon.yaml neither; a release has one of them".into())
        })?;
        assets.insert(file.into(), values.clone());
        assets.extend([pack("cluster-addon", &addon).await?]);
    }
    if let Some(images) = node_images(folder).map_err(|why| problem("csctl.yaml", why))? {
        assets.insert("node-images.yaml".into(), images);
    }
    assets.insert("metadata.yaml".into(), metadata.to_yaml().into_bytes());
    assets.insert("hashes.json".into(), versioned.hashes.to_json().into_bytes());
    Ok(assets)
}

fn below<'a>(files: &'a Files, folder: &'a str) -> impl Iterator<Item = (String, Vec<u8>)> + 'a {
    files.iter().filter_map(move |(path, bytes)| {
        let path = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((path.to_owned(), bytes.clone()))
    })
}

/// What the plugin of OpenStack does where nothing has to be built: it copies the file.
fn node_images(folder: &Folder) -> Result<Option<Vec<u8>>, String> {
    let Some(method) = &folder.config.plugin else { return Ok(None) };
    let provider = &folder.config.provider;
    let hint = format!("build it with csctl and its plugin csctl-{provider} (`--with csctl`)");
    if provider != "openstack" {
        return Err(format!("has provider.config, for which csctl calls a plugin of {provider}; {hint}"));
    }
    match method.as_str() {
        "get" => folder.files.get("node-images/config.yaml").cloned().map(Some).ok_or_else(|| {
            "wants node images (`method: get`), but there is no node-images/config.yaml".into()
        }),
        "build" => Err(format!("wants node images to be built (`method: build`); {hint}")),
        other => Err(format!("has the method `{other}` for node images; there are `get` and `build`")),
    }
}

/// Packs a chart with Helm: the name of the archive, and what it holds.
async fn chart(
    files: &Files,
    part: &str,
    version: &str,
    helm: &Path,
    folder: &Folder,
) -> Result<(String, Files), ReleaseError> {
    let failed = |why: String| ReleaseError::Program {
        program: "helm".into(),
        why: format!("{}: {why}", folder.path.join(part).display()),
    };
    let io = |error: std::io::Error| failed(error.to_string());
    let scratch = tempfile::tempdir().map_err(io)?;
    let (source, target) = (scratch.path().join("chart"), scratch.path().join("packed"));
    std::fs::create_dir_all(&target).map_err(io)?;
    std::fs::create_dir_all(&source).map_err(io)?;
    for (path, bytes) in below(files, part) {
        let file = source.join(path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        std::fs::write(file, bytes).map_err(io)?;
    }
    let arguments = ["package".into(), source.into_os_string(), "--version".into(), version.into()];
    let arguments: Vec<OsString> =
        arguments.into_iter().chain(["--destination".into(), target.clone().into_os_string()]).collect();
    let call = Call {
        program: helm,
        arguments: &arguments,
        home: scratch.path(),
        environment: &helm_alone(scratch.path()),
        input: "",
        max_output: super::MAX_SAID,
        deadline: DEADLINE,
    };
    let said = call.run().await.map_err(io)?;
    if !said.status.success() {
        return Err(failed(said.complaint()));
    }
    let packed: Vec<_> = std::fs::read_dir(&target).map_err(io)?.collect::<Result<_, _>>().map_err(io)?;
    let [packed] = packed.as_slice() else {
        return Err(failed(format!("it made {} archives instead of one", packed.len())));
    };
    let bytes = super::bounded(&packed.path(), 64 << 20).map_err(io)?;
    let content = archive::read(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok((packed.file_name().to_string_lossy().into_owned(), content))
}
