//! The mark that says whose a resource is, which run made it, and until when it is left alone.
//!
//! One mark is three pairs, `stack-e2e-run=RUN`, `stack-e2e-owner=OWNER` and `stack-e2e-expires-at=SECONDS` (Unix time).
//! They stand where the API takes them when it makes the thing: as words of the `description` (Neutron, Octavia), as
//! `metadata` (Nova, Cinder), as `tags` (Nova, Octavia, Glance, and Neutron in a second call). Several places may have
//! them, and then they must agree. Server groups and key pairs have no such place: their whole name is the mark.

use crate::types::RunId;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The owner when none is named.
pub const OWNER: &str = "stack-e2e";

const RUN: &str = "stack-e2e-run";
const BY: &str = "stack-e2e-owner";
const EXPIRES: &str = "stack-e2e-expires-at";
const KEYS: [&str; 3] = [RUN, BY, EXPIRES];
/// What anything begins with that looks like a part of a mark.
const PREFIX: &str = "stack-e2e-";
/// Later than any run lives: an end beyond it was not written by this program.
const LATEST: i64 = 4_102_444_800;

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The run that made it.
    pub run: RunId,
    /// Who runs: a CI, a person. Everybody takes only what is their own.
    pub owner: String,
    /// From then on it may be taken.
    pub expires: Timestamp,
}

/// Why pairs are not a mark, or a mark cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// A part is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A part has two values.
    #[error("`{0}` is given with different values")]
    Differs(String),
    /// A part that is none.
    #[error("`{0}` is no part of a mark")]
    Unknown(String),
    /// A value is not one.
    #[error("`{key}` is not {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it has to be.
        what: &'static str,
    },
}

/// What the places for marks of one resource say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Nothing of a mark.
    None,
    /// A whole one.
    Mark(Mark),
    /// Parts of one that do not fit together: nobody can tell whose it is.
    Invalid(MarkError),
}

impl Mark {
    /// A mark.
    ///
    /// # Errors
    /// When the owner or the end cannot be written.
    pub fn new(run: RunId, owner: &str, expires: Timestamp) -> Result<Self, MarkError> {
        let owner = read_owner(owner)?;
        let expires = read_expires(&expires.as_second().to_string())?;
        Ok(Self { run, owner, expires })
    }

    fn pairs(&self) -> [(&'static str, String); 3] {
        [
            (RUN, self.run.to_string()),
            (BY, self.owner.clone()),
            (EXPIRES, self.expires.as_second().to_string()),
        ]
    }

    /// For `description`.
    #[must_use]
    pub fn description(&self) -> String {
        self.tags().join(" ")
    }

    /// For `tags`, and for `spec.tags` of Cluster API's provider.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.pairs().iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// For `metadata`.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<&'static str, String> {
        self.pairs().into_iter().collect()
    }

    /// For the name of what carries nothing else; `what` tells several of one run apart.
    ///
    /// # Errors
    /// When `what` is not made of small letters and digits.
    pub fn name(&self, what: &str) -> Result<String, MarkError> {
        let plain = !what.is_empty()
            && what.len() <= 40
            && what.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !plain {
            return Err(MarkError::Value { key: "name", what: "of small letters and digits" });
        }
        Ok(format!("stack-e2e_{}_{}_{}_{what}", self.run, self.owner, self.expires.as_second()))
    }

    /// Reads a name that [`Mark::name`] has made: all of it, and not its beginning.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let mut parts = name.split('_');
        let (first, run, owner, expires, what) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if first != "stack-e2e" || parts.next().is_some() {
            return None;
        }
        let mark = Self {
            run: run.parse().ok()?,
            owner: read_owner(owner).ok()?,
            expires: read_expires(expires).ok()?,
        };
        (mark.name(what).ok()? == name).then_some(mark)
    }

    /// Reads the places for marks of a resource as OpenStack gives it.
    #[must_use]
    pub fn read(resource: &Value) -> Reading {
        let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut found = |text: &str| {
            // A word without `=` is a part only when it is a key: Cluster API's provider describes what it makes by the
            // namespace of the Cluster, and that of a run begins in the same way.
            let (key, value) = match text.split_once('=') {
                Some(pair) => pair,
                None if KEYS.contains(&text) => (text, ""),
                None => return,
            };
            if key.starts_with(PREFIX) {
                pairs.entry(key.to_owned()).or_default().insert(value.to_owned());
            }
        };
        if let Some(text) = resource["description"].as_str() {
            text.split_whitespace().for_each(&mut found);
        }
        for tag in resource["tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            found(tag);
        }
        for (key, value) in resource["metadata"].as_object().into_iter().flatten() {
            found(&format!("{key}={}", value.as_str().unwrap_or_default()));
        }
        Self::of_pairs(&pairs)
    }

    fn of_pairs(pairs: &BTreeMap<String, BTreeSet<String>>) -> Reading {
        if pairs.is_empty() {
            return Reading::None;
        }
        let read = || {
            if let Some(key) = pairs.keys().find(|key| !KEYS.contains(&key.as_str())) {
                return Err(MarkError::Unknown(key.clone()));
            }
            let one = |key: &'static str| match pairs.get(key) {
                None => Err(MarkError::Missing(key)),
                Some(values) if values.len() > 1 => Err(MarkError::Differs(key.into())),
                Some(values) => Ok(values.first().cloned().unwrap_or_default()),
            };
            let run =
                one(RUN)?.parse().map_err(|_| MarkError::Value { key: RUN, what: "the id of a run" })?;
            Ok(Self { run, owner: read_owner(&one(BY)?)?, expires: read_expires(&one(EXPIRES)?)? })
        };
        match read() {
            Ok(mark) => Reading::Mark(mark),
            Err(error) => Reading::Invalid(error),
        }
    }
}

