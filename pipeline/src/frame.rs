//! What rides the rings: a head that carries when it was born, and a payload.
//!
//! Only what is being worked on has room for the largest payload, in one place that is filled again and again: moving it takes
//! longer than copying what is in it. Queues keep the head and the bytes that there are ([`crate::ring`]).

use std::fmt;

use crate::ring::{Item, Load};
use crate::units::{Nanos, SampleRate};

/// Length of a frame: what Twilio sends and RTP carries. Longer would add its length to the delay; shorter would
/// multiply packets and wake-ups.
pub const FRAME_MS: u32 = 20;
/// Largest media payload: 20 ms of L16 at 24 kHz.
pub const MEDIA_BYTES: usize = 960;
/// Largest RTP payload: a UDP datagram within any path's MTU. Opus at speech rates needs 60 to 200 bytes for 20 ms.
pub const PACKET_BYTES: usize = 1280;

/// How samples are written in a media frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaEncoding {
    /// G.711 mu-law, one byte a sample: `audio/x-mulaw`, what Twilio Media Streams carry.
    #[default]
    Mulaw,
    /// Signed 16-bit little-endian, two bytes a sample.
    L16,
}

impl MediaEncoding {
    /// Bytes of one sample.
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Mulaw => 1,
            Self::L16 => 2,
        }
    }
}

/// The format of a call's media side. The default is 8 kHz mu-law.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaFormat {
    /// How a sample is written.
    pub encoding: MediaEncoding,
    /// Samples a second; mu-law is used at 8 kHz only.
    pub rate: SampleRate,
}

impl MediaFormat {
    /// Bytes in 20 ms.
    pub const fn frame_bytes(self) -> usize {
        self.rate.samples(FRAME_MS) * self.encoding.bytes_per_sample()
    }
}

/// The codec of the model's RTP stream.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelCodec {
    /// Opus (RFC 7587), 48 kHz RTP clock whatever the audio's rate.
    #[default]
    Opus,
    /// G.711 mu-law, RTP payload type 0 (RFC 3551), 8 kHz clock.
    Pcmu,
    /// G.711 A-law, RTP payload type 8 (RFC 3551), 8 kHz clock.
    Pcma,
}

impl ModelCodec {
    /// Ticks a second of the codec's RTP clock.
    pub const fn rtp_clock(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }
}

/// A piece of audio on the media side, 1 to [`MEDIA_BYTES`] bytes, usually 20 ms.
///
/// Upward it is what a media message carried. Downward it is exactly 20 ms.
///
/// `MediaFrame<()>` is its head alone: what a queue keeps of it beside the audio. `MediaFrame<&[u8]>` is one whose audio lies elsewhere.
#[derive(Clone, Copy)]
pub struct MediaFrame<Audio = [u8; MEDIA_BYTES]> {
    /// Up: when the message was read. Down: when the packet it came from arrived (if concealed: the call's beat).
    pub born: Nanos,
    /// Down: when the jitter buffer wanted it out. Up: unused, equal to `born`.
    pub due: Nanos,
    /// Samples at the media rate since the start of the stream.
    pub time: u64,
    /// Down: RTP timestamp of its first sample on the model's clock; for made-up audio that of what it stands for.
    pub source: u32,
    /// Down: which flush it follows. A reader drops frames of an older generation than the one it last asked for.
    pub generation: u32,
    len: u16,
    data: Audio,
}

impl<Audio> MediaFrame<Audio> {
    /// The frame with other contents.
    fn with<Other>(&self, data: Other) -> MediaFrame<Other> {
        let Self { born, due, time, source, generation, len, .. } = *self;
        MediaFrame { born, due, time, source, generation, len, data }
    }
}

impl<Audio: AsRef<[u8]>> MediaFrame<Audio> {
    /// A frame of `audio`, or `None` if that is empty or longer than [`MEDIA_BYTES`].
    ///
    /// `time` counts samples at the media rate from the start of the stream; gaps in it are kept as gaps.
    pub fn of(born: Nanos, time: u64, audio: Audio) -> Option<Self> {
        let len = audio.as_ref().len();
        let fits = (1..=MEDIA_BYTES).contains(&len);
        fits.then_some(Self { born, due: born, time, source: 0, generation: 0, len: len as u16, data: audio })
    }

    /// The audio, in the call's media format.
    pub fn payload(&self) -> &[u8] {
        &self.data.as_ref()[..usize::from(self.len)]
    }
}

impl MediaFrame {
    /// A frame with a copy of `payload`, or `None` if that is empty or longer than [`MEDIA_BYTES`].
    pub fn new(born: Nanos, time: u64, payload: &[u8]) -> Option<Self> {
        let mut frame = MediaFrame::of(born, time, payload)?.with([0; MEDIA_BYTES]);
        frame.payload_mut().copy_from_slice(payload);
        Some(frame)
    }

    /// A frame of `len` zero bytes to be filled in place; `len` is capped at [`MEDIA_BYTES`].
    pub(crate) fn blank(len: usize) -> Self {
        Self { len: len.min(MEDIA_BYTES) as u16, ..Self::default() }
    }

    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.data[..usize::from(self.len)]
    }
}

/// An RTP packet's payload with the header fields that matter.
///
/// `Packet<()>` is its head alone: what a queue keeps of it beside the payload. `Packet<Bytes>` is one whose payload lies elsewhere.
#[derive(Clone, Copy)]
pub struct Packet<Payload = [u8; PACKET_BYTES]> {
    /// Down: when it arrived. Up: when the youngest media frame in it was born.
    pub born: Nanos,
    /// What the payload is.
    pub codec: ModelCodec,
    /// Sequence number. Up it starts at 0 and counts packets sent.
    pub seq: u16,
    /// RTP timestamp in the codec's clock. Up it is the caller's media time, gaps kept.
    pub timestamp: u32,
    /// First packet of a talkspurt (RFC 3551, 4.1); up: the first, and the first after a gap.
    pub marker: bool,
    len: u16,
    data: Payload,
}

