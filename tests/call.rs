//! Whole calls over real sockets, with recorded speech on both sides: a simulated phone at Twilio, the bridge, a simulated model.
//!
//! Sound is measured, not assumed: what the caller heard is correlated with what the model played, and what the model heard with
//! what the caller said.

mod support;

#[path = "call/conversation.rs"]
mod conversation;
#[path = "call/crowd.rs"]
mod crowd;
#[path = "call/hangup.rs"]
mod hangup;
#[path = "call/measures.rs"]
mod measures;
#[path = "call/tools.rs"]
mod tools;
