//! `stack-e2e conformance`

use super::exit::Exit;
use super::screen;
use crate::conformance::{FILES, Log, Product, Required, Seen, Submission, Union, json, junit, text};
use crate::release::archive;
use crate::report::junit_merged;
use crate::results::foreign::{Limits, Merged, ReadError, Source};
use crate::results::{ExitStatus, Verdict, write_atomically, write_atomically_with};
use clap::{Args, Subcommand, ValueEnum};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Results of conformance tests.
#[derive(Debug, Args)]
pub(super) struct ConformanceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare results with the list of tests that a version of Kubernetes requires; what did not run is no pass
    Check(CheckArgs),
    /// Write what a certification needs, and say whether it would be refused
    Bundle(BundleArgs),
}

#[derive(Debug, Args)]
struct Results {
    /// JUnit files, directories with them and with `e2e.log`, tarballs of sonobuoy
    #[arg(required = true, value_name = "RESULTS")]
    results: Vec<PathBuf>,
    /// The list: `test/conformance/testdata/conformance.yaml` of the version of Kubernetes
    #[arg(long, value_name = "FILE")]
    list: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    results: Results,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write JUnit XML to this file: a case for each required test
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct BundleArgs {
    #[command(flatten)]
    results: Results,
    /// The description of the product, `PRODUCT.yaml`
    #[arg(long, value_name = "FILE")]
    product: PathBuf,
    /// How to reproduce the results, `README.md`
    #[arg(long, value_name = "FILE")]
    readme: PathBuf,
    /// Where to write; the folder of the version is made below it
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &ConformanceArgs) -> Exit {
    let ended = match &args.command {
        Command::Check(args) => check(args),
        Command::Bundle(args) => bundle(args),
    };
    ended.unwrap_or_else(|exit| exit)
}

fn check(args: &CheckArgs) -> Result<Exit, Exit> {
    let union = Inputs::read(&args.results.results)?.union(&args.results.list)?;
    if let Some(file) = &args.junit {
        write_atomically(file, &junit(&union)).map_err(|error| cannot_write(file, &error))?;
    }
    screen::data(&match args.format {
        Format::Text => text(&union),
        Format::Json => json(&union),
    });
    Ok(match union.verdict() {
        Verdict::Passed | Verdict::Flaky => Exit::Passed,
        Verdict::Failed => Exit::Run(ExitStatus::Failed),
        Verdict::Errored | Verdict::Skipped => Exit::Run(ExitStatus::Inconclusive),
    })
}

fn bundle(args: &BundleArgs) -> Result<Exit, Exit> {
    let product_text = read_text(&args.product)?;
    let product = Product::parse(&product_text).map_err(|why| {
        refuse(&args.product, &why, "write a mapping of fields, as the instructions of the CNCF say")
    })?;
    let readme = read_text(&args.readme)?;
    let inputs = Inputs::read(&args.results.results)?;
    let (union, merged) = (inputs.union(&args.results.list)?, inputs.merged()?);
    let log = inputs.log()?;
    let submission = Submission {
        union: &union,
        log: &log,
        log_size: inputs.log_size(),
        product: &product,
        readme: &readme,
    };
    let minor = submission.minor().map_or_else(|| "v1.unknown".into(), |minor| format!("v{minor}"));
    let folder = args.output.join(minor).join(product.folder());
    if folder.exists() {
        return Err(refuse(
            &folder,
            "it exists already",
            "remove it, or choose another --output; nothing was written",
        ));
    }
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.join(name);
        write_atomically(&file, bytes).map_err(|error| cannot_write(&file, &error))
    };
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    let [readme_name, product_name, log_name, junit_name] = FILES;
    write(readme_name, readme.as_bytes())?;
    write(product_name, product_text.as_bytes())?;
    let file = folder.join(log_name);
    write_atomically_with(&file, |out| inputs.each_log(|log| io::copy(log, out).map(|_| ())))
        .map_err(|error| cannot_write(&file, &error))?;
    let file = folder.join(junit_name);
    let junit = |out: &mut dyn io::Write| {
        junit_merged(&merged, &inputs.sources(), None, out)
            .map_err(|(file, error)| io::Error::other(format!("`{file}`: {error}")))
    };
    write_atomically_with(&file, |out| junit(out)).map_err(|error| cannot_write(&file, &error))?;
    let objections = submission.objections();
    let mut said = vec![format!("written: {}", folder.display())];
    if let Some(title) = submission.title() {
        said.push(format!("title of the pull request: {title}"));
    }
    for one in &objections {
        said.push(format!("\nrefused: {}\n  hint: {}", one.what, one.hint));
    }
    said.push(match objections.len() {
        0 => "\nnothing speaks against it; not looked at: whether its addresses answer, whether the minor is still taken, the commits".into(),
        1 => "\n1 objection: the certification would refuse it".into(),
        several => format!("\n{several} objections: the certification would refuse it"),
    });
    screen::data(&said.join("\n"));
    Ok(if objections.is_empty() { Exit::Passed } else { Exit::Run(ExitStatus::Failed) })
}

/// Where a result or a log is: in a file, or in memory out of a tarball.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Unpacked(Arc<[u8]>),
}

