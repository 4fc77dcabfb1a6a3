use super::*;
use crate::opus::{Encoder, OpusConfig};
use crate::speech::Speech;
use std::time::Duration;

const MU: MediaFormat = MediaFormat { encoding: MediaEncoding::Mulaw, rate: SampleRate::Hz8000 };
const WIDE: MediaFormat = MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz16000 };

struct Rig {
    downlink: Downlink,
    stats: CallStats,
}

fn at(ms: u64) -> Nanos {
    Nanos::from_millis(1_000 + ms)
}

impl Rig {
    fn new(format: MediaFormat) -> Self {
        let jitter = JitterConfig { start_delay: Duration::from_millis(1), ..JitterConfig::default() };
        Self { downlink: Downlink::new(format, jitter).unwrap(), stats: CallStats::default() }
    }

    fn arrive(&mut self, codec: ModelCodec, seq: u16, timestamp: u32, ms: u64, payload: &[u8]) {
        let packet = Packet::new(at(ms), codec, seq, timestamp, false, payload).unwrap();
        self.downlink.handle_packet(&packet, &self.stats);
    }

    fn play(&mut self, until: u64) -> Vec<MediaFrame> {
        let mut frames = Vec::new();
        while let Some(due) = self.downlink.next_due().filter(|due| *due <= at(until)) {
            while let Some((frame, _)) = self.downlink.poll(due, &self.stats) {
                frames.push(frame);
            }
        }
        frames
    }
}

/// Loud, so that nothing is taken for silence.
fn loud(seq: u64) -> Vec<u8> {
    (0..160_u64).map(|i| ((i * 37 + seq * 11) % 64) as u8 | if i % 3 == 0 { 0x80 } else { 0 }).collect()
}

#[test]
fn mu_law_comes_out_byte_for_byte_and_on_the_beat() {
    let mut rig = Rig::new(MU);
    for i in 0..50_u64 {
        rig.arrive(ModelCodec::Pcmu, i as u16, i as u32 * 160, i * 20, &loud(i));
        let frames = rig.play(i * 20 + 2);
        assert_eq!(frames.len(), 1, "{i}");
        assert_eq!(frames[0].payload(), loud(i));
        assert_eq!((frames[0].time, frames[0].born), (i * 160, at(i * 20)));
        assert!(frames[0].due <= at(i * 20 + 2));
    }
    assert_eq!(rig.stats.concealed.get(), 0);
    rig.downlink.flush(1);
    assert!(!rig.downlink.decoder.is_set_up(), "a call without Opus has no pages for it");
    rig.downlink.open();
    rig.arrive(ModelCodec::Opus, 51, 0, 1_020, &[0; 20]);
    rig.play(1_060);
    assert!(rig.downlink.decoder.is_set_up());
}

#[test]
fn every_length_and_codec_comes_out_as_20_ms() {
    for format in [MU, WIDE, MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz24000 }] {
        for bytes in [80, 160, 320, 480, 960] {
            for codec in [ModelCodec::Pcmu, ModelCodec::Pcma] {
                let mut rig = Rig::new(format);
                let mut frames = Vec::new();
                for i in 0..40_u64 {
                    let ms = i * bytes / 8;
                    frames.extend(rig.play(ms));
                    rig.arrive(codec, i as u16, (i * bytes) as u32, ms, &vec![0x11; bytes as usize]);
                }
                // Up to the last due time, before its absence would be concealed.
                frames.extend(rig.play(40 * bytes / 8));
                let samples = 40 * bytes as usize * format.rate.samples(1) / 8;
                let whole = format.rate.samples(20);
                assert!(
                    (samples / whole - 1..=samples / whole).contains(&frames.len()),
                    "{format:?} {bytes} {codec:?}: {} of {}",
                    frames.len(),
                    samples / whole
                );
                assert!(frames.iter().all(|f| f.payload().len() == format.frame_bytes()));
                assert!(frames.iter().zip(0_u64..).all(|(f, i)| f.time == i * whole as u64));
                assert_eq!(rig.stats.concealed.get(), 0);
            }
        }
    }
}

