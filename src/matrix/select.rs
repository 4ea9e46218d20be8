//! Matrix x what the command asks for -> a smaller matrix; what is dropped stays listed, with the reason.

use super::{Combination, LeftOut, Matrix};
use crate::scenario::did_you_mean;
use crate::types::{SwitchName, ValueName};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a command asks for. The default asks for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Switches and values that a combination must have; several values of one switch are alternatives.
    pub wanted: Vec<(SwitchName, ValueName)>,
    /// Ids, or starts of ids that are enough to tell one combination from the others; empty = all.
    pub only: Vec<String>,
    /// One part of the whole.
    pub shard: Option<Shard>,
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
    let Matrix { combinations, mut left_out } = matrix;
    let mut kept = Vec::new();
    let mut position = 0;
    for combination in combinations {
        let mut reason =
            missed(&combination, &selection.wanted).map(|text| format!("not selected: --where {text}"));
        if reason.is_none() && !selection.only.is_empty() && !only.contains(combination.id.as_str()) {
            reason = Some("not selected: --only names others".to_owned());
        }
        if reason.is_none()
            && let Some(shard) = selection.shard
        {
            // Dealt out in turn, so that neighbours, which tend to cost the same, go to different shards.
            let mine = position % shard.of + 1;
            position += 1;
            reason =
                (mine != shard.index).then(|| format!("not selected: runs in shard {mine}/{}", shard.of));
        }
        match reason {
            None => kept.push(combination),
            Some(reason) => left_out.push(LeftOut { combination, reason }),
        }
    }
    Ok(Matrix { combinations: kept, left_out })
}

fn all(matrix: &Matrix) -> impl Iterator<Item = &Combination> {
    matrix.combinations.iter().chain(matrix.left_out.iter().map(|l| &l.combination))
}

fn check_wanted(matrix: &Matrix, wanted: &[(SwitchName, ValueName)]) -> Result<(), SelectError> {
    for (switch, value) in wanted {
        let switches: BTreeSet<&str> =
            all(matrix).flat_map(|c| c.values.iter().map(|(s, _)| s.as_str())).collect();
        if !switches.contains(switch.as_str()) {
            let meant = did_you_mean(switch.as_str(), switches).map(str::to_owned);
            return Err(SelectError::Switch { name: switch.to_string(), meant });
        }
        let pairs = all(matrix).flat_map(|c| c.values.iter());
        let values: BTreeSet<&str> = pairs.filter(|(s, _)| s == switch).map(|(_, v)| v.as_str()).collect();
        if !values.contains(value.as_str()) {
            let meant = did_you_mean(value.as_str(), values).map(str::to_owned);
            return Err(SelectError::Value { switch: switch.to_string(), value: value.to_string(), meant });
        }
    }
    Ok(())
}

fn only<'s>(matrix: &Matrix, starts: &'s [String]) -> Result<BTreeSet<String>, SelectError> {
    let find = |start: &'s String| {
        let fits = |c: &&Combination| !start.is_empty() && c.id.as_str().starts_with(start.as_str());
        let found: Vec<&Combination> = all(matrix).filter(fits).take(6).collect();
        match found.as_slice() {
            [] => Err(SelectError::Id(start.clone())),
            [one] => match matrix.left_out.iter().find(|l| l.combination.id == one.id) {
                Some(l) => Err(SelectError::LeftOut { id: one.id.to_string(), reason: l.reason.clone() }),
                None => Ok(one.id.to_string()),
            },
            several => {
                let ids = several.iter().take(5).map(|c| c.id.to_string()).collect();
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
