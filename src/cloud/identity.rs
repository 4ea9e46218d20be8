//! What Keystone is asked, and what its answer says. Pure.

use super::catalog::Catalog;
use super::config::{Auth, Named};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// What a token says.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: SecretString,
    /// When the token ends.
    pub(super) expires: Timestamp,
    /// When we got it, by our clock.
    pub(super) got: Timestamp,
    /// How far the clock of Keystone is ahead of ours.
    pub(super) skew: SignedDuration,
    pub(super) catalog: Catalog,
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

impl Session {
    /// From Keystone's answer, which was asked for at `sent` and had at `got`, by our clock.
    ///
    /// # Errors
    /// What the answer lacks.
    pub(super) fn read(
        told: &Value,
        token: Option<SecretString>,
        sent: Timestamp,
        got: Timestamp,
    ) -> Result<Self, &'static str> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let expires = time(&told["expires_at"]).ok_or("end")?;
        let issued = time(&told["issued_at"]).ok_or("beginning")?;
        // It was made between our question and its answer.
        let skew = if issued < sent {
            issued.duration_since(sent)
        } else if issued > got {
            issued.duration_since(got)
        } else {
            SignedDuration::ZERO
        };
        let roles = told["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            token: token.ok_or("text")?,
            expires,
            got,
            skew,
            catalog: Catalog::read(told),
            project: text(&told["project"]["id"]).ok_or("project: the credential is not scoped to one")?,
            project_name: text(&told["project"]["name"]).unwrap_or_default(),
            user: text(&told["user"]["id"]).ok_or("user")?,
            roles: roles.iter().filter_map(|role| text(&role["name"])).collect(),
            application_credential: text(&told["application_credential"]["id"]),
        })
    }
}

/// What Keystone is asked for a token with.
pub(super) fn identity(auth: &Auth) -> Value {
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
