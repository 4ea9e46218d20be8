//! Every rule of `lint`: where it fires, and a clean stack in which none does. Without Helm: what is rendered is given.

use serde_json::Value;
use stack_e2e::lint::baseline::{Baseline, Sorted};
use stack_e2e::lint::{Finding, Gathered, RULES, Severity, Subject, Texts, gather, lint, report};
use stack_e2e::stack::{self, AddonValues, StackRelease};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files of one minor: `@` stands for its number, so that no two are the same.
const FILES: &[(&str, &str)] = &[
    (
        "csctl.yaml",
        "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  clusterStackName: scs\n  \
         kubernetesVersion: v1.@.1\n  provider:\n    type: docker\n",
    ),
    ("cluster-class/Chart.yaml", "apiVersion: v2\nname: docker-scs-1-@-cluster-class\nversion: v1\n"),
    ("cluster-class/values.yaml", "flavor: {worker: small} # @\n"),
    (
        "cluster-class/templates/class.yaml",
        "# @\n  variables:\n    - name: lb\n    - name: \"count\"\n  patches:\n    - name: balancer\n  {{ .Values.flavor.worker }}\n",
    ),
    (
        "clusteraddon.yaml",
        "# @\napiVersion: clusteraddonconfig.x-k8s.io/v1alpha1\naddonStages:\n  AfterControlPlaneInitialized:\n  - name: cni\n    action: apply\n",
    ),
    (
        "cluster-addon/cni/Chart.yaml",
        "apiVersion: v2\nname: cni\nversion: v1 # @\ndependencies:\n- name: cilium\n  version: 1.16.3\n- name: openstack-cinder-csi\n  version: 2.@.1\n",
    ),
    (
        "cluster-addon/cni/Chart.lock",
        "# @\ndependencies:\n- name: cilium\n  version: 1.16.3\n- name: openstack-cinder-csi\n  version: 2.@.1\n",
    ),
    ("cluster-addon/cni/charts/cilium-1.16.3.tgz", "@"),
    ("cluster-addon/cni/values.yaml", "cilium:\n  mtu: 1500 # @\n  tunnel: vxlan\n"),
    (
        "cluster-addon/cni/overwrite.yaml",
        "values: |\n  # @\n  cilium:\n    host: {{ .Cluster.spec.controlPlaneEndpoint.host }}\n    {{- if .x }}\n    mtu: 9000\n    {{- end }}\n",
    ),
    (
        "node-images/config.yaml",
        "openStackNodeImages:\n- url: https://x/kube-v1.@.1.qcow2\n  createOpts: {name: image}\n",
    ),
    (
        "rendered",
        "kind: ClusterClass\nmetadata: {name: docker-scs-1-@-v1}\nspec:\n  controlPlane: {ref: {name: docker-scs-1-@-v1-cp}}\n  \
         variables:\n  - name: lb\n    schema: {openAPIV3Schema: {type: string, default: a, enum: [a, b]}}\n  \
         - name: count\n    schema: {openAPIV3Schema: {type: object, properties: {n: {type: integer, default: 1}}}}\n  \
         patches:\n  - name: balancer\n    enabledIf: '{{ eq .lb \"b\" }}'\n    definitions: [{path: /a, value: v1.@.1}]\n  \
         - name: counted\n    definitions: [{valueFrom: {variable: count.n}}]\n---\n\
         kind: MachineTemplate\nmetadata: {name: docker-scs-1-@-v1-cp}\nspec: {image: kube-v1.@.1, size: 1}\n",
    ),
];

/// A change of a file: its path with the minor, what is replaced, and by what. An empty first text adds a file.
type Change<'a> = (&'a str, &'a str, &'a str);

const NEW: &str = "1-34";

