//! The atomics of what two threads agree on without a lock. `tests/loom.rs` gives the same files atomics that are
//! tried in every order that the memory model allows.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
