//! What a run takes when nobody has measured it: one table for each provider.

use super::flavor::Flavor;
use super::resources::{Resource, Resources};
use crate::plan::{PlannedRun, StepAction};
use crate::scenario::{Change, CostOverrides};
use crate::types::{CheckName, ProviderKind, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The defaults of one provider. Durations are milliseconds. As data, so that a file may override any of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Table {
    /// The provider.
    pub provider: ProviderKind,
    /// Creating a cluster of one control plane and one worker.
    pub provision: u64,
    /// Each further control plane Machine, while creating and while upgrading.
    pub control_plane: u64,
    /// Each further worker, while creating.
    pub worker: u64,
    /// One check.
    pub check: u64,
    /// Scaling.
    pub scale: u64,
    /// Upgrading a cluster of one control plane.
    pub upgrade: u64,
    /// Each worker, while upgrading.
    pub upgrade_worker: u64,
    /// Deleting.
    pub tear_down: u64,
    /// The listing that proves that nothing is left.
    pub prove_clean: u64,
    /// What each cluster takes, besides its Machines.
    pub cluster: Resources,
    /// What each Machine takes, besides what its flavor says.
    pub machine: Resources,
    /// The flavor of Machines for which no variable names one; `None`: Machines are not of flavors.
    pub flavor: Option<String>,
}

/// Variables that name the flavor of control planes and of workers, in the stacks as published.
const CONTROL_PLANE_FLAVOR: &[&str] = &["controller_flavor", "controlPlaneFlavor", "flavor"];
const WORKER_FLAVOR: &[&str] = &["worker_flavor", "workerFlavor", "flavor"];
const API_SERVER_BALANCER: &[&str] = &["apiserver_loadbalancer", "apiServerLoadBalancer"];
const WORKLOAD_BALANCER: &[&str] = &["workload_loadbalancer", "workloadLoadBalancer"];

impl Table {
    /// The defaults of a provider. Those of the embedded testbed were measured with twelve clusters at once on two
    /// cores; those of real clouds are rounded from what people report, and give way to the first recorded run.
    #[must_use]
    pub fn of(provider: ProviderKind) -> Self {
        let one = Resources::default().with(Resource::Clusters, 1);
        let machine = Resources::default().with(Resource::Instances, 1);
        let nothing = Self {
            provider,
            provision: 1_000,
            control_plane: 0,
            worker: 0,
            check: 10,
            scale: 100,
            upgrade: 100,
            upgrade_worker: 0,
            tear_down: 100,
            prove_clean: 10,
            cluster: one.clone(),
            machine: Resources::default(),
            flavor: None,
        };
        let cloud = Self {
            provision: 420_000,
            control_plane: 120_000,
            worker: 10_000,
            check: 15_000,
            scale: 150_000,
            upgrade: 300_000,
            upgrade_worker: 120_000,
            tear_down: 180_000,
            prove_clean: 5_000,
            ..nothing.clone()
        };
        match provider {
            ProviderKind::Scripted => nothing,
            ProviderKind::Embedded => Self {
                provision: 60_000,
                control_plane: 10_000,
                worker: 4_000,
                check: 1_300,
                scale: 13_000,
                upgrade: 90_000,
                upgrade_worker: 4_000,
                tear_down: 18_000,
                prove_clean: 300,
                cluster: one.with(Resource::ManagementCpuMilli, 160).with(Resource::ManagementMemoryMiB, 120),
                ..nothing
            },
            ProviderKind::Docker => Self {
                provision: 110_000,
                control_plane: 40_000,
                worker: 15_000,
                upgrade: 120_000,
                upgrade_worker: 60_000,
                scale: 84_000,
                tear_down: 25_000,
                check: 5_000,
                cluster: one.with(Resource::ManagementCpuMilli, 100).with(Resource::ManagementMemoryMiB, 100),
                machine: machine
                    .with(Resource::ManagementCpuMilli, 200)
                    .with(Resource::ManagementMemoryMiB, 700),
                ..nothing
            },
            ProviderKind::Openstack => Self {
                cluster: one
                    .with(Resource::Networks, 1)
                    .with(Resource::ManagementCpuMilli, 50)
                    .with(Resource::ManagementMemoryMiB, 50),
                machine,
                flavor: Some("SCS-2V-4-20".into()),
                ..cloud
            },
            ProviderKind::Kubevirt => Self { machine, flavor: Some("SCS-2V-4".into()), ..cloud },
            ProviderKind::Metal3 | ProviderKind::Hetzner => {
                Self { machine, provision: 1_500_000, control_plane: 900_000, upgrade: 1_800_000, ..cloud }
            }
        }
    }

    /// The same with what a scenario says itself.
    #[must_use]
    pub fn with(mut self, own: &CostOverrides) -> Self {
        for (key, duration) in &own.durations {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            match *key {
                "provision" => self.provision = milliseconds,
                "controlPlane" => self.control_plane = milliseconds,
                "worker" => self.worker = milliseconds,
                "check" => self.check = milliseconds,
                "scale" => self.scale = milliseconds,
                "upgrade" => self.upgrade = milliseconds,
                "upgradeWorker" => self.upgrade_worker = milliseconds,
                "tearDown" => self.tear_down = milliseconds,
                "proveClean" => self.prove_clean = milliseconds,
                _ => {}
            }
        }
        for (resources, own) in [(&mut self.cluster, &own.cluster), (&mut self.machine, &own.machine)] {
            for resource in Resource::ALL {
                if let Some(amount) = own.get(resource.name()) {
                    resources.set(resource, *amount);
                }
            }
        }
        if own.flavor.is_some() {
            self.flavor.clone_from(&own.flavor);
        }
        self
    }

    pub(super) fn provision(&self, control_planes: u32, workers: u32) -> u64 {
        let control_planes = u64::from(control_planes.saturating_sub(1)).saturating_mul(self.control_plane);
        let workers = u64::from(workers.saturating_sub(1)).saturating_mul(self.worker);
        self.provision.saturating_add(control_planes).saturating_add(workers)
    }

    pub(super) fn change(&self, change: Change, after: &Target) -> u64 {
        match change {
            Change::ScaleWorkers(_) | Change::ScaleControlPlanes(_) => self.scale,
            // What must be refused changes nothing.
            Change::UpgradeSkipMinor | Change::UpgradePreviousMinor | Change::UpgradeOtherStack => 0,
            Change::UpgradeNextMinor | Change::UpgradeNextRelease => {
                let more = u64::from(after.control_planes.saturating_sub(1));
                let workers = u64::from(after.workers).saturating_mul(self.upgrade_worker);
                self.upgrade
                    .saturating_add(more.saturating_mul(self.control_plane * 2))
                    .saturating_add(workers)
            }
        }
    }

    /// What the run holds: at the step that needs most. A rolling upgrade makes a new Machine before it deletes an
    /// old one, of control planes and of workers.
    pub(in crate::plan) fn resources(&self, run: &PlannedRun) -> Resources {
        let mut most = self.while_it_has(run, run.control_planes, run.workers, false, false);
        let mut before = run.first_target();
        for step in &run.steps {
            let after = &step.target;
            if matches!(step.action, StepAction::Refused { .. }) {
                continue;
            }
            let upgrades = matches!(
                &step.action,
                StepAction::Change(Change::UpgradeNextMinor | Change::UpgradeNextRelease)
            );
            // While scaling both sizes are there, one after the other.
            let control_planes = before.control_planes.max(after.control_planes);
            let workers = before.workers.max(after.workers);
            let now = self.while_it_has(run, control_planes, workers, upgrades, upgrades && workers > 0);
            for resource in Resource::ALL {
                most.set(resource, most.get(resource).max(now.get(resource)));
            }
            before = after.clone();
        }
        most
    }

    fn while_it_has(&self, run: &PlannedRun, planes: u32, workers: u32, cp: bool, w: bool) -> Resources {
        let mut all = self.cluster.clone();
        let mut machines = |count: u64, names: &[&str]| {
            for resource in Resource::ALL {
                all.set(resource, all.get(resource).saturating_add(self.machine.get(resource) * count));
            }
            let Some(flavor) = self.flavor(run, names) else { return };
            let mut add = |resource, each: u64| {
                all.set(resource, all.get(resource).saturating_add(each.saturating_mul(count)));
            };
            add(Resource::Cores, flavor.cores);
            add(Resource::MemoryMiB, flavor.memory_mib);
            // Without a disk of its own a Machine boots from a volume.
            add(Resource::Volumes, u64::from(flavor.disks == 0));
        };
        machines(u64::from(planes) + u64::from(cp), CONTROL_PLANE_FLAVOR);
        machines(u64::from(workers) + u64::from(w), WORKER_FLAVOR);
        if self.provider == ProviderKind::Openstack {
            openstack(run, &mut all);
        }
        all
    }

    /// The flavor that a variable names, if its name says its size; else the default.
    fn flavor(&self, run: &PlannedRun, names: &[&str]) -> Option<Flavor> {
        let default = self.flavor.as_deref()?;
        let named = text(&run.variables, names).and_then(|name| name.parse().ok());
        named.or_else(|| default.parse().ok())
    }
}

fn text<'r>(variables: &'r BTreeMap<String, Value>, names: &[&str]) -> Option<&'r str> {
    names.iter().find_map(|name| variables.get(*name)).and_then(Value::as_str)
}

/// What a cluster takes of OpenStack besides its Machines: a load balancer with its address for the API server, and
/// one for the Services of a check. yawol makes Machines of its own instead of the latter.
fn openstack(run: &PlannedRun, all: &mut Resources) {
    let mut add = |resource: Resource, amount: u64| all.set(resource, all.get(resource) + amount);
    let api_server = text(&run.variables, API_SERVER_BALANCER).unwrap_or("octavia-ovn");
    if !matches!(api_server, "none" | "kube-vip") {
        add(Resource::LoadBalancers, 1);
    }
    add(Resource::FloatingIps, 1);
    let balances = |check: &CheckName| check.as_str().contains("load-balancer");
    let serves =
        run.steps.iter().any(|step| matches!(&step.action, StepAction::Check(check) if balances(check)));
    match text(&run.variables, WORKLOAD_BALANCER).unwrap_or("octavia-amphora") {
        "yawol" => {
            add(Resource::Instances, 1);
            add(Resource::Cores, 1);
            add(Resource::MemoryMiB, 1024);
            add(Resource::FloatingIps, 1);
        }
        "none" => {}
        _ if serves => {
            add(Resource::LoadBalancers, 1);
            add(Resource::FloatingIps, 1);
        }
        _ => {}
    }
}
