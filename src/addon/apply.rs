//! Objects of add-ons -> the API server of a workload cluster: applied or deleted, one after the other, each with what came
//! of it.

use super::chart::NAMESPACE;
use crate::cluster::ObjectExt;
use crate::types::ObjectRef;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope, pinned_kind};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The field manager of what is applied, as other tools would see it.
const FIELD_MANAGER: &str = "stack-e2e";
/// How long a definition may take until its kind can be used.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);
/// One call to a workload cluster.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How often a call is tried that did not get an answer.
const TRIES: u32 = 4;

/// What was done with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is there as it should be.
    Applied,
    /// It is not there any more, or never was.
    Deleted,
    /// The backend of the cluster has no such kind; nothing is known of the object.
    NotApplicable(String),
}

/// An object of an add-on, and what was done with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object.
    pub object: ObjectRef,
    /// What was done.
    pub done: Done,
    /// What was sent; what is there later is compared with it.
    pub wanted: Value,
}

/// The API server of a workload cluster, as add-ons see it.
pub struct Workshop {
    client: Client,
    /// Whether a kind that is not served is the backend's nature and not the add-on's mistake.
    in_memory: bool,
    /// Whether server-side apply was refused as unknown.
    plain: bool,
    kinds: BTreeMap<(String, String), Option<(ApiResource, bool)>>,
    /// API groups of definitions that were applied here: their kinds may be known a moment later.
    defined: BTreeSet<String>,
}

impl Workshop {
    /// `in_memory`: the backend stores some kinds and knows no others.
    #[must_use]
    pub fn new(client: Client, in_memory: bool) -> Self {
        Self { client, in_memory, plain: false, kinds: BTreeMap::new(), defined: BTreeSet::new() }
    }

    /// Applies an object. A definition is applied when its kind can be used, so that objects of it may follow.
    ///
    /// # Errors
    /// Its kind is not served, it is refused, or there is no answer; a definition does not become usable.
    pub async fn apply(&mut self, object: &Value) -> Result<Applied, String> {
        let applied = self.applied(object).await?;
        if applied.object.kind == "CustomResourceDefinition" && applied.done == Done::Applied {
            self.established(&applied).await?;
        }
        Ok(applied)
    }

