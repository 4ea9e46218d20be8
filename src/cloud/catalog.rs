//! The catalog of a token: which service is where. And which version of it is meant: a catalog may give the address of
//! a version, or that of a service whose versions must be asked for.

use super::config::{Cloud, Interface};
use super::error::{CloudError, ErrorClass};
use reqwest::Url;
use serde_json::Value;
use std::collections::BTreeSet;

/// A service that we talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Nova.
    Compute,
    /// Neutron.
    Network,
    /// Cinder.
    Volume,
    /// Glance.
    Image,
    /// Octavia.
    LoadBalancer,
}

impl Service {
    /// The types under which catalogs have it, the current one first.
    #[must_use]
    pub const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity"],
            Self::Compute => &["compute"],
            Self::Network => &["network"],
            Self::Volume => &["block-storage", "volumev3", "block-store", "volume"],
            Self::Image => &["image"],
            Self::LoadBalancer => &["load-balancer"],
        }
    }

    /// The major version that we speak, and the path that it has where a service does not say.
    pub(super) const fn version(self) -> (&'static str, &'static str) {
        match self {
            Self::Identity => ("v3", "v3"),
            Self::Compute => ("v2.1", "v2.1"),
            Self::Network => ("v2", "v2.0"),
            Self::Volume => ("v3", "v3"),
            Self::Image => ("v2", "v2"),
            Self::LoadBalancer => ("v2", "v2"),
        }
    }
}

/// One address of a service, of any region.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    kind: String,
    interface: String,
    region: String,
    url: String,
}

/// All addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog(Vec<Endpoint>);

