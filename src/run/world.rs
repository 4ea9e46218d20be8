//! Where a run takes place: the verbs of a unit's life, carried out by Cluster API or by the scripted double.

use super::addons::{Addons, Came};
use crate::addon::{Ended, OnWhy};
use crate::check::{self, CheckContext, Checked};
use crate::cluster::{BLIND_LIMIT, Why, Workload, availability};
use crate::collect::{self, Collected, LogCut};
use crate::event::{Availability, Cleanliness, Failure, FailureClass, Seen};
use crate::plan::{AddonStep, Plan, PlannedRun};
use crate::provider::capi::Capi;
use crate::provider::manifest;
use crate::provider::project::{self, Project};
use crate::provider::scripted::Scripted;
use crate::stack::addon::Hook;
use crate::types::{CaseId, CheckName, ObjectRef, Redactor, Target, show_duration};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The service that every cluster has.
pub(super) const API_SERVER: &str = "api-server";

/// Where a run takes place.
pub enum World {
    /// A management cluster with Cluster API.
    Capi(Box<CapiWorld>),
    /// The double.
    Scripted(Scripted),
}

/// A management cluster, and what the harness knows of its surroundings.
pub struct CapiWorld {
    /// The provider.
    pub capi: Capi,
    /// The plan at work.
    pub plan: Arc<Plan>,
    /// Logs of the controllers, by name; none when they are out of reach.
    pub logs: Vec<(String, PathBuf)>,
    /// Whether Pods run on the Nodes of its clusters.
    pub runs_pods: bool,
    /// The Helm that renders add-ons; a path. Absent when the plan has no add-ons.
    pub helm: Option<PathBuf>,
    /// How people reach the management cluster: what stands before `kubectl`.
    pub kubectl: String,
    /// Everything that is written passes through it.
    pub redactor: Redactor,
    /// The OpenStack project that the clusters are made in, where there is one.
    pub project: Option<Arc<Project>>,
}

/// What a unit remembers of its cluster.
#[derive(Default)]
pub struct Memory {
    first: Option<Workload>,
    logs: Vec<LogCut>,
    addons: Addons,
}

impl World {
    /// What a unit should remember before it begins.
    #[must_use]
    pub fn begin(&self) -> Memory {
        match self {
            Self::Capi(world) => Memory {
                logs: world.logs.iter().map(|(name, file)| LogCut::now(name, file)).collect(),
                ..Memory::default()
            },
            Self::Scripted(_) => Memory::default(),
        }
    }

    /// The Cluster of a unit, as intents name it.
    #[must_use]
    pub fn object(&self, plan: &Plan, run: &PlannedRun) -> ObjectRef {
        ObjectRef {
            kind: "Cluster".into(),
            namespace: plan.namespace.to_string(),
            name: run.cluster.to_string(),
        }
    }

    /// Shared preparation of a whole run.
    ///
    /// # Errors
    /// See the providers.
    pub async fn prepare(&self, on_why: impl FnMut(&Why) + Send) -> Result<(), Failure> {
        match self {
            Self::Capi(world) => {
                if let Some(project) = &world.project {
                    project.look().await?;
                }
                world.capi.prepare(on_why).await
            }
            Self::Scripted(scripted) => scripted.prepare().await,
        }
    }

    /// The create call.
    ///
    /// # Errors
    /// See the providers.
    pub async fn create(&self, run: &PlannedRun) -> Result<(), Failure> {
        match self {
            Self::Capi(world) => {
                let applied = world.capi.apply(run, &run.first_target()).await;
                applied.map(|_| ()).map_err(|error| error.failure())
            }
            Self::Scripted(scripted) => scripted.create(run).await,
        }
    }

    /// Waits until the created cluster is as wanted; remembers its kubeconfig of that time. Gives a line of facts.
    ///
    /// # Errors
    /// See the providers.
    pub async fn provision(
        &self,
        run: &PlannedRun,
        memory: &mut Memory,
        on_why: impl FnMut(&Why) + Send,
    ) -> Result<String, Failure> {
        match self {
            Self::Capi(world) => {
                let target = run.first_target();
                // Both tell why they wait. Nodes may need an add-on to become ready, so the two go on side by side.
                let on_why = Mutex::new(on_why);
                let tell = |why: &Why| (on_why.lock().unwrap_or_else(PoisonError::into_inner))(why);
                let mut tell_of_stages = tell;
                {
                    let settled = world.capi.await_target(run, &target, run.timeouts.provision, tell);
                    let stages = world.first_stages(run, &mut memory.addons, &mut tell_of_stages);
                    tokio::pin!(settled, stages);
                    tokio::select! {
                        ended = &mut settled => {
                            ended?;
                            stages.await;
                        }
                        () = &mut stages => settled.await?,
                    }
                }
                let connected =
                    Workload::connect(world.capi.api(), &world.plan.namespace, &run.cluster).await;
                memory.first = Some(connected.map_err(|error| {
                    let failure = error.failure(FailureClass::Terminal);
                    Failure { summary: format!("the cluster is available, but {error}"), ..failure }
                })?);
                Ok(facts(&target))
            }
            Self::Scripted(scripted) => scripted.provision(run).await.map(|()| facts(&run.first_target())),
        }
    }

