//! One watch for each kind in the namespace of a run, shared by all clusters: the number of requests does not
//! grow with the number of clusters, and every wait sees a change as soon as the API server sends it.

use super::api::{Api, chain};
use super::kind::Kind;
use super::view::{ClusterView, ObjectExt};
use super::watched::Watched;
use crate::types::{ClusterName, Namespace};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The latest view of one cluster, and word of every change.
pub type ViewReceiver = watch::Receiver<Arc<ClusterView>>;

/// Watches a namespace until it is dropped.
pub struct Observer {
    views: BTreeMap<ClusterName, ViewReceiver>,
    events: Events,
    _tasks: JoinSet<()>,
}

/// Events of Kubernetes, by name. Nobody waits for them, so they are shared and not published.
type Events = Arc<Mutex<BTreeMap<String, Arc<DynamicObject>>>>;

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
        Self::watching(api, namespace, kinds, clusters, None)
    }

    /// Starts watching `kinds` in `namespace`; all objects, whatever cluster they belong to, are in the one view `name`.
    #[must_use]
    pub fn of_namespace(api: &Api, namespace: &Namespace, kinds: &[Kind], name: &ClusterName) -> Self {
        Self::watching(api, namespace, kinds, std::slice::from_ref(name), Some(name.to_string()))
    }

    fn watching(
        api: &Api,
        namespace: &Namespace,
        kinds: &[Kind],
        clusters: &[ClusterName],
        whole: Option<String>,
    ) -> Self {
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
        let events = Events::default();
        let store = Store {
            unsynced: (0..kinds.len()).collect(),
            event_index: kinds.len(),
            whole,
            clusters: HashMap::new(),
            events: events.clone(),
            trouble: BTreeMap::new(),
            senders,
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
        known(&self.events).values().filter(|event| about(event)).cloned().collect()
    }
}

