//! Names as newtypes: one that exists is within the limits of the place where it is used.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// What the name is for.
        what: &'static str,
    },
    /// The text is longer than allowed.
    #[error("{what} `{text}` has {len} characters, {max} are allowed")]
    TooLong {
        /// What the name is for.
        what: &'static str,
        /// The offending text.
        text: String,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A character is not allowed, or not at its place.
    #[error("{what} `{text}` is not allowed: {rule}")]
    Shape {
        /// What the name is for.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

const DNS_LABEL: &str = "use lower-case letters, digits and `-`, starting and ending with a letter or digit";
const NO_DASH: &str = "use lower-case letters and digits; `-` separates the parts of a Cluster Stack release";
const SWITCH: &str = "start with a letter, then use letters, digits and `_`";
const VALUE: &str = "use letters, digits, `.`, `_` and `-`, starting and ending with a letter or digit";

fn is_dns_label(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.chars().all(ok) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

fn is_switch(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        && edge(text.chars().next())
        && edge(text.chars().last())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal, $valid:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The longest allowed name, in characters.
            pub const MAX: usize = $max;

            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// The text is empty, too long, or has a character that is not allowed there.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let len = text.chars().count();
                if text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if len > Self::MAX {
                    return Err(NameError::TooLong { what: $what, text, len, max: Self::MAX });
                }
                if !$valid(&text) {
                    return Err(NameError::Shape { what: $what, text, rule: $rule });
                }
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

name!(
    /// A scenario's name: a DNS label, at most 40 characters, because it becomes part of label values and paths.
    ScenarioName, "scenario name", 40, is_dns_label, DNS_LABEL
);
name!(
    /// A Cluster Stack's name without provider and minor, e.g. `scs`. The Cluster Stack Operator splits release
    /// names at `-`, so the name has none.
    StackName, "stack name", 30, is_plain, NO_DASH
);
name!(
    /// The name of a big switch, e.g. `controlPlanes`: an identifier, so that it can stand in an expression.
    SwitchName, "switch name", 40, is_switch, SWITCH
);
name!(
    /// The name of one value of a switch, e.g. `on` or `1.30`: a valid Kubernetes label value.
    ValueName, "value name", 63, is_value, VALUE
);
name!(
    /// The name of a check, e.g. `cluster-available`.
    CheckName, "check name", 63, is_dns_label, DNS_LABEL
);
name!(
    /// The name of a Cluster object. Cluster API appends suffixes for Machines and label values, so it is much
    /// shorter than the 63 characters of a DNS label.
    ClusterName, "cluster name", 40, is_dns_label, DNS_LABEL
);
name!(
    /// A Kubernetes namespace.
    Namespace, "namespace", 63, is_dns_label, DNS_LABEL
);

/// Where clusters come from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Cluster API's development provider with its in-memory backend, on the embedded testbed.
    Embedded,
    /// Real kubelets in containers of one machine (CAPD).
    Docker,
    /// Virtual machines on an OpenStack cloud (CAPO).
    Openstack,
    /// Virtual machines in a Kubernetes cluster (CAPK).
    Kubevirt,
    /// Bare metal (CAPM3).
    Metal3,
    /// Servers of Hetzner, virtual or bare metal (CAPH).
    Hetzner,
    /// The shipped double: clusters that follow a script, for tests and demonstrations.
    Scripted,
}

impl ProviderKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Embedded,
        Self::Docker,
        Self::Openstack,
        Self::Kubevirt,
        Self::Metal3,
        Self::Hetzner,
        Self::Scripted,
    ];

    /// The name in scenario files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Docker => "docker",
            Self::Openstack => "openstack",
            Self::Kubevirt => "kubevirt",
            Self::Metal3 => "metal3",
            Self::Hetzner => "hetzner",
            Self::Scripted => "scripted",
        }
    }

    /// Whether its clusters need a management cluster that the user names: one with the provider's controllers. The
    /// testbed has those of the development provider alone.
    #[must_use]
    pub const fn needs_kubeconfig(self) -> bool {
        !matches!(self, Self::Embedded | Self::Scripted)
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_know_their_limits() {
        let cases: &[(&str, bool, bool, bool, bool)] = &[
            // text, scenario, stack, switch, value
            ("scs", true, true, true, true),
            ("scs-2", true, false, false, true),
            ("-scs", false, false, false, false),
            ("Scs", false, false, true, true),
            ("1.30", false, false, false, true),
            ("a b", false, false, false, false),
            ("../x", false, false, false, false),
            ("", false, false, false, false),
        ];
        for (text, scenario, stack, switch, value) in cases {
            assert_eq!(ScenarioName::new(*text).is_ok(), *scenario, "scenario name `{text}`");
            assert_eq!(StackName::new(*text).is_ok(), *stack, "stack name `{text}`");
            assert_eq!(SwitchName::new(*text).is_ok(), *switch, "switch name `{text}`");
            assert_eq!(ValueName::new(*text).is_ok(), *value, "value name `{text}`");
        }
        assert!(ScenarioName::new("a".repeat(41)).is_err());
    }
}
