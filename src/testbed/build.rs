//! Finds the programs of the testbed, and builds those that are nowhere with the ordinary Go client.
//!
//! The order of looking: what the caller names, `KUBEBUILDER_ASSETS`, an earlier build in the cache, a build. The cache
//! belongs to one set of versions; a component appears in it by rename, so what is there is whole, and a build that was
//! stopped goes on where it was.

use super::component::{self, COMPONENTS, Component, PROVIDERS};
use super::error::{IoContext as _, TestbedError};
use super::lock::lock;
use super::manifest::{self, Manifest};
use super::process::last_lines;
use super::{Progress, Settings};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncBufReadExt as _;

/// How often a build in progress is told of.
const TICK: Duration = Duration::from_secs(1);
/// How much of a failed command is shown.
const TAIL_LINES: usize = 30;
/// The cached manifests, all in one file. The number is raised when what is kept of them changes.
const MANIFESTS: &str = "manifests-2.json";

/// Where every program of the testbed is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    programs: BTreeMap<&'static str, PathBuf>,
    manifests: PathBuf,
}

impl Components {
    /// The program of a component, such as `helm` or `kube-apiserver`. `kustomize` is there only after it was needed.
    #[must_use]
    pub fn program(&self, component: &str) -> Option<&Path> {
        self.programs.get(component).map(PathBuf::as_path)
    }

    /// All programs with their paths.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.programs.iter().map(|(name, path)| (*name, path.as_path()))
    }

    /// The manifests of all providers.
    pub(super) fn manifests(&self) -> Result<Vec<Manifest>, TestbedError> {
        let bytes = fs::read(&self.manifests).on("cannot read", &self.manifests)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| TestbedError::Record { path: self.manifests.clone(), why: error.to_string() })
    }
}

