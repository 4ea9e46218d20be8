//! The variables of a ClusterClass and whether values fit their schema, as Cluster API's webhook judges it. Pure.
//!
//! What this module does not understand of a schema is said, as a warning: Cluster API will judge it.

mod schema;

use self::schema::Findings;
use super::StackRelease;
use super::effect::Planned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A variable of a ClusterClass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether a cluster must set it.
    pub required: bool,
    /// Its `openAPIV3Schema`.
    pub schema: &'a Value,
}

impl Variable<'_> {
    /// The value that a cluster gets without setting it.
    #[must_use]
    pub fn default(&self) -> Option<Value> {
        let value = self.schema.get("default").filter(|d| !d.is_null())?;
        Some(with_defaults(self.schema, value))
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong as far as can be seen, but it cannot be seen far enough.
    Warning,
    /// Cluster API would refuse the value, or the value would do nothing.
    Error,
}

/// What is wrong with a variable of a combination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableProblem {
    /// The variable.
    pub variable: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence about what is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl VariableProblem {
    pub(in crate::stack) fn new(
        variable: &str,
        severity: Severity,
        message: String,
        hint: Option<String>,
    ) -> Self {
        Self { variable: variable.into(), severity, message, hint }
    }
}

impl fmt::Display for VariableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The variables of a rendered ClusterClass, in its order.
pub fn variables(class: &Value) -> impl Iterator<Item = Variable<'_>> {
    class.pointer("/spec/variables").and_then(Value::as_array).into_iter().flatten().filter_map(|variable| {
        Some(Variable {
            name: variable.get("name")?.as_str()?,
            required: variable.get("required").and_then(Value::as_bool).unwrap_or(false),
            schema: variable.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null),
        })
    })
}

/// The name of a rendered ClusterClass.
pub(in crate::stack) fn class_name(class: &Value) -> &str {
    class.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name")
}

/// Whether an extension of Cluster API adds variables that the ClusterClass does not list.
fn discovers_more(class: &Value) -> bool {
    let patches = class.pointer("/spec/patches").and_then(Value::as_array);
    patches.into_iter().flatten().any(|patch| {
        let external = |name: &str| patch.pointer(&format!("/external/{name}")).is_some();
        external("discoverVariablesExtension")
    })
}

/// Everything that is wrong with the variables of one combination on one release: [`check`] and whether each value
/// has an effect, [`super::effect::problems`]. This is what a plan must ask before anything is created.
#[must_use]
pub fn problems(
    release: &StackRelease,
    variables: &BTreeMap<String, Value>,
    planned: Option<&Planned>,
) -> Vec<VariableProblem> {
    let mut problems = check(variables, &release.cluster_class);
    let broken: BTreeSet<String> =
        problems.iter().filter(|p| p.severity == Severity::Error).map(|p| p.variable.clone()).collect();
    let effects = super::effect::problems(&release.cluster_class, &release.addon_values, variables, planned);
    problems.extend(effects.into_iter().filter(|p| !broken.contains(&p.variable)));
    problems
}

