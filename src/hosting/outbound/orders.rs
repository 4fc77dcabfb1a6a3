//! Calls that were placed and not answered yet, by the one-time token that Twilio brings back. Pure; the time is an argument.
//!
//! The token is in the URL of the webhook, which Twilio's signature covers, and belongs to the first call that shows it. Twilio's
//! callbacks may be here before its answer to our request: then the token is the only name that the call has.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::call::CallEnd;
use crate::config::variables::Values;

/// How long a token may be used: the longest ringing there is (605 s), and as long again for a queue at Twilio, which starts one call a
/// second.
const TTL: Duration = Duration::from_secs(1210);
/// Orders open at once; beyond it the oldest is dropped.
const MAX_ORDERS: usize = 10_000;
/// 256 bits cannot be guessed.
const TOKEN_BYTES: usize = 32;

type Hash = [u8; 32];

/// What a call is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// The agent's name.
    pub agent: String,
    /// What its texts are filled with.
    pub variables: Values,
}

struct Order {
    errand: Errand,
    call_sid: Option<String>,
    over: Option<CallEnd>,
}

/// How an order stands once its call has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordered {
    /// It rings, or will.
    Waiting,
    /// Twilio has already said that it is over.
    Over(CallEnd),
}

/// All open orders. Of tokens only their hashes are kept.
#[derive(Default)]
pub(super) struct Orders {
    by_hash: HashMap<Hash, Order>,
    /// Oldest first.
    order: VecDeque<(Hash, Instant)>,
}

impl Orders {
    pub fn order(&mut self, errand: Errand, now: Instant) -> String {
        self.expire(now);
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        let token = base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        self.by_hash.insert(hash(&token), Order { errand, call_sid: None, over: None });
        self.order.push_back((hash(&token), now));
        token
    }

    pub fn redeem(&mut self, token: &str, call_sid: &str, now: Instant) -> Option<Errand> {
        self.expire(now);
        let order = self.by_hash.get_mut(&hash(token))?;
        let own = order.call_sid.get_or_insert_with(|| call_sid.to_owned());
        (own == call_sid).then(|| order.errand.clone())
    }

    pub fn over(&mut self, token: &str, end: CallEnd) {
        if let Some(order) = self.by_hash.get_mut(&hash(token)) {
            order.over.get_or_insert(end);
        }
    }

    pub fn named(&mut self, token: &str, call_sid: &str, now: Instant) -> Ordered {
        let _ = self.redeem(token, call_sid, now);
        let over = self.by_hash.get(&hash(token)).and_then(|order| order.over);
        over.map_or(Ordered::Waiting, Ordered::Over)
    }

    pub fn forget(&mut self, token: &str) {
        self.by_hash.remove(&hash(token));
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(hash, at)) = self.order.front() {
            if self.order.len() < MAX_ORDERS && now.saturating_duration_since(at) < TTL {
                break;
            }
            self.order.pop_front();
            self.by_hash.remove(&hash);
        }
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand() -> Errand {
        Errand { agent: "default".into(), variables: Values::new() }
    }

    #[test]
    fn a_token_is_one_calls() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        let token = orders.order(errand(), now);
        assert!(orders.redeem("x", "CA1", now).is_none());
        assert!(orders.redeem(&token, "CA1", now).is_some());
        assert!(orders.redeem(&token, "CA2", now).is_none());
        assert!(orders.redeem(&token, "CA1", now).is_some(), "a repeated webhook");
        assert!(orders.redeem(&token, "CA1", now + TTL).is_none());
    }

    #[test]
    fn an_end_may_come_before_the_name() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        let (early, waiting) = (orders.order(errand(), now), orders.order(errand(), now));
        orders.over(&early, CallEnd::Busy);
        orders.over(&early, CallEnd::CallerHungUp);
        assert_eq!(orders.named(&early, "CA1", now), Ordered::Over(CallEnd::Busy));
        assert_eq!(orders.named(&waiting, "CA2", now), Ordered::Waiting);
        assert!(orders.redeem(&waiting, "CA3", now).is_none());
    }

    #[test]
    fn they_stay_bounded() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        for _ in 0..MAX_ORDERS + 10 {
            orders.order(errand(), now);
        }
        assert!(orders.by_hash.len() <= MAX_ORDERS);
    }
}
