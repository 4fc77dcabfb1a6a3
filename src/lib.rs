//! ARIA on the phone: a caller dials a Twilio number and talks to a voice model of OpenAI's Realtime API.
//!
//! Two roads meet here. The *audio road* carries 20 ms frames between Twilio's WebSocket ([`twilio::media`]) and the
//! model's leg ([`openai::leg`]) through the pinned threads of the crate `pipeline`. The *control road* carries
//! events: [`call::session`] is a pure state machine, [`call::task`] joins it with the sockets.

pub mod address;
pub mod awake;
pub mod bell;
pub mod bridge;
pub mod call;
pub mod clip;
pub mod config;
pub mod hosting;
pub mod http;
pub mod memory;
pub mod network;
pub mod openai;
pub mod recording;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod twilio;