fn read_owner(text: &str) -> Result<String, MarkError> {
    let fits = !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(MarkError::Value { key: BY, what: "of small letters, digits and `-`" })
    }
}

fn read_expires(text: &str) -> Result<Timestamp, MarkError> {
    let error = MarkError::Value { key: EXPIRES, what: "a time in seconds since 1970" };
    let digits = text.len() <= 12 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse::<i64>().ok().filter(|seconds| digits && (1..=LATEST).contains(seconds));
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(error)
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of {}, until {}", self.run, self.owner, self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn mark() -> Mark {
        let run = RunId::from_uuid_v7([1; 16]);
        Mark::new(run, "ci", Timestamp::from_second(1_800_000_000).unwrap()).unwrap()
    }

    #[test]
    fn a_mark_is_read_back_from_every_place() {
        let mark = mark();
        for resource in [
            json!({"description": mark.description()}),
            json!({"description": format!("Created by cluster-api, {} and so on", mark.description())}),
            json!({"tags": mark.tags()}),
            json!({"metadata": mark.metadata()}),
            json!({"description": mark.description(), "tags": mark.tags(), "metadata": mark.metadata()}),
            json!({"description": null, "tags": ["other", mark.tags()[0], mark.tags()[2]], "metadata": {"stack-e2e-owner": "ci", "x": 1}}),
        ] {
            assert_eq!(Mark::read(&resource), Reading::Mark(mark.clone()), "{resource}");
        }
        let name = mark.name("controlplane").unwrap();
        assert_eq!(Mark::of_name(&name), Some(mark));
    }

    #[test]
    fn what_is_nearly_a_mark_is_invalid_and_what_is_none_is_none() {
        let good = mark();
        let tags = good.tags();
        let with = |place: usize, tag: &str| {
            let mut tags = good.tags();
            tags[place] = tag.to_owned();
            Mark::read(&json!({"tags": tags}))
        };
        for reading in [
            Mark::read(&json!({"tags": [tags[0], tags[1]]})),
            Mark::read(&json!({"tags": tags, "description": "stack-e2e-owner=somebody-else"})),
            Mark::read(&json!({"tags": tags, "metadata": {"stack-e2e-slot": "1"}})),
            with(0, "stack-e2e-run=short"),
            with(0, "stack-e2e-run"),
            with(1, "stack-e2e-owner="),
            with(1, "stack-e2e-owner=Me"),
            with(2, "stack-e2e-expires-at=soon"),
            with(2, "stack-e2e-expires-at=-5"),
            with(2, "stack-e2e-expires-at=+1800000000"),
            with(2, "stack-e2e-expires-at=99999999999999"),
            with(2, "stack-e2e-expires-at=0"),
        ] {
            assert!(matches!(reading, Reading::Invalid(_)), "{reading:?}");
        }
        for resource in [
            json!({}),
            json!({"name": "stack-e2e-run=x", "tags": ["run=r1"], "description": "by stack-e2e"}),
            json!({"tags": "stack-e2e-run=x", "metadata": []}),
            json!({"description": "Created by cluster-api-provider-openstack cluster stack-e2e-01k0000000000001-e2e-a-b"}),
        ] {
            assert_eq!(Mark::read(&resource), Reading::None, "{resource}");
        }
        let name = good.name("a").unwrap();
        for wrong in [
            format!("{name}_b"),
            format!("x{name}"),
            name.replace("_a", "_A"),
            name.replace("_ci_", "__"),
            "stack-e2e_".into(),
        ] {
            assert_eq!(Mark::of_name(&wrong), None, "{wrong}");
        }
        assert!(good.name("").is_err() && good.name("a_b").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_only_whole_names_are_marks(text in "\\PC{0,80}") {
            let _ = Mark::read(&json!({"description": text, "tags": [text], "metadata": {"stack-e2e-run": text}}));
            let read = Mark::of_name(&text).map(|mark| mark.run.to_string());
            prop_assert!(read.is_none_or(|run| text.contains(&run)));
        }
    }
}
