//! Makes the plan: finds the release of every combination, checks its variables against the ClusterClass, and lays
//! down names, labels, steps and deadlines.

use super::addons::{operator_releases, with_addons};
use super::cost::{Flavor, Table};
use super::steps::{Line, steps};
use super::{OperatorRelease, Plan, PlannedRun, Step, StepAction};
use crate::event::LeftOutInfo;
use crate::matrix::{Combination, Matrix};
use crate::scenario::{Change, CloudAccess, Problem, Problems, Scenario, Span, Via, did_you_mean};
use crate::stack::effect::Planned;
use crate::stack::{ReleaseAddons, Stack, StackRelease, variables};
use crate::types::{
    CheckName, ClusterName, CombinationId, KubernetesMinor, Namespace, Owner, ProviderKind, Release, RunId,
    ScenarioName, Target,
};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// What is known of a check while planning; the table itself stands in a higher layer.
#[derive(Debug, Clone)]
pub struct KnownCheck {
    /// Its name.
    pub name: CheckName,
    /// The groups that it belongs to.
    pub groups: Vec<String>,
    /// Whether it looks again after every change.
    pub repeats: bool,
    /// Whether it only makes sense after a change.
    pub after_change_only: bool,
}

/// Everything that is decided outside.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The run.
    pub run: RunId,
    /// The namespace of its objects.
    pub namespace: Namespace,
    /// The moment of planning.
    pub now: Timestamp,
    /// How long the objects of the run are sacred to `sweep`.
    pub keep: Duration,
    /// The process that carries the run out.
    pub owner: Owner,
    /// How many units may be alive at once; `None` = all.
    pub concurrency: Option<usize>,
    /// Which part of the whole this is.
    pub shard: Option<(u32, u32)>,
    /// Whether clusters of failed units are kept.
    pub keep_on_failure: bool,
    /// The checks that exist.
    pub checks: Vec<KnownCheck>,
}

/// What one scenario needs of its stack: the minors of its combinations, and those that they are upgraded to.
#[must_use]
pub fn minors(scenario: &Scenario, matrix: &Matrix) -> BTreeSet<KubernetesMinor> {
    let mut minors = BTreeSet::new();
    for combination in matrix.combinations.iter().filter(|c| c.scenario == scenario.name) {
        let Some(mut minor) = combination.patch.kubernetes else { continue };
        minors.insert(minor);
        for change in &scenario.changes {
            match change {
                Change::UpgradeNextMinor => {
                    minor = minor.next();
                    minors.insert(minor);
                }
                Change::UpgradeSkipMinor => {
                    minors.insert(minor.next().next());
                }
                Change::UpgradePreviousMinor => minors.extend(minor.previous()),
                Change::ScaleWorkers(_)
                | Change::ScaleControlPlanes(_)
                | Change::UpgradeNextRelease
                | Change::UpgradeOtherStack => {}
            }
        }
    }
    minors
}

/// Makes the plan of all combinations of `matrix`.
///
/// # Errors
/// Every problem of every combination: a scenario without Kubernetes version, a minor that the stack does not have,
/// a variable that the ClusterClass does not know or whose value has no effect. Warnings are given beside the plan.
pub fn build(
    scenarios: &[Scenario],
    matrix: &Matrix,
    stacks: &BTreeMap<String, Stack>,
    options: &PlanOptions,
) -> Result<(Plan, Vec<Problem>), Problems> {
    let mut found = Found::default();
    let mut runs = Vec::new();
    let mut shared = Shared::default();
    for combination in &matrix.combinations {
        let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == combination.scenario) else {
            continue;
        };
        let stack = stacks.get(scenario.name.as_str());
        if let Some(run) = planned(scenario, combination, stack, options, &mut found, &mut shared) {
            runs.push(run);
        }
    }
    let provider = one_provider(scenarios, &mut found);
    one_credential(scenarios, &mut found);
    one_way(scenarios, &mut found);
    let after = precedence(scenarios, &mut found);
    for scenario in scenarios {
        // A size that nobody can read would count as none.
        if let Some(Err(error)) = scenario.cost.flavor.as_ref().map(|name| name.parse::<Flavor>()) {
            let problem = scenario.problem(scenario.positions.flavor, error.to_string());
            found.error(problem.hint("a flavor is named after its size, e.g. `SCS-4V-8` or `SCS-2V-4-20`"));
        }
    }
    if !found.errors.is_empty() {
        found
            .errors
            .sort_by_key(|problem| (problem.file().to_owned(), problem.span().line, problem.span().column));
        return Err(Problems(found.errors));
    }
    let scenario_of = |name: &ScenarioName| scenarios.iter().find(|s| s.name == *name);
    let left_out = matrix.left_out.iter().map(|left_out| LeftOutInfo {
        name: left_out.name(),
        scenario: left_out.scenario.to_string(),
        stack: scenario_of(&left_out.scenario).map(stack_name).unwrap_or_default(),
        reason: left_out.reason.clone(),
    });
    let plan = Plan {
        run: options.run.clone(),
        made: options.now,
        expires: options.now + options.keep,
        owner: options.owner.clone(),
        provider,
        namespace: options.namespace.clone(),
        shared: shared.objects,
        addons: shared.addons,
        operator: shared.operator,
        concurrency: options.concurrency.unwrap_or(runs.len()).max(1),
        runs,
        left_out: left_out.collect(),
        shard: options.shard,
        keep_on_failure: options.keep_on_failure,
        tables: scenarios
            .iter()
            .filter(|scenario| !scenario.cost.is_empty())
            .map(|scenario| {
                (scenario.name.to_string(), Table::of(scenario.stack.provider).with(&scenario.cost))
            })
            .collect(),
        after,
        coverage: crate::matrix::coverage(scenarios, matrix),
        timetable: None,
        places: scenarios.iter().map(|s| (s.name.to_string(), s.places())).collect(),
    };
    Ok((plan, found.warnings))
}

