//! What is rendered, minor against minor and stack against stack.

use super::{Finding, Subject};
use crate::stack::StackRelease;
use crate::stack::gotemplate::Template;
use crate::stack::variables::{Variable, variables};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How much of a value is shown.
const SHOWN: usize = 80;

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in subject.rendered.windows(2) {
        let pair = Pair { subject, older: &pair[0], newer: &pair[1] };
        pair.variables(&mut findings);
        pair.patches(&mut findings);
        pair.objects(&mut findings);
    }
    if let Some(newest) = subject.rendered.last() {
        read(subject, newest, &mut findings);
    }
    findings
}

/// Two minors that follow each other.
struct Pair<'a> {
    subject: &'a Subject,
    older: &'a StackRelease,
    newer: &'a StackRelease,
}

impl Pair<'_> {
    fn finding(&self, rule: &'static str, place: &str, what: &str, why: String) -> Finding {
        let (old, new) = (self.older.kubernetes.minor(), self.newer.kubernetes.minor());
        let at = self.subject.located(new, place);
        Finding::new(rule, at, format!("{} {old} {new} {what}", self.subject.name()), why)
    }

    fn variables(&self, findings: &mut Vec<Finding>) {
        let of = |release: &'_ StackRelease| -> BTreeMap<String, (bool, Value)> {
            let all = variables(&release.cluster_class);
            all.map(|v: Variable<'_>| (v.name.to_owned(), (v.required, v.schema.clone()))).collect()
        };
        let (old, new) = (of(self.older), of(self.newer));
        let (before, after) = (self.older.kubernetes.minor(), self.newer.kubernetes.minor());
        for (name, (_, schema)) in &old {
            let what = format!("variable {name}");
            let Some((_, other)) = new.get(name) else {
                let at = self.subject.located(before, name);
                let about = format!("{} {before} {after} {what}", self.subject.name());
                let why = format!("the variable `{name}` of {before} does not exist in {after}");
                findings.push(Finding::new("variable-gone", at, about, why));
                continue;
            };
            if let Some((path, one, two)) = types_differ(schema, other, name) {
                let why = format!("`{path}` is of type {one} in {before}, and of type {two} in {after}");
                findings.push(self.finding("variable-type", name, &what, why));
                continue;
            }
            let defaults = (self.default(schema, self.older), self.default(other, self.newer));
            if defaults.0 != defaults.1 {
                let show = |value: &Option<Value>| value.as_ref().map_or("none".into(), short);
                let (one, two) = (show(&defaults.0), show(&defaults.1));
                let why = format!("the default of `{name}` is {one} in {before}, and {two} in {after}");
                findings.push(self.finding("variable-default", name, &what, why));
            }
        }
        for (name, (required, schema)) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            if *required && schema.get("default").is_none_or(Value::is_null) {
                let why = format!(
                    "`{name}` is required in {after}, has no default, and does not exist in {before}"
                );
                findings.push(self.finding("variable-required", name, &format!("variable {name}"), why));
            }
        }
    }

    fn default(&self, schema: &Value, release: &StackRelease) -> Option<Value> {
        let value = schema.get("default").filter(|value| !value.is_null())?;
        Some(plain(value, &Versions::of(self.subject, release)))
    }

    fn patches(&self, findings: &mut Vec<Finding>) {
        let (old, new) = (patches(self.subject, self.older), patches(self.subject, self.newer));
        let (before, after) = (self.older.kubernetes.minor(), self.newer.kubernetes.minor());
        let names = |list: &[(String, Value)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (old_names, new_names) = (names(&old), names(&new));
        for (name, patch) in &old {
            let what = format!("patch {name}");
            match new.iter().find(|(other, _)| other == name) {
                None => {
                    let at = self.subject.located(before, name);
                    let about = format!("{} {before} {after} {what}", self.subject.name());
                    let why = format!("the patch `{name}` of {before} is missing in {after}");
                    findings.push(Finding::new("patch-differs", at, about, why));
                }
                Some((_, other)) if other != patch => {
                    let why =
                        format!("the patch `{name}` differs: {}", differences(patch, other, before, after));
                    findings.push(self.finding("patch-differs", name, &what, why));
                }
                Some(_) => {}
            }
        }
        for name in new_names.iter().filter(|name| !old_names.contains(name)) {
            let why = format!("the patch `{name}` of {after} is missing in {before}");
            findings.push(self.finding("patch-differs", name, &format!("patch {name}"), why));
        }
        let common = |one: &[String], other: &[String]| {
            one.iter().filter(|name| other.contains(name)).cloned().collect::<Vec<_>>()
        };
        let (one, two) = (common(&old_names, &new_names), common(&new_names, &old_names));
        if let Some((a, b)) = one.iter().zip(&two).find(|(a, b)| a != b) {
            let why = format!("where {before} has the patch `{a}`, {after} has `{b}`");
            findings.push(self.finding("patch-order", b, "order of patches", why));
        }
    }

    fn objects(&self, findings: &mut Vec<Finding>) {
        let (old, new) = (objects(self.subject, self.older), objects(self.subject, self.newer));
        let (before, after) = (self.older.kubernetes.minor(), self.newer.kubernetes.minor());
        for (name, object) in &old {
            let why = match new.get(name) {
                None => format!("{name} of {before} is missing in {after}"),
                Some(other) if other != object => {
                    format!("{name} differs: {}", differences(object, other, before, after))
                }
                Some(_) => continue,
            };
            findings.push(self.finding("template-differs", "", name, why));
        }
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            let why = format!("{name} of {after} is missing in {before}");
            findings.push(self.finding("template-differs", "", name, why));
        }
    }
}

