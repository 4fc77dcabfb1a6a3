//! One audio thread's table of calls, and one step of it.
//!
//! A wake drains all calls that have news: ports mark their call in a set of bits before they ring, so a wake costs
//! what is ready and due, not what is there. Work per call and wake is bounded; a call with more to do comes again
//! after its neighbours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::{Parker, Unparker};

use crate::call::{CallSlot, Slot};
use crate::load::Load;
use crate::news::News;
use crate::stats::AgeHistogram;
use crate::units::{Clock, Nanos};

/// New calls taken in at one step.
const ADOPTED_PER_STEP: usize = 8;

/// What a worker shares with the rest of the process.
pub(crate) struct Link {
    news: News,
    pub(crate) inbox: ArrayQueue<(usize, Box<Slot>)>,
    pub(crate) outbox: ArrayQueue<(usize, Box<Slot>)>,
    unparker: Unparker,
    pub(crate) stop: AtomicBool,
    /// Calls on the worker or on their way to it.
    pub(crate) calls: AtomicUsize,
    pub(crate) load: Load,
    /// Calls that ended by a panic.
    pub(crate) panics: AtomicU64,
    /// How late due calls were served.
    pub(crate) lateness: AgeHistogram,
}

impl Link {
    pub(crate) fn new(capacity: usize, unparker: Unparker) -> Self {
        Self {
            news: News::new(capacity),
            inbox: ArrayQueue::new(capacity),
            outbox: ArrayQueue::new(capacity),
            unparker,
            stop: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            load: Load::default(),
            panics: AtomicU64::new(0),
            lateness: AgeHistogram::new(),
        }
    }

    /// Marks a call as having news and wakes the worker. Wait-free unless the worker sleeps.
    pub(crate) fn ring(&self, index: usize) {
        self.news.mark(index);
        self.unparker.unpark();
    }

    pub(crate) fn wake(&self) {
        self.unparker.unpark();
    }

    /// Whether the worker would find something to do without waiting.
    pub(crate) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || self.stop.load(Ordering::Acquire) || self.news.any()
    }
}

/// A table of calls, served by whoever ticks it.
///
/// [`crate::Workers`] runs each on a thread of its own and on the real clock. Simulations and benches tick one
/// themselves, on a clock of theirs: [`Worker::alone`].
pub struct Worker {
    slots: Box<[Option<Box<Slot>>]>,
    /// When each call wants to be served next; apart from the calls, so that a scan touches little memory.
    deadlines: Box<[Nanos]>,
    /// One beyond the highest place in use.
    used: usize,
    link: Arc<Link>,
}

impl Worker {
    /// A worker without a thread, for `capacity` calls.
    pub fn alone(capacity: usize) -> Self {
        Self::new(capacity, Arc::new(Link::new(capacity, Parker::new().unparker().clone())))
    }

    /// Takes a call in; gives it back if the table is full. Not for the audio thread: it frees stopped calls.
    pub fn add(&mut self, slot: CallSlot) -> Result<(), CallSlot> {
        self.reap();
        let Some(index) = self.slots.iter().position(Option::is_none) else { return Err(slot) };
        slot.connect(&self.link, index);
        self.adopt(index, slot.0);
        Ok(())
    }

    /// Frees calls that have stopped; gives how many. Not for the audio thread.
    pub fn reap(&mut self) -> usize {
        std::iter::from_fn(|| self.link.outbox.pop()).count()
    }

    /// Whether a tick now would find news, apart from what is due.
    pub fn has_news(&self) -> bool {
        self.link.has_news()
    }

    pub(crate) fn new(capacity: usize, link: Arc<Link>) -> Self {
        Self {
            slots: (0..capacity).map(|_| None).collect(),
            deadlines: vec![Nanos::MAX; capacity].into_boxed_slice(),
            used: 0,
            link,
        }
    }

    /// Serves every call that has news or is due. Gives when the next one is due.
    pub fn tick(&mut self, clock: &impl Clock) -> Nanos {
        for _ in 0..ADOPTED_PER_STEP {
            let Some((index, slot)) = self.link.inbox.pop() else { break };
            self.adopt(index, slot);
        }
        let started = clock.now();
        for word in 0..self.used.div_ceil(64) {
            let mut todo = 0;
            let first = word * 64;
            let last = self.used.min(first + 64);
            for (bit, deadline) in self.deadlines[first..last].iter().enumerate() {
                todo |= u64::from(*deadline <= started) << bit;
            }
            let due = todo;
            todo |= self.link.news.take(word);
            while todo != 0 {
                let bit = todo.trailing_zeros() as usize;
                todo &= todo - 1;
                let index = first + bit;
                let deadline = self.deadlines.get(index).copied().unwrap_or(Nanos::MAX);
                if due & (1 << bit) != 0 && deadline > Nanos(0) {
                    self.link.lateness.record(clock.now().saturating_sub(deadline));
                }
                self.serve(index, clock);
            }
        }
        self.deadlines[..self.used].iter().copied().min().unwrap_or(Nanos::MAX)
    }

    fn adopt(&mut self, index: usize, slot: Box<Slot>) {
        // Due at once: what was pushed before the call came here has rung at no door.
        self.deadlines[index] = Nanos(0);
        self.slots[index] = Some(slot);
        self.used = self.used.max(index + 1);
    }

    /// Hands every call back: the thread ends.
    pub(crate) fn hand_back_all(&mut self) {
        while let Some((index, slot)) = self.link.inbox.pop() {
            self.slots[index] = Some(slot);
        }
        for index in 0..self.slots.len() {
            self.hand_back(index);
        }
    }

    fn serve(&mut self, index: usize, clock: &impl Clock) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        // After a panic the slot is not used again but for its bells, so nothing broken is seen.
        match catch_unwind(AssertUnwindSafe(|| slot.tick(clock))) {
            Ok(Some(next)) => self.deadlines[index] = next,
            Ok(None) => self.hand_back(index),
            Err(payload) => {
                slot.panic = Some(payload);
                self.link.panics.fetch_add(1, Ordering::Relaxed);
                self.hand_back(index);
            }
        }
    }

    fn hand_back(&mut self, index: usize) {
        self.deadlines[index] = Nanos::MAX;
        let Some(slot) = self.slots[index].take() else { return };
        // The bells are not ours, and one may be what panicked.
        let _ = catch_unwind(AssertUnwindSafe(|| slot.close())).map_err(std::mem::forget);
        if let Err((_, slot)) = self.link.outbox.push((index, slot)) {
            // Cannot be: the outbox has a place for each in the table. Leaking beats freeing on this thread.
            std::mem::forget(slot);
        }
    }
}