/// What releases are made of, for all runs together.
#[derive(Default)]
struct Shared {
    objects: Vec<Value>,
    addons: BTreeMap<String, ReleaseAddons>,
    operator: Vec<OperatorRelease>,
    /// What is there twice and not the same.
    wrong: Vec<(Line, String)>,
}

impl Shared {
    /// Takes what a release is made of; notes what of it other releases of the run have in another state. Of the minors of
    /// one folder that is for the stack to know; two states of one release cannot be told apart on any cluster.
    fn take(&mut self, release: &StackRelease, of: Line) {
        let name = |object: &Value| {
            let text =
                |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        };
        for object in &release.objects {
            if self.objects.contains(object) {
                continue;
            }
            let known = self.objects.iter().any(|other| name(other) == name(object));
            if known && of != Line::Own {
                let (_, kind, name) = name(object);
                self.wrong.push((of, format!("{kind}/{name} is in both releases, and not the same")));
            } else {
                self.objects.push(object.clone());
            }
        }
        if let Some(addons) = &release.addons {
            let before = self.addons.insert(release.class.clone(), addons.clone());
            if of != Line::Own && before.is_some_and(|before| before.digest != addons.digest) {
                let why = format!("the add-ons of {} are in both releases, and not the same", release.class);
                self.wrong.push((of, why));
            }
        }
    }
}

