//! `stack-e2e run --bisect`: from the failures of earlier runs to the combinations that tell their causes apart.

use super::exit::Exit;
use super::{report, run, screen};
use crate::matrix::{self, Matrix};
use crate::results::{self, Verdict};
use crate::scenario::Scenario;
use crate::types::{CombinationId, RunId, SwitchValues};
use std::collections::BTreeMap;
use std::path::Path;

/// A combination that ran, and whether it passed every time (`Some`), or now so, now so (`None`).
type Results = BTreeMap<CombinationId, (SwitchValues, Option<bool>)>;

/// The combinations that tell apart what the failures of `runs` may come from, at most `number` for each scenario.
pub(super) fn further(
    scenarios: &[Scenario],
    output: &Path,
    runs: &[RunId],
    number: usize,
) -> Result<Matrix, Exit> {
    let mut results: BTreeMap<String, Results> = BTreeMap::new();
    for id in runs {
        let refuse = |why: String| {
            screen::complain(
                &format!("the results of run {id} cannot be read: {why}"),
                "`--output` names the directory where runs are kept",
            );
            Exit::BadInput
        };
        let directory = run::run_directory(output, id);
        let plan = run::read_plan(&directory).map_err(refuse)?;
        let report = report::read(&directory).map_err(refuse)?;
        for unit in &report.units {
            let passed = match unit.verdict() {
                Verdict::Passed => Some(true),
                Verdict::Failed => Some(false),
                Verdict::Flaky => None,
                Verdict::Errored | Verdict::Skipped => continue,
            };
            let Some(planned) = plan.runs.iter().find(|planned| planned.id == unit.info.id) else { continue };
            let of_scenario = results.entry(planned.scenario.clone()).or_default();
            let entry = of_scenario.entry(planned.id.clone()).or_insert_with(|| (planned.values(), passed));
            if entry.1 != passed {
                entry.1 = None;
            }
        }
    }
    let mut combinations = Vec::new();
    let mut said = false;
    for scenario in scenarios {
        let of_scenario = results.get(scenario.name.as_str());
        let known: Vec<(SwitchValues, bool)> = of_scenario
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|(values, passed)| Some((values.clone(), (*passed)?)))
            .collect();
        let plain = |(values, passed): &(SwitchValues, bool)| {
            let pairs = values.iter().map(|(switch, value)| (switch.to_string(), value.to_string()));
            (pairs.collect(), *passed)
        };
        for suspect in results::suspects::of_results(&known.iter().map(plain).collect::<Vec<_>>()) {
            said = true;
            screen::note(&format!("{}: {}", scenario.name, crate::report::suspect(&suspect)));
        }
        combinations.extend(matrix::further(scenario, &known, number));
    }
    if combinations.is_empty() {
        let (what, hint) = if said {
            ("nothing tells these values further apart", "the first of them explain most of the failures")
        } else {
            (
                "no switch values stand out: nothing failed, or nothing passed",
                "`stack-e2e report RUN_DIR` shows what happened",
            )
        };
        screen::complain(what, hint);
        return Err(Exit::NothingSelected);
    }
    Ok(Matrix::of(combinations))
}
