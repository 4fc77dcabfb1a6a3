//! What drives a session: the conversation, or a drill in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drill::Drilled;
use super::output::Beat;
use super::session::{Output, Session};
use super::sound::Sound;

pub(crate) enum Mind {
    Conversation { session: Box<Session>, silence: Arc<Sound> },
    Drill(Box<Drilled>),
}

impl Mind {
    pub(crate) fn open(&mut self, now: Duration) {
        match self {
            Self::Conversation { session, .. } => session.open(now),
            Self::Drill(drilled) => drilled.open(now),
        }
    }

    /// A message of the client. A drill does not answer.
    pub(crate) fn receive(&mut self, text: &str, now: Duration) {
        if let Self::Conversation { session, .. } = self {
            session.receive(text, now);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        match self {
            Self::Conversation { session, .. } => session.poll(),
            Self::Drill(drilled) => drilled.poll(),
        }
    }

    /// What was polled is on its way.
    pub(crate) fn written(&mut self) {
        if let Self::Drill(drilled) = self {
            drilled.written();
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        match self {
            Self::Conversation { session, .. } => session.next_timeout(),
            Self::Drill(drilled) => drilled.next_timeout(),
        }
    }

    pub(crate) fn timeout(&mut self, now: Duration) {
        match self {
            Self::Conversation { session, .. } => session.timeout(now),
            Self::Drill(drilled) => drilled.timeout(now),
        }
    }

    pub(crate) fn is_playing(&self) -> bool {
        match self {
            Self::Conversation { session, .. } => session.is_playing(),
            Self::Drill(drilled) => drilled.is_playing(),
        }
    }

    pub(crate) fn beat(&mut self, now: Duration) -> Beat {
        match self {
            Self::Conversation { session, .. } => session.beat(now),
            Self::Drill(drilled) => drilled.beat(),
        }
    }

    /// The frame of the last beat is being sent. Gives its place in a drill's recording.
    pub(crate) fn sent(&self, due: Instant) -> Option<usize> {
        match self {
            Self::Conversation { .. } => None,
            Self::Drill(drilled) => Some(drilled.sent(due)),
        }
    }

    /// That frame is through the network.
    pub(crate) fn left(&self, frame: usize) {
        if let Self::Drill(drilled) = self {
            drilled.left(frame);
        }
    }

    pub(crate) fn hear(&mut self, samples: &[i16], at: Instant, age: Duration) {
        match self {
            Self::Conversation { session, .. } => session.hear(samples, age),
            Self::Drill(drilled) => drilled.hear(samples, at),
        }
    }

    /// A second of silence; a drill has none, its stream stops.
    pub(crate) fn silence(&self) -> Option<Arc<Sound>> {
        match self {
            Self::Conversation { silence, .. } => Some(Arc::clone(silence)),
            Self::Drill(_) => None,
        }
    }
}
