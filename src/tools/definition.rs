//! How the model sees a tool: the entries of `session.tools` (OpenAI, `RealtimeFunctionTool`, `MCPTool`).

use serde_json::{Value, json};

use crate::config::{McpLink, McpServer, Schema, Tool};

/// The argument by which the model says that the caller has agreed.
pub(super) const CONFIRMED: &str = "confirmed";

/// A function of ours.
pub(super) fn function(name: &str, description: &str, parameters: &Schema, confirm: bool) -> Value {
    let mut parameters = parameters.source().clone();
    let mut description = description.to_owned();
    if confirm {
        parameters["properties"][CONFIRMED] = json!({
            "type": "boolean",
            "description": "True only after the caller, asked in words, has agreed to exactly these arguments.",
        });
        description.push_str(
            " Needs the caller's word: call it, ask the caller, then call it again with confirmed = true.",
        );
    }
    json!({ "type": "function", "name": name, "description": description.trim_start(), "parameters": parameters })
}

/// An MCP server that the model's own server calls. Its secrets go to the model's server.
pub(super) fn hosted(tool: &Tool, server: &McpServer) -> Option<Value> {
    let McpLink::Url { url, headers } = &server.link else { return None };
    let mut entry = json!({
        "type": "mcp",
        "server_label": tool.name,
        "server_url": url.as_str(),
        "allowed_tools": server.allow,
        // Who answers a question of the server is the caller, and he does not see it.
        "require_approval": "never",
    });
    for (name, value) in headers {
        entry["headers"][name] = Value::from(value.expose());
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_needs_the_callers_word_has_a_place_for_it() {
        let plain = function("f", "Does it.", &Schema::any(), false);
        assert_eq!(
            plain,
            json!({ "type": "function", "name": "f", "description": "Does it.", "parameters": { "type": "object", "properties": {} } })
        );
        let asking = function("f", "Does it.", &Schema::any(), true);
        assert_eq!(asking["parameters"]["properties"][CONFIRMED]["type"], "boolean");
    }
}
