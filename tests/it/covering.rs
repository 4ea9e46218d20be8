//! Covering arrays of scenarios: what they cover, what they keep, what they leave out and why.

#![allow(clippy::unwrap_used)]

use crate::matrix::{own, scenario};
use crate::scenario::{all_match, cases, expect_file, known, read};
use proptest::prelude::*;
use stack_e2e::matrix::{
    Combination, Earlier, Effort, Matrix, Price, Selection, coverage, expand, select, spare_more,
};
use stack_e2e::scenario::{Problems, Scenario, parse_bytes};
use stack_e2e::types::{CombinationId, SwitchName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn fixture(name: &str) -> Scenario {
    let text = std::fs::read_to_string(format!("fixtures/scenario/pass/{name}.yaml")).unwrap();
    read(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn array(scenario: &Scenario) -> Matrix {
    array_since(scenario, &[])
}

fn array_since(scenario: &Scenario, earlier: &[Earlier]) -> Matrix {
    expand(std::slice::from_ref(scenario), earlier, Effort::default()).unwrap_or_else(|p| panic!("{p}"))
}

fn rows(matrix: &Matrix) -> Vec<Earlier> {
    matrix.combinations.iter().map(|c| (c.scenario.to_string(), c.values.clone())).collect()
}

fn ids(matrix: &Matrix) -> BTreeSet<CombinationId> {
    matrix.combinations.iter().map(|c| c.id.clone()).collect()
}

/// Whether the rules of the scenario allow the combination, asked of the rules as they were read.
fn allowed(scenario: &Scenario, values: &[(SwitchName, stack_e2e::types::ValueName)]) -> bool {
    let value = |name: &SwitchName| values.iter().find(|(s, _)| s == name).map(|(_, v)| v);
    let required = values.iter().all(|(s, v)| {
        scenario.value(s, v).unwrap().requires.as_ref().is_none_or(|requires| {
            requires.values.iter().all(|(name, wanted)| value(name).is_some_and(|v| wanted.contains(v)))
        })
    });
    let invalid = values.iter().filter(|(s, v)| scenario.value(s, v).unwrap().refusal.is_some()).count();
    required && invalid < 2 && !scenario.exclude.iter().any(|e| e.when.holds(&value))
}

type Pair = BTreeSet<String>;

fn pairs(values: &[(SwitchName, stack_e2e::types::ValueName)]) -> impl Iterator<Item = Pair> {
    let words: Vec<String> = values.iter().map(|(s, v)| format!("{s}={v}")).collect();
    let all: Vec<Pair> = (0..words.len())
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .map(|(a, b)| [words[a].clone(), words[b].clone()].into())
        .collect();
    all.into_iter()
}

/// Every pair that some allowed combination has, found by walking all of them.
fn possible(scenario: &Scenario) -> BTreeSet<Pair> {
    let switches = &scenario.switches;
    let mut row = vec![0; switches.len()];
    // Of what has been found, a walk over hundreds of thousands of combinations keeps numbers and no names.
    let mut found = BTreeSet::new();
    loop {
        let values: Vec<_> = switches
            .iter()
            .zip(&row)
            .map(|(s, v): (_, &usize)| (s.name.clone(), s.values[*v].name.clone()))
            .collect();
        if allowed(scenario, &values) {
            for a in 0..row.len() {
                found.extend((0..a).map(|b| (b, row[b], a, row[a])));
            }
        }
        let Some(turn) = (0..row.len()).rev().find(|at| row[*at] + 1 < switches[*at].values.len()) else {
            break;
        };
        row[turn] += 1;
        row[turn + 1..].fill(0);
    }
    let word = |s: usize, v: usize| format!("{}={}", switches[s].name, switches[s].values[v].name);
    found.into_iter().map(|(b, w, a, v)| [word(b, w), word(a, v)].into()).collect()
}

#[test]
fn nothing_left_to_run_is_said_with_the_rules_that_leave_nothing() {
    let files = cases("unsatisfiable");
    assert!(files.len() >= 3);
    let results = files.iter().map(|file| {
        let bytes = std::fs::read(file).unwrap();
        let name = Path::new(file.file_name().unwrap());
        let scenario = parse_bytes(&bytes, name, &known()).map_err(|p| Problems(p).render(false))?;
        match expand(&[scenario], &[], Effort::default()) {
            Ok(_) => Err(format!("{} is accepted", file.display())),
            Err(problems) => expect_file(&file.with_extension("stderr"), &problems.render(false)),
        }
    });
    all_match(results.collect());
}

#[test]
fn twelve_switches_need_few_combinations_and_every_allowed_pair_is_in_one() {
    let scenario = fixture("twelve-switches");
    let matrix = array(&scenario);
    let wanted = possible(&scenario);
    let mut seen = BTreeSet::new();
    for combination in &matrix.combinations {
        assert!(allowed(&scenario, &combination.values), "{}", combination.name());
        seen.extend(pairs(&combination.values));
    }
    assert_eq!(seen, wanted);
    assert!(matrix.combinations.len() <= 26, "{}", matrix.combinations.len());
    let coverage = coverage(&[scenario], &matrix);
    let pairs = coverage[0].strengths[1];
    assert_eq!((pairs.covered, pairs.feasible), (wanted.len() as u64, wanted.len() as u64));
    assert!(coverage[0].lower_bound.unwrap() <= matrix.combinations.len());
}

#[test]
fn what_cannot_stand_together_is_left_out_with_the_reason() {
    let matrix = array(&fixture("twelve-switches"));
    let reasons: Vec<String> =
        matrix.left_out.iter().map(|l| format!("{}: {}", l.name(), l.reason)).collect();
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn invalid_values_stand_alone_and_requirements_are_met() {
    let scenario = fixture("covering-array");
    let matrix = array(&scenario);
    let shown: Vec<String> = matrix
        .combinations
        .iter()
        .map(|c| {
            format!(
                "{}{}",
                c.name(),
                c.refusal.as_ref().map_or(String::new(), |r| format!(" refused: {}", r.0))
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert!(matrix.combinations.iter().all(|c| allowed(&scenario, &c.values)));
}

#[test]
fn a_new_value_adds_combinations_and_moves_none() {
    let before =
        own(&[("lb", &["o", "w"]), ("disk", &["s", "l"]), ("cni", &["c", "k"]), ("oidc", &["f", "t"])]);
    let mut after = before.clone();
    after[1].1.push("xl".to_owned());
    let rest = "  cover: {strength: 2}\n";
    let first = array(&scenario("s", &before, rest));
    let second = array_since(&scenario("s", &after, rest), &rows(&first));
    assert!(ids(&first).is_subset(&ids(&second)));
    assert!(second.combinations.len() > first.combinations.len());
    // From nothing it may need fewer; what is kept is worth the difference.
    assert!(second.combinations.len() <= first.combinations.len() + 3, "{}", second.combinations.len());
}

#[test]
fn a_new_switch_with_a_default_keeps_the_ids() {
    let switches = own(&[("lb", &["o", "w"]), ("disk", &["s", "l"]), ("cni", &["c", "k"])]);
    let rest = "  cover: {strength: 2}\n";
    let first = array(&scenario("s", &switches, rest));
    let more =
        "    audit:\n      - {name: none, default: true}\n      - {name: full, variables: {audit: full}}\n";
    let second = array_since(&scenario("s", &switches, &format!("{more}{rest}")), &rows(&first));
    assert!(ids(&first).is_subset(&ids(&second)), "{:?}\n{:?}", ids(&first), ids(&second));
    let values: BTreeSet<String> = second
        .combinations
        .iter()
        .flat_map(|c| c.values.iter().filter(|(s, _)| s.as_str() == "audit").map(|(_, v)| v.to_string()))
        .collect();
    assert_eq!(values, ["full".to_owned(), "none".to_owned()].into());
}

#[test]
fn of_the_smallest_arrays_the_one_that_is_done_soonest_is_taken() {
    let scenario = fixture("twelve-switches");
    let scenarios = std::slice::from_ref(&scenario);
    // Three control planes take three times the cores of one, and there are few.
    let price = |_: &Scenario, combination: &Combination| {
        let control_planes = u64::from(combination.patch.control_planes.unwrap_or(1));
        let workers = u64::from(combination.patch.workers.unwrap_or(1));
        Price { milliseconds: 600_000, demand: vec![2 * (control_planes + workers)] }
    };
    let cores = |matrix: &Matrix| -> u64 {
        matrix.combinations.iter().flat_map(|combination| price(&scenario, combination).demand).sum()
    };
    let cheap = Effort { price: Some(&price), capacities: &[20], ..Effort::default() };
    let (any, cheap) = (array(&scenario), expand(scenarios, &[], cheap).unwrap());
    assert_eq!(any.combinations.len(), cheap.combinations.len());
    assert!(cores(&cheap) < cores(&any), "{} {}", cores(&cheap), cores(&any));
    let covered = &coverage(scenarios, &cheap)[0].strengths[1];
    assert_eq!(covered.covered, covered.feasible);
}

#[test]
fn a_selection_says_what_it_no_longer_covers() {
    let scenarios = [fixture("twelve-switches")];
    let matrix = array(&scenarios[0]);
    let wanted = vec![(SwitchName::new("controlPlanes").unwrap(), "3".parse().unwrap())];
    let part = select(matrix, &Selection { wanted, ..Selection::default() }).unwrap();
    let coverage = &coverage(&scenarios, &part)[0];
    assert!(coverage.strengths[1].covered < coverage.strengths[1].feasible);
    assert_eq!(coverage.uncovered_pairs, coverage.strengths[1].feasible - coverage.strengths[1].covered);
    assert!(
        coverage.uncovered.iter().any(|pair| pair.contains("controlPlanes=1")),
        "{:?}",
        coverage.uncovered
    );
    assert!(!coverage.optimal);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_possible_pair_is_covered_whatever_the_rules(
        sizes in prop::collection::vec(1_usize..4, 2..5),
        picks in prop::collection::vec((0_usize..5, 0_usize..3, 0_usize..5, 0_usize..3), 0..4),
        seed in 0_u64..1000,
    ) {
        let switches: Vec<(String, Vec<String>)> = sizes
            .iter()
            .enumerate()
            .map(|(i, n)| (format!("s{i}"), (0..*n).map(|v| format!("v{v}")).collect()))
            .collect();
        let mut rest = String::from("  cover: {strength: 2}\n");
        let mut rules = BTreeSet::new();
        for (s, v, t, w) in picks {
            let (s, t) = (s % sizes.len(), t % sizes.len());
            let (v, w) = (v % sizes[s], w % sizes[t]);
            if s != t && v > 0 && w > 0 {
                rules.insert(format!("    - {{when: {{s{s}: v{v}, s{t}: v{w}}}, because: property}}\n"));
            }
        }
        if !rules.is_empty() {
            rest.push_str("  exclude:\n");
            rest.extend(rules);
        }
        let scenario = scenario("s", &switches, &rest);
        let effort = |threads| Effort { seed, steps: 2000, threads, ..Effort::default() };
        let matrix = expand(std::slice::from_ref(&scenario), &[], effort(1)).unwrap();
        let mut seen = BTreeSet::new();
        for combination in &matrix.combinations {
            prop_assert!(allowed(&scenario, &combination.values));
            seen.extend(pairs(&combination.values));
        }
        prop_assert_eq!(seen, possible(&scenario));
        let again = expand(std::slice::from_ref(&scenario), &[], effort(2)).unwrap();
        prop_assert_eq!(again, matrix);
    }
}

#[test]
fn of_what_a_change_affects_enough_is_run_to_cover_what_it_touches() {
    let mut fewer = 0;
    for name in ["twelve-switches", "covering-array", "openstack-big-switches"] {
        let scenario = fixture(name);
        let matrix = array(&scenario);
        for switch in &scenario.switches {
            for value in &switch.values {
                let touched = (switch.name.clone(), value.name.clone());
                let has = |c: &&Combination| c.values.contains(&touched);
                let (affected, others): (Vec<_>, Vec<_>) = matrix.combinations.iter().partition(has);
                let mut unaffected: BTreeMap<CombinationId, String> =
                    others.iter().map(|c| (c.id.clone(), "not affected".to_owned())).collect();
                spare_more(std::slice::from_ref(&scenario), &matrix, &mut unaffected);
                let stay: Vec<&&Combination> =
                    affected.iter().filter(|c| !unaffected.contains_key(&c.id)).collect();
                let word = format!("{}={}", touched.0, touched.1);
                let of = |rows: &mut dyn Iterator<Item = &Combination>| -> BTreeSet<Pair> {
                    rows.flat_map(|c| pairs(&c.values).collect::<Vec<_>>())
                        .filter(|p| p.contains(&word))
                        .collect()
                };
                // Nothing that can be touched is lost.
                let before = of(&mut affected.iter().copied());
                assert_eq!(of(&mut stay.iter().map(|c| **c)), before, "{name} {word}");
                for row in &affected {
                    let must = row.refusal.is_some() || scenario.include.contains(&row.values);
                    assert!(!must || !unaffected.contains_key(&row.id), "{name} {}", row.name());
                }
                fewer += affected.len() - stay.len();
            }
        }
        // All of them, or none: nothing is added.
        let mut none = BTreeMap::new();
        spare_more(std::slice::from_ref(&scenario), &matrix, &mut none);
        assert!(none.is_empty());
        // A combination that is affected for another reason than a value of its own stays.
        let last = matrix.combinations.last().unwrap();
        let mut others: BTreeMap<CombinationId, String> = matrix
            .combinations
            .iter()
            .filter(|c| c.id != last.id)
            .map(|c| (c.id.clone(), String::new()))
            .collect();
        spare_more(std::slice::from_ref(&scenario), &matrix, &mut others);
        assert!(!others.contains_key(&last.id));
    }
    assert!(fewer > 0, "no change needs fewer combinations than it affects");
}
