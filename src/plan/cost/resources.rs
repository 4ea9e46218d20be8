//! Amounts of the things that a quota can limit, by name.

use crate::scenario::did_you_mean;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Something that there is only so much of. The names are those of OpenStack's quotas where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// Virtual cores of machines.
    #[serde(rename = "cores")]
    Cores,
    /// Memory of machines, MiB.
    #[serde(rename = "memoryMiB")]
    MemoryMiB,
    /// Machines.
    #[serde(rename = "instances")]
    Instances,
    /// Volumes.
    #[serde(rename = "volumes")]
    Volumes,
    /// Floating IP addresses.
    #[serde(rename = "floatingIPs")]
    FloatingIps,
    /// Load balancers of the cloud.
    #[serde(rename = "loadBalancers")]
    LoadBalancers,
    /// Networks.
    #[serde(rename = "networks")]
    Networks,
    /// What the management cluster spends on a cluster: thousandths of a core.
    #[serde(rename = "managementCpuMilli")]
    ManagementCpuMilli,
    /// What the management cluster spends on a cluster: MiB of memory.
    #[serde(rename = "managementMemoryMiB")]
    ManagementMemoryMiB,
    /// Clusters: `--concurrency`.
    #[serde(rename = "clusters")]
    Clusters,
}

impl Resource {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Cores,
        Self::MemoryMiB,
        Self::Instances,
        Self::Volumes,
        Self::FloatingIps,
        Self::LoadBalancers,
        Self::Networks,
        Self::ManagementCpuMilli,
        Self::ManagementMemoryMiB,
        Self::Clusters,
    ];

    /// The name on command lines and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::MemoryMiB => "memoryMiB",
            Self::Instances => "instances",
            Self::Volumes => "volumes",
            Self::FloatingIps => "floatingIPs",
            Self::LoadBalancers => "loadBalancers",
            Self::Networks => "networks",
            Self::ManagementCpuMilli => "managementCpuMilli",
            Self::ManagementMemoryMiB => "managementMemoryMiB",
            Self::Clusters => "clusters",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much of each resource is taken; what is not named is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resources(BTreeMap<Resource, u64>);

impl Resources {
    /// How much of one resource.
    #[must_use]
    pub fn get(&self, resource: Resource) -> u64 {
        self.0.get(&resource).copied().unwrap_or(0)
    }

    /// Sets how much of one resource.
    pub fn set(&mut self, resource: Resource, amount: u64) {
        if amount == 0 {
            self.0.remove(&resource);
        } else {
            self.0.insert(resource, amount);
        }
    }

    /// The same with another amount of one resource.
    #[must_use]
    pub fn with(mut self, resource: Resource, amount: u64) -> Self {
        self.set(resource, amount);
        self
    }
}

/// `cores=14,instances=7`; `nothing`.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0, "nothing")
    }
}

/// How much there is of each resource; what is not named is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capacity(BTreeMap<Resource, u64>);

impl Capacity {
    /// How much there is of one resource; `None` = no limit.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Option<u64> {
        self.0.get(&resource).copied()
    }

    /// Limits one resource.
    pub fn limit(&mut self, resource: Resource, amount: u64) {
        self.0.insert(resource, amount);
    }

    /// The limited resources with their limits, in the order in which they are shown.
    pub fn limits(&self) -> impl Iterator<Item = (Resource, u64)> + '_ {
        self.0.iter().map(|(resource, amount)| (*resource, *amount))
    }

    /// Both together; where both limit a resource, the limit of `other`.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.limits());
        self
    }
}

/// `cores=200,instances=20`; `no limit`.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0, "no limit")
    }
}

fn show(f: &mut fmt::Formatter<'_>, amounts: &BTreeMap<Resource, u64>, none: &str) -> fmt::Result {
    if amounts.is_empty() {
        return f.write_str(none);
    }
    for (place, (resource, amount)) in amounts.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(f, "{comma}{resource}={amount}")?;
    }
    Ok(())
}

/// Why a text is not a capacity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// Not of the form.
    #[error("`{0}` is no limit; write `cores=200`, several with commas between them")]
    Form(String),
    /// No such resource.
    #[error("there is no resource `{name}`{}; there are {}", .meant.map_or_else(String::new, |name| format!(": did you mean `{name}`?")), names())]
    Unknown {
        /// The name.
        name: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// Not a whole number.
    #[error("`{value}` is no whole number of `{resource}`")]
    Amount {
        /// The resource.
        resource: Resource,
        /// What was given.
        value: String,
    },
    /// One resource has two limits.
    #[error("`{0}` is limited twice")]
    Twice(Resource),
}

fn names() -> String {
    Resource::ALL.map(Resource::name).join(", ")
}

/// Reads `cores=200,instances=20`.
impl FromStr for Capacity {
    type Err = CapacityError;

    fn from_str(text: &str) -> Result<Self, CapacityError> {
        let mut made = Self::default();
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').ok_or_else(|| CapacityError::Form(part.to_owned()))?;
            let (name, value) = (name.trim(), value.trim());
            let known = Resource::ALL.into_iter().find(|resource| resource.name() == name);
            let resource = known.ok_or_else(|| {
                let names = Resource::ALL.map(Resource::name);
                let meant = did_you_mean(name, names.iter().copied());
                CapacityError::Unknown {
                    name: name.to_owned(),
                    meant: meant.and_then(|meant| names.into_iter().find(|name| *name == meant)),
                }
            })?;
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let amount = value.parse().ok().filter(|_| is_number);
            let amount = amount.ok_or_else(|| CapacityError::Amount { resource, value: value.to_owned() })?;
            if made.get(resource).is_some() {
                return Err(CapacityError::Twice(resource));
            }
            made.limit(resource, amount);
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        text.parse::<Capacity>().unwrap_err().to_string()
    }

    #[test]
    fn limits_are_read_and_shown() {
        let capacity: Capacity = "instances=20, cores=200".parse().unwrap();
        assert_eq!(capacity.to_string(), "cores=200,instances=20");
        assert_eq!(capacity.get(Resource::Volumes), None);
        assert_eq!(Capacity::default().to_string(), "no limit");
        assert_eq!(Resources::default().with(Resource::Cores, 4).to_string(), "cores=4");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(refused("core=200").contains("did you mean `cores`?"), "{}", refused("core=200"));
        assert!(refused("floatingips=1").contains("did you mean `floatingIPs`?"));
        assert!(refused("bananas=1").ends_with("managementMemoryMiB, clusters"));
        assert_eq!(
            refused("cores"),
            "`cores` is no limit; write `cores=200`, several with commas between them"
        );
        assert_eq!(refused("cores=many"), "`many` is no whole number of `cores`");
        assert_eq!(refused("cores=-1"), "`-1` is no whole number of `cores`");
        assert_eq!(refused("cores=1,cores=2"), "`cores` is limited twice");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_what_is_read_is_written_back(text in "\\PC{0,40}", cores: u64) {
            let _ = text.parse::<Capacity>();
            let mut capacity = Capacity::default();
            capacity.limit(Resource::Cores, cores);
            prop_assert_eq!(capacity.to_string().parse::<Capacity>(), Ok(capacity));
        }
    }
}
