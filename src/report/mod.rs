//! What happened, for people and machines: `&Event` -> lines while it happens, `&RunReport` -> JUnit, HTML, Markdown, JSON,
//! metrics and the last screen; and what is going to happen, as pictures. Knows no Kubernetes; returns text or bytes, or draws
//! to the target it is given.

mod cloud;
mod coverage;
mod facts;
mod gantt;
mod graph;
mod html;
mod json;
mod junit;
mod markdown;
mod otlp;
mod prometheus;
mod suspects;
pub mod terminal;
pub mod zuul;

pub use cloud::Sweep as CloudSweep;
pub use coverage::coverage;
pub use facts::Facts;
pub use gantt::{Bar, gantt};
pub use graph::{Node, dot, mermaid};
pub use html::html;
pub use json::{SCHEMA_VERSION as JSON_SCHEMA_VERSION, from_json, json, json_of};
pub use junit::{junit, merged as junit_merged};
pub use markdown::{MAX_LINES as MARKDOWN_MAX_LINES, markdown};
pub use otlp::otlp;
pub use prometheus::prometheus;
pub use suspects::sentence as suspect;
