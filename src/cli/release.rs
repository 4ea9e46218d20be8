//! `stack-e2e release`

use super::exit::Exit;
use super::{inputs, screen, testbed};
use crate::release::read::{Access, Client, Place, ReadError};
use crate::release::{
    self, Builder, Built, Finding, Mode, Release, ReleaseError, ReleaseName, ReleaseVersion,
};
use crate::results::ExitStatus;
use crate::types::{KubernetesMinor, Secret};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Releases of Cluster Stacks.
#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    /// Build the assets of a release, the same bytes each time
    Build(Box<ReleaseBuildArgs>),
    /// Check that what is inside of a release agrees with its name
    Check(Box<ReleaseCheckArgs>),
}

#[derive(Debug, Args)]
struct ReleaseBuildArgs {
    /// The folder of the stack, with `csctl.yaml` in it or in a subfolder for the minor
    #[arg(value_name = "STACK")]
    stack: PathBuf,
    /// The Kubernetes minor [default: the one of `csctl.yaml`]
    #[arg(long, value_name = "1.NN")]
    minor: Option<KubernetesMinor>,
    /// How the version is made: v1 and what follows; v0-sha.HASH of the content; v0-git.COMMIT; as given
    #[arg(long, short, value_enum, default_value_t = ModeName::Hash)]
    mode: ModeName,
    /// With stable: the latest release of this minor, a directory, oci://host/repository:tag or github:owner/name@tag
    #[arg(long, value_name = "RELEASE")]
    previous: Option<String>,
    /// With stable: there is no release of this minor yet
    #[arg(long, conflicts_with = "previous")]
    first: bool,
    /// With custom: the version of the whole
    #[arg(long, value_name = "VERSION")]
    cluster_stack_version: Option<ReleaseVersion>,
    /// With custom: the version of the add-ons
    #[arg(long, value_name = "VERSION")]
    cluster_addon_version: Option<ReleaseVersion>,
    /// With custom: the version of the node image
    #[arg(long, value_name = "VERSION")]
    node_image_version: Option<ReleaseVersion>,
    /// Who builds: this program, or csctl
    #[arg(long = "with", value_enum, default_value_t = With::Own)]
    with: With,
    /// Where the folder of the release is made
    #[arg(long, short, value_name = "DIR", default_value = ".release")]
    output: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    testbed: testbed::RunTestbedArgs,
}

#[derive(Debug, Args)]
struct ReleaseCheckArgs {
    /// A directory with a release or with several, oci://host/repository:tag, or github:owner/name@tag
    #[arg(value_name = "RELEASE", required = true)]
    releases: Vec<String>,
    /// How a release in a directory is called [default: as the directory]
    #[arg(long, value_name = "NAME")]
    name: Option<ReleaseName>,
    /// Do not render the ClusterClass: its name is not looked at then
    #[arg(long)]
    no_render: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    testbed: testbed::RunTestbedArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Stable,
    Hash,
    Git,
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum With {
    Own,
    Csctl,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// How releases are read and built. Credentials come from the environment: OCI_REGISTRY with OCI_USERNAME and
/// OCI_PASSWORD, or with OCI_ACCESS_TOKEN, for that registry only; GIT_ACCESS_TOKEN for GitHub.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AccessArgs {
    /// Trust the authorities in this file too when releases are read
    #[arg(long, value_name = "FILE", env = "STACK_E2E_CA")]
    ca: Option<PathBuf>,
    /// The csctl that builds where it is asked for [default: `csctl` on the PATH]
    #[arg(long, value_name = "PATH", env = "STACK_E2E_CSCTL")]
    csctl: Option<PathBuf>,
}

impl AccessArgs {
    /// A client with the credentials of the environment.
    pub(super) fn client(&self) -> Result<Client, Exit> {
        let text = |name: &str| {
            #[expect(clippy::disallowed_methods, reason = "`cli` is where the environment is read")]
            let value = std::env::var(name).ok();
            value.filter(|value| !value.is_empty())
        };
        let login = text("OCI_USERNAME").zip(text("OCI_PASSWORD"));
        let access = Access {
            registry: text("OCI_REGISTRY"),
            registry_token: text("OCI_ACCESS_TOKEN").map(Secret::new),
            registry_login: login.map(|(name, password)| (name, Secret::new(password))),
            github_token: text("GIT_ACCESS_TOKEN").map(Secret::new),
            github_api: text("STACK_E2E_GITHUB_API"),
            ca: self.ca.clone(),
        };
        Client::new(access).map_err(|error| unreadable(&error))
    }

