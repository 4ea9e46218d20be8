//! A unit's cluster where the Cluster Stack Operator carries the add-ons out: what it does is looked at.

use super::addons::{Addons, moment};
use super::world::CapiWorld;
use crate::addon::{Moment, OnWhy, OperatorUpgrade};
use crate::cluster::operator::{self, Awaited};
use crate::cluster::{Progress, Why, hook, wait};
use crate::event::{Failure, FailureClass};
use crate::plan::{AddonStep, PlannedRun};
use crate::stack::addon::Hook;
use crate::types::Target;
use jiff::Timestamp;
use kube::ResourceExt;
use std::time::Duration;

impl CapiWorld {
    /// Waits until the operator has carried out a stage.
    pub(super) async fn operator_stage(
        &self,
        run: &PlannedRun,
        target: &Target,
        step: &AddonStep,
        on_why: OnWhy<'_>,
    ) -> Result<(), Failure> {
        let class = target.release.class.as_str();
        let (hook, limit) = (step.hook, run.timeouts.change);
        let stages = self.stages(class, hook);
        let (Some(stage), Some(mut views)) =
            (stages.get(step.stage), self.capi.observer().views(&run.cluster))
        else {
            let words = format!("stage {} of {hook} of {class} is not observed", step.stage);
            return Err(Failure::new(FailureClass::Harness, words));
        };
        let awaited = Awaited { class, hook, stage };
        let done = wait(&mut views, limit, on_why, |view| operator::stage_done(view, &awaited)).await;
        done.map_err(|error| {
            error.failure(&format!("stage {} of {hook} was not done by the operator", stage.name))
        })
    }

    /// Carries out a change. Where the Kubernetes version becomes another one, what is seen of control plane and add-ons
    /// meanwhile is remembered.
    pub(super) async fn operator_change(
        &self,
        run: &PlannedRun,
        target: &Target,
        memory: &mut Addons,
        on_why: impl FnMut(&Why),
    ) -> Result<(), Failure> {
        let from = memory.current.replace(target.clone()).unwrap_or_else(|| run.first_target());
        self.capi.apply(run, target).await.map_err(|error| error.failure())?;
        let limit = run.timeouts.change;
        let (class, to) = (&target.release.class, target.release.kubernetes);
        if from.release.kubernetes == to {
            if from.release.class != *class {
                memory.records.without_hook.push(class.clone());
            }
            return self.capi.await_target(run, target, limit, on_why).await;
        }
        let (mut not_done, mut done, mut changed) = (None, None, None);
        let ended = {
            let stages = self.see_stages(run, class, limit, &mut not_done, &mut done);
            let control_plane = async {
                let Some(mut views) = self.capi.observer().views(&run.cluster) else { return };
                let seen = wait(&mut views, limit, |_| {}, |view| hook::control_plane_on(view, to)).await;
                if let Ok(version) = seen {
                    let (at, control_plane) = (Timestamp::now(), to.to_string());
                    let resource_version = version.parse().unwrap_or(0);
                    changed = Some(Moment { at, control_plane, resource_version });
                }
            };
            let seen = async {
                tokio::join!(stages, control_plane);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = self.capi.await_target(run, target, limit, on_why) => ended,
                () = seen => Ok(()),
            }
        };
        let (class, from) = (class.clone(), from.release.kubernetes);
        memory.records.by_operator.push(OperatorUpgrade { class, from, to, not_done, done, changed });
        ended.map_err(|failure| self.while_stages(run, target, failure))
    }

    /// Looks at the ClusterAddon until all stages of a release are done; then at the control plane, afresh.
    async fn see_stages(
        &self,
        run: &PlannedRun,
        class: &str,
        limit: Duration,
        not_done: &mut Option<u64>,
        done: &mut Option<Moment>,
    ) {
        let Some(mut views) = self.capi.observer().views(&run.cluster) else { return };
        let look = |view: &crate::cluster::ClusterView| {
            let progress = operator::addons_ready(view, class);
            if !matches!(progress, Progress::Ready(()))
                && let Some(addon) = view.of("ClusterAddon").next()
            {
                let version = addon.resource_version().and_then(|version| version.parse().ok());
                *not_done = (*not_done).max(version);
            }
            // A chart that is left out is for the stages to tell.
            match progress {
                Progress::Never(why) => Progress::NotYet(why),
                other => other,
            }
        };
        if wait(&mut views, limit, |_| {}, look).await.is_ok()
            && let Ok(control_plane) = self.control_plane(run).await
        {
            *done = Some(moment(&control_plane));
        }
    }

    /// A change that takes too long says which stage is not done, if one is not.
    fn while_stages(&self, run: &PlannedRun, target: &Target, failure: Failure) -> Failure {
        let (class, hook) = (target.release.class.as_str(), Hook::BeforeClusterUpgrade);
        let Some(views) = self.capi.observer().views(&run.cluster) else { return failure };
        let view = views.borrow().clone();
        let waits = self.stages(class, hook).iter().find_map(|stage| {
            match operator::stage_done(&view, &Awaited { class, hook, stage }) {
                Progress::Ready(()) => None,
                Progress::NotYet(why) | Progress::Never(why) => Some(why),
            }
        });
        match waits {
            Some(why) => Failure { summary: format!("{}; add-ons: {why}", failure.summary), ..failure },
            None => failure,
        }
    }
}
