//! The model over a WebSocket, over real sockets: whole conversations, the way there from WebRTC, interruptions.
//!
//! What the model believes was heard of a reply is compared with what the simulated caller heard of it, sample by sample.

mod support;

#[path = "socket/conversation.rs"]
mod conversation;
#[path = "socket/fallback.rs"]
mod fallback;
#[path = "socket/interruption.rs"]
mod interruption;
#[path = "socket/leg.rs"]
mod leg;

use sim::model::{Faults, ModelConfig};

/// A model with which there is no WebRTC to be had.
fn without_webrtc(model: ModelConfig) -> ModelConfig {
    let faults = Faults { webrtc_refused: Some(403), ..model.faults.clone() };
    ModelConfig { faults, ..model }
}
