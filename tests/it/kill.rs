//! SIGKILL at random moments: whatever the moment, `run --resume` or `sweep` finds and removes everything, and a
//! resumed run comes to the right verdict.
//!
//! 40 lives by default. `STACK_E2E_KILLS` asks for more (`.ci/kill-scripted`), `STACK_E2E_SEED` repeats a row of
//! moments, as far as the machine keeps time.

use crate::support::process::{Home, Running, SCENARIO};
use stack_e2e::event::{Event, EventKind};
use stack_e2e::results::read_journal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tens of milliseconds for each step: a whole life takes about half a second.
const SCRIPT: &str = r#"{"call_ms": 5, "provision_ms": 60, "check_ms": 15, "delete_ms": 50}"#;
const SWEEP: [&str; 5] = ["sweep", "--provider", "scripted", "--ledger", ".stack-e2e/scripted"];

/// Random numbers that can be had again: SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

/// The seed of `STACK_E2E_SEED`, or a new one.
pub fn seed() -> u64 {
    match number("STACK_E2E_SEED") {
        Some(seed) => seed,
        None => u64::try_from(jiff::Timestamp::now().as_nanosecond() & 0xFFFF_FFFF).unwrap(),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{variable} is a number")))
}

/// How many kills `variable` asks for.
pub fn count(variable: &str, default: usize) -> usize {
    number(variable).map_or(default, |count| usize::try_from(count).unwrap())
}

/// The word for how far a run had come: its last event.
pub fn phase(events: &[Event]) -> String {
    let word = |event: &Event| match &event.kind {
        EventKind::PhaseStarted { phase } => Some(phase.as_str().to_owned()),
        EventKind::Intent { act, .. } => Some(format!("intent-{act:?}").to_lowercase()),
        EventKind::CaseFinished { case, .. } => Some(format!("after {}", case.0.split('@').next()?)),
        EventKind::RunStarted { .. } => Some("run-started".into()),
        EventKind::Prepared { .. } => Some("prepared".into()),
        EventKind::UnitStarted => Some("unit-started".into()),
        EventKind::UnitFinished { .. } => Some("unit-finished".into()),
        EventKind::RunFinished { .. } => Some("run-finished".into()),
        EventKind::RunResumed { .. } => Some("run-resumed".into()),
        EventKind::Waiting { .. }
        | EventKind::Collected { .. }
        | EventKind::Kept { .. }
        | EventKind::Cancelled { .. } => None,
    };
    events.iter().rev().find_map(word).unwrap_or_else(|| "no event".into())
}

/// How far the only run of a home had come.
pub fn phase_of(home: &Home) -> String {
    let Some(run) = home.runs().pop() else { return "no directory".into() };
    let directory = home.run_directory(&run);
    if !directory.join("plan.json").exists() {
        return "no plan".into();
    }
    match read_journal(&directory) {
        Ok((events, _)) => phase(&events),
        Err(_) if !directory.join("journal.jsonl").exists() => "no journal".into(),
        Err(error) => panic!("a kill has damaged the journal: {error}"),
    }
}

/// What the lives came to.
#[derive(Default)]
pub struct Tally {
    pub phases: BTreeMap<String, usize>,
    pub kills: usize,
    pub mid_run: usize,
    pub resumed: usize,
    pub swept: usize,
    pub wrong: Vec<String>,
}

impl Tally {
    pub fn show(&self, what: &str, seed: u64, start: Instant) {
        println!("{what}: seed {seed}");
        let phases: Vec<String> = self.phases.iter().map(|(phase, n)| format!("{phase} {n}")).collect();
        println!("at the moment of the first kill: {}", phases.join(", "));
        println!(
            "{} lives, {} kills, {} of them in the middle of a run; {} resumed, {} swept; {} wrong; {:.0} s",
            self.phases.values().sum::<usize>(),
            self.kills,
            self.mid_run,
            self.resumed,
            self.swept,
            self.wrong.len(),
            start.elapsed().as_secs_f64()
        );
        for wrong in &self.wrong {
            println!("{wrong}");
        }
    }
}

/// Starts a command and kills it after that time; whether it was killed before its end.
fn killed_after(home: &Home, words: &[&str], after: Duration) -> bool {
    let running = Running::start(&mut home.stack_e2e(words));
    #[allow(clippy::disallowed_methods, reason = "the moment of the kill is what is tested")]
    std::thread::sleep(after);
    let said = running.kill();
    said.status.code().is_none()
}

fn life(number: usize, seed: u64, longest: u64, tally: &Mutex<Tally>) {
    let mut dice = Dice::new(seed.wrapping_add(u64::try_from(number).unwrap()));
    let home = Home::new();
    std::fs::write(home.path("script.json"), SCRIPT).unwrap();
    let concurrency = ["4", "2", "1"][usize::try_from(dice.below(3)).unwrap()];
    let moment = Duration::from_micros(dice.below(longest * 1000));
    let first = ["run", SCENARIO, "--script", "script.json", "-j", concurrency];
    let mut kills = usize::from(killed_after(&home, &first, moment));
    let (phase, left) = (phase_of(&home), home.objects());
    let mut history = vec![format!("killed after {moment:?} at `{phase}` with {left} objects")];
    let plan = home.runs().pop().filter(|run| home.run_directory(run).join("plan.json").exists());
    let sweep = [&SWEEP[..], &["--yes"]].concat();
    let resume = plan.as_ref().map(|run| ["run", "--resume", run, "--script", "script.json"]);
    // In every third life the one that cleans up is killed as well, once or twice.
    for _ in 0..(if number.is_multiple_of(3) { 1 + dice.below(2) } else { 0 }) {
        let again = Duration::from_micros(dice.below(longest * 1000));
        let words = match &resume {
            Some(resume) if dice.below(2) == 0 => &resume[..],
            _ => &sweep[..],
        };
        kills += usize::from(killed_after(&home, words, again));
        history.push(format!("`{}` killed after {again:?} at `{}`", words[0..2].join(" "), phase_of(&home)));
    }
    let resumes = resume.is_some() && number.is_multiple_of(2);
    let said = match &resume {
        Some(resume) if resumes => home.say(resume),
        _ => home.say(&sweep),
    };
    let objects = home.objects();
    let mut tally = tally.lock().unwrap();
    if said.status.code() != Some(0) || objects != 0 {
        tally.wrong.push(format!(
            "life {number}: {}; then {} ended with {:?}, {objects} objects left\n{}",
            history.join("; "),
            if resumes { "the resumption" } else { "the sweep" },
            said.status.code(),
            said.stderr
        ));
    }
    tally.mid_run += usize::from(left > 0);
    *tally.phases.entry(phase).or_default() += 1;
    tally.kills += kills;
    *(if resumes { &mut tally.resumed } else { &mut tally.swept }) += 1;
}

#[test]
fn sigkill_at_any_moment_leaves_nothing_that_cannot_be_found() {
    let (kills, seed, start) = (count("STACK_E2E_KILLS", 40), seed(), Instant::now());
    // How long an undisturbed life takes here and now; moments are spread over all of it.
    let home = Home::new();
    std::fs::write(home.path("script.json"), SCRIPT).unwrap();
    let whole = Instant::now();
    assert_eq!(home.say(&["run", SCENARIO, "--script", "script.json", "-j", "2"]).code(), 0);
    let longest = u64::try_from(whole.elapsed().as_millis()).unwrap();
    println!("a life takes {longest} ms");
    let (tally, next) = (Mutex::new(Tally::default()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= kills {
                        return;
                    }
                    life(number, seed, longest, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    tally.show("SIGKILL on scripted clusters", seed, start);
    assert!(tally.wrong.is_empty(), "{} lives went wrong, seed {seed}", tally.wrong.len());
    assert!(tally.mid_run * 4 > kills, "only {} of {kills} were hit in the middle", tally.mid_run);
}
