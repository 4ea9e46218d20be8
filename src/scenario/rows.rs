//! Rows over the switches: what to leave out, what always runs, what is known to fail.

use super::decode::Decoder;
use super::document::keys;
use super::problem::{Problem, Span, all_of, name_hint, quote};
use super::switches::{CONTROL_PLANES, Table, WORKERS};
use super::tree::{Entry, Kind, Node};
use super::{Exclusion, Expectation, Positions, Switch, When, boxes, expr};
use crate::types::{SwitchName, SwitchValues, ValueName};
use std::collections::BTreeMap;

const MAX_EXCLUDE: usize = 64;
const MAX_INCLUDE: usize = 1000;
const MAX_EXPECT: usize = 256;
const EXCLUDE_HINT: &str = "write `- when: {switch: value}` and below it `because: the reason`";
const INCLUDE_HINT: &str =
    "write a value for every switch, e.g. `- {kubernetes: \"1.34\", controlPlanes: 3}`";
const EXPECT_HINT: &str = "write `- {check: name, verdict: failed, because: the reason, until: 2027-06-30}`";

pub(super) fn exclude(d: &mut Decoder<'_>, node: &Node, table: &Table) -> Option<Vec<Exclusion>> {
    let items = d.list(node, "`exclude`", MAX_EXCLUDE, EXCLUDE_HINT)?;
    let mut exclusions = Vec::new();
    let mut complete = true;
    for item in items {
        let before = d.problems.len();
        match exclusion(d, item, table) {
            Some(exclusion) if d.problems.len() == before => exclusions.push(exclusion),
            _ => complete = false,
        }
    }
    complete.then_some(exclusions)
}

fn exclusion(d: &mut Decoder<'_>, item: &Node, table: &Table) -> Option<Exclusion> {
    let fields = d.map(item, item.span, "an entry of `exclude`", keys::EXCLUDE)?;
    let because = d
        .required(
            &fields,
            "because",
            "the entry of `exclude`",
            "say why, so that somebody can remove it one day",
        )
        .and_then(|node| d.reason(node, "`because`"));
    let node = d.required(&fields, "when", "the entry of `exclude`", EXCLUDE_HINT)?;
    let when = match &node.kind {
        Kind::Scalar(scalar) if !scalar.missing => When::Expression(d.expression(node, scalar, table)?),
        Kind::Map(_) => When::Values(d.values(node, "`when`", table)?),
        _ => {
            d.wrong(node, "`when`", "a mapping of switches or an expression", EXCLUDE_HINT);
            return None;
        }
    };
    Some(Exclusion { when, because: because?, position: node.span })
}

pub(super) fn include(
    d: &mut Decoder<'_>,
    node: &Node,
    table: &Table,
    positions: &mut Vec<Span>,
) -> Option<Vec<SwitchValues>> {
    let items = d.list(node, "`include`", MAX_INCLUDE, INCLUDE_HINT)?;
    let mut rows: Vec<SwitchValues> = Vec::new();
    let mut complete = true;
    for item in items {
        let before = d.problems.len();
        let row = d.row(item, table);
        let Some(row) = row.filter(|_| d.problems.len() == before) else {
            complete = false;
            continue;
        };
        if let Some(first) = rows.iter().position(|r| *r == row) {
            let problem = Problem::at(&d.source, item.span, "the row stands in `include` twice")
                .hint("keep one of the two")
                .related(&d.source, positions[first], "first given here");
            d.push(problem);
            complete = false;
            continue;
        }
        rows.push(row);
        positions.push(item.span);
    }
    complete.then_some(rows)
}

pub(super) fn expect(d: &mut Decoder<'_>, node: &Node, table: &Table) -> Option<Vec<Expectation>> {
    let items = d.list(node, "`expect`", MAX_EXPECT, EXPECT_HINT)?;
    let mut expectations = Vec::new();
    let mut complete = true;
    for item in items {
        match expectation(d, item, table) {
            Some(expectation) => expectations.push(expectation),
            None => complete = false,
        }
    }
    complete.then_some(expectations)
}

