//! `stack-e2e run`

use super::bisect;
use super::clouds;
use super::commands::{self, Commands};
use super::estimate;
use super::exit::Exit;
use super::inputs::{self, FileArgs, PlanningArgs, TrustArgs};
use super::owner;
use super::preflight;
use super::screen::{self, RunScreen};
use super::sweep_cloud;
use super::testbed::RunTestbedArgs;
use super::users::TestbedUse;
use crate::cluster::Api;
use crate::event::{Cleanliness, Event};
use crate::plan::{Again, Plan, PlannedRun};
use crate::provider::capi::Capi;
use crate::provider::clouds::CloudEntry;
use crate::provider::project::{self, Project};
use crate::provider::scripted::{Ledger, Script, Scripted};
use crate::report::terminal::{SummaryContext, summary};
use crate::results::{JOURNAL_FILE, Journal, JournalError, RunReport, UnitReport, write_atomically};
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

/// Where runs are kept unless somebody says otherwise.
pub(super) const DEFAULT_OUTPUT: &str = ".stack-e2e";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files, or directories with them
    #[arg(required_unless_present_any = ["resume", "rerun_failed"], value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    #[command(flatten)]
    pub(super) planning: PlanningArgs,
    /// Finish a run that was killed or interrupted: tear down what it left, then do what it has not done
    #[arg(long, value_name = "RUN", conflicts_with_all = ["files", "rerun_failed", "allow_env", "root",
          "wanted", "only", "shard", "changed_since", "concurrency", "capacity", "keep", "keep_on_failure"])]
    resume: Option<RunId>,
    /// Do again what did not pass in an earlier run, exactly as it was planned, as a new run; `report` takes both
    #[arg(long, value_name = "RUN", conflicts_with_all = ["files", "allow_env", "root", "wanted", "shard",
          "changed_since"])]
    rerun_failed: Option<RunId>,
    /// Run combinations that tell apart which switch values the failures of these earlier runs come from
    #[arg(long, value_name = "RUN,...", value_delimiter = ',', conflicts_with_all = ["resume", "rerun_failed",
          "wanted", "only", "shard", "since", "changed_since"])]
    bisect: Vec<RunId>,
    /// How many combinations `--bisect` runs at most
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    further: u8,
    /// Keep the clusters of failed combinations, and say how to go on with them
    #[arg(long)]
    keep_on_failure: bool,
    /// Where runs keep journal, reports and evidence: a directory for each run below it
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUTPUT, env = "STACK_E2E_OUTPUT")]
    pub(super) output: PathBuf,
    /// Write the JUnit report to this file as well
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
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
    pub(super) kubeconfig: Option<PathBuf>,
    /// The clouds.yaml with the cloud that the scenarios name under `credentials`
    #[arg(long, value_name = "FILE", env = "OS_CLIENT_CONFIG_FILE")]
    pub(super) clouds: Option<PathBuf>,
    /// Leave the testbed running that this run has started
    #[arg(long)]
    pub(super) keep_testbed: bool,
    #[command(flatten)]
    pub(super) testbed: RunTestbedArgs,
    #[command(flatten)]
    pub(super) scripted: ScriptedArgs,
}

/// The shipped double.
#[derive(Debug, Args)]
pub(super) struct ScriptedArgs {
    /// What the clusters of the provider `scripted` do (JSON)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) script: Option<PathBuf>,
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
    commands: Commands,
    resumed: Option<(Journal, Vec<Event>)>,
    script: Script,
    cloud: Option<CloudEntry>,
}

