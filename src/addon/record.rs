//! What has become of a cluster's add-ons, and what follows from it. Pure.

use super::apply::{Applied, Done};
use super::order::{Doubt, OperatorUpgrade, judge_operator_upgrade};
use crate::event::Failure;
use crate::stack::addon::{Action, Hook, Stage};
use crate::types::KubernetesVersion;
use jiff::Timestamp;

/// How a stage ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Everything was done.
    Done,
    /// The backend cannot have what the stage applies.
    NotApplicable(String),
    /// It failed.
    Failed(Failure),
}

/// A stage that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRecord {
    /// The hook.
    pub hook: Hook,
    /// The stage.
    pub stage: String,
    /// What was done with its chart.
    pub action: Action,
    /// The ClusterClass of the release that it belongs to.
    pub class: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Its objects, in the order in which they were applied or deleted.
    pub objects: Vec<Applied>,
    /// What was seen while it waited, and what could not be waited for.
    pub notes: Vec<String>,
    /// How it ended.
    pub outcome: Ended,
}

impl StageRecord {
    /// As reports name it: `stage cni of AfterControlPlaneInitialized`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("stage {} of {}", self.stage, self.hook)
    }

    /// One line of facts about a stage that is done.
    #[must_use]
    pub fn note(&self) -> String {
        let count = |done: &Done| self.objects.iter().filter(|object| object.done == *done).count();
        let missing: Vec<&str> = self
            .objects
            .iter()
            .filter_map(|object| match &object.done {
                Done::NotApplicable(_) => Some(object.object.kind.as_str()),
                Done::Applied | Done::Deleted => None,
            })
            .collect();
        let mut note = match self.action {
            Action::Apply => format!("{} objects of {} applied", count(&Done::Applied), self.class),
            Action::Delete => format!("{} objects of {} deleted", count(&Done::Deleted), self.class),
        };
        if !missing.is_empty() {
            note = format!("{note}; not applicable on this backend: {}", missing.join(", "));
        }
        for not in self.notes.iter().filter(|note| note.contains("not applicable")) {
            note = format!("{note}; {not}");
        }
        note
    }
}

/// A moment, by our clock and by the resource version that an object had then; those of one API server grow with time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// By our clock.
    pub at: Timestamp,
    /// The version of the control plane object, its `spec.version`.
    pub control_plane: String,
    /// The resource version of the object that was looked at.
    pub resource_version: u64,
}

/// How an upgrade of the Kubernetes version waited for its add-ons.
#[derive(Debug, Clone, PartialEq)]
pub struct UpgradeRecord {
    /// The ClusterClass that it led to.
    pub class: String,
    /// From this version.
    pub from: KubernetesVersion,
    /// To this one.
    pub to: KubernetesVersion,
    /// When Cluster API said that it waits, and its words.
    pub waiting: Option<(Timestamp, String)>,
    /// The control plane right after the last stage, before Cluster API was let go.
    pub stages_done: Option<Moment>,
    /// The Cluster, when Cluster API was let go.
    pub released: Option<Moment>,
    /// The control plane when it was first seen with the new version.
    pub changed: Option<Moment>,
}

/// Everything known of the add-ons of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The stages, in the order in which they began.
    pub stages: Vec<StageRecord>,
    /// The upgrades, in order.
    pub upgrades: Vec<UpgradeRecord>,
    /// The upgrades that the operator made wait, in order.
    pub by_operator: Vec<OperatorUpgrade>,
    /// ClusterClasses that the cluster went to while its Kubernetes version stayed: Cluster API calls no hook then.
    pub without_hook: Vec<String>,
}

impl Records {
    /// What was done at a hook for a release.
    pub fn at<'a>(&'a self, hook: Hook, class: &'a str) -> impl Iterator<Item = &'a StageRecord> {
        self.stages.iter().filter(move |record| record.hook == hook && record.class == class)
    }
}

