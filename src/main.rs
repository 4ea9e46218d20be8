//! The `stack-e2e` program: everything is in the library.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Testbed(stack_e2e::cli::testbed::TestbedArgs),
}

fn main() -> ExitCode {
    let Command::Testbed(args) = Cli::parse().command;
    stack_e2e::cli::testbed::run(args)
}
