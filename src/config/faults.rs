//! What is wrong with the configuration: all of it, not only what is met first.

use std::path::PathBuf;

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that the configuration names cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML. The line itself is not shown: it may hold what somebody took for the place of a secret.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, characters.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// A field that nobody knows. Its value is not shown.
    #[error("{}{field}: there is no such field; {known}", at.as_deref().unwrap_or_default())]
    Unknown {
        /// File and line, where there is one.
        at: Option<String>,
        /// The field, as typed in the file or named in the environment.
        field: String,
        /// Which there are in its place, and the nearest of them.
        known: String,
    },
    /// A value is out of range, or of another type.
    #[error("{}{field}: {value:?} is not allowed: {allowed}", at.as_deref().unwrap_or_default())]
    Value {
        /// File and line, where there is one.
        at: Option<String>,
        /// The field, as typed in the file or named in the environment.
        field: String,
        /// What was given. Never a secret.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// More than one thing.
    #[error("{} things are wrong with the configuration:{}", .0.len(), lines(.0))]
    Several(Vec<ConfigError>),
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

pub(super) fn value_error(
    field: impl Into<String>,
    value: impl Into<String>,
    allowed: impl Into<String>,
) -> ConfigError {
    ConfigError::Value { at: None, field: field.into(), value: value.into(), allowed: allowed.into() }
}

/// Collects what is wrong while the rest is looked at.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ConfigError>);

impl Faults {
    /// One more, or several.
    pub fn note(&mut self, error: ConfigError) {
        match error {
            ConfigError::Several(errors) => self.0.extend(errors),
            error => self.0.push(error),
        }
    }

    /// What is right; `None` and noted if it is not.
    pub fn ok<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.note(error)).ok()
    }

    /// Notes `error` unless it is `so`.
    pub fn unless(&mut self, so: bool, error: impl FnOnce() -> ConfigError) {
        if !so {
            self.note(error());
        }
    }

    /// `made` of what was looked at, if nothing is wrong with it. `made` is `None` only if something is.
    pub fn outcome<T>(mut self, made: Option<T>) -> Result<T, ConfigError> {
        match (made, self.0.len()) {
            (Some(made), 0) => Ok(made),
            (_, 1) => Err(self.0.remove(0)),
            _ => Err(ConfigError::Several(self.0)),
        }
    }

    /// Each of them as `told`.
    pub fn map(self, told: impl Fn(ConfigError) -> ConfigError) -> Self {
        Self(self.0.into_iter().map(told).collect())
    }
}
