//! The shipped double: clusters that follow a script, and a ledger that knows everything that exists.
//!
//! It stands in for a provider where faults and speed matter: every verb can fail, hang, panic or lie on request,
//! time is tokio's (so tests can pause it), and the ledger is the truth about leftovers that the harness is
//! measured against. Kept in memory for tests, or in a directory, where it outlives a killed process as a cloud
//! does.

use crate::event::{Cleanliness, Failure, FailureClass};
use crate::plan::{Plan, PlannedRun};
use crate::types::{ObjectRef, Owner, RunId, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// What the clusters of a run do: how long everything takes, and what goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Milliseconds that a call takes: prepare, create, delete, a listing.
    pub call_ms: u64,
    /// Milliseconds from the create call until the cluster is available, and that a change takes.
    pub provision_ms: u64,
    /// Milliseconds that a check takes.
    pub check_ms: u64,
    /// Milliseconds from the delete call until the cluster is gone.
    pub delete_ms: u64,
    /// What goes wrong; the first fault that fits is taken.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The verb ([`VERBS`]) or the case id of a check.
    pub at: String,
    /// Only for units whose id or readable name contains this.
    #[serde(default)]
    pub unit: Option<String>,
    /// What happens.
    pub kind: FaultKind,
    /// How often; `None` = every time.
    #[serde(default)]
    pub times: Option<u32>,
    /// What the error says; which fault it is, when absent.
    #[serde(default)]
    pub says: Option<String>,
}

/// How a verb goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// It is refused before anything is done: the product is at fault.
    Refuse,
    /// It fails before anything is done: the infrastructure is at fault.
    Fail,
    /// It does what it should, and then reports an error.
    FailAfter,
    /// It never answers.
    Hang,
    /// The code that carries it out panics.
    Panic,
    /// For `delete`: it says yes and does nothing.
    Ignore,
}

/// The verbs at which a fault can be placed, beside the case ids of checks and changes.
pub const VERBS: &[&str] =
    &["prepare", "create", "provision", "change", PROBE, "collect", "delete", "await-gone", "list", "finish"];

/// A question to the API server during a change. Without a fault here nobody asks: the double has none.
const PROBE: &str = "probe";

/// One object of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    object: ObjectRef,
    run: RunId,
    owner: Owner,
    /// Milliseconds of the ledger's clock at which it is gone; `None` = nobody asked for its deletion.
    gone_at: Option<u64>,
}

/// Where the ledger is kept.
enum Store {
    Memory { entries: Mutex<BTreeMap<String, Entry>>, start: Instant },
    Directory(PathBuf),
}

/// Everything that exists.
pub struct Ledger(Store);

impl Default for Ledger {
    fn default() -> Self {
        Self(Store::Memory { entries: Mutex::default(), start: Instant::now() })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A ledger in a directory, one file for each object.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn in_directory(directory: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self(Store::Directory(directory.into())))
    }

