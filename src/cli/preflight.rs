//! Asks a cloud whether it can carry a plan out.

use super::exit::Exit;
use super::{cloud, inputs, screen};
use crate::cloud::{Client, CloudFacts};
use crate::plan::Plan;
use crate::plan::cost::Capacity;
use crate::provider::preflight::{Preflight, preflight};
use jiff::Timestamp;

/// The limits that a plan is to be made with, so that it stays within what is left of the quotas; `None` when it is not
/// limited by them. What is given by hand counts where it is less.
///
/// # Errors
/// Exit 5 with everything that the plan lacks when it cannot be carried out at all.
pub(super) fn within(client: &Client, plan: &Plan) -> Result<Option<Capacity>, Exit> {
    let left = judged(client, plan)?;
    let Some(timetable) = plan.timetable.as_ref().filter(|_| left.limits().next().is_some()) else {
        return Ok(None);
    };
    let mut limits = timetable.capacity.clone();
    for (resource, left) in left.limits() {
        limits.limit(resource, limits.get(resource).map_or(left, |given| given.min(left)));
    }
    Ok(Some(limits))
}

fn judged(client: &Client, plan: &Plan) -> Result<Capacity, Exit> {
    let facts = inputs::runtime()?.block_on(CloudFacts::fetch(client)).map_err(|error| {
        cloud::complain(&error);
        Exit::Infrastructure
    })?;
    let Preflight { impossible, unknown, found, costs, capacity } = preflight(&facts, plan, Timestamp::now());
    for line in &found {
        screen::note(&format!("cloud {}: {line}", facts.cloud));
    }
    for line in &costs {
        screen::note(&format!("cost: {line}"));
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
