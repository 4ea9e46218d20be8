//! Expressions: what they mean, held against an evaluator that shares nothing with the real one.

#![allow(clippy::unwrap_used)]

use crate::scenario::read;
use proptest::prelude::*;
use stack_e2e::scenario::expr::{Axis, Clause, parse};
use stack_e2e::scenario::{Scenario, Switch};
use stack_e2e::types::{SwitchName, ValueName};

const MINORS: [&str; 3] = ["1.9", "1.30", "1.34"];
const PLANES: [i64; 2] = [1, 3];
const YAWOL: [&str; 2] = ["on", "off"];

fn scenario() -> Scenario {
    read(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec:\n  \
         stack: {provider: scripted, name: scs, source: {directory: s}}\n  checks: [smoke]\n  switches:\n    \
         kubernetes: [\"1.9\", \"1.30\", \"1.34\"]\n    controlPlanes: [1, 3]\n    yawol:\n      \
         - {name: \"on\", variables: {a: 1}}\n      - {name: \"off\", variables: {a: 2}}\n",
    )
    .unwrap()
}

/// One combination: indices into the three switches.
type Row = (usize, usize, usize);

fn rows() -> impl Iterator<Item = Row> {
    (0..3).flat_map(|k| (0..2).flat_map(move |c| (0..2).map(move |y| (k, c, y))))
}

/// Where the real one holds, row by row.
fn real(text: &str, switches: &[Switch]) -> Vec<bool> {
    let axes: Vec<Axis<'_>> = switches.iter().map(|s| Axis::of(s, true)).collect();
    let expr = parse(text, &axes, &[]).unwrap_or_else(|p| panic!("{text}: {p:?}")).unwrap();
    let value = |row: Row, name: &SwitchName| -> Option<&ValueName> {
        let at = [row.0, row.1, row.2];
        let index = switches.iter().position(|s| s.name == *name)?;
        Some(&switches[index].values[at[index]].name)
    };
    rows().map(|row| expr.holds(&|name| value(row, name))).collect()
}

#[derive(Debug, Clone)]
enum Model {
    Minor(&'static str, usize, bool),
    MinorIs(&'static str, usize),
    Planes(&'static str, i64, bool),
    PlanesIn(Vec<i64>),
    Yawol(&'static str, usize),
    Constant(bool),
    Not(Box<Model>),
    And(Box<Model>, Box<Model>),
    Or(Box<Model>, Box<Model>),
}

const ORDERS: &[&str] = &["<", "<=", ">", ">=", "==", "!="];

fn model() -> impl Strategy<Value = Model> {
    let order = || prop::sample::select(ORDERS);
    let equal = || prop::sample::select(&ORDERS[4..]);
    let leaf = prop_oneof![
        (order(), 0_usize..3, any::<bool>()).prop_map(|(o, i, swap)| Model::Minor(o, i, swap)),
        (equal(), 0_usize..3).prop_map(|(o, i)| Model::MinorIs(o, i)),
        (order(), prop::sample::select(&PLANES[..]), any::<bool>())
            .prop_map(|(o, n, swap)| Model::Planes(o, n, swap)),
        prop::collection::vec(prop::sample::select(&PLANES[..]), 0..3).prop_map(Model::PlanesIn),
        (equal(), 0_usize..2).prop_map(|(o, i)| Model::Yawol(o, i)),
        any::<bool>().prop_map(Model::Constant),
    ];
    leaf.prop_recursive(4, 14, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|m| Model::Not(Box::new(m))),
            two.clone().prop_map(|(a, b)| Model::And(Box::new(a), Box::new(b))),
            two.prop_map(|(a, b)| Model::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn compare<T: PartialOrd>(order: &str, left: T, right: T) -> bool {
    match order {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "==" => left == right,
        _ => left != right,
    }
}

impl Model {
    fn holds(&self, row: Row) -> bool {
        // The minors are listed oldest first, so their indices are in order.
        match self {
            Self::Minor(order, i, swap) => {
                if *swap {
                    compare(order, *i, row.0)
                } else {
                    compare(order, row.0, *i)
                }
            }
            Self::MinorIs(order, i) => compare(order, row.0, *i),
            Self::Planes(order, n, swap) => {
                if *swap {
                    compare(order, *n, PLANES[row.1])
                } else {
                    compare(order, PLANES[row.1], *n)
                }
            }
            Self::PlanesIn(list) => list.contains(&PLANES[row.1]),
            Self::Yawol(order, i) => compare(order, row.2, *i),
            Self::Constant(value) => *value,
            Self::Not(inner) => !inner.holds(row),
            Self::And(a, b) => a.holds(row) && b.holds(row),
            Self::Or(a, b) => a.holds(row) || b.holds(row),
        }
    }

    /// How tightly the outermost operator binds.
    fn rank(&self) -> u8 {
        match self {
            Self::Or(..) => 0,
            Self::And(..) => 1,
            Self::Not(_) | Self::Constant(_) => 3,
            _ => 2,
        }
    }

    /// With brackets only where precedence needs them.
    fn text(&self, rank: u8) -> String {
        let text = match self {
            Self::Minor(order, i, false) => format!("semver(kubernetes) {order} semver(\"{}\")", MINORS[*i]),
            Self::Minor(order, i, true) => format!("semver('{}') {order} semver(kubernetes)", MINORS[*i]),
            Self::MinorIs(order, i) => format!("kubernetes{order}\"{}\"", MINORS[*i]),
            Self::Planes(order, n, false) => format!("controlPlanes {order} {n}"),
            Self::Planes(order, n, true) => format!("{n} {order} int(controlPlanes)"),
            Self::PlanesIn(list) => format!("controlPlanes in {list:?}"),
            Self::Yawol(order, i) => format!("yawol {order} '{}'", YAWOL[*i]),
            Self::Constant(value) => value.to_string(),
            Self::Not(inner) => format!("!{}", inner.text(3)),
            Self::And(a, b) => format!("{} && {}", a.text(1), b.text(1)),
            Self::Or(a, b) => format!("{} || {}", a.text(0), b.text(0)),
        };
        if self.rank() < rank { format!("({text})") } else { text }
    }
}

proptest! {
    #[test]
    fn an_expression_means_what_it_says(model in model()) {
        let text = model.text(0);
        prop_assume!(text.len() <= 512);
        let expected: Vec<bool> = rows().map(|row| model.holds(row)).collect();
        prop_assert_eq!(real(&text, &scenario().switches), expected, "{}", text);
    }
}

#[test]
fn precedence_is_that_of_cel() {
    let switches = scenario().switches;
    for (text, same) in [
        (
            "yawol == 'on' || yawol == 'off' && controlPlanes == 1",
            "yawol == 'on' || (yawol == 'off' && controlPlanes == 1)",
        ),
        ("!(yawol == 'on') && controlPlanes == 1", "(!(yawol == 'on')) && controlPlanes == 1"),
        ("!true || true", "(!true) || true"),
    ] {
        assert_eq!(real(text, &switches), real(same, &switches), "{text}");
    }
}

#[test]
fn comparisons_are_decided_when_they_are_read() {
    let switches = scenario().switches;
    let axes: Vec<Axis<'_>> = switches.iter().map(|s| Axis::of(s, true)).collect();
    let expr = parse("semver(kubernetes) < semver(\"1.34\")", &axes, &[]).unwrap().unwrap();
    let Clause::In(switch, values) = expr.clause() else { panic!("{expr:?}") };
    assert_eq!(switch.as_str(), "kubernetes");
    assert_eq!(values.iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["1.30", "1.9"]);
    assert_eq!(expr.switches().len(), 1);
}

#[test]
fn a_switch_with_problems_of_its_own_is_not_judged() {
    let switches = scenario().switches;
    let axes: Vec<Axis<'_>> = switches.iter().map(|s| Axis::of(s, false)).collect();
    assert_eq!(parse("yawol == \"maybe\"", &axes, &[]), Ok(None));
    assert_eq!(parse("disks == \"large\"", &axes, &["disks"]), Ok(None));
    assert!(parse("disk == \"large\"", &axes, &["disks"]).is_err());
}
