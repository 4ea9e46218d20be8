//! The Kubernetes world of a run: calls to the API server with limits, what is observed of every cluster, pure
//! conditions over it, and the one driver of waits.

mod api;
pub mod availability;
#[cfg(test)]
pub(crate) mod captured;
pub mod condition;
pub mod hook;
mod kind;
mod observe;
pub mod operator;
mod view;
mod wait;
mod watched;
mod workload;

pub use api::{Api, ApiError, Cause, Listing};
pub use kind::Kind;
pub use observe::{Observer, ViewReceiver};
pub use view::{ClusterView, Cond, ObjectExt};
pub use wait::{BLIND_LIMIT, Progress, WaitError, Why, wait};
pub(crate) use workload::secret_value;
pub use workload::{Node, Workload, WorkloadError};
