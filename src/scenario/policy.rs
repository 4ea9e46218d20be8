//! Policies of the release gate: what must have been tested, how often and how recently. Read like scenarios, with
//! every problem at its place.

use super::decode::{Decoder, Fields};
use super::problem::{MAX_PROBLEMS, Problem, Problems, SourceText, Span, name_hint, quote};
use super::text::{self, MAX_FILE};
use super::tree::{self, Kind, Node};
use super::{API_VERSION, Known, Scenario};
use crate::types::{CheckName, ScenarioName, SwitchName, SwitchValues, ValueName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const KIND: &str = "GatePolicy";
const MAX_COMBINATIONS: usize = 256;
const MAX_GREEN: u32 = 1000;
const MAX_DAYS: u32 = 365;
const SCENARIO_HINT: &str = "name the scenario file whose results count, relative to this file";
const COMBINATION_HINT: &str = "write `- {controlPlanes: 3, yawol: \"on\"}`";

/// Keys of the mappings in a policy.
mod keys {
    pub const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
    pub const METADATA: &[&str] = &["name"];
    pub const SPEC: &[&str] =
        &["scenario", "coverage", "combinations", "checks", "changes", "green", "withinDays", "maxFlakeRate"];
    pub const COVERAGE: &[&str] = &["strength", "of"];
}

/// Some switches, each with a value, as they stand in the policy.
pub type NamedValues = Vec<(String, String)>;

/// What a release must have been tested with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name.
    pub name: ScenarioName,
    /// The scenario file, resolved against the folder of the policy.
    pub scenario: PathBuf,
    /// Tuples of values that must have been green.
    pub coverage: Option<PolicyCoverage>,
    /// Values that must have been green together.
    pub combinations: Vec<(NamedValues, Span)>,
    /// Checks that must have passed wherever a combination counts as green; names of checks and groups.
    pub checks: Vec<CheckName>,
    /// Changes that must have passed in at least one combination each, e.g. `upgrade-next-minor`.
    pub changes: Vec<(String, Span)>,
    /// How many green runs every combination needs that counts.
    pub green: u32,
    /// How old they may be.
    pub within: Option<Duration>,
    /// The largest share of combinations' runs that may be flaky, in per cent.
    pub max_flake_rate: u32,
    source: Arc<SourceText>,
    scenario_span: Span,
}

/// Tuples of values that must have been green.
#[derive(Debug, Clone)]
pub struct PolicyCoverage {
    /// How many values stand together: 1 to 3.
    pub strength: u8,
    /// Among these switches; empty = all.
    pub of: Vec<(String, Span)>,
}

impl Policy {
    /// Reads a policy from a text.
    ///
    /// # Errors
    /// Every problem of the file, in the order of its lines.
    pub fn parse(text: &str, file: &Path, known: &Known<'_>) -> Result<Self, Problems> {
        if text.len() > MAX_FILE {
            return Err(Problems(vec![text::too_large(&SourceText::new(file, ""))]));
        }
        let source = SourceText::new(file, text);
        let mut problems = Vec::new();
        let root = tree::read(&source, &mut problems);
        let mut decoder = Decoder { source, known, problems };
        let policy = root.and_then(|root| decoder.policy(&root, file));
        let mut problems = decoder.problems;
        match policy {
            Some(policy) if problems.is_empty() => Ok(policy),
            _ => {
                problems.sort_by_key(Problem::span);
                problems.truncate(MAX_PROBLEMS);
                if problems.is_empty() {
                    problems.push(
                        Problem::of_file(file, "the policy is not valid").hint("please report this file"),
                    );
                }
                Err(Problems(problems))
            }
        }
    }

    /// A problem of the policy with its scenario.
    #[must_use]
    pub fn scenario_problem(&self, message: impl AsRef<str>) -> Problem {
        Problem::at(&self.source, self.scenario_span, message).hint(SCENARIO_HINT)
    }

    /// The combinations in the words of the scenario.
    ///
    /// # Errors
    /// Every name that the scenario does not have.
    pub fn check(&self, scenario: &Scenario) -> Result<Vec<SwitchValues>, Problems> {
        let mut problems = Vec::new();
        let mut complain = |span: Span, message: String, hint: String| {
            problems.push(Problem::at(&self.source, span, message).hint(hint));
        };
        let switches = || scenario.switches.iter().map(|switch| switch.name.as_str());
        let find = |name: &str| scenario.switches.iter().find(|switch| switch.name.as_str() == name);
        for (name, span) in self.coverage.iter().flat_map(|coverage| &coverage.of) {
            if find(name).is_none() {
                let message = format!("the scenario has no switch {}", quote(name));
                complain(*span, message, name_hint(name, switches()));
            }
        }
        let mut combinations = Vec::new();
        for (pairs, span) in &self.combinations {
            let mut values: Vec<(SwitchName, ValueName)> = Vec::new();
            for (name, value) in pairs {
                let Some(switch) = find(name) else {
                    let message = format!("the scenario has no switch {}", quote(name));
                    complain(*span, message, name_hint(name, switches()));
                    continue;
                };
                match switch.values.iter().find(|known| known.name.as_str() == value) {
                    Some(known) => values.push((switch.name.clone(), known.name.clone())),
                    None => {
                        let names = switch.values.iter().map(|known| known.name.as_str());
                        let message = format!("`{name}` has no value {}", quote(value));
                        complain(*span, message, name_hint(value, names));
                    }
                }
            }
            combinations.push(values);
        }
        let changes: Vec<String> = scenario.changes.iter().map(|change| change.name()).collect();
        for (name, span) in &self.changes {
            if !changes.contains(name) {
                let message = format!("the scenario makes no change {}", quote(name));
                complain(*span, message, name_hint(name, changes.iter().map(String::as_str)));
            }
        }
        if problems.is_empty() { Ok(combinations) } else { Err(Problems(problems)) }
    }
}