fn texts(stack: &str, changes: &[Change<'_>]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for minor in ["33", "34"] {
        for (path, text) in FILES {
            let text = text.replace('@', minor).replace("docker-scs-", &format!("docker-{stack}-"));
            let text =
                text.replace("Name: scs", &format!("Name: {stack}")).replace("# ", &format!("# {stack}"));
            all.insert(format!("1-{minor}/{path}"), text);
        }
    }
    for (path, from, to) in changes {
        if from.is_empty() {
            all.insert((*path).to_owned(), (*to).to_owned());
        } else {
            let text = all.get_mut(*path).unwrap_or_else(|| panic!("{path}"));
            assert!(text.contains(from), "{path} has no {from}");
            *text = text.replace(from, to);
        }
    }
    all
}

/// A stack on disk, with what its minors render as.
fn subject(folder: &Path, stack: &str, changes: &[Change<'_>]) -> Subject {
    let all = texts(stack, changes);
    for (path, text) in all.iter().filter(|(path, _)| !path.ends_with("/rendered")) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let found = stack::discover(folder, None);
    assert_eq!(found.problems, []);
    let source = found.stacks.into_iter().next().unwrap();
    let mut rendered = Vec::new();
    let mut files = BTreeMap::new();
    for minor in &source.minors {
        let dashed = minor.kubernetes.minor().dashed();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&all[&format!("{dashed}/rendered")]).unwrap();
        let cluster_class = objects.iter().find(|object| object["kind"] == "ClusterClass").unwrap().clone();
        let template = all[&format!("{dashed}/cluster-addon/cni/overwrite.yaml")].clone();
        let values = AddonValues { stage: "cni".into(), file: "overwrite.yaml".into(), template };
        rendered.push(StackRelease {
            kubernetes: minor.kubernetes,
            class: cluster_class["metadata"]["name"].as_str().unwrap().into(),
            worker_class: "w".into(),
            worker_classes: vec!["w".into()],
            cluster_class,
            objects,
            addon_values: vec![values],
            addons: None,
        });
        let prefix = format!("{dashed}/");
        let mut inside = Texts::default();
        for (path, text) in &all {
            if let Some(path) = path.strip_prefix(&prefix).filter(|path| *path != "rendered") {
                use sha2::Digest as _;
                inside.digest.insert(path.to_owned(), sha2::Sha256::digest(text).into());
                inside.text.insert(path.to_owned(), text.clone());
            }
        }
        files.insert(minor.folder.clone(), inside);
    }
    Subject { source, rendered, files }
}

