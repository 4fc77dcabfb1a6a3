//! A measurement in the place of the conversation: sessions that say an endless recording and tell what they send and hear.
//!
//! A drilled session speaks from the moment its channel is open and never listens for turns. Now and then it claims to have heard the
//! caller: it announces speech, falls silent as the real one does, and replies with another place of the recording.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::codec::Codec;
use super::config::Voice;
use super::ids::Ids;
use super::output::Beat;
use super::session::Output;
use super::sound::{Sound, recording};

/// From the open channel to the first sound: the client has had time to open its own end.
const SPEAKS_AFTER: Duration = Duration::from_millis(100);
/// From an announced interruption to the next reply.
const REPLIES_AFTER: Duration = Duration::from_millis(600);

/// Strides that a session goes on after an interruption, and half of one: far from where it was, and between where others are.
const FAR: usize = 7;

/// What a drill says, and who is told.
#[derive(Clone)]
pub struct Drill {
    /// The recording, 16 kHz, whole frames of 20 ms. Said in a loop.
    pub recording: Arc<[i16]>,
    /// Frames of the recording between the beginnings of two sessions, so that no two say the same at once.
    pub stride: usize,
    /// Time between interruptions of a session; none without it.
    pub interrupt_every: Option<Duration>,
    /// Told of everything, on the thread that carries the session: it must be quick.
    pub observer: Arc<dyn DrillObserver>,
}

impl std::fmt::Debug for Drill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drill").field("interrupt_every", &self.interrupt_every).finish_non_exhaustive()
    }
}

/// Who a drill tells what happens. `session` counts from 0.
pub trait DrillObserver: Send + Sync {
    /// The session's event channel is open.
    fn opened(&self, session: u64, at: Instant);
    /// A frame of the recording is handed to the kernel, or to the simulated network, at `at`; it was due at `due`.
    fn sent(&self, session: u64, frame: usize, due: Instant, at: Instant);
    /// The frame's packet is through the simulated network and handed to the kernel at `at`. A lost one never is, a doubled one twice.
    fn left(&self, session: u64, frame: usize, at: Instant);
    /// A packet arrived at `at` and brought these 8 kHz samples, silence for a gap before them included.
    fn heard(&self, session: u64, samples: &[i16], at: Instant);
    /// The session announced that the caller speaks, behind `frame`.
    fn interrupted(&self, session: u64, frame: usize, at: Instant);
}

/// A drill as one server plays it: encoded once a codec.
#[derive(Clone)]
pub(crate) struct Course {
    pub(crate) drill: Drill,
    pub(crate) sound: Arc<Sound>,
}

impl Course {
    pub(crate) fn new(drill: &Drill, codec: Codec, voice: &Voice) -> Self {
        Self { drill: drill.clone(), sound: Arc::new(recording(&drill.recording, codec, voice)) }
    }
}

/// What the drilled session is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Waiting,
    Speaking,
    Listening,
}

/// One session under drill. The interface is the conversation's.
pub(crate) struct Drilled {
    course: Course,
    session: u64,
    value: Value,
    ids: Ids,
    response: String,
    outputs: VecDeque<Output>,
    doing: Doing,
    next: Option<Duration>,
    interrupts: Option<Duration>,
    frame: usize,
    /// Told when its event has been written.
    announced: bool,
}

impl Drilled {
    pub(crate) fn new(course: Course, session: u64, value: Value, seed: u64) -> Self {
        let frames = course.sound.frames.len().max(1);
        Self {
            frame: session as usize * course.drill.stride % frames,
            course,
            session,
            value,
            ids: Ids::new(seed),
            response: String::new(),
            outputs: VecDeque::new(),
            doing: Doing::Waiting,
            next: None,
            interrupts: None,
            announced: false,
        }
    }

    pub(crate) fn open(&mut self, now: Duration) {
        self.course.drill.observer.opened(self.session, Instant::now());
        self.send("session.created", json!({"session": self.value}));
        self.next = Some(now + SPEAKS_AFTER);
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Called when everything polled has been handed to the channel.
    pub(crate) fn written(&mut self) {
        if std::mem::take(&mut self.announced) {
            let frames = self.course.sound.frames.len();
            let last = (self.frame + frames - 1) % frames;
            self.course.drill.observer.interrupted(self.session, last, Instant::now());
            self.frame =
                (self.frame + FAR * self.course.drill.stride + self.course.drill.stride / 2) % frames;
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.next
    }

    pub(crate) fn timeout(&mut self, now: Duration) {
        if self.next.is_none_or(|at| now < at) {
            return;
        }
        match self.doing {
            Doing::Waiting | Doing::Listening => self.speak(now),
            Doing::Speaking => self.interrupt(now),
        }
    }

    fn speak(&mut self, now: Duration) {
        if self.doing == Doing::Listening {
            self.send(
                "input_audio_buffer.speech_stopped",
                json!({"audio_end_ms": now.as_millis() as u64, "item_id": "item_caller"}),
            );
        }
        self.response = self.ids.of("resp");
        let response = json!({"id": self.response, "object": "realtime.response", "status": "in_progress", "output": []});
        self.send("response.created", json!({"response": response}));
        self.send("output_audio_buffer.started", json!({"response_id": self.response}));
        self.doing = Doing::Speaking;
        // The first one comes sooner for some sessions than for others, so that they do not all come at once.
        self.interrupts = self.course.drill.interrupt_every.map(|every| match self.interrupts {
            None => every.mul_f64(0.5 + self.ids.draw()),
            Some(_) => every,
        });
        self.next = self.interrupts.map(|every| now + every);
    }

    fn interrupt(&mut self, now: Duration) {
        let caller = json!({"audio_start_ms": now.as_millis() as u64, "item_id": "item_caller"});
        self.send("input_audio_buffer.speech_started", caller);
        let response = json!({"id": self.response, "object": "realtime.response", "status": "cancelled", "output": [],
            "status_details": {"type": "cancelled", "reason": "turn_detected"}});
        self.send("response.done", json!({"response": response}));
        self.send("output_audio_buffer.cleared", json!({"response_id": self.response}));
        self.announced = true;
        self.doing = Doing::Listening;
        self.next = Some(now + REPLIES_AFTER);
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.doing == Doing::Speaking
    }

    pub(crate) fn beat(&mut self) -> Beat {
        if self.doing != Doing::Speaking {
            return Beat::Nothing;
        }
        let payload = Arc::clone(&self.course.sound.frames[self.frame]);
        self.frame = (self.frame + 1) % self.course.sound.frames.len();
        Beat::Frame { payload, first: false }
    }

    /// The frame of the last beat is being sent. Gives its place in the recording.
    pub(crate) fn sent(&self, due: Instant) -> usize {
        let frames = self.course.sound.frames.len();
        let frame = (self.frame + frames - 1) % frames;
        self.course.drill.observer.sent(self.session, frame, due, Instant::now());
        frame
    }

    /// That frame is through the network.
    pub(crate) fn left(&self, frame: usize) {
        self.course.drill.observer.left(self.session, frame, Instant::now());
    }

    pub(crate) fn hear(&self, samples: &[i16], at: Instant) {
        self.course.drill.observer.heard(self.session, samples, at);
    }

    fn send(&mut self, kind: &str, fields: Value) {
        let mut event = json!({"type": kind, "event_id": self.ids.of("event")});
        for (name, value) in fields.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        self.outputs.push_back(Output::Event(event));
    }
}
