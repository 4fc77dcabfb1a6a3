//! The peer connection to the model, without sockets: datagrams and the time go in, datagrams and events come out.
//!
//! This file alone knows which WebRTC stack carries the leg: webrtc-rs, through its sans-I/O core `rtc`. The reasons and
//! the traps are in `docs/architecture.md`. Nothing of `rtc` shows in the types of this file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pipeline::{ModelCodec, Packet};
use rtc::data_channel::RTCDataChannelId;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Registry;
use rtc::media_stream::{MediaStreamTrack, MediaStreamTrackId};
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_OPUS, MIME_TYPE_PCMA, MIME_TYPE_PCMU, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::{SctpMaxMessageSize, SettingEngineBuilder};
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::wire::MAX_EVENT_BYTES;
use crate::memory;

/// The data channel that carries the events; the client opens it.
pub const CHANNEL_LABEL: &str = "oai-events";

/// First connectivity checks follow each other this fast: the default of 200 ms is most of a call's set-up time.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Checks per candidate pair before the stack gives up: with [`CHECK_INTERVAL`] longer than any set-up budget.
const CHECK_ATTEMPTS: u16 = 600;
/// How long checks go at [`CHECK_INTERVAL`]; later ones are thinned out to RFC 8445's pace.
const FAST_CHECKS: Duration = Duration::from_millis(100);
/// RFC 8445 section 14.2: Ta, the pace of checks to one address.
const PACED_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Consent freshness (RFC 7675): how often we ask.
const KEEPALIVE: Duration = Duration::from_millis(500);
/// No answer for this long: the path is in doubt.
const DISCONNECTED_AFTER: Duration = Duration::from_millis(1_500);
/// No answer for this long after that: the path is lost, and another session takes over. Together 2 s: a path that comes back later has
/// cost the caller as much as a new session does; less would take a stall for a loss.
const FAILED_AFTER: Duration = Duration::from_millis(500);

/// What the server may have under way on the event channel. A message above [`MAX_EVENT_BYTES`] is dropped whole if it fits in here; a
/// larger one fills the window and nothing comes after it. Costs nothing while it is empty.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of the event channel without an event in them, from which on the window must be full of a message that never ends.
const STUCK_BYTES: usize = WINDOW_BYTES as usize - 2 * MAX_EVENT_BYTES;
/// DTLS 1.2 record type of application data (RFC 5246, 6.2.1): the event channel.
const APPLICATION_DATA: u8 = 23;

/// Whether a datagram is SRTP or SRTCP rather than STUN or DTLS (RFC 7983).
pub fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(128..192))
}

/// What the stack refused.
#[derive(Debug, thiserror::Error)]
#[error("WebRTC: {0}")]
pub struct PeerError(String);

