//! Whether a value of a variable has an effect: whether some patch of the ClusterClass, or the values of some add-on,
//! come out differently than without it. Pure.
//!
//! Published stacks have no `enum`, so Cluster API takes `octavia-onv` for a load balancer, and no patch answers to it:
//! the cluster comes up, the tests are green, and the combination was never tested. Three questions find this:
//! does anything look at the variable; does anything come out differently than with the default; and does anything
//! come out differently than with a nonsense text, unless the class documents the value (`none` usually works by being
//! no other value). What cannot be evaluated is said to be unknown.

mod looker;
mod selector;

use self::looker::{Look, Looker, Outcome, Place, Source};
use super::AddonValues;
use super::gotemplate::Val;
use super::variables::{Severity, VariableProblem, class_name, short, variables, with_defaults};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A text that nobody compares with.
const NONSENSE: &str = "\u{1}nonsense";

/// What a value does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is the default, or an empty value (`false`, `[]`) that says the same as no value; something looks at the
    /// variable.
    Default,
    /// Something comes out differently than without it.
    Effective {
        /// The patches, and files of add-on values.
        by: Vec<String>,
    },
    /// Nothing comes out differently.
    Ineffective {
        /// Why not, as a part of a sentence.
        why: String,
        /// Values that something does answer to.
        literals: Vec<String>,
    },
    /// It depends on something that cannot be evaluated.
    Unknown {
        /// On what.
        why: String,
    },
}

/// What the variable `name` does in a cluster of this class with these variables; the others matter, too, because a
/// patch may look at several. `None`: the class has no such variable, or the cluster does not set it.
#[must_use]
pub fn effect(
    class: &Value,
    addons: &[AddonValues],
    values: &BTreeMap<String, Value>,
    name: &str,
) -> Option<Effect> {
    Judge::new(class, addons, values).effect(name)
}

/// Values that have no effect, values whose effect is unknown, and patches that fail.
#[must_use]
pub fn problems(
    class: &Value,
    addons: &[AddonValues],
    values: &BTreeMap<String, Value>,
) -> Vec<VariableProblem> {
    let judge = Judge::new(class, addons, values);
    let mut problems = judge.failures();
    for name in values.keys() {
        let Some(effect) = judge.effect(name) else {
            continue;
        };
        let top = Place { name, path: Vec::new() };
        problems.extend(judge.problem(&top, &effect));
        if matches!(effect, Effect::Effective { .. }) {
            for place in judge.fields_of(name) {
                let effect = judge.judge(&place);
                problems.extend(judge.problem(&place, &effect));
            }
        }
    }
    problems
}

/// How two sets of outcomes differ.
#[derive(Default)]
struct Difference {
    /// Lookers that come out differently.
    by: Vec<String>,
    /// A looker of which it cannot be told, and why.
    unknown: Option<String>,
}

struct Judge<'a> {
    class: &'a Value,
    values: &'a BTreeMap<String, Value>,
    lookers: Vec<Looker>,
    /// With the values as they are.
    with: Vec<Outcome>,
}

impl<'a> Judge<'a> {
    fn new(class: &'a Value, addons: &[AddonValues], values: &'a BTreeMap<String, Value>) -> Self {
        let patches = class.pointer("/spec/patches").and_then(Value::as_array).into_iter().flatten();
        let patches = patches.map(|patch| Looker::patch(patch, class));
        let addons = addons.iter().map(Looker::addon);
        let lookers = patches.chain(addons).collect();
        let mut judge = Self { class, values, lookers, with: Vec::new() };
        judge.with = judge.outcomes(values);
        judge
    }

    /// What comes of everything when a cluster sets these variables and Cluster API adds its defaults.
    fn outcomes(&self, values: &BTreeMap<String, Value>) -> Vec<Outcome> {
        let mut all = values.clone();
        for variable in variables(self.class) {
            let value = match values.get(variable.name) {
                Some(value) => Some(with_defaults(variable.schema, value)),
                None => variable.default(),
            };
            all.extend(value.map(|value| (variable.name.to_owned(), value)));
        }
        self.lookers.iter().map(|looker| looker.outcome(&all)).collect()
    }

