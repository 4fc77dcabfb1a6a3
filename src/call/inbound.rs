//! How a call came about: a webhook, whether somebody called us or answered our call.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::variables::Values;
use crate::config::{Agent, Settings};

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody called us.
    #[default]
    Inbound,
    /// We called somebody.
    Outbound,
}

impl Direction {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// The webhook, as far as the call needs it.
#[derive(Clone)]
pub struct Inbound {
    /// `CA…`.
    pub call_sid: String,
    /// `AC…`.
    pub account_sid: String,
    /// Who called, E.164 or whatever the carrier said.
    pub from: String,
    /// The number that was called.
    pub to: String,
    /// When the webhook arrived.
    pub at: Instant,
    /// Who called whom.
    pub direction: Direction,
    /// The agent that was chosen for it; `None`: our number decides.
    pub agent: Option<String>,
    /// What its texts are filled with besides.
    pub variables: Values,
}

impl Inbound {
    /// The number of the person who talks to ARIA.
    pub fn person(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.from,
            Direction::Outbound => &self.to,
        }
    }

    /// Who answers.
    pub fn agent_of(&self, settings: &Settings) -> Arc<Agent> {
        let chosen = self.agent.as_ref().and_then(|name| settings.agents.get(name).cloned());
        chosen.unwrap_or_else(|| settings.agent_for(self.ours()))
    }

    /// ARIA's own number.
    pub fn ours(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.to,
            Direction::Outbound => &self.from,
        }
    }
}

/// All but the last two characters of a phone number replaced.
pub fn mask(number: &str) -> String {
    let shown = number.char_indices().rev().nth(1).map_or(number, |(i, _)| &number[i..]);
    format!("…{shown}")
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("call_sid", &self.call_sid)
            .field("direction", &self.direction)
            .field("from", &mask(&self.from))
            .field("to", &mask(&self.to))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_number_keeps_two_digits() {
        assert_eq!(mask("+15551230042"), "…42");
        assert_eq!(mask("7"), "…7");
        assert_eq!(mask(""), "…");
    }

    #[test]
    fn the_person_is_at_the_other_end() {
        let mut call = Inbound {
            call_sid: "CA1".into(),
            account_sid: "AC1".into(),
            from: "+1".into(),
            to: "+2".into(),
            at: Instant::now(),
            direction: Direction::Inbound,
            agent: None,
            variables: Values::new(),
        };
        assert_eq!((call.person(), call.ours()), ("+1", "+2"));
        call.direction = Direction::Outbound;
        assert_eq!((call.person(), call.ours()), ("+2", "+1"));
    }
}
