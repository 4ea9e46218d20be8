//! Whether a value of a variable has an effect: whether some patch of the ClusterClass, or the values of some add-on,
//! come out differently than without it. Pure.
//!
//! Published stacks have no `enum`, so Cluster API takes `octavia-onv` for a load balancer, and no patch answers to it:
//! the cluster comes up, the tests are green, and the combination was never tested. Three questions find this:
//! does anything look at the variable; does anything come out differently than with the default; and does anything
//! come out differently than with a nonsense text, unless the class documents the value (`none` usually works by being
//! no other value). What cannot be evaluated is said to be unknown.

mod builtin;
mod looker;
mod selector;

pub use self::builtin::Planned;

use self::looker::{Look, Looker, Outcome, Place, Source};
use super::AddonValues;
use super::gotemplate::Val;
use super::variables::{Severity, VariableProblem, class_name, short, variables, with_defaults};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A text that nobody compares with.
const NONSENSE: &str = "\u{1}nonsense";

/// What a value does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is the default, or an empty value (`false`, `[]`) that says the same as no value; something looks at the
    /// variable.
    Default,
    /// Something comes out differently than without it.
    Effective {
        /// The patches, and files of add-on values.
        by: Vec<String>,
    },
    /// Nothing comes out differently.
    Ineffective {
        /// Why not, as a part of a sentence.
        why: String,
        /// Values that something does answer to.
        literals: Vec<String>,
    },
    /// It depends on something that cannot be evaluated.
    Unknown {
        /// On what.
        why: String,
    },
}

/// What the variable `name` does in a cluster of this class with these variables; the others matter, too, because a
/// patch may look at several. `None`: the class has no such variable, or the cluster does not set it.
#[must_use]
pub fn effect(
    class: &Value,
    addons: &[AddonValues],
    values: &BTreeMap<String, Value>,
    name: &str,
) -> Option<Effect> {
    Judge::new(class, addons, values, None).effect(name)
}

/// Values that have no effect, values whose effect is unknown, and patches that fail. Without `planned`, what depends on
/// `builtin` is unknown.
#[must_use]
pub fn problems(
    class: &Value,
    addons: &[AddonValues],
    values: &BTreeMap<String, Value>,
    planned: Option<&Planned>,
) -> Vec<VariableProblem> {
    let judge = Judge::new(class, addons, values, planned);
    let mut problems = judge.failures();
    for name in values.keys() {
        let Some(effect) = judge.effect(name) else {
            continue;
        };
        let top = Place { name, path: Vec::new() };
        problems.extend(judge.problem(&top, &effect));
        if matches!(effect, Effect::Effective { .. }) {
            for place in judge.fields_of(name) {
                let effect = judge.judge(&place);
                problems.extend(judge.problem(&place, &effect));
            }
        }
    }
    problems
}

/// How two sets of outcomes differ.
#[derive(Default)]
struct Difference {
    /// Lookers that come out differently.
    by: Vec<String>,
    /// A looker of which it cannot be told, and why.
    unknown: Option<String>,
}

struct Judge<'a> {
    class: &'a Value,
    values: &'a BTreeMap<String, Value>,
    planned: Option<&'a Planned>,
    lookers: Vec<Looker>,
    /// With the values as they are.
    with: Vec<Outcome>,
}

impl<'a> Judge<'a> {
    fn new(
        class: &'a Value,
        addons: &[AddonValues],
        values: &'a BTreeMap<String, Value>,
        planned: Option<&'a Planned>,
    ) -> Self {
        let patches = class.pointer("/spec/patches").and_then(Value::as_array).into_iter().flatten();
        let patches = patches.map(|patch| Looker::patch(patch, class));
        let addons = addons.iter().map(Looker::addon);
        let lookers = patches.chain(addons).collect();
        let mut judge = Self { class, values, planned, lookers, with: Vec::new() };
        judge.with = judge.outcomes(values);
        judge
    }

    /// What comes of everything when a cluster sets these variables and Cluster API adds its defaults.
    fn outcomes(&self, values: &BTreeMap<String, Value>) -> Vec<Outcome> {
        let mut all = values.clone();
        for variable in variables(self.class) {
            let value = match values.get(variable.name) {
                Some(value) => Some(with_defaults(variable.schema, value)),
                None => variable.default(),
            };
            all.extend(value.map(|value| (variable.name.to_owned(), value)));
        }
        self.lookers.iter().map(|looker| looker.outcome(&all, self.planned)).collect()
    }

    fn effect(&self, name: &str) -> Option<Effect> {
        let known = self.values.contains_key(name) && variables(self.class).any(|v| v.name == name);
        known.then(|| self.judge(&Place { name, path: Vec::new() }))
    }

