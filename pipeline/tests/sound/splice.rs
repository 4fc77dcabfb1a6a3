//! Goal B5: where one thing follows another, there is no click: no step more than 6 dB above the largest in the 10 ms around it.

use pipeline::conceal::PitchRepeater;
use pipeline::g711::{self, Law};
use pipeline::{
    CallStats, Downlink, JitterConfig, MediaEncoding, MediaFormat, MediaFrame, ModelCodec, Nanos, Packet,
    SampleRate,
};

use crate::measure::{RATES, click, samples, speech, worst_click};
use crate::road::{Arriving, down, heard};
use crate::sender::{Made, Sender};

const LIMIT: f64 = 6.0;

fn check(what: &str, signal: &[i16], splices: impl IntoIterator<Item = usize>) {
    let worst = worst_click(signal, splices);
    println!("{what}: {worst:+.1} dB");
    assert!(worst <= LIMIT, "{what}: a step {worst:.1} dB above what is around");
}

/// Packets of the clip, 20 ms apart.
fn packets(codec: ModelCodec) -> Vec<Arriving> {
    let payloads: Vec<Vec<u8>> = match codec {
        ModelCodec::Opus => {
            let mut sender = Sender::new(16_000, 32_000, Made::ForSpeech);
            speech(SampleRate::Hz16000).chunks_exact(320).map(|pcm| sender.encode(pcm)).collect()
        }
        _ => speech(SampleRate::Hz8000)
            .chunks_exact(160)
            .map(|pcm| {
                let mut codes = vec![0; 160];
                g711::encode(Law::Mu, pcm, &mut codes);
                codes
            })
            .collect(),
    };
    let step = codec.rtp_clock() / 50;
    let arriving = |(i, payload)| Arriving {
        at_ms: i as f64 * 20.0,
        codec,
        seq: i as u16,
        timestamp: i as u32 * step,
        payload,
    };
    payloads.into_iter().enumerate().map(arriving).collect()
}

/// The ends of frames in what a player without a pause hears.
fn seams(frames: &[(f64, MediaFrame)]) -> impl Iterator<Item = usize> {
    (1..frames.len()).map(|i| i * 160)
}

fn joined(frames: &[(f64, MediaFrame)]) -> Vec<i16> {
    heard(&frames.iter().map(|(_, frame)| (0.0, *frame)).collect::<Vec<_>>())
}

#[test]
fn into_concealment_and_out_of_it() {
    let clip = speech(SampleRate::Hz8000);
    for length in [1, 2, 3, 5] {
        for phase in 0..8 {
            let (mut repeater, mut out) = (PitchRepeater::default(), clip.clone());
            let mut splices = Vec::new();
            for (i, frame) in out.chunks_exact_mut(160).enumerate() {
                let place = (i + phase) % 13;
                if place < length && i >= length {
                    repeater.conceal(frame);
                } else {
                    repeater.pass(frame);
                }
                // In, out, and the end of the merge.
                if place == 0 || place == length {
                    splices.push(i * 160);
                }
                if place == length {
                    splices.extend([i * 160 + 8, i * 160 + 90]);
                }
            }
            splices.retain(|at| *at > 0);
            check(&format!("{length} frames of G.711 lost, phase {phase}"), &out, splices);
        }
    }
}

#[test]
fn through_the_chain_with_losses() {
    for codec in [ModelCodec::Pcmu, ModelCodec::Opus] {
        let mut all = packets(codec);
        all.retain(|p| p.seq % 11 != 7 && p.seq % 29 > 1);
        let frames = down(all, MediaFormat::default());
        check(&format!("{codec:?} with losses"), &joined(&frames), seams(&frames));
    }
}

#[test]
fn where_a_stream_stops_for_good() {
    // The end of what was made up is silence: as a click it would be a step down to it.
    for codec in [ModelCodec::Pcmu, ModelCodec::Opus] {
        for stop in (40..280).step_by(8) {
            let mut all = packets(codec);
            all.truncate(stop);
            let mut out = joined(&down(all, MediaFormat::default()));
            let end = out.len();
            out.resize(end + 160, 0);
            check(&format!("{codec:?} stops after {stop} packets"), &out, [end]);
        }
    }
}

#[test]
fn where_silence_is_cut() {
    for codec in [ModelCodec::Pcmu, ModelCodec::Opus] {
        let mut all = packets(codec);
        let sent = all.len();
        // A stall of 200 ms, then the burst: the buffer is too deep, and the next pauses are cut.
        let held: Vec<usize> = (60..70).collect();
        for i in &held {
            all[*i].at_ms = 1_400.0;
        }
        let frames = down(all, MediaFormat::default());
        assert!(frames.len() < sent + 6, "{} frames of {sent} packets", frames.len());
        check(&format!("{codec:?} with silence cut"), &joined(&frames), seams(&frames));
    }
}

