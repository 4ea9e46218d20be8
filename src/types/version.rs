//! Kubernetes versions: a minor (`1.34`) selects a Cluster Stack, a full version (`v1.34.7`) runs on the nodes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a Kubernetes {wanted}")]
pub struct VersionError {
    text: String,
    wanted: &'static str,
}

/// A Kubernetes minor version, written `1.34`; ordered by number, so `1.9 < 1.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesMinor {
    major: u16,
    minor: u16,
}

impl KubernetesMinor {
    /// The minor that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { major: self.major, minor: self.minor + 1 }
    }

    /// The minor before it; none before the first.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.minor.checked_sub(1) {
            Some(minor) => Some(Self { major: self.major, minor }),
            None => None,
        }
    }

    /// As in Cluster Stack release names: `1-34`.
    #[must_use]
    pub fn dashed(self) -> String {
        format!("{}-{}", self.major, self.minor)
    }
}

/// A full Kubernetes version, written `v1.34.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    minor: KubernetesMinor,
    patch: u16,
}

impl KubernetesVersion {
    /// The minor that this version belongs to.
    #[must_use]
    pub const fn minor(self) -> KubernetesMinor {
        self.minor
    }
}

/// Digits only: no sign, no leading zero, so that one version has one spelling.
fn number(text: &str) -> Option<u16> {
    let plain = text.chars().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok().filter(|n| *n < u16::MAX) } else { None }
}

impl std::str::FromStr for KubernetesMinor {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| VersionError { text: text.into(), wanted: "minor version such as `1.34`" })
    }
}

impl std::str::FromStr for KubernetesVersion {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
        match parts.as_slice() {
            [major, minor, patch] => number(major)
                .zip(number(minor))
                .zip(number(patch))
                .map(|((major, minor), patch)| Self { minor: KubernetesMinor { major, minor }, patch }),
            _ => None,
        }
        .ok_or_else(|| VersionError { text: text.into(), wanted: "version such as `v1.34.7`" })
    }
}

impl fmt::Display for KubernetesMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}.{}", self.minor, self.patch))
    }
}

macro_rules! text_serde {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = VersionError;
            fn try_from(text: String) -> Result<Self, VersionError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(version: $type) -> String {
                version.to_string()
            }
        }
    };
}
text_serde!(KubernetesMinor);
text_serde!(KubernetesVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_are_ordered_by_number() {
        let minor = |text: &str| text.parse::<KubernetesMinor>().unwrap();
        assert!(minor("1.9") < minor("1.30"));
        assert_eq!(minor("1.30").next(), minor("1.31"));
        assert_eq!(minor("1.30").dashed(), "1-30");
    }

    #[test]
    fn one_version_has_one_spelling() {
        for bad in ["1", "1.", "1.03", "1.x", "+1.3", "v1.30", "1.30.1.2", ""] {
            assert!(bad.parse::<KubernetesMinor>().is_err(), "`{bad}` is not a minor");
        }
        assert_eq!("1.34.7".parse::<KubernetesVersion>().unwrap().to_string(), "v1.34.7");
        assert!("v1.34".parse::<KubernetesVersion>().is_err());
    }
}