fn prepare(args: &RunArgs) -> Result<Prepared, Exit> {
    // Hours later it would be too late to find out.
    let place = args.junit.as_ref().and_then(|file| file.parent());
    if let Some(place) = place.filter(|place| !place.as_os_str().is_empty() && !place.is_dir()) {
        let hint = "`--junit FILE` names a file in a directory that exists";
        screen::complain(&format!("`{}` is no directory", place.display()), hint);
        return Err(Exit::BadInput);
    }
    let script = script(args.scripted.script.as_deref())?;
    if let Some(run) = &args.resume {
        return resume(args, run, script);
    }
    let (plan, earlier) = match &args.rerun_failed {
        Some(run) => (rerun_failed(args, run)?, Commands::read(&run_directory(&args.output, run))),
        None => {
            let files = FileArgs { files: args.files.clone(), trust: args.trust.clone() };
            let settings = args.testbed.settings();
            let how = inputs::CarryOut {
                keep_on_failure: args.keep_on_failure,
                kubeconfig: args.kubeconfig.is_some(),
            };
            let plan = if args.bisect.is_empty() {
                inputs::plan(&files, &args.planning, &settings, Some(how))?.0
            } else {
                let scenarios = inputs::load(&files)?;
                let matrix = bisect::further(&scenarios, &args.output, &args.bisect, args.further.into())?;
                inputs::plan_of(&scenarios, &matrix, &args.planning, &settings, Some(how))?
            };
            (plan, None)
        }
    };
    let cloud = clouds::entry(&plan, args.clouds.as_deref())?;
    let plan = within_cloud(args, plan)?;
    let directory = run_directory(&args.output, &plan.run);
    let commands = Commands::new(args, &plan).after(earlier);
    lay_down(&directory, &plan, &commands)?;
    Ok(Prepared { plan, directory, commands, resumed: None, script, cloud })
}

/// The plan within what is left of the quotas of the cloud that its clusters are made in: as `plan --cloud` has it.
fn within_cloud(args: &RunArgs, plan: Plan) -> Result<Plan, Exit> {
    let Some(client) = clouds::client(&plan, args.clouds.as_deref())? else {
        if plan.provider == ProviderKind::Openstack {
            screen::note(
                "warning: the scenarios name no cloud under `credentials`: what there is was not asked for, and what is left in it will not be",
            );
        }
        return Ok(plan);
    };
    if !project::is_marked(&plan) {
        screen::note(
            "warning: the Cluster Stack Operator brings the templates, so what is made in the cloud carries no mark; `sweep --cloud` knows it by the names of the clusters only",
        );
    }
    match preflight::within(&client, &plan)? {
        Some(limits) => {
            estimate::scheduled(plan, &PlanningArgs { capacity: vec![limits], ..args.planning.clone() })
        }
        None => Ok(plan),
    }
}

/// The plan and the journal of a run that ended early.
fn resume(args: &RunArgs, run: &RunId, script: Script) -> Result<Prepared, Exit> {
    let directory = run_directory(&args.output, run);
    let mut plan = read_plan(&directory).map_err(|why| {
        screen::complain(
            &format!("run {run} cannot be resumed: {why}"),
            "`--output` names the directory where runs are kept; `stack-e2e sweep` works without it",
        );
        Exit::BadInput
    })?;
    managed(args, &plan)?;
    let cloud = clouds::entry(&plan, args.clouds.as_deref())?;
    // Killed before its first line: there is nothing to continue, so it begins.
    let resumed = if directory.join(JOURNAL_FILE).exists() {
        let (journal, events, torn) = Journal::reopen(&directory).map_err(|error| {
            if let JournalError::Locked { .. } = error {
                let hint = "wait until it has ended, or end it: SIGINT tears down, SIGTERM hands over";
                screen::error(&error, Some(hint));
                return Exit::BadInput;
            }
            screen::error(&error, Some("`stack-e2e sweep` finds what a run has left without its journal"));
            Exit::Infrastructure
        })?;
        if let Some(torn) = torn {
            tracing::info!(?torn, "the last line of the journal was torn");
        }
        Some((journal, events))
    } else {
        None
    };
    // From now on this process answers for it; a sweep must not take it for that of a dead one.
    plan.owner = owner::this_process();
    let commands = Commands::new(args, &plan).after(Commands::read(&directory));
    lay_down(&directory, &plan, &commands)?;
    Ok(Prepared { plan, directory, commands, resumed, script, cloud })
}

