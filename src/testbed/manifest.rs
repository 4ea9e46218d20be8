//! From a provider's published manifests to what an API server needs when the provider is a plain process. Pure.
//!
//! Kept are namespaces, custom resource definitions and webhook configurations. What runs pods, gives them rights or
//! certificates is dropped, and so are the explanations in schemas. A webhook behind a Service becomes a URL on loopback. The port and the certificate authority
//! are known only when the testbed starts, so they are placeholders in the text: filling them in is a text replacement
//! and spares every start the parsing of several megabytes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PORT: &str = "{webhook-port}";
const CA: &str = "{webhook-ca}";

/// One object of a provider, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The component whose webhooks the object names.
    pub component: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// For a definition: its group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// For a definition: the versions it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// For a definition: its plural.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plural: String,
    /// The object as JSON with placeholders.
    pub body: String,
}

impl Manifest {
    /// The object as JSON, for a webhook server at `port` with a certificate of the authority `ca` (base64 of PEM).
    pub(super) fn filled(&self, port: u16, ca: &str) -> String {
        self.body.replace(PORT, &port.to_string()).replace(CA, ca)
    }

    /// Where the API server keeps the object.
    pub(super) fn path(&self) -> String {
        let collection = match self.kind.as_str() {
            "Namespace" => "/api/v1/namespaces",
            "CustomResourceDefinition" => "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "MutatingWebhookConfiguration" => {
                "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
            }
            // `rewrite` keeps no other kind.
            _ => "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        };
        format!("{collection}/{}", self.name)
    }
}

/// Parses what `kustomize build` printed.
pub(super) fn parse(yaml: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        // The manifests come from a checksummed module and are larger than the limits for untrusted input.
        budget: None,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_multiple_with_options::<Value>(yaml, options).map_err(|error| error.to_string())
}

/// Keeps and rewrites what a process needs; see the module.
pub(super) fn rewrite(component: &str, objects: Vec<Value>) -> Result<Vec<Manifest>, String> {
    let mut kept = Vec::new();
    for mut object in objects {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "Namespace" => {}

            "CustomResourceDefinition" => {
                for version in
                    object.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten()
                {
                    drop_descriptions(&mut version["schema"]["openAPIV3Schema"]);
                }
                if let Some(client) = object.pointer_mut("/spec/conversion/webhook/clientConfig") {
                    redirect(client).map_err(|why| format!("{kind}/{name}: {why}"))?;
                }
            }
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
                    redirect(&mut webhook["clientConfig"]).map_err(|why| format!("{kind}/{name}: {why}"))?;
                }
            }
            _ => continue,
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("cert-manager.io/inject-ca-from");
            }
            // The generator leaves it as null, which server-side apply would take as a wish.
            metadata.remove("creationTimestamp");
        }
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let versions = object.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        kept.push(Manifest {
            component: component.to_owned(),
            group: text("/spec/group"),
            plural: text("/spec/names/plural"),
            versions: versions
                .filter(|version| version["served"] == true)
                .filter_map(|version| version["name"].as_str().map(str::to_owned))
                .collect(),
            body: object.to_string(),
            kind,
            name,
        });
    }
    if kept.iter().all(|manifest| manifest.kind != "CustomResourceDefinition") {
        return Err("there is no CustomResourceDefinition in them".into());
    }
    Ok(kept)
}

/// Drops the explanations in a schema: they are two thirds of it, decide nothing, and cost a third of the start.
pub(super) fn drop_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            for (key, value) in fields {
                // These hold values, not schemas.
                if !matches!(key.as_str(), "default" | "enum" | "example") {
                    drop_descriptions(value);
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(drop_descriptions),
        _ => {}
    }
}

/// Turns a reference to a Service into a URL on loopback.
fn redirect(client: &mut Value) -> Result<(), String> {
    let Some(service) = client.as_object_mut().and_then(|client| client.remove("service")) else {
        return Err("its webhook names no service".into());
    };
    let path = service["path"].as_str().unwrap_or_default();
    client["url"] = json!(format!("https://127.0.0.1:{PORT}{path}"));
    client["caBundle"] = json!(CA);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: capi-system}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: clusters.cluster.x-k8s.io
  creationTimestamp: null
  annotations: {cert-manager.io/inject-ca-from: capi-system/cert, keep: "yes"}
