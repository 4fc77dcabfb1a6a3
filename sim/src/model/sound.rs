//! The model's lines as packets, encoded once per process.
//!
//! Encoding while a session plays would cost more than everything else the simulation does, and a model is faster than real time anyway.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::codec::Codec;
use super::config::Voice;
use super::g711;
use super::opus::Encoder;
use super::script::{Line, ModelScript, ToolCall};
use crate::speech;

/// Encoded speech: one entry a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sound {
    pub(crate) frame_ms: u32,
    pub(crate) frames: Vec<Arc<[u8]>>,
}

impl Sound {
    pub(crate) fn duration_ms(&self) -> u32 {
        self.frames.len() as u32 * self.frame_ms
    }
}

type Key = (Vec<String>, Codec, u32, u32, u8, u8);

/// Sounds that this process has encoded already. Bounded by the number of scripts a process plays.
fn encoded() -> &'static Mutex<HashMap<Key, Arc<Sound>>> {
    static ENCODED: OnceLock<Mutex<HashMap<Key, Arc<Sound>>>> = OnceLock::new();
    ENCODED.get_or_init(Mutex::default)
}

/// The packets of a line; unknown clips are silent, as [`ModelScript::check`] has refused them before.
pub(crate) fn sound(line: &Line, codec: Codec, frame_ms: u32, voice: &Voice) -> Arc<Sound> {
    once(line.clips(), codec, frame_ms, voice, || {
        let clips = line.clips().iter().filter_map(|name| speech::clip(name));
        match codec {
            Codec::Opus => opus(&clips.flat_map(|c| c.samples_16k()).collect::<Vec<_>>(), frame_ms, voice),
            Codec::Pcmu => {
                companded(clips.flat_map(|c| c.samples_8k()).map(g711::mulaw_encode), frame_ms, 0xff)
            }
            Codec::Pcma => {
                companded(clips.flat_map(|c| c.samples_8k()).map(g711::alaw_encode), frame_ms, 0xd5)
            }
        }
    })
}

/// A recording of 16 kHz and whole frames of 20 ms as packets. Each caller has its own: nothing is kept.
pub(crate) fn recording(samples: &[i16], codec: Codec, voice: &Voice) -> Sound {
    const FRAME_MS: u32 = 20;
    let narrow = || samples.iter().step_by(2).copied();
    let frames = match codec {
        Codec::Opus => opus(samples, FRAME_MS, voice),
        Codec::Pcmu => companded(narrow().map(g711::mulaw_encode), FRAME_MS, 0xff),
        Codec::Pcma => companded(narrow().map(g711::alaw_encode), FRAME_MS, 0xd5),
    };
    Sound { frame_ms: FRAME_MS, frames }
}

/// A second of silence, to be repeated.
fn silence(codec: Codec, frame_ms: u32, voice: &Voice) -> Arc<Sound> {
    once(&[], codec, frame_ms, voice, || match codec {
        Codec::Opus => opus(&[0; 16_000], frame_ms, voice),
        Codec::Pcmu => companded(std::iter::repeat_n(0xff, 8_000), frame_ms, 0xff),
        Codec::Pcma => companded(std::iter::repeat_n(0xd5, 8_000), frame_ms, 0xd5),
    })
}

/// What this process has encoded before under this key, or what `encode` makes now.
fn once(
    clips: &[String],
    codec: Codec,
    frame_ms: u32,
    voice: &Voice,
    encode: impl FnOnce() -> Vec<Arc<[u8]>>,
) -> Arc<Sound> {
    let key = (clips.to_vec(), codec, frame_ms, voice.bitrate_bps, voice.complexity, voice.fec_loss_percent);
    let lock = || encoded().lock().expect("nothing panics while the lock is held");
    let known = lock().get(&key).cloned();
    known.unwrap_or_else(|| {
        let sound = Arc::new(Sound { frame_ms, frames: encode() });
        lock().insert(key, Arc::clone(&sound));
        sound
    })
}

