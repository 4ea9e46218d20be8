//! `cargo bench`: how long a scenario takes to cover and a full product to stream. Processor time, the best of a few runs;
//! fails above a limit that leaves room for slow machines, and
//! above 64 MiB of memory.

use std::io::{self, Write};
use std::process::ExitCode;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use stack_e2e::matrix::cover::{Clause, Literal, Model, Request, cover, product};

/// Ten constraints on twelve switches with two to six values.
fn scenario() -> Model {
    let forbid: [&[(usize, u8)]; 10] = [
        &[(0, 5), (2, 1)],
        &[(0, 0), (3, 2)],
        &[(0, 0), (3, 3)],
        &[(1, 1), (4, 0), (5, 2)],
        &[(2, 1), (6, 0)],
        &[(6, 1), (7, 3)],
        &[(8, 0), (9, 1)],
        &[(8, 2), (10, 0)],
        &[(0, 4), (11, 4)],
        &[(0, 5), (11, 4)],
    ];
    model(&[6, 2, 2, 4, 3, 3, 2, 4, 3, 2, 2, 5], &forbid)
}

/// 1,179,648 combinations, some of which are forbidden.
fn large() -> Model {
    model(
        &[4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 2],
        &[&[(0, 0), (10, 1)], &[(1, 1), (8, 2), (9, 2)], &[(2, 3), (3, 3)]],
    )
}

fn model(levels: &[u8], forbidden: &[&[(usize, u8)]]) -> Model {
    let differs = |&(parameter, value): &(usize, u8)| Literal { parameter, value, equal: false };
    let clauses = forbidden.iter().enumerate();
    let clauses =
        clauses.map(|(origin, tuple)| Clause { literals: tuple.iter().map(differs).collect(), origin });
    Model::new(levels.to_vec(), clauses.collect()).expect("the model is well formed")
}

fn main() -> ExitCode {
    let (scenario, large) = (scenario(), large());
    let pairs = Request { steps: 20_000, ..Request::of_strength(&scenario, 2) };
    let triples = Request { steps: 20_000, ..Request::of_strength(&scenario, 3) };
    let rows = |request| cover(&scenario, request).map_or(0, |cover| cover.rows.len());
    let results = [
        measure("pairs of 12 switches with 10 constraints", 0.040, || rows(&pairs)),
        measure("triples of 12 switches with 10 constraints", 0.200, || rows(&triples)),
        measure("a product of a million rows", 1.0, || product(&large).count()),
    ];
    // All of the above together: a row at a time needs next to nothing.
    let mebibytes = peak_memory();
    let small = mebibytes <= 64.0;
    let verdict = if small { "within" } else { "ABOVE" };
    let told = writeln!(io::stdout(), "peak memory {mebibytes:.1} MiB, {verdict} 64 MiB").is_ok();
    if told && small && results.iter().all(|within| *within) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(name: &str, limit: f64, work: impl Fn() -> usize) -> bool {
    let mut best = f64::INFINITY;
    let mut rows = 0;
    for _ in 0..5 {
        let start = processor_time();
        rows = work();
        best = best.min(processor_time() - start);
    }
    let verdict = if best <= limit { "within" } else { "ABOVE" };
    let line = format!("{name:<44} {rows:>8} rows {:>9.3} ms, {verdict} {:.0} ms", best * 1e3, limit * 1e3);
    writeln!(io::stdout(), "{line}").is_ok() && best <= limit
}

/// The most memory that this process has held, in MiB; endless where nobody says. Not `getrusage`, which begins with that
/// of whoever has started this process.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.map_or(f64::INFINITY, |kibibytes| kibibytes / 1024.0)
}

fn processor_time() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}
