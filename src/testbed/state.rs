//! What is known about a running testbed: one directory with everything, looked at, entered and removed here.

use super::api::is_ready;
use super::arguments::STARTED;
use super::error::{IoContext as _, TestbedError};
use super::lock::lock;
use super::process::{self, PidRecord, Processes};
use super::{Progress, Settings, net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const STATE: &str = "testbed.json";
const LOCK: &str = "lock";
/// How long processes may take to end before they are killed. Nothing that they could still save is kept.
const GRACE: Duration = Duration::from_secs(5);

/// The part of the state that is not about single processes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Port by what it is for; the API server's is `kube-apiserver`.
    pub ports: BTreeMap<String, u16>,
    /// Whether there is a network namespace.
    pub namespace: bool,
    /// Whether the start came to its end.
    pub ready: bool,
    /// Seconds that each part of the start took.
    pub parts: Vec<(String, f64)>,
}

impl State {
    pub(super) fn load(state_dir: &Path) -> Result<Option<Self>, TestbedError> {
        let path = state_dir.join(STATE);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).on("cannot read", &path),
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| TestbedError::Record { path, why: error.to_string() }),
        }
    }

    pub(super) fn save(&self, state_dir: &Path) -> Result<(), TestbedError> {
        let path = state_dir.join(STATE);
        let new = state_dir.join(format!(".{STATE}.new"));
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| TestbedError::Record { path: path.clone(), why: error.to_string() })?;
        super::pki::write_private(&new, &text)?;
        fs::rename(&new, &path).on("cannot write", &path)
    }

    pub(super) fn port(&self, purpose: &str) -> u16 {
        self.ports.get(purpose).copied().unwrap_or_default()
    }

    /// The components that a whole testbed has.
    fn expected(&self) -> Vec<&'static str> {
        let helpers: &[&str] = if self.namespace { &["hold", "relay"] } else { &[] };
        helpers.iter().chain(&STARTED).copied().collect()
    }
}

/// A testbed to work with.
#[derive(Debug, Clone, Serialize)]
pub struct TestbedInfo {
    /// Everything about it.
    pub state_dir: PathBuf,
    /// The kubeconfig of the harness.
    pub kubeconfig: PathBuf,
    /// The kubeconfig of an administrator, which the controllers use.
    pub admin_kubeconfig: PathBuf,
    /// The logs, one file for each component.
    pub log_dir: PathBuf,
    /// The URL of the API server.
    pub server: String,
    /// How long each part of the start took; empty when the testbed ran already.
    #[serde(skip)]
    pub started: Vec<(String, Duration)>,
    /// Whether the testbed ran already.
    pub already_running: bool,
    /// The process that keeps the network namespace, when there is one.
    pub namespace_pid: Option<i32>,
}

impl TestbedInfo {
    pub(super) fn of(state_dir: &Path, state: &State, records: &[PidRecord]) -> Self {
        let hold = records.iter().find(|record| record.component == "hold");
        Self {
            state_dir: state_dir.to_owned(),
            kubeconfig: state_dir.join("kubeconfig"),
            admin_kubeconfig: state_dir.join("admin.kubeconfig"),
            log_dir: Processes::in_state(state_dir).log_dir().to_owned(),
            server: format!("https://127.0.0.1:{}", state.port("kube-apiserver")),
            started: Vec::new(),
            already_running: true,
            namespace_pid: hold.filter(|_| state.namespace).map(|record| record.pid),
        }
    }
}

/// One component, as `status` finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Its process, when it was started.
    pub pid: Option<i32>,
    /// The port that it is asked on.
    pub port: Option<u16>,
    /// Whether its process is there.
    pub alive: bool,
    /// Whether it says that it is ready; not known when it cannot be reached from this process.
    pub ready: Option<bool>,
    /// Its log.
    pub log: PathBuf,
    /// The end of its log, when it was started and is dead.
    pub tail: Option<String>,
}

/// What `status` finds.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Where it looked.
    pub state_dir: PathBuf,
    /// Whether every component is alive and none says that it is not ready.
    pub healthy: bool,
    /// Whether the start came to its end; when not, it goes on now or was cut short.
    pub start_finished: bool,
    /// Seconds that each part of the start took; parts overlap, `all` is the whole.
    pub start_seconds: Vec<(String, f64)>,
    /// How to reach it; nothing when there is no testbed.
    pub testbed: Option<TestbedInfo>,
    /// The components in the order of their start.
    pub components: Vec<ComponentStatus>,
}

/// What `down` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownReport {
    /// The components that were running and are stopped.
    pub stopped: Vec<String>,
    /// Whether there was a state directory of a testbed; it is gone.
    pub removed: bool,
}

