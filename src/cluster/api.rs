//! Calls to an API server: each with a limit of its own, transient errors tried again, every error with verb and
//! object.

use super::kind::Kind;
use crate::event::{Failure, FailureClass};
use crate::types::ObjectRef;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, ObjectList, Patch, PatchParams, PostParams, Preconditions,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// The field manager of everything that the harness applies.
const FIELD_MANAGER: &str = "stack-e2e";
/// One call; the API server's own limit for most requests is 60 s.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// All tries of a call together: longer than an API server takes to restart.
const RETRY_LIMIT: Duration = Duration::from_secs(90);
/// Everything the harness lists is small; a page that is not the last one would make "none left" a guess.
const PAGE: u32 = 500;

/// What went wrong in a call.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server, or a webhook behind it, answered with an error.
    #[error("the API server refused to {verb} {object}: {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: ObjectRef,
        /// The HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
        /// The same field by field, where it tells them apart.
        causes: Vec<Cause>,
    },
    /// No answer, or none that could be understood, within the limit.
    #[error("could not {verb} {object} within {}: {message}", crate::types::show_duration(RETRY_LIMIT))]
    Unreachable {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: ObjectRef,
        /// The last reason.
        message: String,
    },
    /// The kubeconfig cannot be used.
    #[error("kubeconfig `{file}` cannot be used: {message}")]
    Kubeconfig {
        /// The file, or where the kubeconfig came from.
        file: String,
        /// Why.
        message: String,
    },
}

impl ApiError {
    /// The failure that this error is for a report: a refusal is the product's fault, unless it is about access.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (class, object) = match self {
            Self::Refused { code, object, .. } => (refusal_class(*code), Some(object.clone())),
            Self::Unreachable { object, .. } => (FailureClass::Infrastructure, Some(object.clone())),
            Self::Kubeconfig { .. } => (FailureClass::Infrastructure, None),
        };
        Failure::new(class, self.to_string()).about(object)
    }

    /// Whether the object is not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether an object of that name is there already.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }
}

/// 400 and 422 come from validation and webhooks: the stack is wrong. 403 is both: RBAC says "cannot", an
/// admission webhook says "denied the request".
const fn refusal_class(code: u16) -> FailureClass {
    match code {
        400 | 403 | 404 | 409 | 422 => FailureClass::Refused,
        _ => FailureClass::Infrastructure,
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The field, e.g. `spec.topology.variables[flavor].value`.
    pub field: String,
    /// The API server's words.
    pub message: String,
}

fn causes(status: &kube::core::Status) -> Vec<Cause> {
    let details = status.details.as_ref();
    let causes = details.into_iter().flat_map(|details| &details.causes);
    causes.map(|cause| Cause { field: cause.field.clone(), message: cause.message.clone() }).collect()
}

/// A complete list, with the resource version that it is true for.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<DynamicObject>,
    /// The version of the whole collection.
    pub resource_version: String,
}

