//! Names of releases: `<provider>-<stack>-1-NN-<version>`, with dashes where a directory or a tag bears it, and with one
//! dot where a ClusterClass or an archive does.

use crate::types::KubernetesMinor;
use std::fmt;

/// Why a text is not the name or the version of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {why}")]
pub struct ReleaseNameError {
    text: String,
    what: &'static str,
    why: &'static str,
}

/// The version of a release: `v4`, or `v0-sha.rwvgrna` on a channel of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion {
    major: u32,
    /// Channel and patch; none for a stable version.
    channel: Option<(String, String)>,
}

/// The name of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName {
    /// The provider, e.g. `openstack`.
    pub provider: String,
    /// The stack's name.
    pub stack: String,
    /// The Kubernetes minor.
    pub minor: KubernetesMinor,
    /// The version.
    pub version: ReleaseVersion,
}

/// What the operator's regular expressions call a word.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl ReleaseVersion {
    /// The first version of anything.
    pub const FIRST: Self = Self { major: 1, channel: None };

    /// A version that is not stable: `v0-<channel>.<patch>`.
    ///
    /// # Errors
    /// A part is no word of letters, digits and `_`.
    pub fn unstable(channel: &str, patch: &str) -> Result<Self, ReleaseNameError> {
        format!("v0-{channel}.{patch}").parse()
    }

    /// Whether it is a version of the stable channel.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.channel.is_none()
    }

    /// The patch of a version on this channel.
    #[must_use]
    pub fn patch_of(&self, channel: &str) -> Option<&str> {
        self.channel.as_ref().filter(|(own, _)| own == channel).map(|(_, patch)| patch.as_str())
    }

    /// The stable version that follows; none for a version of another channel, which has no follower.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        self.is_stable()
            .then(|| self.major.checked_add(1))
            .flatten()
            .map(|major| Self { major, channel: None })
    }

    /// As in the names of directories and tags: `v0-sha-rwvgrna`.
    #[must_use]
    pub fn dashed(&self) -> String {
        self.to_string().replace('.', "-")
    }

    fn parts(text: &str, channel: Option<(&str, &str)>) -> Result<Self, &'static str> {
        let digits =
            text.strip_prefix('v').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
        let major = digits.and_then(|d| d.parse().ok()).ok_or("it starts with `v` and a number")?;
        match channel {
            None => Ok(Self { major, channel: None }),
            Some((channel, patch)) if is_word(channel) && is_word(patch) => {
                Ok(Self { major, channel: Some((channel.into(), patch.into())) })
            }
            Some(_) => Err("channel and patch are words of letters, digits and `_`"),
        }
    }
}

/// Reads the form with a dot, `v0-sha.rwvgrna`.
impl std::str::FromStr for ReleaseVersion {
    type Err = ReleaseNameError;
    fn from_str(text: &str) -> Result<Self, ReleaseNameError> {
        let read = match text.split_once('-') {
            None => Self::parts(text, None),
            Some((major, rest)) => match rest.split_once('.') {
                Some(channel) => Self::parts(major, Some(channel)),
                None => Err("after `-` come a channel, a dot and a patch, as in `v0-sha.rwvgrna`"),
            },
        };
        read.map_err(|why| ReleaseNameError { text: text.into(), what: "version of a release", why })
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.channel {
            None => write!(f, "v{}", self.major),
            Some((channel, patch)) => write!(f, "v{}-{channel}.{patch}", self.major),
        }
    }
}

impl ReleaseName {
    /// What all of it but the version is called: `<provider>-<stack>-1-NN`, the name that Helm gives.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}-{}-{}", self.provider, self.stack, self.minor.dashed())
    }

    /// As in the names of directories and tags, with dashes only.
    #[must_use]
    pub fn dashed(&self) -> String {
        format!("{}-{}", self.line(), self.version.dashed())
    }

    /// The name of the ClusterClass, with a dot.
    #[must_use]
    pub fn class(&self) -> String {
        format!("{}-{}", self.line(), self.version)
    }
}

/// Reads the form with dashes, as the operator does: at `-`, into 5 or 7 parts.
impl std::str::FromStr for ReleaseName {
    type Err = ReleaseNameError;
    fn from_str(text: &str) -> Result<Self, ReleaseNameError> {
        let fail = |why: &'static str| ReleaseNameError { text: text.into(), what: "name of a release", why };
        let parts: Vec<&str> = text.split('-').collect();
        let (head, version) = match parts.as_slice() {
            [head @ .., major] if head.len() == 4 => (head, ReleaseVersion::parts(major, None)),
            [head @ .., major, channel, patch] if head.len() == 4 => {
                (head, ReleaseVersion::parts(major, Some((channel, patch))))
            }
            _ => {
                return Err(fail(
                    "the operator splits it at `-` and wants provider, stack, major, minor and version, \
                     as in openstack-scs-1-34-v1 or openstack-scs-1-34-v0-sha-rwvgrna",
                ));
            }
        };
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if head[..2].iter().any(|part| part.is_empty() || !word(part)) {
            return Err(fail("provider and stack are lower-case letters and digits"));
        }
        Ok(Self {
            provider: head[0].into(),
            stack: head[1].into(),
            minor: format!("{}.{}", head[2], head[3])
                .parse()
                .map_err(|_| fail("it has no Kubernetes minor, as 1-34"))?,
            version: version.map_err(fail)?,
        })
    }
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.dashed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_a_dot_or_dashes() {
        for (text, dashed) in [
            ("v1", Some("v1")),
            ("v0-sha.rwvgrna", Some("v0-sha-rwvgrna")),
            ("v0-git.61bd4cd", Some("v0-git-61bd4cd")),
            ("v12-alpha.0", Some("v12-alpha-0")),
            ("1", None),
            ("v", None),
            ("v1.0", None),
            ("v1-alpha", None),
            ("v1-alpha.", None),
            ("v1-alpha-1.0", None),
            ("v1-a.b.c", None),
            ("v99999999999", None),
        ] {
            let found = text.parse::<ReleaseVersion>().ok();
            assert_eq!(found.as_ref().map(ReleaseVersion::dashed).as_deref(), dashed, "{text}");
            assert!(found.is_none_or(|version| version.to_string() == text));
        }
        assert_eq!(ReleaseVersion::FIRST.next().unwrap().to_string(), "v2");
        assert_eq!("v0-sha.a".parse::<ReleaseVersion>().unwrap().next(), None);
    }

    #[test]
    fn names_have_five_or_seven_parts() {
        for (text, class) in [
            ("docker-ferrol-1-27-v1", Some("docker-ferrol-1-27-v1")),
            ("docker-ferrol-1-27-v0-sha-hipstsw", Some("docker-ferrol-1-27-v0-sha.hipstsw")),
            // The ClusterClass's name, not the release's.
            ("docker-ferrol-1-27-v0-sha.hipstsw", None),
            ("openstack-hosted-control-plane-1-27-v1", None),
            ("docker--1-27-v1", None),
            ("docker-Scs-1-27-v1", None),
            ("docker-scs-1-x-v1", None),
            ("docker-scs-1-27-1", None),
            ("", None),
        ] {
            let found = text.parse::<ReleaseName>().ok();
            assert_eq!(found.as_ref().map(ReleaseName::class).as_deref(), class, "{text}");
            assert!(found.is_none_or(|name| name.dashed() == text));
        }
    }
}
