//! The conversation as a pure state machine: events and the time go in, actions come out. It never touches a sample.
//!
//! Two clocks of a reply differ: *generating* lasts from `response.created` to `response.done`, *speaking* from
//! `output_audio_buffer.started` to `.stopped` or `.cleared`. Only the second is what the caller hears.
//!
//! ```text
//! replies   one response at a time            floor     who speaks, what an interruption drops
//! tools     pending calls, fillers            playout   what of a reply was heard
//! farewell  the end, once it has been heard   quiet     silence that lasts too long
//! keys      the telephone's keypad            renewal   the next session, and memory: what it is told
//! adrift    a stream that broke
//! ```
//! Every input first changes these parts; then `settle` looks at them together and does what is due.

mod adrift;
mod effects;
mod event;
mod farewell;
mod floor;
mod hosted;
mod keys;
mod line;
mod memory;
mod model;
mod playout;
mod quiet;
mod renewal;
mod replies;
mod takeover;
mod tools;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::manner::{Barge, Manner};
use super::transcript::Transcript;
use super::{CallEnd, CallEvent, Clip, Latency, Progress};
use crate::openai::wire::{Aside, ClientEvent, Usage};
use adrift::Adrift;
use farewell::{Farewell, Goal, Step};
use floor::Floor;
use hosted::Hosted;
use keys::Keys;
use playout::Playout;
use quiet::{Break, Quiet};
use renewal::Renewal;
use replies::Replies;
use tools::Tools;

pub use adrift::{REOPEN_GRACE, STREAM_GRACE};
pub use event::{Action, Effect, Input};
pub use playout::{ALLOWED, Unheard};
pub use quiet::{MUTE, OVERDUE};

/// The stream must start within this after the webhook: its token is void then.
pub const STREAM_START_TIMEOUT: Duration = Duration::from_secs(60);
/// The session must be there within this after the model answered: ICE, DTLS, SCTP and `session.created`.
pub const SESSION_READY_TIMEOUT: Duration = Duration::from_millis(4_500);
/// A caller who is being put through must be back within this, or gone: the ringing and Twilio's two webhooks.
pub const AWAY_TIMEOUT: Duration = Duration::from_secs(90);
/// The text of a turn may come so late: before that it is no pause for a session to end in.
const TEXT_WAIT: Duration = Duration::from_secs(2);

const NUDGE: &str =
    "The caller has said nothing for a while. Ask in one short sentence whether they are still there.";
const IDLE_GOODBYE: &str = "The caller does not answer any more. Say a short, friendly goodbye.";
const TIME_IS_UP: &str =
    "The longest time for a call is reached. Say in one sentence that the time is up, and say goodbye.";

/// The parts of a wait that is not over.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    stopped: Instant,
    latency: Latency,
}

/// One call's conversation.
#[derive(Debug)]
pub struct Session {
    began: Instant,
    /// The last time that everything due was done.
    settled: Instant,
    manner: Manner,
    actions: VecDeque<Action>,
    /// Events sent to the model.
    sent: u64,
    transcript: Transcript,
    replies: Replies,
    floor: Floor,
    playout: Playout,
    tools: Tools,
    hosted: Hosted,
    farewell: Option<Farewell>,
    quiet: Quiet,
    keys: Keys,
    renewal: Renewal,
    answered_at: Option<Instant>,
    ready: bool,
    media: bool,
    greeted: bool,
    /// What the caller heard of a recorded greeting, of which the model has not been told.
    untold: Option<String>,
    first_reply: bool,
    /// The recording that plays.
    clip: Option<Clip>,
    /// The caller is being put through since.
    away: Option<Instant>,
    /// His stream broke.
    adrift: Option<Adrift>,
    /// Why he is back.
    returned: Option<super::Dialed>,
    /// A machine listens. It is told the message once it records.
    machine: bool,
    /// The response being generated has words.
    spoke: bool,
    /// A reply of a session that was lost is owed to the caller.
    cut_short: bool,
    /// Items of the caller that were coughs, to be taken out of the conversation.
    coughs: Vec<String>,
    /// The item of the caller's present turn.
    turn: Option<String>,
    turn_ended: Option<Instant>,
    waiting: Option<Waiting>,
    interruptions: u64,
    interrupted_at: Option<Instant>,
    usage: Usage,
    ended: bool,
}

