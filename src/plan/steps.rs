//! The steps of a unit: checks, then each change with the checks again. Pure.

use super::{KnownCheck, PlanOptions, Step, StepAction};
use crate::matrix::Combination;
use crate::scenario::{Change, Scenario, SwitchValue};
use crate::types::{CaseId, CheckName, KubernetesMinor, Release, Target};
use std::collections::BTreeMap;

/// Of which releases one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Those that clusters start on.
    Own,
    /// Those that come after them.
    Next,
    /// Those of another stack.
    Other,
}

/// What a change leads to, or why there is nothing that it could lead to.
struct Goals<'a, F> {
    scenario: &'a Scenario,
    combination: &'a Combination,
    release_of: &'a mut F,
    /// The releases that the cluster is on by now.
    line: Line,
}

impl<F: FnMut(Line, KubernetesMinor) -> Option<Release>> Goals<'_, F> {
    fn of(&mut self, change: Change, from: &Target) -> Result<Target, String> {
        let minor = from.release.kubernetes.minor();
        let on = |release: Release| Target { release, ..from.clone() };
        match change {
            Change::ScaleWorkers(workers) => Ok(Target { workers, ..from.clone() }),
            Change::ScaleControlPlanes(control_planes) => Ok(Target { control_planes, ..from.clone() }),
            Change::UpgradeNextMinor => {
                let minor = minor.next();
                let release = self.on_line(minor).ok_or_else(|| none(minor))?;
                match excluded_at(self.scenario, self.combination, minor) {
                    None => Ok(on(release)),
                    Some(because) => {
                        Err(format!("not applicable: with Kubernetes {minor} it is excluded: {because}"))
                    }
                }
            }
            Change::UpgradeNextRelease => {
                let release = (self.release_of)(Line::Next, minor);
                let release = release
                    .ok_or_else(|| format!("not applicable: `next` has no release for Kubernetes {minor}"))?;
                self.line = Line::Next;
                Ok(on(release))
            }
            Change::UpgradeSkipMinor => {
                let minor = minor.next().next();
                self.on_line(minor).map(on).ok_or_else(|| none(minor))
            }
            Change::UpgradePreviousMinor => {
                let before = minor.previous();
                let release = before.and_then(|minor| self.on_line(minor));
                release.map(on).ok_or_else(|| match before {
                    Some(minor) => none(minor),
                    None => format!("not applicable: there is no minor before {minor}"),
                })
            }
            Change::UpgradeOtherStack => {
                let release = (self.release_of)(Line::Other, minor);
                let none = || format!("not applicable: `other` has no release for Kubernetes {minor}");
                release.map(on).ok_or_else(none)
            }
        }
    }

    /// A release of those that the cluster is on; where they lack the minor, of those that it started on.
    fn on_line(&mut self, minor: KubernetesMinor) -> Option<Release> {
        let next = (self.line == Line::Next).then(|| (self.release_of)(Line::Next, minor)).flatten();
        next.or_else(|| (self.release_of)(Line::Own, minor))
    }
}

fn none(minor: KubernetesMinor) -> String {
    format!("not applicable: the stack has no release for Kubernetes {minor}")
}

/// Checks, then each change with the checks again. `release_of` gives the release of a minor, if there is one.
pub(super) fn steps(
    scenario: &Scenario,
    combination: &Combination,
    options: &PlanOptions,
    start: Target,
    release_of: &mut impl FnMut(Line, KubernetesMinor) -> Option<Release>,
) -> Vec<Step> {
    let wanted: Vec<&CheckName> = scenario.checks.iter().chain(&combination.checks).collect();
    let is_wanted = |check: &&KnownCheck| {
        wanted
            .iter()
            .any(|name| check.name == **name || check.groups.iter().any(|group| group == name.as_str()))
    };
    let checks: Vec<&KnownCheck> = options.checks.iter().filter(is_wanted).collect();
    let look = |check: &KnownCheck, suffix: &str, target: &Target| Step {
        case: CaseId(format!("check/{}{suffix}", check.name)),
        action: StepAction::Check(check.name.clone()),
        target: target.clone(),
    };
    let first = checks.iter().filter(|check| !check.after_change_only);
    let mut steps: Vec<Step> = first.map(|check| look(check, "", &start)).collect();
    let mut target = start;
    let mut goals = Goals { scenario, combination, release_of, line: Line::Own };
    for change in &scenario.changes {
        let name = change.name();
        let case = CaseId(format!("change/{name}"));
        let next = goals.of(*change, &target);
        let refusal = scenario.refusals.iter().find(|(refused, _)| refused == change);
        match next {
            Ok(next) if next == target => steps.push(Step {
                case,
                action: StepAction::Skip("not applicable: the cluster is so already".into()),
                target: target.clone(),
            }),
            Ok(next) if let Some((_, refusal)) = refusal => {
                let action = StepAction::Refused { change: *change, refusal: refusal.0.as_str().to_owned() };
                steps.push(Step { case, action, target: next });
            }
            Ok(next) => {
                target = next;
                steps.push(Step { case, action: StepAction::Change(*change), target: target.clone() });
                let again = checks.iter().filter(|check| check.repeats);
                steps.extend(again.map(|check| look(check, &format!("@after-{name}"), &target)));
            }
            Err(reason) => {
                steps.push(Step { case, action: StepAction::Skip(reason), target: target.clone() });
            }
        }
    }
    steps
}

