//! The simulated outside of the bridge: the caller's phone at Twilio, OpenAI's model, a desk with tools.
//!
//! Shares no code with the bridge (`src`) or its audio road (`pipeline`): everything meets over sockets, so a mistake in one is not repeated in the other.
//!
//! - [`model`]: OpenAI's side. The HTTP endpoint, a WebRTC peer, a voice-activity detector and a script.
//! - [`desk`]: a small HTTP service with data for tool calls.
//! - [`network`]: a bad network, from a seed.
//! - [`phone`]: Twilio's side of a call. Webhook, TwiML, media stream, playback, REST API, a caller who follows a script.
//! - [`speech`]: recorded human speech for every simulated party.
//! - [`wav`]: recordings in and out.

pub mod desk;
pub mod model;
pub mod network;
pub mod phone;
pub mod speech;
pub mod wav;