impl<Payload> Packet<Payload> {
    /// The packet with other contents.
    fn with<Other>(&self, data: Other) -> Packet<Other> {
        let Self { born, codec, seq, timestamp, marker, len, .. } = *self;
        Packet { born, codec, seq, timestamp, marker, len, data }
    }
}

impl<Payload: AsRef<[u8]>> Packet<Payload> {
    /// A packet, or `None` if `payload` is longer than [`PACKET_BYTES`]. An empty payload is allowed here: it is
    /// counted as malformed where it would be decoded.
    pub fn of(
        born: Nanos,
        codec: ModelCodec,
        seq: u16,
        timestamp: u32,
        marker: bool,
        payload: Payload,
    ) -> Option<Self> {
        let len = payload.as_ref().len();
        let fits = len <= PACKET_BYTES;
        fits.then_some(Self { born, codec, seq, timestamp, marker, len: len as u16, data: payload })
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.data.as_ref()[..usize::from(self.len)]
    }
}

impl Packet {
    /// A packet with a copy of `payload`, or `None` if that is longer than [`PACKET_BYTES`].
    pub fn new(
        born: Nanos,
        codec: ModelCodec,
        seq: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<Self> {
        let borrowed = Packet::of(born, codec, seq, timestamp, marker, payload)?;
        let mut packet = borrowed.with([0; PACKET_BYTES]);
        packet.data[..payload.len()].copy_from_slice(payload);
        Some(packet)
    }

    /// Writes another payload, whose length `fill` returns, capped at [`PACKET_BYTES`].
    pub(crate) fn build<E>(
        &mut self,
        codec: ModelCodec,
        fill: impl FnOnce(&mut [u8; PACKET_BYTES]) -> Result<usize, E>,
    ) -> Result<(), E> {
        self.codec = codec;
        self.len = fill(&mut self.data)?.min(PACKET_BYTES) as u16;
        Ok(())
    }
}

/// Nothing yet: room to be filled.
impl Default for MediaFrame {
    fn default() -> Self {
        Self {
            born: Nanos(0),
            due: Nanos(0),
            time: 0,
            source: 0,
            generation: 0,
            len: 0,
            data: [0; MEDIA_BYTES],
        }
    }
}

/// Nothing yet: room to be filled.
impl Default for Packet {
    fn default() -> Self {
        Self {
            born: Nanos(0),
            codec: ModelCodec::default(),
            seq: 0,
            timestamp: 0,
            marker: false,
            len: 0,
            data: [0; PACKET_BYTES],
        }
    }
}

impl<Audio: AsRef<[u8]>> Load for MediaFrame<Audio> {
    type Head = MediaFrame<()>;

    fn head(&self) -> Self::Head {
        self.with(())
    }

    fn payload(&self) -> &[u8] {
        self.payload()
    }
}

impl Item for MediaFrame {
    const MAX_BYTES: usize = MEDIA_BYTES;
    const USUAL_BYTES: usize = 160;

    fn refill(&mut self, head: &Self::Head, fill: impl FnOnce(&mut [u8])) {
        let MediaFrame { born, due, time, source, generation, len, data: () } = *head;
        (self.born, self.due, self.time) = (born, due, time);
        (self.source, self.generation, self.len) = (source, generation, len);
        fill(self.payload_mut());
    }
}

impl<Payload: AsRef<[u8]>> Load for Packet<Payload> {
    type Head = Packet<()>;

    fn head(&self) -> Self::Head {
        self.with(())
    }

    fn payload(&self) -> &[u8] {
        self.payload()
    }
}

impl Item for Packet {
    const MAX_BYTES: usize = PACKET_BYTES;
    const USUAL_BYTES: usize = 160;

    fn refill(&mut self, head: &Self::Head, fill: impl FnOnce(&mut [u8])) {
        let Packet { born, codec, seq, timestamp, marker, len, data: () } = *head;
        (self.born, self.codec, self.seq) = (born, codec, seq);
        (self.timestamp, self.marker, self.len) = (timestamp, marker, len);
        fill(&mut self.data[..usize::from(len)]);
    }
}

// What callers say stays out of logs: only the shape is shown.
impl<Audio> fmt::Debug for MediaFrame<Audio> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaFrame")
            .field("time", &self.time)
            .field("generation", &self.generation)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<Payload> fmt::Debug for Packet<Payload> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("codec", &self.codec)
            .field("seq", &self.seq)
            .field("timestamp", &self.timestamp)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert!(MediaFrame::new(Nanos(0), 0, &[]).is_none());
        assert!(MediaFrame::new(Nanos(0), 0, &[0; MEDIA_BYTES + 1]).is_none());
        assert_eq!(MediaFrame::new(Nanos(0), 0, &[7; 3]).map(|f| f.payload().len()), Some(3));
        let packet = |n: usize| Packet::new(Nanos(0), ModelCodec::Opus, 0, 0, false, &vec![1; n]);
        assert!(packet(PACKET_BYTES).is_some());
        assert!(packet(PACKET_BYTES + 1).is_none());
    }

    #[test]
    fn a_frame_of_the_largest_format_fits() {
        let format = MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz24000 };
        assert_eq!(format.frame_bytes(), MEDIA_BYTES);
        assert_eq!(MediaFormat::default().frame_bytes(), 160);
    }
}
