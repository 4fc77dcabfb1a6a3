use super::*;
use crate::ring;
use crate::units::Ticks;

const MU: MediaFormat = MediaFormat { encoding: MediaEncoding::Mulaw, rate: SampleRate::Hz8000 };

struct Rig {
    uplink: Uplink,
    stats: CallStats,
}

impl Rig {
    fn new(format: MediaFormat, codec: ModelCodec) -> Self {
        let uplink = Uplink::new(format, codec, &OpusConfig::default()).unwrap();
        Self { uplink, stats: CallStats::default() }
    }

    fn send(&mut self, time: u64, bytes: &[u8]) -> Vec<Packet> {
        let mut packets = Vec::new();
        let frame = MediaFrame::new(Nanos(time), time, bytes).unwrap();
        self.uplink.handle_frame(&frame, &self.stats, |packet| packets.push(packet));
        packets
    }

    /// Timestamps of the packets that a frame of `len` samples completes.
    fn stamps(&mut self, time: u64, len: usize) -> Vec<u32> {
        self.send(time, &vec![1; len]).iter().map(|packet| packet.timestamp).collect()
    }
}

fn counting() -> impl FnMut() -> u8 {
    let mut code = 0_u8;
    move || {
        code = code.wrapping_add(1);
        code
    }
}

#[test]
fn mu_law_passes_byte_for_byte() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    for i in 0..3_u64 {
        let bytes: Vec<u8> = (0..160_u64).map(|b| (b + i * 100) as u8).collect();
        let packets = rig.send(i * 160, &bytes);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].payload(), bytes);
        assert_eq!((u64::from(packets[0].seq), u64::from(packets[0].timestamp)), (i, i * 160));
        assert_eq!(packets[0].marker, i == 0);
    }
}

#[test]
fn any_length_becomes_20_ms() {
    for len in [1, 7, 80, 159, 160, 161, 480, 960] {
        let mut rig = Rig::new(MU, ModelCodec::Pcmu);
        let (mut next, mut sent, mut got) = (counting(), Vec::new(), Vec::new());
        while sent.len() < 4_000 {
            let bytes: Vec<u8> = (0..len).map(|_| next()).collect();
            for packet in rig.send(sent.len() as u64, &bytes) {
                assert_eq!((packet.payload().len(), packet.timestamp as usize), (160, got.len()));
                got.extend_from_slice(packet.payload());
            }
            sent.extend(bytes);
        }
        assert_eq!(got, sent[..got.len()], "{len}");
        assert!(sent.len() - got.len() < 160);
    }
}

#[test]
fn gaps_stay_gaps_and_duplicates_go() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    assert_eq!(rig.stamps(0, 160), [0]);
    assert_eq!(rig.stamps(480, 160), [480], "40 ms are missing and stay missing");
    assert_eq!(rig.stamps(480, 160), [] as [u32; 0], "the same again");
    assert_eq!(rig.stamps(320, 160), [] as [u32; 0], "older than what was sent");
    assert_eq!(rig.stamps(560, 160), [] as [u32; 0], "half of it is new");
    assert_eq!(rig.stamps(720, 80), [640]);
    assert_eq!((rig.stats.duplicate.get(), rig.stats.uplink_gaps.get()), (2, 1));
    let marked = rig.send(1_600, &[1; 160]);
    assert!(marked[0].marker && marked[0].seq == 3, "numbers go on, the marker says why time does not");
}

#[test]
fn a_gap_completes_what_was_begun_with_silence() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    assert_eq!(rig.stamps(0, 100), [] as [u32; 0]);
    let packets = rig.send(800, &[1; 160]);
    assert_eq!(packets.iter().map(|p| p.timestamp).collect::<Vec<_>>(), [0, 800]);
    assert_eq!(packets[0].payload()[99..101], [1, g711::MULAW_SILENCE]);
    // A gap shorter than what is missing is silence within.
    assert_eq!(rig.stamps(960, 100), [] as [u32; 0]);
    let packets = rig.send(1_080, &[1; 40]);
    assert_eq!((packets.len(), packets[0].timestamp), (1, 960));
    assert_eq!(packets[0].payload()[100..120], [g711::MULAW_SILENCE; 20]);
}

