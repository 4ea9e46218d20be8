//! A release as files beside a release of a repository on GitHub.

use super::http::{Client, ReadError, digest, said, secret};
use super::{MAX_ASSET, MAX_ASSETS, asset_name};
use crate::release::hash::Files;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

const API: &str = "https://api.github.com";
const MAX_ANSWER: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct GithubRelease {
    tag_name: String,
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    id: u64,
    name: String,
    size: u64,
    #[serde(default)]
    state: String,
    #[serde(default)]
    digest: Option<String>,
}

impl Client {
    /// Reads the files of a tag.
    pub(super) async fn github(&self, owner: &str, repository: &str, tag: &str) -> Result<Files, ReadError> {
        let api = self.access.github_api.as_deref().unwrap_or(API).trim_end_matches('/');
        let base = format!("{api}/repos/{owner}/{repository}/releases");
        let what = format!("github:{owner}/{repository}@{tag}");
        let corrupt = |why: String| ReadError::Corrupt { what: what.clone(), why };
        let response = self.ask(&format!("{base}/tags/{tag}"), &what, "application/vnd.github+json").await?;
        let body = self.body(response, &what, MAX_ANSWER).await?;
        let release: GithubRelease = serde_json::from_slice(&body)
            .map_err(|error| corrupt(format!("the answer cannot be read: {error}")))?;
        if release.tag_name != tag {
            return Err(corrupt(format!("it is the release of the tag {:?}", release.tag_name)));
        }
        if release.assets.is_empty() {
            let why = "the release has no files".to_owned();
            return Err(ReadError::Missing { what, why });
        }
        if release.assets.len() > MAX_ASSETS {
            return Err(corrupt(format!("it has {} files", release.assets.len())));
        }
        let mut files = Files::new();
        for asset in release.assets {
            let name = asset_name(&asset.name)
                .ok_or_else(|| corrupt(format!("it has a file with the name {:?}", asset.name)))?;
            let part = format!("{name} of {what}");
            let corrupt = |why: String| ReadError::Corrupt { what: part.clone(), why };
            if !asset.state.is_empty() && asset.state != "uploaded" {
                return Err(corrupt(format!("its upload has not ended: {:?}", asset.state)));
            }
            if asset.size > MAX_ASSET {
                return Err(corrupt(format!("it is said to have {} bytes", asset.size)));
            }
            let url = format!("{base}/assets/{}", asset.id);
            let response = self.ask(&url, &part, "application/octet-stream").await?;
            let bytes = self.body(response, &part, asset.size).await?;
            if bytes.len() as u64 != asset.size {
                return Err(corrupt(format!("it has {} bytes instead of {}", bytes.len(), asset.size)));
            }
            if let Some(promised) = asset.digest.filter(|digest| digest.starts_with("sha256:"))
                && promised != digest(&bytes)
            {
                return Err(corrupt(format!(
                    "its content has the digest {}, not {promised}",
                    digest(&bytes)
                )));
            }
            if files.insert(name.to_owned(), bytes).is_some() {
                return Err(corrupt("it is there twice".into()));
            }
        }
        Ok(files)
    }

    async fn ask(&self, url: &str, what: &str, accept: &'static str) -> Result<Response, ReadError> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
            (ACCEPT, HeaderValue::from_static(accept)),
            (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
        ];
        if let Some(token) = &self.access.github_token {
            headers.push(secret(AUTHORIZATION, &format!("Bearer {}", token.expose()))?);
        }
        let response = self.get(url, what, &headers).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let limit = limit(status, response.headers());
        let body = self.body(response, what, 64 << 10).await.unwrap_or_default();
        let who = if self.access.github_token.is_some() { "with a token" } else { "without a token" };
        let (what, why) = (what.to_owned(), said(status, &body));
        Err(match (limit, status) {
            (Some(until), _) => ReadError::RateLimited { what, why: format!("{until} (asked {who})") },
            (None, StatusCode::NOT_FOUND) => {
                let why = format!(
                    "{why} (asked {who}; a private repository is hidden from those who may not see it)"
                );
                ReadError::Missing { what, why }
            }
            (None, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                ReadError::Denied { what, why: format!("{why} (asked {who})") }
            }
            (None, _) => ReadError::Unreachable { what, why },
        })
    }
}

/// Whether a refusal is about the number of requests, and when it ends.
fn limit(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let limited = matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
        && (text("x-ratelimit-remaining") == Some("0") || text("retry-after").is_some());
    if !limited && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    if let Some(seconds) = text("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        return Some(format!("it ends in {seconds} s"));
    }
    let reset = text("x-ratelimit-reset").and_then(|text| text.parse().ok());
    let reset = reset.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    Some(reset.map_or_else(|| "nobody says until when".into(), |at| format!("it ends at {at}")))
}
