//! G.711 by tables, bit-exact with ITU-T G.191 and its own inverse on every code.
//!
//! Negative samples are taken as one's complement, as G.191's reference code does (`!x`, not `-x`): the two differ
//! only on exact ties. It is also what keeps mu-law's negative zero: 0x7F decodes to −1, the one's complement of 0,
//! which is far below the law's step of 8 and encodes back to 0x7F. So bytes that pass through linear samples come
//! out as they went in.

/// Which of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Mu-law: North America, Japan, Twilio.
    Mu,
    /// A-law: everywhere else.
    A,
}

/// The code that stands for silence in mu-law.
pub const MULAW_SILENCE: u8 = 0xFF;

static MU_TO_LINEAR: [i16; 256] = expansion(Law::Mu);
static A_TO_LINEAR: [i16; 256] = expansion(Law::A);
/// By the upper 14 bits of a sample (mu-law has no finer step).
static LINEAR_TO_MU: [u8; 1 << 14] = mu_compression();
/// By the upper 12 bits of a sample (A-law has no finer step).
static LINEAR_TO_A: [u8; 1 << 12] = a_compression();

/// Decodes `codes` to linear 16-bit samples; the shorter slice decides how many.
pub fn decode(law: Law, codes: &[u8], samples: &mut [i16]) {
    let table = match law {
        Law::Mu => &MU_TO_LINEAR,
        Law::A => &A_TO_LINEAR,
    };
    for (sample, code) in samples.iter_mut().zip(codes) {
        *sample = table[usize::from(*code)];
    }
}

/// Encodes linear 16-bit samples; the shorter slice decides how many.
pub fn encode(law: Law, samples: &[i16], codes: &mut [u8]) {
    match law {
        Law::Mu => {
            for (code, sample) in codes.iter_mut().zip(samples) {
                *code = LINEAR_TO_MU[usize::from(*sample as u16 >> 2)];
            }
        }
        Law::A => {
            for (code, sample) in codes.iter_mut().zip(samples) {
                *code = LINEAR_TO_A[usize::from(*sample as u16 >> 4)];
            }
        }
    }
}

const fn expansion(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = match law {
            Law::Mu => expand_mu(code as u8),
            Law::A => expand_a(code as u8),
        };
        code += 1;
    }
    table
}

/// G.191 `ulaw_expand`, in 16-bit scale, but for the negative zero (see above).
const fn expand_mu(code: u8) -> i16 {
    let inverted = !code;
    let exponent = (inverted >> 4) & 7;
    let mantissa = (inverted & 0x0F) as i16;
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if code >= 0x80 {
        magnitude
    } else if magnitude == 0 {
        -1
    } else {
        -magnitude
    }
}

/// G.191 `alaw_expand`, in 16-bit scale.
const fn expand_a(code: u8) -> i16 {
    let toggled = (code ^ 0x55) & 0x7F;
    let exponent = toggled >> 4;
    let mut magnitude = (toggled & 0x0F) as i16;
    if exponent > 0 {
        magnitude += 16;
    }
    magnitude = (magnitude << 4) + 8;
    if exponent > 1 {
        magnitude <<= exponent - 1;
    }
    if code > 0x7F { magnitude } else { -magnitude }
}

const fn mu_compression() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut i = 0;
    while i < table.len() {
        table[i] = compress_mu((i << 2) as u16 as i16);
        i += 1;
    }
    table
}

const fn a_compression() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut i = 0;
    while i < table.len() {
        table[i] = compress_a((i << 4) as u16 as i16);
        i += 1;
    }
    table
}

/// G.191 `ulaw_compress`.
const fn compress_mu(sample: i16) -> u8 {
    let mut magnitude = (if sample < 0 { !sample >> 2 } else { sample >> 2 }) + 33;
    if magnitude > 0x1FFF {
        magnitude = 0x1FFF;
    }
    let mut segment = 1;
    let mut rest = magnitude >> 6;
    while rest != 0 {
        segment += 1;
        rest >>= 1;
    }
    let high = 8 - segment;
    let low = 0x0F - ((magnitude >> segment) & 0x0F);
    let code = ((high << 4) | low) as u8;
    if sample >= 0 { code | 0x80 } else { code }
}

/// G.191 `alaw_compress`.
const fn compress_a(sample: i16) -> u8 {
    let mut value = if sample < 0 { !sample >> 4 } else { sample >> 4 };
    if value > 15 {
        let mut exponent = 1;
        while value > 16 + 15 {
            value >>= 1;
            exponent += 1;
        }
        value -= 16;
        value += exponent << 4;
    }
    let code = value as u8;
    (if sample >= 0 { code | 0x80 } else { code }) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(law: Law, code: u8) -> (i16, u8) {
        let (mut sample, mut back) = ([0], [0]);
        decode(law, &[code], &mut sample);
        encode(law, &sample, &mut back);
        (sample[0], back[0])
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=255 {
                assert_eq!(through(law, code).1, code, "{law:?} {code:#x}");
            }
        }
    }

    #[test]
    fn known_values() {
        // ITU-T G.711 tables 1 and 2, scaled to 16 bits.
        for (code, sample) in [(0x00, -32124), (0x80, 32124), (0xFF, 0), (0x7F, -1), (0xFE, 8), (0x7E, -8)] {
            assert_eq!(through(Law::Mu, code).0, sample, "mu {code:#x}");
        }
        for (code, sample) in [(0x2A, -32256), (0xAA, 32256), (0xD5, 8), (0x55, -8)] {
            assert_eq!(through(Law::A, code).0, sample, "A {code:#x}");
        }
    }

    #[test]
    fn encoding_is_nearest_and_monotonic() {
        for law in [Law::Mu, Law::A] {
            let mut last = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let (mut code, mut back) = ([0], [0]);
                encode(law, &[sample], &mut code);
                decode(law, &code, &mut back);
                assert!(back[0] >= last, "{law:?} {sample}");
                last = back[0];
                let step = (i32::from(sample).abs() / 16).max(16);
                let clipped = i32::from(sample).clamp(-32_124, 32_124);
                assert!((i32::from(back[0]) - clipped).abs() <= step, "{law:?} {sample} {}", back[0]);
            }
        }
    }
}
