//! What a plan refuses before anything is created: variables and minors that the stack does not know. Needs Helm;
//! `STACK_E2E_HELM` names one, otherwise the test is skipped and says so.

use crate::support::process::Home;

const BAD: &str = r#"apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata:
  name: bad
spec:
  stack:
    provider: embedded
    name: scs
    source: {directory: STACK}
  switches:
    kubernetes: ["1.34", "1.39"]
    lb:
      - name: "typo"
        variables: {workload_loadbalancer: octavia-onv}
      - name: "unknown"
        variables: {workload_lodbalancer: yawol}
  checks: [smoke]
"#;

#[test]
fn what_the_stack_does_not_know_is_refused_at_its_line() {
    let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
        println!("skipped: STACK_E2E_HELM names no Helm to render the stack with");
        return;
    };
    let home = Home::new();
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");
    std::fs::write(home.path("bad.yaml"), BAD.replace("STACK", stack)).unwrap();
    let mut command = home.stack_e2e(&["run", "bad.yaml"]);
    let output = command.env("STACK_E2E_TESTBED_HELM", helm).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!home.path(".stack-e2e").exists(), "nothing was touched");
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn big_switches_are_planned_in_few_combinations_and_the_page_says_the_same() {
    let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
        println!("skipped: STACK_E2E_HELM names no Helm to render the stack with");
        return;
    };
    let home = Home::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/openstack-big-switches.yaml");
    let mut command = home.stack_e2e(&["plan", file]);
    let output = command.env("STACK_E2E_TESTBED_HELM", &helm).output().unwrap();
    let planned = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("plan_of_the_big_switches", planned);

    let page = std::fs::read_to_string("docs/SCENARIOS.md").unwrap();
    let shown = page.split("```console\n").find(|block| block.contains("cover strength 2")).unwrap();
    for line in shown.split("```").next().unwrap().lines() {
        assert!(planned.lines().any(|real| real == line), "the page shows another line: {line}");
    }

    // Nothing is made there, and that is said before anything is touched.
    let refused = home.stack_e2e(&["run", file]).env("STACK_E2E_TESTBED_HELM", helm).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("the testbed makes no clusters with the provider")
    );
}

#[test]
fn a_provider_that_the_testbed_lacks_wants_a_management_cluster() {
    let home = Home::new();
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");
    for provider in ["docker", "openstack", "kubevirt", "metal3", "hetzner"] {
        let text =
            BAD.replace("STACK", stack).replace("embedded\n    name", &format!("{provider}\n    name"));
        std::fs::write(home.path("bad.yaml"), text).unwrap();
        let said = home.say(&["run", "bad.yaml"]);
        assert_eq!(said.code(), 2, "{}", said.stderr);
        assert!(!home.path(".stack-e2e").exists(), "nothing was touched");
        let words = format!("error: the testbed makes no clusters with the provider `{provider}`");
        assert!(said.stderr.contains(&words) && said.stderr.contains("bad.yaml:7:15"), "{}", said.stderr);
        assert!(said.stderr.contains("--kubeconfig FILE"), "{}", said.stderr);
    }
}
