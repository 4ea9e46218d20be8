//! Policy x results -> [`Judgement`].

use super::{Answer, Candidate, Demand, Judgement, TestResult, Tested, statistics};
use crate::matrix::{Combination, part};
use crate::results::Verdict;
use crate::scenario::{Policy, Scenario};
use crate::types::{CheckName, SwitchName, SwitchValues};
use jiff::Timestamp;
use std::collections::BTreeMap;

const NOTHING: &str = "there are no results that count";
const RUN_IT: &str = "run the scenario of the policy on this release, and name the directories of the runs";

/// What is known outside of the results.
pub struct Surroundings<'a> {
    /// The scenario of the policy.
    pub scenario: &'a Scenario,
    /// The combinations of the policy, in the words of the scenario.
    pub combinations: &'a [SwitchValues],
    /// The combinations that the scenario runs, for what would meet a demand.
    pub planned: &'a [Combination],
    /// The checks that stand behind the names of the policy: groups are spelt out.
    pub checks: &'a [CheckName],
    /// Now.
    pub now: Timestamp,
}

/// All results of one combination that count.
struct Group<'a> {
    results: Vec<&'a TestResult>,
    /// How many of them are green in the sense of the policy.
    green: u32,
    /// Why others are not, although they passed.
    short: Option<String>,
}

/// Judges a release.
#[must_use]
pub fn judge(
    policy: &Policy,
    candidate: &Candidate,
    results: &[TestResult],
    around: &Surroundings<'_>,
) -> Judgement {
    let mut ignored: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: BTreeMap<SwitchValues, Group<'_>> = BTreeMap::new();
    let mut sorted: Vec<&TestResult> = results.iter().collect();
    sorted.sort_by(|a, b| (a.at, &a.run, &a.id).cmp(&(b.at, &b.run, &b.id)));
    for result in sorted {
        match counts(policy, candidate, result, around) {
            Ok(values) => {
                let empty = || Group { results: Vec::new(), green: 0, short: None };
                let group = groups.entry(values).or_insert_with(empty);
                if result.verdict == Verdict::Passed {
                    match lacks(result, around.checks) {
                        None => group.green += 1,
                        Some(check) => group.short = Some(check),
                    }
                }
                group.results.push(result);
            }
            Err(why) => *ignored.entry(why).or_default() += 1,
        }
    }
    let all = || groups.values().flat_map(|group| &group.results);
    let number = all().count() as u64;
    let failures = all().filter(|result| result.verdict != Verdict::Passed).count() as u64;
    let mut demands = vec![evidence(candidate, number)];
    demands.push(nothing_red(&groups));
    let enough: Vec<SwitchValues> = groups
        .iter()
        .filter(|(_, group)| group.green >= policy.green)
        .map(|(values, _)| values.clone())
        .collect();
    demands
        .extend(around.combinations.iter().map(|values| together(policy, values, &enough, &groups, around)));
    demands.extend(coverage(policy, candidate, &enough, around));
    demands.extend(policy.changes.iter().map(|(name, _)| changed(name, &groups)));
    demands.push(flakes(policy, &groups));
    let answer = demands.iter().map(|demand| demand.answer).max().unwrap_or(Answer::Undecidable);
    Judgement {
        policy: policy.name.to_string(),
        release: candidate.release.clone(),
        digest: candidate.digest.clone(),
        at: around.now,
        answer,
        demands,
        combinations: groups.iter().filter_map(|(values, group)| tested(values, group)).collect(),
        ignored: ignored.into_iter().collect(),
        results: number,
        failures,
        highest_failure_rate: statistics::highest_failure_rate(failures, number),
    }
}

/// The values of a result that counts, in the order of the scenario; or why it does not.
fn counts(
    policy: &Policy,
    candidate: &Candidate,
    result: &TestResult,
    around: &Surroundings<'_>,
) -> Result<SwitchValues, String> {
    let TestResult { release, digest, .. } = result;
    if result.scenario != around.scenario.name.as_str() {
        return Err(format!("of the scenario `{}`", result.scenario));
    }
    if *release != candidate.release {
        return Err(format!("of the release {release}"));
    }
    if *digest != candidate.digest {
        return Err(format!("of another content, {digest}"));
    }
    let age = around.now.duration_since(result.at);
    if policy.within.is_some_and(|within| age.unsigned_abs() > within && !age.is_negative()) {
        return Err("older than the policy allows".into());
    }
    if !result.clean {
        return Err("not proven clean".into());
    }
    match result.verdict {
        Verdict::Passed | Verdict::Failed | Verdict::Flaky => {}
        Verdict::Errored => return Err("without a verdict on the product (infrastructure)".into()),
        Verdict::Skipped => return Err("skipped".into()),
    }
    let value = |switch: &crate::scenario::Switch| {
        let (_, value) = result.values.iter().find(|(name, _)| *name == switch.name)?;
        switch.values.iter().any(|known| known.name == *value).then(|| (switch.name.clone(), value.clone()))
    };
    let values: Option<SwitchValues> = around.scenario.switches.iter().map(value).collect();
    values
        .filter(|values| values.len() == result.values.len())
        .ok_or_else(|| "of switches that are no more".into())
}

