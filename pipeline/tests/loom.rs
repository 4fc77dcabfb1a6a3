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
        pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
    }
    #[path = "../src/news.rs"]
    pub mod news;
    #[path = "../src/wish.rs"]
    pub mod wish;
}

/// The files with fences that do nothing, and every access relaxed.
#[path = "."]
mod broken {
    pub mod atomic {
        pub use loom::sync::atomic::{AtomicBool, Ordering};

        pub fn fence(_: Ordering) {}

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
    #[path = "../src/news.rs"]
    pub mod news;
    #[path = "../src/wish.rs"]
    pub mod wish;
}

/// The agreements, once for each make of the files.
macro_rules! agreements {
    ($make:ident) => {
        pub mod $make {
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
fn orders_that_are_too_weak_are_found() {
    let cases: [(fn(), &str); 2] = [
        (try_all::broken::nothing_is_slept_on, "the audio thread sleeps on what it waits for"),
        (try_all::broken::a_mark_brings_what_it_was_set_for, "an empty ring"),
    ];
    for (broken, expected) in cases {
        let found = catch_unwind(AssertUnwindSafe(broken)).expect_err("loom found nothing wrong");
        assert_eq!(found.downcast_ref::<&str>(), Some(&expected));
    }
}
