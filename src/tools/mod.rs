//! What the model may do: tools behind HTTP endpoints, run beside the call and never in its way.

mod guard;
mod http;

use std::future::Future;
use std::sync::Arc;

use crate::config::Agent;

/// Largest output given to the model, bytes as JSON. With its event it stays below 64 KiB, which every peer takes (RFC 8841, 6.1: the
/// `max-message-size` of an answer that names none).
const MAX_OUTPUT_BYTES: usize = 60 * 1024;
/// Largest arguments taken from the model, bytes.
const MAX_ARGUMENTS_BYTES: usize = 64 * 1024;

/// Why a tool gave no result. The model is told, so that it can tell the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The agent has no tool of this name.
    #[error("there is no such tool")]
    Unknown,
    /// The arguments are not a JSON object, or too large.
    #[error("the arguments are not a JSON object")]
    Arguments,
    /// The tool's address is not one that tools may reach.
    #[error("the tool may not be reached")]
    Forbidden,
    /// No answer within the tool's time.
    #[error("the tool did not answer in time")]
    TimedOut,
    /// No connection, or it was lost.
    #[error("the tool cannot be reached")]
    Unreachable,
    /// The tool answered with an error status.
    #[error("the tool failed with HTTP {0}")]
    Status(u16),
    /// The answer is above the cap.
    #[error("the tool's answer is too large")]
    TooLarge,
}

impl ToolError {
    /// The output of the function call.
    pub fn for_the_model(self) -> String {
        serde_json::json!({ "error": self.to_string() }).to_string()
    }

    fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Arguments => "arguments",
            Self::Forbidden => "forbidden",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
        }
    }
}

/// Runs tools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runner {
    http: Arc<http::Client>,
}

impl Runner {
    /// A runner whose tools reach public hosts and, of the others, those in `private_hosts`.
    pub fn new(private_hosts: &[String]) -> Result<Self, String> {
        Ok(Self { http: Arc::new(http::Client::new(private_hosts).map_err(|e| e.to_string())?) })
    }

    /// Runs the tool `name` of `agent`. The future owns all it needs and ends by the tool's deadline.
    pub fn run(
        &self,
        agent: &Agent,
        name: &str,
        arguments: String,
    ) -> impl Future<Output = Result<String, ToolError>> + Send + 'static {
        let http = Arc::clone(&self.http);
        let tool = agent.tools.iter().find(|t| t.name == name).cloned();
        async move {
            let outcome = match tool {
                Some(tool) => match object(&arguments) {
                    Some(arguments) => http.run(&tool, arguments).await.and_then(sendable),
                    None => Err(ToolError::Arguments),
                },
                None => Err(ToolError::Unknown),
            };
            let label = outcome.as_ref().map_or_else(|e| e.label(), |_| "ok");
            metrics::counter!("aria_tool_calls_total", "outcome" => label).increment(1);
            outcome
        }
    }
}

/// An event that is too large would never leave, and the model would wait for its output.
fn sendable(output: String) -> Result<String, ToolError> {
    let written = serde_json::to_string(&output).map_or(usize::MAX, |json| json.len());
    if written > MAX_OUTPUT_BYTES { Err(ToolError::TooLarge) } else { Ok(output) }
}

/// The model leaves the arguments empty when there are none.
fn object(arguments: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    if arguments.len() > MAX_ARGUMENTS_BYTES {
        return None;
    }
    if arguments.trim().is_empty() {
        Some(serde_json::Map::new())
    } else {
        serde_json::from_str(arguments).ok()
    }
}
