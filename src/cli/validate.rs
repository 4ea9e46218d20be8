//! `stack-e2e validate` and `stack-e2e schema`

use super::exit::Exit;
use super::inputs::{self, FileArgs};
use super::screen;
use crate::report::zuul;
use crate::scenario;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    files: FileArgs,
    /// How to show it; zuul is data for zuul_return, with problems as comments on lines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// With `--format zuul`: write it to this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Zuul,
}

pub(super) fn run(args: &ValidateArgs) -> Exit {
    if args.format == Format::Zuul {
        screen::for_zuul(args.to.clone());
    }
    let checked = inputs::load(&args.files)
        .and_then(|scenarios| Ok((inputs::select(&scenarios, &Default::default())?, scenarios)));
    match checked {
        Ok((matrix, scenarios)) => {
            for scenario in &scenarios {
                let of = matrix.combinations.iter().filter(|c| c.scenario == scenario.name).count();
                let line =
                    format!("{}: scenario `{}`, {of} combinations", scenario.file.display(), scenario.name);
                match args.format {
                    Format::Text => screen::data(&line),
                    Format::Zuul => screen::note(&line),
                }
            }
            screen::zuul(&zuul::nothing());
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

/// Prints the JSON schema of scenario files.
pub(super) fn schema() -> Exit {
    screen::data(&serde_json::to_string_pretty(&scenario::schema()).unwrap_or_default());
    Exit::Passed
}
