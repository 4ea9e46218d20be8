//! The credential of a cloud: from the file that the operator names into memory, and no further.

use super::exit::Exit;
use super::screen;
use crate::plan::Plan;
use crate::provider::clouds::{self, CloudEntry, MAX_CLOUDS};
use crate::provider::manifest;
use std::path::Path;

/// What the clusters of a plan need; `None` when they need nothing.
///
/// # Errors
/// They need it and there is none, or it cannot be used. Nothing has been touched.
pub(super) fn entry(plan: &Plan, file: Option<&Path>) -> Result<Option<CloudEntry>, Exit> {
    let Some(access) = manifest::access(plan) else { return Ok(None) };
    let cloud = access.cloud.as_str();
    let refuse = |why: &str| {
        let hint = format!("`--clouds FILE` names a clouds.yaml that has the cloud `{cloud}`");
        screen::complain(why, &hint);
        Exit::BadInput
    };
    let Some(file) = file else {
        return Err(refuse(&format!(
            "the clusters need the credential of the cloud `{cloud}`, and none was given"
        )));
    };
    let named = |why: String| refuse(&format!("`{}` cannot be used: {why}", file.display()));
    let text = read(file).map_err(named)?;
    let cacert = match clouds::cacert_path(&text, cloud) {
        None => None,
        Some(path) => {
            Some(read(Path::new(&path)).map_err(|why| named(format!("its `cacert` `{path}`: {why}")))?)
        }
    };
    CloudEntry::parse(&text, cloud, cacert).map(Some).map_err(named)
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_CLOUDS {
        return Err(format!("it has {size} bytes, allowed are {MAX_CLOUDS}"));
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}
