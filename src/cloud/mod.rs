//! The OpenStack world: credentials, a thin client, what is in a project, and what of it is ours.
//!
//! ```text
//! clouds.yaml -> config::Cloud -> Client -> Inventory, CloudFacts
//!                                    '----> Purge (deletes by id, in the order that OpenStack enforces)
//! ```
//!
//! An answer is either known or it is not: a listing that failed on any of its pages is [`Listing::Unknown`] with its
//! reason, and never a shorter list.

mod catalog;
mod clean;
mod client;
pub mod config;
mod error;
mod facts;
mod identity;
mod inventory;
mod kind;
mod maker;
mod mark;
mod page;
mod purge;
mod sweep;
mod transport;

pub use catalog::Service;
pub use clean::{Cleaned, Cleaning};
pub use client::{Client, Limits};
pub use error::{CloudError, ErrorClass};
pub use facts::{CloudFacts, Credential, Flavor, Known, Quota, QuotaName};
pub use inventory::{Difference, Inventory, Listing, Resource, Usage, changes};
pub use kind::Kind;
pub use maker::Maker;
pub use mark::{Mark, MarkError, OWNER, Reading};
pub use purge::{Outcome, Purge, exists, order};
pub use sweep::{Claim, Finding, Judgement, Proof, Rules, Why, judge, prove, silent};
pub use transport::{Incoming, Outgoing, Proxies, Transport, Trouble};
