//! Scenarios -> the full product of their switches, less what they exclude.

use super::{Combination, LeftOut, Matrix};
use crate::scenario::{ClusterPatch, Cover, Problem, Problems, Scenario, SwitchValue};
use crate::types::{CheckName, CombinationId, SwitchName, SwitchValues, ValueName};
use std::collections::BTreeMap;

/// Multiplies the switches of every scenario, in the order of the scenarios; the last switch varies fastest.
///
/// # Errors
/// A scenario wants a cover that this version cannot compute, or two combinations have one id.
pub fn expand(scenarios: &[Scenario]) -> Result<Matrix, Problems> {
    let mut matrix = Matrix::default();
    let mut problems = Vec::new();
    let mut ids: BTreeMap<CombinationId, String> = BTreeMap::new();
    for scenario in scenarios {
        match cover(scenario) {
            Ok(rows) => rows.iter().for_each(|row| add(&mut matrix, scenario, row)),
            Err(problem) => problems.push(*problem),
        }
    }
    let all = matrix.combinations.iter().chain(matrix.left_out.iter().map(|l| &l.combination));
    for combination in all {
        let name = format!("{}: {}", combination.scenario, combination.name());
        if let Some(other) = ids.insert(combination.id.clone(), name.clone())
            && let Some(scenario) = scenarios.iter().find(|s| s.name == combination.scenario)
        {
            let message = format!("`{other}` and `{name}` have the same id {}", combination.id);
            let hint = "a coincidence of 1 in 10^12; rename the scenario or a value";
            problems.push(scenario.problem(scenario.positions.name, message).hint(hint));
        }
    }
    if problems.is_empty() { Ok(matrix) } else { Err(Problems(problems)) }
}

type Row<'s> = Vec<(&'s SwitchName, &'s SwitchValue)>;

/// The rows that a scenario wants. This is the place where other covers than the full product join.
fn cover(scenario: &Scenario) -> Result<Vec<Row<'_>>, Box<Problem>> {
    match &scenario.cover {
        Cover::All => Ok(product(scenario)),
        Cover::Tuples { .. } => Err(Box::new(
            scenario
                .problem(scenario.positions.cover, "covering arrays are not available in this version")
                .hint("write `cover: all`, and narrow it with `exclude` or `--where`"),
        )),
    }
}

fn product(scenario: &Scenario) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = vec![Vec::new()];
    for switch in &scenario.switches {
        let mut longer = Vec::with_capacity(rows.len() * switch.values.len());
        for row in &rows {
            for value in &switch.values {
                longer.push(row.iter().copied().chain([(&switch.name, value)]).collect());
            }
        }
        rows = longer;
    }
    rows
}

fn add(matrix: &mut Matrix, scenario: &Scenario, row: &Row<'_>) {
    let combination = combination(scenario, row);
    let value = |name: &SwitchName| row.iter().find(|(s, _)| *s == name).map(|(_, v)| &v.name);
    let excluded = scenario.exclude.iter().find(|e| e.when.holds(&value));
    match excluded {
        None => matrix.combinations.push(combination),
        Some(exclusion) => {
            let reason = format!("excluded: {}", exclusion.because);
            matrix.left_out.push(LeftOut { combination, reason });
        }
    }
}

fn combination(scenario: &Scenario, row: &Row<'_>) -> Combination {
    let pair = |(switch, value): &(&SwitchName, &SwitchValue)| -> (SwitchName, ValueName) {
        ((*switch).clone(), value.name.clone())
    };
    let values: SwitchValues = row.iter().map(pair).collect();
    let mut patch = ClusterPatch::default();
    let mut checks: Vec<CheckName> = Vec::new();
    for (_, value) in row {
        // The loader has seen to it that no two switches set the same thing.
        let ClusterPatch { kubernetes, control_planes, workers, variables } = &value.patch;
        patch.kubernetes = patch.kubernetes.or(*kubernetes);
        patch.control_planes = patch.control_planes.or(*control_planes);
        patch.workers = patch.workers.or(*workers);
        patch.variables.extend(variables.clone());
        for check in &value.checks {
            if !scenario.checks.contains(check) && !checks.contains(check) {
                checks.push(check.clone());
            }
        }
    }
    Combination {
        id: CombinationId::new(scenario.name.as_str(), &values),
        scenario: scenario.name.clone(),
        values,
        patch,
        checks,
    }
}
