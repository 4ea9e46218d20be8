//! [`StackSource`] -> [`Stack`], by `helm template`. Helm gets no environment, no user configuration, no plugins and no
//! shell, and a deadline.

use super::{MinorSource, Stack, StackError, StackRelease, StackSource, yaml_options};
use crate::types::KubernetesMinor;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_OUTPUT: u64 = 8 << 20;
const MAX_MESSAGE: u64 = 64 << 10;

/// Renders these minors of a stack, each named `<provider>-<stack>-1-NN`. `helm` is a path, not a name to look up: the
/// program gets no `PATH`.
///
/// # Errors
/// The stack lacks a minor, Helm cannot be run or refuses the chart, or the result has not exactly one ClusterClass with
/// that name and at least one worker class.
pub async fn render(
    source: &StackSource,
    helm: &Path,
    minors: &[KubernetesMinor],
) -> Result<Stack, StackError> {
    let mut wanted = minors.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut releases = Vec::with_capacity(wanted.len());
    for minor in wanted {
        let found = source.minors.iter().find(|m| m.kubernetes.minor() == minor);
        let Some(found) = found else {
            return Err(StackError::UnknownMinor { wanted: minor, has: source.minors().collect() });
        };
        releases.push(release(source, helm, found).await?);
    }
    Ok(Stack {
        provider: source.provider,
        name: source.name.clone(),
        directory: source.directory.clone(),
        minors: source.minors().collect(),
        releases,
    })
}

async fn release(source: &StackSource, helm: &Path, minor: &MinorSource) -> Result<StackRelease, StackError> {
    let release = source.release_name(minor.kubernetes.minor());
    let prepare = |source| StackError::Prepare { chart: minor.chart.clone(), source };
    let scratch = tempfile::tempdir().map_err(prepare)?;
    let chart = filled_in(&minor.chart, scratch.path()).map_err(prepare)?;
    let text =
        template(helm, &release, minor, chart.as_ref().unwrap_or(&minor.chart), scratch.path()).await?;
    let wrong =
        |why: String| StackError::Output { chart: minor.chart.clone(), release: release.clone(), why };
    let objects: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, yaml_options())
        .map_err(|error| wrong(format!("this is not YAML: {error}")))?;
    let objects: Vec<Value> = objects.into_iter().filter(|object| !object.is_null()).collect();
    for (at, object) in objects.iter().enumerate() {
        let has = |path: &str| object.pointer(path).and_then(Value::as_str).is_some_and(|s| !s.is_empty());
        if !(has("/apiVersion") && has("/kind") && has("/metadata/name")) {
            return Err(wrong(format!("document {} lacks apiVersion, kind or metadata.name", at + 1)));
        }
    }
    let classes: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "ClusterClass").collect();
    let [cluster_class] = classes.as_slice() else {
        return Err(wrong(format!("there are {} ClusterClasses instead of one", classes.len())));
    };
    let class = cluster_class["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if !class.starts_with(&format!("{release}-")) {
        return Err(wrong(format!("the ClusterClass is named {class} instead of {release}-<version>")));
    }
    let workers = cluster_class.pointer("/spec/workers/machineDeployments").and_then(Value::as_array);
    let worker_classes: Vec<String> =
        workers.into_iter().flatten().filter_map(|w| w["class"].as_str().map(Into::into)).collect();
    let worker_class = worker_classes.first().cloned();
    Ok(StackRelease {
        kubernetes: minor.kubernetes,
        worker_class: worker_class
            .ok_or_else(|| wrong(format!("the ClusterClass {class} has no worker class")))?,
        worker_classes,
        class,
        cluster_class: (*cluster_class).clone(),
        objects,
        addon_values: minor.addon_values.clone(),
    })
}