fn expectation(d: &mut Decoder<'_>, item: &Node, table: &Table) -> Option<Expectation> {
    let what = "the entry of `expect`";
    let fields = d.map(item, item.span, "an entry of `expect`", keys::EXPECT)?;
    let node = d.required(&fields, "check", what, EXPECT_HINT);
    let position = node.map_or(item.span, |node| node.span);
    let check = node.and_then(|node| d.check_pattern(node));
    let verdict = d.required(&fields, "verdict", what, "write `verdict: failed`").and_then(|node| {
        let text = d.string(node, "`verdict`")?;
        if text != "failed" {
            let message = format!("only `failed` can be expected, not {}", quote(text));
            d.problem(node.span, message, "remove the check if its result does not matter");
            return None;
        }
        Some(())
    });
    let when = fields.get("when").map_or(Some(BTreeMap::new()), |node| d.values(node, "`when`", table));
    let because = d
        .required(&fields, "because", what, "say why, with a link to the issue")
        .and_then(|node| d.reason(node, "`because`"));
    let hint = "write a day such as `until: 2027-06-30`; from then on the failure counts again";
    let until = d.required(&fields, "until", what, hint).and_then(|node| {
        // Read as it stands: `20270630` is a number, but above all it is no day.
        let text = match &node.kind {
            Kind::Scalar(scalar) if !scalar.missing => scalar.text.as_str(),
            _ => d.string(node, "`until`")?,
        };
        let strict = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = text.parse::<jiff::civil::Date>().ok().filter(|_| strict);
        if date.is_none() {
            d.problem(node.span, format!("{} is not a day of the calendar", quote(text)), hint);
        }
        date
    });
    verdict?;
    Some(Expectation { check: check?, when: when?, because: because?, until: until?, position })
}

/// What contradicts itself once everything is known: exclusions without effect, rows that must run and must not.
/// Whether anything is left to run is for the constraint solver of the matrix to say.
pub(super) fn contradictions(
    d: &mut Decoder<'_>,
    table: &Table,
    exclude: &[Exclusion],
    include: &[SwitchValues],
    positions: &Positions,
) {
    for exclusion in exclude {
        match boxes(&exclusion.when, &table.switches) {
            Some(found) if !found.is_empty() => {}
            Some(_) => {
                let message = "no combination is excluded by this";
                d.problem(exclusion.position, message, "correct the condition, or remove the entry");
            }
            None => {
                let message = "the condition is too complex: it falls apart into too many cases";
                d.problem(exclusion.position, message, "write several entries of `exclude`");
            }
        }
    }
    for (row, span) in include.iter().zip(&positions.include) {
        let value_of =
            |name: &SwitchName| row.iter().find(|(switch, _)| switch == name).map(|(_, value)| value);
        if let Some(exclusion) = exclude.iter().find(|e| e.when.holds(&value_of)) {
            let problem = Problem::at(&d.source, *span, "the row is included and excluded at the same time")
                .hint("remove the row, or narrow the condition")
                .related(&d.source, exclusion.position, "excluded here");
            d.push(problem);
        }
        let values: Vec<_> = row
            .iter()
            .filter_map(|(switch, value)| {
                let switch = table.get(switch.as_str())?;
                Some((switch, switch.values.iter().find(|v| v.name == *value)?))
            })
            .collect();
        for (switch, value) in &values {
            let Some(requires) = &value.requires else { continue };
            let meets = |(name, wanted): (&SwitchName, &Vec<ValueName>)| {
                value_of(name).is_some_and(|value| wanted.contains(value))
            };
            if !requires.values.iter().all(meets) {
                let message =
                    format!("the row has {}={} without what that requires", switch.name, value.name);
                let problem = Problem::at(&d.source, *span, message)
                    .hint("change the row, or the requirement")
                    .related(&d.source, requires.position, "required here");
                d.push(problem);
            }
        }
        let invalid: Vec<String> = values
            .iter()
            .filter(|(_, value)| value.refusal.is_some())
            .map(|(switch, value)| format!("{}={}", switch.name, value.name))
            .collect();
        if invalid.len() > 1 {
            let message = format!("the row has more than one invalid value: {}", invalid.join(", "));
            d.problem(*span, message, "one at most: nobody could tell which of them was refused");
        }
    }
}

