//! Scenarios -> the combinations of their switches: the full product, or a covering array.

use super::cover::{Cover as Covered, CoverError, OPEN, Request, Requirement, Row, cover};
use super::lower::Lowered;
use super::{Combination, LeftOut, Matrix};
use crate::scenario::{ClusterPatch, Cover, Problem, Problems, Scenario, SwitchValue};
use crate::types::{CheckName, CombinationId, SwitchName, SwitchValues};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How long is searched unless said otherwise: a few hundredths of a second.
pub const DEFAULT_STEPS: u64 = 20_000;
/// The seed unless said otherwise.
pub const DEFAULT_SEED: u64 = 1;

/// How covering arrays are made.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// How long is searched for a smaller array, in steps: see [`Request::steps`].
    pub steps: u64,
    /// The seed of the random choices: equal seeds and steps give equal arrays.
    pub seed: u64,
    /// How many searches run at once; the result does not depend on it.
    pub threads: usize,
    /// What a combination takes. Of the smallest arrays that is taken for which all of them are done soonest.
    pub price: Option<PriceOf<'a>>,
    /// How much there is of what combinations take, in the order of [`Price::demand`].
    pub capacities: &'a [u64],
    /// How many more combinations than the fewest such an array may have.
    pub slack: usize,
}

/// What a combination takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// For how long, in milliseconds.
    pub milliseconds: u64,
    /// How much of each resource, meanwhile.
    pub demand: Vec<u64>,
}

/// Tells what a combination takes.
pub type PriceOf<'a> = &'a (dyn Fn(&Scenario, &Combination) -> Price + Sync);

impl Default for Effort<'_> {
    fn default() -> Self {
        Self { steps: DEFAULT_STEPS, seed: DEFAULT_SEED, threads: 1, price: None, capacities: &[], slack: 0 }
    }
}

/// A combination of an earlier plan: its scenario and values.
pub type Earlier = (String, SwitchValues);

/// The combinations of every scenario, in the order of the scenarios. Those of one scenario are in the order of its
/// switches and values; the last switch varies fastest. What a covering array can, it keeps of `earlier`.
///
/// # Errors
/// The rules of a scenario leave nothing to run, there is more to cover than fits into memory, or two combinations have
/// one id.
pub fn expand(scenarios: &[Scenario], earlier: &[Earlier], effort: Effort<'_>) -> Result<Matrix, Problems> {
    let mut matrix = Matrix::default();
    let mut problems = Vec::new();
    for scenario in scenarios {
        let added = match &scenario.cover {
            Cover::All => product(&mut matrix, scenario),
            Cover::Tuples { strength, groups } => {
                let mut requirements = vec![Requirement {
                    parameters: (0..scenario.switches.len()).collect(),
                    strength: usize::from(*strength),
                }];
                requirements.extend(groups.iter().map(|group| {
                    Requirement {
                        parameters: group
                            .of
                            .iter()
                            .filter_map(|name| scenario.switches.iter().position(|s| s.name == *name))
                            .collect(),
                        strength: usize::from(group.strength),
                    }
                }));
                array(&mut matrix, scenario, requirements, earlier, effort)
            }
        };
        if let Err(problem) = added {
            problems.push(*problem);
        }
    }
    problems.extend(same_ids(&matrix, scenarios));
    if problems.is_empty() { Ok(matrix) } else { Err(Problems(problems)) }
}

fn same_ids(matrix: &Matrix, scenarios: &[Scenario]) -> Vec<Problem> {
    let mut ids: BTreeMap<&CombinationId, String> = BTreeMap::new();
    let mut problems = Vec::new();
    let left_out = matrix.left_out.iter().filter_map(|l| Some((l.id.as_ref()?, &l.scenario, l.name())));
    let all = matrix.combinations.iter().map(|c| (&c.id, &c.scenario, c.name())).chain(left_out);
    for (id, scenario, name) in all {
        let name = format!("{scenario}: {name}");
        if let Some(other) = ids.insert(id, name.clone())
            && let Some(scenario) = scenarios.iter().find(|s| s.name == *scenario)
        {
            let message = format!("`{other}` and `{name}` have the same id {id}");
            let hint = "a coincidence of 1 in 10^12; rename the scenario or a value";
            problems.push(scenario.problem(scenario.positions.name, message).hint(hint));
        }
    }
    problems
}

