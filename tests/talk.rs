//! The conversation over real sockets: what the model believes was heard, sessions that end, keys, silence, transfers.

mod support;

#[path = "talk/dispatch.rs"]
mod dispatch;
#[path = "talk/farewell.rs"]
mod farewell;
#[path = "talk/keys.rs"]
mod keys;
#[path = "talk/renewal.rs"]
mod renewal;
#[path = "talk/truth.rs"]
mod truth;
