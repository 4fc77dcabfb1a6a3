//! One session's peer connection: a socket, str0m, and what connects them to the conversation.

mod channel;
mod media;

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
use str0m::rtp::Ssrc;
use str0m::{Event, IceConnectionState, Input, Output as RtcOutput, Rtc};

use super::codec::Payload;
use super::ear::Ear;
use super::faults::MediaFaults;
use super::mind::Mind;
use super::pacer::Pacer;
use super::record::{End, Happening, Log};
use super::spray::Sprayer;
use crate::network::Network;

/// Datagrams read in one turn, so that one client cannot starve the others of its thread.
const DATAGRAMS_A_TURN: usize = 64;
/// A session that never connected is given up after this.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time for the last packets (SCTP shutdown, DTLS `close_notify`) to leave.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// Time for the last event to be acknowledged before the peer closes.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Frames that str0m has taken and not sent, at most: it sends each within a turn or two, or never. The oldest gives way.
const MAX_WRITTEN: usize = 64;
/// Largest datagram that is read.
const MAX_DATAGRAM: usize = 2048;

/// The parts of a peer that setting it up yields.
pub(crate) struct Parts {
    pub(crate) rtc: Rtc,
    pub(crate) socket: UdpSocket,
    pub(crate) local: SocketAddr,
    pub(crate) audio: Option<Mid>,
    pub(crate) ssrc: Ssrc,
    pub(crate) sends: Payload,
    pub(crate) session: Mind,
    pub(crate) ear: Ear,
    pub(crate) pacer: Pacer,
    pub(crate) network: Network<Datagram>,
    pub(crate) impairs_everything: bool,
    pub(crate) faults: MediaFaults,
    pub(crate) log: Arc<Log>,
}

/// What the simulated network carries.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    bytes: Vec<u8>,
    to: SocketAddr,
    /// The place of the frame in it, in a drill's recording.
    frame: Option<usize>,
}

pub(crate) struct Peer {
    parts: Parts,
    rtc_due: Instant,
    /// When there is something to do without a packet: asked of every session at every wake-up, so computed once a turn.
    due: Instant,
    connected: bool,
    channel: Option<ChannelId>,
    opened: Option<Instant>,
    unsent: VecDeque<String>,
    closing: Option<(End, Instant)>,
    /// The last words are on their way: close then.
    leaving: Option<(End, Instant)>,
    client: Option<SocketAddr>,
    sprayer: Option<Sprayer>,
    /// Sequence numbers and places of a drill's frames that str0m has taken and not sent yet: it sends when it is next told the time.
    written: VecDeque<(u16, usize)>,
    /// Streams of the client that str0m has been told of.
    learned: Vec<Ssrc>,
    ended: bool,
}

impl Peer {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            rtc_due: parts.log.requested,
            due: parts.log.requested,
            parts,
            connected: false,
            channel: None,
            opened: None,
            unsent: VecDeque::new(),
            closing: None,
            leaving: None,
            client: None,
            sprayer: None,
            written: VecDeque::new(),
            learned: Vec::new(),
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
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    fn deadline(&self) -> Instant {
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
        self.due = self.deadline();
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
            self.due = self.deadline();
        }
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) {
        tracing::debug!(call = self.call_id(), %error, "peer connection failed");
        let how = self.closing.take().map_or_else(|| End::Failed(error.to_string()), |(how, _)| how);
        self.finish(how);
    }

    fn is_silent(&self, now: Instant) -> bool {
        let faults = &self.parts.faults;
        faults.udp_blocked || faults.silent_after.is_some_and(|after| self.age(now) >= after)
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
            let frame = self.frame_in(bytes);
            self.parts.network.push(age, Datagram { bytes: bytes.to_vec(), to, frame });
            self.release(now);
        } else {
            // UDP promises nothing; a full buffer is loss.
            let _ = self.parts.socket.send_to(bytes, to);
        }
    }

    /// The place of a drill's frame in this packet.
    fn frame_in(&mut self, bytes: &[u8]) -> Option<usize> {
        if !is_media(bytes) {
            return None;
        }
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let at = self.written.iter().position(|(written, _)| *written == sequence)?;
        self.written.drain(..=at).next_back().map(|(_, frame)| frame)
    }

    fn release(&mut self, now: Instant) {
        let age = self.age(now);
        while let Some(Datagram { bytes, to, frame }) = self.parts.network.pop(age) {
            if let Some(frame) = frame {
                self.parts.session.left(frame);
            }
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

/// RTP that is not RTCP by the second byte (RFC 5761 section 4).
fn is_media(bytes: &[u8]) -> bool {
    is_rtp(bytes) && !(64..96).contains(&(bytes[1] & 0x7f))
}

/// DTLS records that carry data: type 23 of DTLS 1.2, or the unified header of DTLS 1.3 (RFC 9147 section 4).
fn is_application_data(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first == 23 || (32..64).contains(first))
}
