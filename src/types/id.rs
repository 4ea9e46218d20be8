//! Identifiers of runs, combinations and cases.

use super::{NameError, SwitchValues};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Crockford's base32 in lower case: no letter that can be taken for a digit, and fit for DNS labels.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn base32(bytes: &[u8], chars: usize) -> String {
    let bit = |i: usize| bytes.get(i / 8).map_or(0, |b| (b >> (7 - i % 8)) & 1);
    (0..chars)
        .map(|c| {
            let index = (0..5).fold(0_u8, |acc, b| (acc << 1) | bit(c * 5 + b));
            char::from(ALPHABET[usize::from(index)])
        })
        .collect()
}

fn is_base32(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|b| ALPHABET.contains(&b))
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $what:literal, $len:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The id as text.
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
                if is_base32(&text, $len) {
                    Ok(Self(text))
                } else {
                    let rule = "an id is printed by `plan` and `run`; copy it from there";
                    Err(NameError::Shape { what: $what, text, rule })
                }
            }
        }
        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }
        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.0
            }
        }
    };
}

id!(
    /// One run of the harness. Made from a UUIDv7, so that ids sort by time: 10 characters = the 48 bits of
    /// milliseconds; plus 6 characters (30 bits) of its randomness.
    RunId, "run id", 16
);
id!(
    /// One combination of a scenario: a hash of the scenario's name and of the values of its switches. It does not
    /// change when another switch gets a value, when the file is reordered, or when variables change.
    CombinationId, "combination id", 8
);

impl RunId {
    /// From the 16 bytes of a UUIDv7: the time first, then bits that are random.
    #[must_use]
    pub fn from_uuid_v7(bytes: [u8; 16]) -> Self {
        let mut id = base32(&bytes[..6], 10);
        id.push_str(&base32(&bytes[10..], 6));
        Self(id)
    }

    /// The part that tells runs of one hour apart: the last 6 characters.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[10..]
    }
}

impl CombinationId {
    /// The id of `values` in the scenario `scenario`; the order of the switches plays no part.
    #[must_use]
    pub fn new(scenario: &str, values: &SwitchValues) -> Self {
        let mut pairs: Vec<_> = values.iter().map(|(s, v)| (s.as_str(), v.as_str())).collect();
        pairs.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(scenario.as_bytes());
        for (switch, value) in pairs {
            // Neither names nor values can hold these separators, so different pairs cannot run together.
            hash.update([b'\n']);
            hash.update(switch.as_bytes());
            hash.update([b'=']);
            hash.update(value.as_bytes());
        }
        Self(base32(&hash.finalize(), 8))
    }
}

/// One case of a run unit, as it stands in the journal and in JUnit: a phase and a name, e.g.
/// `check/cluster-available` or `check/nodes-ready@after-scale-workers`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaseId(pub String);

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SwitchName, ValueName};

    fn values(pairs: &[(&str, &str)]) -> SwitchValues {
        pairs.iter().map(|(s, v)| (SwitchName::new(*s).unwrap(), ValueName::new(*v).unwrap())).collect()
    }

    #[test]
    fn a_combination_id_depends_on_its_values_alone() {
        let id = CombinationId::new("s", &values(&[("yawol", "on"), ("controlPlanes", "3")]));
        assert_eq!(id, CombinationId::new("s", &values(&[("controlPlanes", "3"), ("yawol", "on")])));
        assert_ne!(id, CombinationId::new("t", &values(&[("controlPlanes", "3"), ("yawol", "on")])));
        assert_ne!(id, CombinationId::new("s", &values(&[("controlPlanes", "1"), ("yawol", "on")])));
        assert_eq!(id.to_string().parse::<CombinationId>().unwrap(), id);
    }

    #[test]
    fn run_ids_sort_by_time() {
        let early = RunId::from_uuid_v7([1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 9, 9, 9, 9, 9, 9]);
        let late = RunId::from_uuid_v7([1, 2, 3, 4, 5, 7, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert!(early < late);
        assert_eq!(early.to_string().len(), 16);
        assert!("../../etc".parse::<RunId>().is_err());
    }
}
