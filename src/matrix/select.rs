//! Matrix x what the command asks for -> a smaller matrix; what is dropped stays listed, with the reason.

use super::{Combination, LeftOut, Matrix};
use crate::scenario::did_you_mean;
use crate::types::{CombinationId, SwitchName, SwitchValues, ValueName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// What a command asks for. The default asks for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Switches and values that a combination must have; several values of one switch are alternatives.
    pub wanted: Vec<(SwitchName, ValueName)>,
    /// Ids, or starts of ids that are enough to tell one combination from the others; empty = all.
    pub only: Vec<String>,
    /// Combinations that do not run, each with the reason.
    pub unaffected: BTreeMap<CombinationId, String>,
}

/// One part of the whole, written `2/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// Part `index`, from 1, of `of` parts.
    ///
    /// # Errors
    /// There is no such part.
    pub fn new(index: u32, of: u32) -> Result<Self, SelectError> {
        let exists = index >= 1 && index <= of;
        if exists { Ok(Self { index, of }) } else { Err(SelectError::Shard(format!("{index}/{of}"))) }
    }

    /// The number of the part, from 1, and the number of parts.
    #[must_use]
    pub fn parts(self) -> (u32, u32) {
        (self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = SelectError;
    fn from_str(text: &str) -> Result<Self, SelectError> {
        let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (index, of) = parts.ok_or_else(|| SelectError::Shard(text.to_owned()))?;
        Self::new(index, of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Why a selection cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No scenario has the switch.
    #[error("no scenario has a switch `{name}`{}", hint(.meant.as_deref()))]
    Switch {
        /// The name.
        name: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// No switch of this name has the value.
    #[error("the switch `{switch}` has no value `{value}`{}", hint(.meant.as_deref()))]
    Value {
        /// The switch.
        switch: String,
        /// The value.
        value: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// No combination has the id.
    #[error("no combination has an id that starts with `{0}`; `plan` prints the ids")]
    Id(String),
    /// The start of an id fits several combinations.
    #[error("`{start}` is the start of several ids: {}; write more of it", .ids.join(", "))]
    Ambiguous {
        /// What was given.
        start: String,
        /// The ids, at most five.
        ids: Vec<String>,
    },
    /// The combination is left out for another reason.
    #[error("the combination {id} does not run: {reason}")]
    LeftOut {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// Not a part of a whole.
    #[error("`{0}` is not a shard; write `2/4` for the second of four")]
    Shard(String),
}

fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Keeps what is asked for.
///
/// # Errors
/// The selection names something that does not exist.
pub fn select(matrix: Matrix, selection: &Selection) -> Result<Matrix, SelectError> {
    check_wanted(&matrix, &selection.wanted)?;
    let only = only(&matrix, &selection.only)?;
    let Matrix { combinations, mut left_out, bounds } = matrix;
    let mut kept = Vec::new();
    for combination in combinations {
        let mut reason =
            missed(&combination, &selection.wanted).map(|text| format!("not selected: --where {text}"));
        if reason.is_none() && !selection.only.is_empty() && !only.contains(combination.id.as_str()) {
            reason = Some("not selected: --only names others".to_owned());
        }
        if reason.is_none() {
            reason = selection.unaffected.get(&combination.id).cloned();
        }
        match reason {
            None => kept.push(combination),
            Some(reason) => left_out.push(LeftOut {
                scenario: combination.scenario,
                id: Some(combination.id),
                values: combination.values,
                reason,
            }),
        }
    }
    Ok(Matrix { combinations: kept, left_out, bounds })
}

/// Keeps one part of the whole; `dealt` gives the number of the part, from 1, that a combination belongs to. The others
/// stay listed, each with the part that runs it.
#[must_use]
pub fn one_shard(matrix: Matrix, shard: Shard, dealt: impl Fn(&CombinationId) -> u32) -> Matrix {
    let Matrix { combinations, mut left_out, bounds } = matrix;
    let (kept, others): (Vec<Combination>, Vec<Combination>) =
        combinations.into_iter().partition(|combination| dealt(&combination.id) == shard.index);
    left_out.extend(others.into_iter().map(|combination| LeftOut {
        reason: format!("not selected: runs in shard {}/{}", dealt(&combination.id), shard.of),
        scenario: combination.scenario,
        id: Some(combination.id),
        values: combination.values,
    }));
    Matrix { combinations: kept, left_out, bounds }
}

/// The values of everything that runs or does not.
fn all(matrix: &Matrix) -> impl Iterator<Item = &SwitchValues> {
    matrix.combinations.iter().map(|c| &c.values).chain(matrix.left_out.iter().map(|l| &l.values))
}

fn check_wanted(matrix: &Matrix, wanted: &[(SwitchName, ValueName)]) -> Result<(), SelectError> {
    for (switch, value) in wanted {
        let switches: BTreeSet<&str> =
            all(matrix).flat_map(|values| values.iter().map(|(s, _)| s.as_str())).collect();
        if !switches.contains(switch.as_str()) {
            let meant = did_you_mean(switch.as_str(), switches).map(str::to_owned);
            return Err(SelectError::Switch { name: switch.to_string(), meant });
        }
        let pairs = all(matrix).flatten();
        let values: BTreeSet<&str> = pairs.filter(|(s, _)| s == switch).map(|(_, v)| v.as_str()).collect();
        if !values.contains(value.as_str()) {
            let meant = did_you_mean(value.as_str(), values).map(str::to_owned);
            return Err(SelectError::Value { switch: switch.to_string(), value: value.to_string(), meant });
        }
    }
    Ok(())
}

fn only<'s>(matrix: &Matrix, starts: &'s [String]) -> Result<BTreeSet<String>, SelectError> {
    let left_out = matrix.left_out.iter().filter_map(|l| Some((l.id.as_ref()?, Some(l.reason.as_str()))));
    let all: Vec<_> = matrix.combinations.iter().map(|c| (&c.id, None)).chain(left_out).collect();
    let find = |start: &'s String| {
        let fits = |(id, _): &&(&CombinationId, Option<&str>)| {
            !start.is_empty() && id.as_str().starts_with(start.as_str())
        };
        let found: Vec<_> = all.iter().filter(fits).take(6).collect();
        match found.as_slice() {
            [] => Err(SelectError::Id(start.clone())),
            [(id, Some(reason))] => {
                Err(SelectError::LeftOut { id: id.to_string(), reason: (*reason).to_owned() })
            }
            [(id, None)] => Ok(id.to_string()),
            several => {
                let ids = several.iter().take(5).map(|(id, _)| id.to_string()).collect();
                Err(SelectError::Ambiguous { start: start.clone(), ids })
            }
        }
    };
    starts.iter().map(find).collect()
}

/// The wanted values of the first switch that does not fit.
fn missed(combination: &Combination, wanted: &[(SwitchName, ValueName)]) -> Option<String> {
    let fits = |(switch, _): &&(SwitchName, ValueName)| {
        let alternatives = wanted.iter().filter(|(s, _)| s == switch);
        alternatives.into_iter().any(|pair| combination.values.contains(pair))
    };
    let (switch, _) = wanted.iter().find(|pair| !fits(pair))?;
    let values: Vec<String> =
        wanted.iter().filter(|(s, _)| s == switch).map(|(s, v)| format!("{s}={v}")).collect();
    Some(values.join(","))
}
