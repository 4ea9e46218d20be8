//! The exit codes of all commands, in one table.

use crate::results::ExitStatus;
use crate::testbed::TestbedError;
use std::process::ExitCode;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It did what it should; for a run: all passed, proven clean.
    Passed,
    /// Bad input or usage; nothing was touched.
    BadInput,
    /// Infrastructure or the harness itself failed.
    Infrastructure,
    /// Something of ours is left, or nobody knows.
    NotProvenClean,
    /// The cloud lacks what the plan needs.
    NotThere,
    /// Nothing was selected.
    NothingSelected,
    /// As a run's report says.
    Run(ExitStatus),
}

impl Exit {
    /// Shows what went wrong with a testbed.
    pub(super) fn testbed(error: &TestbedError) -> Self {
        if super::testbed::complain(error) == ExitCode::from(2) {
            Self::BadInput
        } else {
            Self::Infrastructure
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Passed => 0,
            Exit::BadInput => 2,
            Exit::Infrastructure => ExitStatus::Inconclusive.code(),
            Exit::NotProvenClean => ExitStatus::NotProvenClean.code(),
            Exit::NotThere => 5,
            Exit::NothingSelected => ExitStatus::NothingSelected.code(),
            Exit::Run(status) => status.code(),
        })
    }
}
