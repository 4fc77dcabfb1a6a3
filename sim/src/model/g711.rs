//! G.711 (ITU-T recommendation of 1988), both laws, by the recommendation's segments.

/// Largest magnitude of the 16-bit scale that mu-law can carry before the bias is added.
const MULAW_CLIP: i32 = 32_635;
/// Added before the segment search so that every segment starts at a power of two.
const MULAW_BIAS: i32 = 0x84;

pub(crate) fn mulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(MULAW_CLIP) + MULAW_BIAS;
    let exponent = (31 - magnitude.leading_zeros() as i32 - 7).max(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

pub(crate) fn mulaw_decode(code: u8) -> i16 {
    let code = !code;
    let exponent = i32::from(code >> 4 & 7);
    let magnitude = ((i32::from(code & 0x0f) << 3) + MULAW_BIAS) << exponent;
    let value = magnitude - MULAW_BIAS;
    (if code & 0x80 != 0 { -value } else { value }) as i16
}

pub(crate) fn alaw_encode(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample >= 0 { (0x80, i32::from(sample)) } else { (0, -(i32::from(sample) + 1)) };
    let magnitude = magnitude >> 3;
    let code = if magnitude < 64 {
        magnitude >> 1
    } else {
        let exponent = 31 - magnitude.leading_zeros() as i32 - 4;
        (exponent << 4) | (magnitude >> exponent & 0x0f)
    };
    (code as u8 | sign) ^ 0x55
}

pub(crate) fn alaw_decode(code: u8) -> i16 {
    let code = code ^ 0x55;
    let exponent = i32::from(code >> 4 & 7);
    let mantissa = i32::from(code & 0x0f) << 4;
    let value = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    (if code & 0x80 != 0 { value } else { -value }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_recommendation() {
        assert_eq!(mulaw_encode(0), 0xff);
        assert_eq!(mulaw_encode(-32_768), 0x00);
        assert_eq!(mulaw_encode(32_767), 0x80);
        assert_eq!(mulaw_decode(0x00), -32_124);
        assert_eq!(mulaw_decode(0x80), 32_124);
        assert_eq!(mulaw_decode(0xff), 0);
        assert_eq!(alaw_encode(0), 0xd5);
        assert_eq!(alaw_decode(0xd5), 8);
        assert_eq!(alaw_decode(0x2a), -32_256);
        assert_eq!(alaw_decode(0xaa), 32_256);
    }

    #[test]
    fn decoding_and_encoding_again_gives_the_same_code() {
        for code in 0..=255u8 {
            // Mu-law has two zeros; the negative one comes back as the positive.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(mulaw_encode(mulaw_decode(code)), expected, "{code:#x}");
            assert_eq!(alaw_encode(alaw_decode(code)), code, "{code:#x}");
        }
    }

    #[test]
    fn the_error_is_small_against_the_sample() {
        for sample in (-32_000..32_000).step_by(37) {
            let sample = sample as i16;
            for decoded in [mulaw_decode(mulaw_encode(sample)), alaw_decode(alaw_encode(sample))] {
                let error = (i32::from(decoded) - i32::from(sample)).abs();
                assert!(error <= 16 + i32::from(sample).abs() / 24, "{sample} became {decoded}");
            }
        }
    }
}