/// The first demanded check that did not pass.
fn lacks(result: &TestResult, checks: &[CheckName]) -> Option<String> {
    let passed = |check: &CheckName| {
        let case = format!("check/{check}");
        let mut own =
            result.cases.iter().filter(|(id, _)| *id == case || id.starts_with(&format!("{case}@")));
        own.any(|(_, verdict)| *verdict == Verdict::Passed)
    };
    checks.iter().find(|check| !passed(check)).map(ToString::to_string)
}

fn demand(what: impl Into<String>, answer: Answer, why: impl Into<String>) -> Demand {
    Demand { what: what.into(), answer, why: why.into(), remedy: None }
}

fn evidence(candidate: &Candidate, number: u64) -> Demand {
    let what = format!("results of {} with the content {}", candidate.release, candidate.digest);
    match number {
        0 => Demand {
            remedy: Some(
                "run the scenario of the policy on this release, and name the directories of the runs".into(),
            ),
            ..demand(what, Answer::Undecidable, "there are none")
        },
        n => demand(what, Answer::Yes, format!("{n} count")),
    }
}

fn name(values: &SwitchValues) -> String {
    values.iter().map(|(switch, value)| format!("{switch}={value}")).collect::<Vec<_>>().join(" ")
}

/// The newest result decides: what was red and is green now, with the same content, is flaky and not red.
fn nothing_red(groups: &BTreeMap<SwitchValues, Group<'_>>) -> Demand {
    let red: Vec<String> = groups
        .iter()
        .filter_map(|(values, group)| {
            let last = group.results.last().filter(|result| result.verdict == Verdict::Failed)?;
            let case = last.cases.iter().find(|(_, verdict)| *verdict == Verdict::Failed);
            let case = case.map(|(id, _)| format!(": {id}")).unwrap_or_default();
            Some(format!("{} ({} in run {}{case})", name(values), last.id, last.run))
        })
        .collect();
    let what = "no combination is red";
    if groups.is_empty() {
        return Demand { remedy: Some(RUN_IT.into()), ..demand(what, Answer::Undecidable, NOTHING) };
    }
    if red.is_empty() {
        return demand(what, Answer::Yes, "the newest result of every combination is green or flaky");
    }
    let remedy = "mend the release; its content changes with that, and what was tested before counts no more";
    Demand { remedy: Some(remedy.into()), ..demand(what, Answer::No, red.join("; ")) }
}

/// A combination that must have been green, named by some of its values.
fn together(
    policy: &Policy,
    wanted: &SwitchValues,
    enough: &[SwitchValues],
    groups: &BTreeMap<SwitchValues, Group<'_>>,
    around: &Surroundings<'_>,
) -> Demand {
    let has = |values: &SwitchValues| wanted.iter().all(|pair| values.contains(pair));
    let what = format!("{} is green in {}", name(wanted), runs(policy.green));
    if let Some(values) = enough.iter().find(|values| has(values)) {
        return demand(what, Answer::Yes, name(values));
    }
    let best = groups.iter().filter(|(values, _)| has(values)).max_by_key(|(_, group)| group.green);
    let why = match best {
        None => "no result that counts has these values".to_owned(),
        Some((_, Group { green, short: Some(check), .. })) if *green < policy.green => {
            format!("{green} green; `{check}` was not looked at in others")
        }
        Some((_, group)) => format!("{} green", group.green),
    };
    Demand { remedy: run_these(around, has), ..demand(what, Answer::Undecidable, why) }
}

fn runs(number: u32) -> String {
    if number == 1 { "one run".to_owned() } else { format!("{number} runs") }
}

/// The command that runs the planned combinations that fit.
fn run_these(around: &Surroundings<'_>, fits: impl Fn(&SwitchValues) -> bool) -> Option<String> {
    let ids: Vec<&str> =
        around.planned.iter().filter(|c| fits(&c.values)).map(|c| c.id.as_str()).take(20).collect();
    let file = around.scenario.file.display();
    Some(if ids.is_empty() {
        format!("no combination that {file} plans has these values: raise its `cover`, or `include` one")
    } else {
        format!("stack-e2e run {file} --only {}", ids.join(","))
    })
}

