//! What two threads agree on without a lock, in every order that the memory model allows (loom), and proof that an order that is too
//! weak is found: the same source files once more, with atomics that do less than they are asked for.
//!
//! Rings and the queues that slots travel by are rtrb's and crossbeam's, tried there; here a ring is a counter with the ordering
//! that rtrb promises. What the caller's far end holds is one number and takes part in no agreement.

#![allow(clippy::duplicate_mod)] // that is the point

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The files as they are.
#[path = "."]
mod sound {
    pub mod atomic {
        pub use loom::cell::UnsafeCell;
        pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
    }
    #[path = "../src/loan.rs"]
    pub mod loan;
    #[path = "../src/news.rs"]
    pub mod news;
    #[path = "../src/wish.rs"]
    pub mod wish;
}

/// The files with fences that do nothing, and every access relaxed.
#[path = "."]
mod broken {
    pub mod atomic {
        pub use loom::cell::UnsafeCell;
        pub use loom::sync::atomic::{AtomicBool, Ordering};

        pub fn fence(_: Ordering) {}

        pub struct AtomicU8(loom::sync::atomic::AtomicU8);

        impl AtomicU8 {
            pub fn new(value: u8) -> Self {
                Self(loom::sync::atomic::AtomicU8::new(value))
            }
            pub fn load(&self, _: Ordering) -> u8 {
                self.0.load(Ordering::Relaxed)
            }
            pub fn store(&self, value: u8, _: Ordering) {
                self.0.store(value, Ordering::Relaxed);
            }
            pub fn compare_exchange(&self, old: u8, new: u8, _: Ordering, _: Ordering) -> Result<u8, u8> {
                self.0.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
            }
        }

        pub struct AtomicU64(loom::sync::atomic::AtomicU64);

        impl AtomicU64 {
            pub fn new(value: u64) -> Self {
                Self(loom::sync::atomic::AtomicU64::new(value))
            }
            pub fn load(&self, _: Ordering) -> u64 {
                self.0.load(Ordering::Relaxed)
            }
            pub fn swap(&self, value: u64, _: Ordering) -> u64 {
                self.0.swap(value, Ordering::Relaxed)
            }
            pub fn fetch_or(&self, bits: u64, _: Ordering) -> u64 {
                self.0.fetch_or(bits, Ordering::Relaxed)
            }
        }
    }
    #[path = "../src/loan.rs"]
    pub mod loan;
    #[path = "../src/news.rs"]
    pub mod news;
    #[path = "../src/wish.rs"]
    pub mod wish;
}

