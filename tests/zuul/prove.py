"""Lets a running Zuul test changes of a project, and says what came of it. Started by .ci/zuul.

    prove.py SETTINGS [PROOF...]

SETTINGS is a JSON file: work, web, token, ledger, testbed, project, services.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

SETTINGS = json.loads(pathlib.Path(sys.argv[1]).read_text())
WORK = pathlib.Path(SETTINGS["work"])
API = f"http://127.0.0.1:{SETTINGS['web']}/api/tenant/stack-e2e"
PROJECT = "example/cluster-stacks"
REPOSITORY = WORK / "gerrit/git" / f"{PROJECT}.git"
LEDGER = pathlib.Path(SETTINGS["ledger"])
SHARDS = ["stack-e2e-embedded-1", "stack-e2e-embedded-2"]
# A busy machine needs a minute for a job of nothing.
PATIENCE = 1500


def api(path, data=None):
    request = urllib.request.Request(f"{API}{path}")
    if data is not None:
        request.add_header("Authorization", f"Bearer {SETTINGS['token']}")
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(data).encode()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def until(what, look, patience=PATIENCE):
    """Looks until there is something to see."""
    end = time.monotonic() + patience
    while True:
        for name, pid in SETTINGS["services"].items():
            if ended(pid):
                raise SystemExit(f"error: {name} has ended, see log/{name}.log")
        try:
            if seen := look():
                return seen
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        if time.monotonic() > end:
            raise SystemExit(f"error: {what}: not within {patience} s")
        time.sleep(1)


def git(directory, *words):
    identity = ["-c", "user.name=Contributor", "-c", "user.email=contributor@example.com"]
    command = ["git", "-C", str(directory), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def change(number, title, edit):
    """A change for review: what `edit` does to a checkout."""
    checkout = WORK / f"change-{number}"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(checkout)], check=True)
    edit(checkout)
    git(checkout, "add", "-A")
    name = f"I{number:040x}"
    git(checkout, "commit", "-q", "-m", f"{title}\n\nChange-Id: {name}")
    git(checkout, "push", "-q", "origin", f"HEAD:refs/changes/{number:02}/{number}/1")
    described = {"number": number, "project": PROJECT, "branch": "main", "change_id": name, "patchset": 1}
    directory = WORK / "gerrit/changes"
    directory.mkdir(exist_ok=True)
    (directory / f"{number}.json").write_text(json.dumps(described))
    shutil.rmtree(checkout)


def enqueue(number):
    api(f"/project/{PROJECT}/enqueue", {"trigger": "gerrit", "change": f"{number},1", "pipeline": "check"})


def enqueue_ref(pipeline, ref):
    """An item that is no change: a branch at night, or a tag."""
    revision = git(REPOSITORY, "rev-parse", f"{ref}^{{commit}}")
    trigger = "timer" if pipeline.startswith("periodic") else "gerrit"
    api(f"/project/{PROJECT}/enqueue", {"trigger": trigger, "pipeline": pipeline, "ref": ref, "oldrev": None, "newrev": revision})


def dequeue(number):
    api(f"/project/{PROJECT}/dequeue", {"change": f"{number},1", "pipeline": "check"})


def buildset(number):
    """The result of a change's jobs, when Zuul has said so."""

    def look():
        found = [s for s in api(f"/buildsets?change={number}") if s["result"]]
        return found and api(f"/buildset/{found[0]['uuid']}")

    return until(f"the result of change {number}", look)


def buildset_of(pipeline, ref, known=()):
    """The result of an item that is no change."""

    def look():
        found = [s for s in api(f"/buildsets?pipeline={pipeline}&limit=20")
                 if s["result"] and s["uuid"] not in known and ref in [r["ref"] for r in s["refs"]]]
        return found and api(f"/buildset/{found[0]['uuid']}")

    return until(f"the result of {ref} in {pipeline}", look)


def review(number):
    """What Zuul has said about a change."""
    file = WORK / "gerrit/reviews.jsonl"

    def look():
        lines = file.read_text().splitlines() if file.exists() else []
        return [one for one in map(json.loads, lines) if one["change"] == number]

    return until(f"a review of change {number}", look, 60)[-1]


