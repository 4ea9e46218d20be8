//! `report` as a program: what it writes, what it merges, what it refuses.

use crate::support::process::{Home, SCENARIO};
use std::fs;
use std::time::{Duration, Instant};

const QUICK: &str = "scripts/quick.json";
const FAILED: &str = "scripts/failed-check.json";

const JUNIT: &str = r#"<testsuite name="e2e" tests="2" failures="1"><testcase name="dns"/>
    <testcase name="pods"><failure message="timed out">2 of 3 &lt;pods&gt;</failure></testcase></testsuite>"#;

/// A home with a run, and the directory of it.
fn home(script: &str) -> (Home, String) {
    let home = Home::new();
    home.run(script, &[]);
    let run = home.runs().pop().unwrap();
    (home, format!(".stack-e2e/runs/{run}"))
}

fn read(home: &Home, file: &str) -> String {
    fs::read_to_string(home.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_run_leaves_a_page_that_is_the_same_when_it_is_made_again() {
    for (script, word) in [(QUICK, "PASSED"), (FAILED, "FAILED")] {
        let home = Home::new();
        let live = home.run(script, &[]);
        let run = home.runs().pop().unwrap();
        let directory = format!(".stack-e2e/runs/{run}");
        let page = format!("as a page: {directory}/report.html");
        assert!(live.stderr.contains(&page), "{}", live.stderr);
        let written = read(&home, &format!("{directory}/report.html"));
        let again = format!("{directory}/again.html");
        home.say(&["report", &directory, "--html", &again]);
        assert_eq!(read(&home, &again), written);
        assert!(written.contains(&format!("<title>{word} in ")), "{script}");
        assert!(written.contains("id=\"schedule\""), "the journal knows when what was done");
        assert!(!written.contains("<script"));
        if script == FAILED {
            assert!(
                written.contains(&format!("<code>stack-e2e run {SCENARIO} --script {FAILED}")),
                "the command"
            );
        }
    }
}

#[test]
fn all_formats_say_the_same() {
    let (home, run) = home(FAILED);
    let said = home.say(&[
        "report",
        &run,
        "--html",
        "page.html",
        "--markdown",
        "comment.md",
        "--prometheus",
        "metrics.prom",
        "--json",
        "report.json",
        "--junit",
        "junit.xml",
    ]);
    assert_eq!(said.code(), 1, "{}", said.stderr);
    let comment = read(&home, "comment.md");
    assert!(comment.starts_with("## ❌ FAILED\n") && comment.lines().count() <= 60, "{comment}");
    assert!(read(&home, "metrics.prom").contains("stack_e2e_exit_code 1\n"));
    assert!(read(&home, "report.json").contains("\"exit_code\": 1"));
    assert!(read(&home, "junit.xml").contains("failures=\"2\""));
    assert!(read(&home, "page.html").contains("2 of 4 combinations bad"));
}

#[test]
fn files_of_other_tools_count() {
    let (home, run) = home(QUICK);
    fs::write(home.path("other.xml"), JUNIT).unwrap();
    let said = home.say(&[
        "report",
        &run,
        "other.xml",
        "--junit",
        "all.xml",
        "--html",
        "all.html",
        "--json",
        "all.json",
    ]);
    assert_eq!(said.code(), 1, "a good run with bad results of others is not good\n{}", said.stderr);
    assert!(said.stdout.contains("FAILED pods (other.xml): timed out"), "{}", said.stdout);
    let xml = read(&home, "all.xml");
    let document = roxmltree::Document::parse(&xml).unwrap();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase")).count();
    assert_eq!(document.root_element().attribute("tests"), Some(cases.to_string().as_str()));
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("failure")).count(), 1);
    assert!(read(&home, "all.html").contains("2 of 3 &lt;pods&gt;"));
    let json: serde_json::Value = serde_json::from_str(&read(&home, "all.json")).unwrap();
    assert_eq!((&json["verdict"], &json["other"]["failures"][0]["name"]), (&"failed".into(), &"pods".into()));
    // The same without a run, and again from what was written.
    for words in
        [&["report", "other.xml", "--markdown", "c.md"][..], &["report", "all.xml", "--markdown", "c.md"]]
    {
        assert_eq!(home.say(words).code(), 1, "{words:?}");
        assert!(read(&home, "c.md").contains("`timed out`"));
    }
}

