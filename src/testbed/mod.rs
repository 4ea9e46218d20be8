//! A management cluster on this machine, from plain processes: etcd, an API server, the controllers that Cluster API
//! needs, Cluster API with its real webhooks, and its development infrastructure provider that keeps workload clusters
//! in memory. No container engine, no cloud, no registry.
//!
//! ```text
//! build: what is named, KUBEBUILDER_ASSETS, the cache, `go build` -> Components
//! up:    Components -> state directory, namespace, processes, definitions, identities -> TestbedInfo
//! down:  records of processes -> nothing left
//! ```
//!
//! Everything here is synchronous for the caller, because entering the network namespace needs a process of one thread:
//! call [`up`] or [`join`] before any runtime of yours exists. This module never prints; it tells [`Progress`].

mod api;
mod arguments;
mod build;
mod component;
mod definitions;
mod error;
mod identity;
mod lock;
mod manifest;
mod net;
mod pki;
mod process;
mod relay;
mod started;
mod state;
mod up;

pub use build::{Components, binary_variables, is_component};
pub use error::TestbedError;
pub use pki::{HARNESS_GROUP, HARNESS_USER};
pub use process::launch;
pub use relay::{hold, relay};
pub use state::{
    ComponentStatus, DownReport, Status, TestbedInfo, controller_logs, down, info, join, status,
};
pub use up::up;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the testbed needs to know; only `cli` reads the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything about the running testbed; removed by [`down`].
    pub state_dir: PathBuf,
    /// Built programs and rendered manifests; kept.
    pub cache_dir: PathBuf,
    /// Programs that the user names, by component.
    pub binaries: BTreeMap<String, PathBuf>,
    /// A directory with programs of the Kubernetes project, as `KUBEBUILDER_ASSETS` names it.
    pub kubebuilder_assets: Option<PathBuf>,
    /// The Go client; `go` on the `PATH` when not given.
    pub go: Option<PathBuf>,
    /// This program, for its hidden subcommands.
    pub self_exe: PathBuf,
    /// Whether ports may be open to the world where there is no namespace.
    pub open_ports: bool,
    /// Whether to do without a network namespace even where one is to be had.
    pub host_network: bool,
    /// How long every single component may take to become ready.
    pub timeout: Duration,
    /// Files, and directories with files, that hold definitions to install besides those of the components.
    pub crds: Vec<PathBuf>,
    /// Of a definition of those that has to be reduced to one version, the first of these is kept.
    pub crd_versions: Vec<String>,
}

impl Settings {
    /// Settings with nothing named and nothing allowed.
    #[must_use]
    pub fn new(state_dir: PathBuf, cache_dir: PathBuf, self_exe: PathBuf) -> Self {
        Self {
            state_dir,
            cache_dir,
            binaries: BTreeMap::new(),
            kubebuilder_assets: None,
            go: None,
            self_exe,
            open_ports: false,
            host_network: false,
            timeout: Duration::from_secs(120),
            crds: Vec::new(),
            crd_versions: Vec::new(),
        }
    }
}

/// What happens, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Another process has the lock.
    Waiting {
        /// What is waited for.
        what: String,
        /// Who has it.
        holder: String,
    },
    /// A component is being built; told every second.
    Building {
        /// The component.
        component: &'static str,
        /// Its place among those to build, from 1.
        position: usize,
        /// How many are to be built.
        of: usize,
        /// For how long so far.
        elapsed: Duration,
        /// The package being compiled or the module being fetched.
        doing: String,
        /// What comes after it.
        left: Vec<&'static str>,
    },
    /// A component is built.
    Built {
        /// The component.
        component: &'static str,
        /// Its place among those to build, from 1.
        position: usize,
        /// How many are to be built.
        of: usize,
        /// How long it took.
        took: Duration,
    },
    /// A part of the start is done.
    Ready {
        /// The part.
        part: String,
        /// How long it took.
        took: Duration,
    },
    /// A component of an earlier start was found dead; what is left of it is stopped, and a fresh start follows.
    Crashed {
        /// The component.
        component: String,
        /// The end of its log.
        tail: String,
    },
    /// A process ended because it was asked to.
    Stopped {
        /// The component.
        component: String,
        /// How long that took.
        took: Duration,
    },
    /// Something to know.
    Warning {
        /// One sentence.
        text: String,
    },
}

/// Finds all programs of the testbed and builds those that are missing.
pub fn build(settings: &Settings, progress: &mut dyn FnMut(Progress)) -> Result<Components, TestbedError> {
    build::build(settings, progress)
}

/// Finds the Helm that renders ClusterClasses, and builds it when there is none; nothing else is built.
pub fn helm(settings: &Settings, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, TestbedError> {
    build::program(settings, "helm", progress)
}

/// Timers and sockets on the calling thread, without any other thread.
fn runtime() -> Result<tokio::runtime::Runtime, TestbedError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TestbedError::Runtime)
}
