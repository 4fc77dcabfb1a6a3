//! The model's side of the conversation: its events and its errors.

use std::time::Instant;

use super::floor::Voice;
use super::tools::Verdict;
use super::{Action, Session, Waiting};
use crate::call::{CallEnd, CallEvent, Clip, Latency, Progress, Speaker};
use crate::openai::wire::{ApiError, Aside, ClientEvent, ResponseStatus, ServerEvent};

/// Codes in `error` or a failed response after which no session is of any use.
const FATAL_CODES: [&str; 4] =
    ["insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"];
/// Codes of a response that failed because too much was asked for lately.
const RATE_CODES: [&str; 2] = ["inference_rate_limit_exceeded", "rate_limit_exceeded"];
/// Responses in a row that may fail for that before the call is given up: the pauses between them add up to 9 s.
const MAX_RATE_FAILURES: u32 = 5;
/// Errors about an event of ours that leave everything as it is.
const HARMLESS_CODES: [&str; 6] = [
    "response_cancel_not_active",
    "input_audio_buffer_commit_empty",
    "unsupported_content_type",
    "cannot_update_voice",
    "item_not_found",
    "item_retrieve_invalid_item_id",
];
/// Coughs remembered until their items are there to be deleted.
const MAX_COUGHS: usize = 8;

impl Session {
    pub(super) fn handle_model(&mut self, now: Instant, event: ServerEvent) {
        let at_ms = self.ms(now);
        match event {
            ServerEvent::SessionCreated { .. } => {
                self.ready = true;
                self.renewal.began(now);
                self.progress(now, Progress::ModelReady);
                self.actions.push_back(Action::Listen(true));
                if self.machine {
                    self.send(ClientEvent::StopListening);
                }
                self.greet(now);
            }
            ServerEvent::SpeechStarted { item_id, .. } => self.caller_began(now, item_id),
            ServerEvent::SpeechStopped { .. } => self.caller_ended(now),
            ServerEvent::ItemAdded { item_id, previous_item_id, role } => {
                self.item_added(at_ms, item_id, previous_item_id, &role)
            }
            ServerEvent::CallerTranscriptDelta { item_id, delta } => {
                self.said(&item_id, Speaker::Caller, &delta, at_ms)
            }
            ServerEvent::CallerTranscript { item_id, transcript } => {
                self.turn_ended = None;
                self.said_all(item_id, Speaker::Caller, transcript, at_ms);
            }
            ServerEvent::CallerTranscriptFailed { .. } => self.turn_ended = None,
            ServerEvent::ReplyTranscriptDelta { item_id, delta } => {
                self.spoke = true;
                self.hosted.told();
                self.said(&item_id, Speaker::Aria, &delta, at_ms)
            }
            ServerEvent::ReplyTranscript { item_id, transcript } => {
                self.said_all(item_id, Speaker::Aria, transcript, at_ms);
            }
            ServerEvent::ItemTruncated { item_id, audio_end_ms } => {
                self.transcript.interrupt(&item_id);
                if let Some(correction) = self.playout.believed(&item_id, audio_end_ms) {
                    self.send(correction);
                }
            }
            ServerEvent::ResponseCreated { response_id, aside } => {
                self.spoke = false;
                self.hosted.told();
                self.quiet.answered();
                if let Some(waiting) = &mut self.waiting {
                    waiting.latency.created_ms = since(waiting.stopped, now);
                }
                self.replies.created(response_id, aside, now);
                if self.adrift.is_some() && aside.is_none() {
                    // Nobody would hear it.
                    self.cut_short = true;
                    self.hush();
                } else if aside != Some(Aside::Summary) {
                    self.unmute();
                }
            }
            ServerEvent::ResponseDone { response_id, aside, status, text, usage } => {
                self.usage += usage;
                let turn = self.replies.done(&response_id);
                match aside {
                    Some(Aside::Summary) => self.renewal.summarised(text),
                    Some(_) => {}
                    None if turn => self.response_done(now, status),
                    None => {}
                }
            }
            ServerEvent::FunctionCall { call_id, name, arguments } => {
                self.function_call(now, call_id, name, arguments)
            }
            ServerEvent::HostedStarted => self.hosted.asked(),
            ServerEvent::HostedEnded => self.hosted.answered(now),
            ServerEvent::PlayoutStarted { .. } if self.adrift.is_some() => self.hush(),
            ServerEvent::PlayoutStarted { .. } => {
                self.spoke = true;
                self.unmute();
                self.floor.begins();
                self.tell(CallEvent::ReplyStarted { at_ms });
                if let Some(waiting) = &mut self.waiting {
                    waiting.latency.sounding_ms = since(waiting.stopped, now);
                }
            }
            ServerEvent::PlayoutStopped { .. } => {
                self.floor.sent(now);
                self.report_wait();
                self.tell(CallEvent::ReplyStopped { at_ms });
            }
            // Also without speech: a limit on the server.
            ServerEvent::PlayoutCleared { .. } => self.silence(now),
            ServerEvent::Error(error) => self.api_error(now, &error),
            ServerEvent::SessionUpdated | ServerEvent::Ignored | ServerEvent::Unknown { .. } => {}
        }
    }

