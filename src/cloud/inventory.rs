//! What is in a project, by id. A list that failed is unknown, with its reason, and never empty.

use super::client::Client;
use super::error::CloudError;
use super::facts::{self, QuotaName};
use super::kind::Kind;
use super::maker::Maker;
use super::mark::{Mark, Reading};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One thing in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its kind.
    pub kind: Kind,
    /// Its id; of a key pair its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state, in the words of its service.
    pub status: Option<String>,
    /// Why it is in that state, in the words of its service.
    pub fault: Option<String>,
    /// Whose it is.
    pub mark: Reading,
    /// The cluster that it was made for, where a controller has written that down.
    pub maker: Option<Maker>,
    /// The ids of what it is in or at: the network of a port, the device of a port, the volume of a snapshot.
    pub within: BTreeSet<String>,
    /// What a port belongs to: `compute:nova`, `network:router_interface`.
    pub device: Option<String>,
    /// Whether it is there as long as the project is: the security group `default`.
    pub permanent: bool,
}

/// What is known of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// All of them, by id.
    Known(BTreeMap<String, Resource>),
    /// The listing failed.
    Unknown(String),
    /// The cloud has no such service, so that there cannot be any.
    Absent,
}

impl Listing {
    /// The resources; `None` when nothing is known.
    #[must_use]
    pub fn known(&self) -> Option<&BTreeMap<String, Resource>> {
        static NONE: BTreeMap<String, Resource> = BTreeMap::new();
        match self {
            Self::Known(resources) => Some(resources),
            Self::Absent => Some(&NONE),
            Self::Unknown(_) => None,
        }
    }
}

/// How much the cloud says is in use, by kind; a kind that it does not count is missing.
pub type Usage = BTreeMap<Kind, u64>;

/// Everything in a project at about one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The listing of every kind.
    pub kinds: BTreeMap<Kind, Listing>,
    /// What the quotas count as used, and what could not be asked.
    pub usage: Result<Usage, String>,
}

impl Inventory {
    /// Lists everything. Trouble with one kind does not keep the others from being listed.
    pub async fn take(client: &Client) -> Self {
        let mut kinds = BTreeMap::new();
        for kind in Kind::ALL {
            kinds.insert(kind, listing(client, kind).await);
        }
        let quotas = facts::quotas(client).await;
        let trouble: Vec<&str> = quotas.values().filter_map(|quota| quota.unknown()).collect();
        let mut used = Usage::new();
        for (name, quota) in &quotas {
            // The use of load balancers is the length of their list, which proves nothing about the list.
            if *name == QuotaName::LoadBalancers {
                continue;
            }
            if let (Some(kind), Some(count)) = (name.kind(), quota.known().and_then(|quota| quota.used)) {
                used.insert(kind, count);
            }
        }
        let usage = if used.is_empty() && !trouble.is_empty() { Err(trouble.join("; ")) } else { Ok(used) };
        Self { kinds, usage }
    }

    /// Every resource that is known.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.kinds.values().filter_map(Listing::known).flat_map(BTreeMap::values)
    }

    /// The resource of this id.
    #[must_use]
    pub fn get(&self, kind: Kind, id: &str) -> Option<&Resource> {
        self.kinds.get(&kind)?.known()?.get(id)
    }

    /// The kinds of which nothing is known, with the reasons.
    pub fn unknown(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.kinds.iter().filter_map(|(kind, listing)| match listing {
            Listing::Unknown(why) => Some((*kind, why.as_str())),
            Listing::Known(_) | Listing::Absent => None,
        })
    }

    /// Whether nothing at all is in the project; `None` when that is not known.
    #[must_use]
    pub fn empty(&self) -> Option<bool> {
        let known = self.unknown().next().is_none();
        let found = self.resources().any(|resource| !resource.permanent);
        if found { Some(false) } else { known.then_some(true) }
    }
}

async fn listing(client: &Client, kind: Kind) -> Listing {
    match client.has(kind.place().service).await {
        Ok(true) => {}
        Ok(false) => return Listing::Absent,
        Err(error) => return Listing::Unknown(error.to_string()),
    }
    match list(client, kind).await {
        Ok(resources) => Listing::Known(resources),
        Err(error) => Listing::Unknown(error.to_string()),
    }
}

async fn list(client: &Client, kind: Kind) -> Result<BTreeMap<String, Resource>, CloudError> {
    let place = kind.place();
    let (project, _) = client.project().await?;
    let path = place.list.replace("PROJECT", &project);
    let items = client.list(place.service, &path, place.collection, place.paging).await?;
    let mut all = BTreeMap::new();
    for item in &items {
        // An administrator sees more than the project, and filters that a service does not know it ignores.
        let owner = ["project_id", "tenant_id", "owner"].iter().find_map(|key| item[*key].as_str());
        if place.tells_project && owner.is_some_and(|owner| owner != project) {
            continue;
        }
        let resource = read(kind, item).ok_or_else(|| {
            let class = super::error::ErrorClass::Malformed;
            CloudError::new(class, format!("the list of {}", place.collection), "an entry has no id")
        })?;
        all.insert(resource.id.clone(), resource);
    }
    Ok(all)
}

