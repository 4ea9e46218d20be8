//! Defaults and overrides that shadow each other.

use super::{Finding, Subject, Texts};
use crate::stack::At;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, _) in subject.folders() {
        let Some(files) = subject.files.get(folder) else { continue };
        for (defaults, overrides) in pairs(files) {
            overridden(subject, folder, files, &defaults, &overrides, &mut findings);
        }
        chart_values(subject, folder, files, &mut findings);
    }
    findings
}

/// The files of defaults, each with that which replaces them for each cluster.
fn pairs(files: &Texts) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = files
        .text
        .keys()
        .filter_map(|path| Some((path.strip_suffix("/overwrite.yaml")?, path)))
        .filter(|(stage, _)| stage.starts_with("cluster-addon/") && stage.matches('/').count() == 1)
        .map(|(stage, path)| (format!("{stage}/values.yaml"), path.clone()))
        .collect();
    let single = ("cluster-addon/values.yaml", "cluster-addon-values.yaml");
    if files.text.contains_key(single.1) {
        pairs.push((single.0.into(), single.1.into()));
    }
    pairs.retain(|(defaults, _)| files.text.contains_key(defaults));
    pairs
}

fn overridden(
    subject: &Subject,
    folder: &Path,
    files: &Texts,
    defaults: &str,
    overrides: &str,
    findings: &mut Vec<Finding>,
) {
    let (text, template) = (&files.text[defaults], &files.text[overrides]);
    let (Some(values), Some(always)) = (leaves(text), always(template).and_then(|text| leaves(&text))) else {
        return;
    };
    for (path, value) in &values {
        let Some(replaced) = always.get(path) else { continue };
        let key = path.rsplit('.').next().unwrap_or(path);
        let about = format!("{} {defaults} {path}", subject.name());
        let shown = |value: &Value| {
            if value.as_str().is_some_and(|text| text.contains(FILLED_WORD)) {
                "a template".into()
            } else {
                value.to_string()
            }
        };
        if value == replaced {
            let at = place(folder, overrides, template, key);
            let why = format!("`{path}` is {value} in {defaults} already");
            findings.push(Finding::new("override-same", at, about, why));
        } else {
            let at = place(folder, defaults, text, key);
            let why = format!("`{path}: {value}` never counts: {overrides} always sets {}", shown(replaced));
            findings.push(Finding::new("values-shadowed", at, about, why));
        }
    }
}

fn place(folder: &Path, file: &str, text: &str, key: &str) -> At {
    At { file: folder.join(file), line: super::line_of(text, key), column: 0 }
}

/// The part of a template that is there for every cluster: without what stands in conditions and loops, and with a
/// mark where something is put in. `None` where that cannot be told.
fn always(template: &str) -> Option<String> {
    let body = template.trim_start().strip_prefix("values: |")?;
    let body = body.strip_prefix(['-', '+']).unwrap_or(body);
    let (mut out, mut depth) = (String::new(), 0_usize);
    for line in body.lines() {
        let trimmed = line.trim();
        let whole =
            trimmed.starts_with("{{") && trimmed.ends_with("}}") && trimmed.matches("{{").count() == 1;
        if whole {
            let action = trimmed.trim_start_matches("{{").trim_start_matches('-').trim_start();
            match action.split([' ', '}', '-']).next() {
                Some("if" | "range" | "with" | "block" | "define") => depth += 1,
                Some("end") => depth = depth.checked_sub(1)?,
                _ => {}
            }
            continue;
        }
        let inline =
            |word: &str| line.contains(&format!("{{{{ {word} ")) || line.contains(&format!("{{{{- {word} "));
        if ["if", "range", "with"].into_iter().any(inline)
            || line.contains("{{ end")
            || line.contains("{{- end")
        {
            // A condition within a line: what it sets is not sure.
            let opened = line.matches("{{ if ").count() + line.matches("{{- if ").count();
            let closed = line.matches("{{ end").count() + line.matches("{{- end").count();
            if opened != closed {
                return None;
            }
            continue;
        }
        if depth > 0 {
            continue;
        }
        out.push_str(&filled(line));
        out.push('\n');
    }
    (depth == 0).then_some(out)
}

/// A line with a mark in the place of each action.
fn filled(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((_, next)) = after.split_once("}}") else { break };
        out.push_str(before);
        out.push_str(FILLED_WORD);
        rest = next;
    }
    out.push_str(rest);
    out
}

/// Stands where a template puts something.
const FILLED_WORD: &str = "__filled__";

/// Every scalar and list of a YAML document by its path; none if it cannot be read.
fn leaves(text: &str) -> Option<BTreeMap<String, Value>> {
    let value: Value = serde_saphyr::from_str_with_options(text, crate::stack::yaml_options()).ok()?;
    let mut into = BTreeMap::new();
    walk(&value, String::new(), &mut into);
    Some(into)
}

fn walk(value: &Value, path: String, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, path, into);
            }
        }
        Value::String(text) if text.contains(FILLED_WORD) => {
            into.insert(path, Value::String(FILLED_WORD.into()));
        }
        other if !path.is_empty() => {
            into.insert(path, other.clone());
        }
        _ => {}
    }
}

/// Values of the ClusterClass's chart that no template names, neither themselves nor what they are part of.
fn chart_values(subject: &Subject, folder: &Path, files: &Texts, findings: &mut Vec<Finding>) {
    let file = "cluster-class/values.yaml";
    let Some(values) = files.text.get(file) else { return };
    let templates: Vec<&String> = files
        .text
        .iter()
        .filter(|(path, _)| path.starts_with("cluster-class/templates/"))
        .map(|(_, text)| text)
        .collect();
    let whole = regex::Regex::new(r"\.Values(?:\s|\)|\}|$)");
    if whole.is_ok_and(|whole| templates.iter().any(|text| whole.is_match(text))) {
        // The values as a whole are handed on.
        return;
    }
    let named = |path: &str| {
        let needle = format!(".Values.{path}");
        templates.iter().any(|text| {
            text.match_indices(&needle).any(|(at, _)| {
                !text[at + needle.len()..]
                    .starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
            })
        })
    };
    for path in leaves(values).unwrap_or_default().keys() {
        let mut parts: Vec<&str> = path.split('.').collect();
        let mut used = false;
        while !parts.is_empty() && !used {
            used = named(&parts.join("."));
            parts.pop();
        }
        if !used {
            let key = path.rsplit('.').next().unwrap_or(path);
            let about = format!("{} {file} {path}", subject.name());
            let why = format!("no template of the chart reads `{path}`");
            findings.push(Finding::new("chart-value-unused", place(folder, file, values, key), about, why));
        }
    }
}
