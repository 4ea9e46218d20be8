//! Loading from the disk: directories, names, files that are none, and directories that lead out.

#![allow(clippy::unwrap_used)]

use crate::scenario::known;
use stack_e2e::scenario::{Known, Scenario, load};
use std::fs::{create_dir, create_dir_all, write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn text(name: &str, directory: &str) -> String {
    format!(
        "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  \
         stack: {{provider: scripted, name: scs, source: {{directory: {directory}}}}}\n  \
         switches: {{kubernetes: [\"1.34\"]}}\n  checks: [smoke]\n"
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        create_dir_all(file.parent().unwrap()).unwrap();
        write(file, text).unwrap();
    }
    folder
}

fn names(scenarios: &[Scenario]) -> Vec<&str> {
    scenarios.iter().map(|s| s.name.as_str()).collect()
}

/// The one-line form of every problem, without the temporary folder.
fn problems(paths: &[PathBuf], known: &Known<'_>, folder: &Path) -> Vec<String> {
    let found = load(paths, known).unwrap_err();
    found.0.iter().map(|p| p.to_string().replace(&format!("{}/", folder.display()), "")).collect()
}

#[test]
fn a_directory_stands_for_its_yaml_files() {
    let folder = folder(&[
        ("b.yaml", &text("b", "s")),
        ("a.yml", &text("a", "s")),
        ("schema.json", "{}"),
        (".hidden.yaml", "- no scenario"),
        ("deeper/c.yaml", "- not looked at"),
    ]);
    let scenarios = load(&[folder.path().into()], &known()).unwrap();
    assert_eq!(names(&scenarios), ["a", "b"]);
    assert_eq!(scenarios[0].file, folder.path().join("a.yml"));
    assert_eq!(scenarios[0].stack.directory, folder.path().join("s"));

    // The order is that of the command; a file that is named again is not read again.
    let paths = [folder.path().join("b.yaml"), folder.path().into(), folder.path().join("deeper/../b.yaml")];
    assert_eq!(names(&load(&paths, &known()).unwrap()), ["b", "a"]);
}

#[test]
fn names_are_unique_among_all_files() {
    let folder = folder(&[("a.yaml", &text("same", "s")), ("b.yaml", &text("same", "s"))]);
    let found = load(&[folder.path().into()], &known()).unwrap_err();
    let screen = found.render(false).replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(screen);
}

#[test]
fn problems_of_all_files_come_together() {
    let folder = folder(&[
        ("a.yaml", &text("A", "s")),
        ("b.yaml", &text("b", "s")),
        ("c.yaml", "kind: Other\n"),
        ("empty/readme", ""),
    ]);
    create_dir(folder.path().join("folder.yaml")).unwrap();
    let paths = [folder.path().into(), folder.path().join("missing.yaml"), folder.path().join("empty")];
    assert_eq!(
        problems(&paths, &known(), folder.path()),
        [
            "empty: there are no scenario files in this directory",
            "a.yaml:3:18: `A` cannot be a scenario name",
            "c.yaml:1:7: `kind` must be `Scenario`, not `Other`",
            "missing.yaml: the file cannot be read: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn what_is_no_file_or_too_large_is_refused_unread() {
    let folder = folder(&[]);
    let large = folder.path().join("large.yaml");
    // Sparse: 100 GB that take no space, and no time unless somebody reads them.
    std::fs::File::create(&large).unwrap().set_len(100 << 30).unwrap();
    let start = std::time::Instant::now();
    let paths = [large, PathBuf::from("/dev/zero")];
    assert_eq!(
        problems(&paths, &known(), folder.path()),
        ["large.yaml: the file is larger than 1024 KiB", "/dev/zero: this is neither a file nor a directory",]
    );
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn a_stack_stays_inside_the_allowed_directory() {
    let folder = folder(&[
        ("repo/scenarios/inside.yaml", &text("inside", "../stacks/scs")),
        ("repo/scenarios/outside.yaml", &text("outside", "../../etc")),
        ("repo/scenarios/absolute.yaml", &text("absolute", "/etc")),
        ("repo/scenarios/link.yaml", &text("link", "../link/deeper")),
        ("repo/scenarios/missing.yaml", &text("missing", "../nowhere")),
        ("repo/stacks/scs/readme", ""),
        ("etc/deeper/readme", ""),
    ]);
    std::os::unix::fs::symlink("../etc", folder.path().join("repo/link")).unwrap();
    let known = Known { root: Some(folder.path().join("repo")), ..known() };
    let paths = [folder.path().join("repo/scenarios")];
    assert_eq!(
        problems(&paths, &known, folder.path()),
        [
            "repo/scenarios/absolute.yaml:5:62: the directory `/etc` leads out of the allowed one",
            "repo/scenarios/link.yaml:5:62: the directory leads out of the allowed one",
            "repo/scenarios/outside.yaml:5:62: the directory `../../etc` leads out of the allowed one",
        ]
    );
}
