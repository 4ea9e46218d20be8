//! A scenario's switches and rules -> a model of plain numbers for the covering arrays, and back.

use super::cover::{Clause, Literal, Model, ModelError, Row, Solver};
use crate::scenario::{Problem, Scenario, ValueBox, boxes};
use crate::types::SwitchValues;

/// A scenario in numbers: parameter = index of the switch, value = index among its values.
pub(super) struct Lowered<'s> {
    scenario: &'s Scenario,
    pub(super) model: Model,
    rules: Vec<Rule>,
    clauses: Vec<Clause>,
}

/// What a clause stems from.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// An entry of `exclude`.
    Exclusion(usize),
    /// `requires` of a value of a switch.
    Requirement(usize, usize),
    /// Two invalid values: nobody could tell which of them was refused.
    Invalid,
}

impl<'s> Lowered<'s> {
    pub(super) fn of(scenario: &'s Scenario) -> Result<Self, ModelError> {
        Self::of_part(scenario, &SwitchValues::new())
    }

    /// Only of the combinations that have the values `fixed`.
    pub(super) fn of_part(scenario: &'s Scenario, fixed: &SwitchValues) -> Result<Self, ModelError> {
        let levels =
            scenario.switches.iter().map(|s| u8::try_from(s.values.len()).unwrap_or(u8::MAX)).collect();
        let (mut clauses, mut rules) = (Vec::new(), Vec::new());
        for (index, exclusion) in scenario.exclude.iter().enumerate() {
            let origin = rules.len();
            rules.push(Rule::Exclusion(index));
            // The loader has refused conditions that fall apart into too many boxes.
            for one in boxes(&exclusion.when, &scenario.switches).unwrap_or_default() {
                clauses.push(Clause { literals: outside(scenario, &one), origin });
            }
        }
        for (s, switch) in scenario.switches.iter().enumerate() {
            for (v, value) in switch.values.iter().enumerate() {
                let Some(requires) = &value.requires else { continue };
                let origin = rules.len();
                rules.push(Rule::Requirement(s, v));
                for (name, wanted) in &requires.values {
                    let Some(p) = scenario.switches.iter().position(|switch| switch.name == *name) else {
                        continue;
                    };
                    let mut literals = vec![Literal { parameter: s, value: index(v), equal: false }];
                    for (w, value) in scenario.switches[p].values.iter().enumerate() {
                        if wanted.contains(&value.name) {
                            literals.push(Literal { parameter: p, value: index(w), equal: true });
                        }
                    }
                    clauses.push(Clause { literals, origin });
                }
            }
        }
        let invalid = |s: usize| {
            let values = scenario.switches[s].values.iter().enumerate();
            values.filter(|(_, value)| value.refusal.is_some()).map(move |(v, _)| Literal {
                parameter: s,
                value: index(v),
                equal: false,
            })
        };
        for s in 0..scenario.switches.len() {
            for (one, other) in
                (0..s).flat_map(|t| invalid(s).flat_map(move |one| invalid(t).map(move |o| (one, o))))
            {
                clauses.push(Clause { literals: vec![one, other], origin: rules.len() });
            }
        }
        for (name, value) in fixed {
            let place = scenario.switches.iter().enumerate().find(|(_, switch)| switch.name == *name);
            let Some((parameter, switch)) = place else { continue };
            let equal = switch.values.iter().position(|known| known.name == *value);
            let literals = equal.map(|v| vec![Literal { parameter, value: index(v), equal: true }]);
            clauses.push(Clause { literals: literals.unwrap_or_default(), origin: rules.len() });
        }
        rules.push(Rule::Invalid);
        Ok(Self { scenario, model: Model::new(levels, clauses.clone())?, rules, clauses })
    }

    /// The rules as one sentence: what `excluded: ` is written before in reports.
    pub(super) fn because(&self, origins: &[usize]) -> String {
        let reasons = origins.iter().filter_map(|origin| self.rules.get(*origin)).map(|rule| match *rule {
            Rule::Invalid => "a combination has at most one invalid value".to_owned(),
            Rule::Exclusion(index) => self.scenario.exclude[index].because.clone(),
            Rule::Requirement(s, v) => {
                let (switch, value) = (&self.scenario.switches[s], &self.scenario.switches[s].values[v]);
                let Some(requires) = &value.requires else { return String::new() };
                let wanted: Vec<String> = requires
                    .values
                    .iter()
                    .map(|(name, values)| {
                        let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
                        format!("{name}={}", values.join("|"))
                    })
                    .collect();
                let why = requires.because.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                format!("{}={} requires {}{why}", switch.name, value.name, wanted.join(" and "))
            }
        });
        reasons.collect::<Vec<_>>().join("; and ")
    }

