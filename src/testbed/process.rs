//! Processes that outlive their parent, and are found and ended again without ever meeting a stranger.
//!
//! A component is started through a launcher (a hidden subcommand of this very program) that opens a session, writes
//! its own record and then becomes the component: the record is there before the component is, so no instant exists at
//! which a killed `up` leaves a process behind that nobody knows. A record names the process by its id, its start time
//! and the boot, so a recycled id is never mistaken for ours.

use super::Progress;
use super::error::{IoContext as _, TestbedError};
use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many lines of a log are shown.
const TAIL_LINES: usize = 20;
/// How much of a log is read for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// A process, beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PidRecord {
    /// The component.
    pub component: String,
    /// Its process id, which is that of its session and process group, too.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub start_time: u64,
    /// The boot.
    pub boot: String,
}

impl PidRecord {
    /// The calling process.
    fn of_self(component: &str) -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let (_, start_time) = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            component: component.to_owned(),
            pid: nix::unistd::getpid().as_raw(),
            start_time,
            boot: boot_id()?,
        })
    }

    /// Reads a record.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // kill(2) gives 0, -1 and the like a meaning that must never be reached; 1 is never ours.
        if record.pid <= 1 {
            return Err(format!("{} is no process id of a component", record.pid));
        }
        Ok(record)
    }

    /// Whether the process is there and is the one recorded. A zombie is not.
    pub(super) fn alive(&self) -> bool {
        if boot_id().ok().as_ref() != Some(&self.boot) {
            return false;
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        matches!(parse_stat(&stat), Some((state, start)) if start == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal to the process group, unless the process is no longer the one recorded.
    fn signal(&self, signal: Signal) {
        if self.alive() {
            // It may end in between; then there is nothing to signal.
            let _ = signal::killpg(Pid::from_raw(self.pid), signal);
        }
    }

    /// Takes the exit status when it is a child of this process, so that no zombie stays.
    fn reap(&self) {
        let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// State and start time from `/proc/PID/stat`. The name of the program is in parentheses and may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The start time is field 22 of the line; the state is field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// Everything about the processes of one testbed on disk.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    records: PathBuf,
    logs: PathBuf,
}

impl Processes {
    pub(super) fn in_state(state_dir: &Path) -> Self {
        Self { records: state_dir.join("processes"), logs: state_dir.join("logs") }
    }

    pub(super) fn create(&self) -> Result<(), TestbedError> {
        for dir in [&self.records, &self.logs] {
            fs::create_dir_all(dir).on("cannot create", dir)?;
        }
        Ok(())
    }

    pub(super) fn log_dir(&self) -> &Path {
        &self.logs
    }

    pub(super) fn log(&self, component: &str) -> PathBuf {
        self.logs.join(format!("{component}.log"))
    }

    fn record(&self, component: &str) -> PathBuf {
        self.records.join(format!("{component}.json"))
    }

    /// All records. A file that is no record is an error: it could be the only trace of a process.
    pub(super) fn all(&self) -> Result<Vec<PidRecord>, TestbedError> {
        let entries = match fs::read_dir(&self.records) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.on("cannot list", &self.records)?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.on("cannot list", &self.records)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read_to_string(&path).on("cannot read", &path)?;
            records.push(PidRecord::parse(&text).map_err(|why| TestbedError::Record { path, why })?);
        }
        records.sort_by(|a, b| a.component.cmp(&b.component));
        Ok(records)
    }

    /// Starts a component through the launcher. The environment of the caller stays behind: etcd would take settings
    /// from it, and credentials in it are no business of a component.
    pub(super) fn launch(
        &self,
        self_exe: &Path,
        component: &str,
        program: &Path,
        arguments: &[OsString],
        environment: &[(&str, &str)],
    ) -> Result<Child, TestbedError> {
        let mut command = Command::new(self_exe);
        command.args(["testbed", "launch", "--component", component, "--record"]);
        command.arg(self.record(component)).arg("--").arg(program).args(arguments);
        command.env_clear().envs(environment.iter().copied());
        self.spawn(component, self_exe, &mut command)
    }

    /// Starts a hidden subcommand of this program that writes its own record.
    pub(super) fn launch_self(
        &self,
        self_exe: &Path,
        component: &str,
        arguments: &[OsString],
        stdout: Option<Stdio>,
    ) -> Result<Child, TestbedError> {
        let mut command = Command::new(self_exe);
        command.args(["testbed", component, "--record"]).arg(self.record(component)).args(arguments);
        if let Some(stdout) = stdout {
            return self.spawn_with(component, self_exe, &mut command, stdout);
        }
        self.spawn(component, self_exe, &mut command)
    }

    fn spawn(&self, component: &str, program: &Path, command: &mut Command) -> Result<Child, TestbedError> {
        let log = self.open_log(component)?;
        self.spawn_with(component, program, command, Stdio::from(log))
    }

    fn spawn_with(
        &self,
        component: &str,
        program: &Path,
        command: &mut Command,
        stdout: Stdio,
    ) -> Result<Child, TestbedError> {
        let log = self.open_log(component)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(log).current_dir("/").spawn().map_err(|source| {
            TestbedError::Spawn { component: component.to_owned(), program: program.to_owned(), source }
        })
    }

    fn open_log(&self, component: &str) -> Result<fs::File, TestbedError> {
        let path = self.log(component);
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path).on("cannot open", &path)
    }

    /// The last lines of a component's log.
    pub(super) fn tail(&self, component: &str) -> String {
        tail(&self.log(component))
    }
}

/// The last lines of a file, or why there are none.
fn tail(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(last_lines(&String::from_utf8_lossy(&bytes), TAIL_LINES))
    };
    match read() {
        Ok(text) if text.is_empty() => "(the log is empty)".into(),
        Ok(text) => text,
        Err(error) => format!("(no log: {error})"),
    }
}