fn coverage(
    policy: &Policy,
    candidate: &Candidate,
    enough: &[SwitchValues],
    around: &Surroundings<'_>,
) -> Option<Demand> {
    let wanted = policy.coverage.as_ref()?;
    // A release has one minor: combinations of other minors are about other releases.
    let minor = around.scenario.switches.iter().find_map(|switch| {
        let value = switch.values.iter().find(|value| value.patch.kubernetes == Some(candidate.minor))?;
        Some((switch.name.clone(), value.name.clone()))
    });
    let fixed: SwitchValues = minor.into_iter().collect();
    let of: Vec<SwitchName> = around
        .scenario
        .switches
        .iter()
        .filter(|switch| wanted.of.iter().any(|(name, _)| name == switch.name.as_str()))
        .map(|switch| switch.name.clone())
        .collect();
    let found = part(around.scenario, enough, &fixed, &of, usize::from(wanted.strength));
    let kind = ["values", "pairs of values", "triples of values"];
    let kind = kind[usize::from(wanted.strength).saturating_sub(1).min(2)];
    let names: Vec<&str> = of.iter().map(SwitchName::as_str).collect();
    let among = if names.is_empty() { "all switches".to_owned() } else { names.join(", ") };
    let what = format!("all {kind} of {among} are green in {}", runs(policy.green));
    let share = format!("{} of {}", found.covered, found.feasible);
    if found.feasible == 0 {
        let why = "no combination of the scenario can have this release's minor";
        let remedy = Some("add the minor to the scenario's `kubernetes`".to_owned());
        return Some(Demand { remedy, ..demand(what, Answer::Undecidable, why) });
    }
    if found.covered == found.feasible {
        return Some(demand(what, Answer::Yes, share));
    }
    let missing: Vec<String> = found.missing.iter().take(5).map(name).collect();
    let more = (found.feasible - found.covered).saturating_sub(missing.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let has = |values: &SwitchValues| {
        fixed.iter().all(|pair| values.contains(pair))
            && found.missing.iter().any(|tuple| tuple.iter().all(|pair| values.contains(pair)))
    };
    let why = format!("{share}; missing: {}{more}", missing.join("; "));
    Some(Demand { remedy: run_these(around, has), ..demand(what, Answer::Undecidable, why) })
}

fn changed(change: &str, groups: &BTreeMap<SwitchValues, Group<'_>>) -> Demand {
    let case = format!("change/{change}");
    let passed = groups
        .values()
        .flat_map(|group| &group.results)
        .filter(|result| result.cases.iter().any(|(id, verdict)| *id == case && *verdict == Verdict::Passed))
        .count();
    let what = format!("the change {change} has worked");
    if passed == 0 {
        let why = "in no result that counts";
        return Demand {
            remedy: Some("run a combination to which the change applies".into()),
            ..demand(what, Answer::Undecidable, why)
        };
    }
    demand(what, Answer::Yes, format!("in {passed} results"))
}

/// Flaky is what passed on a further attempt, and what failed although the newest result with the same content passed.
fn flakes(policy: &Policy, groups: &BTreeMap<SwitchValues, Group<'_>>) -> Demand {
    let (mut flaky, mut all) = (0_u32, 0_u32);
    for group in groups.values() {
        let green_now = group.results.last().is_some_and(|result| result.verdict != Verdict::Failed);
        for result in &group.results {
            all += 1;
            flaky += u32::from(
                result.verdict == Verdict::Flaky || (result.verdict == Verdict::Failed && green_now),
            );
        }
    }
    let what = format!("at most {} % of the results are flaky", policy.max_flake_rate);
    if all == 0 {
        return Demand { remedy: Some(RUN_IT.into()), ..demand(what, Answer::Undecidable, NOTHING) };
    }
    let why = format!("{flaky} of {all}");
    if flaky * 100 > policy.max_flake_rate * all {
        let remedy = "find the cause of what fails now and then; more green runs lower the rate";
        return Demand { remedy: Some(remedy.into()), ..demand(what, Answer::No, why) };
    }
    demand(what, Answer::Yes, why)
}

fn tested(values: &SwitchValues, group: &Group<'_>) -> Option<Tested> {
    let last = group.results.last()?;
    let count = |verdict: Verdict| {
        u32::try_from(group.results.iter().filter(|result| result.verdict == verdict).count())
            .unwrap_or(u32::MAX)
    };
    let mut known: Vec<(String, String)> =
        group.results.iter().flat_map(|result| result.known.clone()).collect();
    known.sort();
    known.dedup();
    Some(Tested {
        id: last.id.clone(),
        name: name(values),
        green: group.green,
        red: count(Verdict::Failed),
        flaky: count(Verdict::Flaky),
        last: last.at,
        runs: group.results.iter().map(|result| result.run.clone()).collect(),
        known,
    })
}
