//! Many runs in the order of time -> how flaky, since when red, how much slower, what differs from the last green one.
//! A run is held as verdicts and durations alone, so that years of them fit into memory. Pure.

use super::suspects::switches;
use super::{CaseReport, RunReport, UnitReport, Verdict};
use crate::types::RunId;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The runs, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    runs: Vec<Past>,
}

/// What is kept of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Which one.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// When it was last heard of.
    pub finished: Timestamp,
    /// What it came to.
    pub verdict: Verdict,
    /// Its combinations, by id.
    pub units: BTreeMap<String, PastUnit>,
}

/// What is kept of a combination.
#[derive(Debug, Clone, PartialEq)]
pub struct PastUnit {
    /// Its readable name, with its scenario.
    pub name: String,
    /// Its switch values.
    pub switches: Vec<(String, String)>,
    /// How long it took; `None` when it did not come to its end.
    pub took: Option<Duration>,
    /// Its cases that were looked at.
    pub cases: BTreeMap<String, PastCase>,
}

/// What is kept of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastCase {
    /// What it came to.
    pub verdict: Verdict,
    /// How long its last attempt took.
    pub took: Duration,
}

/// How often something was flaky.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlakeRate {
    /// A case, or a switch value as `switch=value`.
    pub what: String,
    /// How often it was looked at.
    pub looked: usize,
    /// How often it passed only on a retry.
    pub retried: usize,
    /// How often it failed in one run, and passed in the runs before and after it.
    pub alone: usize,
}

impl FlakeRate {
    /// From 0 to 1.
    #[must_use]
    pub fn rate(&self) -> f64 {
        ratio(self.retried + self.alone, self.looked)
    }
}

/// A case that is red now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Red {
    /// The combination's id.
    pub unit: String,
    /// Its readable name.
    pub name: String,
    /// The case.
    pub case: String,
    /// The run in which it was first red, without a green one since.
    pub since: RunId,
    /// When that one began.
    pub at: Timestamp,
    /// In how many runs it has been red since.
    pub runs: usize,
    /// The last run in which it was green.
    pub green: Option<RunId>,
}

/// How long a case takes now, beside before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trend {
    /// The case.
    pub case: String,
    /// The median of the last run.
    pub now: Duration,
    /// The median of the medians of the runs before it.
    pub before: Duration,
    /// How many runs that were.
    pub runs: usize,
}

impl Trend {
    /// How many times as long as before.
    #[must_use]
    pub fn factor(&self) -> f64 {
        let before = self.before.as_secs_f64();
        if before > 0.0 { self.now.as_secs_f64() / before } else { 1.0 }
    }

    /// Half as long again as before, and not by seconds.
    #[must_use]
    pub fn is_slower(&self) -> bool {
        self.factor() >= 1.5 && self.now.saturating_sub(self.before) >= Duration::from_secs(10)
    }
}

/// What differs between the last run and the last green one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The green run.
    pub green: RunId,
    /// When it began.
    pub at: Timestamp,
    /// Cases that passed then and are red now: combination and case.
    pub broken: Vec<(String, String)>,
    /// Combinations that it did not have.
    pub added: Vec<String>,
    /// Combinations that only it had.
    pub gone: Vec<String>,
}

fn ratio(part: usize, whole: usize) -> f64 {
    // Counts of runs are far below what a double can hold.
    let as_double = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { as_double(part) / as_double(whole) }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn is_good(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Passed | Verdict::Flaky)
}

impl Past {
    /// What is kept of `report`.
    #[must_use]
    pub fn of(report: &RunReport) -> Self {
        Self {
            run: report.run.clone(),
            started: report.started,
            finished: report.finished,
            verdict: report.verdict(),
            units: report.units.iter().map(|unit| (unit.info.id.to_string(), past_unit(unit))).collect(),
        }
    }

    fn is_green(&self) -> bool {
        is_good(self.verdict)
    }

    fn case(&self, unit: &str, case: &str) -> Option<Verdict> {
        Some(self.units.get(unit)?.cases.get(case)?.verdict)
    }
}

