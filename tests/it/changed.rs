//! `--changed-since`: real kinds of change in a repository of stacks, and which combinations each can affect. Needs Helm
//! and git; `STACK_E2E_HELM` names the Helm, otherwise the tests are skipped and say so.

use crate::support::copy;
use crate::support::process::Home;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LAYOUTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/layouts");

const SCENARIO: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata:
  name: NAME
spec:
  stack:
    provider: PROVIDER
    name: STACK
    source: {directory: ../providers/PROVIDER/STACK}
  switches:
    kubernetes: [MINORS]
    lb:
      - name: plain
      - name: ovn
        variables: {load_balancer: octavia-ovn}
  checks: [smoke]
";

fn scenario(name: &str, provider: &str, stack: &str, minors: &str) -> String {
    let text = SCENARIO.replace("NAME", name).replace("PROVIDER", provider);
    text.replace("STACK", stack).replace("MINORS", minors)
}

struct Repository {
    home: Home,
    helm: OsString,
}

impl Repository {
    /// Stacks in three layouts and scenarios for them, committed.
    fn new() -> Option<Self> {
        let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
            println!("skipped: STACK_E2E_HELM names no Helm to render the stacks with");
            return None;
        };
        let repository = Self { home: Home::new(), helm };
        for (layout, stack) in
            [("minors", "openstack/alpha"), ("versions", "openstack/scs"), ("subfolders", "docker/scs")]
        {
            let from = Path::new(LAYOUTS).join(layout).join("providers").join(stack);
            copy(&from, &repository.path(&format!("providers/{stack}")));
        }
        repository.write("README.md", "Stacks.\n");
        repository
            .write("openstack/folders.yaml", &scenario("folders", "openstack", "alpha", "'1.33', '1.34'"));
        repository.write("openstack/shared.yaml", &scenario("shared", "openstack", "scs", "'1.33', '1.34'"));
        let upgrade =
            scenario("upgrade", "openstack", "alpha", "'1.33'") + "  changes: [{upgrade: next-minor}]\n";
        repository.write("openstack/upgrade.yaml", &upgrade);
        repository.write("docker/common.yaml", &scenario("common", "docker", "scs", "'1.34', '1.35'"));
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("first");
        Some(repository)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path("repository").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    fn append(&self, name: &str, text: &str) {
        self.write(name, &(self.read(name) + text));
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn link(&self, name: &str, target: &str) {
        let _ = fs::remove_file(self.path(name));
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .arg("-C")
            .arg(self.home.path("repository"))
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let cache = self.home.path("cache").display().to_string();
        let mut command = self.home.stack_e2e(arguments);
        command.args(["--cache-dir", &cache]);
        command.current_dir(self.home.path("repository"));
        command.env("STACK_E2E_TESTBED_HELM", &self.helm).output().unwrap()
    }

    /// What a plan of these files would run, as `scenario minor load-balancer`.
    fn affected(&self, files: &str, since: &str) -> BTreeSet<String> {
        let output = self.run(&["plan", files, "--changed-since", since, "--format", "json"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(6) => return BTreeSet::new(),
            Some(0) => {}
            other => panic!("{other:?}: {told}"),
        }
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let runs = plan["runs"].as_array().unwrap().iter();
        let name = |run: &serde_json::Value| {
            let switch = |name: &str| run["switches"][name].as_str().unwrap().to_owned();
            format!("{} {} {}", run["scenario"].as_str().unwrap(), switch("kubernetes"), switch("lb"))
        };
        runs.map(name).collect()
    }
}

const ALPHA: &str = "providers/openstack/alpha";
const SCS: &str = "providers/openstack/scs";
const COMMON: &str = "providers/docker/scs";

/// A change, what it does, and which combinations it can affect: `scenario minor load-balancer`, with `*` for all.
type Row = (&'static str, fn(&Repository), &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "a template of one minor",
        |r| {
            r.replace(
                &format!("{ALPHA}/1-33/cluster-class/templates/cluster-class.yaml"),
                "provider: ovn",
                "provider: ovn2",
            )
        },
        // What starts on 1.33 and what is upgraded from it.
        &["folders 1.33 *", "upgrade 1.33 *"],
    ),
    (
        "a template of the minor that is upgraded to",
        |r| {
            r.replace(
                &format!("{ALPHA}/1-34/cluster-class/templates/cluster-class.yaml"),
                "provider: ovn",
                "provider: ovn2",
            )
        },
        &["folders 1.34 *", "upgrade 1.33 *"],
    ),
    (
        "a comment in a template",
        |r| r.append(&format!("{SCS}/cluster-class/templates/cluster-class.yaml"), "# nothing\n"),
        &[],
    ),
    (
        "a template that is rendered for one minor only",
        |r| {
            let more = "{{ if semverCompare \">=1.34-0\" .Capabilities.KubeVersion.Version }}\n---\napiVersion: v1\n\
                        kind: ConfigMap\nmetadata: {name: new}\n{{ end }}\n";
            r.append(&format!("{SCS}/cluster-class/templates/templates.yaml"), more);
        },
        &["shared 1.34 *"],
    ),
    (
        "values that no template reads",
        |r| r.write(&format!("{SCS}/cluster-class/values.yaml"), "unread: true\n"),
        &[],
    ),
    (
        "values of an add-on",
        |r| r.write(&format!("{SCS}/cluster-addon/ccm/values.yaml"), "replicas: 2\n"),
        &["shared * *"],
    ),
    (
        "the template of an add-on's values",
        |r| r.append(&format!("{ALPHA}/1-34/cluster-addon-values.yaml"), "  more: true\n"),
        &["folders 1.34 *", "upgrade 1.33 *"],
    ),
    (
        "a file in common",
        |r| {
            r.replace(
                &format!("{COMMON}/common/cluster-class/templates/cluster-class.yaml"),
                "provider: ovn",
                "provider: ovn2",
            )
        },
        &["common * *"],
    ),
    (
        "a link that leads elsewhere",
        |r| {
            let plan = r.read(&format!("{COMMON}/common/clusteraddon.yaml"));
            r.write(
                &format!("{COMMON}/common/without-upgrade.yaml"),
                plan.split("  BeforeClusterUpgrade").next().unwrap(),
            );
            r.link(&format!("{COMMON}/1-35/clusteraddon.yaml"), "../common/without-upgrade.yaml");
        },
        &["common 1.35 *"],
    ),
    (
        "a version of an add-on for one minor",
        |r| r.replace(&format!("{SCS}/versions.yaml"), "occm: 2.33.1", "occm: 2.33.2"),
        &["shared 1.33 *"],
    ),
    (
        "a Kubernetes patch of one minor",
        |r| r.replace(&format!("{SCS}/versions.yaml"), "1.34.1", "1.34.2"),
        &["shared 1.34 *"],
    ),
    (
        "the version of an add-on that all minors get",
        |r| r.replace(&format!("{SCS}/cluster-addon/cni/Chart.yaml"), "1.18.0", "1.18.1"),
        &["shared * *"],
    ),
    (
        "the version of an add-on that versions.yaml replaces for all minors",
        |r| r.replace(&format!("{SCS}/cluster-addon/ccm/Chart.yaml"), "2.34.0", "2.34.9"),
        &[],
    ),
    (
        "the order of the stages",
        |r| r.replace(&format!("{SCS}/clusteraddon.yaml"), "    - name: csi\n      action: apply\n", ""),
        &["shared * *"],
    ),
    ("a comment in clusteraddon.yaml", |r| r.append(&format!("{SCS}/clusteraddon.yaml"), "# nothing\n"), &[]),
    (
        "an image of nodes",
        |r| r.replace(&format!("{SCS}/kubernetes.yaml"), "node-v1.33.4.qcow2", "node-v1.33.4-2.qcow2"),
        &["shared 1.33 *"],
    ),
    (
        "a variable in a scenario",
        |r| r.replace("openstack/folders.yaml", "octavia-ovn", "octavia-amphora"),
        &["folders * ovn"],
    ),
    (
        "a check in a scenario",
        |r| r.replace("openstack/folders.yaml", "[smoke]", "[kubeconfig]"),
        &["folders * *"],
    ),
    ("a comment in a scenario", |r| r.append("openstack/folders.yaml", "# nothing\n"), &[]),
    (
        "a minor more in a scenario",
        |r| {
            r.replace("openstack/upgrade.yaml", "'1.33'", "'1.33', '1.34'");
            r.replace("openstack/upgrade.yaml", "  changes: [{upgrade: next-minor}]\n", "");
        },
        // Without its upgrade the first is another test.
        &["upgrade * *"],
    ),
    ("a page", |r| r.append("README.md", "More.\n"), &[]),
    ("a page in a stack", |r| r.write(&format!("{SCS}/README.md"), "Text.\n"), &[]),
    (
        "a file that is gone",
        |r| fs::remove_file(r.path(&format!("{ALPHA}/1-34/cluster-addon-values.yaml"))).unwrap(),
        &["folders 1.34 *", "upgrade 1.33 *"],
    ),
    (
        "a template that is gone",
        |r| fs::remove_file(r.path(&format!("{ALPHA}/1-34/node-images/config.yaml"))).unwrap(),
        &["folders 1.34 *", "upgrade 1.33 *"],
    ),
    (
        "a template with another name",
        |r| {
            r.rename(
                &format!("{SCS}/cluster-class/templates/templates.yaml"),
                &format!("{SCS}/cluster-class/templates/all.yaml"),
            )
        },
        &[],
    ),
    (
        "a scenario with another name",
        |r| r.rename("docker/common.yaml", "docker/other.yaml"),
        &["common * *"],
    ),
    (
        "a new file that git does not know",
        |r| {
            let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n";
            r.write(&format!("{ALPHA}/1-34/cluster-class/templates/new.yaml"), text);
        },
        &["folders 1.34 *", "upgrade 1.33 *"],
    ),
    (
        "a file that git has been told not to look at",
        |r| {
            let file = format!("{SCS}/versions.yaml");
            r.git(&["update-index", "--assume-unchanged", &file]);
            r.replace(&file, "occm: 2.33.1", "occm: 2.33.2");
        },
        &["shared 1.33 *"],
    ),
    (
        "one more minor",
        |r| {
            copy(&r.path(&format!("{ALPHA}/1-34")), &r.path(&format!("{ALPHA}/1-35")));
            r.replace(&format!("{ALPHA}/1-35/csctl.yaml"), "v1.34.1", "v1.35.0");
        },
        &[],
    ),
    (
        "a stack that could not be read",
        |r| {
            r.write(&format!("{SCS}/versions.yaml"), "broken: [\n");
            r.commit("broken");
            r.write(&format!("{SCS}/versions.yaml"), "- kubernetes: 1.33.4\n- kubernetes: 1.34.1\n");
        },
        &["shared * *"],
    ),
];

fn matches(pattern: &str, name: &str) -> bool {
    let pairs: Vec<(&str, &str)> = pattern.split(' ').zip(name.split(' ')).collect();
    pairs.iter().all(|(wanted, found)| *wanted == "*" || wanted == found)
}

#[test]
fn each_kind_of_change_affects_what_it_can_affect_and_nothing_else() {
    let Some(first) = Repository::new() else { return };
    let all: BTreeSet<String> = ["openstack", "docker"]
        .into_iter()
        .flat_map(|files| {
            let output = first.run(&["plan", files, "--format", "json"]);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            // Nothing has changed, so nothing is affected.
            assert_eq!(first.affected(files, "HEAD"), BTreeSet::new());
            let scenarios: &[(&str, &[&str])] = match files {
                "docker" => &[("common", &["1.34", "1.35"])],
                _ => &[
                    ("folders", &["1.33", "1.34"]),
                    ("shared", &["1.33", "1.34"]),
                    ("upgrade", &["1.33", "1.34"]),
                ],
            };
            let name = |(scenario, minors): &(&str, &[&str])| {
                let both = |minor: &&str| ["plain", "ovn"].map(|lb| format!("{scenario} {minor} {lb}"));
                minors.iter().flat_map(both).collect::<Vec<_>>()
            };
            scenarios.iter().flat_map(name).collect::<Vec<_>>()
        })
        .collect();
    let mut wrong = Vec::new();
    for (what, change, patterns) in ROWS {
        first.git(&["update-index", "--no-assume-unchanged", &format!("{SCS}/versions.yaml")]);
        first.git(&["reset", "-q", "--hard", "main"]);
        first.git(&["clean", "-qfd"]);
        first.git(&["checkout", "-q", "--detach"]);
        change(&first);
        let mut found = first.affected("openstack", "HEAD");
        found.extend(first.affected("docker", "HEAD"));
        let one_minor = !found.iter().any(|name| name.starts_with("upgrade 1.34"));
        let expected = |name: &&String| patterns.iter().any(|pattern| matches(pattern, name));
        let expected: BTreeSet<String> = all
            .iter()
            .filter(expected)
            .filter(|name| !(one_minor && name.starts_with("upgrade 1.34")))
            .cloned()
            .collect();
        if found != expected {
            wrong.push(format!("{what}:\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commits_count_like_the_work_tree() {
    let Some(repository) = Repository::new() else { return };
    repository.replace(&format!("{SCS}/versions.yaml"), "occm: 2.33.1", "occm: 2.33.2");
    repository.commit("newer");
    assert_eq!(repository.affected("openstack", "HEAD"), BTreeSet::new());
    let shared = BTreeSet::from(["shared 1.33 ovn".to_owned(), "shared 1.33 plain".to_owned()]);
    assert_eq!(repository.affected("openstack", "HEAD~1"), shared);
    // What is left out stands in the plan, with the reason.
    let output = repository.run(&["plan", "openstack", "--changed-since", "HEAD~1"]);
    let (told, plan) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("changed since HEAD~1: 2 of 10 combinations"), "{told}");
    assert!(told.contains("2: versions of add-on ccm of 1.33"), "{told}");
    assert!(plan.contains("not affected: nothing that it is made of has changed since HEAD~1"), "{plan}");
    assert!(plan.contains("not affected: files have changed since HEAD~1, but nothing"), "{plan}");
    let output = repository.run(&["plan", "openstack", "--changed-since", "HEAD"]);
    assert_eq!(output.status.code(), Some(6));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("no combination is affected by what has changed since HEAD"), "{told}");
}

#[test]
fn revisions_that_cannot_be_compared_with_are_refused() {
    let Some(repository) = Repository::new() else { return };
    let refused = |since: &str, why: &str| {
        let output = repository.run(&["plan", "openstack", &format!("--changed-since={since}")]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{since}: {told}");
        assert!(told.contains(why), "{since}: {told}");
        assert!(told.contains("hint: "), "{told}");
    };
    refused("nosuch", "has no revision `nosuch`");
    refused("--output=made", "`--output=made` is not a revision");
    refused("-x", "`-x` is not a revision");
    refused("", "`` is not a revision");
    refused("main evil", "`main evil` is not a revision");
    refused("main:README.md", "has no revision");
    assert!(!repository.path("made").exists());
    // A part of the history is not there.
    repository.append("README.md", "More.\n");
    repository.commit("more");
    let (from, to) = (repository.path(""), repository.home.path("shallow"));
    let url = format!("file://{}", from.display());
    let cloned = Command::new("git").args(["clone", "-q", "--depth", "1", &url]).arg(&to).status().unwrap();
    assert!(cloned.success());
    let mut command = repository.home.stack_e2e(&["plan", "openstack", "--changed-since", "HEAD~1"]);
    let output = command.current_dir(&to).env("STACK_E2E_TESTBED_HELM", &repository.helm).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("the clone is shallow: fetch the history"), "{told}");
    // No repository at all.
    fs::remove_dir_all(to.join(".git")).unwrap();
    let mut command = repository.home.stack_e2e(&["plan", "openstack", "--changed-since", "HEAD"]);
    let output = command.current_dir(&to).env("STACK_E2E_TESTBED_HELM", &repository.helm).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in a git repository"));
}

#[test]
fn a_minor_that_is_gone_is_not_left_out_in_silence() {
    let Some(repository) = Repository::new() else { return };
    fs::remove_dir_all(repository.path(&format!("{ALPHA}/1-34"))).unwrap();
    // What starts on it cannot be planned, and that is said.
    let output = repository.run(&["plan", "openstack/folders.yaml", "--changed-since", "HEAD"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("the stack has no release for Kubernetes 1.34"), "{told}");
    // What was upgraded to it does something else now.
    let upgrade = BTreeSet::from(["upgrade 1.33 ovn".to_owned(), "upgrade 1.33 plain".to_owned()]);
    assert_eq!(repository.affected("openstack/upgrade.yaml", "HEAD"), upgrade);
    // One that never was there is no change.
    repository.commit("gone");
    assert_eq!(repository.affected("openstack/upgrade.yaml", "HEAD"), BTreeSet::new());
}
