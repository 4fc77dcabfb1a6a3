//! Tools that OpenAI calls itself: MCP servers that are passed to the model. Pure.
//!
//! Nothing of such a call passes by the bridge but that it goes on. Whether the server makes another response with the answer by itself the
//! guide does not say (<https://developers.openai.com/api/docs/guides/realtime-mcp>), so the bridge asks for one, which does no harm
//! where one is being made.

use std::time::Instant;

/// How it stands with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Hosted {
    /// None is at work and none has answered.
    #[default]
    Nothing,
    /// OpenAI waits for a server.
    Asking,
    /// It has answered then, and nothing was said since.
    Untold(Instant),
}

impl Hosted {
    /// A server is asked.
    pub fn asked(&mut self) {
        *self = Self::Asking;
    }

    /// It has answered, or failed.
    pub fn answered(&mut self, now: Instant) {
        *self = Self::Untold(now);
    }

    /// The model says something, or begins a new response: it knows of the answer.
    pub fn told(&mut self) {
        if matches!(self, Self::Untold(_)) {
            *self = Self::Nothing;
        }
    }

    /// Since when something is to be heard of a response that was begun at `begun`; `None`: a server is being asked, and OpenAI sees to it that
    /// this ends.
    pub fn due_since(self, begun: Instant) -> Option<Instant> {
        match self {
            Self::Nothing => Some(begun),
            Self::Asking => None,
            Self::Untold(answered) => Some(begun.max(answered)),
        }
    }

    /// Nothing is being made: whether an answer waits to be told.
    pub fn take_untold(&mut self) -> bool {
        let untold = matches!(self, Self::Untold(_));
        self.told();
        untold
    }
}
