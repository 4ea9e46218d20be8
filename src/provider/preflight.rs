//! Whether a cloud can carry a plan out, before anything is made there: facts and plan in, a judgement out. Pure.
//!
//! What is impossible is told with numbers. What is only too little for everything at once becomes the capacity that the
//! plan is scheduled under. What the cloud does not tell is called unknown, and is neither of the two.

use crate::cloud::{CloudFacts, Known, Quota, QuotaName};
use crate::plan::cost::{Capacity, Cost, History, Resource, Table};
use crate::plan::{Plan, PlannedRun};
use crate::types::{ProviderKind, show_duration};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the judgement comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Why the plan cannot be carried out there.
    pub impossible: Vec<String>,
    /// What the cloud does not tell.
    pub unknown: Vec<String>,
    /// What is there, for people.
    pub found: Vec<String>,
    /// What each combination takes of the quotas; those that take the same are on one line.
    pub costs: Vec<String>,
    /// How much is left for the plan: only what a quota limits.
    pub capacity: Capacity,
}

/// Variables of the published stacks.
const BALANCERS: &[&str] =
    &["apiserver_loadbalancer", "apiServerLoadBalancer", "workload_loadbalancer", "workloadLoadBalancer"];
const FLAVORS: &[&str] =
    &["controller_flavor", "worker_flavor", "controlPlaneFlavor", "workerFlavor", "flavor"];
const EXTERNAL: &[&str] = &["external_id", "networkExternalID"];
const ROOT_DISKS: &[&str] =
    &["controller_root_disk", "controlPlaneRootDisk", "worker_root_disk", "workerRootDisk", "rootDisk"];
/// GB of the volume of a machine that boots from one, where no variable says it: the larger of the defaults.
const ROOT_DISK: u64 = 50;
/// What Cluster API's provider makes for each cluster besides what the costs know: one router, one subnet, the security
/// groups of control planes and workers; ports for the router and DHCP, and the address of each load balancer.
const GROUPS: u64 = 2;
const PORTS: u64 = 3;

/// Judges. The plan must have its timetable.
#[must_use]
pub fn preflight(facts: &CloudFacts, plan: &Plan, now: Timestamp) -> Preflight {
    let mut all = Preflight::default();
    if plan.provider != ProviderKind::Openstack {
        all.impossible
            .push(format!("the clusters of this plan come from `{}`, and not from OpenStack", plan.provider));
        return all;
    }
    credential(facts, plan, now, &mut all);
    networks(facts, plan, &mut all);
    names(facts, plan, &mut all);
    quotas(facts, plan, &mut all);
    all
}

fn text<'r>(run: &'r PlannedRun, name: &str) -> Option<&'r str> {
    run.variables.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn credential(facts: &CloudFacts, plan: &Plan, now: Timestamp, all: &mut Preflight) {
    let credential = &facts.credential;
    let kind = if credential.application { "application credential" } else { "password" };
    let roles = credential.roles.join(", ");
    all.found.push(format!(
        "{kind} for the project {} ({}), roles {roles}",
        credential.project_name, credential.project
    ));
    let yawol = |run: &&PlannedRun| BALANCERS.iter().any(|name| text(run, name) == Some("yawol"));
    let with_yawol = plan.runs.iter().filter(yawol).count();
    if credential.application && with_yawol > 0 {
        all.impossible.push(format!(
            "{with_yawol} combinations use yawol, which cannot use application credentials: give a cloud with user and password"
        ));
    }
    if credential.skew.abs() > SignedDuration::from_mins(5) {
        let skew = credential.skew.as_secs();
        all.impossible.push(format!(
            "the clock of the cloud is {skew} s ahead of ours: marks would end at a wrong time"
        ));
    }
    // Tear-down and proof need it too, and a plan takes longer than expected now and then.
    let expected = plan.timetable.as_ref().map_or(0, |timetable| timetable.makespan);
    let expected = Duration::from_millis(expected);
    let needed = expected * 2;
    match &credential.expires {
        Known::No(why) => all.unknown.push(format!("when the credential ends: {why}")),
        Known::Yes(None) => {}
        Known::Yes(Some(end)) => {
            let left = end.duration_since(now);
            let lives = Duration::try_from(left).unwrap_or_default();
            let told = show_duration(Duration::from_secs(lives.as_secs()));
            if lives < needed {
                let (expected, needed) = (show_duration(expected), show_duration(needed));
                all.impossible.push(format!(
                    "the application credential ends at {end}, in {told}; the plan is expected to take {expected}, and twice that, {needed}, is wanted"
                ));
            } else {
                all.found.push(format!("the credential lives for {told}"));
            }
        }
    }
}

