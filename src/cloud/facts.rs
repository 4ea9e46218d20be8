//! What a cloud has and allows, as far as it lets us know: what a plan is judged by before anything is made.

use super::catalog::Service;
use super::client::Client;
use super::error::CloudError;
use super::page::Paging;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that a cloud said, or the reason why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It said this.
    Yes(T),
    /// It did not say, for this reason.
    No(String),
}

impl<T> Known<T> {
    fn of(result: Result<T, CloudError>) -> Self {
        match result {
            Ok(value) => Self::Yes(value),
            Err(error) => Self::No(error.to_string()),
        }
    }

    /// What it said.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Yes(value) => Some(value),
            Self::No(_) => None,
        }
    }

    /// Why it did not say.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Yes(_) => None,
            Self::No(why) => Some(why),
        }
    }
}

/// The credential that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The id of the project.
    pub project: String,
    /// The name of the project.
    pub project_name: String,
    /// The names of the roles.
    pub roles: Vec<String>,
    /// Whether it is an application credential.
    pub application: bool,
    /// When an application credential ends; `None`: never, or it is a password.
    pub expires: Known<Option<Timestamp>>,
    /// How far the clock of the cloud is ahead of ours.
    pub skew: SignedDuration,
}

/// A size of machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavor {
    /// Virtual cores.
    pub cores: u64,
    /// MiB of memory.
    pub memory_mib: u64,
    /// GB of disk; 0: boots from a volume.
    pub disk_gb: u64,
}

/// A quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How much there may be; `None` = no limit.
    pub limit: Option<u64>,
    /// How much there is; `None`: the cloud does not say.
    pub used: Option<u64>,
}

impl Quota {
    /// How much is left; `None` = no limit, or unknown.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        Some(self.limit?.saturating_sub(self.used?))
    }
}

/// What quotas limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum QuotaName {
    Cores,
    MemoryMiB,
    Instances,
    ServerGroups,
    Volumes,
    Gigabytes,
    Snapshots,
    FloatingIps,
    LoadBalancers,
    Networks,
    Subnets,
    Routers,
    Ports,
    SecurityGroups,
}

impl QuotaName {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Cores,
        Self::MemoryMiB,
        Self::Instances,
        Self::ServerGroups,
        Self::Volumes,
        Self::Gigabytes,
        Self::Snapshots,
        Self::FloatingIps,
        Self::LoadBalancers,
        Self::Networks,
        Self::Subnets,
        Self::Routers,
        Self::Ports,
        Self::SecurityGroups,
    ];

    /// The name for people; that of `--capacity` where there is one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::MemoryMiB => "memoryMiB",
            Self::Instances => "instances",
            Self::ServerGroups => "server groups",
            Self::Volumes => "volumes",
            Self::Gigabytes => "gigabytes of volumes",
            Self::Snapshots => "snapshots",
            Self::FloatingIps => "floatingIPs",
            Self::LoadBalancers => "loadBalancers",
            Self::Networks => "networks",
            Self::Subnets => "subnets",
            Self::Routers => "routers",
            Self::Ports => "ports",
            Self::SecurityGroups => "security groups",
        }
    }
}

/// Everything that a plan is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudFacts {
    /// The name of the cloud in clouds.yaml.
    pub cloud: String,
    /// The credential.
    pub credential: Credential,
    /// The microversion of Nova in use; `None`: it is older than 2.52.
    pub microversion: Known<Option<String>>,
    /// External networks: id and name.
    pub external_networks: Known<BTreeMap<String, String>>,
    /// Flavors by name.
    pub flavors: Known<BTreeMap<String, Flavor>>,
    /// Images that are ready to be used: id and name.
    pub images: Known<BTreeMap<String, String>>,
    /// Availability zones of machines that can be used.
    pub zones: Known<BTreeSet<String>>,
    /// Kinds of load balancers. `Yes` of nothing: the cloud has no load balancers.
    pub providers: Known<BTreeSet<String>>,
    /// Quotas by name.
    pub quotas: BTreeMap<QuotaName, Known<Quota>>,
}

