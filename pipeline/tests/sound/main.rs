//! What the chains do to sound, exactly: identity where nothing need change, level, distortion, aliases, clicks. Listening tests by
//! PESQ are in `perf/sound`.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a test may read recordings and print its figures

mod alias;
mod identity;
mod measure;
#[allow(dead_code)] // the renderer uses the rest
mod road;
mod sender;
mod splice;
mod transparency;
mod wideband;