fn past_unit(unit: &UnitReport) -> PastUnit {
    let looked = |case: &&CaseReport| !case.attempts.is_empty() && case.verdict != Verdict::Skipped;
    let past = |case: &CaseReport| {
        let last = case.deciding()?;
        let took = Duration::try_from(last.finished.duration_since(last.started)).unwrap_or_default();
        Some((case.case.0.clone(), PastCase { verdict: case.verdict, took }))
    };
    let own = |(switch, value): (&str, &str)| (switch.to_owned(), value.to_owned());
    let took = unit.started.zip(unit.finished).map(|(from, to)| to.duration_since(from));
    PastUnit {
        name: format!("{}: {}", unit.info.scenario, unit.info.name),
        switches: switches(&unit.info).into_iter().map(own).collect(),
        took: took.map(|took| Duration::try_from(took).unwrap_or_default()),
        cases: unit.cases.iter().filter(looked).filter_map(past).collect(),
    }
}

impl History {
    /// Adds a run, in any order; of a run that is there already the longer record counts.
    pub fn add(&mut self, past: Past) {
        let place =
            self.runs.partition_point(|known| (known.started, &known.run) < (past.started, &past.run));
        match self.runs.get_mut(place) {
            Some(known) if known.run == past.run => {
                if known.finished <= past.finished {
                    *known = past;
                }
            }
            Some(_) | None => self.runs.insert(place, past),
        }
    }

