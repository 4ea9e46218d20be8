//! JUnit files of other tools (conformance suites, Ginkgo, pytest, ...), and of this one, as a stream: any number of
//! files become one result in linear time, and what is held in memory does not grow with what the files hold as
//! evidence.
//!
//! The rules of merging. A case is known by suite, class and name.
//!
//! - What failed anywhere has failed: all failures that differ are kept, and passes and skips of the same case
//!   are dropped. No order of files or moments can turn it green, as files do not say which of them came later.
//! - A pass beats a skip: tools that run in parallel list in each file what another one ran.
//! - Of several passes one that was flaky counts, else, as of skips, the one in the first file. Files are taken in the
//!   order of their names.
//! - Absence is no pass: a file without cases, and a suite that declares more failures than it lists, are errors.
//! - The output of cases that passed is not kept.

mod merge;
mod read;

pub use merge::{Counts, Foreign, ForeignFailure, ForeignFile, Kept, KeptSuite, Merged, Source};
pub use read::{Case, Part, ReadError, Status, Suite, Tag, read as each_case};

/// What no file may exceed; larger ones are refused by name and number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of one tag or of one text without a tag in it.
    pub piece: u64,
    /// Elements within each other.
    pub depth: usize,
    /// Cases of all files.
    pub cases: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 1 << 30, piece: 16 << 20, depth: 64, cases: 5_000_000 }
    }
}

/// How much of one text is kept; a later entry is used when everything together would be too much.
pub const MAX_TEXT: [usize; 5] = [64 << 10, 16 << 10, 4 << 10, 1 << 10, 256];
