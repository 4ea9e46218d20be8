//! The add-ons of a cluster: carried out as the stack says, and an upgrade waits for them.

use super::{CheckContext, Checked, failed};
use crate::addon::{
    Doubt, Records, Workshop, judge_operator_upgrade, judge_stages, judge_upgrade, lacks, standing,
};
use crate::cluster::{Progress, operator};
use crate::event::{Failure, FailureClass};
use crate::stack::ReleaseAddons;
use crate::stack::addon::Hook;

/// What is known of a cluster's add-ons.
pub struct Addons<'a> {
    /// What was done.
    pub records: &'a Records,
    /// The add-ons of the release that the cluster is meant to be on.
    pub release: Option<&'a ReleaseAddons>,
    /// The ClusterClass that it started on.
    pub started_on: &'a str,
    /// Whether the operator carries them out.
    pub operator: bool,
}

const NONE: &str = "not applicable: the stack has no add-ons";

/// All stages of the last hook are done, in order, and what they applied is still there.
pub(super) async fn stages(ctx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let class = ctx.target.release.class.clone();
    if ctx.addons.as_ref().is_some_and(|addons| addons.operator && addons.release.is_some()) {
        return ctx
            .within_grace(|view| match operator::addons_ready(view, &class) {
                Progress::Ready(()) => Ok(format!("the operator says that the add-ons of {class} are ready")),
                Progress::NotYet(why) | Progress::Never(why) => Err(why),
            })
            .await;
    }
    let Some((addons, release)) = ctx.addons.as_ref().and_then(|addons| Some((addons, addons.release?)))
    else {
        return Ok(Checked::Skipped(NONE.into()));
    };
    let hook = match class == addons.started_on {
        true => Hook::AfterControlPlaneInitialized,
        false => Hook::BeforeClusterUpgrade,
    };
    let note = match judge_stages(addons.records, hook, &class, release.plan.at(hook)) {
        Ok(note) => note,
        Err(why) => return Ok(failed(why)),
    };
    let workload = ctx.workload().await?;
    let mut workshop = Workshop::new(workload.api().client(), !ctx.runs_pods);
    let standing = standing(&addons.records.stages);
    for applied in &standing {
        let unknown = |why: String| Failure::new(FailureClass::Infrastructure, why);
        let name = format!("{}/{}", applied.object.kind, applied.object.name);
        match workshop.get(applied).await.map_err(unknown)? {
            None => {
                let checked = failed(format!("{name} was applied as an add-on and is gone"));
                return Ok(checked.about(applied.object.clone()));
            }
            // Real API servers write values in other words than they were given.
            Some(found) if !ctx.runs_pods => {
                if let Some(why) = lacks(&applied.wanted, &found, "") {
                    let checked = failed(format!("{name} was applied as an add-on, and now {why}"));
                    return Ok(checked.about(applied.object.clone()));
                }
            }
            Some(_) => {}
        }
    }
    Ok(Checked::Passed(format!("{note}; {} objects are there", standing.len())))
}

/// The control plane got its new version only after the stages of `BeforeClusterUpgrade` were done.
pub(super) fn upgrade(ctx: &CheckContext<'_>) -> Checked {
    let skipped = |why: &str| Checked::Skipped(why.into());
    let Some((addons, release)) = ctx.addons.as_ref().and_then(|addons| Some((addons, addons.release?)))
    else {
        return skipped(NONE);
    };
    let class = &ctx.target.release.class;
    if class == addons.started_on {
        return skipped("not applicable: there was no upgrade");
    }
    if release.plan.at(Hook::BeforeClusterUpgrade).is_empty() {
        return skipped("not applicable: the release has no stages of BeforeClusterUpgrade");
    }
    if addons.records.without_hook.contains(class) {
        return skipped("not applicable: the Kubernetes version stayed, so Cluster API calls no hook");
    }
    if addons.operator {
        let known = addons.records.by_operator.iter().rev().find(|upgrade| upgrade.class == *class);
        return match known.map(judge_operator_upgrade) {
            Some(Ok(note)) => Checked::Passed(note),
            Some(Err(Doubt::Early(why))) => failed(why),
            Some(Err(Doubt::Unknown(why))) => {
                Checked::Failed(Failure::new(FailureClass::Infrastructure, why))
            }
            None => {
                let why = format!("the upgrade to {class} was not observed");
                Checked::Failed(Failure::new(FailureClass::Harness, why))
            }
        };
    }
    match addons.records.upgrades.iter().rev().find(|upgrade| upgrade.class == *class) {
        None => failed(format!("the upgrade to {class} did not wait for its add-ons")),
        Some(upgrade) => match judge_upgrade(upgrade) {
            Ok(note) => Checked::Passed(note),
            Err(why) => failed(why),
        },
    }
}
