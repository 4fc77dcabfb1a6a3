//! `[[agents.NAME.tools]]` as it is typed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::HttpMethod;

/// One table.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Tool {
    /// A request to an HTTP endpoint.
    Http(Http),
    /// Tools of an MCP server.
    Mcp(Mcp),
    /// Something with the call itself.
    Builtin(Builtin),
}

/// `type = "http"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Http {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub method: HttpMethod,
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub timeout_ms: Option<u64>,
    pub retries: Option<u32>,
    pub max_answer_bytes: Option<usize>,
    pub parameters: Option<toml::Table>,
    #[serde(default)]
    pub confirm: bool,
    pub max_per_call: Option<u32>,
    pub filler: Option<String>,
}

/// `type = "mcp"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Mcp {
    pub name: String,
    pub allow: Vec<String>,
    pub command: Option<Vec<String>>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub url: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub hosted: bool,
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub confirm: bool,
    pub max_per_call: Option<u32>,
    pub filler: Option<String>,
}

/// `type = "builtin"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Builtin {
    pub name: BuiltinName,
    pub description: Option<String>,
    #[serde(default)]
    pub targets: BTreeMap<String, String>,
    pub warm: Option<bool>,
    #[serde(default)]
    pub allow: BTreeMap<String, String>,
    pub max_chars: Option<usize>,
    #[serde(default)]
    pub confirm: bool,
    pub max_per_call: Option<u32>,
    pub filler: Option<String>,
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum BuiltinName {
    EndCall,
    TransferCall,
    SendMessage,
    PressKeys,
    TakeNote,
}
