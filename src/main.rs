//! The `stack-e2e` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stack_e2e::cli::main()
}
