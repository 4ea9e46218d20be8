//! `clouds.yaml`, `secure.yaml` and `clouds-public.yaml`, merged as openstacksdk merges them, into one [`Cloud`].
//!
//! From weak to strong: the profile in `clouds-public.yaml`, the cloud in `clouds.yaml`, the same in `secure.yaml`, the
//! values of the region. What this program has no use for is not looked at: these files belong to many programs.

mod entry;
mod load;
mod yaml;

pub use load::{Places, load};

use crate::scenario::{Problem, Problems, SourceText, Span, did_you_mean};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yaml::{Node, Value};

/// One file that was read.
#[derive(Debug, Clone)]
struct Document {
    source: Arc<SourceText>,
    root: Node,
}

/// The files of OpenStack clients, read but not merged.
#[derive(Clone, Default)]
pub struct Files {
    clouds: Option<Document>,
    secure: Option<Document>,
    public: Option<Document>,
    searched: Vec<PathBuf>,
    home: Option<PathBuf>,
}

/// What is needed to talk to one cloud as one user in one project.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Its name in the file.
    pub name: String,
    /// Keystone.
    pub auth_url: String,
    /// Who asks.
    pub auth: Auth,
    /// The region; without one the catalog must have a single one.
    pub region: Option<String>,
    /// The interface of the endpoints.
    pub interface: Interface,
    /// Certificates that are trusted besides those of the machine.
    pub cacert: Option<PathBuf>,
    /// Whether certificates are checked at all.
    pub verify: bool,
    /// Addresses that stand instead of those of the catalog, by the type of the service with underscores.
    pub overrides: BTreeMap<String, String>,
    /// How long one request may take, in seconds.
    pub api_timeout: Option<u64>,
}

/// A credential.
#[derive(Debug, Clone)]
pub enum Auth {
    /// User and password, scoped to a project.
    Password {
        /// The user.
        user: Named,
        /// The password.
        password: SecretString,
        /// The project.
        project: Named,
    },
    /// An application credential; its project is part of it.
    ApplicationCredential {
        /// Its id, or its name together with a user.
        id: Option<String>,
        /// Its name, when there is no id.
        name: Option<String>,
        /// The user that the name belongs to.
        user: Option<Named>,
        /// The secret.
        secret: SecretString,
    },
}

/// A user or a project: by id, or by name within a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The id of the domain that the name belongs to.
    pub domain_id: Option<String>,
    /// The name of that domain.
    pub domain_name: Option<String>,
}

/// Which of the addresses of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// For those in the same network.
    Internal,
    /// For administrators.
    Admin,
}

impl Interface {
    /// As the catalog writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

/// Reads one file from its text. What it may be is looked at for all of it; what a cloud lacks is said by
/// [`Files::cloud`], for the cloud that is wanted.
fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Document> {
    let source = SourceText::new(path, yaml::shown(text));
    let before = problems.len();
    let root = yaml::read(text, &source, problems)?;
    let top = ["clouds", "public-clouds"].iter().filter_map(|key| root.get(key));
    if !matches!(root.value, Value::Map(_)) {
        let message = format!("the file holds {}, and not a mapping", root.what());
        problems.push(Problem::at(&source, root.span, message).hint("it begins with `clouds:`"));
    }
    for clouds in top {
        let Value::Map(entries) = &clouds.value else {
            if clouds.value != Value::Null {
                let message = format!("`clouds` is {}, and not a mapping of names to clouds", clouds.what());
                problems.push(
                    Problem::at(&source, clouds.span, message)
                        .hint("write `clouds:`, and `  NAME:` below it"),
                );
            }
            continue;
        };
        for (name, span, cloud) in entries {
            let mut not_a_mapping = |what: &str, node: &Node, span: Span| {
                if !matches!(node.value, Value::Map(_)) {
                    let message =
                        format!("{what} of the cloud `{name}` is {}, and not a mapping", node.what());
                    problems.push(Problem::at(&source, span, message).hint("indent its keys below it"));
                }
            };
            not_a_mapping("the entry", cloud, *span);
            if let Some(auth) = cloud.get("auth") {
                not_a_mapping("`auth`", auth, auth.span);
            }
        }
    }
    (problems.len() == before).then_some(Document { source, root })
}

impl Files {
    /// From texts instead of files, for callers that have them: `(name, text)` of `clouds.yaml`, `secure.yaml` and
    /// `clouds-public.yaml`.
    ///
    /// # Errors
    /// Every problem of every text.
    pub fn of_texts(clouds: &str, secure: Option<&str>, public: Option<&str>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut one = |name: &str, text: &str| read(Path::new(name), text, &mut problems);
        let (clouds, secure, public) = (
            one("clouds.yaml", clouds),
            secure.and_then(|text| one("secure.yaml", text)),
            public.and_then(|text| one("clouds-public.yaml", text)),
        );
        if problems.is_empty() {
            Ok(Self { clouds, secure, public, searched: Vec::new(), home: None })
        } else {
            Err(Problems(problems))
        }
    }

