//! Calls to services that are no Kubernetes: collectors of traces, object stores. Through the client that is there anyway, with
//! its one TLS library and full verification of the server.

use http::{Request, Uri};
use kube::{Client, Config};
use std::time::Duration;

/// One call.
const LIMIT: Duration = Duration::from_secs(60);

/// A service below one address.
pub(super) struct Http {
    client: Client,
}

impl Http {
    /// For calls below `address`. Wants a runtime around it.
    pub(super) fn below(address: &str) -> Result<Self, String> {
        let uri: Uri = address.parse().map_err(|error| format!("`{address}` is no address: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(format!("`{address}` is no address: it begins with https:// or http://"));
        }
        let mut config = Config::new(uri);
        config.connect_timeout = Some(Duration::from_secs(10));
        config.default_retry = false;
        // A proxy of the environment leads away from this machine, and never to its own loopback.
        if matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            config.proxy_url = None;
        }
        Ok(Self { client: Client::try_from(config).map_err(|error| error.to_string())? })
    }

    /// The body of the answer, if it is a good one.
    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> Result<String, String> {
        match tokio::time::timeout(LIMIT, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(kube::Error::Api(status))) => {
                Err(format!("it answers {}: {}", status.code, status.message))
            }
            Ok(Err(error)) => {
                let mut words = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(deeper) = cause {
                    words = format!("{words}: {deeper}");
                    cause = deeper.source();
                }
                Err(words)
            }
            Err(_) => Err(format!("no answer for {}", crate::types::show_duration(LIMIT))),
        }
    }
}