    fn effect(&self, name: &str) -> Option<Effect> {
        let known = self.values.contains_key(name) && variables(self.class).any(|v| v.name == name);
        known.then(|| self.judge(&Place { name, path: Vec::new() }))
    }

    fn judge(&self, place: &Place<'_>) -> Effect {
        if !self.lookers.iter().any(|l| l.mentions(place)) {
            let seen = if self.lookers.iter().any(|l| matches!(l.look, Look::Addon(_))) {
                "no patch and no add-on looks at it"
            } else {
                "no patch looks at it"
            };
            return Effect::Ineffective { why: seen.into(), literals: Vec::new() };
        }
        let value = self.value(place);
        if self.default(place).is_some_and(|default| Some(default) == value) {
            return Effect::Default;
        }
        let without = self.difference(place, None);
        if without.by.is_empty() {
            return match without.unknown {
                Some(why) => Effect::Unknown { why },
                None if value.as_ref().is_some_and(|v| Val::from_json(v).truth() == Some(false))
                    && self.default(place).is_none() =>
                {
                    Effect::Default
                }
                None => self.changes_nothing(place),
            };
        }
        if let Some(Value::String(text)) = &value
            && self.schema(place).is_none_or(|s| s.get("enum").is_none())
        {
            let nonsense = self.difference(place, Some(NONSENSE));
            let literals = if nonsense.by.is_empty() { self.literals(place) } else { Vec::new() };
            // Without any text that is told apart, the value is asked for being there, not for what it is.
            if !literals.is_empty() && !self.is_documented(place, text) {
                return match nonsense.unknown {
                    Some(why) => Effect::Unknown { why },
                    None => {
                        Effect::Ineffective { why: "no patch tells it from any other text".into(), literals }
                    }
                };
            }
        }
        Effect::Effective { by: without.by }
    }

    fn changes_nothing(&self, place: &Place<'_>) -> Effect {
        let literals = self.literals(place);
        let lookers = || self.lookers.iter().zip(&self.with).filter(|(l, _)| l.mentions(place));
        let off: Vec<&str> =
            lookers().filter(|(_, o)| **o == Outcome::Off).map(|(l, _)| l.name.as_str()).collect();
        let nowhere = lookers().all(|(l, _)| matches!(l.look, Look::Nowhere { .. }));
        let why = if nowhere && !off.is_empty() {
            format!("what looks at it selects no template of the class: {}", off.join(", "))
        } else if literals.is_empty() && !off.is_empty() && off.len() == lookers().count() {
            format!(
                "what looks at it is off with the other variables of this combination: {}",
                off.join(", ")
            )
        } else {
            match self.default(place) {
                Some(default) => format!("no patch tells it from the default {}", short(&default)),
                None => "everything comes out as without it".into(),
            }
        };
        Effect::Ineffective { why, literals }
    }

