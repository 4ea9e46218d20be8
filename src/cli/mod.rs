//! Arguments -> settings -> exit code; one file for each command. Only here the environment is read and something
//! is printed: data to stdout, progress and messages to stderr.

mod bisect;
mod changed;
mod check_list;
mod cloud;
mod clouds;
mod commands;
mod completions;
mod conformance;
mod estimate;
mod exit;
mod gate;
mod http;
mod inputs;
mod lint;
mod owner;
mod plan;
mod preflight;
mod published;
mod rehearse;
mod release;
mod report;
mod run;
mod screen;
mod stack;
mod stop;
mod store;
mod sweep;
mod sweep_cloud;
pub mod testbed;
mod users;
mod validate;

use clap::{CommandFactory, Parser, Subcommand};
use exit::Exit;
use std::process::ExitCode;

/// End-to-end tests for SCS Cluster Stacks.
///
/// Expands scenario files over the big switches of a Cluster Stack, creates the clusters through Cluster API, checks
/// and changes them, reports as JUnit, and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "stack-e2e", version, max_term_width = 100, after_help = EXIT_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_HELP: &str = "\
Exit codes:
    0  all passed, proven clean
    1  a check failed, proven clean
    2  bad input or usage; nothing was touched
    3  infrastructure or the harness itself failed; inconclusive; clean
    4  not proven clean (overrides 1 and 3)
    5  the cloud cannot carry the plan out; nothing was touched
    6  nothing selected
  130  interrupted (SIGINT); 143 terminated (SIGTERM): `run --resume` or `sweep` finishes";

#[derive(Debug, Subcommand)]
enum Command {
    /// Check scenario files; every problem at once
    Validate(validate::ValidateArgs),
    /// Show scenarios, switches or checks
    List(check_list::ListArgs),
    /// Show what a run would do
    Plan(plan::PlanArgs),
    /// Show what is read of Cluster Stacks on disk
    Stack(stack::StackArgs),
    /// Create, check, change and delete the clusters of scenario files
    Run(Box<run::RunArgs>),
    /// Write the reports of runs again, or of several runs as one
    Report(report::ReportArgs),
    /// Say whether a release has been tested as a policy demands: yes, no, or undecidable
    Gate(gate::GateArgs),
    /// Build the assets of a release of a stack, or check those that are published
    Release(release::ReleaseArgs),
    /// Find where the stacks of a repository are inconsistent, over their minors and with each other
    Lint(lint::LintArgs),
    /// Judge results of Kubernetes conformance tests, and prepare a certification
    Conformance(conformance::ConformanceArgs),
    /// End the processes of runs that whoever started them has left alone
    Stop(stop::StopArgs),
    /// Find what runs have left behind, and delete it with --yes
    Sweep(sweep::SweepArgs),
    /// A management cluster on this machine, from plain processes
    Testbed(testbed::TestbedArgs),
    /// Print the JSON schema of scenario files
    Schema,
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    // The first use of TLS needs a provider; there is one, and it is installed once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a reader that went away is none either.
            let code = if error.use_stderr() { Exit::BadInput } else { Exit::Passed };
            let _ = error.print();
            return code.into();
        }
    };
    screen::init_tracing();
    match cli.command {
        Command::Validate(args) => validate::run(&args).into(),
        Command::List(args) => check_list::run(&args).into(),
        Command::Plan(args) => plan::run(&args).into(),
        Command::Stack(args) => stack::run(&args).into(),
        Command::Run(args) => run::run(*args).into(),
        Command::Report(args) => report::run(&args).into(),
        Command::Gate(args) => gate::run(&args).into(),
        Command::Lint(args) => lint::run(&args).into(),
        Command::Conformance(args) => conformance::run(&args).into(),
        Command::Release(args) => release::run(&args).into(),
        Command::Stop(args) => stop::run(&args).into(),
        Command::Sweep(args) => sweep::run(&args).into(),
        Command::Testbed(args) => testbed::run(args),
        Command::Schema => validate::schema().into(),
        Command::Completions(args) => completions::run(&args, &mut Cli::command()).into(),
    }
}
