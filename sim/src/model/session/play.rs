//! The beat of the output buffer.

use std::time::Duration;

use serde_json::json;

use super::Session;
use crate::model::output::{Beat, Playout};
use crate::model::record::Note;

impl Session {
    /// Whether the pacer must beat: there is sound, or the end of it is still to be told.
    pub(crate) fn is_playing(&self) -> bool {
        self.output.is_active()
    }

    /// The frame for this beat, each one frame length after the last.
    pub(crate) fn beat(&mut self, now: Duration) -> Beat {
        let responses = &self.responses;
        let (beat, happened) = self.output.beat(now, |id| responses.iter().any(|r| r.id == id));
        for playout in happened {
            match playout {
                Playout::Started { response_id } => {
                    self.spoke = true;
                    self.send("output_audio_buffer.started", json!({"response_id": response_id}));
                }
                Playout::Stopped { response_id } => {
                    self.last_sign = now;
                    self.send("output_audio_buffer.stopped", json!({"response_id": response_id}));
                }
                Playout::Said { item_id, played_ms } => {
                    self.note(Note::ReplyEnded { item_id, played_ms, truncated: false });
                }
            }
        }
        beat
    }
}
