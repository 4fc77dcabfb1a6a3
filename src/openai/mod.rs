//! The model's side: OpenAI's Realtime API, over WebRTC or a WebSocket.
//!
//! `leg` is what the call sees, `link` one at work, `standby` those that wait for calls. `connect` asks for a session over HTTP, `sdp` reads the answer, `peer` is the peer connection without
//! sockets, `rtc` runs it on a UDP socket (`datagrams`); `socket` is the other way. `wire` and `session` are the events and settings in OpenAI's words.

pub mod connect;
mod datagrams;
pub mod leg;
pub mod link;
pub mod peer;
pub mod received;
pub mod rtc;
pub mod sdp;
pub mod session;
pub mod socket;
pub mod standby;
pub mod wire;
