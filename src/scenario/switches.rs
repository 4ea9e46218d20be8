//! `spec.switches`: the axes of a scenario and what their values set.

use super::decode::Decoder;
use super::document::keys;
use super::problem::{Problem, Span, did_you_mean, one_of, quote};
use super::tree::{Entry, Kind, Node, Scalar};
use super::{ClusterPatch, Credentials, MAX_SWITCHES, MAX_VALUES, MAX_WORKERS, Switch, SwitchValue, marks};
use crate::types::{KubernetesMinor, SwitchName, ValueName};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const KUBERNETES: &str = "kubernetes";
pub(super) const CONTROL_PLANES: &str = "controlPlanes";
pub(super) const WORKERS: &str = "workers";
/// Switches whose values the harness understands by itself.
const BUILT_IN: [&str; 3] = [KUBERNETES, CONTROL_PLANES, WORKERS];
/// Words that mean something else in expressions: the reserved ones of CEL and the functions of the subset.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "semver",
    "int",
    "and",
    "or",
    "not",
];

/// The switches, as far as they could be read.
#[derive(Default)]
pub(super) struct Table {
    pub switches: Vec<Switch>,
    /// Switches that exist but whose values are not all known, because of problems that are reported.
    pub broken: BTreeSet<String>,
    /// Too many combinations to look at.
    pub too_many: bool,
}

impl Table {
    pub fn get(&self, name: &str) -> Option<&Switch> {
        self.switches.iter().find(|s| s.name.as_str() == name)
    }

    /// Whether everything is known, so that what does not exist in the table does not exist at all.
    pub fn is_complete(&self) -> bool {
        self.broken.is_empty() && !self.switches.is_empty() && !self.too_many
    }

    /// Whether a name that is not in the table can be called unknown.
    pub fn is_known(&self) -> bool {
        !self.switches.is_empty() || !self.broken.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.switches.iter().map(|s| s.name.as_str())
    }
}

pub(super) fn read(d: &mut Decoder<'_>, node: &Node, hint: &str) -> Table {
    let mut table = Table::default();
    let Some(entries) = d.free_map(node, "`switches`", hint) else {
        return table;
    };
    if entries.is_empty() {
        d.problem(node.span, "`switches` is empty", hint);
    }
    if let Some(extra) = entries.get(MAX_SWITCHES) {
        let message = format!("there are {} switches, {MAX_SWITCHES} are allowed", entries.len());
        d.problem(extra.key_span, message, "split the scenario into several files");
        table.too_many = true;
        return table;
    }
    for entry in entries {
        let before = d.problems.len();
        let switch = switch(d, entry);
        if d.problems.len() > before || switch.is_none() {
            table.broken.insert(entry.key.clone());
        }
        table.switches.extend(switch);
    }
    same_setting(d, &table);
    marks::requirements(d, entries, &mut table);
    table
}

fn switch(d: &mut Decoder<'_>, entry: &Entry) -> Option<Switch> {
    let key = entry.key.as_str();
    let meant = did_you_mean(key, BUILT_IN).filter(|name| *name != key);
    if let Some(name) = meant
        && (name.eq_ignore_ascii_case(&key.replace(['-', '_'], "")) || is_list_of_scalars(&entry.value))
    {
        d.problem(
            entry.key_span,
            format!("there is no switch {}", quote(key)),
            format!("did you mean `{name}`?"),
        );
        return None;
    }
    if RESERVED.contains(&key) {
        let message = format!("{} cannot be a switch name", quote(key));
        d.problem(entry.key_span, message, "it has a meaning in expressions; choose another name");
        return None;
    }
    let name = d.named(entry.key.clone(), entry.key_span, SwitchName::new)?;
    let hint = match key {
        KUBERNETES => "list quoted minors, e.g. `[\"1.33\", \"1.34\"]`".to_owned(),
        CONTROL_PLANES => "list numbers, e.g. `[1, 3]`".to_owned(),
        WORKERS => "list numbers, e.g. `[1, 2]`".to_owned(),
        _ => format!("list its values under `{key}`, each with a `name`"),
    };
    let items = d.list(&entry.value, &format!("`{key}`"), MAX_VALUES, &hint)?;
    if items.is_empty() {
        let message = format!("the switch `{key}` has no values");
        d.problem(entry.value.span, message, "list at least one, or remove the switch");
    }
    let before = d.problems.len();
    let mut values: Vec<SwitchValue> = Vec::new();
    for item in items {
        let value = match key {
            KUBERNETES => plain_or_marked(d, item, key, minor),
            CONTROL_PLANES | WORKERS => plain_or_marked(d, item, key, count),
            _ => custom(d, item, key),
        };
        let Some(value) = value else { continue };
        if let Some(first) = values.iter().find(|v| v.name == value.name) {
            let message = format!("the value `{}` of `{key}` is given twice", value.name);
            let problem = Problem::at(&d.source, value.position, message)
                .hint("keep one of the two")
                .related(&d.source, first.position, "first given here");
            d.push(problem);
            continue;
        }
        values.push(value);
    }
    // Values with problems may look alike only because of them.
    if !BUILT_IN.contains(&key) && d.problems.len() == before {
        same_value(d, key, &values);
    }
    Some(Switch { name, values })
}

