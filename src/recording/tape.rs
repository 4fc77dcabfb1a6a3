//! What one call's sound is recorded with: its media socket puts the sound of both sides here.
//!
//! The time line is Twilio's: where the caller's sound is stamped and ARIA's is played. What she says is put where the far end is known to
//! play it, and taken back where `clear` silences it, so that the recording has what the caller heard.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{Sender, TrySendError};
use pipeline::MediaFormat;

use super::spool::{Job, Side, SpoolFile};
use super::track::{Piece, Track};

/// ARIA's sound that may still be taken back, ms: more than waits at Twilio but after a stall, and then it is erased on disk.
const KEEP_MS: u64 = 500;

/// A recording at work. Dropped, it is finished.
#[derive(Debug)]
pub struct Tape {
    file: Arc<SpoolFile>,
    jobs: Sender<Job>,
    format: MediaFormat,
    began: Instant,
    /// Where the stream that plays now began, samples.
    stream_at: u64,
    caller: Track,
    aria: Track,
}

impl Tape {
    pub(super) fn new(file: Arc<SpoolFile>, jobs: Sender<Job>, format: MediaFormat) -> Self {
        let (unit, hz) = (format.encoding.bytes_per_sample(), format.rate.hz());
        Self {
            file,
            jobs,
            format,
            began: Instant::now(),
            stream_at: 0,
            caller: Track::new(unit, hz, 0),
            aria: Track::new(unit, hz, KEEP_MS),
        }
    }

    /// Another stream of the same call begins: its time follows the clock on the wall. Whether its format can be recorded with the rest.
    pub fn resume(&mut self, format: MediaFormat) -> bool {
        let since = self.began.elapsed().as_millis() as u64;
        self.stream_at = since * u64::from(self.format.rate.hz() / 1000);
        format == self.format
    }

    /// Sound of the caller's that belongs at sample `time` of the stream.
    pub fn caller(&mut self, time: u64, bytes: &[u8]) {
        let piece = self.caller.put(self.stream_at + time, bytes);
        self.write(Side::Caller, piece);
        let sure = self.aria.settle(self.caller.end());
        self.write(Side::Aria, sure);
    }

    /// Sound of ARIA's that begins at sample `time` of the stream, on the caller's clock.
    pub fn aria(&mut self, time: i64, bytes: &[u8]) {
        let at = self.stream_at.saturating_add_signed(time);
        let piece = self.aria.put(at, bytes);
        self.write(Side::Aria, piece);
    }

    /// ARIA is silenced at sample `time` of the stream: what was to be played later is not.
    pub fn cut(&mut self, time: i64) {
        let at = self.stream_at.saturating_add_signed(time);
        if let Some((from, to)) = self.aria.cut(at) {
            let silence =
                vec![self.silence(); (to - from) as usize * self.format.encoding.bytes_per_sample()];
            self.write(Side::Aria, Some(Piece { at: from, bytes: silence }));
        }
    }

    fn silence(&self) -> u8 {
        match self.format.encoding {
            pipeline::MediaEncoding::Mulaw => 0xff,
            pipeline::MediaEncoding::L16 => 0,
        }
    }

    fn write(&self, side: Side, piece: Option<Piece>) {
        let Some(Piece { at, bytes }) = piece else { return };
        match self.jobs.try_send(Job::Write { file: Arc::clone(&self.file), side, at, bytes }) {
            Ok(()) => {}
            // The disk does not keep up: a hole of silence, and the call goes on.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                metrics::counter!("aria_recording_pieces_lost_total").increment(1);
            }
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let (caller, aria) = (self.caller.rest(), self.aria.rest());
        self.write(Side::Caller, caller);
        self.write(Side::Aria, aria);
        // If there is no room the file is found again at the next look at the folder.
        let _ = self.jobs.try_send(Job::Finish { file: Arc::clone(&self.file) });
    }
}
