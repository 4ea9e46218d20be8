//! A cloud as a file of its own: what programs elsewhere need of it, and nothing of the other clouds.

use super::yaml::{Node, Value};
use super::{Cloud, Files, Problems, Reader};
use serde_json::{Map, json};

/// Keys that mean something only beside other files, or on this machine.
const OF_THIS_MACHINE: [&str; 3] = ["cacert", "profile", "cloud"];

impl Files {
    /// The cloud of this name, and the `clouds.yaml` that has it alone: all layers in one, without paths of this machine.
    /// It holds the secret.
    ///
    /// # Errors
    /// As [`Files::cloud`].
    pub fn entry(&self, name: &str) -> Result<(Cloud, serde_json::Value), Problems> {
        let cloud = self.cloud(Some(name), None)?;
        let Some(file) = self.clouds.as_ref().or(self.secure.as_ref()) else {
            return Err(Problems(Vec::new()));
        };
        let merged = Reader::new(self, file, name, None);
        let all =
            |values: std::collections::BTreeMap<String, super::Written>| -> Map<String, serde_json::Value> {
                values.into_iter().map(|(key, written)| (key, json_of(&written.value))).collect()
            };
        let mut entry = all(merged.top);
        entry.retain(|key, _| !OF_THIS_MACHINE.contains(&key.as_str()));
        // Another program would look for a place in it.
        entry.insert("auth".into(), all(merged.auth).into());
        if let Some(auth) = entry.get_mut("auth") {
            auth["auth_url"] = cloud.auth_url.clone().into();
        }
        Ok((cloud, json!({"clouds": {name: entry}})))
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    let of = |node: &Node| json_of(&node.value);
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(of).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(key, _, node)| (key.clone(), of(node))).collect::<Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_all_layers_and_nothing_else() {
        let clouds = "
clouds:
  c:
    profile: vendor
    auth: {username: me, project_id: p}
    cacert: /home/me/ca.pem
    regions: [{name: A, values: {interface: internal}}, B]
    verify: false
  other: {auth: {password: canary}}
";
        let secure = "clouds: {c: {auth: {password: longenough}}}";
        let public = "public-clouds: {vendor: {auth: {auth_url: 'https://{region_name}.example.org', user_domain_name: d}}}";
        let files = Files::of_texts(clouds, Some(secure), Some(public)).unwrap();
        let (cloud, yaml) = files.entry("c").unwrap();
        assert_eq!(cloud.cacert.as_deref(), Some(std::path::Path::new("/home/me/ca.pem")));
        assert_eq!(
            yaml,
            json!({"clouds": {"c": {
                "auth": {"auth_url": "https://A.example.org", "username": "me", "project_id": "p", "password": "longenough",
                    "user_domain_name": "d"},
                "interface": "internal", "region_name": "A", "verify": false,
            }}})
        );
        assert!(files.entry("nowhere").is_err());
    }
}
