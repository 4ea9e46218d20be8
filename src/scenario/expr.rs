//! The expressions of `exclude`: a subset of CEL over the switches of a scenario.
//!
//! ```text
//! text -> tokens -> syntax -> (checked against the switches) -> Clause
//! ```
//!
//! A switch has few values, all of them known, so every comparison is decided while it is checked: what is left is
//! the set of values for which it holds. Nothing can go wrong afterwards, and the result can be lowered to clauses.

mod check;
mod syntax;

use super::Switch;
use super::switches::{CONTROL_PLANES, KUBERNETES, WORKERS};
use crate::types::{KubernetesMinor, SwitchName, ValueName};
use std::collections::BTreeSet;

/// The longest expression, in characters.
pub const MAX_LENGTH: usize = 512;
/// How deep brackets and `!` may stand in each other.
pub const MAX_NESTING: usize = 32;

/// A parsed and type-checked expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    text: String,
    clause: Clause,
}

/// What an expression says, with every comparison decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    /// Always, or never.
    Constant(bool),
    /// The switch has one of these values.
    In(SwitchName, BTreeSet<ValueName>),
    /// The two switches have one of these pairs of values.
    Pair(SwitchName, SwitchName, BTreeSet<(ValueName, ValueName)>),
    /// The opposite.
    Not(Box<Clause>),
    /// All of them.
    All(Vec<Clause>),
    /// At least one of them.
    Any(Vec<Clause>),
}

impl Expr {
    /// The text as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub fn clause(&self) -> &Clause {
        &self.clause
    }

    /// Whether it holds; `value` gives the value of a switch.
    pub fn holds<'a>(&self, value: &dyn Fn(&SwitchName) -> Option<&'a ValueName>) -> bool {
        self.clause.holds(value)
    }

    /// The switches that it depends on, each once.
    #[must_use]
    pub fn switches(&self) -> Vec<&SwitchName> {
        let mut names = BTreeSet::new();
        self.clause.visit(&mut |clause| match clause {
            Clause::In(switch, _) => {
                names.insert(switch);
            }
            Clause::Pair(left, right, _) => {
                names.extend([left, right]);
            }
            Clause::Constant(_) | Clause::Not(_) | Clause::All(_) | Clause::Any(_) => {}
        });
        names.into_iter().collect()
    }
}

impl Clause {
    /// Whether it holds; `value` gives the value of a switch.
    pub fn holds<'a>(&self, value: &dyn Fn(&SwitchName) -> Option<&'a ValueName>) -> bool {
        match self {
            Self::Constant(holds) => *holds,
            Self::In(switch, values) => value(switch).is_some_and(|v| values.contains(v)),
            Self::Pair(left, right, pairs) => {
                let both = value(left).zip(value(right));
                both.is_some_and(|(l, r)| pairs.contains(&(l.clone(), r.clone())))
            }
            Self::Not(clause) => !clause.holds(value),
            Self::All(clauses) => clauses.iter().all(|c| c.holds(value)),
            Self::Any(clauses) => clauses.iter().any(|c| c.holds(value)),
        }
    }

    /// Calls `see` for this clause and everything in it, outermost first.
    pub fn visit<'c>(&'c self, see: &mut dyn FnMut(&'c Clause)) {
        see(self);
        match self {
            Self::Constant(_) | Self::In(..) | Self::Pair(..) => {}
            Self::Not(clause) => clause.visit(see),
            Self::All(clauses) | Self::Any(clauses) => clauses.iter().for_each(|c| c.visit(see)),
        }
    }
}

/// A switch as expressions see it.
#[derive(Debug, Clone)]
pub struct Axis<'a> {
    name: &'a SwitchName,
    kind: AxisKind,
    values: Vec<&'a ValueName>,
    /// Whether all values are known.
    complete: bool,
}

/// The type of a switch's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AxisKind {
    /// A Kubernetes minor: a string, ordered inside `semver(...)`.
    Minor,
    /// A number of Machines.
    Number,
    /// A name.
    Name,
}

impl<'a> Axis<'a> {
    /// A switch; `complete` says whether values may be missing because of problems reported elsewhere.
    #[must_use]
    pub fn of(switch: &'a Switch, complete: bool) -> Self {
        let kind = match switch.name.as_str() {
            KUBERNETES => AxisKind::Minor,
            CONTROL_PLANES | WORKERS => AxisKind::Number,
            _ => AxisKind::Name,
        };
        let values = switch.values.iter().map(|v| &v.name).collect();
        Self { name: &switch.name, kind, values, complete }
    }
}

/// A problem at some characters of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprProblem {
    /// Where it starts, in characters from 0.
    pub offset: usize,
    /// How many characters.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ExprProblem {
    fn new(at: Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let length = at.end.saturating_sub(at.start).max(1);
        Self { offset: at.start, length, message: message.into(), hint: Some(hint.into()) }
    }
}

/// Characters of the text, from 0, without the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
}

/// Parses and checks an expression. `unreadable` are names of switches of which nothing is known; an expression that
/// mentions one of them, or an incomplete axis, comes back as `None`: what is wrong is reported elsewhere.
///
/// # Errors
/// Every problem of the expression; one if it is not well-formed.
pub fn parse(text: &str, axes: &[Axis<'_>], unreadable: &[&str]) -> Result<Option<Expr>, Vec<ExprProblem>> {
    let length = text.chars().count();
    if length > MAX_LENGTH {
        let at = Place { start: MAX_LENGTH, end: MAX_LENGTH + 1 };
        let message = format!("the expression has {length} characters, {MAX_LENGTH} are allowed");
        return Err(vec![ExprProblem::new(at, message, "write several entries of `exclude`")]);
    }
    let syntax = syntax::parse(text).map_err(|problem| vec![problem])?;
    let mut checker = check::Checker { axes, unreadable, problems: Vec::new(), unknown: false };
    let clause = checker.truth(&syntax);
    match clause {
        _ if !checker.problems.is_empty() => Err(checker.problems),
        Some(clause) if !checker.unknown => Ok(Some(Expr { text: text.to_owned(), clause })),
        _ => Ok(None),
    }
}

fn minor(text: &str) -> Option<KubernetesMinor> {
    text.parse().ok()
}
