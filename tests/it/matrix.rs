//! The matrix: what runs, what does not and why, and that ids stay.

#![allow(clippy::unwrap_used)]

use crate::scenario::read;
use proptest::prelude::*;
use stack_e2e::matrix::{self, Effort, Matrix, SelectError, Selection, Shard, one_shard, select};
use stack_e2e::scenario::{Problems, Scenario};
use stack_e2e::types::{CombinationId, SwitchName, ValueName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A scenario with these switches (name, number of values) and the rest of its `spec`.
pub fn scenario(name: &str, switches: &[(String, Vec<String>)], rest: &str) -> Scenario {
    let mut text = format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  \
         stack: {{provider: scripted, name: scs, source: {{directory: stack}}}}\n  checks: [smoke]\n  switches:\n"
    );
    for (switch, values) in switches {
        writeln!(text, "    {switch}:").unwrap();
        for value in values {
            writeln!(text, "      - {{name: \"{value}\", variables: {{{switch}: \"{value}\"}}}}").unwrap();
        }
    }
    text.push_str(rest);
    read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn expand(scenarios: &[Scenario]) -> Result<Matrix, Problems> {
    matrix::expand(scenarios, &[], Effort::default())
}

fn names(matrix: &Matrix) -> Vec<String> {
    matrix.combinations.iter().map(|c| c.name()).collect()
}

fn left_out(matrix: &Matrix) -> Vec<String> {
    matrix.left_out.iter().map(|l| format!("{}: {}", l.name(), l.reason)).collect()
}

pub fn own(pairs: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    pairs.iter().map(|(s, v)| ((*s).to_owned(), v.iter().map(|v| (*v).to_owned()).collect())).collect()
}

fn two() -> Vec<Scenario> {
    let first = "  exclude:\n    - {when: {lb: yawol, disk: large}, because: too large}\n";
    vec![
        scenario("first", &own(&[("lb", &["octavia", "yawol"]), ("disk", &["small", "large"])]), first),
        scenario("second", &own(&[("lb", &["octavia", "none"])]), ""),
    ]
}

fn wanted(pairs: &[(&str, &str)]) -> Selection {
    let pair = |(s, v): &(&str, &str)| (SwitchName::new(*s).unwrap(), ValueName::new(*v).unwrap());
    Selection { wanted: pairs.iter().map(pair).collect(), ..Selection::default() }
}

#[test]
fn the_product_is_in_the_order_of_the_files_and_the_last_switch_varies_fastest() {
    let matrix = expand(&two()).unwrap();
    assert_eq!(
        names(&matrix),
        ["lb=octavia disk=small", "lb=octavia disk=large", "lb=yawol disk=small", "lb=octavia", "lb=none",]
    );
    assert_eq!(left_out(&matrix), ["lb=yawol disk=large: excluded: too large"]);
}

#[test]
fn values_are_merged_into_one_patch() {
    let text = std::fs::read_to_string("fixtures/scenario/pass/openstack-big-switches.yaml").unwrap();
    let matrix = expand(&[read(&text).unwrap()]).unwrap();
    assert_eq!((matrix.combinations.len(), matrix.left_out.len()), (9, 3));
    let last =
        matrix.combinations.iter().find(|c| c.name() == "kubernetes=1.28 controlPlanes=3 yawol=on").unwrap();
    assert_eq!(last.patch.kubernetes.unwrap().to_string(), "1.28");
    assert_eq!(last.patch.control_planes, Some(3));
    assert_eq!(last.patch.workers, None);
    assert_eq!(last.patch.variables["yawol_flavor_id"], "value-of-YAWOL_FLAVOR_ID");
    assert_eq!(last.checks.iter().map(|c| c.as_str()).collect::<Vec<_>>(), ["load-balancer-yawol"]);
}

#[test]
fn ids_do_not_change_between_versions() {
    let matrix = expand(&two()).unwrap();
    let ids: Vec<String> = matrix.combinations.iter().map(|c| c.id.to_string()).collect();
    // Journals, labels and bookmarks hold ids: whoever changes this line breaks them.
    insta::assert_compact_json_snapshot!(ids);
}

#[test]
fn a_selection_keeps_what_is_wanted_and_lists_the_rest() {
    let matrix = select(expand(&two()).unwrap(), &wanted(&[("lb", "octavia")])).unwrap();
    assert_eq!(names(&matrix), ["lb=octavia disk=small", "lb=octavia disk=large", "lb=octavia"]);
    assert_eq!(
        left_out(&matrix),
        [
            "lb=yawol disk=large: excluded: too large",
            "lb=yawol disk=small: not selected: --where lb=octavia",
            "lb=none: not selected: --where lb=octavia",
        ]
    );
    // Several values of one switch are alternatives; a scenario without the switch is not meant.
    let both = wanted(&[("lb", "octavia"), ("lb", "yawol"), ("disk", "small")]);
    let matrix = select(expand(&two()).unwrap(), &both).unwrap();
    assert_eq!(names(&matrix), ["lb=octavia disk=small", "lb=yawol disk=small"]);
    assert!(left_out(&matrix).contains(&"lb=octavia: not selected: --where disk=small".to_owned()));
}

#[test]
fn ids_may_be_shortened_as_long_as_they_tell_apart() {
    let all = expand(&two()).unwrap();
    let id = all.combinations[2].id.to_string();
    for only in [vec![id.clone()], vec![id[..5].to_owned(), id.clone()]] {
        let matrix = select(all.clone(), &Selection { only, ..Selection::default() }).unwrap();
        assert_eq!(names(&matrix), ["lb=yawol disk=small"]);
        assert_eq!(matrix.left_out.len(), 5);
    }
}

#[test]
fn what_does_not_exist_is_named() {
    let all = || expand(&two()).unwrap();
    let error = |selection: &Selection| select(all(), selection).unwrap_err().to_string();
    let only = |id: &str| Selection { only: vec![id.to_owned()], ..Selection::default() };
    let excluded = all().left_out[0].id.clone().unwrap().to_string();
    let cases = [
        (wanted(&[("lbb", "octavia")]), "no scenario has a switch `lbb`; did you mean `lb`?".to_owned()),
        (wanted(&[("zone", "a")]), "no scenario has a switch `zone`".to_owned()),
        (
            wanted(&[("lb", "octavio")]),
            "the switch `lb` has no value `octavio`; did you mean `octavia`?".to_owned(),
        ),
        (
            only("zzzzzzzz"),
            "no combination has an id that starts with `zzzzzzzz`; `plan` prints the ids".to_owned(),
        ),
        (only(""), "no combination has an id that starts with ``; `plan` prints the ids".to_owned()),
        (only(&excluded), format!("the combination {excluded} does not run: excluded: too large")),
    ];
    for (selection, expected) in cases {
        assert_eq!(error(&selection), expected);
    }
}

#[test]
fn an_id_that_fits_several_is_refused() {
    let switches: Vec<(String, Vec<String>)> =
        ["a", "b"].map(|s| (s.to_owned(), (0..10).map(|i| format!("v{i}")).collect())).into();
    let all = expand(&[scenario("s", &switches, "")]).unwrap();
    // 100 ids over 32 first characters: some share one.
    let first: Vec<String> = all.combinations.iter().map(|c| c.id.as_str()[..1].to_owned()).collect();
    let twice = first.iter().find(|c| first.iter().filter(|d| d == c).count() > 1).unwrap();
    let error = select(all, &Selection { only: vec![twice.clone()], ..Selection::default() }).unwrap_err();
    assert!(matches!(error, SelectError::Ambiguous { .. }), "{error}");
}

#[test]
fn a_shard_is_one_part_of_several() {
    assert_eq!("2/4".parse::<Shard>().unwrap().parts(), (2, 4));
    assert_eq!("2/4".parse::<Shard>().unwrap().to_string(), "2/4");
    for bad in ["", "2", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/2/3", "99999999999/4"] {
        let error = bad.parse::<Shard>().unwrap_err().to_string();
        assert!(error.contains("write `2/4`"), "{error}");
    }
}

/// Up to four switches with up to four values each.
fn switches() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    prop::collection::vec(1_usize..=4, 1..=4).prop_map(|sizes| {
        let values = |n: usize| (0..n).map(|v| format!("v{v}")).collect();
        sizes.into_iter().enumerate().map(|(i, n)| (format!("s{i}"), values(n))).collect()
    })
}