    /// Whether the class names the text where it describes the variable; a typo is not documented, nor is it empty.
    fn is_documented(&self, place: &Place<'_>, text: &str) -> bool {
        let schema = self.schema(place);
        let named = |keyword: &str| {
            let about = schema
                .and_then(|s| s.get(keyword))
                .map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into));
            let apart = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
            about.is_some_and(|about| about.split(apart).any(|word| word.trim_end_matches('.') == text))
        };
        text.is_empty() || named("description") || named("example")
    }

    /// Texts that something compares this place with, and answers to.
    fn literals(&self, place: &Place<'_>) -> Vec<String> {
        let dotted = place.dotted();
        let mut texts = BTreeSet::new();
        for looker in self.lookers.iter().filter(|l| l.mentions(place)) {
            let sources = match &looker.look {
                Look::Patch { enabled, values } => enabled.iter().chain(values).collect(),
                Look::Addon(source) => vec![source],
                Look::Nowhere { .. } | Look::External => Vec::new(),
            };
            for source in sources {
                if let Source::Template { reads, .. } = source {
                    let own =
                        reads.compared.iter().filter(|(field, _)| *field == dotted).map(|(_, text)| text);
                    texts.extend(own.chain(&reads.compared_elsewhere).filter(|t| !t.is_empty()).cloned());
                }
            }
        }
        let nonsense = self.outcomes(&self.replaced(place, Some(NONSENSE)));
        texts
            .into_iter()
            .filter(|text| {
                !self
                    .compare(&self.outcomes(&self.replaced(place, Some(text))), &nonsense, place)
                    .by
                    .is_empty()
            })
            .collect()
    }

    /// How everything differs between the values as they are and with `text` (or nothing) in this place.
    fn difference(&self, place: &Place<'_>, text: Option<&str>) -> Difference {
        self.compare(&self.with, &self.outcomes(&self.replaced(place, text)), place)
    }

    fn compare(&self, a: &[Outcome], b: &[Outcome], place: &Place<'_>) -> Difference {
        let mut difference = Difference::default();
        for ((looker, a), b) in self.lookers.iter().zip(a).zip(b) {
            if let (Outcome::Unknown(why), _) | (_, Outcome::Unknown(why)) = (a, b) {
                if looker.mentions(place) {
                    difference.unknown.get_or_insert_with(|| format!("{}: {why}", looker.name));
                }
            } else if a != b {
                difference.by.push(looker.name.clone());
            }
        }
        difference
    }

    fn replaced(&self, place: &Place<'_>, text: Option<&str>) -> BTreeMap<String, Value> {
        let mut values = self.values.clone();
        let new = text.map(|text| Value::String(text.into()));
        match place.path.split_last() {
            None => {
                match new {
                    Some(new) => values.insert(place.name.into(), new),
                    None => values.remove(place.name),
                };
            }
            Some((last, path)) => {
                let mut at = values.get_mut(place.name);
                for field in path {
                    at = at.and_then(|value| value.get_mut(field));
                }
                if let Some(map) = at.and_then(Value::as_object_mut) {
                    match new {
                        Some(new) => map.insert(last.clone(), new),
                        None => map.remove(last),
                    };
                }
            }
        }
        values
    }

    fn value(&self, place: &Place<'_>) -> Option<Value> {
        let value =
            place.path.iter().try_fold(self.values.get(place.name)?, |value, field| value.get(field))?;
        Some(match self.schema(place) {
            Some(schema) => with_defaults(schema, value),
            None => value.clone(),
        })
    }

    fn schema(&self, place: &Place<'_>) -> Option<&'a Value> {
        let top = variables(self.class).find(|v| v.name == place.name)?.schema;
        place.path.iter().try_fold(top, |schema, field| schema.get("properties")?.get(field))
    }

    fn default(&self, place: &Place<'_>) -> Option<Value> {
        let schema = self.schema(place)?;
        let default = schema.get("default").filter(|d| !d.is_null())?;
        Some(with_defaults(schema, default))
    }

    /// The fields of a structured value that are no structures themselves.
    fn fields_of(&self, name: &'a str) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        let mut open: Vec<(Vec<String>, &Value)> =
            self.values.get(name).map(|v| (Vec::new(), v)).into_iter().collect();
        while let Some((path, value)) = open.pop() {
            match value {
                Value::Object(map) => open.extend(map.iter().map(|(field, value)| {
                    let mut path = path.clone();
                    path.push(field.clone());
                    (path, value)
                })),
                _ if path.is_empty() => {}
                _ => places.push(Place { name, path }),
            }
        }
        places.reverse();
        places
    }

    fn problem(&self, place: &Place<'_>, effect: &Effect) -> Option<VariableProblem> {
        let dotted = place.dotted();
        let value = short(&self.value(place).unwrap_or_default());
        match effect {
            Effect::Default | Effect::Effective { .. } => None,
            Effect::Ineffective { why, literals } => {
                let message = format!(
                    "the value {value} of `{dotted}` changes nothing in ClusterClass {}: {why}",
                    class_name(self.class)
                );
                Some(VariableProblem::new(place.name, Severity::Error, message, hint(&value, literals)))
            }
            Effect::Unknown { why } => {
                let message =
                    format!("cannot tell whether the value {value} of `{dotted}` has an effect: {why}");
                Some(VariableProblem::new(place.name, Severity::Warning, message, None))
            }
        }
    }

    /// Patches that Cluster API could not carry out with these variables.
    fn failures(&self) -> Vec<VariableProblem> {
        let failing = self.lookers.iter().zip(&self.with).filter_map(|(looker, outcome)| match outcome {
            Outcome::Fails(why) => Some((looker, why)),
            Outcome::Off | Outcome::On(_) | Outcome::Unknown(_) => None,
        });
        let problem = |(looker, why): (&Looker, &String)| {
            let names = variables(self.class).map(|v| v.name);
            let seen: Vec<&str> =
                names.filter(|name| looker.mentions(&Place { name, path: Vec::new() })).collect();
            let set = seen.iter().find(|name| self.values.contains_key(**name)).or(seen.first());
            let message = format!(
                "{} of ClusterClass {} fails with these variables: {why}",
                looker.name,
                class_name(self.class)
            );
            let hint = (!seen.is_empty()).then(|| format!("it looks at {}", seen.join(", ")));
            VariableProblem::new(set.unwrap_or(&""), Severity::Error, message, hint)
        };
        failing.map(problem).collect()
    }
}

