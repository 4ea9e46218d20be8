//! Choices that leave the covering as it is: which value an indifferent cell has, and which of several covers is cheap.
//!
//! A cell is indifferent when no tuple through it depends on its row alone; the books of the state say so.

use super::random::Random;
use super::search::Terms;
use super::state::State;
use super::tuples::Table;
use super::{Cost, Request, Row};

/// The least and the most often that costs are asked for, per cover.
const TRIALS: (u64, u64) = (200, 20_000);

fn is_frozen(terms: Terms<'_>, row: usize, parameter: usize) -> bool {
    terms.frozen.get(row).is_some_and(|cells| cells[parameter])
}

/// Gives indifferent cells the values that are preferred.
pub(super) fn prefer(
    terms: Terms<'_>,
    tables: &[Table],
    states: &[Vec<u8>],
    rows: &[Row],
    weights: &[Vec<u32>],
) -> Vec<Row> {
    if weights.is_empty() {
        return rows.to_vec();
    }
    let mut state = State::new(terms.model, tables, states, rows);
    let mut changed = true;
    // Each change raises the sum of weights, so this ends.
    while std::mem::take(&mut changed) {
        for row in 0..rows.len() {
            for (parameter, weights) in weights.iter().enumerate() {
                if is_frozen(terms, row, parameter) || state.loss(row, parameter) > 0 {
                    continue;
                }
                let now = weights[usize::from(state.row(row)[parameter])];
                let mut better: Vec<u8> =
                    (0..weights.len() as u8).filter(|&value| weights[usize::from(value)] > now).collect();
                better.sort_by_key(|&value| std::cmp::Reverse(weights[usize::from(value)]));
                let model = terms.model;
                let legal = |value: &u8| model.allows_change(state.row_mut(row), parameter, *value);
                if let Some(value) = better.into_iter().find(legal) {
                    state.change(row, parameter, value);
                    changed = true;
                }
            }
        }
    }
    state.rows()
}

/// The cheapest cover that small changes lead to, from the smallest one and from others with up to `slack` more rows.
pub(super) fn cheapest(
    terms: Terms<'_>,
    tables: &[Table],
    states: &[Vec<u8>],
    smallest: Vec<Row>,
    others: &[Vec<Row>],
    cost: Cost<'_>,
    request: &Request<'_>,
) -> Vec<Row> {
    let most = smallest.len() + request.slack;
    let trials = (request.steps / 50).clamp(TRIALS.0, TRIALS.1);
    let mut random = Random::new(request.seed);
    let mut best: Option<(u64, Vec<Row>)> = None;
    let mut starts = vec![smallest];
    starts.extend(others.iter().rev().filter(|rows| rows.len() <= most).cloned());
    for rows in starts {
        let mut state = State::new(terms.model, tables, states, &rows);
        let mut least = cost(&rows);
        let mut rows = rows;
        for _ in 0..trials {
            let Some((row, parameter, value)) = indifferent(terms, &mut state, &mut random) else { continue };
            let before = std::mem::replace(&mut rows[row][parameter], value);
            let now = cost(&rows);
            if now <= least {
                least = now;
                state.change(row, parameter, value);
            } else {
                rows[row][parameter] = before;
            }
        }
        if best.as_ref().is_none_or(|(known, _)| least < *known) {
            best = Some((least, rows));
        }
    }
    best.map_or_else(Vec::new, |(_, rows)| rows)
}

/// A random change that leaves all covered, if a few attempts find one.
fn indifferent(terms: Terms<'_>, state: &mut State<'_>, random: &mut Random) -> Option<(usize, usize, u8)> {
    let levels = terms.model.levels();
    if state.number() == 0 || levels.is_empty() {
        return None;
    }
    (0..100).find_map(|_| {
        let row = random.below(state.number());
        let parameter = random.below(levels.len());
        let value = random.below(usize::from(levels[parameter])) as u8;
        let possible = value != state.row(row)[parameter]
            && state.loss(row, parameter) == 0
            && !is_frozen(terms, row, parameter)
            && terms.model.allows_change(state.row_mut(row), parameter, value);
        possible.then_some((row, parameter, value))
    })
}
