//! Runs the programs that a release is built with, alone: without a shell, without the environment, with a deadline.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

const MAX_OUTPUT: u64 = 64 << 10;

/// What a program has said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) stderr: String,
    pub(super) stdout: String,
}

impl Said {
    /// What it complains about: stderr, or what there is.
    pub(super) fn complaint(&self) -> String {
        let all = [self.stderr.trim(), self.stdout.trim()];
        let text = all.into_iter().find(|text| !text.is_empty()).map(str::to_owned);
        text.unwrap_or_else(|| self.status.to_string())
    }
}

/// Runs a program in `folder`, which is also its home.
pub(super) async fn run(
    program: &Path,
    arguments: &[OsString],
    folder: &Path,
    environment: &[(&str, OsString)],
    deadline: Duration,
) -> std::io::Result<Said> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(some(stdout), some(stderr), child.wait()) };
    let (stdout, stderr, status) = tokio::time::timeout(deadline, all).await.map_err(|_| {
        let why = format!("it did not end within {} s", deadline.as_secs());
        std::io::Error::new(std::io::ErrorKind::TimedOut, why)
    })?;
    Ok(Said { status: status?, stdout: stdout?, stderr: stderr? })
}

/// The start of what a program says; the rest is read and forgotten, so that it can go on.
async fn some(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
