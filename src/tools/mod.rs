//! What the model may do: tools behind HTTP endpoints and on MCP servers, run beside the call and never in its way, and built-in ones,
//! which are only decided here.
//!
//! The policy is on this side, not in the prompt: whatever the model was talked into, nothing runs that the configuration does not
//! allow, with arguments that do not fit, more often than it may, or without the caller's word where that is needed.

mod breaker;
mod definition;
mod desk;
mod effect;
mod error;
mod guard;
mod http;
mod mcp;
mod policy;
mod runner;

use std::time::Duration;

pub use desk::{Desk, MAX_AT_ONCE_PER_CALL};
pub use effect::Effect;
pub use error::ToolError;
pub use policy::MAX_ATTEMPTS_PER_CALL;
pub use runner::{MAX_ARGUMENTS_BYTES, MAX_AT_ONCE, MAX_OUTPUT_BYTES, MCP_START, Runner};

/// How a function call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The output of the function call: JSON or text, at most [`MAX_OUTPUT_BYTES`] as JSON.
    pub output_for_model: String,
    /// Whether it is a result rather than an error. That the caller must be asked first is a result.
    pub ok: bool,
    /// What is to be done with the call.
    pub effect: Option<Effect>,
    /// From the model's call to the outcome.
    pub took: Duration,
}
