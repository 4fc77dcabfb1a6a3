//! One response at a time. Pure.
//!
//! Of the default conversation only one response may be made at once, and of a sound only one can be heard; so what is to be said waits
//! in a line of its own until nothing is being made.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::openai::wire::{Aside, ClientEvent};

/// What may wait to be said; the oldest is given up for the newest.
const MAX_WANTED: usize = 8;
/// Before a response that failed is asked for again; doubled each time.
const BACKOFF: Duration = Duration::from_millis(300);
/// A `response.create` that is neither confirmed nor refused after so long is taken for lost.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `None`: a turn of the conversation.
    pub aside: Option<Aside>,
    /// For this reply alone.
    pub instructions: Option<String>,
}

impl Wanted {
    fn event(&self) -> ClientEvent {
        let instructions = self.instructions.clone();
        match self.aside {
            None => ClientEvent::ResponseCreate { instructions },
            Some(aside) => ClientEvent::Aside { aside, instructions: instructions.unwrap_or_default() },
        }
    }
}

/// A `response.create` on its way.
#[derive(Debug)]
struct Asked {
    /// Which event of ours, counted from 1.
    event: u64,
    at: Instant,
    wanted: Wanted,
}

/// What is asked for, made, and owed.
#[derive(Debug, Default)]
pub(super) struct Replies {
    asked: Option<Asked>,
    /// The turn of the conversation that is being generated, and since when.
    making: Option<(String, Instant)>,
    /// What of it was asked for, to ask again if it fails.
    of: Option<Wanted>,
    /// The response beside the conversation that is being generated.
    beside: Option<(String, Aside)>,
    wanted: VecDeque<Wanted>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Replies {
    /// A turn of the conversation is owed. Several are answered by one.
    pub fn want_turn(&mut self, instructions: Option<String>) {
        if let Some(turn) = self.wanted.iter_mut().find(|w| w.aside.is_none()) {
            turn.instructions = instructions.or(turn.instructions.take());
            return;
        }
        self.want(Wanted { aside: None, instructions });
    }

    /// No turn of the conversation is owed after all.
    pub fn forget_turn(&mut self) {
        self.wanted.retain(|w| w.aside.is_some());
    }

    /// Something is to be said or written beside the conversation.
    pub fn want_aside(&mut self, aside: Aside, instructions: String) {
        self.want(Wanted { aside: Some(aside), instructions: Some(instructions) });
    }

    fn want(&mut self, wanted: Wanted) {
        if self.wanted.len() >= MAX_WANTED {
            self.wanted.pop_front();
        }
        self.wanted.push_back(wanted);
    }

    /// The next thing to ask for, if it is time and nothing is being made. `turns`: whether a turn of the conversation may be made now,
    /// or only what is beside it. `event` is the number that the event will have.
    pub fn next(&mut self, now: Instant, turns: bool, event: u64) -> Option<ClientEvent> {
        if self.busy() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let place = self.wanted.iter().position(|w| turns || w.aside.is_some())?;
        let wanted = self.wanted.remove(place)?;
        self.not_before = None;
        let out = wanted.event();
        self.asked = Some(Asked { event, at: now, wanted });
        Some(out)
    }

    /// `response.created`.
    pub fn created(&mut self, id: String, aside: Option<Aside>, now: Instant) {
        let asked = self.asked.take();
        if let Some(aside) = aside {
            self.beside = Some((id, aside));
            return;
        }
        // Made by the server at the end of the caller's turn, it sees all that ours would have seen.
        self.wanted.retain(|w| w.aside.is_some() || w.instructions.is_some());
        match asked {
            Some(asked) if asked.wanted.aside.is_none() => self.of = Some(asked.wanted),
            // Ours was overtaken; the server will say so.
            Some(asked) => self.asked = Some(asked),
            None => self.of = None,
        }
        self.making = Some((id, now));
    }

    /// `response.done`. Whether it was a turn of the conversation.
    pub fn done(&mut self, id: &str) -> bool {
        if self.beside.as_ref().is_some_and(|(beside, _)| beside == id) {
            self.beside = None;
            return false;
        }
        self.making = None;
        true
    }

    /// It was what was wanted.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.of = None;
    }

    /// It failed: ask again after a pause. How often this has happened in a row.
    pub fn failed(&mut self, now: Instant) -> u32 {
        self.failures += 1;
        self.not_before = Some(now + BACKOFF * 2u32.pow(self.failures.min(5) - 1));
        let again = self.of.take().unwrap_or(Wanted { aside: None, instructions: None });
        if !self.wanted.iter().any(|w| w.aside.is_none()) {
            self.wanted.push_front(again);
        }
        self.failures
    }

    /// Another response was being made when ours was asked for: it waits its turn.
    pub fn overtaken(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.wanted.push_front(asked.wanted);
        }
    }

    /// An error names event `event` of ours, or none: was it the one that asks for a response? Then there will be none.
    pub fn refused(&mut self, event: Option<u64>) -> Option<Wanted> {
        if self.asked.as_ref().is_some_and(|asked| event.is_none_or(|event| event == asked.event)) {
            return self.asked.take().map(|asked| asked.wanted);
        }
        None
    }

    /// Whether a response is asked for or being made, in the conversation or beside it.
    pub fn busy(&self) -> bool {
        self.asked.is_some() || self.making.is_some() || self.beside.is_some()
    }

    /// Whether something waits to be said.
    pub fn owed(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The turn being generated.
    pub fn making(&self) -> Option<&str> {
        self.making.as_ref().map(|(id, _)| id.as_str())
    }

    /// Since when the turn has been generated.
    pub fn making_since(&self) -> Option<Instant> {
        self.making.as_ref().map(|(_, at)| *at)
    }

    /// When [`Self::next`] or [`Self::expire`] may have something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lost = self.asked.as_ref().map(|asked| asked.at + UNCONFIRMED);
        let again = if self.wanted.is_empty() { None } else { self.not_before };
        lost.into_iter().chain(again).min()
    }

    /// Gives up what was never confirmed; it waits again.
    pub fn expire(&mut self, now: Instant) {
        if self.asked.as_ref().is_some_and(|asked| now >= asked.at + UNCONFIRMED) {
            self.overtaken();
        }
    }

    /// The session is gone: nothing is being made any more. Whether the caller waits for a reply that was cut short.
    pub fn reset(&mut self) -> bool {
        let asked = self.asked.take().is_some_and(|asked| asked.wanted.aside.is_none());
        let making = self.making.take().is_some();
        self.beside = None;
        self.of = None;
        self.not_before = None;
        self.failures = 0;
        let owed = self.wanted.iter().any(|w| w.aside.is_none());
        self.wanted.retain(|w| w.aside.is_some_and(|aside| aside == Aside::Say));
        asked || making || owed
    }
}
