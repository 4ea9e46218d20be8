//! What happened, for people and machines: `&Event` -> lines while it happens, `&RunReport` -> JUnit, JSON and the
//! last screen. Knows no Kubernetes; returns text or bytes, or draws to the target it is given.

mod json;
mod junit;
pub mod terminal;
mod text;

pub use json::{SCHEMA_VERSION as JSON_SCHEMA_VERSION, json};
pub use junit::{junit, merged as junit_merged};
