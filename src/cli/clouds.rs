//! The credential of a cloud: from the files that the operator names into memory, and no further.

use super::exit::Exit;
use super::{cloud, inputs, screen};
use crate::cloud::Client;
use crate::cloud::config;
use crate::plan::Plan;
use crate::provider::clouds::{CloudEntry, EntryError};
use crate::provider::manifest;
use crate::types::ProviderKind;
use std::path::Path;

/// What the clusters of a plan need; `None` when they need nothing. `file` stands in the place of `clouds.yaml`; the other
/// files of OpenStack clients are looked for as ever.
///
/// # Errors
/// They need it and there is none, or it cannot be used. Nothing has been touched.
pub(super) fn entry(plan: &Plan, file: Option<&Path>) -> Result<Option<CloudEntry>, Exit> {
    let Some(access) = manifest::access(plan) else { return Ok(None) };
    let name = access.cloud.as_str();
    let refuse = |why: &str| {
        let hint = format!("`--clouds FILE` names a clouds.yaml that has the cloud `{name}`");
        screen::complain(why, &hint);
        Exit::BadInput
    };
    let Some(file) = file else {
        return Err(refuse(&format!(
            "the clusters need the credential of the cloud `{name}`, and none was given"
        )));
    };
    // OpenStack clients pass over a file that they cannot read; this one was asked for by name.
    if let Err(error) = std::fs::File::open(file) {
        return Err(refuse(&format!("`{}` cannot be used: {error}", file.display())));
    }
    let places = config::Places { config_file: Some(file.to_path_buf()), ..cloud::places() };
    let files = config::load(&places).map_err(|problems| inputs::refuse(&problems))?;
    let found = files.cloud(Some(name), None).map_err(|problems| inputs::refuse(&problems))?;
    let cacert = match cloud::certificates(&found)? {
        None => None,
        Some(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
            refuse(&format!("the `cacert` of the cloud `{name}` is not PEM: it is not even text"))
        })?),
    };
    match CloudEntry::of(&files, name, cacert) {
        Ok(entry) => Ok(Some(entry)),
        Err(EntryError::Files(problems)) => Err(inputs::refuse(&problems)),
        Err(EntryError::Unfit(why)) => Err(refuse(&format!("`{}` cannot be used: {why}", file.display()))),
    }
}

/// A client for the project that the clusters of a plan are made in; `None` when that is no OpenStack, or the scenarios
/// name no cloud.
pub(super) fn client(plan: &Plan, file: Option<&Path>) -> Result<Option<Client>, Exit> {
    let Some(access) = manifest::access(plan).filter(|_| plan.provider == ProviderKind::Openstack) else {
        return Ok(None);
    };
    let places = config::Places { config_file: file.map(Path::to_path_buf), ..cloud::places() };
    cloud::connect_in(&places, access.cloud.as_str(), None).map(Some)
}
