//! A condition over switches as boxes: each box names some switches and, for each of them, the values that it may
//! have; the condition holds for a row when at least one box holds. This is the disjunctive normal form over finite
//! domains, and what a box forbids is one clause of a constraint solver.

use super::expr::Clause;
use super::{Switch, When};
use crate::types::{SwitchName, ValueName};
use std::collections::{BTreeMap, BTreeSet};

/// Switches, each with the values that it may have; a switch that is not named may have any.
pub type ValueBox = BTreeMap<SwitchName, BTreeSet<ValueName>>;

/// The most boxes of one condition. The longest expression that a person writes has a few.
pub const MAX_BOXES: usize = 256;

/// The boxes of a condition, none of them empty, none inside another; `None` when there are more than [`MAX_BOXES`].
#[must_use]
pub fn boxes(when: &When, switches: &[Switch]) -> Option<Vec<ValueBox>> {
    match when {
        When::Values(values) => {
            let one =
                values.iter().map(|(switch, values)| (switch.clone(), values.iter().cloned().collect()));
            Some(vec![one.collect()])
        }
        When::Expression(expr) => of_clause(expr.clause(), true, switches),
    }
}

fn values_of(name: &SwitchName, switches: &[Switch]) -> BTreeSet<ValueName> {
    let switch = switches.iter().find(|switch| switch.name == *name);
    switch.map(|switch| switch.values.iter().map(|value| value.name.clone()).collect()).unwrap_or_default()
}

/// The boxes for which the clause is `wanted`.
fn of_clause(clause: &Clause, wanted: bool, switches: &[Switch]) -> Option<Vec<ValueBox>> {
    let found = match (clause, wanted) {
        (Clause::Constant(holds), _) => {
            if *holds == wanted {
                vec![ValueBox::new()]
            } else {
                Vec::new()
            }
        }
        (Clause::In(name, set), _) => {
            let all = values_of(name, switches);
            let fit: BTreeSet<_> = all.into_iter().filter(|value| set.contains(value) == wanted).collect();
            if fit.is_empty() { Vec::new() } else { vec![ValueBox::from([(name.clone(), fit)])] }
        }
        (Clause::Pair(left, right, pairs), _) => {
            let (lefts, rights) = (values_of(left, switches), values_of(right, switches));
            let side = |l: &ValueName| -> BTreeSet<ValueName> {
                rights
                    .iter()
                    .filter(|r| pairs.contains(&(l.clone(), (*r).clone())) == wanted)
                    .cloned()
                    .collect()
            };
            // Values of the left with the same partners share a box.
            let mut by_partners: BTreeMap<BTreeSet<ValueName>, BTreeSet<ValueName>> = BTreeMap::new();
            for value in lefts {
                by_partners.entry(side(&value)).or_default().insert(value);
            }
            let with_partners = by_partners.into_iter().filter(|(partners, _)| !partners.is_empty());
            with_partners
                .map(|(partners, values)| ValueBox::from([(left.clone(), values), (right.clone(), partners)]))
                .collect()
        }
        (Clause::Not(inner), _) => return of_clause(inner, !wanted, switches),
        (Clause::All(parts), true) | (Clause::Any(parts), false) => {
            let mut product = vec![ValueBox::new()];
            for part in parts {
                let part = of_clause(part, wanted, switches)?;
                let mut longer = Vec::new();
                for (a, b) in product.iter().flat_map(|a| part.iter().map(move |b| (a, b))) {
                    longer.extend(intersection(a, b));
                    if longer.len() > MAX_BOXES {
                        return None;
                    }
                }
                product = without_inner(longer);
            }
            product
        }
        (Clause::Any(parts), true) | (Clause::All(parts), false) => {
            let mut union = Vec::new();
            for part in parts {
                union.extend(of_clause(part, wanted, switches)?);
            }
            union
        }
    };
    (found.len() <= MAX_BOXES).then(|| without_inner(found))
}

fn intersection(a: &ValueBox, b: &ValueBox) -> Option<ValueBox> {
    let mut both = a.clone();
    for (name, values) in b {
        let fit: BTreeSet<ValueName> = match both.get(name) {
            Some(others) => others.intersection(values).cloned().collect(),
            None => values.clone(),
        };
        if fit.is_empty() {
            return None;
        }
        both.insert(name.clone(), fit);
    }
    Some(both)
}

/// Drops every box that lies inside another.
fn without_inner(found: Vec<ValueBox>) -> Vec<ValueBox> {
    let inside = |inner: &ValueBox, outer: &ValueBox| {
        outer.iter().all(|(name, values)| inner.get(name).is_some_and(|i| i.is_subset(values)))
    };
    let mut kept: Vec<ValueBox> = Vec::new();
    for new in found {
        if !kept.iter().any(|old| inside(&new, old)) {
            kept.retain(|old| !inside(old, &new));
            kept.push(new);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Known, parse};
    use proptest::prelude::*;
    use std::path::Path;

    /// A scenario with three switches and one condition.
    fn read(when: &str) -> crate::scenario::Scenario {
        let text = format!(
            "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: demo}}\nspec:\n  \
             stack: {{provider: scripted, name: scs, source: {{directory: s}}}}\n  checks: [smoke]\n  \
             switches:\n    kubernetes: [\"1.33\", \"1.34\", \"1.35\"]\n    controlPlanes: [1, 3, 5]\n    \
             workers: [1, 2, 3]\n  exclude:\n    - because: test\n      when: {when}\n"
        );
        let known = Known { checks: &[("a", "smoke")], ..Known::default() };
        parse(&text, Path::new("test.yaml"), &known).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
    }

    /// Conditions that hold for something.
    fn condition() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("kubernetes == \"1.34\"".to_owned()),
            Just("semver(kubernetes) >= semver(\"1.34\")".to_owned()),
            Just("controlPlanes > 1".to_owned()),
            Just("controlPlanes == workers".to_owned()),
            Just("workers in [1, 2]".to_owned()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|a| format!("!({a})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("({a} || {b})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn boxes_say_what_the_condition_says(text in condition()) {
            let everywhere = format!("'{text} || kubernetes == \"1.33\"'");
            let scenario = read(&everywhere);
            let when = &scenario.exclude[0].when;
            let found = boxes(when, &scenario.switches).unwrap();
            for k in &scenario.switches[0].values {
                for c in &scenario.switches[1].values {
                    for w in &scenario.switches[2].values {
                        let row = [&k.name, &c.name, &w.name];
                        let value = |name: &SwitchName| {
                            scenario.switches.iter().position(|s| s.name == *name).map(|i| row[i])
                        };
                        let inside = found.iter().any(|b| {
                            b.iter().all(|(name, values)| value(name).is_some_and(|v| values.contains(v)))
                        });
                        prop_assert_eq!(inside, when.holds(&value), "{} {:?}", text, row);
                    }
                }
            }
        }
    }
}