impl Decoder<'_> {
    fn policy(&mut self, root: &Node, file: &Path) -> Option<Policy> {
        let start = Span::new(root.span.line, root.span.column, root.span.length);
        let fields = self.map(root, start, "a policy", keys::ROOT)?;
        for (key, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let hint = format!("write `{key}: {wanted}`");
            if let Some(node) = self.required(&fields, key, "the policy", &hint)
                && let Some(text) = self.string(node, &format!("`{key}`"))
                && text != wanted
            {
                self.problem(node.span, format!("`{key}` {} is not known", quote(text)), hint);
            }
        }
        let metadata =
            self.required(&fields, "metadata", "the policy", "write `metadata: {name: my-policy}`")?;
        let metadata = self.map(metadata, metadata.span, "`metadata`", keys::METADATA)?;
        let name = self.required(&metadata, "name", "`metadata`", "every policy has a name");
        let name = name.and_then(|node| self.name(node, "the name of the policy", ScenarioName::new));
        let spec = self.required(&fields, "spec", "the policy", "it says what must have been tested")?;
        let at = fields.entry("spec").map_or(start, |entry| entry.key_span);
        let spec = self.map(spec, at, "`spec`", keys::SPEC)?;
        let scenario = self.required(&spec, "scenario", "`spec`", SCENARIO_HINT);
        let path = scenario.and_then(|node| self.string(node, "`scenario`")).map(str::to_owned);
        // Everything is read before anything ends the reading: all problems are told at once.
        let coverage = spec.get("coverage").map(|node| self.policy_coverage(node));
        let combinations = spec.get("combinations").map(|node| self.policy_combinations(node));
        if coverage.is_none() && combinations.is_none() {
            let hint = "write `coverage: {strength: 2}`, or list `combinations`";
            self.problem(at, "the policy asks for nothing: neither `coverage` nor `combinations`", hint);
        }
        let checks = spec.get("checks").map(|node| self.checks(node, "`checks`"));
        let changes =
            spec.get("changes").map(|node| self.words(node, "`changes`", "write `[upgrade-next-minor]`"));
        let green = self.number(&spec, "green", 1, MAX_GREEN, 1);
        let days = self.number(&spec, "withinDays", 1, MAX_DAYS, 0);
        let max_flake_rate = self.number(&spec, "maxFlakeRate", 0, 100, 0);
        let coverage = coverage.map_or(Some(None), |read| read.map(Some))?;
        let combinations = combinations.unwrap_or(Some(Vec::new()))?;
        let checks = checks.unwrap_or(Some(Vec::new()))?;
        let changes = changes.unwrap_or(Some(Vec::new()))?;
        let (green, days, max_flake_rate) = (green?, days?, max_flake_rate?);
        let folder = file.parent().unwrap_or(Path::new(""));
        Some(Policy {
            name: name?,
            scenario: folder.join(path?),
            coverage,
            combinations,
            checks,
            changes,
            green,
            within: (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400)),
            max_flake_rate,
            source: self.source.clone(),
            scenario_span: scenario?.span,
        })
    }

    fn number(&mut self, spec: &Fields<'_>, key: &str, min: u32, max: u32, default: u32) -> Option<u32> {
        spec.get(key).map_or(Some(default), |node| self.integer(node, &format!("`{key}`"), min, max))
    }

    fn words(&mut self, node: &Node, what: &str, hint: &str) -> Option<Vec<(String, Span)>> {
        let items = self.list(node, what, 32, hint)?;
        let words = items.iter().map(|item| Some((self.string(item, "a name")?.to_owned(), item.span)));
        words.collect()
    }

    fn policy_coverage(&mut self, node: &Node) -> Option<PolicyCoverage> {
        let fields = self.map(node, node.span, "`coverage`", keys::COVERAGE)?;
        let hint = "write `coverage: {strength: 2, of: [controlPlanes, yawol]}`";
        let strength = self.required(&fields, "strength", "`coverage`", hint);
        let strength = strength.and_then(|node| self.integer(node, "`strength`", 1, 3));
        let of = match fields.get("of") {
            Some(node) => self.words(node, "`of`", hint)?,
            None => Vec::new(),
        };
        Some(PolicyCoverage { strength: u8::try_from(strength?).unwrap_or(1), of })
    }

    fn policy_combinations(&mut self, node: &Node) -> Option<Vec<(NamedValues, Span)>> {
        let items = self.list(node, "`combinations`", MAX_COMBINATIONS, COMBINATION_HINT)?;
        let mut combinations = Vec::new();
        let before = self.problems.len();
        for item in items {
            let Some(entries) = self.free_map(item, "a combination", COMBINATION_HINT) else { continue };
            if entries.is_empty() {
                self.problem(item.span, "the combination names no value", COMBINATION_HINT);
            }
            let mut pairs = Vec::new();
            for entry in entries {
                let value = match &entry.value.kind {
                    // Values of `controlPlanes` and `workers` are numbers.
                    Kind::Scalar(scalar)
                        if !scalar.missing && scalar.text.bytes().all(|b| b.is_ascii_digit()) =>
                    {
                        scalar.text.as_str()
                    }
                    _ => match self.string(&entry.value, &format!("a value of `{}`", entry.key)) {
                        Some(text) => text,
                        None => continue,
                    },
                };
                pairs.push((entry.key.clone(), value.to_owned()));
            }
            combinations.push((pairs, item.span));
        }
        (self.problems.len() == before).then_some(combinations)
    }
}