async fn template(
    helm: &Path,
    release: &str,
    minor: &MinorSource,
    chart: &Path,
    scratch: &Path,
) -> Result<String, StackError> {
    let cannot_run = |source| StackError::Helm { helm: helm.to_path_buf(), source };
    let mut child = Command::new(helm)
        .arg("template")
        .arg(release)
        .arg(chart)
        .arg("--kube-version")
        .arg(minor.kubernetes.to_string())
        .env_clear()
        .env("HOME", scratch)
        .env("HELM_CACHE_HOME", scratch.join("cache"))
        .env("HELM_CONFIG_HOME", scratch.join("config"))
        .env("HELM_DATA_HOME", scratch.join("data"))
        .env("HELM_PLUGINS", scratch.join("plugins"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(bounded(stdout, MAX_OUTPUT), bounded(stderr, MAX_MESSAGE), child.wait()) };
    let Ok((stdout, stderr, status)) = tokio::time::timeout(DEADLINE, all).await else {
        return Err(StackError::HelmTimedOut { chart: minor.chart.clone(), after: DEADLINE });
    };
    let (stdout, stderr, status) =
        (stdout.map_err(cannot_run)?, stderr.map_err(cannot_run)?, status.map_err(cannot_run)?);
    let failed = |message: String| StackError::HelmFailed {
        chart: minor.chart.clone(),
        release: release.into(),
        message,
    };
    if !status.success() {
        let message = String::from_utf8_lossy(&stderr).trim().to_owned();
        return Err(failed(if message.is_empty() { status.to_string() } else { message }));
    }
    if stdout.len() as u64 > MAX_OUTPUT {
        return Err(failed(format!("it writes more than {} MiB", MAX_OUTPUT >> 20)));
    }
    String::from_utf8(stdout).map_err(|_| failed("its output is not UTF-8".into()))
}

/// Reads up to `limit` bytes and one more, which tells that there were too many; then closes the pipe, so that the
/// writer ends.
async fn bounded(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Charts of stacks that are not released yet have no version but a place for one; a copy with a version stands in.
fn filled_in(chart: &Path, scratch: &Path) -> std::io::Result<Option<PathBuf>> {
    let Ok(metadata) = std::fs::read_to_string(chart.join("Chart.yaml")) else {
        return Ok(None);
    };
    if !metadata.contains("<<") {
        return Ok(None);
    }
    let copy = scratch.join("chart");
    copy_folder(chart, &copy)?;
    let version = regex::Regex::new(r"<<\s*\.\w+\s*>>").map_err(std::io::Error::other)?;
    std::fs::write(copy.join("Chart.yaml"), version.replace_all(&metadata, "v0").as_bytes())?;
    Ok(Some(copy))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        // `load` has seen to it that links stay within the repository; links to folders are left out.
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &target)?;
        } else if path.is_file() {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;
    use crate::types::{ProviderKind, StackName};

    const CLASS: &str = "apiVersion: a/v1\nkind: ClusterClass\nmetadata: {name: docker-scs-1-34-v1}\nspec:\n  \
                         workers: {machineDeployments: [{class: w1}, {class: w2}]}\n";

    const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bin/helm-stand-in");

    /// A stack with 1.34 only, for which the stand-in runs `script`.
    fn stand_in(script: &str) -> (tempfile::TempDir, StackSource) {
        let directory = tempfile::tempdir().unwrap();
        let chart = directory.path().join("cluster-class");
        std::fs::create_dir_all(&chart).unwrap();
        std::fs::write(chart.join("script"), script).unwrap();
        let minor = MinorSource::bare("v1.34.7".parse().unwrap(), directory.path().into());
        let source = StackSource {
            provider: ProviderKind::Docker,
            name: StackName::new("scs").unwrap(),
            directory: directory.path().into(),
            layout: Layout::Single,
            minors: vec![minor],
        };
        (directory, source)
    }

    async fn run(script: &str, minor: &str) -> Result<Stack, String> {
        let (_directory, source) = stand_in(script);
        render(&source, Path::new(STAND_IN), &[minor.parse().unwrap()]).await.map_err(|e| e.to_string())
    }

    fn print(yaml: &str) -> String {
        format!("cat <<'YAML'\n{yaml}\nYAML")
    }

    #[tokio::test]
    async fn one_class_with_the_name_of_the_release() {
        let stack = run(&print(&format!("---\n# nothing\n---\n{CLASS}")), "1.34").await.unwrap();
        let release = stack.release("1.34".parse().unwrap()).unwrap();
        assert_eq!(release.class, "docker-scs-1-34-v1");
        assert_eq!(release.worker_classes, ["w1", "w2"]);
        assert_eq!(release.objects.len(), 1);
        for (yaml, why) in [
            (String::new(), "there are 0 ClusterClasses"),
            (format!("{CLASS}---\n{CLASS}"), "there are 2 ClusterClasses"),
            (CLASS.replace("1-34", "1-33"), "named docker-scs-1-33-v1 instead of docker-scs-1-34-<version>"),
            (CLASS.replace("class: w", "name: w"), "has no worker class"),
            ("a: b".into(), "document 1 lacks"),
            ("a: [".into(), "this is not YAML"),
        ] {
            let error = run(&print(&yaml), "1.34").await.unwrap_err();
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
    }

    #[tokio::test]
    async fn helm_is_alone_and_its_complaint_is_heard() {
        let error = run("env | sort >&2; exit 3", "1.34").await.unwrap_err();
        for line in error.lines().filter(|l| l.contains('=')) {
            let known =
                ["HOME=", "HELM_", "PWD=", "_=", "OLDPWD=", "SHLVL="].iter().any(|k| line.contains(k));
            assert!(known, "helm sees {line}");
        }
        assert!(error.contains("HELM_PLUGINS="), "{error}");
        assert!(run("exit 3", "1.34").await.unwrap_err().contains("exit status: 3"));
        assert!(run("yes", "1.34").await.unwrap_err().contains("helm cannot render"));
        assert!(run("exec true", "1.32").await.unwrap_err().contains("the stack has 1.34; not 1.32"));
        let (directory, source) = stand_in("");
        let missing = render(&source, &directory.path().join("nope"), &["1.34".parse().unwrap()]).await;
        assert!(matches!(missing, Err(StackError::Helm { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn helm_has_a_deadline() {
        let error = run("exec sleep 1000", "1.34").await.unwrap_err();
        assert!(error.contains("within 60 s"), "{error}");
    }

    #[test]
    fn a_version_is_filled_in() {
        let directory = tempfile::tempdir().unwrap();
        let chart = directory.path().join("cluster-class");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("templates/a.yaml"), "a").unwrap();
        std::fs::write(chart.join("Chart.yaml"), "version: << .ClusterClassVersion >>\n").unwrap();
        let copy = filled_in(&chart, directory.path()).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("Chart.yaml")).unwrap(), "version: v0\n");
        assert!(copy.join("templates/a.yaml").exists());
        std::fs::write(chart.join("Chart.yaml"), "version: v1\n").unwrap();
        assert_eq!(filled_in(&chart, directory.path()).unwrap(), None);
    }
}
