//! One session's peer connection: a socket, str0m, and what connects them to the conversation.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use str0m::channel::ChannelId;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite, Ssrc};
use str0m::{Event, IceConnectionState, Input, Output as RtcOutput, Rtc};

use super::codec::Payload;
use super::ear::{Ear, Received};
use super::faults::MediaFaults;
use super::output::Beat;
use super::pacer::{Frame, Pacer};
use super::record::{End, Happening, Log};
use super::session::{Output, Session};
use super::spray::Sprayer;
use crate::network::Network;

/// Datagrams read in one turn, so that one client cannot starve the others of its thread.
const DATAGRAMS_A_TURN: usize = 64;
/// Messages that wait for room in the data channel; later ones are dropped and remarked.
const MAX_UNSENT: usize = 4096;
/// A session that never connected is given up after this.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time for the last packets (SCTP shutdown, DTLS `close_notify`) to leave.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// Time for the last event to be acknowledged before the peer closes.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Largest datagram that is read.
const MAX_DATAGRAM: usize = 2048;
/// Streams learned from packets when the offer named none.
const MAX_LEARNED_STREAMS: u32 = 8;

/// The parts of a peer that setting it up yields.
pub(crate) struct Parts {
    pub(crate) rtc: Rtc,
    pub(crate) socket: UdpSocket,
    pub(crate) local: SocketAddr,
    pub(crate) audio: Option<Mid>,
    pub(crate) ssrc: Ssrc,
    pub(crate) sends: Payload,
    pub(crate) session: Session,
    pub(crate) ear: Ear,
    pub(crate) pacer: Pacer,
    pub(crate) network: Network<(Vec<u8>, SocketAddr)>,
    pub(crate) impairs_everything: bool,
    pub(crate) faults: MediaFaults,
    pub(crate) log: Arc<Log>,
}

pub(crate) struct Peer {
    parts: Parts,
    rtc_due: Instant,
    connected: bool,
    channel: Option<ChannelId>,
    opened: Option<Instant>,
    unsent: VecDeque<String>,
    closing: Option<(End, Instant)>,
    /// The last words are on their way: close then.
    leaving: Option<(End, Instant)>,
    client: Option<SocketAddr>,
    sprayer: Option<Sprayer>,
    learned: u32,
    ended: bool,
}

