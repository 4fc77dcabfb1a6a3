//! Keys that the caller presses, gathered into what he meant. Pure. Nothing here may be logged: it may be a card number.

use std::time::{Duration, Instant};

/// After the last key, before what was typed counts as a whole. `#` ends it at once.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Keys gathered at most; further ones begin anew.
const MAX_KEYS: usize = 64;

/// What was typed so far.
#[derive(Debug, Default)]
pub(super) struct Keys {
    typed: String,
    last: Option<Instant>,
}

impl Keys {
    /// A key. What was typed, if it is whole by that.
    pub fn press(&mut self, now: Instant, key: char) -> Option<String> {
        self.typed.push(key);
        self.last = Some(now);
        if key == '#' || self.typed.len() >= MAX_KEYS { self.take() } else { None }
    }

    /// What was typed, if the pause has been long enough.
    pub fn poll(&mut self, now: Instant) -> Option<String> {
        if now >= self.poll_timeout()? { self.take() } else { None }
    }

    /// When [`Self::poll`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last.map(|at| at + PAUSE)
    }

    fn take(&mut self) -> Option<String> {
        self.last = None;
        Some(std::mem::take(&mut self.typed)).filter(|typed| !typed.is_empty())
    }
}

/// The words in which the model hears of keys.
pub(super) fn words(typed: &str) -> String {
    let spaced: Vec<String> = typed.chars().map(String::from).collect();
    format!("[The caller pressed on the telephone's keypad: {}]", spaced.join(" "))
}