impl Decoder<'_> {
    /// Switches, each with one or several of their values.
    pub(super) fn values(
        &mut self,
        node: &Node,
        what: &str,
        table: &Table,
    ) -> Option<BTreeMap<SwitchName, Vec<ValueName>>> {
        let entries = self.free_map(node, what, "write `{switch: value}` or `{switch: [value, value]}`")?;
        if entries.is_empty() {
            let message = format!("{what} is empty and would hold always");
            self.problem(node.span, message, "name a switch and its value");
            return None;
        }
        let mut when = BTreeMap::new();
        let mut complete = true;
        for entry in entries {
            let Some(switch) = self.known_switch(entry, table) else {
                complete = false;
                continue;
            };
            let items = match &entry.value.kind {
                Kind::List(items) => items.as_slice(),
                _ => std::slice::from_ref(&entry.value),
            };
            if items.is_empty() {
                let message = format!("no value of `{}` is listed", switch.name);
                self.problem(entry.value.span, message, "list at least one");
            }
            let values: Vec<_> =
                items.iter().filter_map(|item| self.value_ref(item, switch, table)).collect();
            complete &= values.len() == items.len() && !items.is_empty();
            when.insert(switch.name.clone(), values);
        }
        complete.then_some(when)
    }

    /// A value for every switch, in the order of the switches.
    fn row(&mut self, node: &Node, table: &Table) -> Option<SwitchValues> {
        let entries = self.free_map(node, "a row of `include`", INCLUDE_HINT)?;
        let mut given: BTreeMap<SwitchName, ValueName> = BTreeMap::new();
        let mut complete = true;
        for entry in entries {
            let pair = self
                .known_switch(entry, table)
                .and_then(|switch| Some((switch.name.clone(), self.value_ref(&entry.value, switch, table)?)));
            complete &= pair.is_some();
            given.extend(pair);
        }
        if !complete || !table.is_complete() {
            return None;
        }
        let missing: Vec<&str> = table.names().filter(|n| !entries.iter().any(|e| e.key == **n)).collect();
        if !missing.is_empty() {
            let message = format!("the row gives no value for {}", all_of(missing));
            self.problem(node.span, message, "a row of `include` gives a value for every switch");
            return None;
        }
        table.switches.iter().map(|s| Some((s.name.clone(), given.remove(&s.name)?))).collect()
    }

    pub(super) fn known_switch<'t>(&mut self, entry: &Entry, table: &'t Table) -> Option<&'t Switch> {
        let switch = table.get(&entry.key);
        if switch.is_none() && table.is_known() && !table.broken.contains(&entry.key) && !table.too_many {
            let message = format!("there is no switch {}", quote(&entry.key));
            self.problem(entry.key_span, message, name_hint(&entry.key, table.names()));
        }
        switch
    }

    fn value_ref(&mut self, node: &Node, switch: &Switch, table: &Table) -> Option<ValueName> {
        let numeric = matches!(switch.name.as_str(), CONTROL_PLANES | WORKERS);
        let text = match &node.kind {
            Kind::Scalar(scalar) if numeric && !scalar.missing => scalar.text.as_str(),
            _ => self.string(node, &format!("a value of `{}`", switch.name))?,
        };
        let value = switch.values.iter().find(|v| v.name.as_str() == text);
        if value.is_none() && !table.broken.contains(switch.name.as_str()) {
            let message = format!("`{}` has no value {}", switch.name, quote(text));
            let names = switch.values.iter().map(|v| v.name.as_str());
            self.problem(node.span, message, name_hint(text, names));
        }
        value.map(|v| v.name.clone())
    }

    fn check_pattern(&mut self, node: &Node) -> Option<regex::Regex> {
        let text = self.string(node, "`check`")?;
        let anchored = format!("^(?:{text})$");
        let regex = regex::RegexBuilder::new(&anchored).size_limit(1 << 20).nest_limit(32).build();
        // Alone as well: an unmatched bracket must not pair with the ones around it.
        let alone = regex::RegexBuilder::new(text).size_limit(1 << 20).nest_limit(32).build();
        let (Ok(regex), Ok(_), true) = (regex, alone, text.len() <= 256) else {
            let message = format!("{} is not a regular expression that can be used", quote(text));
            self.problem(node.span, message, "write the name of a check, or a pattern such as `scs-.*`");
            return None;
        };
        if !self.known.checks.iter().any(|(name, _)| regex.is_match(name)) {
            let names = self.known.checks.iter().map(|(name, _)| *name);
            let message = format!("no check has a name that matches {} as a whole", quote(text));
            self.problem(node.span, message, name_hint(text, names));
            return None;
        }
        Some(regex)
    }

    fn expression(&mut self, node: &Node, scalar: &super::tree::Scalar, table: &Table) -> Option<expr::Expr> {
        let axes: Vec<expr::Axis<'_>> = table
            .switches
            .iter()
            .map(|s| expr::Axis::of(s, !table.broken.contains(s.name.as_str())))
            .collect();
        let missing: Vec<&str> =
            table.broken.iter().map(String::as_str).filter(|name| table.get(name).is_none()).collect();
        match expr::parse(&scalar.text, &axes, &missing) {
            Ok(expr) => expr,
            Err(problems) => {
                for problem in problems {
                    let span = self.inside(node, scalar, problem.offset, problem.length);
                    self.push(Problem::at(&self.source, span, problem.message).maybe_hint(problem.hint));
                }
                None
            }
        }
    }

    /// The place of some characters of a scalar, if it stands in the file as it is; else that of the scalar.
    fn inside(&self, node: &Node, scalar: &super::tree::Scalar, offset: usize, length: usize) -> Span {
        let line = self.source.line(node.span.line);
        let quoted = usize::from(!scalar.plain);
        let start = node.span.column - 1 + quoted;
        let stands_here = line.chars().skip(start).take(scalar.text.chars().count()).eq(scalar.text.chars());
        if stands_here { Span::new(node.span.line, start + offset + 1, length.max(1)) } else { node.span }
    }
}