#[test]
fn lost_opus_packets_are_recovered_or_concealed() {
    let config = OpusConfig { expected_loss_percent: 20, ..OpusConfig::default() };
    let mut encoder = Encoder::new(SampleRate::Hz8000, &config).unwrap();
    let mut speech = Speech::new(7, SampleRate::Hz8000);
    let mut rig = Rig::new(MU);
    let (mut frames, mut lost) = (0, 0);
    let (mut pcm, mut payload) = ([0; 160], [0; 1275]);
    for i in 0..1_000_u64 {
        speech.fill(&mut pcm);
        let n = encoder.encode(&pcm, &mut payload).unwrap();
        frames += rig.play(i * 20).len();
        if i % 25 == 20 {
            lost += 1;
        } else {
            rig.arrive(ModelCodec::Opus, i as u16, i as u32 * 960, i * 20, &payload[..n]);
        }
    }
    frames += rig.play(1_000 * 20).len();
    let (fec, concealed) = (rig.stats.fec.get(), rig.stats.concealed.get());
    assert_eq!(fec + concealed, lost, "every loss is one or the other");
    assert!(fec > lost / 2, "{fec} of {lost} came back");
    assert!((995..=1_000).contains(&frames), "{frames}");
    let target = rig.stats.target();
    assert!(
        target > Duration::from_millis(20) && target < Duration::from_millis(25),
        "waits for one: {target:?}"
    );
}

#[test]
fn half_a_frame_is_completed_when_the_sender_stops() {
    let mut rig = Rig::new(MU);
    // 10 ms packets, an odd number of them, the last ones silent so that the stop is no loss.
    for i in 0..15_u64 {
        rig.arrive(ModelCodec::Pcmu, i as u16, i as u32 * 80, i * 10, &[0xFF; 80]);
    }
    let frames = rig.play(1_000);
    assert_eq!(frames.len(), 8);
    assert_eq!(rig.stats.concealed.get(), 0);
}

#[test]
fn rubbish_is_counted_and_its_time_concealed() {
    let mut rig = Rig::new(MU);
    // The first byte says 20 ms, the rest is cut off: CBR pair of frames with an odd length.
    for i in 0..20_u64 {
        let payload: &[u8] = if i == 10 { &[0b0000_0001, 1, 2, 3] } else { &[0b0000_0000, 7, 7, 7, 7, 7, 7] };
        rig.arrive(ModelCodec::Opus, i as u16, i as u32 * 480, i * 10, payload);
    }
    let frames = rig.play(205);
    assert!(frames.iter().all(|f| f.payload().len() == 160));
    assert_eq!(rig.stats.decode_errors.get(), 1);
    assert!((9..=11).contains(&frames.len()), "{}", frames.len());
}

#[test]
fn a_flush_mutes_until_opened_and_numbers_what_follows() {
    let mut rig = Rig::new(MU);
    for i in 0..10_u64 {
        rig.arrive(ModelCodec::Pcmu, i as u16, i as u32 * 160, i * 20, &loud(i));
    }
    assert_eq!(rig.play(105).len(), 6);
    rig.downlink.flush(3);
    assert_eq!(rig.play(10_000).len(), 0);
    rig.arrive(ModelCodec::Pcmu, 10, 1_600, 300, &loud(10));
    assert_eq!((rig.play(10_000).len(), rig.stats.muted.get()), (0, 1));
    rig.downlink.open();
    rig.arrive(ModelCodec::Pcmu, 11, 1_760, 400, &loud(11));
    let frames = rig.play(402);
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].generation, frames[0].time), (3, 6 * 160));
    assert_eq!(frames[0].payload(), loud(11));
    assert_eq!(rig.stats.concealed.get(), 0);
}