/// Refuses a plan for which a management cluster must be named, and none is.
fn managed(args: &RunArgs, plan: &Plan) -> Result<(), Exit> {
    if plan.provider.needs_kubeconfig() && args.kubeconfig.is_none() {
        let message = format!("the testbed makes no clusters with the provider `{}`", plan.provider);
        screen::complain(&message, inputs::NAME_ONE);
        return Err(Exit::BadInput);
    }
    Ok(())
}

/// What did not pass in an earlier run, as the plan of a new one.
fn rerun_failed(args: &RunArgs, run: &RunId) -> Result<Plan, Exit> {
    let directory = run_directory(&args.output, run);
    let refuse = |why: String| {
        screen::complain(
            &format!("run {run} cannot be done again: {why}"),
            "`--output` names the directory where runs are kept",
        );
        Exit::BadInput
    };
    let plan = read_plan(&directory).map_err(refuse)?;
    managed(args, &plan)?;
    if owner::life(&plan.owner) == owner::Life::Alive {
        return Err(refuse("it has not ended yet".into()));
    }
    let report = super::report::read(&directory).map_err(refuse)?;
    if matches!(report.clean, Cleanliness::Left { .. } | Cleanliness::Unknown { .. }) {
        screen::note(&format!("warning: run {run} was not proven clean; `stack-e2e sweep` looks after it"));
    }
    let bad: Vec<&str> = report
        .units
        .iter()
        .filter(|unit| unit.verdict().is_bad())
        .map(|unit| unit.info.id.as_str())
        .collect();
    let only = &args.planning.select.only;
    let wanted = |planned: &PlannedRun| {
        let id = planned.id.as_str();
        bad.contains(&id) && (only.is_empty() || only.iter().any(|start| id.starts_with(start.as_str())))
    };
    if !plan.runs.iter().any(wanted) {
        screen::complain(
            &format!("no combination of run {run} is to be done again"),
            "those that passed are not; `stack-e2e report RUN_DIR` shows all",
        );
        return Err(Exit::NothingSelected);
    }
    let (new, namespace) = inputs::new_run()?;
    let again = Again {
        run: new,
        namespace,
        now: jiff::Timestamp::now(),
        keep: args.planning.keep,
        owner: owner::this_process(),
        concurrency: args.planning.concurrency.map(usize::from),
        keep_on_failure: args.keep_on_failure,
    };
    let plan = plan.again(wanted, again).ok_or_else(|| {
        screen::complain("a cluster cannot be named after the run", "this is a defect of stack-e2e");
        Exit::Infrastructure
    })?;
    let asked = !args.planning.capacity.is_empty() || args.planning.history.is_some();
    if asked { estimate::scheduled(plan, &args.planning) } else { Ok(plan) }
}

/// What a later process needs to go on lies in the run's directory before anything is done.
fn lay_down(directory: &Path, plan: &Plan, commands: &Commands) -> Result<(), Exit> {
    write_plan(directory, plan).and_then(|()| commands.write(directory)).map_err(|error| {
        screen::complain(
            &format!("`{}` cannot be written: {error}", directory.display()),
            "choose another place with `--output DIR`",
        );
        Exit::BadInput
    })
}

const PLAN_FILE: &str = "plan.json";

/// The plan lies beside the journal before anything is done: it is what `--resume` carries out.
fn write_plan(directory: &Path, plan: &Plan) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    write_atomically(&directory.join(PLAN_FILE), &serde_json::to_vec_pretty(plan)?)
}

