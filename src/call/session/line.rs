//! Twilio's side of the conversation: the stream, the keys, the recordings, the machine that answered.

use std::time::{Duration, Instant};

use super::farewell::Goal;
use super::playout::Unheard;
use super::{Action, Farewell, STREAM_GRACE, Session, keys};
use crate::call::manner::Key;
use crate::call::{CallEnd, CallEvent, Clip, MediaClosed, MediaEvent, Progress, Speaker};
use crate::openai::wire::ClientEvent;

/// The item of a recorded greeting in the transcript: the model's own has an id that only it knows.
const GREETING: &str = "greeting";

impl Session {
    pub(super) fn media_started(&mut self, now: Instant) {
        self.media = true;
        if self.away.is_none() && self.adrift.is_none() {
            self.progress(now, Progress::MediaStarted);
        }
        if self.floor.is_muted() {
            // Its rings are new, and open.
            self.actions.push_back(Action::Mute { generation: self.floor.generation() });
        }
        if let Some(adrift) = self.adrift.take() {
            self.stream_returned(now, adrift);
        }
        if self.away.take().is_some() {
            let why = self.returned.take().map_or("it did not work", |dialed| dialed.words());
            let text = format!("Putting the caller through failed: {why}. The caller is with you again.");
            self.send(ClientEvent::SystemText { text });
            self.replies.want_turn(None);
        }
        if !self.greeted && self.manner.recorded_greeting.is_some() && !self.machine {
            self.greeted = true;
            self.clip = Some(Clip::Greeting);
            self.actions.push_back(Action::Play(Clip::Greeting));
        }
        self.greet(now);
    }

    /// Asks for the first response, or tells the model what of a recording was heard in its place.
    pub(super) fn greet(&mut self, now: Instant) {
        if !self.ready || !self.media {
            return;
        }
        if let Some(text) = self.untold.take() {
            let at_ms = self.ms(now);
            self.transcript.finish(GREETING, Speaker::Aria, &text, at_ms);
            self.tell(CallEvent::Transcript {
                item_id: GREETING.into(),
                speaker: Speaker::Aria,
                text: text.clone(),
                done: true,
            });
            self.send(ClientEvent::Opening { text });
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
            MediaEvent::Closed { why: MediaClosed::Lost, .. } => self.stream_lost(now, STREAM_GRACE),
            MediaEvent::Closed { why: MediaClosed::Refused, .. } => self.end(now, CallEnd::StreamRefused),
            // What is left of a stream whose successor is awaited.
            MediaEvent::Closed { .. } if self.adrift.is_some() => {}
            MediaEvent::Closed { why: MediaClosed::Orderly, .. } => self.end(now, CallEnd::CallerHungUp),
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
            MediaEvent::ClipEnded { clip, heard, whole } => self.clip_ended(now, clip, heard, whole),
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

    /// A recording is over. Of the greeting the model is told what was heard: it is to know what it has said.
    fn clip_ended(&mut self, now: Instant, clip: Option<Clip>, heard: Duration, whole: Duration) {
        if self.clip == clip {
            self.clip = None;
        }
        if clip == Some(Clip::Greeting)
            && let Some(text) = &self.manner.recorded_greeting
        {
            self.untold = Some(words_heard(text, heard, whole));
            self.greet(now);
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

/// The words of a recording of which so much was heard: as many as fit into that share of it, in the form in which turns that were cut off
/// are told to a model (`memory`).
fn words_heard(text: &str, heard: Duration, whole: Duration) -> String {
    if heard >= whole {
        return text.to_owned();
    }
    let share = heard.as_secs_f64() / whole.as_secs_f64();
    let end = (text.chars().count() as f64 * share) as usize;
    let end = text.char_indices().nth(end).map_or(text.len(), |(at, _)| at);
    // A word that was begun was not said.
    let said = text[..end].rfind(char::is_whitespace).map_or("", |at| text[..at].trim_end());
    format!("{said} [interrupted by the caller]").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_recording_the_words_that_were_heard_are_told() {
        let of =
            |heard| words_heard("Hello, this is ARIA.", Duration::from_millis(heard), Duration::from_secs(2));
        assert_eq!(of(2_000), "Hello, this is ARIA.");
        assert_eq!(of(1_500), "Hello, this is [interrupted by the caller]");
        assert_eq!(of(300), "[interrupted by the caller]");
        assert_eq!(of(0), "[interrupted by the caller]");
    }
}
