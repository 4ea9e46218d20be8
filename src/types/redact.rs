//! Secrets, and the one place that keeps them off screens and disks.
//!
//! A secret is looked for as it is and in every form in which programs print it: base64 at each of its three
//! offsets, hex, percent, JSON, XML, shell and more, without regard to case. Besides, shapes that are secrets
//! wherever they come from (private keys, bearer tokens, key fields of a kubeconfig) are masked without being
//! registered. What may go wrong goes wrong towards masking too much.

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{Regex, RegexSet};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::ops::Range;
use std::sync::LazyLock;

/// A text that must not be shown: it has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A shorter text is not taken as a secret by a [`Redactor`]: masking it would hit harmless words everywhere
    /// and so show where it stands.
    pub const MIN: usize = 8;

    /// Keeps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Replaces every registered secret, and what has the shape of one, by [`MASK`].
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    patterns: BTreeSet<String>,
    search: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// Registers a secret, with all its forms; `false` when it is too short to be masked, and so stays visible: the
    /// caller has to refuse it.
    #[must_use = "a secret that is too short stays visible"]
    pub fn add(&mut self, secret: &Secret) -> bool {
        let text = secret.expose().trim();
        if text.chars().count() < Secret::MIN {
            return false;
        }
        let known = self.patterns.len();
        self.patterns.extend(forms(text));
        if self.patterns.len() == known {
            return true;
        }
        self.longest = self.patterns.iter().map(String::len).max().unwrap_or(0);
        // All matches, overlapping ones too: of two secrets that run into each other both must go.
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&self.patterns);
        match search {
            Ok(search) => self.search = Some(search),
            // Only for gigabytes of patterns. Nothing was masked by the new ones, so say so.
            Err(_) => return false,
        }
        true
    }

    /// `text` without any secret.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let spans = self.spans(text.as_bytes());
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        copy(text.as_bytes(), &spans, text.len(), &mut out);
        // Forms and shapes begin and end with whole characters, so nothing is lost here.
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Where secrets stand, in order, without overlaps.
    fn spans(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        if let Some(search) = &self.search {
            spans.extend(search.find_overlapping_iter(bytes).map(|found| found.range()));
            if let Some((joined, places)) = joined(bytes) {
                let whole = |found: aho_corasick::Match| places[found.start()]..places[found.end() - 1] + 1;
                spans.extend(search.find_overlapping_iter(&joined).map(whole));
            }
        }
        let (set, shapes) = &*SHAPES;
        for index in set.matches(bytes) {
            // The whole match, or the part of it that is marked as the secret.
            spans.extend(shapes[index].captures_iter(bytes).filter_map(|found| {
                let secret = found.name("secret").or_else(|| found.get(0))?;
                Some(secret.range())
            }));
        }
        spans.sort_unstable_by_key(|span| span.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for span in spans.into_iter().filter(|span| !span.is_empty()) {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                Some(_) | None => merged.push(span),
            }
        }
        merged
    }
}

/// `bytes` without what may stand in the middle of a secret that is printed: colours, control characters, marks of the
/// direction of writing, the breaks of long lines with the indentation behind them; and where each byte that is left
/// stands. What shows text drops most of these, so that a secret would be whole again. `None` when there are none.
fn joined(bytes: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    bytes.iter().any(|byte| matches!(byte, ..b' ' | 0x7f | 0xe2 | 0xd8 | 0xc2 | 0xef)).then(|| {
        let (mut joined, mut places) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
        let (mut at, mut new_line) = (0, false);
        while at < bytes.len() {
            let dropped = match &bytes[at..] {
                [0x1b, b'[', rest @ ..] => {
                    let parameters = rest.iter().take_while(|b| matches!(b, 0x20..=0x3f)).count();
                    2 + parameters + usize::from(rest.len() > parameters)
                }
                [b' ', ..] if new_line => 1,
                [b'\n' | b'\r', ..] => {
                    new_line = true;
                    at += 1;
                    continue;
                }
                [..b' ' | 0x7f, ..] => 1,
                // The other control characters, and what `printable` drops.
                [0xc2, 0x80..=0x9f, ..] | [0xd8, 0x9c, ..] => 2,
                [0xe2, 0x80, 0x8b..=0x8f | 0xa8..=0xae, ..]
                | [0xe2, 0x81, 0xa0 | 0xa6..=0xa9, ..]
                | [0xef, 0xbb, 0xbf, ..]
                | [0xef, 0xbf, 0xbe | 0xbf, ..] => 3,
                _ => 0,
            };
            if dropped == 0 {
                new_line = false;
                joined.push(bytes[at]);
                places.push(at);
            }
            at += dropped.max(1);
        }
        (joined, places)
    })
}

