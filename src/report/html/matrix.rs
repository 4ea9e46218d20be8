//! The matrix by any two switches: a small table for each pair, the most telling one first. A value that is to blame
//! makes its column or row red.

use super::{Page, words};
use crate::results::RunReport;
use crate::results::suspects::{is_bad, switches};
use itertools::Itertools as _;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// More tables than this would not be looked at.
const MAX_TABLES: usize = 30;
/// Wider tables cannot be read.
const MAX_VALUES: usize = 40;

/// How many combinations are known, and how many of those are bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    bad: usize,
    known: usize,
    all: usize,
}

impl Share {
    fn add(&mut self, bad: Option<bool>) {
        self.all += 1;
        if let Some(bad) = bad {
            self.known += 1;
            self.bad += usize::from(bad);
        }
    }

    /// From none to all, in six steps.
    fn class(self) -> String {
        match (self.bad, self.known) {
            (_, 0) => "none".into(),
            (0, _) => "h0".into(),
            (bad, known) => format!("h{}", 1 + (4 * bad) / known.max(1)),
        }
    }

    fn words(self) -> Markup {
        html! {
            @match (self.bad, self.known, self.all) {
                (_, _, 0) => { span.visually-hidden { "not run" } span aria-hidden="true" { "·" } }
                (_, 0, all) => { "? " (all) }
                (0, known, _) => { "✓ " (known) }
                (bad, known, _) => { "✗ " (bad) "/" (known) }
            }
        }
    }
}

type Row<'a> = (Vec<(&'a str, &'a str)>, Option<bool>);

/// A switch with its values, in the order in which they occur.
struct Axis<'a> {
    switch: &'a str,
    values: Vec<&'a str>,
}

fn axes<'a>(rows: &[Row<'a>]) -> Vec<Axis<'a>> {
    let mut axes: Vec<Axis<'a>> = Vec::new();
    for (switch, value) in rows.iter().flat_map(|(values, _)| values) {
        match axes.iter_mut().find(|axis| axis.switch == *switch) {
            Some(axis) if axis.values.contains(value) => {}
            Some(axis) => axis.values.push(value),
            None => axes.push(Axis { switch, values: vec![value] }),
        }
    }
    axes
}

fn value<'a>(row: &Row<'a>, switch: &str) -> Option<&'a str> {
    row.0.iter().find(|(known, _)| *known == switch).map(|(_, value)| *value)
}

/// A table of two switches.
struct Table<'t, 'a> {
    one: &'t Axis<'a>,
    other: &'t Axis<'a>,
    cells: BTreeMap<(&'a str, &'a str), Share>,
    rows: BTreeMap<&'a str, Share>,
    columns: BTreeMap<&'a str, Share>,
}

impl<'t, 'a> Table<'t, 'a> {
    fn of(rows: &[Row<'a>], one: &'t Axis<'a>, other: &'t Axis<'a>) -> Self {
        let mut table =
            Self { one, other, cells: BTreeMap::new(), rows: BTreeMap::new(), columns: BTreeMap::new() };
        for row in rows {
            let (Some(a), Some(b)) = (value(row, one.switch), value(row, other.switch)) else { continue };
            table.cells.entry((a, b)).or_default().add(row.1);
            table.rows.entry(a).or_default().add(row.1);
            table.columns.entry(b).or_default().add(row.1);
        }
        table
    }

    /// How much the table tells: how far its cells are from the whole, in thousandths.
    fn signal(&self, overall: usize) -> usize {
        let telling = self.cells.values().filter(|share| share.known > 0);
        telling.map(|share| (share.bad * 1000 / share.known).abs_diff(overall) * share.known).sum()
    }

    fn markup(&self) -> Markup {
        let head = |share: Option<&Share>| {
            let share = share.copied().unwrap_or_default();
            html! { span class={ "total " (share.class()) } { (share.words()) } }
        };
        let name = |text: &str| words::line(text);
        let (one, other) = (name(self.one.switch), name(self.other.switch));
        words::scrolling(
            &format!("{one} by {other}"),
            html! {
                table.heat {
                    caption { (one) " by " (other) }
                    thead {
                        tr {
                            th scope="col" { (one) " ↓ " (other) " →" }
                            @for column in &self.other.values {
                                th scope="col" { (name(column)) " " (head(self.columns.get(column))) }
                            }
                        }
                    }
                    tbody {
                        @for row in &self.one.values {
                            tr {
                                th scope="row" { (name(row)) " " (head(self.rows.get(row))) }
                                @for column in &self.other.values {
                                    @let share = self.cells.get(&(*row, *column)).copied().unwrap_or_default();
                                    td class=(share.class()) { (share.words()) }
                                }
                            }
                        }
                    }
                }
            },
        )
    }
}

fn single(rows: &[Row<'_>], axis: &Axis<'_>) -> Markup {
    let share = |wanted: &str| {
        let mut share = Share::default();
        rows.iter().filter(|row| value(row, axis.switch) == Some(wanted)).for_each(|row| share.add(row.1));
        share
    };
    words::scrolling(
        &words::line(axis.switch),
        html! {
            table.heat {
                caption { (words::line(axis.switch)) }
                thead { tr { @for value in &axis.values { th scope="col" { (words::line(value)) } } } }
                tbody { tr { @for value in &axis.values { @let share = share(value); td class=(share.class()) { (share.words()) } } } }
            }
        },
    )
}

impl Page<'_> {
    pub(super) fn matrix(&self, report: &RunReport) -> Option<Markup> {
        let rows: Vec<Row<'_>> =
            report.units.iter().map(|unit| (switches(&unit.info), is_bad(unit))).collect();
        let axes = axes(&rows);
        // A switch with one value tells nothing; one with very many cannot be drawn.
        let drawn: Vec<&Axis<'_>> =
            axes.iter().filter(|axis| (2..=MAX_VALUES).contains(&axis.values.len())).collect();
        if rows.len() < 2 || drawn.is_empty() {
            return None;
        }
        let mut overall = Share::default();
        rows.iter().for_each(|row| overall.add(row.1));
        let overall = (overall.bad * 1000).checked_div(overall.known).unwrap_or_default();
        let mut tables: Vec<Table<'_, '_>> =
            drawn.iter().array_combinations().map(|[one, other]| Table::of(&rows, one, other)).collect();
        tables.sort_by_key(|table| std::cmp::Reverse(table.signal(overall)));
        let more = tables.len().saturating_sub(MAX_TABLES);
        Some(html! {
            p {
                "How many combinations failed, by any two switches: ✗ failed of known, ✓ all passed, ? not known, · none. "
                "Totals stand at the values; a value that is to blame is red from end to end."
            }
            @match (tables.split_first(), drawn.first()) {
                (Some((first, rest)), _) => {
                    (first.markup())
                    @if !rest.is_empty() {
                        details {
                            summary { (rest.len().min(MAX_TABLES - 1)) " more pairs of switches" }
                            div.tables { @for table in rest.iter().take(MAX_TABLES - 1) { (table.markup()) } }
                            @if more > 0 { p { (more) " pairs that tell less are left out." } }
                        }
                    }
                }
                (None, Some(only)) => (single(&rows, only)),
                (None, None) => {}
            }
        })
    }
}