    /// Milliseconds of the clock that runs in the cloud: it goes on when the harness is dead.
    fn now(&self) -> u64 {
        let elapsed = match &self.0 {
            Store::Memory { start, .. } => start.elapsed(),
            Store::Directory(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn put(&self, entry: &Entry) -> std::io::Result<()> {
        let key = format!("{}.{}", entry.object.kind, entry.object.name);
        match &self.0 {
            Store::Memory { entries, .. } => {
                locked(entries).insert(key, entry.clone());
                Ok(())
            }
            Store::Directory(directory) => {
                // By rename, as a cloud does: an object exists or it does not.
                let temporary = directory.join(format!(".{key}.{}", std::process::id()));
                std::fs::write(&temporary, serde_json::to_vec(entry)?)?;
                std::fs::rename(temporary, directory.join(key))
            }
        }
    }

    /// What exists now. What should be gone by now is gone.
    fn all(&self) -> std::io::Result<Vec<Entry>> {
        let now = self.now();
        let gone = |entry: &Entry| entry.gone_at.is_some_and(|at| at <= now);
        match &self.0 {
            Store::Memory { entries, .. } => {
                let mut entries = locked(entries);
                entries.retain(|_, entry| !gone(entry));
                Ok(entries.values().cloned().collect())
            }
            Store::Directory(directory) => {
                let mut found = Vec::new();
                for file in std::fs::read_dir(directory)? {
                    let file = file?;
                    if file.file_name().to_string_lossy().starts_with('.') {
                        continue;
                    }
                    let entry: Entry = match std::fs::read(file.path()) {
                        Ok(bytes) => serde_json::from_slice(&bytes)?,
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                        Err(error) => return Err(error),
                    };
                    if gone(&entry) {
                        let _ = std::fs::remove_file(file.path());
                    } else {
                        found.push(entry);
                    }
                }
                found.sort_by(|a, b| a.object.cmp(&b.object));
                Ok(found)
            }
        }
    }

    /// All objects that exist now, whoever made them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn objects(&self) -> std::io::Result<Vec<ObjectRef>> {
        Ok(self.all()?.into_iter().map(|entry| entry.object).collect())
    }
}

/// A plan at work on scripted clusters.
pub struct Scripted {
    plan: Arc<Plan>,
    script: Script,
    ledger: Arc<Ledger>,
    taken: Mutex<Vec<u32>>,
}

impl Scripted {
    /// Clusters for `plan` that follow `script`.
    #[must_use]
    pub fn start(plan: Arc<Plan>, script: Script, ledger: Arc<Ledger>) -> Self {
        let taken = Mutex::new(vec![0; script.faults.len()]);
        Self { plan, script, ledger, taken }
    }

    fn fault(&self, at: &str, run: Option<&PlannedRun>) -> Option<&Fault> {
        let mut taken = locked(&self.taken);
        for (fault, taken) in self.script.faults.iter().zip(taken.iter_mut()) {
            let unit = fault.unit.as_ref().is_none_or(|unit| {
                run.is_some_and(|run| run.name.contains(unit.as_str()) || run.id.as_str() == unit)
            });
            if fault.at == at && unit && fault.times.is_none_or(|times| *taken < times) {
                *taken += 1;
                return Some(fault);
            }
        }
        None
    }

    /// Carries out `act` after `ms` milliseconds, unless the script has something else in mind.
    async fn verb(
        &self,
        at: &str,
        run: Option<&PlannedRun>,
        ms: u64,
        act: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let fault = self.fault(at, run);
        let says = fault.and_then(|fault| fault.says.clone());
        let failure = |class| {
            let failure =
                Failure::new(class, says.clone().unwrap_or_else(|| format!("scripted fault at `{at}`")));
            failure.detail(says.clone().unwrap_or_default())
        };
        let fault = fault.map(|fault| fault.kind);
        match fault {
            Some(FaultKind::Refuse) => return Err(failure(FailureClass::Refused)),
            Some(FaultKind::Fail) => return Err(failure(FailureClass::Infrastructure)),
            Some(FaultKind::Hang) => std::future::pending().await,
            #[expect(clippy::panic, reason = "a panic is what the script asks for")]
            Some(FaultKind::Panic) => panic!("scripted panic at `{at}`"),
            Some(FaultKind::Ignore) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                return Ok(());
            }
            Some(FaultKind::FailAfter) | None => {}
        }
        tokio::time::sleep(Duration::from_millis(ms)).await;
        act().map_err(|error| Failure::new(FailureClass::Infrastructure, format!("the ledger: {error}")))?;
        if fault == Some(FaultKind::FailAfter) {
            return Err(failure(FailureClass::Infrastructure));
        }
        Ok(())
    }

    fn entry(&self, kind: &str, name: &str) -> Entry {
        let object = ObjectRef { kind: kind.into(), namespace: String::new(), name: name.into() };
        Entry { object, run: self.plan.run.clone(), owner: self.plan.owner.clone(), gone_at: None }
    }

    /// Makes the run's namespace.
    ///
    /// # Errors
    /// As the script says.
    pub async fn prepare(&self) -> Result<(), Failure> {
        let entry = self.entry("Namespace", self.plan.namespace.as_str());
        self.verb("prepare", None, self.script.call_ms, || self.ledger.put(&entry)).await
    }

    /// Creates a cluster: the Cluster itself and its Machines, as a cloud would go on to make them even if the
    /// harness died right after the call.
    ///
    /// # Errors
    /// As the script says.
    pub async fn create(&self, run: &PlannedRun) -> Result<(), Failure> {
        let mut entries = vec![self.entry("Cluster", run.cluster.as_str())];
        for n in 0..run.control_planes + run.workers {
            entries.push(self.entry("Machine", &format!("{}-{n}", run.cluster)));
        }
        let put = || entries.iter().try_for_each(|entry| self.ledger.put(entry));
        self.verb("create", Some(run), self.script.call_ms, put).await
    }

    /// Waits until the cluster is available.
    ///
    /// # Errors
    /// As the script says.
    pub async fn provision(&self, run: &PlannedRun) -> Result<(), Failure> {
        self.verb("provision", Some(run), self.script.provision_ms, || Ok(())).await
    }

    /// Changes the cluster to `target`; `case` is the change's case id.
    ///
    /// # Errors
    /// As the script says.
    pub async fn change(&self, run: &PlannedRun, case: &str, target: &Target) -> Result<(), Failure> {
        if self.script.faults.iter().any(|fault| fault.at == case) {
            self.verb(case, Some(run), 0, || Ok(())).await?;
        }
        let more = target.control_planes + target.workers;
        let machines: Vec<_> =
            (0..more).map(|n| self.entry("Machine", &format!("{}-{n}", run.cluster))).collect();
        let put = || machines.iter().try_for_each(|entry| self.ledger.put(entry));
        self.verb("change", Some(run), self.script.provision_ms, put).await
    }

    /// Tries the change of that case, which the script has to refuse: the double itself takes any.
    ///
    /// # Errors
    /// As the script says.
    pub async fn attempt(&self, run: &PlannedRun, case: &str) -> Result<(), Failure> {
        self.verb(case, Some(run), 0, || Ok(())).await
    }

    /// Whether the script has something to say about the API server during changes.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.script.faults.iter().any(|fault| fault.at == PROBE)
    }

