//! What the jobs of `zuul.d` build on: data for `zuul_return`, and the end of runs that nobody else ends. The jobs
//! themselves are carried out by a real Zuul in `.ci/zuul`.

use crate::support::process::{Home, SCENARIO};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn returned(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn problems_are_comments_on_lines_and_go_to_the_file_that_is_asked_for() {
    let home = Home::new();
    let bad = std::fs::read_to_string(home.path(SCENARIO)).unwrap().replace("kubeconfig", "kubeconfg");
    let line = 1 + bad.lines().position(|line| line.contains("kubeconfg")).unwrap();
    std::fs::write(home.path("bad.yaml"), bad).unwrap();
    for command in ["validate", "plan"] {
        let said = home.say(&[command, "./bad.yaml", "--format", "zuul"]);
        assert_eq!(said.code(), 2, "{command}");
        let comment = &returned(&said.stdout)["zuul"]["file_comments"]["bad.yaml"][0];
        assert_eq!(comment["line"], line, "{command}");
        assert!(comment["message"].as_str().unwrap().contains("did you mean `kubeconfig`?"), "{comment}");
        let file = home.say(&[command, "./bad.yaml", "--format", "zuul", "--to", "return.json"]);
        assert_eq!((file.code(), file.stdout.as_str()), (2, ""), "{command}");
        assert_eq!(std::fs::read_to_string(home.path("return.json")).unwrap().trim(), said.stdout.trim());
    }
    let good = home.say(&["validate", SCENARIO, "--format", "zuul"]);
    assert_eq!((good.code(), returned(&good.stdout)), (0, serde_json::json!({"zuul": {}})));
}

#[test]
fn shards_are_balanced_and_hold_every_combination_once() {
    let home = Home::new();
    let said = home.say(&["plan", SCENARIO, "--format", "zuul", "--shards", "2", "--jobs", "e2e"]);
    assert_eq!(said.code(), 0, "{}", said.stderr);
    let plan = returned(&said.stdout);
    assert_eq!(plan["zuul"]["child_jobs"], serde_json::json!(["e2e-1", "e2e-2"]));
    let all = returned(&home.say(&["plan", SCENARIO, "--format", "json"]).stdout);
    let ids = |runs: &Value| -> BTreeSet<String> {
        runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = BTreeSet::new();
    for shard in plan["stack_e2e_shards"].as_array().unwrap() {
        let only = shard["only"].as_array().unwrap();
        assert_eq!(only.len(), 2, "four combinations that take the same: {plan}");
        seen.extend(only.iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, ids(&all["runs"]));
    // By hand a shard is the same.
    for shard in plan["stack_e2e_shards"].as_array().unwrap() {
        let part = format!("{}/2", shard["shard"]);
        let by_hand = returned(&home.say(&["plan", SCENARIO, "--format", "json", "--shard", &part]).stdout);
        let only: BTreeSet<String> =
            shard["only"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        assert_eq!(ids(&by_hand["runs"]), only, "{part}");
    }
    // Fewer combinations than shards: the others have no job.
    let few = home.say(&["plan", SCENARIO, "--format", "zuul", "--shards", "9"]);
    assert_eq!(returned(&few.stdout)["zuul"]["child_jobs"].as_array().unwrap().len(), 4);
}

#[test]
fn a_failed_run_is_a_comment_on_the_value_to_blame_without_the_scenario_file() {
    let home = Home::new();
    assert_eq!(home.run("scripts/failed-check.json", &[]).code(), 1);
    let text = std::fs::read_to_string(home.path(SCENARIO)).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("controlPlanes: [1, 3]")).unwrap();
    std::fs::remove_file(home.path(SCENARIO)).unwrap();
    let directory = home.run_directory(&home.runs()[0]);
    std::fs::create_dir(home.path("e2e")).unwrap();
    let directory = directory.to_str().unwrap();
    let words = ["report", directory, "--format", "zuul", "--junit", "e2e/junit.xml", "--artifacts", "e2e"];
    let said = home.say(&words);
    assert_eq!(said.code(), 1, "{}", said.stderr);
    let data = returned(&said.stdout);
    let comment = &data["zuul"]["file_comments"][SCENARIO][0];
    assert_eq!(comment["line"], line, "{data}");
    assert!(comment["message"].as_str().unwrap().starts_with("controlPlanes=3: in 2 of 2"), "{comment}");
    assert_eq!(data["zuul"]["artifacts"], serde_json::json!([{"name": "JUnit", "url": "e2e/junit.xml"}]));
}

#[test]
fn stop_ends_runs_that_were_left_alone_and_names_them_for_the_sweep() {
    let home = Home::new();
    let mut running = home.start("scripts/slow.json", &[]);
    let run = running.id();
    let end = Instant::now() + Duration::from_secs(60);
    while home.objects() == 0 {
        assert!(Instant::now() < end, "nothing is created");
        std::thread::yield_now();
    }
    let stopped = home.say(&["stop"]);
    assert_eq!((stopped.code(), stopped.stdout.trim()), (0, run.as_str()), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("SIGTERM to process"), "{}", stopped.stderr);
    let again = home.say(&["stop"]);
    assert_eq!((again.code(), again.stdout.trim(), again.stderr.as_str()), (0, run.as_str(), ""));
    let sweep =
        ["sweep", "--provider", "scripted", "--ledger", ".stack-e2e/scripted", "--yes", "--run", &run];
    assert_eq!(home.say(&sweep).code(), 0);
    assert_eq!(home.objects(), 0);
    // Where nothing was ever run there is nothing to end.
    let nothing = home.say(&["stop", "--output", "absent"]);
    assert_eq!((nothing.code(), nothing.stdout.as_str()), (0, ""));
    drop(running);
}
