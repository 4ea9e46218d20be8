//! The client: one token, one connection pool, and for each request a limit of time, of size and of attempts.

use super::catalog::{Service, choose, has_version, microversion};
use super::config::{Auth, Cloud};
use super::error::{CloudError, ErrorClass};
use super::identity::{Session, identity};
use super::page::{self, Paging};
use super::transport::{Http, Incoming, Outgoing, Proxies, Transport, Trouble};
use crate::types::{Redactor, Secret};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte sent to the last byte received.
    pub request: Duration,
    /// To connect.
    pub connect: Duration,
    /// How often an idempotent request is sent.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub pause: Duration,
    /// The longest `Retry-After` that is waited for.
    pub retry_after: Duration,
    /// The largest answer, in bytes.
    pub answer: usize,
    /// The most pages of one listing.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            attempts: 4,
            pause: Duration::from_millis(500),
            retry_after: Duration::from_secs(60),
            answer: 32 << 20,
            pages: 2000,
        }
    }
}

/// A session with one project of one cloud.
#[derive(Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    cloud: Cloud,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    endpoints: BTreeMap<Service, Arc<Endpoint>>,
}

/// An address of a service, of the version that we speak.
#[derive(Debug)]
struct Endpoint {
    base: Url,
    /// `compute 2.64`
    microversion: Option<String>,
}

/// Microversions of Nova that we know: 2.52 takes tags when a server is made, 2.64 gives a server group one policy.
const COMPUTE: &[(u32, u32)] = &[(2, 52), (2, 64)];

/// A token is renewed when it lives no longer than this.
const RENEW: SignedDuration = SignedDuration::from_secs(120);

/// An answer that is a success.
struct Answer {
    body: Value,
}

impl Client {
    /// A client that has asked nothing yet. `certificates` is the content of the file that `cacert` names.
    ///
    /// # Errors
    /// When certificates or proxies cannot be used.
    pub fn new(
        cloud: Cloud,
        limits: Limits,
        proxies: &Proxies,
        certificates: Option<&[u8]>,
    ) -> Result<Self, CloudError> {
        let limits =
            Limits { request: cloud.api_timeout.map_or(limits.request, Duration::from_secs), ..limits };
        let http = Http::new(&cloud, limits, proxies, certificates)?;
        Ok(Self::through(cloud, limits, Arc::new(http)))
    }

    /// A client whose requests go another way.
    #[must_use]
    pub fn through(cloud: Cloud, limits: Limits, transport: Arc<dyn Transport>) -> Self {
        Self { transport, cloud, limits, state: Mutex::default() }
    }

    /// The cloud.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Registers what must not be shown; `false` when the secret is too short to be masked.
    #[must_use = "a secret that is too short stays visible"]
    pub fn redact(&self, redactor: &mut Redactor) -> bool {
        let (Auth::Password { password: secret, .. } | Auth::ApplicationCredential { secret, .. }) =
            &self.cloud.auth;
        redactor.add(&Secret::new(secret.expose_secret()))
    }

    /// How far the cloud's clock is ahead of ours, by the time at which it says that it made our token.
    ///
    /// # Errors
    /// When there is no token.
    pub async fn skew(&self) -> Result<SignedDuration, CloudError> {
        Ok(self.session().await?.skew)
    }

    /// Whether the cloud has a service at all.
    ///
    /// # Errors
    /// When there is no token.
    pub async fn has(&self, service: Service) -> Result<bool, CloudError> {
        Ok(self.session().await?.catalog.has(service))
    }

    /// The id and the name of the project.
    ///
    /// # Errors
    /// When there is no token.
    pub async fn project(&self) -> Result<(String, String), CloudError> {
        let session = self.session().await?;
        Ok((session.project.clone(), session.project_name.clone()))
    }

    /// The token, made or renewed when needed.
    pub(super) async fn session(&self) -> Result<Arc<Session>, CloudError> {
        let mut state = self.state.lock().await;
        if let Some(session) = &state.session {
            let now = Timestamp::now();
            let left = session.expires.duration_since(now + session.skew);
            // A token of a credential that is about to end does not get longer by asking again.
            let fresh = now.duration_since(session.got) < SignedDuration::from_secs(60);
            if left > RENEW || (fresh && left > SignedDuration::ZERO) {
                return Ok(session.clone());
            }
        }
        let session = Arc::new(self.authenticate().await?);
        state.session = Some(session.clone());
        Ok(session)
    }