fn lowered(scenario: &Scenario) -> Result<Lowered<'_>, Box<Problem>> {
    Lowered::of(scenario)
        .map_err(|error| Box::new(scenario.problem(scenario.positions.cover, error.to_string())))
}

/// The full product. The loader has seen to it that it is small enough to list what it leaves out.
fn product(matrix: &mut Matrix, scenario: &Scenario) -> Result<(), Box<Problem>> {
    let lowered = lowered(scenario)?;
    let before = matrix.combinations.len();
    let mut row = vec![0_u8; scenario.switches.len()];
    loop {
        let values = lowered.values(&row);
        let broken = lowered.broken_by(&row);
        let reason = broken.map(|origin| format!("excluded: {}", lowered.because(&[origin])));
        let combination = combination(scenario, &values);
        match reason {
            None => matrix.combinations.push(combination),
            Some(reason) => matrix.left_out.push(LeftOut {
                scenario: scenario.name.clone(),
                id: Some(combination.id),
                values,
                reason,
            }),
        }
        let turn =
            (0..row.len()).rev().find(|at| usize::from(row[*at]) + 1 < scenario.switches[*at].values.len());
        let Some(turn) = turn else { break };
        row[turn] += 1;
        row[turn + 1..].fill(0);
    }
    if matrix.combinations.len() == before {
        let origins = lowered.solver().forbidden_by(&vec![None; row.len()]).unwrap_or_default();
        return Err(Box::new(lowered.contradiction(&origins)));
    }
    Ok(())
}

/// A covering array.
fn array(
    matrix: &mut Matrix,
    scenario: &Scenario,
    requirements: Vec<Requirement>,
    earlier: &[Earlier],
    effort: Effort<'_>,
) -> Result<(), Box<Problem>> {
    let lowered = lowered(scenario)?;
    let (invalid, weights) = lowered.marks();
    let seeds = scenario.include.iter().filter_map(|row| lowered.row(row).ok()).collect();
    let own = earlier.iter().filter(|(name, _)| name == scenario.name.as_str());
    let keep = own.filter_map(|(_, values)| kept(scenario, lowered.row(values).ok()?)).collect();
    // A search asks for the same rows thousands of times.
    let prices: Mutex<BTreeMap<Row, Price>> = Mutex::default();
    let time = |rows: &[Row]| -> u64 {
        let Some(price) = effort.price else { return 0 };
        let mut known = prices.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for row in rows {
            if !known.contains_key(row) {
                let of_row = price(scenario, &combination(scenario, &lowered.values(row)));
                known.insert(row.clone(), of_row);
            }
        }
        least_time(rows.iter().filter_map(|row| known.get(row)), effort.capacities)
    };
    let request = Request {
        requirements,
        seeds,
        keep,
        weights,
        invalid,
        seed: effort.seed,
        steps: effort.steps,
        searches: 1,
        threads: effort.threads,
        cost: effort.price.is_some().then_some(&time),
        slack: effort.slack,
    };
    let covered =
        cover(&lowered.model, &request).map_err(|error| Box::new(refused(scenario, &lowered, &error)))?;
    let Covered { mut rows, lower_bound, optimal, infeasible, .. } = covered;
    rows.sort_unstable();
    matrix.combinations.extend(rows.iter().map(|row| combination(scenario, &lowered.values(row))));
    let mut solver = lowered.solver();
    for one in infeasible {
        let mut origins = one.origins;
        if origins.is_empty() {
            let mut cells = vec![None; scenario.switches.len()];
            one.tuple.iter().for_each(|(parameter, value)| cells[*parameter] = Some(*value));
            origins = solver.forbidden_by(&cells).unwrap_or_default();
        }
        if lowered.goes_without_saying(&origins) {
            continue;
        }
        matrix.left_out.push(LeftOut {
            scenario: scenario.name.clone(),
            id: None,
            values: lowered.partial(one.tuple),
            reason: format!("excluded: {}", lowered.because(&origins)),
        });
    }
    matrix.bounds.insert(scenario.name.clone(), super::Bound { rows: lower_bound, optimal });
    Ok(())
}

