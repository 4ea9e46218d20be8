use super::*;
use crate::results::foreign::{Foreign, ForeignFile};
use crate::results::script::{self, Script};
use crate::results::timeline::Timeline;
use proptest::prelude::*;

/// A sample as a reader of the format sees it.
type Sample = (String, Vec<(String, String)>, f64);

/// The text format, read strictly: help and type before the samples of a metric, all samples of a metric together, no
/// sample twice, labels with nothing but the three escapes.
fn parse(text: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !known.contains(&name.to_owned()), "{name} is described twice");
            known.push(name.to_owned());
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{} gauge", known.last().unwrap()));
            continue;
        }
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        let (name, mut rest) = line.split_at(end);
        assert_eq!(known.last().map(String::as_str), Some(name), "samples of a metric stand together");
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(label.chars().all(|c| c.is_ascii_lowercase()), "{label}");
                let mut value = String::new();
                let mut chars = after.char_indices();
                let end = loop {
                    match chars.next().expect("a value ends") {
                        (at, '"') => break at,
                        (_, '\\') => match chars.next().expect("an escape ends").1 {
                            '\\' => value.push('\\'),
                            '"' => value.push('"'),
                            'n' => value.push('\n'),
                            other => panic!("\\{other} is no escape"),
                        },
                        (_, c) => value.push(c),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &after[end + 1..];
                match rest.as_bytes()[0] {
                    b',' => rest = &rest[1..],
                    b'}' => break,
                    other => panic!("{}", char::from(other)),
                }
            }
            rest = &rest[1..];
        }
        let value: f64 = rest.strip_prefix(' ').unwrap().parse().unwrap();
        let sample = (name.to_owned(), labels, value);
        assert!(!samples.iter().any(|(n, l, _)| (n, l) == (&sample.0, &sample.1)), "{line} is there twice");
        samples.push(sample);
    }
    samples
}

fn metrics(report: &RunReport, foreign: &Foreign) -> Vec<Sample> {
    let timeline = Timeline::default();
    let facts = Facts {
        report: Some(report),
        timeline: &timeline,
        foreign,
        history: None,
        again: &|_| String::new(),
        resume: "",
        sweep: "",
        files: None,
    };
    parse(&prometheus(&facts))
}

fn value(samples: &[Sample], name: &str, label: Option<(&str, &str)>) -> f64 {
    let fits = |(n, labels, _): &&Sample| {
        n == name && label.is_none_or(|(k, v)| labels.iter().any(|(key, value)| key == k && value == v))
    };
    samples.iter().find(fits).unwrap_or_else(|| panic!("no `{name}`")).2
}

#[test]
fn what_a_run_came_to_is_in_the_metrics() {
    let samples = metrics(&script::one_failure().report(), &Foreign::default());
    for (name, label, wanted) in [
        ("stack_e2e_exit_code", None, 1.0),
        ("stack_e2e_run_proven_clean", None, 1.0),
        ("stack_e2e_combinations", Some(("verdict", "failed")), 1.0),
        ("stack_e2e_combinations", Some(("verdict", "passed")), 1.0),
        ("stack_e2e_combination_good", Some(("id", "aaaaaaaa")), 0.0),
        ("stack_e2e_combination_good", Some(("id", "bbbbbbbb")), 1.0),
        ("stack_e2e_run_info", Some(("verdict", "failed")), 1.0),
        ("stack_e2e_case_duration_seconds", Some(("case", "provision")), 60.0),
    ] {
        assert!((value(&samples, name, label) - wanted).abs() < 1e-9, "{name} {label:?}");
    }
    let down = metrics(&script::all_probed(350).report(), &Foreign::default());
    let change = Some(("case", "change/scale-workers-3"));
    assert!((value(&down, "stack_e2e_change_downtime_seconds", change) - 0.35).abs() < 1e-9);
    assert!((value(&down, "stack_e2e_change_downtime_unknown", change) - 1.0).abs() < 1e-9);
    let unknown = metrics(&Script::new().clean_unknown("nobody looked").report(), &Foreign::default());
    assert!(value(&unknown, "stack_e2e_run_leftover_objects", None).is_nan(), "an unknown is not zero");
}

proptest! {
    #[test]
    fn any_text_is_a_label(texts in proptest::collection::vec("\\PC{0,20}|[\\x00-\\x20\\\\\"{},=#]{0,20}", 4)) {
        let mut report = script::one_failure().report();
        report.harness = texts[0].clone();
        report.units[0].info.name = texts[1].clone();
        report.units[0].info.scenario = texts[2].clone();
        report.units[0].cases[0].case.0 = texts[3].clone();
        let file = ForeignFile { name: texts[1].clone(), passed: 1, ..ForeignFile::default() };
        let samples = metrics(&report, &Foreign { files: vec![file], ..Foreign::default() });
        let name = one_line(&texts[1], MAX_LABEL);
        prop_assert!(samples.iter().any(|(_, labels, _)| labels.iter().any(|(_, value)| *value == name)));
    }
}