    fn judge(&self, place: &Place<'_>) -> Effect {
        if !self.lookers.iter().any(|l| l.mentions(place)) {
            let seen = if self.lookers.iter().any(|l| matches!(l.look, Look::Addon(_))) {
                "no patch and no add-on looks at it"
            } else {
                "no patch looks at it"
            };
            return Effect::Ineffective { why: seen.into(), literals: Vec::new() };
        }
        let value = self.value(place);
        if self.default(place).is_some_and(|default| Some(default) == value) {
            return Effect::Default;
        }
        let without = self.difference(place, None);
        if without.by.is_empty() {
            return match without.unknown {
                Some(why) => Effect::Unknown { why },
                None if value.as_ref().is_some_and(|v| Val::from_json(v).truth() == Some(false))
                    && self.default(place).is_none() =>
                {
                    Effect::Default
                }
                None => self.changes_nothing(place),
            };
        }
        if let Some(Value::String(text)) = &value
            && self.schema(place).is_none_or(|s| s.get("enum").is_none())
        {
            let nonsense = self.difference(place, Some(NONSENSE));
            let literals = if nonsense.by.is_empty() { self.literals(place) } else { Vec::new() };
            // Without any text that is told apart, the value is asked for being there, not for what it is.
            if !literals.is_empty() && !self.is_documented(place, text) {
                return match nonsense.unknown {
                    Some(why) => Effect::Unknown { why },
                    None => {
                        Effect::Ineffective { why: "no patch tells it from any other text".into(), literals }
                    }
                };
            }
        }
        Effect::Effective { by: without.by }
    }

    fn changes_nothing(&self, place: &Place<'_>) -> Effect {
        let literals = self.literals(place);
        let lookers = || self.lookers.iter().zip(&self.with).filter(|(l, _)| l.mentions(place));
        let off: Vec<&str> =
            lookers().filter(|(_, o)| **o == Outcome::Off).map(|(l, _)| l.name.as_str()).collect();
        let nowhere = lookers().all(|(l, _)| matches!(l.look, Look::Nowhere { .. }));
        let why = if nowhere && !off.is_empty() {
            format!("what looks at it selects no template of the class: {}", off.join(", "))
        } else if literals.is_empty() && !off.is_empty() && off.len() == lookers().count() {
            format!(
                "what looks at it is off with the other variables of this combination: {}",
                off.join(", ")
            )
        } else {
            match self.default(place) {
                Some(default) => format!("no patch tells it from the default {}", short(&default)),
                None => "everything comes out as without it".into(),
            }
        };
        Effect::Ineffective { why, literals }
    }

