//! Where in a scenario file a failed cluster can be pointed at, long after the file has been read.

use super::{Scenario, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The places of one scenario file. They travel with the plan, so that reports need no scenario files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// `spec.stack.name`
    pub stack: Span,
    /// Switch -> value -> where the value stands.
    pub values: BTreeMap<String, BTreeMap<String, Span>>,
}

impl Scenario {
    /// The places that a failure can be pointed at.
    #[must_use]
    pub fn places(&self) -> Places {
        let values = self.switches.iter().map(|switch| {
            let spans = switch.values.iter().map(|value| (value.name.to_string(), value.position));
            (switch.name.to_string(), spans.collect())
        });
        Places { file: self.file.clone(), stack: self.positions.stack, values: values.collect() }
    }
}