/// Whether Cluster API would accept these variables for a cluster of this class.
#[must_use]
pub fn check(values: &BTreeMap<String, Value>, class: &Value) -> Vec<VariableProblem> {
    let known: Vec<Variable<'_>> = variables(class).collect();
    let mut problems = Vec::new();
    for (name, value) in values {
        match known.iter().find(|v| v.name == name) {
            Some(variable) => {
                let value = with_defaults(variable.schema, value);
                let mut findings = Findings::default();
                findings.value(variable.schema, &value, name);
                problems.extend(
                    findings.wrong.into_iter().map(|message| {
                        VariableProblem::new(name, Severity::Error, message, describe(variable))
                    }),
                );
                problems.extend(findings.not_checked.into_iter().map(|what| {
                    let message = format!("not checked: {what} of `{name}`");
                    VariableProblem::new(name, Severity::Warning, message, None)
                }));
            }
            None if discovers_more(class) => {
                let message = format!(
                    "not checked: ClusterClass {} does not list `{name}`, but an extension may add it",
                    class_name(class)
                );
                problems.push(VariableProblem::new(name, Severity::Warning, message, None));
            }
            None => {
                let message = format!("ClusterClass {} has no variable `{name}`", class_name(class));
                problems.push(VariableProblem::new(
                    name,
                    Severity::Error,
                    message,
                    did_you_mean(name, &known),
                ));
            }
        }
    }
    for variable in
        known.iter().filter(|v| v.required && !values.contains_key(v.name) && v.default().is_none())
    {
        let message = format!("ClusterClass {} requires the variable `{}`", class_name(class), variable.name);
        problems.push(VariableProblem::new(variable.name, Severity::Error, message, describe(variable)));
    }
    problems
}

fn describe(variable: &Variable<'_>) -> Option<String> {
    let example = variable.schema.get("example").filter(|e| !e.is_null())?;
    Some(format!("an example: {example}"))
}

