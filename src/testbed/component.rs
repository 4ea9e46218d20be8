//! What the testbed consists of, at which versions. The versions are those of `testbed/go.mod` and stand nowhere else.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The Go module that pins every component.
pub(super) const GO_MOD: &str = include_str!("../../testbed/go.mod");
/// The checksums of everything the module needs.
pub(super) const GO_SUM: &str = include_str!("../../testbed/go.sum");

/// A program of the testbed that is built from a Go module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// The name of the binary, and of the component everywhere else.
    pub name: &'static str,
    /// The Go package with its `main`.
    pub package: &'static str,
    /// The module whose version the component has.
    pub module: &'static str,
    /// The Go package that holds the version, when the program shows one from there.
    pub version_package: Option<&'static str>,
}

const fn component(
    name: &'static str,
    package: &'static str,
    module: &'static str,
    version_package: Option<&'static str>,
) -> Component {
    Component { name, package, module, version_package }
}

const KUBERNETES: &str = "k8s.io/kubernetes";
const KUBERNETES_VERSION: Option<&str> = Some("k8s.io/component-base/version");
const CAPI: &str = "sigs.k8s.io/cluster-api";
const CAPI_TEST: &str = "sigs.k8s.io/cluster-api/test";
const CAPI_VERSION: Option<&str> = Some("sigs.k8s.io/cluster-api/version");

/// Every component, in the order of building: small ones first, so that a broken toolchain shows early.
pub(super) const COMPONENTS: [Component; 9] = [
    component("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "sigs.k8s.io/kustomize/kustomize/v5", None),
    component("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", None),
    component("helm", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4", None),
    component("capi-core", "sigs.k8s.io/cluster-api/core", CAPI, CAPI_VERSION),
    component("capi-bootstrap", "sigs.k8s.io/cluster-api/bootstrap/kubeadm", CAPI, CAPI_VERSION),
    component("capi-control-plane", "sigs.k8s.io/cluster-api/controlplane/kubeadm", CAPI, CAPI_VERSION),
    component("capi-dev", "sigs.k8s.io/cluster-api/test/infrastructure/docker", CAPI_TEST, CAPI_VERSION),
    component("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES, KUBERNETES_VERSION),
    component(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        KUBERNETES,
        KUBERNETES_VERSION,
    ),
];

/// A Cluster API provider: where its manifests are, and which gates it gets.
#[derive(Debug)]
pub(super) struct Provider {
    /// The component that runs it.
    pub component: &'static str,
    /// The module that holds its manifests.
    pub module: &'static str,
    /// The directory of its manifests in the module.
    pub config: &'static str,
    /// Its feature gates.
    pub gates: &'static str,
    /// Flags of its own.
    pub flags: &'static [&'static str],
}

/// The providers in the order of their start; the infrastructure provider has most to do, so it goes first.
pub(super) const PROVIDERS: [Provider; 4] = [
    Provider {
        component: "capi-dev",
        module: CAPI_TEST,
        config: "infrastructure/docker/config/default",
        gates: "ClusterTopology=true,MachinePool=true",
        flags: &[],
    },
    Provider {
        component: "capi-core",
        module: CAPI,
        config: "core/config/default",
        gates: "ClusterTopology=true,MachinePool=true,RuntimeSDK=true",
        flags: &[],
    },
    Provider {
        component: "capi-control-plane",
        module: CAPI,
        config: "controlplane/kubeadm/config/default",
        gates: "ClusterTopology=true",
        flags: &[],
    },
    Provider {
        component: "capi-bootstrap",
        module: CAPI,
        config: "bootstrap/kubeadm/config/default",
        gates: "MachinePool=true",
        flags: &[],
    },
];

/// The version that `go_mod` requires of `module`.
pub(super) fn module_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ").trim_start();
        let mut words = line.split_whitespace();
        (words.next()? == module).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    })
}