    fn caller_began(&mut self, now: Instant, item_id: String) {
        let at_ms = self.ms(now);
        self.quiet.sign();
        self.quiet.answered();
        self.report_wait();
        let coming = self.replies.making().is_some() || self.clip.is_some();
        match self.floor.caller_began(now, coming) {
            Voice::Heard => {}
            Voice::Interrupts { cut_off } => self.interrupt(now, cut_off),
            Voice::Holds => self.actions.push_back(Action::Hold),
        }
        self.tell(CallEvent::SpeechStarted { at_ms });
        if !item_id.is_empty() {
            self.transcript.place(&item_id, Speaker::Caller, None, at_ms);
            self.turn = Some(item_id);
        }
    }

    fn caller_ended(&mut self, now: Instant) {
        let at_ms = self.ms(now);
        self.tell(CallEvent::SpeechStopped { at_ms });
        if self.floor.caller_ended(now) {
            self.actions.push_back(Action::Resume);
            if let Some(item) = self.turn.take().filter(|_| self.coughs.len() < MAX_COUGHS) {
                self.coughs.push(item);
            }
            return;
        }
        self.turn_ended = Some(now);
        if self.machine {
            return;
        }
        self.waiting = Some(Waiting { stopped: now, latency: Latency::default() });
        if self.floor.asks() {
            self.replies.want_turn(None);
        } else {
            self.quiet.turn_ended(now);
        }
    }

    fn item_added(&mut self, at_ms: u64, item_id: String, after: Option<String>, role: &str) {
        match role {
            "user" => {
                if let Some(place) = self.coughs.iter().position(|cough| *cough == item_id) {
                    self.coughs.swap_remove(place);
                    self.send(ClientEvent::Delete { item_id });
                    return;
                }
                self.transcript.place(&item_id, Speaker::Caller, after.as_deref(), at_ms);
            }
            "assistant" => {
                self.playout.item(&item_id);
                self.transcript.place(&item_id, Speaker::Aria, after.as_deref(), at_ms);
            }
            _ => {}
        }
    }

    /// It was no cough: she stops, and the server, which leaves that to us here, is told.
    pub(super) fn confirmed(&mut self, now: Instant) {
        self.hush();
        match self.floor.cut(now, true) {
            Some(cut_off) => self.interrupt(now, cut_off),
            None => self.actions.push_back(Action::Resume),
        }
    }

    /// Nothing of what is being said is to sound any more, if anything is.
    pub(super) fn silence(&mut self, now: Instant) {
        let coming = self.clip.is_some();
        if let Some(cut_off) = self.floor.cut(now, coming) {
            self.interrupt(now, cut_off);
        }
    }

    /// Everything of the reply that has not sounded yet is dropped, here and at Twilio.
    fn interrupt(&mut self, now: Instant, cut_off: bool) {
        self.clip = None;
        if cut_off {
            self.interruptions += 1;
            self.interrupted_at = Some(now);
            self.transcript.interrupt_last_reply();
        }
        if let Some(farewell) = &mut self.farewell {
            farewell.cut();
        }
        self.playout.cut(now);
        self.actions.push_back(Action::Interrupt { generation: self.floor.generation(), since: now });
    }

