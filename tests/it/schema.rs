//! `scenarios/schema.json`: generated, committed, and in agreement with the loader.

#![allow(clippy::unwrap_used)]

use crate::scenario::{all_match, cases, expect_file};
use stack_e2e::scenario::schema;
use std::path::Path;

/// The file as editors read it: without types from tags, with the words of YAML 1.2 only.
fn json(file: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(file).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).ok()
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    expect_file(Path::new("scenarios/schema.json"), &text).unwrap();
}

#[test]
fn the_schema_accepts_every_valid_file() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let results = cases("pass").into_iter().map(|file| {
        let json = json(&file).ok_or_else(|| format!("{}: not YAML", file.display()))?;
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| format!("{}: {}: {e}", file.display(), e.instance_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    });
    all_match(results.collect());
}

/// What the loader refuses and the schema does not, because it takes more than the shape of one value to see it.
/// The list is kept so that a schema that became lax is noticed.
#[test]
fn the_schema_refuses_what_is_malformed_in_shape() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for file in cases("fail") {
        match json(&file) {
            Some(json) if validator.is_valid(&json) => {
                accepted.push(file.file_stem().unwrap().to_string_lossy().into_owned());
            }
            _ => refused += 1,
        }
    }
    assert!(refused > accepted.len(), "{accepted:?}");
    insta::assert_snapshot!(accepted.join("\n"));
}
