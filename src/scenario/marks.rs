//! What the covering array needs to know of values, and how strong it is to be.

use super::decode::{Decoder, Fields};
use super::document::keys;
use super::problem::{Problem, Span, quote};
use super::switches::Table;
use super::tree::{Entry, Kind, Node};
use super::{
    Cover, CoverGroup, MAX_COMBINATIONS, MAX_STRENGTH, MAX_WEIGHT, Pattern, Requirement, SwitchValue,
};

pub(super) const COVER_HINT: &str = "write `cover: all` or `cover: {strength: 2}`";
const GROUP_HINT: &str = "write `- {of: [kubernetes, cni, loadBalancer], strength: 3}`";
const REFUSAL_HINT: &str = "write a pattern for a part of the message, e.g. `refusal: unsupported value`";
const MAX_GROUPS: usize = 16;

/// `cover` as a mapping.
pub(super) fn cover(d: &mut Decoder<'_>, node: &Node, span: Span, table: &Table) -> Option<Cover> {
    let fields = d.map(node, span, "`cover`", keys::COVER)?;
    let at = d.required(&fields, "strength", "`cover`", COVER_HINT)?;
    let strength = strength(d, at, table.switches.len(), table.is_complete())?;
    let groups = match fields.get("groups") {
        Some(node) => groups(d, node, strength, table)?,
        None => Vec::new(),
    };
    Some(Cover::Tuples { strength, groups })
}

fn strength(d: &mut Decoder<'_>, node: &Node, switches: usize, known: bool) -> Option<u8> {
    let strength = d.integer(node, "`strength`", 1, u32::from(MAX_STRENGTH))?;
    if known && strength as usize > switches {
        let message = format!("a strength of {strength} needs as many switches; there are {switches}");
        d.problem(node.span, message, "write `cover: all` for the full product");
        return None;
    }
    u8::try_from(strength).ok()
}

fn groups(d: &mut Decoder<'_>, node: &Node, base: u8, table: &Table) -> Option<Vec<CoverGroup>> {
    let items = d.list(node, "`groups`", MAX_GROUPS, GROUP_HINT)?;
    let before = d.problems.len();
    let mut groups: Vec<CoverGroup> = Vec::new();
    for item in items {
        let what = "a group of `cover`";
        let Some(fields) = d.map(item, item.span, what, keys::GROUP) else { continue };
        let of = d.required(&fields, "of", what, GROUP_HINT);
        let at = d.required(&fields, "strength", what, GROUP_HINT);
        let (Some(of), Some(at)) = (of, at) else { continue };
        let Some(names) = d.list(of, "`of`", super::MAX_SWITCHES, GROUP_HINT) else { continue };
        let mut switches = Vec::new();
        for name in names {
            let Some(text) = d.string(name, "the name of a switch").map(str::to_owned) else { continue };
            let entry = Entry { key: text, key_span: name.span, value: name.clone() };
            let Some(switch) = d.known_switch(&entry, table) else { continue };
            if switches.contains(&switch.name) {
                let message = format!("`{}` stands in the group twice", switch.name);
                d.problem(name.span, message, "remove one of the two");
            } else {
                switches.push(switch.name.clone());
            }
        }
        let complete = switches.len() == names.len();
        let Some(strength) = strength(d, at, switches.len(), complete) else { continue };
        if strength <= base {
            let message = format!("the group asks for strength {strength}, all switches have {base} already");
            d.problem(at.span, message, "ask for more, or remove the group");
        }
        groups.push(CoverGroup { of: switches, strength });
    }
    (d.problems.len() == before).then_some(groups)
}

/// The full product of what is too much can only be refused; a covering array need not be.
pub(super) fn too_many(d: &mut Decoder<'_>, switches: &Entry, table: &Table, cover: &Cover) {
    let product = table.switches.iter().try_fold(1_usize, |n, s| n.checked_mul(s.values.len().max(1)));
    if *cover == Cover::All && product.is_none_or(|n| n > MAX_COMBINATIONS) {
        let count = product.map_or_else(|| "far too many".to_owned(), |n| n.to_string());
        d.problem(
            switches.key_span,
            format!("the switches span {count} combinations, {MAX_COMBINATIONS} are allowed"),
            "write `cover: {strength: 2}` for every pair of values, or remove values",
        );
    }
}

