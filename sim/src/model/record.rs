//! What a session saw and did, for tests and for people who watch.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, broadcast};

use super::codec::Codec;
use super::lateness::Lateness;

/// Events kept per direction and session; later ones are counted only.
pub const MAX_EVENTS: usize = 8192;
/// Gaps kept per session.
pub const MAX_GAPS: usize = 1024;
/// Capacity of the broadcast of [`SimEvent`]s: a slow listener loses the oldest.
pub const BROADCAST_EVENTS: usize = 4096;

/// Everything about one session but its sound.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// `rtc_u1_…`, as in the `Location` of the answer. A WebSocket has none on the wire and is `ws_u1_…` here.
    pub call_id: String,
    /// How the client is connected.
    pub transport: Transport,
    /// `sess_…`.
    pub session_id: String,
    /// When the request came in. All other times are since then unless they say otherwise.
    pub requested: Instant,
    /// The request.
    pub request: Request,
    /// The SDP answer as sent; empty over a WebSocket.
    pub answer: String,
    /// From the request's arrival to the answer being ready.
    pub answered_after: Duration,
    /// ICE and DTLS were up.
    pub connected_after: Option<Duration>,
    /// The data channel was open.
    pub channel_after: Option<Duration>,
    /// What the client sent on the data channel, or on the WebSocket but for its sound.
    pub client_events: Vec<Logged>,
    /// What was sent on the data channel, or on the WebSocket but for its sound.
    pub server_events: Vec<Logged>,
    /// The sound from the client. Over a WebSocket each `append` counts as a packet.
    pub rtp_in: RtpIn,
    /// The sound to the client. Over a WebSocket each delta counts as a packet.
    pub rtp_out: RtpOut,
    /// The caller's turns as detected.
    pub turns: Vec<SpeechTurn>,
    /// What the model said.
    pub replies: Vec<Reply>,
    /// Oddities worth knowing: a tool that the session lacks, a message that was refused …
    pub remarks: Vec<String>,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// The way to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RTP and a data channel.
    WebRtc,
    /// Everything on one WebSocket.
    WebSocket,
}

/// The set-up request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its `Content-Type` without parameters.
    pub content_type: String,
    /// The `session` part.
    pub session: Option<Value>,
    /// The offer.
    pub offer: String,
    /// `OpenAI-Safety-Identifier`.
    pub safety_identifier: Option<String>,
    /// Whether the bearer was an ephemeral key.
    pub ephemeral_key: bool,
}

/// One event on the data channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Since the request.
    pub at: Duration,
    /// The event; a JSON string if it was not JSON.
    pub event: Value,
}

impl Logged {
    /// The event's type, empty if it has none.
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap_or_default()
    }
}

/// RTP received.
#[derive(Debug, Clone, Default)]
pub struct RtpIn {
    /// Packets.
    pub packets: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Packets by codec.
    pub by_codec: Vec<(Codec, u64)>,
    /// Packets of an unknown payload type.
    pub unknown: u64,
    /// Packets whose sequence number jumped ahead, counted by the numbers that were missing.
    pub missing: u64,
    /// Packets that came twice or too late to be heard.
    pub late: u64,
    /// Payloads that could not be decoded.
    pub undecodable: u64,
    /// Gaps in the timestamps: media time in ms where each began, and its length in ms.
    pub gaps: Vec<(u64, u64)>,
    /// Timestamps that jumped too far to be a gap.
    pub resets: u64,
    /// Arrival against media time, relative to the quickest packet so far.
    pub lateness: Lateness,
    /// Media time received in milliseconds.
    pub media_ms: u64,
    /// Arrival of the first packet.
    pub first_after: Option<Duration>,
}

/// RTP sent.
#[derive(Debug, Clone, Default)]
pub struct RtpOut {
    /// The codec.
    pub codec: Option<Codec>,
    /// Packets of speech.
    pub packets: u64,
    /// Packets of silence.
    pub silent: u64,
    /// Packets that the simulated network lost.
    pub lost: u64,
    /// The moment each packet was written against its schedule.
    pub lateness: Lateness,
    /// When the first packet of speech left.
    pub first_after: Option<Duration>,
}

/// One turn of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechTurn {
    /// The user item.
    pub item_id: String,
    /// Media time of the start, prefix padding included.
    pub audio_start_ms: u64,
    /// Media time of the end, silence included; `None` while it lasts.
    pub audio_end_ms: Option<u64>,
    /// When the start was detected.
    pub detected: Duration,
    /// When the end was detected.
    pub stopped: Option<Duration>,
}

/// One spoken part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its response.
    pub response_id: String,
    /// Its item.
    pub item_id: String,
    /// Its transcript.
    pub text: String,
    /// Its length when whole.
    pub total_ms: u32,
    /// When generation began.
    pub begun: Duration,
    /// Milliseconds that left as RTP or in deltas; final once `finished` is set.
    pub played_ms: u32,
    /// Milliseconds that the model believes were heard: all that left, unless it was truncated.
    pub believed_ms: u32,
    /// Whether it was cut, by either side.
    pub truncated: bool,
    /// When the last of it had left, or it was cut.
    pub finished: Option<Duration>,
}