fn is_list_of_scalars(node: &Node) -> bool {
    matches!(&node.kind, Kind::List(items) if items.iter().any(|i| matches!(i.kind, Kind::Scalar(_))))
}

fn value(name: ValueName, patch: ClusterPatch, position: Span) -> SwitchValue {
    SwitchValue {
        name,
        patch,
        checks: Vec::new(),
        credentials: None,
        requires: None,
        weight: 1,
        default: false,
        refusal: None,
        position,
        variable_positions: BTreeMap::new(),
    }
}

/// A value of a switch that the harness knows: alone, or as `{name: ..., weight: ...}`.
fn plain_or_marked(
    d: &mut Decoder<'_>,
    item: &Node,
    key: &str,
    read: fn(&mut Decoder<'_>, &Node, &str) -> Option<SwitchValue>,
) -> Option<SwitchValue> {
    if !matches!(item.kind, Kind::Map(_)) {
        return read(d, item, key);
    }
    let (fields, name) = marks::marked(d, item, &format!("a value of `{key}`"))?;
    let mut value = read(d, name, key)?;
    marks::marks(d, &fields, &mut value);
    Some(SwitchValue { position: name.span, ..value })
}

fn minor(d: &mut Decoder<'_>, item: &Node, _: &str) -> Option<SwitchValue> {
    let hint = "write a minor such as \"1.34\"; the stack knows the patch version";
    if matches!(item.kind, Kind::Map(_) | Kind::List(_)) {
        d.wrong(item, "a value of `kubernetes`", "a quoted minor", hint);
        return None;
    }
    let text = d.string(item, "a Kubernetes minor")?;
    let Ok(minor) = text.parse::<KubernetesMinor>() else {
        d.problem(item.span, format!("{} is not a Kubernetes minor", quote(text)), hint);
        return None;
    };
    let name = d.named(minor.to_string(), item.span, ValueName::new)?;
    Some(value(name, ClusterPatch { kubernetes: Some(minor), ..ClusterPatch::default() }, item.span))
}

fn count(d: &mut Decoder<'_>, item: &Node, key: &str) -> Option<SwitchValue> {
    let mut patch = ClusterPatch::default();
    let number = if key == WORKERS {
        patch.workers = d.integer(item, "a value of `workers`", 0, MAX_WORKERS);
        patch.workers
    } else {
        patch.control_planes = d.control_planes(item, "a value of `controlPlanes`");
        patch.control_planes
    };
    let name = d.named(number?.to_string(), item.span, ValueName::new)?;
    Some(value(name, patch, item.span))
}

fn custom(d: &mut Decoder<'_>, item: &Node, switch: &str) -> Option<SwitchValue> {
    if let Kind::Scalar(Scalar { text, missing: false, .. }) = &item.kind {
        let message = format!("a value of `{switch}` is a mapping, not {}", quote(text));
        let hint =
            "write `- name: \"...\"` and below it what the value sets, e.g. `variables: {...}`".to_owned();
        d.problem(item.span, message, hint);
        return None;
    }
    let what = format!("a value of `{switch}`");
    let fields = d.map(item, item.span, &what, keys::VALUE)?;
    let hint = "every value has a name, e.g. `name: \"on\"`";
    let node = d.required(&fields, "name", &what, hint);
    let name = node.and_then(|node| d.name(node, "the name of a value", ValueName::new));
    let mut patch = ClusterPatch::default();
    let mut variable_positions = BTreeMap::new();
    if let Some(entry) = fields.entry("variables") {
        patch.variables = d.variables(entry, &mut variable_positions);
    }
    if let Some(node) = fields.get("workers") {
        patch.workers = d.integer(node, "`workers`", 0, MAX_WORKERS);
    }
    if let Some(node) = fields.get("controlPlanes") {
        patch.control_planes = d.control_planes(node, "`controlPlanes`");
    }
    let checks = fields.get("checks").and_then(|node| d.checks(node, "`checks`"));
    let credentials = fields.entry("requires").and_then(|entry| {
        let requires = d.map(&entry.value, entry.key_span, "`requires`", keys::REQUIRES)?;
        if requires.get("credentials").is_none() && requires.get("switches").is_none() {
            let hint =
                "write `requires: {credentials: password}` or `requires: {switches: {controlPlanes: 3}}`";
            d.problem(entry.key_span, "`requires` says nothing", hint);
        }
        let node = requires.get("credentials")?;
        match d.string(node, "`credentials`")? {
            "password" => Some(Credentials::Password),
            "application-credential" => Some(Credentials::ApplicationCredential),
            text => {
                let message = format!("there are no credentials of the kind {}", quote(text));
                d.problem(
                    node.span,
                    message,
                    format!("use {}", one_of(["password", "application-credential"])),
                );
                None
            }
        }
    });
    let position = node.map_or(item.span, |node| node.span);
    let checks = checks.unwrap_or_default();
    let mut value = SwitchValue { checks, credentials, variable_positions, ..value(name?, patch, position) };
    marks::marks(d, &fields, &mut value);
    Some(value)
}

/// Two values that set the same are one value with two names: the matrix would run everything twice.
fn same_value(d: &mut Decoder<'_>, switch: &str, values: &[SwitchValue]) {
    for (i, value) in values.iter().enumerate() {
        let same = |v: &&SwitchValue| {
            v.patch == value.patch && v.checks == value.checks && v.credentials == value.credentials
        };
        if let Some(first) = values[..i].iter().find(same) {
            let message =
                format!("the values `{}` and `{}` of `{switch}` set the same", first.name, value.name);
            let problem = Problem::at(&d.source, value.position, message)
                .hint("give one of them other variables, or remove it; each combination would run twice")
                .related(&d.source, first.position, "the other value");
            d.push(problem);
        }
    }
}

/// Two switches that set the same thing would overwrite each other.
fn same_setting(d: &mut Decoder<'_>, table: &Table) {
    let mut setters: BTreeMap<String, (&SwitchName, Span)> = BTreeMap::new();
    let mut found = Vec::new();
    for switch in &table.switches {
        let mut mine: BTreeMap<String, Span> = BTreeMap::new();
        for value in &switch.values {
            for variable in value.patch.variables.keys() {
                let span = value.variable_positions.get(variable).copied().unwrap_or(value.position);
                mine.entry(format!("the variable {}", quote(variable))).or_insert(span);
            }
            if value.patch.workers.is_some() {
                mine.entry("`workers`".into()).or_insert(value.position);
            }
            if value.patch.control_planes.is_some() {
                mine.entry("`controlPlanes`".into()).or_insert(value.position);
            }
        }
        for (what, span) in mine {
            match setters.get(&what) {
                Some((first, at)) => {
                    let message = format!("{what} is set by two switches, `{first}` and `{}`", switch.name);
                    let problem = Problem::at(&d.source, span, message)
                        .hint("let one switch set it; make one switch of the two if they belong together")
                        .related(&d.source, *at, format!("`{first}` sets it here"));
                    found.push(problem);
                }
                None => {
                    setters.insert(what, (&switch.name, span));
                }
            }
        }
    }
    found.into_iter().for_each(|problem| d.push(problem));
}
