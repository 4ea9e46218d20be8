//! The add-ons of a unit's cluster at the moments of its life. On a management cluster without the Cluster Stack Operator
//! the harness carries the stages out; Cluster API itself makes an upgrade wait for them.

use super::world::CapiWorld;
use crate::addon::{
    Ended, Inputs, Job, Moment, OnWhy, Records, StageRecord, UpgradeRecord, Workshop, carry_out,
};
use crate::cluster::{Kind, ObjectExt, Why, Workload, hook, wait};
use crate::event::{Failure, FailureClass};
use crate::plan::{AddonStep, PlannedRun};
use crate::provider::manifest;
use crate::stack::addon::{Hook, Stage};
use crate::types::Target;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// What a unit remembers of the add-ons of its cluster.
#[derive(Default)]
pub(super) struct Addons {
    pub(super) records: Records,
    /// The release that the cluster is on.
    pub(super) current: Option<Target>,
    /// An upgrade that waits.
    held: Option<UpgradeRecord>,
    /// Why the stages of the first hook could not begin.
    trouble: Option<Failure>,
}

impl CapiWorld {
    pub(super) fn stages(&self, class: &str, hook: Hook) -> &[Stage] {
        self.plan.addons.get(class).map(|addons| addons.plan.at(hook)).unwrap_or_default()
    }

    /// Carries out the stages of a new cluster, as soon as its control plane is initialized.
    pub(super) async fn first_stages(&self, run: &PlannedRun, memory: &mut Addons, on_why: OnWhy<'_>) {
        let (target, limit) = (run.first_target(), run.timeouts.provision);
        memory.current = Some(target.clone());
        let hook = Hook::AfterControlPlaneInitialized;
        let stages = self.stages(&target.release.class, hook);
        if stages.is_empty() || !self.plan.operator.is_empty() {
            return;
        }
        let deadline = Instant::now() + limit;
        let ready = async {
            let mut views = self.capi.observer().views(&run.cluster).ok_or_else(|| {
                Failure::new(FailureClass::Harness, format!("cluster `{}` is not observed", run.cluster))
            })?;
            // What it waits for until then is told by the wait for the cluster as a whole.
            let waited = wait(&mut views, limit, |_| {}, hook::initialized).await;
            waited.map_err(|error| error.failure(&format!("{hook} was not reached")))?;
            self.workshop(run).await
        };
        let mut workshop = match ready.await {
            Ok(workshop) => workshop,
            Err(failure) => {
                memory.trouble = Some(failure);
                return;
            }
        };
        for stage in stages {
            let left = deadline.saturating_duration_since(Instant::now());
            let record = self.carry_out(run, &target, hook, stage, left, &mut workshop, on_why).await;
            let failed = matches!(record.outcome, Ended::Failed(_));
            memory.records.stages.push(record);
            if failed {
                return;
            }
        }
    }

    /// What has become of a stage of the first hook.
    pub(super) fn first_stage(&self, run: &PlannedRun, memory: &Addons, step: &AddonStep) -> Came {
        let class = &run.release.class;
        let name = self.stages(class, step.hook).get(step.stage).map_or("", |stage| stage.name.as_str());
        match (memory.records.at(step.hook, class).nth(step.stage), &memory.trouble) {
            (Some(record), _) => Came::of(record),
            (None, Some(failure)) => {
                Came { started: None, ended: Ended::Failed(failure.clone()), note: String::new() }
            }
            (None, None) => {
                let why = format!("not run: a stage before {name} failed");
                Came { started: None, ended: Ended::NotApplicable(why), note: String::new() }
            }
        }
    }

    /// Carries out a stage of `BeforeClusterUpgrade`. Before the first of them Cluster API is told of the new version and
    /// made to wait with it, unless the Kubernetes version stays: then no hook is called, and the change is made already.
    pub(super) async fn upgrade_stage(
        &self,
        run: &PlannedRun,
        target: &Target,
        step: &AddonStep,
        memory: &mut Addons,
        on_why: OnWhy<'_>,
    ) -> Result<Came, Failure> {
        let from = memory.current.clone().unwrap_or_else(|| run.first_target());
        let limit = run.timeouts.change;
        if from.release.kubernetes != target.release.kubernetes && memory.held.is_none() {
            memory.held = Some(self.hold(run, &from, target, limit, on_why).await?);
        }
        let stages = self.stages(&target.release.class, step.hook);
        let Some(stage) = stages.get(step.stage) else {
            let words = format!("{} has no stage {} of {}", target.release.class, step.stage, step.hook);
            return Err(Failure::new(FailureClass::Harness, words));
        };
        let mut workshop = self.workshop(run).await?;
        let record = self.carry_out(run, target, step.hook, stage, limit, &mut workshop, on_why).await;
        let came = Came::of(&record);
        memory.records.stages.push(record);
        Ok(came)
    }

