//! Real recorded speech for both ends of a simulated conversation.
//!
//! Voice detection, codecs and concealment behave differently on tones than on people, so every simulated party speaks with a person's voice. The recordings and
//! their licence are in `clips/`.

mod clip;
pub mod resample;

pub use clip::{CLIPS, Clip, Role, clip};