impl Catalog {
    /// Reads the `catalog` of a token.
    pub(super) fn read(token: &Value) -> Self {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let services = token["catalog"].as_array().map(Vec::as_slice).unwrap_or_default();
        let endpoints = services.iter().flat_map(|service| {
            let kind = text(service, "type");
            let endpoints = service["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
            endpoints.iter().map(move |endpoint| Endpoint {
                kind: kind.clone(),
                interface: text(endpoint, "interface"),
                region: Some(text(endpoint, "region_id"))
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(|| text(endpoint, "region")),
                url: text(endpoint, "url"),
            })
        });
        Self(endpoints.collect())
    }

    /// The address of a service.
    pub(super) fn find(&self, service: Service, cloud: &Cloud) -> Result<Url, CloudError> {
        let name = service.types()[0];
        let fail = |why: String| {
            CloudError::new(ErrorClass::Catalog, format!("the address of the service `{name}`"), why)
        };
        let parse =
            |url: &str| Url::parse(url).map_err(|error| fail(format!("`{url}` is no address: {error}")));
        let overridden = service.types().iter().find_map(|kind| cloud.overrides.get(&kind.replace('-', "_")));
        if let Some(url) = overridden {
            return parse(url);
        }
        let of_kind = |kind: &str| self.0.iter().filter(|endpoint| endpoint.kind == kind).collect::<Vec<_>>();
        let all = service.types().iter().map(|kind| of_kind(kind)).find(|found| !found.is_empty());
        let all = all.ok_or_else(|| fail("the catalog does not have it".into()))?;
        let interface = cloud.interface.name();
        let fits = |endpoint: &&&Endpoint| {
            let written = endpoint.interface.trim_end_matches("URL");
            written == interface && cloud.region.as_ref().is_none_or(|region| *region == endpoint.region)
        };
        let found: Vec<_> = all.iter().filter(fits).collect();
        let regions: BTreeSet<&str> = found.iter().map(|endpoint| endpoint.region.as_str()).collect();
        match (found.as_slice(), regions.len()) {
            ([first, ..], 1) => parse(&first.url),
            ([], _) => {
                let known: BTreeSet<String> = all
                    .iter()
                    .map(|endpoint| format!("{} in {}", endpoint.interface, endpoint.region))
                    .collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let region = cloud
                    .region
                    .as_deref()
                    .map_or_else(String::new, |region| format!(" in the region `{region}`"));
                Err(fail(format!("the catalog has no {interface} address of it{region}; it has: {known}")))
            }
            _ => {
                let known = regions.into_iter().collect::<Vec<_>>().join(", ");
                Err(fail(format!("the catalog has it in several regions, and the cloud names none: {known}")))
            }
        }
    }

    /// Whether it has a service at all.
    pub(super) fn has(&self, service: Service) -> bool {
        self.0.iter().any(|endpoint| service.types().contains(&endpoint.kind.as_str()))
    }
}

/// Whether a path names a version already: `/v2.1`, `/network/v2.0`, `/v3/PROJECT`.
pub(super) fn has_version(url: &Url) -> bool {
    let is_version = |part: &str| {
        let digits = part.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    url.path().split('/').any(is_version)
}

/// The version of a service that a document of versions offers: its address, with the host of the catalog, since
/// services behind a proxy often know neither their name nor their scheme.
pub(super) fn choose(service: Service, root: &Url, document: &Value) -> Option<Url> {
    let (major, path) = service.version();
    let list = document["versions"].as_array().or_else(|| document["versions"]["values"].as_array());
    let fits = |id: &str| id == major || id.strip_prefix(major).is_some_and(|rest| rest.starts_with('.'));
    let usable = |version: &&Value| {
        version["id"].as_str().is_some_and(fits)
            && !matches!(version["status"].as_str(), Some("EXPERIMENTAL" | "DELETED"))
    };
    // Several minor versions of one major one share an address; the current one is as good as any.
    let mut found: Vec<&Value> = list?.iter().filter(usable).collect();
    found.sort_by_key(|version| version["status"].as_str() != Some("CURRENT"));
    let links = found.first()?["links"].as_array().map(Vec::as_slice).unwrap_or_default();
    let href = links.iter().find(|link| link["rel"] == "self").and_then(|link| link["href"].as_str());
    let told =
        href.and_then(|href| root.join(href).ok()).map(|url| url.path().trim_end_matches('/').to_owned());
    let below = root.path().trim_end_matches('/');
    // A service that does not know that it lives below a path gives one that does not start with it.
    let path = match told {
        Some(told) if told.starts_with(below) && told.len() > below.len() => told,
        Some(told) if told.len() > 1 && told != below => format!("{below}{told}"),
        _ => format!("{below}/{path}"),
    };
    let mut url = root.clone();
    url.set_path(&path);
    url.set_query(None);
    Some(url)
}

/// The microversion to use: the highest of `wanted` that lies within what the service offers.
pub(super) fn microversion(wanted: &[(u32, u32)], lowest: &str, highest: &str) -> Option<String> {
    let read = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let (lowest, highest) = (read(lowest)?, read(highest)?);
    let best = wanted.iter().filter(|version| **version >= lowest && **version <= highest).max()?;
    Some(format!("{}.{}", best.0, best.1))
}

/// Only for messages: what an interface is called in the catalog.
impl std::fmt::Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chosen(service: Service, root: &str, document: &Value) -> Option<String> {
        choose(service, &Url::parse(root).unwrap(), document).map(|url| url.to_string())
    }

    fn version(id: &str, status: &str, href: &str) -> Value {
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
    }

    #[test]
    fn a_version_is_found_whatever_the_service_thinks_its_address_is() {
        let neutron = |href: &str| json!({"versions": [version("v2.0", "CURRENT", href)]});
        for (root, href, expect) in [
            ("http://n:9696", "http://n:9696/v2.0/", Some("http://n:9696/v2.0")),
            ("https://n/network/", "http://10.0.0.1:9696/v2.0/", Some("https://n/network/v2.0")),
            ("https://n/network", "https://n/network/v2.0", Some("https://n/network/v2.0")),
            ("https://n/network", "https://n/network", Some("https://n/network/v2.0")),
        ] {
            assert_eq!(chosen(Service::Network, root, &neutron(href)).as_deref(), expect, "{root} {href}");
        }
        let octavia: Vec<Value> =
            (0..30).map(|minor| version(&format!("v2.{minor}"), "SUPPORTED", "http://o:9876/v2")).collect();
        assert_eq!(
            chosen(Service::LoadBalancer, "http://o:9876/", &json!({"versions": octavia})).as_deref(),
            Some("http://o:9876/v2")
        );
        let nova = json!({"versions": [version("v2.0", "SUPPORTED", "http://c/v2/"), version("v2.1", "CURRENT", "http://c/v2.1/")]});
        assert_eq!(chosen(Service::Compute, "http://c/", &nova).as_deref(), Some("http://c/v2.1"));
        let keystone = json!({"versions": {"values": [version("v3.14", "stable", "http://k/v3/")]}});
        assert_eq!(chosen(Service::Identity, "http://k/", &keystone).as_deref(), Some("http://k/v3"));
        assert_eq!(
            chosen(Service::Image, "http://i/", &json!({"versions": [version("v1.0", "CURRENT", "/v1")]})),
            None
        );
        assert_eq!(chosen(Service::Image, "http://i/", &json!({})), None);
    }

    #[test]
    fn an_address_with_a_version_is_told_from_one_without() {
        for (url, has) in [
            ("http://c:8774/v2.1", true),
            ("https://v/volume/v3/0123456789abcdef", true),
            ("http://n:9696", false),
            ("https://volumes.example.org/versions", false),
        ] {
            assert_eq!(has_version(&Url::parse(url).unwrap()), has, "{url}");
        }
    }

    #[test]
    fn the_microversion_is_the_best_that_both_know() {
        let wanted = &[(2, 52), (2, 64)];
        assert_eq!(microversion(wanted, "2.1", "2.96").as_deref(), Some("2.64"));
        assert_eq!(microversion(wanted, "2.1", "2.60").as_deref(), Some("2.52"));
        assert_eq!(microversion(wanted, "2.1", "2.9"), None);
        assert_eq!(microversion(wanted, "", ""), None);
    }
}
