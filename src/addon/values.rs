//! The values of an add-on's chart, made for one cluster as the operator makes them: a template that sees the Cluster, its
//! control plane and its infrastructure. Pure.

use crate::stack::gotemplate::{Template, Val};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a template sees of a cluster, each as the API server has it.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// `.Cluster`
    pub cluster: Value,
    /// `.ControlPlane`; there is none before the Cluster refers to it.
    pub control_plane: Option<Value>,
    /// `.InfraCluster`; there is none before the Cluster refers to it.
    pub infrastructure: Option<Value>,
}

impl Inputs {
    fn data(&self) -> Val {
        let mut data = BTreeMap::from([("Cluster".to_owned(), val(&self.cluster))]);
        let more = [("ControlPlane", &self.control_plane), ("InfraCluster", &self.infrastructure)];
        for (key, object) in more {
            if let Some(object) = object {
                data.insert(key.to_owned(), val(object));
            }
        }
        Val::Map(data)
    }
}

/// Objects of the API server: whole numbers are integers, unlike in variables of a ClusterClass.
fn val(value: &Value) -> Val {
    match value {
        Value::Number(n) => n.as_i64().map_or_else(|| Val::from_json(value), Val::Int),
        Value::Array(items) => Val::List(items.iter().map(val).collect()),
        Value::Object(map) => Val::Map(map.iter().map(|(key, value)| (key.clone(), val(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => Val::from_json(value),
    }
}

/// The values that a file (`overwrite.yaml`, `cluster-addon-values.yaml`) gives for a cluster: what stands as text below
/// its key `values`, or else all of it.
///
/// # Errors
/// The template fails, cannot be understood here, or does not give YAML.
pub fn values(file: &str, text: &str, inputs: &Inputs) -> Result<String, String> {
    let rendered = Template::parse(text).and_then(|template| template.render(&inputs.data()));
    let rendered = rendered.map_err(|error| format!("{file}: {error}"))?;
    // Something that is not known is visible in the text; it must not reach a chart.
    if rendered.contains('\u{27e8}') {
        return Err(format!("{file}: it writes a value that is not known here"));
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    let parsed: Value = serde_saphyr::from_str_with_options(&rendered, options)
        .map_err(|error| format!("{file}: rendered for this cluster it is no YAML: {error}"))?;
    Ok(match parsed.get("values").and_then(Value::as_str) {
        Some(values) => values.to_owned(),
        None => rendered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inputs() -> Inputs {
        Inputs {
            cluster: json!({"metadata": {"name": "c1"}, "spec": {"topology": {"controlPlane": {"replicas": 3},
                "variables": [{"name": "lb", "value": "yawol"}]}}}),
            control_plane: Some(json!({"spec": {"version": "v1.34.7"}})),
            infrastructure: None,
        }
    }

    #[test]
    fn values_are_made_for_the_cluster() {
        let text = "values: |\n  name: {{ .Cluster.metadata.name }}\n  version: {{ .ControlPlane.spec.version }}\n  {{- \
                    if eq .Cluster.spec.topology.controlPlane.replicas 3 }}\n  ha: true\n  {{- end }}\n  {{- range \
                    .Cluster.spec.topology.variables }}\n  {{ .name }}: {{ .value }}\n  {{- end }}\n";
        assert_eq!(
            values("overwrite.yaml", text, &inputs()).unwrap(),
            "name: c1\nversion: v1.34.7\nha: true\nlb: yawol\n"
        );
        assert_eq!(values("f", "a: {{ .Cluster.metadata.name }}", &inputs()).unwrap(), "a: c1");
    }

    #[test]
    fn a_template_that_fails_names_its_file() {
        for (text, why) in [
            ("{{ if }}", "overwrite.yaml: "),
            ("values: [{{ .Cluster.metadata.name }}", "it is no YAML"),
            ("{{ .Cluster.metadata.name.x }}", "overwrite.yaml: "),
        ] {
            let error = values("overwrite.yaml", text, &inputs()).unwrap_err();
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
        // There is no infrastructure yet: Go writes that there is no value.
        assert_eq!(values("f", "a: \"{{ .InfraCluster }}\"", &inputs()).unwrap(), "a: \"<no value>\"");
    }
}
