//! From scenario files to a plan: what `validate`, `list`, `plan` and `run` have in common.

use super::exit::Exit;
use super::release::AccessArgs;
use super::{changed, estimate, owner, published, screen, testbed};
use crate::check::{CHECKS, GROUPS};
use crate::matrix::{self, Matrix, Selection, Shard};
use crate::plan::cost::Capacity;
use crate::plan::{self, KnownCheck, Plan, PlanOptions};
use crate::provider::manifest;
use crate::scenario::{self, Known, Problem, Problems, Scenario, Span, StackSelector};
use crate::stack::{self, Stack};
use crate::testbed::Settings;
use crate::types::{
    CheckName, CombinationId, KubernetesMinor, Namespace, ProviderKind, RunId, SwitchName, ValueName,
    parse_duration,
};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// Scenario files.
#[derive(Debug, Clone, Args)]
pub(super) struct FileArgs {
    /// Scenario files, or directories with them
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
}

/// What scenario files may reach.
#[derive(Debug, Clone, Args)]
pub(super) struct TrustArgs {
    /// Let scenario files refer to this environment variable as ${NAME}; never for files of strangers
    #[arg(long, value_name = "NAME")]
    allow_env: Vec<String>,
    /// Refuse stacks outside this directory
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// With --root: let scenario files name releases on other machines whose place starts so, e.g. oci://host/kaas/
    #[arg(long, value_name = "START")]
    allow_from: Vec<String>,
}

impl TrustArgs {
    /// As words of a command line.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for name in &self.allow_env {
            words.extend(["--allow-env".to_owned(), name.clone()]);
        }
        if let Some(root) = &self.root {
            words.extend(["--root".to_owned(), root.display().to_string()]);
        }
        for start in &self.allow_from {
            words.extend(["--allow-from".to_owned(), start.clone()]);
        }
        words
    }
}

/// Which combinations.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SelectArgs {
    /// Only combinations with these switch values; several values of one switch are alternatives
    #[arg(long = "where", value_name = "SWITCH=VALUE,...", value_delimiter = ',', value_parser = parse_where)]
    wanted: Vec<(SwitchName, ValueName)>,
    /// Only the combinations with these ids, or starts of ids
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// Only the combinations that what has changed since this commit, branch or tag can affect: scenario files, stacks and
    /// what links in them lead to
    #[arg(long, value_name = "REV")]
    changed_since: Option<String>,
    /// Of those only so many that every tuple of values which the change can touch is in one of them
    #[arg(long, requires = "changed_since")]
    affected: bool,
    /// Only one part of the whole, e.g. 2/4
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    pub(super) cover: CoverArgs,
}

/// How covering arrays are made.
#[derive(Debug, Clone, Args)]
pub(super) struct CoverArgs {
    /// Keep what can be kept of the combinations of this earlier plan, as `plan --format json` writes it and a run
    /// keeps it
    #[arg(long, value_name = "PLAN")]
    pub(super) since: Option<PathBuf>,
    /// How long to search for a smaller covering array, in steps of about a microsecond
    #[arg(long, value_name = "STEPS", default_value_t = matrix::DEFAULT_STEPS)]
    effort: u64,
    /// How many more combinations than the fewest a covering array may have if all of it is done sooner then
    #[arg(long, value_name = "N", default_value_t = 0)]
    slack: usize,
    /// Another seed gives another covering array
    #[arg(long, value_name = "N", default_value_t = matrix::DEFAULT_SEED)]
    seed: u64,
}

impl Default for CoverArgs {
    fn default() -> Self {
        Self { since: None, effort: matrix::DEFAULT_STEPS, slack: 0, seed: matrix::DEFAULT_SEED }
    }
}

