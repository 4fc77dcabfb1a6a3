//! Whether a number may be called now. Pure; the time is an argument.
//!
//! Who gets hold of the admin token must not be able to run up a bill: numbers come from a list, and calls are counted. Refused ones
//! are not counted, those that Twilio rejects are.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{E164, Outbound};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why a number is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Nobody may be called.
    #[error("outbound calls are off: the list outbound.allow of the configuration is empty")]
    Off,
    /// A premium, satellite or denied range.
    #[error("numbers of this range are never called")]
    Denied,
    /// It is not on the list.
    #[error("the number is not in outbound.allow")]
    NotAllowed,
    /// As many as may be in a minute.
    #[error("outbound.calls_per_minute is reached")]
    TooFast {
        /// When the next one may come.
        after: Duration,
    },
    /// As many as may be in a day.
    #[error("outbound.calls_per_day is reached")]
    DayFull {
        /// When the next one may come.
        after: Duration,
    },
}

impl Forbidden {
    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::TooFast { .. } => "too_fast",
            Self::DayFull { .. } => "day_full",
        }
    }
}

/// The calls of the last day, at most as many as one day may have.
#[derive(Debug, Default)]
pub(super) struct Policy {
    placed: VecDeque<Duration>,
}

impl Policy {
    /// Whether `to` may be called at `now`; counts it.
    pub fn handle_request(
        &mut self,
        outbound: &Outbound,
        denied: &[String],
        to: &E164,
        now: Duration,
    ) -> Result<(), Forbidden> {
        if outbound.allow.is_empty() {
            return Err(Forbidden::Off);
        }
        if to.is_denied(denied) {
            return Err(Forbidden::Denied);
        }
        if !outbound.allows(to) {
            return Err(Forbidden::NotAllowed);
        }
        while self.placed.front().is_some_and(|at| now.saturating_sub(*at) >= DAY) {
            self.placed.pop_front();
        }
        // The one that has to be a day or a minute old.
        let nth = |most: u32| self.placed.len().checked_sub(most as usize).map(|i| self.placed[i]);
        if let Some(at) = nth(outbound.calls_per_day) {
            return Err(Forbidden::DayFull { after: DAY.saturating_sub(now.saturating_sub(at)) });
        }
        if let Some(at) = nth(outbound.calls_per_minute).filter(|at| now.saturating_sub(*at) < MINUTE) {
            return Err(Forbidden::TooFast { after: MINUTE - now.saturating_sub(at) });
        }
        self.placed.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowed;

    fn number(text: &str) -> E164 {
        text.parse().unwrap()
    }

    fn outbound(calls_per_minute: u32, calls_per_day: u32) -> Outbound {
        let allow = vec![Allowed::Prefix("+1555".into()), Allowed::Prefix("+8".into())];
        Outbound { allow, calls_per_minute, calls_per_day, ..Outbound::default() }
    }

    #[test]
    fn the_list_and_the_denied_ranges() {
        let (mut policy, now) = (Policy::default(), Duration::ZERO);
        let mut ask = |outbound: &Outbound, to: &str| {
            policy.handle_request(outbound, &["+15559".into()], &number(to), now)
        };
        assert_eq!(ask(&Outbound::default(), "+15551230000"), Err(Forbidden::Off));
        let some = outbound(100, 100);
        assert_eq!(ask(&some, "+15551230000"), Ok(()));
        assert_eq!(ask(&some, "+4930123456"), Err(Forbidden::NotAllowed));
        assert_eq!(ask(&some, "+15559230000"), Err(Forbidden::Denied), "denied by the configuration");
        assert_eq!(ask(&some, "+88216000000"), Err(Forbidden::Denied), "the list does not open satellites");
    }

    #[test]
    fn a_minute_and_a_day_are_counted_from_any_moment() {
        let mut policy = Policy::default();
        let some = outbound(2, 5);
        let mut ask = |seconds: u64| {
            policy.handle_request(&some, &[], &number("+15551230000"), Duration::from_secs(seconds))
        };
        assert_eq!((ask(0), ask(30)), (Ok(()), Ok(())));
        assert_eq!(ask(59), Err(Forbidden::TooFast { after: Duration::from_secs(1) }));
        assert_eq!((ask(60), ask(90), ask(120)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(ask(3600), Err(Forbidden::DayFull { after: Duration::from_secs(82_800) }));
        assert_eq!(ask(86_400), Ok(()));
        assert!(ask(86_401).is_err());
        assert!(policy.placed.len() <= 5);
    }
}
