//! Twilio's side of the conversation: the stream, the keys, the recordings, the machine that answered.

use std::time::{Duration, Instant};

use super::farewell::Goal;
use super::playout::Unheard;
use super::{Action, Farewell, Session, keys};
use crate::call::manner::Key;
use crate::call::{CallEnd, CallEvent, Clip, MediaClosed, MediaEvent, Progress};
use crate::openai::wire::ClientEvent;

impl Session {
    pub(super) fn media_started(&mut self, now: Instant) {
        self.media = true;
        self.progress(now, Progress::MediaStarted);
        if self.away.take().is_some() {
            let why = self.returned.take().map_or("it did not work", |dialed| dialed.words());
            let text = format!("Putting the caller through failed: {why}. The caller is with you again.");
            self.send(ClientEvent::SystemText { text });
            self.replies.want_turn(None);
        }
        if !self.greeted && self.manner.recorded_greeting.is_some() && !self.machine {
            self.greeted = true;
            self.untold = true;
            self.clip = Some(Clip::Greeting);
            self.actions.push_back(Action::Play(Clip::Greeting));
        }
        self.greet();
    }

    /// Asks for the first response, or tells the model that a recording has been its greeting.
    pub(super) fn greet(&mut self) {
        if !self.ready || !self.media {
            return;
        }
        if std::mem::take(&mut self.untold)
            && let Some(text) = self.manner.recorded_greeting.clone()
        {
            self.send(ClientEvent::AssistantText { text });
        }
        if std::mem::replace(&mut self.greeted, true) || self.machine {
            return;
        }
        if let Some(instructions) = self.manner.greeting.clone() {
            self.replies.want_turn(Some(instructions));
        }
    }

    pub(super) fn handle_media(&mut self, now: Instant, event: MediaEvent) {
        match event {
            // We let the stream go to put the caller through; it is about the next one that we shall hear.
            MediaEvent::Stop | MediaEvent::Closed { .. } if self.away.is_some() => {}
            MediaEvent::Stop => self.end(now, CallEnd::CallerHungUp),
            MediaEvent::Closed { why } => self.end(
                now,
                match why {
                    MediaClosed::Orderly => CallEnd::CallerHungUp,
                    MediaClosed::Lost => CallEnd::StreamLost,
                    MediaClosed::Refused => CallEnd::StreamRefused,
                },
            ),
            MediaEvent::VoiceOut => {
                if !std::mem::replace(&mut self.first_reply, true) {
                    self.progress(now, Progress::FirstReply);
                }
                self.voice_out(now);
            }
            MediaEvent::Dtmf { digit } => self.key(now, digit),
            MediaEvent::Mark { name } => {
                if let Some(farewell) = &mut self.farewell {
                    farewell.played(&name);
                }
            }
            MediaEvent::ClipEnded => self.clip = None,
            MediaEvent::Cleared { .. } | MediaEvent::Stalled | MediaEvent::Rtt(_) => {}
        }
    }

    pub(super) fn cleared(&mut self, after: Duration, unheard: Option<Unheard>) {
        if let Some(correction) = unheard.and_then(|unheard| self.playout.cleared(unheard)) {
            self.send(correction);
        }
        if let Some(at) = self.interrupted_at.take() {
            let at_ms = self.ms(at);
            let heard_ms = unheard.and_then(|unheard| unheard.heard).map(|heard| heard.as_millis() as u64);
            self.tell(CallEvent::Interrupted { at_ms, clear_us: after.as_micros() as u64, heard_ms });
        }
    }

    fn key(&mut self, now: Instant, digit: char) {
        self.tell(CallEvent::Dtmf);
        self.quiet.sign();
        if let Some((_, key)) = self.manner.keys.iter().find(|(key, _)| *key == digit) {
            match key.clone() {
                Key::Say(text) => {
                    self.send(ClientEvent::UserText { text });
                    self.replies.want_turn(None);
                }
                Key::Transfer(name) => self.actions.push_back(Action::TransferTo(name)),
                Key::HangUp => self.leave_with(now, Goal::End(CallEnd::AgentHungUp)),
            }
        } else if let Some(typed) = self.keys.press(now, digit) {
            self.typed(typed);
        }
    }

    /// The model hears of keys.
    pub(super) fn typed(&mut self, typed: String) {
        if self.talkable() {
            self.send(ClientEvent::UserText { text: keys::words(&typed) });
            self.replies.want_turn(None);
        }
    }

    /// A machine does not converse: what it says stops nobody and is answered by nobody. Once it records, it is left a message.
    pub(super) fn machine_answers(&mut self, now: Instant, beep: bool) {
        if !std::mem::replace(&mut self.machine, true) {
            self.floor.deafen();
            self.replies.reset();
            self.quiet.answered();
            if self.ready {
                self.send(ClientEvent::StopListening);
            }
            self.silence(now);
        }
        match self.manner.voicemail.take() {
            Some(message) if beep => {
                self.replies.want_aside(crate::openai::wire::Aside::Say, super::exactly(&message));
                self.farewell = Some(Farewell::new(Goal::End(CallEnd::Voicemail), now));
            }
            Some(message) => self.manner.voicemail = Some(message),
            None if self.farewell.is_none() => self.end(now, CallEnd::Voicemail),
            None => {}
        }
    }
}