/// Copies `bytes[..end]` with the mask in the place of each span that begins before `end`.
fn copy(bytes: &[u8], spans: &[Range<usize>], end: usize, out: &mut Vec<u8>) {
    let mut at = 0;
    for span in spans.iter().take_while(|span| span.start < end) {
        out.extend_from_slice(&bytes[at..span.start]);
        out.extend_from_slice(MASK.as_bytes());
        at = span.end;
    }
    if at < end {
        out.extend_from_slice(&bytes[at..end]);
    }
}

/// Things that are secrets by their shape. With a group named `secret` only that part is masked, so that the line
/// still tells what was there.
static SHAPES: LazyLock<(RegexSet, Vec<Regex>)> = LazyLock::new(|| {
    const SHAPES: &[&str] = &[
        // A private key, also one whose end is missing, or on one line with `\n` as in JSON.
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z0-9 ]*PRIVATE KEY-----)?",
        r#"(?i)\bauthorization\\?["']?\s*[:=]\s*\\?["']?(?:[a-z]+\s+)?(?P<secret>[a-z0-9._~+/-]{8,}=*)"#,
        // Elsewhere a digit tells a token from a word.
        r"(?i)\bbearer\s+(?P<secret>[a-z._~+/-]*[0-9][a-z0-9._~+/-]*=*)",
        // A signed token: two JSON objects in base64, and a signature.
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        // Fields of a kubeconfig and of clouds.yaml, in YAML and JSON.
        r#"(?i)\b(?:client-key-data|id-token|refresh-token|access-token|client-secret|application_credential_secret|password)\\?["']?\s*[:=]\s*\\?["']?(?P<secret>[^\s"'\\,}\[]{8,})"#,
        r#"(?i)\bx-(?:auth|subject|service)-token\\?["']?\s*[:=]\s*\\?["']?(?P<secret>[^\s"'\\,}\[]{8,})"#,
        // user:password@ in a URL.
        r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]*:(?P<secret>[^\s/@\[]+)@",
        // Something compressed, of which nobody knows what it holds: gzip in base64, once or twice, as Helm keeps releases.
        r"\b(?:H4sI|SDRzS)[A-Za-z0-9+/_-]{16,}=*",
        // A bootstrap token of kubeadm.
        r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b",
    ];
    let bytewise: Vec<String> = SHAPES.iter().map(|shape| format!("(?s-u){shape}")).collect();
    let regex =
        |shape: &String| Regex::new(shape).expect("the shapes are constants, and a test compiles them");
    let set = RegexSet::new(&bytewise).expect("the shapes are constants, and a test compiles them");
    (set, bytewise.iter().map(regex).collect())
});

/// Every form in which a program may print `text`. Letters are compared without case, so that one case is enough.
fn forms(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    let quoted = |text: String| text.trim_matches('"').to_owned();
    forms.insert(text.to_owned());
    forms.insert(text.chars().rev().collect());
    let json = quoted(serde_json::Value::from(text).to_string());
    // Go escapes three more characters.
    let go = ['<', '>', '&']
        .iter()
        .fold(json.clone(), |json, c| json.replace(*c, &format!("\\u{:04x}", u32::from(*c))));
    // In a log line that is JSON itself, JSON is escaped once more.
    forms.insert(quoted(serde_json::Value::from(json.as_str()).to_string()));
    forms.extend([json, go, quoted(format!("{text:?}"))]);
    forms.insert(escaped_units(text));
    let xml = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    forms.insert(xml.replace('"', "&quot;").replace('\'', "&apos;"));
    forms.insert(xml.replace('"', "&#34;").replace('\'', "&#39;"));
    forms.insert(xml.replace('"', "&quot;").replace('\'', "&#x27;"));
    forms.insert(xml);
    forms.insert(text.replace('\'', r"'\''"));
    forms.insert(text.replace('\'', "''"));
    let percent = |keep: &str, space: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            let c = char::from(byte);
            if byte == b' ' && !space.is_empty() {
                out.push_str(space);
            } else if c.is_ascii_alphanumeric() || keep.contains(c) {
                out.push(c);
            } else {
                let _ = write!(out, "%{byte:02x}");
            }
            out
        })
    };
    forms.insert(text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02x}");
        out
    }));
    forms.insert(percent("-._~", ""));
    forms.insert(percent("-._*", "+"));
    forms.insert(percent("-._~!*'()", ""));
    forms.insert(percent("-._~!$&'()*+,;=:@/", ""));
    for bytes in [text.as_bytes().to_vec(), utf16(text)] {
        forms.insert(bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }));
        forms.extend(base64_forms(&bytes));
    }
    // A secret of several lines (a key, a file) may be printed line by line.
    let long = |line: &&str| line.len() >= 32 && !line.contains(' ');
    let lines = text.lines().map(str::trim).filter(long);
    if text.contains('\n') {
        forms.extend(lines.map(str::to_owned));
    }
    forms
}

