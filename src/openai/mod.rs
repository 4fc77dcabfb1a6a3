//! The model's side: OpenAI's Realtime API over WebRTC.
//!
//! `connect` asks for a session over HTTP, `sdp` reads the answer, `peer` is the peer connection without sockets, `rtc` runs it
//! on a UDP socket, `wire` and `session` are the events and settings in OpenAI's words.

pub mod connect;
pub mod peer;
pub mod received;
pub mod rtc;
pub mod sdp;
pub mod session;
pub mod wire;