/// A connection to one API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Api {
    /// Connects with the kubeconfig in `file`, with full verification of the server.
    ///
    /// # Errors
    /// The file cannot be read or used.
    pub async fn from_file(file: &Path) -> Result<Self, ApiError> {
        let error = |e: &dyn std::error::Error| ApiError::Kubeconfig {
            file: file.display().to_string(),
            message: chain(e),
        };
        let kubeconfig = Kubeconfig::read_from(file).map_err(|e| error(&e))?;
        Self::from_kubeconfig(kubeconfig)
            .await
            .map_err(|message| ApiError::Kubeconfig { file: file.display().to_string(), message })
    }

    /// Connects with a kubeconfig that is already in memory.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub async fn from_kubeconfig(kubeconfig: Kubeconfig) -> Result<Self, String> {
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|e| chain(&e))?;
        config.connect_timeout = Some(Duration::from_secs(5));
        // A proxy of the environment leads away from this machine, and never to its own loopback.
        if matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            config.proxy_url = None;
        }
        // Trying again is decided in `call`, with a limit.
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config).map_err(|e| chain(&e))? })
    }

    /// A connection through a given client: a test that answers itself.
    #[cfg(test)]
    pub(crate) fn through(client: Client) -> Self {
        Self { client }
    }

    /// The client itself, for watches.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether the API server answers right now; otherwise why not. Asked once, without a limit: whoever asks has one.
    /// A server that knows no such path is there as well as one that is ready; one that is not ready is not.
    ///
    /// # Errors
    /// One line.
    pub async fn answers(&self) -> Result<(), String> {
        let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
        match self.client.request_text(request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code < 500 => Ok(()),
            Err(kube::Error::Api(status)) => Err(format!("it answers {}", status.code)),
            Err(error) => Err(chain(&error)),
        }
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> kube::Api<DynamicObject> {
        match namespace {
            Some(namespace) if kind.is_namespaced() => {
                kube::Api::namespaced_with(self.client.clone(), namespace, kind.resource())
            }
            _ => kube::Api::all_with(self.client.clone(), kind.resource()),
        }
    }

    /// Server-side apply of a whole object; with `dry_run` nothing is stored. Gives the object as it would be.
    ///
    /// # Errors
    /// The API server refuses it or does not answer.
    pub async fn apply(&self, object: &Value, dry_run: bool) -> Result<DynamicObject, ApiError> {
        let (kind, reference) = identity(object);
        let api = self.api(&kind, Some(&reference.namespace));
        let params = PatchParams { dry_run, force: true, ..PatchParams::apply(FIELD_MANAGER) };
        let patch = Patch::Apply(object);
        call("apply", &reference, || api.patch(&reference.name, &params, &patch)).await
    }

    /// Creates an object; one that is there already is an error.
    ///
    /// # Errors
    /// The API server refuses it or does not answer.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject, ApiError> {
        let (kind, reference) = identity(object);
        let api = self.api(&kind, Some(&reference.namespace));
        let typed: DynamicObject = serde_json::from_value(object.clone()).map_err(|e| {
            ApiError::Unreachable { verb: "create", object: reference.clone(), message: e.to_string() }
        })?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        call("create", &reference, || api.create(&params, &typed)).await
    }

    /// JSON merge patch; `patch` may carry `metadata.resourceVersion` or `metadata.uid` as precondition.
    ///
    /// # Errors
    /// The API server refuses it or does not answer.
    pub async fn merge(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<DynamicObject, ApiError> {
        let api = self.api(kind, namespace);
        let reference = reference(kind, namespace, name);
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        call("patch", &reference, || api.patch(name, &params, &patch)).await
    }

    /// Reads one object; `None` when it is not there.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn get(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<DynamicObject>, ApiError> {
        let api = self.api(kind, namespace);
        call("get", &reference(kind, namespace, name), || api.get_opt(name)).await
    }

    /// Lists all objects of a kind, straight from etcd, page by page until the last one.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Listing, ApiError> {
        let api = self.api(kind, namespace);
        let reference = reference(kind, namespace, "*");
        let mut objects = Vec::new();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        loop {
            let page: ObjectList<DynamicObject> = call("list", &reference, || api.list(&params)).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    let resource_version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(Listing { objects, resource_version });
                }
            }
        }
    }

    /// The kinds that a group has, each with a version in which it is served; none when there is no such group.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn served(&self, group: &str) -> Result<Vec<(String, String)>, ApiError> {
        let reference = ObjectRef { kind: "APIGroup".into(), namespace: String::new(), name: group.into() };
        let groups = call("list", &reference, || self.client.list_api_groups()).await?;
        let versions = groups.groups.into_iter().filter(|found| found.name == group).flat_map(|g| g.versions);
        let mut served = Vec::new();
        for version in versions {
            let name = &version.group_version;
            let list = call("list", &reference, || self.client.list_api_group_resources(name)).await?;
            let kinds = list.resources.into_iter().filter(|resource| !resource.name.contains('/'));
            served.extend(kinds.map(|resource| (version.version.clone(), resource.kind)));
        }
        Ok(served)
    }

    /// Asks for the deletion of one object; `false` when it is not there (any more). With `uid` only that very
    /// object is deleted, not a later one of the same name.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn delete(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        uid: Option<String>,
    ) -> Result<bool, ApiError> {
        let api = self.api(kind, namespace);
        let params = DeleteParams {
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        };
        match call("delete", &reference(kind, namespace, name), || api.delete(name, &params)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Kind and reference of an object in JSON.
fn identity(object: &Value) -> (Kind, ObjectRef) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = Kind::of(&text("/apiVersion"), &text("/kind"));
    let reference = ObjectRef {
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    };
    (kind, reference)
}

fn reference(kind: &Kind, namespace: Option<&str>, name: &str) -> ObjectRef {
    let namespace = namespace.filter(|_| kind.is_namespaced()).unwrap_or_default();
    ObjectRef { kind: kind.name().into(), namespace: namespace.into(), name: name.into() }
}

/// Whether the same call may do better a moment later. A webhook that cannot be reached is answered with 500 and
/// these words; its Deployment may be restarting.
fn is_transient(status: &kube::core::Status) -> bool {
    matches!(status.code, 429 | 502 | 503 | 504)
        || (status.code == 500
            && ["connection refused", "context deadline exceeded", "EOF", "etcdserver"]
                .iter()
                .any(|words| status.message.contains(words)))
}

/// Calls until it works, is refused, or the time is over. Every verb used here may be repeated: what a lost reply
/// has done, the next try finds.
async fn call<T, F, Fut>(verb: &'static str, object: &ObjectRef, mut attempt: F) -> Result<T, ApiError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, kube::Error>>,
{
    let give_up = Instant::now() + RETRY_LIMIT;
    let mut pause = Duration::from_millis(100);
    loop {
        let message = match tokio::time::timeout(CALL_LIMIT, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) if !is_transient(&status) => {
                let (code, message) = (status.code, status.message.clone());
                let causes = causes(&status);
                return Err(ApiError::Refused { verb, object: object.clone(), code, message, causes });
            }
            Ok(Err(kube::Error::Api(status))) => format!("{} ({})", status.message, status.code),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer for {}", crate::types::show_duration(CALL_LIMIT)),
        };
        if Instant::now() + pause >= give_up {
            return Err(ApiError::Unreachable { verb, object: object.clone(), message });
        }
        tracing::debug!(verb, %object, message, "trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// An error and its causes in one line. kube repeats causes in its own text; what was said is not said again.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text.replace('\n', " ")
}

impl Api {
    /// Succeeds when the server's certificate is not trusted: the proof that verification takes place.
    ///
    /// # Errors
    /// Says what happened instead.
    pub async fn version_refused(&self) -> Result<(), String> {
        let nodes = self.api(&Kind::of("v1", "Node"), None);
        match tokio::time::timeout(CALL_LIMIT, nodes.list(&ListParams::default().limit(1))).await {
            Ok(Ok(_)) => {
                Err("a client that trusts another CA was served: the certificate is not verified".into())
            }
            Ok(Err(kube::Error::Api(status))) => {
                Err(format!("a client that trusts another CA got an answer: {}", status.message))
            }
            Ok(Err(error)) => {
                let words = chain(&error);
                if words.contains("certificate") {
                    Ok(())
                } else {
                    Err(format!("a client that trusts another CA failed for another reason: {words}"))
                }
            }
            Err(_) => Err(format!("no answer for {}", crate::types::show_duration(CALL_LIMIT))),
        }
    }
}
