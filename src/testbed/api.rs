//! Talking to what was started: applying objects, and asking whether somebody is ready.

use super::error::{IoContext as _, TestbedError};
use super::manifest::Manifest;
use super::state::{State, TestbedInfo};
use kube::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long one look at a component may take.
pub(super) const PROBE: Duration = Duration::from_secs(5);
/// Who owns the fields of what is applied here.
const FIELD_MANAGER: &str = "stack-e2e-testbed";

/// A client with the identity of a kubeconfig.
pub(super) async fn client(path: &Path) -> Result<Client, TestbedError> {
    let failed = |why: String| TestbedError::Kubeconfig { path: path.to_owned(), why };
    let text = fs::read_to_string(path).on("cannot read", path)?;
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).map_err(|error| failed(error.to_string()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .map_err(|error| failed(error.to_string()))?;
    // A proxy for the way out is none for loopback.
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

/// Server-side apply of one object; only its metadata is sent back. An API server that has just begun to answer may
/// turn requests down for a moment.
pub(super) async fn apply(
    client: &Client,
    path: String,
    body: String,
    what: String,
) -> Result<(), TestbedError> {
    let started = Instant::now();
    loop {
        let request = http::Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}&force=true"))
            .header("content-type", "application/apply-patch+yaml")
            .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
            .body(body.clone().into_bytes());
        let error = match request {
            Err(error) => kube::Error::HttpError(error),
            Ok(request) => match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
        };
        let passing = match &error {
            kube::Error::Api(status) => status.code >= 500 || status.code == 429,
            kube::Error::Service(_) | kube::Error::HyperError(_) => true,
            _ => false,
        };
        if !passing || started.elapsed() > Duration::from_secs(30) {
            return Err(TestbedError::Apply { object: what, source: Box::new(error) });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Gets a path as text; an error comes in one line.
pub(super) async fn get(client: &Client, path: &str) -> Result<String, String> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| chain(&error))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// The groups of all definitions that an API server has.
pub(super) async fn installed_groups(client: &Client) -> Result<BTreeSet<String>, String> {
    let request = http::Request::get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .header("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let text = client.request_text(request).await.map_err(|error| chain(&error))?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let items = list["items"].as_array().ok_or("the answer is no list")?;
    let names = items.iter().filter_map(|item| item["metadata"]["name"].as_str());
    Ok(names.filter_map(|name| Some(name.split_once('.')?.1.to_owned())).collect())
}

/// Whether the API server says that it is ready.
pub(super) async fn ready_api(client: &Client) -> Result<(), String> {
    get(client, "/readyz").await.map(drop)
}

/// Whether discovery lists what every definition promises: only then can controllers watch it.
pub(super) async fn all_discovered(client: &Client, manifests: &[Manifest]) -> Result<(), String> {
    let request = http::Request::get("/apis")
        .header("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let text = client.request_text(request).await.map_err(|error| chain(&error))?;
    let discovery: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match undiscovered(&discovery, manifests).first() {
        None => Ok(()),
        Some(missing) => Err(format!("`{missing}` is not served yet")),
    }
}

fn undiscovered(discovery: &Value, manifests: &[Manifest]) -> Vec<String> {
    let mut served: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for group in discovery["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                served.insert((
                    name,
                    version["version"].as_str().unwrap_or_default(),
                    resource["resource"].as_str().unwrap_or_default(),
                ));
            }
        }
    }
    let promised = manifests.iter().flat_map(|manifest| {
        manifest
            .versions
            .iter()
            .map(move |version| (manifest.group.as_str(), version.as_str(), manifest.plural.as_str()))
    });
    promised
        .filter(|resource| !served.contains(resource))
        .map(|(group, version, plural)| format!("{plural}.{version}.{group}"))
        .collect()
}

/// Whether anybody listens on a port of loopback.
pub(super) async fn ready_tcp(port: u16) -> Result<(), String> {
    let connected = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    connected.map(drop).map_err(|error| error.to_string())
}

/// Whether a plain health endpoint on loopback answers 200.
pub(super) async fn ready_http(port: u16, path: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = ask.await.map_err(|error| error.to_string())?;
    let line = answer.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(format!("it answers `{line}`")) }
}

/// Whether a running component says that it is ready; `None` when it has no way to say so.
pub(super) async fn is_ready(testbed: &TestbedInfo, state: &State, component: &str) -> Option<bool> {
    let ask = async {
        match component {
            "hold" | "relay" => None,
            "etcd" => Some(ready_http(state.port("etcd-health"), "/health").await),
            "kube-apiserver" => match client(&testbed.admin_kubeconfig).await {
                Ok(client) => Some(ready_api(&client).await),
                Err(error) => Some(Err(error.to_string())),
            },
            "kube-controller-manager" => Some(ready_tcp(state.port(component)).await),
            manager => Some(ready_http(state.port(manager), "/readyz").await),
        }
    };
    match tokio::time::timeout(PROBE, ask).await {
        Ok(answer) => answer.map(|answer| answer.is_ok()),
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_definition_promises_must_be_discovered() {
        let manifest = Manifest {
            component: "capi-core".into(),
            kind: "CustomResourceDefinition".into(),
            name: "clusters.cluster.x-k8s.io".into(),
            group: "cluster.x-k8s.io".into(),
            versions: vec!["v1beta1".into(), "v1beta2".into()],
            plural: "clusters".into(),
            body: String::new(),
        };
        let discovery = json!({"items": [{
            "metadata": {"name": "cluster.x-k8s.io"},
            "versions": [{"version": "v1beta2", "resources": [{"resource": "clusters"}]}],
        }]});
        assert_eq!(undiscovered(&discovery, &[manifest]), ["clusters.v1beta1.cluster.x-k8s.io"]);
    }
}