/// The last `count` lines of `text`.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Opens a session and writes the record of the calling process, for the entry points of hidden subcommands.
pub(super) fn register(component: &str, record: &Path) -> Result<(), TestbedError> {
    // It fails for the leader of a process group only, that is when a person runs the subcommand in a shell.
    let _ = nix::unistd::setsid();
    let own = PidRecord::of_self(component).on("cannot read", Path::new("/proc/self/stat"))?;
    let text = serde_json::to_string(&own)
        .map_err(|error| TestbedError::Record { path: record.to_owned(), why: error.to_string() })?;
    let new = record.with_extension(format!("{}.new", own.pid));
    super::pki::write_private(&new, &text)?;
    // Unlike a rename this never replaces a record, which could be the only trace of another process.
    let linked = fs::hard_link(&new, record);
    fs::remove_file(&new).on("cannot remove", &new)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(TestbedError::Record {
            path: record.to_owned(),
            why: format!("it is of another `{component}`"),
        }),
        linked => linked.on("cannot write", record),
    }
}

/// Entry point of the hidden subcommand `launch`: registers and becomes the program. Returns when it cannot.
pub fn launch(component: &str, record: &Path, program: &Path, arguments: &[OsString]) -> TestbedError {
    if let Err(error) = register(component, record) {
        return error;
    }
    let source = Command::new(program).args(arguments).exec();
    TestbedError::Spawn { component: component.to_owned(), program: program.to_owned(), source }
}