    fn unmute(&mut self) {
        if self.floor.open() {
            self.actions.push_back(Action::OpenDownlink);
        }
    }

    fn response_done(&mut self, now: Instant, status: ResponseStatus) {
        let completed = status == ResponseStatus::Completed;
        let code = match status {
            ResponseStatus::Failed(code) => code,
            // Cut by the caller or by a limit: his turn, or what there is, is the answer.
            ResponseStatus::Completed | ResponseStatus::Cancelled | ResponseStatus::Incomplete => {
                if self.hosted.take_untold() && completed {
                    self.replies.want_turn(None);
                }
                return self.replies.succeeded();
            }
        };
        if FATAL_CODES.contains(&code.as_str()) {
            return self.end(now, CallEnd::ModelRefused);
        }
        let failures = self.replies.failed(now);
        if RATE_CODES.contains(&code.as_str()) {
            match failures {
                1 => {}
                MAX_RATE_FAILURES.. => self.end(now, CallEnd::ModelLost),
                _ => self.ask_patience(now),
            }
        } else if failures > 1 {
            self.lose(now);
        }
    }

    /// The caller hears that it takes longer.
    pub(super) fn ask_patience(&mut self, now: Instant) {
        if self.media && self.clip.is_none() && !self.machine && !self.floor.is_sounding(now) {
            self.clip = Some(Clip::Wait);
            self.actions.push_back(Action::Play(Clip::Wait));
        }
    }

    fn function_call(&mut self, now: Instant, call_id: String, name: String, arguments: String) {
        let at_ms = self.ms(now);
        let filler = self.manner.filler(&name);
        let session = self.renewal.count();
        match self.tools.called(now, session, &call_id, &name, &arguments, filler) {
            Verdict::Repeated => {}
            Verdict::TooMany => {
                let output = r#"{"error":"too many tools at once"}"#.into();
                self.send(ClientEvent::FunctionOutput { call_id, output });
                self.replies.want_turn(None);
            }
            Verdict::Run => {
                let (id, tool, text) = (call_id.clone(), name.clone(), arguments.clone());
                self.tell(CallEvent::ToolStarted { call_id: id, name: tool, arguments: text, at_ms });
                self.actions.push_back(Action::RunTool { call_id, name, arguments });
            }
        }
    }

    fn api_error(&mut self, now: Instant, error: &ApiError) {
        let code = error.code.as_str();
        if code == "session_expired" {
            return self.lose(now);
        }
        if FATAL_CODES.contains(&code) {
            return self.end(now, CallEnd::ModelRefused);
        }
        if code == "conversation_already_has_active_response" {
            // The caller's turn was faster; ours waits until that is done.
            return self.replies.overtaken();
        }
        if HARMLESS_CODES.contains(&code) {
            return;
        }
        let Some(wanted) = self.replies.refused(error.number()) else { return };
        let transient = error.kind == "server_error" || RATE_CODES.contains(&code);
        match (wanted.aside, wanted.instructions) {
            (Some(_), _) => {}
            // What is wrong with it may be the wording.
            (None, Some(_)) if !transient => self.replies.want_turn(None),
            _ if self.replies.failed(now) > 1 => self.lose(now),
            _ => {}
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

    /// ARIA's voice goes out after a silence.
    pub(super) fn voice_out(&mut self, now: Instant) {
        if let Some(waiting) = &mut self.waiting
            && waiting.latency.created_ms > 0
        {
            waiting.latency.sent_ms = since(waiting.stopped, now);
            self.report_wait();
        }
    }

    /// Tells how long the caller waited, as far as it has come.
    pub(super) fn report_wait(&mut self) {
        if let Some(Waiting { stopped, latency }) = self.waiting.take()
            && latency.sounding_ms > 0
        {
            let at_ms = self.ms(stopped) + latency.sounding_ms;
            self.tell(CallEvent::Replied { at_ms, latency });
        }
    }
}

/// At least 1: zero says that it has not happened.
fn since(then: Instant, now: Instant) -> u64 {
    (now.saturating_duration_since(then).as_millis() as u64).max(1)
}