fn networks(facts: &CloudFacts, plan: &Plan, all: &mut Preflight) {
    let networks = match &facts.external_networks {
        Known::Yes(networks) => networks,
        Known::No(why) => return all.unknown.push(format!("external networks: {why}")),
    };
    let wanted: BTreeSet<Option<&str>> =
        plan.runs.iter().map(|run| EXTERNAL.iter().find_map(|name| text(run, name))).collect();
    if networks.is_empty() {
        all.impossible.push("there is no external network: clusters get no address".into());
        return;
    }
    all.found.push(format!("external networks: {}", listed(networks.values())));
    for id in &wanted {
        match id {
            Some(id) if !networks.contains_key(*id) => {
                all.impossible.push(format!("there is no external network with the id `{id}`"));
            }
            None if networks.len() > 1 => all.impossible.push(format!(
                "there are {} external networks, and no variable ({}) says which one",
                networks.len(),
                EXTERNAL.join(", ")
            )),
            Some(_) | None => {}
        }
    }
}

/// Everything that a plan names, and whether the cloud has it.
fn names(facts: &CloudFacts, plan: &Plan, all: &mut Preflight) {
    let mut wanted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for run in &plan.runs {
        let mut want = |what: &'static str, name: String| wanted.entry(what).or_default().insert(name);
        for flavor in FLAVORS.iter().filter_map(|name| text(run, name)) {
            want("flavor", flavor.to_owned());
        }
        for balancer in BALANCERS.iter().filter_map(|name| text(run, name)?.strip_prefix("octavia-")) {
            want("load balancer provider", balancer.to_owned());
        }
        for zone in
            run.variables.get("controlPlaneAvailabilityZones").and_then(Value::as_array).into_iter().flatten()
        {
            want("availability zone", zone.as_str().unwrap_or_default().to_owned());
        }
        let flag =
            |name: &str, default: bool| run.variables.get(name).and_then(Value::as_bool).unwrap_or(default);
        if !flag("imageIsOrc", false) {
            let base = text(run, "imageName").unwrap_or("ubuntu-capi-image");
            let mut versions = BTreeSet::from([run.release.kubernetes.to_string()]);
            versions.extend(run.steps.iter().map(|step| step.target.release.kubernetes.to_string()));
            for version in versions {
                let versioned = flag("imageAddVersion", true);
                want("image", if versioned { format!("{base}-{version}") } else { base.to_owned() });
            }
        }
    }
    let flavors = match &facts.flavors {
        Known::Yes(flavors) => Known::Yes(flavors.keys().cloned().collect()),
        Known::No(why) => Known::No(why.clone()),
    };
    let images = match &facts.images {
        Known::Yes(images) => Known::Yes(images.values().cloned().collect::<BTreeSet<_>>()),
        Known::No(why) => Known::No(why.clone()),
    };
    for (what, known) in [
        ("flavor", flavors),
        ("image", images),
        ("availability zone", facts.zones.clone()),
        ("load balancer provider", facts.providers.clone()),
    ] {
        let Some(names) = wanted.get(what) else { continue };
        match known {
            Known::No(why) => all.unknown.push(format!("{what}s: {why}")),
            Known::Yes(there) => {
                let missing: Vec<&String> = names.iter().filter(|name| !there.contains(*name)).collect();
                if missing.is_empty() {
                    all.found.push(format!("{what}s: {}", listed(names)));
                } else if there.is_empty() {
                    all.impossible
                        .push(format!("{what}s: {} are wanted, and the cloud has none", listed(missing)));
                } else {
                    all.impossible.push(format!(
                        "{what}s: the cloud does not have {}; it has {}",
                        listed(missing),
                        listed(&there)
                    ));
                }
            }
        }
    }
    match &facts.microversion {
        Known::No(why) => all.unknown.push(format!("the version of Nova: {why}")),
        Known::Yes(None) => all
            .impossible
            .push("Nova is older than microversion 2.52: servers cannot be tagged when they are made".into()),
        Known::Yes(Some(_)) => {}
    }
}

/// At most a dozen names, and how many more there are.
fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const MOST: usize = 12;
    let names: Vec<&String> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// What one run takes of everything that has a quota.
fn needs(run: &PlannedRun, cost: &Cost) -> BTreeMap<QuotaName, u64> {
    let of = |resource| cost.resources.get(resource);
    let disk =
        ROOT_DISKS.iter().filter_map(|name| run.variables.get(*name)?.as_u64()).max().unwrap_or(ROOT_DISK);
    let networks = of(Resource::Networks);
    let balancers = of(Resource::LoadBalancers);
    BTreeMap::from([
        (QuotaName::Cores, of(Resource::Cores)),
        (QuotaName::MemoryMiB, of(Resource::MemoryMiB)),
        (QuotaName::Instances, of(Resource::Instances)),
        (QuotaName::Volumes, of(Resource::Volumes)),
        (QuotaName::Gigabytes, of(Resource::Volumes) * disk),
        (QuotaName::FloatingIps, of(Resource::FloatingIps)),
        (QuotaName::LoadBalancers, balancers),
        (QuotaName::Networks, networks),
        (QuotaName::Subnets, networks),
        (QuotaName::Routers, networks),
        (QuotaName::Ports, of(Resource::Instances) + balancers + PORTS * networks),
        (QuotaName::SecurityGroups, GROUPS * networks),
    ])
}

