//! Where a caller goes when ARIA is done with him.

use std::fmt;

use super::mask;

/// A person to whom the caller is put through.
#[derive(Clone, PartialEq, Eq)]
pub struct Onward {
    /// The name of the target, as the configuration has it.
    pub name: String,
    /// E.164.
    pub to: String,
    /// What is said to the person before the two are connected. `None`: nothing.
    pub summary: Option<String>,
}

impl fmt::Debug for Onward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onward")
            .field("name", &self.name)
            .field("to", &mask(&self.to))
            .finish_non_exhaustive()
    }
}

/// How the attempt to put a caller through ended (`DialCallStatus` of Twilio's `<Dial>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialed {
    /// They talked, or one of them hung up.
    Completed,
    /// The line is busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Somebody answered and hung up before the two were connected.
    Declined,
    /// It cannot be reached.
    Failed,
}

impl Dialed {
    /// Reads Twilio's word; an unknown one is a failure. `joined`: the two were connected, as far as Twilio tells.
    pub fn of(status: &str, joined: bool) -> Self {
        match status {
            "completed" | "answered" if !joined => Self::Declined,
            "completed" | "answered" => Self::Completed,
            "busy" => Self::Busy,
            "no-answer" | "canceled" => Self::NoAnswer,
            _ => Self::Failed,
        }
    }

    /// For the model.
    pub fn words(self) -> &'static str {
        match self {
            Self::Completed => "they have talked",
            Self::Busy => "the line is busy",
            Self::NoAnswer => "nobody answers",
            Self::Declined => "they cannot take the call",
            Self::Failed => "the number cannot be reached",
        }
    }
}
