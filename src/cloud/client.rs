//! The client: one token, one connection pool, and for each request a limit of time, of size and of attempts.

use super::catalog::{Catalog, Service, choose, has_version, microversion};
use super::config::{Auth, Cloud, Named};
use super::error::{CloudError, ErrorClass};
use super::page::{self, Paging};
use crate::types::{Redactor, Secret};
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

/// A session with one project of one cloud.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    cloud: Cloud,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    endpoints: BTreeMap<Service, Arc<Endpoint>>,
}

/// What a token says.
#[derive(Debug)]
pub(super) struct Session {
    token: SecretString,
    /// When the token ends.
    pub(super) expires: Timestamp,
    /// When we got it, by our clock.
    got: Timestamp,
    /// How far the clock of Keystone is ahead of ours.
    pub(super) skew: SignedDuration,
    catalog: Catalog,
    /// The id of the project.
    pub(super) project: String,
    /// The name of the project.
    pub(super) project_name: String,
    /// The id of the user.
    pub(super) user: String,
    /// The names of the user's roles in the project.
    pub(super) roles: Vec<String>,
    /// The id of the application credential that it was made from.
    pub(super) application_credential: Option<String>,
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
        // The first use of TLS needs a provider; there is one, and a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let asked = || format!("a client for the cloud `{}`", cloud.name);
        let refuse = |what: &str, error: &dyn std::error::Error| {
            CloudError::new(ErrorClass::Unreachable, asked(), format!("{what}: {}", chain(error)))
        };
        let request = cloud.api_timeout.map_or(limits.request, Duration::from_secs);
        let limits = Limits { request, ..limits };
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
        let http = builder.build().map_err(|error| refuse("it cannot be made", &error))?;
        Ok(Self { http, cloud, limits, state: Mutex::default() })
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
        let asked = || format!("POST {url}");
        let broken =
            |what: &str| CloudError::new(ErrorClass::Malformed, asked(), format!("the token has no {what}"));
        let told = &answer.body["token"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let expires = time(&told["expires_at"]).ok_or_else(|| broken("end"))?;
        let issued = time(&told["issued_at"]).ok_or_else(|| broken("beginning"))?;
        // It was made between our question and its answer.
        let skew = if issued < sent {
            issued.duration_since(sent)
        } else if issued > got {
            issued.duration_since(got)
        } else {
            SignedDuration::ZERO
        };
        let roles = told["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Session {
            token: token.ok_or_else(|| broken("text"))?,
            expires,
            got,
            skew,
            catalog: Catalog::read(told),
            project: text(&told["project"]["id"])
                .ok_or_else(|| broken("project: the credential is not scoped to one"))?,
            project_name: text(&told["project"]["name"]).unwrap_or_default(),
            user: text(&told["user"]["id"]).ok_or_else(|| broken("user"))?,
            roles: roles.iter().filter_map(|role| text(&role["name"])).collect(),
            application_credential: text(&told["application_credential"]["id"]),
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
        let mut request = self.http.request(method.clone(), url.clone()).header("Accept", "application/json");
        if let Some(session) = session {
            let mut token = reqwest::header::HeaderValue::from_str(session.token.expose_secret())
                .map_err(|_| fail(ErrorClass::Malformed, "the token is no header".into()))?;
            token.set_sensitive(true);
            request = request.header("X-Auth-Token", token);
        }
        if let Some(version) = version {
            request = request.header("OpenStack-API-Version", version);
        }
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).unwrap_or_default();
            request = request.header("Content-Type", "application/json").body(bytes);
        }
        let limit = self.limits.request;
        let whole = async {
            let mut response = request.send().await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > self.limits.answer {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.headers().clone(), bytes))
        };
        let (status, headers, bytes) = match timeout(limit, whole).await {
            Ok(Ok(received)) => received,
            Ok(Err(error)) if error.is_timeout() && !error.is_connect() => {
                return Err(fail(
                    ErrorClass::TimedOut,
                    format!("no whole answer within {} s", limit.as_secs()),
                ));
            }
            Ok(Err(error)) => {
                let what = if error.is_connect() {
                    "there is no connection"
                } else {
                    "the connection broke before the answer was whole"
                };
                return Err(fail(
                    ErrorClass::Unreachable,
                    format!("{what}: {}", chain(&error.without_url())),
                ));
            }
            Err(_) => {
                return Err(fail(
                    ErrorClass::TimedOut,
                    format!("no whole answer within {} s", limit.as_secs()),
                ));
            }
        };
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

/// What Keystone is asked for a token with.
fn identity(auth: &Auth) -> Value {
    let named = |named: &Named| {
        let mut value = serde_json::Map::new();
        match (&named.id, &named.name) {
            (Some(id), _) => drop(value.insert("id".into(), json!(id))),
            (None, name) => {
                value.insert("name".into(), json!(name));
                let domain = match (&named.domain_id, &named.domain_name) {
                    (Some(id), _) => json!({"id": id}),
                    (None, name) => json!({"name": name}),
                };
                value.insert("domain".into(), domain);
            }
        }
        Value::Object(value)
    };
    match auth {
        Auth::Password { user, password, project } => {
            let mut user = named(user);
            user["password"] = json!(password.expose_secret());
            json!({
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": named(project)},
            })
        }
        Auth::ApplicationCredential { id, name, user, secret } => {
            let mut credential = json!({"secret": secret.expose_secret()});
            match (id, name, user) {
                (Some(id), ..) => credential["id"] = json!(id),
                (None, name, user) => {
                    credential["name"] = json!(name);
                    credential["user"] = user.as_ref().map_or(Value::Null, named);
                }
            }
            json!({"identity": {"methods": ["application_credential"], "application_credential": credential}})
        }
    }
}