def log(build, name):
    with urllib.request.urlopen(f"{build['log_url']}{name}", timeout=60) as answer:
        return answer.read().decode()


def builds(found):
    return {build["job_name"]: build for build in found["builds"]}


def expect(true, what, found=None):
    if not true:
        if found is not None:
            show(found)
        raise SystemExit(f"error: {what}")


def show(found):
    for build in found["builds"]:
        artifacts = ", ".join(artifact["name"] for artifact in build["artifacts"]) or "none"
        detail = f"; {build['error_detail']}" if build.get("error_detail") else ""
        print(
            f"    {build['job_name']:<22} {build['result'] or '-':<9} {build['duration'] or 0:4.0f} s"
            f"  artifacts: {artifacts}{detail}"
        )


def objects():
    return [file for file in LEDGER.iterdir() if not file.name.startswith(".")] if LEDGER.is_dir() else []


def processes():
    """The harness itself, as it runs on nodes."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(WORK).encode() in words[0] and words[0].endswith(b"/bin/stack-e2e") and b"run" in words[1:2]:
            found.append(int(directory.name))
    return found


def results(named):
    return {name: build["result"] for name, build in named.items()}


def loads():
    """The configuration is loaded as it is, and jobs freeze to what they are meant to be."""
    until("the tenant", lambda: api("/projects"), 300)
    errors = api("/config-errors")
    expect(not errors, f"the configuration has errors: {errors}")
    jobs = api(f"/pipeline/check/project/{PROJECT}/branch/main/freeze-jobs")
    needs = {job["name"]: sorted(d["name"] for d in job["dependencies"]) for job in jobs}
    expect(needs["stack-e2e-embedded-2"] == ["stack-e2e-plan"], needs)
    expect(needs["stack-e2e-plan"] == ["stack-e2e-build"], needs)
    own = "SovereignCloudStack/stack-e2e"
    frozen = {}
    for pipeline in ["check-post", "periodic-hourly", "periodic-daily", "tag"]:
        jobs = api(f"/pipeline/{pipeline}/project/{own}/branch/main/freeze-jobs")
        frozen[pipeline] = [job["name"] for job in jobs]
    expect("stack-e2e-openstack-quick" in frozen["check-post"], frozen)
    expect("stack-e2e-openstack-sweep" in frozen["periodic-hourly"], frozen)
    expect("stack-e2e-openstack-full-2" in frozen["tag"], frozen)
    # A project with a secret of its own takes the jobs as they are.
    other = [job["name"] for job in api(f"/pipeline/check-post/project/{PROJECT}/branch/main/freeze-jobs")]
    expect("cluster-stacks-e2e-quick" in other, other)
    job = api(f"/pipeline/check-post/project/{PROJECT}/branch/main/freeze-job/cluster-stacks-e2e-quick")
    first = [p for p in job["pre_playbooks"] if p["path"].endswith("playbooks/openstack/pre.yaml")]
    expect(first and "stack_e2e_openstack" in json.dumps(first[0].get("secrets", [])), [sorted(job), first])
    return f"no errors; {sum(map(len, frozen.values())) + len(needs)} jobs freeze in 5 pipelines"


def refused():
    """A scenario file with a mistake: nothing runs, the line is commented."""

    def edit(checkout):
        file = checkout / "scenarios/switches.yaml"
        file.write_text(file.read_text().replace("kubeconfig", "kubeconfg"))

    change(11, "Misspell a check", edit)
    enqueue(11)
    found = buildset(11)
    result = results(builds(found))
    expect(result["stack-e2e-validate"] == "FAILURE", "the mistake is not found", found)
    expect(result["stack-e2e-embedded-1"] == "SKIPPED", "a shard has run", found)
    said = review(11)
    comments = said.get("comments", {}).get("scenarios/switches.yaml", [])
    expect(comments and "kubeconfg" in comments[0]["message"], f"no comment: {said}", found)
    expect(comments[0]["line"] == 17, f"the comment is on another line: {comments}", found)
    show(found)
    return f"scenarios/switches.yaml:17: {' '.join(comments[0]['message'].split())}"


def succeeds():
    """A good change: shards, artifacts, one merged report."""
    embedded = SETTINGS["testbed"]

    def edit(checkout):
        (checkout / "NOTES").write_text("nothing that matters\n")
        if embedded:
            shutil.copytree(SETTINGS["project"] + "/fixtures/stacks/embedded/scs", checkout / "stacks/embedded/scs")
            quick = pathlib.Path(SETTINGS["project"], "scenarios/quick.yaml").read_text()
            (checkout / "embedded.yaml").write_text(quick.replace("../fixtures/", ""))
            (checkout / "zuul.yaml").write_text(
                json.dumps([{"project": {"templates": ["stack-e2e"], "vars": {
                    "stack_e2e_scenarios": ["embedded.yaml"], "stack_e2e_number_of_shards": 1,
                }}}])
            )

    change(12, "Change nothing that matters", edit)
    enqueue(12)
    found = buildset(12)
    named = builds(found)
    ran = SHARDS[:1] if embedded else SHARDS
    expect(found["result"] == "SUCCESS", "a good change does not succeed", found)
    for shard in ran:
        expect(named[shard]["result"] == "SUCCESS", f"{shard} does not succeed", found)
        expect({"JUnit", "Report (JSON)", "Journal and evidence"} <= {a["name"] for a in named[shard]["artifacts"]},
               f"artifacts of {shard} are missing", found)
    expect(named["stack-e2e-embedded-3"]["result"] == "SKIPPED", "an empty shard has run", found)
    suites = xml.fromstring(log(named["stack-e2e-plan"], "e2e/junit.xml"))
    combinations = len([s for s in suites.iter("testsuite") if "=" in s.get("name", "")])
    expect(combinations == len(ran), f"{combinations} combinations in the merged report", found)
    expect(not objects() and not processes(), "something is left", found)
    show(found)
    kind = "on a real embedded management cluster" if embedded else "on scripted clusters: no testbed is in the cache"
    return f"{kind}; {suites.get('tests')} cases in the merged JUnit"


def fails():
    """A combination that fails: the value that is to blame is commented, nothing is left."""

    def edit(checkout):
        file = checkout / "scenarios/switches.yaml"
        file.write_text(file.read_text().replace('      - name: "on"\n', '      - name: "on"\n        weight: 2\n'))
        file = checkout / "scripts/script.json"
        script = json.loads(file.read_text())
        script["faults"] = [{"at": "check/kubeconfig", "unit": "yawol=on", "kind": "refuse"}]
        file.write_text(json.dumps(script))

    change(13, "Break yawol", edit)
    enqueue(13)
    found = buildset(13)
    result = results(builds(found))
    expect(sorted(result[shard] for shard in SHARDS) == ["FAILURE", "SUCCESS"], "one shard should fail", found)
    bad = next(build for build in found["builds"] if build["result"] == "FAILURE")
    expect("JUnit" in {a["name"] for a in bad["artifacts"]}, "the failed shard has no JUnit", found)
    expect("<failure" in log(bad, "e2e/junit.xml"), "no failure in the JUnit", found)
    said = review(13)
    comments = said.get("comments", {}).get("scenarios/switches.yaml", [])
    expect(len(comments) == 1 and comments[0]["message"].startswith("yawol=on: in 1 of 1 failed"), f"{said}", found)
    expect(comments[0]["line"] == 15, f"the comment is on another line: {comments}", found)
    expect(not objects() and not processes(), "something is left", found)
    show(found)
    return f"scenarios/switches.yaml:{comments[0]['line']}: {' '.join(comments[0]['message'].split())}"


def truthful():
    """What says nothing about the stack is no failure of the stack, and what is left is told: exit codes 3 and 4."""

    def edit(checkout):
        file = checkout / "scripts/script.json"
        script = json.loads(file.read_text())
        script["faults"] = [
            {"at": "provision", "unit": "yawol=off", "kind": "fail"},
            {"at": "delete", "unit": "yawol=on", "kind": "ignore"},
        ]
        file.write_text(json.dumps(script))

    change(15, "Lose a network and a delete call", edit)
    enqueue(15)
    found = buildset(15)
    named = builds(found)
    expect({named[shard]["result"] for shard in SHARDS} == {"FAILURE"}, "both shards should fail", found)
    said = {shard: log(named[shard], "job-output.txt") for shard in SHARDS}
    words = sorted(
        next(code for code, word in [("3", "this says nothing about the stack"), ("4", "not proven clean")] if word in text)
        for text in said.values()
    )
    expect(words == ["3", "4"], f"the exit codes are told as {words}", found)
    told = review(15)
    expect(not told.get("comments"), f"a comment blames the stack: {told}", found)
    reports = [json.loads(log(named[shard], "e2e/report.json"))["exit_code"] for shard in SHARDS]
    expect(sorted(reports) == [3, 4], f"the reports say {reports}", found)
    # The sweep of the clean-up has taken what the run could not remove.
    expect(not objects() and not processes(), "something is left", found)
    show(found)
    return "exit codes 3 and 4 are FAILURE with the reason, without a comment on the change; the sweep took what was left"


def timed_out():
    """A harness that does not stop in time: the job ends TIMED_OUT, with its report, and nothing is left."""

    def edit(checkout):
        slow = {"call_ms": 20, "provision_ms": 3_600_000, "check_ms": 50, "delete_ms": 500}
        (checkout / "scripts/script.json").write_text(json.dumps(slow))
        # The deadline is put behind the timeout: the harness does not end by itself.
        late = {"stack_e2e_grace": -100_000, "stack_e2e_teardown_budget": 1}
        jobs = [{"stack-e2e-embedded-1": {"timeout": 150, "pre-timeout": 120, "vars": late}}]
        project = {"project": {"templates": ["stack-e2e"], "check": {"jobs": jobs}, "vars": {
            "stack_e2e_number_of_shards": 1,
            "stack_e2e_arguments": ["--script", "scripts/script.json", "--ledger", str(LEDGER)],
            "stack_e2e_sweep_arguments": ["--provider", "scripted", "--ledger", str(LEDGER)],
        }}}
        (checkout / "zuul.yaml").write_text(json.dumps([project]))

    change(16, "Take longer than there is", edit)
    enqueue(16)
    found = buildset(16)
    shard = builds(found)["stack-e2e-embedded-1"]
    expect(shard["result"] == "TIMED_OUT", "the job has not timed out", found)
    expect("JUnit" in {a["name"] for a in shard["artifacts"]}, "it has no JUnit", found)
    until("the removal of the clusters", lambda: not objects() and not processes(), 300)
    show(found)
    return f"TIMED_OUT after {shard['duration']:.0f} s with its JUnit; nothing is left"


def swept():
    """An aborted build on a real embedded management cluster: clusters, processes and the testbed go."""
    if not SETTINGS["testbed"]:
        return "left out: no testbed is in the cache"

    def edit(checkout):
        shutil.copytree(SETTINGS["project"] + "/fixtures/stacks/embedded/scs", checkout / "stacks/embedded/scs")
        quick = pathlib.Path(SETTINGS["project"], "scenarios/quick.yaml").read_text()
        (checkout / "embedded.yaml").write_text(quick.replace("../fixtures/", ""))
        (checkout / "zuul.yaml").write_text(json.dumps([{"project": {"templates": ["stack-e2e"], "vars": {
            "stack_e2e_scenarios": ["embedded.yaml"], "stack_e2e_number_of_shards": 1,
        }}}]))

    def journals():
        return [file for node in WORK.glob("node[0-9]") for file in node.glob("stack-e2e/*/out/runs/*/journal.jsonl")]

    def testbeds():
        """Processes of testbeds of builds: their state is below the directory of the build."""
        found = []
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (directory / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(WORK) in words and "/testbed/" in words and "ansible" not in words:
                found.append(int(directory.name))
        return found

    change(17, "Stop in the middle", edit)
    enqueue(17)
    # The create call was announced a moment ago: the cluster is being made.
    created = lambda: [j for j in journals() if '"act":"create"' in j.read_text() and '"waiting"' in j.read_text()]
    until("a cluster on a real management cluster", created)
    before = len(testbeds())
    expect(before >= 5 and len(processes()) == 1, f"{before} processes of a testbed, {processes()}")
    homes = [journal.parents[3] for journal in created()]
    dequeue(17)
    began = time.monotonic()
    until("the end of the harness", lambda: not processes(), 300)
    until("the end of the testbed", lambda: not testbeds(), 300)
    # The directory of the build goes only when the sweep has proven that nothing is left.
    until("the proof that nothing is left", lambda: not any(home.exists() for home in homes), 300)
    return f"{before} processes of a testbed and the harness at the abort, none {time.monotonic() - began:.0f} s after it; proven clean"


def gated():
    """The release gate: nightly builds, then a tag of a release that they tested, and of one that they did not."""
    enqueue_ref("periodic-daily", "refs/heads/main")
    nightly = buildset_of("periodic-daily", "refs/heads/main")
    expect(nightly["result"] == "SUCCESS", "the nightly jobs do not succeed", nightly)
    answers = {}
    for tag in ["scripted-scs-1-34-v1", "scripted-scs-1-34-v2"]:
        git(REPOSITORY, "tag", tag, "main")
        enqueue_ref("tag", f"refs/tags/{tag}")
        found = buildset_of("tag", f"refs/tags/{tag}")
        answers[tag] = build = builds(found)["stack-e2e-gate"]
        show(found)
        expect({"Release notes", "Statement (in-toto)"} <= {a["name"] for a in build["artifacts"]}, "artifacts are missing", found)
        statement = json.loads(log(build, "e2e/gate.json"))
        expect(statement["subject"][0]["name"] == tag, f"{statement['subject']}", found)
        build["answer"] = statement["predicate"]["answer"]
    tested, other = answers.values()
    expect((tested["result"], tested["answer"]) == ("SUCCESS", "yes"), f"the tested release: {tested['answer']}")
    expect((other["result"], other["answer"]) == ("FAILURE", "undecidable"), f"the other release: {other['answer']}")
    expect("UNDECIDABLE: evidence is missing" in log(other, "job-output.txt"), "the reason is not told")
    return "a release that nightly builds have tested: yes, SUCCESS; one that nobody has tested: undecidable, FAILURE"


def aborted():
    """A build that is aborted while clusters exist: the clean-up ends the harness and removes the clusters."""

    def edit(checkout):
        slow = {"call_ms": 20, "provision_ms": 3_600_000, "check_ms": 50, "delete_ms": 500}
        (checkout / "scripts/script.json").write_text(json.dumps(slow))

    change(14, "Never come to an end", edit)
    enqueue(14)
    until("two runs with clusters", lambda: len(processes()) == 2 and len(objects()) >= 2)
    before = len(objects())
    dequeue(14)
    began = time.monotonic()
    until("the end of the harness", lambda: not processes(), 300)
    until("the removal of the clusters", lambda: not objects(), 300)
    took = time.monotonic() - began

    def complete():
        # Zuul says that a build was aborted before its clean-up has ended.
        found = buildset(14)
        return found if all(build["result"] for build in found["builds"]) else None

    found = until("the results of aborted builds", complete, 300)
    expect({build["result"] for build in found["builds"]} & {"ABORTED", "CANCELED"}, "nothing was aborted", found)
    show(found)
    return f"{before} objects and 2 processes at the abort, none {took:.0f} s after it"


PROOFS = [loads, refused, succeeds, fails, truthful, timed_out, aborted, swept, gated]

for proof in PROOFS:
    if sys.argv[2:] and proof.__name__ not in sys.argv[2:]:
        continue
    start = time.monotonic()
    outcome = proof()
    print(f"{proof.__name__:<10} {time.monotonic() - start:4.0f} s  {outcome}", flush=True)
