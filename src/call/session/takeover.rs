//! One session ends and another takes over.

use std::time::Instant;

use super::{Action, Hosted, Session, memory};
use crate::call::{CallEnd, CallEvent, Clip};
use crate::openai::wire::{Aside, ServerEvent};

const SUMMARISE: &str = "Summarise the conversation so far for a colleague who takes it over now: who the caller is, what they want, \
     what was agreed, what is still open, names, numbers and dates exactly. At most 200 words. Write in the language of the \
     conversation.";
pub(super) const GO_ON: &str = "The line was interrupted for a moment. Apologise in a few words and go on exactly where the conversation was.";

impl Session {
    /// The session is gone: another one is asked for, and the caller hears that it takes a moment if he waits for a reply.
    pub(super) fn lose(&mut self, now: Instant) {
        let Some(ask) = self.renewal.lose(now) else { return self.end(now, CallEnd::ModelLost) };
        let mid = self.floor.broke_off(now);
        let owed = self.replies.reset();
        self.hosted = Hosted::default();
        self.quiet.answered();
        self.waiting = None;
        self.turn_ended = None;
        self.cut_short |= mid || owed || self.turn_unanswered();
        self.actions.push_back(Action::Listen(false));
        if ask {
            self.actions.push_back(Action::Dial);
        }
        if self.cut_short && self.away.is_none() && self.clip.is_none() && self.media {
            self.clip = Some(Clip::Wait);
            self.actions.push_back(Action::Play(Clip::Wait));
        }
    }

    /// The last turn of the transcript is the caller's.
    fn turn_unanswered(&self) -> bool {
        let turns = self.transcript.turns();
        turns.last().is_some_and(|turn| turn.speaker == crate::call::Speaker::Caller)
    }

    pub(super) fn next_failed(&mut self, now: Instant) {
        match self.renewal.failed(now) {
            Some(true) => self.actions.push_back(Action::Dial),
            Some(false) => {}
            None => self.end(now, CallEnd::ModelLost),
        }
    }

    /// Of the next session only its beginning is of interest until it takes over.
    pub(super) fn handle_next(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::SessionCreated { .. } => self.renewal.ready(now),
            ServerEvent::Error(_) => self.next_failed(now),
            _ => {}
        }
    }

    /// Has the old session write down for the next one what will not be told word by word.
    pub(super) fn summarise(&mut self, now: Instant) {
        if self.renewal.wants_summary(now, memory::is_long(&self.transcript)) {
            self.replies.want_aside(Aside::Summary, SUMMARISE.into());
        }
    }

    /// Lets the next session take over if it is time.
    pub(super) fn take_over(&mut self, now: Instant) {
        let pause = !self.going_on(now) && self.farewell.is_none() && self.turn_ended.is_none();
        if self.away.is_some() || !self.renewal.takes_over(now, pause) {
            return;
        }
        let summary = self.renewal.take_summary();
        let items = memory::items(&self.transcript, self.tools.finished(), summary.as_deref());
        self.sent += items.len() as u64;
        // A pause long enough for the caller not to notice is no pause of the old session's reply.
        self.cut_short |= self.replies.reset();
        let generation = self.floor.renew();
        self.actions.push_back(Action::Switch { generation, items });
    }

    pub(super) fn switched(&mut self, now: Instant) {
        let (at_ms, gap_ms) = (self.ms(now), self.renewal.gap(now).as_millis() as u64);
        let planned = self.renewal.took_over(now);
        self.tell(CallEvent::Renewed { at_ms, planned, gap_ms });
        self.actions.push_back(Action::Listen(true));
        if std::mem::take(&mut self.cut_short) {
            self.replies.want_turn(Some(GO_ON.into()));
        }
    }
}
