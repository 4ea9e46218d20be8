//! Which switch values the failures of a run have in common.

use crate::matrix::{self, Suspect};
use crate::results::{RunReport, UnitReport, Verdict};

/// More than that are not worth the lines: nothing is known then.
const MAX_SUSPECTS: usize = 3;

/// For each scenario with failed combinations, the values that stand together in those and in no combination that
/// passed; the first explain most. Says nothing of a scenario of which nothing passed.
pub(crate) fn suspects(report: &RunReport) -> Vec<(&str, Vec<Suspect>)> {
    let mut scenarios: Vec<&str> = report.units.iter().map(|unit| unit.info.scenario.as_str()).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let of_scenario = |scenario: &&str| {
        let units: Vec<&UnitReport> = report.units.iter().filter(|u| u.info.scenario == **scenario).collect();
        let result = |unit: &&UnitReport| match unit.verdict() {
            Verdict::Passed => Some((values(unit), true)),
            Verdict::Failed => Some((values(unit), false)),
            // Infrastructure says nothing about values; what passes now and then is neither.
            Verdict::Errored | Verdict::Skipped | Verdict::Flaky => None,
        };
        let results: Vec<_> = units.iter().filter_map(result).collect();
        if !results.iter().any(|(_, passed)| *passed) {
            return Vec::new();
        }
        let mut found = matrix::suspects(&results);
        found.truncate(MAX_SUSPECTS);
        found
    };
    let all = scenarios.iter().map(|scenario| (*scenario, of_scenario(scenario)));
    all.filter(|(_, suspects)| !suspects.is_empty()).collect()
}

/// The values of a combination, from its readable name.
fn values(unit: &UnitReport) -> Vec<(String, String)> {
    let pairs = unit.info.name.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.map(|(switch, value)| (switch.to_owned(), value.to_owned())).collect()
}

/// `yawol=on: in 4 of 4 failed combinations, in none that passed`
#[must_use]
pub fn sentence(suspect: &Suspect) -> String {
    let values: Vec<String> =
        suspect.values.iter().map(|(switch, value)| format!("{switch}={value}")).collect();
    let Suspect { explains, failed, .. } = suspect;
    format!("{}: in {explains} of {failed} failed combinations, in none that passed", values.join(" "))
}
