//! What can go wrong with the testbed. Constructed where it happens, worded here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The testbed could not be built, started, looked at or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// There is no Go toolchain, and something has to be built.
    #[error("`{component}` has to be built, but `{go}` is not there")]
    GoMissing {
        /// What was to be built.
        component: String,
        /// The program that was tried.
        go: String,
        /// The least version that does.
        needed: String,
    },
    /// The Go toolchain is older than the components need.
    #[error("Go {found} is too old for `{component}`: at least {needed} is needed")]
    GoTooOld {
        /// What was to be built.
        component: String,
        /// The version found.
        found: String,
        /// The least version that does.
        needed: String,
    },
    /// A command of the build ended badly.
    #[error("building `{component}` failed: `{command}` ended with {status}\n{tail}")]
    Build {
        /// What was to be built.
        component: String,
        /// The command without its long flags.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        tail: String,
    },
    /// The manifests of a provider are not what is expected.
    #[error("the manifests of `{provider}` cannot be used: {why}")]
    Manifests {
        /// The provider.
        provider: String,
        /// Why.
        why: String,
    },
    /// Definitions that the user brings cannot be used.
    #[error("the definitions cannot be used:\n{}", problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Definitions {
        /// Everything that is wrong with them.
        problems: Vec<String>,
    },
    /// A binary that somebody named is not there.
    #[error("`{component}` is not a program at `{path}`, which {named_by} names")]
    NoSuchBinary {
        /// The component.
        component: String,
        /// Where it should be.
        path: PathBuf,
        /// Who says so.
        named_by: String,
    },
    /// A file or directory.
    #[error("{doing} `{path}`")]
    Io {
        /// What was tried, as in `cannot write`.
        doing: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The state directory holds something else.
    #[error("`{path}` is not empty and holds no testbed")]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A record of the testbed cannot be read.
    #[error("`{path}` is not a record of a testbed: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of `{name}`")]
    Certificate {
        /// Whose certificate.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A component could not be started at all.
    #[error("`{component}` cannot be started from `{program}`")]
    Spawn {
        /// The component.
        component: String,
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A component ended while it was waited for.
    #[error("`{component}` ended with {status} while {waiting_for} was waited for\n{tail}")]
    Exited {
        /// The component.
        component: String,
        /// How it ended.
        status: String,
        /// What was waited for.
        waiting_for: String,
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// A component did not become ready in time.
    #[error("`{component}` was not ready after {}: {last}\n{tail}", crate::types::show_duration(*.after))]
    NotReady {
        /// The component.
        component: String,
        /// How long it was waited for.
        after: Duration,
        /// What the last probe said.
        last: String,
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The API server refused an object, or could not be asked.
    #[error("the API server did not take `{object}`")]
    Apply {
        /// The object.
        object: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The kubeconfig of the testbed cannot be used.
    #[error("cannot make a client from `{path}`: {why}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The network namespace cannot be entered.
    #[error("cannot enter the network namespace of the testbed in `{state_dir}`: {why}")]
    Namespace {
        /// The testbed.
        state_dir: PathBuf,
        /// Why.
        why: String,
    },
    /// The process has more than one thread, so only one of them would enter the namespace.
    #[error("the network namespace must be entered by a process of one thread, this one has {threads}")]
    Threads {
        /// How many threads there are.
        threads: usize,
    },
    /// No namespace is to be had, and the machine has a public address.
    #[error(
        "without a network namespace ({why}) the ports {ports} would be open to everyone who reaches {addresses}"
    )]
    OpenPorts {
        /// Why there is no namespace.
        why: String,
        /// The ports.
        ports: String,
        /// The public addresses.
        addresses: String,
    },
    /// No port is free.
    #[error("no free port for `{component}`")]
    NoPort {
        /// The component.
        component: String,
        /// Why.
        source: io::Error,
    },
    /// There is no testbed.
    #[error("no testbed is running in `{state_dir}`")]
    NotRunning {
        /// Where it was looked for.
        state_dir: PathBuf,
    },
    /// A process outlived its SIGKILL.
    #[error("`{component}` (process {pid}) is still there after SIGKILL")]
    Unkillable {
        /// The component.
        component: String,
        /// Its process.
        pid: i32,
    },
    /// A signal came while the testbed was being started; what had been started was stopped.
    #[error("interrupted; what had been started is stopped")]
    Interrupted,
    /// The runtime for timers and sockets could not be made.
    #[error("cannot set up timers and sockets")]
    Runtime(#[source] io::Error),
}

impl TestbedError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::GoMissing { component, needed, .. } => format!(
                "install Go {needed} or newer (https://go.dev/dl/) and put it on the PATH, name it with `--go`, \
                 or name a ready binary with `--binary {component}=PATH`"
            ),
            Self::GoTooOld { needed, .. } => format!(
                "install Go {needed} or newer (https://go.dev/dl/), or let Go fetch it: GOTOOLCHAIN=auto"
            ),
            Self::Build { .. } => "when a module could not be fetched, check GOPROXY and the network; \
                                   then run `stack-e2e testbed build` again, it goes on where it stopped"
                .into(),
            Self::Manifests { .. } => {
                "remove the cache directory and build again; if it stays, this is a defect of stack-e2e"
                    .into()
            }
            Self::Definitions { .. } => {
                "`--crds` takes files, and directories with files, of CustomResourceDefinitions as providers publish them"
                    .into()
            }
            Self::NoSuchBinary { .. } => "correct the path, or leave it out to have it built".into(),
            Self::Io { .. } | Self::Record { .. } => {
                "check the path, its owner and the space on the disk; another place is chosen with \
                 `--state-dir` and `--cache-dir`"
                    .into()
            }
            Self::ForeignDirectory { .. } => "name an empty or new directory with `--state-dir`".into(),
            Self::Certificate { .. } | Self::Threads { .. } | Self::Runtime(_) => {
                "this is a defect of stack-e2e; please report it".into()
            }
            Self::Spawn { component, .. } => format!(
                "check that the file is a program for this machine; another one is named with `--binary {component}=PATH`"
            ),
            Self::Exited { log, .. } | Self::NotReady { log, .. } => {
                format!("the whole log is in {}; then `stack-e2e testbed up` starts afresh", log.display())
            }
            Self::Apply { .. } | Self::Kubeconfig { .. } => {
                "see the log of kube-apiserver; `stack-e2e testbed down` and `up` start afresh".into()
            }
            Self::Namespace { .. } => {
                "use the account that started the testbed, or `stack-e2e testbed down` and `up`".into()
            }
            Self::OpenPorts { .. } => {
                "allow network namespaces for this user, use a machine without a public \
                                       address, or accept it with `--open-ports`"
                    .into()
            }
            Self::NoPort { .. } => "close other programs that listen on loopback".into(),
            Self::NotRunning { .. } => "start one with `stack-e2e testbed up`".into(),
            Self::Unkillable { .. } => "look at it with `ps`; it may hang in the kernel".into(),
            Self::Interrupted => "start again with `stack-e2e testbed up`".into(),
        }
    }
}

/// Adds what was tried and on which path to an I/O error.
pub(super) trait IoContext<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, TestbedError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, TestbedError> {
        self.map_err(|source| TestbedError::Io { doing, path: path.to_owned(), source })
    }
}
