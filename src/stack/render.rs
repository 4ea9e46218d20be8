//! [`StackSource`] -> [`Stack`], by `helm template`. Helm gets no environment, no user configuration, no plugins and no
//! shell, and a deadline. It renders a copy of the chart, and what it renders may be kept: see `cache`.

use super::cache::Cache;
use super::program::{Call, helm_alone};
use super::snapshot::Snapshot;
use super::{MinorSource, ReleaseAddons, Stack, StackError, StackRelease, StackSource, yaml_options};
use crate::types::KubernetesMinor;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_OUTPUT: u64 = 8 << 20;

/// How charts are rendered.
#[derive(Debug, Clone, Copy)]
pub struct Helm<'a> {
    /// The program: a path, not a name to look up, because it gets no `PATH`.
    pub program: &'a Path,
    /// Where what charts rendered to is kept; `None` renders each time.
    pub cache: Option<&'a Path>,
    /// How many charts are rendered at once.
    pub parallel: usize,
}

/// Renders these minors of a stack, each named `<provider>-<stack>-1-NN`, one after the other and without a cache. `helm`
/// is a path, not a name to look up.
///
/// # Errors
/// As [`render_with`].
pub async fn render(
    source: &StackSource,
    helm: &Path,
    minors: &[KubernetesMinor],
) -> Result<Stack, StackError> {
    render_with(source, Helm { program: helm, cache: None, parallel: 1 }, minors).await
}

/// Renders these minors of a stack, each named `<provider>-<stack>-1-NN`. The result does not depend on the cache.
///
/// # Errors
/// The stack lacks a minor, Helm cannot be run or refuses the chart, or the result has not exactly one ClusterClass with
/// that name and at least one worker class.
pub async fn render_with(
    source: &StackSource,
    helm: Helm<'_>,
    minors: &[KubernetesMinor],
) -> Result<Stack, StackError> {
    let mut wanted = minors.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = Vec::with_capacity(wanted.len());
    for minor in wanted {
        let unknown = || StackError::UnknownMinor { wanted: minor, has: source.minors().collect() };
        found.push(source.minor(minor).ok_or_else(unknown)?);
    }
    let cache = helm.cache.and_then(|directory| Cache::of(directory, helm.program));
    let releases = found.into_iter().map(|minor| release(source, helm.program, cache.as_ref(), minor));
    let releases = futures::stream::iter(releases).buffered(helm.parallel.max(1)).try_collect().await?;
    Ok(Stack {
        provider: source.provider,
        name: source.name.clone(),
        directory: source.directory.clone(),
        minors: source.minors().collect(),
        releases,
        next: Vec::new(),
        other: Vec::new(),
    })
}

async fn release(
    source: &StackSource,
    helm: &Path,
    cache: Option<&Cache>,
    minor: &MinorSource,
) -> Result<StackRelease, StackError> {
    let release = source.release_name(minor.kubernetes.minor());
    let prepare = |source| StackError::Prepare { chart: minor.chart.clone(), source };
    let files = Snapshot::take(&minor.chart).map_err(prepare)?;
    let version = minor.kubernetes.to_string();
    let key = cache.and_then(|cache| Some((cache, cache.key(&files, &[&release, &version])?)));
    let kept = key.as_ref().and_then(|(cache, key)| cache.get(key));
    let text = match kept {
        Some(text) => text,
        None => {
            let scratch = tempfile::tempdir().map_err(prepare)?;
            // Helm names the folder of a chart in what it complains about.
            let chart = scratch.path().join("cluster-class");
            files.write(&chart).map_err(prepare)?;
            let text = template(helm, &release, minor, &chart, scratch.path()).await?;
            if let Some((cache, key)) = &key {
                cache.put(key, &text);
            }
            text
        }
    };
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
        addons: addons(minor)?,
    })
}

/// The add-ons as they are now: what is carried out later must be the same.
fn addons(minor: &MinorSource) -> Result<Option<ReleaseAddons>, StackError> {
    if minor.addons.hooks.is_empty() {
        return Ok(None);
    }
    let folder = minor.folder.join("cluster-addon");
    let prepare = |source| StackError::Prepare { chart: folder.clone(), source };
    let real = folder.canonicalize().map_err(prepare)?;
    let digest = super::charts::digest(&real).map_err(prepare)?;
    Ok(Some(ReleaseAddons { folder: real, digest, plan: minor.addons.clone() }))
}

