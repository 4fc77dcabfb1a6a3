//! Messages of the media stream's WebSocket, in both directions.
//!
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

mod incoming;
mod number;
mod outgoing;
mod plain;
mod start;

pub use incoming::{Event, Malformed, Media, Message, parse};
pub use outgoing::Outgoing;
pub use start::{MediaFormat, Start};

/// Largest message taken, bytes: Twilio's own are below 500; 64 KiB is 6 s of mu-law in one message.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Deepest JSON taken. Twilio's own is 4 deep.
pub const MAX_DEPTH: usize = 8;
