//! Scenario files from people who mean no good, and from those who slipped on the keyboard: no input panics, takes
//! long, or ends without a word.

#![allow(clippy::unwrap_used)]

use crate::scenario::{known, read};
use proptest::prelude::*;
use stack_e2e::scenario::{Problems, parse_bytes};
use std::path::Path;
use std::time::{Duration, Instant};

/// Reads bytes; gives back the one-line forms, and sees to it that what is said can be shown.
fn problems(bytes: &[u8]) -> Vec<String> {
    match parse_bytes(bytes, Path::new("x.yaml"), &known()) {
        Ok(_) => Vec::new(),
        Err(found) => {
            assert!(!found.is_empty(), "refused without a reason");
            let lines = found.iter().map(ToString::to_string).collect();
            let screen = Problems(found).render(false);
            let hostile = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!screen.contains(hostile), "{screen:?}");
            lines
        }
    }
}

fn bomb(levels: u8) -> String {
    let mut text = String::from("a: &a [lol, lol]\n");
    for level in 1..levels {
        let (this, below) = (char::from(b'a' + level), char::from(b'a' + level - 1));
        text.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{below}"); 9].join(", ")));
    }
    text
}

#[test]
fn attacks_end_soon() {
    let valid = std::fs::read_to_string("fixtures/scenario/pass/minimal.yaml").unwrap();
    let mebibyte = 1 << 20;
    let long_lines = |piece: &str| piece.repeat(mebibyte / piece.len());
    let attacks: Vec<(&str, String, &str)> = vec![
        ("billion laughs", bomb(25), "anchors are not read"),
        ("nested flow lists", "[".repeat(100_000), "longer than 8192 characters"),
        ("nested flow lists on lines", "[\n".repeat(100_000), "more than 32 lists and mappings"),
        ("nested flow mappings on lines", "{a:\n".repeat(100_000), "more than 32 lists and mappings"),
        ("nested block lists", "- ".repeat(4_000), "more than 32 lists and mappings"),
        (
            "nested block mappings",
            (0..1400).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
            "more than 32",
        ),
        ("100 MB scalar", format!("a: {}", "x".repeat(100 << 20)), "larger than 1024 KiB"),
        ("1 MiB of one-letter lines", long_lines("a\n"), "x.yaml:"),
        ("1 MiB of keys", (0..70_000).map(|i| format!("k{i}: 1\n")).collect(), "more than 20000 values"),
        ("1 MiB of one key", long_lines("a: 1\n"), "x.yaml:"),
        ("1 MiB of questions", long_lines("? "), "longer than 8192"),
        ("1 MiB of questions on lines", long_lines("?\n"), "x.yaml:"),
        ("1 MiB of dashes", long_lines("-\n"), "more than 20000 values"),
        ("1 MiB of comments", long_lines("# a comment\n"), "the file is empty"),
        ("1 MiB of documents", long_lines("---\n"), "x.yaml:"),
        ("1 MiB of tags", long_lines("- !a b\n"), "more than 20000 values"),
        ("1 MiB of open quotes", format!("a: \"{}", long_lines("b\n")), "larger than 1024 KiB"),
        ("open quotes", format!("a: \"{}", "b\n".repeat(mebibyte / 3)), "a quoted text does not end"),
        ("colons", long_lines("a: b: c: d\n"), "a `:` is not allowed here"),
        ("1 MiB block scalar", format!("a: |\n{}", " b\n".repeat(mebibyte / 4)), "a scenario has no key `a`"),
        (
            "a matrix of 2^32",
            {
                let switches: String = (0..32)
                .map(|i| format!("    s{i}: [{{name: a, variables: {{v{i}: 1}}}}, {{name: b, variables: {{v{i}: 2}}}}]\n"))
                .collect();
                valid.replace("    kubernetes: [\"1.34\"]\n", &switches)
            },
            "the switches span 4294967296 combinations",
        ),
        (
            "a matrix beyond 2^64",
            {
                let values = |i: usize| -> String {
                    (0..64).map(|v| format!("      - {{name: v{v}, variables: {{x{i}: {v}}}}}\n")).collect()
                };
                let switches: String = (0..32).map(|i| format!("    s{i}:\n{}", values(i))).collect();
                valid.replace("    kubernetes: [\"1.34\"]\n", &switches)
            },
            "the switches span far too many combinations",
        ),
    ];
    for (name, text, expected) in attacks {
        let start = Instant::now();
        let found = problems(text.as_bytes());
        let elapsed = start.elapsed();
        assert!(found.iter().any(|p| p.contains(expected)), "{name}: {found:?}");
        // Milliseconds on an idle machine, even without optimization; the bound is against growth, not noise.
        assert!(elapsed < Duration::from_secs(10), "{name} took {elapsed:?}");
        println!("{elapsed:>12.3?}  {name}");
    }
}