/// Why the combination must not run on another minor, if so.
fn excluded_at(scenario: &Scenario, combination: &Combination, minor: KubernetesMinor) -> Option<String> {
    let on_minor = |value: &&SwitchValue| value.patch.kubernetes == Some(minor);
    let (switch, value) = scenario
        .switches
        .iter()
        .find_map(|switch| Some((&switch.name, &switch.values.iter().find(on_minor)?.name)))?;
    let values = combination.values.iter().map(|(s, v)| (s, if s == switch { value } else { v }));
    let values: BTreeMap<_, _> = values.collect();
    let found = scenario.exclude.iter().find(|e| e.when.holds(&|name| values.get(name).copied()))?;
    Some(found.because.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Effort, expand};
    use crate::scenario::Known;
    use crate::types::{Namespace, Owner, RunId};
    use std::path::Path;

    /// The steps of a cluster on 1.34, each with the class that it is about. `has` says which releases there are.
    fn goals(changes: &str, has: impl Fn(Line, &str) -> bool) -> Vec<String> {
        let stack = "provider: scripted, name: scs, source: {directory: .}";
        let next = if changes.contains("next-release") { ", next: {directory: .}" } else { "" };
        let other = if changes.contains("other-stack") {
            ", other: {name: scs2, source: {directory: .}}"
        } else {
            ""
        };
        let text = format!(
            "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: test}}\nspec:\n  \
             stack: {{{stack}{next}{other}}}\n  switches: {{kubernetes: [\"1.34\"]}}\n  checks: [smoke]\n  changes: [{changes}]\n"
        );
        let known = Known { checks: &[("quiet", "smoke")], ..Known::default() };
        let scenario = crate::scenario::parse(&text, Path::new("test.yaml"), &known).unwrap();
        let effort = Effort { steps: 1, seed: 1, threads: 1, price: None, capacities: &[], slack: 0 };
        let matrix = expand(std::slice::from_ref(&scenario), &[], effort).unwrap();
        let mut release_of = |line: Line, minor: KubernetesMinor| {
            let name = match line {
                Line::Own => "own",
                Line::Next => "next",
                Line::Other => "other",
            };
            has(line, &minor.to_string()).then(|| Release {
                class: format!("{name}-{}", minor.dashed()),
                kubernetes: format!("v{minor}.0").parse().unwrap(),
                worker_class: String::new(),
            })
        };
        let release = release_of(Line::Own, "1.34".parse().unwrap()).unwrap();
        let options = PlanOptions {
            run: RunId::from_uuid_v7([1; 16]),
            namespace: Namespace::new("n").unwrap(),
            now: jiff::Timestamp::UNIX_EPOCH,
            keep: std::time::Duration::from_secs(1),
            owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
            concurrency: None,
            shard: None,
            keep_on_failure: false,
            checks: vec![],
        };
        let start = Target { release, control_planes: 1, workers: 1 };
        let steps = steps(&scenario, &matrix.combinations[0], &options, start, &mut release_of);
        let shown = |step: Step| {
            let name = step.case.0.trim_start_matches("change/upgrade-").to_owned();
            match step.action {
                StepAction::Skip(why) => format!("{name}: {}", why.trim_start_matches("not applicable: ")),
                StepAction::Refused { refusal, .. } => {
                    format!("{name}: not to {} ({refusal})", step.target.release.class)
                }
                _ => format!("{name}: to {}", step.target.release.class),
            }
        };
        steps.into_iter().map(shown).collect()
    }

    #[test]
    fn upgrades_lead_where_they_say() {
        let all = "{upgrade: skip-minor, refusal: a}, {upgrade: previous-minor, refusal: b}, \
                   {upgrade: other-stack, refusal: c}, {upgrade: next-release}, {upgrade: next-minor}";
        assert_eq!(
            goals(all, |_, _| true),
            [
                "skip-minor: not to own-1-36 (a)",
                "previous-minor: not to own-1-33 (b)",
                "other-stack: not to other-1-34 (c)",
                "next-release: to next-1-34",
                "next-minor: to next-1-35",
            ]
        );
        // What is refused changes nothing; from the next release on its own minors count, as far as there are any.
        let later = "{upgrade: next-release}, {upgrade: next-minor}, {upgrade: previous-minor, refusal: b}";
        assert_eq!(
            goals(later, |line, minor| line == Line::Own || minor == "1.34"),
            ["next-release: to next-1-34", "next-minor: to own-1-35", "previous-minor: not to next-1-34 (b)"]
        );
        assert_eq!(
            goals(all, |line, minor| line == Line::Own && minor == "1.34"),
            [
                "skip-minor: the stack has no release for Kubernetes 1.36",
                "previous-minor: the stack has no release for Kubernetes 1.33",
                "other-stack: `other` has no release for Kubernetes 1.34",
                "next-release: `next` has no release for Kubernetes 1.34",
                "next-minor: the stack has no release for Kubernetes 1.35",
            ]
        );
    }
}
