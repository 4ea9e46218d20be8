//! Deletion straight in the cloud, by id, in the order that OpenStack enforces: for what no controller cleans up any
//! more. Nothing is deleted that does not still carry its mark.

use super::catalog::Service;
use super::client::Client;
use super::error::{CloudError, ErrorClass};
use super::inventory::Resource;
use super::kind::Kind;
use super::maker::Maker;
use super::mark::{Mark, Reading};
use super::page::Paging;
use super::sweep::Finding;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How deletions are carried out.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// How long all of it may take.
    pub deadline: Duration,
    /// Between two looks at whether something is gone. The cloud tells nobody when it is.
    pub look: Duration,
    /// How many requests at once.
    pub at_once: usize,
}

impl Default for Purge {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(900), look: Duration::from_secs(2), at_once: 8 }
    }
}

/// What became of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone.
    Gone,
    /// It is still there, for this reason.
    Stays(String),
}

/// Groups of kinds, each of which must be gone before the next can go. Servers come first: the controllers on them
/// would make load balancers and volumes again.
#[must_use]
pub const fn order() -> &'static [&'static [Kind]] {
    &[
        &[Kind::Server],
        &[Kind::LoadBalancer],
        &[Kind::FloatingIp],
        &[Kind::Port],
        &[Kind::Router],
        &[Kind::Subnet],
        &[Kind::Network],
        &[Kind::SecurityGroup, Kind::ServerGroup, Kind::Snapshot],
        &[Kind::Volume],
        &[Kind::Image, Kind::Keypair],
    ]
}

impl Purge {
    /// Deletes these, and says of each what became of it.
    pub async fn run(&self, client: &Client, taken: &[Finding]) -> BTreeMap<(Kind, String), Outcome> {
        let end = Instant::now() + self.deadline;
        let mut outcomes = BTreeMap::new();
        for kinds in order() {
            let group: Vec<&Resource> =
                taken.iter().map(|finding| &finding.resource).filter(|r| kinds.contains(&r.kind)).collect();
            if !group.is_empty() {
                outcomes.extend(self.group(client, group, end).await);
            }
        }
        outcomes
    }

    /// Asks for each of a group until it is gone, or nothing moves any more.
    async fn group(
        &self,
        client: &Client,
        group: Vec<&Resource>,
        end: Instant,
    ) -> BTreeMap<(Kind, String), Outcome> {
        let mut waiting: BTreeMap<(Kind, String), (&Resource, Option<String>)> = group
            .into_iter()
            .map(|resource| ((resource.kind, resource.id.clone()), (resource, None)))
            .collect();
        let mut outcomes = BTreeMap::new();
        // A deletion that was accepted is not asked for again: it is looked at.
        let mut accepted: BTreeSet<(Kind, String)> = BTreeSet::new();
        let mut refused = 0;
        loop {
            let ask: Vec<&Resource> = waiting
                .iter()
                .filter(|(key, _)| !accepted.contains(*key))
                .map(|(_, (resource, _))| *resource)
                .collect();
            let asked: Vec<_> = ask
                .into_iter()
                .map(|resource| async move { (resource, remove(client, resource).await) })
                .collect();
            let mut progress = false;
            for (resource, result) in
                stream::iter(asked).buffer_unordered(self.at_once.max(1)).collect::<Vec<_>>().await
            {
                let key = (resource.kind, resource.id.clone());
                match result {
                    Ok(Asked::Accepted) => {
                        accepted.insert(key);
                        progress = true;
                    }
                    Ok(Asked::Gone) => {
                        waiting.remove(&key);
                        outcomes.insert(key, Outcome::Gone);
                        progress = true;
                    }
                    // Nothing that waits here changes that.
                    Ok(Asked::Not(why)) => {
                        waiting.remove(&key);
                        outcomes.insert(key, Outcome::Stays(why));
                    }
                    Err(error) => {
                        if let Some((_, why)) = waiting.get_mut(&key) {
                            *why = Some(error.to_string());
                        }
                        if matches!(error.class, ErrorClass::Forbidden | ErrorClass::Unauthorized) {
                            waiting.remove(&key);
                            outcomes.insert(key, Outcome::Stays(error.to_string()));
                        }
                    }
                }
            }
            let keys: Vec<(Kind, String)> =
                accepted.iter().filter(|key| waiting.contains_key(*key)).cloned().collect();
            let look = |key: (Kind, String)| async move {
                let found = state(client, key.0, &key.1).await;
                (key, found)
            };
            let looked: Vec<_> = keys.into_iter().map(look).collect();
            for (key, found) in
                stream::iter(looked).buffer_unordered(self.at_once.max(1)).collect::<Vec<_>>().await
            {
                match found {
                    Ok(None) => {
                        waiting.remove(&key);
                        outcomes.insert(key, Outcome::Gone);
                        progress = true;
                    }
                    // Deletion failed: it is asked for again.
                    Ok(Some(status)) => {
                        if status.to_lowercase().contains("error") {
                            accepted.remove(&key);
                        }
                        if let Some((_, why)) = waiting.get_mut(&key) {
                            *why = Some(format!("its deletion was accepted, and it is still {status}"));
                        }
                    }
                    Err(error) => {
                        if let Some((_, why)) = waiting.get_mut(&key) {
                            *why = Some(error.to_string());
                        }
                    }
                }
            }
            if waiting.is_empty() {
                return outcomes;
            }
            // What only refuses does so because of something that is not in this group.
            let all_refuse = waiting.keys().all(|key| !accepted.contains(key));
            refused = if all_refuse && !progress { refused + 1 } else { 0 };
            if Instant::now() + self.look >= end || refused >= 5 {
                outcomes.extend(waiting.into_iter().map(|(key, (_, why))| {
                    (key, Outcome::Stays(why.unwrap_or_else(|| "there was no time left to delete it".into())))
                }));
                return outcomes;
            }
            sleep(self.look).await;
        }
    }
}