impl CloudFacts {
    /// Asks for everything.
    ///
    /// # Errors
    /// Only when there is no token: without it nothing else can be asked.
    pub async fn fetch(client: &Client) -> Result<Self, CloudError> {
        let session = client.session().await?;
        let expires = match &session.application_credential {
            None => Known::Yes(None),
            Some(id) => Known::of(expiry(client, &session.user, id).await),
        };
        Ok(Self {
            cloud: client.cloud().name.clone(),
            credential: Credential {
                project: session.project.clone(),
                project_name: session.project_name.clone(),
                roles: session.roles.clone(),
                application: session.application_credential.is_some(),
                expires,
                skew: session.skew,
            },
            microversion: Known::of(client.compute_microversion().await),
            external_networks: Known::of(
                named(client, Service::Network, "/networks?router:external=true", "networks", Paging::Links)
                    .await,
            ),
            flavors: Known::of(flavors(client).await),
            images: Known::of(
                named(client, Service::Image, "/images?status=active", "images", Paging::Next).await,
            ),
            zones: Known::of(zones(client).await),
            providers: Known::of(providers(client).await),
            quotas: quotas(client).await,
        })
    }
}

async fn expiry(client: &Client, user: &str, id: &str) -> Result<Option<Timestamp>, CloudError> {
    let answer =
        client.get(Service::Identity, &format!("/users/{user}/application_credentials/{id}")).await?;
    let told = answer["application_credential"]["expires_at"].as_str();
    Ok(told.and_then(|text| {
        // Keystone gives it with and without a zone, and means UTC.
        let text = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
        text.parse().ok()
    }))
}

async fn named(
    client: &Client,
    service: Service,
    path: &str,
    collection: &str,
    paging: Paging,
) -> Result<BTreeMap<String, String>, CloudError> {
    let items = client.list(service, path, collection, paging).await?;
    let pair = |item: &Value| {
        Some((item["id"].as_str()?.to_owned(), item["name"].as_str().unwrap_or_default().to_owned()))
    };
    Ok(items.iter().filter_map(pair).collect())
}

async fn flavors(client: &Client) -> Result<BTreeMap<String, Flavor>, CloudError> {
    let items = client.list(Service::Compute, "/flavors/detail", "flavors", Paging::Links).await?;
    let read = |item: &Value| {
        let number = |key: &str| item[key].as_u64().unwrap_or(0);
        let flavor = Flavor { cores: number("vcpus"), memory_mib: number("ram"), disk_gb: number("disk") };
        Some((item["name"].as_str()?.to_owned(), flavor))
    };
    Ok(items.iter().filter_map(read).collect())
}

async fn zones(client: &Client) -> Result<BTreeSet<String>, CloudError> {
    let answer = client.get(Service::Compute, "/os-availability-zone").await?;
    let zones = answer["availabilityZoneInfo"].as_array().into_iter().flatten();
    let usable = zones.filter(|zone| zone["zoneState"]["available"] == true);
    Ok(usable.filter_map(|zone| zone["zoneName"].as_str().map(str::to_owned)).collect())
}

async fn providers(client: &Client) -> Result<BTreeSet<String>, CloudError> {
    if !client.has(Service::LoadBalancer).await? {
        return Ok(BTreeSet::new());
    }
    let items = client.list(Service::LoadBalancer, "/providers", "providers", Paging::Links).await?;
    Ok(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect())
}

