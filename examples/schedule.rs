//! Schedules PSPLIB files and prints, for each, makespan, bound and processor time.
//!
//! ```text
//! cargo run --release --example schedule -- --seconds 0.2 FILE.sm ...
//! ```

use clap::Parser;
use stack_e2e::plan::schedule::{Options, psplib, schedule};
use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io::Write as _};

/// Schedule PSPLIB instances
#[derive(Parser)]
struct Args {
    /// Instances in the format `.sm`
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Drop the precedence relations: quotas alone
    #[arg(long)]
    no_precedence: bool,
    /// Processor seconds for each instance
    #[arg(long, value_name = "S", conflicts_with = "schedules")]
    seconds: Option<f64>,
    /// Schedules to generate for each instance; equal numbers give equal results
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    schedules: u64,
    /// Seed of the search
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write start times to this file, one line for each instance: name, then the start of every job
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Processor time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    let seconds = |time: nix::sys::time::TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "seconds of one process")]
        let exact = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        exact
    };
    usage.map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut starts = String::new();
    let mut screen = std::io::stdout().lock();
    let _ = writeln!(
        screen,
        "{:<24} {:>10} {:>10} {:>9} {:>10}",
        "file", "makespan", "bound", "cpu s", "schedules"
    );
    for file in &args.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut instance = psplib::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        if args.no_precedence {
            instance.jobs.iter_mut().for_each(|job| job.after.clear());
        }
        let before = cpu_seconds();
        let asked = Cell::new(0_u32);
        let limit = args.seconds.unwrap_or(f64::INFINITY);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get().is_multiple_of(64) && cpu_seconds() - before >= limit
        };
        let schedules = if args.seconds.is_some() { u64::MAX } else { args.schedules };
        let options = Options { seed: args.seed, schedules, stop: Some(&stop) };
        let made = schedule(&instance, &options).map_err(|error| format!("{}: {error}", file.display()))?;
        let (makespan, bound, count) = (made.makespan, made.bound, made.schedules);
        let seconds = cpu_seconds() - before;
        let _ = writeln!(screen, "{name:<24} {makespan:>10} {bound:>10} {seconds:>9.3} {count:>10}");
        let list: Vec<String> = made.start.iter().map(ToString::to_string).collect();
        starts += &format!("{name} {}\n", list.join(" "));
    }
    if let Some(out) = &args.out {
        fs::write(out, starts).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    Ok(())
}
