//! `stack-e2e run`

use super::exit::Exit;
use super::inputs::{self, FileArgs, PlanningArgs, TrustArgs};
use super::screen::{self, RunScreen};
use super::testbed::RunTestbedArgs;
use super::users::TestbedUse;
use crate::cluster::Api;
use crate::event::{Cleanliness, Event};
use crate::plan::Plan;
use crate::provider::capi::Capi;
use crate::provider::scripted::{Ledger, Script, Scripted};
use crate::report::terminal::{SummaryContext, summary};
use crate::results::{Journal, RunReport, UnitReport, write_atomically};
use crate::run::{CapiWorld, Options, Signal, World};
use crate::testbed::{TestbedInfo, controller_logs};
use crate::types::{ProviderKind, Redactor, RunId, Secret, parse_duration};
use clap::Args;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files, or directories with them
    #[arg(required_unless_present = "resume", conflicts_with = "resume", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    /// Finish a run that was killed or interrupted: tear down what it left, then do what it has not done
    #[arg(long, value_name = "RUN")]
    resume: Option<RunId>,
    /// Keep the clusters of failed combinations, and say how to go on with them
    #[arg(long)]
    keep_on_failure: bool,
    /// Where runs keep journal, reports and evidence: a directory for each run below it
    #[arg(long, value_name = "DIR", default_value = ".stack-e2e", env = "STACK_E2E_OUTPUT")]
    output: PathBuf,
    /// Write the JUnit report to this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout
    #[arg(long)]
    events: bool,
    /// Stop after this time: tear everything down and report what is known
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// How long tearing down may take after the first SIGINT or the deadline
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    teardown_budget: Duration,
    /// Use this management cluster instead of the testbed
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Leave the testbed running that this run has started
    #[arg(long)]
    keep_testbed: bool,
    #[command(flatten)]
    testbed: RunTestbedArgs,
    #[command(flatten)]
    scripted: ScriptedArgs,
}

/// The shipped double.
#[derive(Debug, Args)]
pub(super) struct ScriptedArgs {
    /// What the clusters of the provider `scripted` do (JSON)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    script: Option<PathBuf>,
    /// Where the provider `scripted` keeps what exists
    #[arg(long, value_name = "DIR", hide_short_help = true, default_value = ".stack-e2e/scripted")]
    pub(super) ledger: PathBuf,
}

/// The directory of a run.
pub(super) fn run_directory(output: &Path, run: &RunId) -> PathBuf {
    output.join("runs").join(run.as_str())
}

pub(super) fn run(args: RunArgs) -> Exit {
    match prepare(&args).and_then(|prepared| carry_out(&args, prepared)) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// What is to be done, before anything is touched.
struct Prepared {
    plan: Plan,
    directory: PathBuf,
    resumed: Option<(Journal, Vec<Event>)>,
    script: Script,
}

fn prepare(args: &RunArgs) -> Result<Prepared, Exit> {
    let script = script(args.scripted.script.as_deref())?;
    if let Some(run) = &args.resume {
        let directory = run_directory(&args.output, run);
        let plan = read_plan(&directory).map_err(|why| {
            screen::complain(
                &format!("run {run} cannot be resumed: {why}"),
                "`--output` names the directory where runs are kept; `stack-e2e sweep` works without it",
            );
            Exit::BadInput
        })?;
        // Killed before its first line: there is nothing to continue, so it begins.
        if !directory.join(crate::results::JOURNAL_FILE).exists() {
            return Ok(Prepared { plan, directory, resumed: None, script });
        }
        let (journal, events, torn) = Journal::reopen(&directory).map_err(|error| {
            screen::error(&error, Some("`stack-e2e sweep` finds what a run has left without its journal"));
            Exit::Infrastructure
        })?;
        if let Some(torn) = torn {
            tracing::info!(?torn, "the last line of the journal was torn");
        }
        let resumed = if events.is_empty() { None } else { Some((journal, events)) };
        return Ok(Prepared { plan, directory, resumed, script });
    }
    let files = FileArgs { files: args.files.clone(), trust: args.trust.clone() };
    let plan = inputs::plan(&files, &args.planning, &args.testbed.settings(), args.keep_on_failure)?;
    let directory = run_directory(&args.output, &plan.run);
    write_plan(&directory, &plan).map_err(|error| {
        screen::complain(
            &format!("`{}` cannot be written: {error}", directory.display()),
            "choose another place with `--output DIR`",
        );
        Exit::BadInput
    })?;
    Ok(Prepared { plan, directory, resumed: None, script })
}

const PLAN_FILE: &str = "plan.json";

/// The plan lies beside the journal before anything is done: it is what `--resume` carries out.
fn write_plan(directory: &Path, plan: &Plan) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    write_atomically(&directory.join(PLAN_FILE), &serde_json::to_vec_pretty(plan)?)
}

