//! Many JUnit files -> one result, in two passes: the first decides which cases count, the second gives them out.

use super::read::{self, Case, ReadError, Status, Suite, Tag};
use super::{Limits, MAX_TEXT};
use crate::results::Verdict;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, BufRead};

/// A file, which is read twice.
pub struct Source<'a> {
    /// What it is called; files are taken in the order of their names, and a name counts once.
    pub name: String,
    /// Opens it.
    pub open: Box<dyn Fn() -> io::Result<Box<dyn BufRead + 'a>> + 'a>,
}

/// What all files came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Foreign {
    /// The files, in order, with what counts of each.
    pub files: Vec<ForeignFile>,
    /// The first failures, in order.
    pub failures: Vec<ForeignFailure>,
    /// How many failures there are besides.
    pub more: usize,
}

/// What counts of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ForeignFile {
    /// Its name.
    pub name: String,
    /// Cases that passed.
    pub passed: usize,
    /// Those of them that failed before, as the file says.
    pub flaky: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases of which nothing is known.
    pub errored: usize,
    /// Cases that were not looked at.
    pub skipped: usize,
}

/// A case that went badly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeignFailure {
    /// The file.
    pub file: String,
    /// The suite.
    pub suite: String,
    /// The class, as tools name it.
    pub class: String,
    /// The case.
    pub name: String,
    /// Failed or errored.
    pub verdict: Verdict,
    /// What happened, in a line.
    pub message: String,
    /// More of it.
    pub detail: String,
}

/// This many failures are told one by one.
const MAX_FAILURES: usize = 200;
/// This much of the text of each is told.
const MAX_DETAIL: usize = 4 << 10;

/// What the second pass needs to know, and the result.
#[derive(Debug, Default)]
pub struct Merged {
    best: HashMap<Key, Best>,
    bad: HashMap<Key, Place>,
    /// Where the suites of each file begin.
    suites_of: Vec<usize>,
    suites: Vec<Counts>,
    sizes: [u64; MAX_TEXT.len()],
    /// What all files came to.
    pub foreign: Foreign,
    limits: Limits,
}

/// How many cases of a suite count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub tests: usize,
    /// Failed ones.
    pub failures: usize,
    /// Errored ones.
    pub errors: usize,
    /// Skipped ones.
    pub skipped: usize,
}

/// A suite of which at least one case counts.
#[derive(Debug)]
pub struct KeptSuite<'a> {
    /// The suite.
    pub suite: &'a Suite,
    /// How many of its cases count.
    pub counts: Counts,
}

/// What the second pass gives out, suite by suite.
#[derive(Debug)]
pub enum Kept<'a> {
    /// The cases after this belong to this suite.
    Suite(KeptSuite<'a>),
    /// A case that counts.
    Case(&'a Case),
}

/// 128 bits of SHA-256: nobody finds two cases with the same.
type Key = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    case: u32,
}

#[derive(Debug, Clone, Copy)]
struct Best {
    status: Status,
    flaky: bool,
    place: Place,
    suite: u32,
}

fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

fn identity(suite: &Suite, case: &Case) -> Key {
    key(&[suite.name.as_bytes(), case.class.as_bytes(), case.name.as_bytes()])
}

/// A failure is the same only if it says the same.
fn content(identity: &Key, case: &Case) -> Key {
    let texts: Vec<String> = case.parts.iter().map(|part| part.text.text()).collect();
    let time = case.time.unwrap_or(-1.0).to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![identity, &time];
    for (part, text) in case.parts.iter().zip(&texts) {
        let words = [part.tag.as_str(), &part.kind, &part.message, text];
        parts.extend(words.map(str::as_bytes));
    }
    key(&parts)
}