impl CoverArgs {
    /// As words of a command line.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(file) = &self.since {
            words.extend(["--since".to_owned(), file.display().to_string()]);
        }
        if self.effort != matrix::DEFAULT_STEPS {
            words.extend(["--effort".to_owned(), self.effort.to_string()]);
        }
        if self.slack != 0 {
            words.extend(["--slack".to_owned(), self.slack.to_string()]);
        }
        if self.seed != matrix::DEFAULT_SEED {
            words.extend(["--seed".to_owned(), self.seed.to_string()]);
        }
        words
    }

    /// The earlier plan, if one is given.
    pub(super) fn earlier(&self) -> Result<Option<Plan>, Exit> {
        let Some(file) = &self.since else { return Ok(None) };
        let hint = "write one with `stack-e2e plan FILE --format json`, or name the plan.json of a run";
        let refuse = |why: String| {
            screen::complain(&format!("`{}` cannot be read as a plan: {why}", file.display()), hint);
            Exit::BadInput
        };
        let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| refuse(error.to_string()))
    }
}

/// How to plan.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanningArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// How many clusters may exist at once [default: all]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) concurrency: Option<u16>,
    /// How much there is of what clusters take, e.g. cores=200,instances=20 [default: no limit]
    #[arg(long, value_name = "RESOURCE=N,...")]
    pub(super) capacity: Vec<Capacity>,
    /// What earlier runs took, for better estimates; `run` adds to it
    #[arg(long, value_name = "FILE", env = "STACK_E2E_HISTORY")]
    pub(super) history: Option<PathBuf>,
    /// How long `sweep` leaves the objects of the run alone while nobody can tell whether the run still lives
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "12h")]
    pub(super) keep: Duration,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}

fn parse_where(text: &str) -> Result<(SwitchName, ValueName), String> {
    let (switch, value) = text.split_once('=').ok_or("it has the form SWITCH=VALUE")?;
    let switch = switch.parse().map_err(|error: crate::types::NameError| error.to_string())?;
    let value = value.parse().map_err(|error: crate::types::NameError| error.to_string())?;
    Ok((switch, value))
}

/// Shows problems of input; nothing has been touched.
pub(super) fn refuse(problems: &Problems) -> Exit {
    screen::note(&problems.render(screen::colour()));
    screen::zuul(&crate::report::zuul::problems(problems));
    Exit::BadInput
}

/// Every check, once with each of its groups.
pub(super) fn grouped_checks() -> Vec<(&'static str, &'static str)> {
    CHECKS.iter().flat_map(|check| check.groups.iter().map(|group| (check.name, *group))).collect()
}

/// Reads and checks the files.
pub(super) fn load(args: &FileArgs) -> Result<Vec<Scenario>, Exit> {
    with_known(&args.trust, |known| scenario::load(&args.files, known).map_err(|problems| refuse(&problems)))
}

