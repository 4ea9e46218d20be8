//! Which switch values explain the failures: the smallest combinations of values that occur in rows that failed, and
//! in no row that passed.

use super::{RunReport, UnitReport, Verdict};
use crate::event::UnitInfo;
use crate::matrix;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Values of switches that together are under suspicion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// The values, each with its switch.
    pub values: Vec<(String, String)>,
    /// How many of the failed combinations have them all; no passed one has.
    pub explains: usize,
    /// How many combinations failed.
    pub of: usize,
}

/// Properties of every unit that are no switches.
const NO_SWITCHES: [&str; 6] =
    ["stack-release", "stack-digest", "kubernetes-version", "run-id", "combination-id", "shard"];

/// The switches of a unit with their values, in the order of its name.
#[must_use]
pub fn switches(info: &UnitInfo) -> Vec<(&str, &str)> {
    let own = info.properties.iter().filter(|(key, _)| !NO_SWITCHES.contains(&key.as_str()));
    let mut found: Vec<(&str, &str)> = own.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let name = format!(" {}", info.name);
    found.sort_by_key(|(key, _)| (name.find(&format!(" {key}=")).unwrap_or(usize::MAX), *key));
    found
}

/// What is known about the product in a combination: whether it is bad. `None` when it never ran, or something else
/// failed: a quota that is exceeded must not put a switch value under suspicion, nor clear it.
#[must_use]
pub fn is_bad(unit: &UnitReport) -> Option<bool> {
    unit.started?;
    match unit.verdict() {
        Verdict::Failed => Some(true),
        Verdict::Passed | Verdict::Flaky => Some(false),
        Verdict::Errored | Verdict::Skipped => None,
    }
}

/// A combination with what is known about it.
type Row<'a> = (Vec<(&'a str, &'a str)>, bool);

/// The suspects for the run as a whole, those that explain most first.
#[must_use]
pub fn suspects(report: &RunReport) -> Vec<Suspect> {
    let known = report.units.iter().filter_map(|unit| Some((switches(&unit.info), is_bad(unit)?)));
    explain(&known.collect::<Vec<_>>())
}

/// The suspects for each scenario by itself, by its name; only of scenarios that have some.
#[must_use]
pub fn suspects_by_scenario(report: &RunReport) -> BTreeMap<&str, Vec<Suspect>> {
    let mut rows: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    for unit in &report.units {
        if let Some(bad) = is_bad(unit) {
            rows.entry(&unit.info.scenario).or_default().push((switches(&unit.info), bad));
        }
    }
    let explained = rows.into_iter().map(|(scenario, rows)| (scenario, explain(&rows)));
    explained.filter(|(_, suspects)| !suspects.is_empty()).collect()
}

/// The suspects for each case that failed somewhere and passed elsewhere, by its name.
#[must_use]
pub fn suspects_by_case(report: &RunReport) -> BTreeMap<String, Vec<Suspect>> {
    let mut rows: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    let bad: BTreeSet<&str> = report
        .units
        .iter()
        .flat_map(|unit| &unit.cases)
        .filter(|case| case.verdict.is_bad() && !case.attempts.is_empty())
        .map(|case| case.case.0.as_str())
        .collect();
    for unit in &report.units {
        for case in unit.cases.iter().filter(|case| bad.contains(case.case.0.as_str())) {
            let looked = match case.verdict {
                Verdict::Skipped => continue,
                Verdict::Errored | Verdict::Failed if case.attempts.is_empty() => continue,
                verdict => verdict.is_bad(),
            };
            rows.entry(&case.case.0).or_default().push((switches(&unit.info), looked));
        }
    }
    rows.into_iter().map(|(case, rows)| (case.to_owned(), explain(&rows))).collect()
}

/// How many suspects are named; more would not help anybody.
const MAX_SUSPECTS: usize = 5;

