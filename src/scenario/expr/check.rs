//! Syntax -> [`Clause`]: types, names, and the outcome of every comparison.

use super::syntax::{Function, Operator, Syntax, SyntaxKind};
use super::{Axis, AxisKind, Clause, ExprProblem, Place, minor};
use crate::scenario::problem::{name_hint, quote};
use crate::types::{KubernetesMinor, ValueName};
use std::cmp::Ordering;

pub(super) struct Checker<'a> {
    pub axes: &'a [Axis<'a>],
    pub unreadable: &'a [&'a str],
    pub problems: Vec<ExprProblem>,
    /// A switch is mentioned whose values are not all known.
    pub unknown: bool,
}

/// One side of a comparison.
struct Side<'a> {
    at: Place,
    /// The switch, if it is one.
    axis: Option<&'a Axis<'a>>,
    /// The literal, if it is one; for a switch, what its values are.
    value: Literal,
}

/// A value that can be compared; for a switch, only its kind counts.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Text(String),
    Number(i64),
    Version(Option<KubernetesMinor>),
}

impl Literal {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Version(_) => "a version",
        }
    }

    fn of(value: &ValueName, like: &Literal) -> Self {
        match like {
            Self::Text(_) => Self::Text(value.as_str().to_owned()),
            Self::Number(_) => Self::Number(value.as_str().parse().unwrap_or(i64::MIN)),
            Self::Version(_) => Self::Version(minor(value.as_str())),
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Version(a), Self::Version(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            // Kinds are compared before values are.
            _ => Ordering::Less,
        }
    }
}

impl<'a> Checker<'a> {
    fn problem(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(ExprProblem::new(at, message, hint));
    }

    /// Something that is true or false.
    pub fn truth(&mut self, syntax: &Syntax) -> Option<Clause> {
        match &syntax.kind {
            SyntaxKind::Bool(value) => Some(Clause::Constant(*value)),
            SyntaxKind::Not(inner) => Some(Clause::Not(Box::new(self.truth(inner)?))),
            SyntaxKind::All(parts) => self.parts(parts).map(Clause::All),
            SyntaxKind::Any(parts) => self.parts(parts).map(Clause::Any),
            SyntaxKind::Compare(left, operator, right) => {
                let (left, right) = (self.side(left), self.side(right));
                self.compare(syntax.at, &left?, *operator, &right?)
            }
            SyntaxKind::In(left, items) => {
                let left = self.side(left);
                let items: Vec<Option<Side<'a>>> = items.iter().map(|item| self.side(item)).collect();
                let left = left?;
                let parts: Vec<_> = items
                    .into_iter()
                    .map(|item| self.compare(syntax.at, &left, Operator::Equal, &item?))
                    .collect();
                parts.into_iter().collect::<Option<Vec<_>>>().map(Clause::Any)
            }
            SyntaxKind::Name(name) => {
                let side = self.side(syntax)?;
                let example = match side.axis.map(|axis| (axis.kind, axis.values.first())) {
                    Some((AxisKind::Number, Some(value))) => format!("{name} == {value}"),
                    Some((_, Some(value))) => format!("{name} == \"{value}\""),
                    _ => format!("{name} == \"...\""),
                };
                let message = format!("the switch {} is not true or false", quote(name));
                self.problem(syntax.at, message, format!("compare it: `{example}`"));
                None
            }
            SyntaxKind::Number(_) | SyntaxKind::Text(_) | SyntaxKind::Call(..) => {
                let message = "this is not true or false";
                self.problem(syntax.at, message, "compare it with a switch, e.g. `yawol == \"on\"`");
                None
            }
        }
    }

    fn parts(&mut self, parts: &[Syntax]) -> Option<Vec<Clause>> {
        let parts: Vec<Option<Clause>> = parts.iter().map(|part| self.truth(part)).collect();
        parts.into_iter().collect()
    }

