//! `stack-e2e testbed`: builds, starts, shows and stops the management cluster on this machine.

use crate::testbed::{self, ComponentStatus, Progress, Settings, Status, TestbedError, TestbedInfo};
use crate::types::{parse_duration, show_duration};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often a build is told of where no bar can be drawn.
const PLAIN_TICK: Duration = Duration::from_secs(15);

/// A management cluster on this machine, from plain processes.
#[derive(Debug, Args)]
pub struct TestbedArgs {
    #[command(subcommand)]
    command: TestbedCommand,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where things are, for every subcommand.
#[derive(Debug, Clone, Args)]
struct PlaceArgs {
    /// Everything about the running testbed [default: ~/.local/state/stack-e2e/testbed]
    #[arg(long, global = true, value_name = "DIR", env = "STACK_E2E_TESTBED_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Built programs and rendered manifests [default: ~/.cache/stack-e2e/testbed]
    #[arg(long, global = true, value_name = "DIR", env = "STACK_E2E_TESTBED_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

impl PlaceArgs {
    fn words(&self) -> Vec<String> {
        let mut words = flag("--state-dir", self.state_dir.as_deref());
        words.extend(flag("--cache-dir", self.cache_dir.as_deref()));
        words
    }
}

fn flag(name: &str, value: Option<&Path>) -> Vec<String> {
    value.map(|value| vec![name.to_owned(), value.display().to_string()]).unwrap_or_default()
}

#[derive(Debug, Clone, Args)]
struct BuildArgs {
    /// Use this program for a component instead of building it (also STACK_E2E_TESTBED_<COMPONENT>)
    #[arg(long = "binary", value_name = "COMPONENT=PATH", value_parser = parse_binary)]
    binaries: Vec<(String, PathBuf)>,
    /// A directory with etcd and kube-apiserver, as setup-envtest makes it
    #[arg(long, value_name = "DIR", env = "KUBEBUILDER_ASSETS")]
    kubebuilder_assets: Option<PathBuf>,
    /// The Go client [default: `go` on the PATH]
    #[arg(long, value_name = "PATH", env = "STACK_E2E_GO")]
    go: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum TestbedCommand {
    /// Build what the testbed consists of, so that the first start is fast
    Build(BuildArgs),
    /// Start the testbed, or find it running; prints the path of its kubeconfig
    Up {
        #[command(flatten)]
        build: BuildArgs,
        /// Accept ports that are open to others where no network namespace is to be had
        #[arg(long, env = "STACK_E2E_TESTBED_OPEN_PORTS")]
        open_ports: bool,
        /// Do without a network namespace
        #[arg(long)]
        host_network: bool,
        /// How long each component may take to become ready
        #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "2m")]
        timeout: Duration,
        /// Install the CustomResourceDefinitions of these files, or directories with files, as well
        #[arg(long, value_name = "PATH")]
        crds: Vec<PathBuf>,
        /// Of a definition of `--crds` whose versions differ, serve this one [default: the one that it stores]
        #[arg(long, value_name = "VERSION", requires = "crds")]
        crd_version: Vec<String>,
    },
    /// Show every component
    Status {
        /// How to show it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Stop the testbed and remove everything about it; built programs stay
    Down,
    /// Run a command inside the testbed's network, with KUBECONFIG set
    Exec {
        /// Be an administrator instead of the harness
        #[arg(long)]
        admin: bool,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Keep the network namespace
    #[command(hide = true)]
    Hold {
        #[arg(long)]
        record: PathBuf,
    },
    /// Let clients outside reach the API server inside
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        record: PathBuf,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        hold: i32,
    },
    /// Become a component
    #[command(hide = true)]
    Launch {
        #[arg(long)]
        component: String,
        #[arg(long)]
        record: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn parse_binary(text: &str) -> Result<(String, PathBuf), String> {
    let Some((component, path)) = text.split_once('=') else {
        return Err("it has the form COMPONENT=PATH".into());
    };
    if !testbed::is_component(component.as_ref()) {
        let known: Vec<&str> = testbed::binary_variables().map(|(name, _)| name).collect();
        return Err(format!("`{component}` is no component; they are {}", known.join(", ")));
    }
    Ok((component.to_owned(), path.into()))
}

/// What `run` and others need of a testbed.
#[derive(Debug, Args)]
pub(super) struct RunTestbedArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    build: BuildArgs,
    /// Accept ports of the testbed that are open to others where no network namespace is to be had
    #[arg(long, env = "STACK_E2E_TESTBED_OPEN_PORTS")]
    open_ports: bool,
}

impl RunTestbedArgs {
    /// Settings from these arguments and the environment.
    pub(super) fn settings(&self) -> Settings {
        Settings { open_ports: self.open_ports, ..settings(self.place.clone(), Some(self.build.clone())) }
    }

    /// Where the testbed is, as words of a command line.
    pub(super) fn place(&self) -> Vec<String> {
        self.place.words()
    }

    /// How it is built, as words of a command line.
    pub(super) fn build(&self) -> Vec<String> {
        let BuildArgs { binaries, kubebuilder_assets, go } = &self.build;
        let mut words = Vec::new();
        for (component, path) in binaries {
            words.extend(["--binary".to_owned(), format!("{component}={}", path.display())]);
        }
        words.extend(flag("--kubebuilder-assets", kubebuilder_assets.as_deref()));
        words.extend(flag("--go", go.as_deref()));
        words.extend(self.open_ports.then(|| "--open-ports".to_owned()));
        words
    }
}

/// Where a testbed is, for commands that only look for it.
#[derive(Debug, Args)]
pub(super) struct FindTestbedArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

impl FindTestbedArgs {
    /// Settings from these arguments and the environment.
    pub(super) fn settings(&self) -> Settings {
        settings(self.place.clone(), None)
    }

    /// Where the testbed is, as words of a command line.
    pub(super) fn place(&self) -> Vec<String> {
        self.place.words()
    }
}

/// The Helm that renders ClusterClasses: the user's own, or one that is built.
pub(super) fn helm(settings: &Settings) -> Result<PathBuf, TestbedError> {
    let mut screen = Screen::new();
    testbed::helm(settings, &mut |told| screen.show(told))
}

/// Starts a testbed, or finds it running. This process is in its network afterwards.
pub(super) fn up(settings: &Settings) -> Result<TestbedInfo, TestbedError> {
    let mut screen = Screen::new();
    testbed::up(settings, &mut |told| screen.show(told))
}

/// Stops a testbed.
pub(super) fn down(settings: &Settings) -> Result<(), TestbedError> {
    let mut screen = Screen::new();
    testbed::down(settings, &mut |told| screen.show(told)).map(|_| ())
}

/// Shows what went wrong with a testbed, and how the command ends.
pub(super) fn complain(error: &TestbedError) -> ExitCode {
    report(error);
    match error {
        TestbedError::OpenPorts { .. }
        | TestbedError::Definitions { .. }
        | TestbedError::NoSuchBinary { .. }
        | TestbedError::ForeignDirectory { .. }
        | TestbedError::NotRunning { .. } => ExitCode::from(2),
        TestbedError::Interrupted => ExitCode::from(130),
        _ => ExitCode::from(3),
    }
}

/// Carries a subcommand out.
#[must_use]
pub fn run(args: TestbedArgs) -> ExitCode {
    match dispatch(args) {
        Ok(code) => code,
        Err(error) => complain(&error),
    }
}

fn dispatch(args: TestbedArgs) -> Result<ExitCode, TestbedError> {
    let place = args.place;
    match args.command {
        TestbedCommand::Build(build) => {
            let mut screen = Screen::new();
            let components = testbed::build(&settings(place, Some(build)), &mut |told| screen.show(told))?;
            for (name, path) in components.programs() {
                say(&format!("{name}\t{}", path.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        TestbedCommand::Up { build, open_ports, host_network, timeout, crds, crd_version } => {
            let settings = Settings {
                open_ports,
                host_network,
                timeout,
                crds,
                crd_versions: crd_version,
                ..settings(place, Some(build))
            };
            let mut screen = Screen::new();
            let testbed = testbed::up(&settings, &mut |told| screen.show(told))?;
            if testbed.already_running {
                note("the testbed runs already");
            }
            say(&testbed.kubeconfig.display().to_string());
            Ok(ExitCode::SUCCESS)
        }
        TestbedCommand::Status { format } => {
            let settings = settings(place, None);
            // Readiness can be asked from inside only; when the way in is closed, the processes still tell much.
            if let Some(testbed) = testbed::info(&settings)? {
                let _ = testbed::join(&testbed);
            }
            let status = testbed::status(&settings)?;
            match format {
                Format::Json => say(&serde_json::to_string_pretty(&status).unwrap_or_default()),
                Format::Text => show_status(&status),
            }
            Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::from(3) })
        }
        TestbedCommand::Down => {
            let mut screen = Screen::new();
            let report = testbed::down(&settings(place, None), &mut |told| screen.show(told))?;
            note(if report.removed { "the testbed is gone" } else { "there was no testbed" });
            Ok(ExitCode::SUCCESS)
        }
        TestbedCommand::Exec { admin, command } => exec(&settings(place, None), admin, &command),
        TestbedCommand::Hold { record } => testbed::hold(&record).map(|()| ExitCode::SUCCESS),
        TestbedCommand::Relay { record, port, hold } => {
            testbed::relay(&record, port, hold).map(|()| ExitCode::SUCCESS)
        }
        TestbedCommand::Launch { component, record, command } => {
            let (program, arguments) = split(&command);
            Err(testbed::launch(&component, &record, Path::new(program), arguments))
        }
    }
}

fn split(command: &[OsString]) -> (&OsString, &[OsString]) {
    // The parser asks for at least one word.
    command.split_first().unwrap_or_else(|| unreachable!("a command has a first word"))
}

fn exec(settings: &Settings, admin: bool, command: &[OsString]) -> Result<ExitCode, TestbedError> {
    let Some(testbed) = testbed::info(settings)? else {
        return Err(TestbedError::NotRunning { state_dir: settings.state_dir.clone() });
    };
    testbed::join(&testbed)?;
    let (program, arguments) = split(command);
    let kubeconfig = if admin { &testbed.admin_kubeconfig } else { &testbed.kubeconfig };
    let source = std::process::Command::new(program).args(arguments).env("KUBECONFIG", kubeconfig).exec();
    Err(TestbedError::Spawn {
        component: program.to_string_lossy().into_owned(),
        program: program.into(),
        source,
    })
}

/// Settings from the command line and the environment.
fn settings(place: PlaceArgs, build: Option<BuildArgs>) -> Settings {
    let directory = |given: Option<PathBuf>, variable: &str, in_home: &str| {
        given.map(absolute).unwrap_or_else(|| {
            let base = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            let home = || std::env::home_dir().unwrap_or_else(|| "/".into()).join(in_home);
            base.unwrap_or_else(home).join("stack-e2e/testbed")
        })
    };
    let mut settings = Settings::new(
        directory(place.state_dir, "XDG_STATE_HOME", ".local/state"),
        directory(place.cache_dir, "XDG_CACHE_HOME", ".cache"),
        std::env::current_exe().unwrap_or_else(|_| "stack-e2e".into()),
    );
    let Some(build) = build else { return settings };
    // A Helm that the user has is as good as ours.
    if let Some(helm) = on_path("helm") {
        settings.binaries.insert("helm".into(), helm);
    }
    for (component, variable) in testbed::binary_variables() {
        if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
            settings.binaries.insert(component.to_owned(), absolute(path.into()));
        }
    }
    settings.binaries.extend(build.binaries.into_iter().map(|(component, path)| (component, absolute(path))));
    settings.kubebuilder_assets = build.kubebuilder_assets.map(absolute);
    settings.go = build.go;
    settings
}

/// The components run in another directory, so every path must stand by itself.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// One line of data on stdout. A reader that went away is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// One line about what goes on, on stderr.
fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn report(error: &TestbedError) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    note(&format!("{text}\nhint: {}", error.hint()));
}

fn show_status(status: &Status) {
    let Some(testbed) = &status.testbed else {
        say(&format!("no testbed in {}", status.state_dir.display()));
        return;
    };
    let TestbedInfo { kubeconfig, admin_kubeconfig, server, namespace_pid, .. } = testbed;
    say(&format!("server            {server}"));
    say(&format!("kubeconfig        {}", kubeconfig.display()));
    say(&format!("admin kubeconfig  {}", admin_kubeconfig.display()));
    say(&match namespace_pid {
        Some(pid) => {
            format!("network           its own (kept by process {pid}); `stack-e2e testbed exec` enters it")
        }
        None => "network           that of this machine".to_owned(),
    });
    if !status.start_finished {
        say("start             not finished: it goes on, or was cut short");
    }
    say("");
    for component in &status.components {
        let ComponentStatus { name, pid, port, alive, ready, .. } = component;
        let word = match (alive, ready) {
            (false, _) if pid.is_none() => "not started",
            (false, _) => "dead",
            (true, Some(true)) => "ready",
            (true, Some(false)) => "not ready",
            (true, None) => "alive",
        };
        let number = |number: Option<String>| number.unwrap_or_else(|| "-".into());
        say(&format!(
            "{name:<24} {word:<12} process {:<8} port {}",
            number(pid.map(|pid| pid.to_string())),
            number(port.map(|port| port.to_string()))
        ));
    }
    for component in &status.components {
        if let Some(tail) = &component.tail {
            say(&format!("\nthe end of {}:\n{tail}", component.log.display()));
        }
    }
}

/// Progress on stderr: a bar for builds on a terminal, lines otherwise.
struct Screen {
    terminal: bool,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Screen {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), bar: None, last_line: Instant::now() }
    }

    /// The bar is drawn when something is told, never by a thread: entering a namespace needs a process of one thread.
    fn bar(&mut self) -> Option<&ProgressBar> {
        self.terminal.then(|| {
            self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template("[{pos}/{len}] {wide_msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar
            }) as &ProgressBar
        })
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn show(&mut self, told: Progress) {
        match told {
            Progress::Waiting { what, holder } => self.line(&format!("waiting for {what} ({holder})")),
            Progress::Building { component, position, of, elapsed, doing, left } => {
                let rest = if left.is_empty() { String::new() } else { format!("; then {}", left.join(", ")) };
                let text = format!("building {component}, {} so far {doing}", show_duration(elapsed));
                if let Some(bar) = self.bar() {
                    bar.set_length(of as u64);
                    bar.set_position(position as u64 - 1);
                    bar.set_message(format!("{text}{rest}"));
                } else if elapsed < Duration::from_millis(100) || self.last_line.elapsed() >= PLAIN_TICK {
                    self.last_line = Instant::now();
                    note(&format!("[{position}/{of}] {}{rest}", text.trim_end()));
                }
            }
            Progress::Built { component, position, of, took } => {
                self.line(&format!("[{position}/{of}] built {component} in {}", show_duration(took)));
                if let Some(bar) = self.bar.take_if(|_| position == of) {
                    bar.finish_and_clear();
                }
            }
            Progress::Ready { part, took } => self.line(&format!("{:>6.1} s  {part}", took.as_secs_f64())),
            Progress::Crashed { component, tail } => self.line(&format!(
                "`{component}` of the earlier start is dead; the rest is stopped, and all starts afresh. The end of its log:\n{tail}"
            )),
            Progress::Stopped { component, took } => {
                self.line(&format!("{:>6.1} s  stopped {component}", took.as_secs_f64()));
            }
            Progress::Warning { text } => self.line(&format!("warning: {text}")),
        }
    }
}