    /// The names of all clouds.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for document in [&self.clouds, &self.secure].into_iter().flatten() {
            if let Some(Node { value: Value::Map(entries), .. }) = document.root.get("clouds") {
                names.extend(entries.iter().map(|(name, ..)| name.clone()));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// The cloud of this name, or the only one.
    ///
    /// # Errors
    /// Everything that it lacks, or that cannot be used.
    pub fn cloud(&self, name: Option<&str>, region: Option<&str>) -> Result<Cloud, Problems> {
        let names = self.names();
        let file = self.clouds.as_ref().or(self.secure.as_ref());
        let Some(file) = file else {
            let searched: Vec<String> = self.searched.iter().map(|path| path.display().to_string()).collect();
            let problem = Problem::of_file(Path::new("clouds.yaml"), "there is no such file").hint(format!(
                "`OS_CLIENT_CONFIG_FILE` names one; these were looked for: {}",
                searched.join(", ")
            ));
            return Err(Problems(vec![problem]));
        };
        let refuse = |message: String, hint: String| {
            Err(Problems(vec![Problem::at(&file.source, Span::default(), message).hint(hint)]))
        };
        let name = match (name, names.as_slice()) {
            (Some(name), _) if names.iter().any(|known| known == name) => name,
            (Some(name), _) => {
                let meant = did_you_mean(name, names.iter().map(String::as_str));
                let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return refuse(format!("there is no cloud `{name}`"), format!("{meant}there are: {known}"));
            }
            (None, [only]) => only,
            (None, []) => {
                return refuse("there is no cloud in it".into(), "a cloud stands below `clouds:`".into());
            }
            (None, many) => {
                let hint = format!("name one of {} with `--cloud` or `OS_CLOUD`", many.join(", "));
                return refuse(format!("there are {} clouds in it", many.len()), hint);
            }
        };
        Reader::new(self, file, name, region).cloud()
    }
}

/// A merged value: what it is, and where it was written.
#[derive(Debug, Clone)]
struct Written {
    value: Value,
    span: Span,
    source: Arc<SourceText>,
}

/// One cloud while it is put together.
struct Reader<'a> {
    name: &'a str,
    source: Arc<SourceText>,
    /// The place of the cloud.
    place: Span,
    home: Option<PathBuf>,
    top: BTreeMap<String, Written>,
    auth: BTreeMap<String, Written>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(files: &Files, file: &Document, name: &'a str, region: Option<&str>) -> Self {
        let own = |document: &Option<Document>| {
            let document = document.as_ref()?;
            let clouds = document.root.get("clouds")?;
            let Value::Map(entries) = &clouds.value else { return None };
            let (_, span, node) = entries.iter().find(|(known, ..)| known == name)?;
            Some((document.source.clone(), *span, node.clone()))
        };
        let layers: Vec<_> = [own(&files.clouds), own(&files.secure)].into_iter().flatten().collect();
        let (source, place) = layers
            .first()
            .map_or((file.source.clone(), Span::default()), |(source, span, _)| (source.clone(), *span));
        let mut reader = Self {
            name,
            source,
            place,
            home: files.home.clone(),
            top: BTreeMap::new(),
            auth: BTreeMap::new(),
            problems: Vec::new(),
        };
        let profile =
            layers.iter().rev().find_map(|(_, _, node)| node.get("profile").or_else(|| node.get("cloud")));
        if let Some(Node { value: Value::Text(profile), span }) = profile {
            let public = files.public.as_ref();
            let found = public
                .and_then(|public| public.root.get("public-clouds")?.get(profile).map(|node| (public, node)));
            match found {
                Some((public, node)) => reader.put(&public.source, node),
                None => reader.problem(*span, &format!("the profile `{profile}` is not in a clouds-public.yaml"),
                    "profiles that are built into openstacksdk are not known here; write `auth_url` and `region_name` out"),
            }
        }
        for (source, _, node) in &layers {
            reader.put(source, node);
        }
        reader.region(region);
        reader
    }

