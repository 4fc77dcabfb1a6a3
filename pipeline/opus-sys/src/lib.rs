//! The dozen functions of libopus 1.6.1 that the bridge calls, and nothing else of it.
//!
//! The library is compiled from the C sources that the registry package `opusic-sys` carries (see `build.rs`): a C
//! compiler is enough, and the code is upstream's own. A transpilation to Rust would be simpler to build, but what
//! are variable-length arrays on the stack in C are `Vec`s there, allocated on every frame.
//!
//! Reference for every item: <https://opus-codec.org/docs/opus_api-1.6/>. Safe wrappers live in the crate `pipeline`.

#![no_std]

use core::ffi::{c_int, c_uchar};

/// State of an encoder: an opaque block of [`opus_encoder_get_size`] bytes.
#[repr(C)]
pub struct OpusEncoder {
    _opaque: [u8; 0],
}

/// State of a decoder: an opaque block of [`opus_decoder_get_size`] bytes.
#[repr(C)]
pub struct OpusDecoder {
    _opaque: [u8; 0],
}

/// No error.
pub const OPUS_OK: c_int = 0;
/// Mode for speech: SILK or hybrid, with in-band FEC.
pub const OPUS_APPLICATION_VOIP: c_int = 2048;
/// Mode of least look-ahead (2.5 ms), CELT only, without FEC.
pub const OPUS_APPLICATION_RESTRICTED_LOWDELAY: c_int = 2051;
/// The signal is speech.
pub const OPUS_SIGNAL_VOICE: c_int = 3001;

/// Argument: bits per second.
pub const OPUS_SET_BITRATE_REQUEST: c_int = 4002;
/// Argument: 0 to 10.
pub const OPUS_SET_COMPLEXITY_REQUEST: c_int = 4010;
/// Argument: 0 or 1.
pub const OPUS_SET_INBAND_FEC_REQUEST: c_int = 4012;
/// Argument: expected loss, 0 to 100 percent.
pub const OPUS_SET_PACKET_LOSS_PERC_REQUEST: c_int = 4014;
/// Argument: 0 or 1.
pub const OPUS_SET_DTX_REQUEST: c_int = 4016;
/// Argument: one of the `OPUS_SIGNAL_*` values.
pub const OPUS_SET_SIGNAL_REQUEST: c_int = 4024;
/// Argument: pointer to a `c_int` that receives samples at the encoder's rate.
pub const OPUS_GET_LOOKAHEAD_REQUEST: c_int = 4027;
/// No argument: forget the signal so far, keep the settings.
pub const OPUS_RESET_STATE: c_int = 4028;

unsafe extern "C" {
    /// Bytes that an encoder of `channels` channels needs.
    pub fn opus_encoder_get_size(channels: c_int) -> c_int;
    /// Makes an encoder in memory that the caller owns, aligned as for a pointer.
    pub fn opus_encoder_init(st: *mut OpusEncoder, fs: i32, channels: c_int, application: c_int) -> c_int;
    /// Encodes `frame_size` samples; returns the bytes written, or a negative error.
    pub fn opus_encode(
        st: *mut OpusEncoder,
        pcm: *const i16,
        frame_size: c_int,
        data: *mut c_uchar,
        max_data_bytes: i32,
    ) -> i32;
    /// Sets or asks one thing, by request number.
    pub fn opus_encoder_ctl(st: *mut OpusEncoder, request: c_int, ...) -> c_int;

    /// Bytes that a decoder of `channels` channels needs.
    pub fn opus_decoder_get_size(channels: c_int) -> c_int;
    /// Makes a decoder in memory that the caller owns, aligned as for a pointer.
    pub fn opus_decoder_init(st: *mut OpusDecoder, fs: i32, channels: c_int) -> c_int;
    /// Decodes a packet (`data` null: conceals `frame_size` samples; `decode_fec` 1: recovers what came before the
    /// packet); returns the samples written, or a negative error.
    pub fn opus_decode(
        st: *mut OpusDecoder,
        data: *const c_uchar,
        len: i32,
        pcm: *mut i16,
        frame_size: c_int,
        decode_fec: c_int,
    ) -> c_int;
    /// Sets or asks one thing, by request number.
    pub fn opus_decoder_ctl(st: *mut OpusDecoder, request: c_int, ...) -> c_int;

    /// 1 if the packet carries a low-bit-rate copy of its predecessor, 0 if not, or a negative error.
    pub fn opus_packet_has_lbrr(packet: *const c_uchar, len: i32) -> c_int;
    /// Null-terminated name and version of the library.
    pub fn opus_get_version_string() -> *const core::ffi::c_char;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_links_and_is_the_version_we_pin() {
        // SAFETY: the function takes nothing and returns a static, null-terminated string.
        let version = unsafe { core::ffi::CStr::from_ptr(opus_get_version_string()) };
        assert_eq!(version.to_str(), Ok("libopus 1.6.1"));
    }

    #[test]
    fn states_have_plausible_sizes() {
        // SAFETY: pure functions of their argument.
        let (encoder, decoder) = unsafe { (opus_encoder_get_size(1), opus_decoder_get_size(1)) };
        assert!((10_000..200_000).contains(&encoder), "{encoder}");
        assert!((5_000..100_000).contains(&decoder), "{decoder}");
    }
}
