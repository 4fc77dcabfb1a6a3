//! A gzip file that unpacks to a thousand times its size: zeros, by the fixed codes of deflate (RFC 1951, 3.2.6; RFC 1952).

/// The longest repetition, bytes.
const RUN: usize = 258;
/// Magic, deflate, no flags, no time, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bits, the least significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn bit(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= (bit as u8) << (self.used % 8);
        }
        self.used += 1;
    }

    /// Huffman codes begin with their most significant bit.
    fn code(&mut self, code: u32, length: u32) {
        for at in (0..length).rev() {
            self.bit((code >> at) & 1);
        }
    }
}

/// A file that unpacks to at least this many zeros. Its checksum is wrong: it is found out when it is too late.
pub(super) fn of(bytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with fixed codes.
    for bit in [1, 1, 0] {
        bits.bit(bit);
    }
    bits.code(0b0011_0000, 8);
    for _ in 0..bytes.div_ceil(RUN) {
        // Length 258, distance 1.
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    let mut file = HEAD.to_vec();
    file.extend(bits.bytes);
    file.extend([0; 8]);
    file
}