/// Ends processes: SIGTERM to all at once, SIGKILL to those that are still there after `grace`.
pub(super) async fn end(
    records: &[PidRecord],
    grace: Duration,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), TestbedError> {
    let started = Instant::now();
    let mut left: Vec<&PidRecord> = records.iter().filter(|record| record.alive()).collect();
    for record in &left {
        record.signal(Signal::SIGTERM);
    }
    let mut killed = false;
    while !left.is_empty() {
        left.retain(|record| {
            record.reap();
            let alive = record.alive();
            if !alive {
                progress(Progress::Stopped { component: record.component.clone(), took: started.elapsed() });
            }
            alive
        });
        if left.is_empty() {
            break;
        }
        if !killed && started.elapsed() > grace {
            killed = true;
            for record in &left {
                record.signal(Signal::SIGKILL);
            }
        }
        if started.elapsed() > grace + Duration::from_secs(10) {
            let record = left[0];
            return Err(TestbedError::Unkillable { component: record.component.clone(), pid: record.pid });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until a signal that asks to end comes. For processes without a runtime.
pub(super) fn wait_for_end() -> Result<(), Errno> {
    let mut set = signal::SigSet::empty();
    for asked in [Signal::SIGTERM, Signal::SIGINT] {
        set.add(asked);
    }
    set.thread_block()?;
    set.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A child in a process group of its own, with its true record.
    fn sleeper() -> (Child, PidRecord) {
        let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, start_time) = parse_stat(&stat).unwrap();
        let record = PidRecord { component: "sleeper".into(), pid, start_time, boot: boot_id().unwrap() };
        (child, record)
    }

    #[test]
    fn stat_lines_with_odd_names_are_read() {
        let rest = "S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1";
        for name in ["sleep", "a b", "a) S 1 (b", ""] {
            assert_eq!(parse_stat(&format!("42 ({name}) {rest}")), Some(('S', 98765)), "{name}");
        }
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("42 (x) S 1"), None);
    }

    #[test]
    fn records_with_a_dangerous_id_are_refused() {
        for (pid, good) in [(4711, true), (1, false), (0, false), (-1, false)] {
            let text = format!(r#"{{"component": "etcd", "pid": {pid}, "start_time": 5, "boot": "b"}}"#);
            assert_eq!(PidRecord::parse(&text).is_ok(), good, "{pid}");
        }
        assert!(PidRecord::parse("4711 5").is_err());
    }

    #[test]
    fn a_record_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.json");
        fs::write(&path, "the trace of another process").unwrap();
        let error = launch("etcd", &path, Path::new("/bin/false"), &[]);
        assert!(matches!(error, TestbedError::Record { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "the trace of another process");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_recycled_id_is_never_signalled() {
        let (mut child, record) = sleeper();
        let recycled = [
            PidRecord { start_time: record.start_time + 1, ..record.clone() },
            PidRecord { boot: "another boot".into(), ..record },
        ];
        assert!(recycled.iter().all(|record| !record.alive()));
        runtime().block_on(end(&recycled, Duration::ZERO, &mut |_| ())).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the stranger is still running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 600; done"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, start_time) = parse_stat(&stat).unwrap();
        let record = PidRecord { component: "deaf".into(), pid, start_time, boot: boot_id().unwrap() };
        let mut stopped = Vec::new();
        runtime()
            .block_on(end(std::slice::from_ref(&record), Duration::from_millis(50), &mut |told| {
                stopped.push(told)
            }))
            .unwrap();
        assert!(!record.alive());
        assert_eq!(stopped.len(), 1);
        // Taken already when it ended; this is for the other case.
        let _ = child.wait();
    }

    #[test]
    fn a_zombie_is_dead() {
        let (mut child, record) = sleeper();
        assert!(record.alive());
        child.kill().unwrap();
        // The child is not waited for until the end of the test.
        let deadline = Instant::now() + Duration::from_secs(10);
        while record.alive() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!record.alive());
        child.wait().unwrap();
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_state(dir.path());
        processes.create().unwrap();
        assert!(processes.tail("etcd").starts_with("(no log"));
        let lines: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
        fs::write(processes.log("etcd"), lines.join("\n")).unwrap();
        let tail = processes.tail("etcd");
        assert!(tail.starts_with("line 30\n") && tail.ends_with("line 49"), "{tail}");
    }
}
