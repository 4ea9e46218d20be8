//! Which versions a release bears, by the modes of `csctl`. Pure.

use super::folder::Config;
use super::hash::{Files, Hashes};
use super::metadata::Metadata;
use super::name::{ReleaseName, ReleaseVersion};
use super::{Release, ReleaseError};

/// How versions are made.
#[derive(Debug, Clone)]
pub enum Mode {
    /// `v1`, or what follows the latest release of this minor.
    Stable {
        /// The latest release; none if there never was one.
        previous: Option<Box<Release>>,
    },
    /// `v0-sha.<hash>`, from the content.
    Hash,
    /// `v0-git.<commit>`.
    Git {
        /// The first characters of the commit's id.
        commit: String,
    },
    /// As given.
    Custom {
        /// Of the whole.
        cluster_stack: ReleaseVersion,
        /// Of the add-ons.
        cluster_addon: ReleaseVersion,
        /// Of the node image.
        node_image: Option<ReleaseVersion>,
    },
}

/// A release that is to be built.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// Its name.
    pub name: ReleaseName,
    /// Its versions.
    pub metadata: Metadata,
    /// The hashes of what it is built from.
    pub hashes: Hashes,
    /// The release that it follows.
    pub previous: Option<Box<Release>>,
    /// What `csctl` would not see: that something has changed at all.
    pub unseen_by_csctl: bool,
}

