//! How an upgrade by the Cluster Stack Operator waited for its add-ons, as far as it can be told from outside. Pure.
//!
//! The operator's extension holds the upgrade back; nobody here lets it go. What is seen of two objects comes by two watches,
//! each a little late. Their resource versions come from one counter, so they tell the true order: a state with a larger one
//! was written later. Only what follows from that is said; what does not is unknown.

use super::record::{Moment, clock};
use crate::types::KubernetesVersion;

/// What was seen of an upgrade.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorUpgrade {
    /// The ClusterClass that it led to.
    pub class: String,
    /// From this version.
    pub from: KubernetesVersion,
    /// To this one.
    pub to: KubernetesVersion,
    /// The resource version of the last ClusterAddon that was seen with its stages not done.
    pub not_done: Option<u64>,
    /// The control plane, asked for after the ClusterAddon was seen with all stages done.
    pub done: Option<Moment>,
    /// The control plane when it was first seen with the new version.
    pub changed: Option<Moment>,
}

/// Why it cannot be said that an upgrade waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It did not.
    Early(String),
    /// Nobody knows.
    Unknown(String),
}

/// Whether the control plane got its new version only after the stages were done.
///
/// # Errors
/// It got it before; or the order is not known.
pub fn judge_operator_upgrade(record: &OperatorUpgrade) -> Result<String, Doubt> {
    let OperatorUpgrade { from, to, .. } = record;
    let changed = record.changed.as_ref().filter(|changed| changed.control_plane == to.to_string());
    if let (Some(not_done), Some(changed)) = (record.not_done, changed)
        && changed.resource_version < not_done
    {
        return Err(Doubt::Early(format!(
            "the control plane got {to} (resource version {}) while stages of BeforeClusterUpgrade were not done \
             (resource version {not_done})",
            changed.resource_version
        )));
    }
    let unknown =
        |why: String| Err(Doubt::Unknown(format!("not known whether the upgrade to {to} waited: {why}")));
    let Some(done) = &record.done else {
        return unknown("the operator was never seen with all stages of BeforeClusterUpgrade done".into());
    };
    let Some(changed) = changed else {
        return unknown(format!("the control plane was never seen with {to}"));
    };
    if done.control_plane != from.to_string() {
        return unknown(format!(
            "it had {} already when the stages were first seen done",
            done.control_plane
        ));
    }
    Ok(format!(
        "stages done at {} with {from} (resource version {}), {to} seen at {} ({})",
        clock(done.at),
        done.resource_version,
        clock(changed.at),
        changed.resource_version
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(version: &str, resource_version: u64) -> Option<Moment> {
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        Some(Moment { at, control_plane: version.into(), resource_version })
    }

    #[test]
    fn an_upgrade_that_did_not_wait_for_the_operator_is_told_from_one_of_which_nothing_is_known() {
        let record = |not_done, done, changed| OperatorUpgrade {
            class: "c".into(),
            from: "v1.34.7".parse().unwrap(),
            to: "v1.35.4".parse().unwrap(),
            not_done,
            done,
            changed,
        };
        let good = record(Some(90), moment("v1.34.7", 80), moment("v1.35.4", 120));
        assert_eq!(
            judge_operator_upgrade(&good).unwrap(),
            "stages done at 22:13:20 with v1.34.7 (resource version 80), v1.35.4 seen at 22:13:20 (120)"
        );
        let early = |record| match judge_operator_upgrade(&record).unwrap_err() {
            Doubt::Early(why) => format!("early: {why}"),
            Doubt::Unknown(why) => format!("unknown: {why}"),
        };
        for (record, words) in [
            (
                record(Some(121), moment("v1.35.4", 130), moment("v1.35.4", 120)),
                "early: the control plane got v1.35.4 (resource version 120) while stages",
            ),
            // Even where the stages never end.
            (record(Some(121), None, moment("v1.35.4", 120)), "early: "),
            (
                record(Some(90), None, moment("v1.35.4", 120)),
                "unknown: not known whether the upgrade to v1.35.4 waited",
            ),
            (record(Some(90), moment("v1.34.7", 80), None), "never seen with v1.35.4"),
            (record(Some(90), moment("v1.34.7", 80), moment("v1.34.7", 120)), "never seen with v1.35.4"),
            (record(Some(90), moment("v1.35.4", 130), moment("v1.35.4", 120)), "unknown: "),
            (record(None, moment("v1.35.4", 130), moment("v1.35.4", 120)), "it had v1.35.4 already"),
        ] {
            let found = early(record);
            assert!(found.contains(words), "`{words}` is not in: {found}");
        }
    }
}