#[test]
fn a_reset_clock_does_not_break_the_line() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    for i in 0..100 {
        rig.stamps(i * 160, 160);
    }
    assert_eq!(rig.stamps(0, 160), [] as [u32; 0], "one alone may be a stray");
    assert_eq!(rig.stamps(160, 160), [16_000]);
    assert_eq!(rig.stamps(320, 160), [16_160]);
    assert_eq!(rig.stamps(u64::MAX - 50, 160), [] as [u32; 0]);
    assert_eq!(rig.stamps(480, 160), [16_320], "a stray changes nothing");
}

#[test]
fn rtp_time_follows_each_clock() {
    for (format, codec, step) in [
        (MU, ModelCodec::Opus, 960),
        (MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz16000 }, ModelCodec::Opus, 960),
        (MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz24000 }, ModelCodec::Pcma, 160),
        (MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz8000 }, ModelCodec::Pcmu, 160),
    ] {
        let mut rig = Rig::new(format, codec);
        let samples = format.rate.samples(20) as u64;
        for i in 0..5_u64 {
            let packets = rig.send(i * samples, &vec![0; format.frame_bytes()]);
            assert_eq!(packets.len(), 1, "{format:?}");
            assert_eq!(u64::from(packets[0].timestamp), i * step, "{format:?} {codec:?}");
            match codec {
                ModelCodec::Opus => {
                    assert_eq!(crate::opus::packet_duration(packets[0].payload()), Some(Ticks(960)));
                }
                _ => assert_eq!(packets[0].payload().len(), 160),
            }
        }
        // 2^32 ticks are 25 hours of Opus: time goes on across the wrap.
        let far = (1_u64 << 32) / step * samples;
        rig.uplink.expected = Some(far);
        let stamp = rig.send(far, &vec![0; format.frame_bytes()])[0].timestamp;
        assert_eq!(u64::from(stamp), (1_u64 << 32) / step * step % (1 << 32));
    }
}

#[test]
fn an_odd_byte_of_l16_is_left_out() {
    let format = MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz8000 };
    let mut rig = Rig::new(format, ModelCodec::Pcmu);
    assert!(rig.send(0, &[1]).is_empty());
    assert_eq!(rig.send(0, &[0; 321]).len(), 1);
}

#[test]
fn the_codec_changes_at_a_packet() {
    let mut rig = Rig::new(MU, ModelCodec::Opus);
    assert_eq!(rig.send(0, &[0xFF; 160])[0].codec, ModelCodec::Opus);
    rig.uplink.set_codec(ModelCodec::Pcmu);
    let packet = rig.send(160, &[0xFF; 160])[0];
    assert_eq!((packet.codec, packet.timestamp, packet.marker, packet.seq), (ModelCodec::Pcmu, 160, true, 1));
}

struct At(Nanos);

impl Clock for At {
    fn now(&self) -> Nanos {
        self.0
    }
}

#[test]
fn a_burst_goes_out_at_five_times_real_time_and_the_oldest_of_too_much_is_dropped() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    let (mut media, mut input) = ring::ring(ring::UPLINK_IN_MS);
    let (mut output, mut model) = ring::ring(ring::UPLINK_OUT_MS);
    for i in 0..60 {
        media.push(MediaFrame::new(Nanos(0), i * 160, &[0; 160]).unwrap()).unwrap();
    }
    let (mut at, mut stamps) = (Nanos::from_millis(1_000), Vec::new());
    let first = rig.uplink.tick(&At(at), &mut input, &mut output, &rig.stats);
    assert_eq!(rig.stats.dropped_full.get(), 10, "a second is kept");
    stamps.extend(std::iter::from_fn(|| model.pop()).map(|p| p.timestamp / 160));
    assert_eq!(stamps, (10..15).collect::<Vec<_>>(), "100 ms at once");
    let mut next = first.next;
    while !input.is_empty() {
        at = next;
        next = rig.uplink.tick(&At(at), &mut input, &mut output, &rig.stats).next;
        stamps.extend(std::iter::from_fn(|| model.pop()).map(|p| p.timestamp / 160));
    }
    assert_eq!(stamps, (10..60).collect::<Vec<_>>());
    assert_eq!(at, Nanos::from_millis(1_000 + 45 * 4));
}

