//! What the tests of whole calls stand on: a house with a bridge, models, a desk and a phone in one process, the real program in a
//! process of its own, and measures of sound.
#![allow(dead_code)] // Each test binary uses its part of it.

pub mod front;
pub mod house;
pub mod lines;
pub mod program;
pub mod sound;
pub mod watch;
