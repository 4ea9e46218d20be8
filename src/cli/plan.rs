//! `stack-e2e plan`

use super::exit::Exit;
use super::inputs::{self, FileArgs, PlanningArgs};
use super::{estimate, screen};
use crate::plan::{Plan, StepAction};
use crate::report;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    #[command(flatten)]
    testbed: super::testbed::RunTestbedArgs,
    /// How to show it; json is exactly what `run` would do
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
    Dot,
    Mermaid,
    Svg,
}

pub(super) fn run(args: &PlanArgs) -> Exit {
    match inputs::plan(&args.files, &args.planning, &args.testbed.settings(), false) {
        Ok(plan) => {
            screen::data(&match args.format {
                Format::Table => table(&plan),
                Format::Json => serde_json::to_string_pretty(&plan).unwrap_or_default(),
                Format::Dot => report::dot(&estimate::precedence(&plan)),
                Format::Mermaid => report::mermaid(&estimate::precedence(&plan)),
                Format::Svg => estimate::svg(&plan),
            });
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

/// The plan for people.
fn table(plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "SCENARIO", "COMBINATION", "RELEASE", "VERSION", "CP", "W", "STEPS"]);
    screen::flush_left(&mut table);
    for run in &plan.runs {
        let count = |wanted: fn(&StepAction) -> bool| run.steps.iter().filter(|s| wanted(&s.action)).count();
        let checks = count(|action| matches!(action, StepAction::Check(_)));
        let changes = count(|action| matches!(action, StepAction::Change(_)));
        table.add_row([
            run.id.to_string(),
            run.scenario.clone(),
            run.name.clone(),
            run.release.class.clone(),
            run.release.kubernetes.to_string(),
            run.control_planes.to_string(),
            run.workers.to_string(),
            format!("{checks} checks, {changes} changes"),
        ]);
    }
    let mut text: String = table.to_string().lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    let _ = write!(text, "\n{} combinations, at most {} clusters at once", plan.runs.len(), plan.concurrency);
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
