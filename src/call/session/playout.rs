//! What of a reply was heard. Pure.
//!
//! The model's server counts as heard what it has sent. What of that was still in our rings, under way or at Twilio when the caller cut
//! in, it cannot know; where that is more than the allowed error it is told.

use std::time::{Duration, Instant};

use crate::openai::wire::ClientEvent;

/// Error in what the model believes was heard that is left alone: the last frame, which sounds while it is cleared.
pub const ALLOWED: Duration = Duration::from_millis(20);
/// How long the server may take to say what it believes. After that it is reckoned from what it had sent.
const BELIEF_WAIT: Duration = Duration::from_millis(250);

/// What is known of an interrupted reply once `clear` has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard {
    /// Of what the server had sent, what the caller will not hear.
    pub unheard: Duration,
    /// Of this reply, what he heard; `None` if its beginning was not noticed.
    pub heard: Option<Duration>,
}

#[derive(Debug)]
struct Cut {
    item: Option<String>,
    at: Instant,
    unheard: Option<Unheard>,
    /// The item, and how much of it the server believes was heard, ms.
    believed: Option<(String, u64)>,
}

impl Cut {
    /// What the server has to be told, once both sides are known. It may say first or last.
    ///
    /// Reckoned from the reply's end, sound that was still under way counts as heard; from its beginning, a beginning that was noticed too
    /// early does. So the lesser is nearer.
    fn correction(&self) -> Option<ClientEvent> {
        let Unheard { unheard, heard } = self.unheard?;
        let (item, believed) = self.believed.as_ref()?;
        let believed = Duration::from_millis(*believed);
        let from_end = believed.saturating_sub(unheard);
        let heard = heard.map_or(from_end, |heard| heard.min(from_end));
        correction(item, heard.as_millis() as u64, believed - heard)
    }
}

/// The reply that sounds, and the one that was cut off last.
#[derive(Debug, Default)]
pub(super) struct Playout {
    item: Option<String>,
    cut: Option<Cut>,
}

impl Playout {
    /// A reply's item was made.
    pub fn item(&mut self, item_id: &str) {
        self.item = Some(item_id.to_owned());
    }

    /// The caller cut in.
    pub fn cut(&mut self, now: Instant) {
        self.cut = Some(Cut { item: self.item.take(), at: now, unheard: None, believed: None });
    }

    /// `clear` was written. The correction, if one is due.
    pub fn cleared(&mut self, unheard: Unheard) -> Option<ClientEvent> {
        let cut = self.cut.as_mut()?;
        cut.unheard.get_or_insert(unheard);
        self.settle()
    }

    /// The server says that it believes so much of `item_id` was heard. The correction, if one is due.
    pub fn believed(&mut self, item_id: &str, audio_end_ms: u64) -> Option<ClientEvent> {
        let cut = self.cut.as_mut()?;
        if cut.item.as_deref().is_some_and(|item| item != item_id) {
            return None;
        }
        cut.believed.get_or_insert_with(|| (item_id.to_owned(), audio_end_ms));
        self.settle()
    }

    fn settle(&mut self) -> Option<ClientEvent> {
        let cut = self.cut.as_ref()?;
        if cut.unheard.is_none() || cut.believed.is_none() {
            return None;
        }
        self.cut.take()?.correction()
    }

    /// When [`Self::overdue`] wants to be asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.cut.as_ref().map(|cut| cut.at + BELIEF_WAIT)
    }

    /// The server has not said what it believes: what it is told unasked.
    pub fn overdue(&mut self, now: Instant) -> Option<ClientEvent> {
        if now < self.poll_timeout()? {
            return None;
        }
        let cut = self.cut.take()?;
        let unheard = cut.unheard?;
        correction(&cut.item?, unheard.heard?.as_millis() as u64, unheard.unheard)
    }
}

/// Nothing can be cut off a reply of which nothing was heard but all of it; the server takes that as 0.
fn correction(item_id: &str, heard_ms: u64, unheard: Duration) -> Option<ClientEvent> {
    (unheard > ALLOWED).then(|| ClientEvent::Truncate { item_id: item_id.to_owned(), audio_end_ms: heard_ms })
}
