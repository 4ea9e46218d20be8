//! What a plan is expected to take: its timetable from limits and history, and its pictures.

use super::exit::Exit;
use super::inputs::PlanningArgs;
use super::screen;
use crate::plan::Plan;
use crate::plan::cost::{Capacity, History};
use crate::report::{self, Bar, Node};
use crate::results::{RunReport, write_atomically};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The plan with its timetable; of several limits of one resource the last one counts.
pub(super) fn scheduled(plan: Plan, args: &PlanningArgs) -> Result<Plan, Exit> {
    let capacity = args.capacity.iter().fold(Capacity::default(), Capacity::and);
    let history = args.history.as_deref().map_or_else(|| Ok(History::default()), read)?;
    plan.scheduled(&capacity, &history).map_err(|error| {
        screen::error(
            &error,
            Some("give `--capacity` what the quota really is, or leave the combination out"),
        );
        Exit::BadInput
    })
}

/// What earlier runs took; nothing when the file is not there yet.
fn read(file: &Path) -> Result<History, Exit> {
    let refuse = |why: String| {
        let hint = "`--history FILE` names a file that `run --history FILE` has written, or will write";
        screen::complain(&format!("`{}` is no history: {why}", file.display()), hint);
        Exit::BadInput
    };
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(History::default()),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// Adds what a run took. Estimates are a help: without them a run is as good, so trouble is told and no more.
pub(super) fn learn(file: &Path, report: &RunReport) {
    let Ok(mut history) = read(file) else { return };
    history.learn(report);
    let bytes = serde_json::to_vec(&history).unwrap_or_default();
    if let Err(error) = write_atomically(file, &bytes) {
        screen::note(&format!("warning: `{}` cannot be written: {error}", file.display()));
    }
}

/// One bar for each run, its phases in it, in the order in which they start.
pub(super) fn svg(plan: &Plan) -> String {
    let Some(timetable) = &plan.timetable else { return report::gantt(&[], None) };
    let mut bars: Vec<Bar> = plan
        .runs
        .iter()
        .zip(&timetable.runs)
        .map(|(run, expected)| {
            let mut at = expected.start;
            let phases = expected.cost.phases.iter().map(|phase| {
                at = at.saturating_add(phase.milliseconds);
                (phase.phase.clone(), at)
            });
            Bar {
                label: run.name.clone(),
                lane: Some(run.scenario.clone()),
                start: expected.start,
                phases: phases.collect(),
                end: expected.end(),
            }
        })
        .collect();
    bars.sort_by(|a, b| (a.start, a.end, &a.label).cmp(&(b.start, b.end, &b.label)));
    report::gantt(&bars, Some(timetable.bound))
}

/// What comes after what: the shared preparation, every run after those that it waits for, the last listing.
pub(super) fn precedence(plan: &Plan) -> Vec<Node> {
    let node = |label: String, after: Vec<usize>| Node { label, after };
    let mut nodes = vec![node("shared preparation".into(), Vec::new())];
    let mut last: Vec<usize> = (1..=plan.runs.len()).collect();
    for (number, run) in plan.runs.iter().enumerate() {
        let waits = plan.timetable.as_ref().and_then(|timetable| timetable.runs.get(number));
        let mut after: Vec<usize> = waits.into_iter().flat_map(|run| &run.after).map(|run| run + 1).collect();
        last.retain(|run| !after.contains(run));
        if after.is_empty() {
            after.push(0);
        }
        nodes.push(node(format!("{} {}", run.id, run.name), after));
    }
    nodes.push(node("proof that nothing is left".into(), last));
    nodes
}