impl Peer {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            rtc_due: parts.log.requested,
            parts,
            connected: false,
            channel: None,
            opened: None,
            unsent: VecDeque::new(),
            closing: None,
            leaving: None,
            client: None,
            sprayer: None,
            learned: 0,
            ended: false,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.parts.socket.as_raw_fd()
    }

    pub(crate) fn call_id(&self) -> &str {
        &self.parts.log.call_id
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.parts.log.requested)
    }

    /// When [`Peer::drive`] has something to do without a packet.
    pub(crate) fn deadline(&self) -> Instant {
        let requested = self.parts.log.requested;
        let faults = &self.parts.faults;
        let after_open = [faults.channel_closes_after, faults.peer_closes_after];
        let after_open = after_open.into_iter().flatten().filter_map(|after| Some(self.opened? + after));
        [
            self.closing.as_ref().map(|(_, at)| *at),
            self.leaving.as_ref().map(|(_, at)| *at),
            self.parts.session.next_timeout().map(|at| requested + at),
            self.parts.network.next().map(|at| requested + at),
            self.parts.pacer.next(),
            self.sprayer.as_ref().and_then(Sprayer::next),
            (!self.connected).then_some(requested + CONNECT_WITHIN),
        ]
        .into_iter()
        .flatten()
        .chain(after_open)
        .fold(self.rtc_due, Instant::min)
    }

    /// Reads what has come if `readable`, and does everything that is due.
    pub(crate) fn drive(&mut self, readable: bool) {
        if readable {
            self.read();
        }
        let now = Instant::now();
        if now >= self.rtc_due {
            self.input(Input::Timeout(now));
        }
        self.run_faults(now);
        let age = self.age(now);
        self.parts.session.timeout(age);
        self.pace(now);
        self.flush(now);
        self.pump();
        self.release(now);
        let over = self.closing.as_ref().is_some_and(|(_, at)| now >= *at) || !self.parts.rtc.is_alive();
        if !self.connected && now >= self.parts.log.requested + CONNECT_WITHIN {
            self.finish(End::Lost);
        } else if over {
            let how = self.closing.take().map_or(End::PeerClosed, |(how, _)| how);
            self.finish(how);
        }
    }

    /// Ends the session at once; nothing more is sent.
    pub(crate) fn finish(&mut self, how: End) {
        self.parts.log.end(how);
        self.ended = true;
    }

    /// Ends a session that panicked.
    pub(crate) fn abandon(&mut self) {
        self.finish(End::Failed("panicked".to_owned()));
    }

    /// Ends the session in an orderly way.
    pub(crate) fn close(&mut self, how: End) {
        if self.closing.is_none() {
            self.closing = Some((how, Instant::now() + CLOSE_WITHIN));
            if let Err(error) = self.parts.rtc.close() {
                self.fail(&error);
            }
            self.pump();
        }
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) {
        tracing::debug!(call = self.call_id(), %error, "peer connection failed");
        let how = self.closing.take().map_or_else(|| End::Failed(error.to_string()), |(how, _)| how);
        self.finish(how);
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.parts.faults.silent_after.is_some_and(|after| self.age(now) >= after)
    }

    fn read(&mut self) {
        let mut datagram = [0; MAX_DATAGRAM];
        for _ in 0..DATAGRAMS_A_TURN {
            let (size, source) = match self.parts.socket.recv_from(&mut datagram) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A refused datagram of ours comes back as an error on some systems: the client's socket is gone.
                Err(_) => continue,
            };
            let (now, bytes) = (Instant::now(), &datagram[..size]);
            if self.is_silent(now) || (self.parts.faults.channel_never_opens && is_application_data(bytes)) {
                continue;
            }
            self.learn_stream(bytes);
            // What is none of STUN, DTLS, RTP or RTCP is dropped here, as a real server would.
            if let Ok(receive) = Receive::new(Protocol::Udp, source, self.parts.local, bytes) {
                self.input(Input::Receive(now, receive));
            }
            if self.ended {
                return;
            }
        }
    }

    /// An offer need not name its SSRC; with one audio line every stream belongs to it.
    fn learn_stream(&mut self, bytes: &[u8]) {
        let is_rtp = is_rtp(bytes) && !(64..96).contains(&(bytes[1] & 0x7f));
        let (Some(mid), true) = (self.parts.audio, is_rtp && self.learned < MAX_LEARNED_STREAMS) else {
            return;
        };
        let ssrc = Ssrc::from(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
        let mut direct = self.parts.rtc.direct_api();
        if direct.stream_rx(&ssrc).is_none() {
            direct.expect_stream_rx(ssrc, None, mid, None);
            self.learned += 1;
        }
    }

    fn input(&mut self, input: Input<'_>) {
        match self.parts.rtc.handle_input(input) {
            Ok(()) => self.pump(),
            Err(error) => self.fail(&error),
        }
    }

    /// Takes everything that str0m has to say.
    fn pump(&mut self) {
        while !self.ended {
            match self.parts.rtc.poll_output() {
                Ok(RtcOutput::Timeout(at)) => {
                    self.rtc_due = at;
                    return;
                }
                Ok(RtcOutput::Transmit(transmit)) => self.transmit(&transmit.contents, transmit.destination),
                Ok(RtcOutput::Event(event)) => self.event(event),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn transmit(&mut self, bytes: &[u8], to: SocketAddr) {
        let now = Instant::now();
        self.client = Some(to);
        if self.is_silent(now) {
            return;
        }
        if self.parts.impairs_everything || is_rtp(bytes) {
            let age = self.age(now);
            self.parts.network.push(age, (bytes.to_vec(), to));
            self.release(now);
        } else {
            // UDP promises nothing; a full buffer is loss.
            let _ = self.parts.socket.send_to(bytes, to);
        }
    }

    fn release(&mut self, now: Instant) {
        let age = self.age(now);
        while let Some((bytes, to)) = self.parts.network.pop(age) {
            let _ = self.parts.socket.send_to(&bytes, to);
        }
    }

    fn event(&mut self, event: Event) {
        let now = Instant::now();
        let age = self.age(now);
        match event {
            Event::Connected => {
                self.connected = true;
                self.parts.log.record().connected_after = Some(age);
                self.parts.log.tell(Happening::Connected);
            }
            Event::ChannelOpen(id, label) if label == "oai-events" && self.channel.is_none() => {
                self.channel = Some(id);
                self.opened.get_or_insert(now);
                self.parts.log.record().channel_after.get_or_insert(age);
                self.parts.log.tell(Happening::ChannelOpen);
                self.parts.session.open(age);
                self.parts.pacer.open(now);
                let spray = self.parts.faults.spray;
                self.sprayer = spray.and_then(|s| Sprayer::new(s, self.parts.local.ip(), now).ok());
                self.flush(now);
            }
            Event::ChannelOpen(_, label) => {
                self.remark(format!("the client opened a channel named {label:?}"))
            }
            Event::ChannelData(data) => {
                if data.binary {
                    self.remark("the client sent a binary message".to_owned());
                }
                let text = String::from_utf8_lossy(&data.data);
                let event = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.to_string()));
                self.parts.log.client_event(age, event);
                self.parts.session.receive(&text, age);
                self.flush(now);
            }
            Event::ChannelClose(id) if self.channel == Some(id) => {
                self.channel = None;
                if self.closing.is_none() && self.parts.faults.channel_closes_after.is_none() {
                    self.remark("the client closed the data channel".to_owned());
                }
            }
            Event::RtpPacket(packet) => self.hear(&packet, age),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.connected => {
                self.finish(End::Lost);
            }
            Event::Closed if self.closing.is_none() => {
                self.closing = Some((End::PeerClosed, now + CLOSE_WITHIN));
            }
            _ => {}
        }
    }

    fn remark(&self, remark: String) {
        self.parts.log.note(self.age(Instant::now()), super::record::Note::Remark(remark));
    }

    fn hear(&mut self, packet: &RtpPacket, age: Duration) {
        let received = Received {
            payload_type: *packet.header.payload_type,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            payload: &packet.payload,
            at: packet.timestamp,
        };
        let samples = self.parts.ear.take(&received, &mut self.parts.log.record().rtp_in);
        if !samples.is_empty() {
            self.parts.log.hear(&samples);
            self.parts.session.hear(&samples, age);
            self.flush(Instant::now());
        }
    }

    /// Sends the RTP that is due.
    fn pace(&mut self, now: Instant) {
        if self.parts.session.is_playing() {
            self.parts.pacer.wake(now);
        }
        while let Some(due) = self.parts.pacer.due(now) {
            let age = self.age(due);
            match self.parts.session.beat(age) {
                Beat::Frame { payload, first } => {
                    let frame = self.parts.pacer.speech(due, payload, first);
                    self.flush(now);
                    self.write(frame, due);
                    let late = Instant::now().saturating_duration_since(due);
                    let mut record = self.parts.log.record();
                    record.rtp_out.packets += 1;
                    record.rtp_out.lateness.record(late);
                    record.rtp_out.first_after.get_or_insert(age);
                    record.rtp_out.lost = self.parts.network.lost();
                }
                Beat::Nothing if self.parts.session.is_playing() => {
                    // Generation has fallen behind the playout: the beat goes on without a packet.
                }
                Beat::Nothing => {
                    let plan = Arc::clone(self.parts.session.plan());
                    if let Some(frame) = self.parts.pacer.nothing(due, &plan.silence.frames) {
                        self.write(frame, due);
                        self.parts.log.record().rtp_out.silent += 1;
                    }
                }
            }
        }
    }

    fn write(&mut self, frame: Frame, due: Instant) {
        let ssrc = self.parts.ssrc;
        let packet = RtpWrite::new(
            self.parts.sends.payload_type.into(),
            frame.sequence.into(),
            frame.timestamp,
            due,
            frame.payload,
        );
        if let Some(stream) = self.parts.rtc.direct_api().stream_tx(&ssrc) {
            stream.write_rtp(packet.marker(frame.marker));
        }
        self.pump();
    }

    /// Moves what the session has to say into the data channel and the record.
    fn flush(&mut self, now: Instant) {
        let age = self.age(now);
        while let Some(output) = self.parts.session.poll() {
            match output {
                Output::Note(note) => self.parts.log.note(age, note),
                Output::Expired => self.leaving = Some((End::Expired, now + LAST_WORDS)),
                Output::Event(event) => {
                    let text = event.to_string();
                    self.parts.log.server_event(age, event);
                    self.queue(text);
                }
                Output::Raw(text) => {
                    self.parts.log.server_event(age, Value::String(text.clone()));
                    self.queue(text);
                }
            }
        }
        let Some(id) = self.channel else { return self.unsent.clear() };
        while let Some(text) = self.unsent.pop_front() {
            let Some(mut channel) = self.parts.rtc.channel(id) else { return };
            match channel.write(false, text.as_bytes()) {
                Ok(true) => {}
                Ok(false) => return self.unsent.push_front(text),
                Err(error) => self.remark(format!("a message of {} bytes was not sent: {error}", text.len())),
            }
        }
    }

    fn queue(&mut self, text: String) {
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.push_back(text);
        } else {
            self.remark("the data channel is stuck: a message was dropped".to_owned());
        }
    }

    fn run_faults(&mut self, now: Instant) {
        if let Some((how, _)) = self.leaving.take_if(|(_, at)| now >= *at) {
            self.close(how);
        }
        let Some(opened) = self.opened else { return };
        let due = |after: Option<Duration>| after.is_some_and(|after| now >= opened + after);
        if due(self.parts.faults.channel_closes_after) {
            self.parts.faults.channel_closes_after = None;
            if let Some(id) = self.channel.take() {
                self.parts.rtc.direct_api().close_data_channel(id);
            }
        }
        if due(self.parts.faults.peer_closes_after) {
            self.parts.faults.peer_closes_after = None;
            self.close(End::Fault);
        }
        if let (Some(sprayer), Some(client)) = (&mut self.sprayer, self.client) {
            sprayer.run(now, client, *self.parts.ssrc);
        }
    }
}

/// RTP or RTCP by the first byte (RFC 7983).
fn is_rtp(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && (128..192).contains(&bytes[0])
}

/// DTLS records that carry data: type 23 of DTLS 1.2, or the unified header of DTLS 1.3 (RFC 9147 section 4).
fn is_application_data(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first == 23 || (32..64).contains(first))
}