/// Where a program was found, if anywhere.
fn look_up(settings: &Settings, cache: &Path, name: &'static str) -> Result<Option<PathBuf>, TestbedError> {
    if let Some(path) = settings.binaries.get(name) {
        if !is_program(path) {
            return Err(TestbedError::NoSuchBinary {
                component: name.to_owned(),
                path: path.clone(),
                named_by: format!("`--binary {name}=PATH` or the environment"),
            });
        }
        return Ok(Some(path.clone()));
    }
    let assets = settings.kubebuilder_assets.iter().map(|dir| dir.join(name));
    Ok(assets.chain([cache.join("bin").join(name)]).find(|path| is_program(path)))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What is found without building anything; `None` when something is missing.
pub(super) fn find(settings: &Settings) -> Result<Option<Components>, TestbedError> {
    let cache = settings.cache_dir.join(component::cache_key());
    let manifests = cache.join(MANIFESTS);
    let mut complete = manifests.is_file();
    let mut programs = BTreeMap::new();
    for component in &COMPONENTS {
        match look_up(settings, &cache, component.name)? {
            Some(path) => {
                programs.insert(component.name, path);
            }
            // It only makes the manifests.
            None if component.name == "kustomize" => {}
            None => complete = false,
        }
    }
    Ok(complete.then_some(Components { programs, manifests }))
}

/// Finds or builds everything.
pub(super) fn build(
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Components, TestbedError> {
    if let Some(found) = find(settings)? {
        return Ok(found);
    }
    let cache = settings.cache_dir.join(component::cache_key());
    fs::create_dir_all(cache.join("bin")).on("cannot create", &cache)?;
    let _lock = lock(&cache.join("lock"), "another build of the testbed", progress)?;
    super::runtime()?.block_on(build_missing(settings, &cache, None, progress))?;
    match find(settings)? {
        Some(components) => Ok(components),
        None => Err(TestbedError::Record { path: cache, why: "it is not complete after a build".into() }),
    }
}

/// Finds or builds one program and nothing else.
pub(super) fn program(
    settings: &Settings,
    name: &'static str,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, TestbedError> {
    let cache = settings.cache_dir.join(component::cache_key());
    if let Some(path) = look_up(settings, &cache, name)? {
        return Ok(path);
    }
    fs::create_dir_all(cache.join("bin")).on("cannot create", &cache)?;
    let _lock = lock(&cache.join("lock"), "another build of the testbed", progress)?;
    super::runtime()?.block_on(build_missing(settings, &cache, Some(name), progress))?;
    look_up(settings, &cache, name)?.ok_or_else(|| TestbedError::Record {
        path: cache,
        why: format!("`{name}` is not there after a build"),
    })
}

/// Builds what is missing, or just `only`.
async fn build_missing(
    settings: &Settings,
    cache: &Path,
    only: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), TestbedError> {
    // Somebody else may have built all or some of it while the lock was waited for.
    let render = only.is_none() && !cache.join(MANIFESTS).is_file();
    let mut missing = Vec::new();
    for component in &COMPONENTS {
        let needed = match only {
            Some(name) => component.name == name,
            None => component.name != "kustomize" || render,
        };
        if needed && look_up(settings, cache, component.name)?.is_none() {
            missing.push(component);
        }
    }
    let mut names: Vec<&'static str> = missing.iter().map(|component| component.name).collect();
    names.extend(render.then_some("manifests"));
    let Some(first) = names.first() else { return Ok(()) };

    let source = cache.join("source");
    fs::create_dir_all(&source).on("cannot create", &source)?;
    for (file, text) in [("go.mod", component::GO_MOD), ("go.sum", component::GO_SUM)] {
        let path = source.join(file);
        fs::write(&path, text).on("cannot write", &path)?;
    }
    let go = Go { program: settings.go.clone().unwrap_or_else(|| "go".into()), source };
    go.check(first).await?;

    let of = names.len();
    for (index, name) in names.iter().copied().enumerate() {
        let started = Instant::now();
        let left = &names[index + 1..];
        let mut tell = |doing: &str| {
            progress(Progress::Building {
                component: name,
                position: index + 1,
                of,
                elapsed: started.elapsed(),
                doing: doing.to_owned(),
                left: left.to_vec(),
            });
        };
        tell("");
        match Component::named(name) {
            Some(component) => go.build(component, &cache.join("bin"), &mut tell).await?,
            None => render_all(settings, cache, &go, &mut tell).await?,
        }
        progress(Progress::Built { component: name, position: index + 1, of, took: started.elapsed() });
    }
    Ok(())
}

/// The Go client in the directory of the pinned module.
struct Go {
    program: PathBuf,
    source: PathBuf,
}

impl Go {
    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .current_dir(&self.source)
            // A workspace of the user has no say in what is pinned here; programs without C run anywhere.
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Whether the toolchain is there and new enough. Asking inside the module lets Go switch to a newer one itself.
    async fn check(&self, component: &str) -> Result<(), TestbedError> {
        let needed = component::go_version(component::GO_MOD).unwrap_or_default();
        let output = match self.command().args(["env", "GOVERSION"]).output().await {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TestbedError::GoMissing {
                    component: component.to_owned(),
                    go: self.program.display().to_string(),
                    needed: needed.to_owned(),
                });
            }
            Err(error) => return Err(error).on("cannot start", &self.program),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !component::go_is_enough(&said, needed) {
            let found = if output.status.success() {
                said.trim().trim_start_matches("go").to_owned()
            } else {
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            };
            return Err(TestbedError::GoTooOld {
                component: component.to_owned(),
                found,
                needed: needed.to_owned(),
            });
        }
        Ok(())
    }

    /// Builds one component into `bin`, under its name only when it is whole.
    async fn build(
        &self,
        component: &Component,
        bin: &Path,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), TestbedError> {
        let path = bin.join(component.name);
        let new = bin.join(format!(".{}.new", component.name));
        let mut command = self.command();
        command
            .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-v", "-ldflags"])
            .arg(component.ldflags())
            .arg("-o")
            .arg(&new)
            .arg(component.package);
        self.run(component.name, &format!("go build {}", component.package), command, tell).await?;
        fs::rename(&new, &path).on("cannot write", &path)
    }

    /// Where the files of a module are; it is fetched when they are not there yet.
    async fn module_dir(&self, provider: &str, module: &str) -> Result<PathBuf, TestbedError> {
        let mut fetch = self.command();
        fetch.args(["mod", "download", module]);
        self.run(provider, &format!("go mod download {module}"), fetch, &mut |_| ()).await?;
        let mut command = self.command();
        command.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]);
        let said = self.run(provider, &format!("go list -m {module}"), command, &mut |_| ()).await?;
        Ok(PathBuf::from(said.trim()))
    }

    async fn run(
        &self,
        component: &str,
        what: &str,
        command: tokio::process::Command,
        tell: &mut dyn FnMut(&str),
    ) -> Result<String, TestbedError> {
        run(component, what, &self.program, command, tell).await
    }
}

