//! Everything that looks at variables: patches of the ClusterClass, extensions, values of add-ons; and what comes of
//! each with one set of variables.

use super::builtin::{Planned, Role, builtin};
use super::selector;
use crate::stack::AddonValues;
use crate::stack::gotemplate::{Error, Reads, Template, Val};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A variable, or a field within it.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) path: Vec<String>,
}

impl Place<'_> {
    pub(super) fn dotted(&self) -> String {
        let mut dotted = self.name.to_owned();
        for field in &self.path {
            dotted = format!("{dotted}.{field}");
        }
        dotted
    }
}

/// Something that looks at variables.
pub(super) struct Looker {
    pub(super) name: String,
    pub(super) look: Look,
}

pub(super) enum Look {
    Patch {
        enabled: Option<Source>,
        /// What its definitions select.
        roles: BTreeSet<Role>,
        /// Each for the templates that its definition selects.
        values: Vec<(BTreeSet<Role>, Source)>,
    },
    /// A patch of which no definition selects a template of the class.
    Nowhere { sources: Vec<Source> },
    /// An extension decides; nothing is known here.
    External,
    /// Values of an add-on; they see the variables as a list within the Cluster.
    Addon(Source),
}

pub(super) enum Source {
    Variable(String),
    Template { text: String, parsed: Result<Template, Error>, reads: Reads },
}

impl Source {
    fn template(text: &str) -> Self {
        let parsed = Template::parse(text);
        let reads = parsed.as_ref().map(Template::reads).unwrap_or_default();
        Self::Template { text: text.into(), parsed, reads }
    }

    fn mentions(&self, place: &Place<'_>) -> bool {
        let wanted = place.dotted();
        // Reading a whole reads its parts, and reading a part reads some of the whole.
        let touches = |read: &str| {
            let within = |outer: &str, inner: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            within(&wanted, read) || within(read, &wanted)
        };
        match self {
            Self::Variable(path) => touches(path),
            Self::Template { text, parsed, reads } => {
                if parsed.is_err() || reads.everything {
                    has_word(text, place.name)
                } else {
                    reads.fields.iter().any(|f| touches(f))
                }
            }
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == word)
}

/// What comes of one looker with one set of variables.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Off,
    On(Vec<String>),
    Fails(String),
    Unknown(String),
}

impl Looker {
    /// A patch of this ClusterClass. Definitions that select none of its templates do nothing and are left out.
    pub(super) fn patch(patch: &Value, class: &Value) -> Self {
        let name = patch.get("name").and_then(Value::as_str).unwrap_or("a patch without a name");
        let enabled =
            patch.get("enabledIf").and_then(Value::as_str).filter(|e| !e.is_empty()).map(Source::template);
        let definitions: Vec<&Value> =
            patch.get("definitions").and_then(Value::as_array).into_iter().flatten().collect();
        let selected: Vec<(BTreeSet<Role>, &Value)> = definitions
            .iter()
            .map(|definition| (selector::selected(class, definition), *definition))
            .collect();
        let mut roles: BTreeSet<Role> = selected.iter().flat_map(|(roles, _)| roles).copied().collect();
        let nowhere = roles.is_empty() && !definitions.is_empty();
        if definitions.is_empty() {
            roles.insert(Role::Any);
        }
        let values = selected.into_iter().filter(|(roles, _)| nowhere || !roles.is_empty()).flat_map(sources);
        let look = if patch.get("external").is_some_and(|e| !e.is_null()) {
            Look::External
        } else if nowhere {
            Look::Nowhere { sources: enabled.into_iter().chain(values.map(|(_, source)| source)).collect() }
        } else {
            Look::Patch { enabled, roles, values: values.collect() }
        };
        Self { name: name.into(), look }
    }

    /// Values of an add-on.
    pub(super) fn addon(addon: &AddonValues) -> Self {
        Self { name: addon.file.clone(), look: Look::Addon(Source::template(&addon.template)) }
    }

    pub(super) fn mentions(&self, place: &Place<'_>) -> bool {
        match &self.look {
            Look::Patch { enabled, values, .. } => {
                enabled.iter().chain(values.iter().map(|(_, source)| source)).any(|s| s.mentions(place))
            }
            Look::Nowhere { sources } => sources.iter().any(|s| s.mentions(place)),
            Look::External => true,
            Look::Addon(Source::Template { text, .. }) => has_word(text, place.name),
            Look::Addon(source) => source.mentions(place),
        }
    }

    pub(super) fn outcome(&self, variables: &BTreeMap<String, Value>, planned: Option<&Planned>) -> Outcome {
        match (self.look(variables, planned), &self.look) {
            (Ok(outcome), _) => outcome,
            // Less is known here of what an add-on sees than of what a patch sees, so its failure may be ours.
            (Err(Error::Unknown(why)), _) | (Err(Error::Fails(why)), Look::Addon(_)) => Outcome::Unknown(why),
            (Err(Error::Fails(why)), Look::Patch { .. } | Look::Nowhere { .. } | Look::External) => {
                Outcome::Fails(why)
            }
        }
    }

