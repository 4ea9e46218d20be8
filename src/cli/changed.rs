//! `--changed-since`: which combinations a change cannot affect. What differs between the work tree and the revision is
//! asked of git; where that touches something that a combination reads, the scenario and the stack are read and rendered
//! at the revision too, and both are compared. What cannot be compared counts as affected.

use super::exit::Exit;
use super::inputs::{self, FileArgs, Renderer};
use super::screen;
use crate::matrix::{self, Combination, Matrix};
use crate::plan::{self, Plan, PlanOptions, PlannedRun};
use crate::scenario::{self, Scenario, StackSelector};
use crate::stack::git::{GitError, Revision, work_tree};
use crate::stack::{self, Fingerprint, Reads, Stack, StackSource};
use crate::testbed::Settings;
use crate::types::{CombinationId, KubernetesMinor, ProviderKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is compared with, and with what.
pub(super) struct Since<'a> {
    /// As the user has typed it.
    pub(super) revision: &'a str,
    /// What scenario files may reach.
    pub(super) files: &'a FileArgs,
    /// Where Helm is.
    pub(super) settings: &'a Settings,
    /// Decided outside; the same for both plans.
    pub(super) options: &'a PlanOptions,
}

/// The combinations that the change cannot affect, each with the reason.
pub(super) fn unaffected(
    scenarios: &[Scenario],
    matrix: &Matrix,
    since: &Since<'_>,
) -> Result<BTreeMap<CombinationId, String>, Exit> {
    let runtime = inputs::runtime()?;
    let mut places = Places { revisions: BTreeMap::new(), since, runtime: &runtime };
    let mut spared = BTreeMap::new();
    let mut why: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in scenarios {
        places.know(&scenario.file)?;
        if scenario.stack.provider != ProviderKind::Scripted {
            for stack in stacks_of(scenario) {
                places.know(&stack.directory)?;
            }
        }
    }
    if places.revisions.is_empty() && !scenarios.is_empty() {
        let file = scenarios[0].file.display();
        let text = format!(
            "neither `{file}` nor its stack is in a git repository, so nothing has changed since anything"
        );
        screen::complain(&text, "leave `--changed-since` out, or check the repository out with its history");
        return Err(Exit::BadInput);
    }
    for scenario in scenarios {
        let own: Vec<&Combination> =
            matrix.combinations.iter().filter(|c| c.scenario == scenario.name).collect();
        let Some(change) = places.change(scenario, &own)? else { continue };
        for (combination, verdict) in own.into_iter().zip(change) {
            match verdict {
                Verdict::Spared(reason) => {
                    spared.insert(combination.id.clone(), reason);
                }
                Verdict::Affected(reason) => *why.entry(reason).or_default() += 1,
            }
        }
    }
    let all = matrix.combinations.len();
    let mut text = format!("changed since {}: {} of {all} combinations", since.revision, all - spared.len());
    for (reason, count) in why {
        text.push_str(&format!("\n  {count}: {reason}"));
    }
    screen::note(&text);
    Ok(spared)
}

/// The stack of a scenario, then those that its clusters may go to.
fn stacks_of(scenario: &Scenario) -> impl Iterator<Item = &StackSelector> {
    let stack = &scenario.stack;
    [Some(stack), stack.next.as_deref(), stack.other.as_deref()].into_iter().flatten()
}

/// Whether a change can affect a combination, and why or why not.
enum Verdict {
    Affected(String),
    Spared(String),
}

struct Places<'a> {
    /// By the beginning of the work tree.
    revisions: BTreeMap<PathBuf, Revision>,
    since: &'a Since<'a>,
    runtime: &'a tokio::runtime::Runtime,
}

/// What is read of a scenario: its file, and each minor of its stack.
struct Touched {
    file: Vec<PathBuf>,
    minors: BTreeMap<KubernetesMinor, Vec<PathBuf>>,
    /// What has changed of the stacks `next` and `other`.
    further: Vec<PathBuf>,
    /// A part that no repository knows.
    unknown: bool,
}

