//! Opus for the peer that brings no codec: libopus 1.3.1 in Rust, another build than the bridge's own.

use std::ptr::NonNull;

use unsafe_libopus::{
    OPUS_APPLICATION_VOIP, OPUS_OK, OpusDecoder, OpusEncoder, opus_decode, opus_decoder_create,
    opus_decoder_destroy, opus_encode, opus_encoder_create, opus_encoder_destroy,
};

/// What WebRTC stacks run at.
pub const RATE: u32 = 48_000;
/// 20 ms.
pub const FRAME: usize = 960;

/// A mono encoder.
pub struct Encoder(NonNull<OpusEncoder>);

// SAFETY: a plain heap block, and `&mut self` gives one user at a time.
unsafe impl Send for Encoder {}

impl Encoder {
    /// libopus' defaults for speech.
    pub fn new() -> Self {
        let mut error = 0;
        // SAFETY: rate, channels and application are allowed ones; `error` outlives the call.
        let state = unsafe { opus_encoder_create(RATE as i32, 1, OPUS_APPLICATION_VOIP, &mut error) };
        Self(NonNull::new(state).filter(|_| error == OPUS_OK).expect("memory for an encoder"))
    }

    /// One packet from one frame.
    pub fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        assert_eq!(samples.len(), FRAME);
        let mut packet = vec![0; 1_275];
        // SAFETY: the pointers are valid for the lengths given.
        let size = unsafe {
            opus_encode(
                self.0.as_ptr(),
                samples.as_ptr(),
                FRAME as i32,
                packet.as_mut_ptr(),
                packet.len() as i32,
            )
        };
        packet.truncate(usize::try_from(size).expect("a whole frame can be encoded"));
        packet
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `opus_encoder_create` and destroyed once.
        unsafe { opus_encoder_destroy(self.0.as_ptr()) };
    }
}

/// A mono decoder.
pub struct Decoder(NonNull<OpusDecoder>);

// SAFETY: as for `Encoder`.
unsafe impl Send for Decoder {}

impl Decoder {
    /// At [`RATE`].
    pub fn new() -> Self {
        let mut error = 0;
        // SAFETY: rate and channels are allowed ones; `error` outlives the call.
        let state = unsafe { opus_decoder_create(RATE as i32, 1, &mut error) };
        Self(NonNull::new(state).filter(|_| error == OPUS_OK).expect("memory for a decoder"))
    }

    /// The samples of one packet.
    pub fn decode(&mut self, packet: &[u8]) -> Vec<i16> {
        // 120 ms, the longest packet of RFC 6716.
        let mut samples = vec![0; 6 * FRAME];
        // SAFETY: the pointers are valid for the lengths given.
        let size = unsafe {
            let length = packet.len() as i32;
            opus_decode(
                &mut *self.0.as_ptr(),
                packet.as_ptr(),
                length,
                samples.as_mut_ptr(),
                samples.len() as i32,
                0,
            )
        };
        samples.truncate(usize::try_from(size).expect("the bridge sends valid Opus"));
        samples
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `opus_decoder_create` and destroyed once.
        unsafe { opus_decoder_destroy(self.0.as_ptr()) };
    }
}
