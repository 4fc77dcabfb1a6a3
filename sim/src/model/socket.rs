//! A session on a WebSocket.
//!
//! The conversation is the one that a peer carries; here its client plays the sound, so the server sends it as fast as it is generated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::codec::{Codec, Payload};
use super::config::ModelConfig;
use super::ear::{Ear, Received};
use super::faults::MediaFaults;
use super::ids::Ids;
use super::record::{End, Happening, Log, Request, RtpIn, RtpOut, SessionRecord, SimEvent, Transport};
use super::session::sound::decode;
use super::session::{self, Output, Session};
use super::settings::Settings;
use super::setup::{Plans, unix_seconds};

/// Length of the frames that sound is cut into, ms; a delta has several.
pub(crate) const FRAME_MS: u32 = 20;
/// Largest message of a client: `input_audio_buffer.append` may carry 15 MiB of base64.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long a connection that has fallen silent on purpose is held.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long the client may take to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// The record of a session that has just been asked for.
pub(crate) fn log(
    config: &ModelConfig,
    watchers: &broadcast::Sender<SimEvent>,
    request: Request,
    requested: Instant,
    number: u64,
) -> Arc<Log> {
    let mut ids = Ids::new(seed(config, number));
    let record = SessionRecord {
        session_id: ids.of("sess"),
        call_id: format!("ws_u1_{}", ids.hex(32)),
        transport: Transport::WebSocket,
        requested,
        request,
        answer: String::new(),
        answered_after: requested.elapsed(),
        connected_after: None,
        channel_after: None,
        client_events: Vec::new(),
        server_events: Vec::new(),
        rtp_in: RtpIn::default(),
        rtp_out: RtpOut { codec: Some(Codec::Pcmu), ..RtpOut::default() },
        turns: Vec::new(),
        replies: Vec::new(),
        remarks: Vec::new(),
        ended: None,
    };
    Log::new(record, config.keep_heard, watchers.clone())
}

fn seed(config: &ModelConfig, number: u64) -> u64 {
    config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number)
}

/// One session.
pub(crate) struct Socket {
    session: Session,
    ear: Ear,
    /// The stream as RTP would number it: what the ear counts by.
    sequence: u16,
    timestamp: u32,
    faults: MediaFaults,
    log: Arc<Log>,
    opened: Instant,
    expires: String,
}

impl Socket {
    pub(crate) fn new(
        config: &ModelConfig,
        plans: &Plans,
        mut settings: Settings,
        log: Arc<Log>,
        number: u64,
    ) -> Self {
        settings.identify(&log.record().session_id, unix_seconds() + config.session_limit.as_secs());
        let session = Session::new(session::Setup {
            transport: Transport::WebSocket,
            settings,
            plan: plans.socket(),
            timing: config.timing,
            unverified: config.unverified.clone(),
            faults: config.faults.events.clone(),
            limit: config.session_limit,
            speaks_after: config.faults.media.channel_speaks_after,
            seed: seed(config, number) ^ 1,
        });
        let minutes = config.session_limit.as_secs().div_ceil(60);
        Self {
            session,
            ear: Ear::new(vec![Payload { payload_type: 0, codec: Codec::Pcmu }], log.requested),
            sequence: 0,
            timestamp: 0,
            faults: config.faults.media.clone(),
            opened: log.requested,
            log,
            expires: format!("Your session hit the maximum duration of {minutes} minutes."),
        }
    }