/// Feeds packets one by one, 20 ms apart, and lets the caller act before each.
fn fed(
    format: MediaFormat,
    all: &[Arriving],
    mut act: impl FnMut(usize, &mut Downlink),
) -> Vec<(f64, MediaFrame)> {
    let stats = CallStats::default();
    let mut downlink = Downlink::new(format, JitterConfig::default()).unwrap();
    let mut frames = Vec::new();
    for (i, p) in all.iter().enumerate() {
        let now = Nanos(1_000_000_000 + i as u64 * 20_000_000);
        while let Some(due) = downlink.next_due().filter(|due| *due < now) {
            frames.extend(std::iter::from_fn(|| downlink.poll(due, &stats)).map(|(frame, _)| (0.0, frame)));
        }
        act(i, &mut downlink);
        let packet = Packet::new(now, p.codec, p.seq, p.timestamp, false, &p.payload).unwrap();
        downlink.handle_packet(&packet, &stats);
    }
    frames
}

#[test]
fn a_new_reply_after_a_flush_starts_from_silence() {
    for codec in [ModelCodec::Pcmu, ModelCodec::Opus] {
        for cut in (45..120).step_by(5) {
            let mut reply = packets(codec);
            reply.truncate(cut);
            let step = codec.rtp_clock() / 50;
            // The reply that follows has a beginning of its own.
            reply.extend(packets(codec).into_iter().map(|mut p| {
                p.seq += cut as u16;
                p.timestamp += cut as u32 * step;
                p
            }));
            let frames = fed(MediaFormat::default(), &reply, |i, downlink| {
                if i == cut {
                    downlink.flush(1);
                    downlink.open();
                }
            });
            let second: Vec<_> = frames.into_iter().filter(|(_, frame)| frame.generation == 1).collect();
            assert!(second.len() > 250, "{} frames", second.len());
            let mut out = vec![0; 160];
            out.extend(joined(&second));
            let first = click(&out, 160);
            assert!(first <= LIMIT, "{codec:?} flushed at {cut}: {first:.1} dB");
            let whole = std::iter::once(160).chain(seams(&second).map(|at| at + 160));
            check(&format!("{codec:?} flushed at {cut}"), &out, whole);
        }
    }
}

/// What is heard of packets that are `codec(i)`'s, and at which sample each begins.
fn in_turns(
    (opus, g711): &(Vec<Arriving>, Vec<Arriving>),
    format: MediaFormat,
    codec: impl Fn(usize) -> ModelCodec,
) -> (Vec<i16>, usize) {
    let both = opus.iter().zip(g711).enumerate();
    let all = both.map(|(i, (opus, g711))| if codec(i) == ModelCodec::Opus { opus } else { g711 });
    let frames = fed(format, &all.cloned().collect::<Vec<_>>(), |_, _| {});
    let sound: Vec<i16> = match format.encoding {
        MediaEncoding::Mulaw => joined(&frames),
        MediaEncoding::L16 => frames.iter().flat_map(|(_, frame)| samples(frame.payload())).collect(),
    };
    (sound, format.rate.samples(20))
}

#[test]
fn where_the_codec_changes() {
    let both = (packets(ModelCodec::Opus), packets(ModelCodec::Pcmu));
    for rate in RATES {
        let encoding = if rate == SampleRate::Hz8000 { MediaEncoding::Mulaw } else { MediaEncoding::L16 };
        let format = MediaFormat { encoding, rate };
        for from_opus in [false, true] {
            let codec = |changed: bool| match from_opus != changed {
                true => ModelCodec::Opus,
                false => ModelCodec::Pcmu,
            };
            let (mut once, mut often, mut within) = (f64::MIN, f64::MIN, f64::MIN);
            let splices = |at: usize, step: usize| [at * step - step, at * step, at * step + step];
            for at in (45..280).step_by(7) {
                let (out, step) = in_turns(&both, format, |i| codec(i >= at));
                // Where the first packet of the other codec begins, and the frames around it.
                once = once.max(worst_click(&out, splices(at, step)));
                within = within.max(worst_click(&out, at * step..at * step + step));
            }
            // There and back, by a decoder that knows the voice from before.
            for phase in 0..7 {
                let (out, step) = in_turns(&both, format, |i| codec((i + phase) / 7 % 2 == 1));
                let changes = (8..280).filter(|i| (i + phase) % 7 == 0);
                often = often.max(worst_click(&out, changes.flat_map(|at| splices(at, step))));
            }
            let (from, to) = (codec(false), codec(true));
            println!(
                "{from:?} → {to:?} at {rate:?}: {once:+.1} dB, all of 20 ms {within:+.1}, there and back {often:+.1}"
            );
            for worst in [once, within, often] {
                assert!(worst <= LIMIT, "{from:?} → {to:?} at {rate:?}: {worst:+.1} dB");
            }
        }
    }
}