    /// The runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[Past] {
        &self.runs
    }

    /// What was known when `past` began, with `past` as the last run.
    #[must_use]
    pub fn until(&self, past: Past) -> Self {
        let before = |known: &&Past| known.started < past.started && known.run != past.run;
        let mut runs: Vec<Past> = self.runs.iter().filter(before).cloned().collect();
        runs.push(past);
        Self { runs }
    }

    /// How flaky each case is, over all combinations; those that never were are left out. The worst first.
    #[must_use]
    pub fn flaky_cases(&self) -> Vec<FlakeRate> {
        self.flakes(|_, case| vec![case.to_owned()])
    }

    /// How flaky each switch value is, over all its combinations and their cases. A switch that has only one value is
    /// left out, as there is nothing to compare with.
    #[must_use]
    pub fn flaky_values(&self) -> Vec<FlakeRate> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (switch, value) in
            self.runs.iter().flat_map(|past| past.units.values()).flat_map(|unit| &unit.switches)
        {
            values.entry(switch).or_default().insert(value);
        }
        self.flakes(|unit, _| {
            let varies =
                |(switch, _): &&(String, String)| values.get(switch.as_str()).is_some_and(|v| v.len() > 1);
            unit.switches.iter().filter(varies).map(|(switch, value)| format!("{switch}={value}")).collect()
        })
    }

    fn flakes(&self, names: impl Fn(&PastUnit, &str) -> Vec<String>) -> Vec<FlakeRate> {
        let mut rates: BTreeMap<String, FlakeRate> = BTreeMap::new();
        for (ids, line) in self.lines() {
            for (index, (unit, verdict)) in line.iter().enumerate() {
                let good = |at: Option<usize>| {
                    at.and_then(|at| line.get(at)).is_some_and(|(_, verdict)| is_good(*verdict))
                };
                let alone =
                    *verdict == Verdict::Failed && good(index.checked_sub(1)) && good(Some(index + 1));
                for what in names(unit, ids.1) {
                    let rate = rates.entry(what.clone()).or_insert(FlakeRate {
                        what,
                        looked: 0,
                        retried: 0,
                        alone: 0,
                    });
                    rate.looked += 1;
                    rate.retried += usize::from(*verdict == Verdict::Flaky);
                    rate.alone += usize::from(alone);
                }
            }
        }
        let mut rates: Vec<FlakeRate> =
            rates.into_values().filter(|rate| rate.retried + rate.alone > 0).collect();
        rates.sort_by(|one, other| {
            other.rate().total_cmp(&one.rate()).then_with(|| one.what.cmp(&other.what))
        });
        rates
    }

    /// For each case of each combination, what it came to in each run that looked at it, oldest first.
    fn lines(&self) -> BTreeMap<(&str, &str), Vec<(&PastUnit, Verdict)>> {
        let mut lines: BTreeMap<(&str, &str), Vec<(&PastUnit, Verdict)>> = BTreeMap::new();
        for past in &self.runs {
            for (id, unit) in &past.units {
                for (case, looked) in &unit.cases {
                    lines.entry((id, case)).or_default().push((unit, looked.verdict));
                }
            }
        }
        lines
    }

    /// What is red in the last run, and since when.
    #[must_use]
    pub fn red(&self) -> Vec<Red> {
        let Some((last, before)) = self.runs.split_last() else { return Vec::new() };
        let mut red = Vec::new();
        for (id, unit) in &last.units {
            for (case, looked) in unit.cases.iter().filter(|(_, looked)| looked.verdict.is_bad()) {
                let _ = looked;
                let mut found = Red {
                    unit: id.clone(),
                    name: unit.name.clone(),
                    case: case.clone(),
                    since: last.run.clone(),
                    at: last.started,
                    runs: 1,
                    green: None,
                };
                for past in before.iter().rev() {
                    match past.case(id, case) {
                        Some(verdict) if verdict.is_bad() => {
                            found.since = past.run.clone();
                            found.at = past.started;
                            found.runs += 1;
                        }
                        Some(_) => {
                            found.green = Some(past.run.clone());
                            break;
                        }
                        // That run did not look at it.
                        None => {}
                    }
                }
                red.push(found);
            }
        }
        red
    }

    /// How long each case takes in the last run, beside the runs before; what changed most comes first.
    #[must_use]
    pub fn trends(&self) -> Vec<Trend> {
        let Some((last, before)) = self.runs.split_last() else { return Vec::new() };
        let of = |past: &Past| -> BTreeMap<String, Duration> {
            let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
            for unit in past.units.values() {
                // What failed takes as long as its deadline; that is no trend.
                for (case, looked) in unit.cases.iter().filter(|(_, looked)| is_good(looked.verdict)) {
                    times.entry(case).or_default().push(looked.took);
                }
            }
            let medians = times.into_iter().map(|(case, times)| (case.to_owned(), median(times)));
            medians.filter_map(|(case, median)| Some((case, median?))).collect()
        };
        let earlier: Vec<BTreeMap<String, Duration>> = before.iter().map(of).collect();
        let mut trends: Vec<Trend> = of(last)
            .into_iter()
            .filter_map(|(case, now)| {
                let times: Vec<Duration> = earlier.iter().filter_map(|run| run.get(&case).copied()).collect();
                let runs = times.len();
                Some(Trend { before: median(times)?, case, now, runs })
            })
            .collect();
        trends.sort_by(|one, other| {
            let weight = |trend: &Trend| trend.now.abs_diff(trend.before);
            weight(other).cmp(&weight(one)).then_with(|| one.case.cmp(&other.case))
        });
        trends
    }

    /// What differs between the last run and the last green one before it; `None` when there is none.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let (last, before) = self.runs.split_last()?;
        let green = before.iter().rev().find(|past| past.is_green())?;
        let mut broken = Vec::new();
        for (id, unit) in &last.units {
            for (case, looked) in &unit.cases {
                if looked.verdict.is_bad() && green.case(id, case).is_some_and(is_good) {
                    broken.push((unit.name.clone(), case.clone()));
                }
            }
        }
        let only = |here: &Past, there: &Past| -> Vec<String> {
            let missing = here.units.iter().filter(|(id, _)| !there.units.contains_key(*id));
            missing.map(|(_, unit)| unit.name.clone()).collect()
        };
        let (added, gone) = (only(last, green), only(green, last));
        Some(Difference { green: green.run.clone(), at: green.started, broken, added, gone })
    }

    /// How long each combination took when it last came to its end well enough to say.
    #[must_use]
    pub fn expected(&self) -> BTreeMap<String, Duration> {
        let ids: BTreeSet<&String> = self.runs.iter().flat_map(|past| past.units.keys()).collect();
        let of = |id: &&String| {
            let times = self.runs.iter().rev().filter_map(|past| past.units.get(*id)?.took).take(5);
            Some(((*id).clone(), median(times.collect())?))
        };
        ids.iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::script::Script;
    use proptest::prelude::*;

    const CASES: &[&str] = &["provision", "check/dns"];

    /// A run in which `check/dns` of `a` does as told: `p`asses, `f`ails, passes on a `r`etry, or is `s`kipped.
    fn past(number: usize, how: char) -> Past {
        let mut script = Script::at(i64::try_from(number).unwrap() * 1000).unit("a", CASES).started();
        script = script.passes("a", &["provision"]);
        script = match how {
            'p' => script.passes("a", &["check/dns"]),
            'f' => script.fails("a", "check/dns", "no answer"),
            'r' => script.fails("a", "check/dns", "no answer").passes("a", &["check/dns"]),
            _ => script.skips("a", "check/dns", "n/a"),
        };
        let mut report = script.unit_clean("a").clean().report();
        report.run = format!("01kb3v7a9xq4m2{:02}", number).parse().unwrap();
        Past::of(&report)
    }

    fn history(runs: &str) -> History {
        let mut history = History::default();
        for (number, how) in runs.chars().enumerate() {
            history.add(past(number, how));
        }
        history
    }

    fn ends_with(run: &RunId, number: usize) -> bool {
        run.as_str().ends_with(&format!("{number:02}"))
    }

    #[test]
    fn since_when_it_is_red_and_when_it_was_green() {
        for (runs, since, count, green) in
            [("pff", 1, 2, Some(0)), ("fff", 0, 3, None), ("fpsf", 3, 1, Some(1)), ("pfsf", 1, 2, Some(0))]
        {
            let red = history(runs).red();
            assert_eq!(red.len(), 1, "{runs}");
            assert!(ends_with(&red[0].since, since), "{runs}: {:?}", red[0]);
            assert_eq!(red[0].runs, count, "{runs}");
            assert_eq!(
                red[0].green.as_ref().map(|run| ends_with(run, green.unwrap_or(99))),
                green.map(|_| true)
            );
        }
        assert!(history("pfp").red().is_empty());
        assert!(history("").red().is_empty());
    }

    #[test]
    fn a_retry_and_a_lone_failure_are_flaky_and_a_lasting_one_is_not() {
        for (runs, retried, alone) in [("pprp", 1, 0), ("pfpp", 0, 1), ("ppff", 0, 0), ("ffff", 0, 0)] {
            let rates = history(runs).flaky_cases();
            let found = rates.iter().find(|rate| rate.what == "check/dns");
            let found = found.map_or((0, 0), |rate| (rate.retried, rate.alone));
            assert_eq!(found, (retried, alone), "{runs}");
        }
        assert!(history("pprp").flaky_values().is_empty(), "there is nothing to compare with");
        let mut two = history("pprp");
        let mut other = past(9, 'p');
        other.units.get_mut("aaaaaaaa").unwrap().switches = vec![("controlPlanes".into(), "3".into())];
        two.add(other);
        let values = two.flaky_values();
        assert_eq!(values[0].what, "controlPlanes=1");
        assert_eq!((values.len(), values[0].looked, values[0].retried), (1, 8, 1));
    }

    #[test]
    fn the_last_green_run_is_compared_with() {
        let found = history("prff").difference().unwrap();
        assert!(ends_with(&found.green, 1));
        assert_eq!(found.broken.len(), 1);
        assert_eq!(found.broken[0].1, "check/dns");
        assert_eq!(history("ff").difference(), None);
    }

    #[test]
    fn durations_are_compared_by_their_medians() {
        let mut slow = past(3, 'p');
        slow.units.get_mut("aaaaaaaa").unwrap().cases.get_mut("provision").unwrap().took =
            Duration::from_secs(200);
        let mut all = history("ppp");
        all.add(slow);
        let trends = all.trends();
        assert_eq!(trends[0].case, "provision");
        assert_eq!((trends[0].now.as_secs(), trends[0].before.as_secs(), trends[0].runs), (200, 60, 3));
        assert!(trends[0].is_slower() && !trends[1].is_slower());
        assert_eq!(all.expected()["aaaaaaaa"], Duration::from_secs(120));
    }

    proptest! {
        #[test]
        fn the_order_in_which_runs_are_read_does_not_matter(runs in "[pfrs]{1,8}", turn in 0_usize..8) {
            let mut pasts: Vec<Past> = runs.chars().enumerate().map(|(n, how)| past(n, how)).collect();
            let whole = history(&runs);
            let turn = turn % pasts.len();
            pasts.rotate_left(turn);
            let mut other = History::default();
            // Twice, as a run can lie in two places.
            pasts.iter().chain(&pasts).for_each(|past| other.add(past.clone()));
            prop_assert_eq!(&other, &whole);
            prop_assert_eq!(whole.red().is_empty(), !runs.ends_with('f'));
        }
    }
}