fn is_flaky(case: &Case) -> bool {
    case.parts.iter().any(|part| matches!(part.tag, Tag::FlakyFailure | Tag::FlakyError))
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Sorts files as the rules say.
fn in_order<'s, 'a>(sources: &'s [Source<'a>]) -> Vec<&'s Source<'a>> {
    let mut sorted: Vec<&Source<'_>> = sources.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    sorted.dedup_by(|one, other| one.name == other.name);
    sorted
}

fn open<'a>(source: &Source<'a>) -> Result<Box<dyn BufRead + 'a>, ReadError> {
    (source.open)().map_err(|source| ReadError::Io { at: 0, source })
}

impl Merged {
    /// The first pass: reads all files and decides what counts.
    ///
    /// # Errors
    /// The name of the first file that is no JUnit, and why.
    pub fn of(sources: &[Source<'_>], limits: &Limits) -> Result<Self, (String, ReadError)> {
        let mut merged = Self { limits: *limits, ..Self::default() };
        let mut total = 0_u64;
        for (file, source) in in_order(sources).into_iter().enumerate() {
            merged.look(file, source, &mut total).map_err(|error| (source.name.clone(), error))?;
        }
        merged.count();
        Ok(merged)
    }

    fn look(&mut self, file: usize, source: &Source<'_>, total: &mut u64) -> Result<(), ReadError> {
        self.foreign.files.push(ForeignFile { name: source.name.clone(), ..ForeignFile::default() });
        let first_suite = self.suites.len();
        self.suites_of.push(first_suite);
        let limits = self.limits;
        let mut number = 0_usize;
        read::read(open(source)?, &limits, &mut |suite, case| {
            *total += 1;
            if *total > limits.cases {
                return Err(ReadError::TooMany(limits.cases));
            }
            let suite_index = first_suite + usize::try_from(suite.number).unwrap_or_default();
            if self.suites.len() <= suite_index {
                self.suites.resize(suite_index + 1, Counts::default());
            }
            let place = Place { file: index(file), case: index(number) };
            number += 1;
            self.decide(suite, &case, place, suite_index);
            Ok(())
        })
    }

    fn decide(&mut self, suite: &Suite, case: &Case, place: Place, suite_index: usize) {
        let identity = identity(suite, case);
        let found = Best { status: case.status, flaky: is_flaky(case), place, suite: index(suite_index) };
        let best = self.best.entry(identity).or_insert(found);
        // A pass that was flaky anywhere stays flaky.
        if (found.status, found.flaky) > (best.status, best.flaky) {
            *best = found;
        }
        if case.status <= Status::Passed {
            return;
        }
        let std::collections::hash_map::Entry::Vacant(entry) = self.bad.entry(content(&identity, case))
        else {
            return;
        };
        entry.insert(place);
        for part in &case.parts {
            for (size, max) in self.sizes.iter_mut().zip(MAX_TEXT) {
                *size += u64::try_from(part.text.len().min(max)).unwrap_or_default();
            }
        }
        let counts = &mut self.suites[suite_index];
        counts.tests += 1;
        let Some(of_file) = self.foreign.files.last_mut() else { return };
        let verdict = if case.status == Status::Errored {
            counts.errors += 1;
            of_file.errored += 1;
            Verdict::Errored
        } else {
            counts.failures += 1;
            of_file.failed += 1;
            Verdict::Failed
        };
        if self.foreign.failures.len() == MAX_FAILURES {
            self.foreign.more += 1;
            return;
        }
        let (message, detail) = words(case);
        self.foreign.failures.push(ForeignFailure {
            file: of_file.name.clone(),
            suite: suite.name.clone(),
            class: case.class.clone(),
            name: case.name.clone(),
            verdict,
            message,
            detail,
        });
    }

    fn count(&mut self) {
        for best in self.best.values() {
            let file = usize::try_from(best.place.file).unwrap_or_default();
            let suite = usize::try_from(best.suite).unwrap_or_default();
            let (counts, of_file) = (&mut self.suites[suite], &mut self.foreign.files[file]);
            match best.status {
                Status::Skipped => {
                    counts.skipped += 1;
                    of_file.skipped += 1;
                }
                Status::Passed => {
                    of_file.passed += 1;
                    of_file.flaky += usize::from(best.flaky);
                }
                // Counted when they were met.
                Status::Failed | Status::Errored => continue,
            }
            counts.tests += 1;
        }
    }

    /// How much of each text is to be written so that all of them together stay below `budget` bytes.
    #[must_use]
    pub fn text_limit(&self, budget: u64) -> usize {
        let fits = self.sizes.iter().position(|size| *size <= budget);
        fits.map_or(0, |level| MAX_TEXT[level])
    }

    /// How many cases count in all.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.suites.iter().fold(Counts::default(), |sum, one| Counts {
            tests: sum.tests + one.tests,
            failures: sum.failures + one.failures,
            errors: sum.errors + one.errors,
            skipped: sum.skipped + one.skipped,
        })
    }

    /// The second pass: gives out what counts, in the order of the files. `sources` are those of the first pass; a
    /// file that has changed in between gives what it holds now of what counted then.
    ///
    /// # Errors
    /// A file that cannot be read any more, or `tell` gives up.
    pub fn each(
        &self,
        sources: &[Source<'_>],
        tell: &mut dyn FnMut(Kept<'_>) -> io::Result<()>,
    ) -> Result<(), (String, ReadError)> {
        for (file, source) in in_order(sources).into_iter().enumerate() {
            let mut number = 0_usize;
            let mut current = None;
            let first_suite = self.suites_of.get(file).copied().unwrap_or_default();
            let mut one = |suite: &Suite, case: Case| {
                let place = Place { file: index(file), case: index(number) };
                number += 1;
                if !self.counts(suite, &case, place) {
                    return Ok(());
                }
                let gave_up = |source| ReadError::Io { at: 0, source };
                if current != Some(suite.number) {
                    current = Some(suite.number);
                    let suite_index = first_suite + usize::try_from(suite.number).unwrap_or_default();
                    let counts = self.suites.get(suite_index).copied().unwrap_or_default();
                    tell(Kept::Suite(KeptSuite { suite, counts })).map_err(gave_up)?;
                }
                tell(Kept::Case(&case)).map_err(gave_up)
            };
            open(source)
                .and_then(|input| read::read(input, &self.limits, &mut one))
                .map_err(|error| (source.name.clone(), error))?;
        }
        Ok(())
    }

    fn counts(&self, suite: &Suite, case: &Case, place: Place) -> bool {
        let identity = identity(suite, case);
        if case.status > Status::Passed {
            return self.bad.get(&content(&identity, case)) == Some(&place);
        }
        self.best.get(&identity).is_some_and(|best| best.place == place)
    }
}

/// The message and the text of the part that says what went wrong.
fn words(case: &Case) -> (String, String) {
    let bad = |tag| matches!(tag, Tag::Error | Tag::Failure | Tag::RerunError | Tag::RerunFailure);
    let Some(part) = case.parts.iter().find(|part| bad(part.tag)) else {
        return ("it is marked as failed, without a reason".into(), String::new());
    };
    let text = part.text.text();
    let message = match part.message.trim() {
        "" => text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason is given").to_owned(),
        message => message.to_owned(),
    };
    (message, crate::types::head_and_tail(&text, MAX_DETAIL).into_owned())
}

impl Foreign {
    /// The verdict over all files.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let any = |count: fn(&ForeignFile) -> usize| self.files.iter().any(|file| count(file) > 0);
        match () {
            () if any(|file| file.errored) => Verdict::Errored,
            () if any(|file| file.failed) => Verdict::Failed,
            () if any(|file| file.flaky) => Verdict::Flaky,
            () if any(|file| file.passed) => Verdict::Passed,
            () => Verdict::Skipped,
        }
    }

    /// Cases in all.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.files.iter().map(|file| file.passed + file.failed + file.errored + file.skipped).sum()
    }
}
