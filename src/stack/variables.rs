//! The variables of a ClusterClass and whether values fit their schema, as Cluster API's webhook judges it. Pure.
//!
//! What this module does not understand of a schema is said, as a warning: Cluster API will judge it.

use super::StackRelease;
use serde_json::{Map, Value};
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
    pub(super) fn new(variable: &str, severity: Severity, message: String, hint: Option<String>) -> Self {
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
pub(super) fn class_name(class: &Value) -> &str {
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
pub fn problems(release: &StackRelease, variables: &BTreeMap<String, Value>) -> Vec<VariableProblem> {
    let mut problems = check(variables, &release.cluster_class);
    let broken: BTreeSet<String> =
        problems.iter().filter(|p| p.severity == Severity::Error).map(|p| p.variable.clone()).collect();
    let effects = super::effect::problems(&release.cluster_class, &release.addon_values, variables);
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

/// Keywords that say nothing about which values are allowed.
const SILENT: [&str; 6] =
    ["description", "example", "default", "x-metadata", "title", "x-kubernetes-preserve-unknown-fields"];

#[derive(Default)]
struct Findings {
    wrong: Vec<String>,
    not_checked: BTreeSet<String>,
}

impl Findings {
    fn wrong(&mut self, path: &str, value: &Value, why: impl fmt::Display) {
        self.wrong.push(format!("`{path}` is {}, {why}", short(value)));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(schema) = schema.as_object() else {
            self.not_checked.insert("the schema".into());
            return;
        };
        if !self.kind(schema, value, path) {
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            let allowed = allowed.iter().map(short).collect::<Vec<_>>().join(", ");
            self.wrong(path, value, format!("allowed are {allowed}"));
        }
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(_) => self.number(schema, value, path),
            Value::Array(items) => self.array(schema, value, items, path),
            Value::Object(map) => self.object(schema, value, map, path),
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value, path);
        for keyword in schema.keys() {
            if !SILENT.contains(&keyword.as_str()) && !UNDERSTOOD.contains(&keyword.as_str()) {
                self.not_checked.insert(format!("`{keyword}`"));
            }
        }
    }

    /// Whether the type fits; the rest makes no sense otherwise.
    fn kind(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) -> bool {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            let fits = value.is_string() || is_integer(value);
            if !fits {
                self.wrong(path, value, "not an integer or a string");
            }
            return fits;
        }
        let Some(kind) = schema.get("type").and_then(Value::as_str).filter(|k| !k.is_empty()) else {
            return true;
        };
        let fits = match kind {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => is_integer(value),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => {
                self.not_checked.insert(format!("the type {other}"));
                return true;
            }
        };
        if !fits {
            self.wrong(
                path,
                value,
                format!("not {} {kind}", if "aeiou".contains(&kind[..1]) { "an" } else { "a" }),
            );
        }
        fits
    }

    fn text(&mut self, schema: &Map<String, Value>, text: &str, path: &str) {
        let value = Value::String(text.into());
        let length = text.chars().count() as u64;
        self.count(schema, ("minLength", "maxLength"), length, "characters", &value, path);
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            match regex::Regex::new(pattern) {
                Ok(regex) if regex.is_match(text) => {}
                Ok(_) => self.wrong(path, &value, format!("which does not match {pattern}")),
                Err(_) => {
                    self.not_checked.insert(format!("the pattern {pattern}"));
                }
            }
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str) {
            match has_format(format, text) {
                Some(true) => {}
                Some(false) => self.wrong(path, &value, format!("not a valid {format}")),
                None => {
                    self.not_checked.insert(format!("the format {format}"));
                }
            }
        }
    }

    fn number(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        for (keyword, exclusive, below) in
            [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)]
        {
            let Some(limit) = schema.get(keyword).and_then(Value::as_f64) else {
                continue;
            };
            let exclusive = schema.get(exclusive) == Some(&Value::Bool(true));
            let beyond = if below { number < limit } else { number > limit };
            #[allow(clippy::float_cmp)] // A limit is hit exactly or not at all.
            if beyond || (exclusive && number == limit) {
                let than = match (below, exclusive) {
                    (true, false) => "at least",
                    (true, true) => "more than",
                    (false, false) => "at most",
                    (false, true) => "less than",
                };
                self.wrong(path, value, format!("allowed is {than} {limit}"));
            }
        }
    }

    fn array(&mut self, schema: &Map<String, Value>, value: &Value, items: &[Value], path: &str) {
        self.count(schema, ("minItems", "maxItems"), items.len() as u64, "items", value, path);
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        if unique && items.iter().enumerate().any(|(at, item)| items[..at].contains(item)) {
            self.wrong(path, value, "an item stands there twice");
        }
        if let Some(schema) = schema.get("items") {
            for (at, item) in items.iter().enumerate() {
                self.value(schema, item, &format!("{path}[{at}]"));
            }
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, value: &Value, map: &Map<String, Value>, path: &str) {
        self.count(schema, ("minProperties", "maxProperties"), map.len() as u64, "fields", value, path);
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !map.contains_key(name) {
                self.wrong(path, value, format!("it needs the field `{name}`"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        for (name, value) in map {
            let path = format!("{path}.{name}");
            match (properties.and_then(|p| p.get(name)), others) {
                (Some(schema), _) => self.value(schema, value, &path),
                (None, Some(schema)) if schema.is_object() => self.value(schema, value, &path),
                (None, Some(Value::Bool(true))) => {}
                (None, _) if open => {}
                (None, _) => {
                    let known = properties.into_iter().flatten().map(|(k, _)| k.as_str()).collect::<Vec<_>>();
                    self.wrong.push(format!("there is no field `{path}`; there are: {}", known.join(", ")));
                }
            }
        }
    }

    fn combined(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        let schemas = |keyword: &str| schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice);
        let mut fits = |schema: &Value| {
            let mut inner = Self::default();
            // Such a schema only narrows, so fields that it does not list are fine.
            let mut open = schema.clone();
            if let Some(open) = open.as_object_mut() {
                open.insert("x-kubernetes-preserve-unknown-fields".into(), Value::Bool(true));
            }
            inner.value(&open, value, path);
            self.not_checked.extend(inner.not_checked);
            inner.wrong.is_empty()
        };
        let all = schemas("allOf").is_none_or(|all| all.iter().filter(|s| !fits(s)).count() == 0);
        let any = schemas("anyOf").is_none_or(|any| any.iter().filter(|s| fits(s)).count() > 0);
        let one = schemas("oneOf").is_none_or(|one| one.iter().filter(|s| fits(s)).count() == 1);
        let not = schema.get("not").is_none_or(|not| !fits(not));
        for (holds, keyword) in [(all, "allOf"), (any, "anyOf"), (one, "oneOf"), (not, "not")] {
            if !holds {
                self.wrong(path, value, format!("which `{keyword}` of the schema does not allow"));
            }
        }
    }

    fn count(
        &mut self,
        schema: &Map<String, Value>,
        (min, max): (&str, &str),
        n: u64,
        what: &str,
        value: &Value,
        path: &str,
    ) {
        if let Some(min) = schema.get(min).and_then(Value::as_u64).filter(|min| n < *min) {
            self.wrong(path, value, format!("which has {n} {what}, at least {min} are needed"));
        }
        if let Some(max) = schema.get(max).and_then(Value::as_u64).filter(|max| n > *max) {
            self.wrong(path, value, format!("which has {n} {what}, at most {max} are allowed"));
        }
    }
}

const UNDERSTOOD: [&str; 25] = [
    "type",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "nullable",
];

/// JSON has one kind of number; `4.0` is an integer for Kubernetes, too.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
}

/// Formats that Cluster API checks; what it does not know it ignores, and so does this.
fn has_format(format: &str, text: &str) -> Option<bool> {
    Some(match format {
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            let version = format.strip_prefix("uuid").and_then(|v| v.parse::<usize>().ok());
            let parsed = uuid::Uuid::try_parse(text);
            parsed.is_ok_and(|u| version.is_none_or(|v| u.get_version_num() == v))
        }
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let width = address.parse::<std::net::IpAddr>().map(|a| if a.is_ipv4() { 32 } else { 128 });
            bits.parse::<u8>().is_ok_and(|bits| width.is_ok_and(|width| bits <= width))
        }),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        _ => return None,
    })
}

/// A value in one line that fits a message.
pub(super) fn short(value: &Value) -> String {
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
