//! Which of ARIA's frames are still worth sending after a stall. Pure.
//!
//! Twilio plays whatever it gets, in order: a frame that comes late pushes everything after it back, for the rest of the call.

use std::time::Duration;

use pipeline::MediaEncoding;

/// A silent frame older than this is dropped: nobody hears it missing, and the delay shrinks by its length.
pub const LATE_SILENCE: Duration = Duration::from_millis(100);
/// Any frame older than this is dropped: the caller has waited for it long enough to have given up.
pub const LATE: Duration = Duration::from_millis(500);

/// Loudest mu-law sample counted as silence: the quantiser's smallest steps, as a quiet line makes them.
const MULAW_QUIET: u8 = 0x7b;
/// Loudest 16-bit sample counted as silence, about −66 dBFS.
const L16_QUIET: u16 = 16;

/// Whether a frame that was due `age` ago is still sent.
pub fn worth_sending(age: Duration, payload: &[u8], encoding: MediaEncoding) -> bool {
    age < LATE_SILENCE || (age < LATE && !is_silent(payload, encoding))
}

/// Whether nothing is to be heard in it.
pub fn is_silent(payload: &[u8], encoding: MediaEncoding) -> bool {
    match encoding {
        // Mu-law is inverted: 0xff and 0x7f are the zeros of both signs (ITU-T G.711).
        MediaEncoding::Mulaw => payload.iter().all(|byte| byte & 0x7f >= MULAW_QUIET),
        MediaEncoding::L16 => payload
            .chunks_exact(2)
            .all(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() <= L16_QUIET),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_goes_first_then_everything() {
        let (silent, loud) = ([0xff, 0x7f, 0xfe], [0xff, 0x10, 0xff]);
        let keeps =
            |ms, payload: &[u8]| worth_sending(Duration::from_millis(ms), payload, MediaEncoding::Mulaw);
        assert!(keeps(0, &silent) && keeps(99, &silent) && !keeps(100, &silent));
        assert!(keeps(100, &loud) && keeps(499, &loud) && !keeps(500, &loud));
        let l16 = |sample: i16| {
            worth_sending(Duration::from_millis(200), &sample.to_le_bytes(), MediaEncoding::L16)
        };
        assert!(!l16(0) && !l16(-16) && l16(17) && l16(i16::MIN));
    }
}