    fn side(&mut self, syntax: &Syntax) -> Option<Side<'a>> {
        let literal = |value| Some(Side { at: syntax.at, axis: None, value });
        match &syntax.kind {
            SyntaxKind::Number(number) => literal(Literal::Number(*number)),
            SyntaxKind::Text(text) => literal(Literal::Text(text.clone())),
            SyntaxKind::Name(name) => self.switch(name, syntax.at),
            SyntaxKind::Call(function, argument) => self.call(*function, argument, syntax.at),
            SyntaxKind::Bool(_)
            | SyntaxKind::Not(_)
            | SyntaxKind::All(_)
            | SyntaxKind::Any(_)
            | SyntaxKind::Compare(..)
            | SyntaxKind::In(..) => {
                let message = "a switch or a value is compared, not something that is true or false";
                self.problem(syntax.at, message, "join conditions by &&, || and !");
                None
            }
        }
    }

    fn switch(&mut self, name: &str, at: Place) -> Option<Side<'a>> {
        let axes = self.axes;
        if let Some(axis) = axes.iter().find(|axis| axis.name.as_str() == name) {
            self.unknown |= !axis.complete;
            let value = match axis.kind {
                AxisKind::Number => Literal::Number(0),
                AxisKind::Minor | AxisKind::Name => Literal::Text(String::new()),
            };
            return Some(Side { at, axis: Some(axis), value });
        }
        if self.unreadable.contains(&name) {
            self.unknown = true;
            return None;
        }
        let is_value = axes.iter().find(|axis| axis.values.iter().any(|v| v.as_str() == name));
        let hint = match is_value {
            Some(axis) => format!("`{name}` is a value of `{}`: write \"{name}\"", axis.name),
            None => name_hint(name, axes.iter().map(|axis| axis.name.as_str())),
        };
        self.problem(at, format!("there is no switch {}", quote(name)), hint);
        None
    }

    fn call(&mut self, function: Function, argument: &Syntax, at: Place) -> Option<Side<'a>> {
        let side = self.side(argument)?;
        match (function, &side.value, side.axis.map(|axis| axis.kind)) {
            (Function::Int, Literal::Number(_), _) => Some(Side { at, ..side }),
            (Function::Semver, Literal::Text(_), Some(AxisKind::Minor)) => {
                Some(Side { at, value: Literal::Version(None), ..side })
            }
            (Function::Semver, Literal::Text(text), None) => {
                let version = minor(text);
                if version.is_none() {
                    let message = format!("{} is not a Kubernetes minor", quote(text));
                    self.problem(side.at, message, "write e.g. `semver(\"1.34\")`");
                    return None;
                }
                Some(Side { at, axis: None, value: Literal::Version(version) })
            }
            (Function::Int, ..) => {
                self.problem(
                    side.at,
                    "`int(...)` takes a number",
                    "`controlPlanes` and `workers` are numbers",
                );
                None
            }
            (Function::Semver, ..) => {
                let hint = "write `semver(kubernetes)` or `semver(\"1.34\")`";
                self.problem(side.at, "`semver(...)` takes a Kubernetes minor", hint);
                None
            }
        }
    }

    fn compare(
        &mut self,
        at: Place,
        left: &Side<'a>,
        operator: Operator,
        right: &Side<'a>,
    ) -> Option<Clause> {
        if left.value.kind() != right.value.kind() {
            let (literal, switch) = if left.axis.is_none() { (left, right) } else { (right, left) };
            let shown = |side: &Side<'_>| match side.axis {
                Some(axis) => format!("`{}`, {},", axis.name, side.value.kind()),
                None => side.value.kind().to_owned(),
            };
            let message =
                format!("{} is compared with {}", shown(literal), shown(switch).trim_end_matches(','));
            let hint = match (&literal.value, &switch.value) {
                (Literal::Version(_), Literal::Text(_)) | (Literal::Text(_), Literal::Version(_))
                    if literal.axis.is_some() =>
                {
                    "write semver(...) on both sides".to_owned()
                }
                _ if literal.axis.is_some() => "compare values of one type".to_owned(),
                (Literal::Text(text), Literal::Number(_)) if text.parse::<i64>().is_ok() => {
                    format!("write {text} without quotes")
                }
                (Literal::Number(number), Literal::Text(_)) => format!("write \"{number}\""),
                (Literal::Text(text), Literal::Version(_)) => format!("write semver(\"{text}\")"),
                (Literal::Version(_), Literal::Text(_)) => "write semver(...) on both sides".to_owned(),
                _ => "compare values of one type".to_owned(),
            };
            self.problem(literal.at, message, hint);
            return None;
        }
        if operator.is_order() && matches!(left.value, Literal::Text(_)) {
            let minors = [left, right].iter().filter_map(|s| s.axis).any(|axis| axis.kind == AxisKind::Minor);
            let hint = if minors {
                "versions are ordered by `semver(kubernetes) < semver(\"1.34\")`"
            } else {
                "use == or !=, or `in [..]`"
            };
            self.problem(at, "strings have no order that means anything here", hint);
            return None;
        }
        match (left.axis, right.axis) {
            (None, None) => {
                self.problem(at, "no switch is compared here", "it always has the same outcome; remove it");
                None
            }
            (Some(axis), None) => self.against(axis, &left.value, operator, right, false),
            (None, Some(axis)) => self.against(axis, &right.value, operator, left, true),
            (Some(a), Some(b)) => {
                let pairs = a.values.iter().flat_map(|x| b.values.iter().map(move |y| (*x, *y)));
                let holds = |(x, y): &(&ValueName, &ValueName)| {
                    operator.holds(Literal::of(x, &left.value).cmp(&Literal::of(y, &right.value)))
                };
                let pairs = pairs.filter(holds).map(|(x, y)| (x.clone(), y.clone())).collect();
                Some(Clause::Pair(a.name.clone(), b.name.clone(), pairs))
            }
        }
    }

    /// A switch against a literal; `swapped` when the literal stands on the left.
    fn against(
        &mut self,
        axis: &Axis<'_>,
        kind: &Literal,
        operator: Operator,
        literal: &Side<'a>,
        swapped: bool,
    ) -> Option<Clause> {
        if !operator.is_order() && axis.complete {
            let exists = axis.values.iter().any(|v| Literal::of(v, kind) == literal.value);
            let shown = match &literal.value {
                Literal::Text(text) => text.clone(),
                Literal::Number(number) => number.to_string(),
                Literal::Version(version) => version.map_or_else(String::new, |v| v.to_string()),
            };
            if !exists {
                let message = format!("`{}` has no value {}", axis.name, quote(&shown));
                let names = axis.values.iter().map(|v| v.as_str());
                self.problem(literal.at, message, name_hint(&shown, names));
                return None;
            }
        }
        let holds = |value: &&&ValueName| {
            let order = Literal::of(value, kind).cmp(&literal.value);
            operator.holds(if swapped { order.reverse() } else { order })
        };
        let values = axis.values.iter().filter(holds).map(|v| (*v).clone()).collect();
        Some(Clause::In(axis.name.clone(), values))
    }
}
