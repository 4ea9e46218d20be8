//! Where clusters come from: make, unmake, and list what is left.

pub mod capi;
pub mod clouds;
pub mod manifest;
pub mod operator;
pub mod preflight;
pub mod project;
pub mod rehearse;
pub mod scripted;

use crate::types::{ObjectRef, RunId};
use jiff::Timestamp;

/// An object of ours, found by its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Leftover {
    /// The run that made it.
    pub run: RunId,
    /// The object.
    pub object: ObjectRef,
    /// After this moment it may be taken without asking; `None` when the object does not say.
    pub expires: Option<Timestamp>,
}