/// The end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Since the request.
    pub after: Duration,
    /// Why.
    pub how: End,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client closed DTLS or the WebSocket.
    PeerClosed,
    /// `POST /hangup`.
    Hangup,
    /// No sign of the client any more (ICE consent, 15 s), or it never came.
    Lost,
    /// The session reached its age.
    Expired,
    /// A configured fault closed it.
    Fault,
    /// The server was shut down.
    Shutdown,
    /// The peer connection failed.
    Failed(String),
}

/// Something that happened, for those who watch while it does.
#[derive(Debug, Clone)]
pub struct SimEvent {
    /// The session.
    pub call_id: String,
    /// When.
    pub at: Instant,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A set-up request was answered.
    Requested,
    /// ICE and DTLS are up.
    Connected,
    /// The data channel is open.
    ChannelOpen,
    /// The client sent this event.
    Client(Value),
    /// The server sent this event.
    Server(Value),
    /// It is over.
    Ended(End),
}

/// The record of a session under way.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) call_id: String,
    pub(crate) requested: Instant,
    record: Mutex<SessionRecord>,
    heard: Mutex<Vec<i16>>,
    keep_heard: usize,
    watchers: broadcast::Sender<SimEvent>,
    /// Rung to end a session that no engine carries.
    pub(crate) hangup: Notify,
}

impl Log {
    pub(crate) fn new(
        record: SessionRecord,
        keep_heard: Duration,
        watchers: broadcast::Sender<SimEvent>,
    ) -> Arc<Self> {
        Arc::new(Self {
            call_id: record.call_id.clone(),
            requested: record.requested,
            record: Mutex::new(record),
            heard: Mutex::default(),
            keep_heard: keep_heard.as_millis() as usize * 8,
            watchers,
            hangup: Notify::new(),
        })
    }

    /// The record, for reading or a quick change.
    pub(crate) fn record(&self) -> MutexGuard<'_, SessionRecord> {
        self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn tell(&self, what: Happening) {
        // Nobody need be listening.
        let _ = self.watchers.send(SimEvent { call_id: self.call_id.clone(), at: Instant::now(), what });
    }

    pub(crate) fn client_event(&self, at: Duration, event: Value) {
        self.tell(Happening::Client(event.clone()));
        keep(&mut self.record().client_events, Logged { at, event }, MAX_EVENTS);
    }

    pub(crate) fn server_event(&self, at: Duration, event: Value) {
        self.tell(Happening::Server(event.clone()));
        keep(&mut self.record().server_events, Logged { at, event }, MAX_EVENTS);
    }

    pub(crate) fn hear(&self, samples: &[i16]) {
        let mut heard = self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let room = self.keep_heard.saturating_sub(heard.len());
        heard.extend(&samples[..samples.len().min(room)]);
    }

    pub(crate) fn heard(&self) -> Vec<i16> {
        self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn note(&self, at: Duration, note: Note) {
        let mut record = self.record();
        match note {
            Note::TurnStarted { item_id, audio_start_ms } => {
                let turn =
                    SpeechTurn { item_id, audio_start_ms, audio_end_ms: None, detected: at, stopped: None };
                keep(&mut record.turns, turn, MAX_EVENTS);
            }
            Note::TurnStopped { item_id, audio_end_ms } => {
                if let Some(turn) = record.turns.iter_mut().rfind(|t| t.item_id == item_id) {
                    turn.audio_end_ms = Some(audio_end_ms);
                    turn.stopped = Some(at);
                }
            }
            Note::ReplyBegun { response_id, item_id, text, total_ms } => {
                let reply = Reply {
                    response_id,
                    item_id,
                    text,
                    total_ms,
                    begun: at,
                    played_ms: 0,
                    believed_ms: 0,
                    truncated: false,
                    finished: None,
                };
                keep(&mut record.replies, reply, MAX_EVENTS);
            }
            Note::ReplyEnded { item_id, played_ms, truncated } => {
                if let Some(reply) = record.replies.iter_mut().rfind(|r| r.item_id == item_id) {
                    reply.played_ms = played_ms;
                    reply.believed_ms = played_ms;
                    reply.truncated = truncated;
                    reply.finished = Some(at);
                }
            }
            Note::Truncated { item_id, audio_end_ms } => {
                if let Some(reply) = record.replies.iter_mut().rfind(|r| r.item_id == item_id) {
                    reply.believed_ms = audio_end_ms;
                    reply.truncated = true;
                    reply.finished.get_or_insert(at);
                }
            }
            Note::Remark(remark) => keep(&mut record.remarks, remark, MAX_EVENTS),
        }
    }

    /// Sets the end, once.
    pub(crate) fn end(&self, how: End) {
        let mut record = self.record();
        if record.ended.is_none() {
            record.ended = Some(Ended { after: self.requested.elapsed(), how: how.clone() });
            drop(record);
            self.tell(Happening::Ended(how));
        }
    }
}

fn keep<T>(list: &mut Vec<T>, item: T, limit: usize) {
    if list.len() < limit {
        list.push(item);
    }
}

/// What the session tells about itself beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    TurnStarted { item_id: String, audio_start_ms: u64 },
    TurnStopped { item_id: String, audio_end_ms: u64 },
    ReplyBegun { response_id: String, item_id: String, text: String, total_ms: u32 },
    ReplyEnded { item_id: String, played_ms: u32, truncated: bool },
    Truncated { item_id: String, audio_end_ms: u32 },
    Remark(String),
}
