//! The chart of an add-on -> the objects that it renders to, by `helm template`. Helm gets no environment, no
//! configuration, no plugins and no network of repositories: what a chart depends on must be vendored in it.

use crate::stack::program::{Call, helm_alone};
use crate::types::KubernetesVersion;
use serde_json::Value;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_OUTPUT: u64 = 16 << 20;
/// The name of the Helm release and the namespace, as the operator has them: charts write them into names and labels.
const RELEASE: &str = "cluster-addon";
/// Where objects go that name no namespace.
pub const NAMESPACE: &str = "kube-system";

/// Renders a chart as the operator does, with these values.
///
/// # Errors
/// Helm cannot be run, refuses the chart, takes too long, or writes something that is not objects.
pub async fn render(
    helm: &Path,
    chart: &Path,
    values: &str,
    kubernetes: KubernetesVersion,
) -> Result<Vec<Value>, String> {
    let shown = chart.display();
    let scratch = tempfile::tempdir().map_err(|error| format!("cannot prepare {shown}: {error}"))?;
    let copy =
        with_version(chart, scratch.path()).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = template(helm, copy.as_deref().unwrap_or(chart), values, kubernetes, scratch.path()).await;
    let text = text.map_err(|why| format!("helm cannot render {shown}: {why}"))?;
    objects(&text).map_err(|why| format!("{shown}: {why}"))
}

/// The objects in what Helm writes, in the order in which they can be applied.
fn objects(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        // Definitions that come with add-ons are larger than the limits for files of people.
        budget: None,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let objects: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("what it renders to is no YAML: {error}"))?;
    let mut objects: Vec<Value> = objects.into_iter().filter(|object| !object.is_null()).collect();
    for (at, object) in objects.iter().enumerate() {
        let has = |path: &str| object.pointer(path).and_then(Value::as_str).is_some_and(|s| !s.is_empty());
        if !(has("/apiVersion") && has("/kind") && has("/metadata/name")) {
            return Err(format!("object {} that it renders lacks apiVersion, kind or metadata.name", at + 1));
        }
    }
    // What others need comes first; within a kind the chart's order stays.
    const FIRST: [&str; 4] = ["Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap"];
    objects
        .sort_by_key(|object| FIRST.iter().position(|kind| object["kind"] == *kind).unwrap_or(FIRST.len()));
    Ok(objects)
}

async fn template(
    helm: &Path,
    chart: &Path,
    values: &str,
    kubernetes: KubernetesVersion,
    scratch: &Path,
) -> Result<String, String> {
    let chart = std::path::absolute(chart).map_err(|error| error.to_string())?;
    let version = kubernetes.to_string();
    let mut arguments: Vec<OsString> = vec!["template".into(), RELEASE.into(), chart.into()];
    arguments.extend(["--include-crds", "--kube-version", &version].map(Into::into));
    arguments.extend(["--namespace", NAMESPACE, "-f", "-"].map(Into::into));
    let call = Call {
        program: helm,
        arguments: &arguments,
        home: scratch,
        environment: &helm_alone(scratch),
        input: values,
        max_output: MAX_OUTPUT,
        deadline: DEADLINE,
    };
    let said = call.run().await.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => error.to_string(),
        _ => format!("`{}` cannot be run: {error}", helm.display()),
    })?;
    if !said.status.success() {
        let message = said.stderr.trim().replace('\n', "; ");
        return Err(if message.is_empty() { said.status.to_string() } else { message });
    }
    said.stdout
}

/// A chart whose version is filled in by the release has none yet; a copy with a version stands in for it.
fn with_version(chart: &Path, scratch: &Path) -> std::io::Result<Option<PathBuf>> {
    let metadata = std::fs::read_to_string(chart.join("Chart.yaml"))?;
    if !metadata.contains("<<") {
        return Ok(None);
    }
    let copy = scratch.join("chart");
    copy_folder(chart, &copy)?;
    let place = regex::Regex::new(r"<<\s*\.\w+\s*>>").map_err(std::io::Error::other)?;
    std::fs::write(copy.join("Chart.yaml"), place.replace_all(&metadata, "v0").as_bytes())?;
    Ok(Some(copy))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        // Whoever read the stack has seen to it that links stay within the repository; links to folders are left out.
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
    use super::*;

    const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bin/helm-stand-in");

    /// A chart for which the stand-in runs `script`.
    async fn run(script: &str, metadata: &str) -> Result<Vec<Value>, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("script"), script).unwrap();
        std::fs::write(directory.path().join("Chart.yaml"), metadata).unwrap();
        render(Path::new(STAND_IN), directory.path(), "a: 1\n", "v1.34.7".parse().unwrap()).await
    }

    #[test]
    fn what_others_need_comes_first() {
        let object = |kind: &str, name: &str| {
            format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
        };
        let text =
            [object("DaemonSet", "d"), object("ConfigMap", "c"), object("Namespace", "n"), "---\n".into()];
        let kinds: Vec<Value> = objects(&text.concat()).unwrap().iter().map(|o| o["kind"].clone()).collect();
        assert_eq!(kinds, ["Namespace", "ConfigMap", "DaemonSet"]);
        assert!(objects("kind: ConfigMap").unwrap_err().contains("object 1 that it renders lacks"));
        assert!(objects("a: [").unwrap_err().contains("no YAML"));
        assert_eq!(objects("# nothing\n").unwrap(), Vec::<Value>::new());
    }

    #[tokio::test]
    async fn a_complaint_of_helm_is_heard() {
        assert!(
            run("echo no such value >&2; exit 1", "version: v1").await.unwrap_err().contains("no such value")
        );
        assert!(run("echo 'a: ['", "version: v1").await.unwrap_err().contains("no YAML"));
        let error = render(Path::new("/nope"), Path::new("/nope"), "", "v1.34.7".parse().unwrap()).await;
        assert!(error.unwrap_err().contains("/nope"));
    }

    #[tokio::test]
    async fn a_place_for_a_version_is_filled_in_and_values_arrive() {
        let script = "echo 'apiVersion: v1'; echo 'kind: ConfigMap'; echo 'metadata: {name: x}'; echo 'data:'\n\
                      printf '  '; cat \"$3/Chart.yaml\"; printf '  '; cat";
        let objects = run(script, "version: << .ClusterAddonVersion >>\n").await.unwrap();
        assert_eq!(objects[0]["data"], serde_json::json!({"version": "v0", "a": 1}));
    }
}
