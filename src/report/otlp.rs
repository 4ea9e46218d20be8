//! The results as OpenTelemetry traces: requests for `/v1/traces` in the JSON encoding of OTLP 1.x. The run is the root; below
//! it the combinations, below each its phases, in each its cases. Ids follow from the run's id alone, so that the same
//! results sent again are the same spans. Fields: opentelemetry-proto, `trace/v1/trace.proto`; ids in hexadecimal,
//! times as decimal text (OTLP specification, "JSON Protobuf Encoding").

use super::facts::Facts;
use crate::event::{Availability, Failure, Outcome, Seen};
use crate::results::timeline::{PhaseSpan, UnitSpan};
use crate::results::{AttemptReport, CaseReport, RunReport, UnitReport, Verdict};
use crate::types::one_line;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// So many spans go into one request: about half a megabyte.
const MAX_SPANS: usize = 1_000;
const MAX_TEXT: usize = 1_000;

/// `SPAN_KIND_INTERNAL`
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_span_id: String,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Value>,
    status: Value,
}

/// The requests' bodies, one after the other; none without a run.
#[must_use]
pub fn otlp(facts: &Facts<'_>) -> Vec<String> {
    let Some(report) = facts.report else { return Vec::new() };
    let mut spans =
        Spans { trace: id(&[report.run.as_str()], 16), run: report.run.as_str(), spans: Vec::new() };
    spans.of_run(report);
    let mut lives: HashMap<&str, Vec<&UnitSpan>> = HashMap::new();
    for life in &facts.timeline.units {
        lives.entry(life.id.as_str()).or_default().push(life);
    }
    for unit in &report.units {
        let lives = lives.get(unit.info.id.as_str()).map_or(&[][..], Vec::as_slice);
        spans.of_unit(unit, lives, report);
    }
    let resource = json!({"attributes": [
        text("service.name", "stack-e2e"),
        text("service.version", &report.harness),
        text("stack_e2e.run", report.run.as_str()),
    ]});
    let scope = json!({"name": "stack-e2e", "version": report.harness});
    let request = |spans: &[Span]| {
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
            .to_string()
    };
    spans.spans.chunks(MAX_SPANS).map(request).collect()
}

/// The first bytes of the hash of what a span is about: ids are to be unique, not secret. None is zero but with a chance
/// that nobody will live to see.
fn id(parts: &[&str], bytes: usize) -> String {
    let hash = Sha256::digest(parts.join("\n"));
    hash.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": one_line(value, MAX_TEXT)}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanoseconds(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}

/// An unknown is no success: only what is known to be good is `ok`, what was skipped says nothing.
fn status(verdict: Verdict, message: &str) -> Value {
    match verdict {
        Verdict::Passed | Verdict::Flaky => json!({"code": OK}),
        Verdict::Failed | Verdict::Errored => json!({"code": ERROR, "message": one_line(message, MAX_TEXT)}),
        Verdict::Skipped => json!({}),
    }
}

struct Spans<'a> {
    trace: String,
    run: &'a str,
    spans: Vec<Span>,
}