/// Problems, each said once although many combinations have it.
#[derive(Default)]
struct Found {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Found {
    fn error(&mut self, problem: Problem) {
        if !self.errors.contains(&problem) {
            self.errors.push(problem);
        }
    }
}

/// Which scenarios come after which. What is not there, and what waits for itself, is an error.
fn precedence(scenarios: &[Scenario], found: &mut Found) -> BTreeMap<String, Vec<String>> {
    let by_name: BTreeMap<&str, &Scenario> = scenarios.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut after = BTreeMap::new();
    for scenario in scenarios.iter().filter(|scenario| !scenario.after.is_empty()) {
        for (name, place) in scenario.after.iter().zip(&scenario.positions.after) {
            if !by_name.contains_key(name.as_str()) {
                let problem = scenario.problem(*place, format!("there is no scenario `{name}`"));
                found.error(problem.hint(match did_you_mean(name.as_str(), by_name.keys().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "name its file on the command line, too".to_owned(),
                }));
            } else if waits_for(name, &scenario.name, &by_name) {
                let message = format!("`{}` and `{name}` wait for each other", scenario.name);
                found.error(scenario.problem(*place, message).hint("leave out one of the two"));
            }
        }
        let names = scenario.after.iter().map(ToString::to_string).collect();
        after.insert(scenario.name.to_string(), names);
    }
    after
}

/// Whether `one` comes after `other`, or is the same.
fn waits_for(one: &ScenarioName, other: &ScenarioName, by_name: &BTreeMap<&str, &Scenario>) -> bool {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut left = vec![one.as_str()];
    while let Some(name) = left.pop() {
        if name == other.as_str() {
            return true;
        }
        if seen.insert(name)
            && let Some(scenario) = by_name.get(name)
        {
            left.extend(scenario.after.iter().map(ScenarioName::as_str));
        }
    }
    false
}

fn one_provider(scenarios: &[Scenario], found: &mut Found) -> ProviderKind {
    let first = scenarios.first().map_or(ProviderKind::Embedded, |scenario| scenario.stack.provider);
    for scenario in scenarios {
        let (provider, span) = (scenario.stack.provider, scenario.positions.provider);
        if provider != first {
            let message =
                format!("one run has one provider: this is `{provider}`, another file has `{first}`");
            found.error(scenario.problem(span, message).hint("run the files one after the other"));
        }
    }
    first
}

/// The objects of a run share a namespace, and the stacks name the Secrets there: it holds one credential.
fn one_credential(scenarios: &[Scenario], found: &mut Found) {
    let mut all = scenarios.iter().filter_map(|scenario| Some((scenario, scenario.credentials.as_ref()?)));
    let Some((_, first)) = all.next() else { return };
    for (scenario, other) in all.filter(|(_, other)| *other != first) {
        let say = |access: &CloudAccess| format!("`{}` by {}", access.cloud, access.deliver.as_str());
        let message =
            format!("one run has one credential: this is {}, another file has {}", say(other), say(first));
        let problem = scenario.problem(scenario.positions.credentials, message);
        found.error(problem.hint("run the files one after the other"));
    }
}

/// One run has one way: the operator would take what the harness applies for its own, and the other way round.
fn one_way(scenarios: &[Scenario], found: &mut Found) {
    let Some(first) = scenarios.first() else { return };
    for scenario in scenarios {
        if scenario.stack.via != first.stack.via {
            let message = "one run has one way: another file has another `via`";
            let problem = scenario.problem(scenario.positions.stack, message);
            found.error(problem.hint("run the files one after the other"));
        }
    }
}

fn stack_name(scenario: &Scenario) -> String {
    format!("{}-{}", scenario.stack.provider, scenario.stack.name)
}

fn planned(
    scenario: &Scenario,
    combination: &Combination,
    stack: Option<&Stack>,
    options: &PlanOptions,
    found: &mut Found,
    shared: &mut Shared,
) -> Option<PlannedRun> {
    let patch = &combination.patch;
    let Some(minor) = patch.kubernetes else {
        let problem =
            scenario.problem(scenario.positions.name, "no switch says which Kubernetes minor to run");
        found.error(problem.hint("add the switch `kubernetes: [\"1.34\"]` to `spec.switches`"));
        return None;
    };
    let mut release_of = |of: Line, minor: KubernetesMinor| match (scenario.stack.provider, stack) {
        (ProviderKind::Scripted, _) => scripted_release(scenario, of, minor),
        (_, Some(stack)) => {
            let release = match of {
                Line::Own => stack.release(minor)?,
                Line::Next => stack.next_release(minor)?,
                Line::Other => stack.other_release(minor)?,
            };
            shared.take(release, of);
            Some(Release {
                class: release.class.clone(),
                kubernetes: release.kubernetes,
                worker_class: release.worker_class.clone(),
            })
        }
        (_, None) => None,
    };
    let Some(release) = release_of(Line::Own, minor) else {
        let (span, has) = (place_of_minor(scenario, combination), stack.map(minors_of).unwrap_or_default());
        let problem = scenario.problem(span, format!("the stack has no release for Kubernetes {minor}"));
        found.error(problem.hint(format!("it has {has}")));
        return None;
    };
    // What is wrong with an invalid value is for the API server to say.
    if combination.refusal.is_none() {
        variable_problems(scenario, combination, stack, minor, found);
    }
    let control_planes = patch.control_planes.unwrap_or(1);
    let workers = patch.workers.unwrap_or(scenario.workers);
    let start = Target { release: release.clone(), control_planes, workers };
    let next_release = release_of(Line::Own, minor.next());
    let steps = match combination.refusal {
        Some(_) => Vec::new(),
        None => {
            let steps = steps(scenario, combination, options, start.clone(), &mut release_of);
            for (of, why) in std::mem::take(&mut shared.wrong) {
                let span = if of == Line::Next { scenario.positions.next } else { scenario.positions.other };
                let hint = "give each release a version of its own in `cluster-class/Chart.yaml`, or let it be built \
                            with `build: own`";
                found.error(scenario.problem(span, why).hint(hint));
            }
            let via = scenario.stack.via;
            if via == Via::Operator {
                for why in operator_releases(&start, &steps, &mut shared.operator) {
                    found.error(scenario.problem(scenario.positions.stack, why));
                }
            }
            with_addons(steps, start, &shared.addons, via)
        }
    };
    let id = combination.id.clone();
    let Some(cluster) = cluster_name(&id, &options.run) else {
        found.error(scenario.problem(Span::default(), format!("no cluster can be named after `{id}`")));
        return None;
    };
    Some(PlannedRun {
        name: combination.name(),
        scenario: scenario.name.to_string(),
        stack: stack_name(scenario),
        cluster,
        digest: digest(stack.and_then(|stack| stack.release(minor)), &release.class),
        release,
        next_release,
        control_planes,
        workers,
        variables: patch.variables.clone(),
        expected: expected(scenario, combination, &steps, options.now),
        steps,
        timeouts: scenario.timeouts,
        switches: combination.values.iter().map(|(s, v)| (s.to_string(), v.to_string())).collect(),
        credentials: scenario.credentials.clone(),
        failure_domain: scenario.failure_domain.clone(),
        refusal: combination.refusal.as_ref().map(|pattern| pattern.0.as_str().to_owned()),
        id,
    })
}

/// The name of a unit's Cluster in a run.
pub(super) fn cluster_name(id: &CombinationId, run: &RunId) -> Option<ClusterName> {
    ClusterName::new(format!("e2e-{id}-{}", run.short())).ok()
}

/// The hash of everything that the release renders to. What the double has no content of is hashed by its name.
#[must_use]
pub fn digest(rendered: Option<&StackRelease>, class: &str) -> String {
    // Maps of `serde_json` are sorted by their keys, so equal objects give equal bytes.
    let bytes = match rendered {
        Some(rendered) => serde_json::to_vec(&(&rendered.kubernetes.to_string(), &rendered.objects)),
        None => serde_json::to_vec(class),
    };
    let hash = Sha256::digest(bytes.unwrap_or_default());
    hash.iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The double has every minor.
pub(super) fn scripted_release(scenario: &Scenario, of: Line, minor: KubernetesMinor) -> Option<Release> {
    let (stack, version) = match (of, &scenario.stack.other) {
        (Line::Other, Some(other)) => (format!("{}-{}", other.provider, other.name), "v1"),
        (Line::Next, _) => (stack_name(scenario), "v2"),
        _ => (stack_name(scenario), "v1"),
    };
    Some(Release {
        class: format!("{stack}-{}-{version}", minor.dashed()),
        kubernetes: format!("v{minor}.0").parse().ok()?,
        worker_class: "default-worker".into(),
    })
}

fn minors_of(stack: &Stack) -> String {
    let minors: Vec<String> = stack.minors.iter().map(ToString::to_string).collect();
    minors.join(", ")
}

fn place_of_minor(scenario: &Scenario, combination: &Combination) -> Span {
    let sets = |(switch, value): &&(_, _)| {
        scenario.value(switch, value).is_some_and(|value| value.patch.kubernetes.is_some())
    };
    let value = combination.values.iter().find(sets).and_then(|(s, v)| scenario.value(s, v));
    value.map(|value| value.position).unwrap_or_default()
}

/// Variables that the ClusterClass does not know or would refuse, and values that would do nothing, each at the
/// line of the switch value that sets it.
fn variable_problems(
    scenario: &Scenario,
    combination: &Combination,
    stack: Option<&Stack>,
    minor: KubernetesMinor,
    found: &mut Found,
) {
    let Some(release) = stack.and_then(|stack| stack.release(minor)) else { return };
    let patch = &combination.patch;
    let workers = patch.workers.unwrap_or(scenario.workers);
    let planned = Planned::on(release, patch.control_planes.unwrap_or(1), workers);
    for problem in variables::problems(release, &patch.variables, Some(&planned)) {
        let sets = |(switch, value): &&(_, _)| {
            scenario.value(switch, value).is_some_and(|v| v.patch.variables.contains_key(&problem.variable))
        };
        let span =
            combination.values.iter().find(sets).map_or(scenario.positions.stack, |(switch, value)| {
                scenario.variable_span(switch, value, &problem.variable)
            });
        let said = scenario.problem(span, &problem.message).maybe_hint(problem.hint.as_deref());
        match problem.severity {
            variables::Severity::Error => found.error(said),
            variables::Severity::Warning if found.warnings.contains(&said) => {}
            variables::Severity::Warning => found.warnings.push(said),
        }
    }
}

/// Which checks are known to fail for this combination on the day of planning, and why.
fn expected(
    scenario: &Scenario,
    combination: &Combination,
    steps: &[Step],
    now: Timestamp,
) -> BTreeMap<CheckName, String> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let holds = |when: &BTreeMap<_, Vec<_>>| {
        when.iter().all(|(switch, values)| {
            combination.values.iter().any(|(name, value)| name == switch && values.contains(value))
        })
    };
    let mut expected = BTreeMap::new();
    for expectation in scenario.expect.iter().filter(|e| today < e.until && holds(&e.when)) {
        for step in steps {
            if let StepAction::Check(name) = &step.action
                && expectation.check.is_match(name.as_str())
            {
                let reason = format!("{} (until {})", expectation.because, expectation.until);
                expected.entry(name.clone()).or_insert(reason);
            }
        }
    }
    expected
}