/// Names a release, and gives its parts their versions.
///
/// # Errors
/// The earlier release is not of this stack and minor, or cannot be read.
pub fn versions(config: &Config, files: &Files, mode: Mode) -> Result<Versioned, ReleaseError> {
    let wrong = |why: String| ReleaseError::Previous(why);
    let hashes = Hashes::of(files).map_err(|path| ReleaseError::Source {
        path: path.into(),
        problems: vec!["has a line break in its name, which the hash of Go modules does not allow".into()],
    })?;
    let kubernetes = config.kubernetes;
    let alike = |version: ReleaseVersion| Metadata {
        cluster_stack: version.clone(),
        kubernetes,
        cluster_addon: version.clone(),
        node_image: Some(version),
    };
    let channel = |channel: &str, patch: &str| {
        ReleaseVersion::unstable(channel, patch).map(alike).map_err(|error| ReleaseError::Source {
            path: "csctl.yaml".into(),
            problems: vec![error.to_string()],
        })
    };
    let mut unseen_by_csctl = false;
    let (metadata, previous) = match mode {
        Mode::Stable { previous: None } => (alike(ReleaseVersion::FIRST), None),
        Mode::Hash => (channel("sha", hashes.short())?, None),
        Mode::Git { commit } => (channel("git", &commit)?, None),
        Mode::Custom { cluster_stack, cluster_addon, node_image } => {
            (Metadata { cluster_stack, kubernetes, cluster_addon, node_image }, None)
        }
        Mode::Stable { previous: Some(previous) } => {
            let name = &previous.name;
            if name.provider != config.provider
                || name.stack != config.stack
                || name.minor != kubernetes.minor()
            {
                let (provider, stack) = (&config.provider, &config.stack);
                return Err(wrong(format!(
                    "{name} is no release of {provider}-{stack} for {}",
                    kubernetes.minor()
                )));
            }
            let asset =
                |file: &str| previous.assets.get(file).ok_or_else(|| wrong(format!("{name} has no {file}")));
            let old = Metadata::parse(asset("metadata.yaml")?)
                .map_err(|problems| wrong(format!("metadata.yaml of {name}: {}", problems.join("; "))))?;
            let old_hashes: Hashes = serde_json::from_slice(asset("hashes.json")?)
                .map_err(|error| wrong(format!("hashes.json of {name}: {error}")))?;
            let next = |what: &str, version: &ReleaseVersion| {
                let why = format!("{what} of {name} is {version}, which no stable version follows");
                version.next().ok_or_else(|| wrong(why))
            };
            let cluster_addon = if hashes.same_addons(&old_hashes) {
                old.cluster_addon
            } else {
                next("the version of the add-ons", &old.cluster_addon)?
            };
            let node_image = match old.node_image {
                Some(image) if hashes.node_image_dir != old_hashes.node_image_dir => {
                    Some(next("the version of the node image", &image)?)
                }
                other => other,
            };
            let cluster_stack = next("the version", &old.cluster_stack)?;
            unseen_by_csctl = hashes.same_for_csctl(&old_hashes);
            (Metadata { cluster_stack, kubernetes, cluster_addon, node_image }, Some(previous))
        }
    };
    let name = ReleaseName {
        provider: config.provider.clone(),
        stack: config.stack.clone(),
        minor: kubernetes.minor(),
        version: metadata.cluster_stack.clone(),
    };
    Ok(Versioned { name, metadata, hashes, previous, unseen_by_csctl })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            provider: "docker".into(),
            stack: "scs".into(),
            kubernetes: "v1.34.7".parse().unwrap(),
            plugin: None,
        }
    }

    fn files(class: &str, addon: &str) -> Files {
        let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
        [file("cluster-class/Chart.yaml", class), file("cluster-addon/cni/Chart.yaml", addon)].into()
    }

    fn release(name: &str, metadata: &str, hashes: &Hashes) -> Box<Release> {
        let assets = [
            ("metadata.yaml".to_owned(), metadata.as_bytes().to_vec()),
            ("hashes.json".to_owned(), hashes.to_json().into_bytes()),
        ];
        Box::new(Release { name: name.parse().unwrap(), assets: assets.into() })
    }

    fn metadata(stack: &str, addon: &str) -> String {
        format!(
            "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions: {{clusterStack: {stack}, kubernetes: v1.34.1, \
             components: {{clusterAddon: {addon}, nodeImage: v1}}}}"
        )
    }

    #[test]
    fn modes_give_versions() {
        let files = files("a", "b");
        let short = Hashes::of(&files).unwrap().short().to_owned();
        let git = Mode::Git { commit: "61bd4cd".into() };
        let custom = Mode::Custom {
            cluster_stack: "v7".parse().unwrap(),
            cluster_addon: "v3".parse().unwrap(),
            node_image: None,
        };
        for (mode, name, addon) in [
            (Mode::Stable { previous: None }, "docker-scs-1-34-v1".to_owned(), "v1".to_owned()),
            (Mode::Hash, format!("docker-scs-1-34-v0-sha-{short}"), format!("v0-sha.{short}")),
            (git, "docker-scs-1-34-v0-git-61bd4cd".into(), "v0-git.61bd4cd".into()),
            (custom, "docker-scs-1-34-v7".into(), "v3".into()),
        ] {
            let found = versions(&config(), &files, mode).unwrap();
            assert_eq!(found.name.dashed(), name);
            assert_eq!(found.metadata.cluster_addon.to_string(), addon);
        }
        assert!(versions(&config(), &files, Mode::Git { commit: "a-b".into() }).is_err());
    }

    #[test]
    fn a_stable_release_follows_the_latest() {
        let old = Hashes::of(&files("a", "b")).unwrap();
        let previous = || release("docker-scs-1-34-v4", &metadata("v4", "v2"), &old);
        for (class, addon, expect, unseen) in
            [("a", "B", ("v5", "v3"), false), ("A", "b", ("v5", "v2"), true), ("a", "b", ("v5", "v2"), true)]
        {
            let mode = Mode::Stable { previous: Some(previous()) };
            let found = versions(&config(), &files(class, addon), mode).unwrap();
            let versions =
                (&*found.metadata.cluster_stack.to_string(), &*found.metadata.cluster_addon.to_string());
            assert_eq!((versions, found.unseen_by_csctl), (expect, unseen), "{class} {addon}");
            // The version of the nodes comes from the stack, not from the earlier release.
            assert_eq!(found.metadata.kubernetes.to_string(), "v1.34.7");
        }
        let good = metadata("v4", "v2");
        for (name, metadata, why) in [
            ("docker-scs-1-33-v4", good.as_str(), "is no release of docker-scs for 1.34"),
            ("docker-other-1-34-v4", good.as_str(), "is no release of docker-scs for 1.34"),
            ("docker-scs-1-34-v4", "x", "metadata.yaml of docker-scs-1-34-v4"),
            ("docker-scs-1-34-v4", &self::metadata("v0-sha.a", "v2"), "which no stable version follows"),
        ] {
            let mode = Mode::Stable { previous: Some(release(name, metadata, &old)) };
            let error = versions(&config(), &files("A", "B"), mode).unwrap_err().to_string();
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
        let mut without = previous();
        without.assets.remove("hashes.json");
        let error =
            versions(&config(), &files("A", "B"), Mode::Stable { previous: Some(without) }).unwrap_err();
        assert!(error.to_string().contains("has no hashes.json"), "{error}");
    }
}
