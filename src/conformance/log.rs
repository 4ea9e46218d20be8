//! What the log of `e2e.test` says: against which version it ran, and how it ended.

use crate::types::{KubernetesVersion, printable};

/// What matters of one or more logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The versions of API servers that it names.
    pub servers: Vec<KubernetesVersion>,
    /// Lines such as `SUCCESS! -- 412 Passed | 0 Failed | 0 Pending | 7024 Skipped`, without colours.
    pub ends: Vec<String>,
}

const SERVER: &str = "kube-apiserver version: ";
const MAX_LINE: usize = 300;

impl Log {
    /// Looks at one line.
    pub fn line(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once(SERVER) {
            let word = rest.split_whitespace().next().unwrap_or_default();
            // What distributions put behind it, `+k3s1` or `-gke.100`, is no part of the version.
            let plain = word.split(['+', '-']).next().unwrap_or_default().trim_start_matches('v');
            if let Ok(version) = plain.parse()
                && !self.servers.contains(&version)
            {
                self.servers.push(version);
            }
        } else if line.contains(" Passed") && line.contains(" Failed") && line.contains(" Skipped") {
            let plain = printable(&line.chars().take(MAX_LINE).collect::<String>());
            if let Some(at) = plain.find("SUCCESS!").or_else(|| plain.find("FAIL!")) {
                self.ends.push(plain[at..].trim().to_owned());
            }
        }
    }

    /// Whether every suite in it has ended well; `None` when it does not say how any of them ended.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        (!self.ends.is_empty()).then(|| self.ends.iter().all(|end| end.starts_with("SUCCESS!")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_end_are_found() {
        let mut log = Log::default();
        for line in [
            "  I0106 13:08:19.077310      23 e2e.go:109] kube-apiserver version: v1.35.1+k3s1",
            "Jan  6 13:08:19.077: INFO: kube-apiserver version: v1.35.1",
            "Ran 441 of 7353 Specs in 11492.672 seconds",
            "\u{1b}[38;5;10m\u{1b}[1mSUCCESS!\u{1b}[0m -- \u{1b}[1m441 Passed\u{1b}[0m | 0 Failed | 0 Pending | 6912 Skipped",
        ] {
            log.line(line);
        }
        assert_eq!(log.servers.len(), 1);
        assert_eq!(log.servers[0].to_string(), "v1.35.1");
        assert_eq!(log.ends, ["SUCCESS! -- 441 Passed | 0 Failed | 0 Pending | 6912 Skipped"]);
        assert_eq!(log.succeeded(), Some(true));
        log.line("FAIL! -- 1 Passed | 1 Failed | 0 Pending | 0 Skipped");
        assert_eq!(log.succeeded(), Some(false));
        assert_eq!(Log::default().succeeded(), None);
    }
}
