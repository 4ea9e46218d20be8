//! ClusterClass variables: any JSON value, with references to the environment in its strings.

use super::decode::Decoder;
use super::problem::{Span, name_hint, quote};
use super::scalar::{Plain, resolve};
use super::tree::{Entry, Kind, Node, Scalar};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const MAX_VARIABLES: usize = 256;

impl Decoder<'_> {
    /// The variables of a switch value, and where each of them stands.
    pub(super) fn variables(
        &mut self,
        entry: &Entry,
        positions: &mut BTreeMap<String, Span>,
    ) -> BTreeMap<String, Value> {
        let mut variables = BTreeMap::new();
        let hint = "write `variables: {name: value}`";
        let Some(entries) = self.free_map(&entry.value, "`variables`", hint) else {
            return variables;
        };
        if let Some(extra) = entries.get(MAX_VARIABLES) {
            let message = format!("a value sets {} variables, {MAX_VARIABLES} are allowed", entries.len());
            self.problem(extra.key_span, message, "put lists and mappings into one variable");
        }
        for entry in entries.iter().take(MAX_VARIABLES) {
            let hostile = entry.key.chars().any(|c| super::problem::is_hostile(c) || c.is_whitespace());
            if entry.key.is_empty() || entry.key.len() > 253 || hostile {
                let message = format!("{} cannot be the name of a variable", quote(&entry.key));
                self.problem(entry.key_span, message, "use the name that stands in the ClusterClass");
                continue;
            }
            if let Some(value) = self.json(&entry.value) {
                positions.insert(entry.key.clone(), entry.key_span);
                variables.insert(entry.key.clone(), value);
            }
        }
        variables
    }

    /// A value as JSON. The tree is at most [`super::MAX_DEPTH`] deep.
    fn json(&mut self, node: &Node) -> Option<Value> {
        match &node.kind {
            Kind::Bad => None,
            Kind::List(items) => {
                let values: Vec<Option<Value>> = items.iter().map(|item| self.json(item)).collect();
                values.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
            }
            Kind::Map(entries) => {
                let pairs: Vec<_> = entries.iter().map(|e| (e.key.clone(), self.json(&e.value))).collect();
                let map: Option<Map<String, Value>> = pairs.into_iter().map(|(k, v)| Some((k, v?))).collect();
                map.map(Value::Object)
            }
            Kind::Scalar(scalar) if scalar.plain => self.plain(node, scalar),
            Kind::Scalar(scalar) => self.with_environment(node, &scalar.text).map(Value::String),
        }
    }

    fn plain(&mut self, node: &Node, scalar: &Scalar) -> Option<Value> {
        let text = scalar.text.as_str();
        match resolve(text) {
            Plain::Null if scalar.missing => {
                self.problem(node.span, "the variable has no value", "write one; `null` if nothing is meant");
                None
            }
            Plain::Null => Some(Value::Null),
            Plain::Bool(b) => Some(Value::Bool(b)),
            Plain::Number(n) => Some(Value::Number(n)),
            Plain::Unfit(why) => {
                let message = format!("the number {} does not fit into JSON: {why}", quote(text));
                self.problem(node.span, message, format!("write \"{text}\" if a string is meant"));
                None
            }
            Plain::Ambiguous(meant) => {
                let message =
                    format!("unquoted `{text}` is a string here and {meant} to readers of YAML 1.1");
                let hint = match meant {
                    "the boolean true" => format!("write true, or \"{text}\" if a string is meant"),
                    "the boolean false" => format!("write false, or \"{text}\" if a string is meant"),
                    _ => format!("write \"{text}\" if a string is meant, otherwise a plain decimal number"),
                };
                self.problem(node.span, message, hint);
                None
            }
            Plain::String => self.with_environment(node, text).map(Value::String),
        }
    }

    /// Puts values of the environment in place of `${NAME}`; what they contain is not looked at again.
    fn with_environment(&mut self, node: &Node, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        let mut complete = true;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                // `$${` stands for `${`.
                out.push_str(before);
                out.push_str("${");
                rest = &from[2..];
                continue;
            }
            out.push_str(before);
            let Some((name, after)) = from[2..].split_once('}') else {
                self.problem(
                    node.span,
                    "a reference `${` has no `}`",
                    "write `${NAME}`, or `$${` for the text `${`",
                );
                return None;
            };
            rest = after;
            let shape = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(shape) {
                let message = format!("{} cannot be the name of an environment variable", quote(name));
                self.problem(node.span, message, "write `${NAME}` with letters, digits and `_`");
                complete = false;
                continue;
            }
            match self.known.environment.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    let known = self.known.environment.keys().map(String::as_str);
                    let allow = format!(
                        "allow it with `--allow-env {name}`; files of pull requests have no environment"
                    );
                    let hint = match super::did_you_mean(name, known.clone()) {
                        Some(_) => name_hint(name, known),
                        None => allow,
                    };
                    let message =
                        format!("the scenario may not read the environment variable {}", quote(name));
                    self.problem(node.span, message, hint);
                    complete = false;
                }
            }
        }
        out.push_str(rest);
        complete.then_some(out)
    }
}