/// Reads what a value says about itself into `value`.
pub(super) fn marks(d: &mut Decoder<'_>, fields: &Fields<'_>, value: &mut SwitchValue) {
    if let Some(node) = fields.get("weight") {
        value.weight = d.integer(node, "`weight`", 1, MAX_WEIGHT).unwrap_or(1);
    }
    value.default = fields.get("default").is_some_and(|node| yes(d, node, "`default`"));
    let invalid = fields.get("invalid").is_some_and(|node| yes(d, node, "`invalid`"));
    value.refusal = fields.get("refusal").and_then(|node| refusal(d, node));
    let name = quote(value.name.as_str());
    match (fields.entry("refusal"), fields.entry("invalid")) {
        (Some(entry), None) => {
            let message = format!("the value {name} has a `refusal` and is not `invalid`");
            d.problem(entry.key_span, message, "write `invalid: true`, or remove it");
        }
        (None, Some(entry)) if invalid => {
            let message = format!("the value {name} is `invalid`, but nothing says how it is refused");
            d.problem(entry.key_span, message, REFUSAL_HINT);
        }
        _ => {}
    }
    if let Some(entry) = fields.entry("default").filter(|_| value.default && invalid) {
        let message = format!("the value {name} is `invalid` and the `default`");
        d.problem(
            entry.key_span,
            message,
            "a cluster cannot have been what is refused; remove one of the two",
        );
    }
}

/// `true`; a mark that is `false` might as well not be there.
fn yes(d: &mut Decoder<'_>, node: &Node, what: &str) -> bool {
    let yes = matches!(&node.kind, Kind::Scalar(scalar) if scalar.plain && scalar.text == "true");
    if !yes {
        d.wrong(
            node,
            what,
            "`true`",
            format!("write {what}: true without quotes, or remove it").replace('`', ""),
        );
    }
    yes
}

/// What the message of a refusal must match.
pub(super) fn refusal(d: &mut Decoder<'_>, node: &Node) -> Option<Pattern> {
    let text = d.string(node, "`refusal`")?;
    let regex = regex::RegexBuilder::new(text).size_limit(1 << 20).nest_limit(32).build();
    match regex {
        Ok(regex) if !regex.is_match("") && text.len() <= 256 => Some(Pattern(regex)),
        Ok(_) if text.len() <= 256 => {
            let message = format!("{} matches every message", quote(text));
            d.problem(node.span, message, REFUSAL_HINT);
            None
        }
        _ => {
            let message = format!("{} is not a regular expression that can be used", quote(text));
            d.problem(node.span, message, REFUSAL_HINT);
            None
        }
    }
}

/// A value that stands as a mapping where a scalar would do: its name and what it says about itself.
pub(super) fn marked<'n>(d: &mut Decoder<'_>, item: &'n Node, what: &str) -> Option<(Fields<'n>, &'n Node)> {
    let fields = d.map(item, item.span, what, keys::MARKED)?;
    let name = d.required(&fields, "name", what, "write e.g. `{name: \"1.34\", weight: 2}`")?;
    Some((fields, name))
}

/// The requirements of values: only now all switches are known that they may speak of.
pub(super) fn requirements(d: &mut Decoder<'_>, switches: &[Entry], table: &mut Table) {
    let mut found = Vec::new();
    for (s, switch) in table.switches.iter().enumerate() {
        let Some(Kind::List(items)) =
            switches.iter().find(|entry| entry.key == switch.name.as_str()).map(|entry| &entry.value.kind)
        else {
            continue;
        };
        for item in items {
            let Some(requires) = child(item, "requires") else { continue };
            let Some(wanted) = child(&requires.value, "switches") else { continue };
            let because =
                child(&requires.value, "because").and_then(|entry| d.reason(&entry.value, "`because`"));
            let Some(values) = d.values(&wanted.value, "`switches`", table) else { continue };
            if values.contains_key(&switch.name) {
                let message =
                    format!("a value of `{}` requires values of `{}` itself", switch.name, switch.name);
                d.problem(wanted.value.span, message, "name other switches");
                continue;
            }
            // Whose value it is, is known by its place: names may be missing or doubled.
            let inside = |value: &SwitchValue| contains(item, value.position);
            if let Some(v) = switch.values.iter().position(inside) {
                found.push((s, v, Requirement { values, because, position: wanted.value.span }));
            }
        }
    }
    for (s, v, requirement) in found {
        table.switches[s].values[v].requires = Some(requirement);
    }
    for switch in &table.switches {
        let mut defaults = switch.values.iter().filter(|value| value.default);
        if let (Some(first), Some(second)) = (defaults.next(), defaults.next()) {
            let message = format!("two values of `{}` are the default", switch.name);
            let problem = Problem::at(&d.source, second.position, message)
                .hint("a cluster was only one of them before the switch existed")
                .related(&d.source, first.position, "the first");
            d.push(problem);
        }
        if !table.broken.contains(switch.name.as_str())
            && !switch.values.is_empty()
            && switch.values.iter().all(|value| value.refusal.is_some())
        {
            let message = format!("all values of `{}` are invalid", switch.name);
            d.problem(switch.values[0].position, message, "one value at least must work");
        }
    }
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// Whether the place is that of the mapping, or of something right below it.
fn contains(item: &Node, place: Span) -> bool {
    item.span == place || matches!(child(item, "name"), Some(name) if name.value.span == place)
}
