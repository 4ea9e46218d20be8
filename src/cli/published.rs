//! Scenarios that name releases, or want one to be built: releases -> a folder that is read like a stack's.

use super::exit::Exit;
use super::release::{AccessArgs, examined};
use super::{inputs, testbed};
use crate::release::read::{Place, read};
use crate::release::{self, Builder, Finding, Mode, Release, ReleaseName};
use crate::scenario::{BuildWith, Problem, Published, Scenario, Span, StackSelector};
use crate::testbed::Settings;
use crate::types::KubernetesMinor;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One of a scenario's stacks, and the place of its source.
pub(super) struct From<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) selector: &'a StackSelector,
    pub(super) at: Span,
}

/// The folder into which the releases of a stack are unpacked, once they are read or built, and checked; none for a
/// scenario whose stack is a folder anyway. It lies among what is kept, under the digest of its content, because
/// a run that is resumed needs it again.
pub(super) fn folder(
    from: &From<'_>,
    minors: &BTreeSet<KubernetesMinor>,
    access: &AccessArgs,
    settings: &Settings,
) -> Result<Result<Option<PathBuf>, Vec<Problem>>, Exit> {
    let From { scenario, selector, at } = *from;
    if selector.published.is_none() && selector.build.is_none() {
        return Ok(Ok(None));
    }
    let helm = testbed::helm(settings).map_err(|error| Exit::testbed(&error))?;
    let runtime = inputs::runtime()?;
    let made = match (&selector.published, selector.build) {
        (Some(published), _) => fetched(from, published, access, &runtime)?,
        (None, build) => built(from, minors, build, access, &helm, &runtime)?,
    };
    let (releases, mut problems) = made;
    for (at, release) in &releases {
        let findings = runtime.block_on(examined(release, Some(&helm)));
        problems.extend(findings.iter().map(|finding| contradiction(scenario, *at, release, finding)));
    }
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let releases: Vec<&Release> = releases.iter().map(|(_, release)| release).collect();
    let kept = kept(&releases, &settings.cache_dir);
    let kept = kept.map_err(|why| {
        let message = format!("its release cannot be unpacked: {why}");
        vec![scenario.problem(at, message).hint("this is about the machine: space, rights")]
    });
    Ok(kept.map(Some))
}

type Made = (Vec<(Span, Release)>, Vec<Problem>);

fn contradiction(scenario: &Scenario, at: Span, release: &Release, finding: &Finding) -> Problem {
    let Finding { rule, file, why, hint } = finding;
    scenario.problem(at, format!("{}: {file}: {why} [{rule}]", release.name)).hint(hint)
}

/// Reads the releases that a scenario names.
fn fetched(
    from: &From<'_>,
    published: &Published,
    access: &AccessArgs,
    runtime: &tokio::runtime::Runtime,
) -> Result<Made, Exit> {
    let From { scenario, selector: stack, .. } = *from;
    let (mut releases, mut problems): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    let client = access.client()?;
    let mut minors = BTreeSet::new();
    for (text, at) in published.releases.iter().zip(&published.positions) {
        let mut problem =
            |message: String, hint: &str| problems.push(scenario.problem(*at, message).hint(hint));
        let place = match Place::parse(&published.from) {
            Ok((place, None)) => place,
            Ok((_, Some(_))) => {
                problem("`from` has a tag; the release is the tag".into(), "write it without the tag");
                continue;
            }
            Err(error) => {
                problem(
                    error.to_string(),
                    "write oci://host/repository, github:owner/repository or a directory",
                );
                continue;
            }
        };
        let name = match text.parse::<ReleaseName>() {
            Ok(name) => name,
            Err(error) => {
                problem(error.to_string(), "releases are named as openstack-scs-1-34-v1");
                continue;
            }
        };
        if name.provider != stack.provider.as_str() || name.stack != stack.name.as_str() {
            problem(
                format!("{name} is no release of {}-{}", stack.provider, stack.name),
                "name a release of the scenario's stack",
            );
            continue;
        }
        if !minors.insert(name.minor) {
            problem(format!("there is another release for {}", name.minor), "name one for each minor");
            continue;
        }
        match runtime.block_on(read(&place, &name, &client)) {
            Ok(found) => {
                let wrong = found.findings.iter();
                problems.extend(wrong.map(|finding| contradiction(scenario, *at, &found.release, finding)));
                releases.push((*at, found.release));
            }
            Err(error) => problem(error.to_string(), error.hint()),
        }
    }
    Ok((releases, problems))
}

/// Builds a release for each minor that a scenario runs.
fn built(
    from: &From<'_>,
    minors: &BTreeSet<KubernetesMinor>,
    build: Option<BuildWith>,
    access: &AccessArgs,
    helm: &Path,
    runtime: &tokio::runtime::Runtime,
) -> Result<Made, Exit> {
    let builder = match build {
        Some(BuildWith::Csctl) => access.builder()?,
        Some(BuildWith::Own) | None => Builder::Own { helm: helm.to_path_buf() },
    };
    let From { scenario, selector, at } = *from;
    let (mut releases, mut problems) = (Vec::new(), Vec::new());
    for minor in minors {
        let made = release::open(&selector.directory, Some(*minor)).and_then(|folder| {
            let versioned = release::versions(&folder.config, &folder.files, Mode::Hash)?;
            runtime.block_on(release::build(&folder, versioned, &builder))
        });
        match made {
            Ok(built) => releases.push((at, built.release)),
            Err(error) => {
                let problem = scenario.problem(at, format!("{minor}: {error}"));
                problems.push(problem.hint("`stack-e2e release build` shows the same"));
            }
        }
    }
    Ok((releases, problems))
}

/// The folder with these releases unpacked, made if it is not there.
fn kept(releases: &[&Release], cache: &Path) -> Result<PathBuf, String> {
    let mut digest = Sha256::new();
    for release in releases {
        digest.update(release.name.dashed());
        for (name, bytes) in &release.assets {
            digest.update(format!("\n{name} {}\n", bytes.len()));
            digest.update(bytes);
        }
    }
    let mut name = String::new();
    for byte in &digest.finalize()[..16] {
        let _ = write!(name, "{byte:02x}");
    }
    let base = cache.join("releases");
    let folder = base.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&base).map_err(|error| error.to_string())?;
    let scratch =
        tempfile::Builder::new().prefix(".new-").tempdir_in(&base).map_err(|error| error.to_string())?;
    for release in releases {
        release::unpack(release, scratch.path()).map_err(|error| error.to_string())?;
    }
    // Somebody else may have been faster; theirs is the same.
    match std::fs::rename(scratch.path(), &folder) {
        Ok(()) => {
            let _ = scratch.keep();
            Ok(folder)
        }
        Err(_) if folder.is_dir() => Ok(folder),
        Err(error) => Err(error.to_string()),
    }
}