impl Spans<'_> {
    fn add(
        &mut self,
        (own, parent): (String, &str),
        name: &str,
        (from, to): (Timestamp, Timestamp),
        attributes: Vec<Value>,
        status: Value,
    ) {
        self.spans.push(Span {
            trace_id: self.trace.clone(),
            span_id: own,
            parent_span_id: parent.to_owned(),
            name: one_line(name, 200),
            kind: INTERNAL,
            start_time_unix_nano: nanoseconds(from),
            // A clock that was set back gives no span that ends before it began.
            end_time_unix_nano: nanoseconds(to.max(from)),
            attributes,
            status,
        });
    }

    fn of_run(&mut self, report: &RunReport) {
        let verdict = report.verdict();
        let attributes = vec![
            text("stack_e2e.verdict", verdict.as_str()),
            number("stack_e2e.exit_code", u64::from(report.exit_status().code())),
            number("stack_e2e.combinations", u64::try_from(report.units.len()).unwrap_or(u64::MAX)),
        ];
        let why = report.prepare_failure.as_ref().map_or("", |failure| failure.summary.as_str());
        // Good cases are not enough: what is not proven clean is no success.
        let status = match report.exit_status().code() {
            0 => status(verdict, why),
            code => json!({"code": ERROR, "message": one_line(&format!("exit code {code} {why}"), MAX_TEXT)}),
        };
        self.add((id(&[self.run], 8), ""), "run", (report.started, report.finished), attributes, status);
    }

    fn of_unit(&mut self, unit: &UnitReport, lives: &[&UnitSpan], report: &RunReport) {
        let Some(started) = unit.started else { return };
        let ended = unit.finished.unwrap_or(report.finished);
        let (run, own) = (self.run, unit.info.id.as_str());
        let mut attributes = vec![
            text("stack_e2e.combination", own),
            text("stack_e2e.scenario", &unit.info.scenario),
            text("stack_e2e.verdict", unit.verdict().as_str()),
        ];
        let switches = unit.info.properties.iter();
        attributes.extend(switches.map(|(key, value)| text(&format!("stack_e2e.property.{key}"), value)));
        let why =
            unit.cases.iter().find_map(CaseReport::failure).map_or("", |failure| failure.summary.as_str());
        let unit_id = id(&[run, own], 8);
        let parent = id(&[run], 8);
        let name = if unit.info.name.is_empty() { &unit.info.scenario } else { &unit.info.name };
        self.add((unit_id.clone(), &parent), name, (started, ended), attributes, status(unit.verdict(), why));
        let mut phases: Vec<(String, PhaseSpan)> = Vec::new();
        for (life, span) in lives.iter().enumerate() {
            for (index, phase) in span.phases.iter().enumerate() {
                let own = id(&[run, own, "phase", &life.to_string(), &index.to_string()], 8);
                let times = (phase.started, phase.finished);
                self.add((own.clone(), &unit_id), phase.phase.as_str(), times, Vec::new(), json!({}));
                phases.push((own, *phase));
            }
        }
        for case in &unit.cases {
            for (index, attempt) in case.attempts.iter().enumerate() {
                // A case begins a moment before its phase says so; its end lies within.
                let within = phases.iter().find(|(_, phase)| {
                    phase.started <= attempt.finished && attempt.finished <= phase.finished
                });
                let parent = within.map_or(unit_id.as_str(), |(id, _)| id.as_str());
                let own = id(&[run, own, "case", &case.case.0, &index.to_string()], 8);
                self.of_case((own, parent), case, index, attempt);
            }
        }
    }

    fn of_case(&mut self, ids: (String, &str), case: &CaseReport, index: usize, attempt: &AttemptReport) {
        let (verdict, why) = match &attempt.outcome {
            Outcome::Passed { note } => (Verdict::Passed, note.as_str()),
            Outcome::Skipped { reason } => (Verdict::Skipped, reason.as_str()),
            Outcome::Failed { expected: Some(reason), .. } => (Verdict::Skipped, reason.as_str()),
            Outcome::Failed { failure, expected: None } => {
                (Verdict::of_failure(failure), failure.summary.as_str())
            }
        };
        let mut attributes = vec![
            text("stack_e2e.verdict", verdict.as_str()),
            text("stack_e2e.note", why),
            number("stack_e2e.attempt", u64::try_from(index + 1).unwrap_or(u64::MAX)),
        ];
        if let Outcome::Failed { failure, .. } = &attempt.outcome {
            attributes.extend(of_failure(failure));
        }
        attributes.extend(attempt.availability.iter().flat_map(of_availability));
        self.add(ids, &case.case.0, (attempt.started, attempt.finished), attributes, status(verdict, why));
    }
}

fn of_failure(failure: &Failure) -> Vec<Value> {
    let object = failure.object.as_ref().map(|object| text("stack_e2e.object", &object.to_string()));
    std::iter::once(text("error.type", failure.class.as_str())).chain(object).collect()
}

fn of_availability(one: &Availability) -> Vec<Value> {
    let name = |key: &str| format!("stack_e2e.{}.{key}", one.service);
    match &one.seen {
        Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, first_failure: _ } => vec![
            number(&name("downtime_ms"), *downtime_ms),
            number(&name("longest_gap_ms"), *longest_gap_ms),
            number(&name("probes"), *probes),
            number(&name("failed_probes"), *failed),
        ],
        Seen::Unknown { why } => vec![text(&name("downtime_unknown"), why)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::foreign::Foreign;
    use crate::results::script::{self, Script};
    use crate::results::timeline::Timeline;
    use std::collections::HashSet;

    fn sent(script: &Script) -> Vec<String> {
        let report = script.report();
        let mut timeline = Timeline::default();
        script.events().iter().for_each(|event| timeline.apply(event));
        let again = |_: &UnitReport| String::new();
        let foreign = Foreign::default();
        otlp(&Facts {
            report: Some(&report),
            timeline: &timeline,
            foreign: &foreign,
            history: None,
            again: &again,
            resume: "",
            sweep: "",
            files: None,
        })
    }

    #[test]
    fn a_run_is_a_tree_of_spans() {
        let requests = sent(&script::one_failure());
        let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
        let value: Value = serde_json::from_str(request).unwrap();
        insta::assert_snapshot!("spans", serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(sent(&script::one_failure()), requests, "the same results are the same spans");
        let down = sent(&script::all_probed(350)).join("");
        assert!(
            down.contains(r#"{"key":"stack_e2e.api-server.downtime_ms","value":{"intValue":"350"}}"#),
            "{down}"
        );
        assert!(down.contains("stack_e2e.api-server.downtime_unknown"), "an unknown is no zero: {down}");
    }

    #[test]
    fn every_run_gives_unique_spans_with_parents_that_are_there() {
        let stopped = Script::new().unit("a", &["provision"]).unit("b", &["provision"]).started();
        for script in
            [script::all_passed(), script::one_failure(), script::all_probed(0), stopped, Script::new()]
        {
            let spans: Vec<Value> = sent(&script)
                .iter()
                .flat_map(|request| {
                    let value: Value = serde_json::from_str(request).unwrap();
                    value["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
                })
                .collect();
            let ids: HashSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
            assert_eq!(ids.len(), spans.len());
            assert_eq!(spans.iter().filter(|span| span.get("parentSpanId").is_none()).count(), 1);
            for span in &spans {
                assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
                assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
                assert!(span.get("parentSpanId").is_none_or(|parent| ids.contains(parent.as_str().unwrap())));
                let time = |key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
                assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
            }
        }
    }
}