fn found(changes: &[Change<'_>]) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    let subject = subject(folder.path(), "scs", changes);
    lint(&Gathered { subjects: vec![subject], ..Gathered::default() })
}

/// What is changed in the clean stack, the rule that fires, a part of the reason, and the end of the place.
const CASES: &[(&str, &[Change<'_>], &str, &str)] = &[
    (
        "version-sources",
        &[
            ("1-34/stack.yaml", "", "provider: docker\nclusterStackName: scs\nkubernetesVersion: 1.34.1\n"),
            ("1-34/csctl.yaml", "v1.34.1", "v1.34.9"),
        ],
        "says v1.34.9; the stack is of v1.34.1 by stack.yaml",
        "1-34/csctl.yaml:4",
    ),
    (
        "chart-name",
        &[("1-34/cluster-class/Chart.yaml", "1-34", "1-33")],
        "a release of this folder needs docker-scs-1-34-cluster-class",
        "Chart.yaml:2",
    ),
    (
        "chart-version",
        &[("1-34/cluster-class/Chart.yaml", "v1\n", "0.1.0\n")],
        "the version `0.1.0`",
        "Chart.yaml:3",
    ),
    (
        "node-image",
        &[("1-34/node-images/config.yaml", "1.34.1", "1.33.9")],
        "names an image of Kubernetes v1.33.9, and none of v1.34.1",
        "config.yaml:",
    ),
    (
        "addon-lock",
        &[("1-34/cluster-addon/cni/Chart.lock", "1.16.3", "1.16.2")],
        "Chart.lock has 1.16.2",
        "Chart.yaml:6",
    ),
    (
        "addon-vendored",
        &[
            ("1-34/cluster-addon/cni/Chart.yaml", "1.16.3", "1.16.4"),
            ("1-34/cluster-addon/cni/Chart.lock", "1.16.3", "1.16.4"),
        ],
        "Chart.yaml wants cilium 1.16.4, charts/ has 1.16.3",
        "Chart.yaml:6",
    ),
    (
        "addon-backwards",
        &[
            ("1-33/cluster-addon/cni/Chart.yaml", "1.16.3", "1.16.10"),
            ("1-33/cluster-addon/cni/Chart.lock", "1.16.3", "1.16.10"),
            ("1-33/cluster-addon/cni/charts/cilium-1.16.10.tgz", "", "x"),
        ],
        "cilium is 1.16.3 in 1.34, and 1.16.10 in the older 1.33",
        "Chart.yaml:6",
    ),
    (
        "addon-minor",
        &[
            ("1-34/cluster-addon/cni/Chart.yaml", "2.34.1", "2.33.9"),
            ("1-34/cluster-addon/cni/Chart.lock", "2.34.1", "2.33.9"),
        ],
        "openstack-cinder-csi 2.33.9 is released for Kubernetes 1.33, the stack is of 1.34",
        "Chart.yaml:8",
    ),
    (
        "component-unused",
        &[(
            "1-34/stack.yaml",
            "",
            "provider: docker\nclusterStackName: scs\nkubernetesVersion: 1.34.1\naddons: {occm: 2.34.2}\n",
        )],
        "`occm: 2.34.2` belongs to no add-on",
        "stack.yaml:4",
    ),
    (
        "variable-gone",
        &[
            (
                "1-33/rendered",
                "  patches:\n",
                "  - name: old\n    schema: {openAPIV3Schema: {type: string}}\n  patches:\n",
            ),
            ("1-33/rendered", "variable: count.n", "variable: count.n, other: old"),
            ("1-34/rendered", "variable: count.n", "variable: count.n, other: old"),
        ],
        "the variable `old` of 1.33 does not exist in 1.34",
        "cluster-class:0",
    ),
    (
        "variable-required",
        &[
            (
                "1-34/rendered",
                "  patches:\n",
                "  - name: new\n    required: true\n    schema: {openAPIV3Schema: {type: string}}\n  patches:\n",
            ),
            ("1-33/rendered", "variable: count.n", "variable: count.n, other: new"),
            ("1-34/rendered", "variable: count.n", "variable: count.n, other: new"),
        ],
        "`new` is required in 1.34, has no default",
        "cluster-class:0",
    ),
    (
        "variable-type",
        &[("1-34/rendered", "type: integer", "type: string")],
        "`count.n` is of type integer in 1.33, and of type string in 1.34",
        "class.yaml:4",
    ),
    (
        "variable-default",
        &[("1-34/rendered", "default: a", "default: b")],
        "the default of `lb` is \"a\" in 1.33, and \"b\" in 1.34",
        "class.yaml:3",
    ),
    (
        "patch-differs",
        &[("1-34/rendered", "path: /a", "path: /b")],
        "definitions[0].path is \"/a\" in 1.33, and \"/b\" in 1.34",
        "class.yaml:6",
    ),
    (
        "patch-order",
        &[
            ("1-34/rendered", "name: balancer\n", "name: COUNTED\n"),
            (
                "1-34/rendered",
                "name: counted\n    definitions: [{valueFrom: {variable: count.n}}]",
                "name: balancer\n    enabledIf: '{{ eq .lb \"b\" }}'\n    definitions: [{path: /a, value: v1.34.1}]",
            ),
            (
                "1-34/rendered",
                "name: COUNTED\n    enabledIf: '{{ eq .lb \"b\" }}'\n    definitions: [{path: /a, value: v1.34.1}]",
                "name: counted\n    definitions: [{valueFrom: {variable: count.n}}]",
            ),
        ],
        "where 1.33 has the patch `balancer`, 1.34 has `counted`",
        "cluster-class:0",
    ),
    (
        "template-differs",
        &[("1-34/rendered", "size: 1", "size: 2")],
        "MachineTemplate <class>-cp differs: spec.size is 1 in 1.33, and 2 in 1.34",
        "cluster-class:0",
    ),
    (
        "variable-unused",
        &[("1-33/rendered", "count.n", "lb"), ("1-34/rendered", "count.n", "lb")],
        "no patch and no add-on of 1.34 reads the variable `count`",
        "class.yaml:4",
    ),
    (
        "variable-no-enum",
        &[("1-33/rendered", ", enum: [a, b]", ""), ("1-34/rendered", ", enum: [a, b]", "")],
        "`lb` is compared with `b`; its schema allows every text",
        "class.yaml:3",
    ),
    (
        "variable-no-enum",
        &[
            ("1-33/rendered", ", enum: [a, b]", ""),
            ("1-34/rendered", ", enum: [a, b]", ""),
            ("1-33/rendered", "eq .lb \"b\"", "not .lb"),
            ("1-34/rendered", "eq .lb \"b\"", "not .lb"),
            (
                "1-34/cluster-addon/cni/overwrite.yaml",
                "{{- if .x }}",
                "{{- if and (eq .name \"lb\") (eq .value \"ovn\") }}",
            ),
        ],
        "`lb` is compared with `ovn`",
        "class.yaml:3",
    ),
    (
        "values-shadowed",
        &[("1-34/cluster-addon/cni/overwrite.yaml", "    host", "    tunnel: geneve\n    host")],
        "`cilium.tunnel: \"vxlan\"` never counts: cluster-addon/cni/overwrite.yaml always sets \"geneve\"",
        "cni/values.yaml:3",
    ),
    (
        "values-shadowed",
        &[("1-34/cluster-addon/cni/overwrite.yaml", "    host", "    tunnel: {{ .a }}\n    host")],
        "always sets a template",
        "cni/values.yaml:3",
    ),
    (
        "override-same",
        &[("1-34/cluster-addon/cni/overwrite.yaml", "    host", "    tunnel: vxlan\n    host")],
        "`cilium.tunnel` is \"vxlan\" in cluster-addon/cni/values.yaml already",
        "cni/overwrite.yaml:4",
    ),
    (
        "chart-value-unused",
        &[("1-34/cluster-class/values.yaml", "worker:", "control: big, worker:")],
        "no template of the chart reads `flavor.control`",
        "values.yaml:",
    ),
    (
        "same-copy",
        &[
            ("1-33/a", "", "x"),
            ("1-34/a", "", "x"),
            ("1-33/b", "", "x"),
            ("1-34/b", "", "x"),
            ("1-33/c", "", "x"),
            ("1-34/c", "", "x"),
        ],
        "3 of 14 files are the same in two or more of its minors, 3 of them in all",
        ":0",
    ),
];

#[test]
fn every_rule_fires_where_it_should_and_only_there() {
    assert_eq!(found(&[]), [], "the clean stack is clean");
    let mut wrong = Vec::new();
    for (rule, changes, why, place) in CASES {
        let findings = found(changes);
        let fits = |finding: &Finding| {
            let at = format!("{}:{}", finding.file.display(), finding.line);
            // A place that ends with `:` stands for any line.
            let placed = at.ends_with(place) || (place.ends_with(':') && at.contains(place));
            finding.rule == *rule && finding.why.contains(why) && placed && !finding.hint.is_empty()
        };
        if !matches!(findings.as_slice(), [one] if fits(one)) {
            wrong.push(format!("{rule} with `{why}` at {place}, but {findings:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_test() {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len(), "an id is there twice");
    let here = include_str!("lint.rs");
    let page = include_str!("../../docs/LINT.md");
    for rule in RULES {
        assert!(here.contains(&format!("\"{}\"", rule.id)), "{} has no test", rule.id);
        assert!(page.contains(&format!("| `{}` |", rule.id)), "{} has no row in docs/LINT.md", rule.id);
        assert!(rule.what.ends_with('.') && !rule.hint.is_empty());
    }
}

#[test]
fn siblings_are_compared() {
    let rules = |changes: &[Change<'_>]| -> Vec<&str> {
        let folder = tempfile::tempdir().unwrap();
        let one = subject(&folder.path().join("scs"), "scs", &[]);
        let other = subject(&folder.path().join("other"), "other", changes);
        let findings = lint(&Gathered { subjects: vec![one, other], ..Gathered::default() });
        findings.iter().map(|finding| finding.rule).collect()
    };
    // Charts that are vendored, files of images and the like are the same in both, as they are for any two stacks.
    assert_eq!(rules(&[]), ["same-copy"]);
    let other = [
        ("1-34/rendered", "type: integer", "type: string"),
        ("1-33/rendered", "type: integer", "type: string"),
    ];
    assert_eq!(rules(&other), ["same-copy", "sibling-variable"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_once_and_as_a_finding_where_there_is_a_rule() {
    let nowhere = Path::new("/nonexistent/helm");
    for (from, to, rule) in [
        ("clusterStackName: scs", "clusterStackName: s-cs", Some(("name-split", 3))),
        ("v1.34.1", "v1.34", Some(("csctl-version", 4))),
        ("apiVersion: csctl", "apiVersion: other", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in texts("scs", &[("1-34/csctl.yaml", from, to)]) {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let gathered = gather(&[folder.path().join(NEW)], None, nowhere).await;
        let findings = lint(&gathered);
        let told: Vec<_> = findings.iter().map(|finding| (finding.rule, finding.line)).collect();
        assert_eq!(told, rule.into_iter().collect::<Vec<_>>(), "{to}");
        let file = Path::new("csctl.yaml");
        let unread = gathered.unread.iter().filter(|problem| problem.file.ends_with(file)).count();
        assert_eq!(unread, usize::from(rule.is_none()), "{to}: {:?}", gathered.unread);
    }
    let gathered = gather(&[PathBuf::from("/nonexistent")], None, nowhere).await;
    assert_eq!((gathered.subjects.len(), gathered.unread.len()), (0, 1));
    // A minor that cannot be rendered is not taken for a clean one.
    let folder = tempfile::tempdir().unwrap();
    subject(folder.path(), "scs", &[]);
    let gathered = gather(&[folder.path().to_owned()], None, nowhere).await;
    assert_eq!((gathered.subjects.len(), gathered.unread.len()), (1, 2));
}

const BASELINE: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: LintBaseline\naccepted:\n\
                        - rule: variable-default\n  about: docker-scs 1.33 1.34 variable lb\n  because: it is meant so\n  \
                        since: 2026-05-01\n  until: 2026-06-30\n";

#[test]
fn a_baseline_accepts_until_a_date_and_not_for_nothing() {
    let baseline = Baseline::parse(BASELINE).unwrap();
    let changes = [("1-34/rendered", "default: a", "default: b")];
    let sorted = |findings: Vec<Finding>, date: &str, partial: bool| -> (Vec<&str>, usize) {
        let Sorted { findings, accepted } =
            baseline.sort(findings, Path::new("baseline.yaml"), date.parse().unwrap(), partial);
        assert!(
            findings.iter().filter(|f| f.rule.starts_with("baseline")).all(|f| f.line == 4),
            "{findings:?}"
        );
        (findings.iter().map(|finding| finding.rule).collect(), accepted.len())
    };
    assert_eq!(sorted(found(&changes), "2026-06-30", false), (vec![], 1));
    let (mut rules, accepted) = sorted(found(&changes), "2026-07-01", false);
    rules.sort_unstable();
    assert_eq!((rules, accepted), (vec!["baseline-expired", "variable-default"], 0));
    assert_eq!(sorted(Vec::new(), "2026-06-30", false), (vec!["baseline-unused"], 0));
    // What was not read may still be there.
    assert_eq!(sorted(Vec::new(), "2026-06-30", true), (vec![], 0));
    for (from, to, line, why) in [
        ("LintBaseline", "Baseline", 1, "is not `apiVersion"),
        ("rule: variable-default", "rule: variable-defaults", 4, "there is no rule `variable-defaults`"),
        ("it is meant so", "''", 4, "has no reason"),
        ("2026-05-01", "May", 4, "`since: May` is no date"),
        ("2026-06-30", "never", 4, "`until: never` is no date"),
        ("  because", "  reason", 6, "reason"),
        ("accepted:\n", "accepted: [\n", 0, ""),
    ] {
        assert!(BASELINE.contains(from));
        let problems = Baseline::parse(&BASELINE.replacen(from, to, 1)).unwrap_err();
        assert!(
            problems.iter().any(|(at, told)| (line == 0 || *at == line) && told.contains(why)),
            "{to}: {problems:?}"
        );
    }
    let twice = format!("{BASELINE}{}", &BASELINE[BASELINE.find("- rule").unwrap()..]);
    assert!(Baseline::parse(&twice).unwrap_err()[0].1.contains("twice"));
}

#[test]
fn findings_are_shown_in_four_ways() {
    let findings =
        found(&[("1-34/rendered", "default: a", "default: b"), ("1-34/rendered", "size: 1", "size: 2")]);
    let here = |finding: &Finding| Finding {
        file: PathBuf::from("scs").join(finding.file.file_name().unwrap()),
        ..finding.clone()
    };
    let (shown, accepted) = (here(&findings[1]), here(&findings[0]));
    let sorted = Sorted { findings: vec![shown], accepted: vec![(accepted, "known".into())] };
    let looked = &report::Looked { stacks: 1, minors: 2, unread: vec![] };
    insta::assert_snapshot!(report::text(&sorted, looked), @r#"
    scs/class.yaml:3: warning: the default of `lb` is "a" in 1.33, and "b" in 1.34 [variable-default]
        hint: use the same default, or say it in the release notes

    1 stack, 2 minors: 1 warning; 1 accepted
    "#);
    let json: Value = serde_json::from_str(&report::json(&sorted, looked)).unwrap();
    assert_eq!(
        (json["findings"].as_array().unwrap().len(), &json["accepted"][0]["because"]),
        (1, &"known".into())
    );
    let zuul: Value = serde_json::from_str(&report::zuul(&sorted, looked)).unwrap();
    let comment = &zuul["zuul"]["file_comments"]["scs/class.yaml"][0];
    assert_eq!((&comment["line"], &comment["level"]), (&3.into(), &"warning".into()));
    for (fail_on, failures) in [(Severity::Info, 1), (Severity::Warning, 1), (Severity::Error, 0)] {
        let junit = String::from_utf8(report::junit(&sorted, looked, fail_on)).unwrap();
        let document = roxmltree::Document::parse(&junit).unwrap();
        let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
        assert_eq!((count("testcase"), count("failure")), (RULES.len() + 1, failures));
        assert!(junit.contains("known"), "what is accepted is not hidden");
    }
    // What could not be read is no pass.
    let blind = &report::Looked { unread: vec!["a: is not there".into()], ..report::Looked::default() };
    let junit = String::from_utf8(report::junit(&Sorted::default(), blind, Severity::Info)).unwrap();
    assert!(junit.contains("errors=\"1\"") && junit.contains("a: is not there"), "{junit}");
    assert!(report::text(&Sorted::default(), blind).contains("1 could not be read"));
    assert!(report::json(&Sorted::default(), blind).contains("a: is not there"));
    assert!(report::zuul(&Sorted::default(), blind).contains("a: is not there"));
}