/// What scenario files may reach, for whoever reads them.
pub(super) fn with_known<T>(trust: &TrustArgs, read: impl FnOnce(&Known<'_>) -> T) -> T {
    let checks = grouped_checks();
    #[expect(clippy::disallowed_methods, reason = "`cli` is where the environment is read")]
    let environment: BTreeMap<String, String> =
        trust.allow_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
    let (root, places) = (trust.root.clone(), trust.allow_from.clone());
    let known = Known { checks: &checks, environment, root, places };
    debug_assert!(GROUPS.iter().all(|(group, _)| checks.iter().any(|(_, known)| known == group)));
    read(&known)
}

/// Multiplies the files out and keeps what is asked for.
pub(super) fn select(scenarios: &[Scenario], args: &SelectArgs) -> Result<Matrix, Exit> {
    chosen(expanded(scenarios, args, &Capacity::default())?, args, BTreeMap::new())
}

/// All combinations; of the smallest covering arrays those that are done soonest under the limits. Prices come from the table and
/// not from history: the same file and limits give the same combinations, whatever has run before.
fn expanded(scenarios: &[Scenario], args: &SelectArgs, capacity: &Capacity) -> Result<Matrix, Exit> {
    let earlier = args.cover.earlier()?.map(|plan| plan.rows()).unwrap_or_default();
    let capacities: Vec<u64> = capacity.limits().map(|(_, amount)| amount).collect();
    let price =
        |scenario: &Scenario, combination: &matrix::Combination| plan::price(scenario, combination, capacity);
    let effort = matrix::Effort {
        steps: args.cover.effort,
        seed: args.cover.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        price: Some(&price),
        capacities: &capacities,
        slack: args.cover.slack,
    };
    matrix::expand(scenarios, &earlier, effort).map_err(|problems| refuse(&problems))
}

/// What is asked for of all combinations.
fn chosen(
    matrix: Matrix,
    args: &SelectArgs,
    unaffected: BTreeMap<CombinationId, String>,
) -> Result<Matrix, Exit> {
    let spared = unaffected.len();
    let selection = Selection { wanted: args.wanted.clone(), only: args.only.clone(), unaffected };
    let matrix = matrix::select(matrix, &selection).map_err(|error| {
        screen::error(&error, Some("`stack-e2e plan FILE` shows all combinations"));
        Exit::BadInput
    })?;
    if matrix.combinations.is_empty() {
        if let (Some(revision), true) = (&args.changed_since, spared > 0) {
            screen::complain(
                &format!("no combination is affected by what has changed since {revision}"),
                "without `--changed-since` all of them are planned",
            );
            return Err(Exit::NothingSelected);
        }
        return Err(nothing_selected());
    }
    Ok(matrix)
}

fn nothing_selected() -> Exit {
    let hint = "`stack-e2e plan FILE` shows all of them, with their values";
    screen::complain("no combination is selected", hint);
    Exit::NothingSelected
}

/// Renders stacks, several charts at once, and keeps what they rendered to.
pub(super) struct Renderer {
    helm: PathBuf,
    cache: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Renderer {
    /// With the Helm of these settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, Exit> {
        let helm = testbed::helm(settings).map_err(|error| Exit::testbed(&error))?;
        Ok(Self { helm, cache: settings.cache_dir.join("rendered"), runtime: runtime()? })
    }

    /// Renders some minors of a stack.
    pub(super) fn render(
        &self,
        source: &stack::StackSource,
        minors: &[KubernetesMinor],
    ) -> Result<Stack, stack::StackError> {
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        let helm = stack::Helm { program: &self.helm, cache: Some(&self.cache), parallel };
        self.runtime.block_on(stack::render_with(source, helm, minors))
    }
}

/// Renders the stacks of the scenarios, the wanted minors of each.
pub(super) fn stacks(
    scenarios: &[Scenario],
    wanted: &dyn Fn(&Scenario) -> BTreeSet<KubernetesMinor>,
    settings: &Settings,
    access: &AccessArgs,
) -> Result<BTreeMap<String, Stack>, Exit> {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario.stack.provider != ProviderKind::Scripted) {
        for (part, selector, at) in parts(scenario) {
            let from = published::From { scenario, selector, at };
            let (directory, root) = match published::folder(&from, &wanted(scenario), access, settings)? {
                Ok(Some(unpacked)) => (unpacked, None),
                Ok(None) => (selector.directory.clone(), selector.root.as_deref()),
                Err(wrong) => {
                    problems.extend(wrong);
                    continue;
                }
            };
            match stack::find(&directory, root, selector.provider, &selector.name) {
                Ok(source) => {
                    if source.name != selector.name || source.provider != selector.provider {
                        let found = format!("{}-{}", source.provider, source.name);
                        let message = format!("the directory holds the stack `{found}`");
                        problems.push(scenario.problem(at, message).hint("name the stack that it holds"));
                    }
                    sources.push((part, scenario, at, source));
                }
                Err(error) => problems.push(scenario.problem(at, error.to_string())),
            }
        }
    }
    if !problems.is_empty() {
        return Err(refuse(&Problems(problems)));
    }
    let mut stacks: BTreeMap<String, Stack> = BTreeMap::new();
    if sources.is_empty() {
        return Ok(stacks);
    }
    let renderer = Renderer::new(settings)?;
    for (part, scenario, at, source) in sources {
        let has: Vec<_> = source.minors().collect();
        // What the stack does not have is reported at its place by the plan.
        let wanted: Vec<_> = wanted(scenario).into_iter().filter(|m| has.contains(m)).collect();
        match (renderer.render(&source, &wanted), stacks.get_mut(scenario.name.as_str()), part) {
            (Ok(stack), _, Part::Own) => {
                stacks.insert(scenario.name.to_string(), stack);
            }
            (Ok(later), Some(stack), Part::Next) => stack.next = later.releases,
            (Ok(other), Some(stack), Part::Other) => stack.other = other.releases,
            // The stack itself cannot be rendered, which has been said.
            (Ok(_), None, Part::Next | Part::Other) => {}
            (Err(error), ..) => {
                let problem = scenario.problem(at, error.to_string());
                problems.push(problem.hint("`helm template` on the `cluster-class` folder shows the same"));
            }
        }
    }
    if problems.is_empty() { Ok(stacks) } else { Err(refuse(&Problems(problems))) }
}

