//! What a response cost, in tokens.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Tokens billed, by kind. Cached ones are part of those that came in.
///
/// Source: `response.done.response.usage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// All together.
    pub total_tokens: u64,
    /// Text that went in.
    pub text_in: u64,
    /// Sound that went in.
    pub audio_in: u64,
    /// Of the text that went in, what was cached.
    pub cached_text_in: u64,
    /// Of the sound that went in, what was cached.
    pub cached_audio_in: u64,
    /// Text that came out.
    pub text_out: u64,
    /// Sound that came out.
    pub audio_out: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.total_tokens += more.total_tokens;
        self.text_in += more.text_in;
        self.audio_in += more.audio_in;
        self.cached_text_in += more.cached_text_in;
        self.cached_audio_in += more.cached_audio_in;
        self.text_out += more.text_out;
        self.audio_out += more.audio_out;
    }
}

/// The same as the server writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Billed {
    total_tokens: Option<u64>,
    input_token_details: Option<Tokens>,
    output_token_details: Option<Tokens>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    text_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    cached_tokens_details: Option<Box<Tokens>>,
}

impl From<Billed> for Usage {
    fn from(billed: Billed) -> Self {
        let came_in = billed.input_token_details.unwrap_or_default();
        let out = billed.output_token_details.unwrap_or_default();
        let cached = came_in.cached_tokens_details.unwrap_or_default();
        Self {
            total_tokens: billed.total_tokens.unwrap_or_default(),
            text_in: came_in.text_tokens.unwrap_or_default(),
            audio_in: came_in.audio_tokens.unwrap_or_default(),
            cached_text_in: cached.text_tokens.unwrap_or_default(),
            cached_audio_in: cached.audio_tokens.unwrap_or_default(),
            text_out: out.text_tokens.unwrap_or_default(),
            audio_out: out.audio_tokens.unwrap_or_default(),
        }
    }
}
