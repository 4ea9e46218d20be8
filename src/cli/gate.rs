//! `stack-e2e gate`

use super::exit::Exit;
use super::inputs::{self, FileArgs, SelectArgs, TrustArgs};
use super::{report, run, screen};
use crate::event::{Cleanliness, Outcome};
use crate::gate::{self, Answer, Candidate, Judgement, Surroundings, TestResult};
use crate::report::zuul::{self, Artifact};
use crate::results::{ExitStatus, Verdict, write_atomically};
use crate::scenario::{Known, MAX_FILE, Policy, Scenario};
use crate::types::{CheckName, KubernetesMinor};
use clap::{Args, ValueEnum};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct GateArgs {
    /// The release in question, e.g. openstack-scs-1-29-v1
    #[arg(long, value_name = "NAME")]
    release: String,
    /// What must have been tested
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Directories of runs, each with its journal and its plan
    #[arg(value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// The hash of the release's content, sha256:...; otherwise the stack of the policy's scenario is rendered
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    /// Write the judgement as an in-toto statement to this file
    #[arg(long, value_name = "FILE")]
    attest: Option<PathBuf>,
    /// Sign the statement with this key (`ssh-keygen -Y sign`); the signature lies beside it, with `.sig`
    #[arg(long, value_name = "KEY", requires = "attest")]
    sign: Option<PathBuf>,
    /// Write release notes in Markdown to this file
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// How to show it; `zuul` gives warnings and artifacts for `zuul_return`
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where the data of `--format zuul` goes; otherwise to stdout
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    testbed: super::testbed::RunTestbedArgs,
    #[command(flatten)]
    access: super::release::AccessArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Zuul,
}

/// The namespace of signatures: a signature for another purpose is none for this one.
const SIGNATURE_NAMESPACE: &str = "stack-e2e-gate";

pub(super) fn run(args: &GateArgs) -> Exit {
    if args.format == Format::Zuul {
        screen::for_zuul(args.to.clone());
    }
    match judged(args).and_then(|judgement| {
        show(args, &judgement)?;
        Ok(judgement)
    }) {
        Ok(judgement) => match judgement.answer {
            Answer::Yes => Exit::Passed,
            Answer::No => Exit::Run(ExitStatus::Failed),
            Answer::Undecidable => Exit::Run(ExitStatus::Inconclusive),
        },
        Err(exit) => exit,
    }
}

fn judged(args: &GateArgs) -> Result<Judgement, Exit> {
    let policy = policy(&args.policy)?;
    let files = FileArgs { files: vec![policy.scenario.clone()], trust: args.trust.clone() };
    if !policy.scenario.is_file() {
        let problem = policy.scenario_problem(format!("`{}` is no file", policy.scenario.display()));
        return Err(inputs::refuse(&problem.into()));
    }
    let scenarios = inputs::load(&files)?;
    let Some(scenario) = scenarios.first() else { return Err(Exit::NothingSelected) };
    let combinations = policy.check(scenario).map_err(|problems| inputs::refuse(&problems))?;
    let candidate = candidate(args, scenario)?;
    let mut results = Vec::new();
    for directory in &args.runs {
        results.extend(results_of(directory)?);
    }
    let matrix = inputs::select(&scenarios, &SelectArgs::default())?;
    let groups = inputs::grouped_checks();
    let mut checks: Vec<CheckName> = Vec::new();
    for name in &policy.checks {
        let own = groups.iter().filter(|(check, group)| *check == name.as_str() || *group == name.as_str());
        checks.extend(own.filter_map(|(check, _)| CheckName::new(*check).ok()));
    }
    checks.dedup();
    let around = Surroundings {
        scenario,
        combinations: &combinations,
        planned: &matrix.combinations,
        checks: &checks,
        now: jiff::Timestamp::now(),
    };
    Ok(gate::judge(&policy, &candidate, &results, &around))
}

