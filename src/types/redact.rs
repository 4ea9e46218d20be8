//! Secrets, and the one place that keeps them off screens and disks.

use std::borrow::Cow;
use std::fmt;

/// A text that must not be shown: it has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Replaces every registered secret in a text by `[redacted]`.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    patterns: Vec<Secret>,
}

impl Redactor {
    /// Registers a secret.
    pub fn add(&mut self, secret: &Secret) {
        self.patterns.push(secret.clone());
    }

    /// `text` without any registered secret.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.patterns {
            if text.contains(secret.expose()) {
                text = Cow::Owned(text.replace(secret.expose(), "[redacted]"));
            }
        }
        text
    }
}