/// Which of a scenario's stacks.
#[derive(Debug, Clone, Copy)]
enum Part {
    Own,
    Next,
    Other,
}

/// All stacks of a scenario, its own first, each with its place.
fn parts(scenario: &Scenario) -> Vec<(Part, &StackSelector, Span)> {
    let (stack, positions) = (&scenario.stack, &scenario.positions);
    let mut parts = vec![(Part::Own, stack, positions.directory)];
    parts.extend(stack.next.as_deref().map(|next| (Part::Next, next, positions.next)));
    parts.extend(stack.other.as_deref().map(|other| (Part::Other, other, positions.other)));
    parts
}

/// A runtime for a run: what is observed must not wait while the dispatcher, which stays on the calling thread, waits
/// for the disk. To be made only after the network of the testbed has been entered, because from here on the process
/// has several threads.
pub(super) fn run_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    made(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build())
}

/// A runtime of the one thread that the program has.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    made(tokio::runtime::Builder::new_current_thread().enable_all().build())
}

fn made(runtime: std::io::Result<tokio::runtime::Runtime>) -> Result<tokio::runtime::Runtime, Exit> {
    runtime.map_err(|error| {
        screen::error(&error, Some("this is about the machine: file descriptors, memory"));
        Exit::Infrastructure
    })
}

/// How a plan is going to be carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct CarryOut {
    /// Whether clusters of failed units are kept.
    pub(super) keep_on_failure: bool,
    /// Whether a management cluster is named.
    pub(super) kubeconfig: bool,
}

/// Files -> plan and what it is of, with the warnings shown. Without `carry_out` it is only looked at.
pub(super) fn plan(
    files: &FileArgs,
    args: &PlanningArgs,
    settings: &Settings,
    carry_out: Option<CarryOut>,
) -> Result<(Plan, Vec<Scenario>), Exit> {
    let scenarios = load(files)?;
    let capacity = args.capacity.iter().fold(Capacity::default(), Capacity::and);
    let matrix = expanded(&scenarios, &args.select, &capacity)?;
    let unaffected = match &args.select.changed_since {
        None => BTreeMap::new(),
        Some(revision) => {
            let options = &options(args, carry_out)?;
            let since = changed::Since { revision, files, settings, options };
            let mut unaffected = changed::unaffected(&scenarios, &matrix, &since)?;
            if args.select.affected {
                matrix::spare_more(&scenarios, &matrix, &mut unaffected);
            }
            unaffected
        }
    };
    let matrix = chosen(matrix, &args.select, unaffected)?;
    Ok((plan_of(&scenarios, &matrix, args, settings, carry_out)?, scenarios))
}

/// Scenarios and what is to run of them -> plan, with the warnings shown.
pub(super) fn plan_of(
    scenarios: &[Scenario],
    matrix: &Matrix,
    args: &PlanningArgs,
    settings: &Settings,
    carry_out: Option<CarryOut>,
) -> Result<Plan, Exit> {
    if carry_out.is_some_and(|how| !how.kubeconfig) {
        unmanaged(scenarios)?;
    }
    let minors = |scenario: &Scenario| plan::minors(scenario, matrix);
    let stacks = stacks(scenarios, &minors, settings, &args.access)?;
    let options = options(args, carry_out)?;
    let shard = args.select.shard;
    let whole = built(scenarios, matrix, &stacks, args, &options, shard.is_none())?;
    let Some(shard) = shard else { return Ok(whole) };
    // A part of the whole is what Zuul's shard of that number would run: all of them know what all of it takes.
    let dealt: BTreeMap<&CombinationId, u32> =
        whole.dealt(shard.parts().1).into_iter().map(|(number, id)| (id, number)).collect();
    let matrix = matrix::one_shard(matrix.clone(), shard, |id| dealt.get(id).copied().unwrap_or(1));
    if matrix.combinations.is_empty() {
        return Err(nothing_selected());
    }
    built(scenarios, &matrix, &stacks, args, &options, true)
}

