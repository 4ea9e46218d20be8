//! One stage of one hook, carried out on a cluster as the operator does it: what must hold before, the chart applied or
//! deleted, what must hold after.

use super::apply::{Done, Workshop, reference};
use super::chart;
use super::condition::{Condition, Holds};
use super::record::{Ended, StageRecord};
use super::values::{Inputs, values};
use crate::cluster::Why;
use crate::event::{Failure, FailureClass};
use crate::stack::ReleaseAddons;
use crate::stack::addon::{Action, Hook, SINGLE, Stage, WaitFor};
use crate::types::{KubernetesVersion, show_duration};
use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use kube::Api;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Kinds whose status somebody writes only where Pods run.
const NEED_PODS: [&str; 6] = ["DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "StatefulSet"];

/// Hears why something waits.
pub type OnWhy<'a> = &'a mut (dyn FnMut(&Why) + Send);

/// What a stage needs.
pub struct Job<'a> {
    /// The Helm to render with; a path.
    pub helm: &'a Path,
    /// The add-ons of the release.
    pub addons: &'a ReleaseAddons,
    /// The name of the release's ClusterClass.
    pub class: &'a str,
    /// The version that the charts are rendered for.
    pub kubernetes: KubernetesVersion,
    /// The moment in the cluster's life.
    pub hook: Hook,
    /// The stage.
    pub stage: &'a Stage,
    /// What its templates see.
    pub inputs: &'a Inputs,
    /// How long it may take.
    pub limit: Duration,
}

/// Carries a stage out; what came of it is in the record, also when it failed.
pub async fn carry_out(job: &Job<'_>, workshop: &mut Workshop, on_why: OnWhy<'_>) -> StageRecord {
    let started = jiff::Timestamp::now();
    let mut record = StageRecord {
        hook: job.hook,
        stage: job.stage.name.clone(),
        action: job.stage.action,
        class: job.class.to_owned(),
        started,
        ended: started,
        objects: Vec::new(),
        notes: Vec::new(),
        outcome: Ended::Done,
    };
    let work = run(job, workshop, &mut record, on_why);
    let ended = tokio::time::timeout(job.limit, work).await;
    record.ended = jiff::Timestamp::now();
    let name = record.name();
    match ended {
        Ok(Ok(())) => {
            let missing = record.objects.iter().filter(|o| matches!(o.done, Done::NotApplicable(_))).count();
            if missing > 0 && missing == record.objects.len() {
                record.outcome = Ended::NotApplicable(format!(
                    "not applicable on this backend: it has none of the {missing} kinds of objects of {name}"
                ));
            }
        }
        Ok(Err((class, why))) => {
            record.outcome = Ended::Failed(Failure::new(class, format!("{name}: {why}")));
        }
        Err(_) => {
            let last = record.notes.last().map(|note| format!("; last: {note}")).unwrap_or_default();
            let words = format!("{name} is not done after {}{last}", show_duration(job.limit));
            record.outcome = Ended::Failed(Failure::new(FailureClass::TimedOut, words));
        }
    }
    record
}

type Trouble = (FailureClass, String);

async fn run(
    job: &Job<'_>,
    workshop: &mut Workshop,
    record: &mut StageRecord,
    on_why: OnWhy<'_>,
) -> Result<(), Trouble> {
    // The chart is the product: what cannot be rendered or is refused fails for the product's fault.
    let wrong = |why: String| (FailureClass::Refused, why);
    let objects = rendered(job).await?;
    if let Some(wait) = &job.stage.before {
        await_condition("before it", wait, workshop, record, on_why).await?;
    }
    match job.stage.action {
        Action::Apply => {
            for object in &objects {
                let applied = workshop.apply(object).await.map_err(wrong)?;
                record.objects.push(applied);
            }
        }
        Action::Delete => {
            for object in objects.iter().rev() {
                let deleted = workshop.delete(object).await.map_err(wrong)?;
                record.objects.push(deleted);
            }
        }
    }
    if let Some(wait) = &job.stage.after {
        await_condition("after it", wait, workshop, record, on_why).await?;
    }
    Ok(())
}

