//! What tokens cost: US dollars per million, by kind. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The price of one model's tokens, US dollars per million of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Text that goes in.
    pub text_in: f64,
    /// Text that goes in and was cached.
    pub cached_text_in: f64,
    /// Text that comes out.
    pub text_out: f64,
    /// Sound that goes in.
    pub audio_in: f64,
    /// Sound that goes in and was cached.
    pub cached_audio_in: f64,
    /// Sound that comes out.
    pub audio_out: f64,
}

/// Tokens by kind. Cached ones are part of those that went in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The same kinds.
pub struct Tokens {
    pub text_in: u64,
    pub cached_text_in: u64,
    pub text_out: u64,
    pub audio_in: u64,
    pub cached_audio_in: u64,
    pub audio_out: u64,
}

impl Price {
    /// What these cost, in millionths of a dollar.
    pub fn micros(&self, tokens: &Tokens) -> u64 {
        let fresh = |all: u64, cached: u64| all.saturating_sub(cached);
        let parts = [
            (fresh(tokens.text_in, tokens.cached_text_in), self.text_in),
            (tokens.cached_text_in, self.cached_text_in),
            (tokens.text_out, self.text_out),
            (fresh(tokens.audio_in, tokens.cached_audio_in), self.audio_in),
            (tokens.cached_audio_in, self.cached_audio_in),
            (tokens.audio_out, self.audio_out),
        ];
        // A dollar per million tokens is a millionth of a dollar per token.
        parts.iter().map(|(count, price)| *count as f64 * price).sum::<f64>().round() as u64
    }
}

/// The list prices of the models that have one, as of November 2026. Source: OpenAI's model pages.
pub fn defaults() -> BTreeMap<String, Price> {
    let price = |text: [f64; 3], audio: [f64; 3]| Price {
        text_in: text[0],
        cached_text_in: text[1],
        text_out: text[2],
        audio_in: audio[0],
        cached_audio_in: audio[1],
        audio_out: audio[2],
    };
    [
        ("gpt-realtime-2.1", price([4.0, 0.4, 24.0], [32.0, 0.4, 64.0])),
        ("gpt-realtime-2.1-mini", price([0.6, 0.06, 2.4], [10.0, 0.3, 20.0])),
    ]
    .map(|(model, price)| (model.to_owned(), price))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_cost_their_own_price_and_not_the_full_one_as_well() {
        let price = defaults()["gpt-realtime-2.1"];
        let tokens = Tokens { text_in: 1_000, cached_text_in: 400, text_out: 10, ..Tokens::default() };
        // 600 × 4 + 400 × 0.4 + 10 × 24
        assert_eq!(price.micros(&tokens), 2_800);
        let tokens = Tokens { audio_in: 600, cached_audio_in: 100, audio_out: 1_200, ..Tokens::default() };
        // 500 × 32 + 100 × 0.4 + 1200 × 64
        assert_eq!(price.micros(&tokens), 92_840);
    }
}
