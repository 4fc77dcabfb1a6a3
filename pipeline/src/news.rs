//! Which calls have news: bits that ports set and a worker takes.

use super::atomic::{AtomicU64, Ordering};

/// A bit for each place in a worker's table.
pub(crate) struct News {
    words: Box<[AtomicU64]>,
}

impl News {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { words: (0..capacity.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks a call. Release: whoever takes the mark sees what was done before.
    pub(crate) fn mark(&self, index: usize) {
        self.words[index / 64].fetch_or(1 << (index % 64), Ordering::Release);
    }

    /// Takes the marks of calls 64 × `word` and following.
    pub(crate) fn take(&self, word: usize) -> u64 {
        // The load spares idle words the write that a swap is.
        let word = &self.words[word];
        if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::Acquire) }
    }

    /// Whether any call is marked.
    pub(crate) fn any(&self) -> bool {
        self.words.iter().any(|word| word.load(Ordering::Acquire) != 0)
    }
}
