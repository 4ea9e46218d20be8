//! The OpenStack project that the clusters of a run are made in: looked at before the first of them and after the last,
//! and emptied of what is left of them straight in the cloud when nobody else does it any more.

use super::manifest;
use crate::cloud::{Cleaned, Cleaning, Client, Inventory, Kind, OWNER, Purge, Resource, changes};
use crate::event::{Cleanliness, Failure, FailureClass};
use crate::plan::{Plan, PlannedRun};
use crate::types::{ObjectRef, RunId};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The longest that the last look may take, with all that has to be deleted.
pub const LIMIT: Duration = Duration::from_secs(1500);
/// Between two looks that must agree.
const SETTLE: Duration = Duration::from_secs(30);
/// How many lines of a console are kept.
const CONSOLE: u64 = 400;

/// The project of a run.
#[derive(Debug)]
pub struct Project {
    client: Client,
    run: RunId,
    clusters: BTreeSet<String>,
    settle: Duration,
    purge: Purge,
    before: OnceLock<Inventory>,
    account: Mutex<Option<Account>>,
}

/// What the last look at a project has come to.
#[derive(Debug, Clone)]
pub struct Account {
    /// What was found of the run and what became of it.
    pub cleaned: Cleaned,
    /// What is new since the run began and neither carries a mark nor was made for a cluster of the run.
    pub strangers: Vec<Resource>,
}

impl Project {
    /// The project that a client speaks with.
    #[must_use]
    pub fn new(client: Client, plan: &Plan) -> Self {
        Self {
            client,
            run: plan.run.clone(),
            clusters: plan.runs.iter().map(|run| run.cluster.to_string()).collect(),
            settle: SETTLE,
            purge: Purge::default(),
            before: OnceLock::new(),
            account: Mutex::default(),
        }
    }

    /// The name of the cloud in clouds.yaml.
    #[must_use]
    pub fn cloud(&self) -> &str {
        &self.client.cloud().name
    }

    /// With other times, for clouds that are a part of a test.
    #[must_use]
    pub fn timed(self, settle: Duration, purge: Purge) -> Self {
        Self { settle, purge, ..self }
    }

    /// The inventory before anything is made.
    ///
    /// # Errors
    /// A list fails: nobody could tell afterwards what is new.
    pub async fn look(&self) -> Result<(), Failure> {
        let found = Inventory::take(&self.client).await;
        let mut unknown: Vec<String> = found.unknown().map(|(kind, why)| format!("{kind}s: {why}")).collect();
        unknown.extend(found.usage.as_ref().err().map(|why| format!("quotas: {why}")));
        if !unknown.is_empty() {
            let summary = format!(
                "what is in the project of the cloud `{}` cannot be listed, so nobody could prove afterwards that nothing is left: {}",
                self.client.cloud().name,
                unknown.join("; ")
            );
            return Err(Failure::new(FailureClass::Infrastructure, summary)
                .hint("`stack-e2e sweep --cloud NAME` lists the same; nothing was made"));
        }
        // The look of an earlier attempt to prepare is as good.
        let _ = self.before.set(found);
        Ok(())
    }

    /// Looks for what is left of the run, deletes it by id, and counts four times. `above` is what is known of the
    /// management cluster: the project can only add doubts to it.
    pub async fn finish(&self, above: Cleanliness) -> Cleanliness {
        let cleaning = Cleaning {
            owner: OWNER,
            run: Some(&self.run),
            clusters: &self.clusters,
            yes: true,
            // All of it is this run's own.
            max_delete: usize::MAX,
            settle: self.settle,
            disposable: false,
            purge: self.purge,
            now: Timestamp::now,
        };
        let cloud = &self.client.cloud().name;
        let worse = |doubt: Cleanliness| if above == Cleanliness::Clean { doubt } else { above.clone() };
        let cleaned = match cleaning.run(&self.client).await {
            Ok(cleaned) => cleaned,
            Err(error) => {
                return worse(Cleanliness::Unknown { why: format!("the cloud `{cloud}`: {error}") });
            }
        };
        let doubt = self.doubt(&cleaned);
        let strangers = self.strangers(&cleaned);
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = Some(Account { cleaned, strangers });
        match doubt {
            None => above,
            Some(doubt) => worse(doubt),
        }
    }