    /// No combination is left: said at the first of the rules that contradict each other, with the places of the others.
    pub(super) fn contradiction(&self, origins: &[usize]) -> Problem {
        let place = |origin: &usize| match *self.rules.get(*origin)? {
            Rule::Invalid => None,
            Rule::Exclusion(index) => Some((self.scenario.exclude[index].position, "excluded here")),
            Rule::Requirement(s, v) => {
                let requires = self.scenario.switches[s].values[v].requires.as_ref()?;
                Some((requires.position, "required here"))
            }
        };
        let mut places = origins.iter().filter_map(place);
        let span = places.next().map_or(self.scenario.positions.cover, |(span, _)| span);
        let alone = origins.len() < 2;
        let message =
            if alone { "this excludes all combinations" } else { "together these exclude all combinations" };
        let hint = if alone {
            "narrow the condition"
        } else {
            "narrow one of them; without any one of them something would be left to run"
        };
        let problem = self.scenario.problem(span, message).hint(hint);
        places.fold(problem, |problem, (span, what)| problem.related(&self.scenario.source, span, what))
    }

    /// Values of every switch.
    pub(super) fn values(&self, row: &[u8]) -> SwitchValues {
        self.partial(row.iter().enumerate().map(|(parameter, value)| (parameter, *value)))
    }

    /// Values of some switches.
    pub(super) fn partial(&self, cells: impl IntoIterator<Item = (usize, u8)>) -> SwitchValues {
        let pair = |(parameter, value): (usize, u8)| {
            let switch = self.scenario.switches.get(parameter)?;
            Some((switch.name.clone(), switch.values.get(usize::from(value))?.name.clone()))
        };
        cells.into_iter().filter_map(pair).collect()
    }

    /// The row with these values; `None` for a switch that is not named. `Err` when a value does not exist (any more).
    pub(super) fn row(&self, values: &SwitchValues) -> Result<Vec<Option<u8>>, ()> {
        let cell =
            |switch: &crate::scenario::Switch| match values.iter().find(|(name, _)| *name == switch.name) {
                None => Ok(None),
                Some((_, value)) => {
                    let found = switch.values.iter().position(|v| v.name == *value);
                    found.map(|found| Some(index(found))).ok_or(())
                }
            };
        self.scenario.switches.iter().map(cell).collect()
    }

    /// Which values are invalid, and how much each is preferred.
    pub(super) fn marks(&self) -> (Vec<Vec<bool>>, Vec<Vec<u32>>) {
        let values = |switch: &'s crate::scenario::Switch| switch.values.iter();
        let switches = &self.scenario.switches;
        let invalid: Vec<Vec<bool>> =
            switches.iter().map(|s| values(s).map(|value| value.refusal.is_some()).collect()).collect();
        let weights: Vec<Vec<u32>> =
            switches.iter().map(|s| values(s).map(|value| value.weight).collect()).collect();
        let any = |rows: &[Vec<bool>]| rows.iter().flatten().any(|mark| *mark);
        let all_alike = weights.iter().flatten().all(|weight| *weight == 1);
        (if any(&invalid) { invalid } else { Vec::new() }, if all_alike { Vec::new() } else { weights })
    }

    pub(super) fn solver(&self) -> Solver {
        Solver::new(&self.model)
    }

    /// The first rule that a complete row breaks.
    pub(super) fn broken_by(&self, row: &Row) -> Option<usize> {
        let holds = |literal: &Literal| (row.get(literal.parameter) == Some(&literal.value)) == literal.equal;
        self.clauses.iter().find(|clause| !clause.literals.iter().any(holds)).map(|clause| clause.origin)
    }

    /// Whether nobody has to be told of what these rules forbid: it follows from what invalid values are.
    pub(super) fn goes_without_saying(&self, origins: &[usize]) -> bool {
        origins.iter().all(|origin| matches!(self.rules.get(*origin), Some(Rule::Invalid)))
    }
}

/// Not in the box: some switch has a value that the box does not allow.
fn outside(scenario: &Scenario, one: &ValueBox) -> Vec<Literal> {
    let mut literals = Vec::new();
    for (parameter, switch) in scenario.switches.iter().enumerate() {
        let Some(inside) = one.get(&switch.name) else { continue };
        for (value, known) in switch.values.iter().enumerate() {
            if !inside.contains(&known.name) {
                literals.push(Literal { parameter, value: index(value), equal: true });
            }
        }
    }
    literals
}

/// A switch has at most 64 values.
fn index(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
