//! The repository that a stack lies in, at another revision: which files differ, and what they were. Asks the user's `git`,
//! without a shell, with arguments of our own; what the user calls a revision only ever reaches `rev-parse`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(60);
/// Enough for the names of half a million files, and for the files of all stacks that there are.
const MAX_OUTPUT: u64 = 64 << 20;
const MAX_MESSAGE: u64 = 64 << 10;
const MAX_REVISION: usize = 256;
/// Links that lead to links.
const MAX_ROUNDS: usize = 40;

/// Variables that would make git look at another repository.
const FORGOTTEN: [&str; 6] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"];

/// Why another revision cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The text cannot be a revision.
    #[error("`{0}` is not a revision")]
    Hostile(String),
    /// The repository does not have the revision.
    #[error("the repository {} has no revision `{revision}`", top.display())]
    Unknown {
        /// The repository.
        top: PathBuf,
        /// What was asked for.
        revision: String,
        /// Whether it has only the last part of its history.
        shallow: bool,
    },
    /// Git cannot be run.
    #[error("git cannot be run")]
    Run(#[source] std::io::Error),
    /// Git refuses.
    #[error("`git {command}` in {} fails: {message}", top.display())]
    Failed {
        /// The repository.
        top: PathBuf,
        /// The command.
        command: String,
        /// What git says.
        message: String,
    },
    /// Files cannot be written for comparison.
    #[error("the files of the revision cannot be written")]
    Write(#[source] std::io::Error),
}

/// A revision of a repository, besides what lies in the work tree.
#[derive(Debug, Clone)]
pub struct Revision {
    top: PathBuf,
    commit: String,
}

/// The git work tree that a path lies in, links followed.
#[must_use]
pub fn work_tree(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    real.ancestors().find(|a| a.join(".git").exists()).map(Path::to_path_buf)
}

impl Revision {
    /// The revision of the repository whose work tree begins at `top`.
    ///
    /// # Errors
    /// Git cannot be run, or the repository does not have it.
    pub async fn of(top: &Path, revision: &str) -> Result<Self, GitError> {
        let hostile = revision.is_empty()
            || revision.len() > MAX_REVISION
            || revision.starts_with('-')
            || revision.chars().any(|c| c.is_control() || c.is_whitespace());
        if hostile {
            return Err(GitError::Hostile(revision.escape_debug().take(MAX_REVISION).collect()));
        }
        let peeled = format!("{revision}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled];
        match git(top, &arguments, None).await {
            Ok(output) => {
                let commit = String::from_utf8_lossy(&output).trim().to_owned();
                let hash = commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
                if hash {
                    Ok(Self { top: top.into(), commit })
                } else {
                    Err(GitError::Hostile(revision.into()))
                }
            }
            Err(GitError::Failed { message, .. })
                if message.is_empty() || message.starts_with("fatal: Needed") =>
            {
                let shallow = git(top, &["rev-parse", "--is-shallow-repository"], None).await?;
                let shallow = shallow.starts_with(b"true");
                Err(GitError::Unknown { top: top.into(), revision: revision.into(), shallow })
            }
            Err(error) => Err(error),
        }
    }

    /// The work tree.
    #[must_use]
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The commit in hexadecimal.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Every file that differs between the revision and the work tree, as an absolute path: changed, new or gone; a renamed
    /// one with both names. Of files that git does not know those below `among`.
    ///
    /// # Errors
    /// Git refuses.
    pub async fn changed(&self, among: &[PathBuf]) -> Result<BTreeSet<PathBuf>, GitError> {
        let options = ["--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", "-z"];
        let mut arguments = vec!["diff"];
        arguments.extend(options);
        arguments.extend([self.commit.as_str(), "--"]);
        let mut names = git(&self.top, &arguments, None).await?;
        let among: Vec<&str> =
            among.iter().filter_map(|path| path.strip_prefix(&self.top).ok()?.to_str()).collect();
        if !among.is_empty() {
            let mut arguments = vec!["ls-files", "--others", "-z", "--"];
            arguments.extend(among.iter().map(|path| if path.is_empty() { "." } else { path }));
            names.extend(git(&self.top, &arguments, None).await?);
            // Files that git has been told not to look at may be anything.
            arguments[1] = "-v";
            for line in git(&self.top, &arguments, None).await?.split(|byte| *byte == 0) {
                if let [tag, b' ', name @ ..] = line
                    && (tag.is_ascii_lowercase() || *tag == b'S')
                {
                    names.push(0);
                    names.extend(name);
                    names.push(0);
                }
            }
        }
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| self.top.join(OsStr::from_bytes(name))).collect())
    }

    /// Writes what the revision had at and below these absolute paths into a folder, each file where it would lie if that
    /// folder were the work tree; also what links among them lead to. A path that the revision does not have is left out.
    ///
    /// # Errors
    /// Git refuses, there is too much, or the disk does.
    pub async fn write(&self, paths: &BTreeSet<PathBuf>, folder: &Path) -> Result<(), GitError> {
        let tree = self.tree().await?;
        let inside = |path: &PathBuf| path.strip_prefix(&self.top).ok().map(Path::to_path_buf);
        let mut open: Vec<PathBuf> = paths.iter().filter_map(inside).collect();
        let mut written: BTreeSet<&Path> = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            let below =
                |path: &Path| open.iter().any(|wanted| path.starts_with(wanted) || wanted.starts_with(path));
            let wanted: Vec<(&Path, &Entry)> = tree
                .iter()
                .map(|(path, entry)| (path.as_path(), entry))
                .filter(|(path, entry)| {
                    // Of what lies above a wanted path only a link matters.
                    let above = open.iter().any(|wanted| wanted != path && wanted.starts_with(path));
                    below(path) && (!above || entry.link) && !written.contains(path)
                })
                .collect();
            if wanted.is_empty() {
                break;
            }
            let contents = self.contents(wanted.iter().map(|(_, entry)| entry.hash.as_str())).await?;
            let mut next = Vec::new();
            for ((path, entry), bytes) in wanted.into_iter().zip(contents) {
                place(folder, path, entry.link, &bytes).map_err(GitError::Write)?;
                if entry.link {
                    // What is asked for through the link is asked for behind it.
                    let target = lexical(&path.parent().unwrap_or(path).join(OsStr::from_bytes(&bytes)));
                    let through = open.iter().filter_map(|wanted| wanted.strip_prefix(path).ok());
                    next.extend(through.filter_map(|rest| Some(target.as_ref()?.join(rest))));
                    next.extend(target.clone());
                }
                written.insert(path);
            }
            open = next;
        }
        Ok(())
    }

    async fn tree(&self) -> Result<BTreeMap<PathBuf, Entry>, GitError> {
        let listed = git(&self.top, &["ls-tree", "-r", "-z", "--full-tree", &self.commit], None).await?;
        let mut tree = BTreeMap::new();
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
            let head = String::from_utf8_lossy(&line[..tab]);
            let mut words = head.split(' ');
            let (mode, kind, hash) = (words.next(), words.next(), words.next());
            let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
            let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
            if let (Some(mode), Some("blob"), Some(hash), true) = (mode, kind, hash, plain) {
                tree.insert(path, Entry { hash: hash.into(), link: mode == "120000" });
            }
        }
        Ok(tree)
    }

    /// The content of each of these objects.
    async fn contents<'h>(&self, hashes: impl Iterator<Item = &'h str>) -> Result<Vec<Vec<u8>>, GitError> {
        let hashes: Vec<&str> = hashes.collect();
        let asked = hashes.join("\n") + "\n";
        let output = git(&self.top, &["cat-file", "--batch"], Some(asked.as_bytes())).await?;
        let mut rest = output.as_slice();
        let mut contents = Vec::new();
        for hash in hashes {
            let found = (|| {
                let end = rest.iter().position(|byte| *byte == b'\n')?;
                let size: usize = std::str::from_utf8(&rest[..end]).ok()?.rsplit(' ').next()?.parse().ok()?;
                let bytes = rest.get(end + 1..end + 1 + size)?;
                rest = rest.get(end + 2 + size..)?;
                Some(bytes.to_vec())
            })();
            contents.push(found.ok_or_else(|| GitError::Failed {
                top: self.top.clone(),
                command: "cat-file".into(),
                message: format!("the object {hash} is not there"),
            })?);
        }
        Ok(contents)
    }
}