/// Stacks of one provider.
pub(super) fn siblings(one: &Subject, other: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (Some(a), Some(b)) = (one.rendered.last(), other.rendered.last()) else { return findings };
    for variable in variables(&a.cluster_class) {
        let twin = variables(&b.cluster_class).find(|twin| twin.name == variable.name);
        let Some(twin) = twin else { continue };
        if let Some((path, ours, theirs)) = types_differ(variable.schema, twin.schema, variable.name) {
            let (this, that) = (one.name(), other.name());
            let why = format!("`{path}` is of type {ours} in {this}, and of type {theirs} in {that}");
            let at = one.located(a.kubernetes.minor(), variable.name);
            findings.push(Finding::new(
                "sibling-variable",
                at,
                format!("{this} {that} {}", variable.name),
                why,
            ));
        }
    }
    findings
}

/// Variables that nothing reads, and those whose texts are not listed.
fn read(subject: &Subject, release: &StackRelease, findings: &mut Vec<Finding>) {
    let class = &release.cluster_class;
    let patches: Vec<&Value> =
        class.pointer("/spec/patches").and_then(Value::as_array).into_iter().flatten().collect();
    // An extension may read any variable.
    let external = patches.iter().any(|patch| patch.get("external").is_some());
    let mut texts = Vec::new();
    for patch in &patches {
        strings(patch, &mut texts);
    }
    texts.extend(release.addon_values.iter().map(|values| values.template.as_str()));
    let mut compared: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for template in
        texts.iter().filter(|text| text.contains("{{")).filter_map(|text| Template::parse(text).ok())
    {
        for (field, text) in template.reads().compared {
            compared.entry(field).or_default().insert(text);
        }
    }
    for values in &release.addon_values {
        by_name(&values.template, &mut compared);
    }
    let minor = release.kubernetes.minor();
    for variable in variables(class) {
        let name = variable.name;
        let about = format!("{} variable {name}", subject.name());
        if !external && !texts.iter().any(|text| word(text, name)) {
            let why = format!("no patch and no add-on of {minor} reads the variable `{name}`");
            findings.push(Finding::new("variable-unused", subject.located(minor, name), about, why));
            continue;
        }
        let text = variable.schema["type"] == "string";
        let known = compared.get(name).filter(|texts| texts.iter().any(|text| !text.is_empty()));
        if let Some(texts) = known.filter(|_| text && variable.schema.get("enum").is_none()) {
            let list: Vec<_> =
                texts.iter().filter(|text| !text.is_empty()).map(|t| format!("`{t}`")).collect();
            let why = format!("`{name}` is compared with {}; its schema allows every text", list.join(", "));
            findings.push(Finding::new("variable-no-enum", subject.located(minor, name), about, why));
        }
    }
}

/// Add-ons find a variable in the list of all by its name, and compare its value then: `eq .name "lb"`, and after it, up to
/// the next name, `eq .value "ovn"`.
fn by_name(template: &str, compared: &mut BTreeMap<String, BTreeSet<String>>) {
    let Ok(found) = regex::Regex::new(r#"\.(name|value) "([^"]*)""#) else { return };
    let mut name = None;
    for captures in found.captures_iter(template) {
        let text = captures[2].to_owned();
        match (&captures[1], &name) {
            ("name", _) => name = Some(text),
            (_, Some(name)) => {
                compared.entry(String::clone(name)).or_default().insert(text);
            }
            (_, None) => {}
        }
    }
}

fn strings<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(map) => map.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}

