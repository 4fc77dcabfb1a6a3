//! The conversation as a pure state machine: events and the time go in, actions come out. It never touches a sample.
//!
//! Two clocks of a reply differ: *generating* lasts from `response.created` to `response.done`, *speaking* from
//! `output_audio_buffer.started` to `.stopped` or `.cleared`. Only the second is what the caller hears.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::transcript::Transcript;
use super::{CallEnd, CallEvent, MediaClosed, MediaEvent, Progress, Speaker};
use crate::openai::wire::{ApiError, ClientEvent, ResponseStatus, ServerEvent, Usage};

/// The stream must start within this after the webhook: its token is void then.
pub const STREAM_START_TIMEOUT: Duration = Duration::from_secs(60);
/// The session must be there within this after the model answered: ICE, DTLS, SCTP and `session.created`.
pub const SESSION_READY_TIMEOUT: Duration = Duration::from_millis(4_500);
/// How long a reply may still sound at Twilio after the server has sent it all: our rings, the network and Twilio's queue.
const DRAIN: Duration = Duration::from_millis(500);
/// Codes in `error` or a failed response after which the session is of no use.
const FATAL_CODES: [&str; 5] = [
    "session_expired",
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "billing_hard_limit_reached",
];
/// Tool calls waiting at once; the model is told that further ones failed.
const MAX_PENDING_TOOLS: usize = 16;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The model answered the offer.
    ModelAnswered,
    /// There will be no session: why.
    ModelFailed(CallEnd),
    /// The model's connection is gone.
    ModelLost,
    /// An event of the model.
    Model(ServerEvent),
    /// The first sound of the caller went to the model.
    FirstFrameOut,
    /// Twilio's stream started.
    MediaStarted,
    /// An event of Twilio's stream.
    Media(MediaEvent),
    /// A tool answered or failed; `output` is for the model either way.
    ToolDone {
        /// The function call it answers.
        call_id: String,
        /// The tool.
        name: String,
        /// For the model.
        output: String,
        /// Whether it is a result rather than an error.
        ok: bool,
        /// How long it took.
        took: Duration,
    },
    /// Somebody ends the call.
    End(CallEnd),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send an event to the model.
    Send(ClientEvent),
    /// The caller interrupts: flush the downlink and clear Twilio's queue; what is older than `generation` must not sound any more.
    Interrupt {
        /// Of the frames that may sound.
        generation: u32,
        /// When the reason arrived.
        since: Instant,
    },
    /// The next reply may sound.
    OpenDownlink,
    /// Run a tool. The arguments are as the model wrote them.
    RunTool {
        /// The function call to answer.
        call_id: String,
        /// The tool.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// Tell the observers.
    Tell(CallEvent),
    /// The call is over; always the last action.
    End(CallEnd),
}

#[derive(Debug, Clone, Copy)]
enum Speaking {
    On,
    Until(Instant),
}

/// One call's conversation.
#[derive(Debug)]
pub struct Session {
    began: Instant,
    max_call: Duration,
    /// How to ask for the first response; `None` once one was made.
    greeting: Option<String>,
    actions: VecDeque<Action>,
    transcript: Transcript,
    answered_at: Option<Instant>,
    ready: bool,
    media: bool,
    first_reply: bool,
    greeted: bool,
    /// A `response.create` of ours that the server has not confirmed.
    create_pending: bool,
    /// The response being generated.
    generating: Option<String>,
    /// A response is owed: tool outputs are in, or one has failed.
    response_owed: bool,
    retried: bool,
    /// Something of a reply may still sound; until when is known once the server has sent it all.
    speaking: Option<Speaking>,
    muted: bool,
    caller_speaking: bool,
    pending_tools: Vec<String>,
    generation: u32,
    interruptions: u64,
    interrupted_at: Option<Instant>,
    usage: Usage,
    ended: bool,
}