fn did_you_mean(name: &str, known: &[Variable<'_>]) -> Option<String> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let nearest = known.iter().map(|v| (distance(v.name), v.name)).min();
    match nearest {
        Some((distance, near)) if distance <= 1 + name.len() / 4 => Some(format!("did you mean `{near}`?")),
        Some(_) => Some(format!("it has {}", known.iter().map(|v| v.name).collect::<Vec<_>>().join(", "))),
        None => Some("it has no variables at all".into()),
    }
}

/// The value with the defaults of nested properties, as Cluster API fills them in.
#[must_use]
pub fn with_defaults(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map = map.clone();
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                let filled = match map.get(name).filter(|v| !v.is_null()).or(property.get("default")) {
                    Some(value) => with_defaults(property, value),
                    None => continue,
                };
                map.insert(name.clone(), filled);
            }
            if let Some(other) = schema.get("additionalProperties").filter(|s| s.is_object()) {
                let declared = schema.get("properties");
                for (_, value) in
                    map.iter_mut().filter(|(k, _)| declared.is_none_or(|d| d.get(k.as_str()).is_none()))
                {
                    *value = with_defaults(other, value);
                }
            }
            Value::Object(map)
        }
        Value::Array(items) => match schema.get("items") {
            Some(schema) => Value::Array(items.iter().map(|item| with_defaults(schema, item)).collect()),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// A value in one line that fits a message.
pub(in crate::stack) fn short(value: &Value) -> String {
    let text = match value {
        Value::String(s) => format!("`{s}`"),
        other => other.to_string(),
    };
    if text.chars().count() <= 80 {
        text
    } else {
        format!("{}…", text.chars().take(79).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class() -> Value {
        let variable = |name: &str, schema: Value| json!({"name": name, "required": false, "schema": {"openAPIV3Schema": schema}});
        json!({"kind": "ClusterClass", "metadata": {"name": "c"}, "spec": {"variables": [
            variable("text", json!({"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]"})),
            variable("choice", json!({"type": "string", "enum": ["a", "b"], "example": "a"})),
            variable("id", json!({"type": "string", "format": "uuid4"})),
            variable("net", json!({"type": "string", "format": "cidr"})),
            variable("n", json!({"type": "integer", "minimum": 1, "maximum": 9, "exclusiveMaximum": true})),
            variable("list", json!({"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": true})),
            variable("object", json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string", "default": "x"}, "b": {"type": "object", "properties": {"c": {"type": "boolean"}}}}})),
            variable("map", json!({"type": "object", "additionalProperties": {"type": "integer"}})),
            variable("free", json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
            variable("either", json!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 5}], "x-kubernetes-int-or-string": true})),
            variable("cel", json!({"type": "string", "x-kubernetes-validations": [{"rule": "self != 'x'"}]})),
            {"name": "must", "required": true, "schema": {"openAPIV3Schema": {"type": "string"}}},
        ]}})
    }

    /// Messages for the variable with this value, all others being fine.
    fn messages(name: &str, value: Value) -> Vec<String> {
        let mut values = BTreeMap::from([("must".to_owned(), json!("x"))]);
        values.insert(name.into(), value);
        check(&values, &class()).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn values_fit_their_schema() {
        for (name, value) in [
            ("text", json!("abc")),
            ("choice", json!("b")),
            ("id", json!("0a79590e-10d7-4c2c-8f69-ca0a2c6208d2")),
            ("net", json!("10.8.0.0/20")),
            ("n", json!(8)),
            ("list", json!(["a", "b"])),
            ("object", json!({})),
            ("object", json!({"a": "y", "b": {"c": true}})),
            ("map", json!({"x": 1})),
            ("free", json!({"x": [1]})),
            ("either", json!("x")),
            ("either", json!(7)),
        ] {
            assert_eq!(messages(name, value.clone()), Vec::<String>::new(), "{name}: {value}");
        }
        for (name, value, message) in [
            ("text", json!(3), "`text` is 3, not a string"),
            ("text", json!("abcd"), "`text` is `abcd`, which has 4 characters, at most 3 are allowed"),
            ("text", json!("A"), "`text` is `A`, which does not match ^[a-z]"),
            ("choice", json!("c"), "`choice` is `c`, allowed are `a`, `b`"),
            ("id", json!("x"), "`id` is `x`, not a valid uuid4"),
            (
                "id",
                json!("00000000-0000-1000-8000-000000000000"),
                "`id` is `00000000-0000-1000-8000-000000000000`, not a valid uuid4",
            ),
            ("net", json!("10.8.0.0/33"), "`net` is `10.8.0.0/33`, not a valid cidr"),
            ("n", json!("4"), "`n` is `4`, not an integer"),
            ("n", json!(0), "`n` is 0, allowed is at least 1"),
            ("n", json!(9), "`n` is 9, allowed is less than 9"),
            ("list", json!(["a", 1]), "`list[1]` is 1, not a string"),
            ("list", json!(["a", "a"]), "`list` is [\"a\",\"a\"], an item stands there twice"),
            ("object", json!({"b": {"c": "x"}}), "`object.b.c` is `x`, not a boolean"),
            ("object", json!({"d": 1}), "there is no field `object.d`; there are: a, b"),
            ("map", json!({"x": "y"}), "`map.x` is `y`, not an integer"),
            ("either", json!(4), "`either` is 4, which `anyOf` of the schema does not allow"),
            ("either", json!(true), "`either` is true, not an integer or a string"),
            ("cel", json!("x"), "not checked: `x-kubernetes-validations` of `cel`"),
            ("textt", json!("x"), "ClusterClass c has no variable `textt`"),
        ] {
            assert_eq!(messages(name, value), [message]);
        }
    }

    #[test]
    fn hints_help() {
        let problems = check(&BTreeMap::from([("Chioce".to_owned(), json!("a"))]), &class());
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `choice`?"));
        assert_eq!(problems[1].message, "ClusterClass c requires the variable `must`");
        let problems = check(&BTreeMap::from([("somethingelse".to_owned(), json!("a"))]), &class());
        assert!(problems[0].hint.as_deref().unwrap().starts_with("it has text, choice"));
        let problems = check(
            &BTreeMap::from([("must".to_owned(), json!("")), ("choice".to_owned(), json!("x"))]),
            &class(),
        );
        assert_eq!(problems[0].hint.as_deref(), Some("an example: \"a\""));
    }

    #[test]
    fn defaults_fill_nested_fields() {
        let class = class();
        let object = variables(&class).find(|v| v.name == "object").unwrap();
        assert_eq!(object.default(), None);
        assert_eq!(with_defaults(object.schema, &json!({"b": {}})), json!({"a": "x", "b": {}}));
    }
}
