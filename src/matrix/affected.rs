//! Of the combinations that a change can affect, those that are enough to cover every tuple of values that it can touch.

use super::{Combination, Matrix};
use crate::scenario::{Cover, Scenario};
use crate::types::{CombinationId, SwitchName, ValueName};
use std::collections::{BTreeMap, BTreeSet};

type Pair<'a> = (&'a SwitchName, &'a ValueName);
type Tuple<'a> = Vec<Pair<'a>>;

/// Adds to `unaffected` the combinations of covering arrays that need not run again, each with the reason.
///
/// A value is touched if every combination that has it is affected; a tuple is, if one of its values is. Of the affected
/// combinations with touched values only so many stay that every such tuple which they have is in one of them. Others stay: a
/// combination that is affected without a touched value, one that the scenario includes by name, and one that must be
/// refused. All of a full product stay. Ids stay as they are, since nothing is made anew.
pub fn spare_more(scenarios: &[Scenario], matrix: &Matrix, unaffected: &mut BTreeMap<CombinationId, String>) {
    for scenario in scenarios {
        let Cover::Tuples { strength, groups } = &scenario.cover else { continue };
        let rows: Vec<&Combination> =
            matrix.combinations.iter().filter(|c| c.scenario == scenario.name).collect();
        let (spared, affected): (Vec<&Combination>, Vec<&Combination>) =
            rows.iter().copied().partition(|row| unaffected.contains_key(&row.id));
        if spared.is_empty() {
            continue;
        }
        let elsewhere: BTreeSet<Pair<'_>> = spared.iter().flat_map(|row| pairs(row)).collect();
        let is_touched = |pair: &Pair<'_>| !elsewhere.contains(pair);
        let always = |row: &Combination| {
            row.refusal.is_some()
                || scenario.include.contains(&row.values)
                || !pairs(row).any(|pair| is_touched(&pair))
        };
        let all: Vec<&SwitchName> = scenario.switches.iter().map(|switch| &switch.name).collect();
        let mut wanted = vec![(all, usize::from(*strength))];
        wanted.extend(groups.iter().map(|group| (group.of.iter().collect(), usize::from(group.strength))));
        let tuples = |row: &'_ Combination| -> BTreeSet<Vec<(SwitchName, ValueName)>> {
            let of = |(switches, strength): &(Vec<&SwitchName>, usize)| {
                let own: Vec<Pair<'_>> = pairs(row).filter(|(switch, _)| switches.contains(switch)).collect();
                choose(&own, *strength)
            };
            let touched = |tuple: &Tuple<'_>| tuple.iter().any(is_touched);
            let found = wanted.iter().flat_map(of).filter(touched);
            found.map(|tuple| tuple.into_iter().map(|(s, v)| (s.clone(), v.clone())).collect()).collect()
        };
        let (mut stay, mut open): (Vec<_>, Vec<_>) =
            affected.into_iter().map(|row| (row, tuples(row))).partition(|(row, _)| always(row));
        let mut covered: BTreeSet<_> = stay.iter().flat_map(|(_, tuples)| tuples.clone()).collect();
        // The one with the most that is still open; of equals the first.
        loop {
            let gain = |tuples: &BTreeSet<_>| tuples.difference(&covered).count();
            let gains = open.iter().map(|(_, tuples)| gain(tuples));
            let best = gains
                .enumerate()
                .filter(|(_, gain)| *gain > 0)
                .max_by_key(|(at, gain)| (*gain, usize::MAX - at));
            let Some((best, _)) = best else { break };
            let next = open.remove(best);
            covered.extend(next.1.iter().cloned());
            stay.push(next);
        }
        for (row, _) in open {
            let reason = "not needed: what the change can touch is covered by other combinations";
            unaffected.insert(row.id.clone(), reason.to_owned());
        }
    }
}

fn pairs(row: &Combination) -> impl Iterator<Item = Pair<'_>> {
    row.values.iter().map(|(switch, value)| (switch, value))
}

/// Every choice of `count` of these, in their order.
fn choose<'a>(of: &[Pair<'a>], count: usize) -> Vec<Tuple<'a>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for (at, first) in of.iter().enumerate() {
        for mut rest in choose(&of[at + 1..], count - 1) {
            rest.insert(0, *first);
            found.push(rest);
        }
    }
    found
}
