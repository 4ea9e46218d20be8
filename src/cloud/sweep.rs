//! What of a project may be taken, and whether it is gone afterwards. Pure: two inventories and the rules in, a
//! judgement out.

use super::inventory::{Inventory, Listing, Resource, changes};
use super::kind::Kind;
use super::mark::Reading;
use crate::types::RunId;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What is taken.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// Only what this owner has marked.
    pub owner: &'a str,
    /// Only what this run has left, and that before its time is over too.
    pub run: Option<&'a RunId>,
    /// Clusters that are named: what controllers have made for them without a mark is taken too.
    pub clusters: &'a BTreeSet<String>,
    /// The time.
    pub now: Timestamp,
}

/// Whether something may be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Ours, and it may go.
    Take(Why),
    /// Ours, and its time is not over.
    Keep(Timestamp),
    /// Ours by one listing only.
    SeenOnce,
    /// Somebody else's mark.
    Foreign(String),
    /// Parts of a mark that make none.
    Invalid(String),
    /// Another run was named.
    OtherRun,
    /// Without a mark, and made for a cluster with a name as runs give it, of which nothing with a mark is there.
    Orphan(String),
    /// No mark: nobody knows whose it is.
    Unmarked,
}

/// Why something is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The time of its mark is over.
    Expired,
    /// Its run was named.
    Named,
    /// A port without a mark that hangs on something that is taken, and on nothing else.
    Contained,
    /// Made by a controller for a cluster that was named, or of which something with a mark is taken.
    Cluster,
}

/// One resource and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The resource.
    pub resource: Resource,
    /// Its run, where that is known; of what is contained that of its container.
    pub run: Option<RunId>,
    /// Whether it may be taken.
    pub claim: Claim,
}

/// What is said about a whole project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// All resources, in the order of deletion.
    pub findings: Vec<Finding>,
    /// Kinds that could not be listed, with the reason.
    pub unknown: Vec<(Kind, String)>,
}

impl Judgement {
    /// What may be taken, in the order of deletion.
    pub fn taken(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.claim, Claim::Take(_)))
    }

    /// Those of which nobody can tell whose they are, although they look like ours.
    pub fn invalid(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.claim, Claim::Invalid(_) | Claim::Orphan(_)))
    }

    /// How many there are of a claim.
    pub fn count(&self, wanted: impl Fn(&Claim) -> bool) -> usize {
        self.findings.iter().filter(|finding| wanted(&finding.claim)).count()
    }
}

/// Judges everything that the second of two inventories has. Only what both have seen with the same mark is taken:
/// a mark that was just moved, or a list that was wrong for a moment, must not cost anybody a machine.
#[must_use]
pub fn judge(first: &Inventory, second: &Inventory, rules: &Rules<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let unknown = first.unknown().chain(second.unknown());
    for (kind, why) in unknown {
        if judgement.unknown.iter().all(|(known, _)| *known != kind) {
            judgement.unknown.push((kind, why.to_owned()));
        }
    }
    for resource in second.resources() {
        let seen = seen(first, resource);
        let (run, claim) = claim(resource, seen, rules);
        judgement.findings.push(Finding { resource: resource.clone(), run, claim });
    }
    made_for_clusters(&mut judgement, first, rules);
    contained(&mut judgement);
    judgement
        .findings
        .sort_by(|a, b| (a.resource.kind, &a.resource.id).cmp(&(b.resource.kind, &b.resource.id)));
    judgement
}

/// Whether an earlier listing says the same of it.
fn seen(first: &Inventory, resource: &Resource) -> bool {
    first
        .get(resource.kind, &resource.id)
        .is_some_and(|earlier| earlier.mark == resource.mark && earlier.maker == resource.maker)
}

