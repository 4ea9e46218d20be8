//! `stack-e2e completions`

use super::exit::Exit;
use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, command: &mut clap::Command) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "stack-e2e", &mut text);
    super::screen::data(&String::from_utf8_lossy(&text));
    Exit::Passed
}
