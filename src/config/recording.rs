//! `[recording]`: where the sound of calls goes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::faults::{ConfigError, value_error};

const DEFAULT_SPOOL: &str = "aria.spool";
/// A hundred calls of 40 minutes whose store is away.
const DEFAULT_SPOOL_MB: u64 = 4_096;
/// Longest announcement, characters: Twilio says 4096 at most.
const MAX_ANNOUNCEMENT: usize = 1_000;

/// `[recording]` as it is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Typed {
    pub to: Option<String>,
    pub format: SoundFormat,
    pub announcement: Option<String>,
    pub spool: Option<PathBuf>,
    pub spool_mb: Option<u64>,
}

/// What a recording is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundFormat {
    /// Opus in Ogg, 64 kbit/s.
    #[default]
    Ogg,
    /// 16-bit PCM at the line's rate: 256 kbit/s at 8 kHz.
    Wav,
}

/// How calls are recorded whose agent says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSettings {
    /// Where recordings are put: the URL of a folder (`file`) or of a place in an S3-compatible store (`s3`). It ends with a slash.
    pub to: Url,
    /// What they are.
    pub format: SoundFormat,
    /// What the caller hears before ARIA answers.
    pub announcement: Option<String>,
    /// The local folder where sound waits until its call is over and its recording put away.
    pub spool: PathBuf,
    /// Once so much waits there no further call is recorded, bytes.
    pub spool_bytes: u64,
}

/// From the table; `None`: no call can be recorded.
pub(super) fn resolve(typed: Typed) -> Result<Option<RecordingSettings>, ConfigError> {
    let Some(to) = typed.to else { return Ok(None) };
    let spool_mb = typed.spool_mb.unwrap_or(DEFAULT_SPOOL_MB);
    if !(1..=1024 * 1024).contains(&spool_mb) {
        return Err(value_error("recording.spool_mb", spool_mb.to_string(), "1 to 1048576"));
    }
    if typed.announcement.as_ref().is_some_and(|text| text.trim().is_empty() || text.len() > MAX_ANNOUNCEMENT)
    {
        let allowed = format!("a sentence of at most {MAX_ANNOUNCEMENT} bytes");
        return Err(value_error("recording.announcement", typed.announcement.unwrap_or_default(), allowed));
    }
    Ok(Some(RecordingSettings {
        to: place(&to).ok_or_else(|| {
            // What stands before an @ may be a secret.
            let shown = if to.contains('@') { "…" } else { &to };
            value_error(
                "recording.to",
                shown,
                "a folder, or s3://BUCKET/PREFIX; keys come from the environment",
            )
        })?,
        format: typed.format,
        announcement: typed.announcement,
        spool: typed.spool.unwrap_or_else(|| DEFAULT_SPOOL.into()),
        spool_bytes: spool_mb * 1024 * 1024,
    }))
}

fn place(to: &str) -> Option<Url> {
    if !to.contains("://") {
        let folder = std::path::absolute(Path::new(to)).ok().filter(|_| !to.is_empty())?;
        return Url::from_directory_path(folder).ok();
    }
    let url = Url::parse(to).ok().filter(|url| url.scheme() == "s3" && url.has_host())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let with_slash = format!("{}/", url.as_str().trim_end_matches('/'));
    plain.then(|| Url::parse(&with_slash).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    fn of(text: &str) -> Result<Option<RecordingSettings>, String> {
        let sources = Sources { text: Some(text.into()), ..Sources::default() };
        load(&sources).map(|settings| settings.recording).map_err(|e| e.to_string())
    }

    #[test]
    fn a_folder_or_a_bucket() {
        assert_eq!(of("").unwrap(), None);
        let to = |to: &str| {
            of(&format!("[recording]\nto = {to:?}")).map(|settings| settings.unwrap().to.to_string())
        };
        assert_eq!(to("/var/recordings").unwrap(), "file:///var/recordings/");
        assert!(to("recordings").unwrap().ends_with("/recordings/"));
        assert_eq!(to("s3://bucket").unwrap(), "s3://bucket/");
        assert_eq!(to("s3://bucket/calls").unwrap(), "s3://bucket/calls/");
        for wrong in ["", "gs://bucket", "s3://", "s3://key:canary@bucket", "https://bucket/x"] {
            assert!(to(wrong).unwrap_err().contains("recording.to"), "{wrong}");
        }
    }

    #[test]
    fn an_agent_is_recorded_only_where_there_is_a_place_for_it() {
        let record = "[agents.default]\nrecord = true\n";
        assert!(of(record).unwrap_err().contains("agents.default.record"));
        assert!(of(&format!("{record}[recording]\nto = \"r\"")).is_ok());
    }
}
