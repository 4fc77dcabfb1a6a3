//! Twilio's side: webhooks that begin a call, the media stream that carries its sound, callbacks and the REST API.
//!
//! Facts about Twilio are cited from <https://www.twilio.com/docs/voice/media-streams> and
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>.

pub mod clock;
pub mod far_end;
pub mod form;
pub mod least;
pub mod media;
pub mod order;
pub mod public_url;
pub mod rest;
pub mod signature;
pub mod twiml;
pub mod wire;
