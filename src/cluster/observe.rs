//! One watch for each kind in the namespace of a run, shared by all clusters: the number of requests does not
//! grow with the number of clusters, and every wait sees a change as soon as the API server sends it.

use super::api::{Api, chain};
use super::kind::Kind;
use super::view::{ClusterView, ObjectExt};
use crate::types::{ClusterName, Namespace};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The latest view of one cluster, and word of every change.
pub type ViewReceiver = watch::Receiver<Arc<ClusterView>>;

/// Watches a namespace until it is dropped.
pub struct Observer {
    views: BTreeMap<ClusterName, ViewReceiver>,
    events: watch::Receiver<Arc<Vec<Arc<DynamicObject>>>>,
    _tasks: JoinSet<()>,
}

/// Between a broken watch and the next try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The same, when tries have failed for a while.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

enum Input {
    Listed(Vec<DynamicObject>),
    Applied(DynamicObject),
    Deleted(DynamicObject),
    Trouble(String),
}

impl Observer {
    /// Starts watching `kinds` (and Events) in `namespace` for the given clusters.
    #[must_use]
    pub fn start(api: &Api, namespace: &Namespace, kinds: &[Kind], clusters: &[ClusterName]) -> Self {
        let (send, inputs) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (index, kind) in kinds.iter().chain([&Kind::event()]).enumerate() {
            tasks.spawn(watch_kind(api.clone(), namespace.clone(), kind.clone(), index, send.clone()));
        }
        let (senders, views): (BTreeMap<_, _>, BTreeMap<_, _>) = clusters
            .iter()
            .map(|cluster| {
                let (sender, receiver) = watch::channel(Arc::new(ClusterView::empty(cluster.clone())));
                ((cluster.clone(), sender), (cluster.clone(), receiver))
            })
            .unzip();
        let (event_sender, events) = watch::channel(Arc::default());
        let store = Store {
            unsynced: (0..kinds.len()).collect(),
            event_index: kinds.len(),
            objects: BTreeMap::new(),
            trouble: BTreeMap::new(),
            senders,
            event_sender,
        };
        tasks.spawn(store.run(inputs));
        Self { views, events, _tasks: tasks }
    }

    /// The view of one of the clusters that the observer was started for.
    #[must_use]
    pub fn views(&self, cluster: &ClusterName) -> Option<ViewReceiver> {
        self.views.get(cluster).cloned()
    }

    /// All Events (the Kubernetes kind) seen so far that are about an object of the cluster.
    #[must_use]
    pub fn events(&self, cluster: &ClusterName) -> Vec<Arc<DynamicObject>> {
        let about =
            |event: &Arc<DynamicObject>| event.text("/involvedObject/name").starts_with(cluster.as_str());
        self.events.borrow().iter().filter(|event| about(event)).cloned().collect()
    }
}