/// Runs a command to its end: its output is returned, the last line of its complaints is told every second.
async fn run(
    component: &str,
    what: &str,
    program: &Path,
    mut command: tokio::process::Command,
    tell: &mut dyn FnMut(&str),
) -> Result<String, TestbedError> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().on("cannot start", program)?;
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("its output is not connected")).on("cannot start", program);
    };
    let output = async {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut text).await.map(|_| text)
    };
    let complaints = async {
        let mut lines = tokio::io::BufReader::new(stderr).lines();
        let mut tick = tokio::time::interval(TICK);
        let mut said = String::new();
        let mut last = String::new();
        loop {
            tokio::select! {
                line = lines.next_line() => match line? {
                    Some(line) => {
                        said.push_str(&line);
                        said.push('\n');
                        last = line;
                    }
                    None => return Ok(said),
                },
                _ = tick.tick() => tell(&last),
            }
        }
    };
    let (output, complaints): (io::Result<String>, io::Result<String>) = tokio::join!(output, complaints);
    let status = child.wait().await.on("cannot wait for", program)?;
    let complaints = complaints.on("cannot read the output of", program)?;
    if !status.success() {
        return Err(TestbedError::Build {
            component: component.to_owned(),
            command: what.to_owned(),
            status: status.to_string(),
            tail: last_lines(&complaints, TAIL_LINES),
        });
    }
    output.on("cannot read the output of", program)
}

/// Renders the manifests of all providers into one file of the cache.
async fn render_all(
    settings: &Settings,
    cache: &Path,
    go: &Go,
    tell: &mut dyn FnMut(&str),
) -> Result<(), TestbedError> {
    let kustomize = look_up(settings, cache, "kustomize")?.unwrap_or_else(|| "kustomize".into());
    let mut all: Vec<Manifest> = Vec::new();
    for provider in &PROVIDERS {
        tell(provider.component);
        let unusable = |why| TestbedError::Manifests { provider: provider.component.to_owned(), why };
        let dir = go.module_dir(provider.component, provider.module).await?.join(provider.config);
        let mut command = tokio::process::Command::new(&kustomize);
        command.arg("build").arg(&dir).stdin(Stdio::null()).kill_on_drop(true);
        let what = format!("kustomize build {}", provider.config);
        let yaml = run(provider.component, &what, &kustomize, command, tell).await?;
        let objects = manifest::parse(&yaml).map_err(unusable)?;
        all.extend(manifest::rewrite(provider.component, objects).map_err(unusable)?);
    }
    let path = cache.join(MANIFESTS);
    let new = cache.join(".manifests.new");
    let bytes = serde_json::to_vec(&all).map_err(|error| TestbedError::Manifests {
        provider: "all providers".into(),
        why: error.to_string(),
    })?;
    fs::write(&new, bytes).on("cannot write", &new)?;
    fs::rename(&new, &path).on("cannot write", &path)
}

/// The names under which the environment names a binary: `STACK_E2E_TESTBED_KUBE_APISERVER` and so on.
pub fn binary_variables() -> impl Iterator<Item = (&'static str, String)> {
    COMPONENTS.iter().map(|component| {
        let name = component.name.replace('-', "_").to_uppercase();
        (component.name, format!("STACK_E2E_TESTBED_{name}"))
    })
}

