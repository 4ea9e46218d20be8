//! How a request gets to a service and its answer back: over HTTP, or to a cloud that is a part of a test.

use super::client::Limits;
use super::config::Cloud;
use super::error::{CloudError, ErrorClass};
use futures::future::BoxFuture;
use http::HeaderMap;
use reqwest::{Method, Url};
use std::fmt::Debug;
use std::time::Duration;

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// What else goes with it; the token is marked as sensitive.
    pub headers: HeaderMap,
    /// JSON, when there is a body.
    pub body: Option<Vec<u8>>,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; no longer than the limit and one more piece.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It did not come in time.
    TimedOut,
    /// There is no connection, for this reason.
    Unconnected(String),
    /// The connection broke before the answer was whole, for this reason.
    Broken(String),
}

/// What carries requests.
pub trait Transport: Debug + Send + Sync {
    /// Sends one request and waits for its whole answer.
    fn send(&self, request: Outgoing) -> BoxFuture<'_, Result<Incoming, Trouble>>;
}

/// The proxies to use, as the usual variables of the environment name them. The client itself looks at no environment.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Names and networks that are reached directly, with commas between them.
    pub none: Option<String>,
}

/// HTTP, with one pool of connections.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    /// The largest answer, in bytes.
    answer: usize,
}

impl Http {
    /// For a cloud. `certificates` is the content of the file that `cacert` names.
    ///
    /// # Errors
    /// When certificates or proxies cannot be used.
    pub(super) fn new(
        cloud: &Cloud,
        limits: Limits,
        proxies: &Proxies,
        certificates: Option<&[u8]>,
    ) -> Result<Self, CloudError> {
        // The first use of TLS needs a provider; there is one, and a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let asked = || format!("a client for the cloud `{}`", cloud.name);
        let refuse = |what: &str, error: &dyn std::error::Error| {
            CloudError::new(ErrorClass::Unreachable, asked(), format!("{what}: {}", chain(error)))
        };
        // Redirects are not followed: a token must not go to where an answer says. Proxies are those that were given.
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("stack-e2e/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.connect)
            .timeout(limits.request)
            .no_proxy();
        let direct = || proxies.none.as_deref().and_then(reqwest::NoProxy::from_string);
        let proxy = |url: &str, plain: bool| {
            if plain { reqwest::Proxy::http(url) } else { reqwest::Proxy::https(url) }
        };
        for (url, plain) in [(&proxies.http, true), (&proxies.https, false)] {
            if let Some(url) = url.as_deref().filter(|url| !url.is_empty()) {
                let proxy = proxy(url, plain)
                    .map_err(|error| refuse("the proxy cannot be used", &error.without_url()))?;
                builder = builder.proxy(proxy.no_proxy(direct()));
            }
        }
        if let Some(pem) = certificates {
            let found = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| refuse("`cacert` holds no certificates", &error))?;
            if found.is_empty() {
                return Err(CloudError::new(
                    ErrorClass::Unreachable,
                    asked(),
                    "`cacert` holds no certificates",
                ));
            }
            builder = builder.tls_certs_merge(found);
        }
        if !cloud.verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = builder.build().map_err(|error| refuse("it cannot be made", &error))?;
        Ok(Self { client, answer: limits.answer })
    }

    async fn whole(&self, request: Outgoing) -> Result<Incoming, reqwest::Error> {
        let mut asking = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            asking = asking.body(body);
        }
        let mut response = asking.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > self.answer {
                break;
            }
        }
        Ok(Incoming { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }
}

impl Transport for Http {
    fn send(&self, request: Outgoing) -> BoxFuture<'_, Result<Incoming, Trouble>> {
        Box::pin(async move {
            self.whole(request).await.map_err(|error| {
                if error.is_timeout() && !error.is_connect() {
                    return Trouble::TimedOut;
                }
                let unconnected = error.is_connect();
                let why = chain(&error.without_url());
                if unconnected { Trouble::Unconnected(why) } else { Trouble::Broken(why) }
            })
        })
    }
}

impl Trouble {
    /// Its class, and what it says of a request that had `limit` to be answered.
    pub(super) fn told(self, limit: Duration) -> (ErrorClass, String) {
        match self {
            Self::TimedOut => (ErrorClass::TimedOut, format!("no whole answer within {} s", limit.as_secs())),
            Self::Unconnected(why) => (ErrorClass::Unreachable, format!("there is no connection: {why}")),
            Self::Broken(why) => {
                (ErrorClass::Unreachable, format!("the connection broke before the answer was whole: {why}"))
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
