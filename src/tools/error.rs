//! Why a tool gave no result.

use serde_json::json;

/// Why a tool gave no result. The model is told, so that it can tell the caller: the texts say nothing about what is behind a tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The agent has no tool of this name, or its server is away.
    #[error("there is no such tool")]
    Unknown,
    /// The arguments are not JSON, not an object, or too large.
    #[error("the arguments are not a JSON object")]
    Arguments,
    /// The arguments do not fit the tool's schema.
    #[error("the arguments do not fit: {0}")]
    Schema(String),
    /// The tool has run as often as it may in one call, or the call has tried too much.
    #[error("the tool may not be used again in this call")]
    Spent,
    /// The call's policy forbids it: why.
    #[error("this is not allowed: {0}")]
    Denied(&'static str),
    /// The tool's address is not one that tools may reach.
    #[error("the tool may not be reached")]
    Forbidden,
    /// It failed so often of late that it is not tried.
    #[error("the tool is out of order; try again in half a minute")]
    OutOfOrder,
    /// Too many tools run, and none ended in this tool's time.
    #[error("too many tools at once")]
    Busy,
    /// No answer within the tool's time.
    #[error("the tool did not answer in time")]
    TimedOut,
    /// No connection, or it was lost.
    #[error("the tool cannot be reached")]
    Unreachable,
    /// The tool answered with an error status.
    #[error("the tool failed with HTTP {0}")]
    Status(u16),
    /// The tool's server reports an error of its own: no answer of the tool.
    #[error("the tool failed")]
    Failed,
    /// The answer is packed, though it was asked not to be.
    #[error("the tool's answer cannot be read")]
    Unreadable,
    /// The answer is above the cap.
    #[error("the tool's answer is too large")]
    TooLarge,
}

impl ToolError {
    /// The output of the function call.
    pub fn for_the_model(&self) -> String {
        json!({ "error": self.to_string() }).to_string()
    }

    /// For the metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Arguments => "arguments",
            Self::Schema(_) => "schema",
            Self::Spent => "spent",
            Self::Denied(_) => "denied",
            Self::Forbidden => "forbidden",
            Self::OutOfOrder => "out_of_order",
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether it speaks against the host: an answer, even a refusal, does not.
    pub(super) fn is_of_the_host(&self) -> bool {
        match self {
            Self::TimedOut | Self::Unreachable => true,
            Self::Status(status) => *status >= 500,
            _ => false,
        }
    }
}
