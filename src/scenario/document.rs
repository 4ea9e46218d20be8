//! The document as a whole: text -> [`Scenario`].

use super::decode::{Decoder, Fields};
use super::problem::{MAX_PROBLEMS, Problem, SourceText, Span, quote};
use super::switches::Table;
use super::text;
use super::tree::{self, Kind, Node};
use super::{
    API_VERSION, Cover, Exclusion, Expectation, Known, MAX_AFTER, MAX_WORKERS, Positions, Scenario, marks,
    rows, switches,
};
use crate::types::{ScenarioName, SwitchValues};
use std::path::Path;

/// Keys of the mappings in a scenario file; the schema has the same, which a test holds.
pub(super) mod keys {
    pub const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
    pub const METADATA: &[&str] = &["name"];
    pub const SPEC: &[&str] = &[
        "stack",
        "switches",
        "cover",
        "exclude",
        "include",
        "workers",
        "checks",
        "changes",
        "expect",
        "timeouts",
        "credentials",
        "failureDomain",
        "cost",
        "after",
    ];
    pub const CREDENTIALS: &[&str] = &["cloud", "deliver"];
    pub const STACK: &[&str] = &["provider", "name", "source", "next", "other", "via"];
    pub const OTHER: &[&str] = &["name", "source"];
    pub const SOURCE: &[&str] = &["directory", "build", "release", "from"];
    pub const VALUE: &[&str] = &[
        "name",
        "variables",
        "workers",
        "controlPlanes",
        "checks",
        "requires",
        "weight",
        "default",
        "invalid",
        "refusal",
    ];
    /// What a value of a switch that the harness knows may say besides its name.
    pub const MARKED: &[&str] = &["name", "requires", "weight", "default"];
    pub const REQUIRES: &[&str] = &["credentials", "switches", "because"];
    pub const COVER: &[&str] = &["strength", "groups"];
    pub const GROUP: &[&str] = &["of", "strength"];
    pub const EXCLUDE: &[&str] = &["when", "because"];
    pub const EXPECT: &[&str] = &["check", "verdict", "when", "because", "until"];
    pub const CHANGE: &[&str] = &["scale", "upgrade", "refusal"];
    pub const SCALE: &[&str] = &["workers", "controlPlanes"];
    pub const TIMEOUTS: &[&str] = &["provision", "check", "change", "delete"];
    pub const COST: &[&str] = &[
        "provision",
        "controlPlane",
        "worker",
        "check",
        "scale",
        "upgrade",
        "upgradeWorker",
        "tearDown",
        "proveClean",
        "cluster",
        "machine",
        "flavor",
    ];
    /// Those of them that are durations.
    pub const COST_DURATIONS: &[&str] = &[
        "provision",
        "controlPlane",
        "worker",
        "check",
        "scale",
        "upgrade",
        "upgradeWorker",
        "tearDown",
        "proveClean",
    ];
    /// What a quota can limit; the planner has the same, which a test holds.
    pub const RESOURCES: &[&str] = &[
        "cores",
        "memoryMiB",
        "instances",
        "volumes",
        "floatingIPs",
        "loadBalancers",
        "networks",
        "managementCpuMilli",
        "managementMemoryMiB",
        "clusters",
    ];
}

/// Reads a scenario from bytes that should be UTF-8.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn parse_bytes(bytes: &[u8], file: &Path, known: &Known<'_>) -> Result<Scenario, Vec<Problem>> {
    if bytes.len() > text::MAX_FILE {
        return Err(vec![text::too_large(&SourceText::new(file, ""))]);
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
    if text.len() > text::MAX_FILE {
        return Err(vec![text::too_large(&SourceText::new(file, ""))]);
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
            if problems.len() >= MAX_PROBLEMS {
                let more = Problem::of_file(file, "there may be more problems than these");
                problems.push(more.hint("solve some of them and run the command again"));
            }
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
        if let (Some(cover), Some(entry)) = (&cover, spec.entry("switches")) {
            marks::too_many(self, entry, &table, cover);
        }
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
        if let (Some(stack), Some((changes, _))) = (&stack, &changes) {
            self.goals(stack, changes, &positions);
        }
        let expect = self.expect(spec, &table);
        let timeouts = self.timeouts(spec);
        let provider = stack.as_ref().map(|stack| stack.provider);
        let credentials = self.access(spec, provider, &mut positions);
        let failure_domain = self.failure_domain(spec);
        let cost = self.cost(spec, &mut positions.flavor);
        let after = self.after(spec, &mut positions);
        if let (Some(exclude), Some(include)) = (&exclude, &include) {
            self.contradictions(&table, exclude, include, &positions);
        }
        let (changes, refusals) = changes?;
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
            changes,
            refusals,
            expect: expect?,
            timeouts: timeouts?,
            credentials: credentials?,
            failure_domain: failure_domain?,
            cost: cost?,
            after: after?,
            source: self.source.clone(),
            positions,
        })
    }

    /// Scenarios that come first. Whether they are there is known only where all files are.
    fn after(&mut self, spec: &Fields<'_>, positions: &mut Positions) -> Option<Vec<ScenarioName>> {
        let Some(node) = spec.get("after") else { return Some(Vec::new()) };
        let hint = "name the scenarios that come first, e.g. `after: [smoke]`";
        let items = self.list(node, "`after`", MAX_AFTER, hint)?;
        let names: Vec<Option<ScenarioName>> =
            items.iter().map(|item| self.name(item, "the scenario name", ScenarioName::new)).collect();
        positions.after = items.iter().map(|item| item.span).collect();
        names.into_iter().collect()
    }

    fn cover(&mut self, spec: &Fields<'_>, table: &Table, positions: &mut Positions) -> Option<Cover> {
        let Some(entry) = spec.entry("cover") else {
            positions.cover = spec.span;
            return Some(Cover::All);
        };
        let (node, hint) = (&entry.value, marks::COVER_HINT);
        positions.cover = node.span;
        if let Kind::Scalar(scalar) = &node.kind {
            if scalar.text == "all" {
                return Some(Cover::All);
            }
            self.wrong(node, "`cover`", "`all` or a strength", hint);
            return None;
        }
        marks::cover(self, node, entry.key_span, table)
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
        table: &Table,
        exclude: &[Exclusion],
        include: &[SwitchValues],
        positions: &Positions,
    ) {
        if table.is_complete() {
            rows::contradictions(self, table, exclude, include, positions);
        }
    }
}
