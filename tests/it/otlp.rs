//! `report --otlp`: a collector of OpenTelemetry gets the spans of a run.

use crate::support::process::Home;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

struct Got {
    request: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

/// Takes requests until the connection ends or is over, and answers each with `answer`.
fn collector(answer: &'static str) -> (String, JoinHandle<Vec<Got>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let taking = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
        let mut got = Vec::new();
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request).unwrap_or(0) == 0 {
                return got;
            }
            let mut headers = Vec::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                headers.push(line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            got.push(Got { request: request.trim_end().to_owned(), headers, body });
            writer.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, taking)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const PARTLY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 42\r\n\r\n\
                      {\"partialSuccess\": {\"rejectedSpans\": \"3\"}}";
const DENIED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

#[test]
fn a_collector_gets_the_spans_of_a_run() {
    let home = Home::new();
    assert_eq!(home.run("scripts/failed-check.json", &[]).code(), 1);
    let directory = home.run_directory(&home.runs()[0]);
    let (address, taking) = collector(TAKEN);
    let program = assert_cmd::cargo::cargo_bin!("stack-e2e").display();
    let command = format!(
        "OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer abc' {program} report {} --otlp {address}/",
        directory.display()
    );
    let said = home.shell(&command);
    assert_eq!(said.code(), 1, "the exit code is that of the run: {}", said.stderr);
    let got = taking.join().unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].request, "POST /v1/traces HTTP/1.1");
    for header in ["content-type: application/json", "authorization: bearer abc"] {
        assert!(got[0].headers.iter().any(|line| line == header), "{header}: {:?}", got[0].headers);
    }
    let value: Value = serde_json::from_slice(&got[0].body).unwrap();
    let resource = &value["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "stack-e2e");
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let ids: HashSet<&str> = spans.iter().map(|span| text(span, "spanId")).collect();
    assert_eq!(ids.len(), spans.len());
    let of = |parent: &str| -> Vec<&Value> {
        spans.iter().filter(|span| text(span, "parentSpanId") == parent).collect()
    };
    let [run] = of("")[..] else { panic!("one root") };
    assert_eq!((text(run, "name"), &run["status"]["code"]), ("run", &Value::from(2)));
    let units = of(text(run, "spanId"));
    assert_eq!(units.len(), 4);
    for unit in units {
        let phases = of(text(unit, "spanId"));
        let provision = phases.iter().find(|phase| text(phase, "name") == "provision").unwrap();
        let cases = of(text(provision, "spanId"));
        assert_eq!(text(cases[0], "name"), "provision", "{cases:?}");
        assert_eq!(cases[0]["status"]["code"], 1);
    }
    let failed =
        spans.iter().find(|span| span["status"]["code"] == 2 && text(span, "name").starts_with("check/"));
    assert!(failed.is_some(), "the failed check is an error");
}

#[test]
fn what_a_collector_does_not_take_is_told() {
    let home = Home::new();
    assert_eq!(home.run("scripts/quick.json", &[]).code(), 0);
    let directory = home.run_directory(&home.runs()[0]).display().to_string();
    for (answer, words) in [(PARTLY, "refused 3 spans"), (DENIED, "it answers 401")] {
        let (address, taking) = collector(answer);
        let said = home.say(&["report", &directory, "--otlp", &address]);
        assert_eq!(said.code(), 3, "{}", said.stdout);
        assert!(said.stderr.contains(words) && said.stderr.contains("hint: "), "{}", said.stderr);
        taking.join().unwrap();
    }
    let said = home.say(&["report", &directory, "--otlp", "collector"]);
    assert_eq!(said.code(), 3);
    assert!(said.stderr.contains("is no address"), "{}", said.stderr);
}