    /// What speaks against the project being clean of this run. What was broken before the run began is not its own.
    fn doubt(&self, cleaned: &Cleaned) -> Option<Cleanliness> {
        let cloud = &self.client.cloud().name;
        let object = |resource: &Resource| ObjectRef {
            kind: format!("OpenStack {}", resource.kind),
            namespace: cleaned.project.1.clone(),
            name: resource.id.clone(),
        };
        let Some(proof) = &cleaned.proof else {
            let why = cleaned.refused.clone().unwrap_or_else(|| "it was not counted".into());
            return Some(Cleanliness::Unknown { why: format!("the cloud `{cloud}`: {why}") });
        };
        let left: Vec<ObjectRef> = proof.left.iter().chain(&proof.marked).map(object).collect();
        if !left.is_empty() {
            return Some(Cleanliness::Left { objects: left });
        }
        let mut why: Vec<String> = cleaned
            .judgement
            .unknown
            .iter()
            .map(|(kind, why)| format!("the list of {kind}s failed: {why}"))
            .collect();
        why.extend(proof.counts.iter().chain(&proof.unknown).cloned());
        let old = |resource: &Resource| {
            self.before.get().is_some_and(|before| before.get(resource.kind, &resource.id).is_some())
        };
        let broken = cleaned.judgement.invalid().filter(|finding| !old(&finding.resource));
        why.extend(broken.map(|finding| {
            format!(
                "{} {} is new, and nobody can tell whose it is",
                finding.resource.kind, finding.resource.id
            )
        }));
        (!why.is_empty())
            .then(|| Cleanliness::Unknown { why: format!("the cloud `{cloud}`: {}", why.join("; ")) })
    }

    /// By ids: what came while the run was at work, and says nothing of whose it is.
    fn strangers(&self, cleaned: &Cleaned) -> Vec<Resource> {
        let (Some(before), Some(after)) = (self.before.get(), &cleaned.after) else { return Vec::new() };
        let new = changes(before, after).new.into_iter();
        new.filter(|resource| resource.mark == crate::cloud::Reading::None && !resource.permanent).collect()
    }

    /// What the last look has come to; `None` before it.
    #[must_use]
    pub fn account(&self) -> Option<Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the cloud knows of one cluster, when its own API may be dead: everything that was made for it with its
    /// state, and the consoles of its servers. Name of the file and text; what could not be had is a line of trouble.
    pub async fn evidence(&self, run: &PlannedRun) -> (Vec<(String, String)>, Vec<String>) {
        let cluster = run.cluster.as_str();
        let found = Inventory::take(&self.client).await;
        let mut trouble: Vec<String> = found
            .unknown()
            .map(|(kind, why)| format!("the list of {kind}s of the cloud failed: {why}"))
            .collect();
        // Servers, and ports and volumes of servers, are named after the Machines, which are named after the cluster.
        let named = |resource: &Resource| {
            resource.name.strip_prefix(cluster).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let made = |resource: &Resource| {
            resource.maker.as_ref().is_some_and(|maker| maker.cluster == cluster) || named(resource)
        };
        let servers: BTreeSet<&str> =
            found.resources().filter(|r| r.kind == Kind::Server && made(r)).map(|r| r.id.as_str()).collect();
        let of_servers = |resource: &Resource| resource.within.iter().any(|id| servers.contains(id.as_str()));
        let things: Vec<Value> = found
            .resources()
            .filter(|resource| made(resource) || of_servers(resource))
            .map(|resource| {
                json!({"kind": resource.kind.name(), "id": resource.id, "name": resource.name, "status": resource.status,
                    "device": resource.device, "within": resource.within, "fault": resource.fault})
            })
            .collect();
        let text = serde_json::to_string_pretty(&things).unwrap_or_default();
        let mut files = vec![("openstack.json".to_owned(), text)];
        for server in found.resources().filter(|resource| servers.contains(resource.id.as_str())) {
            match self.client.console(&server.id, CONSOLE).await {
                Ok(log) => files.push((format!("console-{}.log", file_name(&server.name)), log)),
                Err(error) => trouble.push(format!("the console of the server `{}`: {error}", server.name)),
            }
        }
        (files, trouble)
    }
}

/// Names in a cloud may be anything.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(80).map(plain).collect()
}

/// Whether a plan's clusters carry a mark that a sweep finds them by.
#[must_use]
pub fn is_marked(plan: &Plan) -> bool {
    manifest::mark(plan).is_some() && plan.operator.is_empty()
}