impl Session {
    /// A call whose webhook arrived at `began`.
    pub fn new(began: Instant, manner: Manner) -> Self {
        Self {
            began,
            settled: began,
            actions: VecDeque::new(),
            sent: 0,
            transcript: Transcript::default(),
            replies: Replies::default(),
            floor: Floor::new(manner.barge),
            playout: Playout::default(),
            tools: Tools::default(),
            hosted: Hosted::default(),
            farewell: None,
            quiet: Quiet::new(manner.idle),
            keys: Keys::default(),
            renewal: Renewal::new(manner.renew_after),
            answered_at: None,
            ready: false,
            media: false,
            greeted: false,
            untold: None,
            first_reply: false,
            clip: None,
            away: None,
            adrift: None,
            returned: None,
            machine: false,
            spoke: false,
            cut_short: false,
            coughs: Vec::new(),
            turn: None,
            turn_ended: None,
            waiting: None,
            interruptions: 0,
            interrupted_at: None,
            usage: Usage::default(),
            ended: false,
            manner,
        }
    }

    /// What was said.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// How often the caller cut ARIA off.
    pub fn interruptions(&self) -> u64 {
        self.interruptions
    }

    /// Tokens billed so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Sessions of the model so far.
    pub fn sessions(&self) -> u32 {
        self.renewal.count()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.ended {
            return;
        }
        match input {
            Input::ModelAnswered => {
                self.answered_at = Some(now);
                self.progress(now, Progress::ModelAnswered);
            }
            Input::ModelFailed(reason) => self.end(now, reason),
            Input::ModelLost if self.ready => self.lose(now),
            Input::ModelLost => self.end(now, CallEnd::ModelUnreachable),
            Input::Model(event) => self.handle_model(now, event),
            Input::NextFailed | Input::NextLost => self.next_failed(now),
            Input::Next(event) => self.handle_next(now, event),
            Input::Switched => self.switched(now),
            Input::FirstFrameOut => self.progress(now, Progress::FirstFrame),
            Input::MediaStarted => self.media_started(now),
            Input::Media(event) => self.handle_media(now, event),
            Input::Cleared { after, unheard } => self.cleared(after, unheard),
            Input::ToolDone { call_id, name, output, ok, took, effect } => {
                self.tool_done(now, &call_id, name, output, ok, took);
                if let Some(effect) = effect {
                    self.perform(now, effect);
                }
            }
            Input::Say(text) => {
                self.replies.want_aside(Aside::Say, exactly(&text));
            }
            Input::Transfer(onward) => self.leave_with(now, Goal::Onward(onward)),
            Input::Returned(dialed) => self.returned = Some(dialed),
            Input::Reopening => self.stream_lost(now, REOPEN_GRACE),
            Input::Machine { beep } => self.machine_answers(now, beep),
            Input::End(reason) => self.end(now, reason),
        }
        self.settle(now);
    }

    /// Lets the time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] wants to be called. `None` once the call is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let start = self.is_awaited().then(|| self.began + STREAM_START_TIMEOUT);
        let ready = self.answered_at.filter(|_| !self.ready).map(|at| at + SESSION_READY_TIMEOUT);
        let limit = self.farewell.is_none().then(|| self.began + self.manner.max_call);
        let mute = self.mute_since().map(|at| at + MUTE);
        let text = self.turn_ended.map(|at| at + TEXT_WAIT);
        [
            start,
            ready,
            limit,
            mute,
            text,
            self.away.map(|at| at + AWAY_TIMEOUT),
            self.adrift.map(|adrift| adrift.until),
            self.replies.poll_timeout(),
            self.floor.confirm_at(),
            self.floor.quiet_at(),
            self.playout.poll_timeout(),
            self.tools.filler_at(),
            self.farewell.as_ref().map(Farewell::poll_timeout),
            self.quiet.poll_timeout(),
            self.keys.poll_timeout(),
            self.renewal.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        // What was due at the last look and is still here waits for something else to happen.
        .filter(|due| *due > self.settled)
        .min()
    }

    /// Does what the parts together make due.
    fn settle(&mut self, now: Instant) {
        self.settled = now;
        self.limits(now);
        if self.ended {
            return;
        }
        self.floor.settle(now);
        if self.turn_ended.is_some_and(|at| now >= at + TEXT_WAIT) {
            self.turn_ended = None;
        }
        if let Some(correction) = self.playout.overdue(now) {
            self.send(correction);
        }
        if self.floor.confirms(now) {
            self.confirmed(now);
        }
        if let Some(typed) = self.keys.poll(now) {
            self.typed(typed);
        }
        if self.renewal.is_due(now) {
            self.actions.push_back(Action::Dial);
        }
        self.summarise(now);
        if self.talkable() {
            self.talk(now);
        }
        self.take_over(now);
        self.take_leave(now);
    }