fn policy(file: &Path) -> Result<Policy, Exit> {
    let refuse = |why: String| {
        screen::complain(&format!("policy `{}`: {why}", file.display()), "docs/GATE.md describes the format");
        Exit::BadInput
    };
    let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() > MAX_FILE {
        return Err(refuse("it is too large".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".into()))?;
    let checks = inputs::grouped_checks();
    let known = Known { checks: &checks, ..Known::default() };
    Policy::parse(&text, file, &known).map_err(|problems| inputs::refuse(&problems))
}

/// The release: its minor from its name, its content from the stack.
fn candidate(args: &GateArgs, scenario: &Scenario) -> Result<Candidate, Exit> {
    let refuse = |why: &str| {
        let hint = "a release is named <provider>-<stack>-1-NN-<version>, e.g. openstack-scs-1-29-v1";
        screen::complain(&format!("`{}` is no release of the scenario's stack: {why}", args.release), hint);
        Exit::BadInput
    };
    let prefix = format!("{}-{}-", scenario.stack.provider, scenario.stack.name);
    let rest =
        args.release.strip_prefix(&prefix).ok_or_else(|| refuse(&format!("it starts with {prefix}")))?;
    let mut parts = rest.splitn(3, '-');
    let minor = parts.next().zip(parts.next()).map(|(major, minor)| format!("{major}.{minor}"));
    let minor: Option<KubernetesMinor> = minor.and_then(|text| text.parse().ok());
    let minor = minor.filter(|_| parts.next().is_some_and(|version| !version.is_empty()));
    let minor = minor.ok_or_else(|| refuse("its name has no Kubernetes minor"))?;
    let digest = match &args.digest {
        Some(digest) => {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                screen::complain(
                    &format!("`{digest}` is no digest"),
                    "it is sha256: and 64 hexadecimal digits",
                );
                return Err(Exit::BadInput);
            }
            digest.to_ascii_lowercase()
        }
        None => inputs::digest(scenario, minor, &args.release, &args.testbed.settings(), &args.access)?,
    };
    Ok(Candidate { release: args.release.clone(), digest, minor })
}

/// What a run says of its combinations.
fn results_of(directory: &Path) -> Result<Vec<TestResult>, Exit> {
    let refuse = |why: String| {
        let hint = "name directories of runs, e.g. .stack-e2e/runs/ID";
        screen::complain(&format!("`{}`: {why}", directory.display()), hint);
        Exit::BadInput
    };
    let plan = run::read_plan(directory).map_err(refuse)?;
    let report = report::read(directory).map_err(refuse)?;
    let mut results = Vec::new();
    for unit in &report.units {
        let Some(planned) = plan.runs.iter().find(|planned| planned.id == unit.info.id) else { continue };
        let known = unit.cases.iter().filter_map(|case| match &case.deciding()?.outcome {
            Outcome::Failed { expected: Some(reason), .. } if case.verdict == Verdict::Skipped => {
                Some((case.case.0.clone(), reason.clone()))
            }
            _ => None,
        });
        results.push(TestResult {
            run: report.run.clone(),
            at: unit.finished.unwrap_or(report.finished),
            scenario: planned.scenario.clone(),
            id: planned.id.clone(),
            values: planned.values(),
            release: planned.release.class.clone(),
            digest: planned.digest.clone(),
            // A run that did not come to its end says nothing more than its units do; they came to theirs.
            verdict: unit.verdict(),
            clean: unit.clean == Cleanliness::Clean,
            cases: unit.cases.iter().map(|case| (case.case.0.clone(), case.verdict)).collect(),
            known: known.collect(),
        });
    }
    Ok(results)
}

fn show(args: &GateArgs, judgement: &Judgement) -> Result<(), Exit> {
    let write = |file: &Path, bytes: &[u8]| {
        write_atomically(file, bytes).map_err(|error| {
            screen::complain(
                &format!("`{}` cannot be written: {error}", file.display()),
                "choose another place",
            );
            Exit::BadInput
        })
    };
    if let Some(file) = &args.attest {
        let text = serde_json::to_string_pretty(&gate::statement(judgement)).unwrap_or_default();
        write(file, format!("{text}\n").as_bytes())?;
        if let Some(key) = &args.sign {
            sign(key, file)?;
        }
    }
    if let Some(file) = &args.notes {
        let runs: Vec<String> =
            args.runs.iter().map(|dir| screen::word(&dir.display().to_string())).collect();
        let policy = screen::word(&args.policy.display().to_string());
        let again = format!("stack-e2e gate --release {} --policy {policy} {}", args.release, runs.join(" "));
        write(file, gate::notes(judgement, &again).as_bytes())?;
    }
    match args.format {
        Format::Text => screen::data(&text(judgement)),
        Format::Json => screen::data(&serde_json::to_string_pretty(judgement).unwrap_or_default()),
        Format::Zuul => {
            // With a file for the data, stdout is for people.
            if args.to.is_some() {
                screen::data(&text(judgement));
            }
            screen::zuul(&zuul::answer(&warnings(judgement), artifacts(args)));
        }
    }
    Ok(())
}

/// The answer first, then what is unmet.
fn warnings(judgement: &Judgement) -> Vec<String> {
    let unmet = judgement.demands.iter().filter(|demand| demand.answer != Answer::Yes).map(|demand| {
        let remedy = demand.remedy.as_ref().map_or_else(String::new, |text| format!("; would do: {text}"));
        format!("{}: {}: {}{remedy}", mark(demand.answer), demand.what, demand.why)
    });
    let first = format!("{}: {}, policy {}", word(judgement.answer), judgement.release, judgement.policy);
    std::iter::once(first).chain(unmet).collect()
}

/// What was written, as seen from the logs of the build: the files lie in a directory of that name there.
fn artifacts(args: &GateArgs) -> Vec<Artifact> {
    let signature = args.sign.as_ref().and(args.attest.as_deref()).map(signature_of);
    let files = [
        ("Release notes", args.notes.clone()),
        ("Statement (in-toto)", args.attest.clone()),
        ("Signature (ssh-keygen -Y)", signature),
    ];
    let place = |file: PathBuf| {
        let directory =
            file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let name = file.file_name()?.to_string_lossy().into_owned();
        Some(directory.map_or_else(|| name.clone(), |directory| format!("{directory}/{name}")))
    };
    let artifact =
        |(name, file): (&str, Option<PathBuf>)| Some(Artifact { name: name.to_owned(), url: place(file?)? });
    files.into_iter().filter_map(artifact).collect()
}

fn signature_of(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    file.with_file_name(format!("{name}.sig"))
}

const fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "YES",
        Answer::No => "NO",
        Answer::Undecidable => "UNDECIDABLE",
    }
}

