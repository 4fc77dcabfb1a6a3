//! Attacks and faults that whole calls must survive, numbered after the rows of the fault list.
//!
//! Expected everywhere: a named end, everything let go, and a caller who hears speech or a clean hang-up, never dead air.

mod support;

#[path = "faults/answer.rs"]
mod answer;
#[path = "faults/cutter.rs"]
mod cutter;
#[path = "faults/events.rs"]
mod events;
#[path = "faults/leaks.rs"]
mod leaks;
#[path = "faults/loss.rs"]
mod loss;
#[path = "faults/path.rs"]
mod path;
#[path = "faults/resumed.rs"]
mod resumed;
#[path = "faults/setup.rs"]
mod setup;
#[path = "faults/stranger.rs"]
mod stranger;
#[path = "faults/stream.rs"]
mod stream;
#[path = "faults/verdict.rs"]
mod verdict;
