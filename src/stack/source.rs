//! Folder -> [`StackSource`]. Reads the two layouts that stacks have: one folder for all minors with a `versions.yaml`
//! (or for the one minor of its `csctl.yaml`), and one folder for each minor, `1-34/`.

use super::{AddonValues, MinorSource, StackError, StackProblem, StackSource, yaml_options};
use crate::types::{KubernetesVersion, ProviderKind, StackName};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A stack has some hundred files; whoever points at `/` learns it quickly.
const MAX_ENTRIES: usize = 10_000;
/// No file of a stack that is read here comes near.
const MAX_FILE: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Csctl {
    #[serde(default)]
    api_version: String,
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
}

/// Entries of `versions.yaml` also name versions of add-ons, which do not matter here.
#[derive(Deserialize)]
struct Versions {
    kubernetes: String,
}

/// Reads the folder of a Cluster Stack.
///
/// # Errors
/// Every problem of the folder at once.
pub fn load(directory: &Path) -> Result<StackSource, StackError> {
    let mut reader = Reader {
        root: directory.to_path_buf(),
        real: directory.to_path_buf(),
        named: directory.to_path_buf(),
        problems: Vec::new(),
    };
    let source = reader.stack(directory);
    match source {
        Some(source) if reader.problems.is_empty() => Ok(source),
        _ => Err(StackError::Source { directory: directory.to_path_buf(), problems: reader.problems }),
    }
}

/// What `csctl.yaml` says, checked.
struct Release {
    provider: ProviderKind,
    name: StackName,
    kubernetes: KubernetesVersion,
}

struct Reader {
    /// The repository: symbolic links must not lead out of it.
    root: PathBuf,
    /// The folder without symbolic links, and as the user named it.
    real: PathBuf,
    named: PathBuf,
    problems: Vec<StackProblem>,
}

impl Reader {
    fn problem(&mut self, file: &Path, why: impl Into<String>) {
        let named = file.strip_prefix(&self.real).map(|rest| self.named.join(rest));
        self.problems
            .push(StackProblem { file: named.unwrap_or_else(|_| file.to_path_buf()), why: why.into() });
    }

    fn stack(&mut self, directory: &Path) -> Option<StackSource> {
        let real = match directory.canonicalize() {
            Ok(real) if real.is_dir() => real,
            Ok(_) => {
                self.problem(directory, "is not a folder");
                return None;
            }
            Err(error) => {
                self.problem(directory, error.to_string());
                return None;
            }
        };
        self.root = real.ancestors().find(|a| a.join(".git").exists()).unwrap_or(&real).to_path_buf();
        self.real.clone_from(&real);
        self.links(&real);
        if !self.problems.is_empty() {
            return None;
        }
        let folders = minor_folders(&real);
        let (release, mut minors) = if real.join("csctl.yaml").exists() || folders.is_empty() {
            self.one_folder(&real)?
        } else {
            self.folder_per_minor(&real, &folders)?
        };
        minors.sort_by_key(|m| m.kubernetes);
        for pair in minors.windows(2) {
            if pair[0].kubernetes.minor() == pair[1].kubernetes.minor() {
                let minor = pair[0].kubernetes.minor();
                self.problem(
                    directory,
                    format!("has {minor} twice: {} and {}", pair[0].kubernetes, pair[1].kubernetes),
                );
            }
        }
        let (provider, name) = (release.provider, release.name);
        Some(StackSource { provider, name, directory: directory.to_path_buf(), minors })
    }

    fn one_folder(&mut self, directory: &Path) -> Option<(Release, Vec<MinorSource>)> {
        let release = self.csctl(directory);
        let file = directory.join("versions.yaml");
        let mut versions = Vec::new();
        if file.exists() {
            for entry in self.yaml::<Vec<Versions>>(&file).unwrap_or_default() {
                match entry.kubernetes.parse::<KubernetesVersion>() {
                    Ok(version) => versions.push(version),
                    Err(error) => self.problem(&file, error.to_string()),
                }
            }
            if versions.is_empty() {
                self.problem(&file, "names no Kubernetes version");
            }
        } else {
            versions.extend(release.as_ref().map(|r| r.kubernetes));
        }
        let (chart, addon_values) = self.contents(directory, directory);
        let minors = versions.into_iter().map(|kubernetes| MinorSource {
            kubernetes,
            chart: chart.clone(),
            addon_values: addon_values.clone(),
        });
        Some((release?, minors.collect()))
    }