impl Place {
    fn open(&self) -> io::Result<Box<dyn BufRead>> {
        Ok(match self {
            Self::File(path) => Box::new(BufReader::with_capacity(1 << 16, File::open(path)?)),
            Self::Unpacked(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
        })
    }

    fn size(&self) -> u64 {
        match self {
            Self::File(path) => fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Self::Unpacked(bytes) => bytes.len() as u64,
        }
    }
}

/// What was named: JUnit files and logs, in the order of their names.
#[derive(Debug, Default)]
struct Inputs {
    junit: Vec<(String, Place)>,
    logs: Vec<(String, Place)>,
}

const MAX_TARBALL: u64 = 1 << 30;
const MAX_LOG_LINE: u64 = 1 << 20;
const HINT: &str = "name JUnit files of e2e.test, directories with them, or tarballs of sonobuoy";

impl Inputs {
    fn read(named: &[PathBuf]) -> Result<Self, Exit> {
        let mut inputs = Self::default();
        for path in named {
            let shown = path.display().to_string();
            if path.is_dir() {
                inputs.directory(path)?;
            } else if shown.ends_with(".tar.gz") || shown.ends_with(".tgz") {
                inputs.tarball(path)?;
            } else if shown.ends_with(".log") {
                inputs.logs.push((shown, Place::File(path.clone())));
            } else {
                inputs.junit.push((shown, Place::File(path.clone())));
            }
        }
        if inputs.junit.is_empty() {
            screen::complain("there is no JUnit file among the results", HINT);
            return Err(Exit::BadInput);
        }
        inputs.junit.sort_by(|one, other| one.0.cmp(&other.0));
        inputs.logs.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(inputs)
    }

    fn directory(&mut self, directory: &Path) -> Result<(), Exit> {
        let refused = |error: &io::Error| refuse(directory, &error.to_string(), HINT);
        let before = self.junit.len();
        for entry in fs::read_dir(directory).map_err(|error| refused(&error))? {
            let path = entry.map_err(|error| refused(&error))?.path();
            if path.is_file() {
                self.sort_in(path.display().to_string(), Place::File(path));
            }
        }
        if self.junit.len() == before {
            return Err(refuse(directory, "there is no junit*.xml in it", HINT));
        }
        Ok(())
    }

    fn tarball(&mut self, path: &Path) -> Result<(), Exit> {
        let refused = |why: &str| refuse(path, why, HINT);
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_TARBALL + 1).read_to_end(&mut bytes));
        read.map_err(|error| refused(&error.to_string()))?;
        if bytes.len() as u64 > MAX_TARBALL {
            return Err(refused("it has more than 1 GiB"));
        }
        let before = self.junit.len();
        for (name, content) in archive::read(&bytes).map_err(|error| refused(&error.to_string()))? {
            // Other plugins of sonobuoy have files of these names, too.
            if !name.contains("plugins/") || name.contains("plugins/e2e/") {
                self.sort_in(format!("{}:{name}", path.display()), Place::Unpacked(content.into()));
            }
        }
        if self.junit.len() == before {
            return Err(refused("there is no junit*.xml in it"));
        }
        Ok(())
    }

    fn sort_in(&mut self, name: String, place: Place) {
        let file = name.rsplit('/').next().unwrap_or(&name);
        if file.starts_with("junit") && file.ends_with(".xml") {
            self.junit.push((name, place));
        } else if file.starts_with("e2e") && file.ends_with(".log") {
            self.logs.push((name, place));
        }
    }

    fn sources(&self) -> Vec<Source<'static>> {
        let source = |(name, place): &(String, Place)| -> Source<'static> {
            let place = place.clone();
            Source {
                name: name.clone(),
                open: Box::new(move || place.open().map(|open| -> Box<dyn BufRead> { open })),
            }
        };
        self.junit.iter().map(source).collect()
    }

    fn union(&self, list: &Path) -> Result<Union, Exit> {
        let text = read_text(list)?;
        let required = Required::parse(&text).map_err(|why| {
            refuse(list, &why, "take test/conformance/testdata/conformance.yaml of the sources of that version of Kubernetes")
        })?;
        let seen = Seen::read(&self.sources(), &Limits::default()).map_err(refuse_junit)?;
        Ok(Union::of(&required, &seen))
    }

    fn merged(&self) -> Result<Merged, Exit> {
        Merged::of(&self.sources(), &Limits::default()).map_err(refuse_junit)
    }

    fn log_size(&self) -> u64 {
        self.logs.iter().map(|(_, place)| place.size()).sum()
    }

    fn log(&self) -> Result<Log, Exit> {
        let mut log = Log::default();
        for (name, place) in &self.logs {
            let mut read = || -> io::Result<()> {
                let mut open = place.open()?;
                let mut line = Vec::new();
                while (&mut open).take(MAX_LOG_LINE).read_until(b'\n', &mut line)? > 0 {
                    log.line(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                Ok(())
            };
            read().map_err(|error| refuse(Path::new(name), &error.to_string(), HINT))?;
        }
        Ok(log)
    }

    fn each_log(&self, mut tell: impl FnMut(&mut dyn BufRead) -> io::Result<()>) -> io::Result<()> {
        self.logs.iter().try_for_each(|(_, place)| tell(&mut *place.open()?))
    }
}

fn read_text(file: &Path) -> Result<String, Exit> {
    fs::read_to_string(file).map_err(|error| refuse(file, &error.to_string(), "name a file that can be read"))
}

fn refuse_junit((file, error): (String, ReadError)) -> Exit {
    let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
    refuse(Path::new(&file), &format!("{error}{cause}"), HINT)
}

fn refuse(file: &Path, why: &str, hint: &str) -> Exit {
    screen::complain(&format!("`{}`: {why}", file.display()), hint);
    Exit::BadInput
}

fn cannot_write(file: &Path, error: &io::Error) -> Exit {
    screen::complain(&format!("`{}` cannot be written: {error}", file.display()), "choose another place");
    Exit::Infrastructure
}
