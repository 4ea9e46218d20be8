//! Covers a model that is written in another tool's format, so that sizes and times can be put beside that tool's.
//!
//! Writes the rows, one to a line, as value indexes between blanks; prints what was found, and the processor time.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use stack_e2e::matrix::cover::{CoverError, Request, cover_until};
use stack_e2e::matrix::formats::{Document, Problem, casa, levels, medici, pict};

/// Few rows that contain all combinations of `strength` values that the constraints allow.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    source: Source,
    /// The constraints of a CASA model.
    #[arg(long, requires = "casa_model")]
    casa_constraints: Option<PathBuf>,
    /// How many values are covered together; the model's own strength is not looked at.
    #[arg(long, default_value_t = 2)]
    strength: usize,
    /// Where to write the rows.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Ends the search after so many seconds of processor time per thread; then the result depends on the machine.
    #[arg(long)]
    seconds: Option<f64>,
    /// Ends the search after so many steps; the default unless there is a limit in seconds.
    #[arg(long)]
    steps: Option<u64>,
    /// The seed of the random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many searches run, at once.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A model of CASA.
    #[arg(long)]
    casa_model: Option<PathBuf>,
    /// A model of PICT.
    #[arg(long)]
    pict: Option<PathBuf>,
    /// A model of Medici.
    #[arg(long)]
    medici: Option<PathBuf>,
    /// Numbers of values, such as `4^15 3^17 2^29`.
    #[arg(long)]
    spec: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(line) if writeln!(io::stdout(), "{line}").is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<String, String> {
    let document = read(options)?;
    if document.parameters.is_empty() {
        return Err("the model has no parameters".to_owned());
    }
    let model = document.model().map_err(|error| error.to_string())?;
    let threads = options.threads.max(1);
    let request = Request {
        requirements: document.requirements(options.strength),
        weights: document.weights(),
        invalid: document.invalid(),
        seed: options.seed,
        steps: options.steps.unwrap_or(if options.seconds.is_some() { u64::MAX } else { 1_000_000 }),
        searches: threads,
        threads,
        ..Request::default()
    };
    let limit = options.seconds.map_or(f64::INFINITY, |seconds| seconds * threads as f64);
    // What reading the model has taken counts too: it does for the others.
    let stop = move || processor_time() >= limit;
    let cover = cover_until(&model, &request, Some(&stop)).map_err(|error| match error {
        CoverError::Contradiction { origins } => {
            let places = origins.iter().filter_map(|&at| document.places.get(at));
            let places: Vec<String> =
                places.map(|place| format!("line {}, column {}", place.line, place.column)).collect();
            format!(
                "no row satisfies the constraints at {}, none of which could be spared",
                places.join(" and ")
            )
        }
        other => other.to_string(),
    })?;
    if let Some(path) = &options.rows {
        let line = |row: &Vec<u8>| row.iter().map(u8::to_string).collect::<Vec<_>>().join(" ") + "\n";
        let text: String = cover.rows.iter().map(line).collect();
        fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(format!(
        "size {} bound {} optimal {} tuples {} infeasible {} steps {} cpu_seconds {:.3}",
        cover.rows.len(),
        cover.lower_bound,
        if cover.optimal { "yes" } else { "no" },
        cover.required,
        cover.infeasible.len(),
        cover.steps,
        processor_time(),
    ))
}

fn read(options: &Options) -> Result<Document, String> {
    let text = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let within = |path: &Path| {
        let path = path.display().to_string();
        move |problems: Vec<Problem>| {
            let lines = problems.iter().map(|problem| format!("{path}: {problem}"));
            lines.collect::<Vec<_>>().join("\nerror: ")
        }
    };
    let Source { casa_model, pict: pict_model, medici: medici_model, spec } = &options.source;
    if let Some(path) = casa_model {
        let model = text(path)?;
        let alone = casa(&model, None).map_err(within(path))?;
        match &options.casa_constraints {
            None => Ok(alone),
            Some(constraints) => casa(&model, Some(&text(constraints)?)).map_err(within(constraints)),
        }
    } else if let Some(path) = pict_model {
        pict(&text(path)?).map_err(within(path))
    } else if let Some(path) = medici_model {
        medici(&text(path)?).map_err(within(path))
    } else {
        levels(spec.as_deref().unwrap_or_default()).map_err(within(Path::new("--spec")))
    }
}

/// The processor time of all threads so far, in seconds.
fn processor_time() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}
