//! The model's tools over real sockets: services that fail in every way, addresses that lead inside, models that were talked into
//! something, MCP servers that come and go.

#[path = "../support/mod.rs"]
mod support;

mod failing;
mod hostile;
mod inside;
mod mcp;
mod sound;

use aria_bridge::config::{Settings, Sources, load};
use aria_bridge::tools::{Desk, Runner};

/// The settings of an agent with these tables, where `[[tools]]` is one of its tools.
pub fn settings(tables: &str) -> Result<Settings, String> {
    let text = format!("[agents.default]\n{}", tables.replace("[[tools]]", "[[agents.default.tools]]"));
    load(&Sources { text: Some(text), ..Sources::default() }).map_err(|e| e.to_string())
}

/// A runner for these tables, and a call's desk.
pub fn runner(tables: &str) -> Result<(Runner, Desk), String> {
    let settings = settings(tables)?;
    let runner = Runner::new(&settings)?;
    let desk = runner.desk(settings.agent_for(""), "+15551000000", "+15550000000");
    Ok((runner, desk))
}

#[test]
fn every_table_of_the_documentation_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tools.md");
    let text = std::fs::read_to_string(path).expect("the documentation can be read");
    let tables: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(tables.len() >= 6, "{}", tables.len());
    let tokens = ["CRM_TOKEN", "CALENDAR_TOKEN", "HUBSPOT_TOKEN", "CAL_TOKEN"];
    let environment: std::collections::BTreeMap<_, _> =
        tokens.map(|name| (name.to_owned(), "canary".to_owned())).into();
    for table in tables {
        let sources =
            Sources { text: Some(table.into()), environment: environment.clone(), ..Sources::default() };
        let settings = load(&sources).unwrap_or_else(|e| panic!("{e}\n{table}"));
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