    /// Carries out a stage of the add-ons, or tells what came of it while the cluster was provisioned: when it began,
    /// if it is known, and how it ended.
    pub async fn addon(
        &self,
        run: &PlannedRun,
        step: &AddonStep,
        target: &Target,
        memory: &mut Memory,
        on_why: OnWhy<'_>,
    ) -> (Option<jiff::Timestamp>, Checked) {
        let Self::Capi(world) = self else {
            return (None, Checked::Skipped("not applicable: the double has no add-ons".into()));
        };
        if !world.plan.operator.is_empty() {
            let done = world.operator_stage(run, target, step, on_why).await;
            let passed = || Checked::Passed(format!("the operator has done it for {}", target.release.class));
            return (None, done.map_or_else(Checked::Failed, |()| passed()));
        }
        let came = match step.hook {
            Hook::AfterControlPlaneInitialized => Ok(world.first_stage(run, &memory.addons, step)),
            _ => world.upgrade_stage(run, target, step, &mut memory.addons, on_why).await,
        };
        match came {
            Ok(Came { started, ended: Ended::Done, note }) => (started, Checked::Passed(note)),
            Ok(Came { started, ended: Ended::NotApplicable(why), .. }) => (started, Checked::Skipped(why)),
            Ok(Came { started, ended: Ended::Failed(failure), .. }) => (started, Checked::Failed(failure)),
            Err(failure) => (None, Checked::Failed(failure)),
        }
    }

    /// Carries out a change: applies the manifest for `target` and waits until the cluster is so. What answers before
    /// is probed meanwhile.
    pub async fn change(
        &self,
        run: &PlannedRun,
        case: &CaseId,
        target: &Target,
        memory: &mut Memory,
        on_why: impl FnMut(&Why),
    ) -> (Result<String, Failure>, Vec<Availability>) {
        let (ended, seen) = match self {
            Self::Capi(world) => {
                let Memory { first, addons, .. } = memory;
                let work = world.let_go(run, target, addons, on_why);
                match first {
                    Some(first) => {
                        let (ended, seen) = availability::during(work, || first.api().answers()).await;
                        (ended, Some(seen))
                    }
                    None => {
                        let why = "there is no connection from before the change".into();
                        (work.await, Some(Seen::Unknown { why }))
                    }
                }
            }
            Self::Scripted(scripted) => {
                let work = scripted.change(run, &case.0, target);
                if scripted.is_probed() {
                    let (ended, seen) = availability::during(work, || scripted.probe(run)).await;
                    (ended, Some(seen))
                } else {
                    (work.await, None)
                }
            }
        };
        let seen = seen.map(|seen| Availability { service: API_SERVER.into(), seen });
        (ended.map(|()| facts(target)), seen.into_iter().collect())
    }

    /// Tries a change that must be refused, and does not wait for what comes of it. Gives what was accepted.
    ///
    /// # Errors
    /// It was refused, or there was no answer.
    pub async fn attempt(&self, run: &PlannedRun, case: &CaseId, target: &Target) -> Result<String, Failure> {
        match self {
            Self::Capi(world) => {
                world.capi.apply(run, target).await.map_err(|error| error.failure())?;
            }
            Self::Scripted(scripted) => scripted.attempt(run, &case.0).await?,
        }
        Ok(format!("the cluster goes to {} with {}", target.release.class, target.release.kubernetes))
    }

    /// Carries out a check.
    pub async fn check(
        &self,
        run: &PlannedRun,
        case: &CaseId,
        name: &CheckName,
        target: &Target,
        memory: &Memory,
    ) -> Checked {
        match self {
            Self::Capi(world) => {
                let unknown = |what: String| Checked::Failed(Failure::new(FailureClass::Harness, what));
                let Some(check) = check::find(name.as_str()) else {
                    return unknown(format!("there is no check `{name}`"));
                };
                let Some(views) = world.capi.observer().views(&run.cluster) else {
                    return unknown(format!("cluster `{}` is not observed", run.cluster));
                };
                let manifest = manifest::cluster(&world.plan, run, target);
                let mut context = CheckContext {
                    api: world.capi.api(),
                    namespace: &world.plan.namespace,
                    cluster: &run.cluster,
                    target,
                    views,
                    manifest: &manifest,
                    first: memory.first.as_ref(),
                    runs_pods: world.runs_pods,
                    addons: Some(check::Addons {
                        records: &memory.addons.records,
                        release: world.plan.addons.get(&target.release.class),
                        started_on: &run.release.class,
                        operator: !world.plan.operator.is_empty(),
                    }),
                };
                context.run(check, run.timeouts.check).await
            }
            Self::Scripted(scripted) => match scripted.check(run, &case.0).await {
                Ok(()) => Checked::Passed("as scripted".into()),
                Err(failure) => Checked::Failed(failure),
            },
        }
    }

