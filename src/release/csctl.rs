//! Builds with `csctl` itself.

use super::folder::Folder;
use super::hash::Files;
use super::versions::Versioned;
use super::{ReleaseError, read};
use crate::stack::program::Call;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(300);

/// Builds the assets. The versions are given, so that `csctl` asks no registry for the latest release.
///
/// `csctl` keeps its copy of the stack in `./.tmp`, so it runs in a folder of its own; otherwise two of them at once
/// would mix their stacks.
pub(super) async fn build(
    folder: &Folder,
    versioned: &Versioned,
    csctl: &Path,
    path: &OsString,
) -> Result<Files, ReleaseError> {
    let failed = |why: String| ReleaseError::Program { program: "csctl".into(), why };
    let io = |error: std::io::Error| failed(format!("{}: {error}", csctl.display()));
    let scratch = tempfile::tempdir().map_err(io)?;
    let output = scratch.path().join("release");
    let metadata = &versioned.metadata;
    let mut arguments: Vec<OsString> =
        vec!["create".into(), folder.path.clone().into_os_string(), "--output".into()];
    arguments.push(output.clone().into_os_string());
    arguments.push("--mode".into());
    if metadata.cluster_stack.patch_of("sha") == Some(versioned.hashes.short()) {
        arguments.push("hash".into());
    } else {
        let Some(image) = &metadata.node_image else {
            return Err(failed("it cannot make a release without a version of the node image".into()));
        };
        arguments.push("custom".into());
        for (flag, version) in [
            ("--cluster-stack-version", &metadata.cluster_stack),
            ("--cluster-addon-version", &metadata.cluster_addon),
            ("--node-image-version", image),
        ] {
            arguments.extend([flag.into(), version.to_string().into()]);
        }
    }
    let environment = [("PATH", path.clone())];
    let call = Call {
        program: csctl,
        arguments: &arguments,
        home: scratch.path(),
        environment: &environment,
        input: "",
        max_output: super::MAX_SAID,
        deadline: DEADLINE,
    };
    let said = call.run().await.map_err(io)?;
    if !said.status.success() {
        return Err(failed(said.complaint()));
    }
    let made = output.join(versioned.name.dashed());
    read::directory(&made).map_err(|error| failed(format!("what it has made cannot be read: {error}")))
}