    fn problem(&mut self, span: Span, message: &str, hint: &str) {
        self.problems.push(Problem::at(&self.source, span, message).hint(hint));
    }

    /// A problem of a key that is written, at its place.
    fn problem_of(&mut self, key: &str, message: &str, hint: &str) {
        let written = self.auth.get(key).or_else(|| self.top.get(key));
        let (source, span) =
            written.map_or((&self.source, self.place), |written| (&written.source, written.span));
        self.problems.push(Problem::at(source, span, message).hint(hint));
    }

    /// Lays one mapping over what is there; `auth` key by key.
    fn put(&mut self, source: &Arc<SourceText>, node: &Node) {
        let Value::Map(entries) = &node.value else { return };
        for (key, span, node) in entries {
            let key = key.replace('-', "_");
            if let (true, Value::Map(inner)) = (key == "auth", &node.value) {
                for (key, span, node) in inner {
                    let written = Written { value: node.value.clone(), span: *span, source: source.clone() };
                    self.auth.insert(key.replace('-', "_"), written);
                }
            } else {
                self.top
                    .insert(key, Written { value: node.value.clone(), span: *span, source: source.clone() });
            }
        }
    }

    /// Settles the region: the wanted one, else the first of the list, else the one that is named.
    fn region(&mut self, wanted: Option<&str>) {
        let regions = self.top.remove("regions");
        let Some(Written { value: Value::List(regions), span, source }) = regions else {
            if let Some(wanted) = wanted {
                let value = Value::Text(wanted.to_owned());
                self.top.insert(
                    "region_name".into(),
                    Written { value, span: self.place, source: self.source.clone() },
                );
            }
            return;
        };
        let name = |node: &Node| match &node.value {
            Value::Text(name) => Some(name.clone()),
            Value::Map(_) => match &node.get("name")?.value {
                Value::Text(name) => Some(name.clone()),
                Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
            },
            Value::Null | Value::Bool(_) | Value::List(_) => None,
        };
        let names: Vec<Option<String>> = regions.iter().map(name).collect();
        if names.iter().any(Option::is_none) {
            self.problem(
                span,
                "an entry of `regions` has no name",
                "a region is a text, or `name:` with `values:`",
            );
        }
        let chosen = match wanted {
            Some(wanted) => names.iter().position(|name| name.as_deref() == Some(wanted)),
            None => Some(0).filter(|_| !regions.is_empty()),
        };
        let Some(chosen) = chosen else {
            let known: Vec<String> = names.into_iter().flatten().collect();
            let message = format!("the cloud `{}` has no region `{}`", self.name, wanted.unwrap_or_default());
            self.problem(span, &message, &format!("there are: {}", known.join(", ")));
            return;
        };
        if let Some(values) = regions[chosen].get("values") {
            self.put(&source, values);
        }
        if let Some(name) = names.into_iter().nth(chosen).flatten() {
            self.top.insert("region_name".into(), Written { value: Value::Text(name), span, source });
        }
    }