fn claim(resource: &Resource, seen: bool, rules: &Rules<'_>) -> (Option<RunId>, Claim) {
    let mark = match &resource.mark {
        Reading::None => return (None, Claim::Unmarked),
        Reading::Invalid(why) => return (None, Claim::Invalid(why.to_string())),
        Reading::Mark(mark) => mark,
    };
    let claim = if resource.permanent {
        Claim::Unmarked
    } else if mark.owner != rules.owner {
        Claim::Foreign(mark.owner.clone())
    } else if rules.run.is_some_and(|run| *run != mark.run) {
        Claim::OtherRun
    } else if rules.run.is_none() && mark.expires >= rules.now {
        Claim::Keep(mark.expires)
    } else if !seen {
        Claim::SeenOnce
    } else if rules.run.is_some() {
        Claim::Take(Why::Named)
    } else {
        Claim::Take(Why::Expired)
    };
    (Some(mark.run.clone()), claim)
}

/// What controllers have made for a cluster without a mark goes with what of the cluster has one: taken when that is
/// taken, left while it lives. A named cluster or run is taken at once. Where nothing with a mark is there, nobody can
/// tell since when it is nobody's, and it is reported.
fn made_for_clusters(judgement: &mut Judgement, first: &Inventory, rules: &Rules<'_>) {
    let mut known: BTreeMap<String, (Option<RunId>, Claim)> = BTreeMap::new();
    for finding in &judgement.findings {
        let Some(maker) = &finding.resource.maker else { continue };
        let claim = match &finding.claim {
            Claim::Take(_) => Claim::Take(Why::Cluster),
            Claim::Keep(until) => Claim::Keep(*until),
            Claim::Foreign(owner) => Claim::Foreign(owner.clone()),
            Claim::OtherRun => Claim::OtherRun,
            Claim::SeenOnce | Claim::Invalid(_) | Claim::Orphan(_) | Claim::Unmarked => continue,
        };
        let entry =
            known.entry(maker.cluster.clone()).or_insert_with(|| (finding.run.clone(), claim.clone()));
        // Whatever speaks for leaving it counts more.
        if !matches!(claim, Claim::Take(_)) {
            *entry = (finding.run.clone(), claim);
        }
    }
    for finding in &mut judgement.findings {
        let Some(maker) = finding.resource.maker.clone().filter(|_| finding.claim == Claim::Unmarked) else {
            continue;
        };
        let named = rules.clusters.contains(&maker.cluster)
            || maker.run.as_ref().is_some_and(|run| rules.run == Some(run));
        let (run, claim) = match known.get(&maker.cluster) {
            _ if named => (rules.run.cloned().or(maker.run), Claim::Take(Why::Cluster)),
            Some((run, claim)) => (run.clone(), claim.clone()),
            None if maker.looks_like_ours() => (maker.run, Claim::Orphan(maker.cluster)),
            None => continue,
        };
        let once = matches!(claim, Claim::Take(_)) && !seen(first, &finding.resource);
        (finding.run, finding.claim) = (run, if once { Claim::SeenOnce } else { claim });
    }
}

/// Ports that Nova and Neutron make by themselves carry no mark. One is taken when it belongs to a router or server that
/// is taken, or is in a network that is taken and belongs to nothing.
fn contained(judgement: &mut Judgement) {
    let taken: Vec<(String, Option<RunId>)> =
        judgement.taken().map(|finding| (finding.resource.id.clone(), finding.run.clone())).collect();
    let container = |id: &String| taken.iter().find(|(taken, _)| taken == id);
    for finding in &mut judgement.findings {
        let port = &finding.resource;
        if port.kind != Kind::Port || finding.claim != Claim::Unmarked {
            continue;
        }
        let device = port.device.as_deref().unwrap_or_default();
        // What Neutron keeps for itself goes with the network, and a gateway with its router.
        let own = device.starts_with("network:") && !device.contains("router_interface");
        let mut places = port.within.iter().map(|id| (id, container(id)));
        let all = places.clone().all(|(_, container)| container.is_some());
        let of_router = device.contains("router_interface");
        // A port of our router counts as ours whatever network it is in; others only if all that they touch is.
        let router = places.clone().find(|(_, container)| container.is_some());
        let found = if of_router { router.filter(|_| all) } else { places.next().filter(|_| all && !own) };
        if let Some((_, Some((_, run)))) = found {
            finding.run = run.clone();
            finding.claim = Claim::Take(Why::Contained);
        }
    }
}