#[test]
fn what_cannot_be_read_is_refused_soon_and_nothing_is_written() {
    let (home, run) = home(QUICK);
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><testsuites>&b;</testsuites>";
    for (name, text, wanted) in [
        ("bomb.xml", bomb.to_owned(), "a document type, which no JUnit file needs"),
        ("cut.xml", JUNIT[..60].to_owned(), "is not well-formed XML"),
        ("deep.xml", "<testsuite>".repeat(100_000), "too many elements within each other"),
        ("page.xml", "<html></html>".to_owned(), "its root is `html`"),
        ("empty.xml", String::new(), "it is empty"),
        ("huge.xml", format!("<testsuites>{}", "x".repeat(20 << 20)), "a text or tag of more than"),
    ] {
        fs::write(home.path(name), text).unwrap();
        let began = Instant::now();
        let said = home.say(&["report", &run, name, "--junit", "all.xml", "--html", "all.html"]);
        assert_eq!(said.code(), 2, "{name}: {}", said.stderr);
        assert!(
            said.stderr.contains(&format!("`{name}`")) && said.stderr.contains(wanted),
            "{name}: {}",
            said.stderr
        );
        assert!(began.elapsed() < Duration::from_secs(20), "{name} takes {:?}", began.elapsed());
        assert!(!home.path("all.xml").exists() && !home.path("all.html").exists(), "{name}");
    }
    assert_eq!(home.say(&["report", "absent"]).code(), 2);
}

#[test]
fn history_says_since_when_it_is_red() {
    let (home, first) = home(QUICK);
    // What an archive of artifacts keeps of a run.
    fs::create_dir_all(home.path("archive/1")).unwrap();
    fs::copy(home.path(&first).join("report.json"), home.path("archive/1/report.json")).unwrap();
    fs::write(home.path("archive/1/broken-report.json"), "{").unwrap();
    home.run(FAILED, &[]);
    let second = format!(".stack-e2e/runs/{}", home.runs().pop().unwrap());
    let said = home.say(&["report", &second, "--history", "archive", "--html", "page.html"]);
    assert_eq!(said.code(), 1, "{}", said.stderr);
    assert!(said.stderr.contains("warning: `archive/1/broken-report.json` is left out"), "{}", said.stderr);
    let (green, red) = (first.rsplit('/').next().unwrap(), second.rsplit('/').next().unwrap());
    assert!(said.stdout.contains(&format!("since the last green run {green} (")), "{}", said.stdout);
    assert!(said.stdout.contains(&format!("since run {red} of ")), "{}", said.stdout);
    assert!(said.stdout.contains(&format!("(1 run), last green in {green}")), "{}", said.stdout);
    assert!(read(&home, "page.html").contains("Since when it is red"));
    let alone = home.say(&["report", "--history", ".stack-e2e/runs"]);
    assert_eq!(alone.code(), 0, "{}", alone.stderr);
    assert!(alone.stdout.starts_with("history: 1 of 2 runs were good"), "{}", alone.stdout);
}

#[test]
fn a_replay_shows_what_the_run_has_shown() {
    let home = Home::new();
    let live = home.run(FAILED, &[]);
    let directory = format!(".stack-e2e/runs/{}", home.runs().pop().unwrap());
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect()
    };
    for journal in [directory.clone(), format!("{directory}/journal.jsonl")] {
        let replay = home.say(&["report", "--replay", &journal, "--speed", "1000000"]);
        assert_eq!(replay.code(), 1, "{}", replay.stderr);
        assert_eq!(lines(&replay.stderr), lines(&live.stderr));
        assert!(lines(&replay.stderr).len() > 20);
        assert!(replay.stdout.starts_with("FAILED in "), "{}", replay.stdout);
    }
    assert_eq!(home.say(&["report", "--replay", "absent"]).code(), 2);
    assert_eq!(home.say(&["report", &directory, "--speed", "2"]).code(), 2);
}
