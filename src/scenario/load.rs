//! The files themselves: the only part of this module that touches the disk.

use super::problem::{Problem, Problems, SourceText, Span, quote};
use super::{Known, MAX_FILE, Scenario, StackSelector, parse_bytes, text};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

const MAX_FILES: usize = 1000;

/// Reads scenario files. A path may be a directory: then all `*.yaml` and `*.yml` files in it are read, in the order
/// of their names, without those that start with a dot and without its subdirectories. A file that is named twice
/// is read once.
///
/// # Errors
/// Every problem of every file.
pub fn load(paths: &[PathBuf], known: &Known<'_>) -> Result<Vec<Scenario>, Problems> {
    let mut problems = Vec::new();
    let mut scenarios: Vec<Scenario> = Vec::new();
    for file in files(paths, &mut problems) {
        match read(&file).map_err(|p| vec![p]).and_then(|bytes| parse_bytes(&bytes, &file, known)) {
            Ok(scenario) => {
                problems
                    .extend(known.root.as_deref().map(|root| outside(&scenario, root)).unwrap_or_default());
                scenarios.push(scenario);
            }
            Err(found) => problems.extend(found),
        }
    }
    let mut first: BTreeMap<&str, &Scenario> = BTreeMap::new();
    for scenario in &scenarios {
        match first.get(scenario.name.as_str()) {
            Some(other) => problems.push(
                scenario
                    .problem(
                        scenario.positions.name,
                        format!("two scenarios have the name `{}`", scenario.name),
                    )
                    .hint("rename one; results and clusters are named after it")
                    .related(&other.source, other.positions.name, "the other one"),
            ),
            None => {
                first.insert(scenario.name.as_str(), scenario);
            }
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(Problems(problems)) }
}

/// All files in the wanted order.
fn files(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut add = |file: PathBuf| {
        // What cannot be resolved is reported when it is read.
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        if !seen.contains(&real) {
            seen.push(real);
            files.push(file);
        }
    };
    for path in paths {
        if !path.is_dir() {
            add(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).and_then(|entries| {
            entries.take(MAX_FILES * 10).map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()
        });
        let mut found = match entries {
            Ok(entries) => entries,
            Err(error) => {
                problems.push(
                    Problem::of_file(path, format!("the directory cannot be read: {error}"))
                        .hint("check the path and its permissions"),
                );
                continue;
            }
        };
        found.retain(|file| {
            let yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
            let hidden = file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            yaml && !hidden && !file.is_dir()
        });
        found.sort();
        if found.is_empty() {
            problems.push(
                Problem::of_file(path, "there are no scenario files in this directory")
                    .hint("name a directory that holds `*.yaml` files; subdirectories are not searched"),
            );
        }
        found.into_iter().for_each(&mut add);
    }
    if files.len() > MAX_FILES {
        let message = format!("{} files are named, {MAX_FILES} are allowed", files.len());
        problems.push(
            Problem::of_file(&files[MAX_FILES], message).hint("run the command for one part after another"),
        );
        files.truncate(MAX_FILES);
    }
    files
}

fn read(file: &Path) -> Result<Vec<u8>, Problem> {
    let fail = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; it is relative to the directory you are in",
            _ => "check the path and its permissions",
        };
        Problem::of_file(file, format!("the file cannot be read: {error}")).hint(hint)
    };
    // A pipe or a device could deliver for ever, or never.
    let metadata = std::fs::metadata(file).map_err(fail)?;
    if !metadata.is_file() {
        return Err(
            Problem::of_file(file, "this is neither a file nor a directory").hint("name a scenario file")
        );
    }
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64 + 1;
    std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() > MAX_FILE {
        return Err(text::too_large(&SourceText::new(file, "")));
    }
    Ok(bytes)
}

/// A directory that leaves the root once links are followed. What does not exist leads nowhere; the stack says so.
fn outside(scenario: &Scenario, root: &Path) -> Vec<Problem> {
    let (stack, positions) = (&scenario.stack, &scenario.positions);
    let all = [
        (Some(stack), positions.directory),
        (stack.next.as_deref(), positions.next),
        (stack.other.as_deref(), positions.other),
    ];
    let problem = |(stack, at): (Option<&StackSelector>, Span)| {
        let directory = stack?.directory.canonicalize().ok()?;
        let inside = root.canonicalize().is_ok_and(|root| directory.starts_with(root));
        (!inside).then(|| {
            scenario
                .problem(at, "the directory leads out of the allowed one")
                .hint(format!("stacks of this command must be inside {}", quote(&root.to_string_lossy())))
        })
    };
    all.into_iter().filter_map(problem).collect()
}
