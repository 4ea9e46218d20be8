//! One entry of clouds.yaml: text -> what Secrets are made of, without anything else that the file holds. Pure.

use crate::types::Secret;
use serde_json::{Value, json};

/// The longest clouds.yaml, in bytes.
pub const MAX_CLOUDS: u64 = 1 << 20;

/// A cloud, and the credential for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEntry {
    /// A clouds.yaml with this entry alone.
    pub clouds_yaml: Secret,
    /// The same for the cloud controller manager.
    pub cloud_conf: Secret,
    /// Whom the cloud's certificate is signed by, as PEM, when it is not a public authority.
    pub cacert: Option<String>,
    /// Every value that must never be shown.
    pub secrets: Vec<Secret>,
}

/// Where the entry of `cloud` says that the authority's certificate is; `None` where it does not say.
#[must_use]
pub fn cacert_path(text: &str, cloud: &str) -> Option<String> {
    let entry = read(text, cloud).ok()?;
    entry.get("cacert").and_then(Value::as_str).map(Into::into)
}

fn read(text: &str, cloud: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let file: Value = serde_saphyr::from_str_with_options(text, options)
        // The parser's words may repeat a line of the file.
        .map_err(|_| "it is not YAML, or too large".to_owned())?;
    let clouds = file.get("clouds").and_then(Value::as_object).ok_or("it has no mapping `clouds`")?;
    clouds.get(cloud).cloned().ok_or_else(|| {
        let names: Vec<&str> = clouds.keys().map(String::as_str).collect();
        format!(
            "it has no cloud `{cloud}`, only {}",
            if names.is_empty() { "none".into() } else { names.join(", ") }
        )
    })
}

impl CloudEntry {
    /// Reads the entry of `cloud` in a clouds.yaml.
    ///
    /// # Errors
    /// Says what is missing or wrong, without repeating a value of the file.
    pub fn parse(text: &str, cloud: &str, cacert: Option<String>) -> Result<Self, String> {
        let mut entry = read(text, cloud)?;
        let auth =
            entry.get("auth").and_then(Value::as_object).ok_or(format!("cloud `{cloud}` has no `auth`"))?;
        let value = |key: &str| auth.get(key).map(plain).filter(|text| !text.is_empty());
        let need = |key: &str| value(key).ok_or(format!("`auth` of cloud `{cloud}` has no `{key}`"));
        let mut conf = vec![("auth-url", need("auth_url")?)];
        conf.extend(entry.get("region_name").map(|region| ("region", plain(region))));
        conf.extend(cacert.is_some().then(|| ("ca-file", "/etc/config/cacert".to_owned())));
        let secret = match (value("application_credential_id"), value("username").or(value("user_id"))) {
            (Some(id), None) => {
                let secret = need("application_credential_secret")?;
                conf.push(("application-credential-id", id));
                conf.push(("application-credential-secret", secret.clone()));
                secret
            }
            (None, Some(user)) => {
                let password = need("password")?;
                let domain = value("user_domain_name").or(value("domain_name"));
                let user_key = if value("username").is_some() { "username" } else { "user-id" };
                conf.extend([(user_key, user), ("password", password.clone())]);
                conf.extend(domain.clone().map(|domain| ("user-domain-name", domain)));
                conf.extend(value("domain_name").or(domain).map(|domain| ("domain-name", domain)));
                // The cloud controller manager knows the project by its id alone.
                conf.extend(
                    value("project_id")
                        .into_iter()
                        .flat_map(|id| [("tenant-id", id.clone()), ("project-id", id)]),
                );
                password
            }
            _ => {
                return Err(format!(
                    "`auth` of cloud `{cloud}` must have either `username` or `application_credential_id`"
                ));
            }
        };
        if secret.chars().count() < Secret::MIN {
            return Err(format!(
                "the secret of cloud `{cloud}` has fewer than {} characters and could not be kept off the screen",
                Secret::MIN
            ));
        }
        let mut text = String::from("[Global]\n");
        for (key, value) in &conf {
            if value.chars().any(char::is_control) {
                return Err(format!("the `{key}` of cloud `{cloud}` has a control character"));
            }
            text.push_str(&format!("{key}={}\n", quoted(value)));
        }
        text.push_str("\n[LoadBalancer]\nmanage-security-groups=true\nenable-ingress-hostname=true\ncreate-monitor=true\n");
        // A path of this machine means nothing elsewhere.
        entry.as_object_mut().map(|entry| entry.remove("cacert"));
        Ok(Self {
            // JSON is YAML, and quotes every text.
            clouds_yaml: Secret::new(format!("{:#}\n", json!({"clouds": {cloud: entry}}))),
            cloud_conf: Secret::new(text),
            cacert,
            secrets: vec![Secret::new(secret)],
        })
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// As git's configuration files, whose format it is.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
clouds:
  app:
    auth: {auth_url: https://keystone.example.org, application_credential_id: abc, application_credential_secret: "s3cret#with\"quote"}
    auth_type: v3applicationcredential
    region_name: RegionA
    cacert: /home/me/ca.pem
  user:
    auth: {auth_url: https://keystone.example.org, username: me, password: longenough, project_id: p1, user_domain_name: d1}
  both: {auth: {auth_url: u, username: me, application_credential_id: abc}}
  short: {auth: {auth_url: u, username: me, password: short}}
  lines: {auth: {auth_url: u, username: me, password: "longenough\n[Other]"}}
  none: {}
"#;

    #[test]
    fn an_entry_becomes_files_of_its_own() {
        let entry = CloudEntry::parse(FILE, "app", Some("PEM".into())).unwrap();
        assert_eq!(
            entry.cloud_conf.expose(),
            "[Global]\nauth-url=https://keystone.example.org\nregion=RegionA\nca-file=/etc/config/cacert\n\
             application-credential-id=abc\napplication-credential-secret=\"s3cret#with\\\"quote\"\n\n\
             [LoadBalancer]\nmanage-security-groups=true\nenable-ingress-hostname=true\ncreate-monitor=true\n"
        );
        let yaml: Value = serde_json::from_str(entry.clouds_yaml.expose()).unwrap();
        let names: Vec<&String> = yaml["clouds"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["app"], "no other entry gets into a cluster");
        assert!(yaml["clouds"]["app"].get("cacert").is_none());
        assert_eq!(cacert_path(FILE, "app").as_deref(), Some("/home/me/ca.pem"));
        assert!(!format!("{entry:?}").contains("s3cret"));
        let user = CloudEntry::parse(FILE, "user", None).unwrap();
        let wanted = "username=me\npassword=longenough\nuser-domain-name=d1\ndomain-name=d1\ntenant-id=p1\nproject-id=p1\n";
        assert!(user.cloud_conf.expose().contains(wanted), "{}", user.cloud_conf.expose());
    }

    #[test]
    fn what_is_wrong_is_said_without_a_value() {
        for (cloud, words) in [
            ("nowhere", "it has no cloud `nowhere`, only app, both, lines, none, short, user"),
            ("both", "must have either `username` or `application_credential_id`"),
            ("short", "fewer than 8 characters"),
            ("lines", "the `password` of cloud `lines` has a control character"),
            ("none", "cloud `none` has no `auth`"),
        ] {
            let why = CloudEntry::parse(FILE, cloud, None).unwrap_err();
            assert!(why.contains(words), "{cloud}: {why}");
            assert!(!why.contains("longenough"), "{why}");
        }
        assert_eq!(CloudEntry::parse("secret: [", "a", None).unwrap_err(), "it is not YAML, or too large");
    }
}
