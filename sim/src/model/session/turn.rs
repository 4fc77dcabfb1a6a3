//! The caller's turns: detection, interruption, commit, transcription, idleness.

use std::time::Duration;

use serde_json::json;

use super::respond::Cause;
use super::steps::Step;
use super::{Output, Session};
use crate::model::conversation::item;
use crate::model::record::Note;
use crate::model::unverified::Truncated;
use crate::model::vad::VadEvent;

impl Session {
    /// Takes received sound in media order, 8 kHz.
    pub(crate) fn hear(&mut self, samples: &[i16], now: Duration) {
        self.heard_samples += samples.len() as u64;
        self.uncommitted_samples += samples.len() as u64;
        let events = self.vad.as_mut().map(|vad| vad.push(samples)).unwrap_or_default();
        if !self.introduced {
            // Nobody can be told yet: a turn under way is told of once the session has introduced itself, a finished one is lost.
            for event in events {
                self.early_speech = match event {
                    VadEvent::Started { audio_start_ms } => Some(audio_start_ms),
                    VadEvent::Stopped { .. } => None,
                };
            }
            return;
        }
        for event in events {
            match event {
                VadEvent::Started { audio_start_ms } => self.speech_started(audio_start_ms, now),
                VadEvent::Stopped { audio_end_ms } => self.speech_stopped(audio_end_ms, now),
            }
        }
    }

    pub(super) fn speech_started(&mut self, audio_start_ms: u64, now: Duration) {
        let id = self.ids.of("item");
        self.uncommitted_samples = self.media_ms().saturating_sub(audio_start_ms) * 8;
        self.user_item = Some((id.clone(), audio_start_ms));
        let fields = json!({"audio_start_ms": audio_start_ms, "item_id": id});
        self.send("input_audio_buffer.speech_started", fields);
        self.note(Note::TurnStarted { item_id: id, audio_start_ms });
        if self.settings.interrupts_response() {
            self.interrupt(now);
        }
    }

    /// The caller spoke over the model: cancel what is generated, drop what is buffered, forget what was not heard.
    fn interrupt(&mut self, now: Duration) {
        let active = self.responses.iter().find(|r| r.in_conversation);
        let unheard = active.filter(|r| r.open.is_none() && r.output.is_empty()).and_then(|r| r.turn);
        if let Some(id) = active.map(|r| r.id.clone()) {
            self.cancel(&id, "turn_detected", now);
        }
        if let Some(turn) = unheard {
            // Nothing of the reply was made: what follows belongs to the same turn of the script.
            self.next_turn = turn;
        }
        self.cut_output(now);
    }

    /// Empties the output buffer and tells what was lost. Nothing if nothing is buffered.
    pub(super) fn cut_output(&mut self, now: Duration) {
        let generated: Vec<u32> = {
            // Asked before clearing: how far generation has come is the utterance's own knowledge.
            self.output.utterances().map(|u| u.generated_ms(now)).collect()
        };
        let (cut, playing) = self.output.clear();
        let Some(response_id) = playing.or_else(|| cut.first().map(|u| u.response_id.clone())) else {
            return;
        };
        for response in self.responses.iter_mut().filter(|r| r.in_conversation) {
            response.muted = true;
        }
        let place = self.setup.unverified.truncated;
        if place != Truncated::BeforeCleared {
            self.send("output_audio_buffer.cleared", json!({"response_id": response_id}));
        }
        for (utterance, generated_ms) in cut.iter().zip(generated) {
            let (item_id, played_ms) = (utterance.item_id.clone(), utterance.played_ms());
            if let Some(item) = self.conversation.get_mut(&item_id) {
                item.audio_ms = generated_ms.max(played_ms);
            }
            let known = self.conversation.truncate(&item_id, u64::from(played_ms)).is_ok();
            if known && place != Truncated::Absent {
                self.send(
                    "conversation.item.truncated",
                    json!({"item_id": item_id, "content_index": 0, "audio_end_ms": played_ms}),
                );
            }
            self.note(Note::ReplyEnded { item_id, played_ms, truncated: true });
        }
        if place == Truncated::BeforeCleared {
            self.send("output_audio_buffer.cleared", json!({"response_id": response_id}));
        }
        self.last_sign = now;
    }

