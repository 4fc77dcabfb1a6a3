//! Identifiers in the service's forms, from a seed.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A source of ids and of every other random choice of one session.
#[derive(Debug)]
pub(crate) struct Ids(SmallRng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// `prefix_` and 21 letters and digits.
    pub(crate) fn of(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.word(21))
    }

    /// Letters and digits.
    pub(crate) fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(ALPHABET[self.0.random_range(0..ALPHABET.len())])).collect()
    }

    /// Lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.0.random_range(0..16)])).collect()
    }

    /// Uniform between 0.0 and 1.0.
    pub(crate) fn draw(&mut self) -> f64 {
        self.0.random()
    }

    /// Any 32 bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.0.random()
    }
}
