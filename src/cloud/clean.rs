//! One cleaning of a project: look twice, judge, delete by id, count four times until it agrees. What takes, what is
//! left and why is decided in `sweep`; this only asks and waits.

use super::client::Client;
use super::error::CloudError;
use super::inventory::Inventory;
use super::kind::Kind;
use super::purge::{Outcome, Purge, exists};
use super::sweep::{Claim, Finding, Judgement, Proof, Rules, judge, prove, silent};
use crate::types::RunId;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

/// How far the clocks may be apart: marks end by the clock of whoever made them.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How often the four counts are made until they agree; quotas and lists of a cloud take a while to follow.
const COUNTS: usize = 5;

/// What is to be cleaned, and how.
#[derive(Debug, Clone, Copy)]
pub struct Cleaning<'a> {
    /// Only what this owner has marked.
    pub owner: &'a str,
    /// Only what this run has left, and that before its time is over too.
    pub run: Option<&'a RunId>,
    /// Clusters whose things are taken without a mark.
    pub clusters: &'a BTreeSet<String>,
    /// Whether anything is deleted at all.
    pub yes: bool,
    /// Nothing is deleted when it would be more than this.
    pub max_delete: usize,
    /// Between two looks that must agree.
    pub settle: Duration,
    /// Whether nobody else uses the project: then it must be empty afterwards.
    pub disposable: bool,
    /// How deletions are carried out.
    pub purge: Purge,
    /// The time, by our clock.
    pub now: fn() -> Timestamp,
}

/// What a cleaning has found and done.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// The id and the name of the project.
    pub project: (String, String),
    /// What was said about everything in it.
    pub judgement: Judgement,
    /// What became of what was taken; `None`: nothing was asked for.
    pub outcomes: Option<BTreeMap<(Kind, String), Outcome>>,
    /// The proof that it is gone.
    pub proof: Option<Proof>,
    /// What is there afterwards; `None`: nothing was counted.
    pub after: Option<Inventory>,
    /// Why nothing was deleted although it was asked for.
    pub refused: Option<String>,
}

impl Cleaned {
    /// Whether all is known, and nothing is left that should not be there.
    #[must_use]
    pub fn clean(&self) -> bool {
        let once = self.judgement.count(|claim| matches!(claim, Claim::SeenOnce));
        self.refused.is_none()
            && self.judgement.unknown.is_empty()
            && self.judgement.invalid().count() + once == 0
            && match &self.proof {
                Some(proof) => proof.clean(),
                None => self.judgement.taken().count() == 0,
            }
    }
}

impl Cleaning<'_> {
    /// Cleans.
    ///
    /// # Errors
    /// Only when there is no token: then nothing is known, and nothing was touched.
    pub async fn run(&self, client: &Client) -> Result<Cleaned, CloudError> {
        let (skew, project) = (client.skew().await?, client.project().await?);
        let first = Inventory::take(client).await;
        let mut before = first.clone();
        let mut judgement = judge(&first, &before, &self.rules());
        // Only what may be taken needs a second look.
        if judgement.taken().next().is_some() {
            sleep(self.settle).await;
            before = Inventory::take(client).await;
            judgement = judge(&first, &before, &self.rules());
        }
        let taken: Vec<Finding> = judgement.taken().cloned().collect();
        let refused = self.refusal(skew, taken.len());
        let (mut outcomes, mut proof, mut after) = (None, None, None);
        if self.yes && refused.is_none() {
            outcomes = Some(self.purge.run(client, &taken).await);
            let (counts, last) = self.counted(client, &before, &taken).await;
            (proof, after) = (Some(counts), last);
        }
        Ok(Cleaned { project, judgement, outcomes, proof, after, refused })
    }

    fn rules(&self) -> Rules<'_> {
        Rules { owner: self.owner, run: self.run, clusters: self.clusters, now: (self.now)() }
    }

    /// Why nothing may be deleted now, whatever was found.
    fn refusal(&self, skew: SignedDuration, taken: usize) -> Option<String> {
        if skew.abs() > MAX_SKEW {
            let (seconds, limit) = (skew.as_secs(), MAX_SKEW.as_secs());
            return Some(format!(
                "the clock of the cloud is {seconds} s ahead of ours; more than {limit} s either way make marks end at a wrong time"
            ));
        }
        let too_many = self.yes && taken > self.max_delete;
        too_many
            .then(|| format!("{taken} are more than --max-delete {}; look at them first", self.max_delete))
    }

    /// The four counts, until two in a row agree that nothing is left, or there is no hope.
    async fn counted(
        &self,
        client: &Client,
        before: &Inventory,
        taken: &[Finding],
    ) -> (Proof, Option<Inventory>) {
        let mut good = 0;
        let (mut last, mut inventory) = (Proof::default(), None);
        for count in 0..COUNTS {
            if count > 0 {
                sleep(self.settle).await;
            }
            let after = Inventory::take(client).await;
            let mut by_id: Vec<(Kind, String, Result<bool, String>)> = Vec::new();
            let quiet = silent(&after, taken);
            for resource in taken.iter().map(|finding| &finding.resource).filter(|r| quiet.contains(&r.kind))
            {
                let answer = exists(client, resource.kind, &resource.id).await;
                by_id.push((resource.kind, resource.id.clone(), answer.map_err(|error| error.to_string())));
            }
            last = prove(before, &after, taken, &self.rules(), self.disposable, &by_id);
            good = if last.clean() { good + 1 } else { 0 };
            if good == 2 || (taken.is_empty() && good == 1) {
                return (last, Some(after));
            }
            inventory = Some(after);
        }
        // One good count among bad ones is a moment, and no proof.
        if good == 1 {
            last.unknown.push("the last count is the first that says so; no second one agrees yet".into());
        }
        (last, inventory)
    }
}
