//! The built program as a process of its own, in a directory of its own.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack_e2e::provider::scripted::Ledger;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub const SCENARIO: &str = "scripts/scenario.yaml";

/// A directory to work in, with copies of `fixtures/scripts`.
pub struct Home(tempfile::TempDir);

/// What a command that has ended has said.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// The command that stands behind `key:` on the last screen.
    pub fn command(&self, key: &str) -> String {
        let line = self
            .stderr
            .lines()
            .chain(self.stdout.lines())
            .rev()
            .find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("no `{key}` in\n{}", self.stderr)).trim().to_owned()
    }

    /// The last screen, without what differs from run to run.
    pub fn screen(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let start = lines.iter().rposition(|line| line.starts_with('[')).map_or(0, |at| at + 1);
        // What the harness has cost is another number every time.
        let screen = lines[start..].iter().filter(|line| !line.starts_with("stack-e2e itself: "));
        screen.copied().collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let scripts = home.path("scripts");
        std::fs::create_dir(&scripts).unwrap();
        for file in std::fs::read_dir("fixtures/scripts").unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), scripts.join(file.file_name())).unwrap();
        }
        home
    }

    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(below)
    }

    /// A command that nothing of this machine's environment changes, not even a signal that whoever started the
    /// tests ignores: `nohup` and shells without job control hand that down.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", program]);
        let programs = Path::new(env!("CARGO_BIN_EXE_stack-e2e")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("NO_COLOR", "1")
            .current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STACK_E2E_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    pub fn stack_e2e(&self, words: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_stack-e2e"));
        command.args(words);
        command
    }

    /// Carries it out and waits.
    pub fn say(&self, words: &[&str]) -> Said {
        said(&mut self.stack_e2e(words))
    }

    /// Carries out a line as a person would type it.
    pub fn shell(&self, line: &str) -> Said {
        said(&mut self.shell_command(line))
    }

    /// The same, to be started.
    pub fn shell_command(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        command
    }

    /// `run` of the scenario with one of the scripts.
    pub fn run(&self, script: &str, more: &[&str]) -> Said {
        said(self.stack_e2e(&["run", SCENARIO, "--script", script]).args(more))
    }

    /// Starts such a run and gives it when it has said its name.
    pub fn start(&self, script: &str, more: &[&str]) -> Running {
        Running::start(self.stack_e2e(&["run", SCENARIO, "--script", script]).args(more))
    }

    /// How many objects exist in the ledger.
    pub fn objects(&self) -> usize {
        let directory = self.path(".stack-e2e/scripted");
        if !directory.exists() {
            return 0;
        }
        Ledger::in_directory(&directory).unwrap().objects().unwrap().len()
    }

    /// The runs that have a directory, oldest first.
    pub fn runs(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(".stack-e2e/runs")) else { return Vec::new() };
        let mut runs: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        runs.sort();
        runs
    }

    pub fn run_directory(&self, run: &str) -> PathBuf {
        self.path(".stack-e2e/runs").join(run)
    }

    /// Makes one script behave as another from now on.
    pub fn change_script(&self, script: &str, to: &str) {
        std::fs::copy(self.path(to), self.path(script)).unwrap();
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A process at work. It is killed when nobody waits for it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
    out: std::thread::JoinHandle<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        Self { child, lines, heard: Vec::new(), out }
    }

    /// Waits for a line on stderr that contains `text`, and gives it.
    pub fn hears(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no `{text}` in\n{}", self.heard.join("\n"))
                }
            }
        }
    }

    /// The run that it carries out.
    pub fn id(&mut self) -> String {
        self.hears("run ").split_whitespace().nth(1).unwrap().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a line that contains `text`, or for the end; says which came first.
    pub fn hears_or_ends(&mut self, text: &str) -> &'static str {
        while let Ok(line) = self.lines.recv() {
            let found = line.contains(text);
            self.heard.push(line);
            if found {
                return "taken over";
            }
        }
        "ended"
    }

    /// Waits for its end, whatever it has still to say.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Said {
        let status = self.child.wait().unwrap();
        self.heard.extend(self.lines.iter());
        let stderr = self.heard.join("\n");
        Said { status, stdout: self.out.join().unwrap(), stderr }
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(self) -> Said {
        self.signal(Signal::SIGKILL);
        self.end()
    }
}
