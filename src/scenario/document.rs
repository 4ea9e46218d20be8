//! The document as a whole: text -> [`Scenario`].

use super::decode::{Decoder, Fields};
use super::problem::{Problem, SourceText, Span, name_hint, one_of, quote};
use super::switches::Table;
use super::tree::{self, Kind, Node};
use super::{
    API_VERSION, Change, Cover, Exclusion, Expectation, Known, MAX_WORKERS, Positions, Scenario,
    StackSelector, Timeouts, rows, switches,
};
use crate::types::{CheckName, ProviderKind, ScenarioName, StackName, SwitchValues, parse_duration};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Keys of the mappings in a scenario file; the schema has the same, which a test holds.
pub(super) mod keys {
    pub const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
    pub const METADATA: &[&str] = &["name"];
    pub const SPEC: &[&str] = &[
        "stack", "switches", "cover", "exclude", "include", "workers", "checks", "changes", "expect",
        "timeouts",
    ];
    pub const STACK: &[&str] = &["provider", "name", "source"];
    pub const SOURCE: &[&str] = &["directory", "release", "from"];
    pub const VALUE: &[&str] = &["name", "variables", "workers", "controlPlanes", "checks", "requires"];
    pub const REQUIRES: &[&str] = &["credentials"];
    pub const COVER: &[&str] = &["strength"];
    pub const EXCLUDE: &[&str] = &["when", "because"];
    pub const EXPECT: &[&str] = &["check", "verdict", "when", "because", "until"];
    pub const CHANGE: &[&str] = &["scale", "upgrade"];
    pub const SCALE: &[&str] = &["workers", "controlPlanes"];
    pub const TIMEOUTS: &[&str] = &["provision", "check", "change", "delete"];
}

const MAX_CHECKS: usize = 256;
const MAX_CHANGES: usize = 32;

/// Reads a scenario from bytes that should be UTF-8.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn parse_bytes(bytes: &[u8], file: &Path, known: &Known<'_>) -> Result<Scenario, Vec<Problem>> {
    if bytes.len() > tree::MAX_FILE {
        return Err(vec![tree::too_large(&SourceText::new(file, ""))]);
    }
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return parse(text, file, known),
        Err(error) => error,
    };
    let (good, bad) = bytes.split_at(error.valid_up_to());
    let start = String::from_utf8_lossy(good);
    let rest = String::from_utf8_lossy(bad.split(|b| *b == b'\n').next().unwrap_or(bad));
    let source = SourceText::new(file, format!("{start}{rest}"));
    let line = SourceText::new(file, start.as_ref()).lines();
    let column = SourceText::new(file, start.as_ref()).line(line).chars().count() + 1;
    let message =
        format!("the file is not UTF-8: byte 0x{:02x} fits nowhere", bad.first().copied().unwrap_or(0));
    Err(vec![Problem::at(&source, Span::new(line, column, 1), message).hint("save it as UTF-8")])
}

/// Reads a scenario from a text.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn parse(text: &str, file: &Path, known: &Known<'_>) -> Result<Scenario, Vec<Problem>> {
    // A byte-order mark is no content; editors on some systems write one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > tree::MAX_FILE {
        return Err(vec![tree::too_large(&SourceText::new(file, ""))]);
    }
    let source = SourceText::new(file, text);
    let mut problems = Vec::new();
    let root = tree::read(&source, &mut problems);
    let mut decoder = Decoder { source, known, problems };
    let scenario = root.and_then(|root| decoder.document(&root));
    let mut problems = decoder.problems;
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => {
            problems.sort_by_key(Problem::span);
            if problems.is_empty() {
                // Cannot happen as long as every `None` above is reported; a wrong screen is better than none.
                problems.push(
                    Problem::of_file(file, "the scenario is not valid").hint("please report this file"),
                );
            }
            Err(problems)
        }
    }
}

