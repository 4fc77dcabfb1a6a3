//! The state machine without sockets or clocks: every test moves the time itself.

mod client;
mod course;
mod socket;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Output, Session, Setup};
use crate::model::codec::Codec;
use crate::model::config::{Delay, Timing};
use crate::model::faults::EventFaults;
use crate::model::output::Beat;
use crate::model::record::{Note, Transport};
use crate::model::settings::Settings;
use crate::model::sound::{Plan, Prepared, Sound, Spoken};
use crate::model::unverified::Unverified;

const BEAT: Duration = Duration::from_millis(20);

fn spoken(text: &str, ms: usize) -> Spoken {
    let frames = (0..ms / 20).map(|i| Arc::from(&[i as u8][..])).collect();
    Spoken { text: text.to_owned(), sound: Arc::new(Sound { frame_ms: 20, frames }) }
}

fn plan() -> Plan {
    let turn = |heard: &str, reply: Option<Spoken>| Prepared {
        heard: Some(heard.to_owned()),
        reply,
        tools: Vec::new(),
        answer: None,
    };
    Plan {
        greeting: spoken("Hello there.", 1_000),
        turns: vec![
            turn("one", Some(spoken("a long reply of seven words here", 4_000))),
            Prepared {
                tools: vec![crate::model::script::ToolCall {
                    name: "lookup".to_owned(),
                    arguments: json!({"city": "Lima"}),
                }],
                answer: Some(spoken("It says {output}", 600)),
                ..turn("two", None)
            },
            turn("three", Some(spoken("Goodbye.", 400))),
        ],
        aside: spoken("Pardon?", 400),
        idle: spoken("Still there?", 400),
        silence: Arc::new(Sound { frame_ms: 20, frames: Vec::new() }),
        codec: Codec::Opus,
    }
}

/// A session with a clock that its user moves.
struct Talk {
    session: Session,
    now: Duration,
    events: Vec<Value>,
    notes: Vec<Note>,
    frames: usize,
    expired: bool,
}

fn request() -> Value {
    json!({"type": "realtime", "model": "m",
           "audio": {"input": {"transcription": {"model": "w"},
               "turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}},
           "tools": [{"type": "function", "name": "lookup"}]})
}

fn talk_with(request: Value, unverified: Unverified, faults: EventFaults) -> Talk {
    let mut talk = closed(&request, unverified, faults);
    talk.session.open(talk.now);
    talk.drain();
    talk
}

/// A session whose data channel is not open yet.
fn closed(request: &Value, unverified: Unverified, faults: EventFaults) -> Talk {
    closed_over(Transport::WebRtc, request, unverified, faults)
}

fn closed_over(transport: Transport, request: &Value, unverified: Unverified, faults: EventFaults) -> Talk {
    let settings = Settings::new(request, &unverified).expect("a good session");
    let timing = Timing {
        first_audio: Delay::Fixed(Duration::from_millis(200)),
        generation_speed: 8.0,
        transcription: Duration::from_millis(300),
    };
    let session = Session::new(Setup {
        transport,
        settings,
        plan: Arc::new(plan()),
        timing,
        unverified,
        faults,
        limit: Duration::from_secs(3600),
        speaks_after: Duration::ZERO,
        seed: 7,
    });
    Talk {
        session,
        now: Duration::from_millis(50),
        events: Vec::new(),
        notes: Vec::new(),
        frames: 0,
        expired: false,
    }
}

fn talk() -> Talk {
    talk_with(request(), Unverified::default(), EventFaults::default())
}

impl Talk {
    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Event(event) | Output::Sound(event, _) => self.events.push(event),
                Output::Note(note) => self.notes.push(note),
                Output::Raw(text) => self.events.push(Value::String(text)),
                Output::Expired => self.expired = true,
            }
        }
    }

    /// Lets time pass in beats, with this in the caller's microphone.
    fn pass(&mut self, ms: u64, amplitude: f64) {
        let frame: Vec<i16> = (0..160).map(|i| ((f64::from(i) * 0.5).sin() * amplitude) as i16).collect();
        for _ in 0..ms / 20 {
            self.now += BEAT;
            self.session.hear(&frame, self.now);
            self.session.timeout(self.now);
            if self.session.is_playing() && matches!(self.session.beat(self.now), Beat::Frame { .. }) {
                self.frames += 1;
            }
            self.drain();
        }
    }

    fn silence(&mut self, ms: u64) {
        self.pass(ms, 0.0);
    }

    fn speech(&mut self, ms: u64) {
        self.pass(ms, 6_000.0);
    }

    fn say(&mut self, event: Value) {
        self.session.receive(&event.to_string(), self.now);
        self.drain();
    }

    fn create(&mut self) {
        self.say(json!({"type": "response.create", "event_id": "mine"}));
    }

    /// Types since the last call.
    fn take(&mut self) -> Vec<String> {
        self.events.drain(..).map(|e| e["type"].as_str().unwrap_or("?").to_owned()).collect()
    }

    fn last(&self, kind: &str) -> &Value {
        self.events
            .iter()
            .rfind(|e| e["type"] == kind)
            .unwrap_or_else(|| panic!("no {kind} in {:#?}", self.events))
    }

    fn error(&mut self) -> (String, Option<String>) {
        let error = self.last("error")["error"].clone();
        self.events.clear();
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        (text("code").unwrap_or_default(), text("param"))
    }
}

/// Drops events that come in any number, so that orders can be compared.
fn without_deltas(kinds: Vec<String>) -> Vec<String> {
    kinds.into_iter().filter(|kind| !kind.ends_with(".delta")).collect()
}
