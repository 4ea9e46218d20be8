//! Any bytes as a scenario file: accepted and multiplied out, or refused with reasons that can be shown.
//!
//! `cargo +nightly fuzz run scenario fuzz/corpus/scenario fixtures/scenario/pass fixtures/scenario/fail -- -dict=fuzz/scenario.dict`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stack_e2e::matrix::expand;
use stack_e2e::scenario::{Cover, Known, Problems, parse_bytes};
use std::path::Path;

const CHECKS: &[(&str, &str)] = &[("cluster-available", "smoke"), ("dns", "smoke"), ("conformance-quick", "conformance")];

fuzz_target!(|bytes: &[u8]| {
    let environment = [("YAWOL_FLAVOR_ID".to_owned(), "m1.large".to_owned())].into();
    let known = Known { checks: CHECKS, environment, ..Known::default() };
    match parse_bytes(bytes, Path::new("fuzz.yaml"), &known) {
        Ok(scenario) => {
            let all = matches!(scenario.cover, Cover::All);
            let matrix = expand(&[scenario]);
            assert!(!all || matrix.is_ok_and(|m| !m.combinations.is_empty()), "nothing to run");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let screen = Problems(problems).render(false);
            assert!(!screen.contains('\u{1b}'), "an escape sequence reaches the terminal");
        }
    }
});
