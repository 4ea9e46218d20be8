//! What happened, for people and machines: `&Event` -> lines while it happens, `&RunReport` -> JUnit, JSON and the
//! last screen. Knows no Kubernetes; returns text or bytes, or draws to the target it is given.

mod coverage;
mod json;
mod junit;
mod suspects;
pub mod terminal;
mod text;
pub mod zuul;

pub use coverage::coverage;
pub use json::{SCHEMA_VERSION as JSON_SCHEMA_VERSION, json};
pub use junit::junit;
pub use suspects::sentence as suspect;
