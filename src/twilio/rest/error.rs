//! Why Twilio did not do what it was asked.

use std::fmt;

/// "The requested resource was not found".
pub(super) const CODE_NOT_FOUND: u32 = 20404;
/// "Call is not in-progress": it is over already.
pub(super) const CODE_NOT_IN_PROGRESS: u32 = 21220;

/// Why Twilio did not do what it was asked. Its own words are left out: they may hold a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// It refused for good: wrong credentials, wrong id, a number that it does not call.
    #[error("Twilio refused: HTTP {status}, {}", Code(*code))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: Option<u32>,
    },
    /// It was busy or failing on every try.
    #[error("Twilio failed: HTTP {status}")]
    Failing {
        /// HTTP status of the last try.
        status: u16,
    },
    /// It was not reached.
    #[error("Twilio was not reached")]
    Unreachable,
    /// It was asked and did not answer in time: it may have acted all the same.
    #[error("Twilio did not answer in time")]
    Unanswered,
    /// It answered with something that is none of its documented answers.
    #[error("Twilio's answer makes no sense")]
    Unreadable,
}

impl RestError {
    /// Twilio's error code, if it gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => *code,
            _ => None,
        }
    }

    /// What it asked about is not there (any more).
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Refused { code: Some(CODE_NOT_FOUND | CODE_NOT_IN_PROGRESS), .. }
                | Self::Refused { status: 404, code: None }
        )
    }
}

/// A code with the page that explains it.
struct Code(Option<u32>);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, "error {code}, see https://www.twilio.com/docs/errors/{code}"),
            None => write!(f, "no error code"),
        }
    }
}
