//! A measurement on the line: it speaks in the caller's place and is told of every frame that passes.

use std::time::Instant;

use super::playback::FRAME;

/// What taps one call. Called on the call's tasks: it must be quick. A tapped call keeps neither its sound nor its arrivals for the report,
/// so that hours of many calls fit into memory.
pub trait Tap: Send + Sync {
    /// The call is answered.
    fn answered(&self, call_sid: &str);
    /// Whether the caller puts the phone down now. Asked with every frame.
    fn hangs_up(&self) -> bool;
    /// What the caller says in frame `frame` of the stream, mu-law; frames count from 0.
    fn say(&self, frame: u64) -> [u8; FRAME];
    /// That frame is handed to the kernel at `at`; it was due at `due`.
    fn sent(&self, frame: u64, due: Instant, at: Instant);
    /// Sound of the bridge arrived at `at`: mu-law, of any length.
    fn arrived(&self, bytes: &[u8], at: Instant);
    /// `clear` arrived at `at`, while so many bytes were waiting to be played; 8 are a millisecond.
    fn cleared(&self, waiting: usize, at: Instant);
}