    /// Waits until the API server serves what a definition defines.
    async fn established(&mut self, applied: &Applied) -> Result<(), String> {
        let Ok((_, api)) = self.placed(&applied.wanted).await? else { return Ok(()) };
        let usable = |object: Option<&DynamicObject>| object.is_some_and(|object| unusable(object).is_none());
        let name = &applied.object.name;
        let waited = await_condition(api.clone(), name, usable);
        match tokio::time::timeout(ESTABLISH_LIMIT, waited).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(format!("cannot watch CustomResourceDefinition/{name}: {error}")),
            Err(_) => {
                let found = find(&api, name, self.in_memory).await.ok().flatten();
                let why = found.as_ref().and_then(unusable).unwrap_or_else(|| "it is gone".into());
                let seconds = ESTABLISH_LIMIT.as_secs();
                return Err(format!(
                    "CustomResourceDefinition/{name} cannot be used after {seconds} s: {why}"
                ));
            }
        }
        let group = applied.wanted.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
        self.defined.insert(group.to_owned());
        self.kinds.retain(|(api_version, _), _| {
            api_version.split_once('/').is_none_or(|(known, _)| known != group)
        });
        Ok(())
    }

    async fn applied(&mut self, object: &Value) -> Result<Applied, String> {
        let (object, api) = match self.placed(object).await? {
            Ok(placed) => placed,
            Err(applied) => return Ok(applied),
        };
        let reference = reference(&object);
        let error = |verb: &str, error: kube::Error| failed(verb, &reference, &error);
        if !self.plain {
            let params = PatchParams { force: true, ..PatchParams::apply(FIELD_MANAGER) };
            let patch = Patch::Apply(&object);
            match call(|| api.patch(&reference.name, &params, &patch)).await {
                Ok(_) => return Ok(Applied { object: reference, done: Done::Applied, wanted: object }),
                // The in-memory backend knows other patches only.
                Err(kube::Error::Api(status)) if status.code == 415 => self.plain = true,
                Err(other) => return Err(error("apply", other)),
            }
        }
        let known = find(&api, &reference.name, self.in_memory).await.map_err(|e| error("find", e))?;
        if known.is_some() {
            let (params, patch) = (PatchParams::default(), Patch::Merge(&object));
            call(|| api.patch(&reference.name, &params, &patch)).await.map_err(|e| error("patch", e))?;
        } else {
            let typed: DynamicObject = serde_json::from_value(object.clone())
                .map_err(|e| format!("{}/{} is no object: {e}", reference.kind, reference.name))?;
            let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            call(|| api.create(&params, &typed)).await.map_err(|e| error("create", e))?;
        }
        Ok(Applied { object: reference, done: Done::Applied, wanted: object })
    }

    /// Deletes an object; one that is not there is as good as deleted.
    ///
    /// # Errors
    /// Its kind is not served, the call is refused, or there is no answer.
    pub async fn delete(&mut self, object: &Value) -> Result<Applied, String> {
        let (object, api) = match self.placed(object).await? {
            Ok(placed) => placed,
            Err(applied) => return Ok(applied),
        };
        let reference = reference(&object);
        let error = |verb: &str, error: kube::Error| failed(verb, &reference, &error);
        if find(&api, &reference.name, self.in_memory).await.map_err(|e| error("find", e))?.is_some() {
            let params = DeleteParams::default();
            match call(|| api.delete(&reference.name, &params)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(other) => return Err(error("delete", other)),
            }
        }
        Ok(Applied { object: reference, done: Done::Deleted, wanted: object })
    }

    /// What is there of an object that was applied.
    ///
    /// # Errors
    /// The call is refused or there is no answer.
    pub async fn get(&mut self, applied: &Applied) -> Result<Option<Value>, String> {
        let Ok((_, api)) = self.placed(&applied.wanted).await? else { return Ok(None) };
        let found = find(&api, &applied.object.name, self.in_memory).await;
        let found = found.map_err(|error| failed("find", &applied.object, &error))?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()))
    }

    /// The object in its namespace, and where it is to be sent; or that it cannot be here.
    #[allow(clippy::type_complexity)]
    async fn placed(
        &mut self,
        object: &Value,
    ) -> Result<Result<(Value, Api<DynamicObject>), Applied>, String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let mut object = object.clone();
        let Some((resource, namespaced)) = self.kind(&api_version, &kind).await? else {
            let why = format!("the backend has no {kind} ({api_version})");
            let (object, wanted) = (reference(&object), object);
            return Ok(Err(Applied { object, done: Done::NotApplicable(why), wanted }));
        };
        if !namespaced {
            return Ok(Ok((object, Api::all_with(self.client.clone(), &resource))));
        }
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let namespace = metadata.map_or_else(
            || NAMESPACE.to_owned(),
            |metadata| {
                let namespace = metadata.entry("namespace").or_insert_with(|| NAMESPACE.into());
                namespace.as_str().unwrap_or(NAMESPACE).to_owned()
            },
        );
        Ok(Ok((object, Api::namespaced_with(self.client.clone(), &namespace, &resource))))
    }

    /// The API server's word on a kind; `None` when it has none and that is no mistake.
    pub(super) async fn kind(
        &mut self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<(ApiResource, bool)>, String> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let (client, in_memory) = (self.client.clone(), self.in_memory);
        let mut answer = call(|| pinned_kind(&client, &gvk)).await;
        // What is established is served at once, and listed by the API server a moment later.
        for _ in 1..TRIES {
            if answer.is_ok() || !self.defined.contains(group) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = call(|| pinned_kind(&client, &gvk)).await;
        }
        let found = match answer {
            Ok((resource, capabilities)) => Some((resource, is_namespaced(&capabilities))),
            Err(_) if in_memory => None,
            Err(error) => return Err(format!("the cluster does not know {kind} ({api_version}): {error}")),
        };
        self.kinds.insert(key, found.clone());
        Ok(found)
    }

    /// The client of the cluster.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether the backend is in memory.
    pub(super) const fn in_memory(&self) -> bool {
        self.in_memory
    }
}