    fn folder_per_minor(&mut self, root: &Path, folders: &[PathBuf]) -> Option<(Release, Vec<MinorSource>)> {
        let mut first: Option<Release> = None;
        let mut minors = Vec::new();
        for folder in folders {
            let (chart, addon_values) = self.contents(root, folder);
            let Some(release) = self.csctl(folder) else {
                continue;
            };
            let file = folder.join("csctl.yaml");
            let dashed = release.kubernetes.minor().dashed();
            if folder.file_name().is_none_or(|name| name.to_string_lossy() != dashed) {
                self.problem(
                    &file,
                    format!("is of {}, which belongs into a folder {dashed}", release.kubernetes),
                );
            }
            if let Some(first) =
                first.as_ref().filter(|f| f.name != release.name || f.provider != release.provider)
            {
                let (provider, name) = (first.provider, first.name.clone());
                self.problem(
                    &file,
                    format!(
                        "is of {}-{}, its neighbour of {provider}-{name}",
                        release.provider, release.name
                    ),
                );
            }
            minors.push(MinorSource { kubernetes: release.kubernetes, chart, addon_values });
            first.get_or_insert(release);
        }
        Some((first?, minors))
    }

    fn csctl(&mut self, folder: &Path) -> Option<Release> {
        let file = folder.join("csctl.yaml");
        let csctl: Csctl = self.yaml(&file)?;
        if !csctl.api_version.starts_with("csctl.clusterstack.x-k8s.io/") {
            self.problem(
                &file,
                format!("has the apiVersion `{}`, not csctl.clusterstack.x-k8s.io/…", csctl.api_version),
            );
        }
        let config = csctl.config;
        let provider = ProviderKind::ALL.into_iter().find(|p| p.as_str() == config.provider.r#type);
        if provider.is_none() {
            let known = ProviderKind::ALL.map(ProviderKind::as_str).join(", ");
            self.problem(&file, format!("has the provider `{}`; known are {known}", config.provider.r#type));
        }
        let name =
            StackName::new(config.cluster_stack_name).map_err(|error| self.problem(&file, error.to_string()));
        let version = config.kubernetes_version.parse::<KubernetesVersion>();
        let kubernetes = version.map_err(|error| self.problem(&file, error.to_string()));
        Some(Release { provider: provider?, name: name.ok()?, kubernetes: kubernetes.ok()? })
    }

    /// The chart, and the templates of add-on values.
    fn contents(&mut self, root: &Path, folder: &Path) -> (PathBuf, Vec<AddonValues>) {
        let chart = folder.join("cluster-class");
        if !chart.join("Chart.yaml").is_file() {
            self.problem(&chart, "is not a Helm chart: there is no Chart.yaml");
        }
        let mut files = vec![folder.join("cluster-addon-values.yaml")];
        let mut stages: Vec<PathBuf> = entries(&folder.join("cluster-addon"));
        stages.sort();
        files.extend(stages.into_iter().map(|stage| stage.join("overwrite.yaml")));
        let mut values = Vec::new();
        for file in files.into_iter().filter(|f| f.is_file()) {
            let Some(text) = self.text(&file) else { continue };
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            // The template stands as text below `values`; around it the file is no YAML before it is rendered.
            let template = text.trim_start().strip_prefix("values: |").unwrap_or(&text).to_owned();
            values.push(AddonValues { file: shown, template });
        }
        (chart, values)
    }

    fn text(&mut self, file: &Path) -> Option<String> {
        let read = || {
            let size = std::fs::metadata(file)?.len();
            if size > MAX_FILE {
                return Err(std::io::Error::other(format!(
                    "has {size} bytes; {MAX_FILE} are enough for anyone"
                )));
            }
            std::fs::read_to_string(file)
        };
        read().map_err(|error| self.problem(file, error.to_string())).ok()
    }

    fn yaml<T: serde::de::DeserializeOwned>(&mut self, file: &Path) -> Option<T> {
        let text = self.text(file)?;
        let parsed = serde_saphyr::from_str_with_options(&text, yaml_options());
        parsed.map_err(|error| self.problem(file, error.to_string())).ok()
    }

    /// Refuses symbolic links that lead out of the repository: a stack of a pull request must not read the machine.
    fn links(&mut self, directory: &Path) {
        let mut open = vec![directory.to_path_buf()];
        let mut seen = 0;
        while let Some(folder) = open.pop() {
            for entry in entries(&folder) {
                seen += 1;
                if seen > MAX_ENTRIES {
                    self.problem(directory, format!("holds more than {MAX_ENTRIES} files; is it a stack?"));
                    return;
                }
                let Ok(metadata) = entry.symlink_metadata() else {
                    continue;
                };
                if metadata.is_symlink() {
                    match entry.canonicalize() {
                        Ok(target) if target.starts_with(&self.root) => {}
                        Ok(_) => self.problem(&entry, "is a link that leads out of the repository"),
                        Err(error) => self.problem(&entry, format!("is a link that leads nowhere: {error}")),
                    }
                } else if metadata.is_dir() {
                    open.push(entry);
                }
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// Subfolders named like a minor: `1-34`.
fn minor_folders(directory: &Path) -> Vec<PathBuf> {
    let mut folders = BTreeMap::new();
    for path in entries(directory).into_iter().filter(|p| p.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('-', ".");
        if let Ok(minor) = name.parse::<crate::types::KubernetesMinor>() {
            folders.insert(minor, path);
        }
    }
    folders.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CSCTL: &str = "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  clusterStackName: NAME\n  \
                         kubernetesVersion: VERSION\n  provider:\n    type: docker\n";

    fn csctl(name: &str, version: &str) -> String {
        CSCTL.replace("NAME", name).replace("VERSION", version)
    }

    /// A folder with these files; `target <- link` makes a symbolic link.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, content).unwrap(),
            }
        }
        directory
    }

    fn check(files: &[(&str, &str)], expect: Result<&[&str], &str>) {
        let directory = folder(files);
        match (load(directory.path()), expect) {
            (Ok(source), Ok(versions)) => {
                let found: Vec<String> = source.minors.iter().map(|m| m.kubernetes.to_string()).collect();
                assert_eq!(found, versions);
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "`{part}` is not in: {error}")
            }
            (Ok(source), Err(part)) => panic!("{source:?} instead of `{part}`"),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }

    #[test]
    fn both_layouts_load() {
        let chart = ("cluster-class/Chart.yaml", "name: x");
        let one = csctl("scs", "v1.34.7");
        check(&[("csctl.yaml", &one), chart], Ok(&["v1.34.7"]));
        // Versions come in any order, and versions.yaml wins over the one that csctl.yaml pins.
        let versions = (
            "versions.yaml",
            "- kubernetes: 1.34.8\n  occm: 2.34.2\n- kubernetes: 1.9.0\n- kubernetes: 1.33.10\n",
        );
        check(&[("csctl.yaml", &one), chart, versions], Ok(&["v1.9.0", "v1.33.10", "v1.34.8"]));
        let (a, b) = (csctl("scs", "v1.9.1"), csctl("scs", "v1.10.2"));
        let charts = [("1-9/cluster-class/Chart.yaml", "x"), ("1-10/cluster-class/Chart.yaml", "x")];
        check(
            &[("1-9/csctl.yaml", &a), ("1-10/csctl.yaml", &b), charts[0], charts[1]],
            Ok(&["v1.9.1", "v1.10.2"]),
        );
    }

    #[test]
    fn problems_name_the_file() {
        let chart = ("cluster-class/Chart.yaml", "name: x");
        let one = csctl("scs", "v1.34.7");
        check(&[], Err("csctl.yaml: No such file"));
        check(&[("csctl.yaml", &one)], Err("cluster-class: is not a Helm chart"));
        check(&[("csctl.yaml", &csctl("s-cs", "v1.34.7")), chart], Err("stack name `s-cs`"));
        check(&[("csctl.yaml", &csctl("scs", "v1.34")), chart], Err("`v1.34` is not a Kubernetes version"));
        check(
            &[("csctl.yaml", &one.replace("docker", "vsphere")), chart],
            Err("provider `vsphere`; known are embedded"),
        );
        check(&[("csctl.yaml", &one), chart, ("versions.yaml", "[]")], Err("versions.yaml: names no"));
        check(&[("csctl.yaml", &one), chart, ("versions.yaml", "- kubernetes: 1.30")], Err("`1.30` is not"));
        check(
            &[("csctl.yaml", &one), chart, ("versions.yaml", "- kubernetes: 1.30.1\n- kubernetes: 1.30.2")],
            Err("has 1.30 twice: v1.30.1 and v1.30.2"),
        );
        check(
            &[("1-33/csctl.yaml", &one), ("1-33/cluster-class/Chart.yaml", "x")],
            Err("belongs into a folder 1-34"),
        );
        let link = |target| [("csctl.yaml", one.as_str()), chart, ("cluster-class/templates/x", target)];
        check(&link("-> /etc/passwd"), Err("templates/x: is a link that leads out of the repository"));
        check(&link("-> ../nowhere"), Err("leads nowhere"));
        check(&link("-> ../Chart.yaml"), Ok(&["v1.34.7"]));
    }

    #[test]
    fn every_problem_is_reported() {
        let directory = folder(&[("csctl.yaml", &csctl("a-b", "v1")), ("versions.yaml", "- kubernetes: x")]);
        let Err(StackError::Source { problems, .. }) = load(directory.path()) else { panic!("loads") };
        assert_eq!(problems.len(), 5, "{problems:#?}");
    }

    #[test]
    fn add_on_values_are_kept() {
        let directory = folder(&[
            ("csctl.yaml", &csctl("scs", "v1.34.7")),
            ("cluster-class/Chart.yaml", "x"),
            ("cluster-addon/ccm/overwrite.yaml", "values: |\n  a: {{ .Cluster.metadata.name }}\n"),
            ("cluster-addon/cni/values.yaml", "a: b"),
        ]);
        let source = load(directory.path()).unwrap();
        let values = &source.minors[0].addon_values;
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].file, "cluster-addon/ccm/overwrite.yaml");
        assert_eq!(values[0].template, "\n  a: {{ .Cluster.metadata.name }}\n");
    }
}