fn read(kind: Kind, item: &Value) -> Option<Resource> {
    let item = if kind == Kind::Keypair { &item["keypair"] } else { item };
    let text = |key: &str| item[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let id = if kind == Kind::Keypair { text("name") } else { text("id") }?;
    let name = text("name").unwrap_or_default();
    let mark = match kind.carries_marks() {
        true => Mark::read(item),
        false => Mark::of_name(&name).map_or(Reading::None, Reading::Mark),
    };
    let mut within = BTreeSet::new();
    for key in ["network_id", "device_id", "volume_id", "port_id", "router_id", "vip_port_id"] {
        within.extend(text(key));
    }
    for attachment in item["attachments"].as_array().into_iter().flatten() {
        within.extend(attachment["server_id"].as_str().map(str::to_owned));
    }
    Some(Resource {
        kind,
        permanent: kind == Kind::SecurityGroup && name == "default",
        status: text("provisioning_status").or_else(|| text("status")),
        device: text("device_owner"),
        fault: item["fault"]["message"].as_str().map(str::to_owned),
        maker: Maker::read(kind, item),
        id,
        name,
        mark,
        within,
    })
}

/// What is different between two inventories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// There afterwards and not before.
    pub new: Vec<Resource>,
    /// There before and not afterwards.
    pub gone: Vec<Resource>,
    /// Kinds of which one of the two knows nothing, with the reason.
    pub unknown: Vec<(Kind, String)>,
}

/// What has come and gone from `before` to `after`. By ids and not by numbers: one leak and one foreign thing deleted
/// would cancel each other out.
#[must_use]
pub fn changes(before: &Inventory, after: &Inventory) -> Difference {
    let mut difference = Difference::default();
    for kind in Kind::ALL {
        let of = |inventory: &Inventory| {
            inventory.kinds.get(&kind).cloned().unwrap_or(Listing::Unknown("it was not listed".into()))
        };
        let (old, new) = (of(before), of(after));
        match (old.known(), new.known()) {
            (Some(old), Some(new)) => {
                difference
                    .new
                    .extend(new.iter().filter(|(id, _)| !old.contains_key(*id)).map(|(_, r)| r.clone()));
                difference
                    .gone
                    .extend(old.iter().filter(|(id, _)| !new.contains_key(*id)).map(|(_, r)| r.clone()));
            }
            _ => {
                let why = [old, new].into_iter().find_map(|listing| match listing {
                    Listing::Unknown(why) => Some(why),
                    Listing::Known(_) | Listing::Absent => None,
                });
                difference.unknown.push((kind, why.unwrap_or_default()));
            }
        }
    }
    difference
}

impl QuotaName {
    /// The kind that a quota counts; `None` where it counts something else, such as cores.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Instances => Some(Kind::Server),
            Self::ServerGroups => Some(Kind::ServerGroup),
            Self::Volumes => Some(Kind::Volume),
            Self::Snapshots => Some(Kind::Snapshot),
            Self::Networks => Some(Kind::Network),
            Self::Subnets => Some(Kind::Subnet),
            Self::Routers => Some(Kind::Router),
            Self::Ports => Some(Kind::Port),
            Self::SecurityGroups => Some(Kind::SecurityGroup),
            Self::FloatingIps => Some(Kind::FloatingIp),
            Self::LoadBalancers => Some(Kind::LoadBalancer),
            Self::Cores | Self::MemoryMiB | Self::Gigabytes => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inventory(ports: Listing) -> Inventory {
        let mut kinds: BTreeMap<Kind, Listing> =
            Kind::ALL.map(|kind| (kind, Listing::Known(BTreeMap::new()))).into();
        let default = read(Kind::SecurityGroup, &json!({"id": "sg", "name": "default"})).unwrap();
        kinds.insert(Kind::SecurityGroup, Listing::Known([("sg".into(), default)].into()));
        kinds.insert(Kind::Port, ports);
        Inventory { kinds, usage: Ok(Usage::new()) }
    }

    fn ports(ids: &[&str]) -> Listing {
        let port =
            |id: &&str| ((*id).to_owned(), read(Kind::Port, &json!({"id": id, "network_id": "n"})).unwrap());
        Listing::Known(ids.iter().map(port).collect())
    }

    #[test]
    fn the_difference_is_one_of_ids_and_what_is_unknown_stays_unknown() {
        let difference = changes(&inventory(ports(&["a", "b"])), &inventory(ports(&["b", "c"])));
        let ids = |list: &[Resource]| list.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&difference.new), ids(&difference.gone)), (vec!["c".into()], vec!["a".to_owned()]));
        let failed = Listing::Unknown("page 2: 500".into());
        let difference = changes(&inventory(ports(&["a"])), &inventory(failed));
        assert_eq!(
            (difference.gone.len(), difference.unknown),
            (0, vec![(Kind::Port, "page 2: 500".into())])
        );
    }

    #[test]
    fn a_project_is_empty_only_when_everything_is_known() {
        assert_eq!(inventory(ports(&[])).empty(), Some(true), "the default group is always there");
        assert_eq!(inventory(ports(&["a"])).empty(), Some(false));
        assert_eq!(inventory(Listing::Unknown("500".into())).empty(), None);
        assert_eq!(inventory(Listing::Absent).empty(), Some(true));
    }

    #[test]
    fn what_hangs_together_is_read() {
        let volume =
            read(Kind::Volume, &json!({"id": "v", "status": "in-use", "attachments": [{"server_id": "s"}]}))
                .unwrap();
        assert!(volume.within.contains("s"));
        let pair = read(Kind::Keypair, &json!({"keypair": {"name": "k"}})).unwrap();
        assert_eq!((pair.id.as_str(), pair.mark), ("k", Reading::None));
        let balancer = json!({"id": "l", "provisioning_status": "PENDING_DELETE", "vip_port_id": "p"});
        let balancer = read(Kind::LoadBalancer, &balancer).unwrap();
        assert_eq!(balancer.status.as_deref(), Some("PENDING_DELETE"));
        assert_eq!(read(Kind::Port, &json!({"name": "x"})), None);
    }
}