fn read_plan(directory: &Path) -> Result<Plan, String> {
    let file = directory.join(PLAN_FILE);
    let text = std::fs::read(&file).map_err(|error| format!("`{}`: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("`{}`: {error}", file.display()))
}

fn script(file: Option<&Path>) -> Result<Script, Exit> {
    let Some(file) = file else { return Ok(Script::default()) };
    let read = std::fs::read(file).map_err(|error| error.to_string());
    read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string())).map_err(|why| {
        screen::complain(&format!("script `{}`: {why}", file.display()), "fixtures/scripts/ has examples");
        Exit::BadInput
    })
}

fn carry_out(args: &RunArgs, prepared: Prepared) -> Result<Exit, Exit> {
    let Prepared { plan, directory, resumed, script } = prepared;
    let plan = Arc::new(plan);
    // From here on a killed run can be resumed, so its name comes first.
    screen::note(&format!("run {} in {}", plan.run, directory.display()));
    // The testbed first, while this process has one thread: only then it can enter the testbed's network.
    let mut testbed_use = None;
    let mut testbed_info = None;
    if plan.provider == ProviderKind::Embedded && args.kubeconfig.is_none() {
        let (used, info) =
            TestbedUse::begin(args.testbed.settings()).map_err(|error| Exit::testbed(&error))?;
        testbed_use = Some(used);
        testbed_info = Some(info);
    }
    let runtime = inputs::runtime()?;
    let ended =
        runtime.block_on(drive(args, plan.clone(), &directory, resumed, script, testbed_info.as_ref()));
    drop(runtime);
    let kept = ended.as_ref().is_ok_and(|report| report.clean == Cleanliness::Kept);
    let gone =
        testbed_use.is_some_and(|used| used.end(args.keep_testbed || kept, &args.testbed.place_words()));
    let report = ended?;
    show_summary(args, &report, &directory);
    if gone && matches!(report.clean, Cleanliness::Left { .. } | Cleanliness::Unknown { .. }) {
        screen::note(
            "the testbed is gone, and everything that was left with it; `--keep-testbed` keeps both",
        );
    }
    Ok(Exit::Run(report.exit_status()))
}