    fn speech_stopped(&mut self, audio_end_ms: u64, now: Duration) {
        let Some((id, _)) = self.user_item.take() else { return };
        let fields = json!({"audio_end_ms": audio_end_ms, "item_id": id});
        self.send("input_audio_buffer.speech_stopped", fields);
        self.note(Note::TurnStopped { item_id: id.clone(), audio_end_ms });
        self.last_sign = now;
        self.commit(&id, now);
        if self.settings.creates_response() && self.create_response(&json!({}), Cause::Turn, now).is_err() {
            self.remark("a turn ended while a response was active: no response was made");
        }
    }

    /// Turns the buffered sound into a user item.
    pub(super) fn commit(&mut self, id: &str, now: Duration) {
        let seconds = self.uncommitted_samples as f64 / 8_000.0;
        self.heard_ms_total += self.uncommitted_samples / 8;
        self.uncommitted_samples = 0;
        self.unanswered = true;
        let previous = self.conversation.last_id().map(str::to_owned);
        self.send("input_audio_buffer.committed", json!({"item_id": id, "previous_item_id": previous}));
        let content = json!({"role": "user", "content": [{"type": "input_audio", "transcript": null}]});
        let added = self.add_item(item(id, "message", "completed", content), 0, None);
        debug_assert!(added.is_ok(), "an item at the end always finds its place");
        if self.settings.transcribes() {
            let scripted = self.setup.plan.turns.get(self.next_turn).and_then(|turn| turn.heard.clone());
            let text = scripted.unwrap_or_else(|| format!("({seconds:.1} seconds of speech)"));
            self.transcribe(id, &text, seconds, now);
        }
    }

    fn transcribe(&mut self, id: &str, text: &str, seconds: f64, now: Duration) {
        let mut at = now + self.setup.timing.transcription;
        let item_id = id.to_owned();
        if self.setup.faults.transcription_fails {
            return self.schedule(at, Step::TranscriptFailed { item_id });
        }
        for word in text.split_inclusive(' ') {
            let step = Step::TranscriptDelta { item_id: item_id.clone(), delta: word.to_owned() };
            self.schedule(at, step);
            at += Duration::from_millis(5);
        }
        self.schedule(at, Step::TranscriptDone { item_id, text: text.to_owned(), seconds });
    }

    /// When the caller's silence has lasted `idle_timeout_ms`, counted from the end of the last response's sound.
    pub(super) fn idle_deadline(&self) -> Option<Duration> {
        let quiet = self.next_response > 0
            && self.user_item.is_none()
            && self.responses.is_empty()
            && !self.output.is_active();
        let timeout = self.settings.idle_timeout_ms().filter(|_| quiet && self.opened.is_some())?;
        Some(self.last_sign + Duration::from_millis(timeout))
    }

    pub(super) fn idle_timeout(&mut self, now: Duration) {
        let id = self.ids.of("item");
        let end = self.media_ms();
        let start = end.saturating_sub(self.settings.idle_timeout_ms().unwrap_or(0));
        self.last_sign = now;
        self.send(
            "input_audio_buffer.timeout_triggered",
            json!({"audio_start_ms": start, "audio_end_ms": end, "item_id": id}),
        );
        self.commit(&id, now);
        if self.create_response(&json!({}), Cause::Idle, now).is_err() {
            self.remark("idle timeout while a response was active");
        }
    }

    /// Queues a prepared output, for steps that have one.
    pub(super) fn expire(&mut self) {
        if self.setup.unverified.expiry_event {
            let minutes = self.setup.limit.as_secs().div_ceil(60);
            let message = format!("Your session hit the maximum duration of {minutes} minutes.");
            self.send(
                "error",
                json!({"error": {"type": "invalid_request_error", "code": "session_expired",
                                 "message": message, "param": null, "event_id": null}}),
            );
        }
        self.put(Output::Expired);
    }
}