impl Places<'_> {
    /// Looks the revision up in the repository that the path lies in.
    fn know(&mut self, path: &Path) -> Result<(), Exit> {
        let Some(top) = work_tree(path) else { return Ok(()) };
        if self.revisions.contains_key(&top) {
            return Ok(());
        }
        let revision =
            self.runtime.block_on(Revision::of(&top, self.since.revision)).map_err(|error| refuse(&error))?;
        self.revisions.insert(top, revision);
        Ok(())
    }

    fn revision(&self, path: &Path) -> Option<&Revision> {
        self.revisions.get(&work_tree(path)?)
    }

    /// A verdict for each of these combinations; `None` if all of them count as affected.
    fn change(
        &self,
        scenario: &Scenario,
        combinations: &[&Combination],
    ) -> Result<Option<Vec<Verdict>>, Exit> {
        let stack = &scenario.stack;
        let source = if stack.provider == ProviderKind::Scripted {
            None
        } else {
            // What is wrong with it is told where it is planned.
            match stack::find(&stack.directory, stack.root.as_deref(), stack.provider, &stack.name) {
                Ok(source) => Some(source),
                Err(_) => return Ok(None),
            }
        };
        let touched = self.touched(scenario, source.as_ref())?;
        if touched.unknown {
            return Ok(None);
        }
        let unchanged =
            || format!("not affected: nothing that it is made of has changed since {}", self.since.revision);
        let mut comparison = None;
        let mut verdicts = Vec::new();
        for combination in combinations {
            let minors = minors_of(scenario, combination);
            let files: BTreeSet<&PathBuf> = touched
                .file
                .iter()
                .chain(minors.iter().filter_map(|minor| touched.minors.get(minor)).flatten())
                .collect();
            // A minor that the stack does not have may have gone with the change.
            let absent = minors.iter().find(|minor| source.is_some() && !touched.minors.contains_key(minor));
            // What the later releases and another stack render to is not compared: any change of theirs counts.
            if let Some(first) = touched.further.first() {
                verdicts.push(Verdict::Affected(shown(first, touched.further.len())));
                continue;
            }
            let first = files.first().map(|first| shown(first, files.len()));
            let first = first.or_else(|| Some(format!("the stack has no {}", absent?)));
            verdicts.push(match first {
                None => Verdict::Spared(unchanged()),
                Some(first) => {
                    let compared = comparison
                        .get_or_insert_with(|| self.compare(scenario, source.as_ref(), combinations));
                    match compared.as_ref().map(|found| found.verdict(combination, &minors)) {
                        Ok(Some(difference)) => Verdict::Affected(difference),
                        Ok(None) if files.is_empty() => Verdict::Spared(unchanged()),
                        Ok(None) => Verdict::Spared(format!(
                            "not affected: files have changed since {}, but nothing that it is made of",
                            self.since.revision
                        )),
                        Err(why) => Verdict::Affected(format!("{first} ({why})")),
                    }
                }
            });
        }
        Ok(Some(verdicts))
    }

    fn touched(&self, scenario: &Scenario, source: Option<&StackSource>) -> Result<Touched, Exit> {
        let mut touched =
            Touched { file: Vec::new(), minors: BTreeMap::new(), further: Vec::new(), unknown: false };
        match self.changed(&scenario.file, &[Reads::file(&scenario.file)])?.as_deref() {
            Some([files]) => touched.file.clone_from(files),
            _ => touched.unknown = true,
        }
        let minors = source.map(|source| source.minors.as_slice()).unwrap_or_default();
        let reads: Vec<Reads> =
            minors.iter().map(|minor| Reads::of(minor, &scenario.stack.directory)).collect();
        match self.changed(&scenario.stack.directory, &reads) {
            _ if reads.is_empty() => {}
            Ok(Some(files)) => {
                let minors = minors.iter().map(|minor| minor.kubernetes.minor());
                touched.minors = minors.zip(files).collect();
            }
            Ok(None) => touched.unknown = true,
            Err(exit) => return Err(exit),
        }
        for stack in stacks_of(scenario).skip(1) {
            let found = stack::find(&stack.directory, stack.root.as_deref(), stack.provider, &stack.name);
            let reads: Option<Vec<Reads>> = found
                .ok()
                .map(|source| source.minors.iter().map(|minor| Reads::of(minor, &stack.directory)).collect());
            match reads.map(|reads| self.changed(&stack.directory, &reads)).transpose()? {
                Some(Some(files)) => touched.further.extend(files.into_iter().flatten()),
                Some(None) | None => touched.unknown = true,
            }
        }
        touched.further.sort();
        touched.further.dedup();
        Ok(touched)
    }

    /// The changed files among what each of these reads; `None` if the repository does not know all of it.
    fn changed(&self, at: &Path, reads: &[Reads]) -> Result<Option<Vec<Vec<PathBuf>>>, Exit> {
        let Some(revision) = self.revision(at) else { return Ok(None) };
        let paths: BTreeSet<&PathBuf> = reads.iter().flat_map(Reads::paths).collect();
        if paths.iter().any(|path| !path.starts_with(revision.top())) {
            return Ok(None);
        }
        let among: Vec<PathBuf> = paths.into_iter().cloned().collect();
        let changed = self.runtime.block_on(revision.changed(&among)).map_err(|error| refuse(&error))?;
        let of = |reads: &Reads| changed.iter().filter(|file| reads.touched_by(file)).cloned().collect();
        Ok(Some(reads.iter().map(of).collect()))
    }

    /// Both states, planned; or why they cannot be compared.
    fn compare(
        &self,
        scenario: &Scenario,
        source: Option<&StackSource>,
        combinations: &[&Combination],
    ) -> Result<Comparison, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let folder = folder.path().canonicalize().map_err(|error| error.to_string())?;
        let mut parts =
            Parts { renderer: Renderer::new(self.since.settings).ok(), options: self.since.options };
        let (old, old_source) = self.earlier(scenario, source, &folder)?;
        let goals = |of: &Scenario| (of.stack.next.clone(), of.stack.other.clone(), of.refusals.clone());
        if goals(scenario) != goals(&old) {
            return Err("what its clusters go to is another".into());
        }
        let matrix =
            Matrix { combinations: combinations.iter().map(|c| (*c).clone()).collect(), ..Matrix::default() };
        let new =
            parts.state(scenario, source, &matrix).map_err(|why| format!("it cannot be planned: {why}"))?;
        let counterparts: Vec<Combination> = combinations
            .iter()
            .filter_map(|c| matrix::counterpart(&old, &c.values).filter(|found| found.id == c.id))
            .collect();
        let matrix = Matrix { combinations: counterparts, ..Matrix::default() };
        let old = parts
            .state(&old, old_source.as_ref(), &matrix)
            .map_err(|why| format!("what was there cannot be planned: {why}"))?;
        Ok(Comparison { old, new })
    }

    /// The scenario and its stack as they were, the stack's files in `folder`.
    fn earlier(
        &self,
        scenario: &Scenario,
        source: Option<&StackSource>,
        folder: &Path,
    ) -> Result<(Scenario, Option<StackSource>), String> {
        let revision = self.revision(&scenario.file).ok_or("the scenario is in no repository")?;
        let file = scenario.file.canonicalize().map_err(|error| error.to_string())?;
        let write = |revision: &Revision, path: PathBuf| {
            self.runtime
                .block_on(revision.write(&BTreeSet::from([path]), folder))
                .map_err(|error| error.to_string())
        };
        write(revision, file.clone())?;
        let below = file.strip_prefix(revision.top()).map_err(|error| error.to_string())?;
        let bytes = std::fs::read(folder.join(below)).map_err(|_| "the scenario is new".to_owned())?;
        let old = inputs::with_known(&self.since.files.trust, |known| {
            // As if the text stood where the file is now, so that the path of its stack means the same.
            scenario::parse_bytes(&bytes, &scenario.file, known)
        });
        let mut old = old.map_err(|_| "the scenario was not valid".to_owned())?;
        if source.is_none() {
            return Ok((old, None));
        }
        let named = std::path::absolute(&old.stack.directory).map_err(|error| error.to_string())?;
        let revision = self.revision(&old.stack.directory).ok_or("the stack was elsewhere")?;
        let real = named.canonicalize().map_err(|error| error.to_string())?;
        let named = if named.starts_with(revision.top()) { normal(&named) } else { real };
        let below = named.strip_prefix(revision.top()).map_err(|error| error.to_string())?;
        let apart = folder.join(".stack");
        std::fs::create_dir(&apart).map_err(|error| error.to_string())?;
        self.runtime
            .block_on(revision.write(&BTreeSet::from([named.clone()]), &apart))
            .map_err(|error| error.to_string())?;
        old.stack.directory = apart.join(below);
        let selector = &old.stack;
        let source = stack::find(&selector.directory, Some(&apart), selector.provider, &selector.name);
        let source = source.map_err(|error| error.to_string().replace('\n', " "))?;
        Ok((old, Some(source)))
    }
}

