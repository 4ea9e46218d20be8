//! What a sweep of a cloud has found and done: as a table, as JSON, as JUnit.

use crate::cloud::{Claim, Cleaned, Finding, Kind, Outcome, Why};
use crate::types::one_line;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Longer names and reasons are cut.
const MAX_TEXT: usize = 300;

/// A sweep, at its end.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// The cloud in clouds.yaml.
    pub cloud: &'a str,
    /// The project, for people.
    pub project: &'a str,
    /// What was found and done.
    pub cleaned: &'a Cleaned,
}

impl Sweep<'_> {
    /// Whether all is known, and nothing is left that should not be there.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.cleaned.clean()
    }

    fn outcome(&self, finding: &Finding) -> Option<&Outcome> {
        self.cleaned.outcomes.as_ref()?.get(&(finding.resource.kind, finding.resource.id.clone()))
    }

    /// What concerns somebody: all but what has no mark, is somebody else's or lives.
    fn told(&self) -> impl Iterator<Item = &Finding> {
        self.cleaned.judgement.findings.iter().filter(|finding| match finding.claim {
            Claim::Take(_) | Claim::SeenOnce | Claim::Invalid(_) | Claim::Orphan(_) => true,
            Claim::Keep(_) | Claim::Foreign(_) | Claim::OtherRun | Claim::Unmarked => false,
        })
    }

    /// For people: a line for each thing that is taken or doubtful, and numbers for the rest.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            format!("cloud {}, project {}\n", one_line(self.cloud, 80), one_line(self.project, 80));
        for finding in self.told() {
            let resource = &finding.resource;
            let word = match (&finding.claim, self.outcome(finding)) {
                (_, Some(Outcome::Gone)) => "gone".to_owned(),
                (_, Some(Outcome::Stays(why))) => format!("STAYS: {}", one_line(why, MAX_TEXT)),
                (claim, None) => said(claim),
            };
            let _ = write!(
                text,
                "\n{:<14} {}  {}",
                resource.kind,
                one_line(&resource.id, 60),
                one_line(&resource.name, 60)
            );
            if let Some(status) = &resource.status {
                let _ = write!(text, "  {}", one_line(status, 30));
            }
            if let Some(run) = &finding.run {
                let _ = write!(text, "  run {run}");
            }
            let _ = write!(text, "\n               {word}");
        }
        if self.told().next().is_some() {
            text.push('\n');
        }
        let counts = [
            ("marked by others", self.cleaned.judgement.count(|claim| matches!(claim, Claim::Foreign(_)))),
            ("ours, not over yet", self.cleaned.judgement.count(|claim| matches!(claim, Claim::Keep(_)))),
            ("of other runs", self.cleaned.judgement.count(|claim| matches!(claim, Claim::OtherRun))),
            ("without a mark", self.cleaned.judgement.count(|claim| matches!(claim, Claim::Unmarked))),
        ];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let _ = write!(text, "\nleft alone: {count} {what}");
        }
        for (kind, why) in &self.cleaned.judgement.unknown {
            let _ = write!(text, "\nUNKNOWN: the list of {kind}s failed: {}", one_line(why, MAX_TEXT));
        }
        for line in self.doubts() {
            let _ = write!(text, "\nNOT CLEAN: {line}");
        }
        if let Some(why) = &self.cleaned.refused {
            let _ = write!(text, "\nNOTHING DELETED: {why}");
        }
        for resource in self.cleaned.proof.iter().flat_map(|proof| &proof.vanished) {
            let _ = write!(text, "\nvanished meanwhile, not by us: {} {}", resource.kind, resource.id);
        }
        text
    }

    /// What the four counts have against it.
    fn doubts(&self) -> Vec<String> {
        let Some(proof) = &self.cleaned.proof else { return Vec::new() };
        let mut all = Vec::new();
        let mut list = |what: &str, resources: &[crate::cloud::Resource]| {
            for resource in resources {
                all.push(format!(
                    "{what}: {} {} {}",
                    resource.kind,
                    resource.id,
                    one_line(&resource.name, 60)
                ));
            }
        };
        list("still there", &proof.left);
        list("has a mark of what was taken", &proof.marked);
        list("in a project that should be empty", &proof.inside);
        all.extend(proof.counts.iter().map(|line| one_line(line, MAX_TEXT)));
        all.extend(proof.unknown.iter().map(|line| one_line(line, MAX_TEXT)));
        all
    }

    /// For programs. `clean` is the word that counts.
    #[must_use]
    pub fn json(&self) -> String {
        let one = |finding: &Finding| {
            let resource = &finding.resource;
            let (claim, why) = words(&finding.claim);
            let outcome = self.outcome(finding).map(|outcome| match outcome {
                Outcome::Gone => json!({"gone": true}),
                Outcome::Stays(why) => json!({"gone": false, "because": why}),
            });
            json!({
                "kind": resource.kind.name(), "id": resource.id, "name": resource.name, "status": resource.status,
                "cluster": resource.maker.as_ref().map(|maker| maker.cluster.as_str()),
                "run": finding.run.as_ref().map(ToString::to_string), "claim": claim, "because": why, "outcome": outcome,
            })
        };
        let unknown = |(kind, why): &(Kind, String)| json!({"kind": kind.name(), "because": why});
        let value = json!({
            "cloud": self.cloud,
            "project": self.project,
            "clean": self.clean(),
            "deleted": self.cleaned.outcomes.is_some(),
            "refused": self.cleaned.refused,
            "doubts": self.doubts(),
            "unknown": self.cleaned.judgement.unknown.iter().map(unknown).collect::<Vec<Value>>(),
            "findings": self.cleaned.judgement.findings.iter().map(one).collect::<Vec<Value>>(),
        });
        serde_json::to_string_pretty(&value).unwrap_or_default()
    }

    /// One case for each thing that is taken or doubtful, one for each listing, one for the proof. Anything that is
    /// swept is worth a look: it should have been cleaned up by its run.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn junit(&self) -> Result<Vec<u8>, String> {
        let mut suite =
            TestSuite::new(one_line(&format!("sweep of {} {}", self.cloud, self.project), MAX_TEXT));
        let mut case = |class: &str, name: &str, bad: Option<(NonSuccessKind, &str, &str)>| {
            let mut status = TestCaseStatus::success();
            if let Some((kind, what, why)) = bad {
                status = TestCaseStatus::non_success(kind);
                status.set_type(what);
                status.set_message(one_line(why, MAX_TEXT));
            }
            let mut case = TestCase::new(one_line(name, MAX_TEXT), status);
            case.set_classname(one_line(class, MAX_TEXT));
            suite.add_test_case(case);
        };
        for kind in Kind::ALL {
            let unknown = self.cleaned.judgement.unknown.iter().find(|(unknown, _)| *unknown == kind);
            let bad = unknown.map(|(_, why)| (NonSuccessKind::Error, "unknown", why.as_str()));
            case("sweep.listing", &format!("{kind}s"), bad);
        }
        for finding in self.told() {
            let resource = &finding.resource;
            let name = format!("{} {} {}", resource.kind, resource.id, resource.name);
            let text = said(&finding.claim);
            let bad = match self.outcome(finding) {
                Some(Outcome::Gone) => None,
                Some(Outcome::Stays(why)) => Some((NonSuccessKind::Failure, "leftover", why.as_str())),
                None => Some((NonSuccessKind::Failure, "leftover", text.as_str())),
            };
            case("sweep.leftover", &name, bad);
        }
        let doubts = self.doubts().join("; ");
        let why = match (self.clean(), &self.cleaned.refused) {
            (true, _) => None,
            (false, Some(refused)) => Some(refused.clone()),
            (false, None) if doubts.is_empty() => Some("something is left, or unknown".to_owned()),
            (false, None) => Some(doubts),
        };
        case(
            "sweep",
            "proven clean",
            why.as_ref().map(|why| (NonSuccessKind::Failure, "not-clean", why.as_str())),
        );
        let mut report = Report::new("stack-e2e sweep");
        report.add_test_suite(suite);
        let mut xml = Vec::new();
        report.serialize(&mut xml).map_err(|error| error.to_string())?;
        Ok(super::junit::without_skipped_total(xml))
    }
}

