//! `cost`: what clusters of a scenario are expected to take, where the built-in table does not know it.

use super::decode::{Decoder, Fields};
use super::document::keys;
use super::tree::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most of a resource that one cluster or Machine takes: a slip of the pen is larger.
const MAX_AMOUNT: u32 = 10_000_000;

/// What replaces entries of the table of costs. Keys are those of the file; an absent one leaves the table as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostOverrides {
    /// Durations, by the key of the table: `provision`, `upgradeWorker`.
    pub durations: BTreeMap<&'static str, Duration>,
    /// What each cluster takes besides its Machines, by resource.
    pub cluster: BTreeMap<&'static str, u64>,
    /// What each Machine takes besides what its flavor says, by resource.
    pub machine: BTreeMap<&'static str, u64>,
    /// The flavor of Machines for which no variable names one.
    pub flavor: Option<String>,
}

impl CostOverrides {
    /// Whether the table stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Decoder<'_> {
    pub(super) fn cost(&mut self, spec: &Fields<'_>, flavor: &mut super::Span) -> Option<CostOverrides> {
        let mut cost = CostOverrides::default();
        let Some(entry) = spec.entry("cost") else { return Some(cost) };
        let fields = self.map(&entry.value, entry.key_span, "`cost`", keys::COST)?;
        let mut complete = true;
        for key in keys::COST_DURATIONS {
            if let Some(node) = fields.get(key) {
                match self.duration(node, key) {
                    Some(duration) => _ = cost.durations.insert(key, duration),
                    None => complete = false,
                }
            }
        }
        for (key, amounts) in [("cluster", &mut cost.cluster), ("machine", &mut cost.machine)] {
            if let Some(entry) = fields.entry(key) {
                match self.amounts(&entry.value, entry.key_span, key) {
                    Some(found) => *amounts = found,
                    None => complete = false,
                }
            }
        }
        if let Some(node) = fields.get("flavor") {
            *flavor = node.span;
            match self.string(node, "`flavor`") {
                Some(name) => cost.flavor = Some(name.to_owned()),
                None => complete = false,
            }
        }
        complete.then_some(cost)
    }

    fn amounts(&mut self, node: &Node, at: super::Span, what: &str) -> Option<BTreeMap<&'static str, u64>> {
        let fields = self.map(node, at, &format!("`{what}`"), keys::RESOURCES)?;
        let mut amounts = BTreeMap::new();
        let mut complete = true;
        for resource in keys::RESOURCES {
            if let Some(node) = fields.get(resource) {
                match self.integer(node, &format!("`{resource}`"), 0, MAX_AMOUNT) {
                    Some(amount) => _ = amounts.insert(*resource, u64::from(amount)),
                    None => complete = false,
                }
            }
        }
        complete.then_some(amounts)
    }
}

/// The names of resources, as `--capacity` has them.
pub const RESOURCES: &[&str] = keys::RESOURCES;