#[test]
fn silence_is_cut_while_the_buffer_is_too_deep() {
    let mut rig = Rig::new(MU);
    let mut sent = 0_u64;
    let mut send = |rig: &mut Rig, ms: u64, payload: &[u8]| {
        rig.arrive(ModelCodec::Pcmu, sent as u16, sent as u32 * 160, ms, payload);
        sent += 1;
    };
    // Speech; then a stall of 200 ms and all of it at once; then silence.
    for i in 0..50_u64 {
        send(&mut rig, i * 20, &loud(i));
        rig.play(i * 20 + 2);
    }
    rig.play(1_195);
    for i in 50..60_u64 {
        send(&mut rig, 1_200, &loud(i));
    }
    let deep = rig.play(1_203).last().map(|f| f.due.saturating_sub(at(1_000)));
    assert!(deep >= Some(Duration::from_millis(200)), "{deep:?}");
    for i in 61..90_u64 {
        rig.play(i * 20);
        send(&mut rig, i * 20, &[0xFF; 160]);
    }
    let last = rig.play(89 * 20 + 19);
    let late = last.last().unwrap().due.saturating_sub(last.last().unwrap().born);
    assert!(late < Duration::from_millis(20), "{late:?}");
    assert!(rig.stats.shrunk_ns.get() > 150_000_000);
}

/// A word, 100 ms of nothing as before a `t`, and the rest of it, all of it as late as a buffer begins with.
#[test]
fn a_pause_within_a_word_is_kept_and_one_between_words_is_not() {
    for (silent, kept) in [(5_u64, true), (10, false)] {
        let mut rig = Rig::new(MU);
        rig.downlink = Downlink::new(MU, JitterConfig::default()).unwrap();
        let end = 100 + silent;
        let mut frames = Vec::new();
        for i in 0..150_u64 {
            let quiet = (100..end).contains(&i);
            rig.arrive(
                ModelCodec::Pcmu,
                i as u16,
                i as u32 * 160,
                i * 20,
                &if quiet { vec![0xFF; 160] } else { loud(i) },
            );
            frames.extend(rig.play(i * 20 + 19));
        }
        frames.retain(|frame| frame.source >= 100 * 160 && frame.source < end as u32 * 160);
        assert_eq!(frames.len() as u64 == silent, kept, "{} of {silent}", frames.len());
    }
}

struct At(Nanos);

impl Clock for At {
    fn now(&self) -> Nanos {
        self.0
    }
}