fn explain(rows: &[Row<'_>]) -> Vec<Suspect> {
    let owned = |values: &[(&str, &str)]| -> Values {
        values.iter().map(|(switch, value)| ((*switch).to_owned(), (*value).to_owned())).collect()
    };
    let results: Vec<(Values, bool)> = rows.iter().map(|(values, bad)| (owned(values), !bad)).collect();
    of_results(&results)
}

/// Switches, each with a value.
type Values = Vec<(String, String)>;

/// The suspects for combinations, each with whether it passed. Where several explain the very same failures, all of them are
/// named: the combinations cannot tell them apart.
#[must_use]
pub fn of_results(results: &[(Vec<(String, String)>, bool)]) -> Vec<Suspect> {
    let of = results.iter().filter(|(_, passed)| !passed).count();
    if of == 0 || of == results.len() {
        // Nothing to compare with.
        return Vec::new();
    }
    let mut candidates: Vec<Values> = matrix::suspects(results);
    // A value that a combination of another scenario does not have is none.
    candidates.retain(|values| values.iter().all(|(_, value)| !value.is_empty()));
    let mut left: Vec<&Values> =
        results.iter().filter(|(_, passed)| !passed).map(|(values, _)| values).collect();
    let mut found: Vec<Suspect> = Vec::new();
    let sizes: BTreeSet<usize> = candidates.iter().map(Vec::len).collect();
    for size in sizes {
        let of_size: Vec<Values> = candidates.iter().filter(|values| values.len() == size).cloned().collect();
        take(of_size, &mut left, of, &mut found);
    }
    found
}

/// Takes those that explain most of what is left, again and again.
fn take(mut candidates: Vec<Values>, left: &mut Vec<&Values>, of: usize, found: &mut Vec<Suspect>) {
    let has = |row: &Values, values: &Values| values.iter().all(|value| row.contains(value));
    while found.len() < MAX_SUSPECTS && !left.is_empty() {
        let explained = |values: &Values| -> Vec<bool> { left.iter().map(|row| has(row, values)).collect() };
        let count = |rows: &[bool]| rows.iter().filter(|has| **has).count();
        let Some(most) = candidates.iter().map(explained).max_by_key(|rows| count(rows)) else { return };
        let explains = count(&most);
        if explains == 0 {
            return;
        }
        let same: Vec<Values> =
            candidates.iter().filter(|values| explained(values) == most).cloned().collect();
        for values in same.iter().take(MAX_SUSPECTS - found.len()) {
            found.push(Suspect { values: values.clone(), explains, of });
        }
        left.retain(|row| !same.iter().any(|values| has(row, values)));
        candidates.retain(|values| !same.contains(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(rows: &[(&[(&'static str, &'static str)], bool)]) -> Vec<String> {
        let rows: Vec<Row<'_>> = rows.iter().map(|(values, bad)| (values.to_vec(), *bad)).collect();
        explain(&rows)
            .iter()
            .map(|suspect| {
                let values: Vec<String> = suspect.values.iter().map(|(s, v)| format!("{s}={v}")).collect();
                format!("{} {}/{}", values.join(" "), suspect.explains, suspect.of)
            })
            .collect()
    }

    #[test]
    fn the_smallest_explanation_is_found() {
        let (y, n) = (("yawol", "on"), ("yawol", "off"));
        let (one, three) = (("cp", "1"), ("cp", "3"));
        assert_eq!(
            told(&[(&[y, one], true), (&[y, three], true), (&[n, one], false), (&[n, three], false)]),
            ["yawol=on 2/2"]
        );
        assert_eq!(
            told(&[(&[y, one], false), (&[y, three], true), (&[n, one], false), (&[n, three], false)]),
            ["yawol=on cp=3 1/1"]
        );
        // What always comes together cannot be told apart.
        assert_eq!(told(&[(&[y, one], true), (&[n, three], false)]), ["yawol=on 1/1", "cp=1 1/1"]);
        // Nothing failed, everything did, or nothing tells them apart.
        assert!(told(&[(&[y], false), (&[n], false)]).is_empty());
        assert!(told(&[(&[y], true), (&[n], true)]).is_empty());
        assert!(told(&[(&[y], true), (&[y], false)]).is_empty());
    }

    proptest! {
        #[test]
        fn no_suspect_is_in_a_row_that_passed(rows in proptest::collection::vec(
            ((0_usize..3, 0_usize..3, 0_usize..2), any::<bool>()), 1..20,
        )) {
            const WORDS: [&str; 3] = ["0", "1", "2"];
            let rows: Vec<Row<'_>> = rows.into_iter().map(|((a, b, c), bad)| {
                (vec![("a", WORDS[a]), ("b", WORDS[b]), ("c", WORDS[c])], bad)
            }).collect();
            for suspect in explain(&rows) {
                let has = |row: &&Row<'_>| suspect.values.iter().all(|(s, v)| row.0.contains(&(s, v)));
                prop_assert!(rows.iter().filter(has).all(|(_, bad)| *bad));
                prop_assert!(suspect.explains > 0 && suspect.explains <= suspect.of);
            }
        }
    }
}