#[test]
fn the_first_hundred_problems_are_enough() {
    let found = problems("a: 1\n".repeat(5000).as_bytes());
    assert_eq!(found.len(), stack_e2e::scenario::MAX_PROBLEMS + 1);
    assert_eq!(found.last().unwrap(), "x.yaml: there may be more problems than these");
}

#[test]
fn the_most_expensive_conditions_stay_cheap() {
    // As many combinations and as many conditions over all switches as a file may have.
    let mut text = std::fs::read_to_string("fixtures/scenario/pass/minimal.yaml").unwrap();
    let values = |i: usize| -> String {
        (0..10).map(|v| format!("      - {{name: v{v}, variables: {{x{i}: {v}}}}}\n")).collect()
    };
    let switches: String = (0..4).map(|i| format!("    s{i}:\n{}", values(i))).collect();
    text = text.replace("    kubernetes: [\"1.34\"]\n", &switches);
    let all = "s0 != s1 || s1 != s2 || s2 != s3";
    let never = format!("({all}) && !({all}) && (s0 == \"v1\" || {}true)", "s3 == \"v2\" || ".repeat(20));
    text.push_str("  exclude:\n");
    for _ in 0..64 {
        text.push_str(&format!("    - {{when: '{never}', because: nothing}}\n"));
    }
    let start = Instant::now();
    let found = problems(text.as_bytes());
    assert_eq!(found.len(), 64, "{:?}", found.first());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    println!("{:?}", start.elapsed());
}

#[test]
fn line_ends_and_byte_order_marks_do_not_move_the_caret() {
    let text = std::fs::read_to_string("fixtures/scenario/fail/switch-slips.yaml").unwrap();
    let expected = problems(text.as_bytes());
    assert_eq!(expected.len(), 2);
    assert_eq!(problems(text.replace('\n', "\r\n").as_bytes()), expected);
    assert_eq!(problems(text.replace('\n', "\r").as_bytes()), expected);
    assert_eq!(problems(format!("\u{feff}{text}").as_bytes()), expected);
}

