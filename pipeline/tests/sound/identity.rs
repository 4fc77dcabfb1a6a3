//! Goal B3: bytes that need no change get none.

use pipeline::g711::{self, Law};
use pipeline::{MediaFormat, ModelCodec, OpusConfig, Packet, Uplink};

use crate::road::{Arriving, down, up};

/// Every code after every other one that is an odd distance away, a second and more.
fn all_codes() -> Vec<u8> {
    (0..160_u32 * 64).map(|i| (i * 73 + i / 256 * 31) as u8).collect()
}

#[test]
fn each_code_of_both_laws_comes_back() {
    for law in [Law::Mu, Law::A] {
        let codes: Vec<u8> = (0..=255).collect();
        let (mut linear, mut back) = (vec![0; 256], vec![0; 256]);
        g711::decode(law, &codes, &mut linear);
        g711::encode(law, &linear, &mut back);
        assert_eq!(codes, back, "{law:?}");
    }
}

#[test]
fn the_caller_passes_through_byte_for_byte() {
    let format = MediaFormat::default();
    let mut uplink = Uplink::new(format, ModelCodec::Pcmu, &OpusConfig::default()).unwrap();
    let packets = up(&mut uplink, format, &all_codes());
    let sent: Vec<u8> = packets.iter().flat_map(Packet::payload).copied().collect();
    assert_eq!(sent, all_codes());
}

#[test]
fn the_model_passes_through_byte_for_byte() {
    let packets = all_codes().chunks_exact(160).enumerate().map(arriving).collect();
    let frames = down(packets, MediaFormat::default());
    let played: Vec<u8> = frames.iter().flat_map(|(_, frame)| frame.payload()).copied().collect();
    // What rings out after the last packet is no part of it.
    assert_eq!(played[..all_codes().len()], all_codes());
}

fn arriving((i, payload): (usize, &[u8])) -> Arriving {
    let (seq, timestamp) = (i as u16, i as u32 * 160);
    Arriving { at_ms: i as f64 * 20.0, codec: ModelCodec::Pcmu, seq, timestamp, payload: payload.to_vec() }
}
