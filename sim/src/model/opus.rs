//! Opus in safe hands: an encoder for the model's voice, a decoder for what it hears.

use std::ptr::NonNull;

use unsafe_libopus::{
    OPUS_APPLICATION_VOIP, OPUS_OK, OPUS_SET_BITRATE_REQUEST, OPUS_SET_COMPLEXITY_REQUEST,
    OPUS_SET_INBAND_FEC_REQUEST, OPUS_SET_PACKET_LOSS_PERC_REQUEST, OpusDecoder, OpusEncoder, opus_decode,
    opus_decoder_create, opus_decoder_destroy, opus_encode, opus_encoder_create, opus_encoder_ctl,
    opus_encoder_destroy,
};

use super::config::Voice;

/// Longest packet that RFC 6716 allows for one frame.
const MAX_PACKET_BYTES: usize = 1275;
/// Longest sound of one packet, 120 ms, at the rate we decode to.
const MAX_DECODED_8K: usize = 960;

/// A mono encoder of 16 kHz sound.
pub(crate) struct Encoder(NonNull<OpusEncoder>);

// SAFETY: the encoder is a plain heap block without thread-local state, and `&mut self` gives one user at a time.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new(voice: &Voice) -> Self {
        let mut error = 0;
        // SAFETY: rate, channels and application are ones the library allows; `error` outlives the call.
        let state = unsafe { opus_encoder_create(16_000, 1, OPUS_APPLICATION_VOIP, &mut error) };
        let state = NonNull::new(state).filter(|_| error == OPUS_OK).expect("memory for one Opus encoder");
        let fec = i32::from(voice.fec_loss_percent > 0);
        // SAFETY: `state` is a live encoder and each request takes one i32 by value.
        unsafe {
            opus_encoder_ctl!(state.as_ptr(), OPUS_SET_BITRATE_REQUEST, voice.bitrate_bps as i32);
            opus_encoder_ctl!(state.as_ptr(), OPUS_SET_COMPLEXITY_REQUEST, i32::from(voice.complexity));
            opus_encoder_ctl!(state.as_ptr(), OPUS_SET_INBAND_FEC_REQUEST, fec);
            opus_encoder_ctl!(
                state.as_ptr(),
                OPUS_SET_PACKET_LOSS_PERC_REQUEST,
                i32::from(voice.fec_loss_percent)
            );
        }
        Self(state)
    }

    /// One packet from 10, 20, 40 or 60 ms of 16 kHz samples. `None` if the length is none of these.
    pub(crate) fn encode(&mut self, samples: &[i16]) -> Option<Vec<u8>> {
        let mut packet = vec![0; MAX_PACKET_BYTES];
        // SAFETY: the pointers are valid for the lengths given; the library checks the frame length.
        let size = unsafe {
            opus_encode(
                self.0.as_ptr(),
                samples.as_ptr(),
                samples.len() as i32,
                packet.as_mut_ptr(),
                packet.len() as i32,
            )
        };
        packet.truncate(usize::try_from(size).ok()?);
        Some(packet)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: created by `opus_encoder_create`, destroyed once.
        unsafe { opus_encoder_destroy(self.0.as_ptr()) }
    }
}

/// A mono decoder to 8 kHz: what a telephone caller can contain.
pub(crate) struct Decoder(NonNull<OpusDecoder>);

// SAFETY: as for the encoder.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new() -> Self {
        let mut error = 0;
        // SAFETY: rate and channels are ones the library allows; `error` outlives the call.
        let state = unsafe { opus_decoder_create(8_000, 1, &mut error) };
        Self(NonNull::new(state).filter(|_| error == OPUS_OK).expect("memory for one Opus decoder"))
    }

    /// The samples of one packet, or `None` if it is malformed.
    pub(crate) fn decode(&mut self, packet: &[u8]) -> Option<Vec<i16>> {
        // An empty packet would mean concealment to the library.
        if packet.is_empty() {
            return None;
        }
        let mut samples = vec![0; MAX_DECODED_8K];
        // SAFETY: the pointers are valid for the lengths given.
        let decoded = unsafe {
            opus_decode(
                self.0.as_ptr(),
                packet.as_ptr(),
                packet.len() as i32,
                samples.as_mut_ptr(),
                samples.len() as i32,
                0,
            )
        };
        samples.truncate(usize::try_from(decoded).ok()?);
        Some(samples)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: created by `opus_decoder_create`, destroyed once.
        unsafe { opus_decoder_destroy(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_survives_the_codec_and_junk_is_refused() {
        let clip = crate::speech::clip("hello").expect("a clip");
        let (mut encoder, mut decoder) = (Encoder::new(&Voice::default()), Decoder::new());
        let mut heard = Vec::new();
        let mut bytes = 0;
        for frame in clip.samples_16k().chunks_exact(320) {
            let packet = encoder.encode(frame).expect("20 ms");
            bytes += packet.len();
            heard.extend(decoder.decode(&packet).expect("a good packet"));
        }
        let energy = |s: &[i16]| s.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / s.len() as f64;
        let ratio = energy(&heard) / energy(&clip.samples_8k());
        assert!((0.5..1.5).contains(&ratio), "{ratio}");
        let seconds = heard.len() as f64 / 8_000.0;
        let rate = bytes as f64 * 8.0 / seconds;
        assert!((14_000.0..34_000.0).contains(&rate), "{rate} bit/s");
        assert!(encoder.encode(&[0; 100]).is_none());
        assert!(decoder.decode(&[]).is_none());
        assert!(decoder.decode(&[0xff, 0x3f, 1]).is_none());
    }
}