/// The objects of the stage for this cluster.
async fn rendered(job: &Job<'_>) -> Result<Vec<Value>, Trouble> {
    let folder = &job.addons.folder;
    let found = crate::stack::charts::digest(folder);
    let found = found.map_err(|error| (FailureClass::Harness, format!("{}: {error}", folder.display())))?;
    if found != job.addons.digest {
        let why = format!("{} has changed since the run was planned", folder.display());
        return Err((FailureClass::Harness, why));
    }
    let (chart, file) = if job.stage.name == SINGLE {
        (folder.clone(), folder.with_file_name("cluster-addon-values.yaml"))
    } else {
        let chart = folder.join(&job.stage.name);
        let file = chart.join("overwrite.yaml");
        (chart, file)
    };
    if !chart.join("Chart.yaml").is_file() {
        // The operator goes on without a word.
        let why = format!("there is no chart {}; the operator would leave the stage out", chart.display());
        return Err((FailureClass::Refused, why));
    }
    let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let values = match std::fs::read_to_string(&file) {
        // The operator deletes without values of the cluster.
        _ if job.stage.action == Action::Delete => String::new(),
        Ok(text) => values(&shown, &text, job.inputs).map_err(|why| (FailureClass::Refused, why))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err((FailureClass::Harness, format!("{}: {error}", file.display()))),
    };
    let rendered = chart::render(job.helm, &chart, &values, job.kubernetes).await;
    rendered.map_err(|why| (FailureClass::Refused, why))
}

/// Waits until a condition holds, looking again whenever one of its objects changes; the caller keeps the time.
async fn await_condition(
    when: &str,
    wait: &WaitFor,
    workshop: &mut Workshop,
    record: &mut StageRecord,
    on_why: OnWhy<'_>,
) -> Result<(), Trouble> {
    let keys: Vec<&str> = wait.objects.iter().map(|object| object.key.as_str()).collect();
    let condition = Condition::parse(&wait.condition, &keys).map_err(|why| (FailureClass::Refused, why))?;
    let asks_status = wait.condition.contains(".status");
    let mut streams: Vec<BoxStream<'static, (String, watcher::Result<watcher::Event<DynamicObject>>)>> =
        Vec::new();
    for object in &wait.objects {
        if workshop.in_memory() && asks_status && NEED_PODS.contains(&object.kind.as_str()) {
            let why = format!(
                "nobody runs Pods here, so the status of {}/{} is never written",
                object.kind, object.name
            );
            record.notes.push(format!("the wait {when} is not applicable: {why}"));
            return Ok(());
        }
        let kind = workshop.kind(&object.api_version, &object.kind).await;
        let Some((resource, namespaced)) = kind.map_err(|why| (FailureClass::Refused, why))? else {
            let why = format!("the backend has no {} ({})", object.kind, object.api_version);
            record.notes.push(format!("the wait {when} is not applicable: {why}"));
            return Ok(());
        };
        let api: Api<DynamicObject> = if namespaced {
            let namespace = if object.namespace.is_empty() { "default" } else { &object.namespace };
            Api::namespaced_with(workshop.client(), namespace, &resource)
        } else {
            Api::all_with(workshop.client(), &resource)
        };
        let (key, name) = (object.key.clone(), object.name.clone());
        // The in-memory backend selects by no field.
        let config = match workshop.in_memory() {
            true => watcher::Config::default(),
            false => watcher::Config::default().fields(&format!("metadata.name={name}")),
        };
        let stream = watcher(api, config).default_backoff();
        let ours = move |event: &watcher::Result<watcher::Event<DynamicObject>>| match event {
            Ok(
                watcher::Event::Apply(object)
                | watcher::Event::InitApply(object)
                | watcher::Event::Delete(object),
            ) => object.name_any() == name,
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => true,
        };
        let tagged =
            stream.filter(move |event| futures::future::ready(ours(event))).map(move |e| (key.clone(), e));
        streams.push(tagged.boxed());
    }
    let mut known: BTreeMap<String, Option<Value>> =
        keys.iter().map(|key| ((*key).to_owned(), None)).collect();
    let mut events = select_all(streams);
    let mut last = String::new();
    loop {
        match condition.holds(&known) {
            Holds::Yes => {
                record.notes.push(format!("`{}` holds {when}", wait.condition));
                return Ok(());
            }
            Holds::NotYet(why) => {
                if why != last {
                    let why_now = format!("{}: waits {when}: {why}", record.name());
                    record.notes.push(why_now.clone());
                    on_why(&Why::new(why_now));
                    last = why;
                }
            }
        }
        let Some((key, event)) = events.next().await else {
            return Err((
                FailureClass::Refused,
                format!("{last}; nothing can change it, because it names no object"),
            ));
        };
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                known.insert(key, serde_json::to_value(object).ok());
            }
            Ok(watcher::Event::Delete(_) | watcher::Event::Init) => {
                known.insert(key, None);
            }
            Ok(watcher::Event::InitDone) => {}
            Err(error) => tracing::debug!(%error, "watch of an add-on's object is broken"),
        }
    }
}

/// The objects that a list of stages leaves behind: applied by the last word on each of them.
#[must_use]
pub fn standing(records: &[StageRecord]) -> Vec<super::apply::Applied> {
    let mut standing: Vec<super::apply::Applied> = Vec::new();
    for object in records.iter().flat_map(|record| &record.objects) {
        standing.retain(|other| reference(&other.wanted) != reference(&object.wanted));
        if object.done == Done::Applied {
            standing.push(object.clone());
        }
    }
    standing
}
