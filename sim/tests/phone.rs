//! The simulated phone against a tiny bridge, over real sockets.

#[path = "phone/bridge.rs"]
mod bridge;
#[path = "phone/conversation.rs"]
mod conversation;
#[path = "phone/documents.rs"]
mod documents;
#[path = "phone/faults.rs"]
mod faults;
#[path = "phone/rest.rs"]
mod rest;
