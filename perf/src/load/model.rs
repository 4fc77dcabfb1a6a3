//! The model's end of all calls: notes when the downward recording leaves, listens for the upward one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sim::model::DrillObserver;

use super::tally::{Tally, lock};
use crate::Spread;
use crate::watermark::{Heard, Listener};

/// The model's sessions.
pub(crate) struct Model {
    tally: Arc<Tally>,
    /// Frames between two callers' beginnings in the recording.
    stride: usize,
    sessions: Mutex<HashMap<u64, Session>>,
    /// When each caller began to call.
    began: Mutex<Vec<Instant>>,
    set_up: Mutex<Spread>,
}

struct Session {
    listener: Listener,
    opened: Instant,
    known: bool,
}

impl Model {
    pub(crate) fn new(tally: Arc<Tally>, stride: usize) -> Self {
        Self { tally, stride, sessions: Mutex::default(), began: Mutex::default(), set_up: Mutex::default() }
    }

    /// The next caller calls now.
    pub(crate) fn calls(&self, at: Instant) {
        lock(&self.began).push(at);
    }

    /// From webhook to open event channel.
    pub(crate) fn set_up(&self) -> Spread {
        lock(&self.set_up).clone()
    }
}

impl DrillObserver for Model {
    fn opened(&self, session: u64, at: Instant) {
        let listener = Listener::new(Arc::clone(&self.tally.up.score));
        lock(&self.sessions).insert(session, Session { listener, opened: at, known: false });
    }

    fn sent(&self, _session: u64, frame: usize, due: Instant, at: Instant) {
        self.tally.sent(&self.tally.down, frame, at);
        if self.tally.is_measuring() {
            lock(&self.tally.model_lateness).record(at.saturating_duration_since(due));
        }
    }

    fn left(&self, _session: u64, frame: usize, at: Instant) {
        self.tally.left(&self.tally.down, frame, at);
    }

    fn heard(&self, session: u64, samples: &[i16], at: Instant) {
        let mut sessions = lock(&self.sessions);
        // Sound before the channel is open has nobody to hear it.
        let Some(Session { listener, opened, known }) = sessions.get_mut(&session) else { return };
        listener.hear(samples.iter().copied(), at, |heard| {
            if let (Heard::Frame(sighting), false) = (&heard, *known) {
                // Who speaks is told by where in the recording he is, as long as nobody has gone on for a stride.
                *known = true;
                let began = lock(&self.began).get(sighting.frame / self.stride).copied();
                if let Some(began) = began.filter(|began| began <= opened) {
                    lock(&self.set_up).record(opened.duration_since(began));
                }
            }
            self.tally.heard(&self.tally.up, heard, Duration::ZERO);
        });
    }

    fn interrupted(&self, _session: u64, frame: usize, at: Instant) {
        self.tally.announced(frame, at);
    }
}
