//! The rules of the house that no compiler holds: layers, pure modules, and where printing is allowed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first, as `src/lib.rs` lists them. A module uses lower layers only.
const LAYERS: &[&[&str]] = &[
    &["types"],
    &["cloud", "cluster", "event", "scenario", "stack"],
    &["addon", "matrix", "release", "results"],
    &["conformance", "gate", "lint", "plan", "report"],
    &["check", "collect", "provider", "testbed"],
    &["run"],
    &["cli"],
];

/// Uses within a layer that are allowed, each for a reason.
const ALLOWED: &[(&str, &str)] = &[
    // Problems of a clouds.yaml are shown as those of a scenario.
    ("cloud", "scenario"),
    // A wait that ends badly is a `Failure`.
    ("cluster", "event"),
    // What failures have in common is asked of the engine that covers combinations.
    ("results", "matrix"),
    // What the operator says of a stage is told with what the stack says of it.
    ("cluster", "stack"),
    // Problems of a stack are reported at the line of the scenario.
    ("stack", "scenario"),
];

/// Modules that do no I/O and look at no clock, but for the named files.
const PURE: &[(&str, &[&str])] = &[
    ("types", &[]),
    (
        "cloud",
        &[
            "clean.rs",
            "client.rs",
            "transport.rs",
            "facts.rs",
            "inventory.rs",
            "load.rs",
            "purge.rs",
            "tests.rs",
        ],
    ),
    ("conformance", &[]),
    ("event", &[]),
    ("gate", &[]),
    ("lint", &["gather.rs"]),
    ("matrix", &[]),
    ("plan", &[]),
    ("report", &[]),
    ("scenario", &["load.rs"]),
    (
        "stack",
        &[
            "cache.rs",
            "charts.rs",
            "discover.rs",
            "git.rs",
            "minor.rs",
            "read.rs",
            "reads.rs",
            "render.rs",
            "program.rs",
            "snapshot.rs",
            "source.rs",
        ],
    ),
    ("results", &["journal.rs", "file.rs"]),
    ("release", &["folder.rs", "build.rs", "csctl.rs", "unpack.rs", "http.rs", "mod.rs"]),
    ("provider", &["capi.rs", "operator.rs", "project.rs", "rehearse.rs", "scripted.rs"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    assert!(files.len() > 30, "the sources must be found");
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module below `src/` that a file belongs to.
fn module(file: &Path) -> String {
    let below = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its tests and comments. Tests stand at the end, but for modules of tests in files of
/// their own.
fn code(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            code.push(line);
        } else if !lines.next().is_some_and(|declaration| declaration.ends_with(';')) {
            break;
        }
    }
    code.join("\n")
}

#[test]
fn code_is_what_is_left_without_tests_and_comments() {
    let text = "a\n// b\n#[cfg(test)]\nmod c;\nd\n#[cfg(test)]\nmod tests {\n    e\n}";
    assert_eq!(code(text), "a\nd");
}

fn used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let name: String =
            code[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        used.insert(name);
    }
    used
}

#[test]
fn a_module_uses_lower_layers_only() {
    let layer = |name: &str| LAYERS.iter().position(|modules| modules.contains(&name));
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let here = module(&file);
        let Some(own) = layer(&here) else {
            assert!(matches!(here.as_str(), "lib" | "main"), "`{here}` is in no layer");
            continue;
        };
        for other in used(&code(&text)) {
            let Some(theirs) = layer(&other) else { continue };
            let allowed = ALLOWED.contains(&(here.as_str(), other.as_str()));
            if other != here && theirs >= own && !allowed {
                wrong.push(format!("{} uses `{other}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "layers are broken:\n{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_clock_and_no_files() {
    const IMPURE: &[&str] = &[
        "std::fs",
        "std::env",
        "std::process",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "tokio::",
        "kube::",
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "Uuid::now",
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let here = module(&file);
        let Some((_, except)) = PURE.iter().find(|(name, _)| *name == here) else { continue };
        let name = file.file_name().unwrap().to_string_lossy();
        if except.contains(&name.as_ref()) {
            continue;
        }
        let code = code(&text);
        wrong.extend(
            IMPURE
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{}: {word}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "pure modules are not pure:\n{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints_and_reads_the_environment() {
    let mut wrong = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| !matches!(module(file).as_str(), "cli" | "main"))
    {
        let code = code(text);
        for word in ["println!", "eprintln!", "std::env::var", "env::var", "std::env::args", "anstream::"] {
            if code.contains(word) {
                wrong.push(format!("{}: {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "only `cli` may print or read the environment:\n{}", wrong.join("\n"));
}

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for folder in [root.to_owned(), root.join("docs"), root.join("docs/decisions")] {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "md")));
    }
    pages.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// What stands between backticks, outside of blocks of code.
fn words(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|text| text.lines()).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn pages_link_to_files_that_exist() {
    let mut wrong = Vec::new();
    for (file, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let here = file.parent().unwrap().join(target);
            if !target.is_empty() && !target.contains("://") && !here.exists() {
                wrong.push(format!("{}: {target}", file.display()));
            }
        }
        for word in words(&text).filter(|word| word.starts_with("src/") || word.starts_with("tests/")) {
            let exists = Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists();
            if !exists && !word.contains(['*', '{']) {
                wrong.push(format!("{}: {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these are not there:\n{}", wrong.join("\n"));
}

#[test]
fn the_page_on_tests_knows_every_check_and_names_tests_that_exist() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/TESTING.md")).unwrap();
    let named: BTreeSet<&str> = words(&page).collect();
    for check in stack_e2e::check::CHECKS {
        assert!(named.contains(check.name), "`{}` has no row in docs/TESTING.md", check.name);
    }
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")), &mut files);
    let sources: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    // The name of a test is a sentence; that is how it is told from other words.
    let tests: BTreeSet<&str> = named
        .iter()
        .filter_map(|word| word.rsplit("::").next())
        .filter(|name| {
            name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
        .collect();
    assert!(tests.len() > 20, "only {} tests are named", tests.len());
    let gone: Vec<_> = tests.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(gone.is_empty(), "these tests do not exist: {gone:?}");
}