    /// As words of a command line.
    pub(super) fn words(&self) -> Vec<String> {
        let flag = |name: &str, path: &Option<PathBuf>| {
            path.iter().flat_map(|path| [name.to_owned(), path.display().to_string()]).collect::<Vec<_>>()
        };
        [flag("--ca", &self.ca), flag("--csctl", &self.csctl)].concat()
    }

    /// `csctl`, to build with.
    pub(super) fn builder(&self) -> Result<Builder, Exit> {
        let csctl = self.csctl.clone().or_else(|| testbed::on_path("csctl")).ok_or_else(|| {
            screen::complain("there is no csctl on the PATH", "install it, or name it with `--csctl PATH`");
            Exit::BadInput
        })?;
        let csctl = std::path::absolute(&csctl).unwrap_or(csctl);
        Ok(Builder::Csctl { csctl, path: std::env::var_os("PATH").unwrap_or_default() })
    }
}

pub(super) fn run(args: &ReleaseArgs) -> Exit {
    let done = match &args.command {
        ReleaseCommand::Build(args) => build(args),
        ReleaseCommand::Check(args) => check(args),
    };
    done.unwrap_or_else(|exit| exit)
}

fn unreadable(error: &ReadError) -> Exit {
    screen::error(error, Some(error.hint()));
    Exit::BadInput
}

/// What to do about an error while building.
fn refuse(error: &ReleaseError) -> Exit {
    let (hint, exit) = match error {
        ReleaseError::NothingChanged { .. } => {
            ("there is no need for a release; `--mode custom` makes one all the same", ExitStatus::Failed)
        }
        ReleaseError::RefusedByCsctl { .. } => (
            "`--with own` builds it; csctl does with `--mode custom` and versions of your own",
            ExitStatus::Failed,
        ),
        ReleaseError::Previous(_) => {
            ("name the latest release of the same stack and minor", ExitStatus::Failed)
        }
        _ => {
            screen::error(error, Some("docs/RELEASES.md tells what a release is built from"));
            return Exit::BadInput;
        }
    };
    screen::error(error, Some(hint));
    if matches!(error, ReleaseError::Previous(_)) { Exit::BadInput } else { Exit::Run(exit) }
}

fn build(args: &ReleaseBuildArgs) -> Result<Exit, Exit> {
    let folder = release::open(&args.stack, args.minor).map_err(|error| refuse(&error))?;
    let runtime = inputs::runtime()?;
    let mode = match args.mode {
        ModeName::Hash => Mode::Hash,
        ModeName::Git => Mode::Git { commit: commit(&folder.path)? },
        ModeName::Stable if args.first => Mode::Stable { previous: None },
        ModeName::Stable => {
            let Some(previous) = &args.previous else {
                screen::complain(
                    "nobody knows which release this one follows",
                    "name the latest one with `--previous`, or say `--first`",
                );
                return Err(Exit::BadInput);
            };
            let (place, name) = located(previous, None)?;
            let client = args.access.client()?;
            let read = release::read::read(&place, &name, &client);
            let found = runtime.block_on(read).map_err(|error| unreadable(&error))?;
            Mode::Stable { previous: Some(Box::new(found.release)) }
        }
        ModeName::Custom => match (&args.cluster_stack_version, &args.cluster_addon_version) {
            (Some(cluster_stack), Some(cluster_addon)) => Mode::Custom {
                cluster_stack: cluster_stack.clone(),
                cluster_addon: cluster_addon.clone(),
                node_image: args.node_image_version.clone(),
            },
            _ => {
                screen::complain(
                    "a custom release has versions of its own",
                    "give `--cluster-stack-version` and `--cluster-addon-version`, e.g. v2 or v0-test.1",
                );
                return Err(Exit::BadInput);
            }
        },
    };
    let builder = match args.with {
        With::Csctl => args.access.builder()?,
        With::Own => Builder::Own {
            helm: testbed::helm(&args.testbed.settings()).map_err(|error| Exit::testbed(&error))?,
        },
    };
    let versioned = release::versions(&folder.config, &folder.files, mode).map_err(|error| refuse(&error))?;
    let Built { release, notes } =
        runtime.block_on(release::build(&folder, versioned, &builder)).map_err(|error| refuse(&error))?;
    for note in notes {
        screen::note(&format!("note: {note}"));
    }
    let findings = release::check(&release);
    if !findings.is_empty() {
        screen::note(&text(&Checked::of(&release.name, findings)));
        let hint = "correct the stack; nothing was written";
        screen::complain("the release would contradict its own name", hint);
        return Ok(Exit::Run(ExitStatus::Failed));
    }
    let folder = args.output.join(release.name.dashed());
    write(&folder, &release)?;
    screen::data(&folder.display().to_string());
    Ok(Exit::Passed)
}

/// The commit of a folder: of a clean work tree, because a version that names a commit must hold what the commit holds.
fn commit(folder: &Path) -> Result<String, Exit> {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output();
        let why = match output {
            Ok(output) if output.status.success() => {
                return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        screen::complain(&format!("git does not know the commit: {why}"), "`--mode hash` needs no commit");
        Err(Exit::BadInput)
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "."])?;
    if !changed.is_empty() {
        let first = changed.lines().next().unwrap_or_default();
        let hint = "commit them, or take `--mode hash`";
        screen::complain(&format!("the folder has changes that are in no commit: {first}"), hint);
        return Err(Exit::BadInput);
    }
    Ok(commit.chars().take(7).collect())
}

/// Writes the folder of a release; one that is there already must be the same.
fn write(folder: &Path, release: &Release) -> Result<(), Exit> {
    let refuse = |why: String, hint: &str| {
        screen::complain(&format!("`{}`: {why}", folder.display()), hint);
        Exit::BadInput
    };
    if folder.exists() {
        return match release::read::directory(folder) {
            Ok(assets) if assets == release.assets => Ok(()),
            _ => Err(refuse(
                "is there already, with other content".into(),
                "remove it, or take another `--output`",
            )),
        };
    }
    let write = || -> std::io::Result<()> {
        let parent = folder.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)?;
        let scratch = tempfile::Builder::new().prefix(".release-").tempdir_in(parent)?;
        for (name, bytes) in &release.assets {
            std::fs::write(scratch.path().join(name), bytes)?;
        }
        let kept = scratch.keep();
        std::fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::rename(kept, folder)
    };
    write().map_err(|error| refuse(error.to_string(), "choose another place with `--output`"))
}