    /// A text, from `auth` or else from beside it, by the first of these names that is there.
    fn text(&mut self, names: &[&str]) -> Option<String> {
        let found =
            names.iter().find_map(|name| self.auth.get(*name).or_else(|| self.top.get(*name))).cloned()?;
        match found.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text),
            Value::Text(_) | Value::Null => None,
            Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                let node = Node { value: found.value, span: found.span };
                let message = format!("`{}` is {}, and not a text", names[0], node.what());
                let problem = Problem::at(&found.source, found.span, message);
                self.problems.push(problem.hint("quote it if it is meant as a text"));
                None
            }
        }
    }

    fn required(&mut self, names: &[&str], why: &str) -> String {
        let present = names.iter().any(|name| self.auth.contains_key(*name) || self.top.contains_key(*name));
        let before = self.problems.len();
        let text = self.text(names);
        if text.is_none() && self.problems.len() == before {
            let what = if present { "is empty" } else { "is missing" };
            let message = format!("`{}` {what} for the cloud `{}`", names[0], self.name);
            self.problem(self.place, &message, why);
        }
        text.unwrap_or_default()
    }

    /// A boolean of `verify` and the like. A quoted word is a text, and openstacksdk would take any text for true.
    fn boolean(&mut self, name: &str, default: bool) -> bool {
        let Some(found) = self.top.get(name).cloned() else { return default };
        match found.value {
            Value::Bool(value) => value,
            Value::Null => default,
            Value::Text(text) if text.eq_ignore_ascii_case("true") => true,
            Value::Text(text) if name == "insecure" && text.eq_ignore_ascii_case("false") => false,
            Value::Text(_) | Value::List(_) | Value::Map(_) => {
                let problem =
                    Problem::at(&found.source, found.span, format!("`{name}` is neither true nor false"));
                self.problems.push(problem.hint("write `true` or `false`, without quotes"));
                default
            }
        }
    }

    /// `NAME_id`, `NAME_name` and their domain; a domain that is given once counts for user and project.
    fn named(&mut self, name: &str, tenant: &str) -> Named {
        let id = self.text(&[&format!("{name}_id"), &format!("{tenant}_id")]);
        let names = if name == "user" {
            ["username".to_owned(), "user_name".to_owned()]
        } else {
            [format!("{name}_name"), format!("{tenant}_name")]
        };
        let found = self.text(&[&names[0], &names[1]]);
        let domain_id = self.text(&[&format!("{name}_domain_id"), "domain_id"]);
        let domain_name = self.text(&[&format!("{name}_domain_name"), "domain_name"]);
        Named { id, name: found, domain_name: domain_name.filter(|_| domain_id.is_none()), domain_id }
    }

    fn needs_domain(&mut self, what: &str, named: &Named) {
        if named.id.is_none()
            && named.name.is_some()
            && named.domain_id.is_none()
            && named.domain_name.is_none()
        {
            let message = format!("`{what}_domain_name` is missing for the cloud `{}`", self.name);
            self.problem(
                self.place,
                &message,
                &format!("a name of a {what} means something within a domain only; often it is `Default`"),
            );
        }
    }

    fn cloud(mut self) -> Result<Cloud, Problems> {
        let auth = self.auth();
        let region = self.text(&["region_name"]);
        let mut auth_url = self.required(
            &["auth_url"],
            "the address of Keystone, such as `https://keystone.example.org:5000/v3`",
        );
        if let Some(region) = &region {
            auth_url = auth_url.replace("{region_name}", region);
        }
        let of_the_web = auth_url.starts_with("https://") || auth_url.starts_with("http://");
        if !auth_url.is_empty() && !of_the_web {
            self.problem_of(
                "auth_url",
                "`auth_url` is not an address of the web",
                "it begins with `https://`",
            );
        }
        let interface = match self
            .text(&["interface", "endpoint_type"])
            .as_deref()
            .map(|text| text.trim_end_matches("URL"))
        {
            None | Some("public") => Interface::Public,
            Some("internal") => Interface::Internal,
            Some("admin") => Interface::Admin,
            Some(_) => {
                self.problem_of(
                    "interface",
                    "`interface` is none of public, internal and admin",
                    "most clouds have `public` only",
                );
                Interface::Public
            }
        };
        if let Some(version) = self.text(&["identity_api_version"])
            && !matches!(version.trim_start_matches('v'), "3" | "3.0")
        {
            self.problem_of(
                "identity_api_version",
                "`identity_api_version` is not 3",
                "version 2 of Keystone was removed in 2018; remove the line",
            );
        }
        let insecure = self.boolean("insecure", false);
        let verify = self.boolean("verify", true) && !insecure;
        let cacert = self.text(&["cacert"]).map(|file| match (file.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(file),
        });
        if self.text(&["cert", "key"]).is_some() {
            self.problem_of("cert", "client certificates are not supported", "use an application credential");
        }
        let api_timeout = self.text(&["api_timeout"]).map(|text| text.parse::<u64>());
        if matches!(api_timeout, Some(Err(_) | Ok(0))) {
            self.problem_of(
                "api_timeout",
                "`api_timeout` is no whole number of seconds",
                "write for example `api_timeout: 60`",
            );
        }
        let keys: Vec<String> =
            self.top.keys().filter(|key| key.ends_with("_endpoint_override")).cloned().collect();
        let overrides = keys.into_iter().filter_map(|key| {
            let service = key.trim_end_matches("_endpoint_override").to_owned();
            Some((service, self.text(&[&key])?))
        });
        let overrides = overrides.collect();
        match auth {
            Some(auth) if self.problems.is_empty() => Ok(Cloud {
                name: self.name.to_owned(),
                auth_url,
                auth,
                region,
                interface,
                cacert,
                verify,
                overrides,
                api_timeout: api_timeout.and_then(Result::ok),
            }),
            _ => Err(Problems(self.problems)),
        }
    }

    fn auth(&mut self) -> Option<Auth> {
        let kind = self.text(&["auth_type", "auth_plugin"]);
        let has_credential =
            ["application_credential_id", "application_credential_name", "application_credential_secret"]
                .iter()
                .any(|key| self.auth.contains_key(*key));
        match kind.as_deref() {
            Some("v3applicationcredential") => Some(self.application_credential()),
            Some("password" | "v3password") | None if has_credential => {
                self.problem(self.place, &format!("the cloud `{}` has an application credential, but not its `auth_type`", self.name),
                    "write `auth_type: v3applicationcredential`; without it OpenStack clients ask for a password");
                None
            }
            Some("password" | "v3password") | None => {
                let user = self.named("user", "user");
                if user.id.is_none() {
                    self.required(&["username", "user_name"], "who asks; with an application credential, write `auth_type: v3applicationcredential`");
                    self.needs_domain("user", &user);
                }
                let password = self.required(&["password"], "it may also stand in secure.yaml");
                let project = self.named("project", "tenant");
                if project.id.is_none() {
                    self.required(
                        &["project_name", "tenant_name"],
                        "clusters live in a project; `openstack project list` shows yours",
                    );
                    self.needs_domain("project", &project);
                }
                Some(Auth::Password { user, password: password.into(), project })
            }
            Some(_) => {
                self.problem_of(
                    "auth_type",
                    "`auth_type` is none of `password` and `v3applicationcredential`",
                    "tokens and single sign-on end while a run is at work; make an application credential",
                );
                None
            }
        }
    }

    fn application_credential(&mut self) -> Auth {
        let id = self.text(&["application_credential_id"]);
        let name = self.text(&["application_credential_name"]);
        let user = id.is_none().then(|| self.named("user", "user"));
        if id.is_none() {
            self.required(
                &["application_credential_id", "application_credential_name"],
                "`openstack application credential create` prints it",
            );
            if let Some(user) = &user {
                if user.id.is_none() {
                    self.required(
                        &["username", "user_name"],
                        "a name of an application credential belongs to a user",
                    );
                }
                self.needs_domain("user", user);
            }
        }
        let secret = self.required(
            &["application_credential_secret"],
            "it is shown once, when the credential is made; it may also stand in secure.yaml",
        );
        Auth::ApplicationCredential { name: name.filter(|_| id.is_none()), id, user, secret: secret.into() }
    }
}

#[cfg(test)]
mod tests;