impl Records {
    /// What is known, one line each, for evidence.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for record in &self.stages {
            let ended = match &record.outcome {
                Ended::Done => record.note(),
                Ended::NotApplicable(why) => why.clone(),
                Ended::Failed(failure) => format!("FAILED: {}", failure.summary),
            };
            let (from, to) = (clock(record.started), clock(record.ended));
            lines.push(format!("{from} to {to}  {} of {}: {ended}", record.name(), record.class));
            lines.extend(record.notes.iter().map(|note| format!("  {note}")));
            lines.extend(record.objects.iter().map(|applied| {
                let done = match &applied.done {
                    Done::Applied => "applied",
                    Done::Deleted => "deleted",
                    Done::NotApplicable(why) => why,
                };
                format!("  {}: {done}", applied.object)
            }));
        }
        for upgrade in &self.upgrades {
            let judged = judge_upgrade(upgrade).unwrap_or_else(|why| format!("FAILED: {why}"));
            lines.push(format!("upgrade from {} to {}: {judged}", upgrade.from, upgrade.to));
        }
        for upgrade in &self.by_operator {
            let judged = judge_operator_upgrade(upgrade).unwrap_or_else(|doubt| match doubt {
                Doubt::Early(why) => format!("FAILED: {why}"),
                Doubt::Unknown(why) => why,
            });
            lines.push(format!("upgrade from {} to {}: {judged}", upgrade.from, upgrade.to));
        }
        lines
    }
}

/// Whether all stages of a hook were carried out, once each, one after the other, in the order of the stack.
///
/// # Errors
/// Says which was not.
pub fn judge_stages(records: &Records, hook: Hook, class: &str, wanted: &[Stage]) -> Result<String, String> {
    let found: Vec<&StageRecord> = records.at(hook, class).collect();
    for (at, stage) in wanted.iter().enumerate() {
        let Some(record) = found.get(at) else {
            return Err(format!("stage {} of {hook} was not carried out for {class}", stage.name));
        };
        if record.stage != stage.name || record.action != stage.action {
            return Err(format!(
                "{hook} of {class}: {} ({}) was carried out where {} ({}) is the turn",
                record.stage, record.action, stage.name, stage.action
            ));
        }
        match &record.outcome {
            Ended::Done | Ended::NotApplicable(_) => {}
            Ended::Failed(failure) => return Err(failure.summary.clone()),
        }
        if let Some(before) = at.checked_sub(1).map(|before| found[before])
            && record.started < before.ended
        {
            return Err(format!("{} began before {} was done", record.name(), before.name()));
        }
    }
    match found.get(wanted.len()) {
        Some(more) => {
            Err(format!("{} was carried out for {class} once more than the stack has it", more.name()))
        }
        None => Ok(format!("{} stages of {hook} done in order", wanted.len())),
    }
}

/// Whether Cluster API changed the control plane only after the stages were done.
///
/// # Errors
/// Says what came too early, or what is not known.
pub fn judge_upgrade(record: &UpgradeRecord) -> Result<String, String> {
    let UpgradeRecord { from, to, .. } = record;
    let Some((waiting, _)) = &record.waiting else {
        return Err(format!(
            "Cluster API never said that the upgrade to {to} waits for BeforeClusterUpgrade"
        ));
    };
    let Some(done) = &record.stages_done else {
        return Err(format!("the stages of BeforeClusterUpgrade were not done before the upgrade to {to}"));
    };
    if done.control_plane != from.to_string() {
        return Err(format!(
            "the control plane had {} when the last stage of BeforeClusterUpgrade ended at {}; it was to wait with {from}",
            done.control_plane, done.at
        ));
    }
    let (Some(released), Some(changed)) = (&record.released, &record.changed) else {
        return Err(format!("the control plane was never seen with {to}"));
    };
    if changed.control_plane != to.to_string() {
        return Err(format!("the control plane went to {} instead of {to}", changed.control_plane));
    }
    // Our clock sees a change late; the resource versions of the API server tell the true order.
    if changed.resource_version <= released.resource_version {
        return Err(format!(
            "the control plane got {to} (resource version {}) before the upgrade was let go (resource version {})",
            changed.resource_version, released.resource_version
        ));
    }
    Ok(format!(
        "waited from {} on; stages done at {} with {from} (resource version {}), let go at {} ({}), {to} seen at {} ({})",
        clock(*waiting),
        clock(done.at),
        done.resource_version,
        clock(released.at),
        released.resource_version,
        clock(changed.at),
        changed.resource_version
    ))
}

pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FailureClass;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn stage(name: &str) -> Stage {
        Stage { name: name.into(), action: Action::Apply, before: None, after: None, line: 1 }
    }

    fn record(name: &str, from: i64, to: i64) -> StageRecord {
        StageRecord {
            hook: Hook::BeforeClusterUpgrade,
            stage: name.into(),
            action: Action::Apply,
            class: "c".into(),
            started: at(from),
            ended: at(to),
            objects: Vec::new(),
            notes: Vec::new(),
            outcome: Ended::Done,
        }
    }

    fn judge(stages: Vec<StageRecord>) -> Result<String, String> {
        let records = Records { stages, ..Records::default() };
        judge_stages(&records, Hook::BeforeClusterUpgrade, "c", &[stage("cni"), stage("ccm")])
    }

    #[test]
    fn stages_are_done_each_once_and_in_order() {
        assert_eq!(
            judge(vec![record("cni", 0, 1), record("ccm", 1, 2)]).unwrap(),
            "2 stages of BeforeClusterUpgrade done in order"
        );
        let mut failed = record("ccm", 1, 2);
        failed.outcome = Ended::Failed(Failure::new(FailureClass::TimedOut, "stage ccm is stuck"));
        let mut other = record("cni", 0, 1);
        other.action = Action::Delete;
        for (stages, why) in [
            (vec![record("cni", 0, 1)], "stage ccm of BeforeClusterUpgrade was not carried out for c"),
            (vec![], "stage cni of BeforeClusterUpgrade was not carried out for c"),
            (
                vec![record("ccm", 0, 1), record("cni", 1, 2)],
                "ccm (apply) was carried out where cni (apply) is the turn",
            ),
            (vec![other, record("ccm", 1, 2)], "cni (delete) was carried out where cni (apply)"),
            (
                vec![record("cni", 0, 3), record("ccm", 1, 2)],
                "stage ccm of BeforeClusterUpgrade began before stage cni",
            ),
            (vec![record("cni", 0, 1), failed], "stage ccm is stuck"),
            (
                vec![record("cni", 0, 1), record("ccm", 1, 2), record("cni", 2, 3)],
                "once more than the stack has it",
            ),
        ] {
            let error = judge(stages).unwrap_err();
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
    }

    fn upgrade() -> UpgradeRecord {
        let moment = |second, version: &str, resource_version| {
            Some(Moment { at: at(second), control_plane: version.into(), resource_version })
        };
        UpgradeRecord {
            class: "c".into(),
            from: "v1.33.10".parse().unwrap(),
            to: "v1.34.7".parse().unwrap(),
            waiting: Some((at(0), "annotation is set".into())),
            stages_done: moment(3, "v1.33.10", 100),
            released: moment(4, "", 110),
            changed: moment(5, "v1.34.7", 120),
        }
    }

    #[test]
    fn an_upgrade_waits_for_its_add_ons() {
        let note = judge_upgrade(&upgrade()).unwrap();
        assert!(note.contains("with v1.33.10 (resource version 100)") && note.contains("(120)"), "{note}");
    }

    #[test]
    fn an_upgrade_that_does_not_wait_is_found() {
        let with = |change: fn(&mut UpgradeRecord)| {
            let mut record = upgrade();
            change(&mut record);
            judge_upgrade(&record).unwrap_err()
        };
        for (error, why) in [
            (with(|r| r.waiting = None), "never said that the upgrade to v1.34.7 waits"),
            (with(|r| r.stages_done = None), "were not done before"),
            (
                with(|r| r.stages_done.as_mut().unwrap().control_plane = "v1.34.7".into()),
                "the control plane had v1.34.7 when the last stage of BeforeClusterUpgrade ended",
            ),
            (with(|r| r.changed = None), "was never seen with v1.34.7"),
            (with(|r| r.changed.as_mut().unwrap().control_plane = "v1.35.4".into()), "went to v1.35.4"),
            (
                with(|r| r.changed.as_mut().unwrap().resource_version = 105),
                "got v1.34.7 (resource version 105) before the upgrade was let go (resource version 110)",
            ),
        ] {
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
    }

    #[test]
    fn the_note_of_a_stage_says_what_could_not_be() {
        let object = |kind: &str, done: Done| Applied {
            object: crate::types::ObjectRef { kind: kind.into(), namespace: String::new(), name: "x".into() },
            done,
            wanted: serde_json::Value::Null,
        };
        let mut record = record("cni", 0, 1);
        record.objects = vec![
            object("ConfigMap", Done::Applied),
            object("StorageClass", Done::NotApplicable("no".into())),
        ];
        record.notes = vec!["stage x waits".into(), "the wait after it is not applicable: no Pods".into()];
        assert_eq!(
            record.note(),
            "1 objects of c applied; not applicable on this backend: StorageClass; the wait after it is not \
             applicable: no Pods"
        );
    }
}