struct Entry {
    hash: String,
    link: bool,
}

fn place(folder: &Path, path: &Path, link: bool, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
    if link {
        std::os::unix::fs::symlink(OsStr::from_bytes(bytes), path)
    } else {
        std::fs::write(path, bytes)
    }
}

/// A path without `.` and `..`, if it stays below where it begins.
fn lexical(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir if out.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

async fn git(top: &Path, arguments: &[&str], input: Option<&[u8]>) -> Result<Vec<u8>, GitError> {
    let failed = |message: String| GitError::Failed {
        top: top.into(),
        command: arguments.first().copied().unwrap_or_default().to_owned(),
        message,
    };
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(top)
        // Nothing that the repository's configuration names is run, no path is a pattern, nothing is fetched.
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "--literal-pathspecs",
            "--no-pager",
        ])
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("LC_ALL", "C")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    FORGOTTEN.iter().for_each(|name| {
        command.env_remove(name);
    });
    let mut child = command.spawn().map_err(GitError::Run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let all = async {
        tokio::join!(
            async {
                if let (Some(mut stdin), Some(input)) = (stdin, input) {
                    // A git that has given up says why.
                    let _ = stdin.write_all(input).await;
                }
            },
            async {
                let mut bytes = Vec::new();
                if let Some(pipe) = stdout {
                    pipe.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await?;
                }
                std::io::Result::Ok(bytes)
            },
            async {
                let mut bytes = Vec::new();
                if let Some(pipe) = stderr {
                    pipe.take(MAX_MESSAGE).read_to_end(&mut bytes).await?;
                }
                std::io::Result::Ok(bytes)
            },
            child.wait()
        )
    };
    let Ok(((), output, message, status)) = tokio::time::timeout(DEADLINE, all).await else {
        return Err(failed(format!("it did not end within {} s", DEADLINE.as_secs())));
    };
    let (output, message) = (output.map_err(GitError::Run)?, message.map_err(GitError::Run)?);
    if output.len() as u64 > MAX_OUTPUT {
        return Err(failed(format!("it says more than {} MiB", MAX_OUTPUT >> 20)));
    }
    if !status.map_err(GitError::Run)?.success() {
        return Err(failed(String::from_utf8_lossy(&message).trim().to_owned()));
    }
    Ok(output)
}