const fn mark(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "met",
        Answer::No => "NOT MET",
        Answer::Undecidable => "NOT KNOWN",
    }
}

/// The key stays where it is: only its path is told to `ssh-keygen`, which asks for a passphrase itself.
fn sign(key: &Path, file: &Path) -> Result<(), Exit> {
    let signature = signature_of(file);
    // It asks before it overwrites, and nobody is there to answer.
    let _ = std::fs::remove_file(&signature);
    let command = std::process::Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", SIGNATURE_NAMESPACE, "-f"])
        .arg(key)
        .arg(file)
        .stdin(std::process::Stdio::null())
        .output();
    let why = match command {
        Ok(output) if output.status.success() && signature.is_file() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("ssh-keygen: {error}"),
    };
    screen::complain(
        &format!("`{}` cannot be signed: {why}", file.display()),
        "`--sign` names a private key that OpenSSH can use without asking, or the public half of one in the agent",
    );
    Err(Exit::Infrastructure)
}

/// The decision first, then what is unmet with what would meet it, then the rest.
fn text(judgement: &Judgement) -> String {
    let word = word(judgement.answer);
    let mut text = format!(
        "{word}: {}, policy {}\n  content {}\n",
        judgement.release, judgement.policy, judgement.digest
    );
    let mut demands: Vec<_> = judgement.demands.iter().collect();
    demands.sort_by_key(|demand| std::cmp::Reverse(demand.answer));
    for demand in demands {
        let mark = mark(demand.answer);
        let _ = write!(text, "\n{mark:<9} {}\n          {}\n", demand.what, demand.why);
        if let Some(remedy) = &demand.remedy {
            let _ = writeln!(text, "          would do: {remedy}");
        }
    }
    if !judgement.ignored.is_empty() {
        text.push_str("\ndo not count:\n");
        for (why, number) in &judgement.ignored {
            let _ = writeln!(text, "  {number:>4}  {why}");
        }
    }
    let _ = write!(text, "\n{}", gate::confidence(judgement));
    text
}
