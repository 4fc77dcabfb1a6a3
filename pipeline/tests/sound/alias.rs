//! Goal B5: what a telephone cannot carry does not come back as something else.

use pipeline::{MediaEncoding, MediaFormat, ModelCodec, OpusConfig, Packet, SampleRate, Uplink};

use crate::measure::{TONE, bytes, db, rms, tone};
use crate::road::{decoded, up};
use crate::sender::Sender;

const REJECTION: f64 = -60.0;

/// What is left of a tone, against the tone, after the start has died away.
fn left(signal: &[i16]) -> f64 {
    db(rms(&signal[signal.len() / 2..]) / (TONE / 2.0_f64.sqrt()))
}

#[test]
fn of_a_models_opus_tones_nothing_is_left_at_8_khz() {
    for bitrate in [24_000, 32_000, 64_000] {
        let mut worst = (f64::MIN, 0);
        for hz in (4_200..=20_000).step_by(200) {
            let mut sender = Sender::new(48_000, bitrate);
            let signal = tone(f64::from(hz), 48_000, 600);
            let packets: Vec<Vec<u8>> = signal.chunks_exact(960).map(|pcm| sender.encode(pcm)).collect();
            let heard = left(&decoded(packets.iter().map(Vec::as_slice), SampleRate::Hz8000));
            if heard > worst.0 {
                worst = (heard, hz);
            }
        }
        println!("Opus at {bitrate}, 48 → 8 kHz: {:.1} dB at {} Hz", worst.0, worst.1);
        assert!(worst.0 <= REJECTION, "{bitrate}: {:.1} dB at {} Hz", worst.0, worst.1);
    }
}

#[test]
fn of_a_wideband_callers_tones_nothing_is_left_in_g711() {
    for rate in [SampleRate::Hz16000, SampleRate::Hz24000] {
        let format = MediaFormat { encoding: MediaEncoding::L16, rate };
        let mut worst = (f64::MIN, 0);
        for hz in (4_200..rate.hz() / 2).step_by(100) {
            let mut uplink = Uplink::new(format, ModelCodec::Pcmu, &OpusConfig::default()).unwrap();
            let packets = up(&mut uplink, format, &bytes(&tone(f64::from(hz), rate.hz(), 600)));
            let codes: Vec<u8> = packets.iter().flat_map(Packet::payload).copied().collect();
            let mut heard = vec![0; codes.len()];
            pipeline::g711::decode(pipeline::g711::Law::Mu, &codes, &mut heard);
            let heard = left(&heard);
            if heard > worst.0 {
                worst = (heard, hz);
            }
        }
        println!("{rate:?} → 8 kHz: {:.1} dB at {} Hz", worst.0, worst.1);
        assert!(worst.0 <= REJECTION, "{rate:?}: {:.1} dB at {} Hz", worst.0, worst.1);
    }
}