/// Every quota, each known or not.
pub(super) async fn quotas(client: &Client) -> BTreeMap<QuotaName, Known<Quota>> {
    let mut all = BTreeMap::new();
    let mut fill = |names: &[(QuotaName, &str)],
                    answer: Result<Value, CloudError>,
                    read: fn(&Value, &str) -> Option<Quota>| {
        let answer = Known::of(answer);
        for (name, key) in names {
            let quota = match &answer {
                Known::Yes(value) => read(value, key).map_or_else(
                    || Known::No(format!("the cloud says nothing of {}", name.name())),
                    Known::Yes,
                ),
                Known::No(why) => Known::No(why.clone()),
            };
            all.insert(*name, quota);
        }
    };
    use QuotaName as Q;
    let compute = client.get(Service::Compute, "/limits").await;
    fill(
        &[
            (Q::Cores, "Cores"),
            (Q::MemoryMiB, "RAM"),
            (Q::Instances, "Instances"),
            (Q::ServerGroups, "ServerGroups"),
        ],
        compute,
        nova,
    );
    let project = match client.project().await {
        Ok((project, _)) => project,
        // Then the first of the questions has failed for the same reason, and so would these.
        Err(error) => {
            for name in Q::ALL {
                all.insert(name, Known::No(error.to_string()));
            }
            return all;
        }
    };
    let network = client.get(Service::Network, &format!("/quotas/{project}/details.json")).await;
    let names = [
        (Q::Networks, "network"),
        (Q::Subnets, "subnet"),
        (Q::Routers, "router"),
        (Q::Ports, "port"),
        (Q::SecurityGroups, "security_group"),
        (Q::FloatingIps, "floatingip"),
    ];
    fill(&names, network, neutron);
    let volume = client.get(Service::Volume, "/limits").await;
    fill(
        &[(Q::Volumes, "Volumes"), (Q::Gigabytes, "VolumeGigabytes"), (Q::Snapshots, "Snapshots")],
        volume,
        cinder,
    );
    let balancers = match client.has(Service::LoadBalancer).await {
        Ok(true) => client.get(Service::LoadBalancer, &format!("/quotas/{project}")).await,
        Ok(false) => Ok(serde_json::json!({"quota": {"load_balancer": 0}})),
        Err(error) => Err(error),
    };
    fill(&[(Q::LoadBalancers, "load_balancer")], balancers, octavia);
    // Octavia tells the limit and not the use; that is the length of the list.
    if let Some(Known::Yes(quota)) = all.get_mut(&Q::LoadBalancers)
        && quota.limit != Some(0)
    {
        let path = format!("/loadbalancers?project_id={project}&fields=id");
        match client.list(Service::LoadBalancer, &path, "loadbalancers", Paging::Links).await {
            Ok(list) => quota.used = Some(list.len() as u64),
            Err(error) => drop(all.insert(Q::LoadBalancers, Known::No(error.to_string()))),
        }
    }
    all
}

/// -1 is no limit.
fn limit(value: &Value) -> Option<Option<u64>> {
    value.as_i64().map(|number| u64::try_from(number).ok())
}

fn nova(answer: &Value, key: &str) -> Option<Quota> {
    let limits = &answer["limits"]["absolute"];
    let most = match key {
        "Instances" | "Cores" => &limits[format!("maxTotal{key}")],
        "RAM" => &limits["maxTotalRAMSize"],
        other => &limits[format!("max{other}")],
    };
    Some(Quota { limit: limit(most)?, used: limits[format!("total{key}Used")].as_u64() })
}

fn neutron(answer: &Value, key: &str) -> Option<Quota> {
    let quota = &answer["quota"][key];
    let (used, reserved) = (quota["used"].as_u64()?, quota["reserved"].as_u64().unwrap_or(0));
    Some(Quota { limit: limit(&quota["limit"])?, used: Some(used + reserved) })
}

fn cinder(answer: &Value, key: &str) -> Option<Quota> {
    let limits = &answer["limits"]["absolute"];
    let used =
        if key == "VolumeGigabytes" { "totalGigabytesUsed".to_owned() } else { format!("total{key}Used") };
    let most = if key == "VolumeGigabytes" {
        "maxTotalVolumeGigabytes".to_owned()
    } else {
        format!("maxTotal{key}")
    };
    Some(Quota { limit: limit(&limits[most])?, used: limits[used].as_u64() })
}

fn octavia(answer: &Value, key: &str) -> Option<Quota> {
    let quota = &answer["quota"];
    let most = [key, "loadbalancer"].iter().find_map(|key| limit(&quota[*key]))?;
    Some(Quota { limit: most, used: (most == Some(0)).then_some(0) })
}