    async fn authenticate(&self) -> Result<Session, CloudError> {
        let mut url = Url::parse(&self.cloud.auth_url).map_err(|error| {
            CloudError::new(ErrorClass::Catalog, "the address of Keystone", format!("`auth_url`: {error}"))
        })?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&if has_version(&url) {
            format!("{path}/auth/tokens")
        } else {
            format!("{path}/v3/auth/tokens")
        });
        let body = json!({"auth": identity(&self.cloud.auth)});
        let sent = Timestamp::now();
        let (answer, token) = self.tries(&Method::POST, &url, Some(&body), None, None, true).await?;
        let got = Timestamp::now();
        Session::read(&answer.body["token"], token, sent, got).map_err(|what| {
            CloudError::new(ErrorClass::Malformed, format!("POST {url}"), format!("the token has no {what}"))
        })
    }

    /// The address of a service, in the version that we speak.
    async fn endpoint(&self, service: Service) -> Result<Arc<Endpoint>, CloudError> {
        let session = self.session().await?;
        if let Some(endpoint) = self.state.lock().await.endpoints.get(&service) {
            return Ok(endpoint.clone());
        }
        let root = session.catalog.find(service, &self.cloud)?;
        let mut base = root.clone();
        if !has_version(&root) {
            // Versions may be asked for without a token, and some services refuse one here.
            let (answer, _) = self.tries(&Method::GET, &root, None, None, None, true).await?;
            base = choose(service, &root, &answer.body).ok_or_else(|| {
                let (wanted, _) = service.version();
                CloudError::new(
                    ErrorClass::Catalog,
                    format!("GET {root}"),
                    format!("it does not offer version {wanted}"),
                )
            })?;
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        let microversion =
            if service == Service::Compute { self.compute_version(&base, &session).await? } else { None };
        let endpoint = Arc::new(Endpoint { base, microversion });
        self.state.lock().await.endpoints.insert(service, endpoint.clone());
        Ok(endpoint)
    }

    async fn compute_version(&self, base: &Url, session: &Session) -> Result<Option<String>, CloudError> {
        let mut url = base.clone();
        url.set_path(&format!("{}/", base.path()));
        let (answer, _) = self.tries(&Method::GET, &url, None, Some(session), None, true).await?;
        let version = &answer.body["version"];
        let text = |key: &str| version[key].as_str().unwrap_or_default();
        let best = microversion(COMPUTE, text("min_version"), text("version"));
        Ok(best.map(|version| format!("compute {version}")))
    }

    /// The microversion of Nova that is used; `None` when it is too old to tag servers when they are made.
    ///
    /// # Errors
    /// When Nova does not answer.
    pub async fn compute_microversion(&self) -> Result<Option<String>, CloudError> {
        Ok(self.endpoint(Service::Compute).await?.microversion.clone())
    }

    /// `GET`, of one object.
    pub(super) async fn get(&self, service: Service, path: &str) -> Result<Value, CloudError> {
        self.ask(&Method::GET, service, path, None).await
    }

    /// `DELETE`. What is gone already is deleted.
    ///
    /// # Errors
    /// What the service says.
    pub async fn delete(&self, service: Service, path: &str) -> Result<(), CloudError> {
        match self.ask(&Method::DELETE, service, path, None).await {
            Ok(_) => Ok(()),
            Err(error) if error.class == ErrorClass::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `PUT`, of something that may be put twice.
    ///
    /// # Errors
    /// What the service says.
    pub async fn put(&self, service: Service, path: &str, body: &Value) -> Result<Value, CloudError> {
        self.ask(&Method::PUT, service, path, Some(body)).await
    }

    /// The last lines of a server's console.
    ///
    /// # Errors
    /// What Nova says; some clouds do not allow it.
    pub async fn console(&self, server: &str, lines: u64) -> Result<String, CloudError> {
        let body = json!({"os-getConsoleOutput": {"length": lines}});
        let path = format!("/servers/{server}/action");
        let answer = self.ask(&Method::POST, Service::Compute, &path, Some(&body)).await?;
        Ok(answer["output"].as_str().unwrap_or_default().to_owned())
    }

    /// All pages of a listing. `path` may have a query.
    ///
    /// # Errors
    /// A page that fails is a failure of the whole.
    pub(super) async fn list(
        &self,
        service: Service,
        path: &str,
        collection: &str,
        paging: Paging,
    ) -> Result<Vec<Value>, CloudError> {
        let mut all: Vec<Value> = Vec::new();
        let mut queries = BTreeSet::new();
        let (path, own) = path.split_once('?').unwrap_or((path, ""));
        let mut query = own.to_owned();
        loop {
            let whole = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
            let answer = self.get(service, &whole).await?;
            let asked = || format!("the list of {collection}");
            let broken = |why: String| CloudError::new(ErrorClass::Malformed, asked(), why);
            let Value::Array(items) = &answer[collection] else {
                return Err(broken(format!("page {} has no `{collection}`", queries.len() + 1)));
            };
            let next = page::next(paging, collection, &answer, items.len(), all.len()).map_err(broken)?;
            all.extend(items.iter().cloned());
            let Some(next) = next else { return Ok(all) };
            // What the first request has asked for must hold for all pages; services repeat it, or we do.
            query = if paging == Paging::Offset && !own.is_empty() { format!("{own}&{next}") } else { next };
            if !queries.insert(query.clone()) {
                return Err(broken(format!("after page {} it begins again", queries.len() + 1)));
            }
            if queries.len() >= self.limits.pages {
                return Err(broken(format!("it has more than {} pages", self.limits.pages)));
            }
        }
    }

    async fn ask(
        &self,
        method: &Method,
        service: Service,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CloudError> {
        let mut renewed = false;
        loop {
            let endpoint = self.endpoint(service).await?;
            let session = self.session().await?;
            let (path, query) =
                path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
            let mut url = endpoint.base.clone();
            // Octavia has its own level below the version.
            let below = if service == Service::LoadBalancer { "/lbaas" } else { "" };
            url.set_path(&format!("{}{below}{path}", endpoint.base.path().trim_end_matches('/')));
            url.set_query(query);
            let version = endpoint.microversion.as_deref();
            let idempotent = *method != Method::POST;
            match self.tries(method, &url, body, Some(&session), version, idempotent).await {
                // A token may be revoked before its end: asked for anew, once.
                Err(error) if error.class == ErrorClass::Unauthorized && !renewed => {
                    renewed = true;
                    let mut state = self.state.lock().await;
                    if state.session.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session)) {
                        state.session = None;
                    }
                }
                other => return other.map(|(answer, _)| answer.body),
            }
        }
    }

    /// One request, sent again when it is idempotent and the trouble may pass.
    async fn tries(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        session: Option<&Session>,
        version: Option<&str>,
        idempotent: bool,
    ) -> Result<(Answer, Option<SecretString>), CloudError> {
        let mut pause = self.limits.pause;
        let mut attempt = 1;
        loop {
            let (error, after) = match self.send(method, url, body, session, version).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if !idempotent || !error.class.passes() || attempt >= self.limits.attempts {
                let times = if attempt > 1 { format!(", {attempt} times") } else { String::new() };
                return Err(CloudError { why: format!("{}{times}", error.why), ..error });
            }
            let wait = after.unwrap_or(pause);
            if wait > self.limits.retry_after {
                return Err(CloudError {
                    why: format!("{}, and asks for {} s of patience", error.why, wait.as_secs()),
                    ..error
                });
            }
            tracing::debug!(%error, ?wait, "trying again");
            sleep(wait).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        session: Option<&Session>,
        version: Option<&str>,
    ) -> Result<(Answer, Option<SecretString>), (CloudError, Option<Duration>)> {
        let mut shown = url.clone();
        shown.set_query(None);
        let asked = format!("{method} {shown}");
        let fail = |class, why: String| (CloudError::new(class, asked.clone(), why), None);
        let mut outgoing = Outgoing {
            method: method.clone(),
            url: url.clone(),
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]),
            body: body.map(|body| serde_json::to_vec(body).unwrap_or_default()),
        };
        let headers = &mut outgoing.headers;
        if let Some(session) = session {
            let mut token = HeaderValue::from_str(session.token.expose_secret())
                .map_err(|_| fail(ErrorClass::Malformed, "the token is no header".into()))?;
            token.set_sensitive(true);
            headers.insert("x-auth-token", token);
        }
        if let Some(version) = version.and_then(|version| HeaderValue::from_str(version).ok()) {
            headers.insert("openstack-api-version", version);
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let limit = self.limits.request;
        let answered = timeout(limit, self.transport.send(outgoing)).await.unwrap_or(Err(Trouble::TimedOut));
        let Incoming { status, headers, body: bytes } = answered.map_err(|trouble| {
            let (class, why) = trouble.told(limit);
            fail(class, why)
        })?;
        if bytes.len() > self.limits.answer {
            return Err(fail(
                ErrorClass::Malformed,
                format!("the answer is larger than {} MiB", self.limits.answer >> 20),
            ));
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let parsed = serde_json::from_slice::<Value>(&bytes);
        // A service that offers several versions says so with 300.
        if (200..=299).contains(&status) || status == 300 {
            let body = match parsed {
                Ok(body) => body,
                Err(_) if bytes.iter().all(u8::is_ascii_whitespace) && *method != Method::GET => Value::Null,
                Err(error) => {
                    let why = format!("the answer of {} bytes is not JSON: {error}", bytes.len());
                    return Err(fail(ErrorClass::Malformed, why));
                }
            };
            let token = header("X-Subject-Token").map(SecretString::from);
            return Ok((Answer { body }, token));
        }
        let said = parsed.ok().and_then(|body| message(&body).map(str::to_owned));
        let said = said.map_or_else(String::new, |text| format!(": {}", one_line(&text, 300)));
        let mut error = CloudError::new(
            ErrorClass::of_status(status),
            asked.clone(),
            format!("it answers {status}{said}"),
        );
        error.request_id =
            header("X-Openstack-Request-Id").or_else(|| header("X-Compute-Request-Id")).map(str::to_owned);
        let after = header("Retry-After").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Err((error, after))
    }
}

/// What an error of any service says about itself.
fn message(body: &Value) -> Option<&str> {
    match body {
        Value::Object(map) => {
            let own =
                ["message", "faultstring", "detail", "title"].iter().find_map(|key| map.get(*key)?.as_str());
            own.filter(|text| !text.is_empty()).or_else(|| map.values().find_map(message))
        }
        Value::Array(items) => items.iter().find_map(message),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What a service says, on one line, without control characters.
fn one_line(text: &str, max: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max { line } else { line.chars().take(max).chain(['…']).collect() }
}
