//! From one session of the model to the next. Pure.
//!
//! Planned, when the session is nearly as old as it may become: the next one is made ready beside it and takes over in a pause. Unplanned,
//! when it is lost: the next one takes over as soon as it is there.

use std::time::{Duration, Instant};

/// Sessions that may be lost one after the other before the call is given up.
const MAX_LOSSES: u32 = 3;
/// A session that has lasted so long was a good one: losses before it count no more.
const GOOD_AFTER: Duration = Duration::from_secs(60);
/// How long a lost session may be missed before the call is given up.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a summary may be waited for.
const SUMMARY_WAIT: Duration = Duration::from_secs(6);
/// After so long without a pause the next session takes over in the middle of whatever goes on: the old one ends after an hour.
const PAUSE_WAIT: Duration = Duration::from_secs(240);
/// Before a planned session that could not be had is asked for again.
const TRY_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The session does what it should.
    Steady,
    /// Another one is asked for.
    Asked,
    /// It is there.
    Ready { since: Instant },
    /// It is taking over.
    Switching,
}

/// The sessions of one call.
#[derive(Debug)]
pub(super) struct Renewal {
    after: Duration,
    stage: Stage,
    /// When the present one was created.
    began: Option<Instant>,
    /// When it was lost.
    lost: Option<Instant>,
    losses: u32,
    summary: Summary,
    not_before: Option<Instant>,
    /// How many there were.
    count: u32,
}

#[derive(Debug)]
enum Summary {
    None,
    Asked(Instant),
    Given(String),
}

impl Renewal {
    pub fn new(after: Duration) -> Self {
        let summary = Summary::None;
        Self {
            after,
            stage: Stage::Steady,
            began: None,
            lost: None,
            losses: 0,
            summary,
            not_before: None,
            count: 1,
        }
    }

    /// The first session is there.
    pub fn began(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Which session it is, counted from 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the session is gone and no other has taken over.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// How long nobody has listened.
    pub fn gap(&self, now: Instant) -> Duration {
        self.lost.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// The session is gone. Whether another is to be asked for; `None`: too many were lost.
    pub fn lose(&mut self, now: Instant) -> Option<bool> {
        if self.began.is_some_and(|at| now.saturating_duration_since(at) >= GOOD_AFTER) {
            self.losses = 0;
        }
        self.losses += 1;
        if self.losses > MAX_LOSSES {
            return None;
        }
        self.lost.get_or_insert(now);
        Some(self.ask())
    }

    fn ask(&mut self) -> bool {
        let ask = self.stage == Stage::Steady;
        if ask {
            self.stage = Stage::Asked;
        }
        ask
    }

    /// The session is old: whether the next one is to be asked for.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.lost.is_none()
            && self.stage == Stage::Steady
            && self.due_at().is_some_and(|at| now >= at)
            && self.ask()
    }

    fn due_at(&self) -> Option<Instant> {
        if self.stage != Stage::Steady {
            return None;
        }
        let due = self.began? + self.after;
        Some(self.not_before.map_or(due, |at| due.max(at)))
    }

    /// The next session is there.
    pub fn ready(&mut self, now: Instant) {
        if self.stage == Stage::Asked {
            self.stage = Stage::Ready { since: now };
        }
    }

    /// The next session could not be had, or is gone before it took over. Whether to ask again; `None`: the call is to be given up.
    pub fn failed(&mut self, now: Instant) -> Option<bool> {
        self.stage = Stage::Steady;
        match self.lost {
            Some(at) if now.saturating_duration_since(at) >= PATIENCE => None,
            Some(_) => Some(self.ask()),
            None => {
                self.not_before = Some(now + TRY_AGAIN);
                Some(false)
            }
        }
    }

    /// Whether a summary is to be asked of the old session.
    pub fn wants_summary(&mut self, now: Instant, long: bool) -> bool {
        let wants = long
            && self.lost.is_none()
            && matches!(self.stage, Stage::Ready { .. })
            && matches!(self.summary, Summary::None);
        if wants {
            self.summary = Summary::Asked(now);
        }
        wants
    }

    /// The summary.
    pub fn summarised(&mut self, text: String) {
        self.summary = Summary::Given(text);
    }

    /// Whether the next session is to take over now. `pause`: nothing goes on.
    pub fn takes_over(&mut self, now: Instant, pause: bool) -> bool {
        let Stage::Ready { since } = self.stage else { return false };
        let writing = matches!(self.summary, Summary::Asked(at) if now < at + SUMMARY_WAIT);
        let now_or_never = now >= since + PAUSE_WAIT;
        let takes_over = self.lost.is_some() || now_or_never || (pause && !writing);
        if takes_over {
            self.stage = Stage::Switching;
        }
        takes_over
    }

    /// What the old session wrote for the new one.
    pub fn take_summary(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.summary, Summary::None) {
            Summary::Given(text) => Some(text),
            _ => None,
        }
    }

    /// It has taken over. Whether that was planned.
    pub fn took_over(&mut self, now: Instant) -> bool {
        self.stage = Stage::Steady;
        self.began = Some(now);
        self.not_before = None;
        self.count += 1;
        self.lost.take().is_none()
    }

    /// When there may be something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let summary = match self.summary {
            Summary::Asked(at) => Some(at + SUMMARY_WAIT),
            _ => None,
        };
        let never = match self.stage {
            Stage::Ready { since } => Some(since + PAUSE_WAIT),
            _ => None,
        };
        self.due_at().filter(|_| self.lost.is_none()).into_iter().chain(summary).chain(never).min()
    }
}