/// The least Go version that `go_mod` asks for.
pub(super) fn go_version(go_mod: &str) -> Option<&str> {
    go_mod.lines().find_map(|line| line.strip_prefix("go ")).map(str::trim)
}

/// Whether a Go version such as `go1.26.8` or `1.26rc1` is at least `needed`.
pub(super) fn go_is_enough(found: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let text = text.trim().trim_start_matches("go");
        // What follows the numbers (`rc1`, ` X:experiment`) decides nothing here.
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts: Vec<u32> = text[..end].split('.').filter_map(|part| part.parse().ok()).collect();
        parts.resize(3, 0);
        parts
    };
    numbers(found) >= numbers(needed)
}

impl Component {
    /// The component with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        COMPONENTS.iter().find(|component| component.name == name)
    }

    /// The pinned version.
    pub(super) fn version(&self) -> &'static str {
        module_version(GO_MOD, self.module).unwrap_or("v0.0.0")
    }

    /// The linker's flags: no debug information, and the version where the program looks for it.
    pub(super) fn ldflags(&self) -> String {
        let mut flags = String::from("-s -w");
        if let Some(package) = self.version_package {
            let version = self.version();
            let mut numbers = version.trim_start_matches('v').split('.');
            let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
            // Writing into a String cannot fail.
            let _ = write!(
                flags,
                " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
                 -X {package}.gitTreeState=clean"
            );
        }
        flags
    }
}

/// The name of the cache of exactly these versions, built in exactly this way.
pub(super) fn cache_key() -> String {
    let mut hash = Sha256::new();
    for part in [GO_MOD, GO_SUM, std::env::consts::ARCH] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    for component in &COMPONENTS {
        hash.update(component.package);
        hash.update(component.ldflags());
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_and_provider_has_a_pinned_version() {
        for component in &COMPONENTS {
            assert!(
                module_version(GO_MOD, component.module).is_some(),
                "{} names a module that go.mod pins",
                component.name
            );
            assert!(
                GO_MOD.lines().any(|line| line.trim().trim_start_matches("tool ") == component.package),
                "{} is a tool of go.mod, or `go mod tidy` would drop it",
                component.name
            );
        }
        for provider in &PROVIDERS {
            assert!(Component::named(provider.component).is_some());
        }
        assert!(go_version(GO_MOD).is_some());
    }

    #[test]
    fn versions_are_read_from_blocks_and_single_lines() {
        let go_mod = "module x\n\ngo 1.26.0\n\nrequire a.b/c v1.2.3 // indirect\nrequire (\n\ta.b/c/d v0.1.0\n)\n\
                      replace a.b/z => a.b/y v9.9.9\n";
        assert_eq!(module_version(go_mod, "a.b/c"), Some("v1.2.3"));
        assert_eq!(module_version(go_mod, "a.b/c/d"), Some("v0.1.0"));
        assert_eq!(module_version(go_mod, "a.b/z"), None);
        assert_eq!(go_version(go_mod), Some("1.26.0"));
    }

    #[test]
    fn go_versions_compare_by_number() {
        for (found, needed, enough) in [
            ("go1.26.8", "1.26.0", true),
            ("go1.26", "1.26.0", true),
            ("go1.9.7", "1.26.0", false),
            ("go1.27rc1", "1.26.0", true),
            ("go1.26.1 X:nocoverageredesign", "1.26.0", true),
            ("go2.0", "1.26.0", true),
            ("devel", "1.26.0", false),
        ] {
            assert_eq!(go_is_enough(found, needed), enough, "{found} for {needed}");
        }
    }

    #[test]
    fn the_version_reaches_the_linker() {
        let flags = Component::named("kube-apiserver").map(Component::ldflags).unwrap_or_default();
        assert!(flags.contains("version.gitVersion=v1."), "{flags}");
        assert!(flags.contains("version.gitMajor=1 "), "{flags}");
    }
}
