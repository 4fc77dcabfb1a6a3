//! The two real chains, driven in simulated time, and what a listener at their far end hears.

use pipeline::opus::Decoder;
use pipeline::{
    CallStats, Downlink, JitterConfig, MediaFormat, MediaFrame, ModelCodec, Nanos, Packet, SampleRate, Uplink,
};

/// Where the clock starts, ms: nothing may happen before its origin.
const ORIGIN_MS: f64 = 10_000.0;

/// A packet on its way to the downlink and when it arrives, ms after the first was sent.
#[derive(Clone)]
pub struct Arriving {
    pub at_ms: f64,
    pub codec: ModelCodec,
    pub seq: u16,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

/// Plays packets through the downlink; gives each frame and when it left, ms.
pub fn down(mut packets: Vec<Arriving>, format: MediaFormat) -> Vec<(f64, MediaFrame)> {
    packets.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    let stats = CallStats::default();
    let mut downlink = Downlink::new(format, JitterConfig::default()).expect("libopus takes our rates");
    let mut frames = Vec::new();
    let nanos = |ms: f64| Nanos(((ORIGIN_MS + ms) * 1e6) as u64);
    let mut packets = packets.into_iter().peekable();
    let last = packets.size_hint().0;
    let mut taken = 0;
    loop {
        let arrival = packets.peek().map(|p| nanos(p.at_ms));
        let due = downlink.next_due();
        if let Some(now) = arrival.filter(|arrival| due.is_none_or(|due| *arrival <= due)) {
            let p = packets.next().expect("it was just looked at");
            let packet = Packet::new(now, p.codec, p.seq, p.timestamp, false, &p.payload);
            downlink.handle_packet(&packet.expect("it is of a packet's length"), &stats);
            taken += 1;
            continue;
        }
        let Some(now) = due else { break };
        while let Some((frame, _)) = downlink.poll(now, &stats) {
            frames.push((now.0 as f64 / 1e6 - ORIGIN_MS, frame));
        }
    }
    assert_eq!(taken, last, "every packet was handed in");
    frames
}

/// What the far end hears that plays frames one after the other, and silence while there is none: 8 kHz from time 0 on.
pub fn heard(frames: &[(f64, MediaFrame)]) -> Vec<i16> {
    let mut out: Vec<i16> = Vec::new();
    for (at_ms, frame) in frames {
        let begin = ((at_ms * 8.0).round() as usize).max(out.len());
        out.resize(begin + frame.payload().len(), 0);
        pipeline::g711::decode(pipeline::g711::Law::Mu, frame.payload(), &mut out[begin..]);
    }
    out
}

/// Sends the media bytes of one caller up, in frames of 20 ms.
pub fn up(uplink: &mut Uplink, format: MediaFormat, media: &[u8]) -> Vec<Packet> {
    let stats = CallStats::default();
    let mut packets = Vec::new();
    let samples = format.rate.samples(20) as u64;
    for (i, bytes) in media.chunks_exact(format.frame_bytes()).enumerate() {
        let at = Nanos((i as u64 + 1) * 20_000_000);
        let frame = MediaFrame::new(at, i as u64 * samples, bytes).expect("20 ms fit");
        uplink.handle_frame(&frame, &stats, |packet| packets.push(*packet));
    }
    packets
}

/// What a receiver without a network makes of Opus packets.
pub fn decoded<'a>(packets: impl IntoIterator<Item = &'a [u8]>, rate: SampleRate) -> Vec<i16> {
    let mut decoder = Decoder::new(rate).expect("libopus takes our rates");
    let mut out = Vec::new();
    let mut pcm = vec![0; rate.samples(120)];
    for packet in packets {
        let n = decoder.decode(packet, &mut pcm).expect("a whole packet");
        out.extend_from_slice(&pcm[..n]);
    }
    out
}
