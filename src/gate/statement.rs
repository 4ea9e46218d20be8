//! A judgement for others: an in-toto statement to be signed, and release notes.

use super::{Answer, Judgement};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The type of the predicate: what [`Judgement`] holds, in JSON.
const PREDICATE: &str = "https://e2e.clusterstack.x-k8s.io/attestations/gate/v1";

/// The judgement as an in-toto statement (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) about
/// the release, named by the hash of its content.
#[must_use]
pub fn statement(judgement: &Judgement) -> Value {
    let digest = judgement.digest.strip_prefix("sha256:").unwrap_or(&judgement.digest);
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": judgement.release, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE,
        "predicate": judgement,
    })
}

/// Release notes in Markdown: the combinations that were tested, known trouble, how to do it again.
#[must_use]
pub fn notes(judgement: &Judgement, again: &str) -> String {
    let mut text = format!("# {}\n\n", cell(&judgement.release));
    let word = match judgement.answer {
        Answer::Yes => "Tested as the policy demands",
        Answer::No => "**Not fit for release**",
        Answer::Undecidable => "**Not tested as the policy demands**",
    };
    let _ = writeln!(
        text,
        "{word} (policy `{}`, content `{}`, judged {}).\n",
        cell(&judgement.policy),
        cell(&judgement.digest),
        judgement.at.strftime("%Y-%m-%d %H:%M UTC")
    );
    let _ = writeln!(text, "{}\n", confidence(judgement));
    text.push_str(
        "## Tested combinations\n\n| combination | green | red | flaky | last |\n|---|---|---|---|---|\n",
    );
    for one in &judgement.combinations {
        let last = one.last.strftime("%Y-%m-%d");
        let _ =
            writeln!(text, "| {} | {} | {} | {} | {last} |", cell(&one.name), one.green, one.red, one.flaky);
    }
    let known: Vec<_> = judgement.combinations.iter().filter(|one| !one.known.is_empty()).collect();
    if !known.is_empty() {
        text.push_str("\n## Known trouble\n\n");
        for one in known {
            for (check, reason) in &one.known {
                let _ = writeln!(text, "- {}: {}: {}", cell(&one.name), cell(check), cell(reason));
            }
        }
    }
    let _ = write!(text, "\n## Again\n\n```console\n$ {}\n```\n", again.replace('`', ""));
    text
}

/// What the number of results says, honestly: few green runs exclude only high failure rates.
#[must_use]
pub fn confidence(judgement: &Judgement) -> String {
    let per_cent = judgement.highest_failure_rate * 100.0;
    format!(
        "{} results, {} of them not green: a failure rate above {per_cent:.1} % is excluded with a confidence of 95 %.",
        judgement.results, judgement.failures
    )
}

/// Text from elsewhere as part of a line of Markdown.
fn cell(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut safe = String::new();
    for c in plain.chars() {
        if matches!(c, '|' | '<' | '>' | '[' | ']' | '`' | '*' | '_' | '\\' | '!' | '#' | '@') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
