//! Messages of the media stream's WebSocket, in both directions.
//!
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

mod start;

pub use start::Start;
