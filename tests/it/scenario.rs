//! Scenario files: what is accepted and what it becomes; what is refused and the screen that says so.
//!
//! A case is a file. `UPDATE_SNAPSHOTS=1` writes the expected files anew; read the difference before you commit it.

#![allow(clippy::unwrap_used)]

use stack_e2e::scenario::{Known, Problems, Scenario, parse_bytes};
use std::path::{Path, PathBuf};

const CHECKS: &[(&str, &str)] = &[
    ("cluster-available", "smoke"),
    ("nodes-ready", "smoke"),
    ("dns", "smoke"),
    ("conformance-quick", "conformance"),
    ("load-balancer-yawol", "load-balancer"),
    ("scs-0210-versions", "scs"),
];

pub fn known() -> Known<'static> {
    let environment = ["YAWOL_FLAVOR_ID", "YAWOL_IMAGE_ID"].map(|n| (n.to_owned(), format!("value-of-{n}")));
    Known { checks: CHECKS, environment: environment.into(), ..Known::default() }
}

pub fn read(text: &str) -> Result<Scenario, Problems> {
    parse_bytes(text.as_bytes(), Path::new("test.yaml"), &known()).map_err(Problems)
}

pub fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("fixtures/scenario").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

/// Compares with the file, or writes it.
pub fn expect_file(file: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, actual).unwrap();
        return Ok(());
    }
    match std::fs::read_to_string(file) {
        Ok(expected) if expected == actual => Ok(()),
        Ok(expected) => {
            Err(format!("{} differs\n--- expected\n{expected}\n--- actual\n{actual}", file.display()))
        }
        Err(error) => Err(format!("{}: {error}; UPDATE_SNAPSHOTS=1 writes it", file.display())),
    }
}

pub fn all_match(results: Vec<Result<(), String>>) {
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_malformed_file_has_its_screen() {
    let files = cases("fail");
    assert!(files.len() >= 40, "there are only {} malformed files", files.len());
    let results = files.iter().map(|file| {
        let bytes = std::fs::read(file).unwrap();
        let problems = match parse_bytes(&bytes, Path::new(file.file_name().unwrap()), &known()) {
            Ok(_) => return Err(format!("{} is accepted", file.display())),
            Err(problems) => Problems(problems),
        };
        expect_file(&file.with_extension("stderr"), &problems.render(false))
    });
    all_match(results.collect());
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let page = std::fs::read_to_string("docs/SCENARIOS.md").unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let scenario = read(example).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(scenario.name.as_str(), "openstack-big-switches");
}

#[test]
fn every_screen_in_the_documentation_is_a_real_one() {
    let page = std::fs::read_to_string("docs/SCENARIOS.md").unwrap();
    let screen = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let real = std::fs::read_to_string("fixtures/scenario/fail/switch-unquoted-minor.stderr").unwrap();
    assert!(real.starts_with(screen), "{screen}");
}

#[test]
fn every_valid_file_becomes_what_it_says() {
    let files = cases("pass");
    assert!(files.len() >= 6, "there are only {} valid files", files.len());
    let results = files.iter().map(|file| {
        let bytes = std::fs::read(file).unwrap();
        match parse_bytes(&bytes, Path::new(file.file_name().unwrap()), &known()) {
            Ok(scenario) => expect_file(&file.with_extension("txt"), &show(&scenario)),
            Err(problems) => Err(format!("{} is refused:\n{}", file.display(), Problems(problems))),
        }
    });
    all_match(results.collect());
}

/// Everything, with names without their types.
fn show(scenario: &Scenario) -> String {
    let name = regex::Regex::new(r#"\w+Name\(\s*("[^"\n]*"),\s*\)"#).unwrap();
    let text = format!("{scenario:#?}\n");
    name.replace_all(&text, "$1").into_owned()
}