/// Why what a definition defines cannot be used yet, if so.
fn unusable(definition: &DynamicObject) -> Option<String> {
    if definition.is_true("Established") {
        return None;
    }
    let conditions = definition.conditions();
    let refused = conditions.iter().find(|cond| cond.kind == "NamesAccepted" && cond.status == "False");
    let found = refused.or_else(|| conditions.iter().find(|cond| cond.kind == "Established"));
    Some(match found {
        Some(cond) => format!("{} is {} ({}): {}", cond.kind, cond.status, cond.reason, cond.message),
        None => "it has no condition Established".into(),
    })
}

fn is_namespaced(capabilities: &ApiCapabilities) -> bool {
    matches!(capabilities.scope, Scope::Namespaced)
}

pub(super) fn reference(object: &Value) -> ObjectRef {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef { kind: text("/kind"), namespace: text("/metadata/namespace"), name: text("/metadata/name") }
}

fn failed(verb: &str, object: &ObjectRef, error: &kube::Error) -> String {
    let words = match error {
        kube::Error::Api(status) if status.message.is_empty() => format!("it answers with {}", status.code),
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    format!(
        "cannot {verb} {}/{} in the workload cluster: {}",
        object.kind,
        object.name,
        words.replace('\n', " ")
    )
}

/// One object, if it is there. The in-memory backend answers a get of what is not there with an error that says nothing, and
/// selects by no field; so all of them are listed.
async fn find(
    api: &Api<DynamicObject>,
    name: &str,
    in_memory: bool,
) -> Result<Option<DynamicObject>, kube::Error> {
    if !in_memory {
        return call(|| api.get_opt(name)).await;
    }
    let params = ListParams::default();
    let found = call(|| api.list(&params)).await?;
    Ok(found.items.into_iter().find(|object| object.metadata.name.as_deref() == Some(name)))
}

/// Calls, and again when no answer came: a new API server drops connections while it settles. Every verb used here may
/// be repeated.
async fn call<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = tokio::time::timeout(CALL_LIMIT, attempt()).await;
        let error = match answer {
            Ok(Err(kube::Error::Api(status))) if !matches!(status.code, 429 | 502 | 503 | 504) => {
                return Err(kube::Error::Api(status));
            }
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => kube::Error::Service("no answer within 30 s".into()),
        };
        if tries == TRIES {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The first thing of `wanted` that `found` does not have: what others have added does not matter.
#[must_use]
pub fn lacks(wanted: &Value, found: &Value, path: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match found.get(key) {
                Some(found) => lacks(value, found, &path),
                // The API server leaves out what is empty.
                None if is_empty(value) => None,
                None => Some(format!("{path} is gone")),
            }
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(at, (wanted, found))| lacks(wanted, found, &format!("{path}[{at}]")))
        }
        (wanted, found) if wanted == found => None,
        _ => Some(format!("{path} is another than was applied")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_applied_must_still_be_there() {
        let wanted =
            json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {}}, "data": {"x": "1"}});
        let mut found =
            json!({"kind": "ConfigMap", "metadata": {"name": "a", "uid": "u"}, "data": {"x": "1", "y": "2"}});
        assert_eq!(lacks(&wanted, &found, ""), None);
        found["data"]["x"] = json!("2");
        assert_eq!(lacks(&wanted, &found, "").unwrap(), ".data.x is another than was applied");
        found["data"] = json!({});
        assert_eq!(lacks(&wanted, &found, "").unwrap(), ".data.x is gone");
        let list = |images: &[&str]| json!({"spec": {"containers": images}});
        assert_eq!(lacks(&list(&["a", "b"]), &list(&["a", "b"]), ""), None);
        assert_eq!(
            lacks(&list(&["a"]), &list(&["b"]), "").unwrap(),
            ".spec.containers[0] is another than was applied"
        );
        assert!(lacks(&list(&["a"]), &list(&["a", "b"]), "").is_some());
    }
}
