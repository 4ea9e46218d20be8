//! The conditions of add-on stages: expressions in CEL about objects of the workload cluster. Pure.
//!
//! Expressions come from stacks of strangers. There is no recursion in CEL, but its macros walk over lists, and one inside
//! the other multiplies; so the length, the depth and the number of macros are limited before anything is parsed.

use crate::types::on_one_line;
use cel::{Context, Program, Value as Cel};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 2048;
/// The most brackets inside each other.
const MAX_DEPTH: usize = 32;
/// The most macros (`all`, `exists`, `exists_one`, `map`, `filter`): two of them walk over a list for each of its items.
const MAX_MACROS: usize = 2;

/// A condition that can be evaluated.
#[derive(Debug)]
pub struct Condition {
    text: String,
    program: Program,
}

/// What a condition says of the objects as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// It is true.
    Yes,
    /// It is not true (yet), and why.
    NotYet(String),
}

impl Condition {
    /// Reads an expression that may name the objects of `keys`.
    ///
    /// # Errors
    /// It is none, it exceeds the limits, or it names something else.
    pub fn parse(text: &str, keys: &[&str]) -> Result<Self, String> {
        within_limits(text)?;
        let program = Program::compile(text).map_err(|errors| {
            let words = errors.to_string();
            let first = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not parse");
            format!("`{}` is no CEL expression: {}", one_line(text), first.trim())
        })?;
        let bound = bound(text);
        let known = |name: &str| keys.contains(&name) || bound.contains(name) || name.starts_with('@');
        let references = program.references();
        if let Some(unknown) = references.variables().into_iter().find(|name| !known(name)) {
            return Err(format!("`{}` names `{unknown}`, which is no key of its objects", one_line(text)));
        }
        Ok(Self { text: one_line(text), program })
    }

    /// Evaluates it with these objects, by key. As with the operator, a missing object or field is no error: it may come.
    #[must_use]
    pub fn holds(&self, objects: &BTreeMap<String, Option<Value>>) -> Holds {
        let not_yet = |why: String| Holds::NotYet(format!("`{}`: {why}", self.text));
        if let Some((key, _)) = objects.iter().find(|(_, object)| object.is_none()) {
            return not_yet(format!("the object `{key}` does not exist"));
        }
        let mut context = Context::default();
        for (key, object) in objects {
            context.add_variable_from_value(key.as_str(), to_cel(object.as_ref().unwrap_or(&Value::Null)));
        }
        match self.program.execute(&context) {
            Ok(Cel::Bool(true)) => Holds::Yes,
            Ok(Cel::Bool(false)) => not_yet("is not true".into()),
            Ok(other) => not_yet(format!("gives a {} instead of true or false", other.type_of())),
            Err(error) => not_yet(one_line(&error.to_string())),
        }
    }
}

fn within_limits(text: &str) -> Result<(), String> {
    if text.trim().is_empty() || text.len() > MAX_LENGTH {
        return Err(format!("a condition is an expression of 1 to {MAX_LENGTH} bytes, not {}", text.len()));
    }
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' | '?' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DEPTH {
        return Err(format!("`{}` nests deeper than {MAX_DEPTH} brackets", cut(text)));
    }
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let macros = [".all(", ".exists(", ".exists_one(", ".map(", ".filter("];
    let count: usize = macros.iter().map(|name| squeezed.matches(name).count()).sum();
    if count > MAX_MACROS {
        return Err(format!("`{}` walks over more than {MAX_MACROS} lists", cut(text)));
    }
    Ok(())
}

/// The names that macros give to the items of lists: `c` in `list.exists(c, ...)`.
fn bound(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices('(') {
        let inside = text[at + 1..].trim_start();
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
        if end > 0 && inside[end..].trim_start().starts_with(',') {
            names.insert(&inside[..end]);
        }
    }
    names
}

fn one_line(text: &str) -> String {
    cut(&on_one_line(text))
}

fn cut(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// An object as the operator's evaluator gets it: whole numbers are integers.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Cel::Float(n.as_f64().unwrap_or(f64::NAN)), Cel::Int),
        Value::String(s) => Cel::String(s.clone().into()),
        Value::Array(items) => Cel::List(items.iter().map(to_cel).collect::<Vec<_>>().into()),
        Value::Object(map) => {
            let map: HashMap<cel::objects::Key, Cel> =
                map.iter().map(|(key, value)| (key.clone().into(), to_cel(value))).collect();
            Cel::Map(cel::objects::Map { map: map.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(text: &str) -> Holds {
        let deployment = json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 2, "conditions":
            [{"type": "Available", "status": "True"}]}});
        let objects = BTreeMap::from([
            ("dep".to_owned(), Some(deployment)),
            ("bare".to_owned(), Some(json!({"spec": {"replicas": 2, "ratio": 0.5}}))),
        ]);
        Condition::parse(text, &["dep", "bare"]).unwrap().holds(&objects)
    }

    #[test]
    fn conditions_of_stacks_are_understood() {
        for text in [
            "dep.status.readyReplicas == dep.spec.replicas",
            "dep.spec.replicas == bare.spec.replicas",
            "dep.status.readyReplicas >= 1 && has(dep.status.conditions)",
            "dep.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')",
            "!has(bare.status)",
            "bare.spec.ratio < 1.0",
        ] {
            assert_eq!(holds(text), Holds::Yes, "{text}");
        }
    }

    #[test]
    fn what_is_not_true_says_why() {
        for (text, why) in [
            ("dep.status.readyReplicas == 3", "`dep.status.readyReplicas == 3`: is not true"),
            ("bare.status.readyReplicas == 1", "No such key"),
            ("dep.spec.replicas", "gives a int instead of true or false"),
        ] {
            let Holds::NotYet(found) = holds(text) else { panic!("{text} holds") };
            assert!(found.contains(why), "`{why}` is not in: {found}");
        }
        let missing = Condition::parse("dep.x == 1", &["dep"]).unwrap();
        assert_eq!(
            missing.holds(&BTreeMap::from([("dep".to_owned(), None)])),
            Holds::NotYet("`dep.x == 1`: the object `dep` does not exist".into())
        );
    }

    #[test]
    fn what_can_never_hold_is_refused() {
        let refused = |text: &str| Condition::parse(text, &["dep"]).unwrap_err();
        assert!(refused("dep.x ==").contains("is no CEL expression"));
        assert!(refused("other.x == 1").contains("names `other`, which is no key of its objects"));
        assert!(refused(&"(".repeat(40)).contains("nests deeper"));
        assert!(refused(&format!("dep.a{}", " && dep.a".repeat(400))).contains("1 to 2048 bytes"));
        let nested = "dep.a.all(x, dep.a.all(y, dep.a . exists (z, x == y && y == z)))";
        assert!(refused(nested).contains("walks over more than 2 lists"));
    }

    proptest::proptest! {
        #[test]
        fn no_expression_ends_the_process(text in r#"(dep|\.|status|all\(|x,|==|&&|\?|:|[()\[\]{}'"!0-9 -]){0,60}"#) {
            if let Ok(condition) = Condition::parse(&text, &["dep"]) {
                let _ = condition.holds(&BTreeMap::from([("dep".to_owned(), Some(json!({"status": [1, 2]})))]));
            }
        }
    }
}
