//! The commands, as a process that people and CI systems start: exit codes, screens, signals, files.

use crate::support::process::{Home, Running, SCENARIO, Said};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const QUICK: &str = "scripts/quick.json";
const SLOW: &str = "scripts/slow.json";
const FAILED: &str = "scripts/failed-check.json";
const ENDLESS: &str = "scripts/endless-deletion.json";
const SWEEP: [&str; 5] = ["sweep", "--provider", "scripted", "--ledger", ".stack-e2e/scripted"];

fn sweep(home: &Home, more: &[&str]) -> Said {
    home.say(&[&SWEEP[..], more].concat())
}

/// Starts a run that provisions for a minute, and waits until its clusters exist.
fn provisioning(home: &Home, script: &str, more: &[&str]) -> (Running, String) {
    let mut running = home.start(script, more);
    let run = running.id();
    await_objects(home, 4 * 4 + 2 * 2 + 1);
    (running, run)
}

fn await_objects(home: &Home, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while home.objects() < count {
        assert!(Instant::now() < end, "{} objects", home.objects());
        std::thread::yield_now();
    }
}

fn assert_screen(name: &str, screen: &str) {
    let filters = [(r"\b0[0-9a-z]{15}\b", "RUN"), (r"\bin (\d+m )?\d+(\.\d+)?(ms|s)\b", "in TIME")];
    insta::with_settings!({filters => filters.to_vec()}, { insta::assert_snapshot!(name, screen) });
}

#[test]
fn a_plan_says_what_it_covers_and_what_it_leaves_out() {
    let home = Home::new();
    let file = std::fs::canonicalize("fixtures/scenario/pass/twelve-switches.yaml").unwrap();
    let planned = home.say(&["plan", file.to_str().unwrap()]);
    assert_eq!(planned.code(), 0, "{}", planned.stderr);
    insta::assert_snapshot!("plan_of_a_covering_array", planned.stdout);

    // Fewer combinations than the cover: the plan says what is missing.
    let part = home.say(&["plan", file.to_str().unwrap(), "--where", "cni=calico,controlPlanes=3"]);
    insta::assert_snapshot!("plan_of_a_part_of_a_covering_array", part.stdout);
}

#[test]
fn a_plan_keeps_what_it_can_of_an_earlier_one() {
    let home = Home::new();
    let text = std::fs::read_to_string("fixtures/scenario/pass/covering-array.yaml").unwrap();
    std::fs::write(home.path("before.yaml"), &text).unwrap();
    let before = home.say(&["plan", "before.yaml", "--format", "json"]);
    std::fs::write(home.path("before.json"), before.stdout).unwrap();
    let more = text.replace("{name: \"1.34\", weight: 3}]", "{name: \"1.34\", weight: 3}, \"1.35\"]");
    std::fs::write(home.path("after.yaml"), more).unwrap();
    let after = home.say(&["plan", "after.yaml", "--since", "before.json"]);
    assert_eq!(after.code(), 0, "{}", after.stderr);
    insta::assert_snapshot!("plan_since_an_earlier_one", after.stdout);
    let broken = home.say(&["plan", "after.yaml", "--since", "after.yaml"]);
    assert_eq!(broken.code(), 2);
    assert!(broken.stderr.contains("cannot be read as a plan"), "{}", broken.stderr);
}

#[test]
fn the_exit_code_says_how_it_went() {
    let cases: &[(&str, &[&str], i32)] = &[
        (QUICK, &[], 0),
        (FAILED, &[], 1),
        ("scripts/broken-network.json", &[], 3),
        ("scripts/leak.json", &[], 4),
        (QUICK, &["--shard", "9/9"], 6),
        (QUICK, &["--shard", "0/9"], 2),
        (QUICK, &["--where", "kubernetes=1.99"], 2),
        (QUICK, &["--junit", "absent/junit.xml"], 2),
        ("scripts/absent.json", &[], 2),
        ("scripts/README.md", &[], 2),
    ];
    for (script, more, code) in cases {
        let home = Home::new();
        let said = home.run(script, more);
        assert_eq!(said.code(), *code, "{script} {more:?}\n{}", said.stderr);
        assert_eq!(home.objects() > 0, *code == 4, "{script} {more:?}");
        if matches!(code, 2 | 6) {
            assert!(!home.path(".stack-e2e").exists(), "{script} {more:?} has touched something");
            assert!(said.stderr.contains("hint: ") || said.stderr.contains("--help"), "{}", said.stderr);
        }
    }
}

