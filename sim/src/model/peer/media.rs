//! Sound in and out of a peer.

use std::time::{Duration, Instant};

use str0m::rtp::{RtpPacket, RtpWrite, Ssrc};

use super::{MAX_WRITTEN, Peer, is_media};
use crate::model::ear::Received;
use crate::model::output::Beat;
use crate::model::pacer::Frame;

/// Streams learned from packets when the offer named none.
const MAX_LEARNED_STREAMS: usize = 8;

impl Peer {
    /// An offer need not name its SSRC; with one audio line every stream belongs to it.
    pub(super) fn learn_stream(&mut self, bytes: &[u8]) {
        if !is_media(bytes) {
            return;
        }
        let ssrc = Ssrc::from(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
        let Some(mid) = self.parts.audio else { return };
        if self.learned.len() < MAX_LEARNED_STREAMS && !self.learned.contains(&ssrc) {
            self.learned.push(ssrc);
            let mut direct = self.parts.rtc.direct_api();
            if direct.stream_rx(&ssrc).is_none() {
                direct.expect_stream_rx(ssrc, None, mid, None);
            }
        }
    }

    pub(super) fn hear(&mut self, packet: &RtpPacket, age: Duration) {
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
            self.parts.session.hear(&samples, packet.timestamp, age);
            self.flush(Instant::now());
        }
    }

    /// Sends the RTP that is due.
    pub(super) fn pace(&mut self, now: Instant) {
        if self.parts.session.is_playing() {
            self.parts.pacer.wake(now);
        }
        while let Some(due) = self.parts.pacer.due(now) {
            let age = self.age(due);
            match self.parts.session.beat(age) {
                Beat::Frame { payload, first } => {
                    let frame = self.parts.pacer.speech(due, payload, first);
                    self.flush(now);
                    if let Some(place) = self.parts.session.sent(due) {
                        if self.written.len() == MAX_WRITTEN {
                            self.written.pop_front();
                        }
                        self.written.push_back((frame.sequence as u16, place));
                    }
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
                    let silence = self.parts.session.silence();
                    let frames = silence.as_ref().map_or(&[][..], |silence| &silence.frames);
                    if let Some(frame) = self.parts.pacer.nothing(due, frames) {
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
}
