//! Reports and baselines as files: JSON that people can read and compare line by line.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Report};

/// Why a file was not read or written. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is not there or may not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not JSON, or not of the right shape.
    #[error("{}: no {what}: {source}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        what: &'static str,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// Written by an older or newer suite.
    #[error("{}: a {what} of format {found}; this program reads and writes format {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its format.
        found: u32,
        /// The only format that is read.
        known: u32,
    },
}

impl Report {
    /// Writes the report to `path`, over what is there.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        save(path, "report", self)
    }

    /// Reads a report that [`save`](Self::save) wrote. One of another [`FORMAT`] is refused: its figures mean something else.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        load(path, "report", FORMAT)
    }
}

pub(super) fn save(path: &Path, what: &'static str, value: &impl Serialize) -> Result<(), FileError> {
    let owned = || path.to_owned();
    let mut text = serde_json::to_string_pretty(value).map_err(|source| FileError::Shape {
        path: owned(),
        what,
        source,
    })?;
    text.push('\n');
    fs::write(path, text).map_err(|source| FileError::Write { path: owned(), source })
}

/// The format is looked at first, so that a file of another one is called that and not malformed.
pub(super) fn load<T: DeserializeOwned>(path: &Path, what: &'static str, known: u32) -> Result<T, FileError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let owned = || path.to_owned();
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: owned(), source })?;
    let shape = |source| FileError::Shape { path: owned(), what, source };
    let found = serde_json::from_str::<Head>(&text).map_err(shape)?.format;
    if found != known {
        return Err(FileError::Format { path: owned(), what, found, known });
    }
    serde_json::from_str(&text).map_err(shape)
}
