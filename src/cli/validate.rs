//! `stack-e2e validate` and `stack-e2e schema`

use super::exit::Exit;
use super::inputs::{self, FileArgs};
use super::screen;
use crate::scenario;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    files: FileArgs,
}

pub(super) fn run(args: &ValidateArgs) -> Exit {
    let checked = inputs::load(&args.files)
        .and_then(|scenarios| Ok((inputs::select(&scenarios, &Default::default())?, scenarios)));
    match checked {
        Ok((matrix, scenarios)) => {
            for scenario in &scenarios {
                let of = matrix.combinations.iter().filter(|c| c.scenario == scenario.name).count();
                screen::data(&format!(
                    "{}: scenario `{}`, {of} combinations",
                    scenario.file.display(),
                    scenario.name
                ));
            }
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