/// Whether `name` is a program of the testbed.
#[must_use]
pub fn is_component(name: &OsStr) -> bool {
    COMPONENTS.iter().any(|component| component.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_owned()
    }

    fn settings(dir: &Path) -> Settings {
        Settings::new(dir.join("state"), dir.join("cache"), "/bin/false".into())
    }

    #[test]
    fn a_named_program_comes_before_assets_before_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let mut settings = settings(dir.path());
        assert_eq!(look_up(&settings, &cache, "etcd").unwrap(), None);
        let cached = program(&cache.join("bin/etcd"));
        assert_eq!(look_up(&settings, &cache, "etcd").unwrap(), Some(cached.clone()));
        let asset = program(&dir.path().join("assets/etcd"));
        settings.kubebuilder_assets = Some(dir.path().join("assets"));
        assert_eq!(look_up(&settings, &cache, "etcd").unwrap(), Some(asset));
        let named = program(&dir.path().join("mine"));
        settings.binaries.insert("etcd".into(), named.clone());
        assert_eq!(look_up(&settings, &cache, "etcd").unwrap(), Some(named));
        // Assets without the program do not hide the cache.
        settings.binaries.clear();
        settings.kubebuilder_assets = Some(dir.path().join("nowhere"));
        assert_eq!(look_up(&settings, &cache, "etcd").unwrap(), Some(cached));
    }

    #[test]
    fn a_named_program_that_is_not_there_is_an_error_and_never_built() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        settings.binaries.insert("etcd".into(), dir.path().join("nothing"));
        let error = build(&settings, &mut |_| ()).unwrap_err();
        assert!(
            matches!(&error, TestbedError::NoSuchBinary { component, .. } if component == "etcd"),
            "{error}"
        );
    }

    #[test]
    fn without_go_the_message_names_component_version_and_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        settings.go = Some(dir.path().join("no-go"));
        let error = build(&settings, &mut |_| ()).unwrap_err();
        let text = format!("{error}; {}", error.hint());
        let needed = component::go_version(component::GO_MOD).unwrap();
        for part in ["`kustomize`", "no-go", needed, "https://go.dev/dl/", "--binary"] {
            assert!(text.contains(part), "`{part}` is in: {text}");
        }
    }

    #[test]
    fn an_old_go_is_named_with_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let go = program(&dir.path().join("go"));
        fs::write(&go, "#!/bin/sh\necho go1.20.1\n").unwrap();
        let mut settings = settings(dir.path());
        settings.go = Some(go);
        let error = build(&settings, &mut |_| ()).unwrap_err();
        assert!(error.to_string().starts_with("Go 1.20.1 is too old for `kustomize`"), "{error}");
    }

    #[test]
    fn a_failed_build_shows_what_go_said_and_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let go = program(&dir.path().join("go"));
        // A toolchain that builds everything but Helm.
        fs::write(
            &go,
            "#!/bin/sh\n[ \"$1\" = env ] && { echo go9.9.9; exit; }\nfor last; do :; done\n\
             case $last in *helm*) echo 'no such module' >&2; exit 1;; esac\n\
             while [ \"$1\" != -o ]; do shift; done\necho '#!/bin/sh' > \"$2\"; chmod +x \"$2\"\n",
        )
        .unwrap();
        let mut settings = settings(dir.path());
        settings.go = Some(go);
        let mut built = Vec::new();
        let mut remember = |told| {
            if let Progress::Built { component, .. } = told {
                built.push(component);
            }
        };
        for _ in 0..2 {
            let error = build(&settings, &mut remember).unwrap_err();
            assert!(error.to_string().starts_with("building `helm` failed"), "{error}");
            assert!(error.to_string().contains("no such module"), "{error}");
        }
        assert_eq!(built, ["kustomize", "etcd"], "what was built is not built again");
    }
}
