//! Calls: placing one, redirecting one, ending one. <https://www.twilio.com/docs/voice/api/call-resource>

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::ask::{Question, Twice};
use super::{Client, RestError};

/// What Twilio does once a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document<'a> {
    /// It asks here, by POST.
    Url(&'a str),
    /// It runs this TwiML, at most 4000 characters.
    Twiml(&'a str),
}

impl<'a> Document<'a> {
    fn parameter(self) -> (&'static str, &'a str) {
        match self {
            Self::Url(url) => ("Url", url),
            Self::Twiml(text) => ("Twiml", text),
        }
    }
}

/// Whether Twilio listens for an answering machine, beside the call: the document runs at once, the verdict is told later.
///
/// <https://www.twilio.com/docs/voice/answering-machine-detection>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineDetection<'a> {
    /// Tells as soon as it is sure that a machine or a person speaks.
    AtOnce {
        /// Who is told.
        callback: &'a str,
    },
    /// A machine is told of when it records: after its greeting.
    AtTheBeep {
        /// Who is told.
        callback: &'a str,
    },
}

/// A call to place.
#[derive(Clone)]
pub struct NewCall<'a> {
    /// Whom to call, E.164.
    pub to: &'a str,
    /// Which of the account's numbers calls, E.164.
    pub from: &'a str,
    /// What happens once it is answered.
    pub document: Document<'a>,
    /// Who is told how the call stands: ringing, answered, completed.
    pub status_callback: &'a str,
    /// Whether a machine is listened for.
    pub machine_detection: Option<MachineDetection<'a>>,
    /// How long it rings, 5 to 600 s; Twilio adds up to 5 s.
    pub ring: Duration,
    /// How long the call may last.
    pub limit: Duration,
}

impl fmt::Debug for NewCall<'_> {
    // Numbers, and a URL with a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCall").field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// A call that Twilio has taken on. It has not rung yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Placed {
    /// `CA…`.
    pub sid: String,
    /// `queued`.
    pub status: String,
}

impl Client {
    /// Places a call. [`RestError::Unanswered`] and [`RestError::Failing`] leave open whether it was placed, so neither is tried again.
    pub async fn create_call(&self, call: &NewCall<'_>) -> Result<Placed, RestError> {
        let (ring, limit) = (call.ring.as_secs().to_string(), call.limit.as_secs().max(1).to_string());
        let mut form = vec![
            ("To", call.to),
            ("From", call.from),
            call.document.parameter(),
            ("StatusCallback", call.status_callback),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", &ring),
            ("TimeLimit", &limit),
        ];
        if let Some(detection) = call.machine_detection {
            let (mode, callback) = match detection {
                MachineDetection::AtOnce { callback } => ("Enable", callback),
                MachineDetection::AtTheBeep { callback } => ("DetectMessageEnd", callback),
            };
            form.extend([
                ("MachineDetection", mode),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", callback),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        let url = self.url(&["Accounts", &self.account_sid, "Calls.json"]);
        self.ask(Question { method: Method::POST, url, form: &form, twice: Twice::Costly }).await
    }

    /// Has a living call run another document; its stream ends. `account_sid` is the account that owns the call.
    pub async fn redirect(
        &self,
        account_sid: &str,
        call_sid: &str,
        document: Document<'_>,
    ) -> Result<(), RestError> {
        self.update(account_sid, call_sid, &[document.parameter()]).await
    }

    /// Ends a call, one that still rings too. A call that is over already counts as ended. `account_sid` is the account that owns the
    /// call, which may be a subaccount.
    pub async fn hang_up(&self, account_sid: &str, call_sid: &str) -> Result<(), RestError> {
        match self.update(account_sid, call_sid, &[("Status", "completed")]).await {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        }
    }

    async fn update(
        &self,
        account_sid: &str,
        call_sid: &str,
        form: &[(&str, &str)],
    ) -> Result<(), RestError> {
        let url = self.url(&["Accounts", account_sid, "Calls", &format!("{call_sid}.json")]);
        self.order(Question { method: Method::POST, url, form, twice: Twice::HarmlessAndUrgent }).await
    }
}
