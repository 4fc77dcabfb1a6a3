//! Where callers may be put through to by name: what the agent's own transfer tool lists, and `[transfer]`, which is everybody's.

use std::collections::BTreeMap;

use super::resolve::{ConfigError, value_error};
use super::{Agent, Builtin, E164, Settings, ToolAction};

/// Longest name of a target, bytes.
const MAX_NAME_BYTES: usize = 64;

/// `[transfer]`: names and their numbers. `denied` are prefixes that are never called.
pub(super) fn resolve(
    typed: BTreeMap<String, String>,
    denied: &[String],
) -> Result<BTreeMap<String, E164>, ConfigError> {
    let mut targets = BTreeMap::new();
    for (name, text) in typed {
        if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(value_error("transfer", name, format!("names of 1 to {MAX_NAME_BYTES} bytes")));
        }
        let field = format!("transfer.{name:?}");
        let number: E164 =
            text.parse().map_err(|e: super::NotE164| value_error(&field, &text, e.to_string()))?;
        if number.is_denied(denied) {
            return Err(value_error(field, text, "a number outside premium, satellite and denied ranges"));
        }
        targets.insert(name, number);
    }
    Ok(targets)
}

impl Agent {
    /// The targets of its own transfer tool.
    fn targets(&self) -> impl Iterator<Item = (&String, &E164)> {
        let listed = self.tools.iter().filter_map(|tool| match &tool.action {
            ToolAction::Builtin(Builtin::TransferCall { targets, .. }) => Some(targets),
            _ => None,
        });
        listed.flatten()
    }
}

impl Settings {
    /// The number of the target `name` for a call of `agent`: the agent's own targets come before the house's.
    pub fn target(&self, agent: &Agent, name: &str) -> Option<E164> {
        let own = agent.targets().find(|(target, _)| *target == name).map(|(_, number)| number);
        own.or_else(|| self.transfer.get(name)).cloned()
    }

    /// The names of all targets that a call of `agent` may be put through to, in order.
    pub fn target_names<'a>(&'a self, agent: &'a Agent) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            agent.targets().map(|(name, _)| name).chain(self.transfer.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};

    #[test]
    fn an_agents_own_targets_come_first() {
        let text = r#"
            [transfer]
            reception = "+15550000001"
            sales = "+15550000002"
            [agents.default]
            [[agents.default.tools]]
            type = "builtin"
            name = "transfer_call"
            targets = { sales = "+15550000003" }
            [agents.other]
        "#;
        let settings = load(&Sources { text: Some(text.into()), ..Sources::default() }).unwrap();
        let find = |agent: &str, name: &str| {
            settings.target(&settings.agents[agent], name).map(|n| n.expose().to_owned())
        };
        assert_eq!(find("default", "sales").as_deref(), Some("+15550000003"));
        assert_eq!(find("other", "sales").as_deref(), Some("+15550000002"));
        assert_eq!(find("default", "reception").as_deref(), Some("+15550000001"));
        assert_eq!(find("default", "+15550000001"), None);
        assert_eq!(settings.target_names(&settings.agents["default"]), ["reception", "sales"]);
    }

    #[test]
    fn a_target_is_a_number_that_may_be_called() {
        for number in ["555", "+19005551234", "sip:a@b.example"] {
            let text = format!("[transfer]\nx = \"{number}\"");
            let error = load(&Sources { text: Some(text), ..Sources::default() }).unwrap_err().to_string();
            assert!(error.contains("transfer.\"x\""), "{error}");
        }
    }
}
