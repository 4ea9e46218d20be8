//! The client for both: TLS only, bounded answers, a deadline, few attempts, and errors that say what to do.

use super::Access;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(300);
/// A transfer that stands still that long has died.
const STILL: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// Why a release cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It, or a part of it, is not there.
    #[error("{what} is not there: {why}")]
    Missing {
        /// What was asked for.
        what: String,
        /// What was said.
        why: String,
    },
    /// Whoever has it wants to know who asks.
    #[error("{what} is not given to us: {why}")]
    Denied {
        /// What was asked for.
        what: String,
        /// What was said, and which credentials were shown.
        why: String,
    },
    /// There were too many requests.
    #[error("{what}: the limit of requests is reached; {why}")]
    RateLimited {
        /// Who says so.
        what: String,
        /// When it ends, and how to raise it.
        why: String,
    },
    /// It cannot be reached.
    #[error("{what} cannot be reached: {why}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// What went wrong.
        why: String,
    },
    /// What comes back is not what was promised.
    #[error("{what} is not what it should be: {why}")]
    Corrupt {
        /// What was asked for.
        what: String,
        /// How it differs.
        why: String,
    },
    /// It cannot be read.
    #[error("{what} cannot be read: {why}")]
    Unreadable {
        /// What.
        what: String,
        /// Why not.
        why: String,
    },
}

impl ReadError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "check the name of the release and where it is published",
            Self::Denied { .. } => {
                "registries: OCI_REGISTRY with OCI_USERNAME and OCI_PASSWORD, or with OCI_ACCESS_TOKEN; GitHub: \
                 GIT_ACCESS_TOKEN"
            }
            Self::RateLimited { .. } => "wait, or set GIT_ACCESS_TOKEN: GitHub allows more to those it knows",
            Self::Unreachable { .. } => {
                "check host, network and proxy; `--ca FILE` names authorities to trust"
            }
            Self::Corrupt { .. } => "read it again; if that does not help, it has been published damaged",
            Self::Unreadable { .. } => "name a directory with the assets of a release",
        }
    }
}

/// Reads releases from other machines.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(super) access: Access,
}

impl Client {
    /// A client with these credentials.
    ///
    /// # Errors
    /// The file of certificates cannot be read, or the system's TLS cannot be used.
    pub fn new(access: Access) -> Result<Self, ReadError> {
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .connect_timeout(CONNECT)
            .read_timeout(STILL)
            .timeout(WHOLE)
            // Credentials are not sent along to another host; both kinds of servers send their readers elsewhere.
            .redirect(reqwest::redirect::Policy::limited(5))
            .user_agent(concat!("stack-e2e/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &access.ca {
            let what = file.display().to_string();
            let wrong = |why: String| ReadError::Unreadable { what: what.clone(), why };
            let bytes = crate::release::bounded(file, 1 << 20).map_err(|error| wrong(error.to_string()))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&bytes).map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("there is no certificate in it".into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| ReadError::Unreadable { what: "the system's TLS".into(), why: chain(&error) })?;
        Ok(Self { http, access })
    }

    /// Asks, up to three times where the server or the way to it is at fault. Says nothing of the answer's status but
    /// that it is none of the server's faults.
    pub(super) async fn get(
        &self,
        url: &str,
        what: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response, ReadError> {
        let mut attempt = 1;
        loop {
            let map: HeaderMap = headers.iter().cloned().collect();
            let why = match self.http.get(url).headers(map).send().await {
                Ok(response) if response.status().is_server_error() => {
                    format!("the server says {}", response.status())
                }
                Ok(response) => return Ok(response),
                Err(error) if error.is_builder() || error.is_redirect() => {
                    return Err(ReadError::Unreachable { what: what.into(), why: chain(&error) });
                }
                Err(error) => chain(&error),
            };
            if attempt == ATTEMPTS {
                let why = format!("{why}, {ATTEMPTS} times");
                return Err(ReadError::Unreachable { what: what.into(), why });
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    /// The body of an answer, if it is not larger than `limit`.
    pub(super) async fn body(
        &self,
        mut response: Response,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, ReadError> {
        let corrupt = |why: String| ReadError::Corrupt { what: what.into(), why };
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(error) => {
                    return Err(corrupt(format!(
                        "it broke off after {} bytes: {}",
                        bytes.len(),
                        chain(&error)
                    )));
                }
            }
            if bytes.len() as u64 > limit {
                return Err(corrupt(format!("it is larger than {limit} bytes")));
            }
        }
    }
}

/// An error of the client with its causes. Addresses are left out: the caller says what was asked for, and an address of
/// a store may bear a signature.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    causes.dedup();
    let kind = if error.is_timeout() {
        "it took too long"
    } else if error.is_redirect() {
        "it leads elsewhere, too often or without TLS"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the transfer failed"
    };
    if causes.is_empty() { kind.to_owned() } else { format!("{kind}: {}", causes.join(": ")) }
}

/// A header whose value is not shown.
pub(super) fn secret(name: HeaderName, value: &str) -> Result<(HeaderName, HeaderValue), ReadError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ReadError::Denied {
        what: "the release".into(),
        why: "the credentials have signs that no header may have".into(),
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The digest of bytes, as registries write it.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a server says about an error, in one short line.
pub(super) fn said(status: StatusCode, body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = value["message"].as_str().or(value["errors"][0]["message"].as_str());
    match message {
        Some(message) => {
            let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
            format!("the server says {status}: {message}")
        }
        None => format!("the server says {status}"),
    }
}