/// Creates the state directory for its owner only, and locks it against other starts and stops.
pub(super) fn open(state_dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<File, TestbedError> {
    loop {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir).on("cannot create", state_dir)?;
        if !is_ours(state_dir)? {
            return Err(TestbedError::ForeignDirectory { path: state_dir.to_owned() });
        }
        fs::set_permissions(state_dir, fs::Permissions::from_mode(0o700)).on("cannot protect", state_dir)?;
        match lock(&state_dir.join(LOCK), "another command on this testbed", progress) {
            // A `down` removed the directory while it was waited for.
            Err(TestbedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            locked => return locked,
        }
    }
}

/// Whether a directory holds a testbed or nothing.
fn is_ours(state_dir: &Path) -> Result<bool, TestbedError> {
    let mut foreign = false;
    for entry in fs::read_dir(state_dir).on("cannot list", state_dir)? {
        let name = entry.on("cannot list", state_dir)?.file_name();
        if name == STATE {
            return Ok(true);
        }
        // A start that was killed at once leaves these.
        foreign |= name != LOCK && name.to_string_lossy() != format!(".{STATE}.new");
    }
    Ok(!foreign)
}

/// The running testbed, if there is one. Its components are not asked; [`status`] does that.
pub fn info(settings: &Settings) -> Result<Option<TestbedInfo>, TestbedError> {
    let Some(state) = State::load(&settings.state_dir)?.filter(|state| state.ready) else {
        return Ok(None);
    };
    let records = Processes::in_state(&settings.state_dir).all()?;
    Ok(Some(TestbedInfo::of(&settings.state_dir, &state, &records)))
}

/// Puts the calling process into the network namespace of the testbed, so that 127.0.0.1 is the testbed's.
/// Nothing happens when there is no namespace or the process is in it already. The process must have one thread.
pub fn join(testbed: &TestbedInfo) -> Result<(), TestbedError> {
    let Some(pid) = testbed.namespace_pid else {
        return Ok(());
    };
    let records = Processes::in_state(&testbed.state_dir).all()?;
    if !records.iter().any(|record| record.pid == pid && record.component == "hold" && record.alive()) {
        return Err(TestbedError::Namespace {
            state_dir: testbed.state_dir.clone(),
            why: format!("the process {pid} that keeps it is gone"),
        });
    }
    net::enter(&testbed.state_dir, pid)
}

/// The logs of all controllers, by component.
#[must_use]
pub fn controller_logs(testbed: &TestbedInfo) -> Vec<(String, PathBuf)> {
    let processes = Processes::in_state(&testbed.state_dir);
    let controllers = STARTED.iter().filter(|name| **name != "etcd");
    controllers
        .map(|name| ((*name).to_owned(), processes.log(name)))
        .filter(|(_, log)| log.is_file())
        .collect()
}

/// Looks at every component. Readiness is asked only where it can be: in the namespace of the testbed, see [`join`].
pub fn status(settings: &Settings) -> Result<Status, TestbedError> {
    let state_dir = &settings.state_dir;
    let mut status = Status {
        state_dir: state_dir.clone(),
        healthy: false,
        start_finished: false,
        start_seconds: Vec::new(),
        testbed: None,
        components: Vec::new(),
    };
    let Some(state) = State::load(state_dir)? else {
        return Ok(status);
    };
    let processes = Processes::in_state(state_dir);
    let records = processes.all()?;
    let testbed = TestbedInfo::of(state_dir, &state, &records);
    status.components = components(&state, &processes, &records);
    let reachable = testbed.namespace_pid.is_none_or(net::is_inside);
    if reachable && state.ready {
        super::runtime()?.block_on(async {
            for component in status.components.iter_mut().filter(|component| component.alive) {
                component.ready = is_ready(&testbed, &state, &component.name).await;
            }
        });
    }
    status.healthy = state.ready
        && status.components.iter().all(|component| component.alive && component.ready != Some(false));
    status.start_finished = state.ready;
    status.start_seconds = state.parts;
    status.testbed = Some(testbed);
    Ok(status)
}

fn components(state: &State, processes: &Processes, records: &[PidRecord]) -> Vec<ComponentStatus> {
    let describe = |name: &str| {
        let record = records.iter().find(|record| record.component == name);
        let alive = record.is_some_and(PidRecord::alive);
        ComponentStatus {
            name: name.to_owned(),
            pid: record.map(|record| record.pid),
            port: state.ports.get(if name == "relay" { "kube-apiserver" } else { name }).copied(),
            alive,
            ready: None,
            log: processes.log(name),
            tail: record.filter(|_| !alive).map(|_| processes.tail(name)),
        }
    };
    state.expected().into_iter().map(describe).collect()
}

/// The components that should be alive and are not.
pub(super) fn dead(state: &State, processes: &Processes, records: &[PidRecord]) -> Vec<ComponentStatus> {
    components(state, processes, records).into_iter().filter(|component| !component.alive).collect()
}

/// Stops what was started in the state directory, and only that, and removes the directory.
pub fn down(settings: &Settings, progress: &mut dyn FnMut(Progress)) -> Result<DownReport, TestbedError> {
    let state_dir = &settings.state_dir;
    if !state_dir.exists() {
        return Ok(DownReport { stopped: Vec::new(), removed: false });
    }
    let _lock = open(state_dir, progress)?;
    let stopped = super::runtime()?.block_on(stop_all(state_dir, progress))?;
    remove(state_dir)?;
    Ok(DownReport { stopped, removed: true })
}

/// Removes a state directory, whose processes have been ended.
pub(super) fn remove(state_dir: &Path) -> Result<(), TestbedError> {
    fs::remove_dir_all(state_dir).on("cannot remove", state_dir)
}

/// Ends all processes, clients before their servers.
pub(super) async fn stop_all(
    state_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<String>, TestbedError> {
    let records = Processes::in_state(state_dir).all()?;
    let running: Vec<PidRecord> = records.into_iter().filter(PidRecord::alive).collect();
    let stage = |record: &PidRecord| match record.component.as_str() {
        "kube-apiserver" => 1,
        "etcd" => 2,
        "hold" => 3,
        _ => 0,
    };
    for now in 0..=3 {
        let ended: Vec<PidRecord> = running.iter().filter(|record| stage(record) == now).cloned().collect();
        process::end(&ended, GRACE, progress).await?;
    }
    Ok(running.into_iter().map(|record| record.component).collect())
}

/// Empties the state directory of a testbed that is no more, but for the lock.
pub(super) fn clear(state_dir: &Path) -> Result<(), TestbedError> {
    for entry in fs::read_dir(state_dir).on("cannot list", state_dir)? {
        let entry = entry.on("cannot list", state_dir)?;
        // The state goes last, by what marks the directory as ours.
        if entry.file_name() == LOCK || entry.file_name() == STATE {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.on("cannot remove", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(state_dir: PathBuf) -> Settings {
        Settings::new(state_dir, "/nowhere".into(), "/bin/false".into())
    }

    #[test]
    fn a_directory_with_other_things_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = down(&settings(dir.path().to_owned()), &mut |_| ()).unwrap_err();
        assert!(matches!(error, TestbedError::ForeignDirectory { .. }), "{error}");
        assert!(dir.path().join("thesis.tex").exists());
    }

    #[test]
    fn down_without_a_testbed_does_nothing_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("testbed");
        let report = down(&settings(state_dir.clone()), &mut |_| ()).unwrap();
        assert_eq!(report, DownReport { stopped: Vec::new(), removed: false });
        assert!(!state_dir.exists());
    }

    #[test]
    fn the_directory_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("a/testbed");
        let _lock = open(&state_dir, &mut |_| ()).unwrap();
        assert_eq!(fs::metadata(&state_dir).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_crashed_component_is_reported_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_state(dir.path());
        processes.create().unwrap();
        let state = State { ready: true, ports: [("etcd".into(), 23790)].into(), ..State::default() };
        state.save(dir.path()).unwrap();
        fs::write(processes.log("etcd"), "fatal: no space left on device\n").unwrap();
        let record = r#"{"component": "etcd", "pid": 4711, "start_time": 5, "boot": "an earlier one"}"#;
        fs::write(dir.path().join("processes/etcd.json"), record).unwrap();

        let status = status(&settings(dir.path().to_owned())).unwrap();
        assert!(!status.healthy);
        let etcd = &status.components[0];
        assert_eq!(
            (etcd.name.as_str(), etcd.pid, etcd.port, etcd.alive),
            ("etcd", Some(4711), Some(23790), false)
        );
        assert_eq!(etcd.tail.as_deref(), Some("fatal: no space left on device"));
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_everything() {
        let dir = tempfile::tempdir().unwrap();
        Processes::in_state(dir.path()).create().unwrap();
        State::default().save(dir.path()).unwrap();
        fs::write(dir.path().join("processes/etcd.json"), "").unwrap();
        let error = down(&settings(dir.path().to_owned()), &mut |_| ()).unwrap_err();
        assert!(matches!(error, TestbedError::Record { .. }), "it could be the trace of a process: {error}");
    }
}
