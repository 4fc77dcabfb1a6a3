//! Conversations as lists of what happens and what is to be done about it.

mod adrift;
mod errors;
mod interruptions;
mod line;
mod renewal;
mod replies;

use super::*;
use crate::call::{CallEnd, MediaEvent};
use crate::openai::wire::{ApiError, ResponseStatus, ServerEvent};

pub(super) struct Play {
    session: Session,
    began: Instant,
}

impl Play {
    pub fn new() -> Self {
        Self::with(Manner::default())
    }

    /// A call that is greeted and held as `manner` says; nobody minds silence unless it does.
    pub fn with(manner: Manner) -> Self {
        let began = Instant::now();
        let manner = Manner { greeting: manner.greeting.or(Some("Greet.".into())), ..manner };
        Self { session: Session::new(began, manner), began }
    }

    pub fn time(&self, ms: u64) -> Instant {
        self.began + Duration::from_millis(ms)
    }

    /// Gives one event at `ms` and returns what is to be done, without what is only told.
    pub fn at(&mut self, ms: u64, input: Input) -> Vec<Action> {
        self.session.handle(self.time(ms), input);
        self.actions()
    }

    pub fn model(&mut self, ms: u64, event: ServerEvent) -> Vec<Action> {
        self.at(ms, Input::Model(event))
    }

    /// Lets the time pass to `ms`, waking whenever the session wants it.
    pub fn until(&mut self, ms: u64) -> Vec<Action> {
        let (end, mut done) = (self.time(ms), Vec::new());
        for _ in 0..10_000 {
            match self.session.poll_timeout() {
                Some(due) if due <= end => self.session.handle_timeout(due),
                _ => return done,
            }
            done.extend(self.actions());
        }
        panic!("it does not come to rest: {:?}", self.session);
    }

    pub fn actions(&mut self) -> Vec<Action> {
        let told = |a: &Action| matches!(a, Action::Tell(_) | Action::Listen(_));
        std::iter::from_fn(|| self.session.poll_action()).filter(|a| !told(a)).collect()
    }

    pub fn told(&mut self, ms: u64, input: Input) -> Vec<CallEvent> {
        self.session.handle(self.time(ms), input);
        let actions = std::iter::from_fn(|| self.session.poll_action());
        actions.filter_map(|a| if let Action::Tell(event) = a { Some(event) } else { None }).collect()
    }

    pub fn ready(mut self) -> Self {
        self.at(1, Input::ModelAnswered);
        self.model(2, session_created());
        self.at(3, Input::MediaStarted);
        self
    }

    pub fn speaking(mut self) -> Self {
        self = self.ready();
        self.model(10, created("r1"));
        self.model(15, item("i1", "assistant"));
        self.model(20, started("r1"));
        self
    }

    /// The greeting was heard; nobody speaks.
    pub fn greeted(mut self) -> Self {
        self = self.speaking();
        self.model(30, done("r1", ResponseStatus::Completed));
        self.model(1_000, stopped("r1"));
        self.until(2_000);
        self
    }
}

pub(super) fn session_created() -> ServerEvent {
    ServerEvent::SessionCreated { session_id: "s".into(), expires_at: 0 }
}

pub(super) fn created(id: &str) -> ServerEvent {
    ServerEvent::ResponseCreated { response_id: id.into(), aside: None }
}

pub(super) fn started(id: &str) -> ServerEvent {
    ServerEvent::PlayoutStarted { response_id: id.into() }
}

pub(super) fn stopped(id: &str) -> ServerEvent {
    ServerEvent::PlayoutStopped { response_id: id.into() }
}

pub(super) fn item(id: &str, role: &str) -> ServerEvent {
    ServerEvent::ItemAdded { item_id: id.into(), previous_item_id: None, role: role.into() }
}

pub(super) fn done(id: &str, status: ResponseStatus) -> ServerEvent {
    ServerEvent::ResponseDone {
        response_id: id.into(),
        aside: None,
        status,
        text: String::new(),
        usage: Usage { total_tokens: 10, ..Usage::default() },
    }
}

pub(super) fn failed(id: &str, code: &str) -> ServerEvent {
    done(id, ResponseStatus::Failed(code.into()))
}

pub(super) fn speech() -> ServerEvent {
    ServerEvent::SpeechStarted { item_id: "u".into(), audio_start_ms: 0 }
}

pub(super) fn speech_ends() -> ServerEvent {
    ServerEvent::SpeechStopped { item_id: "u".into() }
}

/// "One moment, please." was played to its end.
pub(super) fn clip_ended() -> Input {
    let whole = Duration::from_secs(1);
    Input::Media(MediaEvent::ClipEnded { clip: Some(Clip::Wait), heard: whole, whole })
}

pub(super) fn tool(id: &str) -> ServerEvent {
    ServerEvent::FunctionCall { call_id: id.into(), name: "lookup".into(), arguments: "{}".into() }
}

pub(super) fn tool_done(id: &str, effect: Option<Effect>) -> Input {
    Input::ToolDone {
        call_id: id.into(),
        name: "lookup".into(),
        output: "{}".into(),
        ok: true,
        took: Duration::from_millis(5),
        effect,
    }
}

pub(super) fn output(id: &str) -> Action {
    Action::Send(ClientEvent::FunctionOutput { call_id: id.into(), output: "{}".into() })
}

pub(super) const CREATE: Action = Action::Send(ClientEvent::ResponseCreate { instructions: None });

pub(super) fn create(instructions: &str) -> Action {
    Action::Send(ClientEvent::ResponseCreate { instructions: Some(instructions.into()) })
}

pub(super) fn hung_up(reason: CallEnd) -> Vec<Action> {
    vec![Action::End(reason)]
}
