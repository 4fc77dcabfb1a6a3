//! G.711 mu-law, by formula (ITU-T G.711 table 2a/2b), sample by sample.

/// The quietest mu-law byte, +0. Twilio's streams carry it (and 0x7F, -0) for silence; 0x00 would be the loudest negative sample.
pub const SILENCE: u8 = 0xFF;

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// One linear sample as a mu-law byte.
pub fn encode(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0x80, -i32::from(sample)) } else { (0x00, i32::from(sample)) };
    let biased = magnitude.min(CLIP) + BIAS;
    // The bias puts the leading one at bit 7 to 14; which of the eight is the segment.
    let segment = 24 - biased.leading_zeros() as i32;
    let step = (biased >> (segment + 3)) & 0x0F;
    !(sign | (segment << 4) as u8 | step as u8)
}

/// One mu-law byte as a linear sample.
pub fn decode(byte: u8) -> i16 {
    let byte = !byte;
    let segment = (byte >> 4) & 0x07;
    let magnitude = (((i32::from(byte & 0x0F) << 3) + BIAS) << segment) - BIAS;
    (if byte & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_are_those_of_the_standard() {
        assert_eq!(encode(0), 0xFF);
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
        assert_eq!((decode(0xFF), decode(0x7F)), (0, 0));
        assert_eq!((decode(0x80), decode(0x00)), (32_124, -32_124));
        assert_eq!((decode(0xFE), decode(0x7E)), (8, -8));
    }

    #[test]
    fn every_byte_survives_the_way_out_and_back() {
        for byte in 0..=255u8 {
            let back = encode(decode(byte));
            assert!(back == byte || (byte == 0x7F && back == 0xFF), "{byte:#x} -> {back:#x}");
        }
    }

    #[test]
    fn the_error_is_within_half_a_step() {
        for s in (-32_000..=32_000i16).step_by(37) {
            let error = (i32::from(decode(encode(s))) - i32::from(s)).abs();
            // Steps are 1/16 of a segment, which begins at half of its end.
            assert!(error <= (i32::from(s).abs() + BIAS) / 32, "{s}: {error}");
        }
    }
}