/// How soon all combinations could be done: no sooner than the longest of them, nor than the area of any resource allows.
/// Between equals the fewest hours of clusters decide. Milliseconds in the upper bits, minutes in the lower.
fn least_time<'p>(prices: impl Iterator<Item = &'p Price>, capacities: &[u64]) -> u64 {
    const MINUTES: u32 = 20;
    let (mut longest, mut sum) = (0_u64, 0_u64);
    let mut areas = vec![0_u64; capacities.len()];
    for price in prices {
        longest = longest.max(price.milliseconds);
        sum = sum.saturating_add(price.milliseconds);
        for (area, demand) in areas.iter_mut().zip(&price.demand) {
            *area = area.saturating_add(price.milliseconds.saturating_mul(*demand));
        }
    }
    let soonest = areas.iter().zip(capacities).map(|(area, capacity)| area.div_ceil((*capacity).max(1)));
    let soonest = soonest.fold(longest, u64::max).min(u64::MAX >> MINUTES);
    (soonest << MINUTES) + (sum / 60_000).min((1 << MINUTES) - 1)
}

/// A row of an earlier plan in today's switches: a switch that is new has its default, or is open.
fn kept(scenario: &Scenario, row: Vec<Option<u8>>) -> Option<Vec<u8>> {
    let cell = |(at, value): (usize, Option<u8>)| {
        let default = || scenario.switches[at].values.iter().position(|value| value.default);
        value.or_else(|| default().and_then(|v| u8::try_from(v).ok())).unwrap_or(OPEN)
    };
    Some(row.into_iter().enumerate().map(cell).collect())
}

/// The combination of another state of a scenario that stands for the same values: a switch that has come since has its
/// default, and one that has gone does not count. `None` if that state did not have it, or did not allow it.
#[must_use]
pub fn counterpart(scenario: &Scenario, values: &SwitchValues) -> Option<Combination> {
    let lowered = Lowered::of(scenario).ok()?;
    let known: SwitchValues = values
        .iter()
        .filter(|(name, _)| scenario.switches.iter().any(|s| s.name == *name))
        .cloned()
        .collect();
    let row = kept(scenario, lowered.row(&known).ok()?)?;
    let open = row.contains(&OPEN) || lowered.broken_by(&row).is_some();
    (!open).then(|| combination(scenario, &lowered.values(&row)))
}

fn refused(scenario: &Scenario, lowered: &Lowered<'_>, error: &CoverError) -> Problem {
    match error {
        CoverError::Contradiction { origins } => lowered.contradiction(origins),
        CoverError::Seed { seed, origins } => {
            let span = scenario.positions.include.get(*seed).copied().unwrap_or(scenario.positions.cover);
            let message = format!("the row cannot run: {}", lowered.because(origins));
            scenario.problem(span, message).hint("remove the row, or narrow the rule")
        }
        CoverError::TooLarge { .. } | CoverError::Shape { .. } | CoverError::Strength(_) => scenario
            .problem(scenario.positions.cover, error.to_string())
            .hint("choose a lower strength, and a group for what needs more"),
    }
}

/// The combination with these values.
pub(super) fn combination(scenario: &Scenario, values: &SwitchValues) -> Combination {
    let mut patch = ClusterPatch::default();
    let mut checks: Vec<CheckName> = Vec::new();
    let mut refusal = None;
    let known: Vec<(&SwitchName, &SwitchValue)> =
        values.iter().filter_map(|(s, v)| Some((s, scenario.value(s, v)?))).collect();
    for (_, value) in &known {
        // The loader has seen to it that no two switches set the same thing.
        let ClusterPatch { kubernetes, control_planes, workers, variables } = &value.patch;
        patch.kubernetes = patch.kubernetes.or(*kubernetes);
        patch.control_planes = patch.control_planes.or(*control_planes);
        patch.workers = patch.workers.or(*workers);
        patch.variables.extend(variables.clone());
        refusal = refusal.or_else(|| value.refusal.clone());
        for check in &value.checks {
            if !scenario.checks.contains(check) && !checks.contains(check) {
                checks.push(check.clone());
            }
        }
    }
    // What a cluster was before a switch existed is not part of the name that it had then.
    let telling = known.iter().filter(|(_, value)| !value.default);
    let identity: SwitchValues =
        telling.map(|(switch, value)| ((*switch).clone(), value.name.clone())).collect();
    Combination {
        id: CombinationId::new(scenario.name.as_str(), &identity),
        scenario: scenario.name.clone(),
        values: values.clone(),
        patch,
        checks,
        refusal,
    }
}