    /// Carries the session to its end.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, io: S) {
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
        let mut ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        self.opened = Instant::now();
        let age = self.age();
        self.log.record().connected_after = Some(age);
        self.log.tell(Happening::Connected);
        if !self.faults.channel_never_opens {
            self.log.record().channel_after = Some(age);
            self.log.tell(Happening::ChannelOpen);
            self.session.open(age);
        }
        let how = self.serve(&mut ws).await;
        let close = match how {
            End::Expired => Some((CloseCode::Away, self.expires.as_str())),
            End::Hangup => Some((CloseCode::Normal, "")),
            End::Fault if self.due(self.faults.channel_closes_after) => Some((CloseCode::Normal, "")),
            End::Fault if self.due(self.faults.peer_closes_after) => Some((CloseCode::Error, "")),
            _ => None,
        };
        if let Some((code, reason)) = close {
            // The client may have gone at the same time.
            let _ = ws.close(Some(CloseFrame { code, reason: reason.into() })).await;
            let answered = async { while ws.next().await.is_some_and(|message| message.is_ok()) {} };
            let _ = tokio::time::timeout(CLOSE_WITHIN, answered).await;
        }
        self.log.end(how);
    }

    fn age(&self) -> Duration {
        self.log.requested.elapsed()
    }

    fn due(&self, after: Option<Duration>) -> bool {
        after.is_some_and(|after| self.opened.elapsed() >= after)
    }

    /// When something is to be done without a message.
    fn deadline(&self) -> Instant {
        let faults = &self.faults;
        let after_open = [faults.channel_closes_after, faults.peer_closes_after, faults.socket_cut_after];
        let step = self.session.next_timeout().map(|at| self.log.requested + at);
        let silent = faults.silent_after.map(|after| self.log.requested + after);
        let faulty = after_open.into_iter().flatten().map(|after| self.opened + after);
        faulty.chain(step).chain(silent).fold(Instant::now() + Duration::from_secs(3600), Instant::min)
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, ws: &mut WebSocketStream<S>) -> End {
        let log = Arc::clone(&self.log);
        loop {
            if let Err(end) = self.flush(ws).await {
                return end;
            }
            let deadline = self.deadline();
            tokio::select! {
                message = ws.next() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(&text),
                    Some(Ok(Message::Binary(_))) => self.remark("the client sent a binary message"),
                    Some(Ok(Message::Close(_))) => {}
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return End::Lost,
                    None => return End::PeerClosed,
                },
                () = tokio::time::sleep_until(deadline.into()) => {
                    let faults = &self.faults;
                    if faults.silent_after.is_some_and(|after| self.age() >= after) {
                        tokio::select! {
                            () = tokio::time::sleep(SILENT_FOR) => return End::Lost,
                            () = log.hangup.notified() => return End::Hangup,
                        }
                    }
                    let fault = [faults.channel_closes_after, faults.peer_closes_after, faults.socket_cut_after];
                    if fault.into_iter().any(|after| self.due(after)) {
                        return End::Fault;
                    }
                    self.session.timeout(self.age());
                }
                () = log.hangup.notified() => return End::Hangup,
            }
        }
    }

    /// Sends what the session has to say.
    async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        ws: &mut WebSocketStream<S>,
    ) -> Result<(), End> {
        while let Some(output) = self.session.poll() {
            let age = self.age();
            let text = match output {
                Output::Note(note) => {
                    self.log.note(age, note);
                    continue;
                }
                Output::Expired => return Err(End::Expired),
                Output::Event(event) => {
                    let text = event.to_string();
                    self.log.server_event(age, event);
                    text
                }
                Output::Sound(event, _) => {
                    let mut record = self.log.record();
                    record.rtp_out.packets += 1;
                    record.rtp_out.first_after.get_or_insert(age);
                    event.to_string()
                }
                Output::Raw(text) => {
                    self.log.server_event(age, Value::String(text.clone()));
                    text
                }
            };
            ws.feed(Message::text(text)).await.map_err(|_| End::Lost)?;
        }
        ws.flush().await.map_err(|_| End::Lost)
    }

    fn receive(&mut self, text: &str) {
        let age = self.age();
        let event = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        if let Some(audio) = sound(&event) {
            return self.hear(audio, age);
        }
        self.log.client_event(age, event);
        self.session.receive(text, age);
    }

    fn hear(&mut self, audio: Vec<u8>, age: Duration) {
        let payload = decode(self.session.input_format(), audio);
        let received = Received {
            payload_type: 0,
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload: &payload,
            at: Instant::now(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        let samples = self.ear.take(&received, &mut self.log.record().rtp_in);
        self.log.hear(&samples);
        self.session.hear(&samples, age);
    }

    fn remark(&self, remark: &str) {
        self.log.note(self.age(), super::record::Note::Remark(remark.to_owned()));
    }
}

/// The sound of an `input_audio_buffer.append` that is in order; everything else is for the session to judge.
fn sound(event: &Value) -> Option<Vec<u8>> {
    if event["type"] != "input_audio_buffer.append" || event.as_object()?.len() > 3 {
        return None;
    }
    base64_simd::STANDARD.decode_to_vec(event["audio"].as_str()?).ok()
}