fn ids(matrix: &Matrix) -> BTreeMap<Vec<(String, String)>, String> {
    let left_out = matrix.left_out.iter().map(|l| (&l.values, l.id.as_ref().unwrap()));
    let all = matrix.combinations.iter().map(|c| (&c.values, &c.id)).chain(left_out);
    let key = |values: &stack_e2e::types::SwitchValues| {
        let mut key: Vec<_> = values.iter().map(|(s, v)| (s.to_string(), v.to_string())).collect();
        key.sort();
        key
    };
    all.map(|(values, id)| (key(values), id.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn combinations_and_left_out_are_the_product(
        switches in switches(),
        picks in prop::collection::vec((0_usize..4, 0_usize..4, 0_usize..4, 0_usize..4), 0..4),
        shards in 1_u32..6,
    ) {
        let mut rest = String::from("  exclude:\n");
        let mut pairs = BTreeSet::new();
        for (s, v, t, w) in picks {
            let (s, t) = (s % switches.len(), t % switches.len());
            let (v, w) = (v % switches[s].1.len(), w % switches[t].1.len());
            // Never all: at least one row has the first value everywhere.
            if v > 0 && (s == t || w > 0) {
                pairs.insert(if s == t { format!("s{s}: v{v}") } else { format!("s{s}: v{v}, s{t}: v{w}") });
            }
        }
        for pair in &pairs {
            writeln!(rest, "    - {{when: {{{pair}}}, because: property}}").unwrap();
        }
        let rest = if pairs.is_empty() { "" } else { &rest };
        let matrix = expand(&[scenario("s", &switches, rest)]).unwrap();
        let product: usize = switches.iter().map(|(_, v)| v.len()).product();
        prop_assert_eq!(matrix.combinations.len() + matrix.left_out.len(), product);
        prop_assert_eq!(ids(&matrix).len(), product);
        prop_assert_eq!(ids(&matrix).into_values().collect::<BTreeSet<_>>().len(), product);

        // The shards are a partition, and each lists what the others run.
        let mut seen = BTreeSet::new();
        for index in 1..=shards {
            let shard = Shard::new(index, shards).unwrap();
            let dealt = |id: &CombinationId| u32::from(id.as_str().as_bytes()[7]) % shards + 1;
            let part = one_shard(matrix.clone(), shard, dealt);
            prop_assert_eq!(part.combinations.len() + part.left_out.len(), product);
            for combination in part.combinations {
                prop_assert!(seen.insert(combination.id));
            }
        }
        prop_assert_eq!(seen.len(), matrix.combinations.len());
    }

    #[test]
    fn ids_survive_new_values_and_another_order(switches in switches(), at in 0_usize..4) {
        let before = ids(&expand(&[scenario("s", &switches, "")]).unwrap());
        let mut changed = switches.clone();
        let at = at % changed.len();
        changed[at].1.insert(0, "fresh".to_owned());
        changed.reverse();
        changed.iter_mut().for_each(|(_, values)| values.reverse());
        let after = ids(&expand(&[scenario("s", &changed, "")]).unwrap());
        for (values, id) in &before {
            prop_assert_eq!(after.get(values), Some(id));
        }
        prop_assert!(after.len() > before.len());
    }
}