    fn look(&self, variables: &BTreeMap<String, Value>, planned: Option<&Planned>) -> Result<Outcome, Error> {
        match &self.look {
            Look::Patch { enabled, roles, values } => {
                let mut made = Vec::new();
                for role in roles {
                    let data = patch_data(variables, planned, *role);
                    if let Some(enabled) = enabled
                        && !is_true(&render(enabled, &data)?)
                    {
                        continue;
                    }
                    made.push(role.name().to_owned());
                    for (_, value) in values.iter().filter(|(roles, _)| roles.contains(role)) {
                        made.push(render(value, &data)?);
                    }
                }
                Ok(if made.is_empty() { Outcome::Off } else { Outcome::On(made) })
            }
            Look::Nowhere { .. } => Ok(Outcome::Off),
            Look::External => Err(Error::Unknown("a runtime extension decides".into())),
            Look::Addon(source) => Ok(Outcome::On(vec![render(source, &addon_data(variables, planned))?])),
        }
    }
}

fn render(source: &Source, data: &Val) -> Result<String, Error> {
    match source {
        Source::Template { parsed, .. } => parsed.as_ref().map_err(Clone::clone)?.render(data),
        Source::Variable(path) => {
            let mut value = data.clone();
            for segment in path.split('.') {
                let (name, index) = match segment.split_once('[') {
                    Some((name, index)) => (name, index.strip_suffix(']').map(str::parse::<usize>)),
                    None => (segment, None),
                };
                let missing = || Error::Fails(format!("variable \"{path}\" does not exist"));
                value = match value {
                    Val::Map(map) => map.get(name).cloned().ok_or_else(missing)?,
                    Val::Opaque(path) => Val::Opaque(format!("{path}.{name}")),
                    _ => return Err(missing()),
                };
                if let Some(index) = index {
                    let at = index.map_err(|_| missing())?;
                    value = match value {
                        Val::List(items) => items.get(at).cloned().ok_or_else(missing)?,
                        Val::Opaque(path) => Val::Opaque(format!("{path}[{at}]")),
                        _ => return Err(missing()),
                    };
                }
            }
            Ok(value.to_json().map_or_else(|| value.show(), |json| json.to_string()))
        }
    }
}

/// The result of `enabledIf` is read as YAML and must be the boolean.
fn is_true(text: &str) -> bool {
    matches!(text.trim(), "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y")
}

/// Where the values of a definition come from.
fn sources((roles, definition): (BTreeSet<Role>, &Value)) -> Vec<(BTreeSet<Role>, Source)> {
    let patches = definition.get("jsonPatches").and_then(Value::as_array).into_iter().flatten();
    let from = patches
        .filter(|p| matches!(p.get("op").and_then(Value::as_str), Some("add" | "replace")))
        .filter_map(|p| p.get("valueFrom"));
    let source = |from: &Value| {
        let text = |key: &str| from.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        let variable = text("variable").map(|v| Source::Variable(v.into()));
        variable.or_else(|| text("template").map(Source::template))
    };
    from.filter_map(source).map(|source| (roles.clone(), source)).collect()
}

/// What patches see: the variables, and `builtin`.
fn patch_data(variables: &BTreeMap<String, Value>, planned: Option<&Planned>, role: Role) -> Val {
    let mut data: BTreeMap<String, Val> =
        variables.iter().map(|(name, value)| (name.clone(), Val::from_json(value))).collect();
    data.insert("builtin".into(), builtin(planned, role));
    Val::Map(data)
}

/// What add-on values see: the Cluster, with its variables as a list, and other objects.
fn addon_data(variables: &BTreeMap<String, Value>, planned: Option<&Planned>) -> Val {
    let map = |entries: &[(&str, Val)]| {
        Val::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
    };
    let opaque = |path: &str| Val::Opaque(path.into());
    let list = variables
        .iter()
        .map(|(name, value)| map(&[("name", Val::Str(name.clone())), ("value", Val::from_json(value))]));
    let text = |known: Option<&String>, path: &str| {
        known.map_or_else(|| opaque(path), |text| Val::Str(text.clone()))
    };
    let control_plane = match planned {
        None => opaque("Cluster.spec.topology.controlPlane"),
        Some(planned) => map(&[
            ("replicas", Val::Int(planned.control_planes.into())),
            ("metadata", opaque("Cluster.spec.topology.controlPlane.metadata")),
        ]),
    };
    let topology = map(&[
        ("variables", Val::List(list.collect())),
        ("version", text(planned.map(|planned| &planned.kubernetes), "Cluster.spec.topology.version")),
        ("class", text(planned.map(|planned| &planned.class), "Cluster.spec.topology.class")),
        ("controlPlane", control_plane),
        ("workers", opaque("Cluster.spec.topology.workers")),
    ]);
    let spec = map(&[
        ("topology", topology),
        ("controlPlaneEndpoint", opaque("Cluster.spec.controlPlaneEndpoint")),
        ("clusterNetwork", opaque("Cluster.spec.clusterNetwork")),
    ]);
    let cluster = map(&[
        ("spec", spec),
        ("metadata", opaque("Cluster.metadata")),
        ("status", opaque("Cluster.status")),
    ]);
    map(&[
        ("Cluster", cluster),
        ("InfraCluster", opaque("InfraCluster")),
        ("ControlPlane", opaque("ControlPlane")),
    ])
}
