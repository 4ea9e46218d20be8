//! Values inside a template: Go's types as far as a template can tell them apart.

use serde_json::Value;
use std::collections::BTreeMap;

/// A value in a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    /// Absent, or nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer: only literals and results of functions, see [`Val::from_json`].
    Int(i64),
    /// A number of the data.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    List(Vec<Val>),
    /// A map.
    Map(BTreeMap<String, Val>),
    /// Something that exists but is not known here, with the path that leads to it.
    Opaque(String),
}

impl Val {
    /// Data as Go decodes it: every number becomes a float.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            Value::String(s) => Self::Str(s.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => {
                Self::Map(map.iter().map(|(k, v)| (k.clone(), Self::from_json(v))).collect())
            }
        }
    }

    /// Back to JSON; `None` when some part is not known.
    #[must_use]
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Nil => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::from(*i),
            #[allow(clippy::cast_possible_truncation)]
            // The guard holds the range in which the cast is exact.
            Self::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Value::from(*f as i64),
            Self::Float(f) => Value::from(*f),
            Self::Str(s) => Value::String(s.clone()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Self::Map(map) => Value::Object(
                map.iter().map(|(k, v)| Some((k.clone(), v.to_json()?))).collect::<Option<_>>()?,
            ),
            Self::Opaque(_) => return None,
        })
    }

    /// Go's truth: everything but the zero values. `None` when it is not known.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        Some(match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Opaque(_) => return None,
        })
    }

    /// The name of the type in messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Opaque(_) => "unknown",
        }
    }

    /// As `{{ . }}` writes it at the top (`<no value>`) and inside lists (`<nil>`).
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::Nil => "<no value>".into(),
            other => other.show_inner(),
        }
    }

    fn show_inner(&self) -> String {
        match self {
            Self::Nil => "<nil>".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => show_float(*f),
            Self::Str(s) => s.clone(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::show_inner).collect::<Vec<_>>().join(" "))
            }
            Self::Map(map) => {
                let entries = map.iter().map(|(k, v)| format!("{k}:{}", v.show_inner()));
                format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
            }
            // Visible in results, and never equal to what someone would write.
            Self::Opaque(path) => format!("\u{27e8}{path}\u{27e9}"),
        }
    }
}

/// Go's `%v`: the shortest text, with an exponent below 1e-4 and from 1e21 on.
fn show_float(f: f64) -> String {
    let magnitude = f.abs();
    if f == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return f.to_string();
    }
    let text = format!("{f:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}
