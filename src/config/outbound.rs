//! `[outbound]`: whom the bridge may call, and how often. Nobody, unless it is said.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::faults::{ConfigError, Faults, value_error};
use super::resolve::known_agents;
use super::{E164, e164};

/// How long it rings, seconds: less is no ringing, and Twilio takes no more.
const RING_SECONDS: std::ops::RangeInclusive<u64> = 5..=600;
/// Calls a minute that may be set. Twilio itself starts one a second unless it was asked for more.
const MAX_CALLS_PER_MINUTE: u32 = 600;
/// Calls a day that may be set.
const MAX_CALLS_PER_DAY: u32 = 100_000;

/// `[outbound]` as it is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Typed {
    pub allow: Vec<String>,
    pub from: Option<String>,
    pub agent: Option<String>,
    pub calls_per_minute: Option<u32>,
    pub calls_per_day: Option<u32>,
    pub ring_seconds: Option<u64>,
    pub detect_machines: Option<bool>,
}

/// Numbers that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// This one.
    Number(E164),
    /// All that begin so, `+` included; typed with `*` at its end.
    Prefix(String),
}

/// Whom the bridge may call, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Empty: the bridge calls nobody.
    pub allow: Vec<Allowed>,
    /// Which of the account's numbers calls unless a request names one.
    pub from: Option<E164>,
    /// Which agent talks unless a request names one; `None`: the agent of the number that calls.
    pub agent: Option<String>,
    /// Calls in any 60 s.
    pub calls_per_minute: u32,
    /// Calls in any 24 h, counted since the start of the process.
    pub calls_per_day: u32,
    /// How long it rings.
    pub ring: Duration,
    /// Whether an answering machine is listened for. Twilio charges for it.
    pub detect_machines: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            from: None,
            agent: None,
            calls_per_minute: 10,
            calls_per_day: 100,
            ring: Duration::from_secs(30),
            detect_machines: true,
        }
    }
}

impl Outbound {
    /// Whether `number` is on the list. Denied ranges are another matter ([`E164::is_denied`]).
    pub fn allows(&self, number: &E164) -> bool {
        self.allow.iter().any(|allowed| match allowed {
            Allowed::Number(exact) => exact == number,
            Allowed::Prefix(prefix) => number.expose().starts_with(prefix.as_str()),
        })
    }
}

/// From the table as it is typed. `denied` are prefixes that are never called, `agents` the names that there are.
pub(super) fn resolve(
    typed: Typed,
    denied: &[String],
    agents: &BTreeSet<String>,
) -> Result<Outbound, ConfigError> {
    let default = Outbound::default();
    let mut faults = Faults::default();
    let allow = typed.allow.iter().filter_map(|text| faults.ok(allowed(text, denied))).collect();
    let from = typed.from.and_then(|text| {
        let from = text.parse::<E164>();
        faults.ok(from.map_err(|error| value_error("outbound.from", &text, error.to_string())))
    });
    if let Some(agent) = typed.agent.as_ref().filter(|agent| !agents.contains(*agent)) {
        faults.note(value_error("outbound.agent", agent, known_agents(agent, agents)));
    }
    let outbound = Outbound {
        allow,
        from,
        agent: typed.agent,
        calls_per_minute: typed.calls_per_minute.unwrap_or(default.calls_per_minute),
        calls_per_day: typed.calls_per_day.unwrap_or(default.calls_per_day),
        ring: typed.ring_seconds.map_or(default.ring, Duration::from_secs),
        detect_machines: typed.detect_machines.unwrap_or(default.detect_machines),
    };
    for (field, value, most) in [
        ("outbound.calls_per_minute", outbound.calls_per_minute, MAX_CALLS_PER_MINUTE),
        ("outbound.calls_per_day", outbound.calls_per_day, MAX_CALLS_PER_DAY),
    ] {
        faults.unless((1..=most).contains(&value), || {
            let allowed = format!("1 to {most}; for no calls leave outbound.allow empty");
            value_error(field, value.to_string(), allowed)
        });
    }
    let ring = outbound.ring.as_secs();
    faults.unless(RING_SECONDS.contains(&ring), || {
        let allowed = format!("{} to {}", RING_SECONDS.start(), RING_SECONDS.end());
        value_error("outbound.ring_seconds", ring.to_string(), allowed)
    });
    faults.outcome(Some(outbound))
}

fn allowed(text: &str, denied: &[String]) -> Result<Allowed, ConfigError> {
    let refused = |allowed: &str| value_error("outbound.allow", text, allowed);
    if let Some(prefix) = text.strip_suffix('*') {
        let good = e164::is_prefix(prefix);
        return good
            .then(|| Allowed::Prefix(prefix.to_owned()))
            .ok_or_else(|| refused("a prefix such as +1555*: +, digits, *"));
    }
    let number: E164 = text.parse().map_err(|_| {
        refused("a number such as +15551230000 or a prefix such as +1555*: + and digits, * at the end of a prefix")
    })?;
    if number.is_denied(denied) {
        return Err(refused("a number outside premium, satellite and denied ranges"));
    }
    Ok(Allowed::Number(number))
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Sources, load};

    fn loaded(text: &str) -> Result<Settings, String> {
        load(&Sources { text: Some(text.into()), ..Sources::default() }).map_err(|e| e.to_string())
    }

    #[test]
    fn nobody_is_called_unless_it_is_said() {
        let number = "+15551230000".parse().unwrap();
        assert!(!loaded("").unwrap().outbound.allows(&number));
        let outbound = loaded("[outbound]\nallow = [\"+15551230000\", \"+4930*\"]").unwrap().outbound;
        assert!(outbound.allows(&number) && outbound.allows(&"+4930123456".parse().unwrap()));
        // A number is itself alone, a prefix begins it.
        for other in ["+155512300001", "+15551230001", "+493123456", "+14930123456"] {
            assert!(!outbound.allows(&other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("allow = [\"*\"]", "outbound.allow"),
            ("allow = [\"+*\"]", "outbound.allow"),
            ("allow = [\"5551230000\"]", "outbound.allow"),
            ("allow = [\"+88216000000\"]", "satellite"),
            ("from = \"555\"", "outbound.from"),
            ("agent = \"nobody\"", "default"),
            ("calls_per_minute = 0", "outbound.calls_per_minute"),
            ("calls_per_day = 100001", "outbound.calls_per_day"),
            ("ring_seconds = 4", "5 to 600"),
            ("ring = 4", "ring"),
        ] {
            let error = loaded(&format!("[outbound]\n{text}")).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
