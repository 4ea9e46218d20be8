//! Hashes of folders as `csctl` makes them.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Files by their paths, with `/` between the parts.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The content of `hashes.json`, in the order of `csctl`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hashes {
    /// Of everything in the stack's folder.
    #[serde(default)]
    pub cluster_stack: String,
    /// Of the folder `cluster-addon`; empty where there is none.
    #[serde(default)]
    pub cluster_addon_dir: String,
    /// Of the file `cluster-addon-values.yaml`; empty where there is none.
    #[serde(default)]
    pub cluster_addon_values: String,
    /// Of the folder `node-image`. The stacks call theirs `node-images`, so that this one never is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_image_dir: String,
}

impl Hashes {
    /// The hashes of a stack's files.
    ///
    /// # Errors
    /// The name of a file that has a line break in its name: such a name cannot be hashed.
    pub fn of(files: &Files) -> Result<Self, String> {
        let below = |folder: &str| -> Result<String, String> {
            let prefix = format!("{folder}/");
            let inside: Files = files
                .iter()
                .filter_map(|(path, bytes)| Some((path.strip_prefix(&prefix)?.to_owned(), bytes.clone())))
                .collect();
            if inside.is_empty() { Ok(String::new()) } else { Ok(clean(&dirhash(&inside)?)) }
        };
        let values = files.get("cluster-addon-values.yaml");
        Ok(Self {
            cluster_stack: clean(&dirhash(files)?),
            cluster_addon_dir: below("cluster-addon")?,
            cluster_addon_values: values
                .map(|bytes| clean(&base64(&Sha256::digest(bytes))))
                .unwrap_or_default(),
            node_image_dir: below("node-image")?,
        })
    }

    /// What the version of a stack that is not released bears: the first 7 characters of the hash of everything.
    #[must_use]
    pub fn short(&self) -> &str {
        self.cluster_stack.get(..7).unwrap_or(&self.cluster_stack)
    }

    /// Whether `csctl` sees no difference: it looks at add-ons and node images only.
    #[must_use]
    pub fn same_for_csctl(&self, other: &Self) -> bool {
        self.same_addons(other) && self.node_image_dir == other.node_image_dir
    }

    /// Whether the add-ons are the same.
    #[must_use]
    pub fn same_addons(&self, other: &Self) -> bool {
        self.cluster_addon_dir == other.cluster_addon_dir
            && self.cluster_addon_values == other.cluster_addon_values
    }

    /// As `csctl` writes them: indented by two, without a line break at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// The hash `h1:` of Go modules over a folder: SHA-256 of the lines `<hex of SHA-256>  <path>`, sorted by path.
///
/// See `golang.org/x/mod/sumdb/dirhash`, `Hash1`.
///
/// # Errors
/// The name of a file that has a line break in its name.
pub fn dirhash(files: &Files) -> Result<String, String> {
    let mut all = Sha256::new();
    for (path, bytes) in files {
        if path.contains('\n') {
            return Err(path.clone());
        }
        let mut line = String::with_capacity(path.len() + 67);
        for byte in Sha256::digest(bytes) {
            let _ = write!(line, "{byte:02x}");
        }
        let _ = writeln!(line, "  {path}");
        all.update(line.as_bytes());
    }
    Ok(format!("h1:{}", base64(&all.finalize())))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What may stand in a version: the hash without `h1:` and the three signs of base64, in lower case.
pub(super) fn clean(hash: &str) -> String {
    let hash = hash.strip_prefix("h1:").unwrap_or(hash);
    hash.chars().filter(|c| !matches!(c, '/' | '=' | '+')).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `golang.org/x/mod/sumdb/dirhash` and `csctl`'s `cshash.GetHash` have hashed these files on a disk.
    #[test]
    fn hashes_are_those_of_go_and_csctl() {
        let files: Files = [
            (".hidden", &b"."[..]),
            ("README.md", b"upper"),
            ("cluster-addon-values.yaml", b"values: |\n  a: 1\n"),
            ("cluster-addon/cni-a", b"x"),
            ("cluster-addon/cni/Chart.yaml", b"a: b\n"),
            ("cluster-addon/cni/templates/empty", b""),
            ("cluster-class/Chart.yaml", "name: ü\n".as_bytes()),
            ("node-image/bin", b"\x00\xff"),
        ]
        .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
        .into();
        assert_eq!(dirhash(&files).unwrap(), "h1:T8Wl8lTv/cm19Pw0s/yOi4NbHzlqViepIyyJHfMZc1k=");
        let hashes = Hashes::of(&files).unwrap();
        let expect = Hashes {
            cluster_stack: "t8wl8ltvcm19pw0syoi4nbhzlqviepiyyjhfmzc1k".into(),
            cluster_addon_dir: "b83mhkdmaszwcj0ypp50jymcfopqvpveeiopk8gqde".into(),
            cluster_addon_values: "ujovcwb84mdsfvaits97yirlgbt9shaaroqm0pz4a0".into(),
            node_image_dir: "66o1lw8h7l9zfmi0ppe53v9enntw3otc6jnrpgp4".into(),
        };
        assert_eq!(hashes, expect);
        assert_eq!(hashes.short(), "t8wl8lt");
        let read: Hashes = serde_json::from_str(&hashes.to_json()).unwrap();
        assert_eq!(read, hashes);
        assert!(!Hashes::default().to_json().contains("nodeImageDir"));
        assert_eq!(dirhash(&[("a\nb".to_owned(), Vec::new())].into()), Err("a\nb".into()));
    }

    #[test]
    fn csctl_does_not_look_at_the_cluster_class() {
        let hashes = Hashes { cluster_stack: "a".into(), cluster_addon_dir: "b".into(), ..Hashes::default() };
        let class = Hashes { cluster_stack: "A".into(), ..hashes.clone() };
        let addon = Hashes { cluster_addon_dir: "B".into(), ..hashes.clone() };
        assert!(hashes.same_for_csctl(&class));
        assert!(!hashes.same_for_csctl(&addon));
    }
}
