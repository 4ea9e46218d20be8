//! Versions of add-ons.

use super::{Finding, Subject};
use crate::stack::{Dependency, MinorSource};
use crate::types::KubernetesMinor;
use std::cmp::Ordering;

/// Charts of the cloud provider for OpenStack, whose 2.NN is released for Kubernetes 1.NN.
const WITH_KUBERNETES: [&str; 2] = ["openstack-cloud-controller-manager", "openstack-cinder-csi"];

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, minors) in subject.folders() {
        if let Some(minor) = minors.first() {
            files(subject, minor, &mut findings);
        }
        for minor in minors {
            kubernetes(subject, minor, &mut findings);
            for component in minor.components.iter().filter(|component| component.applies_to.is_empty()) {
                let about = format!("{} {} {}", subject.name(), minor.kubernetes.minor(), component.name);
                let why =
                    format!("`{}: {}` belongs to no add-on of the stack", component.name, component.version);
                findings.push(Finding::new("component-unused", component.at.clone(), about, why));
            }
        }
    }
    for pair in subject.source.minors.windows(2) {
        backwards(subject, &pair[0], &pair[1], &mut findings);
    }
    findings
}

fn dependencies(minor: &MinorSource) -> impl Iterator<Item = (&str, &Dependency, &[String])> {
    minor.addon_charts.iter().flat_map(|addon| {
        let of = move |dependency| (addon.stage.as_str(), dependency, addon.chart.vendored.as_slice());
        addon.chart.dependencies.iter().map(of)
    })
}

/// What lies beside Chart.yaml and what it says.
fn files(subject: &Subject, minor: &MinorSource, findings: &mut Vec<Finding>) {
    for (stage, dependency, vendored) in dependencies(minor) {
        let Dependency { name, wanted, at, .. } = dependency;
        // A range is not compared.
        if numbers(wanted).is_none() {
            continue;
        }
        let about = format!("{} {} {stage}/{name}", subject.name(), minor.kubernetes.minor());
        if let Some(locked) = dependency.locked.as_ref().filter(|locked| plain(locked) != plain(wanted)) {
            let why = format!("Chart.yaml wants {name} {wanted}, Chart.lock has {locked}");
            findings.push(Finding::new("addon-lock", at.clone(), about.clone(), why));
        }
        let archives: Vec<&str> = vendored
            .iter()
            .filter_map(|file| {
                let version = file.strip_suffix(".tgz")?.strip_prefix(name.as_str())?.strip_prefix('-')?;
                numbers(version).map(|_| version)
            })
            .collect();
        if !archives.is_empty() && !archives.iter().any(|version| plain(version) == plain(wanted)) {
            let why = format!("Chart.yaml wants {name} {wanted}, charts/ has {}", archives.join(", "));
            findings.push(Finding::new("addon-vendored", at.clone(), about, why));
        }
    }
}

fn kubernetes(subject: &Subject, minor: &MinorSource, findings: &mut Vec<Finding>) {
    let own = minor.kubernetes.minor();
    for (stage, dependency, _) in dependencies(minor) {
        let Dependency { name, version, .. } = dependency;
        let theirs = numbers(version).and_then(|numbers| numbers.get(1).copied());
        let Some(theirs) = theirs.filter(|_| WITH_KUBERNETES.contains(&name.as_str())) else { continue };
        if own.dashed() != format!("1-{theirs}") {
            let about = format!("{} {own} {stage}/{name}", subject.name());
            let why =
                format!("{name} {version} is released for Kubernetes 1.{theirs}, the stack is of {own}");
            findings.push(Finding::new("addon-minor", dependency.at.clone(), about, why));
        }
    }
}

fn backwards(subject: &Subject, older: &MinorSource, newer: &MinorSource, findings: &mut Vec<Finding>) {
    let known: Vec<(&str, &Dependency)> =
        dependencies(older).map(|(stage, found, _)| (stage, found)).collect();
    for (stage, dependency, _) in dependencies(newer) {
        // By name: stages were introduced later, and the chart is the same one.
        let before = known.iter().find(|(_, found)| found.name == dependency.name);
        let Some((_, before)) = before else { continue };
        if compared(&dependency.version, &before.version) == Some(Ordering::Less) {
            let minor = |minor: &MinorSource| -> KubernetesMinor { minor.kubernetes.minor() };
            let about = format!("{} {} {stage}/{}", subject.name(), minor(newer), dependency.name);
            let why = format!(
                "{} is {} in {}, and {} in the older {}",
                dependency.name,
                dependency.version,
                minor(newer),
                before.version,
                minor(older)
            );
            findings.push(Finding::new("addon-backwards", dependency.at.clone(), about, why));
        }
    }
}

fn plain(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

/// The numbers of a version; none for a range or a text.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let version = plain(version);
    let version = version.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() >= 2)
}

fn compared(one: &str, other: &str) -> Option<Ordering> {
    Some(numbers(one)?.cmp(&numbers(other)?))
}
