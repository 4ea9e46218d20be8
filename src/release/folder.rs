//! The folder of a stack for one minor, with every file in it: what `csctl` builds from.

use super::ReleaseError;
use super::hash::Files;
use crate::types::{KubernetesMinor, KubernetesVersion};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A stack has some hundred files.
const MAX_ENTRIES: usize = 10_000;
/// Vendored charts come to some megabytes.
const MAX_BYTES: u64 = 128 << 20;
/// Deeper is a ring of links.
const MAX_DEPTH: usize = 32;

/// What `csctl.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The provider.
    pub provider: String,
    /// The stack's name.
    pub stack: String,
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
    /// How node images are made; none where no plugin of `csctl` is asked.
    pub plugin: Option<String>,
}

/// The folder of one minor.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is, without links.
    pub path: PathBuf,
    /// Its `csctl.yaml`.
    pub config: Config,
    /// All of its files. Links are followed as far as they stay within the repository.
    pub files: Files,
    /// The links to folders. `csctl` cannot read a stack that has some.
    pub linked: Vec<String>,
}

#[derive(Deserialize)]
struct Csctl {
    config: CsctlConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CsctlConfig {
    kubernetes_version: String,
    cluster_stack_name: String,
    provider: CsctlProvider,
}

#[derive(Deserialize)]
struct CsctlProvider {
    r#type: String,
    #[serde(default)]
    config: Option<BTreeMap<String, serde_json::Value>>,
}

impl Config {
    /// Reads `csctl.yaml` by the rules of `csctl`, and by those of the operator, which splits names at `-`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let csctl: Csctl = serde_saphyr::from_str_with_options(text, crate::stack::yaml_options())
            .map_err(|error| vec![error.to_string()])?;
        let config = csctl.config;
        let mut problems = Vec::new();
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        for (what, name) in
            [("provider.type", &config.provider.r#type), ("clusterStackName", &config.cluster_stack_name)]
        {
            if !plain(name) {
                problems.push(format!(
                    "config.{what} is `{name}`; it may have lower-case letters and digits only, because the operator \
                     splits the names of releases at `-`"
                ));
            }
        }
        let version = &config.kubernetes_version;
        let kubernetes =
            version.starts_with('v').then(|| version.parse::<KubernetesVersion>().ok()).flatten();
        if kubernetes.is_none() {
            problems.push(format!(
                "config.kubernetesVersion is `{version}`; csctl wants major, minor and patch, as in v1.34.7"
            ));
        }
        let plugin = config.provider.config.filter(|config| !config.is_empty()).map(|config| {
            config.get("method").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        });
        match kubernetes {
            Some(kubernetes) if problems.is_empty() => Ok(Self {
                provider: config.provider.r#type,
                stack: config.cluster_stack_name,
                kubernetes,
                plugin,
            }),
            _ => Err(problems),
        }
    }
}

/// Reads the folder of a stack, or that of one of its minors below it, and everything in it.
///
/// # Errors
/// The folder is that of no stack, has not this minor, or leads out of its repository.
pub fn open(stack: &Path, minor: Option<KubernetesMinor>) -> Result<Folder, ReleaseError> {
    let unreadable =
        |path: &Path, why: String| ReleaseError::Source { path: path.to_path_buf(), problems: vec![why] };
    let real = stack.canonicalize().map_err(|error| unreadable(stack, error.to_string()))?;
    let below = minor.map(|minor| real.join(minor.dashed()));
    let path = match below {
        Some(below) if below.join("csctl.yaml").is_file() => below,
        _ => real.clone(),
    };
    let file = path.join("csctl.yaml");
    if !file.is_file() {
        let hint = "is not there; csctl builds from a folder that holds it: name the minor (`--minor`) or its folder";
        return Err(unreadable(&file, hint.into()));
    }
    let root = real.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&real).to_path_buf();
    let mut reader =
        Reader { root, base: path.clone(), files: Files::new(), linked: Vec::new(), bytes: 0, seen: 0 };
    reader.folder(&path, "", 0)?;
    reader.linked.sort();
    let text = reader.files.get("csctl.yaml").cloned().unwrap_or_default();
    let text = String::from_utf8(text).map_err(|_| unreadable(&file, "is not UTF-8".into()))?;
    let config =
        Config::parse(&text).map_err(|problems| ReleaseError::Source { path: file.clone(), problems })?;
    if let Some(wanted) = minor.filter(|minor| *minor != config.kubernetes.minor()) {
        let has = config.kubernetes;
        let why = format!(
            "is of {has}, not of {wanted}; csctl builds the one version that stands there, so make the folder of {wanted} \
             first (in the stacks of SCS: `hack/generate_version.py -t {wanted}`)"
        );
        return Err(unreadable(&file, why));
    }
    Ok(Folder { path, config, files: reader.files, linked: reader.linked })
}

struct Reader {
    root: PathBuf,
    base: PathBuf,
    files: Files,
    linked: Vec<String>,
    bytes: u64,
    seen: usize,
}

impl Reader {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> Result<(), ReleaseError> {
        let wrong = |why: String| ReleaseError::Source { path: folder.to_path_buf(), problems: vec![why] };
        if depth > MAX_DEPTH {
            return Err(wrong(format!("is more than {MAX_DEPTH} folders deep; do links lead in a ring?")));
        }
        for entry in std::fs::read_dir(folder).map_err(|error| wrong(error.to_string()))? {
            let entry = entry.map_err(|error| wrong(error.to_string()))?;
            let path = entry.path();
            let wrong = |why: &str| ReleaseError::Source { path: path.clone(), problems: vec![why.into()] };
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                let why = format!("holds more than {MAX_ENTRIES} files; is it a stack?");
                return Err(ReleaseError::Source { path: self.base.clone(), problems: vec![why] });
            }
            let own = entry.file_name().into_string().map_err(|_| wrong("has a name that is no UTF-8"))?;
            let name = if name.is_empty() { own } else { format!("{name}/{own}") };
            let kind = entry.file_type().map_err(|error| wrong(&error.to_string()))?;
            let real = if kind.is_symlink() {
                let real = path
                    .canonicalize()
                    .map_err(|error| wrong(&format!("is a link that leads nowhere: {error}")))?;
                if !real.starts_with(&self.root) {
                    return Err(wrong("is a link that leads out of the repository"));
                }
                real
            } else {
                path.clone()
            };
            if real.is_dir() {
                if kind.is_symlink() {
                    self.linked.push(name.clone());
                }
                self.folder(&real, &name, depth + 1)?;
            } else if real.is_file() {
                let left = MAX_BYTES.saturating_sub(self.bytes);
                let bytes = super::bounded(&real, left).map_err(|error| wrong(&error.to_string()))?;
                self.bytes += bytes.len() as u64;
                self.files.insert(name, bytes);
            } else {
                return Err(wrong("is neither a file nor a folder"));
            }
        }
        Ok(())
    }
}
