//! Checks: each looks at one thing of a running cluster and says passed, failed with evidence, or skipped with a
//! reason. One table names them all; help, docs, the scenario loader and the runner read it.

mod access;
mod addons;
mod machines;
mod ownership;
mod steadiness;
mod table;

pub use addons::Addons;
pub use table::{CHECKS, Check, GROUPS, Needs, expand, find};

use crate::cluster::{Api, ClusterView, Progress, ViewReceiver, WaitError, Why, Workload, wait};
use crate::event::{Failure, FailureClass};
use crate::types::{ClusterName, Namespace, ObjectRef, Target, show_duration};
use serde_json::Value;
use std::time::Duration;

/// What an answer may lag behind: controllers copy states from object to object. What is wrong for longer than
/// that is wrong.
const GRACE: Duration = Duration::from_secs(60);

/// What a check gets to see.
pub struct CheckContext<'a> {
    /// The management cluster.
    pub api: &'a Api,
    /// The namespace of the run.
    pub namespace: &'a Namespace,
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// What it is meant to be.
    pub target: &'a Target,
    /// What is observed of it.
    pub views: ViewReceiver,
    /// Its manifest for that target, as it was applied.
    pub manifest: &'a Value,
    /// The connection that was made right after provisioning, with the kubeconfig of that time.
    pub first: Option<&'a Workload>,
    /// Whether Pods run on its nodes.
    pub runs_pods: bool,
    /// What is known of its add-ons; absent where nobody looks after them.
    pub addons: Option<Addons<'a>>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// As it should be; one line of facts.
    Passed(String),
    /// Not so.
    Failed(Failure),
    /// Not looked at, and why.
    Skipped(String),
}

impl CheckContext<'_> {
    /// Carries out one check within `limit`.
    pub async fn run(&mut self, check: &Check, limit: Duration) -> Checked {
        if check.needs == Needs::Pods && !self.runs_pods {
            return Checked::Skipped(
                "not applicable on this backend: it has Nodes and an API server, but runs no Pods".into(),
            );
        }
        match tokio::time::timeout(limit, self.dispatch(check)).await {
            Ok(result) => result.unwrap_or_else(Checked::Failed),
            Err(_) => Checked::Failed(Failure::new(
                FailureClass::TimedOut,
                format!("check `{}` did not answer within {}", check.name, show_duration(limit)),
            )),
        }
    }

    async fn dispatch(&mut self, check: &Check) -> Result<Checked, Failure> {
        match check.run {
            table::Run::Conditions => machines::conditions(self).await,
            table::Run::ControlPlane => machines::control_plane(self).await,
            table::Run::EtcdMembers => machines::etcd_members(self).await,
            table::Run::Workers => machines::workers(self).await,
            table::Run::Versions => machines::versions(self).await,
            table::Run::Kubeconfig => access::kubeconfig(self).await,
            table::Run::OldKubeconfig => access::old_kubeconfig(self).await,
            table::Run::Ownership => ownership::ownership(self).await,
            table::Run::NoDrift => steadiness::no_drift(self).await,
            table::Run::Quiescence => steadiness::quiescence(self).await,
            table::Run::AddonStages => addons::stages(self).await,
            table::Run::UpgradeWaits => Ok(addons::upgrade(self)),
            table::Run::Elsewhere => {
                Ok(Checked::Skipped("not applicable: no provider of this version runs Pods".into()))
            }
        }
    }

    /// Waits, for no longer than the grace, until `judge` finds nothing wrong any more.
    async fn within_grace(
        &mut self,
        mut judge: impl FnMut(&ClusterView) -> Result<String, Why>,
    ) -> Result<Checked, Failure> {
        let ended = wait(
            &mut self.views,
            GRACE,
            |_| {},
            |view| match judge(view) {
                Ok(note) => Progress::Ready(note),
                Err(why) => Progress::NotYet(why),
            },
        );
        match ended.await {
            Ok(note) => Ok(Checked::Passed(note)),
            Err(WaitError::TimedOut { last, .. } | WaitError::Never(last)) => {
                Ok(Checked::Failed(wrong(&last)))
            }
            Err(blind @ WaitError::Blind { .. }) => Err(blind.failure("nothing could be observed")),
        }
    }

    /// A connection to the cluster: the one that is there already, or a new one.
    async fn workload(&self) -> Result<Workload, Failure> {
        match self.first {
            Some(first) => Ok(first.clone()),
            None => self.connect().await,
        }
    }

    /// A new connection, with the kubeconfig as it is now.
    async fn connect(&self) -> Result<Workload, Failure> {
        let connected = Workload::connect(self.api, self.namespace, self.cluster).await;
        connected.map_err(|error| error.failure(FailureClass::CheckFailed))
    }
}

/// The failure of a check that found `why`.
fn wrong(why: &Why) -> Failure {
    Failure::new(FailureClass::CheckFailed, why.to_string()).about(why.object.clone())
}

fn failed(summary: impl Into<String>) -> Checked {
    Checked::Failed(Failure::new(FailureClass::CheckFailed, summary))
}

impl Checked {
    /// Names the object at the root of a failure.
    fn about(self, object: ObjectRef) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(failure.about(Some(object))),
            Self::Passed(_) | Self::Skipped(_) => self,
        }
    }
}
