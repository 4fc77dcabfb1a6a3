//! libopus.
