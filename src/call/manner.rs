//! How a call is to be held: what of the agent's settings the conversation goes by.

use std::time::Duration;

pub use crate::config::Key;

/// Silence of both sides before ARIA asks whether the caller is still there.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(15);
/// Age at which a session is replaced: OpenAI ends it after an hour, and the pause that a quiet change needs may be minutes away.
pub const RENEW_AFTER: Duration = Duration::from_secs(55 * 60);
/// Speech beyond the silence that ends a turn, for it to be more than a cough.
const MORE_THAN_A_COUGH: Duration = Duration::from_millis(350);

/// What the caller's voice does to ARIA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Barge {
    /// She stops at once.
    #[default]
    Always,
    /// She speaks on; the turn counts when she is done.
    Never,
    /// She pauses, and speaks on if it was a cough.
    Confirm {
        /// Speech so long is none.
        after: Duration,
    },
}

impl Barge {
    /// [`Barge::Confirm`] where turns end after `silence`: the model tells the end of speech only after it.
    pub fn confirm(silence: Duration) -> Self {
        Self::Confirm { after: silence + MORE_THAN_A_COUGH }
    }
}

/// How a call is to be held.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// What the caller's voice does to ARIA's.
    pub barge: Barge,
    /// How the first response is asked for. `None`: ARIA waits.
    pub greeting: Option<String>,
    /// The words of a recorded greeting that plays instead.
    pub recorded_greeting: Option<String>,
    /// How long the call may last.
    pub max_call: Duration,
    /// How long both may be silent before ARIA asks, and again before she ends the call. `None`: for ever.
    pub idle: Option<Duration>,
    /// The age at which a session is replaced by another.
    pub renew_after: Duration,
    /// What is left on an answering machine. `None`: nothing, the call just ends.
    pub voicemail: Option<String>,
    /// What a key does before the model hears of it.
    pub keys: Vec<(char, Key)>,
    /// What the caller is told while a tool takes long, by the tool's name.
    pub fillers: Vec<(String, String)>,
}

impl Manner {
    /// What the caller is told while the tool `name` takes long.
    pub fn filler(&self, name: &str) -> Option<String> {
        self.fillers.iter().find(|(tool, _)| tool == name).map(|(_, phrase)| phrase.clone())
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            barge: Barge::Always,
            greeting: None,
            recorded_greeting: None,
            max_call: Duration::from_secs(3600),
            idle: Some(DEFAULT_IDLE),
            renew_after: RENEW_AFTER,
            voicemail: None,
            keys: Vec::new(),
            fillers: Vec::new(),
        }
    }
}