/// Any tree of YAML nodes, written in flow style.
fn tree() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(WORDS).prop_map(str::to_owned),
        "[a-zA-Z0-9_.:#&*!|>'\"%@`?{}\\[\\], $-]{0,12}",
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
    ];
    let leaf = (word.clone(), 0..3).prop_map(|(word, style)| match style {
        0 => word,
        1 => format!("'{}'", word.replace('\'', "''")),
        _ => serde_json::to_string(&word).unwrap(),
    });
    leaf.prop_recursive(6, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((prop::sample::select(WORDS), inner), 0..8).prop_map(|entries| {
                let entries: Vec<String> = entries.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// Keys and values that get past the first checks.
const WORDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "stack",
    "provider",
    "source",
    "directory",
    "switches",
    "kubernetes",
    "controlPlanes",
    "workers",
    "yawol",
    "variables",
    "checks",
    "requires",
    "credentials",
    "cover",
    "strength",
    "all",
    "exclude",
    "when",
    "because",
    "include",
    "changes",
    "scale",
    "upgrade",
    "next-minor",
    "expect",
    "check",
    "verdict",
    "failed",
    "until",
    "timeouts",
    "provision",
    "change",
    "delete",
    "Scenario",
    "scripted",
    "scs",
    "smoke",
    "dns",
    "on",
    "off",
    "\"on\"",
    "\"1.34\"",
    "1.30",
    "1",
    "3",
    "20m",
    "2027-06-30",
    "null",
    "true",
    "yawol == \"on\"",
    "semver(kubernetes) < semver(\"1.34\")",
    "${YAWOL_FLAVOR_ID}",
    "${",
    "<<",
    "*a",
    "&a",
];

/// A valid file with some of its pieces deleted, doubled, swapped or replaced.
fn mutation() -> impl Strategy<Value = String> {
    let files = ["everything", "expressions", "openstack-big-switches", "variables", "minimal"];
    let edit =
        (any::<prop::sample::Index>(), 1_usize..30, 0_u8..6, prop::sample::select(WORDS), any::<char>());
    (prop::sample::select(files.to_vec()), prop::collection::vec(edit, 1..6)).prop_map(|(file, edits)| {
        let text = std::fs::read_to_string(format!("fixtures/scenario/pass/{file}.yaml")).unwrap();
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, kind, word, c) in edits {
            let at = at.index(chars.len() + 1).min(chars.len());
            let end = (at + length).min(chars.len());
            let piece: Vec<char> = chars[at..end].to_vec();
            match kind {
                0 => drop(chars.drain(at..end)),
                1 => drop(chars.splice(at..at, piece)),
                2 => drop(chars.splice(at..end, word.chars())),
                3 => drop(chars.splice(at..at, word.chars())),
                4 => drop(chars.splice(at..at, [c])),
                _ => {
                    let from = chars.len() - end;
                    drop(chars.splice(at..end, []));
                    let from = from.min(chars.len());
                    drop(chars.splice(from..from, piece));
                }
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_accepted_or_refused_with_reasons(tree in tree()) {
        let start = Instant::now();
        problems(tree.as_bytes());
        let text = std::fs::read_to_string("fixtures/scenario/pass/minimal.yaml").unwrap();
        for key in ["switches", "exclude", "include", "cover", "changes", "expect", "timeouts", "checks"] {
            problems(format!("{text}  {key}: {tree}\n").as_bytes());
        }
        prop_assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn any_mutation_of_a_valid_file_is_accepted_or_refused_with_reasons(text in mutation()) {
        let start = Instant::now();
        problems(text.as_bytes());
        prop_assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn any_bytes_are_refused_with_reasons(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!problems(&bytes).is_empty());
    }

    #[test]
    fn any_expression_is_accepted_or_refused_with_reasons(words in prop::collection::vec(prop::sample::select(
        &["yawol", "kubernetes", "controlPlanes", "==", "!=", "<", ">=", "&&", "||", "!", "(", ")", "in", "[", "]", ",",
          "\"on\"", "\"1.33\"", "1", "3", "semver(", "int(", "true", "x", "=", "é"][..]), 0..14))
    {
        let text = std::fs::read_to_string("fixtures/scenario/fail/expression-several.yaml").unwrap();
        let start = text.find("yavol ==").unwrap();
        let end = start + text[start..].find('\n').unwrap();
        let when = words.join(" ");
        let text = format!("{}'{when}'{}", &text[..start], &text[end..]);
        if let Err(found) = read(&text) {
            // Whatever is wrong, it is inside the expression and said there, or about what it leaves to run.
            let in_line = |p: &stack_e2e::scenario::Problem| p.span().line == 19 || p.message().starts_with("all comb");
            prop_assert!(found.0.iter().all(in_line), "{}", found);
        }
    }
}
