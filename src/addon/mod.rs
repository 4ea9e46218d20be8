//! The add-ons of a cluster, carried out as the Cluster Stack Operator does it: for each hook its stages, in order, with
//! the charts rendered for the very cluster and applied to its API server.
//!
//! ```text
//! Cluster, ControlPlane, InfraCluster -> values -> chart (Helm) -> apply -> StageRecord -> judge_*
//!                                          objects -> condition (CEL) ----^
//! ```

mod apply;
mod chart;
mod condition;
mod order;
mod record;
mod stage;
mod values;

pub use apply::{Applied, Done, Workshop, lacks};
pub use order::{Doubt, OperatorUpgrade, judge_operator_upgrade};
pub use record::{Ended, Moment, Records, StageRecord, UpgradeRecord, judge_stages, judge_upgrade};
pub use stage::{Job, OnWhy, carry_out, standing};
pub use values::Inputs;