/// The plan with its timetable; `told`: with its warnings on the screen.
fn built(
    scenarios: &[Scenario],
    matrix: &Matrix,
    stacks: &BTreeMap<String, Stack>,
    args: &PlanningArgs,
    options: &PlanOptions,
    told: bool,
) -> Result<Plan, Exit> {
    let (plan, warnings): (Plan, Vec<Problem>) =
        plan::build(scenarios, matrix, stacks, options).map_err(|problems| refuse(&problems))?;
    for warning in warnings.iter().filter(|_| told) {
        screen::note(&warning.render_warning(screen::colour()));
    }
    estimate::scheduled(plan, args)
}

/// What `run` says where a provider needs a management cluster and none is named.
pub(super) const NAME_ONE: &str =
    "name the management cluster, which has the provider's controllers, with `--kubeconfig FILE`";

/// Refuses scenarios whose provider's controllers the testbed does not have.
fn unmanaged(scenarios: &[Scenario]) -> Result<(), Exit> {
    let refused = |scenario: &Scenario| {
        let provider = scenario.stack.provider;
        let message = format!("the testbed makes no clusters with the provider `{provider}`");
        provider
            .needs_kubeconfig()
            .then(|| scenario.problem(scenario.positions.provider, message).hint(NAME_ONE))
    };
    let problems: Vec<Problem> = scenarios.iter().filter_map(refused).collect();
    if problems.is_empty() { Ok(()) } else { Err(refuse(&Problems(problems))) }
}

/// Everything that is decided outside of planning.
fn options(args: &PlanningArgs, carry_out: Option<CarryOut>) -> Result<PlanOptions, Exit> {
    let (run, namespace) = new_run()?;
    Ok(PlanOptions {
        run,
        namespace,
        now: jiff::Timestamp::now(),
        keep: args.keep,
        owner: owner::this_process(),
        concurrency: args.concurrency.map(usize::from),
        shard: args.select.shard.map(Shard::parts),
        keep_on_failure: carry_out.is_some_and(|how| how.keep_on_failure),
        checks: known_checks(),
    })
}

/// A new run and its namespace.
pub(super) fn new_run() -> Result<(RunId, Namespace), Exit> {
    let run = RunId::from_uuid_v7(*uuid::Uuid::now_v7().as_bytes());
    match manifest::namespace_name(&run) {
        Some(namespace) => Ok((run, namespace)),
        None => {
            screen::complain("no namespace can be named after the run", "this is a defect of stack-e2e");
            Err(Exit::Infrastructure)
        }
    }
}

fn known_checks() -> Vec<KnownCheck> {
    let known = |check: &crate::check::Check| {
        Some(KnownCheck {
            name: CheckName::new(check.name).ok()?,
            groups: check.groups.iter().map(|group| (*group).to_owned()).collect(),
            repeats: check.repeats,
            after_change_only: check.after_change_only,
        })
    };
    CHECKS.iter().filter_map(known).collect()
}

/// The hash of the content of a scenario's release, from its stack.
pub(super) fn digest(
    scenario: &Scenario,
    minor: KubernetesMinor,
    release: &str,
    settings: &Settings,
    access: &AccessArgs,
) -> Result<String, Exit> {
    if scenario.stack.provider == ProviderKind::Scripted {
        return Ok(plan::digest(None, release));
    }
    let stacks = stacks(std::slice::from_ref(scenario), &|_| [minor].into(), settings, access)?;
    let rendered = stacks.get(scenario.name.as_str()).and_then(|stack| stack.release(minor));
    match rendered {
        Some(rendered) if rendered.class == release => Ok(plan::digest(Some(rendered), release)),
        other => {
            let has = other.map_or_else(|| "nothing for that minor".to_owned(), |found| found.class.clone());
            let directory = scenario.stack.directory.display();
            screen::complain(
                &format!("the stack in `{directory}` is not at {release}: it renders {has}"),
                "check that release out, or give the hash of its content with `--digest`",
            );
            Err(Exit::BadInput)
        }
    }
}
