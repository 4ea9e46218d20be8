//! One cloud of clouds.yaml -> what Secrets are made of, without anything else that the files hold. Pure.

use crate::cloud::config::{Auth, Files};
use crate::scenario::Problems;
use crate::types::Secret;
use secrecy::ExposeSecret as _;

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

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The files do not hold it, each problem at its place.
    #[error("{}", .0.render(false))]
    Files(Problems),
    /// It cannot be used so.
    #[error("{0}")]
    Unfit(String),
}

impl CloudEntry {
    /// What is made of `cloud`, whose authority's certificate is `cacert`.
    ///
    /// # Errors
    /// Says what is missing or wrong, without repeating a value of the files.
    pub fn of(files: &Files, cloud: &str, cacert: Option<String>) -> Result<Self, EntryError> {
        let (found, yaml) = files.entry(cloud).map_err(EntryError::Files)?;
        let mut conf = vec![("auth-url", Some(found.auth_url))];
        conf.push(("region", found.region));
        conf.push(("ca-file", cacert.is_some().then(|| "/etc/config/cacert".to_owned())));
        let secret = match found.auth {
            Auth::ApplicationCredential { id, name, user, secret } => {
                let user = user.unwrap_or_default();
                conf.extend([
                    ("application-credential-id", id),
                    ("application-credential-name", name),
                    ("user-id", user.id.clone()),
                    ("username", user.name.filter(|_| user.id.is_none())),
                    ("user-domain-id", user.domain_id),
                    ("user-domain-name", user.domain_name),
                    ("application-credential-secret", Some(secret.expose_secret().to_owned())),
                ]);
                secret
            }
            Auth::Password { user, password, project } => {
                let domain_name = project.domain_name.or_else(|| user.domain_name.clone());
                let domain_id = project.domain_id.or_else(|| user.domain_id.clone());
                conf.extend([
                    ("user-id", user.id.clone().filter(|_| user.name.is_none())),
                    ("username", user.name),
                    ("password", Some(password.expose_secret().to_owned())),
                    ("user-domain-id", user.domain_id),
                    ("user-domain-name", user.domain_name),
                    ("domain-id", domain_id.clone()),
                    ("domain-name", domain_name.filter(|_| domain_id.is_none())),
                    // A project has one name among those of a domain only: its id is enough.
                    ("tenant-name", project.name.filter(|_| project.id.is_none())),
                    ("tenant-id", project.id.clone()),
                    ("project-id", project.id),
                ]);
                password
            }
        };
        let unfit = |why: String| Err(EntryError::Unfit(why));
        if secret.expose_secret().chars().count() < Secret::MIN {
            return unfit(format!(
                "the secret of cloud `{cloud}` has fewer than {} characters and could not be kept off the screen",
                Secret::MIN
            ));
        }
        let mut text = String::from("[Global]\n");
        for (key, value) in conf.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            if value.chars().any(char::is_control) {
                return unfit(format!("the `{key}` of cloud `{cloud}` has a control character"));
            }
            text.push_str(&format!("{key}={}\n", quoted(value)));
        }
        text.push_str("\n[LoadBalancer]\nmanage-security-groups=true\nenable-ingress-hostname=true\ncreate-monitor=true\n");
        Ok(Self {
            // JSON is YAML, and quotes every text.
            clouds_yaml: Secret::new(format!("{yaml:#}\n")),
            cloud_conf: Secret::new(text),
            cacert,
            secrets: vec![Secret::new(secret.expose_secret())],
        })
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
    use serde_json::Value;

    const FILE: &str = r#"
clouds:
  app:
    auth: {auth_url: https://keystone.example.org, application_credential_id: abc, application_credential_secret: "s3cret#with\"quote"}
    auth_type: v3applicationcredential
    region_name: RegionA
    cacert: /home/me/ca.pem
  user:
    auth: {auth_url: https://keystone.example.org, username: me, password: longenough, project_id: p1, user_domain_name: d1}
  named:
    auth: {auth_url: https://k, username: me, password: longenough, project_name: p, domain_id: d}
  both: {auth: {auth_url: https://k, username: me, application_credential_id: abc}}
  short: {auth: {auth_url: https://k, username: me, password: short, domain_name: d, project_name: p}}
  lines: {auth: {auth_url: https://k, username: me, password: "longenough\n[Other]", domain_name: d, project_name: p}}
  none: {}
"#;

    fn of(cloud: &str, cacert: Option<&str>) -> Result<CloudEntry, String> {
        let files = Files::of_texts(FILE, None, None).unwrap();
        CloudEntry::of(&files, cloud, cacert.map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_becomes_files_of_its_own() {
        let entry = of("app", Some("PEM")).unwrap();
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
        assert!(!format!("{entry:?}").contains("s3cret"));
        for (cloud, wanted) in [
            (
                "user",
                "username=me\npassword=longenough\nuser-domain-name=d1\ndomain-name=d1\ntenant-id=p1\nproject-id=p1\n",
            ),
            ("named", "username=me\npassword=longenough\nuser-domain-id=d\ndomain-id=d\ntenant-name=p\n"),
        ] {
            let entry = of(cloud, None).unwrap();
            assert!(entry.cloud_conf.expose().contains(wanted), "{}", entry.cloud_conf.expose());
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_a_value() {
        for (cloud, words) in [
            ("nowhere", "there are: app, both, lines, named, none, short, user"),
            ("both", "has an application credential, but not its `auth_type`"),
            ("short", "fewer than 8 characters"),
            ("lines", "the `password` of cloud `lines` has a control character"),
            ("none", "`auth_url` is missing for the cloud `none`"),
        ] {
            let why = of(cloud, None).unwrap_err();
            assert!(why.contains(words), "{cloud}: {why}");
            assert!(!why.contains("longenough"), "{why}");
        }
    }
}