    /// Asks the API server of a cluster once.
    ///
    /// # Errors
    /// As the script says.
    pub async fn probe(&self, run: &PlannedRun) -> Result<(), String> {
        self.verb(PROBE, Some(run), 1, || Ok(())).await.map_err(|failure| failure.summary)
    }

    /// Carries out the check of that case.
    ///
    /// # Errors
    /// As the script says.
    pub async fn check(&self, run: &PlannedRun, case: &str) -> Result<(), Failure> {
        let ended = self.verb(case, Some(run), self.script.check_ms, || Ok(())).await;
        ended.map_err(|failure| match failure.class {
            FailureClass::Refused => Failure { class: FailureClass::CheckFailed, ..failure },
            _ => failure,
        })
    }

    /// Gathers evidence: there is none, but it can go wrong.
    ///
    /// # Errors
    /// As the script says.
    pub async fn collect(&self, run: &PlannedRun) -> Result<(), Failure> {
        self.verb("collect", Some(run), self.script.call_ms, || Ok(())).await
    }

    /// Asks for the deletion of the cluster.
    ///
    /// # Errors
    /// As the script says.
    pub async fn delete(&self, run: &PlannedRun) -> Result<(), Failure> {
        let mark = || {
            let gone_at = Some(self.ledger.now() + self.script.delete_ms);
            let ours =
                self.ledger.all()?.into_iter().filter(|entry| belongs(entry, run) && entry.gone_at.is_none());
            ours.map(|entry| Entry { gone_at, ..entry }).try_for_each(|entry| self.ledger.put(&entry))
        };
        let asked = self.verb("delete", Some(run), self.script.call_ms, mark).await;
        asked.map_err(|failure| Failure { class: FailureClass::TearDown, ..failure })
    }

