//! The model over a WebSocket: where WebRTC is refused, or UDP does not pass.
//!
//! [`open`] gets a session with our settings, [`run`] drives it. Sound is mu-law both ways, so it passes byte for byte. The server sends
//! replies as fast as it makes them and leaves it to the client to play them, to stop, and to say what was heard: `playout` does what the
//! server's output buffer does over WebRTC, and the call is told of it in the same words. Source: OpenAI's guide "Realtime conversations",
//! interruption over WebSockets.

mod append;
mod held;
mod open;
mod playout;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{ModelCodec, ModelPort, Packet};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

pub use self::open::{Leg, open};

use self::append::Append;
use self::held::FRAME_BYTES;
use self::playout::{Out, Playout};
use self::stream::Stream;
use super::leg::{LegCommand, LegEvent, Rings, rung};
use super::received::Received;
use super::wire::ClientEvent;
use super::wire::sound::{self, SoundEvent};

/// The format of the sound in both directions, as sessions name it.
const FORMAT: &str = "audio/pcmu";
/// What the ids of the leg's own events begin with: their errors are not the call's.
const OWN: &str = "aria_leg_";
/// How often the server is asked whether it is still there. Below the idle limits of what may stand between.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Without a word for this long, pongs included, the connection is lost: TCP itself would take minutes to say so.
const SILENT_LIMIT: Duration = Duration::from_secs(12);
/// How long the last words and the close frame may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Drives the leg until it is closed or lost, and gives the call's rings back. `received` is filled with where the model's sound has come
/// to.
pub async fn run(
    leg: Leg,
    received: Arc<Received>,
    mut commands: mpsc::Receiver<LegCommand>,
    events: mpsc::Sender<LegEvent>,
) -> Option<ModelPort> {
    let now = Instant::now();
    let mut running = Running {
        stream: Stream::new(leg.ws),
        rings: None,
        append: Append::default(),
        playout: Playout::default(),
        seq: 0,
        timestamp: 0,
        first_frame: false,
        own_events: 0,
        ping_due: now + PING_EVERY,
        heard_at: now,
        received,
        events,
    };
    running.tell(LegEvent::Connected);
    running.tell(LegEvent::ChannelOpen);
    for text in leg.early {
        running.tell(LegEvent::Text(text));
    }
    loop {
        running.send_audio();
        let now = Instant::now();
        running.play(now);
        if running.events.is_closed() || running.keep_alive(now).is_err() {
            break;
        }
        let due = running.due();
        tokio::select! {
            biased;
            command = commands.recv(), if !running.stream.is_full() => match command {
                Some(LegCommand::Text(text)) => running.send_text(text),
                Some(LegCommand::Audio(rings)) => running.rings = Some(*rings),
                Some(LegCommand::Interrupt { heard_ms }) => {
                    running.playout.handle_interrupt(Instant::now(), heard_ms);
                }
                Some(LegCommand::Close) | None => break,
            },
            () = rung(running.rings.as_ref().map(|rings| &*rings.bell)) => {}
            message = running.stream.next(running.rings.as_ref().map(|rings| &*rings.sent)) => match message {
                Some(Message::Close(_)) | None => break,
                Some(message) => running.receive(message),
            },
            () = tokio::time::sleep_until(due.into()) => {}
        }
    }
    // The call may be waiting for this; if its queue is full it reads the closed channel instead.
    let _ = running.events.try_send(LegEvent::Lost);
    // The call waits for its rings, not for the goodbye.
    let Running { rings, stream, .. } = running;
    tokio::spawn(async move { tokio::time::timeout(CLOSE_LIMIT, stream.close()).await });
    rings.map(|rings| rings.port)
}

struct Running {
    stream: Stream,
    rings: Option<Rings>,
    append: Append,
    playout: Playout,
    /// Of the packets for the rings, as if they were RTP. Pauses are not in the timestamps.
    seq: u16,
    timestamp: u32,
    first_frame: bool,
    own_events: u64,
    ping_due: Instant,
    /// When something last came.
    heard_at: Instant,
    received: Arc<Received>,
    events: mpsc::Sender<LegEvent>,
}

/// The server has fallen silent.
struct Silent;

impl Running {
    /// When something is to be done without a message, a command or the bell.
    fn due(&self) -> Instant {
        let playout = self.playout.poll_timeout().filter(|_| self.rings.is_some());
        let alive = self.ping_due.min(self.heard_at + SILENT_LIMIT);
        playout.map_or(alive, |due| due.min(alive))
    }