fn opus(samples: &[i16], frame_ms: u32, voice: &Voice) -> Vec<Arc<[u8]>> {
    let mut encoder = Encoder::new(voice);
    let frame = frame_ms as usize * 16;
    let packets = samples.chunks(frame).map(|chunk| {
        let mut padded = chunk.to_vec();
        padded.resize(frame, 0);
        encoder.encode(&padded).expect("the frame length is one of Opus' own").into()
    });
    packets.collect()
}

fn companded(codes: impl Iterator<Item = u8>, frame_ms: u32, quiet: u8) -> Vec<Arc<[u8]>> {
    let frame = frame_ms as usize * 8;
    let codes: Vec<u8> = codes.collect();
    let packets = codes.chunks(frame).map(|chunk| {
        let mut padded = chunk.to_vec();
        padded.resize(frame, quiet);
        padded.into()
    });
    packets.collect()
}

/// Encodes every line of a script, on all cores: the longest pause of a server's start.
fn encode_all(script: &ModelScript, codec: Codec, frame_ms: u32, voice: &Voice) {
    let lines: Vec<&Line> = script.lines().collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(lines.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
                    sound(line, codec, frame_ms, voice);
                }
            });
        }
    });
}

/// A line ready to be said.
#[derive(Debug, Clone)]
pub(crate) struct Spoken {
    pub(crate) text: String,
    pub(crate) sound: Arc<Sound>,
}

/// A turn ready to be played.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) heard: Option<String>,
    pub(crate) reply: Option<Spoken>,
    /// Functions called in one response.
    pub(crate) tools: Vec<ToolCall>,
    pub(crate) answer: Option<Spoken>,
}

/// A script ready to be played in one codec.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) greeting: Spoken,
    pub(crate) turns: Vec<Prepared>,
    pub(crate) aside: Spoken,
    pub(crate) idle: Spoken,
    pub(crate) silence: Arc<Sound>,
    pub(crate) codec: Codec,
}

impl Plan {
    pub(crate) fn new(script: &ModelScript, codec: Codec, frame_ms: u32, voice: &Voice) -> Self {
        encode_all(script, codec, frame_ms, voice);
        let speak = |line: &Line| Spoken { text: line.text(), sound: sound(line, codec, frame_ms, voice) };
        let turns = script.turns.iter().map(|turn| Prepared {
            heard: turn.heard.clone(),
            reply: turn.reply.as_ref().map(speak),
            tools: turn.tool.iter().chain(&turn.also).cloned().collect(),
            answer: turn.answer.as_ref().map(speak),
        });
        Self {
            greeting: speak(&script.greeting),
            turns: turns.collect(),
            aside: speak(&script.aside),
            idle: speak(&script.idle),
            silence: silence(codec, frame_ms, voice),
            codec,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_its_clips_in_every_codec() {
        let line = Line::of(["hello", "goodbye"]);
        let seconds: f64 =
            ["hello", "goodbye"].iter().map(|c| speech::clip(c).unwrap().duration().as_secs_f64()).sum();
        for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma] {
            let sound = sound(&line, codec, 20, &Voice::default());
            let ms = f64::from(sound.duration_ms());
            assert!((0.0..=20.1).contains(&(ms - seconds * 1000.0)), "{codec:?}: {ms} for {seconds} s");
            if codec != Codec::Opus {
                assert!(sound.frames.iter().all(|f| f.len() == 160));
            }
        }
    }

    #[test]
    fn lines_are_encoded_once() {
        let line = Line::of(["lima"]);
        let first = sound(&line, Codec::Opus, 20, &Voice::default());
        assert!(Arc::ptr_eq(&first, &sound(&line, Codec::Opus, 20, &Voice::default())));
        assert_eq!(sound(&line, Codec::Opus, 40, &Voice::default()).frame_ms, 40);
    }
}
