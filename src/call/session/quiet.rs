//! Silence that has lasted too long: of a caller who says nothing, of a model that owes a reply. Pure.

use std::time::{Duration, Instant};

/// From the end of the caller's turn to a response that the server should have begun by itself. Then it is asked for.
pub const OVERDUE: Duration = Duration::from_secs(4);
/// From a response begun to its first sound or its end. Then the session is taken for dead. Real ones have taken 8 s.
pub const MUTE: Duration = Duration::from_secs(15);

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Ask whether the caller is still there.
    Nudge,
    /// Say goodbye and end the call.
    GiveUp,
}

/// Watches the caller's silence.
#[derive(Debug)]
pub(super) struct Quiet {
    idle: Option<Duration>,
    since: Option<Instant>,
    nudged: bool,
    /// The caller's turn is over and nothing answers it.
    unanswered: Option<Instant>,
}

impl Quiet {
    pub fn new(idle: Option<Duration>) -> Self {
        Self { idle, since: None, nudged: false, unanswered: None }
    }

    /// The caller gave a sign of life.
    pub fn sign(&mut self) {
        self.nudged = false;
        self.since = None;
    }

    /// Whether anything is going on: speech, sound, thought or work.
    pub fn note(&mut self, now: Instant, going_on: bool) {
        if going_on {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
    }

    /// The silence has lasted long enough for something to be said.
    pub fn poll(&mut self, now: Instant) -> Option<Break> {
        if now < self.idle_at()? {
            return None;
        }
        self.since = None;
        Some(if std::mem::replace(&mut self.nudged, true) { Break::GiveUp } else { Break::Nudge })
    }

    fn idle_at(&self) -> Option<Instant> {
        Some(self.since? + self.idle?)
    }

    /// The caller's turn is over: a reply is due.
    pub fn turn_ended(&mut self, now: Instant) {
        self.unanswered = Some(now);
    }

    /// Somebody speaks or answers.
    pub fn answered(&mut self) {
        self.unanswered = None;
    }

    /// Whether the server is about to answer the caller's turn by itself.
    pub fn awaits(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Nobody has begun to answer; true once a turn.
    pub fn overdue(&mut self, now: Instant) -> bool {
        let overdue = self.unanswered.is_some_and(|at| now >= at + OVERDUE);
        if overdue {
            self.unanswered = None;
        }
        overdue
    }

    /// When there may be something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.idle_at().into_iter().chain(self.unanswered.map(|at| at + OVERDUE)).min()
    }
}
