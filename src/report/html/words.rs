//! Small pieces of the page.

use super::Page;
use crate::results::suspects::Suspect;
use crate::results::{UnitReport, Verdict};
use crate::types::show_duration;
use crate::types::{head_and_tail, one_line, printable};
use jiff::Timestamp;
use maud::{Markup, html};
use std::time::Duration;

/// One line of a text from elsewhere.
pub(super) fn line(text: &str) -> String {
    one_line(text, 600)
}

pub(super) fn command(text: &str) -> Markup {
    // A command that is cut is worse than a long one.
    html! { pre.command { code { (one_line(text, 20_000)) } } }
}

/// The sign of a verdict, for those who do not see its colour.
pub(super) const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Skipped => "–",
        Verdict::Passed => "✓",
        Verdict::Flaky => "↻",
        Verdict::Failed => "✗",
        Verdict::Errored => "!",
    }
}

/// The verdict as a word with a sign, so that the colour is never all there is.
pub(super) fn badge(verdict: Verdict) -> Markup {
    html! {
        span class={ "badge " (verdict.as_str()) } {
            span aria-hidden="true" { (sign(verdict)) } " " (verdict.as_str())
        }
    }
}

pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

pub(super) fn took(unit: &UnitReport) -> Option<Duration> {
    Some(between(unit.started?, unit.finished?))
}

/// Seconds are enough for people.
pub(super) fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return if duration.is_zero() { "0".into() } else { "< 1s".into() };
    }
    show_duration(Duration::from_secs(duration.as_secs()))
}

pub(super) fn values(suspect: &Suspect) -> String {
    let values: Vec<String> =
        suspect.values.iter().map(|(switch, value)| format!("{switch}={value}")).collect();
    one_line(&values.join(" with "), 200)
}

/// A table that scrolls by itself where the window is too narrow for it.
pub(super) fn scrolling(label: &str, table: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="group" aria-label=(label) { (table) } }
}

/// A path below the files of evidence as an address: only names below, nothing that leads elsewhere.
pub(super) fn address(base: &str, path: &str) -> Option<String> {
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !path.split('/').all(fine) {
        return None;
    }
    let mut address = base.to_owned();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                address.push(char::from(byte))
            }
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    // Without this a name with a colon in front could be taken for a scheme; percent signs keep it harmless anyway.
    Some(if base.starts_with("../") { address } else { format!("./{address}") })
}

/// Long lists of files say little; the first ones do.
const MAX_FILES: usize = 12;

impl Page<'_> {
    pub(super) fn text(&self, text: &str) -> Option<Markup> {
        if text.trim().is_empty() || self.max_text == 0 {
            return None;
        }
        let text = printable(&head_and_tail(text, self.max_text));
        Some(html! { pre.text tabindex="0" role="group" aria-label="evidence" { (text.trim_end()) } })
    }

    pub(super) fn evidence(&self, unit: &UnitReport) -> Markup {
        html! {
            @if !unit.evidence.is_empty() {
                p.files {
                    span.label { "evidence" }
                    @for file in unit.evidence.iter().take(MAX_FILES) {
                        " "
                        @let name = line(file.rsplit_once('/').map_or(file.as_str(), |(_, name)| name));
                        @match self.facts.files.and_then(|base| address(base, file)) {
                            Some(address) => { a href=(address) { (name) } }
                            None => { code { (line(file)) } }
                        }
                    }
                    @if unit.evidence.len() > MAX_FILES { " and " (unit.evidence.len() - MAX_FILES) " more" }
                }
            }
            @for trouble in unit.trouble.iter().take(3) {
                p.files { span.label { "not to be had" } " " (line(trouble)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_never_leads_out_of_the_evidence() {
        for (path, wanted) in [
            ("evidence/a/b.yaml", Some("./evidence/a/b.yaml")),
            ("a b?#\".log", Some("./a%20b%3F%23%22.log")),
            ("javascript:alert(1)", Some("./javascript%3Aalert%281%29")),
            (".hidden", Some("./.hidden")),
            ("ä", Some("./%C3%A4")),
            ("/etc/passwd", None),
            ("../x", None),
            ("a/../../x", None),
            ("a//b", None),
            ("", None),
        ] {
            assert_eq!(address("", path).as_deref(), wanted, "{path}");
        }
        assert_eq!(address("../runs/01k/", "x").as_deref(), Some("../runs/01k/x"));
    }
}
