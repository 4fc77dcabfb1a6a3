//! Things that happen once the caller has heard what is being said: the end of the call, or a transfer. Pure.

use std::time::{Duration, Instant};

use super::super::{CallEnd, Onward};

/// Longest time from the wish to the deed: a goodbye that never comes, or never ends, must not keep the line open.
const LIMIT: Duration = Duration::from_secs(20);
/// How long Twilio may take to echo that the last of it was played.
const ECHO: Duration = Duration::from_secs(3);

/// What happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    End(CallEnd),
    Onward(Onward),
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask Twilio to tell when everything up to here was played.
    Mark(String),
    /// It is time.
    Done(Goal),
}

/// Waits for what is being said to be heard.
#[derive(Debug)]
pub(super) struct Farewell {
    goal: Goal,
    by: Instant,
    /// The mark's name, and until when its echo is waited for.
    mark: Option<(String, Instant)>,
    echoed: bool,
}

impl Farewell {
    pub fn new(goal: Goal, now: Instant) -> Self {
        Self { goal, by: now + LIMIT, mark: None, echoed: false }
    }

    /// Twilio played what was before the mark `name`.
    pub fn played(&mut self, name: &str) {
        self.echoed |= self.mark.as_ref().is_some_and(|(mark, _)| mark == name);
    }

    /// What was being said was cut off: the mark was echoed for nothing.
    pub fn cut(&mut self) {
        self.mark = None;
        self.echoed = false;
    }

    /// `quiet`: nothing is said, made or owed. `generation`: of the sound, so that a mark of a sound that was dropped is told apart.
    pub fn poll(&mut self, now: Instant, quiet: bool, generation: u32) -> Option<Step> {
        let given_up = now >= self.by || self.mark.as_ref().is_some_and(|(_, by)| now >= *by);
        if self.echoed || given_up {
            return Some(Step::Done(self.goal.clone()));
        }
        if quiet && self.mark.is_none() {
            let name = format!("farewell{generation}");
            self.mark = Some((name.clone(), now + ECHO));
            return Some(Step::Mark(name));
        }
        None
    }

    /// When [`Self::poll`] wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.mark.as_ref().map_or(self.by, |(_, by)| self.by.min(*by))
    }
}