/// Four counts that must agree before anything is called clean, and what each of them says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// By ids: what was to go and is still there.
    pub left: Vec<Resource>,
    /// By marks: what still has a mark of what was taken.
    pub marked: Vec<Resource>,
    /// By quotas: where the cloud counts another number than it lists.
    pub counts: Vec<String>,
    /// By emptiness, when the project is disposable: what is in it.
    pub inside: Vec<Resource>,
    /// What nobody knows.
    pub unknown: Vec<String>,
    /// What vanished although nobody here has deleted it.
    pub vanished: Vec<Resource>,
}

impl Proof {
    /// Whether all four counts say that nothing is left.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.left.is_empty()
            && self.marked.is_empty()
            && self.counts.is_empty()
            && self.inside.is_empty()
            && self.unknown.is_empty()
    }
}

/// Compares what is there with what was there, when `taken` was to go. `by_id` has what a question for each single id
/// has found: a second opinion where neither a neighbour in the list nor a count speaks for the list.
#[must_use]
pub fn prove(
    before: &Inventory,
    after: &Inventory,
    taken: &[Finding],
    rules: &Rules<'_>,
    disposable: bool,
    by_id: &[(Kind, String, Result<bool, String>)],
) -> Proof {
    let mut proof = Proof::default();
    let ids: BTreeSet<(Kind, &str)> =
        taken.iter().map(|f| (f.resource.kind, f.resource.id.as_str())).collect();
    let runs: BTreeSet<&RunId> =
        taken.iter().filter_map(|finding| finding.run.as_ref()).chain(rules.run).collect();
    let mut clusters: BTreeSet<&str> = rules.clusters.iter().map(String::as_str).collect();
    clusters.extend(taken.iter().filter_map(|f| Some(f.resource.maker.as_ref()?.cluster.as_str())));
    for resource in after.resources() {
        let marked = match &resource.mark {
            Reading::Mark(mark) => runs.contains(&mark.run) && mark.owner == rules.owner,
            Reading::None | Reading::Invalid(_) => false,
        };
        let made = matches!(resource.mark, Reading::None)
            && resource.maker.as_ref().is_some_and(|maker| clusters.contains(maker.cluster.as_str()));
        if ids.contains(&(resource.kind, resource.id.as_str())) {
            proof.left.push(resource.clone());
        } else if (marked || made) && !resource.permanent {
            proof.marked.push(resource.clone());
        }
        if disposable && !resource.permanent {
            proof.inside.push(resource.clone());
        }
    }
    proof.unknown.extend(after.unknown().map(|(kind, why)| format!("the list of {kind}s failed: {why}")));
    let difference = changes(before, after);
    proof.vanished =
        difference.gone.into_iter().filter(|r| !ids.contains(&(r.kind, r.id.as_str()))).collect();
    match &after.usage {
        Ok(usage) => {
            for (kind, used) in usage {
                let listed = after.kinds.get(kind).and_then(Listing::known).map(|list| list.len() as u64);
                if let Some(listed) = listed.filter(|listed| listed != used) {
                    proof.counts.push(format!("{kind}s: the quota counts {used}, the list has {listed}"));
                }
            }
        }
        Err(why) => proof.unknown.push(format!("the quotas say nothing: {why}")),
    }
    for (kind, id, answer) in by_id {
        match answer {
            Ok(false) => {}
            Ok(true) if proof.left.iter().any(|r| r.kind == *kind && r.id == *id) => {}
            Ok(true) => proof.unknown.push(format!("{kind} {id}: not in the list, but there when asked for")),
            Err(why) => proof.unknown.push(format!("{kind} {id}: {why}")),
        }
    }
    proof
}

/// The kinds whose empty list must be spoken for by questions for single ids: neither something else in the list nor a
/// count of the quota does.
#[must_use]
pub fn silent(after: &Inventory, taken: &[Finding]) -> BTreeSet<Kind> {
    let counted = |kind: &Kind| after.usage.as_ref().is_ok_and(|usage| usage.contains_key(kind));
    let stays =
        |kind: &Kind| after.kinds.get(kind).and_then(Listing::known).is_some_and(|list| !list.is_empty());
    let kinds: BTreeSet<Kind> = taken.iter().map(|finding| finding.resource.kind).collect();
    kinds.into_iter().filter(|kind| !counted(kind) && !stays(kind)).collect()
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
