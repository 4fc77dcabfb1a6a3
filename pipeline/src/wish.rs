//! A wish to be told of the next change, so that whoever changes something need not always tell.
//!
//! Each side writes its own word and then reads the other's, with a fence between (Dekker): at least one of them sees what the other
//! did. Without the fences both may miss it, and a call sleeps on what it waits for.

use super::atomic::{AtomicBool, Ordering, fence};

/// Whether the audio thread wants to be told.
#[derive(Default)]
pub(crate) struct Wish(AtomicBool);

impl Wish {
    /// The audio thread's side: says what it wants. Before it relies on that it calls [`settle`] and looks once more.
    pub(crate) fn set(&self, wanted: bool) {
        self.0.store(wanted, Ordering::Relaxed);
    }

    /// The port's side, after its change: whether it must tell.
    pub(crate) fn is_set(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed)
    }
}

/// Between setting wishes and looking once more at what they wait for: what changed before they were seen is not announced.
pub(crate) fn settle() {
    fence(Ordering::SeqCst);
}