/// `\u0041\u0042…`
fn escaped_units(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut out, unit| {
        let _ = write!(out, "\\u{unit:04x}");
        out
    })
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The characters of base64 that depend on nothing but `bytes`, for each place that they can have in a longer text.
fn base64_forms(bytes: &[u8]) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut forms = Vec::new();
    for offset in 0..3_usize {
        let shifted = [&vec![0; offset], bytes].concat();
        let encoded = STANDARD.encode(&shifted);
        // 6 bits to a character; those that hold bits of a neighbour are left off.
        let (first, last) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
        let own = encoded[first..last].to_owned();
        forms.push(own.replace('+', "-").replace('/', "_"));
        forms.push(own);
    }
    forms
}

/// A writer that redacts what flows through it, also what is split over several writes. It holds back the end of
/// the text, as a secret may begin there; [`RedactingWriter::finish`] lets it go.
#[derive(Debug)]
pub struct RedactingWriter<W: Write> {
    inner: W,
    redactor: Redactor,
    held: Vec<u8>,
}

/// More than the longest shape that is worth waiting for.
const MAX_HELD: usize = 1 << 20;
/// Shapes have no longest form; the known part of one that is cut off is this long.
const SHAPE_START: usize = 256;

impl<W: Write> RedactingWriter<W> {
    /// Writes to `inner` what `redactor` leaves.
    pub fn new(inner: W, redactor: Redactor) -> Self {
        Self { inner, redactor, held: Vec::new() }
    }