/// A claim, for people.
fn said(claim: &Claim) -> String {
    match claim {
        Claim::Take(Why::Expired) => "would be deleted: its time is over".into(),
        Claim::Take(Why::Named) => "would be deleted: its run was named".into(),
        Claim::Take(Why::Contained) => {
            "would be deleted: it hangs on what is deleted, and on nothing else".into()
        }
        Claim::Take(Why::Cluster) => {
            "would be deleted: a controller made it for a cluster that is taken".into()
        }
        Claim::Orphan(cluster) => format!(
            "left: made for the cluster {0}, of which nothing with a mark is there; `--cluster {0}` takes it",
            one_line(cluster, 60)
        ),
        Claim::Keep(until) => format!("left until {until}"),
        Claim::SeenOnce => "left: only one of two listings has it with this mark".into(),
        Claim::Foreign(owner) => format!("left: it belongs to {}", one_line(owner, 60)),
        Claim::Invalid(why) => format!("left: nobody can tell whose it is: {}", one_line(why, MAX_TEXT)),
        Claim::OtherRun => "left: another run was named".into(),
        Claim::Unmarked => "left: it has no mark".into(),
    }
}

fn words(claim: &Claim) -> (&'static str, String) {
    let word = match claim {
        Claim::Take(_) => "take",
        Claim::Keep(_) => "keep",
        Claim::SeenOnce => "seen-once",
        Claim::Foreign(_) => "foreign",
        Claim::Invalid(_) => "invalid",
        Claim::Orphan(_) => "orphan",
        Claim::OtherRun => "other-run",
        Claim::Unmarked => "unmarked",
    };
    (word, said(claim))
}
