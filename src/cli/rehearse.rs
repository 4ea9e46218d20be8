//! `plan --check-with`: what a management cluster says of a plan, at the lines that it is about.

use super::exit::Exit;
use super::{inputs, screen};
use crate::cluster::Api;
use crate::event::Cleanliness;
use crate::plan::{Plan, PlannedRun};
use crate::provider::rehearse::{self, Refusal, Rehearsal};
use crate::scenario::{Problem, Problems, Scenario, Span};
use std::path::Path;

/// How many combinations of a refusal are named.
const NAMED: usize = 3;

/// Lets the management cluster judge a plan.
///
/// # Errors
/// It refuses something, cannot be asked, or keeps something of it.
pub(super) fn check(plan: &Plan, scenarios: &[Scenario], kubeconfig: &Path) -> Result<(), Exit> {
    let runtime = inputs::runtime()?;
    let rehearsal = runtime.block_on(async {
        let api = Api::from_file(kubeconfig).await.map_err(|error| {
            screen::error(&error, Some("`--check-with FILE` names the kubeconfig of a management cluster"));
            Exit::Infrastructure
        })?;
        rehearse::rehearse(&api, plan).await.map_err(|failure| {
            let hint = failure.hint.clone();
            let hint = hint.as_deref().unwrap_or("the plan was not judged; nothing is known about it");
            screen::complain(&format!("the management cluster cannot be asked: {}", failure.summary), hint);
            Exit::Infrastructure
        })
    })?;
    let Rehearsal { refusals, accepted, undecided, clean } = rehearsal;
    let problems: Vec<Problem> =
        refusals.iter().filter_map(|refusal| problem(plan, scenarios, refusal)).collect();
    if !matches!(clean, Cleanliness::Clean) {
        let sweep = format!("stack-e2e sweep --kubeconfig {} --run {} --yes", kubeconfig.display(), plan.run);
        screen::complain(
            &format!("the namespace `{}` of the rehearsal is not proven gone: {clean:?}", plan.namespace),
            &format!("`{sweep}` removes it"),
        );
    }
    if !problems.is_empty() {
        let exit = inputs::refuse(&Problems(problems));
        return Err(if matches!(clean, Cleanliness::Clean) { exit } else { Exit::NotProvenClean });
    }
    if !matches!(clean, Cleanliness::Clean) {
        return Err(Exit::NotProvenClean);
    }
    let meant = plan.runs.iter().filter(|run| run.refusal.is_none()).count();
    screen::note(&format!("the management cluster accepts {accepted} of {meant} combinations"));
    for index in undecided {
        let name = plan.runs.get(index).map_or("", |run| run.name.as_str());
        screen::note(&format!(
            "warning: {name} is to be refused, and admission lets it pass: only a run can tell"
        ));
    }
    Ok(())
}

/// A refusal at the line that set the value, or that names the stack.
fn problem(plan: &Plan, scenarios: &[Scenario], refusal: &Refusal) -> Option<Problem> {
    let runs: Vec<&PlannedRun> = refusal.runs.iter().filter_map(|index| plan.runs.get(*index)).collect();
    // What no combination needs is nobody's mistake, but it is refused all the same.
    let scenario = match runs.first() {
        Some(run) => scenarios.iter().find(|scenario| scenario.name.as_str() == run.scenario)?,
        None => scenarios.first()?,
    };
    let variable = refusal.variable.as_deref();
    let span = runs.first().zip(variable).and_then(|(run, variable)| place(scenario, run, variable));
    let span = span.unwrap_or(scenario.positions.stack);
    let object = &refusal.object;
    let what = match object.kind.as_str() {
        "Cluster" => "the Cluster".to_owned(),
        kind => format!("{kind} `{}`", object.name),
    };
    let field = if refusal.field.is_empty() { String::new() } else { format!("{}: ", refusal.field) };
    let message = format!("the management cluster does not take {what}: {field}{}", refusal.message);
    let names: Vec<&str> = runs.iter().take(NAMED).map(|run| run.name.as_str()).collect();
    let more = runs.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let hint = match names.as_slice() {
        [] => "no combination needs it".to_owned(),
        names => format!("this fails {}{more}", names.join("; ")),
    };
    Some(scenario.problem(span, message).hint(hint))
}

/// Where a combination sets a variable.
fn place(scenario: &Scenario, run: &PlannedRun, variable: &str) -> Option<Span> {
    let values = run.values();
    let (switch, value) = values.iter().find(|(switch, value)| {
        scenario.value(switch, value).is_some_and(|value| value.patch.variables.contains_key(variable))
    })?;
    Some(scenario.variable_span(switch, value, variable))
}
