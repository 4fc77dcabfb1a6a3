//! Fields of the file by environment: `ARIA_LIMITS_MAX_CALLS=50` is `limits.max_calls = 50`. The environment wins.
//!
//! The variables that interfaces elsewhere name (`ARIA_LISTEN`, `OPENAI_API_KEY`, …) are read by themselves; these are all the others.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Tables whose fields can be given so.
const TABLES: [&str; 10] =
    ["twilio", "openai", "limits", "audio", "tools", "records", "webhooks", "outbound", "dispatch", "tls"];
/// Fields of agents likewise: `ARIA_AGENTS_DEFAULT_VOICE`.
const AGENTS: &str = "AGENTS_";

/// What the environment says of the file's fields: path and value.
pub fn fields(environment: &BTreeMap<String, String>) -> Vec<(String, Vec<String>, Value)> {
    let mut fields = Vec::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix("ARIA_") else { continue };
        let path = match rest.strip_prefix(AGENTS) {
            // An agent's name has no underscore in it here; one that has is set in the file.
            Some(rest) => {
                rest.split_once('_').map(|(agent, field)| vec!["agents".into(), lower(agent), lower(field)])
            }
            None => TABLES.iter().find_map(|table| {
                let field = rest.strip_prefix(&table.to_ascii_uppercase())?.strip_prefix('_')?;
                Some(vec![(*table).to_owned(), lower(field)])
            }),
        };
        if let Some(path) = path {
            fields.push((name.clone(), path, value(text)));
        }
    }
    fields
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// A number, a truth value, a list or a table as TOML writes it; anything else is text.
fn value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    parsed.filter(|value| !value.is_datetime()).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Puts a value where its path leads.
pub fn set(table: &mut Table, path: &[String], value: Value) {
    let [parents @ .., field] = path else { return };
    let mut table = table;
    for parent in parents {
        let entry = table.entry(parent.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = entry else { return };
        table = next;
    }
    table.insert(field.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_and_texts_values() {
        let environment = [
            ("ARIA_LIMITS_MAX_CALLS", "50"),
            ("ARIA_AGENTS_DEFAULT_IDLE_SECONDS", "0"),
            ("ARIA_AGENTS_SALES_VOICE", "cedar"),
            ("ARIA_TOOLS_PRIVATE_HOSTS", "[\"127.0.0.1\"]"),
            ("ARIA_LISTEN", "127.0.0.1:1"),
            ("ARIA_CONFIG", "x"),
            ("HOME", "/"),
        ];
        let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut table = Table::new();
        for (_, path, value) in fields(&environment) {
            set(&mut table, &path, value);
        }
        let expected = "limits.max_calls = 50\nagents.default.idle_seconds = 0\nagents.sales.voice = \"cedar\"\n\
                        tools.private_hosts = [\"127.0.0.1\"]\n";
        assert_eq!(table, expected.parse::<Table>().unwrap());
    }
}