async fn template(
    helm: &Path,
    release: &str,
    minor: &MinorSource,
    chart: &Path,
    scratch: &Path,
) -> Result<String, StackError> {
    let version = minor.kubernetes.to_string();
    let arguments =
        ["template".into(), release.into(), chart.into(), "--kube-version".into(), version.into()];
    let call = Call {
        program: helm,
        arguments: &arguments,
        home: scratch,
        environment: &helm_alone(scratch),
        input: "",
        max_output: MAX_OUTPUT,
        deadline: DEADLINE,
    };
    let said = call.run().await.map_err(|source| match source.kind() {
        ErrorKind::TimedOut => StackError::HelmTimedOut { chart: minor.chart.clone(), after: DEADLINE },
        _ => StackError::Helm { helm: helm.to_path_buf(), source },
    })?;
    let failed = |message: String| StackError::HelmFailed {
        chart: minor.chart.clone(),
        release: release.into(),
        message,
    };
    if !said.status.success() {
        let message = said.stderr.trim().to_owned();
        return Err(failed(if message.is_empty() { said.status.to_string() } else { message }));
    }
    said.stdout.map_err(failed)
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

    /// A program that Helm's place is given to; what it is does not matter where the cache is named by the test.
    async fn cached(source: &StackSource, cache: &Cache) -> Result<StackRelease, StackError> {
        release(source, Path::new(STAND_IN), Some(cache), &source.minors[0]).await
    }

    #[tokio::test]
    async fn the_cache_never_answers_for_other_files() {
        // The stand-in notes that it ran, and renders what the file `more` in the chart says.
        let (directory, source) = stand_in("");
        let ran = directory.path().join("ran");
        let chart = directory.path().join("cluster-class");
        let script = format!("echo x >>'{}'\ncat \"$3/more\"", ran.display());
        std::fs::write(chart.join("script"), script).unwrap();
        let runs = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
        let write = |text: &str| std::fs::write(chart.join("more"), text).unwrap();
        let one = Cache::named(&directory.path().join("cache"), "one");
        write(CLASS);
        let first = cached(&source, &one).await.unwrap();
        assert_eq!((cached(&source, &one).await.unwrap(), runs()), (first.clone(), 1));
        // Another content, another file, another version, another name, another Helm.
        let other = CLASS.replace("w2", "w3");
        write(&other);
        assert_eq!(cached(&source, &one).await.unwrap().worker_classes, ["w1", "w3"]);
        assert_eq!(runs(), 2);
        std::fs::write(chart.join("values.yaml"), "a: b").unwrap();
        cached(&source, &one).await.unwrap();
        assert_eq!(runs(), 3);
        let mut newer = source.clone();
        newer.minors[0].kubernetes = "v1.34.8".parse().unwrap();
        cached(&newer, &one).await.unwrap();
        assert_eq!(runs(), 4);
        let mut renamed = source.clone();
        renamed.name = StackName::new("scs2").unwrap();
        assert!(
            cached(&renamed, &one).await.unwrap_err().to_string().contains("instead of docker-scs2-1-34")
        );
        assert_eq!(runs(), 5);
        cached(&source, &Cache::named(&directory.path().join("cache"), "two")).await.unwrap();
        assert_eq!(runs(), 6);
        // All of these are kept by now; and the first content still has its own.
        cached(&source, &one).await.unwrap();
        cached(&newer, &one).await.unwrap();
        std::fs::remove_file(chart.join("values.yaml")).unwrap();
        write(CLASS);
        assert_eq!((cached(&source, &one).await.unwrap(), runs()), (first, 6));
        // What is another one each time is rendered each time, and a refusal is not kept.
        write(&format!("{CLASS}# now\n"));
        cached(&source, &one).await.unwrap();
        cached(&source, &one).await.unwrap();
        assert_eq!(runs(), 8);
        write("no YAML: [");
        for _ in 0..2 {
            assert!(cached(&source, &one).await.unwrap_err().to_string().contains("not YAML"));
        }
    }
}
