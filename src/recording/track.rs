//! One side of a conversation on the recording's time line, as far as it is not written yet. Pure.

/// Sound that begins this close to the end of what is before it follows without a gap, ms: the far end's beat, and what is known of it,
/// come and go by as much.
const CLOSE_MS: u64 = 30;
/// Written in pieces of this length, ms.
const PIECE_MS: u64 = 1_000;

/// A piece of one side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Samples before it.
    pub at: u64,
    /// As it comes from the wire.
    pub bytes: Vec<u8>,
}

/// One side.
#[derive(Debug)]
pub(super) struct Track {
    /// Bytes of one sample.
    unit: usize,
    per_ms: u64,
    /// Where `pending` begins, samples.
    at: u64,
    pending: Vec<u8>,
    /// What may still be taken back, ms: so much is not written yet.
    keep_ms: u64,
}

impl Track {
    /// An empty side of samples of `unit` bytes. What is younger than `keep_ms` waits, because it may be taken back.
    pub fn new(unit: usize, hz: u32, keep_ms: u64) -> Self {
        Self { unit, per_ms: u64::from(hz / 1000), at: 0, pending: Vec::new(), keep_ms }
    }

    /// Samples before what follows.
    pub fn end(&self) -> u64 {
        self.at + (self.pending.len() / self.unit) as u64
    }

    /// Sound that belongs at sample `at`. What would lie over earlier sound follows it; nothing is lost.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Option<Piece> {
        let end = self.end();
        let mut piece = None;
        if at > end + CLOSE_MS * self.per_ms || self.pending.is_empty() {
            piece = self.take(self.pending.len());
            self.at = at.max(end);
        }
        self.pending.extend_from_slice(bytes);
        let kept = (self.keep_ms * self.per_ms) as usize * self.unit;
        let full = (PIECE_MS * self.per_ms) as usize * self.unit;
        if piece.is_none() && self.pending.len() >= kept + full {
            piece = self.take(self.pending.len() - kept);
        }
        piece
    }

    /// What is before sample `now`, less what may still be taken back, if it is worth writing: sound that nothing follows must not wait.
    pub fn settle(&mut self, now: u64) -> Option<Piece> {
        let sure = now.saturating_sub(self.keep_ms * self.per_ms);
        let all = self.end() <= sure;
        if all || sure >= self.at + PIECE_MS * self.per_ms {
            let samples = (sure - self.at).min(self.end() - self.at) as usize;
            return self.take(samples * self.unit);
        }
        None
    }

    /// Takes back what is behind sample `at`. Returns what of it has been written already, samples from and to.
    pub fn cut(&mut self, at: u64) -> Option<(u64, u64)> {
        let end = self.end();
        if at >= end {
            return None;
        }
        let kept = at.saturating_sub(self.at) as usize * self.unit;
        self.pending.truncate(kept);
        let written = (at < self.at).then_some((at, self.at));
        self.at = self.at.min(at);
        written
    }

    /// The rest.
    pub fn rest(&mut self) -> Option<Piece> {
        self.take(self.pending.len())
    }

    fn take(&mut self, bytes: usize) -> Option<Piece> {
        if bytes == 0 {
            return None;
        }
        let rest = self.pending.split_off(bytes);
        let piece = Piece { at: self.at, bytes: std::mem::replace(&mut self.pending, rest) };
        self.at += (bytes / self.unit) as u64;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts everything where it belongs.
    fn laid(pieces: impl IntoIterator<Item = Piece>) -> Vec<u8> {
        let mut all = Vec::new();
        for Piece { at, bytes } in pieces {
            let (from, to) = (at as usize, at as usize + bytes.len());
            all.resize(all.len().max(to), 0);
            all[from..to].copy_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn gaps_stay_and_jitter_goes() {
        let mut track = Track::new(1, 8000, 0);
        let mut pieces: Vec<Piece> = Vec::new();
        // The second begins 10 ms late, which is close; the third a second later, which is a gap.
        for (at, value) in [(0, 1), (240, 2), (8_320, 3)] {
            pieces.extend(track.put(at, &[value; 160]));
        }
        pieces.extend(track.rest());
        let all = laid(pieces);
        assert_eq!(all.len(), 8_480);
        assert!(all[..160].iter().all(|b| *b == 1) && all[160..320].iter().all(|b| *b == 2));
        assert!(all[320..8_320].iter().all(|b| *b == 0) && all[8_320..].iter().all(|b| *b == 3));
    }

    #[test]
    fn sound_over_sound_follows_it() {
        let mut track = Track::new(2, 16_000, 0);
        assert_eq!(track.put(1_000, &[1; 640]), None);
        assert_eq!(track.put(900, &[2; 640]), None);
        let piece = track.rest().unwrap();
        assert_eq!((piece.at, piece.bytes.len()), (1_000, 1_280));
    }

    #[test]
    fn long_sound_is_written_in_pieces_and_the_youngest_waits() {
        let mut track = Track::new(1, 8000, 2_000);
        let mut pieces = Vec::new();
        for n in 0..200 {
            pieces.extend(track.put(n * 160, &[7; 160]));
        }
        assert_eq!(laid(pieces).len(), 16_000, "of 4 s two are written");
        assert_eq!(track.pending.len(), 16_000);
    }

    #[test]
    fn sound_that_nothing_follows_is_written_once_it_is_sure() {
        let mut track = Track::new(1, 8000, 500);
        assert_eq!(track.put(0, &[7; 1_600]), None);
        assert_eq!(track.settle(5_000), None, "100 ms may still be taken back");
        assert_eq!(track.settle(5_600).unwrap().bytes.len(), 1_600);
        assert_eq!(track.settle(80_000), None);
        for n in 0..100 {
            assert_eq!(
                track.put(80_000 + n * 160, &[7; 160]).map(|piece| piece.at),
                (n == 74).then_some(80_000)
            );
        }
        assert_eq!(track.settle(99_999), None, "of the second that is left 125 µs may still be taken back");
        assert_eq!(track.settle(100_000).map(|piece| (piece.at, piece.bytes.len())), Some((88_000, 8_000)));
    }

    #[test]
    fn what_is_taken_back_is_gone() {
        let mut track = Track::new(1, 8000, 1_000);
        let mut pieces = Vec::new();
        for n in 0..150 {
            pieces.extend(track.put(n * 160, &[7; 160]));
        }
        // Two of three seconds are written; 2.5 s are heard.
        assert_eq!(track.cut(24_000), None, "nothing is behind the end");
        assert_eq!(track.cut(20_000), None, "what was not written need not be erased");
        pieces.extend(track.rest());
        assert_eq!(laid(pieces).len(), 20_000);
        let mut track = Track::new(1, 8000, 0);
        assert!(track.put(0, &[7; 8_000]).is_some());
        assert_eq!(track.cut(5_000), Some((5_000, 8_000)));
        assert_eq!(track.put(5_100, &[8; 160]), None);
        assert_eq!(track.rest().unwrap().at, 5_100);
    }
}
