//! `conformance` as a program: what is a conformance result, and what a certification would refuse.

use crate::support::process::Home;
use std::fs;
use std::io::Write as _;

const LIST: &str = "- testname: A\n  codename: '[sig-a] one [Conformance]'\n- testname: B\n  codename: '[sig-b] two\n    [Serial] [Conformance]'\n";
const PRODUCT: &str = "vendor: A\nname: Example Cloud\nversion: 1\ntype: distribution\ndescription: d\nwebsite_url: https://example.com\n\
    documentation_url: https://example.com/docs\ncontact_email_address: a@example.com\n";
const LOG: &str = "I0106 13:08:19 e2e.go:109] kube-apiserver version: v1.36.3\nSUCCESS! -- 1 Passed | 0 Failed | 0 Pending | 9 Skipped\n";

fn case(name: &str, inner: &str) -> String {
    format!("<testcase name=\"[It] {name}\" classname=\"Kubernetes e2e suite\">{inner}</testcase>")
}

fn suite(cases: &[String]) -> String {
    format!(
        "<testsuites><testsuite name=\"Kubernetes e2e suite\">{}</testsuite></testsuites>",
        cases.concat()
    )
}

/// A home with the results of two passes: side by side without `[Serial]`, then `[Serial]`.
fn home() -> Home {
    let home = Home::new();
    for (pass, one, two) in [("parallel", "", "<skipped/>"), ("serial", "<skipped/>", "")] {
        fs::create_dir(home.path(pass)).unwrap();
        let cases = [case("[sig-a] one [Conformance]", one), case("[sig-b] two [Serial] [Conformance]", two)];
        fs::write(home.path(format!("{pass}/junit_01.xml")), suite(&cases)).unwrap();
        fs::write(home.path(format!("{pass}/e2e.log")), LOG).unwrap();
    }
    for (file, text) in [("list.yaml", LIST), ("PRODUCT.yaml", PRODUCT), ("README.md", "# How\n")] {
        fs::write(home.path(file), text).unwrap();
    }
    home
}

#[test]
fn one_pass_is_no_conformance_result_and_both_are() {
    let home = home();
    let one = home.say(&["conformance", "check", "parallel", "--list", "list.yaml", "--junit", "c.xml"]);
    assert_eq!(one.code(), 3, "{}", one.stderr);
    assert!(
        one.stdout.starts_with("NOT A CONFORMANCE RESULT: 1 of 2 required tests passed"),
        "{}",
        one.stdout
    );
    assert!(
        one.stdout.contains("did not run (1):\n  [sig-b] two [Serial] [Conformance]\n"),
        "{}",
        one.stdout
    );
    assert!(one.stdout.contains("1 of the 1 [Serial] ones did not run"), "{}", one.stdout);
    assert!(fs::read_to_string(home.path("c.xml")).unwrap().contains("it did not run"));
    let both = home.say(&["conformance", "check", "parallel", "serial", "--list", "list.yaml"]);
    assert_eq!((both.code(), both.stdout.trim()), (0, "CONFORMANT: all 2 required tests passed"));
    let failed = suite(&[case("[sig-a] one [Conformance]", "<failure message=\"no\"/>")]);
    fs::write(home.path("failed.xml"), failed).unwrap();
    let all = [
        "conformance",
        "check",
        "parallel",
        "serial",
        "failed.xml",
        "--list",
        "list.yaml",
        "--format",
        "json",
    ];
    let red = home.say(&all);
    assert_eq!(red.code(), 1);
    assert!(red.stdout.contains("\"verdict\": \"failed\""), "{}", red.stdout);
}

#[test]
fn a_tarball_of_sonobuoy_is_read() {
    let home = home();
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for pass in ["parallel", "serial"] {
        let junit = fs::read(home.path(format!("{pass}/junit_01.xml"))).unwrap();
        // As the two passes, and another plugin, whose results are none of ours.
        for (plugin, content) in [("e2e", junit.as_slice()), ("systemd-logs", b"no xml")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let name = format!("plugins/{plugin}/results/global/junit_{pass}.xml");
            archive.append_data(&mut header, name, content).unwrap();
        }
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    fs::File::create(home.path("sonobuoy.tar.gz")).unwrap().write_all(&bytes).unwrap();
    let said = home.say(&["conformance", "check", "sonobuoy.tar.gz", "--list", "list.yaml"]);
    assert_eq!(said.code(), 0, "{}{}", said.stdout, said.stderr);
}

#[test]
fn a_bundle_is_written_and_judged() {
    let home = home();
    let bundle = |results: &[&str], output: &str| {
        let fixed =
            ["--list", "list.yaml", "--product", "PRODUCT.yaml", "--readme", "README.md", "--output", output];
        home.say(&[&["conformance", "bundle"], results, &fixed].concat())
    };
    let good = bundle(&["parallel", "serial"], "good");
    assert_eq!(good.code(), 0, "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.contains("Conformance results for v1.36 Example Cloud"), "{}", good.stdout);
    let mut files: Vec<_> =
        fs::read_dir(home.path("good/v1.36/example-cloud")).unwrap().collect::<Result<_, _>>().unwrap();
    files.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = files.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["PRODUCT.yaml", "README.md", "e2e.log", "junit_01.xml"]);
    let junit = fs::read_to_string(home.path("good/v1.36/example-cloud/junit_01.xml")).unwrap();
    assert_eq!((junit.matches("<testcase").count(), junit.matches("<skipped").count()), (2, 0), "{junit}");
    let bad = bundle(&["parallel"], "bad");
    assert_eq!(bad.code(), 1);
    assert!(
        bad.stdout.contains("refused: junit_01.xml: 1 of 2 required tests did not run"),
        "{}",
        bad.stdout
    );
    let again = bundle(&["parallel"], "bad");
    assert_eq!(again.code(), 2, "nothing is overwritten");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let home = home();
    fs::create_dir(home.path("empty")).unwrap();
    fs::write(home.path("not.yaml"), "[]").unwrap();
    for (results, list, why) in [
        ("empty", "list.yaml", "`empty`: there is no junit*.xml in it"),
        ("none.xml", "list.yaml", "`none.xml`"),
        ("README.md", "list.yaml", "`README.md`"),
        ("parallel", "not.yaml", "`not.yaml`: there is no test in it"),
        ("parallel", "none.yaml", "`none.yaml`"),
    ] {
        let said = home.say(&["conformance", "check", results, "--list", list]);
        assert_eq!(said.code(), 2, "{results} {list}");
        assert!(said.stderr.contains(why) && said.stderr.contains("hint:"), "{}", said.stderr);
    }
}
