//! The journal of a run: one event per line, in `journal.jsonl` of the run's directory, only ever appended to.
//!
//! ```text
//! {"v":1,"seq":7,"crc":"0f3a99c1","event":{"at":"…","unit":"…","kind":{…}}}
//! ```
//!
//! The checksum covers the whole line but itself. A line at the end that is cut short or damaged is what a crash
//! leaves: it is dropped, and what it said was never relied upon, as `append_durable` had not returned. A damaged
//! line with a good one after it is something else, and such a journal is not to be trusted.
//!
//! The journal only makes things faster and reports complete: what a run left behind is also found by its labels.

use super::redacted;
use crate::event::Event;
use crate::types::Redactor;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the file in the run's directory.
pub const FILE_NAME: &str = "journal.jsonl";

/// No event is longer; a file that says otherwise is no journal.
const MAX_LINE: u64 = 64 << 20;

/// Goes up when a reader of an older version could misunderstand a line.
const VERSION: u32 = 1;

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("could not {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process holds the journal.
    #[error("run `{run}` is being carried out by another process")]
    Locked {
        /// The name of the run's directory.
        run: String,
    },
    /// An event has no form as JSON; a defect of the harness.
    #[error("could not write an event as JSON")]
    Encode(#[source] serde_json::Error),
    /// A line in the middle is damaged.
    #[error("line {line} of `{}` is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A newer harness wrote it.
    #[error("line {line} of `{}` has format {found}, this version reads {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The format.
        found: u32,
    },
    /// An earlier write failed half way and could not be taken back.
    #[error("`{}` cannot be written any more: an earlier write failed", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// The end of a journal that a crash damaged, and that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// The first dropped line, from 1.
    pub line: usize,
    /// How many bytes were dropped.
    pub bytes: usize,
}

/// The journal of the run that this process carries out. It is locked until it is dropped.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    next: u64,
    /// Where the last whole line ends.
    length: u64,
    broken: bool,
}

impl Journal {
    /// Starts the journal of a new run; makes `directory` (0700) and the file (0600), both on disk when this returns.
    ///
    /// # Errors
    /// The directory has a journal already, or the file system refuses.
    pub fn create(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(FILE_NAME);
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io("create", directory))?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("create", &path))?;
        lock(&file, &path, directory)?;
        file.sync_all().map_err(io("sync", &path))?;
        sync_directory(directory)?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(Self { file, path, next: 0, length: 0, broken: false })
    }

    /// Goes on with the journal of a run that ended early; gives what it holds. A torn end is cut off.
    ///
    /// # Errors
    /// Another process holds it, it is damaged in the middle, or the file system refuses.
    pub fn reopen(directory: &Path) -> Result<(Self, Vec<Event>, Option<Torn>), JournalError> {
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().append(true).open(&path).map_err(io("open", &path))?;
        lock(&file, &path, directory)?;
        let content = std::fs::read(&path).map_err(io("read", &path))?;
        let (events, torn) = parse(&content, &path)?;
        let length = content.len() - torn.map_or(0, |torn| torn.bytes);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if torn.is_some() {
            file.set_len(length).map_err(io("truncate", &path))?;
            file.sync_all().map_err(io("sync", &path))?;
        }
        let next = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let journal = Self { file, path, next, length, broken: false };
        Ok((journal, events, torn))
    }

    /// Appends an event, redacted. A kill of this process does not lose it, a power loss may.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn append(&mut self, event: &Event, redactor: &Redactor) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        let line = line(self.next, &redacted(event, redactor)).map_err(JournalError::Encode)?;
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // Half a line must not stay: with a good line after it, the journal would be worthless.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(io("write", &self.path)(source));
        }
        self.next += 1;
        self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Appends an event and waits until it is on disk: for intents before the call, and for outcomes.
    ///
    /// # Errors
    /// The disk is full or gone; then the call that was to follow must not be made.
    pub fn append_durable(&mut self, event: &Event, redactor: &Redactor) -> Result<(), JournalError> {
        self.append(event, redactor)?;
        self.file.sync_data().map_err(io("sync", &self.path))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the journal of a run, whether or not another process is writing it.
///
/// # Errors
/// There is none, or it is damaged in the middle.
pub fn read(directory: &Path) -> Result<(Vec<Event>, Option<Torn>), JournalError> {
    let mut events = Vec::new();
    let torn = each(directory, &mut |event| events.push(event))?;
    Ok((events, torn))
}

/// The same event by event, so that a long journal is never held as a whole. What was told before an error is not to
/// be relied upon.
///
/// # Errors
/// There is none, or it is damaged in the middle.
pub fn each(directory: &Path, tell: &mut dyn FnMut(Event)) -> Result<Option<Torn>, JournalError> {
    let path = directory.join(FILE_NAME);
    let file = File::open(&path).map_err(io("read", &path))?;
    parse_each(BufReader::with_capacity(1 << 16, file), &path, tell)
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}

fn lock(file: &File, path: &Path, directory: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let name = directory.file_name().unwrap_or(directory.as_os_str());
            Err(JournalError::Locked { run: name.to_string_lossy().into_owned() })
        }
        Err(TryLockError::Error(source)) => Err(io("lock", path)(source)),
    }
}

