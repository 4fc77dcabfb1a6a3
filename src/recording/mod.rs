//! Recordings of calls: the caller left, ARIA right, as the caller heard it.
//!
//! ```text
//! media socket ─ Tape ─► queue ─► spool (thread) ─► one file a call ─► finish (task): Ogg-Opus or WAV ─► folder or S3 ─► the call's record
//!                never waits
//! ```
//! Nothing of it is on the audio road: the media socket hands over what it has read and written anyway. A call's file survives the
//! process, so a bridge that was killed, or whose store was away, finishes it later. docs/records.md is for operators.

mod finish;
mod shelf;
mod sound;
mod spool;
mod tape;
mod track;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use pipeline::MediaFormat;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

pub use finish::MIME_TYPES;
pub use shelf::{ShelfError, check, get, remove};
pub use tape::Tape;

use crate::config::RecordingSettings;
use finish::Finisher;
use spool::{Job, SpoolFile};

/// Longest name of a call that becomes a file's: Twilio's have 34 characters.
const MAX_NAME: usize = 64;
/// Calls that are over and wait to be finished; more are found by looking at the folder.
const OVER: usize = 1_024;

/// Tells the records where a call's recording is; resolves when that is safe.
pub type Told = Box<dyn Fn(&str, &Url) -> oneshot::Receiver<()> + Send + Sync>;

/// Where calls are recorded.
pub struct Recordings {
    settings: RecordingSettings,
    // Taken when it closes.
    jobs: std::sync::Mutex<Option<Sender<Job>>>,
    writing: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
    finishing: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Recordings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recordings").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Recordings {
    /// Begins with what an earlier run has left in the spool. Must be called within a tokio runtime.
    pub fn open(settings: &RecordingSettings, told: Told) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(&settings.spool)?;
        if let Ok(folder) = settings.to.to_file_path() {
            std::fs::create_dir_all(folder)?;
        }
        check(&settings.to).map_err(io::Error::other)?;
        let (jobs, waiting) = bounded(spool::QUEUE);
        let (over, finished) = bounded(OVER);
        let writing = std::thread::Builder::new()
            .name("recording".into())
            .spawn(move || spool::run(&waiting, &over))?;
        let finishing = tokio::spawn(Finisher::new(settings.clone(), told).run(finished));
        Ok(Arc::new(Self {
            settings: settings.clone(),
            jobs: Some(jobs).into(),
            writing: Some(writing).into(),
            finishing: Some(finishing).into(),
        }))
    }

    /// A tape for the call `name`. `None`, and counted, if it cannot be recorded: the call goes on.
    pub fn begin(&self, name: &str, format: MediaFormat) -> Option<Tape> {
        let jobs = self.jobs.lock().unwrap_or_else(|e| e.into_inner()).clone()?;
        let plain =
            !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric());
        let full = || spool::size(&self.settings.spool).is_ok_and(|bytes| bytes >= self.settings.spool_bytes);
        let refused = match (plain, full()) {
            (false, _) => "name",
            (true, true) => "spool_full",
            (true, false) => match SpoolFile::create(&self.settings.spool, name, format) {
                Ok(file) => return Some(Tape::new(Arc::new(file), jobs, format)),
                Err(error) => {
                    tracing::error!(%error, "a call cannot be recorded");
                    "disk"
                }
            },
        };
        metrics::counter!("aria_recordings_total", "outcome" => refused).increment(1);
        tracing::warn!(reason = refused, "a call is not recorded");
        None
    }

    /// Writes what waits, gives finished calls `limit` to be put away, and ends. The rest is done by the next start.
    pub async fn close(&self, limit: Duration) {
        drop(self.jobs.lock().unwrap_or_else(|e| e.into_inner()).take());
        let writing = self.writing.lock().unwrap_or_else(|e| e.into_inner()).take();
        let finishing = self.finishing.lock().unwrap_or_else(|e| e.into_inner()).take();
        let all = async {
            if let Some(writing) = writing {
                let _ = tokio::task::spawn_blocking(move || writing.join()).await;
            }
            if let Some(mut finishing) = finishing {
                let _ = (&mut finishing).await;
            }
        };
        let _ = tokio::time::timeout(limit, all).await;
    }
}

/// What is there of a call's sound, to be removed with its records.
#[derive(Debug, Clone, Default)]
pub struct Eraser {
    spool: Option<PathBuf>,
}

impl Eraser {
    /// For sound that waits in `spool`; without one, what a record links to is still removed.
    pub fn new(spool: Option<PathBuf>) -> Self {
        Self { spool }
    }

    /// Removes the sound of the call `name`, whose record links to `link`.
    pub async fn erase(&self, name: &str, link: Option<&str>) -> Result<(), ShelfError> {
        if let Some(spool) = &self.spool
            && name.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            match std::fs::remove_file(spool.join(name).with_extension(spool::ENDING)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        match link.and_then(|link| Url::parse(link).ok()) {
            Some(url) => remove(&url).await,
            None => Ok(()),
        }
    }
}
