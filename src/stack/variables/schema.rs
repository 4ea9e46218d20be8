//! A value against the subset of JSON schema that ClusterClasses have.

use super::short;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// Keywords that say nothing about which values are allowed.
const SILENT: [&str; 6] =
    ["description", "example", "default", "x-metadata", "title", "x-kubernetes-preserve-unknown-fields"];

/// What is wrong with a value, and what of the schema was not understood.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) wrong: Vec<String>,
    pub(super) not_checked: BTreeSet<String>,
}

impl Findings {
    fn wrong(&mut self, path: &str, value: &Value, why: impl fmt::Display) {
        self.wrong.push(format!("`{path}` is {}, {why}", short(value)));
    }

    pub(super) fn value(&mut self, schema: &Value, value: &Value, path: &str) {
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