    /// Waits until the cluster is gone.
    ///
    /// # Errors
    /// As the script says, or the cluster is still there when it should be gone.
    pub async fn await_gone(&self, run: &PlannedRun) -> Result<(), Failure> {
        let waited = self.verb("await-gone", Some(run), self.script.delete_ms, || Ok(())).await;
        waited.map_err(|failure| Failure { class: FailureClass::TearDown, ..failure })?;
        match self.list(Some(run)) {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => {
                Err(Failure::new(FailureClass::TearDown, format!("{} objects are still there", left.len()))
                    .about(left.first().cloned()))
            }
            Err(error) => Err(Failure::new(FailureClass::Infrastructure, format!("the ledger: {error}"))),
        }
    }

    fn list(&self, run: Option<&PlannedRun>) -> std::io::Result<Vec<ObjectRef>> {
        let ours = |entry: &Entry| match run {
            Some(run) => belongs(entry, run),
            None => entry.run == self.plan.run,
        };
        Ok(self.ledger.all()?.into_iter().filter(ours).map(|entry| entry.object).collect())
    }

    /// Lists what is left of one cluster.
    pub async fn left(&self, run: &PlannedRun) -> Cleanliness {
        match self.verb("list", Some(run), self.script.call_ms, || Ok(())).await {
            Err(failure) => Cleanliness::Unknown { why: failure.summary },
            Ok(()) => cleanliness(self.list(Some(run))),
        }
    }

    /// Removes the namespace and lists what is left of the whole run.
    pub async fn finish(&self) -> Cleanliness {
        let remove = || {
            let entry = self.entry("Namespace", self.plan.namespace.as_str());
            self.ledger.put(&Entry { gone_at: Some(self.ledger.now()), ..entry })
        };
        match self.verb("finish", None, self.script.call_ms, remove).await {
            Err(failure) => Cleanliness::Unknown { why: failure.summary },
            Ok(()) => cleanliness(self.list(None)),
        }
    }
}

/// A cluster's objects are named after it. The hyphen keeps apart clusters one of whose names begins with the other.
fn belongs(entry: &Entry, run: &PlannedRun) -> bool {
    let name = entry.object.name.strip_prefix(run.cluster.as_str());
    entry.object.kind != "Namespace" && name.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn cleanliness(listed: std::io::Result<Vec<ObjectRef>>) -> Cleanliness {
    match listed {
        Ok(objects) if objects.is_empty() => Cleanliness::Clean,
        Ok(objects) => Cleanliness::Left { objects },
        Err(error) => Cleanliness::Unknown { why: format!("the ledger: {error}") },
    }
}

/// What each run has left in the ledger, with its owner.
///
/// # Errors
/// The ledger cannot be read.
pub fn find_left(ledger: &Ledger) -> std::io::Result<BTreeMap<RunId, (Owner, Vec<ObjectRef>)>> {
    let mut found: BTreeMap<RunId, (Owner, Vec<ObjectRef>)> = BTreeMap::new();
    for entry in ledger.all()? {
        let (owner, objects) = found.entry(entry.run).or_insert_with(|| (entry.owner.clone(), Vec::new()));
        // Who resumes a run writes itself on the namespace first.
        if entry.object.kind == "Namespace" {
            *owner = entry.owner;
        }
        objects.push(entry.object);
    }
    Ok(found)
}

/// Removes everything that one run has left in the ledger.
pub fn sweep(ledger: &Ledger, run: &RunId) -> Cleanliness {
    let ours = |entry: &Entry| entry.run == *run;
    let removed = ledger.all().and_then(|entries| {
        let gone_at = Some(ledger.now());
        let mut ours = entries.into_iter().filter(ours).map(|entry| Entry { gone_at, ..entry });
        ours.try_for_each(|entry| ledger.put(&entry))
    });
    cleanliness(
        removed
            .and_then(|()| ledger.all())
            .map(|entries| entries.into_iter().filter(ours).map(|entry| entry.object).collect()),
    )
}
