//! Which cloud, and how to reach it: `clouds.yaml`, and what of the environment every OpenStack client looks at.

use super::exit::Exit;
use super::{inputs, screen};
use crate::cloud::config::{self, Cloud, Places};
use crate::cloud::{Client, CloudError, Limits, Proxies};
use std::path::PathBuf;
use std::time::Duration;

/// The name that stands for `OS_CLOUD`, or for the only cloud there is.
const CURRENT: &str = "-";

#[expect(clippy::disallowed_methods, reason = "`cli` is where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Of two spellings of a variable the small one counts, as for curl.
fn proxy(name: &str) -> Option<String> {
    variable(&name.to_lowercase()).or_else(|| variable(name))
}

/// Where OpenStack clients look for their files.
pub(super) fn places() -> Places {
    let path = |name: &str| variable(name).map(PathBuf::from);
    Places {
        config_file: path("OS_CLIENT_CONFIG_FILE"),
        secure_file: path("OS_CLIENT_SECURE_FILE"),
        working: std::env::current_dir().unwrap_or_default(),
        config_home: path("XDG_CONFIG_HOME"),
        home: path("HOME"),
    }
}

/// The certificates that are trusted besides those of the machine.
pub(super) fn certificates(cloud: &Cloud) -> Result<Option<Vec<u8>>, Exit> {
    let Some(file) = &cloud.cacert else { return Ok(None) };
    let found = std::fs::read(file).map_err(|error| {
        let message = format!(
            "`{}`, the `cacert` of the cloud `{}`, cannot be read: {error}",
            file.display(),
            cloud.name
        );
        screen::complain(
            &message,
            "it holds the certificates of a private CA as PEM; without one, remove the line",
        );
        Exit::BadInput
    });
    found.map(Some)
}

/// A client for the cloud of this name.
pub(super) fn connect(name: &str, region: Option<&str>) -> Result<Client, Exit> {
    connect_in(&places(), name, region)
}

/// A client for the cloud of this name in the files of these places.
pub(super) fn connect_in(places: &Places, name: &str, region: Option<&str>) -> Result<Client, Exit> {
    let current = variable("OS_CLOUD");
    let name = if name == CURRENT { current.as_deref() } else { Some(name) };
    let region = region.map(str::to_owned).or_else(|| variable("OS_REGION_NAME"));
    let cloud = config::load(places)
        .and_then(|files| files.cloud(name, region.as_deref()))
        .map_err(|problems| inputs::refuse(&problems))?;
    let certificates = certificates(&cloud)?;
    if !cloud.verify {
        screen::note(&format!(
            "warning: certificates of the cloud `{}` are not checked (`verify: false`)",
            cloud.name
        ));
    }
    let limits = Limits { request: Duration::from_secs(60), ..Limits::default() };
    let proxies = Proxies { http: proxy_http(), https: proxy("HTTPS_PROXY"), none: proxy("NO_PROXY") };
    Client::new(cloud, limits, &proxies, certificates.as_deref()).map_err(|error| {
        complain(&error);
        Exit::BadInput
    })
}

/// Only the small spelling: in a CGI process `HTTP_PROXY` is set by whoever sends a request.
fn proxy_http() -> Option<String> {
    variable("http_proxy")
}

/// Shows trouble with a cloud.
pub(super) fn complain(error: &CloudError) {
    screen::complain(&error.to_string(), error.hint());
}
