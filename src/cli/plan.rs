//! `stack-e2e plan`

use super::exit::Exit;
use super::inputs::{self, FileArgs, PlanningArgs};
use super::{cloud, estimate, preflight, rehearse, screen};
use crate::plan::{Difference, Plan, PlannedRun, StepAction};
use crate::report::{self, zuul};
use crate::scenario::Scenario;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    #[command(flatten)]
    testbed: super::testbed::RunTestbedArgs,
    /// Ask this cloud of clouds.yaml whether it can carry the plan out, and plan with what is left of its quotas; `-`: the
    /// one that OS_CLOUD names, or the only one
    #[arg(long, value_name = "NAME")]
    cloud: Option<String>,
    /// The region, when the cloud has several
    #[arg(long, value_name = "REGION", requires = "cloud")]
    region: Option<String>,
    /// Let the management cluster of this kubeconfig judge it: templates and ClusterClasses are made in a namespace that
    /// is removed again, Clusters as a dry run
    #[arg(long, value_name = "FILE")]
    check_with: Option<PathBuf>,
    /// How to show it; json is exactly what `run` would do, zuul is data for zuul_return
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// With `--format zuul`: how many child jobs there are
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100),
          conflicts_with = "shard")]
    shards: u32,
    /// With `--format zuul`: the name of the child jobs, to which the number of the shard is appended
    #[arg(long, value_name = "PREFIX", default_value = "stack-e2e-embedded")]
    jobs: String,
    /// With `--format zuul`: write it to this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Dot,
    Mermaid,
    Svg,
    Zuul,
}