/// A path without `..`, as far as no link is on the way.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}

struct Parts<'a> {
    renderer: Option<Renderer>,
    options: &'a PlanOptions,
}

impl Parts<'_> {
    fn state(
        &mut self,
        scenario: &Scenario,
        source: Option<&StackSource>,
        matrix: &Matrix,
    ) -> Result<State, String> {
        let mut stacks: BTreeMap<String, Stack> = BTreeMap::new();
        let mut fingerprints = BTreeMap::new();
        if let Some(source) = source {
            let renderer = self.renderer.as_ref().ok_or("there is no Helm")?;
            let has: Vec<KubernetesMinor> = source.minors().collect();
            let wanted: Vec<KubernetesMinor> =
                plan::minors(scenario, matrix).into_iter().filter(|minor| has.contains(minor)).collect();
            let stack = renderer.render(source, &wanted).map_err(|error| first_line(&error.to_string()))?;
            for release in &stack.releases {
                let minor = release.kubernetes.minor();
                let found = source.minor(minor).ok_or("a minor is gone")?;
                let print = Fingerprint::of(found, release).map_err(|error| error.to_string())?;
                fingerprints.insert(minor, print);
            }
            stacks.insert(scenario.name.to_string(), stack);
        }
        let scenarios = std::slice::from_ref(scenario);
        let (plan, _) = plan::build(scenarios, matrix, &stacks, self.options)
            .map_err(|problems| problems.0.first().map(|p| p.message().to_owned()).unwrap_or_default())?;
        Ok(State { plan, fingerprints })
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// One state of a scenario and its stack.
struct State {
    plan: Plan,
    fingerprints: BTreeMap<KubernetesMinor, Fingerprint>,
}

struct Comparison {
    old: State,
    new: State,
}

impl Comparison {
    /// What is different for a combination; `None` if nothing is.
    fn verdict(&self, combination: &Combination, minors: &BTreeSet<KubernetesMinor>) -> Option<String> {
        let run = |state: &State| state.plan.runs.iter().find(|run| run.id == combination.id).map(meaning);
        let (Some(new), old) = (run(&self.new), run(&self.old)) else {
            return Some("it is not planned".into());
        };
        let Some(old) = old else { return Some("the combination is new".into()) };
        for minor in minors {
            let (new, old) = (self.new.fingerprints.get(minor), self.old.fingerprints.get(minor));
            let difference = match (new, old) {
                (Some(new), Some(old)) => new.difference(old),
                (None, None) => Vec::new(),
                _ => vec!["stack".to_owned()],
            };
            if !difference.is_empty() {
                return Some(format!("{} of {minor}", difference.join(", ")));
            }
        }
        (new != old).then(|| "what the scenario asks for".to_owned())
    }
}

/// A planned run without what does not matter to the cluster: how values are called, and what other combinations need.
fn meaning(run: &PlannedRun) -> PlannedRun {
    PlannedRun {
        name: String::new(),
        switches: BTreeMap::new(),
        next_release: None,
        digest: String::new(),
        ..run.clone()
    }
}

/// The minors that a combination runs on, one after the other.
fn minors_of(scenario: &Scenario, combination: &Combination) -> BTreeSet<KubernetesMinor> {
    let alone = Matrix { combinations: vec![combination.clone()], ..Matrix::default() };
    plan::minors(scenario, &alone)
}

fn shown(first: &Path, files: usize) -> String {
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    if files == 1 { name.into_owned() } else { format!("{name} and {} more files", files - 1) }
}

fn refuse(error: &GitError) -> Exit {
    let hint = match error {
        GitError::Hostile(_) => "name a commit, a branch or a tag, e.g. `--changed-since origin/main`",
        GitError::Unknown { shallow: true, .. } => {
            "the clone is shallow: fetch the history, e.g. with `git fetch --unshallow`"
        }
        GitError::Unknown { .. } => "`git branch --all` and `git tag` list what there is",
        GitError::Run(_) => "install git, or leave `--changed-since` out",
        GitError::Failed { .. } | GitError::Write(_) => "leave `--changed-since` out to plan everything",
    };
    screen::error(error, Some(hint));
    Exit::BadInput
}
