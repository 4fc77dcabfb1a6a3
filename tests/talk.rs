//! The conversation over real sockets: what the model believes was heard, sessions that end, keys, silence, transfers.

mod support;

#[path = "talk/dispatch.rs"]
mod dispatch;
#[path = "talk/farewell.rs"]
mod farewell;
#[path = "talk/greeting.rs"]
mod greeting;
#[path = "talk/keys.rs"]
mod keys;
#[path = "talk/policies.rs"]
mod policies;
#[path = "talk/quickness.rs"]
mod quickness;
#[path = "talk/renewal.rs"]
mod renewal;
#[path = "talk/transfer.rs"]
mod transfer;
#[path = "talk/truth.rs"]
mod truth;