/// A place, and the name of the release there.
fn located(text: &str, named: Option<&ReleaseName>) -> Result<(Place, ReleaseName), Exit> {
    let refuse = |error: &dyn std::error::Error, hint: &str| {
        screen::error(error, Some(hint));
        Exit::BadInput
    };
    let hint = "a directory, oci://host/repository:tag or github:owner/repository@tag";
    let (place, tag) = Place::parse(text).map_err(|error| refuse(&error, hint))?;
    if let Some(name) = named {
        return Ok((place, name.clone()));
    }
    let tag = match (&place, tag) {
        (_, Some(tag)) => tag,
        (Place::Directory(path), None) => {
            let real = path.canonicalize().map_err(|error| {
                let what = path.display().to_string();
                unreadable(&ReadError::Unreadable { what, why: error.to_string() })
            })?;
            real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        (place, None) => {
            screen::complain(&format!("{place} has many releases"), &format!("name one: {hint}"));
            return Err(Exit::BadInput);
        }
    };
    let name = tag
        .parse::<ReleaseName>()
        .map_err(|error| refuse(&error, "`--name` gives the name of a directory"))?;
    Ok((place, name))
}

/// What has been found in one release.
#[derive(Debug, Serialize)]
struct Checked {
    release: String,
    findings: Vec<Finding>,
}

impl Checked {
    fn of(name: &ReleaseName, findings: Vec<Finding>) -> Self {
        Self { release: name.dashed(), findings }
    }
}

fn check(args: &ReleaseCheckArgs) -> Result<Exit, Exit> {
    let client = args.access.client()?;
    let runtime = inputs::runtime()?;
    let helm = if args.no_render {
        None
    } else {
        Some(testbed::helm(&args.testbed.settings()).map_err(|error| Exit::testbed(&error))?)
    };
    let (mut results, mut unread) = (Vec::new(), false);
    for text in &args.releases {
        for text in several(text) {
            let Ok((place, name)) = located(&text, args.name.as_ref()) else {
                unread = true;
                continue;
            };
            match runtime.block_on(release::read::read(&place, &name, &client)) {
                Ok(found) => {
                    let mut findings = found.findings;
                    findings.extend(runtime.block_on(examined(&found.release, helm.as_deref())));
                    results.push(Checked::of(&name, findings));
                }
                Err(error) => {
                    unreadable(&error);
                    unread = true;
                }
            }
        }
    }
    let wrong = results.iter().any(|checked| !checked.findings.is_empty());
    screen::data(&match args.format {
        Format::Text => results.iter().map(text).collect::<Vec<_>>().join("\n"),
        Format::Json => serde_json::to_string_pretty(&results).unwrap_or_default(),
    });
    Ok(match (unread, wrong) {
        (true, _) => Exit::BadInput,
        (false, true) => Exit::Run(ExitStatus::Failed),
        (false, false) => Exit::Passed,
    })
}

/// Everything that contradicts the name of a release. Without Helm the ClusterClass is not looked at.
pub(super) async fn examined(release: &Release, helm: Option<&Path>) -> Vec<Finding> {
    let mut findings = release::check(release);
    if let Some(helm) = helm.filter(|_| findings.is_empty()) {
        match tempfile::tempdir() {
            Ok(scratch) => {
                findings
                    .extend(release::rendered(release, scratch.path(), helm).await.err().map(|found| *found));
            }
            Err(error) => findings.push(Finding {
                rule: "class-render",
                file: release.name.dashed(),
                why: format!("cannot be unpacked: {error}"),
                hint: "this is about the machine: free space".into(),
            }),
        }
    }
    findings
}

/// The releases in a directory that is not one itself.
fn several(text: &str) -> Vec<String> {
    let folder = Path::new(text);
    if folder.is_dir() && !folder.join("metadata.yaml").exists() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut inside: Vec<String> = entries
            .filter(|entry| entry.path().is_dir())
            .filter(|entry| entry.file_name().to_string_lossy().parse::<ReleaseName>().is_ok())
            .map(|entry| entry.path().display().to_string())
            .collect();
        inside.sort();
        if !inside.is_empty() {
            return inside;
        }
    }
    vec![text.to_owned()]
}

fn text(checked: &Checked) -> String {
    let number = match checked.findings.len() {
        0 => "agrees with its name".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    let mut text = format!("{}: {number}\n", checked.release);
    for finding in &checked.findings {
        let Finding { rule, file, why, hint } = finding;
        let _ = write!(text, "  {file}: {why} [{rule}]\n    hint: {hint}\n");
    }
    text
}
