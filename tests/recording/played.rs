//! Reads recordings as a player does.

use std::io::Cursor;

use ogg::PacketReader;
use unsafe_libopus::{OPUS_OK, opus_decode, opus_decoder_create, opus_decoder_destroy};

/// Both sides, 8 kHz.
pub struct Played {
    pub caller: Vec<i16>,
    pub aria: Vec<i16>,
}

fn apart(pairs: &[i16]) -> Played {
    let (caller, aria) = pairs.as_chunks().0.iter().map(|[caller, aria]| (*caller, *aria)).unzip();
    Played { caller, aria }
}

/// A WAV file.
pub fn wav(bytes: &[u8]) -> Played {
    let reader = hound::WavReader::new(Cursor::new(bytes)).expect("a WAV file");
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    apart(&reader.into_samples::<i16>().map(|sample| sample.expect("whole samples")).collect::<Vec<_>>())
}

/// An Ogg Opus file (RFC 7845), by another libopus than the one that wrote it.
pub fn ogg(bytes: &[u8]) -> Played {
    let mut packets = PacketReader::new(Cursor::new(bytes));
    let mut next = || packets.read_packet().expect("whole pages");
    let head = next().expect("a header").data;
    assert_eq!((&head[..8], head[8], head[9]), (&b"OpusHead"[..], 1, 2));
    let skip = u64::from(u16::from_le_bytes([head[10], head[11]]));
    assert_eq!(&next().expect("tags").data[..8], b"OpusTags");
    let mut error = 0;
    // SAFETY: rate and channels are allowed ones; `error` outlives the call.
    let decoder = unsafe { opus_decoder_create(8_000, 2, &mut error) };
    assert_eq!(error, OPUS_OK);
    let (mut pairs, mut length) = (Vec::new(), 0);
    while let Some(packet) = next() {
        let mut pcm = [0; 2 * 960];
        // SAFETY: the decoder lives, the packet covers its length and `pcm` has room for 120 ms of both channels.
        let samples = unsafe {
            opus_decode(
                &mut *decoder,
                packet.data.as_ptr(),
                packet.data.len() as i32,
                pcm.as_mut_ptr(),
                960,
                0,
            )
        };
        pairs.extend_from_slice(&pcm[..2 * usize::try_from(samples).expect("a whole packet")]);
        if packet.last_in_page() {
            length = packet.absgp_page();
        }
    }
    // SAFETY: made above and destroyed once.
    unsafe { opus_decoder_destroy(decoder) };
    let (skip, length) = ((skip / 6) as usize, (length / 6) as usize);
    assert!(length * 2 <= pairs.len(), "the last page names no sample that is not there");
    apart(&pairs[skip * 2..length * 2])
}
