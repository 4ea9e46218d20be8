//! A secret that gets into what a cluster says gets onto no screen and into no file, in whatever form it is printed.

use crate::support::process::Home;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const CANARY: &str = "Kanari-7f3b/Q+x~9&Vogel<8>";

/// The forms in which programs print a secret.
fn encodings() -> Vec<(&'static str, String)> {
    let secret = CANARY;
    let bytes = |form: &dyn Fn(u8) -> String| secret.bytes().map(form).collect::<String>();
    let utf16: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = serde_json::to_string(secret).unwrap();
    let (head, tail) = secret.split_at(9);
    let basic = STANDARD.encode(format!("user:{secret}"));
    let body = STANDARD_NO_PAD.encode(format!(r#"{{"sub":"{secret}"}}"#));
    let xml = quick_xml::escape::escape(secret).into_owned();
    let all: Vec<(&str, String)> = vec![
        ("as it is", secret.into()),
        ("upper case", secret.to_ascii_uppercase()),
        ("lower case", secret.to_ascii_lowercase()),
        ("reversed", secret.chars().rev().collect()),
        ("over two lines", format!("{head}\n    {tail}")),
        ("coloured", secret.chars().map(|c| format!("\u{1b}[3{}m{c}", u32::from(c) % 8)).collect()),
        ("control characters", secret.chars().flat_map(|c| [c, '\u{7}', '\u{202e}']).collect()),
        ("base64", STANDARD.encode(secret)),
        ("base64 without padding", STANDARD_NO_PAD.encode(secret)),
        ("base64 for URLs", URL_SAFE.encode(secret)),
        ("base64, one before it", STANDARD.encode(format!("x{secret}"))),
        ("base64, two before it", STANDARD.encode(format!("xy{secret}"))),
        ("hex", bytes(&|byte| format!("{byte:02x}"))),
        ("HEX", bytes(&|byte| format!("{byte:02X}"))),
        ("percent", bytes(&|byte| format!("%{byte:02X}"))),
        ("JSON", json.clone()),
        ("JSON in JSON", serde_json::to_string(&json).unwrap()),
        (
            "JSON by numbers",
            secret.encode_utf16().fold(String::new(), |mut text, unit| {
                let _ = write!(text, "\\u{unit:04x}");
                text
            }),
        ),
        ("XML", xml.clone()),
        ("HTML", xml.replace('"', "&#34;")),
        ("shell", format!("'{secret}'")),
        ("YAML", format!("token: \"{secret}\"")),
        ("basic", format!("Basic {basic}")),
        ("kubeconfig", STANDARD.encode(format!("users:\n- user:\n    token: {secret}\n"))),
        ("a signed token", format!("eyJhbGciOiJub25lIn0.{body}.c2lnbmF0dXJl")),
        ("URL", format!("https://user:{secret}@host/path")),
        ("UTF-16", STANDARD.encode(utf16)),
        ("debug", format!("{secret:?}")),
    ];
    assert!(all.len() >= 25);
    all
}

/// Everything that a command has left: what it said, and every file but those that hold the secret from the start.
fn left(home: &Home, said: String) -> String {
    let mut all = said;
    let mut folders = vec![home.path(".")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name != "kubeconfig" && !path.starts_with(home.path("./scripts")) {
                all.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
            }
        }
    }
    all
}

/// Whether a part of an encoded secret that is long enough to know it by is there, whatever stands in between.
fn shows(all: &str, encoded: &str) -> bool {
    let plain = |text: &str| -> String {
        let text = anstream::adapter::strip_str(text).to_string();
        let fits = |c: &char| !c.is_whitespace() && !c.is_control() && *c != '\u{202e}';
        text.chars().filter(fits).flat_map(char::to_lowercase).collect()
    };
    let (all, encoded) = (plain(all), plain(encoded).chars().collect::<Vec<_>>());
    let middle: String = encoded[encoded.len() / 2 - 7..encoded.len() / 2 + 7].iter().collect();
    all.contains(&middle)
}

/// A run in which a check fails with these texts, and all reports of it.
fn run(home: &Home, texts: &[String], more: &[&str]) -> String {
    let faults: Vec<_> = ["check/kubeconfig", "collect", "delete"]
        .iter()
        .map(|at| serde_json::json!({"at": at, "kind": "fail", "times": 1, "says": texts.join(" | ")}))
        .collect();
    let script =
        serde_json::json!({"call_ms": 1, "provision_ms": 5, "check_ms": 1, "delete_ms": 5, "faults": faults});
    fs::write(home.path("scripts/canary.json"), script.to_string()).unwrap();
    let first =
        home.run("scripts/canary.json", &[&["--where", "kubernetes=1.33,controlPlanes=1"], more].concat());
    assert!(first.code() > 0, "{}", first.stderr);
    let run = format!(".stack-e2e/runs/{}", home.runs().pop().unwrap());
    let reports =
        ["--markdown", "c.md", "--prometheus", "m.prom", "--html", "again.html", "--junit", "again.xml"];
    let again = home.say(&[&["report", &run], &reports[..]].concat());
    let events = home.run("scripts/canary.json", &[&["--events"], more].concat());
    [first, again, events].map(|said| said.stdout + &said.stderr).concat()
}

fn kubeconfig(file: &Path) {
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": CANARY}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    fs::write(file, text.to_string()).unwrap();
}

#[test]
fn no_encoding_of_a_secret_is_shown_or_kept() {
    for group in encodings().chunks(4) {
        let texts: Vec<String> = group.iter().map(|(_, text)| text.clone()).collect();
        let home = Home::new();
        kubeconfig(&home.path("kubeconfig"));
        let said = run(&home, &texts, &["--kubeconfig", "kubeconfig"]);
        let all = left(&home, said);
        assert!(all.contains("[redacted]") && all.contains("<html") && all.contains("<testsuites"));
        for (name, text) in group {
            assert!(!shows(&all, text), "{name}: `{text}`");
        }
    }
}

#[test]
fn the_search_for_secrets_finds_one_that_nobody_knows_of() {
    // Some have the shape of a secret, and are masked whether anybody knows them or not.
    let shaped = ["YAML", "basic", "a signed token", "URL"];
    for group in encodings().chunks(4) {
        let texts: Vec<String> = group.iter().map(|(_, text)| text.clone()).collect();
        let home = Home::new();
        let said = run(&home, &texts, &[]);
        let all = left(&home, said);
        for (name, text) in group.iter().filter(|(name, _)| !shaped.contains(name)) {
            assert!(shows(&all, text), "{name}: `{text}` is not found");
        }
    }
}
