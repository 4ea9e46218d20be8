//! What the combinations that run cover: of all tuples of values that some combination may have, how many stand
//! together in one that runs.

use super::cover::{self, Row};
use super::lower::Lowered;
use super::{Bound, Matrix};
use crate::scenario::{Cover, Scenario};
use crate::types::{SwitchName, SwitchValues};
use serde::{Deserialize, Serialize};

/// The strengths that are counted: single values, pairs, triples.
const STRENGTHS: usize = 3;
/// More tuples than that are not counted: it would take longer than anybody waits for a plan.
const MAX_TUPLES: u128 = 2_000_000;
/// As many pairs are named.
const MAX_NAMED: usize = 20;

/// What the combinations of one scenario cover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The scenario.
    pub scenario: String,
    /// What it asks for: `all`, or the strength, and that of each group.
    pub asked: String,
    /// How many combinations its switches span, whatever is excluded.
    pub product: String,
    /// How many run.
    pub combinations: usize,
    /// For strength 1, 2, 3: tuples covered, and tuples that some combination may have. Those of which there are too
    /// many to count are left out.
    pub strengths: Vec<StrengthCoverage>,
    /// Pairs of values that may stand together and do in no combination that runs, at most 20 of them.
    pub uncovered: Vec<String>,
    /// How many there are.
    pub uncovered_pairs: u64,
    /// No covering array has fewer combinations; with `cover: all` there is nothing to choose.
    pub lower_bound: Option<usize>,
    /// It is proven that no array with fewer combinations exists.
    pub optimal: bool,
}

/// How much of one strength is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrengthCoverage {
    /// How many values stand together.
    pub strength: usize,
    /// Tuples in combinations that run.
    pub covered: u64,
    /// Tuples that some combination may have.
    pub feasible: u64,
}

impl StrengthCoverage {
    /// In per cent, rounded down: 100 is all of them.
    #[must_use]
    pub fn per_cent(&self) -> u64 {
        (self.covered * 100).checked_div(self.feasible).unwrap_or(100)
    }
}

/// Looks at every scenario of which something runs.
#[must_use]
pub fn coverage(scenarios: &[Scenario], matrix: &Matrix) -> Vec<Coverage> {
    let known = scenarios.iter().filter_map(|scenario| of_scenario(scenario, matrix));
    known.collect()
}

fn of_scenario(scenario: &Scenario, matrix: &Matrix) -> Option<Coverage> {
    let lowered = Lowered::of(scenario).ok()?;
    let own = matrix.combinations.iter().filter(|c| c.scenario == scenario.name);
    let rows: Vec<Row> =
        own.filter_map(|c| lowered.row(&c.values).ok()?.into_iter().collect::<Option<Row>>()).collect();
    if rows.is_empty() {
        return None;
    }
    let parameters: Vec<usize> = (0..scenario.switches.len()).collect();
    let levels: Vec<u128> = scenario.switches.iter().map(|s| s.values.len() as u128).collect();
    let mut strengths = Vec::new();
    let (mut uncovered, mut uncovered_pairs) = (Vec::new(), 0);
    for strength in 1..=STRENGTHS.min(parameters.len()) {
        if tuples(&levels, strength) > MAX_TUPLES {
            break;
        }
        let found = cover::coverage(&lowered.model, &rows, &parameters, strength);
        strengths.push(StrengthCoverage { strength, covered: found.covered, feasible: found.feasible });
        if strength == 2 {
            uncovered_pairs = found.feasible - found.covered;
            uncovered = found
                .uncovered
                .into_iter()
                .take(MAX_NAMED)
                .map(|tuple| super::named(&lowered.partial(tuple)))
                .collect();
        }
    }
    let bound: Option<&Bound> = matrix.bounds.get(&scenario.name);
    Some(Coverage {
        scenario: scenario.name.to_string(),
        asked: asked(&scenario.cover),
        product: levels.iter().try_fold(1_u128, |n, l| n.checked_mul(*l)).unwrap_or(u128::MAX).to_string(),
        combinations: rows.len(),
        strengths,
        uncovered,
        uncovered_pairs,
        lower_bound: bound.map(|bound| bound.rows),
        // A selection may run fewer than the array has: then the bound says nothing about them.
        optimal: bound.is_some_and(|bound| bound.optimal && rows.len() >= bound.rows),
    })
}

/// How many tuples there are: the elementary symmetric polynomial of the numbers of values.
fn tuples(levels: &[u128], strength: usize) -> u128 {
    let mut sums = vec![0_u128; strength + 1];
    sums[0] = 1;
    for level in levels {
        for t in (1..=strength).rev() {
            sums[t] = sums[t].saturating_add(sums[t - 1].saturating_mul(*level));
        }
    }
    sums[strength]
}

fn asked(cover: &Cover) -> String {
    match cover {
        Cover::All => "all".into(),
        Cover::Tuples { strength, groups } => {
            let groups = groups.iter().map(|group| {
                let names: Vec<&str> = group.of.iter().map(|name| name.as_str()).collect();
                format!(", strength {} for {}", group.strength, names.join(" "))
            });
            format!("strength {strength}{}", groups.collect::<String>())
        }
    }
}

/// What combinations cover of some switches, where others have given values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Tuples in the combinations.
    pub covered: u64,
    /// Tuples that some combination may have.
    pub feasible: u64,
    /// The first of those that are in none.
    pub missing: Vec<SwitchValues>,
}

/// How many of the tuples of `strength` values of the switches `of` (empty: all) stand together in one of `rows`. Only
/// combinations that have all the values `fixed` count, on both sides.
#[must_use]
pub fn part(
    scenario: &Scenario,
    rows: &[SwitchValues],
    fixed: &SwitchValues,
    of: &[SwitchName],
    strength: usize,
) -> Part {
    let Ok(lowered) = Lowered::of_part(scenario, fixed) else { return Part::default() };
    let rows: Vec<Row> = rows
        .iter()
        .filter_map(|values| lowered.row(values).ok()?.into_iter().collect::<Option<Row>>())
        .collect();
    let wanted = |name: &SwitchName| of.is_empty() || of.contains(name);
    let parameters: Vec<usize> =
        scenario.switches.iter().enumerate().filter(|(_, s)| wanted(&s.name)).map(|(at, _)| at).collect();
    let found = cover::coverage(&lowered.model, &rows, &parameters, strength.min(parameters.len()));
    Part {
        covered: found.covered,
        feasible: found.feasible,
        missing: found.uncovered.into_iter().map(|tuple| lowered.partial(tuple)).collect(),
    }
}
