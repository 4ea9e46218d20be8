//! The `stack-e2e` program: everything is in the library.

fn main() {}