    fn limits(&mut self, now: Instant) {
        if self.is_awaited() && now >= self.began + STREAM_START_TIMEOUT {
            self.end(now, CallEnd::StreamNeverStarted);
        } else if let Some(reason) = self.given_up(now) {
            self.end(now, reason);
        } else if !self.ready && self.answered_at.is_some_and(|at| now >= at + SESSION_READY_TIMEOUT) {
            self.end(now, CallEnd::ModelUnreachable);
        } else if self.away.is_some_and(|at| now >= at + AWAY_TIMEOUT) {
            self.end(now, CallEnd::Transferred);
        } else if self.farewell.is_none() && now >= self.began + self.manner.max_call {
            if self.talkable() {
                self.replies.want_turn(Some(TIME_IS_UP.into()));
            }
            self.farewell = Some(Farewell::new(Goal::End(CallEnd::TooLong), now));
        }
    }

    /// What is said when nobody asked.
    fn talk(&mut self, now: Instant) {
        if self.quiet.overdue(now) && !self.replies.busy() {
            self.replies.want_turn(None);
        }
        if self.mute_since().is_some_and(|at| now >= at + MUTE) {
            self.lose(now);
            return;
        }
        if !self.replies.busy()
            && !self.floor.is_sounding(now)
            && !self.floor.caller()
            && let Some(phrase) = self.tools.filler(now)
        {
            self.replies.want_aside(Aside::Filler, exactly(&phrase));
        }
        let going_on = self.going_on(now) || self.farewell.is_some();
        self.quiet.note(now, going_on);
        match self.quiet.poll(now) {
            Some(Break::Nudge) => self.replies.want_turn(Some(NUDGE.into())),
            Some(Break::GiveUp) => {
                self.replies.want_turn(Some(IDLE_GOODBYE.into()));
                self.leave_with(now, Goal::End(CallEnd::CallerSilent));
            }
            None => {}
        }
        self.replies.expire(now);
        let waits = self.tools.busy()
            || self.floor.caller()
            || self.quiet.awaits()
            || (self.floor.asks() && self.floor.is_sounding(now));
        if let Some(event) = self.replies.next(now, !waits && self.clip.is_none(), self.sent + 1) {
            self.send(event);
        }
    }

    /// Whether the first stream has not come.
    fn is_awaited(&self) -> bool {
        !self.media && self.away.is_none() && self.adrift.is_none()
    }

    /// Since when a response is being made of which nothing is heard.
    fn mute_since(&self) -> Option<Instant> {
        self.hosted.due_since(self.replies.making_since().filter(|_| !self.spoke)?)
    }

    /// Whether a session is there that may speak to the caller.
    fn talkable(&self) -> bool {
        self.ready && self.media && !self.renewal.is_lost() && self.away.is_none()
    }

    /// Whether anybody speaks, thinks or works.
    fn going_on(&self, now: Instant) -> bool {
        self.replies.busy()
            || self.replies.owed()
            || self.tools.busy()
            || self.clip.is_some()
            || self.floor.caller()
            || self.floor.is_sounding(now)
    }

    fn take_leave(&mut self, now: Instant) {
        let quiet = !self.going_on(now) && self.media;
        let generation = self.floor.generation();
        match self.farewell.as_mut().and_then(|farewell| farewell.poll(now, quiet, generation)) {
            Some(Step::Mark(name)) => self.actions.push_back(Action::Mark(name)),
            Some(Step::Done(Goal::End(reason))) => self.end(now, reason),
            Some(Step::Done(Goal::Onward(onward))) => {
                self.farewell = None;
                self.away = Some(now);
                self.media = false;
                self.actions.push_back(Action::Onward(onward));
            }
            None => {}
        }
    }

    /// Something is to happen once all that is being said has been heard. The first such wish counts.
    fn leave_with(&mut self, now: Instant, goal: Goal) {
        if self.away.is_none() {
            self.farewell.get_or_insert_with(|| Farewell::new(goal, now));
        }
    }

    fn send(&mut self, event: ClientEvent) {
        self.sent += 1;
        self.actions.push_back(Action::Send(event));
    }

    fn progress(&mut self, now: Instant, step: Progress) {
        let at_ms = self.ms(now);
        self.tell(CallEvent::Progress { step, at_ms });
    }

    fn tell(&mut self, event: CallEvent) {
        self.actions.push_back(Action::Tell(event));
    }

    fn end(&mut self, now: Instant, reason: CallEnd) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.report_wait();
        let at_ms = self.ms(now);
        self.tell(CallEvent::Ended { reason, at_ms });
        self.actions.push_back(Action::End(reason));
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }
}

/// Instructions for words that are not the model's own.
fn exactly(text: &str) -> String {
    format!("Say exactly the following to the caller, in a natural voice, and nothing else: {text}")
}

#[cfg(test)]
mod tests;