    fn keep_alive(&mut self, now: Instant) -> Result<(), Silent> {
        if now >= self.heard_at + SILENT_LIMIT {
            return Err(Silent);
        }
        if now >= self.ping_due {
            self.ping_due = now + PING_EVERY;
            self.stream.push(Message::Ping(Vec::new().into()), None);
        }
        Ok(())
    }

    /// Sends what the caller has said. The audio thread keeps the pace of a burst.
    fn send_audio(&mut self) {
        let Some(rings) = &mut self.rings else { return };
        let mut packet = Packet::default();
        while rings.port.pop_into(&mut packet) {
            // Until the audio thread knows what the model wants, there may be a frame in another codec.
            if packet.codec != ModelCodec::Pcmu || self.stream.is_full() {
                metrics::counter!("aria_model_audio_unsent_total").increment(1);
                continue;
            }
            self.append.push(&packet);
            if self.append.is_full() {
                append(&mut self.stream, &mut self.append);
            }
            if !std::mem::replace(&mut self.first_frame, true) {
                let _ = self.events.try_send(LegEvent::FirstFrameOut);
            }
        }
        append(&mut self.stream, &mut self.append);
    }

    fn send_text(&mut self, text: String) {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
        }
        // Over a WebSocket the output buffer is ours.
        if serde_json::from_str::<Kind>(&text).is_ok_and(|event| event.kind == "output_audio_buffer.clear") {
            return self.playout.handle_interrupt(Instant::now(), None);
        }
        self.stream.push(Message::text(text), None);
    }

    fn receive(&mut self, message: Message) {
        let now = Instant::now();
        self.heard_at = now;
        let Message::Text(text) = message else { return };
        match sound::read(&text) {
            SoundEvent::Delta { response_id, item_id, audio } => {
                self.playout.handle_delta(response_id, &item_id, audio);
                let dropped = self.playout.take_dropped();
                if dropped > 0 {
                    metrics::counter!("aria_model_audio_held_dropped_bytes_total").increment(dropped);
                }
                // The call never sees sound.
                return;
            }
            SoundEvent::Refused { event_id } if event_id.starts_with(OWN) => {
                metrics::counter!("aria_model_truncations_refused_total").increment(1);
                return;
            }
            SoundEvent::Created { response_id, in_conversation } => {
                self.playout.handle_created(response_id, in_conversation);
            }
            SoundEvent::AudioDone { item_id } => self.playout.handle_audio_done(&item_id),
            SoundEvent::ResponseDone { response_id, interrupted } => {
                self.playout.handle_done(now, &response_id, interrupted);
            }
            SoundEvent::Refused { .. } | SoundEvent::Other => {}
        }
        self.tell(LegEvent::Text(text.as_str().to_owned()));
    }

    /// Gives the rings what is due, and tells the call and the server what became of it. Without rings nothing sounds.
    fn play(&mut self, now: Instant) {
        if self.rings.is_none() {
            return;
        }
        while let Some(out) = self.playout.poll(now) {
            match out {
                Out::Frame { audio, first } => self.give(&audio, first),
                Out::Started { response_id } => self.tell_playout("started", &response_id),
                Out::Stopped { response_id } => self.tell_playout("stopped", &response_id),
                Out::Cleared { response_id } => self.tell_playout("cleared", &response_id),
                Out::Truncate { item_id, audio_end_ms } => {
                    self.own_events += 1;
                    let event = ClientEvent::Truncate { item_id, audio_end_ms };
                    let text = event.to_json(&format!("{OWN}{}", self.own_events));
                    self.stream.push(Message::text(text), None);
                }
            }
        }
    }

    fn give(&mut self, audio: &[u8; FRAME_BYTES], first: bool) {
        let born = pipeline::now();
        let packet = Packet::new(born, ModelCodec::Pcmu, self.seq, self.timestamp, first, audio);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME_BYTES as u32);
        let (Some(rings), Some(packet)) = (&mut self.rings, packet) else { return };
        self.received.handle_packet(&packet);
        if rings.port.push(&packet).is_err() {
            metrics::counter!("aria_model_audio_dropped_total").increment(1);
        }
    }

    /// In the words that the server has over WebRTC.
    fn tell_playout(&self, what: &str, response_id: &str) {
        let kind = format!("output_audio_buffer.{what}");
        self.tell(LegEvent::Text(json!({ "type": kind, "response_id": response_id }).to_string()));
    }

    fn tell(&self, event: LegEvent) {
        if self.events.try_send(event).is_err() {
            metrics::counter!("aria_model_events_dropped_total").increment(1);
        }
    }
}

/// Queues the caller's sound that has been put together.
fn append(stream: &mut Stream, append: &mut Append) {
    if let Some((audio, born)) = append.take() {
        stream.push(Message::text(sound::append(&audio)), Some(born));
    }
}
