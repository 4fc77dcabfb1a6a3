//! What is said over a WebSocket: deltas, as fast as they are generated.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use super::respond::Part;
use super::steps::Step;
use super::{Output, Session};
use crate::model::g711;
use crate::model::record::{Note, Transport};
use crate::model::sound::Sound;

impl Session {
    /// Puts the deltas of a part on the agenda, the first at `at`.
    pub(super) fn plan_sound(&mut self, response: &str, part: usize, sound: &Sound, at: Duration) {
        let speed = self.setup.timing.generation_speed.max(1.0);
        let frames = sound.frames.len();
        let step = (self.setup.unverified.delta_ms / sound.frame_ms).max(1) as usize;
        for from in (0..frames).step_by(step) {
            let offset = Duration::from_millis(from as u64 * u64::from(sound.frame_ms)).div_f64(speed);
            let frames = from..(from + step).min(frames);
            self.schedule(at + offset, Step::Sound { response: response.to_owned(), part, frames });
        }
    }

    pub(super) fn speak(&mut self, id: &str, part: usize, frames: Range<usize>) {
        let Some(index) = self.index(id) else { return };
        let Part::Speech { item_id, spoken } = self.responses[index].parts[part].clone() else { return };
        let ms = frames.len() as u32 * spoken.sound.frame_ms;
        let codes = spoken.sound.frames[frames].concat();
        let format = self.settings.value()["audio"]["output"]["format"]["type"].clone();
        let audio = encode(format.as_str().unwrap_or_default(), &codes);
        self.spoke = true;
        if let Some(item) = self.conversation.get_mut(&item_id) {
            item.audio_ms += ms;
        }
        let delta = base64_simd::STANDARD.encode_to_string(audio);
        let fields = json!({"response_id": id, "item_id": item_id, "output_index": part, "content_index": 0,
                            "delta": delta});
        let event = self.event("response.output_audio.delta", fields);
        self.put(Output::Sound(event, ms));
    }

    /// A part is closed: what of it has been sent is believed to be heard until the client says otherwise.
    pub(super) fn spoken(&mut self, part: &Part, status: &str) {
        let Part::Speech { item_id, spoken } = part else { return };
        if self.setup.transport == Transport::WebRtc || spoken.sound.frames.is_empty() {
            return;
        }
        let whole = status == "completed";
        let sent = self.conversation.get(item_id).map(|item| item.audio_ms);
        let played_ms = if whole { spoken.sound.duration_ms() } else { sent.unwrap_or_default() };
        self.note(Note::ReplyEnded { item_id: item_id.clone(), played_ms, truncated: !whole });
    }

    /// `type` of the format that the client's sound is in.
    pub(crate) fn input_format(&self) -> &str {
        self.settings.value()["audio"]["input"]["format"]["type"].as_str().unwrap_or_default()
    }
}

/// Mu-law in another format. To 24 kHz each sample is said three times: enough for a format that nobody listens to.
fn encode(format: &str, codes: &[u8]) -> Vec<u8> {
    let samples = codes.iter().map(|&code| g711::mulaw_decode(code));
    match format {
        "audio/pcmu" => codes.to_vec(),
        "audio/pcma" => samples.map(g711::alaw_encode).collect(),
        _ => samples.flat_map(|sample| [sample; 3]).flat_map(i16::to_le_bytes).collect(),
    }
}

/// Mu-law of what came in a format: of 24 kHz every third sample is heard.
pub(crate) fn decode(format: &str, audio: Vec<u8>) -> Vec<u8> {
    match format {
        "audio/pcmu" => audio,
        "audio/pcma" => audio.into_iter().map(|code| g711::mulaw_encode(g711::alaw_decode(code))).collect(),
        _ => {
            let samples = audio.chunks_exact(6).map(|six| i16::from_le_bytes([six[0], six[1]]));
            samples.map(g711::mulaw_encode).collect()
        }
    }
}
