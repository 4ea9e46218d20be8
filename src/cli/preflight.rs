//! Asks a cloud whether it can carry a plan out.

use super::exit::Exit;
use super::{cloud, inputs, screen};
use crate::cloud::CloudFacts;
use crate::plan::Plan;
use crate::plan::cost::Capacity;
use crate::provider::preflight::{Preflight, preflight};
use jiff::Timestamp;

/// What is left of the quotas; exit 5 with everything that the plan lacks when it cannot be carried out at all.
pub(super) fn judged(name: &str, region: Option<&str>, plan: &Plan) -> Result<Capacity, Exit> {
    let client = cloud::connect(name, region)?;
    let facts = inputs::runtime()?.block_on(CloudFacts::fetch(&client)).map_err(|error| {
        cloud::complain(&error);
        Exit::Infrastructure
    })?;
    let Preflight { impossible, unknown, found, capacity } = preflight(&facts, plan, Timestamp::now());
    for line in &found {
        screen::note(&format!("cloud {}: {line}", facts.cloud));
    }
    for line in &unknown {
        screen::note(&format!("warning: not known of cloud {}: {line}", facts.cloud));
    }
    if impossible.is_empty() {
        return Ok(capacity);
    }
    let lacks: Vec<String> = impossible.iter().map(|line| format!("\n  {line}")).collect();
    screen::complain(
        &format!("the cloud `{}` cannot carry the plan out:{}", facts.cloud, lacks.concat()),
        "leave combinations out with `--where` or `exclude`, or ask the operator of the cloud; nothing was made",
    );
    Err(Exit::NotThere)
}
