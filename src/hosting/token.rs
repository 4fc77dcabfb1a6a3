//! One-time tokens: what ties a media stream to the webhook that asked for it.
//!
//! Twilio drops the query of a stream's URL, so the token travels as a `<Parameter>` and comes back in `start`.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// How long a token may be used. Twilio opens the stream within a second or two of reading the TwiML, and has 15 s for the webhook.
pub const TTL: Duration = Duration::from_secs(60);
/// Tokens alive at once; a call that was answered needs one for a minute. Beyond it the oldest is dropped.
const MAX_TOKENS: usize = 16_384;
/// 256 bits cannot be guessed.
const TOKEN_BYTES: usize = 32;

/// Why a token was not taken. Which of the reasons it was is for our metrics, not for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Never given out, used before, or long gone.
    #[error("unknown or used token")]
    Unknown,
    /// Older than [`TTL`].
    #[error("expired token")]
    Expired,
    /// Given out for another call or account.
    #[error("token of another call")]
    OtherCall,
}

/// Tokens given out and not used yet. Only their hashes are kept: the time of a lookup tells nothing about a token, and neither
/// does a core dump.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    by_hash: HashMap<[u8; 32], Bound>,
    /// Oldest first.
    order: VecDeque<([u8; 32], Instant)>,
}

#[derive(Debug)]
struct Bound {
    call_sid: String,
    account_sid: String,
    issued: Instant,
}

impl Tokens {
    /// Makes a token for a call: 43 characters of base64url.
    pub fn issue(&self, call_sid: &str, account_sid: &str, now: Instant) -> String {
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        let token = base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        let hash = hash(&token);
        let bound = Bound { call_sid: call_sid.to_owned(), account_sid: account_sid.to_owned(), issued: now };
        let mut waiting = self.0.lock().unwrap_or_else(|e| e.into_inner());
        waiting.expire(now);
        waiting.by_hash.insert(hash, bound);
        waiting.order.push_back((hash, now));
        token
    }

    /// Uses a token up. Of any number that try at the same time exactly one succeeds. A token shown for another call stays
    /// usable for its own: a forger must not cost the caller his call.
    pub fn redeem(
        &self,
        token: &str,
        call_sid: &str,
        account_sid: &str,
        now: Instant,
    ) -> Result<(), TokenError> {
        let hash = hash(token);
        let mut waiting = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let bound = waiting.by_hash.get(&hash).ok_or(TokenError::Unknown)?;
        if now.saturating_duration_since(bound.issued) > TTL {
            waiting.by_hash.remove(&hash);
            return Err(TokenError::Expired);
        }
        if bound.call_sid != call_sid || bound.account_sid != account_sid {
            return Err(TokenError::OtherCall);
        }
        waiting.by_hash.remove(&hash);
        Ok(())
    }
}

impl Waiting {
    fn expire(&mut self, now: Instant) {
        while let Some(&(hash, issued)) = self.order.front() {
            // Kept for twice its life, so that a late one is told from a forged one.
            if self.order.len() < MAX_TOKENS && now.saturating_duration_since(issued) <= 2 * TTL {
                break;
            }
            self.order.pop_front();
            self.by_hash.remove(&hash);
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_once_and_only_for_its_call() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue("CA1", "AC1", now);
        assert_eq!(token.len(), 43);
        assert_eq!(tokens.redeem("x", "CA1", "AC1", now), Err(TokenError::Unknown));
        assert_eq!(tokens.redeem(&token, "CA2", "AC1", now), Err(TokenError::OtherCall));
        assert_eq!(tokens.redeem(&token, "CA1", "AC2", now), Err(TokenError::OtherCall));
        assert_eq!(tokens.redeem(&token, "CA1", "AC1", now), Ok(()));
        assert_eq!(tokens.redeem(&token, "CA1", "AC1", now), Err(TokenError::Unknown));
    }

    #[test]
    fn a_token_dies_after_a_minute() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue("CA1", "AC1", now);
        let other = tokens.issue("CA1", "AC1", now);
        assert_eq!(tokens.redeem(&other, "CA1", "AC1", now + TTL), Ok(()));
        let late = now + TTL + Duration::from_millis(1);
        assert_eq!(tokens.redeem(&token, "CA1", "AC1", late), Err(TokenError::Expired));
        assert_eq!(tokens.redeem(&token, "CA1", "AC1", now), Err(TokenError::Unknown));
    }

    #[test]
    fn unused_tokens_stay_bounded() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        for _ in 0..MAX_TOKENS + 100 {
            tokens.issue("CA1", "AC1", now);
        }
        assert!(tokens.0.lock().unwrap().by_hash.len() <= MAX_TOKENS);
        tokens.issue("CA1", "AC1", now + 3 * TTL);
        assert_eq!(tokens.0.lock().unwrap().by_hash.len(), 1);
    }

    /// Row 6 of the fault list.
    #[test]
    fn of_many_at_once_exactly_one_wins() {
        let tokens = Tokens::default();
        for _ in 0..1000 {
            let token = tokens.issue("CA1", "AC1", Instant::now());
            let wins: usize = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| tokens.redeem(&token, "CA1", "AC1", Instant::now()).is_ok() as usize)
                    })
                    .collect();
                tries.into_iter().map(|t| t.join().unwrap()).sum()
            });
            assert_eq!(wins, 1);
        }
    }
}
