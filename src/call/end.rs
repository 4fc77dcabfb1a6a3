//! Why a call ended: a value that is counted, recorded and decides what the caller hears last.

use serde::Serialize;
use utoipa::ToSchema;

/// The end of a call. Exactly one per call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The caller hung up: Twilio sent `stop` or a final status.
    CallerHungUp,
    /// ARIA said goodbye and hung up.
    AgentHungUp,
    /// The caller said nothing any more; ARIA said goodbye and hung up.
    CallerSilent,
    /// The caller was put through to somebody else.
    Transferred,
    /// A machine answered our call; it was left a message if there is one.
    Voicemail,
    /// Nobody answered our call.
    NoAnswer,
    /// The line that we called is busy, or the call was declined.
    Busy,
    /// The number that we called cannot be reached.
    NotReached,
    /// An operator ended the call through the admin API.
    OperatorHungUp,
    /// The media stream never started after the webhook.
    StreamNeverStarted,
    /// The media stream broke or went silent without a `stop`.
    StreamLost,
    /// The media stream broke the protocol.
    StreamRefused,
    /// The model refused the session: key, quota, model or settings are wrong. Retrying cannot help.
    ModelRefused,
    /// The model could not be reached within the budget.
    ModelUnreachable,
    /// The model's connection was lost during the call.
    ModelLost,
    /// The longest allowed call.
    TooLong,
    /// The bridge is shutting down.
    Shutdown,
    /// The bridge that held it died before it could end the call: found at the next start.
    Aborted,
    /// A defect in the bridge ended this call; others go on.
    Internal,
}

impl CallEnd {
    /// The label in metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::CallerSilent => "caller_silent",
            Self::Transferred => "transferred",
            Self::Voicemail => "voicemail",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::NotReached => "not_reached",
            Self::OperatorHungUp => "operator_hung_up",
            Self::StreamNeverStarted => "stream_never_started",
            Self::StreamLost => "stream_lost",
            Self::StreamRefused => "stream_refused",
            Self::ModelRefused => "model_refused",
            Self::ModelUnreachable => "model_unreachable",
            Self::ModelLost => "model_lost",
            Self::TooLong => "too_long",
            Self::Shutdown => "shutdown",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
        }
    }

    /// What a final `CallStatus` of a call that we placed means.
    /// <https://www.twilio.com/docs/voice/api/call-resource#call-status-values>
    pub fn of_status(status: &str) -> Self {
        match status {
            "no-answer" => Self::NoAnswer,
            "busy" => Self::Busy,
            "failed" => Self::NotReached,
            "canceled" => Self::OperatorHungUp,
            _ => Self::CallerHungUp,
        }
    }

    /// Whether the caller is still on the line and owed a spoken apology before the hang-up.
    pub fn owes_apology(self) -> bool {
        matches!(
            self,
            Self::ModelRefused
                | Self::ModelUnreachable
                | Self::ModelLost
                | Self::Internal
                | Self::StreamLost
                | Self::StreamRefused
                | Self::Shutdown
        )
    }

    /// Whether the call is to be hung up over Twilio's REST API: the line would otherwise stay open without anyone on it.
    /// Where an apology is owed Twilio's next verb speaks it and hangs up.
    pub fn hang_up_over_rest(self) -> bool {
        matches!(
            self,
            Self::AgentHungUp | Self::CallerSilent | Self::Voicemail | Self::OperatorHungUp | Self::TooLong
        )
    }
}