async fn watch_kind(
    api: Api,
    namespace: Namespace,
    kind: Kind,
    index: usize,
    send: mpsc::UnboundedSender<(usize, Input)>,
) {
    let client =
        kube::Api::<DynamicObject>::namespaced_with(api.client(), namespace.as_str(), kind.resource());
    let mut pause = FIRST_PAUSE;
    loop {
        let stream = watcher(client.clone(), watcher::Config::default());
        futures::pin_mut!(stream);
        let mut listed = Vec::new();
        while let Some(event) = stream.next().await {
            let input = match event {
                Ok(watcher::Event::Init) => continue,
                Ok(watcher::Event::InitApply(object)) => {
                    listed.push(slim(object, &kind));
                    continue;
                }
                Ok(watcher::Event::InitDone) => {
                    pause = FIRST_PAUSE;
                    Input::Listed(std::mem::take(&mut listed))
                }
                Ok(watcher::Event::Apply(object)) => Input::Applied(slim(object, &kind)),
                Ok(watcher::Event::Delete(object)) => Input::Deleted(slim(object, &kind)),
                Err(error) => Input::Trouble(format!("watching {}: {}", kind.name(), chain(&error))),
            };
            let broken = matches!(input, Input::Trouble(_));
            if send.send((index, input)).is_err() {
                return;
            }
            // A watch that is taken up again is silent until something changes; a fresh list says at once that all
            // is well, and what was missed.
            if broken {
                break;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Managed fields are most of an object's bytes and nobody here reads them; list items come without a type.
fn slim(mut object: DynamicObject, kind: &Kind) -> DynamicObject {
    object.metadata.managed_fields = None;
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: kind.resource().api_version.clone(),
        kind: kind.name().into(),
    });
    object
}

/// The only owner of what is known; everybody else sees snapshots.
struct Store {
    unsynced: BTreeSet<usize>,
    event_index: usize,
    objects: BTreeMap<(usize, String), Arc<DynamicObject>>,
    trouble: BTreeMap<usize, (Instant, String)>,
    senders: BTreeMap<ClusterName, watch::Sender<Arc<ClusterView>>>,
    event_sender: watch::Sender<Arc<Vec<Arc<DynamicObject>>>>,
}

impl Store {
    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<(usize, Input)>) {
        while let Some((index, input)) = inputs.recv().await {
            self.apply(index, input);
        }
    }

    fn apply(&mut self, index: usize, input: Input) {
        let mut touched = BTreeSet::new();
        let everyone;
        match input {
            Input::Trouble(why) => {
                tracing::debug!(why, "watch is broken");
                self.trouble.entry(index).or_insert_with(|| (Instant::now(), String::new())).1 = why;
                everyone = true;
            }
            Input::Listed(objects) => {
                self.trouble.remove(&index);
                self.unsynced.remove(&index);
                touched = self.replace(index, objects);
                everyone = true;
            }
            Input::Applied(object) => {
                tracing::trace!(
                    kind = object.kind(),
                    name = object.name_any(),
                    version = object.resource_version().unwrap_or_default(),
                    "seen"
                );
                everyone = self.trouble.remove(&index).is_some();
                touched.extend(cluster_of(&object));
                self.objects.insert((index, object.name_any()), Arc::new(object));
            }
            Input::Deleted(object) => {
                everyone = self.trouble.remove(&index).is_some();
                touched.extend(cluster_of(&object));
                self.objects.remove(&(index, object.name_any()));
            }
        }
        if index == self.event_index {
            let events = self.objects.range((index, String::new())..).map(|(_, object)| object.clone());
            self.event_sender.send_replace(Arc::new(events.collect()));
        } else {
            for (cluster, sender) in &self.senders {
                let changed = touched.contains(cluster.as_str());
                if everyone || changed {
                    let since = if changed { Instant::now() } else { sender.borrow().changed };
                    sender.send_replace(Arc::new(self.view(cluster, since)));
                }
            }
        }
    }

    /// Takes a fresh list of one kind; gives the clusters for which it says something new.
    fn replace(&mut self, index: usize, objects: Vec<DynamicObject>) -> BTreeSet<String> {
        let mut before = std::mem::take(&mut self.objects);
        let mut touched = BTreeSet::new();
        for object in objects {
            let key = (index, object.name_any());
            if before.remove(&key).is_none_or(|old| old.resource_version() != object.resource_version()) {
                touched.extend(cluster_of(&object));
            }
            self.objects.insert(key, Arc::new(object));
        }
        for (key, object) in before {
            if key.0 == index {
                touched.extend(cluster_of(&object));
            } else {
                self.objects.insert(key, object);
            }
        }
        touched
    }

    fn view(&self, cluster: &ClusterName, changed: Instant) -> ClusterView {
        let belongs = |object: &&Arc<DynamicObject>| {
            object.kind() != "Event" && cluster_of(object).as_deref() == Some(cluster.as_str())
        };
        ClusterView {
            cluster: cluster.clone(),
            objects: self.objects.values().filter(belongs).cloned().collect(),
            synced: self.unsynced.is_empty(),
            changed,
            trouble: self.trouble.values().min_by_key(|(since, _)| *since).cloned(),
        }
    }
}

/// Which cluster an object belongs to.
fn cluster_of(object: &DynamicObject) -> Option<String> {
    if object.kind() == "Cluster" {
        return Some(object.name_any());
    }
    object.labels().get("cluster.x-k8s.io/cluster-name").cloned()
}
