//! The add-ons in a plan: which stages are steps, and where they stand. Pure.

use super::{AddonStep, OperatorRelease, Step, StepAction};
use crate::scenario::Via;
use crate::stack::ReleaseAddons;
use crate::stack::addon::{Action, Hook, Stage};
use crate::types::{CaseId, Release, Target};
use std::collections::BTreeMap;

/// The same steps with those of the add-ons: at the beginning what was done when the control plane came up, before an
/// upgrade of the Kubernetes version what it waits for, and after a change of the release alone what follows from it.
pub(super) fn with_addons(
    steps: Vec<Step>,
    start: Target,
    addons: &BTreeMap<String, ReleaseAddons>,
    via: Via,
) -> Vec<Step> {
    let at = |hook: Hook, release: &Release, target: &Target, suffix: &str| -> Vec<Step> {
        let stages = addons.get(&release.class).map(|addons| addons.plan.at(hook)).unwrap_or_default();
        let step = |(number, stage): (usize, &Stage)| Step {
            case: CaseId(format!("addon/{hook}/{}{}{suffix}", stage.name, twin(stages, number))),
            action: if hook.is_carried_out() {
                StepAction::Addon(AddonStep { hook, stage: number })
            } else {
                let words =
                    "not applicable: the operator knows the hook AfterClusterUpgrade and does nothing at it";
                StepAction::Skip(words.into())
            },
            target: target.clone(),
        };
        stages.iter().enumerate().map(step).collect()
    };
    let mut all = at(Hook::AfterControlPlaneInitialized, &start.release, &start, "");
    let mut release = start.release;
    for step in steps {
        let changes = matches!(step.action, StepAction::Change(_)) && step.target.release != release;
        if !changes {
            all.push(step);
            continue;
        }
        let target = step.target.clone();
        let upgrade = target.release.kubernetes != release.kubernetes;
        let name = step.case.0.strip_prefix("change/").unwrap_or(&step.case.0).to_owned();
        // What the operator does before an upgrade can be looked at when the change is over.
        let ahead = upgrade && via == Via::Harness;
        let suffix = format!("@{}-{name}", if ahead { "before" } else { "after" });
        let stages = at(Hook::BeforeClusterUpgrade, &target.release, &target, &suffix);
        if ahead {
            all.extend(stages);
            all.push(step);
        } else {
            all.push(step);
            all.extend(stages);
        }
        if upgrade {
            let suffix = format!("@after-{name}");
            all.extend(at(Hook::AfterClusterUpgrade, &target.release, &target, &suffix));
        }
        release = target.release;
    }
    all
}

/// Adds the releases that the operator has to bring for a unit: that of its start and those of its changes. Gives what it
/// could not take apart.
pub(super) fn operator_releases(
    start: &Target,
    steps: &[Step],
    releases: &mut Vec<OperatorRelease>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for target in [start].into_iter().chain(steps.iter().map(|step| &step.target)) {
        let Release { class, kubernetes, .. } = &target.release;
        match OperatorRelease::of(class, *kubernetes) {
            Ok(release) if releases.contains(&release) => {}
            Ok(release) => releases.push(release),
            Err(why) => problems.push(why),
        }
    }
    problems
}

/// Tells a stage from another of the same name: a chart may be deleted and applied at one hook.
fn twin(stages: &[Stage], number: usize) -> &'static str {
    let stage = &stages[number];
    let twins = stages.iter().filter(|other| other.name == stage.name).count();
    match stage.action {
        Action::Delete if twins > 1 => "-delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Change;
    use crate::stack::addon::AddonPlan;

    fn release(minor: u32, version: &str) -> Release {
        Release {
            class: format!("embedded-scs-1-{minor}-{version}"),
            kubernetes: format!("v1.{minor}.0").parse().unwrap(),
            worker_class: "w".into(),
        }
    }

    /// A cluster on v1 of 1.34 that goes to v2 and then to 1.35, by one way or the other.
    fn cases(via: Via) -> Vec<String> {
        let target = |release: &Release| Target { release: release.clone(), control_planes: 1, workers: 1 };
        let [first, same, next] = [release(34, "v1"), release(34, "v2"), release(35, "v1")];
        let change = |name: &str, release: &Release| Step {
            case: CaseId(format!("change/{name}")),
            action: StepAction::Change(Change::UpgradeNextMinor),
            target: target(release),
        };
        let stage = |name: &str| Stage {
            name: name.into(),
            action: Action::Apply,
            before: None,
            after: None,
            line: 1,
        };
        let hooks = Hook::ALL.map(|hook| (hook, vec![stage("cni"), stage("ccm")]));
        let plan = AddonPlan { hooks: hooks.into(), ..AddonPlan::default() };
        let addons = ReleaseAddons { folder: "x".into(), digest: String::new(), plan };
        let addons = [&first, &same, &next].map(|release| (release.class.clone(), addons.clone())).into();
        let steps = vec![change("release", &same), change("minor", &next)];
        let steps = with_addons(steps, target(&first), &addons, via);
        steps
            .iter()
            .map(|step| step.case.0.replace("BeforeClusterUpgrade", "before").replace("After", "after"))
            .collect()
    }

    #[test]
    fn stages_stand_where_they_are_carried_out() {
        let first = ["addon/afterControlPlaneInitialized/cni", "addon/afterControlPlaneInitialized/ccm"];
        let same = ["change/release", "addon/before/cni@after-release", "addon/before/ccm@after-release"];
        let after =
            ["addon/afterClusterUpgrade/cni@after-minor", "addon/afterClusterUpgrade/ccm@after-minor"];
        let ahead = ["addon/before/cni@before-minor", "addon/before/ccm@before-minor", "change/minor"];
        let behind = ["change/minor", "addon/before/cni@after-minor", "addon/before/ccm@after-minor"];
        assert_eq!(cases(Via::Harness), [&first[..], &same, &ahead, &after].concat());
        assert_eq!(cases(Via::Operator), [&first[..], &same, &behind, &after].concat());
    }
}
