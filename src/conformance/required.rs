//! The list of tests that a version of Kubernetes requires.

use crate::types::on_one_line;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The names of all required tests, as `test/conformance/testdata/conformance.yaml` of a version of Kubernetes has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required {
    /// The names, e.g. `[sig-node] Pods should be updated [NodeConformance] [Conformance]`.
    pub names: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Entry {
    codename: String,
}

impl Required {
    /// Reads the file.
    ///
    /// # Errors
    /// Why it is no such list: it cannot be read, or there is no test in it. Nobody conforms to an empty list.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries: Vec<Entry> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        // Folded lines may leave more than one space.
        let names: BTreeSet<String> = entries.into_iter().map(|entry| on_one_line(&entry.codename)).collect();
        match names.iter().find(|name| !name.contains("[Conformance]")) {
            Some(name) => Err(format!("`{name}` has no [Conformance] in its name")),
            None if names.is_empty() => Err("there is no test in it".into()),
            None => Ok(Self { names }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_tests_have_them() {
        let text = "- testname: A\n  codename: '[sig-a] a thing\n    should work [Conformance]'\n  release: v1.9\n  file: a.go\n";
        let list = Required::parse(text).unwrap();
        assert_eq!(list.names.into_iter().collect::<Vec<_>>(), ["[sig-a] a thing should work [Conformance]"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (text, why) in [
            ("[]", "no test in it"),
            ("a: b", ""),
            ("- testname: A", "codename"),
            ("- codename: '[sig-a] b'", "has no [Conformance]"),
        ] {
            let error = Required::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
