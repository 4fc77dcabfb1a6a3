//! Calls that the bridge places, and what an operator does to living ones: over sockets, with a simulated Twilio that dials.

mod support;

#[path = "outbound/admin.rs"]
mod admin;
#[path = "outbound/listed.rs"]
mod listed;
#[path = "outbound/placed.rs"]
mod placed;
#[path = "outbound/refused.rs"]
mod refused;
#[path = "outbound/steered.rs"]
mod steered;
#[path = "outbound/unanswered.rs"]
mod unanswered;
