//! A simulated OpenAI Realtime model: the HTTP endpoint, a WebRTC peer or a WebSocket, a voice-activity detector and a script.
//!
//! [`ModelServer::start`] gives a service that a bridge can use in the real one's place (`OPENAI_BASE_URL` = [`ModelServer::base_url`]):
//!
//! - `POST /v1/realtime/calls` takes an offer, as multipart with a standard key or bare with an ephemeral one, refuses what the real one
//!   refuses, and answers in the form of captured answers. `POST /v1/realtime/calls/{id}/hangup` ends it, `POST
//!   /v1/realtime/client_secrets` mints keys.
//! - The peer is str0m: ICE-lite, DTLS client, one UDP socket a session. It sends what the script says as recorded speech, 20 ms a packet,
//!   at absolute deadlines, and decodes what it hears.
//! - `GET /v1/realtime?model=` is the same session over a WebSocket: `session.update`, `input_audio_buffer.append`, sound in deltas as
//!   fast as it is generated ([`Timing::generation_speed`]), `conversation.item.truncate`.
//! - The session speaks the events of the GA interface: turns by a real (energy) detector on what was heard, in media time; responses
//!   generated faster than they are played; interruptions that cancel, clear and truncate; function calls; errors.
//! - [`Unverified`] has a switch for every fact that nobody could check, [`Faults`] for everything that may go wrong,
//!   [`crate::network::NetworkConfig`] for the path.
//! - [`Drill`] puts a measurement in the place of the conversation.
//! - [`SessionRecord`] tells what a session saw, [`ModelServer::watch`] while it does.
//!
//! Not simulated: sideband sessions, drills and bad networks over a WebSocket, SIP, what a hosted MCP server answers, transcription and
//! translation sessions, speech recognition (the script says what was heard), `semantic_vad` beyond a pause whose length depends on
//! `eagerness`.
//!
//! ```no_run
//! let server = sim::model::ModelServer::start(sim::model::ModelConfig::default())?;
//! println!("OPENAI_BASE_URL={}", server.base_url());
//! # Ok::<(), std::io::Error>(())
//! ```

mod codec;
mod config;
mod conversation;
mod drill;
mod ear;
mod engine;
mod faults;
mod g711;
mod http;
mod ids;
mod lateness;
mod mind;
mod opus;
mod output;
mod pacer;
mod peer;
mod record;
mod refusal;
mod schema;
mod script;
mod sdp;
mod server;
mod session;
mod settings;
mod setup;
mod socket;
mod sound;
mod spray;
mod unverified;
mod vad;
mod wait;

pub use codec::{Codec, Payload};
pub use config::{AnswerForm, Codecs, Delay, MaxMessageSize, ModelConfig, Timing, Voice};
pub use drill::{Drill, DrillObserver};
pub use faults::{AnswerFault, EventFaults, Faults, HttpFault, HttpFaults, Huge, MediaFaults, Pause, Spray};
pub use http::{HttpRequest, MAX_REQUESTS};
pub use lateness::Lateness;
pub use record::{
    BROADCAST_EVENTS, End, Ended, Happening, Logged, MAX_EVENTS, MAX_GAPS, Reply, Request, RtpIn, RtpOut,
    SessionRecord, SimEvent, SpeechTurn, Transport,
};
pub use script::{Line, ModelScript, ScriptError, ToolCall, Turn};
pub use server::ModelServer;
pub use unverified::{AfterPause, Idle, NoCommonCodec, RateLimits, SendCodec, Truncated, Unverified};