fn sync_directory(directory: &Path) -> Result<(), JournalError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io("sync", directory))
}

fn line(seq: u64, event: &Event) -> serde_json::Result<String> {
    let event = serde_json::to_string(event)?;
    let (head, tail) = (format!(r#"{{"v":{VERSION},"seq":{seq}"#), format!(r#","event":{event}}}"#));
    let crc = checksum(&[head.as_bytes(), tail.as_bytes()]);
    Ok(format!("{head},\"crc\":\"{crc:08x}\"{tail}\n"))
}

enum Bad {
    Damaged(String),
    /// Whole, but not what belongs here: lines before it are missing or double.
    Order(String),
    Version(u32),
}

/// Strict on purpose: a line is what `line` writes, byte for byte.
fn parse_line(text: &[u8], seq: usize) -> Result<Event, Bad> {
    let damaged = |why: &str| Bad::Damaged(why.to_owned());
    let text = std::str::from_utf8(text).map_err(|_| damaged("it is not UTF-8"))?;
    let (head, rest) = text.split_once(r#","crc":""#).ok_or_else(|| damaged("it has no checksum"))?;
    let (crc, tail) = rest.split_at_checked(8).ok_or_else(|| damaged("it is cut short"))?;
    let tail = tail.strip_prefix('"').ok_or_else(|| damaged("it is cut short"))?;
    if crc != format!("{:08x}", checksum(&[head.as_bytes(), tail.as_bytes()])) {
        return Err(damaged("its checksum is wrong"));
    }
    let (version, found) = head
        .strip_prefix(r#"{"v":"#)
        .and_then(|head| head.split_once(r#","seq":"#))
        .ok_or_else(|| damaged("it has no sequence number"))?;
    match version.parse() {
        Ok(VERSION) => {}
        Ok(other) => return Err(Bad::Version(other)),
        Err(_) => return Err(damaged("it has no format version")),
    }
    if found.parse() != Ok(seq) {
        return Err(Bad::Order(format!("number {found} stands where {seq} belongs")));
    }
    let event = tail
        .strip_prefix(r#","event":"#)
        .and_then(|tail| tail.strip_suffix('}'))
        .ok_or_else(|| damaged("it has no event"))?;
    serde_json::from_str(event).map_err(|error| Bad::Damaged(format!("its event cannot be read: {error}")))
}

fn parse(content: &[u8], path: &Path) -> Result<(Vec<Event>, Option<Torn>), JournalError> {
    let mut events = Vec::new();
    let torn = parse_each(content, path, &mut |event| events.push(event))?;
    Ok((events, torn))
}

fn parse_each(
    mut input: impl BufRead,
    path: &Path,
    tell: &mut dyn FnMut(Event),
) -> Result<Option<Torn>, JournalError> {
    let corrupt = |line, why| Err(JournalError::Corrupt { path: path.to_owned(), line, why });
    let mut bad: Option<(Torn, String)> = None;
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        // One line more than the limit is enough to see that it is too long.
        let read =
            input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut text).map_err(io("read", path))?;
        if read == 0 {
            break;
        }
        if u64::try_from(read).unwrap_or(u64::MAX) > MAX_LINE {
            return corrupt(number, format!("it is longer than {MAX_LINE} bytes"));
        }
        let whole = text.pop_if(|last| *last == b'\n').is_some();
        let parsed = match parse_line(&text, number - 1) {
            Ok(event) if whole => Ok(event),
            Ok(_) => Err(Bad::Damaged("its end is missing".into())),
            Err(error) => Err(error),
        };
        match (parsed, &mut bad) {
            (Ok(event), None) => tell(event),
            (Ok(_) | Err(Bad::Order(_)), Some((torn, why))) => {
                return corrupt(torn.line, std::mem::take(why));
            }
            (Err(Bad::Order(why)), None) => return corrupt(number, why),
            (Err(Bad::Version(found)), _) => {
                return Err(JournalError::Version { path: path.to_owned(), line: number, found });
            }
            (Err(Bad::Damaged(why)), None) => bad = Some((Torn { line: number, bytes: read }, why)),
            (Err(Bad::Damaged(_)), Some((torn, _))) => torn.bytes += read,
        }
    }
    Ok(bad.map(|(torn, _)| torn))
}

/// CRC-32 as in gzip and PNG: finds every damage of up to 32 bits in a row, and all single bit flips.
fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(!0, |crc, byte| {
        let index = usize::from(crc.to_le_bytes()[0] ^ byte);
        (crc >> 8) ^ TABLE[index]
    })
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut seed: u32 = 0;
    while index < 256 {
        let mut value = seed;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
        seed += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::script::{self, Script};
    use crate::types::Secret;

    fn events() -> Vec<Event> {
        script::one_failure().events()
    }

    fn written(events: &[Event]) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("run");
        let mut journal = Journal::create(&dir).unwrap();
        for event in events {
            journal.append(event, &Redactor::default()).unwrap();
        }
        (home, dir)
    }

    #[test]
    fn the_checksum_is_the_one_of_gzip() {
        assert_eq!(checksum(&[b"1234", b"56789"]), 0xCBF4_3926);
    }

    #[test]
    fn what_was_written_is_read() {
        let events = events();
        let (_home, dir) = written(&events);
        assert_eq!(read(&dir).unwrap(), (events, None));
    }

    #[test]
    fn cut_at_every_byte_it_gives_a_prefix_and_can_be_continued() {
        let events = events();
        let (_home, dir) = written(&events);
        let path = dir.join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (found, torn) = read(&dir).unwrap();
            assert!(events.starts_with(&found), "cut at {cut}");
            let good: usize = whole[..cut].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            assert_eq!(torn.map_or(0, |torn| torn.bytes), cut - good, "cut at {cut}");
        }
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (mut journal, found, torn) = Journal::reopen(&dir).unwrap();
        assert_eq!(found.len(), events.len() - 1);
        assert!(torn.is_some());
        journal.append_durable(events.last().unwrap(), &Redactor::default()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_flipped_bit_never_changes_what_is_read() {
        let events = events();
        let (_home, dir) = written(&events);
        let path = dir.join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        let last_line = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            match parse(&damaged, &path) {
                Ok((found, Some(_))) => {
                    assert!(at >= last_line, "a flip at {at} was taken for a torn end");
                    assert!(events.starts_with(&found));
                }
                Ok((found, None)) => panic!("a flip at {at} was not seen: {} events", found.len()),
                Err(JournalError::Corrupt { line, .. }) => {
                    let lines = whole[..at].iter().filter(|b| **b == b'\n').count();
                    assert_eq!(line, lines + 1, "a flip at {at}");
                }
                Err(other) => panic!("a flip at {at}: {other}"),
            }
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let (_home, dir) = written(&events());
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("provision", "provisiom", 1)).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(
            error.starts_with("line 1 of `") && error.ends_with("is damaged: its checksum is wrong"),
            "{error}"
        );
    }

    #[test]
    fn a_line_that_is_missing_or_twice_there_is_refused() {
        let (_home, dir) = written(&events());
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let without: Vec<&str> = lines[..1].iter().chain(&lines[2..]).copied().collect();
        let twice: Vec<&str> = lines[..2].iter().chain(&lines[1..]).copied().collect();
        for (lines, wanted) in [
            (without, "line 2 of `j` is damaged: number 2 stands where 1 belongs"),
            (twice, "line 3 of `j` is damaged: number 1 stands where 2 belongs"),
        ] {
            let text = lines.join("\n") + "\n";
            let error = parse(text.as_bytes(), Path::new("j")).unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let head = r#"{"v":2,"seq":0"#;
        let tail = r#","event":{}}"#;
        let crc = checksum(&[head.as_bytes(), tail.as_bytes()]);
        let text = format!("{head},\"crc\":\"{crc:08x}\"{tail}\n");
        let error = parse(text.as_bytes(), Path::new("j")).unwrap_err();
        assert_eq!(error.to_string(), "line 1 of `j` has format 2, this version reads 1");
    }

    #[test]
    fn two_processes_cannot_write_one_journal() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("01k");
        let held = Journal::create(&dir).unwrap();
        let error = Journal::reopen(&dir).unwrap_err();
        assert_eq!(error.to_string(), "run `01k` is being carried out by another process");
        assert!(Journal::create(&dir).is_err(), "a run is not started twice");
        drop(held);
        Journal::reopen(&dir).unwrap();
    }

    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_home, dir) = written(&[]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(FILE_NAME))), (0o700, 0o600));
    }

    #[test]
    fn secrets_do_not_reach_it() {
        let mut redactor = Redactor::default();
        assert!(redactor.add(&Secret::new("correct-horse")));
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("run");
        let mut journal = Journal::create(&dir).unwrap();
        let script =
            Script::new().unit("a", &["provision"]).started().fails("a", "provision", "correct-horse");
        for event in script.events() {
            journal.append(&event, &redactor).unwrap();
        }
        let text = std::fs::read_to_string(journal.path()).unwrap();
        assert!(!text.contains("correct-horse") && text.contains("[redacted]"), "{text}");
    }

    #[test]
    fn a_full_disk_is_named_and_leaves_whole_lines() {
        // `/dev/full` takes nothing; it stands in for a disk without space.
        let Ok(file) = OpenOptions::new().append(true).open("/dev/full") else {
            return;
        };
        let mut journal =
            Journal { file, path: "/run/journal.jsonl".into(), next: 0, length: 0, broken: false };
        let error = journal.append(&events()[0], &Redactor::default()).unwrap_err();
        assert_eq!(error.to_string(), "could not write `/run/journal.jsonl`");
        // What cannot be taken back ends the journal: no good line may follow a damaged one.
        let error = journal.append(&events()[0], &Redactor::default()).unwrap_err();
        assert!(matches!(error, JournalError::Broken { .. }), "{error}");
    }
}
