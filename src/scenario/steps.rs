//! What is done to a cluster: `checks`, `changes`, and the `timeouts` of all that.

use super::decode::{Decoder, Fields};
use super::document::keys;
use super::marks::refusal;
use super::problem::{name_hint, one_of, quote};
use super::tree::{Kind, Node};
use super::{Change, MAX_WORKERS, Pattern, Positions, StackSelector, Timeouts};
use crate::types::{CheckName, parse_duration};
use std::time::Duration;

const MAX_CHECKS: usize = 256;
const MAX_CHANGES: usize = 32;

/// Changes, and what the refusals of some of them must say.
type Changes = (Vec<Change>, Vec<(Change, Pattern)>);

impl Decoder<'_> {
    /// Names of checks and groups that exist.
    pub(super) fn checks(&mut self, node: &Node, what: &str) -> Option<Vec<CheckName>> {
        let known = self.known.check_names();
        let items = self.list(node, what, MAX_CHECKS, "write `[name, name]`")?;
        let mut checks: Vec<CheckName> = Vec::new();
        let mut complete = true;
        for item in items {
            let text = self.string(item, "the name of a check");
            let found = text.and_then(|text| known.clone().find(|name| *name == text));
            match (text, found.map(CheckName::new)) {
                (Some(_), Some(Ok(name))) if checks.contains(&name) => {
                    self.problem(
                        item.span,
                        format!("the check `{name}` is given twice"),
                        "keep one of the two",
                    );
                }
                (Some(_), Some(Ok(name))) => checks.push(name),
                (Some(text), _) => {
                    complete = false;
                    let message = format!("there is no check or group {}", quote(text));
                    self.problem(item.span, message, name_hint(text, known.clone()));
                }
                (None, _) => complete = false,
            }
        }
        complete.then_some(checks)
    }

    /// The changes, and what the refusals of some of them must say.
    pub(super) fn changes(&mut self, spec: &Fields<'_>, positions: &mut Positions) -> Option<Changes> {
        let Some(node) = spec.get("changes") else {
            return Some(Changes::default());
        };
        let hint = "write e.g. `[{scale: {workers: 3}}, {upgrade: next-minor}]`";
        let items = self.list(node, "`changes`", MAX_CHANGES, hint)?;
        positions.changes = items.iter().map(|item| item.span).collect();
        let (mut changes, mut refusals): Changes = Changes::default();
        let mut complete = true;
        for item in items {
            let change = self.change(item);
            match change.map(|(change, refusal)| {
                refusals.extend(refusal.map(|refusal| (change, refusal)));
                change
            }) {
                Some(change) if changes.contains(&change) => {
                    let message = format!("the change `{}` is given twice", change.name());
                    self.problem(item.span, message, "a change is made once; its results are named after it");
                }
                Some(change) => changes.push(change),
                None => complete = false,
            }
        }
        complete.then_some((changes, refusals))
    }

    /// Where changes go must be given, and what is given must be gone to.
    pub(super) fn goals(&mut self, stack: &StackSelector, changes: &[Change], positions: &Positions) {
        let goals = [
            ("next", "next-release", Change::UpgradeNextRelease, &stack.next, positions.next),
            ("other", "other-stack", Change::UpgradeOtherStack, &stack.other, positions.other),
        ];
        for (key, word, change, given, at) in goals {
            match (changes.iter().position(|c| *c == change), given) {
                (Some(number), None) => {
                    let span = positions.changes.get(number).copied().unwrap_or_default();
                    let message = format!("`upgrade: {word}` goes to `stack.{key}`, and there is none");
                    let hint = if key == "next" {
                        "write `next: {directory: path/to/stack}` beside `source`: the release that comes after it"
                    } else {
                        "write `other: {name: scs2, source: {directory: path/to/stack}}` beside `source`"
                    };
                    self.problem(span, message, hint);
                }
                (None, Some(_)) => {
                    let message = format!("`stack.{key}` is given, and no change goes there");
                    self.problem(at, message, format!("write `{{upgrade: {word}}}` among `changes`"));
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    fn change(&mut self, item: &Node) -> Option<(Change, Option<Pattern>)> {
        let hint = "write `{scale: {workers: 3}}`, `{scale: {controlPlanes: 3}}` or `{upgrade: next-minor}`";
        let fields = self.map(item, item.span, "a change", keys::CHANGE)?;
        let change = self.goal(item, &fields, hint)?;
        let refusal = match (change.must_be_refused(), fields.entry("refusal")) {
            (true, Some(entry)) => Some(refusal(self, &entry.value)?),
            (true, None) => {
                let message =
                    format!("`{}` must be refused, and nothing says with which words", change.name());
                self.problem(
                    item.span,
                    message,
                    "write `refusal: REGEX`, which the message of the refusal matches",
                );
                return None;
            }
            (false, Some(entry)) => {
                let message =
                    format!("`refusal` is for changes that must be refused, and `{}` is none", change.name());
                let refused = Change::UPGRADES.into_iter().filter(|(_, change)| change.must_be_refused());
                let hint = format!("such changes are upgrades to {}", one_of(refused.map(|(word, _)| word)));
                self.problem(entry.key_span, message, hint);
                return None;
            }
            (false, None) => None,
        };
        Some((change, refusal))
    }

    fn goal(&mut self, item: &Node, change: &Fields<'_>, hint: &str) -> Option<Change> {
        match (change.entry("scale"), change.get("upgrade")) {
            (Some(scale), None) => {
                let what = self.map(&scale.value, scale.key_span, "`scale`", keys::SCALE)?;
                match (what.get("workers"), what.get("controlPlanes")) {
                    (Some(n), None) => self.integer(n, "`workers`", 0, MAX_WORKERS).map(Change::ScaleWorkers),
                    (None, Some(n)) => {
                        self.control_planes(n, "`controlPlanes`").map(Change::ScaleControlPlanes)
                    }
                    _ => {
                        let message = "`scale` changes one thing: `workers` or `controlPlanes`";
                        self.problem(scale.key_span, message, "write two changes to do one after the other");
                        None
                    }
                }
            }
            (None, Some(to)) => {
                let text = self.string(to, "`upgrade`")?;
                let found = Change::UPGRADES.into_iter().find(|(word, _)| *word == text);
                if found.is_none() {
                    let words = Change::UPGRADES.map(|(word, _)| word);
                    let message = format!("no upgrade goes to {}", quote(text));
                    self.problem(to.span, message, name_hint(text, words));
                }
                found.map(|(_, change)| change)
            }
            // The unknown key says it all.
            (None, None) if change.has_unknown() => None,
            _ => {
                self.problem(item.span, "a change is either a `scale` or an `upgrade`", hint);
                None
            }
        }
    }

    pub(super) fn timeouts(&mut self, spec: &Fields<'_>) -> Option<Timeouts> {
        let mut timeouts = Timeouts::default();
        let Some(entry) = spec.entry("timeouts") else {
            return Some(timeouts);
        };
        let fields = self.map(&entry.value, entry.key_span, "`timeouts`", keys::TIMEOUTS)?;
        let slots: [(&str, &mut Duration); 4] = [
            ("provision", &mut timeouts.provision),
            ("check", &mut timeouts.check),
            ("change", &mut timeouts.change),
            ("delete", &mut timeouts.delete),
        ];
        let mut complete = true;
        for (key, slot) in slots {
            if let Some(node) = fields.get(key) {
                match self.duration(node, key) {
                    Some(duration) => *slot = duration,
                    None => complete = false,
                }
            }
        }
        complete.then_some(timeouts)
    }

    pub(super) fn duration(&mut self, node: &Node, key: &str) -> Option<Duration> {
        let hint = "write `90s`, `20m` or `1h30m`; more than zero, at most 7 days (`168h`)";
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong(node, &format!("`{key}`"), "a duration", hint);
            return None;
        };
        let text = scalar.text.as_str();
        let duration = parse_duration(text).ok();
        if duration.is_none() {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                let message = format!("the duration {} has no unit", quote(text));
                let shown = if text.len() < 6 { text } else { "20" };
                self.problem(
                    node.span,
                    message,
                    format!("write `{shown}s` for seconds, `{shown}m` for minutes"),
                );
            } else {
                self.wrong(node, &format!("`{key}`"), "a duration", hint);
            }
        }
        duration
    }
}