fn hint(value: &str, literals: &[String]) -> Option<String> {
    let value = value.trim_matches('`');
    let near = literals.iter().map(|l| (strsim::damerau_levenshtein(value, l), l)).min();
    let list = || literals.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    match near {
        Some((distance, near)) if distance <= 2 && distance * 2 < value.len() => {
            Some(format!("did you mean `{near}`? values that are told apart: {}", list()))
        }
        Some(_) => Some(format!("values that are told apart: {}", list())),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A class with text variables `lb` (default `amphora`), `id`, `name`, a number `n`, a structure `oidc`, and
    /// these patches.
    fn class(patches: &Value) -> Value {
        let variable =
            |name: &str, schema: Value| json!({"name": name, "schema": {"openAPIV3Schema": schema}});
        let text = json!({"type": "string"});
        json!({"metadata": {"name": "c"}, "spec": {"patches": patches, "variables": [
            variable("lb", json!({"type": "string", "default": "amphora", "description": "One of ovn, amphora, yawol or none."})),
            variable("choice", json!({"type": "string", "default": "a", "enum": ["a", "b", "c"]})),
            variable("id", text.clone()), variable("name", text.clone()), variable("unseen", text.clone()),
            variable("n", json!({"type": "integer"})),
            variable("list", json!({"type": "array", "items": text.clone()})),
            variable("oidc", json!({"type": "object", "properties": {
                "id": text, "url": text, "claim": {"type": "string", "default": "sub"}, "spare": text}})),
        ]}})
    }

    fn on(name: &str, enabled_if: &str) -> Value {
        json!({"name": name, "enabledIf": enabled_if, "definitions": [{"jsonPatches": [{"op": "add", "path": "/x", "value": name}]}]})
    }

    fn set(name: &str, enabled_if: &str, from: Value) -> Value {
        json!({"name": name, "enabledIf": enabled_if, "definitions": [{"jsonPatches": [{"op": "add", "path": "/x", "valueFrom": from}]}]})
    }

    fn patches() -> Value {
        json!([
            on("ovn", r#"{{ if eq .lb "ovn" }}true{{ end }}"#),
            on("amphora", r#"{{ eq .lb "amphora" }}"#),
            set("yawol", r#"{{ eq .lb "yawol" }}"#, json!({"template": "flavor: {{ .id }}"})),
            set("name", r#"{{ if .name }}true{{ end }}"#, json!({"variable": "name"})),
            set(
                "oidc",
                "{{ if and .oidc .oidc.id .oidc.url }}true{{ end }}",
                json!({"template": "{{ .oidc.id }} {{ .oidc.url }} {{ .oidc.claim }}"})
            ),
            on("choice", r#"{{ eq .choice "b" }}"#),
            set("list", "", json!({"template": "{{ range .list }}{{ . }}{{ end }}"})),
            set("n", "{{ if .n }}true{{ end }}", json!({"variable": "n"})),
        ])
    }

    fn values(values: &Value) -> BTreeMap<String, Value> {
        values.as_object().unwrap().clone().into_iter().collect()
    }

    fn messages(patches: &Value, v: &Value) -> Vec<String> {
        problems(&class(patches), &[], &values(v))
            .into_iter()
            .map(|p| format!("{}{}", p.message, p.hint.map(|h| format!("; {h}")).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn values_that_have_an_effect() {
        for v in [
            json!({"lb": "ovn"}),
            json!({"lb": "amphora"}),
            json!({"lb": "yawol", "id": "x"}),
            json!({"name": "anything"}),
            json!({"oidc": {"id": "i", "url": "u"}}),
            json!({"oidc": {"id": "i", "url": "u", "claim": "sub"}}),
            json!({"oidc": {"id": "i", "url": "u", "claim": "email"}}),
            json!({"choice": "b"}),
            json!({"lb": "none"}),
            json!({"list": []}),
            json!({"n": 0}),
            json!({"lb": ""}),
            json!({"n": 3}),
            json!({"list": ["x"]}),
        ] {
            assert_eq!(messages(&patches(), &v), Vec::<String>::new(), "{v}");
        }
        let by = |v: Value, name: &str| effect(&class(&patches()), &[], &values(&v), name);
        assert_eq!(by(json!({"lb": "amphora"}), "lb"), Some(Effect::Default));
        assert_eq!(
            by(json!({"lb": "ovn"}), "lb"),
            Some(Effect::Effective { by: vec!["ovn".into(), "amphora".into()] })
        );
        assert_eq!(by(json!({"lb": "ovn"}), "id"), None);
        assert_eq!(by(json!({"other": 1}), "other"), None);
    }

    #[test]
    fn values_that_have_none() {
        for (v, message) in [
            (
                json!({"unseen": "x"}),
                "the value `x` of `unseen` changes nothing in ClusterClass c: no patch looks at it",
            ),
            (
                json!({"lb": "onv"}),
                "the value `onv` of `lb` changes nothing in ClusterClass c: no patch tells it from any \
              other text; did you mean `ovn`? values that are told apart: `amphora`, `ovn`, `yawol`",
            ),
            (
                json!({"lb": "ovn", "id": "x"}),
                "the value `x` of `id` changes nothing in ClusterClass c: what looks at it \
              is off with the other variables of this combination: yawol",
            ),
            (
                json!({"oidc": {"id": "i"}}),
                "the value {\"claim\":\"sub\",\"id\":\"i\"} of `oidc` changes nothing in \
              ClusterClass c: what looks at it is off with the other variables of this combination: oidc",
            ),
            (
                json!({"oidc": {"id": "i", "url": "u", "spare": "s"}}),
                "the value `s` of `oidc.spare` changes nothing in ClusterClass c: everything comes out as without it",
            ),
            (
                json!({"choice": "c"}),
                "the value `c` of `choice` changes nothing in ClusterClass c: no patch tells it from \
              the default `a`; values that are told apart: `b`",
            ),
        ] {
            assert_eq!(messages(&patches(), &v), [message], "{v}");
        }
    }

    #[test]
    fn a_value_like_the_default_in_all_but_name() {
        let patches = json!([on("ovn", r#"{{ eq .lb "ovn" }}"#), on("none", r#"{{ eq .lb "none" }}"#)]);
        assert_eq!(
            messages(&patches, &json!({"lb": "onv"})),
            [
                "the value `onv` of `lb` changes nothing in ClusterClass c: no patch tells it from the default `amphora`; \
              did you mean `ovn`? values that are told apart: `none`, `ovn`"
            ]
        );
    }

    #[test]
    fn unknown_is_not_silent() {
        for (patch, why) in [
            (
                on("p", r#"{{ semverCompare ">1.30" .lb }}"#),
                "p: the function `semverCompare` is not understood",
            ),
            (
                on("p", r#"{{ if eq .builtin.controlPlane.version "v1" }}{{ .lb }}{{ end }}"#),
                "`.builtin.controlPlane.version`",
            ),
            (
                json!({"name": "p", "external": {"generatePatchesExtension": "x"}}),
                "p: a runtime extension decides",
            ),
            (on("p", "{{ block \"lb\" . }}{{ end }}"), "`block` is not understood"),
        ] {
            let problems = problems(&class(&json!([patch])), &[], &values(&json!({"lb": "x"})));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].severity, Severity::Warning);
            assert!(problems[0].message.contains(why), "{}", problems[0].message);
        }
        // An unknown patch that does not look at the variable says nothing about it.
        let patches = json!([on("p", "{{ nosuch .id }}"), on("ovn", r#"{{ eq .lb "ovn" }}"#)]);
        assert_eq!(messages(&patches, &json!({"lb": "ovn"})), Vec::<String>::new());
    }

    #[test]
    fn patches_that_select_nothing_have_no_effect() {
        let mut patch = set("p", "", json!({"variable": "name"}));
        let select = |worker: &str| {
            json!({"apiVersion": "g/v1", "kind": "M",
                "matchResources": {"machineDeploymentClass": {"names": [worker]}}})
        };
        let messages = |patch: &Value| -> Vec<String> {
            let mut class = class(&json!([patch]));
            class["spec"]["workers"]["machineDeployments"] = json!([{"class": "default-worker", "template":
                {"infrastructure": {"ref": {"apiVersion": "g/v1", "kind": "M", "name": "w"}}}}]);
            let found = problems(&class, &[], &values(&json!({"name": "x"})));
            found.into_iter().map(|p| p.message).collect()
        };
        patch["definitions"][0]["selector"] = select("default-worker");
        assert_eq!(messages(&patch), Vec::<String>::new());
        patch["definitions"][0]["selector"] = select("worker");
        let why = "the value `x` of `name` changes nothing in ClusterClass c: what looks at it selects no template of the class: p";
        assert_eq!(messages(&patch), [why]);
        // One definition that selects something is enough, and what it reads alone counts.
        let mut other = patch["definitions"][0].clone();
        other["selector"] = select("default-*");
        other["jsonPatches"][0]["valueFrom"] = json!({"variable": "id"});
        patch["definitions"].as_array_mut().unwrap().push(other);
        assert!(messages(&patch)[0].contains("variable \"id\" does not exist"));
    }

    #[test]
    fn patches_that_fail_are_told() {
        let patches =
            json!([set("p", r#"{{ eq .lb "ovn" }}"#, json!({"variable": "id"})), on("q", "{{ eq .n 3 }}")]);
        assert_eq!(
            messages(&patches, &json!({"lb": "ovn", "n": 3})),
            [
                "p of ClusterClass c fails with these variables: variable \"id\" does not exist; it looks at lb, id",
                "q of ClusterClass c fails with these variables: incompatible types for comparison: float64 and int; it looks at n",
            ]
        );
    }

    #[test]
    fn add_ons_look_at_variables_too() {
        let template = r#"
            {{- range .Cluster.spec.topology.variables }}{{ if eq .name "unseen" }}
            {{- if or (eq .value "none") (eq .value "yawol") }}enabled: false{{ else if eq .value "ovn" }}ovn{{ end }}
            {{- end }}{{ end }} {{ printf "https://%s:%d" $.Cluster.spec.controlPlaneEndpoint.host $.Cluster.spec.controlPlaneEndpoint.port }}"#;
        let addons =
            [AddonValues { stage: "a".into(), file: "values.yaml".into(), template: template.into() }];
        let effect =
            |value: &str| effect(&class(&json!([])), &addons, &values(&json!({"unseen": value})), "unseen");
        assert_eq!(effect("ovn"), Some(Effect::Effective { by: vec!["values.yaml".into()] }));
        let Some(Effect::Ineffective { literals, .. }) = effect("onv") else { panic!("{:?}", effect("onv")) };
        assert_eq!(literals, ["none", "ovn", "yawol"]);
    }
}