pub(super) fn read_plan(directory: &Path) -> Result<Plan, String> {
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
    let Prepared { plan, directory, commands, resumed, script, cloud } = prepared;
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
    let runtime = inputs::run_runtime()?;
    let options = Options {
        directory: directory.clone(),
        resumed,
        deadline: args.deadline,
        teardown_budget: args.teardown_budget,
        redactor: redactor(kubeconfig_of(args, testbed_info.as_ref()), cloud.as_ref()),
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        sweep: commands.sweep.clone(),
    };
    let shown = RunScreen::new(&directory, args.junit.clone(), commands.clone(), args.events, || {
        super::report::recent(&args.output)
    });
    let ended =
        runtime.block_on(drive(args, plan.clone(), options, (script, cloud), testbed_info.as_ref(), shown));
    drop(runtime);
    let kept = ended.as_ref().is_ok_and(|report| report.clean == Cleanliness::Kept);
    let gone =
        testbed_use.is_some_and(|used| used.end(args.keep_testbed || kept, &commands::place_words(args)));
    let report = ended?;
    if let Some(file) = &args.planning.history {
        estimate::learn(file, &report);
    }
    show_summary(&report, &directory, &commands);
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
    options: Options,
    given: (Script, Option<CloudEntry>),
    testbed: Option<&TestbedInfo>,
    mut shown: RunScreen,
) -> Result<RunReport, Exit> {
    let signals = listen().map_err(|error| {
        screen::error(&error, None);
        Exit::Infrastructure
    })?;
    let project = clouds::client(&plan, args.clouds.as_deref())?;
    let project = project.map(|client| Arc::new(Project::new(client, &plan)));
    let world = world(args, &plan, given, testbed, project.clone()).await?;
    let directory = options.directory.clone();
    let ended = crate::run::run(plan, Arc::new(world), options, signals, &mut shown).await;
    if let Some(project) = project {
        sweep_cloud::account(&project, &directory);
    }
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

/// What must never be shown: the keys and tokens of the kubeconfig that the run works with, and of the cloud.
fn redactor(kubeconfig: Option<&Path>, cloud: Option<&CloudEntry>) -> Redactor {
    let mut redactor = Redactor::default();
    for secret in cloud.into_iter().flat_map(|cloud| &cloud.secrets) {
        // One that is too short has been refused with the file.
        let _ = redactor.add(secret);
    }
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
    (script, cloud): (Script, Option<CloudEntry>),
    testbed: Option<&TestbedInfo>,
    project: Option<Arc<Project>>,
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
            let kubectl = format!("stack-e2e testbed{} exec -- kubectl", commands::place_words(args));
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
    let helm = match plan.addons.is_empty() || !plan.operator.is_empty() {
        true => None,
        false => Some(super::testbed::helm(&args.testbed.settings()).map_err(|error| Exit::testbed(&error))?),
    };
    Ok(World::Capi(Box::new(CapiWorld {
        redactor: redactor(Some(&kubeconfig), cloud.as_ref()),
        capi: Capi::start(api, plan.clone()).with_cloud(cloud),
        plan: plan.clone(),
        logs,
        runs_pods: plan.provider != ProviderKind::Embedded,
        helm,
        kubectl,
        project,
    })))
}

/// Signals of the operating system, as the run understands them. A third one ends the process at once.
fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (send, receive) = mpsc::unbounded_channel();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Under `nohup` a run outlives its terminal.
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        let mut hung_up = async move || match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        };
        let mut count = 0;
        loop {
            let heard = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = hung_up() => Signal::Terminate,
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

/// Whether whoever started this process has asked it to live on without its terminal.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn show_summary(report: &RunReport, directory: &Path, commands: &Commands) {
    let rerun = |unit: &UnitReport| commands.again(unit.info.id.as_str());
    let (run_dir, page) = (directory.display().to_string(), directory.join(screen::PAGE_FILE));
    let context = SummaryContext {
        run_dir: &run_dir,
        evidence: &run_dir,
        page: Some(&page.display().to_string()),
        rerun: &rerun,
        resume: &commands.resume,
        bisect: &commands.bisect,
        sweep: &commands.sweep,
        color: screen::colour(),
        width: screen::width(),
    };
    screen::note(&format!("\n{}{}", summary(report, &context), own_cost()));
}
