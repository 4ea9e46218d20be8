//! A release as an artifact of an OCI registry, as `csctl --publish` pushes it. See the distribution specification of
//! the Open Container Initiative, and the token authentication of the Docker registry.

use super::http::{Client, ReadError, digest, said, secret};
use super::{MAX_ASSET, MAX_ASSETS, asset_name};
use crate::release::check::Finding;
use crate::release::hash::Files;
use crate::types::Secret;
use base64::Engine as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.scs.cluster-stacks.v1";
const TITLE: &str = "org.opencontainers.image.title";
const MAX_MANIFEST: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    artifact_type: String,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// The media type that `csctl` gives to an asset.
fn media_type(asset: &str) -> &'static str {
    match asset {
        "clusteraddon.yaml" => "application/vnd.scs.cluster-addon.config.layer.v1+yaml",
        "metadata.yaml" => "application/vnd.scs.metadata.layer.v1+yaml",
        "node-images.yaml" => "application/vnd.scs.node-image.config.layer.v1+yaml",
        "hashes.json" => "application/vnd.scs.hashes.layer.v1+yaml",
        _ if asset.contains("cluster-addon") && asset.ends_with(".tgz") => {
            "application/vnd.scs.cluster-addon.layer.v1.tar+gzip"
        }
        _ if asset.contains("cluster-class") && asset.ends_with(".tgz") => {
            "application/vnd.scs.cluster-class.v1.tar+gzip"
        }
        _ => "",
    }
}

impl Client {
    /// Reads the artifact of a tag.
    pub(super) async fn oci(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(Files, Vec<Finding>), ReadError> {
        let mut session = Session { client: self, registry, repository, authorization: None };
        let what = format!("oci://{registry}/{repository}:{tag}");
        let response = session.get(&format!("manifests/{tag}"), &what, Some(MANIFEST)).await?;
        let promised = response.headers().get("docker-content-digest").cloned();
        let bytes = self.body(response, &what, MAX_MANIFEST).await?;
        let corrupt = |why: String| ReadError::Corrupt { what: what.clone(), why };
        if let Some(promised) = promised.and_then(|header| header.to_str().ok().map(str::to_owned))
            && promised.starts_with("sha256:")
            && promised != digest(&bytes)
        {
            return Err(corrupt(format!("the manifest has the digest {}, not {promised}", digest(&bytes))));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| corrupt(format!("it is not the manifest of an artifact: {error}")))?;
        if manifest.layers.is_empty() || manifest.layers.len() > MAX_ASSETS {
            return Err(corrupt(format!("it has {} layers", manifest.layers.len())));
        }
        let mut files = Files::new();
        for layer in &manifest.layers {
            let title = layer.annotations.as_ref().and_then(|annotations| annotations.get(TITLE));
            let title = title.and_then(|title| asset_name(title));
            let title =
                title.ok_or_else(|| corrupt(format!("the layer {} has no plain file name", layer.digest)))?;
            let bytes = session.blob(layer, &format!("{title} of {what}")).await?;
            if files.insert(title.to_owned(), bytes).is_some() {
                return Err(corrupt(format!("it has {title} twice")));
            }
        }
        let findings = published(&manifest, &files, &what);
        Ok((files, findings))
    }
}

/// What is odd about the manifest.
fn published(manifest: &Manifest, files: &Files, what: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding = |rule, why: String| {
        let hint = "publish it with `csctl create --publish`, under the next version".to_owned();
        findings.push(Finding { rule, file: what.to_owned(), why, hint });
    };
    if manifest.artifact_type != ARTIFACT {
        finding(
            "oci-artifact-type",
            format!("has the artifactType `{}`, not {ARTIFACT}", manifest.artifact_type),
        );
    }
    for layer in &manifest.layers {
        let title = layer.annotations.as_ref().and_then(|all| all.get(TITLE)).map_or("", String::as_str);
        let wanted = media_type(title);
        if !wanted.is_empty() && layer.media_type != wanted {
            finding("oci-media-type", format!("has {title} as `{}`, not {wanted}", layer.media_type));
        }
    }
    let kubernetes = manifest.annotations.as_ref().and_then(|all| all.get("kubernetesVersion"));
    let metadata = files.get("metadata.yaml").and_then(|bytes| crate::release::Metadata::parse(bytes).ok());
    if let Some((kubernetes, metadata)) = kubernetes.zip(metadata)
        && *kubernetes != metadata.kubernetes.to_string()
    {
        let why =
            format!("is annotated with Kubernetes {kubernetes}; metadata.yaml says {}", metadata.kubernetes);
        finding("oci-kubernetes", why);
    }
    findings
}

/// One visit to a repository.
struct Session<'a> {
    client: &'a Client,
    registry: &'a str,
    repository: &'a str,
    authorization: Option<Secret>,
}