impl Session {
    /// A call whose webhook arrived at `began`.
    pub fn new(began: Instant, greeting: Option<String>, max_call: Duration) -> Self {
        Self {
            began,
            max_call,
            greeting,
            actions: VecDeque::new(),
            transcript: Transcript::default(),
            answered_at: None,
            ready: false,
            media: false,
            first_reply: false,
            greeted: false,
            create_pending: false,
            generating: None,
            response_owed: false,
            retried: false,
            speaking: None,
            muted: false,
            caller_speaking: false,
            pending_tools: Vec::new(),
            generation: 0,
            interruptions: 0,
            interrupted_at: None,
            usage: Usage::default(),
            ended: false,
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

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called. `None` once the call is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let mut next = self.began + self.max_call;
        if !self.media {
            next = next.min(self.began + STREAM_START_TIMEOUT);
        }
        if let (false, Some(at)) = (self.ready, self.answered_at) {
            next = next.min(at + SESSION_READY_TIMEOUT);
        }
        Some(next)
    }

    /// Lets the time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.media && now >= self.began + STREAM_START_TIMEOUT {
            self.end(now, CallEnd::StreamNeverStarted);
        } else if !self.ready && self.answered_at.is_some_and(|at| now >= at + SESSION_READY_TIMEOUT) {
            self.end(now, CallEnd::ModelUnreachable);
        } else if now >= self.began + self.max_call {
            self.end(now, CallEnd::TooLong);
        }
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
            Input::ModelLost => {
                self.end(now, if self.ready { CallEnd::ModelLost } else { CallEnd::ModelUnreachable })
            }
            Input::Model(event) => self.handle_model(now, event),
            Input::FirstFrameOut => self.progress(now, Progress::FirstFrame),
            Input::MediaStarted => {
                self.media = true;
                self.progress(now, Progress::MediaStarted);
                self.greet();
            }
            Input::Media(event) => self.handle_media(now, event),
            Input::ToolDone { call_id, name, output, ok, took } => {
                self.pending_tools.retain(|id| *id != call_id);
                self.tell(CallEvent::ToolEnded {
                    call_id: call_id.clone(),
                    name,
                    ok,
                    output: output.clone(),
                    took_ms: took.as_millis() as u64,
                });
                self.actions.push_back(Action::Send(ClientEvent::FunctionOutput { call_id, output }));
                self.response_owed = true;
                self.respond();
            }
            Input::End(reason) => self.end(now, reason),
        }
    }

    fn handle_media(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Stop => self.end(now, CallEnd::CallerHungUp),
            MediaEvent::Closed { why } => self.end(
                now,
                match why {
                    MediaClosed::Orderly => CallEnd::CallerHungUp,
                    MediaClosed::Lost => CallEnd::StreamLost,
                    MediaClosed::Refused => CallEnd::StreamRefused,
                },
            ),
            MediaEvent::FirstFrameOut => {
                if !std::mem::replace(&mut self.first_reply, true) {
                    self.progress(now, Progress::FirstReply);
                }
            }
            MediaEvent::Cleared { after, .. } => {
                if let Some(at) = self.interrupted_at.take() {
                    let at_ms = self.ms(at);
                    self.tell(CallEvent::Interrupted { at_ms, clear_us: after.as_micros() as u64 });
                }
            }
            MediaEvent::Dtmf { .. } => self.tell(CallEvent::Dtmf),
            MediaEvent::Mark { .. } | MediaEvent::Stalled | MediaEvent::Rtt(_) => {}
        }
    }

    fn handle_model(&mut self, now: Instant, event: ServerEvent) {
        let at_ms = self.ms(now);
        match event {
            ServerEvent::SessionCreated { .. } => {
                self.ready = true;
                self.progress(now, Progress::ModelReady);
                self.greet();
            }
            ServerEvent::SpeechStarted { item_id, .. } => {
                self.caller_speaking = true;
                self.interrupt(now);
                self.tell(CallEvent::SpeechStarted { at_ms });
                if !item_id.is_empty() {
                    self.transcript.place(&item_id, Speaker::Caller, None, at_ms);
                }
            }
            ServerEvent::SpeechStopped { .. } => {
                self.caller_speaking = false;
                self.tell(CallEvent::SpeechStopped { at_ms });
            }
            ServerEvent::ItemAdded { item_id, previous_item_id, role } => match role.as_str() {
                "user" => {
                    self.transcript.place(&item_id, Speaker::Caller, previous_item_id.as_deref(), at_ms)
                }
                "assistant" => {
                    self.transcript.place(&item_id, Speaker::Aria, previous_item_id.as_deref(), at_ms)
                }
                _ => {}
            },
            ServerEvent::CallerTranscriptDelta { item_id, delta } => {
                self.said(&item_id, Speaker::Caller, &delta, at_ms)
            }
            ServerEvent::CallerTranscript { item_id, transcript } => {
                self.said_all(item_id, Speaker::Caller, transcript, at_ms);
            }
            ServerEvent::ReplyTranscriptDelta { item_id, delta } => {
                self.said(&item_id, Speaker::Aria, &delta, at_ms)
            }
            ServerEvent::ReplyTranscript { item_id, transcript } => {
                self.said_all(item_id, Speaker::Aria, transcript, at_ms);
            }
            ServerEvent::ItemTruncated { item_id, .. } => self.transcript.interrupt(&item_id),
            ServerEvent::ResponseCreated { response_id, .. } => {
                self.create_pending = false;
                // Made by the server at the end of the caller's turn, it sees the tool outputs as well.
                self.response_owed = false;
                self.generating = Some(response_id);
                self.unmute();
            }
            ServerEvent::ResponseDone { status, usage, .. } => {
                self.usage += usage;
                self.response_done(now, status)
            }
            ServerEvent::FunctionCall { call_id, name, arguments } => {
                self.function_call(at_ms, call_id, name, arguments)
            }
            ServerEvent::PlayoutStarted { .. } => {
                self.unmute();
                self.speaking = Some(Speaking::On);
                self.tell(CallEvent::ReplyStarted { at_ms });
            }
            ServerEvent::PlayoutStopped { .. } => {
                if self.speaking.is_some() {
                    self.speaking = Some(Speaking::Until(now + DRAIN));
                }
                self.tell(CallEvent::ReplyStopped { at_ms });
            }
            ServerEvent::PlayoutCleared { .. } => {
                // Also without speech: an operator or a limit on the server.
                self.interrupt(now);
            }
            ServerEvent::Error(error) => self.api_error(now, &error),
            ServerEvent::SessionUpdated
            | ServerEvent::CallerTranscriptFailed { .. }
            | ServerEvent::Ignored
            | ServerEvent::Unknown { .. } => {}
        }
    }

    /// Everything of the reply that has not sounded yet is dropped, here and at Twilio.
    fn interrupt(&mut self, now: Instant) {
        let cut_off = match self.speaking.take() {
            None => return,
            Some(Speaking::Until(over)) if now >= over => return,
            // The server has said it all and believes it heard: what is dropped is a rest, if anything.
            Some(Speaking::Until(_)) => false,
            Some(Speaking::On) => true,
        };
        self.muted = true;
        self.generation += 1;
        if cut_off {
            self.interruptions += 1;
            self.interrupted_at = Some(now);
            self.transcript.interrupt_last_reply();
        }
        self.actions.push_back(Action::Interrupt { generation: self.generation, since: now });
    }

    fn unmute(&mut self) {
        if std::mem::take(&mut self.muted) {
            self.actions.push_back(Action::OpenDownlink);
        }
    }

    fn greet(&mut self) {
        if !self.ready || !self.media || self.greeted {
            return;
        }
        self.greeted = true;
        if let Some(instructions) = self.greeting.clone() {
            self.create_pending = true;
            self.actions
                .push_back(Action::Send(ClientEvent::ResponseCreate { instructions: Some(instructions) }));
        }
    }

    /// One response at a time, after all tool outputs, and none while the caller's own turn will make one.
    fn respond(&mut self) {
        let busy = self.create_pending || self.generating.is_some() || !self.pending_tools.is_empty();
        if !self.response_owed || busy || self.caller_speaking {
            return;
        }
        self.response_owed = false;
        self.create_pending = true;
        let instructions = self.greeting.clone();
        self.actions.push_back(Action::Send(ClientEvent::ResponseCreate { instructions }));
    }

    fn response_done(&mut self, now: Instant, status: ResponseStatus) {
        self.generating = None;
        if !matches!(status, ResponseStatus::Failed(_)) {
            self.greeting = None;
        }
        match status {
            ResponseStatus::Failed(code) if FATAL_CODES.contains(&code.as_str()) => {
                return self.end(now, CallEnd::ModelRefused);
            }
            ResponseStatus::Failed(_) if self.retried => return self.end(now, CallEnd::ModelLost),
            ResponseStatus::Failed(_) => {
                self.retried = true;
                self.response_owed = true;
            }
            ResponseStatus::Completed => self.retried = false,
            ResponseStatus::Cancelled | ResponseStatus::Incomplete => {}
        }
        self.respond();
    }

    fn function_call(&mut self, at_ms: u64, call_id: String, name: String, arguments: String) {
        if self.pending_tools.contains(&call_id) {
            return;
        }
        if self.pending_tools.len() >= MAX_PENDING_TOOLS {
            let output = r#"{"error":"too many tools at once"}"#.into();
            self.actions.push_back(Action::Send(ClientEvent::FunctionOutput { call_id, output }));
            self.response_owed = true;
            return;
        }
        self.pending_tools.push(call_id.clone());
        self.tell(CallEvent::ToolStarted {
            call_id: call_id.clone(),
            name: name.clone(),
            arguments: arguments.clone(),
            at_ms,
        });
        self.actions.push_back(Action::RunTool { call_id, name, arguments });
    }

    fn api_error(&mut self, now: Instant, error: &ApiError) {
        match error.code.as_str() {
            "session_expired" => self.end(now, CallEnd::ModelLost),
            code if FATAL_CODES.contains(&code) => self.end(now, CallEnd::ModelRefused),
            "conversation_already_has_active_response" => {
                // The caller's turn was faster; `response.done` will bring ours back if it is still owed.
                self.create_pending = false;
            }
            // The rest is about one event of ours and leaves the session as it is.
            _ => self.create_pending = false,
        }
    }

    fn said(&mut self, item_id: &str, speaker: Speaker, delta: &str, at_ms: u64) {
        let text = self.transcript.append(item_id, speaker, delta, at_ms).to_owned();
        self.tell(CallEvent::Transcript { item_id: item_id.into(), speaker, text, done: false });
    }

    fn said_all(&mut self, item_id: String, speaker: Speaker, text: String, at_ms: u64) {
        self.transcript.finish(&item_id, speaker, &text, at_ms);
        self.tell(CallEvent::Transcript { item_id, speaker, text, done: true });
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
        let at_ms = self.ms(now);
        self.tell(CallEvent::Ended { reason, at_ms });
        self.actions.push_back(Action::End(reason));
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests;
