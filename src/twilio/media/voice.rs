//! ARIA's voice on one stream: what is kept back while she pauses, the recording that plays instead of her, and when she begins.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pipeline::MediaFrame;
use tokio::time::Instant;

use crate::call::Clip;

/// Sound kept back at most, frames: 4 s. Longer pauses are no pauses for a cough; the oldest goes.
const MAX_HELD: usize = 200;
/// A frame of a recording, mu-law bytes.
const CLIP_FRAME: usize = 160;
/// What a recording is ahead of its own time at Twilio, so that a late wake-up is not heard.
const CLIP_LEAD: Duration = Duration::from_millis(60);
const BEAT: Duration = Duration::from_millis(20);
/// No frame for so long: what follows is a new beginning.
const SILENCE: Duration = Duration::from_millis(200);

/// A recording that plays.
pub(super) struct Playing {
    pub clip: Option<Clip>,
    pub sound: Arc<[u8]>,
    /// How much of it was sent, bytes.
    pub at: usize,
    next: Instant,
}

/// The state of her voice.
#[derive(Default)]
pub(super) struct Voice {
    held: Option<VecDeque<MediaFrame>>,
    playing: Option<Playing>,
    last: Option<Instant>,
}

impl Voice {
    /// Keeps her sound back from now on.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Whether it is kept back.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Takes a frame into what is kept back. Whether an older one was lost for it.
    pub fn keep(&mut self, frame: &MediaFrame) -> bool {
        let held = self.held.get_or_insert_default();
        let full = held.len() >= MAX_HELD;
        if full {
            held.pop_front();
        }
        held.push_back(*frame);
        full
    }

    /// What was kept back. A recording goes on as well.
    pub fn resume(&mut self, now: Instant) -> VecDeque<MediaFrame> {
        if let Some(playing) = &mut self.playing {
            playing.next = playing.next.max(now);
        }
        self.held.take().unwrap_or_default()
    }

    /// Begins a recording. The one that gives way to it.
    pub fn play(&mut self, clip: Option<Clip>, sound: Arc<[u8]>, now: Instant) -> Option<Playing> {
        self.playing.replace(Playing { clip, sound, at: 0, next: now })
    }

    /// Whether a recording plays.
    pub fn plays(&self) -> bool {
        self.playing.is_some()
    }

    /// Ends the recording.
    pub fn stop(&mut self) -> Option<Playing> {
        self.playing.take()
    }

    /// When the next piece of the recording is due: not while her voice is kept back.
    pub fn next(&self) -> Option<Instant> {
        self.playing.as_ref().filter(|_| self.held.is_none()).map(|playing| playing.next)
    }

    /// The piece of the recording that is due, and the recording if that was the last of it.
    pub fn piece(&mut self) -> Option<([u8; CLIP_FRAME], Option<Playing>)> {
        let playing = self.playing.as_mut()?;
        let mut frame = [0xff; CLIP_FRAME];
        let rest = &playing.sound[playing.at..];
        let taken = rest.len().min(CLIP_FRAME);
        frame[..taken].copy_from_slice(&rest[..taken]);
        playing.at += taken;
        // The first ones leave at once.
        if playing.at > CLIP_FRAME * (CLIP_LEAD.as_millis() / BEAT.as_millis()) as usize {
            playing.next += BEAT;
        }
        let over = self.playing.take_if(|playing| playing.at >= playing.sound.len());
        Some((frame, over))
    }

    /// A frame goes out. Whether it is the first after a silence.
    pub fn begins(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) >= SILENCE)
    }

    /// What waits is gone.
    pub fn clear(&mut self) {
        self.held = None;
    }
}
