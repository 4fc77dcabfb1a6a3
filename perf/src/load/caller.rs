//! The caller's end of a call: says the upward recording, listens for the downward one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sim::phone::{Tap, g711};

use super::tally::{Tally, lock};
use crate::watermark::{FRAME, Heard, Listener};

/// Frames before an interruption that may still be under way when `clear` comes.
const OLD_FRAMES: usize = 200;
/// How long after `clear` what comes may be of the old reply. The next one begins later.
const OLD_WITHIN: Duration = Duration::from_millis(500);

/// One caller.
pub(crate) struct Caller {
    tally: Arc<Tally>,
    /// Where in the recording it begins.
    first: usize,
    /// The bridge gives back what it gets: what is heard is the upward recording.
    echo: bool,
    ear: Mutex<Ear>,
    call_sid: Mutex<Option<String>>,
    /// What the bridge's jitter buffer waits in this call, µs.
    wait_us: AtomicU64,
}

struct Ear {
    listener: Listener,
    /// The frame behind which the reply was interrupted, and when `clear` came.
    cut: Option<(usize, Instant)>,
}

impl Caller {
    pub(crate) fn new(tally: Arc<Tally>, first: usize, echo: bool) -> Self {
        let score = if echo { &tally.up.score } else { &tally.down.score };
        let listener = Listener::new(Arc::clone(score));
        Self {
            tally,
            first,
            echo,
            ear: Mutex::new(Ear { listener, cut: None }),
            call_sid: Mutex::default(),
            wait_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn call_sid(&self) -> Option<String> {
        lock(&self.call_sid).clone()
    }

    pub(crate) fn set_wait(&self, us: u64) {
        self.wait_us.store(us, Ordering::Relaxed);
    }

    fn place(&self, frame: u64) -> usize {
        (self.first as u64 + frame) as usize % self.tally.up.score.frames()
    }
}

impl Tap for Caller {
    fn answered(&self, call_sid: &str) {
        *lock(&self.call_sid) = Some(call_sid.to_owned());
    }

    fn hangs_up(&self) -> bool {
        self.tally.is_over()
    }

    fn say(&self, frame: u64) -> [u8; FRAME] {
        self.tally.up.score.mulaw(self.place(frame))
    }

    fn sent(&self, frame: u64, due: Instant, at: Instant) {
        self.tally.sent(&self.tally.up, self.place(frame), at);
        if self.tally.is_measuring() {
            lock(&self.tally.phone_lateness).record(at.saturating_duration_since(due));
        }
    }

    fn arrived(&self, bytes: &[u8], at: Instant) {
        let road = if self.echo { &self.tally.up } else { &self.tally.down };
        let wait = Duration::from_micros(self.wait_us.load(Ordering::Relaxed));
        let frames = road.score.frames();
        let Ear { listener, cut } = &mut *lock(&self.ear);
        if cut.is_some_and(|(_, cleared)| at.saturating_duration_since(cleared) > OLD_WITHIN) {
            // One in sixteen new replies would begin with the noise that is expected.
            listener.forget();
            *cut = None;
        }
        listener.hear(bytes.iter().map(|byte| g711::decode(*byte)), at, |heard| {
            if let (Heard::Frame(sighting), Some((frame, cleared))) = (&heard, &cut)
                && sighting.at > *cleared
                && (*frame + frames - sighting.frame) % frames < OLD_FRAMES
            {
                self.tally.stale();
            }
            self.tally.heard(road, heard, wait);
        });
    }

    fn cleared(&self, waiting: usize, at: Instant) {
        let mut ear = lock(&self.ear);
        let Some(last) = ear.listener.last() else { return };
        let backlog = Duration::from_micros(waiting as u64 * 125);
        if let Some(frame) = self.tally.cleared(last, backlog, at) {
            ear.cut = Some((frame, at));
        }
    }
}