/// A second scenario that comes after the first one.
fn after(home: &Home, name: &str, after: &str) -> String {
    let text = std::fs::read_to_string(home.path(SCENARIO)).unwrap();
    let own = text.lines().find(|line| line.trim_start().starts_with("name:")).unwrap();
    let text = text.replacen(own, &format!("  name: {name}"), 1);
    let file = format!("scripts/{name}.yaml");
    std::fs::write(home.path(&file), format!("{}\n  after: [{after}]\n", text.trim_end())).unwrap();
    file
}

#[test]
fn a_scenario_starts_after_those_that_it_waits_for() {
    let home = Home::new();
    let text = std::fs::read_to_string(home.path(SCENARIO)).unwrap();
    let first = text.lines().find_map(|line| line.trim().strip_prefix("name: ")).unwrap().to_owned();
    let later = after(&home, "later", &first);
    let said = home.say(&["run", &later, SCENARIO, "--script", QUICK, "--events"]);
    assert_eq!(said.code(), 0, "{}", said.stderr);
    let events: Vec<serde_json::Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let units = events[0]["kind"]["units"].as_array().unwrap();
    let scenario = |event: &serde_json::Value| {
        let unit = units.iter().find(|unit| unit["id"] == event["unit"]);
        unit.map(|unit| unit["scenario"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    let at = |kind: &str, of: &str| -> Vec<usize> {
        let is = |event: &&serde_json::Value| event["kind"]["event"] == kind && scenario(event) == of;
        (0..).zip(&events).filter(|(_, event)| is(event)).map(|(at, _)| at).collect()
    };
    let (ends, starts) = (at("unit-finished", &first), at("unit-started", "later"));
    assert_eq!((ends.len(), starts.len()), (4, 4));
    assert!(ends.iter().max() < starts.iter().min(), "{ends:?} {starts:?}");
    // No shard tears them apart.
    let zuul = home.say(&["plan", &later, SCENARIO, "--format", "zuul", "--shards", "2"]);
    let zuul: serde_json::Value = serde_json::from_str(&zuul.stdout).unwrap();
    assert_eq!(zuul["zuul"]["child_jobs"].as_array().unwrap().len(), 1);

    let unknown = home.say(&["plan", &after(&home, "lost", "latter"), &later, SCENARIO]);
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr.contains("there is no scenario `latter`"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("did you mean `later`?"), "{}", unknown.stderr);
    let text = std::fs::read_to_string(home.path(SCENARIO)).unwrap();
    std::fs::write(
        home.path("scripts/vast.yaml"),
        format!("{}\n  cost: {{flavor: vast}}\n", text.trim_end()),
    )
    .unwrap();
    let vast = home.say(&["plan", "scripts/vast.yaml"]);
    assert_eq!(vast.code(), 2);
    assert!(vast.stderr.contains("`vast`") && vast.stderr.contains("e.g. `SCS-4V-8`"), "{}", vast.stderr);
    let round = home.say(&["plan", &after(&home, "one", "two"), &after(&home, "two", "one")]);
    assert_eq!(round.code(), 2);
    assert!(round.stderr.contains("`one` and `two` wait for each other"), "{}", round.stderr);
}

#[test]
fn the_last_screen_of_a_good_run() {
    let home = Home::new();
    assert_screen("passed", &home.run(QUICK, &[]).screen());
}

#[test]
fn the_last_screen_of_a_failed_run() {
    let home = Home::new();
    assert_screen("failed", &home.run(FAILED, &[]).screen());
}

#[test]
fn bad_input_is_refused_with_all_problems_and_nothing_is_touched() {
    let home = Home::new();
    let bad = std::fs::read_to_string(home.path(SCENARIO)).unwrap();
    let bad = bad.replace("\"1.33\"", "1.30").replace("kubeconfig", "kubeconfg");
    std::fs::write(home.path("bad.yaml"), bad).unwrap();
    let said = home.say(&["validate", "bad.yaml"]);
    assert_eq!((said.code(), said.stdout.as_str()), (2, ""));
    assert_screen("validate_bad", &said.stderr);
    for words in [&["run", "bad.yaml"][..], &["plan", "bad.yaml"], &["list", "switches", "bad.yaml"]] {
        let again = home.say(words);
        assert_eq!((again.code(), again.stdout.as_str()), (2, ""), "{words:?}");
        assert_eq!(again.stderr, said.stderr, "{words:?}");
    }
    assert!(!home.path(".stack-e2e").exists());
    assert_eq!(home.say(&["validate", SCENARIO]).code(), 0);
}

#[test]
fn an_output_directory_that_cannot_be_written_stops_it_before_anything_is_made() {
    let home = Home::new();
    let said = home.run(QUICK, &["--output", "scripts/quick.json/below"]);
    assert_eq!(said.code(), 2, "{}", said.stderr);
    assert!(said.stderr.contains("--output DIR"), "{}", said.stderr);
    assert!(!home.path(".stack-e2e").exists());
}

#[test]
fn a_plan_is_exactly_what_is_carried_out() {
    let home = Home::new();
    let planned = home.say(&["plan", SCENARIO, "--where", "controlPlanes=3", "-j", "2", "--format", "json"]);
    assert_eq!(planned.code(), 0, "{}", planned.stderr);
    assert!(!home.path(".stack-e2e").exists());
    assert_eq!(home.run(QUICK, &["--where", "controlPlanes=3", "-j", "2"]).code(), 0);
    let carried_out = std::fs::read_to_string(home.run_directory(&home.runs()[0]).join("plan.json")).unwrap();
    let neutral = |text: &str| {
        let mut plan: serde_json::Value = serde_json::from_str(text).unwrap();
        for key in ["run", "made", "expires", "owner", "namespace"] {
            assert!(plan[key].take() != serde_json::Value::Null, "{key}");
        }
        for run in plan["runs"].as_array_mut().unwrap() {
            let id = run["id"].as_str().unwrap().to_owned();
            let cluster = run["cluster"].take();
            assert!(cluster.as_str().unwrap().starts_with(&format!("e2e-{id}-")));
        }
        plan
    };
    assert_eq!(neutral(&planned.stdout), neutral(&carried_out));
    let table = home.say(&["plan", SCENARIO]).stdout;
    assert!(table.starts_with("ID "), "{table}");
}

#[test]
fn reports_are_the_same_from_the_journal_as_from_the_live_run() {
    let home = Home::new();
    for (script, code) in [(QUICK, 0), (FAILED, 1)] {
        let live = home.run(script, &["--junit", "live.xml"]);
        assert_eq!(live.code(), code);
        let run = home.runs().pop().unwrap();
        let directory = format!(".stack-e2e/runs/{run}");
        let said = home.say(&["report", &directory, "--junit", "again.xml", "--json", "again.json"]);
        assert_eq!(said.code(), code, "{}", said.stderr);
        let read = |file: &str| std::fs::read_to_string(home.path(file)).unwrap();
        assert_eq!(read("again.xml"), read("live.xml"));
        assert_eq!(read("again.xml"), read(&format!("{directory}/junit.xml")));
        assert_eq!(read("again.json"), read(&format!("{directory}/report.json")));
        assert_eq!(said.stdout.trim(), live.screen(), "the same screen, with the same commands");
        let xml = read("live.xml");
        let document = roxmltree::Document::parse(&xml).unwrap();
        let count = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count();
        // One for each combination, and one for what they share.
        assert_eq!((count("testsuite"), count("failure")), (5, if code == 1 { 2 } else { 0 }));
        let root = document.root_element();
        let said: usize = root.attribute("tests").unwrap().parse().unwrap();
        assert_eq!(count("testcase"), said);
    }
    assert_eq!(home.say(&["report", "scripts"]).code(), 2);
}

#[test]
fn events_are_lines_of_json_on_stdout() {
    let home = Home::new();
    let said = home.run(QUICK, &["--events"]);
    let kinds: Vec<String> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"]["event"].to_string())
        .collect();
    assert_eq!(kinds.first().unwrap(), "\"run-started\"");
    assert_eq!(kinds.last().unwrap(), "\"run-finished\"");
    assert!(!said.stderr.contains("{\"at\""));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let home = Home::new();
    let mut command = home.stack_e2e(&["run", SCENARIO, "--script", QUICK, "--events"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("run-started"));
    // Its reader of messages goes away as well.
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(home.objects(), 0);
    for words in [&["list", "checks"][..], &["schema"], &["--help"], &["completions", "bash"]] {
        let mut child = home.stack_e2e(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_first_interrupt_tears_down_and_a_resumption_finishes() {
    let home = Home::new();
    let (running, run) = provisioning(&home, SLOW, &[]);
    running.signal(Signal::SIGINT);
    let said = running.end();
    assert_eq!(said.code(), 130, "{}", said.stderr);
    assert_eq!(home.objects(), 0);
    assert!(said.stderr.contains("proven clean"), "{}", said.stderr);
    assert_screen("interrupted", &said.screen());
    home.change_script(SLOW, QUICK);
    let resumed = home.say(&["run", "--resume", &run, "--script", SLOW, "--events"]);
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("resumed: 4 combinations to finish"), "{}", resumed.stderr);
    assert!(!resumed.stdout.contains("run-started"), "what was told is not told again:\n{}", resumed.stdout);
    assert_eq!(resumed.stderr.matches(" prepared").count(), 1, "{}", resumed.stderr);
    assert!(!resumed.stderr.contains("FLAKY"), "to be cut short is not to fail:\n{}", resumed.stderr);
    assert_eq!(home.objects(), 0);
}

#[test]
fn a_second_interrupt_does_not_wait_and_says_how_to_finish() {
    let home = Home::new();
    let (mut running, _) = provisioning(&home, ENDLESS, &[]);
    running.signal(Signal::SIGINT);
    running.hears("tear-down");
    let start = Instant::now();
    running.signal(Signal::SIGINT);
    let said = running.end();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(said.code(), 130, "{}", said.stderr);
    assert!(home.objects() > 0);
    let swept = home.shell(&said.command("look:"));
    assert_eq!(swept.code(), 0, "{}", swept.stderr);
    assert_eq!(home.objects(), 0);
}

#[test]
fn termination_hands_over_within_two_seconds_and_the_printed_commands_finish() {
    for (signal, key) in
        [(Signal::SIGTERM, "finish:"), (Signal::SIGTERM, "look:"), (Signal::SIGHUP, "finish:")]
    {
        let home = Home::new();
        let (running, _) = provisioning(&home, ENDLESS, &[]);
        let start = Instant::now();
        running.signal(signal);
        let said = running.end();
        // Two seconds by the clock of the run, which `run.rs` holds; a busy machine needs some to end a process.
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!(said.code(), 143, "{}", said.stderr);
        assert!(home.objects() > 0);
        home.change_script(ENDLESS, QUICK);
        // What was asked to go takes ten minutes in that cloud; nobody can hurry it but a sweep.
        let command = said.command(key);
        if key == "finish:" {
            assert_eq!(home.shell(&said.command("look:")).code(), 0);
        }
        let finished = home.shell(&command);
        assert_eq!(finished.code(), 0, "{command}\n{}", finished.stderr);
        assert!(!finished.stderr.contains("FLAKY"), "{}", finished.stderr);
        assert_eq!(home.objects(), 0);
    }
}

#[test]
fn under_nohup_a_run_outlives_its_terminal() {
    let home = Home::new();
    let line = format!("trap '' HUP; exec stack-e2e run {SCENARIO} --script scripts/patient.json");
    std::fs::write(home.path("scripts/patient.json"), r#"{"provision_ms": 1500, "delete_ms": 50}"#).unwrap();
    let mut running = Running::start(&mut home.shell_command(&line));
    running.hears("run ");
    await_objects(&home, 4);
    running.signal(Signal::SIGHUP);
    let said = running.end();
    assert_eq!(said.code(), 0, "{}", said.stderr);
}

#[test]
fn printed_commands_repeat_where_everything_is() {
    let home = Home::new();
    let place = ["--output", "out put", "--ledger", "the cloud's", "--root", ".", "--allow-env", "HOME"];
    let said = home.run("scripts/leak.json", &place);
    assert_eq!(said.code(), 4, "{}", said.stderr);
    home.change_script("scripts/leak.json", QUICK);
    let again = home.shell(&said.command("again:"));
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert!(again.stderr.contains("1 combination good"), "{}", again.stderr);
    let run = said.stderr.lines().find_map(|l| l.strip_prefix("run ")).unwrap().split(' ').next().unwrap();
    let report =
        home.shell(&format!("mkdir elsewhere; cd elsewhere; stack-e2e report '../out put/runs/{run}'"));
    for said in [&said, &report] {
        let swept = home.shell(&format!("cd /; cd \"$OLDPWD\"; {}", said.command("remove:")));
        assert_eq!(swept.code(), 0, "{}", swept.stderr);
    }
    let ledger = stack_e2e::provider::scripted::Ledger::in_directory(&home.path("the cloud's")).unwrap();
    assert_eq!(ledger.objects().unwrap(), []);
}

#[test]
fn a_kept_cluster_stays_until_the_printed_command_removes_it() {
    let home = Home::new();
    let said = home.run(FAILED, &["--keep-on-failure"]);
    assert_eq!(said.code(), 1, "{}", said.stderr);
    assert_screen("kept", &said.screen());
    assert_eq!(home.objects(), 2 * (1 + 3 + 3) + 1);
    let swept = home.shell(&said.command("remove:"));
    assert_eq!(swept.code(), 0, "{}", swept.stderr);
    assert_eq!(home.objects(), 0);
}

#[test]
fn a_sweep_takes_what_the_dead_left_and_never_a_live_run() {
    let home = Home::new();
    let (running, run) = provisioning(&home, SLOW, &[]);
    let count = home.objects();
    let left_alone = sweep(&home, &["--yes"]);
    assert_eq!(left_alone.code(), 0, "{}", left_alone.stderr);
    assert!(left_alone.stdout.contains("leave, because its process is at work"), "{}", left_alone.stdout);
    assert_eq!(sweep(&home, &["--yes", "--run", &run]).code(), 4, "what was asked for was not done");
    assert_eq!(home.objects(), count);

    let second = home.say(&["run", "--resume", &run, "--script", SLOW]);
    assert_eq!(second.code(), 2, "{}", second.stderr);
    assert!(second.stderr.contains("is being carried out by another process"), "{}", second.stderr);
    assert_eq!(home.objects(), count);

    let killed = running.kill();
    assert_eq!(killed.status.signal(), Some(9));
    let dry = sweep(&home, &[]);
    assert_eq!(dry.code(), 0);
    assert!(dry.stdout.contains("would take, because its process has ended"), "{}", dry.stdout);
    assert_eq!(home.objects(), count, "a dry run touches nothing");

    // Whoever resumes it is its process from then on.
    let mut resumed = Running::start(&mut home.stack_e2e(&["run", "--resume", &run, "--script", SLOW]));
    resumed.hears("resumed: ");
    resumed.hears("prepared");
    let left_alone = sweep(&home, &["--yes"]);
    assert!(left_alone.stdout.contains("leave, because its process is at work"), "{}", left_alone.stdout);
    // A unit makes its cluster anew only when the earlier one is gone; before all four have come so far, the count
    // could still be that of the earlier life.
    for _ in 0..4 {
        resumed.hears("creating Cluster");
    }
    await_objects(&home, count);
    resumed.kill();

    let other = sweep(&home, &["--yes", "--run", "0123456789abcdef"]);
    assert!(other.stdout.contains("leave, because another run was named"), "{}", other.stdout);
    assert_eq!(home.objects(), count);
    let swept = sweep(&home, &["--yes"]);
    assert_eq!(swept.code(), 0);
    assert!(swept.stdout.contains("clean"), "{}", swept.stdout);
    assert_eq!(home.objects(), 0);
    assert_eq!(sweep(&home, &["--yes"]).code(), 0, "there is nothing, and that is fine");
}

#[test]
fn a_run_that_nobody_knows_cannot_be_resumed() {
    let home = Home::new();
    for words in [["run", "--resume"], ["run", "--rerun-failed"]] {
        let said = home.say(&[words[0], words[1], "0123456789abcdef"]);
        assert_eq!(said.code(), 2, "{}", said.stderr);
        assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    }
    assert!(!home.path(".stack-e2e").exists());
    let said = home.say(&["run", "--resume", "0123456789abcdef", "--only", "x"]);
    assert_eq!(said.code(), 2);
    assert!(said.stderr.contains("cannot be used with"), "{}", said.stderr);
}

#[test]
fn a_deadline_ends_a_run_clean_and_inconclusive() {
    let home = Home::new();
    let said = home.run(SLOW, &["--deadline", "500ms"]);
    assert_eq!(said.code(), 3, "{}", said.stderr);
    assert_eq!(home.objects(), 0);
    assert!(said.stderr.contains("deadline"), "{}", said.stderr);
    let run = home.runs().pop().unwrap();
    home.change_script(SLOW, QUICK);
    assert_eq!(home.say(&["run", "--resume", &run, "--script", SLOW]).code(), 0);
}

#[test]
fn what_did_not_pass_can_be_done_again_as_a_new_run() {
    let home = Home::new();
    assert_eq!(home.run(FAILED, &[]).code(), 1);
    let first = home.runs().pop().unwrap();
    std::fs::remove_file(home.path(SCENARIO)).unwrap();
    let again = home.say(&["run", "--rerun-failed", &first, "--script", QUICK]);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert!(again.stderr.contains("2 combinations good"), "{}", again.stderr);
    let second = home.runs().pop().unwrap();
    assert_ne!(first, second);
    let none = home.say(&["run", "--rerun-failed", &second, "--script", QUICK]);
    assert_eq!(none.code(), 6, "{}", none.stderr);
    let (first, second) = (format!(".stack-e2e/runs/{first}"), format!(".stack-e2e/runs/{second}"));
    let whole = home.say(&["report", &first, &second, "--junit", "whole.xml"]);
    assert_eq!(whole.code(), 0, "{}", whole.stdout);
    assert_eq!(whole.stdout.matches("FLAKY").count(), 2, "{}", whole.stdout);
    assert!(whole.stdout.contains("4 combinations good"), "{}", whole.stdout);
    let xml = std::fs::read_to_string(home.path("whole.xml")).unwrap();
    assert_eq!(xml.matches("<flakyFailure").count(), 2);
    assert_eq!(home.objects(), 0);
}

#[test]
fn tables_begin_where_the_line_begins() {
    let home = Home::new();
    for words in [&["list", "checks"][..], &["list", "switches", SCENARIO], &["list", "scenarios", SCENARIO]]
    {
        let said = home.say(words);
        assert_eq!(said.code(), 0);
        assert!(said.stdout.lines().all(|line| !line.starts_with(' ')), "{}", said.stdout);
    }
}
