//! What a combination takes, before anything is rendered: enough to choose between covering arrays.

use super::build::cluster_name;
use super::cost::{Capacity, Cost, History, Resource, Table};
use super::{PlannedRun, Step, StepAction};
use crate::matrix::{Combination, Price};
use crate::scenario::{Change, Scenario};
use crate::types::{CaseId, Release, RunId, Target};

/// The price of a combination, in the resources that `capacity` limits, in its order. Checks are left away: every
/// combination has about the same. An unnamed combination costs nothing.
#[must_use]
pub fn price(scenario: &Scenario, combination: &Combination, capacity: &Capacity) -> Price {
    let resources: Vec<Resource> = capacity.limits().map(|(resource, _)| resource).collect();
    let Some(run) = sketch(scenario, combination) else { return Price::default() };
    let cost = Cost::of(&run, &Table::of(scenario.stack.provider).with(&scenario.cost), &History::default());
    Price {
        milliseconds: cost.milliseconds(),
        demand: resources.iter().map(|resource| cost.resources.get(*resource)).collect(),
    }
}

/// The run as far as its cost depends on it.
fn sketch(scenario: &Scenario, combination: &Combination) -> Option<PlannedRun> {
    let patch = &combination.patch;
    let release = Release {
        class: String::new(),
        kubernetes: format!("v{}.0", patch.kubernetes?).parse().ok()?,
        worker_class: String::new(),
    };
    let (control_planes, workers) =
        (patch.control_planes.unwrap_or(1), patch.workers.unwrap_or(scenario.workers));
    let mut target = Target { release: release.clone(), control_planes, workers };
    let mut steps = Vec::new();
    // What must be refused is never changed.
    for change in scenario.changes.iter().filter(|_| combination.refusal.is_none()) {
        match change {
            Change::ScaleWorkers(workers) => target.workers = *workers,
            Change::ScaleControlPlanes(control_planes) => target.control_planes = *control_planes,
            Change::UpgradeNextMinor | Change::UpgradeNextRelease => {}
            Change::UpgradeSkipMinor | Change::UpgradePreviousMinor | Change::UpgradeOtherStack => continue,
        }
        let case = CaseId(format!("change/{}", change.name()));
        steps.push(Step { case, action: StepAction::Change(*change), target: target.clone() });
    }
    Some(PlannedRun {
        cluster: cluster_name(&combination.id, &RunId::from_uuid_v7([0; 16]))?,
        id: combination.id.clone(),
        name: combination.name(),
        scenario: scenario.name.to_string(),
        stack: String::new(),
        release,
        next_release: None,
        control_planes,
        workers,
        variables: patch.variables.clone(),
        steps,
        timeouts: scenario.timeouts,
        switches: combination.values.iter().map(|(s, v)| (s.to_string(), v.to_string())).collect(),
        expected: Default::default(),
        digest: String::new(),
        refusal: None,
        credentials: None,
        failure_domain: None,
    })
}