async fn watch_kind(
    api: Api,
    namespace: Namespace,
    kind: Kind,
    index: usize,
    send: mpsc::UnboundedSender<(usize, Input)>,
) {
    let client = kube::Api::<Watched>::namespaced_with(api.client(), namespace.as_str(), kind.resource());
    let mut pause = FIRST_PAUSE;
    loop {
        let stream = watcher(client.clone(), watcher::Config::default());
        futures::pin_mut!(stream);
        let mut listed = Vec::new();
        while let Some(event) = stream.next().await {
            let input = match event {
                Ok(watcher::Event::Init) => continue,
                Ok(watcher::Event::InitApply(object)) => {
                    listed.push(typed(object, &kind));
                    continue;
                }
                Ok(watcher::Event::InitDone) => {
                    pause = FIRST_PAUSE;
                    Input::Listed(std::mem::take(&mut listed))
                }
                Ok(watcher::Event::Apply(object)) => Input::Applied(typed(object, &kind)),
                Ok(watcher::Event::Delete(object)) => Input::Deleted(typed(object, &kind)),
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

/// List items come without a type.
fn typed(Watched(mut object): Watched, kind: &Kind) -> DynamicObject {
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
    /// The one view of everything, where clusters do not matter.
    whole: Option<String>,
    /// Objects by their cluster, then by kind and name; a view is one entry of the first map.
    clusters: HashMap<String, BTreeMap<(usize, String), Arc<DynamicObject>>>,
    events: Events,
    trouble: BTreeMap<usize, (Instant, String)>,
    senders: BTreeMap<ClusterName, watch::Sender<Arc<ClusterView>>>,
}

impl Store {
    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<(usize, Input)>) {
        while let Some((index, input)) = inputs.recv().await {
            if index == self.event_index {
                self.apply_event(input);
            } else {
                self.apply(index, input);
            }
        }
    }

    /// Events of Kubernetes are evidence: nobody waits for them, so a broken watch of theirs is no trouble. Old ones
    /// expire; what has been seen stays evidence.
    fn apply_event(&self, input: Input) {
        let seen = match input {
            Input::Trouble(_) | Input::Deleted(_) => return,
            Input::Listed(events) => events,
            Input::Applied(event) => vec![event],
        };
        known(&self.events).extend(seen.into_iter().map(|event| (event.name_any(), Arc::new(event))));
    }

    fn apply(&mut self, index: usize, input: Input) {
        match input {
            Input::Trouble(why) => {
                tracing::debug!(why, "watch is broken");
                self.trouble.entry(index).or_insert_with(|| (Instant::now(), String::new())).1 = why;
                self.show_everyone();
            }
            Input::Listed(objects) => {
                self.trouble.remove(&index);
                self.unsynced.remove(&index);
                for cluster in self.replace(index, objects) {
                    self.show(Some(cluster), false);
                }
                self.show_everyone();
            }
            Input::Applied(object) => {
                tracing::trace!(
                    kind = object.kind(),
                    name = object.name_any(),
                    version = object.resource_version().unwrap_or_default(),
                    "seen"
                );
                let healed = self.trouble.remove(&index).is_some();
                let cluster = self.keep(index, object);
                self.show(cluster, healed);
            }
            Input::Deleted(object) => {
                let healed = self.trouble.remove(&index).is_some();
                let cluster = self.cluster_of(&object).map(ToOwned::to_owned);
                if let Some(known) = cluster.as_ref().and_then(|cluster| self.clusters.get_mut(cluster)) {
                    known.remove(&(index, object.name_any()));
                }
                self.show(cluster, healed);
            }
        }
    }

    /// Keeps an object under its cluster; what belongs to none (ClusterClasses' templates) is not kept.
    fn keep(&mut self, index: usize, object: DynamicObject) -> Option<String> {
        let cluster = self.cluster_of(&object)?.to_owned();
        let known = self.clusters.entry(cluster.clone()).or_default();
        known.insert((index, object.name_any()), Arc::new(object));
        Some(cluster)
    }

    /// Takes a fresh list of one kind; gives the clusters for which it says something new.
    fn replace(&mut self, index: usize, objects: Vec<DynamicObject>) -> BTreeSet<String> {
        let versions = |store: &Self| -> BTreeSet<(String, String, Option<String>)> {
            let entries = store.clusters.iter().flat_map(|(cluster, known)| {
                let of_kind = known.iter().filter(|((kind, _), _)| *kind == index);
                of_kind.map(|((_, name), object)| (cluster.clone(), name.clone(), object.resource_version()))
            });
            entries.collect()
        };
        let before = versions(self);
        for known in self.clusters.values_mut() {
            known.retain(|(kind, _), _| *kind != index);
        }
        for object in objects {
            self.keep(index, object);
        }
        let now = versions(self);
        before.symmetric_difference(&now).map(|(cluster, ..)| cluster.clone()).collect()
    }

    fn cluster_of<'a>(&'a self, object: &'a DynamicObject) -> Option<&'a str> {
        self.whole.as_deref().or_else(|| cluster_of(object))
    }

    fn show(&self, cluster: Option<String>, everyone: bool) {
        if let Some((name, sender)) = cluster.and_then(|cluster| {
            let name = ClusterName::new(cluster).ok()?;
            let sender = self.senders.get(&name)?;
            Some((name, sender))
        }) {
            sender.send_replace(Arc::new(self.view(&name, Instant::now())));
        }
        if everyone {
            self.show_everyone();
        }
    }

    /// Shows everyone what has changed for all alike; it is not a change of any object.
    fn show_everyone(&self) {
        for (cluster, sender) in &self.senders {
            let changed = sender.borrow().changed;
            sender.send_replace(Arc::new(self.view(cluster, changed)));
        }
    }

    fn view(&self, cluster: &ClusterName, changed: Instant) -> ClusterView {
        let objects = self.clusters.get(cluster.as_str()).map(|known| known.values().cloned().collect());
        ClusterView {
            cluster: cluster.clone(),
            objects: objects.unwrap_or_default(),
            synced: self.unsynced.is_empty(),
            changed,
            trouble: self.trouble.values().min_by_key(|(since, _)| *since).cloned(),
        }
    }
}

fn known(events: &Events) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<DynamicObject>>> {
    events.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Which cluster an object belongs to.
fn cluster_of(object: &DynamicObject) -> Option<&str> {
    if object.kind() == "Cluster" {
        return object.metadata.name.as_deref();
    }
    // The operator's object about the add-ons carries no label.
    if object.kind() == "ClusterAddon" {
        return Some(object.text("/spec/clusterRef/name")).filter(|name| !name.is_empty());
    }
    object.labels().get("cluster.x-k8s.io/cluster-name").map(String::as_str)
}
