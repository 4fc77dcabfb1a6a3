//! What one thread owns and lends to another, without a lock: one of them has it at a time, and either may be told to hand it over.
//!
//! The owner offers; the borrower takes what is offered and gives it back. An offer that nobody took can be withdrawn, so that a borrower
//! that is gone keeps nothing.

use std::sync::Arc;

use super::atomic::{AtomicU8, Ordering, UnsafeCell, fence};

/// The owner has it.
const HOME: u8 = 0;
/// Neither has it: it lies between them.
const OFFERED: u8 = 1;
/// The borrower has it.
const AWAY: u8 = 2;

struct Loan<T> {
    place: AtomicU8,
    what: UnsafeCell<T>,
}

// SAFETY: `what` is reached by the owner while `place` is HOME and by the borrower while it is AWAY, each through `&mut` of the only one of
// its kind; `place` is changed with release and looked at with acquire, so what one did is seen by the next. Nothing is shared: `Send` is
// enough.
unsafe impl<T: Send> Sync for Loan<T> {}

/// The owner's end.
pub(crate) struct Owner<T>(Arc<Loan<T>>);

/// The borrower's end.
pub(crate) struct Borrower<T>(Arc<Loan<T>>);

/// Tells where it is.
pub(crate) struct Whereabouts<T>(Arc<Loan<T>>);

/// Makes both ends; the owner has it.
pub(crate) fn loan<T>(what: T) -> (Owner<T>, Borrower<T>) {
    let loan = Arc::new(Loan { place: AtomicU8::new(HOME), what: UnsafeCell::new(what) });
    (Owner(Arc::clone(&loan)), Borrower(loan))
}

impl<T> Owner<T> {
    /// Works with it if it is here; withdraws an offer that nobody took.
    pub(crate) fn with<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.arrives(HOME).then(|| {
            self.0.what.with_mut(|what| {
                // SAFETY: it is here, and only this end can send it away, for which it would need the `&mut self` that is held.
                work(unsafe { &mut *what })
            })
        })
    }

    /// Prepares it and offers it, if it is here. Whether it was. Then the borrower must be told.
    pub(crate) fn offer(&mut self, prepare: impl FnOnce(&mut T)) -> bool {
        // An offer that stands is not withdrawn for this.
        let here = self.0.place.load(Ordering::Relaxed) == HOME && self.with(prepare).is_some();
        if here {
            self.0.leaves(OFFERED);
        }
        here
    }

    /// Where it is, for a third party.
    pub(crate) fn whereabouts(&self) -> Whereabouts<T> {
        Whereabouts(Arc::clone(&self.0))
    }
}

impl<T> Borrower<T> {
    /// Works with it if it is here or offered.
    pub(crate) fn with<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.arrives(AWAY).then(|| {
            self.0.what.with_mut(|what| {
                // SAFETY: it is here, and only this end can send it back, for which it would need the `&mut self` that is held.
                work(unsafe { &mut *what })
            })
        })
    }

    /// Gives it back, if it is here. Whether it was. Then the owner must be told.
    pub(crate) fn give_back(&mut self) -> bool {
        let here = self.0.place.load(Ordering::Relaxed) == AWAY;
        if here {
            self.0.leaves(HOME);
        }
        here
    }
}

impl<T> Whereabouts<T> {
    /// Whether the borrower is the one to tell. After a change that whoever has it must see: with the fences here and in `leaves`, either
    /// the answer is right, or the one who has it now was told of it after the change and finds it.
    pub(crate) fn is_lent(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.place.load(Ordering::Relaxed) != HOME
    }
}

impl<T> Loan<T> {
    /// Whether it is at `here`, or was on offer and is now.
    fn arrives(&self, here: u8) -> bool {
        match self.place.load(Ordering::Acquire) {
            OFFERED => {
                let taken = self.place.compare_exchange(OFFERED, here, Ordering::AcqRel, Ordering::Acquire);
                // Who takes it looks at what was changed while it lay between them.
                fence(Ordering::SeqCst);
                taken.is_ok()
            }
            place => place == here,
        }
    }

    fn leaves(&self, to: u8) {
        self.place.store(to, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}
