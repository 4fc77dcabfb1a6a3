//! Offers in, answers out, as text.
//!
//! The peer connection has an SDP layer of its own; this one exists because the answer must look as OpenAI's answers look, line by line.

mod answer;
mod offer;

pub(crate) use answer::{Answer, IceCredentials};
pub(crate) use offer::Offer;