    /// Applies the new version together with the annotation that makes Cluster API wait, until it says that it does.
    async fn hold(
        &self,
        run: &PlannedRun,
        from: &Target,
        target: &Target,
        limit: Duration,
        on_why: OnWhy<'_>,
    ) -> Result<UpgradeRecord, Failure> {
        let to = target.release.kubernetes;
        let mut cluster = manifest::cluster(&self.plan, run, target);
        let annotations = cluster.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.insert(hook::hold(), format!("the add-ons of {}", target.release.class).into());
        }
        self.capi.api().apply(&cluster, false).await.map_err(|error| error.failure())?;
        let mut views = self.capi.observer().views(&run.cluster).ok_or_else(|| {
            Failure::new(FailureClass::Harness, format!("cluster `{}` is not observed", run.cluster))
        })?;
        let words = wait(&mut views, limit, on_why, |view| hook::held(view, to)).await;
        let words = words
            .map_err(|error| error.failure(&format!("the upgrade to {to} does not wait for its add-ons")))?;
        Ok(UpgradeRecord {
            class: target.release.class.clone(),
            from: from.release.kubernetes,
            to,
            waiting: Some((Timestamp::now(), words)),
            stages_done: None,
            released: None,
            changed: None,
        })
    }

    /// Carries out a change. One that waits for its add-ons is let go, and seen to begin only then.
    pub(super) async fn let_go(
        &self,
        run: &PlannedRun,
        target: &Target,
        memory: &mut Addons,
        on_why: impl FnMut(&Why),
    ) -> Result<(), Failure> {
        if !self.plan.operator.is_empty() {
            return self.operator_change(run, target, memory, on_why).await;
        }
        let mut upgrade = memory.held.take();
        if let Some(upgrade) = &mut upgrade {
            let control_plane = self.control_plane(run).await?;
            upgrade.stages_done = Some(moment(&control_plane));
        }
        let applied = self.capi.apply(run, target).await.map_err(|error| error.failure())?;
        let before = memory.current.replace(target.clone());
        if let Some(before) = before.filter(|b| b.release.class != target.release.class)
            && before.release.kubernetes == target.release.kubernetes
        {
            memory.records.without_hook.push(target.release.class.clone());
        }
        let limit = run.timeouts.change;
        let Some(mut upgrade) = upgrade else {
            return self.capi.await_target(run, target, limit, on_why).await;
        };
        upgrade.released = Some(moment(&applied));
        let to = upgrade.to;
        let mut changed = None;
        let ended = {
            let seen = async {
                let views = self.capi.observer().views(&run.cluster);
                if let Some(mut views) = views
                    && let Ok(version) =
                        wait(&mut views, limit, |_| {}, |v| hook::control_plane_on(v, to)).await
                {
                    let (at, control_plane) = (Timestamp::now(), to.to_string());
                    let resource_version = version.parse().unwrap_or(0);
                    changed = Some(Moment { at, control_plane, resource_version });
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = self.capi.await_target(run, target, limit, on_why) => ended,
                () = seen => Ok(()),
            }
        };
        upgrade.changed = changed;
        memory.records.upgrades.push(upgrade);
        ended
    }

    /// The control plane object as the API server has it now.
    pub(super) async fn control_plane(&self, run: &PlannedRun) -> Result<DynamicObject, Failure> {
        let views = self.capi.observer().views(&run.cluster);
        let known = views.and_then(|views| {
            let view = views.borrow().clone();
            let object = view.control_plane()?;
            let types = object.types.as_ref()?;
            Some((Kind::of(&types.api_version, &types.kind), object.name_any()))
        });
        let found = match &known {
            Some((kind, name)) => {
                let namespace = Some(self.plan.namespace.as_str());
                self.capi.api().get(kind, namespace, name).await.map_err(|error| error.failure())?
            }
            None => None,
        };
        found.ok_or_else(|| {
            let words = format!("cluster `{}` has lost its control plane object", run.cluster);
            Failure::new(FailureClass::Terminal, words)
        })
    }

    async fn workshop(&self, run: &PlannedRun) -> Result<Workshop, Failure> {
        let connected = Workload::connect(self.capi.api(), &self.plan.namespace, &run.cluster).await;
        let workload = connected.map_err(|error| error.failure(FailureClass::Terminal))?;
        Ok(Workshop::new(workload.api().client(), !self.runs_pods))
    }

    #[expect(clippy::too_many_arguments, reason = "one call, each argument another thing")]
    async fn carry_out(
        &self,
        run: &PlannedRun,
        target: &Target,
        hook: Hook,
        stage: &Stage,
        limit: Duration,
        workshop: &mut Workshop,
        on_why: OnWhy<'_>,
    ) -> StageRecord {
        let class = target.release.class.as_str();
        let failed = |failure: Failure| {
            let now = Timestamp::now();
            StageRecord {
                hook,
                stage: stage.name.clone(),
                action: stage.action,
                class: class.to_owned(),
                started: now,
                ended: now,
                objects: Vec::new(),
                notes: Vec::new(),
                outcome: Ended::Failed(failure),
            }
        };
        let Some(addons) = self.plan.addons.get(class) else {
            return failed(Failure::new(
                FailureClass::Harness,
                format!("the plan has no add-ons of {class}"),
            ));
        };
        let Some(helm) = &self.helm else {
            let failure = Failure::new(FailureClass::Harness, "there is no helm to render the add-ons with");
            return failed(failure.hint("`stack-e2e testbed build` makes one"));
        };
        let inputs = match self.inputs(run).await {
            Ok(inputs) => inputs,
            Err(failure) => return failed(failure),
        };
        let helm: &Path = helm;
        let kubernetes = target.release.kubernetes;
        let job = Job { helm, addons, class, kubernetes, hook, stage, inputs: &inputs, limit };
        carry_out(&job, workshop, on_why).await
    }

    /// What templates of add-ons see of the cluster: the Cluster in the version that the operator reads, and what it
    /// refers to.
    async fn inputs(&self, run: &PlannedRun) -> Result<Inputs, Failure> {
        let (api, namespace) = (self.capi.api(), Some(self.plan.namespace.as_str()));
        let old = Kind::of("cluster.x-k8s.io/v1beta1", "Cluster");
        let cluster =
            api.get(&old, namespace, run.cluster.as_str()).await.map_err(|error| error.failure())?;
        let cluster = cluster.ok_or_else(|| {
            Failure::new(FailureClass::Terminal, format!("cluster `{}` does not exist any more", run.cluster))
        })?;
        let mut referred = [None, None];
        for (slot, field) in referred.iter_mut().zip(["controlPlaneRef", "infrastructureRef"]) {
            let text = |key: &str| cluster.text(&format!("/spec/{field}/{key}")).to_owned();
            let (kind, name) = (Kind::of(&text("apiVersion"), &text("kind")), text("name"));
            if name.is_empty() {
                continue;
            }
            let found = api.get(&kind, namespace, &name).await.map_err(|error| error.failure())?;
            *slot = found.and_then(|object| serde_json::to_value(object).ok());
        }
        let [control_plane, infrastructure] = referred;
        let cluster = serde_json::to_value(&cluster).unwrap_or_default();
        Ok(Inputs { cluster, control_plane, infrastructure })
    }
}

/// What came of a stage, for its case.
pub(super) struct Came {
    /// When it began; absent when it never did.
    pub(super) started: Option<Timestamp>,
    /// How it ended.
    pub(super) ended: Ended,
    /// Facts.
    pub(super) note: String,
}

impl Came {
    fn of(record: &StageRecord) -> Self {
        Self { started: Some(record.started), ended: record.outcome.clone(), note: record.note() }
    }
}

pub(super) fn moment(object: &DynamicObject) -> Moment {
    Moment {
        at: Timestamp::now(),
        control_plane: object.text("/spec/version").to_owned(),
        resource_version: object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0),
    }
}