pub(super) fn run(args: &PlanArgs) -> Exit {
    if args.format == Format::Zuul {
        screen::for_zuul(args.to.clone());
    }
    match planned(args) {
        Ok(plan) => {
            screen::data(&match args.format {
                Format::Table => match difference(&plan, &args.planning) {
                    Ok(since) => table(&plan) + &since,
                    Err(exit) => return exit,
                },
                Format::Json => serde_json::to_string_pretty(&plan).unwrap_or_default(),
                Format::Dot => report::dot(&estimate::precedence(&plan)),
                Format::Mermaid => report::mermaid(&estimate::precedence(&plan)),
                Format::Svg => estimate::svg(&plan),
                Format::Zuul => {
                    let dealt = plan.dealt(args.shards).into_iter().map(|(shard, id)| (shard, id.as_str()));
                    screen::zuul(&zuul::shards(&args.jobs, dealt));
                    return Exit::Passed;
                }
            });
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

/// The plan, judged as far as that is wanted: first by a cloud, whose quotas limit it, then by a management cluster.
fn planned(args: &PlanArgs) -> Result<Plan, Exit> {
    let settings = args.testbed.settings();
    let plan = |planning: &PlanningArgs| inputs::plan(&args.files, planning, &settings, None);
    let (plan, scenarios) = within_cloud(args, plan)?;
    if let Some(kubeconfig) = &args.check_with {
        rehearse::check(&plan, &scenarios, kubeconfig)?;
    }
    Ok(plan)
}

/// The plan within what is left of a cloud's quotas, when one is named.
fn within_cloud(
    args: &PlanArgs,
    plan: impl Fn(&PlanningArgs) -> Result<(Plan, Vec<Scenario>), Exit>,
) -> Result<(Plan, Vec<Scenario>), Exit> {
    let (first, scenarios) = plan(&args.planning)?;
    let Some(name) = &args.cloud else { return Ok((first, scenarios)) };
    let client = cloud::connect(name, args.region.as_deref())?;
    let Some(limits) = preflight::within(&client, &first)? else { return Ok((first, scenarios)) };
    plan(&PlanningArgs { capacity: vec![limits], ..args.planning.clone() })
}

/// What is new since the plan that `--since` names.
fn difference(plan: &Plan, args: &PlanningArgs) -> Result<String, Exit> {
    let (cover, file) = (&args.select.cover, &args.select.cover.since);
    let Some((earlier, file)) = cover.earlier()?.zip(file.as_ref()) else { return Ok(String::new()) };
    let Difference { kept, new, gone } = plan.difference(&earlier);
    let (file, kinds) = (file.display(), [("new ", &new), ("gone", &gone)]);
    let mut text =
        format!("\n\nsince {file}: {kept} combinations as they were, {} new, {} gone", new.len(), gone.len());
    for (what, (id, name)) in kinds.iter().flat_map(|(what, list)| list.iter().map(move |one| (what, one))) {
        let _ = write!(text, "\n  {what}  {id}  {name}");
    }
    Ok(text)
}

/// With more switches than that the names of combinations no longer fit on a line: each switch gets a column.
const MAX_NAMED_SWITCHES: usize = 6;

/// One scenario's combinations, or those of several with few switches.
fn combinations(runs: &[&PlannedRun]) -> String {
    let wide = runs.first().filter(|run| run.switches.len() > MAX_NAMED_SWITCHES);
    let count = |run: &PlannedRun, wanted: fn(&StepAction) -> bool| {
        run.steps.iter().filter(|step| wanted(&step.action)).count()
    };
    let steps = |run: &PlannedRun| match &run.refusal {
        Some(_) => "must be refused".to_owned(),
        None => {
            let checks = count(run, |action| matches!(action, StepAction::Check(_)));
            let changes =
                count(run, |action| matches!(action, StepAction::Change(_) | StepAction::Refused { .. }));
            format!("{checks} checks, {changes} changes")
        }
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match wide {
        Some(first) => {
            let pairs = first.pairs();
            let names = pairs.iter().map(|(switch, _)| (*switch).to_owned());
            table.set_header(["ID".to_owned()].into_iter().chain(names).chain(["STEPS".to_owned()]));
            for run in runs {
                let values = run.pairs().into_iter().map(|(_, value)| value.to_owned());
                table.add_row([run.id.to_string()].into_iter().chain(values).chain([steps(run)]));
            }
        }
        None => {
            table.set_header(["ID", "SCENARIO", "COMBINATION", "RELEASE", "VERSION", "CP", "W", "STEPS"]);
            for run in runs {
                table.add_row([
                    run.id.to_string(),
                    run.scenario.clone(),
                    run.name.clone(),
                    run.release.class.clone(),
                    run.release.kubernetes.to_string(),
                    run.control_planes.to_string(),
                    run.workers.to_string(),
                    steps(run),
                ]);
            }
        }
    }
    screen::flush_left(&mut table);
    table.to_string().lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// The plan for people.
fn table(plan: &Plan) -> String {
    let mut text = String::new();
    let wide = |run: &PlannedRun| run.switches.len() > MAX_NAMED_SWITCHES;
    let together = |a: &&PlannedRun, b: &&PlannedRun| a.scenario == b.scenario || !(wide(a) || wide(b));
    let runs: Vec<&PlannedRun> = plan.runs.iter().collect();
    for (index, group) in runs.chunk_by(together).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        if wide(group[0]) {
            let _ = writeln!(text, "scenario {}, stack {}\n", group[0].scenario, group[0].stack);
        }
        text.push_str(&combinations(group));
    }
    let _ = write!(text, "\n{} combinations, at most {} clusters at once", plan.runs.len(), plan.concurrency);
    let covered = report::coverage(&plan.coverage);
    if !covered.is_empty() {
        let _ = write!(text, "\n\n{}", covered.trim_end());
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for left_out in &plan.left_out {
        reasons.entry(&left_out.reason).or_default().push(&left_out.name);
    }
    for (reason, names) in reasons {
        let _ = write!(text, "\n\nleft out ({}): {reason}", names.len());
        for name in names {
            let _ = write!(text, "\n  {name}");
        }
    }
    if let Some(timetable) = &plan.timetable {
        let _ = write!(text, "\n\n{}", timetable.summary());
    }
    text
}