/// Those that the planner counts itself.
const fn resource(name: QuotaName) -> Option<Resource> {
    match name {
        QuotaName::Cores => Some(Resource::Cores),
        QuotaName::MemoryMiB => Some(Resource::MemoryMiB),
        QuotaName::Instances => Some(Resource::Instances),
        QuotaName::Volumes => Some(Resource::Volumes),
        QuotaName::FloatingIps => Some(Resource::FloatingIps),
        QuotaName::LoadBalancers => Some(Resource::LoadBalancers),
        QuotaName::Networks => Some(Resource::Networks),
        QuotaName::Gigabytes
        | QuotaName::Subnets
        | QuotaName::Routers
        | QuotaName::Ports
        | QuotaName::SecurityGroups
        | QuotaName::ServerGroups
        | QuotaName::Snapshots => None,
    }
}

/// `2 combinations (`a`, `b`): cores 6, memoryMiB 12288`
fn costs(runs: &[(&PlannedRun, BTreeMap<QuotaName, u64>)]) -> Vec<String> {
    let mut alike: Vec<(&BTreeMap<QuotaName, u64>, Vec<&String>)> = Vec::new();
    for (run, needs) in runs {
        match alike.iter_mut().find(|(other, _)| *other == needs) {
            Some((_, names)) => names.push(&run.name),
            None => alike.push((needs, vec![&run.name])),
        }
    }
    let line = |(needs, names): (&BTreeMap<QuotaName, u64>, Vec<&String>)| {
        let taken = needs.iter().filter(|(_, count)| **count > 0);
        let taken: Vec<String> = taken.map(|(name, count)| format!("{} {count}", name.name())).collect();
        let count = names.len();
        let what = if count == 1 { "combination" } else { "combinations" };
        format!("{count} {what} ({}): {}", listed(names), taken.join(", "))
    };
    alike.into_iter().map(line).collect()
}

fn quotas(facts: &CloudFacts, plan: &Plan, all: &mut Preflight) {
    let table = Table::of(plan.provider);
    let history = History::default();
    // What must be refused is never made.
    let runs: Vec<(&PlannedRun, BTreeMap<QuotaName, u64>)> = plan
        .runs
        .iter()
        .filter(|run| run.refusal.is_none())
        .map(|run| (run, needs(run, &Cost::of(run, &table, &history))))
        .collect();
    all.costs = costs(&runs);
    let mut clusters: Option<u64> = None;
    for name in QuotaName::ALL {
        let need = |needs: &BTreeMap<QuotaName, u64>| needs.get(&name).copied().unwrap_or(0);
        let Some((largest, most)) =
            runs.iter().map(|(run, needs)| (run, need(needs))).max_by_key(|(_, most)| *most)
        else {
            return;
        };
        if most == 0 {
            continue;
        }
        let quota = match facts.quotas.get(&name) {
            Some(Known::Yes(quota)) => *quota,
            Some(Known::No(why)) => {
                all.unknown.push(format!("the quota of {}: {why}", name.name()));
                continue;
            }
            None => {
                all.unknown.push(format!("the quota of {}: it was not asked for", name.name()));
                continue;
            }
        };
        let (Some(limit), Some(used)) = (quota.limit, quota.used) else {
            if quota.limit.is_some() {
                all.unknown.push(format!("the quota of {}: how much is used", name.name()));
            }
            continue;
        };
        let left = Quota::left(&quota).unwrap_or(0);
        if left < most {
            let (what, missing) = (name.name(), most - left);
            all.impossible.push(format!(
                "{what}: `{}` needs {most}, {left} are left ({limit} allowed, {used} in use): {missing} short",
                largest.name
            ));
        }
        match resource(name) {
            Some(resource) => all.capacity.limit(resource, left),
            // The planner does not count these one by one: as many clusters as fit, each as large as the largest.
            None => clusters = Some(clusters.map_or(left / most, |so_far| so_far.min(left / most))),
        }
    }
    if let Some(clusters) = clusters.filter(|clusters| *clusters < runs.len() as u64) {
        all.capacity.limit(Resource::Clusters, clusters.max(1));
    }
    all.found.push(format!("left of the quotas: {}", all.capacity));
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
mod tests;