enum Asked {
    /// It goes.
    Accepted,
    /// It is not there.
    Gone,
    /// It is not asked for.
    Not(String),
}

/// Looks at one again, and asks for its deletion if it is still what it was.
async fn remove(client: &Client, resource: &Resource) -> Result<Asked, CloudError> {
    let Some(now) = fetch(client, resource.kind, &resource.id).await? else { return Ok(Asked::Gone) };
    let text = |key: &str| now[key].as_str().unwrap_or_default().to_owned();
    let mark = if resource.kind.carries_marks() {
        Mark::read(&now)
    } else {
        Mark::of_name(&text("name")).map_or(Reading::None, Reading::Mark)
    };
    if mark != resource.mark {
        return Ok(Asked::Not("its mark has changed since it was judged".into()));
    }
    if Maker::read(resource.kind, &now) != resource.maker {
        return Ok(Asked::Not("it belongs to another cluster since it was judged".into()));
    }
    let status = text("provisioning_status");
    if status.starts_with("PENDING_") {
        return Ok(Asked::Not(format!(
            "it is {status}: nothing can be done with it until Octavia has finished, if ever"
        )));
    }
    let place = resource.kind.place();
    if resource.kind == Kind::Port && text("device_owner").contains("router_interface") {
        let router = text("device_id");
        let path = format!("/routers/{router}/remove_router_interface");
        return match client.put(Service::Network, &path, &json!({"port_id": resource.id})).await {
            Ok(_) => Ok(Asked::Accepted),
            Err(error) if error.class == ErrorClass::NotFound => Ok(Asked::Accepted),
            Err(error) => Err(error),
        };
    }
    client.delete(place.service, &format!("{}{}{}", place.item, segment(&resource.id), place.delete)).await?;
    Ok(Asked::Accepted)
}

/// The state of one, `None` when it is gone.
async fn state(client: &Client, kind: Kind, id: &str) -> Result<Option<String>, CloudError> {
    let Some(found) = fetch(client, kind, id).await? else { return Ok(None) };
    let status = ["provisioning_status", "status"].iter().find_map(|key| found[*key].as_str());
    let status = status.filter(|status| !status.is_empty()).unwrap_or("there");
    // Octavia and Glance show for a while what they have deleted.
    Ok((!status.eq_ignore_ascii_case("DELETED")).then(|| status.to_owned()))
}

/// Whether one is there, asked for by its id.
///
/// # Errors
/// When that cannot be told.
pub async fn exists(client: &Client, kind: Kind, id: &str) -> Result<bool, CloudError> {
    Ok(state(client, kind, id).await?.is_some())
}

async fn fetch(client: &Client, kind: Kind, id: &str) -> Result<Option<Value>, CloudError> {
    let place = kind.place();
    // A group or a pair that was just deleted may still be had by its id; the list is the truth about them.
    if kind == Kind::Keypair {
        let all = client.list(place.service, place.list, place.collection, Paging::Links).await?;
        return Ok(all.into_iter().map(|item| item["keypair"].clone()).find(|item| item["name"] == id));
    }
    match client.get(place.service, &format!("{}{}", place.item, segment(id))).await {
        Ok(mut answer) => {
            // Glance gives the thing itself, all others wrap it.
            let inner =
                answer.as_object_mut().filter(|map| map.len() == 1).and_then(|map| map.values_mut().next());
            let inner = inner.map(Value::take);
            Ok(Some(inner.unwrap_or(answer)))
        }
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An id as a part of a path. Ids are UUIDs; those of key pairs are names.
fn segment(id: &str) -> String {
    let mut out = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