/// Whether a text has this name as a word.
fn word(text: &str, name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(inside) && !text[at + name.len()..].starts_with(inside))
}

/// The first place at which two schemas have different types.
fn types_differ(one: &Value, other: &Value, path: &str) -> Option<(String, String, String)> {
    let kind = |schema: &Value| schema["type"].as_str().unwrap_or("unknown").to_owned();
    if kind(one) != kind(other) {
        return Some((path.to_owned(), kind(one), kind(other)));
    }
    let items = || types_differ(one.get("items")?, other.get("items")?, &format!("{path}[]"));
    let fields = || {
        let (ours, theirs) = (one.get("properties")?.as_object()?, other.get("properties")?.as_object()?);
        ours.iter().find_map(|(key, schema)| types_differ(schema, theirs.get(key)?, &format!("{path}.{key}")))
    };
    items().or_else(fields)
}

/// Texts that stand for the version of a minor, and what they are replaced by.
struct Versions(Vec<(String, &'static str)>);

impl Versions {
    fn of(subject: &Subject, release: &StackRelease) -> Self {
        let minor = release.kubernetes.minor();
        let line = subject.source.release_name(minor);
        // A folder that several minors share names the version that its csctl.yaml has; whoever builds a release of
        // another minor replaces it.
        let pinned = subject.pinned(minor).map(|version| version.to_string());
        let pinned = pinned.map(|pinned| (pinned, "<version>"));
        // The whole of it first.
        let own = [
            (release.class.clone(), "<class>"),
            (line, "<stack>"),
            (release.kubernetes.to_string(), "<version>"),
            (release.kubernetes.to_string().trim_start_matches('v').to_owned(), "<version>"),
            (format!("v{minor}"), "<minor>"),
            (minor.dashed(), "<minor>"),
        ];
        Self(pinned.into_iter().chain(own).collect())
    }
}

/// A value without what the Kubernetes version explains.
fn plain(value: &Value, versions: &Versions) -> Value {
    match value {
        Value::String(text) => {
            let replace = |text: String, (from, to): &(String, &str)| text.replace(from.as_str(), to);
            Value::String(versions.0.iter().fold(text.clone(), replace))
        }
        Value::Array(items) => items.iter().map(|item| plain(item, versions)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, item)| (key.clone(), plain(item, versions))).collect())
        }
        other => other.clone(),
    }
}

fn patches(subject: &Subject, release: &StackRelease) -> Vec<(String, Value)> {
    let versions = Versions::of(subject, release);
    let all = release.cluster_class.pointer("/spec/patches").and_then(Value::as_array);
    let named = |patch: &Value| Some((patch["name"].as_str()?.to_owned(), plain(patch, &versions)));
    all.into_iter().flatten().filter_map(named).collect()
}

/// The objects by kind and name, and of the ClusterClass what is neither variable nor patch.
fn objects(subject: &Subject, release: &StackRelease) -> BTreeMap<String, Value> {
    let versions = Versions::of(subject, release);
    let objects = release.objects.iter().map(|object| {
        let mut object = plain(object, &versions);
        if object["kind"] == "ClusterClass"
            && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.remove("variables");
            spec.remove("patches");
        }
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (format!("{} {}", text("/kind"), text("/metadata/name")), object)
    });
    objects.collect()
}

/// The first difference in words, and how many more there are.
fn differences(
    old: &Value,
    new: &Value,
    before: impl std::fmt::Display,
    after: impl std::fmt::Display,
) -> String {
    let mut all = Vec::new();
    compare(old, new, String::new(), &mut all);
    let Some((path, one, two)) = all.first() else { return "in its order".into() };
    let more = match all.len() - 1 {
        0 => String::new(),
        1 => ", and at 1 more place".into(),
        n => format!(", and at {n} more places"),
    };
    let show = |value: &Option<Value>| value.as_ref().map_or("not there".into(), short);
    format!("{path} is {} in {before}, and {} in {after}{more}", show(one), show(two))
}

type Difference = (String, Option<Value>, Option<Value>);

fn compare(old: &Value, new: &Value, path: String, into: &mut Vec<Difference>) {
    match (old, new) {
        (Value::Object(one), Value::Object(two)) => {
            let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (one.get(key), two.get(key)) {
                    (Some(one), Some(two)) => compare(one, two, path, into),
                    (one, two) => into.push((path, one.cloned(), two.cloned())),
                }
            }
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            for (at, (one, two)) in one.iter().zip(two).enumerate() {
                compare(one, two, format!("{path}[{at}]"), into);
            }
        }
        (one, two) if one != two => into.push((path, Some(one.clone()), Some(two.clone()))),
        _ => {}
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}