async fn drive(
    args: &RunArgs,
    plan: Arc<Plan>,
    directory: &Path,
    resumed: Option<(Journal, Vec<Event>)>,
    script: Script,
    testbed: Option<&TestbedInfo>,
) -> Result<RunReport, Exit> {
    let world = world(args, &plan, script, testbed).await?;
    let options = Options {
        directory: directory.to_owned(),
        resumed,
        deadline: args.deadline,
        teardown_budget: args.teardown_budget,
        redactor: redactor(kubeconfig_of(args, testbed)),
        harness: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut junit = vec![directory.join("junit.xml")];
    junit.extend(args.junit.clone());
    let mut shown = RunScreen::new(junit, directory.join("report.json"), args.events);
    let signals = listen().map_err(|error| {
        screen::error(&error, None);
        Exit::Infrastructure
    })?;
    let ended = crate::run::run(plan, Arc::new(world), options, signals, &mut shown).await;
    if let Some(trouble) = shown.finish() {
        screen::note(&format!("warning: {trouble}"));
    }
    let ended = ended.map_err(|error| {
        screen::error(&error, Some("nothing is created without a journal; `--output DIR` chooses its place"));
        Exit::Infrastructure
    })?;
    if let Some(error) = ended.journal_error {
        screen::error(&error, Some("the run was ended early, because nothing is created without a journal"));
    }
    Ok(ended.report)
}

/// What must never be shown: the keys and tokens of the kubeconfig that the run works with.
fn redactor(kubeconfig: Option<&Path>) -> Redactor {
    let mut redactor = Redactor::default();
    let Some(kubeconfig) = kubeconfig.and_then(|file| Kubeconfig::read_from(file).ok()) else {
        return redactor;
    };
    for user in kubeconfig.auth_infos.into_iter().filter_map(|named| named.auth_info) {
        let secrets = [user.token, user.password, user.client_key_data];
        for secret in secrets.into_iter().flatten() {
            // Too short to be told from other text: nobody can hide it, and no real one is that short.
            let _ = redactor.add(&Secret::new(secret.expose_secret()));
        }
    }
    redactor
}

/// The kubeconfig of the management cluster.
fn kubeconfig_of<'a>(args: &'a RunArgs, testbed: Option<&'a TestbedInfo>) -> Option<&'a Path> {
    testbed.map(|testbed| testbed.kubeconfig.as_path()).or(args.kubeconfig.as_deref())
}

async fn world(
    args: &RunArgs,
    plan: &Arc<Plan>,
    script: Script,
    testbed: Option<&TestbedInfo>,
) -> Result<World, Exit> {
    if plan.provider == ProviderKind::Scripted {
        let ledger = Ledger::in_directory(&args.scripted.ledger).map_err(|error| {
            screen::error(&error, Some("`--ledger DIR` chooses another place"));
            Exit::BadInput
        })?;
        return Ok(World::Scripted(Scripted::start(plan.clone(), script, Arc::new(ledger))));
    }
    let (kubeconfig, kubectl, logs) = match (testbed, &args.kubeconfig) {
        (Some(testbed), _) => {
            let kubectl = format!("stack-e2e testbed{} exec -- kubectl", args.testbed.place_words());
            (testbed.kubeconfig.clone(), kubectl, controller_logs(testbed))
        }
        (None, Some(file)) => (file.clone(), format!("kubectl --kubeconfig {}", file.display()), Vec::new()),
        (None, None) => {
            screen::complain("there is no management cluster", "name one with `--kubeconfig FILE`");
            return Err(Exit::BadInput);
        }
    };
    let api = Api::from_file(&kubeconfig).await.map_err(|error| {
        screen::error(&error, Some("`--kubeconfig FILE` names the management cluster"));
        Exit::Infrastructure
    })?;
    Ok(World::Capi(Box::new(CapiWorld {
        capi: Capi::start(api, plan.clone()),
        plan: plan.clone(),
        logs,
        runs_pods: plan.provider != ProviderKind::Embedded,
        kubectl,
        sweep: format!("stack-e2e sweep --run {} --yes{}", plan.run, management_words(args)),
        redactor: redactor(Some(&kubeconfig)),
    })))
}

/// Signals of the operating system, as the run understands them. A third one ends the process at once.
fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (send, receive) = mpsc::unbounded_channel();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            let heard = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = hangup.recv() => Signal::Terminate,
                else => return,
            };
            count += 1;
            if count > 2 {
                #[expect(clippy::disallowed_methods, reason = "the third signal asks for just that")]
                std::process::exit(130);
            }
            if send.send(heard).is_err() {
                return;
            }
        }
    });
    Ok(receive)
}

/// What the harness itself has cost: its children, such as the testbed, are not counted.
fn own_cost() -> String {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return String::new() };
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0))
    };
    let cpu = (seconds(usage.user_time()) + seconds(usage.system_time())).as_secs_f64();
    // Linux counts in KiB.
    format!("stack-e2e itself: {cpu:.1} s of processor time, {} MiB of memory\n", usage.max_rss() / 1024)
}

/// What other commands must be told to find the management cluster of this run.
fn management_words(args: &RunArgs) -> String {
    match &args.kubeconfig {
        Some(file) => format!(" --kubeconfig {}", file.display()),
        None => args.testbed.place_words(),
    }
}

fn show_summary(args: &RunArgs, report: &RunReport, directory: &Path) {
    let place = if args.output == Path::new(".stack-e2e") {
        String::new()
    } else {
        format!(" --output {}", args.output.display())
    };
    let scripted = args.scripted.script.as_ref().map_or(String::new(), |_| {
        format!(" --provider scripted --ledger {}", args.scripted.ledger.display())
    });
    let files: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
    let rerun = |unit: &UnitReport| match files.as_slice() {
        [] => format!("stack-e2e run FILE --only {}", unit.info.id),
        files => format!("stack-e2e run {} --only {}", files.join(" "), unit.info.id),
    };
    let context = SummaryContext {
        run_dir: &directory.display().to_string(),
        rerun: &rerun,
        resume: &format!("stack-e2e run --resume {}{place}{}", report.run, management_words(args)),
        sweep: &format!("stack-e2e sweep --run {} --yes{scripted}{}", report.run, management_words(args)),
        color: screen::colour(),
        width: screen::width(),
    };
    screen::note(&format!("\n{}{}", summary(report, &context), own_cost()));
}
