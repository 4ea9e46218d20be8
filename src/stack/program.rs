//! Runs a program that stacks and releases are made with, alone: without a shell, without the environment, with a deadline,
//! and what it says is bounded.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The start of what a program complains about; the rest is read and forgotten, so that it can go on.
const MAX_MESSAGE: u64 = 64 << 10;

/// A call of a program.
pub(crate) struct Call<'a> {
    /// A path, not a name to look up: there is no `PATH` unless it is given.
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    /// Its working directory and its home.
    pub(crate) home: &'a Path,
    /// All of its environment but `HOME`.
    pub(crate) environment: &'a [(&'a str, OsString)],
    /// What it reads.
    pub(crate) input: &'a str,
    /// More output than this ends it.
    pub(crate) max_output: u64,
    pub(crate) deadline: Duration,
}

/// What a program has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    /// The output, or why it cannot be used.
    pub(crate) stdout: Result<String, String>,
}

impl Said {
    /// What it complains about: stderr, or what there is.
    pub(crate) fn complaint(&self) -> String {
        let all = [self.stderr.trim(), self.stdout.as_deref().unwrap_or_default().trim()];
        let text = all.into_iter().find(|text| !text.is_empty()).map(str::to_owned);
        text.unwrap_or_else(|| self.status.to_string())
    }
}

impl Call<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It cannot be run; or, with [`std::io::ErrorKind::TimedOut`], it did not end in time.
    pub(crate) async fn run(self) -> std::io::Result<Said> {
        // A relative path would be looked for in the working directory of the program.
        let mut child = Command::new(std::path::absolute(self.program)?)
            .args(self.arguments)
            .current_dir(self.home)
            .env_clear()
            .env("HOME", self.home)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that has given up does not read; what it says about that is on stderr.
                let _ = stdin.write_all(self.input.as_bytes()).await;
            }
        };
        let all = async {
            tokio::join!(feed, bounded(stdout, self.max_output), start(stderr, MAX_MESSAGE), child.wait())
        };
        let ((), stdout, stderr, status) = tokio::time::timeout(self.deadline, all).await.map_err(|_| {
            let why = format!("it did not end within {} s", self.deadline.as_secs());
            std::io::Error::new(std::io::ErrorKind::TimedOut, why)
        })?;
        let stdout = stdout?;
        let stdout = if stdout.len() as u64 > self.max_output {
            Err(format!("it writes more than {} MiB", self.max_output >> 20))
        } else {
            String::from_utf8(stdout).map_err(|_| "its output is not UTF-8".into())
        };
        Ok(Said { status: status?, stdout, stderr: String::from_utf8_lossy(&stderr?).into_owned() })
    }
}

/// What keeps a Helm from all that its user has set up.
pub(crate) fn helm_alone(home: &Path) -> [(&'static str, OsString); 4] {
    let below = |name: &str| home.join(name).into_os_string();
    [
        ("HELM_CACHE_HOME", below("cache")),
        ("HELM_CONFIG_HOME", below("config")),
        ("HELM_DATA_HOME", below("data")),
        ("HELM_PLUGINS", below("plugins")),
    ]
}

/// Reads up to `limit` bytes and one more, which tells that there were too many; then closes the pipe, so that the
/// writer ends.
async fn bounded(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

async fn start(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}