impl Decoder<'_> {
    fn document(&mut self, root: &Node) -> Option<Scenario> {
        let start = Span::new(root.span.line, root.span.column, root.span.length);
        let fields = {
            // Another kind of file would only be drowned in unknown keys.
            let entries = self.free_map(
                root,
                "a scenario",
                "it has the keys `apiVersion`, `kind`, `metadata` and `spec`",
            )?;
            if let Some(kind) = entries.iter().find(|e| e.key == "kind") {
                let text = self.string(&kind.value, "`kind`")?;
                if text != "Scenario" {
                    let message = format!("`kind` must be `Scenario`, not {}", quote(text));
                    self.problem(kind.value.span, message, "keep other files in another directory");
                    return None;
                }
            }
            self.map(root, start, "a scenario", keys::ROOT)?
        };
        if let Some(node) = self.required(
            &fields,
            "apiVersion",
            "the scenario",
            &format!("write `apiVersion: {API_VERSION}`"),
        ) && let Some(version) = self.string(node, "`apiVersion`")
            && version != API_VERSION
        {
            let message = format!("`apiVersion` {} is not known", quote(version));
            self.problem(node.span, message, format!("write `{API_VERSION}`"));
        }
        self.required(&fields, "kind", "the scenario", "write `kind: Scenario`");
        let mut positions = Positions::default();
        let name = self.metadata(&fields, &mut positions);
        let spec =
            self.required(&fields, "spec", "the scenario", "it holds `stack`, `switches` and `checks`")?;
        let at = fields.entry("spec").map_or(start, |e| e.key_span);
        let spec = self.map(spec, at, "`spec`", keys::SPEC)?;
        self.spec(name, &spec, positions)
    }

    fn metadata(&mut self, fields: &Fields<'_>, positions: &mut Positions) -> Option<ScenarioName> {
        let node =
            self.required(fields, "metadata", "the scenario", "write `metadata: {name: my-scenario}`")?;
        let at = fields.entry("metadata").map_or(node.span, |e| e.key_span);
        let metadata = self.map(node, at, "`metadata`", keys::METADATA)?;
        let name =
            self.required(&metadata, "name", "`metadata`", "every scenario has a name, e.g. `name: smoke`")?;
        positions.name = name.span;
        self.name(name, "the scenario name", ScenarioName::new)
    }

    fn spec(
        &mut self,
        name: Option<ScenarioName>,
        spec: &Fields<'_>,
        mut positions: Positions,
    ) -> Option<Scenario> {
        let stack = self.stack(spec, &mut positions);
        let table = self.switches(spec);
        let cover = self.cover(spec, &table, &mut positions);
        let exclude = self.exclude(spec, &table);
        let include = self.include(spec, &table, &mut positions);
        positions.workers = spec.entry("workers").map_or(spec.span, |e| e.value.span);
        let workers = match spec.get("workers") {
            Some(node) => self.integer(node, "`workers`", 0, MAX_WORKERS),
            None => Some(1),
        };
        let checks = self.required(spec, "checks", "`spec`", "name checks or groups, e.g. `checks: [smoke]`");
        let checks = checks.and_then(|node| {
            if let Kind::List(items) = &node.kind {
                positions.checks = items.iter().map(|i| i.span).collect();
            }
            self.checks(node, "`checks`")
        });
        if checks.as_ref().is_some_and(Vec::is_empty)
            && let Some(node) = spec.get("checks")
        {
            self.problem(node.span, "`checks` is empty", "a scenario without checks says nothing; name one");
        }
        let changes = self.changes(spec, &mut positions);
        let expect = self.expect(spec, &table);
        let timeouts = self.timeouts(spec);
        if let (Some(exclude), Some(include)) = (&exclude, &include) {
            self.contradictions(spec, &table, exclude, include, &positions);
        }
        Some(Scenario {
            name: name?,
            file: self.source.file().to_owned(),
            stack: stack?,
            switches: table.switches,
            cover: cover?,
            exclude: exclude?,
            include: include?,
            workers: workers?,
            checks: checks?,
            changes: changes?,
            expect: expect?,
            timeouts: timeouts?,
            source: self.source.clone(),
            positions,
        })
    }

    fn stack(&mut self, spec: &Fields<'_>, positions: &mut Positions) -> Option<StackSelector> {
        let hint = "write `stack: {provider: ..., name: ..., source: {directory: ...}}`";
        let node = self.required(spec, "stack", "`spec`", hint)?;
        let at = spec.entry("stack").map_or(node.span, |e| e.key_span);
        let stack = self.map(node, at, "`stack`", keys::STACK)?;
        let names = ProviderKind::ALL.map(ProviderKind::as_str);
        let hint = format!("use {}", one_of(names));
        let provider = self.required(&stack, "provider", "`stack`", &hint).and_then(|node| {
            positions.provider = node.span;
            let text = self.string(node, "`provider`")?;
            let kind = ProviderKind::ALL.into_iter().find(|kind| kind.as_str() == text);
            if kind.is_none() {
                self.problem(
                    node.span,
                    format!("there is no provider {}", quote(text)),
                    name_hint(text, names),
                );
            }
            kind
        });
        let hint = "the name without provider and minor, e.g. `scs`";
        let name = self.required(&stack, "name", "`stack`", hint).and_then(|node| {
            positions.stack = node.span;
            self.name(node, "the stack name", StackName::new)
        });
        let directory = self.source(&stack, positions);
        Some(StackSelector { provider: provider?, name: name?, directory: directory? })
    }

    fn source(&mut self, stack: &Fields<'_>, positions: &mut Positions) -> Option<PathBuf> {
        let hint = "write `source: {directory: path/to/stack}`, relative to this file";
        let node = self.required(stack, "source", "`stack`", hint)?;
        let at = stack.entry("source").map_or(node.span, |e| e.key_span);
        let source = self.map(node, at, "`source`", keys::SOURCE)?;
        if let Some(entry) = source.entry("release").or(source.entry("from")) {
            let message = "this version reads stacks from directories only, not from releases";
            self.problem(entry.key_span, message, hint);
            return None;
        }
        let node = self.required(&source, "directory", "`source`", hint)?;
        positions.directory = node.span;
        let text = self.string(node, "`directory`")?;
        if text.is_empty() || text.len() > 1024 || text.chars().any(super::problem::is_hostile) {
            self.problem(node.span, "`directory` is a path of 1 to 1024 visible characters", hint);
            return None;
        }
        if text.contains("${") {
            let message = "`directory` cannot refer to the environment; only variables can";
            self.problem(node.span, message, "write the path, relative to this file");
            return None;
        }
        let folder = self.source.file().parent().unwrap_or(Path::new(""));
        let directory = folder.join(text);
        if let Some(root) = &self.known.root
            && lexically_outside(&directory, root)
        {
            let message = format!("the directory {} leads out of the allowed one", quote(text));
            let hint = format!("stacks of this command must be inside {}", quote(&root.to_string_lossy()));
            self.problem(node.span, message, hint);
            return None;
        }
        Some(directory)
    }

    /// Names of checks and groups that exist.
    pub(super) fn checks(&mut self, node: &Node, what: &str) -> Option<Vec<CheckName>> {
        let known = self.known.check_names();
        let items = self.list(node, what, MAX_CHECKS, "write `[name, name]`")?;
        let mut checks: Vec<CheckName> = Vec::new();
        let mut complete = true;
        for item in items {
            let text = self.string(item, "the name of a check");
            let found = text.and_then(|text| known.clone().find(|name| *name == text));
            match (text, found.map(CheckName::new)) {
                (Some(_), Some(Ok(name))) if checks.contains(&name) => {
                    self.problem(
                        item.span,
                        format!("the check `{name}` is given twice"),
                        "keep one of the two",
                    );
                }
                (Some(_), Some(Ok(name))) => checks.push(name),
                (Some(text), _) => {
                    complete = false;
                    let message = format!("there is no check or group {}", quote(text));
                    self.problem(item.span, message, name_hint(text, known.clone()));
                }
                (None, _) => complete = false,
            }
        }
        complete.then_some(checks)
    }

    fn cover(&mut self, spec: &Fields<'_>, table: &Table, positions: &mut Positions) -> Option<Cover> {
        let Some(entry) = spec.entry("cover") else {
            positions.cover = spec.span;
            return Some(Cover::All);
        };
        let (node, hint) = (&entry.value, "write `cover: all` or `cover: {strength: 2}`");
        positions.cover = node.span;
        if let Kind::Scalar(scalar) = &node.kind {
            if scalar.text == "all" {
                return Some(Cover::All);
            }
            self.wrong(node, "`cover`", "`all` or a strength", hint);
            return None;
        }
        let cover = self.map(node, entry.key_span, "`cover`", keys::COVER)?;
        let node = self.required(&cover, "strength", "`cover`", hint)?;
        let strength = self.integer(node, "`strength`", 1, 6)?;
        if table.is_complete() && strength as usize > table.switches.len() {
            let message = format!(
                "a strength of {strength} needs as many switches; there are {}",
                table.switches.len()
            );
            self.problem(node.span, message, "write `cover: all` for the full product");
            return None;
        }
        u8::try_from(strength).ok().map(Cover::Strength)
    }

    fn exclude(&mut self, spec: &Fields<'_>, table: &Table) -> Option<Vec<Exclusion>> {
        spec.get("exclude").map_or(Some(Vec::new()), |node| rows::exclude(self, node, table))
    }

    fn include(
        &mut self,
        spec: &Fields<'_>,
        table: &Table,
        positions: &mut Positions,
    ) -> Option<Vec<SwitchValues>> {
        let node = spec.get("include");
        node.map_or(Some(Vec::new()), |node| rows::include(self, node, table, &mut positions.include))
    }

    fn expect(&mut self, spec: &Fields<'_>, table: &Table) -> Option<Vec<Expectation>> {
        spec.get("expect").map_or(Some(Vec::new()), |node| rows::expect(self, node, table))
    }

    fn switches(&mut self, spec: &Fields<'_>) -> Table {
        let hint = "name at least one, e.g. `switches: {kubernetes: [\"1.34\"]}`";
        match self.required(spec, "switches", "`spec`", hint) {
            Some(node) => switches::read(self, node, hint),
            None => Table::default(),
        }
    }

    fn contradictions(
        &mut self,
        spec: &Fields<'_>,
        table: &Table,
        exclude: &[Exclusion],
        include: &[SwitchValues],
        positions: &Positions,
    ) {
        if table.is_complete() {
            let at = spec.entry("exclude").map_or(spec.span, |e| e.key_span);
            rows::contradictions(self, at, table, exclude, include, positions);
        }
    }

    fn changes(&mut self, spec: &Fields<'_>, positions: &mut Positions) -> Option<Vec<Change>> {
        let Some(node) = spec.get("changes") else {
            return Some(Vec::new());
        };
        let hint = "write e.g. `[{scale: {workers: 3}}, {upgrade: next-minor}]`";
        let items = self.list(node, "`changes`", MAX_CHANGES, hint)?;
        positions.changes = items.iter().map(|item| item.span).collect();
        let mut changes: Vec<Change> = Vec::new();
        let mut complete = true;
        for item in items {
            match self.change(item) {
                Some(change) if changes.contains(&change) => {
                    let message = format!("the change `{}` is given twice", change.name());
                    self.problem(item.span, message, "a change is made once; its results are named after it");
                }
                Some(change) => changes.push(change),
                None => complete = false,
            }
        }
        complete.then_some(changes)
    }

    fn change(&mut self, item: &Node) -> Option<Change> {
        let hint = "write `{scale: {workers: 3}}`, `{scale: {controlPlanes: 3}}` or `{upgrade: next-minor}`";
        let change = self.map(item, item.span, "a change", keys::CHANGE)?;
        match (change.entry("scale"), change.get("upgrade")) {
            (Some(scale), None) => {
                let what = self.map(&scale.value, scale.key_span, "`scale`", keys::SCALE)?;
                match (what.get("workers"), what.get("controlPlanes")) {
                    (Some(n), None) => self.integer(n, "`workers`", 0, MAX_WORKERS).map(Change::ScaleWorkers),
                    (None, Some(n)) => {
                        self.control_planes(n, "`controlPlanes`").map(Change::ScaleControlPlanes)
                    }
                    _ => {
                        let message = "`scale` changes one thing: `workers` or `controlPlanes`";
                        self.problem(scale.key_span, message, "write two changes to do one after the other");
                        None
                    }
                }
            }
            (None, Some(to)) => {
                let text = self.string(to, "`upgrade`")?;
                if text != "next-minor" {
                    let message = format!("`upgrade` goes to `next-minor`, not to {}", quote(text));
                    self.problem(to.span, message, "write `upgrade: next-minor`");
                    return None;
                }
                Some(Change::UpgradeNextMinor)
            }
            // The unknown key says it all.
            (None, None) if change.has_unknown() => None,
            _ => {
                self.problem(item.span, "a change is either a `scale` or an `upgrade`", hint);
                None
            }
        }
    }

    fn timeouts(&mut self, spec: &Fields<'_>) -> Option<Timeouts> {
        let mut timeouts = Timeouts::default();
        let Some(entry) = spec.entry("timeouts") else {
            return Some(timeouts);
        };
        let fields = self.map(&entry.value, entry.key_span, "`timeouts`", keys::TIMEOUTS)?;
        let slots: [(&str, &mut Duration); 4] = [
            ("provision", &mut timeouts.provision),
            ("check", &mut timeouts.check),
            ("change", &mut timeouts.change),
            ("delete", &mut timeouts.delete),
        ];
        let mut complete = true;
        for (key, slot) in slots {
            if let Some(node) = fields.get(key) {
                match self.duration(node, key) {
                    Some(duration) => *slot = duration,
                    None => complete = false,
                }
            }
        }
        complete.then_some(timeouts)
    }

    fn duration(&mut self, node: &Node, key: &str) -> Option<Duration> {
        let hint = "write `90s`, `20m` or `1h30m`; more than zero, at most 7 days (`168h`)";
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong(node, &format!("`{key}`"), "a duration", hint);
            return None;
        };
        let text = scalar.text.as_str();
        let duration = parse_duration(text).ok();
        if duration.is_none() {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                let message = format!("the timeout {} has no unit", quote(text));
                let shown = if text.len() < 6 { text } else { "20" };
                self.problem(
                    node.span,
                    message,
                    format!("write `{shown}s` for seconds, `{shown}m` for minutes"),
                );
            } else {
                self.wrong(node, &format!("`{key}`"), "a duration", hint);
            }
        }
        duration
    }
}

/// Whether a path leaves `root`, as far as its text tells. Links are followed by [`super::load`].
fn lexically_outside(path: &Path, root: &Path) -> bool {
    let (path, root) = (normal(path), normal(root));
    if path.is_absolute() != root.is_absolute() {
        return false;
    }
    let below = path.strip_prefix(&root);
    below.map_or(true, |rest| rest.components().next() == Some(Component::ParentDir))
}

/// Without `.`, and without `..` where the text allows.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::RootDir)) => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_or_not() {
        for (path, root, outside) in [
            ("scenarios/../stack", ".", false),
            ("scenarios/../../stack", ".", true),
            ("a/b", "a", false),
            ("ab", "a", true),
            ("/etc", "/work", true),
            ("/work/../etc", "/work", true),
            ("/../work/x", "/work", false),
        ] {
            assert_eq!(lexically_outside(Path::new(path), Path::new(root)), outside, "{path} in {root}");
        }
    }
}