impl Session<'_> {
    async fn get(
        &mut self,
        path: &str,
        what: &str,
        accept: Option<&'static str>,
    ) -> Result<Response, ReadError> {
        let url = format!("https://{}/v2/{}/{path}", self.registry, self.repository);
        let mut challenged = false;
        loop {
            let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            if let Some(authorization) = &self.authorization {
                headers.push(secret(AUTHORIZATION, authorization.expose())?);
            }
            let response = self.client.get(&url, what, &headers).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = challenge.map(str::to_owned);
            let body = self.client.body(response, what, 64 << 10).await.unwrap_or_default();
            if status == StatusCode::UNAUTHORIZED && !challenged {
                challenged = true;
                if let Some(challenge) = challenge {
                    self.authorization = Some(self.answer(&challenge, what).await?);
                    continue;
                }
            }
            return Err(self.refused(status, &body, what));
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8], what: &str) -> ReadError {
        let (what, why) = (what.to_owned(), said(status, body));
        match status {
            StatusCode::NOT_FOUND => ReadError::Missing { what, why },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ReadError::Denied { what, why: format!("{why} ({})", self.shown()) }
            }
            StatusCode::TOO_MANY_REQUESTS => ReadError::RateLimited { what, why },
            _ => ReadError::Unreachable { what, why },
        }
    }

    /// Whether the credentials are for this registry.
    fn ours(&self) -> bool {
        self.client.access.registry.as_deref() == Some(self.registry)
    }

    fn shown(&self) -> String {
        let access = &self.client.access;
        if !self.ours() {
            return match &access.registry {
                Some(registry) => format!("without credentials: those at hand are for {registry}"),
                None => "without credentials".into(),
            };
        }
        match (&access.registry_token, &access.registry_login) {
            (Some(_), _) => "with a token".into(),
            (None, Some((name, _))) => format!("as {name}"),
            (None, None) => "without credentials".into(),
        }
    }

    /// Answers the question who is asking.
    async fn answer(&self, challenge: &str, what: &str) -> Result<Secret, ReadError> {
        let access = &self.client.access;
        let denied = |why: String| ReadError::Denied { what: what.into(), why };
        let engine = base64::engine::general_purpose::STANDARD;
        let basic = access.registry_login.as_ref().filter(|_| self.ours()).map(|(name, password)| {
            Secret::new(format!("Basic {}", engine.encode(format!("{name}:{}", password.expose()))))
        });
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(|| denied(format!("it wants a name and a password ({})", self.shown())));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(denied("it wants to know who asks in a way that this program does not know".into()));
        }
        if let Some(token) = access.registry_token.as_ref().filter(|_| self.ours()) {
            return Ok(Secret::new(format!("Bearer {}", engine.encode(token.expose()))));
        }
        let parameters = parameters(rest);
        let realm = parameters.get("realm").map_or("", String::as_str);
        let mut url = reqwest::Url::parse(realm)
            .ok()
            .filter(|url| url.scheme() == "https")
            .ok_or_else(|| denied("it sends us for a token to nowhere, or where there is no TLS".into()))?;
        let scope = format!("repository:{}:pull", self.repository);
        url.query_pairs_mut().append_pair("scope", parameters.get("scope").unwrap_or(&scope));
        if let Some(service) = parameters.get("service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        let headers: Vec<_> =
            basic.iter().map(|basic| secret(AUTHORIZATION, basic.expose())).collect::<Result<_, _>>()?;
        let response = self.client.get(url.as_str(), what, &headers).await?;
        let status = response.status();
        let body = self.client.body(response, what, 1 << 20).await?;
        if !status.is_success() {
            return Err(self.refused(status, &body, what));
        }
        let token: Token = serde_json::from_slice(&body)
            .map_err(|error| denied(format!("its token cannot be read: {error}")))?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        if token.is_empty() {
            return Err(denied("it gives no token".into()));
        }
        Ok(Secret::new(format!("Bearer {token}")))
    }

    async fn blob(&mut self, layer: &Layer, what: &str) -> Result<Vec<u8>, ReadError> {
        let corrupt = |why: String| ReadError::Corrupt { what: what.into(), why };
        let hex = layer.digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(corrupt("its digest is not one of SHA-256".into()));
        }
        if layer.size > MAX_ASSET {
            return Err(corrupt(format!("it is said to have {} bytes", layer.size)));
        }
        let response = self.get(&format!("blobs/{}", layer.digest), what, None).await?;
        let bytes = self.client.body(response, what, layer.size).await?;
        if bytes.len() as u64 != layer.size {
            return Err(corrupt(format!("it has {} bytes instead of {}", bytes.len(), layer.size)));
        }
        let found = digest(&bytes);
        if found != layer.digest {
            return Err(corrupt(format!("its content has the digest {found}, not {}", layer.digest)));
        }
        Ok(bytes)
    }
}

/// `a="b",c=d` -> its parts.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.to_owned());
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_has_parameters() {
        let found = parameters(r#"realm="https://a/token?x=1",service="r, s",scope=repository:a:pull"#);
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expect = [("realm", "https://a/token?x=1"), ("scope", "repository:a:pull"), ("service", "r, s")];
        assert_eq!(found, expect);
        assert!(parameters("").is_empty());
        assert_eq!(parameters("realm=\"x").len(), 1);
    }
}
