//! What is said in a trace: a made-up voice, because whether sound can be shortened depends on it.

use std::f32::consts::TAU;

use pipeline::opus::{Encoder, OpusConfig};
use pipeline::{ModelCodec, SampleRate, g711};

use super::random::Random;

/// Packets of voice there are; then it begins again. 10 s.
const PACKETS: usize = 500;
const SAMPLES: usize = 160;

/// Payloads of 20 ms: a voice, and silence.
pub struct Voice {
    pub codec: ModelCodec,
    spoken: Vec<Vec<u8>>,
    silent: Vec<Vec<u8>>,
}

impl Voice {
    pub fn pcmu() -> Self {
        let encode = |pcm: &[i16]| {
            let mut payload = vec![0; pcm.len()];
            g711::encode(g711::Law::Mu, pcm, &mut payload);
            payload
        };
        Self {
            codec: ModelCodec::Pcmu,
            spoken: speech().chunks_exact(SAMPLES).map(encode).collect(),
            silent: vec![encode(&[0; SAMPLES])],
        }
    }

    /// With a copy of each packet in its successor (LBRR), as an encoder gives it that is told of 15 % loss.
    pub fn opus_with_fec() -> Self {
        let config = OpusConfig { expected_loss_percent: 15, ..OpusConfig::default() };
        let encode = |pcm: &[i16]| {
            let mut encoder = Encoder::new(SampleRate::Hz8000, &config).expect("8 kHz is a rate of Opus");
            let mut payload = [0; 1275];
            let encoded = pcm.chunks_exact(SAMPLES).map(|piece| {
                let n = encoder.encode(piece, &mut payload).expect("20 ms are a frame");
                payload[..n].to_vec()
            });
            encoded.collect()
        };
        Self { codec: ModelCodec::Opus, spoken: encode(&speech()), silent: encode(&[0; SAMPLES * 50]) }
    }

    pub fn payload(&self, number: u64, spoken: bool) -> &[u8] {
        let packets = if spoken { &self.spoken } else { &self.silent };
        &packets[number as usize % packets.len()]
    }
}

/// Four syllables a second, each a vowel of moving pitch and 60 ms of a hissing consonant; never silent.
fn speech() -> Vec<i16> {
    let mut random = Random::new(77);
    let (mut phase, mut pitch) = (0.0_f32, 140.0_f32);
    (0..PACKETS * SAMPLES)
        .map(|i| {
            let seconds = i as f32 / 8_000.0;
            let syllable = (seconds * 4.0).fract();
            if i % 2_000 == 0 {
                pitch = 95.0 + 130.0 * random.unit() as f32;
            }
            let hz = pitch * (1.1 - 0.2 * syllable);
            phase = (phase + hz / 8_000.0).fract();
            let hiss = (random.unit() as f32 - 0.5) * 2.0;
            let sound = if syllable < 0.76 {
                let harmonics = (1..=16_u8).map(f32::from).take_while(|h| h * hz < 3_400.0);
                let vowel: f32 = harmonics
                    .map(|h| {
                        let gain: f32 = [500.0, 1_500.0, 2_500.0]
                            .iter()
                            .map(|f: &f32| (-((h * hz - f) / 250.0).powi(2)).exp())
                            .sum();
                        (gain + 0.05) * (phase * h * TAU).sin() / h.sqrt()
                    })
                    .sum();
                vowel * (0.4 + (syllable / 0.76 * TAU / 2.0).sin()) + hiss * 0.02
            } else {
                hiss * 0.15
            };
            (sound * 7_000.0).clamp(-30_000.0, 30_000.0) as i16
        })
        .collect()
}
