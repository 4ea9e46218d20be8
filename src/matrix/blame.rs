//! From results to blame: which values are in failed combinations only, and what to run next to tell them apart.

use super::cover::{Model, Row, blame};
use super::expand::combination;
use super::lower::Lowered;
use super::{Combination, Matrix};
use crate::scenario::Scenario;
use crate::types::SwitchValues;
use std::collections::BTreeSet;

/// Values of up to that many switches are looked at together.
const MAX_VALUES_TOGETHER: usize = 3;
/// A switch has at most as many values in numbers.
const MAX_LEVELS: usize = 64;

/// Switches, each with a value, in words.
pub type NamedValues = Vec<(String, String)>;

/// The fewest values that could be to blame, those first that explain most. `results` are combinations of one scenario,
/// each as pairs of switch and value, and whether it passed; what neither passed nor failed is left away by the caller.
#[must_use]
pub fn suspects(results: &[(NamedValues, bool)]) -> Vec<NamedValues> {
    let switches: Vec<&str> =
        results.first().map(|(row, _)| row.iter().map(|(s, _)| s.as_str()).collect()).unwrap_or_default();
    let value = |row: &[(String, String)], switch: &str| {
        row.iter().find(|(s, _)| s == switch).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let levels: Vec<Vec<String>> = switches
        .iter()
        .map(|switch| {
            let seen: BTreeSet<String> = results.iter().map(|(row, _)| value(row, switch)).collect();
            seen.into_iter().collect()
        })
        .collect();
    if levels.iter().any(|values| values.len() > MAX_LEVELS) {
        return Vec::new();
    }
    let numbers: Vec<u8> =
        levels.iter().map(|values| u8::try_from(values.len()).unwrap_or(u8::MAX)).collect();
    let Ok(model) = Model::new(numbers, Vec::new()) else { return Vec::new() };
    let rows: Vec<(Row, bool)> = results
        .iter()
        .map(|(row, passed)| {
            let cell = |(switch, values): (&&str, &Vec<String>)| {
                let position = values.iter().position(|known| *known == value(row, switch));
                u8::try_from(position.unwrap_or(0)).unwrap_or(0)
            };
            (switches.iter().zip(&levels).map(cell).collect(), *passed)
        })
        .collect();
    let named = |(at, v): (usize, u8)| (switches[at].to_owned(), levels[at][usize::from(v)].clone());
    let found = blame::suspects(&model, &rows, MAX_VALUES_TOGETHER).into_iter();
    found.map(|suspect| suspect.tuple.into_iter().map(named).collect()).collect()
}

/// Further combinations of a scenario, at most `number`, that tell apart what could be to blame for the failures among
/// `results`: combinations and whether they passed. None when nothing could be, or nothing is left to be told apart.
#[must_use]
pub fn further(scenario: &Scenario, results: &[(SwitchValues, bool)], number: usize) -> Vec<Combination> {
    let Ok(lowered) = Lowered::of(scenario) else { return Vec::new() };
    let rows: Vec<(Row, bool)> = results
        .iter()
        .filter_map(|(values, passed)| {
            let row: Option<Row> = lowered.row(values).ok()?.into_iter().collect();
            Some((row?, *passed))
        })
        .collect();
    let suspects = blame::suspects(&lowered.model, &rows, MAX_VALUES_TOGETHER);
    let known: BTreeSet<&Row> = rows.iter().map(|(row, _)| row).collect();
    let found = blame::discriminate(&lowered.model, &suspects, number);
    let fresh = found.iter().filter(|row| !known.contains(row));
    fresh.map(|row| combination(scenario, &lowered.values(row))).collect()
}

impl Matrix {
    /// A matrix of some combinations, of which nothing is left out.
    #[must_use]
    pub fn of(combinations: Vec<Combination>) -> Self {
        Self { combinations, ..Self::default() }
    }
}
