//! (cli)

pub mod testbed;