impl From<rtc::shared::error::Error> for PeerError {
    fn from(error: rtc::shared::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// What comes out of a peer connection.
#[derive(Debug)]
pub enum PeerEvent {
    /// ICE and DTLS are up: audio may flow.
    Connected,
    /// The data channel is open: events may flow.
    ChannelOpen,
    /// The data channel closed: the session is lost.
    ChannelClosed,
    /// The connection is lost for good.
    Lost,
    /// An event of the server.
    Text(String),
    /// Sound of the server. `born` is the arrival of its datagram as given to [`Peer::handle_datagram`].
    Audio(Packet<Bytes>),
}

/// One peer connection.
pub struct Peer {
    connection: RTCPeerConnection,
    ssrc: u32,
    channel: RTCDataChannelId,
    /// Host addresses of the one socket: the loopback one for peers on loopback, the other for the rest.
    local: Vec<SocketAddr>,
    /// Payload types of the answer.
    codecs: Vec<(u8, ModelCodec)>,
    /// The far end of the validated pair: media and DTLS from elsewhere are dropped.
    remote: Option<SocketAddr>,
    /// Datagrams dropped because they came from elsewhere.
    strangers: u64,
    checks: Vec<(SocketAddr, Instant)>,
    started: Option<Instant>,
    datagram_born: pipeline::Nanos,
    /// Bytes of the event channel since the last event.
    unread: usize,
    sequence: u16,
}

impl Peer {
    /// Builds the connection and its offer: audio first, then the data channel, `actpass`, host candidates only.
    ///
    /// `local` are the addresses of the one UDP socket; `codecs` is the order of the offer.
    pub fn new(
        now: Instant,
        local: &[SocketAddr],
        codecs: &[ModelCodec],
    ) -> Result<(Self, String), PeerError> {
        let mut media = MediaEngine::default();
        for codec in codecs {
            media.register_codec(parameters(*codec), RtpCodecKind::Audio)?;
        }
        let settings = SettingEngineBuilder::new()
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECK_ATTEMPTS))
            .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEPALIVE))
            .with_host_acceptance_min_wait(Some(Duration::ZERO))
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            // The default opens a multicast socket for every connection.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_include_loopback_candidate(true)
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_EVENT_BYTES as u32))
            .with_sctp_max_receive_buffer_size(WINDOW_BYTES)
            .build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_setting_engine(settings)
            // No answer negotiates NACK, TWCC or reports; each interceptor would cost on every packet.
            .with_interceptor_registry(Registry::new())
            .build(now)?;

        let ssrc = rand::random::<u32>();
        let track = MediaStreamTrack::new(
            "aria".into(),
            "caller".into(),
            "caller".into(),
            RtpCodecKind::Audio,
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
                codec: parameters(codecs[0]).rtp_codec,
                ..Default::default()
            }],
        );
        connection.add_track(track)?;
        // With an encoding that names one codec the offer would list that one alone.
        let transceiver = connection.get_transceivers().next();
        if let Some(mut transceiver) = transceiver.and_then(|id| connection.rtp_transceiver(id)) {
            transceiver.set_codec_preferences(codecs.iter().map(|c| parameters(*c)).collect())?;
        }
        let channel = connection.create_data_channel(CHANNEL_LABEL, None)?.id();
        for address in local {
            let base_config = CandidateConfig {
                network: "udp".into(),
                address: address.ip().to_string(),
                port: address.port(),
                component: 1,
                ..Default::default()
            };
            let candidate = CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host()?;
            connection.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        }
        let offer = connection.create_offer(None)?;
        connection.set_local_description(now, offer)?;
        let sdp = connection
            .local_description()
            .map(|d| d.sdp)
            .ok_or_else(|| PeerError("no local description".into()))?;
        let peer = Self {
            connection,
            ssrc,
            channel,
            local: local.to_vec(),
            codecs: Vec::new(),
            remote: None,
            strangers: 0,
            checks: Vec::new(),
            started: None,
            datagram_born: pipeline::Nanos(0),
            unread: 0,
            sequence: rand::random(),
        };
        Ok((peer, sdp))
    }

    /// Applies an answer that `sdp::read` has passed.
    pub fn accept(&mut self, now: Instant, answer: &super::sdp::Answer) -> Result<(), PeerError> {
        self.codecs = answer.codecs.clone();
        self.started = Some(now);
        let description = RTCSessionDescription::answer(answer.sdp.clone())?;
        let connection = &mut self.connection;
        // SAFETY: the stack makes its buffer of the largest message here, writes zeros to all of it, and has no threads.
        let accepted = unsafe {
            memory::sparse(MAX_EVENT_BYTES, || connection.set_remote_description(now, description))
        };
        Ok(accepted?)
    }

    /// Takes a datagram. DTLS and media are taken from the validated pair alone: the stack would take them from anyone, and a
    /// stray ClientHello would end the call (CVE-2023-51443).
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        born: pipeline::Nanos,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        let is_stun = datagram.first().is_some_and(|b| *b < 4);
        if !is_stun {
            if self.remote.is_none() {
                self.remote = self.validated_remote();
            }
            if self.remote != Some(from) {
                self.strangers += 1;
                return;
            }
        }
        self.datagram_born = born;
        if datagram.first() == Some(&APPLICATION_DATA) {
            self.unread += datagram.len();
        }
        let transport = TransportContext {
            local_addr: self.local_for(from),
            peer_addr: from,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        // An undecodable datagram is the sender's fault and changes nothing here.
        let _ =
            self.connection.handle_read(TaggedBytesMut { now, transport, message: BytesMut::from(datagram) });
    }

    /// Lets the time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = self.connection.handle_timeout(now);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// The next datagram to send.
    pub fn poll_datagram(&mut self, now: Instant) -> Option<(SocketAddr, BytesMut)> {
        loop {
            let out = self.connection.poll_write()?;
            let to = out.transport.peer_addr;
            match out.message.first() {
                Some(0) if self.remote.is_none() && !self.check_is_due(now, to) => {}
                Some(0..4) => return Some((to, out.message)),
                _ => {
                    // Everything but STUN goes to the validated pair: this is where it is now.
                    self.remote = Some(to);
                    return Some((to, out.message));
                }
            }
        }
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) => {
                    return Some(PeerEvent::Connected);
                }
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                    RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
                ) => return Some(PeerEvent::Lost),
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id))
                    if id == self.channel =>
                {
                    return Some(PeerEvent::ChannelOpen);
                }
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id))
                    if id == self.channel =>
                {
                    return Some(PeerEvent::ChannelClosed);
                }
                _ => {}
            }
        }
        while let Some(read) = self.connection.poll_read() {
            if let Some(event) = self.event(read.message) {
                return Some(event);
            }
        }
        // Deaf to events, a call could not be interrupted any more: it is as good as lost.
        (self.unread > STUCK_BYTES).then_some(PeerEvent::ChannelClosed)
    }

    /// What a datagram of media brought: one packet at most, and nothing else changes by it. [`Self::poll_event`] would have the stack
    /// sweep all its parts four times to find the same.
    pub fn poll_media(&mut self) -> Option<PeerEvent> {
        let read = self.connection.poll_media_read()?;
        self.event(read.message)
    }

    /// Queues an event for the server. Fails before the channel is open and after it closed.
    pub fn send_text(&mut self, now: Instant, text: &str) -> Result<(), PeerError> {
        let mut channel = self
            .connection
            .data_channel(self.channel)
            .ok_or_else(|| PeerError("the data channel is closed".into()))?;
        Ok(channel.send_text(now, text)?)
    }

    /// Queues one packet of the caller's sound. Its sequence number is ours, its timestamp the packet's.
    pub fn send_audio(&mut self, now: Instant, packet: &Packet) -> Result<(), PeerError> {
        let payload_type = self
            .codecs
            .iter()
            .find_map(|(pt, codec)| (*codec == packet.codec).then_some(*pt))
            .ok_or_else(|| PeerError("codec not in the answer".into()))?;
        let header = rtp::header::Header {
            version: 2,
            marker: packet.marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp: packet.timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        let packet = rtp::packet::Packet { header, payload: Bytes::copy_from_slice(packet.payload()) };
        // The stack's sender would compare a copy of all its parameters with the packet first.
        let message = RTCMessage::RtpPacket(MediaStreamTrackId::default(), packet);
        self.connection.handle_write(TaggedRTCMessage { now, message })?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// Says goodbye to the peer: SCTP ABORT and DTLS close_notify are the next datagrams.
    pub fn close(&mut self) {
        let _ = self.connection.close();
    }

    /// Datagrams that came from somewhere else than the validated pair.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    fn validated_remote(&mut self) -> Option<SocketAddr> {
        let sctp = self.connection.sctp()?;
        let pair = sctp.transport().ice_transport().get_selected_candidate_pair()?;
        Some(SocketAddr::new(pair.remote().address.parse().ok()?, pair.remote().port))
    }

    fn local_for(&self, peer: SocketAddr) -> SocketAddr {
        let same_side = |a: &&SocketAddr| a.ip().is_loopback() == peer.ip().is_loopback();
        self.local.iter().find(same_side).or(self.local.first()).copied().unwrap_or(UNSPECIFIED)
    }

    /// Thins out connectivity checks after the first moments.
    fn check_is_due(&mut self, now: Instant, to: SocketAddr) -> bool {
        if self.started.is_none_or(|s| now.duration_since(s) < FAST_CHECKS) {
            return true;
        }
        match self.checks.iter_mut().find(|(address, _)| *address == to) {
            Some((_, last)) if now.duration_since(*last) < PACED_CHECK_INTERVAL => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.checks.push((to, now));
                true
            }
        }
    }

    fn event(&mut self, message: RTCMessage) -> Option<PeerEvent> {
        match message {
            RTCMessage::RtpPacket(_, packet) => self.audio(packet).map(PeerEvent::Audio),
            RTCMessage::DataChannelMessage(id, message) if id == self.channel => {
                self.unread = 0;
                String::from_utf8(message.data.to_vec()).ok().map(PeerEvent::Text)
            }
            _ => None,
        }
    }

    fn audio(&self, packet: rtp::packet::Packet) -> Option<Packet<Bytes>> {
        let codec =
            self.codecs.iter().find_map(|(pt, c)| (*pt == packet.header.payload_type).then_some(*c))?;
        let header = &packet.header;
        Packet::of(
            self.datagram_born,
            codec,
            header.sequence_number,
            header.timestamp,
            header.marker,
            packet.payload,
        )
    }
}

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn parameters(codec: ModelCodec) -> RTCRtpCodecParameters {
    let (mime, clock_rate, channels, fmtp, payload_type) = match codec {
        // RFC 7587: always 48 kHz and two channels in SDP, whatever is inside.
        ModelCodec::Opus => (MIME_TYPE_OPUS, 48_000, 2, "minptime=10;useinbandfec=1", 111),
        ModelCodec::Pcmu => (MIME_TYPE_PCMU, 8_000, 0, "", 0),
        ModelCodec::Pcma => (MIME_TYPE_PCMA, 8_000, 0, "", 8),
    };
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime.into(),
            clock_rate,
            channels,
            sdp_fmtp_line: fmtp.into(),
            rtcp_feedback: Vec::new(),
        },
        payload_type,
    }
}

#[cfg(test)]
mod tests;