#[test]
fn a_slow_reader_costs_at_most_half_a_second() {
    let mut rig = Rig::new(MU);
    let (mut model, mut input) = crate::ring::ring(crate::ring::DOWNLINK_IN_MS);
    let (mut output, mut media) = crate::ring::ring::<MediaFrame>(crate::ring::DOWNLINK_OUT_MS);
    for i in 0..100_u64 {
        // The first ten are silence: they are given up first.
        let payload = if i < 20 { vec![0xFF; 160] } else { loud(i) };
        model
            .push(
                &Packet::new(at(i * 20), ModelCodec::Pcmu, i as u16, i as u32 * 160, false, &payload)
                    .unwrap(),
            )
            .unwrap();
        let progress = rig.downlink.tick(&At(at(i * 20 + 2)), &mut input, &mut output, &rig.stats);
        assert_eq!(progress.blocked, media.len() == 10 && i >= 10, "{i}");
    }
    assert_eq!(rig.stats.dropped_full.get(), 75);
    let mut times: Vec<u64> = std::iter::from_fn(|| media.pop()).map(|f| f.time / 160).collect();
    let progress = rig.downlink.tick(&At(at(100 * 20)), &mut input, &mut output, &rig.stats);
    assert!(progress.pushed);
    times.extend(std::iter::from_fn(|| media.pop()).map(|f| f.time / 160));
    assert_eq!(times[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "already handed over");
    assert_eq!(times[10..], [85, 86, 87, 88, 89, 90, 91, 92, 93, 94], "then the youngest that were kept");
}

#[test]
fn each_frame_tells_where_in_the_stream_it_begins() {
    let mut rig = Rig::new(MU);
    let (mut last, mut shorter) = (None, 0);
    for i in 0..200_u64 {
        // Once 200 ms of nothing, then all of it at once.
        let arrival = if (100..110).contains(&i) { 110 } else { i } * 20;
        for frame in rig.play(arrival) {
            let made_up = frame.born == frame.due;
            if let Some(last) = last.filter(|_| !made_up) {
                let step = frame.source.wrapping_sub(last);
                assert!((160..=240).contains(&step) || i >= 100, "{i}: {step}");
                shorter += u32::from((161..=240).contains(&step));
            }
            last = Some(frame.source);
        }
        rig.arrive(ModelCodec::Pcmu, i as u16, 7_000 + i as u32 * 160, arrival, &voice(i));
    }
    assert!(shorter >= 4, "a voice is shortened after a stall: {shorter}");
    assert_eq!(rig.stats.late.get(), 0);
}

/// Opus packets, as far as libopus likes with a copy of the one before.
fn encoded(packets: u64, mut sound: impl FnMut(u64, &mut [i16])) -> Vec<Vec<u8>> {
    let config = OpusConfig { expected_loss_percent: 20, ..OpusConfig::default() };
    let mut encoder = Encoder::new(SampleRate::Hz8000, &config).unwrap();
    let mut pcm = [0; 160];
    let mut packet = |i| {
        sound(i, &mut pcm);
        let mut payload = vec![0; 1275];
        let n = encoder.encode(&pcm, &mut payload).unwrap();
        payload.truncate(n);
        payload
    };
    (0..packets).map(&mut packet).collect()
}

#[test]
fn another_codec_is_blended_in_for_5_ms_but_not_after_a_pause() {
    // Packets that never come before the codec changes; so many are a pause.
    for missing in [0, 20] {
        let mut rig = Rig::new(MU);
        let vowel = encoded(50, |i, pcm| g711::decode(Law::Mu, &voice(i), pcm));
        for (i, payload) in vowel.iter().enumerate() {
            rig.arrive(ModelCodec::Opus, i as u16, i as u32 * 960, i as u64 * 20, payload);
            rig.play(i as u64 * 20 + 2);
        }
        let at = 50 + missing;
        rig.play(at * 20 - 1);
        rig.arrive(ModelCodec::Pcmu, 50, 0, at * 20, &loud(0));
        let frames = rig.play(at * 20 + 15);
        assert_eq!(frames.len(), 1);
        let (blended, rest) = (&frames[0].payload()[..40], &frames[0].payload()[40..]);
        assert_eq!(blended == &loud(0)[..40], missing > 0, "after {missing} missing packets");
        assert_eq!(rest, &loud(0)[40..]);
    }
}

#[test]
fn a_copy_of_what_was_lost_may_be_another_codecs() {
    let mut rig = Rig::new(MU);
    let mut speech = Speech::new(7, SampleRate::Hz8000);
    let packets = encoded(400, |_, pcm| speech.fill(pcm));
    let first = (50..).find(|i| crate::opus::has_fec(&packets[*i as usize])).expect("some carry a copy");
    for i in 0..first - 1 {
        rig.arrive(ModelCodec::Pcmu, i as u16, i as u32 * 160, i * 20, &voice(i));
        rig.play(i * 20 + 2);
    }
    // The first of the other codec is lost; its copy comes in the second, on a clock with an origin of its own.
    let start = 700_000;
    for i in [first, first + 1] {
        let timestamp = start + i as u32 * 960;
        rig.arrive(ModelCodec::Opus, i as u16, timestamp, i * 20 - 18, &packets[i as usize]);
    }
    let sources: Vec<u32> = rig.play(first * 20 + 40).iter().map(|frame| frame.source).collect();
    assert_eq!(sources, [first - 1, first, first + 1].map(|i| start + i as u32 * 960));
    assert_eq!((rig.stats.fec.get(), rig.stats.concealed.get()), (1, 0));
}

/// A steady vowel.
fn voice(packet: u64) -> Vec<u8> {
    let pcm: Vec<i16> = (0..160)
        .map(|i| {
            let t = (packet * 160 + i) as f32 / 8_000.0;
            let tone = |hz: f32| (hz * t * std::f32::consts::TAU).sin();
            ((tone(150.0) + tone(300.0) + 0.5 * tone(450.0)) * 5_000.0) as i16
        })
        .collect();
    let mut payload = vec![0; 160];
    g711::encode(Law::Mu, &pcm, &mut payload);
    payload
}
