//! Fields of the file by environment: `ARIA_LIMITS_MAX_CALLS=50` is `limits.max_calls = 50`. The environment wins.
//!
//! One rule for all: `ARIA_` and the field's path. What stands at the top of the file has no table (`ARIA_LISTEN`), and what others have
//! named keeps its name (`OPENAI_API_KEY`, `DATABASE_URL`, …): those are read by themselves. A table's secret has the name that the rule
//! gives it, [`WEBHOOKS_SECRET`], but no place in the file.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Tables whose fields can be given so.
const TABLES: [&str; 10] =
    ["twilio", "openai", "limits", "audio", "tools", "records", "webhooks", "outbound", "dispatch", "tls"];
/// What webhooks are signed with.
pub const WEBHOOKS_SECRET: &str = "ARIA_WEBHOOKS_SECRET";
/// What the dispatch hook's questions are signed with.
pub const DISPATCH_SECRET: &str = "ARIA_DISPATCH_SECRET";
/// Fields that are not the file's.
const ALONE: [&str; 6] =
    ["ARIA_LISTEN", "ARIA_PUBLIC_URL", "ARIA_ADMIN_TOKEN", "ARIA_CONFIG", WEBHOOKS_SECRET, DISPATCH_SECRET];
/// Fields of agents likewise: `ARIA_AGENTS_DEFAULT_VOICE`.
const AGENTS: &str = "AGENTS_";

/// What the environment says of the file's fields: path and value.
pub fn fields(environment: &BTreeMap<String, String>) -> Vec<(String, Vec<String>, Value)> {
    let mut fields = Vec::new();
    for (name, text) in environment {
        if ALONE.contains(&name.as_str()) {
            continue;
        }
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

/// Variables that look like ours and name nothing. They change nothing; whoever has set one may be told.
pub fn strangers(environment: &BTreeMap<String, String>) -> Vec<String> {
    let known: Vec<String> = fields(environment).into_iter().map(|(name, ..)| name).collect();
    let ours = environment.keys().filter(|name| name.starts_with("ARIA_"));
    ours.filter(|name| !ALONE.contains(&name.as_str()) && !known.contains(name)).cloned().collect()
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
            ("ARIA_DISPATCH_SECRET", "x"),
            ("ARIA_LIMIT_MAX_CALLS", "50"),
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
        assert_eq!(strangers(&environment), ["ARIA_LIMIT_MAX_CALLS"]);
    }
}