spec:
  group: cluster.x-k8s.io
  names: {plural: clusters}
  conversion:
    strategy: Webhook
    webhook:
      clientConfig: {service: {name: webhook, namespace: capi-system, path: /convert}}
      conversionReviewVersions: [v1]
  versions:
  - {name: v1beta1, served: false}
  - {name: v1beta2, served: true}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: validating}
webhooks:
- name: one
  clientConfig: {service: {name: webhook, namespace: capi-system, path: /validate}}
- name: two
  clientConfig: {caBundle: Cg==, service: {name: webhook, namespace: capi-system}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: cert}
"#;

    fn rewritten() -> Vec<Manifest> {
        rewrite("capi-core", parse(PUBLISHED).unwrap()).unwrap()
    }

    #[test]
    fn keeps_definitions_webhooks_and_namespaces_only() {
        let kinds: Vec<_> = rewritten().into_iter().map(|manifest| manifest.kind).collect();
        assert_eq!(kinds, ["Namespace", "CustomResourceDefinition", "ValidatingWebhookConfiguration"]);
    }

    #[test]
    fn webhooks_become_urls_with_our_authority() {
        let objects: Vec<Value> = rewritten()
            .iter()
            .map(|manifest| serde_json::from_str(&manifest.filled(29443, "Q0E=")).unwrap())
            .collect();
        let conversion = &objects[1]["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(conversion, &json!({"url": "https://127.0.0.1:29443/convert", "caBundle": "Q0E="}));
        let second = &objects[2]["webhooks"][1]["clientConfig"];
        assert_eq!(second, &json!({"url": "https://127.0.0.1:29443", "caBundle": "Q0E="}));
    }

    #[test]
    fn a_definition_tells_what_discovery_must_list() {
        let definition = &rewritten()[1];
        assert_eq!((definition.group.as_str(), definition.plural.as_str()), ("cluster.x-k8s.io", "clusters"));
        assert_eq!(definition.versions, ["v1beta2"]);
        assert_eq!(
            definition.path(),
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusters.cluster.x-k8s.io"
        );
    }

    #[test]
    fn traces_of_the_generator_go_and_other_annotations_stay() {
        let definition: Value = serde_json::from_str(&rewritten()[1].body).unwrap();
        assert_eq!(definition["metadata"]["annotations"], json!({"keep": "yes"}));
        assert!(definition["metadata"].get("creationTimestamp").is_none());
    }

    #[test]
    fn explanations_go_and_values_and_fields_of_that_name_stay() {
        let mut schema = json!({
            "description": "gone",
            "properties": {
                "description": {"type": "string", "description": "gone"},
                "items": {"items": {"description": "gone", "type": "string"}},
                "set": {"default": {"description": "a value"}, "enum": [{"description": "a value"}]},
            },
            "oneOf": [{"description": "gone", "required": ["description"]}],
        });
        drop_descriptions(&mut schema);
        assert_eq!(
            schema,
            json!({
                "properties": {
                    "description": {"type": "string"},
                    "items": {"items": {"type": "string"}},
                    "set": {"default": {"description": "a value"}, "enum": [{"description": "a value"}]},
                },
                "oneOf": [{"required": ["description"]}],
            })
        );
    }

    #[test]
    fn manifests_without_definitions_are_an_error() {
        let why = rewrite("capi-core", parse("kind: Namespace\nmetadata: {name: a}\n").unwrap()).unwrap_err();
        assert!(why.contains("CustomResourceDefinition"), "{why}");
    }

    #[test]
    fn a_webhook_without_a_service_is_an_error() {
        let yaml = "kind: ValidatingWebhookConfiguration\nmetadata: {name: v}\nwebhooks: [{clientConfig: {url: x}}]\n";
        let why = rewrite("capi-core", parse(yaml).unwrap()).unwrap_err();
        assert_eq!(why, "ValidatingWebhookConfiguration/v: its webhook names no service");
    }
}