    /// Whether the class names the text where it describes the variable; a typo is not documented, nor is it empty.
    fn is_documented(&self, place: &Place<'_>, text: &str) -> bool {
        let schema = self.schema(place);
        let named = |keyword: &str| {
            let about = schema
                .and_then(|s| s.get(keyword))
                .map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into));
            let apart = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
            about.is_some_and(|about| about.split(apart).any(|word| word.trim_end_matches('.') == text))
        };
        text.is_empty() || named("description") || named("example")
    }

    /// Texts that something compares this place with, and answers to.
    fn literals(&self, place: &Place<'_>) -> Vec<String> {
        let dotted = place.dotted();
        let mut texts = BTreeSet::new();
        for looker in self.lookers.iter().filter(|l| l.mentions(place)) {
            let sources = match &looker.look {
                Look::Patch { enabled, values, .. } => {
                    enabled.iter().chain(values.iter().map(|(_, source)| source)).collect()
                }
                Look::Addon(source) => vec![source],
                Look::Nowhere { .. } | Look::External => Vec::new(),
            };
            for source in sources {
                if let Source::Template { reads, .. } = source {
                    let own =
                        reads.compared.iter().filter(|(field, _)| *field == dotted).map(|(_, text)| text);
                    texts.extend(own.chain(&reads.compared_elsewhere).filter(|t| !t.is_empty()).cloned());
                }
            }
        }
        let nonsense = self.outcomes(&self.replaced(place, Some(NONSENSE)));
        texts
            .into_iter()
            .filter(|text| {
                !self
                    .compare(&self.outcomes(&self.replaced(place, Some(text))), &nonsense, place)
                    .by
                    .is_empty()
            })
            .collect()
    }

    /// How everything differs between the values as they are and with `text` (or nothing) in this place.
    fn difference(&self, place: &Place<'_>, text: Option<&str>) -> Difference {
        self.compare(&self.with, &self.outcomes(&self.replaced(place, text)), place)
    }

    fn compare(&self, a: &[Outcome], b: &[Outcome], place: &Place<'_>) -> Difference {
        let mut difference = Difference::default();
        for ((looker, a), b) in self.lookers.iter().zip(a).zip(b) {
            if let (Outcome::Unknown(why), _) | (_, Outcome::Unknown(why)) = (a, b) {
                if looker.mentions(place) {
                    difference.unknown.get_or_insert_with(|| format!("{}: {why}", looker.name));
                }
            } else if a != b {
                difference.by.push(looker.name.clone());
            }
        }
        difference
    }

    fn replaced(&self, place: &Place<'_>, text: Option<&str>) -> BTreeMap<String, Value> {
        let mut values = self.values.clone();
        let new = text.map(|text| Value::String(text.into()));
        match place.path.split_last() {
            None => {
                match new {
                    Some(new) => values.insert(place.name.into(), new),
                    None => values.remove(place.name),
                };
            }
            Some((last, path)) => {
                let mut at = values.get_mut(place.name);
                for field in path {
                    at = at.and_then(|value| value.get_mut(field));
                }
                if let Some(map) = at.and_then(Value::as_object_mut) {
                    match new {
                        Some(new) => map.insert(last.clone(), new),
                        None => map.remove(last),
                    };
                }
            }
        }
        values
    }

    fn value(&self, place: &Place<'_>) -> Option<Value> {
        let value =
            place.path.iter().try_fold(self.values.get(place.name)?, |value, field| value.get(field))?;
        Some(match self.schema(place) {
            Some(schema) => with_defaults(schema, value),
            None => value.clone(),
        })
    }

    fn schema(&self, place: &Place<'_>) -> Option<&'a Value> {
        let top = variables(self.class).find(|v| v.name == place.name)?.schema;
        place.path.iter().try_fold(top, |schema, field| schema.get("properties")?.get(field))
    }

    fn default(&self, place: &Place<'_>) -> Option<Value> {
        let schema = self.schema(place)?;
        let default = schema.get("default").filter(|d| !d.is_null())?;
        Some(with_defaults(schema, default))
    }

    /// The fields of a structured value that are no structures themselves.
    fn fields_of(&self, name: &'a str) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        let mut open: Vec<(Vec<String>, &Value)> =
            self.values.get(name).map(|v| (Vec::new(), v)).into_iter().collect();
        while let Some((path, value)) = open.pop() {
            match value {
                Value::Object(map) => open.extend(map.iter().map(|(field, value)| {
                    let mut path = path.clone();
                    path.push(field.clone());
                    (path, value)
                })),
                _ if path.is_empty() => {}
                _ => places.push(Place { name, path }),
            }
        }
        places.reverse();
        places
    }

    fn problem(&self, place: &Place<'_>, effect: &Effect) -> Option<VariableProblem> {
        let dotted = place.dotted();
        let value = short(&self.value(place).unwrap_or_default());
        match effect {
            Effect::Default | Effect::Effective { .. } => None,
            Effect::Ineffective { why, literals } => {
                let message = format!(
                    "the value {value} of `{dotted}` changes nothing in ClusterClass {}: {why}",
                    class_name(self.class)
                );
                Some(VariableProblem::new(place.name, Severity::Error, message, hint(&value, literals)))
            }
            Effect::Unknown { why } => {
                let message =
                    format!("cannot tell whether the value {value} of `{dotted}` has an effect: {why}");
                Some(VariableProblem::new(place.name, Severity::Warning, message, None))
            }
        }
    }

    /// Patches that Cluster API could not carry out with these variables.
    fn failures(&self) -> Vec<VariableProblem> {
        let failing = self.lookers.iter().zip(&self.with).filter_map(|(looker, outcome)| match outcome {
            Outcome::Fails(why) => Some((looker, why)),
            Outcome::Off | Outcome::On(_) | Outcome::Unknown(_) => None,
        });
        let problem = |(looker, why): (&Looker, &String)| {
            let names = variables(self.class).map(|v| v.name);
            let seen: Vec<&str> =
                names.filter(|name| looker.mentions(&Place { name, path: Vec::new() })).collect();
            let set = seen.iter().find(|name| self.values.contains_key(**name)).or(seen.first());
            let message = format!(
                "{} of ClusterClass {} fails with these variables: {why}",
                looker.name,
                class_name(self.class)
            );
            let hint = (!seen.is_empty()).then(|| format!("it looks at {}", seen.join(", ")));
            VariableProblem::new(set.unwrap_or(&""), Severity::Error, message, hint)
        };
        failing.map(problem).collect()
    }
}

fn hint(value: &str, literals: &[String]) -> Option<String> {
    let value = value.trim_matches('`');
    let near = literals.iter().map(|l| (strsim::damerau_levenshtein(value, l), l)).min();
    let list = || literals.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    match near {
        Some((distance, near)) if distance <= 2 && distance * 2 < value.len() => {
            Some(format!("did you mean `{near}`? values that are told apart: {}", list()))
        }
        Some(_) => Some(format!("values that are told apart: {}", list())),
        None => None,
    }
}

#[cfg(test)]
mod tests;