/// The agreements, once for each make of the files.
macro_rules! agreements {
    ($make:ident) => {
        pub mod $make {
            use super::super::$make::loan::loan;
            use super::super::$make::news::News;
            use super::super::$make::wish::{self, Wish};
            use loom::sync::Arc;
            use loom::sync::atomic::{AtomicUsize, Ordering};
            use loom::thread;

            /// A port changes something and tells if that is wished; the audio thread wishes, looks once more, and sleeps. It
            /// must have seen the change, or find the call marked.
            pub fn nothing_is_slept_on() {
                loom::model(|| {
                    let wish = Arc::new(Wish::default());
                    let (news, ring) = (Arc::new(News::new(1)), Arc::new(AtomicUsize::new(0)));
                    let port = {
                        let (wish, news, ring) = (wish.clone(), news.clone(), ring.clone());
                        thread::spawn(move || {
                            ring.store(1, Ordering::Release);
                            if wish.is_set() {
                                news.mark(0);
                            }
                        })
                    };
                    wish.set(true);
                    wish::settle();
                    let seen = ring.load(Ordering::Acquire) > 0;
                    port.join().unwrap();
                    assert!(seen || news.any(), "the audio thread sleeps on what it waits for");
                });
            }

            /// Two ports ring for two calls while the worker takes marks: each mark is taken once, and whoever takes it sees what it
            /// was set for.
            pub fn a_mark_brings_what_it_was_set_for() {
                loom::model(|| {
                    let news = Arc::new(News::new(2));
                    let rings = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
                    let ports = [0, 1].map(|call| {
                        let (news, ring) = (news.clone(), rings[call].clone());
                        thread::spawn(move || {
                            ring.store(1, Ordering::Relaxed);
                            news.mark(call);
                        })
                    });
                    let look = |marks: u64| {
                        for (call, ring) in rings.iter().enumerate() {
                            assert!(
                                marks & (1 << call) == 0 || ring.load(Ordering::Relaxed) == 1,
                                "an empty ring"
                            );
                        }
                        marks
                    };
                    let early = look(news.take(0));
                    for port in ports {
                        port.join().unwrap();
                    }
                    let late = look(news.take(0));
                    assert_eq!((early | late, early & late), (3, 0), "no mark is lost or taken twice");
                    assert!(!news.any());
                });
            }

            #[allow(dead_code)] // one thread: no order is too weak for it
            /// One has what is lent at a time, and an offer that nobody took is withdrawn.
            pub fn one_has_it_at_a_time() {
                loom::model(|| {
                    let (mut owner, mut borrower) = loan(1);
                    let place = owner.whereabouts();
                    assert_eq!((owner.with(|n| *n), borrower.with(|n| *n)), (Some(1), None));
                    assert!(!place.is_lent() && owner.offer(|n| *n += 1));
                    assert!(place.is_lent() && !owner.offer(|n| *n += 1));
                    assert_eq!(
                        (borrower.with(|n| std::mem::replace(n, 5)), owner.with(|n| *n)),
                        (Some(2), None)
                    );
                    assert!(borrower.give_back() && !borrower.give_back() && !place.is_lent());
                    assert_eq!((owner.with(|n| *n), borrower.with(|n| *n)), (Some(5), None));
                    assert!(owner.offer(|_| ()) && !borrower.give_back(), "it was never taken");
                    assert_eq!((owner.with(|n| *n), borrower.with(|n| *n)), (Some(5), None));
                });
            }

            /// An offer is made, taken and withdrawn, at the same time: one of the two has it, and as the last one left it.
            pub fn an_offer_is_taken_whole_or_withdrawn() {
                loom::model(|| {
                    let (mut owner, mut borrower) = loan(0);
                    let other =
                        thread::spawn(move || borrower.with(|n| *n).map(|n| assert_eq!(n, 1)).is_some());
                    owner.offer(|n| *n = 1);
                    let here = owner.with(|n| *n = 2).is_some();
                    assert_ne!(here, other.join().unwrap());
                });
            }

            /// A frame is put on the ring while the chain that takes it off is lent, or given back: whoever was told of the frame last has
            /// the chain, or whoever had it took the frame. Two ring the same bell: each swaps, so that who hears the second one hears the
            /// first as well.
            pub fn a_frame_finds_who_has_the_chain() {
                for lent in [false, true] {
                    loom::model(move || {
                        // What the chain has taken off the ring.
                        let (mut owner, mut borrower) = loan(0);
                        let whereabouts = owner.whereabouts();
                        let ring = Arc::new(AtomicUsize::new(0));
                        let bells = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
                        if lent {
                            owner.offer(|_| ());
                            borrower.with(|_| ());
                        }
                        let media = {
                            let (ring, bells) = (ring.clone(), bells.clone());
                            thread::spawn(move || {
                                ring.store(1, Ordering::Release);
                                bells[usize::from(whereabouts.is_lent())].swap(1, Ordering::Release);
                            })
                        };
                        let take =
                            |taken: &mut usize, ring: &AtomicUsize| *taken = ring.load(Ordering::Acquire);
                        let model = {
                            let (ring, bells) = (ring.clone(), bells.clone());
                            thread::spawn(move || {
                                if lent {
                                    borrower.give_back();
                                    bells[0].swap(1, Ordering::Release);
                                } else if bells[1].swap(0, Ordering::AcqRel) == 1 {
                                    borrower.with(|taken| take(taken, &ring));
                                }
                                borrower
                            })
                        };
                        if !lent {
                            owner.offer(|_| ());
                            bells[1].swap(1, Ordering::Release);
                        } else if bells[0].swap(0, Ordering::AcqRel) == 1 {
                            owner.with(|taken| take(taken, &ring));
                        }
                        media.join().unwrap();
                        let mut borrower = model.join().unwrap();
                        // Each goes by its own bell once more; a bell brings what was done before it was rung.
                        let mut seen = 0;
                        if bells[0].swap(0, Ordering::AcqRel) == 1 && lent {
                            owner.with(|taken| take(taken, &ring));
                        }
                        if bells[1].swap(0, Ordering::AcqRel) == 1 && !lent {
                            borrower.with(|taken| take(taken, &ring));
                        }
                        let _ = if lent {
                            owner.with(|taken| seen = *taken)
                        } else {
                            borrower.with(|taken| seen = *taken)
                        };
                        assert_eq!(seen, 1, "a frame waits for somebody who has no chain");
                    });
                }
            }
        }
    };
}

mod try_all {
    agreements!(sound);
    agreements!(broken);
}

#[test]
fn nothing_is_slept_on() {
    try_all::sound::nothing_is_slept_on();
}

#[test]
fn a_mark_brings_what_it_was_set_for() {
    try_all::sound::a_mark_brings_what_it_was_set_for();
}

#[test]
fn one_has_it_at_a_time() {
    try_all::sound::one_has_it_at_a_time();
}

#[test]
fn an_offer_is_taken_whole_or_withdrawn() {
    try_all::sound::an_offer_is_taken_whole_or_withdrawn();
}

#[test]
fn a_frame_finds_who_has_the_chain() {
    try_all::sound::a_frame_finds_who_has_the_chain();
}

#[test]
fn orders_that_are_too_weak_are_found() {
    let cases: [(fn(), &str); 4] = [
        (try_all::broken::a_frame_finds_who_has_the_chain, "a frame waits for somebody who has no chain"),
        (try_all::broken::an_offer_is_taken_whole_or_withdrawn, "Causality violation"),
        (try_all::broken::nothing_is_slept_on, "the audio thread sleeps on what it waits for"),
        (try_all::broken::a_mark_brings_what_it_was_set_for, "an empty ring"),
    ];
    for (broken, expected) in cases {
        let found = catch_unwind(AssertUnwindSafe(broken)).expect_err("loom found nothing wrong");
        let found = match found.downcast::<String>() {
            Ok(text) => *text,
            Err(found) => found.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
        };
        assert!(found.contains(expected), "{found}");
    }
}