    /// Why nothing can be learned of a cluster any more, when its management cluster has been out of reach for longer
    /// than it may be.
    #[must_use]
    pub fn blind(&self, run: &PlannedRun) -> Option<String> {
        match self {
            Self::Capi(world) => {
                let view = world.capi.observer().views(&run.cluster)?.borrow().clone();
                let (since, why) = view.trouble.as_ref()?;
                (since.elapsed() >= BLIND_LIMIT).then(|| {
                    format!(
                        "the management cluster has not answered for {}: {why}",
                        show_duration(since.elapsed())
                    )
                })
            }
            Self::Scripted(_) => None,
        }
    }

    /// Gathers evidence below `directory`; what went wrong is in the result.
    pub async fn collect(
        &self,
        run: &PlannedRun,
        memory: &Memory,
        cause: &str,
        directory: &Path,
    ) -> Collected {
        match self {
            Self::Capi(world) => {
                let observer = world.capi.observer();
                let Some(views) = observer.views(&run.cluster) else { return Collected::default() };
                let view = views.borrow().clone();
                let (cloud, trouble) = match &world.project {
                    Some(project) => project.evidence(run).await,
                    None => Default::default(),
                };
                let mut collected = collect::gather(
                    directory,
                    &collect::Request {
                        unit: &run.name,
                        cause,
                        view: &view,
                        events: &observer.events(&run.cluster),
                        logs: &memory.logs,
                        addons: &memory.addons.records.lines(),
                        cloud: &cloud,
                        releases: &world.capi.releases(),
                        redactor: &world.redactor,
                    },
                );
                collected.trouble.extend(trouble);
                collected
            }
            Self::Scripted(scripted) => match scripted.collect(run).await {
                Ok(()) => Collected::default(),
                Err(failure) => Collected { files: Vec::new(), trouble: vec![failure.summary] },
            },
        }
    }

    /// Asks for the deletion of a cluster, without waiting.
    ///
    /// # Errors
    /// See the providers.
    pub async fn delete(&self, run: &PlannedRun) -> Result<(), Failure> {
        match self {
            Self::Capi(world) => world.capi.delete(run).await.map(|_| ()),
            Self::Scripted(scripted) => scripted.delete(run).await,
        }
    }

    /// Waits until a cluster is gone.
    ///
    /// # Errors
    /// See the providers.
    pub async fn await_gone(&self, run: &PlannedRun, on_why: impl FnMut(&Why)) -> Result<(), Failure> {
        match self {
            Self::Capi(world) => world.capi.await_gone(run, run.timeouts.delete, on_why).await,
            Self::Scripted(scripted) => scripted.await_gone(run).await,
        }
    }

    /// Lists what is left of a cluster.
    pub async fn left(&self, run: &PlannedRun) -> Cleanliness {
        match self {
            Self::Capi(world) => world.capi.left(run).await,
            Self::Scripted(scripted) => scripted.left(run).await,
        }
    }

    /// Removes what is shared and lists what is left of the whole run.
    pub async fn finish(&self, limit: Duration) -> Cleanliness {
        match self {
            Self::Capi(world) => {
                let above = world.capi.finish(limit).await;
                match &world.project {
                    Some(project) => project.finish(above).await,
                    None => above,
                }
            }
            Self::Scripted(scripted) => scripted.finish().await,
        }
    }

    /// How long [`World::finish`] or [`World::rescue`] may take beyond its own limit.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::Capi(world) if world.project.is_some() => project::LIMIT,
            Self::Capi(_) | Self::Scripted(_) => Duration::ZERO,
        }
    }

    /// Deletes what is left of the run straight in the cloud, when tearing down through the management cluster has
    /// come to `above`. `None` where there is no cloud to do that in.
    pub async fn rescue(&self, above: Cleanliness) -> Option<Cleanliness> {
        match self {
            Self::Capi(world) => Some(world.project.as_ref()?.finish(above).await),
            Self::Scripted(_) => None,
        }
    }

    /// Commands with which people go on with a kept cluster.
    #[must_use]
    pub fn commands(&self, plan: &Plan, run: &PlannedRun) -> Vec<String> {
        match self {
            Self::Capi(world) => {
                let (kubectl, namespace, cluster) = (&world.kubectl, &plan.namespace, &run.cluster);
                vec![
                    format!("{kubectl} -n {namespace} get cluster,machine"),
                    format!(
                        "{kubectl} -n {namespace} get secret {cluster}-kubeconfig -o jsonpath={{.data.value}} \
                         | base64 -d > {cluster}.kubeconfig"
                    ),
                    format!("{kubectl} --kubeconfig {cluster}.kubeconfig get nodes"),
                ]
            }
            Self::Scripted(_) => Vec::new(),
        }
    }
}

fn facts(target: &Target) -> String {
    format!(
        "{} control plane and {} worker Machines on {}",
        target.control_planes, target.workers, target.release.kubernetes
    )
}