    /// Writes the rest, and gives the inner writer back. Without this call the end of the text is lost.
    ///
    /// # Errors
    /// What the inner writer says.
    pub fn finish(mut self) -> io::Result<W> {
        self.release(true)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn overlap(&self) -> usize {
        // A secret that is split over lines or coloured is longer than it is.
        (4 * self.redactor.longest).max(SHAPE_START)
    }

    fn release(&mut self, all: bool) -> io::Result<()> {
        let spans = self.redactor.spans(&self.held);
        let length = self.held.len();
        let mut end = if all { length } else { length.saturating_sub(self.overlap()) };
        let mut keep = end;
        if let Some(span) = spans.iter().find(|span| span.start < end && span.end >= end) {
            let open = span.end == length && !all;
            if open && length < MAX_HELD {
                // It may go on: a key whose end has not come yet.
                (end, keep) = (span.start, span.start);
            } else {
                (end, keep) = (span.end, span.end);
            }
        }
        let mut out = Vec::with_capacity(end);
        copy(&self.held, &spans, end, &mut out);
        self.inner.write_all(&out)?;
        let open_start = spans.iter().find(|span| span.end == length && keep == length && !all);
        match open_start {
            // Too long to wait for: its beginning stays, so that what follows is seen as part of it.
            Some(span) => {
                let start = self.held[span.start..].iter().take(SHAPE_START).copied().collect();
                self.held = start;
            }
            None => drop(self.held.drain(..keep)),
        }
        Ok(())
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        // Looking again at what is held costs its length; doing so only now and then keeps the cost per byte small.
        if self.held.len() >= 4 * self.overlap() {
            self.release(false)?;
        }
        Ok(bytes.len())
    }

    /// Writes what is safe to write; the rest waits for what follows.
    fn flush(&mut self) -> io::Result<()> {
        self.release(false)?;
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CANARY: &str = "Tr0ub4dor&3 <horse>\"battery'/+ü";

    fn redactor(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        assert!(redactor.add(&Secret::new(secret)));
        redactor
    }

    #[test]
    fn short_values_are_refused_as_secrets() {
        let mut redactor = Redactor::default();
        for short in ["", "1234567", "   123   ", "übers"] {
            assert!(!redactor.add(&Secret::new(short)), "`{short}`");
        }
        assert!(redactor.add(&Secret::new("12345678")));
        assert_eq!(redactor.redact("1234567"), "1234567");
    }

    #[test]
    fn a_text_without_secrets_is_not_copied() {
        for redactor in [Redactor::default(), redactor(CANARY)] {
            for text in [
                "",
                "Machine/e2e/x: waiting for a node",
                "password: [redacted]",
                "the bearer authentication of basic networking",
                "client-key-data: short",
                "see https://docs.example.org/a:b and user@example.org",
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
                "image registry.example.org:5000/a/b@sha256:0011223344",
            ] {
                assert!(matches!(redactor.redact(text), Cow::Borrowed(_)), "{text}");
            }
        }
    }

    #[test]
    fn shapes_are_masked_without_being_registered() {
        let redactor = Redactor::default();
        for (text, shown) in [
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
            ("authorization: basic dXNlcjpwYXNz", "authorization: basic [redacted]"),
            ("    client-key-data: LS0tLS1CRUdJTg==", "    client-key-data: [redacted]"),
            (r#"{"client-key-data":"LS0tLS1C"}"#, r#"{"client-key-data":"[redacted]"}"#),
            (r#"{\"password\":\"swordfish\"}"#, r#"{\"password\":\"[redacted]\"}"#),
            ("X-Subject-Token: gAAAAABcdef", "X-Subject-Token: [redacted]"),
            ("https://me:pa55@host/x", "https://me:[redacted]@host/x"),
            ("token abcdef.0123456789abcdef ", "token [redacted] "),
            (
                "a\n-----BEGIN EC PRIVATE KEY-----\nMHc+/=\n-----END EC PRIVATE KEY-----\nb",
                "a\n[redacted]\nb",
            ),
            ("x -----BEGIN PRIVATE KEY-----\\nMHc", "x [redacted]"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0xx.c2ln rest", "[redacted] rest"),
        ] {
            assert_eq!(redactor.redact(text), shown);
            assert_eq!(redactor.redact(shown), shown, "masking twice changes nothing");
        }
    }

    #[test]
    fn what_is_compressed_is_masked() {
        let redactor = Redactor::default();
        let gzip = "H4sIAAAAAAAA/0tMTEpOSU1Lz8jMys7JzcsvKCwqLiktK6+orKquqa2rb2hsam5pbWvv6OwCABLcp7QpAAAA";
        assert_eq!(redactor.redact(&format!("release: {gzip}\n")), "release: [redacted]\n");
        let twice = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, gzip);
        assert_eq!(redactor.redact(&format!("release: {twice}\n")), "release: [redacted]\n");
    }

    #[test]
    fn two_secrets_that_run_into_each_other_both_go() {
        let mut redactor = redactor("abcdefghij");
        assert!(redactor.add(&Secret::new("efghijklmn")));
        assert_eq!(redactor.redact("<abcdefghijklmn>"), "<[redacted]>");
        assert_eq!(redactor.redact("ABCDEFGHIJ-efghijklmn"), "[redacted]-[redacted]");
    }

    /// Encoders written apart from those under test, as far as there is another way.
    fn encoded(secret: &str) -> Vec<(&'static str, String)> {
        use base64::Engine as _;
        use base64::engine::general_purpose as engine;
        let mut all = vec![
            ("raw", secret.to_owned()),
            ("upper", secret.to_ascii_uppercase()),
            ("reversed", secret.chars().rev().collect()),
            ("json", serde_json::to_string(secret).unwrap()),
            ("json in json", serde_json::to_string(&serde_json::to_string(secret).unwrap()).unwrap()),
            ("debug", format!("{secret:?}")),
            ("hex", secret.bytes().map(|b| format!("{b:02x}")).collect()),
            ("HEX", secret.bytes().map(|b| format!("{b:02X}")).collect()),
            ("url", http_form(secret)),
            ("xml", quick_xml::escape::escape(secret).into_owned()),
            ("user:secret", engine::STANDARD.encode(format!("user:{secret}"))),
            ("kubeconfig", engine::STANDARD.encode(format!("token: {secret}\nname: x"))),
            ("utf-16", engine::STANDARD.encode(utf16(secret))),
            ("coloured", secret.chars().map(|c| format!("\u{1b}[1;31m{c}\u{1b}[0m")).collect()),
            (
                "control characters",
                secret.chars().flat_map(|c| [c, '\u{7}', '\u{202e}', '\u{200b}']).collect(),
            ),
        ];
        let (head, tail) = secret.split_at(9);
        for split in ["\n", "\r\n", "\n        ", "\n\t", "\u{1b}[0m\n"] {
            all.push(("over two lines", format!("{head}{split}{tail}")));
        }
        for pad in ["", "x", "xy"] {
            let text = format!("{pad}{secret}{pad}");
            all.push(("base64", engine::STANDARD.encode(&text)));
            all.push(("base64 no pad", engine::STANDARD_NO_PAD.encode(&text)));
            all.push(("base64 url", engine::URL_SAFE.encode(&text)));
        }
        all
    }

    fn http_form(secret: &str) -> String {
        secret.bytes().map(|b| format!("%{b:02X}")).collect::<Vec<_>>().join("")
    }

    /// The longest run of the encoded secret that is still there.
    fn leaked(encoded: &str, shown: &str) -> usize {
        let longest = |start: usize| {
            (start..=encoded.len())
                .rev()
                .find(|end| encoded.is_char_boundary(*end) && shown.contains(&encoded[start..*end]))
                .map_or(0, |end| end - start)
        };
        let starts = (0..encoded.len()).filter(|at| encoded.is_char_boundary(*at));
        starts.map(longest).max().unwrap_or(0)
    }

    #[test]
    fn every_encoding_is_found() {
        let redactor = redactor(CANARY);
        for (name, text) in encoded(CANARY) {
            let line = format!("{{ {text} }}");
            let shown = redactor.redact(&line);
            assert!(shown.contains(MASK), "{name}: {line}");
            let rest = leaked(&text, &shown);
            assert!(rest <= 16, "{name}: {rest} characters of `{text}` are left in `{shown}`");
        }
    }

    fn streamed(redactor: &Redactor, chunks: &[&[u8]]) -> Vec<u8> {
        let mut writer = RedactingWriter::new(Vec::new(), redactor.clone());
        for chunk in chunks {
            writer.write_all(chunk).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn split_at_every_offset_nothing_leaks() {
        let redactor = redactor(CANARY);
        let filler = "x".repeat(300);
        for (name, text) in encoded(CANARY) {
            let cuts = filler.len()..filler.len() + text.len() + 3;
            let text = format!("{filler} {text} {filler}");
            let whole = redactor.redact(&text).into_owned();
            for cut in cuts {
                let (head, tail) = text.as_bytes().split_at(cut);
                let shown = streamed(&redactor, &[head, tail]);
                assert_eq!(shown, whole.as_bytes(), "{name}, cut at {cut}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(streamed(&redactor, &bytes), whole.as_bytes(), "{name}, byte by byte");
        }
    }

    #[test]
    fn a_key_longer_than_the_buffer_does_not_leak() {
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}", "QUJDREVGR0g\n".repeat(200_000));
        let text = format!("a\n{key}-----END PRIVATE KEY-----\nb\n");
        let mut writer = RedactingWriter::new(Vec::new(), Redactor::default());
        for chunk in text.as_bytes().chunks(60_000) {
            writer.write_all(chunk).unwrap();
        }
        let shown = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert!(!shown.contains("QUJD") && shown.starts_with("a\n[redacted]"), "{shown}");
        assert!(shown.ends_with("\nb\n"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_secret_in_any_text_is_gone(
            secret in "[!-~äöü€]{8,40}",
            before in "\\PC{0,40}",
            after in "\\PC{0,40}",
            cuts in proptest::collection::vec(0_usize..200, 0..4),
        ) {
            let redactor = redactor(&secret);
            let text = format!("{before}{secret}{after}");
            let shown = redactor.redact(&text).into_owned();
            prop_assert!(!shown.replace(MASK, "\0").contains(&secret));
            let mut chunks: Vec<&[u8]> = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            chunks.push(rest);
            prop_assert_eq!(streamed(&redactor, &chunks), shown.into_bytes());
        }
    }
}