#[test]
fn nothing_is_taken_while_the_model_takes_nothing() {
    let mut rig = Rig::new(MU, ModelCodec::Pcmu);
    let (mut media, mut input) = ring::ring(ring::UPLINK_IN_MS);
    let (mut output, mut model) = ring::ring::<Packet>(ring::UPLINK_OUT_MS);
    let mut blocked = false;
    for i in 0..200_u64 {
        media.push(MediaFrame::new(Nanos(0), i * 160, &[0; 160]).unwrap()).unwrap();
        let at = At(Nanos::from_millis(1_000 + i * 20));
        blocked = rig.uplink.tick(&at, &mut input, &mut output, &rig.stats).blocked;
    }
    assert!(blocked);
    assert_eq!(input.len(), 50, "a second waits");
    assert_eq!(model.pop().map(|p| p.timestamp), Some(0));
    let waiting = model.len() as u64 + 1;
    assert_eq!(rig.stats.dropped_full.get(), 200 - 50 - waiting, "the oldest behind it went");
}

/// A rig that ticks: frames in, timestamps of the packets out.
struct Line {
    rig: Rig,
    media: Writer<MediaFrame>,
    input: Reader<MediaFrame>,
    output: Writer<Packet>,
    model: Reader<Packet>,
}

impl Line {
    fn new() -> Self {
        let (media, input) = ring::ring(ring::UPLINK_IN_MS);
        let (output, model) = ring::ring(ring::UPLINK_OUT_MS);
        Self { rig: Rig::new(MU, ModelCodec::Pcmu), media, input, output, model }
    }

    /// The frames of these media times (in frames) arrive, then the line ticks whenever it wants until `until_ms`.
    fn run(&mut self, frames: std::ops::Range<u64>, mut at: Nanos, until_ms: u64) -> Vec<u32> {
        for i in frames {
            self.media.push(MediaFrame::new(at, i * 160, &[1; 160]).unwrap()).unwrap();
        }
        let mut stamps = Vec::new();
        while at <= Nanos::from_millis(until_ms) {
            let next = self.rig.uplink.tick(&At(at), &mut self.input, &mut self.output, &self.rig.stats).next;
            stamps.extend(std::iter::from_fn(|| self.model.pop()).map(|p| p.timestamp / 160));
            assert!(next > at, "it must not spin");
            at = next;
        }
        stamps
    }
}

#[test]
fn a_line_that_stops_is_continued_with_silence() {
    let mut line = Line::new();
    let stamps = line.run(0..1, Nanos::from_millis(1_000), 1_399);
    assert_eq!(stamps, [0], "a stall of the network is waited for");
    let stamps = line.run(0..0, Nanos::from_millis(1_400), 1_499);
    assert_eq!(stamps, [1, 2, 3, 4, 5], "one packet each 20 ms");
    assert_eq!(line.rig.stats.silence_filled.get(), 5);
}

#[test]
fn after_a_mute_media_time_goes_on_where_the_caller_is() {
    let mut line = Line::new();
    line.run(0..1, Nanos::from_millis(1_000), 1_499);
    // Muted for 500 ms: the caller's clock went on.
    assert_eq!(line.run(25..27, Nanos::from_millis(1_500), 1_519), [25, 26]);
}

#[test]
fn after_a_long_stall_nothing_is_lost() {
    let mut line = Line::new();
    line.run(0..1, Nanos::from_millis(1_000), 1_499);
    // Five packets of silence stand where the late frames belong: they come behind them.
    assert_eq!(line.run(1..3, Nanos::from_millis(1_500), 1_519), [6, 7]);
    assert_eq!(line.run(3..4, Nanos::from_millis(1_520), 1_539), [8], "and the line stays whole");
    assert_eq!(line.rig.stats.duplicate.get(), 0);
}

#[test]
fn silence_does_not_pile_up_before_a_model_that_is_not_there() {
    let mut line = Line::new();
    line.media.push(MediaFrame::new(Nanos(0), 0, &[1; 160]).unwrap()).unwrap();
    let mut at = Nanos::from_millis(1_000);
    while at < Nanos::from_millis(3_000) {
        at = line.rig.uplink.tick(&At(at), &mut line.input, &mut line.output, &line.rig.stats).next;
    }
    assert_eq!(line.model.len(), 1);
}
