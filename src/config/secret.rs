//! A value that must never be shown.

use std::fmt;

use serde::Deserialize;

/// A key or token. Neither `Debug` nor `Display` shows it; [`Secret::expose`] is the one way to read it, so that every use
/// is found by its name.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value read from the environment or a file.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: for a header, a signature or a comparison, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert!(!format!("{:?}", Secret::new("canary")).contains("canary"));
    }
}
