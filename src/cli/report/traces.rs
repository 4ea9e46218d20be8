//! `report --otlp`: traces to a collector of OpenTelemetry.

use crate::cli::exit::Exit;
use crate::cli::http::Http;
use crate::cli::screen;
use crate::report::{Facts, otlp};
use http::Request;
use serde_json::Value;

/// Sends the spans of the run to `endpoint` (without `/v1/traces`). What a collector refuses is told.
pub(super) fn send(endpoint: &str, facts: &Facts<'_>) -> Result<(), Exit> {
    let fail = |why: String| {
        let hint = "`--otlp` names a collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318; headers for it \
                    stand in OTEL_EXPORTER_OTLP_HEADERS, as `name=value,name=value`";
        screen::complain(&format!("the traces cannot be sent to `{endpoint}`: {why}"), hint);
        Exit::Infrastructure
    };
    #[expect(clippy::disallowed_methods, reason = "headers may be secrets: they never stand in arguments")]
    let headers = std::env::var("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    let headers = parse(&headers).map_err(fail)?;
    let runtime = crate::cli::inputs::runtime()?;
    runtime.block_on(async {
        let collector = Http::below(endpoint.trim_end_matches('/')).map_err(fail)?;
        let mut refused = 0;
        for body in otlp(facts) {
            let mut request = Request::post("/v1/traces").header("content-type", "application/json");
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let request = request.body(body.into_bytes()).map_err(|error| fail(error.to_string()))?;
            let answer = collector.send(request).await.map_err(fail)?;
            refused += rejected(&answer);
        }
        match refused {
            0 => Ok(()),
            number => Err(fail(format!("the collector has refused {number} spans"))),
        }
    })
}

/// `name=value,name=value`, as the specification of OpenTelemetry has it. Names and values are not shown.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    pairs
        .map(pair)
        .collect::<Option<_>>()
        .ok_or_else(|| "OTEL_EXPORTER_OTLP_HEADERS has an entry without `=`".into())
}

/// A collector may take a request and refuse some of its spans.
fn rejected(answer: &str) -> u64 {
    let value: Value = serde_json::from_str(answer).unwrap_or_default();
    match value.pointer("/partialSuccess/rejectedSpans") {
        Some(Value::String(number)) => number.parse().unwrap_or(1),
        Some(number) => number.as_u64().unwrap_or(1),
        None => 0,
    }
}
