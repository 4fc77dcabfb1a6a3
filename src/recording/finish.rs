//! From a call's file in the spool to its recording: encoded, put away, told to the records, and only then removed here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::{Receiver, TryRecvError};
use url::Url;

use super::shelf::{self, ShelfError};
use super::spool::{self, SpoolFile};
use super::{Told, sound};
use crate::config::{RecordingSettings, SoundFormat};

/// Endings of recordings and what they are.
pub const MIME_TYPES: [(&str, &str); 2] = [("ogg", "audio/ogg"), ("wav", "audio/wav")];
/// How often calls that are over are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the folder is looked at for those that could not be finished.
const AGAIN_EVERY: Duration = Duration::from_secs(60);
/// How long the records may take to be safe before the call is finished again, later.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Why a recording is not finished yet.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error("{0}")]
    Sound(#[from] std::io::Error),
    #[error("{0}")]
    Shelf(#[from] ShelfError),
    #[error("the records do not take it")]
    Records,
}

/// Finishes one call after the other: it is nobody's hurry, and two at once would take a core from living calls.
pub(super) struct Finisher {
    settings: RecordingSettings,
    told: Told,
}

impl Finisher {
    pub fn new(settings: RecordingSettings, told: Told) -> Self {
        Self { settings, told }
    }

    /// Until nothing more can come and what has come is done.
    pub async fn run(self, over: Receiver<PathBuf>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut again = tokio::time::interval(AGAIN_EVERY);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => loop {
                    match over.try_recv() {
                        Ok(path) => self.finish(&path).await,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => return,
                    }
                },
                _ = again.tick() => {
                    let left = spool::left(&self.settings.spool).unwrap_or_default();
                    metrics::gauge!("aria_recordings_waiting").set(left.len() as f64);
                    for path in left {
                        self.finish(&path).await;
                    }
                }
            }
        }
    }

    async fn finish(&self, path: &Path) {
        let file = match SpoolFile::open(path) {
            Ok(Some(file)) => file,
            // Its call goes on, or it is finished.
            Ok(None) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.complain(&error.into()),
        };
        match self.put_away(file, path).await {
            Ok(()) => metrics::counter!("aria_recordings_total", "outcome" => "stored").increment(1),
            Err(error) => self.complain(&error),
        }
    }

    async fn put_away(&self, file: SpoolFile, path: &Path) -> Result<(), Unfinished> {
        let format = self.settings.format;
        let made = path.with_extension(ending(format));
        let encoding = {
            let made = made.clone();
            move || sound::write(&file, format, &made).map(|()| file)
        };
        // The lock is held until all is done: another bridge with the same spool leaves it alone.
        let file = tokio::task::spawn_blocking(encoding).await.map_err(std::io::Error::other)??;
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let url = place(&self.settings.to, name, format).ok_or(ShelfError::Unknown)?;
        let put = shelf::put(&url, &made).await;
        let _ = std::fs::remove_file(&made);
        put?;
        let told = tokio::time::timeout(TOLD_WITHIN, (self.told)(name, &url)).await;
        if !matches!(told, Ok(Ok(()))) {
            return Err(Unfinished::Records);
        }
        match std::fs::remove_file(path) {
            // It was removed with the call's records meanwhile: then the recording has to go as well.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => shelf::remove(&url).await?,
            removed => removed?,
        }
        drop(file);
        Ok(())
    }

    fn complain(&self, error: &Unfinished) {
        metrics::counter!("aria_recordings_total", "outcome" => "retried").increment(1);
        tracing::warn!(%error, "a recording is not put away yet; it waits in the spool");
    }
}

fn ending(format: SoundFormat) -> &'static str {
    match format {
        SoundFormat::Ogg => MIME_TYPES[0].0,
        SoundFormat::Wav => MIME_TYPES[1].0,
    }
}

/// The URL of the recording of the call `name`.
fn place(to: &Url, name: &str, format: SoundFormat) -> Option<Url> {
    to.join(&format!("{name}.{}", ending(format))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recording_has_a_url_of_its_own() {
        for (to, url) in [
            ("file:///var/recordings/", "file:///var/recordings/CA1.ogg"),
            ("s3://bucket/", "s3://bucket/CA1.ogg"),
            ("s3://bucket/calls/2026/", "s3://bucket/calls/2026/CA1.ogg"),
        ] {
            let to = Url::parse(to).unwrap();
            assert_eq!(place(&to, "CA1", SoundFormat::Ogg).unwrap().as_str(), url);
        }
    }
}
